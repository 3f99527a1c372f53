/* Machine code of models that were compiled to be run, kept in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache).
 *
 * The key is all that the code depends on: this very nnc, LLVM, the processor, flags, and the bytes of the model's files
 * with their imports and the prelude. A file holds its key and a sum, so that what does not fit, or is damaged, is not used.
 * Files are written whole or not at all; beyond CACHE_BYTES those go that were not used for longest. Where there is no such
 * folder, or it cannot be written, models are compiled each time: nothing here is a fault. */
#ifndef NNC_CACHE_H
#define NNC_CACHE_H

#include "command/program.h"

enum { CACHE_BYTES = 256 << 20 };

typedef struct Cached {
  const char *path; /* NULL: there is no cache */
  Text key;
} Cached;
Cached cache_find(Arena *arena, const Program *program, const Settings *settings);
/* The code, in the arena; false if it is not there. */
bool cache_read(Arena *arena, const Cached *cached, const char **code, size_t *length);
void cache_write(const Cached *cached, const Text *code);
void cache_forget(Cached *cached); /* frees the key */

#endif
