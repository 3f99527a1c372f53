/* The lexer: bytes to tokens, and the rule of the line.
 *
 * A newline ends a statement, except inside ( ) and [ ], after a comma, `=` or a binary operator, and before a line that
 * begins with `|`; inside { } it counts again. All of that is decided here, so that the parser sees only newlines that
 * count. To decide it the lexer keeps the stack of open brackets. A bracket that was never closed would swallow the rest of
 * the file: a line that can only be the start of a declaration closes all that is open (see closes_all), the parser then
 * misses the bracket, says so, and goes on with that declaration.
 *
 * Tokens are made on demand, not in a list: a hostile file costs no more memory than its bytes. */
#include "frontend/lex.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NUMBER = 100, LARGEST_SOURCE = 1 << 28 };

const char *operator_text(Operator operator) {
  static const char *const texts[OPERATOR_COUNT] = {
#define X(name, text, binds) text,
      SYNTAX_OPERATORS(X)
#undef X
  };
  return texts[operator];
}

static void fault(Lexer *lexer, uint32_t offset, const char *message) {
  Place place = {lexer->source, offset, NULL, NULL};
  error_at(lexer->diagnostics, &place, "%s", message);
}

/* ---- characters ---- */

/* Only the first fault is told: a file in another encoding has thousands. One with a byte 0 is no text at all, and is not
 * read further. */
static void check_encoding(Lexer *lexer) {
  const Source *source = lexer->source;
  const char *zero = memchr(source->text, 0, source->length);
  if (zero) {
    fault(lexer, (uint32_t)(zero - source->text), "a byte 0: this is no text in UTF-8");
    lexer->at = source->length;
    return;
  }
  for (uint32_t at = 0; at < source->length;) {
    uint32_t bytes = (uint32_t)character_bytes(source->text + at, source->length - at);
    if (!bytes) {
      fault(lexer, at, "this is not UTF-8");
      help_for(lexer->diagnostics, "save the file in the encoding UTF-8");
      return;
    }
    at += bytes;
  }
}

void lex_start(Lexer *lexer, Arena *arena, Diagnostics *diagnostics, const Source *source) {
  *lexer = (Lexer){.arena = arena, .diagnostics = diagnostics, .source = source, .previous = TOKEN_NEWLINE};
  lexer->starts_line = true;
  if (source->length > LARGEST_SOURCE) {
    fault(lexer, 0, "the file is larger than 256 MiB");
    lexer->at = (uint32_t)LARGEST_SOURCE;
    lexer->tokens = SYNTAX_TOKENS + 1; /* nothing is read */
    return;
  }
  check_encoding(lexer);
  if (source->length >= 3 && memcmp(source->text, "\xEF\xBB\xBF", 3) == 0) lexer->at = 3; /* a byte order mark */
}

static char peek(const Lexer *lexer, uint32_t ahead) {
  return lexer->at + ahead < lexer->source->length ? lexer->source->text[lexer->at + ahead] : 0;
}

