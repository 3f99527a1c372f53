/* The blanks between two words of a line: none or one, by what the two are. */
#include "frontend/format.h"

#include <string.h>

static bool ends_value(const Token *token) {
  switch (token->kind) {
  case TOKEN_NAME:
  case TOKEN_NUMBER:
  case TOKEN_STRING:
  case TOKEN_ELLIPSIS:
  case TOKEN_RIGHT_PAREN:
  case TOKEN_RIGHT_BRACKET: return true;
  case TOKEN_WORD: return token->word == WORD_TRUE || token->word == WORD_FALSE || token->word == WORD_NONE;
  default: return false;
  }
}

/* Words that take an expression behind them and are names elsewhere: `over (a)` and the call `clip(x, 0, 1)`, `axis -1` and
 * the difference `axis - 1` differ in nothing but blanks, which therefore decide. */
static bool is_soft_word(const Token *token) {
  static const char *const words[] = {"over", "clip", "by", "axis", "carry"};
  for (int k = 0; k < COUNT_OF(words) && token->kind == TOKEN_NAME; k++)
    if (strcmp(token->text, words[k]) == 0) return true;
  return false;
}

bool format_ends_value(const Token *before, const Token *token, const Source *source) {
  if (!ends_value(before)) return false;
  if (!is_soft_word(before) || before->end == token->offset) return true;
  return token->kind == TOKEN_OPERATOR && strchr(" \t\r\n", source->text[token->end]);
}

static int before_colon(const TokenPair *pair) {
  return pair->bracket == '[' && pair->before->kind == TOKEN_COMMA; /* x[1, :2] */
}

/* What stands before decides first, since it may forbid a blank; then the token itself. */
int format_gap(const TokenPair *pair) {
  const Token *before = pair->before, *token = pair->token;
  bool named_argument = pair->bracket == '(' && !pair->declares;
  if (pair->before_is_unary) return 0;
  switch (before->kind) {
  case TOKEN_LEFT_PAREN:
  case TOKEN_LEFT_BRACKET:
  case TOKEN_DOT: return 0;
  case TOKEN_RANGE: return 0;
  case TOKEN_COLON:
    if (pair->bracket == '[') return 0;
    break;
  case TOKEN_ASSIGN:
    if (named_argument) return 0;
    break;
  default: break;
  }
  switch (token->kind) {
  case TOKEN_RIGHT_PAREN:
  case TOKEN_RIGHT_BRACKET:
  case TOKEN_COMMA:
  case TOKEN_NEWLINE: return 0;
  case TOKEN_DOT:
  case TOKEN_RANGE: return before->kind == TOKEN_NUMBER && !before->number.whole; /* 1. .. 3 is not 1...3 */
  case TOKEN_ELLIPSIS: return before->kind != TOKEN_NAME;                         /* [S..., K] */
  case TOKEN_COLON: return before_colon(pair);
  case TOKEN_ASSIGN: return !named_argument;
  case TOKEN_LEFT_PAREN:
  case TOKEN_LEFT_BRACKET: return !pair->operand;
  default: return 1;
  }
}
