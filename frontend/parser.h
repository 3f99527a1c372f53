/* What the files of the parser share. parse.c keeps the tokens, the faults and the top level, parse_statement.c reads
 * statements, parse_expression.c expressions. A function parse_x reads an x and leaves the token behind it current.
 *
 * After a fault the parser is in panic: every look at the current token gives TOKEN_ERROR, which nothing accepts, so all
 * loops end, nothing more is read or reported, and what is returned is junk (but never NULL where the tree has none) that
 * the statement being read throws away. recover() ends the panic at the next statement. */
#ifndef NNC_PARSER_H
#define NNC_PARSER_H

#include "frontend/lex.h"

typedef struct Parser {
  Arena *arena;
  Diagnostics *diagnostics;
  const Source *source;
  Lexer lexer;
  Token current, next;
  uint32_t previous_end; /* of the token before the current one */
  bool panic;
  bool resumed;  /* a forgotten } was told, and the current token begins a statement without a newline before it */
  bool reported; /* the last fault was new, so help belongs to it */
  int depth;     /* of the recursion */
  int tallest;   /* expression made since the innermost block began */
} Parser;

TokenKind token_kind(const Parser *parser);
bool at_word(const Parser *parser, Word word);
bool at_name(const Parser *parser, const char *text); /* the words that are not reserved */
bool at_operator(const Parser *parser, Operator operation);
void advance(Parser *parser);
bool accept(Parser *parser, TokenKind kind);
bool accept_name(Parser *parser, const char *text);
void expect(Parser *parser, TokenKind kind, const char *what);                      /* "expected WHAT, found ..." */
void expect_close(Parser *parser, TokenKind kind, const char *what, uint32_t open); /* with a note where it was opened */
const char *expect_name(Parser *parser, const char *what, uint32_t *offset);

void fault_at(Parser *parser, uint32_t offset, const char *format, ...) PRINTF_LIKE(3, 4);
void fault_expected(Parser *parser, const char *what);
void fault_help(Parser *parser, const char *format, ...) PRINTF_LIKE(2, 3);
bool enter(Parser *parser); /* one deeper; false, with a fault, if that is too deep. leave() follows in either case. */
void leave(Parser *parser);
void recover(Parser *parser, int depth); /* to the end of a statement that began at this depth of braces */

Expression *parse_expression(Parser *parser);
Expression *parse_sum(Parser *parser);               /* no looser than + and -: types, and the bounds of a dim */
Expression *parse_expression_list(Parser *parser);   /* `a, b` is a TUPLE */
Expression *parse_postfix(Parser *parser);           /* a call or a dotted name, without operators */
ScanSyntax *parse_scan(Parser *parser, int *height); /* behind `scan` */
Expression *parse_range(Parser *parser);             /* an expression or `a..b` */
Binding parse_binding(Parser *parser);               /* x in xs */
Expression *make_expression(Parser *parser, ExpressionKind kind, uint32_t offset, uint32_t begin);
void set_height(Parser *parser, Expression *expression, int height_below);

int parse_block(Parser *parser, Block *block); /* its height */
void parse_statements(Parser *parser, Block *block, bool top);
Statement *parse_statement(Parser *parser, bool top);
Routine *parse_routine(Parser *parser, RoutineKind kind);
TypeSyntax *parse_type(Parser *parser);

#endif