static bool starts_name(char c) { return isalpha((unsigned char)c) || c == '_'; }
static bool in_name(char c) { return isalnum((unsigned char)c) || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- newlines ---- */

static bool newline_counts(const Lexer *lexer) {
  char innermost = lexer->open.count ? lexer->open.items[lexer->open.count - 1] : '{';
  if (innermost != '{') return false;
  switch (lexer->previous) {
  case TOKEN_NEWLINE:
  case TOKEN_LEFT_BRACE:
  case TOKEN_COMMA:
  case TOKEN_ASSIGN:
  case TOKEN_UPDATE:
  case TOKEN_RANGE:
  case TOKEN_OPERATOR: return false;
  default: return true;
  }
}

/* Blanks, comments and newlines. True if a newline was among them. */
static bool skip_space(Lexer *lexer) {
  bool newline = false;
  const char *text = lexer->source->text;
  size_t length = lexer->source->length;
  while (lexer->at < length) {
    char c = text[lexer->at];
    if (c == '#') {
      const char *end = memchr(text + lexer->at, '\n', length - lexer->at);
      lexer->at = end ? (uint32_t)(end - text) : (uint32_t)length;
      continue;
    }
    if (c == '\n')
      newline = true;
    else if (c != ' ' && c != '\t' && c != '\r')
      break;
    lexer->at++;
  }
  return newline;
}

/* Whether the line that starts here is a declaration beyond doubt: a word that declares, then a name. Inside ( ) and [ ] no
 * two names stand side by side, so there any such line shows that a bracket was not closed. Inside { } the words that
 * stand only at the top level show it, if they stand at the left edge. */
static bool closes_all(const Lexer *lexer, bool *braces_too) {
  static const char *const words[] = {"def", "fn", "step", "model", "dim", "import", "layer", "param", "state"};
  enum { ONLY_AT_TOP = 6 };
  const char *text = lexer->source->text + lexer->at;
  for (int i = 0; i < COUNT_OF(words); i++) {
    size_t length = strlen(words[i]);
    if (lexer->source->length - lexer->at <= length || memcmp(text, words[i], length) != 0 || text[length] != ' ') continue;
    const char *next = text + length;
    while (*next == ' ') next++;
    if (!starts_name(*next) && !(is_digit(*next) && words[i][0] == 'd') && *next != '"') return false;
    bool at_edge = lexer->at == 0 || text[-1] == '\n';
    *braces_too = i < ONLY_AT_TOP && at_edge;
    return true;
  }
  return false;
}

/* What a new line closes by force. True if it closed a ( or [, so that the newline counts now. */
static bool close_forgotten(Lexer *lexer) {
  bool braces_too = false;
  if (!lexer->open.count || !closes_all(lexer, &braces_too)) return false;
  bool closed = false;
  while (lexer->open.count) {
    bool brace = lexer->open.items[lexer->open.count - 1] == '{';
    if (brace && !braces_too) break;
    lexer->open.count--;
    lexer->braces -= brace;
    closed = true;
  }
  return closed;
}

/* ---- brackets ---- */

static void open_bracket(Lexer *lexer, char bracket) {
  PUSH(lexer->arena, &lexer->open, bracket);
  lexer->braces += bracket == '{';
}

/* Closes the nearest bracket of that kind and all inside it; but ) and ] do not reach beyond a {, and a bracket that closes
 * nothing leaves all as it is. The parser will say what is wrong. */
static void close_bracket(Lexer *lexer, char bracket) {
  for (int i = lexer->open.count - 1; i >= 0; i--) {
    if (lexer->open.items[i] == bracket) {
      lexer->open.count = i;
      lexer->braces -= bracket == '{';
      return;
    }
    if (lexer->open.items[i] == '{') return;
  }
}

/* ---- tokens ---- */

static TokenKind read_name(Lexer *lexer, Token *token) {
  const char *text = lexer->source->text + lexer->at;
  uint32_t length = 1;
  while (in_name(peek(lexer, length))) length++;
  lexer->at += length;
  if (length > SYNTAX_NAME) {
    fault(lexer, token->offset, "a name of more than 255 characters");
    return TOKEN_ERROR;
  }
  static const char *const words[WORD_COUNT] = {
#define X(name, text) text,
      SYNTAX_WORDS(X)
#undef X
  };
  token->text = intern_length(text, length);
  for (int i = 0; i < WORD_COUNT; i++) {
    if (strcmp(token->text, words[i]) == 0) {
      token->word = (Word)i;
      return TOKEN_WORD;
    }
  }
  static const Operator operators[] = {OPERATOR_AND, OPERATOR_OR, OPERATOR_NOT};
  for (int i = 0; i < COUNT_OF(operators); i++) {
    if (strcmp(token->text, operator_text(operators[i])) == 0) {
      token->operation = operators[i];
      return TOKEN_OPERATOR;
    }
  }
  return TOKEN_NAME;
}

/* Digits with single underscores between them; returns the place behind them. */
static uint32_t skip_digits(const Lexer *lexer, uint32_t ahead) {
  while (is_digit(peek(lexer, ahead)) || (peek(lexer, ahead) == '_' && is_digit(peek(lexer, ahead + 1)))) ahead++;
  return ahead;
}

static TokenKind read_number(Lexer *lexer, Token *token) {
  bool whole = true;
  uint32_t length = skip_digits(lexer, 0);
  if (peek(lexer, length) == '.' && peek(lexer, length + 1) != '.' && !starts_name(peek(lexer, length + 1))) {
    whole = false; /* 0..n is a range, and 3.x a fault */
    length = skip_digits(lexer, length + 1);
  }
  if (peek(lexer, length) == 'e' || peek(lexer, length) == 'E') {
    uint32_t sign = peek(lexer, length + 1) == '-' || peek(lexer, length + 1) == '+';
    if (is_digit(peek(lexer, length + 1 + sign))) {
      whole = false;
      length = skip_digits(lexer, length + 1 + sign);
    }
  }
  char digits[LONGEST_NUMBER + 1];
  size_t used = 0;
  for (uint32_t i = 0; i < length && used < LONGEST_NUMBER; i++)
    if (peek(lexer, i) != '_') digits[used++] = peek(lexer, i);
  digits[used] = 0;
  bool runs_on = in_name(peek(lexer, length));
  while (in_name(peek(lexer, length))) length++;
  lexer->at += length;
  const char *message = runs_on                   ? "a number runs into a name"
                        : length > LONGEST_NUMBER ? "a number of more than 100 characters"
                                                  : NULL;
  if (!message) {
    errno = 0;
    token->number = (Number){whole, whole ? (int64_t)strtoll(digits, NULL, 10) : 0, 0};
    if (whole && errno == ERANGE) message = "this whole number is too large: the largest is 9223372036854775807";
    token->number.real = strtod(digits, NULL);
    if (!isfinite(token->number.real)) message = "this number is too large: the largest is near 1.8e308";
  }
  if (message) fault(lexer, token->offset, message);
  return message ? TOKEN_ERROR : TOKEN_NUMBER;
}

static TokenKind read_string(Lexer *lexer, Token *token) {
  Text text = {0};
  TokenKind kind = TOKEN_STRING;
  text_add_bytes(&text, "", 0);
  lexer->at++;
  for (;;) {
    char c = peek(lexer, 0);
    if (lexer->at >= lexer->source->length || c == '\n') {
      fault(lexer, token->offset, "this string does not end on its line");
      help_for(lexer->diagnostics, "a string stands in double quotes: \"text\"");
      kind = TOKEN_ERROR;
      break;
    }
    uint32_t plain = 0;
    while (lexer->at + plain < lexer->source->length && !strchr("\"\\\n", peek(lexer, plain))) plain++;
    if (plain) {
      text_add_bytes(&text, lexer->source->text + lexer->at, plain);
      lexer->at += plain;
      continue;
    }
    lexer->at++;
    if (c == '"') break;
    if (c == '\\') {
      char escape = peek(lexer, 0);
      c = escape == 'n' ? '\n' : escape == 't' ? '\t' : escape;
      if (!escape || !strchr("nt\"\\", escape)) {
        if (kind == TOKEN_STRING) fault(lexer, lexer->at - 1, "after a backslash stands n, t, \" or another backslash");
        kind = TOKEN_ERROR;
        continue;
      }
      lexer->at++;
    }
    text_add_bytes(&text, &c, 1);
  }
  token->text = intern_length(text.bytes, text.length);
  text_free(&text);
  return kind;
}

static const struct Sign {
  const char *text;
  TokenKind kind;
  Operator operation;
} signs[] = {
    /* A longer sign stands before the one that it begins with. */
    {"...", TOKEN_ELLIPSIS, 0},
    {"..", TOKEN_RANGE, 0},
    {".", TOKEN_DOT, 0},
    {":=", TOKEN_UPDATE, 0},
    {":", TOKEN_COLON, 0},
    {"->", TOKEN_ARROW, 0},
    {"==", TOKEN_OPERATOR, OPERATOR_EQUAL},
    {"=", TOKEN_ASSIGN, 0},
    {"!=", TOKEN_OPERATOR, OPERATOR_NOT_EQUAL},
    {"<=", TOKEN_OPERATOR, OPERATOR_LESS_EQUAL},
    {"<", TOKEN_OPERATOR, OPERATOR_LESS},
    {">=", TOKEN_OPERATOR, OPERATOR_GREATER_EQUAL},
    {">", TOKEN_OPERATOR, OPERATOR_GREATER},
    {"+", TOKEN_OPERATOR, OPERATOR_ADD},
    {"-", TOKEN_OPERATOR, OPERATOR_SUBTRACT},
    {"**", TOKEN_OPERATOR, OPERATOR_POWER},
    {"*", TOKEN_OPERATOR, OPERATOR_MULTIPLY},
    {"//", TOKEN_OPERATOR, OPERATOR_FLOOR_DIVIDE},
    {"/", TOKEN_OPERATOR, OPERATOR_DIVIDE},
    {"%", TOKEN_OPERATOR, OPERATOR_MODULO},
    {"@", TOKEN_OPERATOR, OPERATOR_MATMUL},
    {"|", TOKEN_OPERATOR, OPERATOR_PIPE},
    {",", TOKEN_COMMA, 0},
    {";", TOKEN_NEWLINE, 0},
    {"(", TOKEN_LEFT_PAREN, 0},
    {")", TOKEN_RIGHT_PAREN, 0},
    {"[", TOKEN_LEFT_BRACKET, 0},
    {"]", TOKEN_RIGHT_BRACKET, 0},
    {"{", TOKEN_LEFT_BRACE, 0},
    {"}", TOKEN_RIGHT_BRACE, 0},
};

static TokenKind unexpected(Lexer *lexer, const Token *token) {
  Place place = {lexer->source, token->offset, NULL, NULL};
  const char *text = lexer->source->text + token->offset;
  uint32_t bytes = (uint32_t)character_bytes(lexer->source->text + token->offset, lexer->source->length - token->offset);
  lexer->at += bytes ? bytes : 1;
  if (!bytes || !*text) return TOKEN_ERROR; /* told by check_encoding */
  if (bytes == 1 && !isprint((unsigned char)*text))
    error_at(lexer->diagnostics, &place, "unexpected character U+%04X", (unsigned)*text);
  else
    error_at(lexer->diagnostics, &place, "unexpected character '%.*s'", (int)bytes, text);
  if (*text == '\'') {
    help_for(lexer->diagnostics, "strings stand in double quotes: \"nearest\"");
    uint32_t length = 0;
    while (peek(lexer, length) && !strchr("'\n", peek(lexer, length))) length++;
    if (peek(lexer, length) == '\'') lexer->at += length + 1; /* it is meant as a string: one fault, not two */
  }
  if (*text == '!') help_for(lexer->diagnostics, "write 'not x', or 'a != b'");
  if (*text == '^') help_for(lexer->diagnostics, "a power is x ** 2");
  if (*text == '?') help_for(lexer->diagnostics, "write where(c, a, b)");
  if (*text == '&') help_for(lexer->diagnostics, "write 'a and b'");
  if (bytes > 1) help_for(lexer->diagnostics, "names are made of the letters a to z and A to Z, digits and _");
  return TOKEN_ERROR;
}

static TokenKind read_sign(Lexer *lexer, Token *token) {
  for (int i = 0; i < COUNT_OF(signs); i++) {
    const struct Sign *sign = &signs[i];
    size_t length = strlen(sign->text);
    if (lexer->source->length - lexer->at < length || memcmp(lexer->source->text + lexer->at, sign->text, length) != 0)
      continue;
    token->operation = sign->operation;
    lexer->at += (uint32_t)length;
    switch (sign->kind) {
    case TOKEN_LEFT_PAREN:
    case TOKEN_LEFT_BRACKET:
    case TOKEN_LEFT_BRACE: open_bracket(lexer, sign->text[0]); break;
    case TOKEN_RIGHT_PAREN: close_bracket(lexer, '('); break;
    case TOKEN_RIGHT_BRACKET: close_bracket(lexer, '['); break;
    case TOKEN_RIGHT_BRACE:
      close_bracket(lexer, '{');
      token->depth = lexer->braces;
      break;
    default: break;
    }
    return sign->kind;
  }
  return unexpected(lexer, token);
}

static TokenKind read_token(Lexer *lexer, Token *token) {
  char c = peek(lexer, 0);
  if (starts_name(c)) return read_name(lexer, token);
  if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) return read_number(lexer, token);
  if (c == '"') return read_string(lexer, token);
  return read_sign(lexer, token);
}

void lex_next(Lexer *lexer, Token *token) {
  *token = (Token){.offset = lexer->previous_end, .end = lexer->previous_end, .depth = lexer->braces};
  if (lexer->tokens > SYNTAX_TOKENS) return;
  if (skip_space(lexer)) {
    lexer->starts_line = true;
    bool counts = close_forgotten(lexer) || newline_counts(lexer);
    if (counts && peek(lexer, 0) != '|' && lexer->previous != TOKEN_NEWLINE) {
      token->kind = lexer->previous = TOKEN_NEWLINE;
      token->depth = lexer->braces;
      return;
    }
  }
  token->depth = lexer->braces;
  if (lexer->at >= lexer->source->length) return; /* the end */
  token->offset = lexer->at;
  if (++lexer->tokens > SYNTAX_TOKENS) {
    fault(lexer, lexer->at, "the file has more than a million words");
    token->kind = TOKEN_ERROR; /* and after it the end */
    token->end = lexer->at;
    return;
  }
  token->starts_line = lexer->starts_line;
  lexer->starts_line = false;
  token->kind = read_token(lexer, token);
  token->end = lexer->previous_end = lexer->at;
  lexer->previous = token->kind;
}
