/* What the frontend offers: a .nn file in, a module of graphs out. */
#ifndef NNC_FRONTEND_H
#define NNC_FRONTEND_H

#include "ir/ir.h"

/* The prelude, frontend/prelude.nn, as the build embedded it. */
extern const char prelude_text[];

/* Reads and builds a file; "-" is standard input. NULL with a Failure where the file cannot be read; NULL without one where
 * the diagnostics have errors. */
Module *build_module(Arena *arena, Diagnostics *diagnostics, const char *path, Failure *failure);
/* The same from text in memory; imports are found relative to the source's name. `constants` (may be NULL) is text like
 * "hidden = 64; rate = 0.5" whose values replace those of the file's own constants. NULL after errors. */
Module *build_source(Arena *arena, Diagnostics *diagnostics, const Source *source, const Source *constants);

#endif
