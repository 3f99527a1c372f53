/* The characters that a net of texts knows: the code points of a UTF-8 text, sorted, each standing for its index.
 *
 * They are kept in checkpoints as a text of their own (metadata nnc.characters), so that what was trained on one text reads
 * and writes others. */
#ifndef NNC_CHARACTERS_H
#define NNC_CHARACTERS_H

#include "command/dataset.h"

#define KEY_CHARACTERS "nnc.characters"

typedef struct Characters {
  const char *text; /* all of them, as UTF-8 */
  int count;
  const char **of_index; /* each one's place in text */
} Characters;

/* The characters that occur in a text. `name` stands for it in messages. */
bool characters_of(Arena *arena, const char *name, const char *text, size_t length, Characters *characters,
                   Failure *failure);
/* The indices of a text's characters, i32 of [count]; a character that is not known is a fault that tells its line. */
bool characters_encode(Arena *arena, const Characters *characters, const char *name, const char *text, size_t length,
                       Tensor *indices, Failure *failure);
/* Adds the text that indices mean; false, and nothing is added, if one of them is no index or the tensor is not of i32. */
bool characters_decode(const Characters *characters, const Tensor *indices, Text *out);

/* text:FILE as data: windows that do not overlap, so that an epoch reads each character once. x: i32 [rows, length]; y the
 * same shifted by one. With `known`, the text must be made of those characters; else of its own, which become the data's
 * class names. */
bool read_text_dataset(Arena *arena, const char *path, int64_t length, const char *known, Dataset *dataset,
                       Failure *failure);

#endif
