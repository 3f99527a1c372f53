/* What compiling shares with nobody but its own files. */
#ifndef NNC_COMPILE_H
#define NNC_COMPILE_H

#include "command/program.h"

/* Makes a shared object or an archive of one object file's bytes, by the system's linker or ar. The result's bytes are read
 * back, so that the caller writes all of its files in one way. Without the tool: EXIT_ENVIRONMENT, and what to do. */
bool link_shared(Arena *arena, const Text *object, char **bytes, size_t *length, Failure *failure);
bool make_archive(Arena *arena, const char *member, const Text *object, char **bytes, size_t *length, Failure *failure);

/* The graphs of all entries in Graphviz's language, and drawn by its program dot. */
void dot_print(const Module *module, Text *out);
bool draw_graph(Arena *arena, const Text *dot, char **bytes, size_t *length, Failure *failure);
/* A page that shows, for each entry, what it needs and its memory over time. */
void memory_page(const Module *module, Plan *const *plans, Text *out);

#endif
