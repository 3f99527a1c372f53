/* The parser's ground: tokens, faults and recovery, and the way in.
 *
 * The parser goes down by recursion, and one statement is the unit of trust: a fault in it is reported once, the rest of it
 * is skipped, and reading goes on with the next. A bracket that is missing is noted where it was opened. How deep the
 * recursion may go is bounded by enter(), how high a tree may get by set_height(), so neither the parser nor those who walk
 * its tree can run out of stack. */
#include "frontend/parser.h"

#include <string.h>

/* ---- tokens ---- */

TokenKind token_kind(const Parser *parser) { return parser->panic ? TOKEN_ERROR : parser->current.kind; }

bool at_word(const Parser *parser, Word word) { return token_kind(parser) == TOKEN_WORD && parser->current.word == word; }

bool at_name(const Parser *parser, const char *text) {
  return token_kind(parser) == TOKEN_NAME && strcmp(parser->current.text, text) == 0;
}

bool at_operator(const Parser *parser, Operator operation) {
  return token_kind(parser) == TOKEN_OPERATOR && parser->current.operation == operation;
}

void advance(Parser *parser) {
  if (parser->panic) return;
  parser->previous_end = parser->current.end;
  parser->current = parser->next;
  lex_next(&parser->lexer, &parser->next);
}

bool accept(Parser *parser, TokenKind kind) {
  if (token_kind(parser) != kind) return false;
  advance(parser);
  return true;
}

bool accept_name(Parser *parser, const char *text) {
  if (!at_name(parser, text)) return false;
  advance(parser);
  return true;
}

void expect(Parser *parser, TokenKind kind, const char *what) {
  if (!accept(parser, kind)) fault_expected(parser, what);
}

void expect_close(Parser *parser, TokenKind kind, const char *what, uint32_t open) {
  if (accept(parser, kind)) return;
  fault_expected(parser, what);
  Place place = {parser->source, open, NULL, NULL};
  if (parser->reported) note_at(parser->diagnostics, &place, "opened here");
}

const char *expect_name(Parser *parser, const char *what, uint32_t *offset) {
  *offset = parser->current.offset;
  const char *name = parser->current.text;
  if (accept(parser, TOKEN_NAME)) return name;
  bool reserved = token_kind(parser) == TOKEN_WORD ||
                  (token_kind(parser) == TOKEN_OPERATOR && parser->current.operation >= OPERATOR_OR &&
                   parser->current.operation <= OPERATOR_NOT);
  fault_expected(parser, what);
  if (reserved) fault_help(parser, "this is a word of the language and cannot be a name");
  return intern("");
}

/* ---- faults ---- */

void fault_at(Parser *parser, uint32_t offset, const char *format, ...) {
  bool told = parser->panic || (parser->current.kind == TOKEN_ERROR && parser->current.offset == offset);
  parser->panic = true;
  parser->reported = !told;
  if (told) return;
  va_list list;
  va_start(list, format);
  char *message = arena_format_list(parser->arena, format, list);
  va_end(list);
  Place place = {parser->source, offset, NULL, NULL};
  error_at(parser->diagnostics, &place, "%s", message);
}

void fault_expected(Parser *parser, const char *what) {
  const Token *token = &parser->current;
  if (parser->panic) {
    parser->reported = false;
  } else if (token->kind == TOKEN_END) {
    fault_at(parser, token->offset, "expected %s, found the end of the file", what);
  } else if (token->end == token->offset) {
    fault_at(parser, token->offset, "expected %s, found the end of the line", what);
  } else {
    uint32_t length = token->end - token->offset;
    bool cut = length > 40;
    fault_at(parser, token->offset, "expected %s, found '%.*s%s'", what, cut ? 37 : (int)length,
             parser->source->text + token->offset, cut ? "..." : "");
  }
}

void fault_help(Parser *parser, const char *format, ...) {
  if (!parser->reported) return;
  va_list list;
  va_start(list, format);
  help_for(parser->diagnostics, "%s", arena_format_list(parser->arena, format, list));
  va_end(list);
}

bool enter(Parser *parser) {
  if (++parser->depth <= SYNTAX_HEIGHT) return !parser->panic;
  fault_at(parser, parser->current.offset, "this is nested more than %d deep", SYNTAX_HEIGHT);
  return false;
}

void leave(Parser *parser) { parser->depth--; }

/* Braces opened within the statement are skipped whole. The brace that closes the block around it is left to the block. */
void recover(Parser *parser, int depth) {
  parser->panic = false;
  for (;;) {
    const Token *token = &parser->current;
    if (token->kind == TOKEN_END || token->depth < depth) return;
    if (token->kind == TOKEN_NEWLINE && token->depth == depth) return;
    advance(parser);
  }
}

/* ---- the way in ---- */

File *parse_source(Arena *arena, Diagnostics *diagnostics, const Source *source) {
  Parser parser = {.arena = arena, .diagnostics = diagnostics, .source = source};
  File *file = NEW(arena, File);
  file->source = source;
  lex_start(&parser.lexer, arena, diagnostics, source);
  lex_next(&parser.lexer, &parser.current);
  lex_next(&parser.lexer, &parser.next);
  Block top = {0};
  parse_statements(&parser, &top, true);
  for (int i = 0; i < top.statements.count; i++) {
    Statement *statement = top.statements.items[i];
    statement->last = false; /* a file has no value */
    PUSH(arena, &file->statements, statement);
    if (statement->kind != STATEMENT_MODEL) continue;
    if (file->model) {
      Place place = statement_place(statement, NULL, NULL);
      error_at(diagnostics, &place, "a second 'model': this file is the model '%s' already", file->model);
      help_for(diagnostics, "a file holds one model; put the other one in a file of its own");
    } else {
      file->model = statement->name;
    }
  }
  return file;
}

/* Collects the parts back to front, then joins them. */
const char *dotted_name(Arena *arena, const Expression *expression) {
  const char *joined = NULL;
  for (; expression->kind == EXPRESSION_MEMBER; expression = expression->member.object)
    joined = joined ? arena_format(arena, "%s.%s", expression->member.name, joined) : expression->member.name;
  if (expression->kind != EXPRESSION_NAME) return NULL;
  return joined ? intern(arena_format(arena, "%s.%s", expression->name, joined)) : expression->name;
}
