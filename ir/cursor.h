/* What the readers of graphs (read.c) and of plans (plan_read.c) share: a place in a dump, and the small things that stand
 * there. The first fault is reported at its place; from then on `failed` is set and what is read is of no meaning. */
#ifndef NNC_CURSOR_H
#define NNC_CURSOR_H

#include "ir/ir.h"

typedef struct Cursor {
  Module *module; /* whose sizes are read */
  Arena *arena;
  Diagnostics *diagnostics;
  const Source *source;
  const char *at;
  bool failed;
} Cursor;

/* The names of a space's dims, or of a stage's loops. */
typedef struct Loops {
  const char *name[MAX_LOOPS];
  int count;
} Loops;

const Place *cursor_place(const Cursor *cursor);
/* The first fault is reported here and now, the rest are its consequences. Gives false. */
bool cursor_refuse(Cursor *cursor, const char *format, ...) PRINTF_LIKE(2, 3);
void cursor_skip_blanks(Cursor *cursor);              /* within a line */
void cursor_skip_lines(Cursor *cursor);               /* and empty lines and comments */
bool cursor_accept(Cursor *cursor, const char *mark); /* true, and past it, if it stands here */
bool cursor_expect(Cursor *cursor, const char *mark); /* refused if not */
void cursor_expect_end(Cursor *cursor);               /* of the line */

int64_t cursor_integer(Cursor *cursor);
int cursor_small(Cursor *cursor); /* 0 to INT_MAX */
double cursor_number(Cursor *cursor);
const char *cursor_quoted(Cursor *cursor);
const char *cursor_name(Cursor *cursor); /* plain or quoted; interned */
const Dim *cursor_size(Cursor *cursor);  /* never NULL */
Dtype cursor_dtype(Cursor *cursor);
void cursor_sizes(Cursor *cursor, Type *type); /* "[N, 784]" */
Type cursor_type(Cursor *cursor);              /* "f32[N, 784]" */
/* The dim that the text names here, past it; -1 if it names none. */
int cursor_loop(Cursor *cursor, const Loops *loops);
void cursor_axis(Cursor *cursor, const Loops *loops, Axis *axis); /* "2*a + k - 1", "(a - k)/2" */

#endif
