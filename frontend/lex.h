/* The words of a .nn file, one at a time: between lex.c and the parser only. */
#ifndef NNC_LEX_H
#define NNC_LEX_H

#include "frontend/syntax.h"

typedef enum TokenKind {
  TOKEN_END,
  TOKEN_ERROR,   /* a fault that has been reported already */
  TOKEN_NEWLINE, /* the end of a statement: a newline that counts, or `;` */
  TOKEN_NAME,
  TOKEN_WORD, /* a reserved word that is no operator */
  TOKEN_NUMBER,
  TOKEN_STRING,
  TOKEN_OPERATOR, /* all of SYNTAX_OPERATORS but NEGATE: `-` comes as SUBTRACT */
  TOKEN_LEFT_PAREN,
  TOKEN_RIGHT_PAREN,
  TOKEN_LEFT_BRACKET,
  TOKEN_RIGHT_BRACKET,
  TOKEN_LEFT_BRACE,
  TOKEN_RIGHT_BRACE,
  TOKEN_COMMA,
  TOKEN_COLON,
  TOKEN_DOT,
  TOKEN_RANGE,    /* .. */
  TOKEN_ELLIPSIS, /* ... */
  TOKEN_ASSIGN,   /* = */
  TOKEN_UPDATE,   /* := */
  TOKEN_ARROW,    /* -> */
} TokenKind;

#define SYNTAX_WORDS(X)                                                                                                    \
  X(DEF, "def")                                                                                                            \
  X(FN, "fn")                                                                                                              \
  X(IMPORT, "import")                                                                                                      \
  X(IF, "if")                                                                                                              \
  X(ELSE, "else")                                                                                                          \
  X(FOR, "for")                                                                                                            \
  X(IN, "in")                                                                                                              \
  X(SCAN, "scan")                                                                                                          \
  X(YIELD, "yield") X(MINIMIZE, "minimize") X(ASSERT, "assert") X(TRUE, "true") X(FALSE, "false") X(NONE, "None")

/* The words that are not here (model, dim, layer, step, param, state, over, clip, by, axis, carry) are words only where
 * they are looked for, and names anywhere else. */
typedef enum Word {
#define X(name, text) WORD_##name,
  SYNTAX_WORDS(X)
#undef X
      WORD_COUNT
} Word;

typedef struct Token {
  TokenKind kind;
  uint32_t offset, end;
  int depth; /* of `{ }` around it; a brace itself is outside */
  bool starts_line;
  Word word;          /* WORD */
  Operator operation; /* OPERATOR */
  const char *text;   /* NAME, STRING: interned */
  Number number;      /* NUMBER */
} Token;

typedef struct Lexer {
  Arena *arena;
  Diagnostics *diagnostics;
  const Source *source;
  uint32_t at;
  Vec(char) open; /* brackets that are open, as they were written */
  int braces;     /* of them */
  int tokens;
  TokenKind previous;
  uint32_t previous_end;
  bool starts_line; /* nothing was seen on this line yet */
} Lexer;

void lex_start(Lexer *lexer, Arena *arena, Diagnostics *diagnostics, const Source *source);
void lex_next(Lexer *lexer, Token *token);

#endif
