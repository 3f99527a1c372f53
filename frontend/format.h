/* The one layout of a .nn file: what `nnc fmt` writes. */
#ifndef NNC_FORMAT_H
#define NNC_FORMAT_H

#include "frontend/lex.h"

/* Adds the text in its layout: the same words on the same lines, with the same comments. Formatting the result again
 * changes nothing. False where the text has faults, which the diagnostics then hold; nothing is added then. */
bool format_source(Arena *arena, Diagnostics *diagnostics, const Source *source, Text *out);

/* Between format.c and format_space.c: the blanks before `token` where it follows `before` on a line. `bracket` is the
 * innermost open one; `declares` tells that it holds the parameters of a def, fn or step; `operand`, that `before` is the
 * end of a value. */
typedef struct TokenPair {
  const Token *before, *token;
  bool before_is_unary; /* `before` is a minus that negates */
  char bracket;
  bool declares, operand;
} TokenPair;
int format_gap(const TokenPair *pair);
/* Whether a value ends before `token`, so that a minus subtracts and a bracket calls or indexes. */
bool format_ends_value(const Token *before, const Token *token, const Source *source);

#endif
