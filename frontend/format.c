/* The layout of a .nn file.
 *
 * In: the source's tokens, and the comments between them. Out: the same tokens and comments on the same lines, with blanks
 * that depend on nothing but them. Lines are never broken or joined, since a line's end has a meaning here, and since where
 * a chain of layers is broken is for its author to say. So the result has the same tokens, which is checked at the end.
 *
 * - A statement stands two columns to the right for each block around it. A line that goes on with one begins below what
 *   follows the open bracket; with `|`, below the first `|` of the chain, or, where a `layer` is made of layers, below
 *   its `=`; else two columns in.
 * - Between two words stands one blank or none (format_space.c), before a comment at the end of a line two.
 * - Columns are kept: equal signs, and comments, that stand below each other on neighbouring lines of the source, where
 *   somebody put more blanks than needed, stand so in the result, as far to the left as all have room.
 * - At most one blank line; none at the start or the end.
 *
 * Columns are the least solution of: a word stands no further left than its gap, its line's start and its column's other
 * words allow. They are found by repetition, from the left. A result satisfies its own constraints and is the least
 * solution of them too, which is why formatting twice changes nothing more. */
#include "frontend/format.h"

#include <string.h>

enum { INDENT = 2, COMMENT_GAP = 2, ROUNDS = 1000 };

typedef struct Item {
  Token token;
  bool comment, starts_line, blank_before;
  int width, gap; /* characters; blanks before it, at least */
  int padding;    /* blanks that it had beyond the gap */
  int source_column, column;
  int align; /* of the columns that words share, or 0 */
} Item;

typedef struct Open {
  char bracket;
  bool declares;
  int indent; /* of the line that it belongs to */
  int inner;  /* where lines inside begin */
  bool layer; /* the statement in it declares one */
  int pipe;   /* the column where a line that begins with | stands in that statement, or -1 */
} Open;

typedef struct Format {
  Arena *arena;
  const Source *source;
  Vec(Item) items;
  Vec(Open) open;
  Vec(int) columns; /* by Item.align */
} Format;

/* ---- tokens and comments as items ---- */

static int characters(const char *text, size_t length) {
  int count = 0;
  for (size_t k = 0; k < length; k++) count += ((unsigned char)text[k] & 0xC0) != 0x80;
  return count;
}

static int source_column(const Source *source, uint32_t offset) {
  uint32_t start = offset;
  while (start > 0 && source->text[start - 1] != '\n') start--;
  return characters(source->text + start, offset - start);
}

static void add_item(Format *format, Item item, int newlines) {
  item.starts_line = newlines > 0 || format->items.count == 0;
  item.blank_before = newlines > 1 && format->items.count > 0;
  item.width = characters(format->source->text + item.token.offset, item.token.end - item.token.offset);
  item.source_column = source_column(format->source, item.token.offset);
  PUSH(format->arena, &format->items, item);
}

/* What stands between two tokens: comments. Returns the newlines since the last of them. */
static int add_comments(Format *format, uint32_t from, uint32_t to) {
  const char *text = format->source->text;
  int newlines = 0;
  for (uint32_t at = from; at < to; at++) {
    if (text[at] == '\n') newlines++;
    if (text[at] != '#') continue;
    const char *end = memchr(text + at, '\n', to - at);
    uint32_t next = end ? (uint32_t)(end - text) : to, last = next;
    while (strchr(" \t\r", text[last - 1])) last--;
    add_item(format, (Item){.comment = true, .gap = COMMENT_GAP, .token = {.offset = at, .end = last}}, newlines);
    newlines = 0;
    at = next - 1;
  }
  return newlines;
}

/* The end of a statement without a `;` is an item of no width, which is not written. */
static bool is_mark(const Token *token) { return token->kind == TOKEN_NEWLINE && token->offset == token->end; }

static void read_items(Format *format) {
  Diagnostics *none = diagnostics_new(format->arena);
  Lexer lexer;
  Token token;
  lex_start(&lexer, format->arena, none, format->source);
  uint32_t previous = lexer.at;
  for (lex_next(&lexer, &token); token.kind != TOKEN_END; lex_next(&lexer, &token)) {
    if (is_mark(&token)) {
      PUSH(format->arena, &format->items, ((Item){.token = token}));
      continue;
    }
    int newlines = add_comments(format, previous, token.offset);
    add_item(format, (Item){.token = token}, newlines);
    previous = token.end;
  }
  add_comments(format, previous, (uint32_t)format->source->length);
}

/* ---- gaps ---- */

static void open_bracket(Format *format, const Token *token, bool declares) {
  char bracket = format->source->text[token->offset];
  PUSH(format->arena, &format->open, ((Open){.bracket = bracket, .declares = declares, .pipe = -1}));
}

static bool opens(TokenKind kind) {
  return kind == TOKEN_LEFT_PAREN || kind == TOKEN_LEFT_BRACKET || kind == TOKEN_LEFT_BRACE;
}
static bool closes(TokenKind kind) {
  return kind == TOKEN_RIGHT_PAREN || kind == TOKEN_RIGHT_BRACKET || kind == TOKEN_RIGHT_BRACE;
}

/* `def f(`, `fn f(`, `step f(`: `step` is a name. Whether the two tokens before are such. */
static bool declares(const Token *keyword, const Token *name) {
  if (name->kind != TOKEN_NAME) return false;
  if (keyword->kind == TOKEN_WORD) return keyword->word == WORD_DEF || keyword->word == WORD_FN;
  return keyword->kind == TOKEN_NAME && strcmp(keyword->text, "step") == 0;
}

static void find_gaps(Format *format) {
  Token before = {.kind = TOKEN_NEWLINE}, earlier = before;
  bool unary = false;
  format->open.count = 1;
  for (int k = 0; k < format->items.count; k++) {
    Item *item = &format->items.items[k];
    if (item->comment) continue;
    Token *token = &item->token;
    const Open *innermost = &format->open.items[format->open.count - 1];
    TokenPair pair = {
        &before, token, unary, innermost->bracket, innermost->declares, format_ends_value(&before, token, format->source)};
    if (before.end > before.offset) item->gap = format_gap(&pair);
    unary = token->kind == TOKEN_OPERATOR && token->operation == OPERATOR_SUBTRACT && !pair.operand;
    if (opens(token->kind)) open_bracket(format, token, declares(&earlier, &before));
    if (closes(token->kind)) format->open.count--;
    earlier = before;
    before = *token;
  }
}

/* ---- columns that the source has ---- */

/* Signs alone: names and numbers of neighbouring lines begin in one column by chance. */
static bool same_kind(const Item *a, const Item *b) {
  TokenKind kind = a->token.kind;
  if (a->comment || b->comment || kind == TOKEN_NAME || kind == TOKEN_NUMBER || kind == TOKEN_STRING) return false;
  return a->token.kind == b->token.kind && (a->token.kind != TOKEN_OPERATOR || a->token.operation == b->token.operation);
}

static bool is_written(const Item *item) { return item->comment || item->token.end > item->token.offset; }

static void find_padding(Format *format) {
  const Item *previous = NULL;
  for (int k = 0; k < format->items.count; k++) {
    Item *item = &format->items.items[k];
    if (!is_written(item)) continue;
    if (!item->starts_line) item->padding = item->source_column - previous->source_column - previous->width - item->gap;
    previous = item;
  }
}

static void align(Format *format, Item *item, Item *above) {
  if (item->padding <= 0 && above->padding <= 0) return;
  if (!above->align) {
    above->align = format->columns.count;
    PUSH(format->arena, &format->columns, 0);
  }
  item->align = above->align;
}

/* A comment goes with the last one at the end of a line; other words with those of the line above. */
static void find_alignments(Format *format) {
  Item *items = format->items.items;
  int line = 0, above = 0, above_end = 0, comment = -1;
  for (int k = 0; k < format->items.count; k++) {
    Item *item = &items[k];
    if (!is_written(item)) continue;
    if (item->starts_line) {
      if (item->blank_before) line = above_end = above = k, comment = -1;
      if (item->comment) continue;
      above = line, above_end = k;
      line = k;
      continue;
    }
    if (item->comment) {
      if (comment >= 0 && items[comment].source_column == item->source_column) align(format, item, &items[comment]);
      comment = k;
      continue;
    }
    for (int other = above + 1; other < above_end && item->gap > 0; other++)
      if (items[other].source_column == item->source_column && !items[other].starts_line && items[other].gap > 0 &&
          is_written(&items[other]) && same_kind(item, &items[other]))
        align(format, item, &items[other]);
  }
}

/* ---- where each item stands ---- */

static const Item *next_token(const Format *format, int k) {
  while (k < format->items.count && (format->items.items[k].comment || !is_written(&format->items.items[k]))) k++;
  return k < format->items.count ? &format->items.items[k] : NULL;
}

static bool is_pipe(const Item *item) {
  return !item->comment && item->token.kind == TOKEN_OPERATOR && item->token.operation == OPERATOR_PIPE;
}

static int line_start(const Format *format, int k, bool at_statement) {
  const Open *open = &format->open.items[format->open.count - 1];
  const Item *next = next_token(format, k);
  if (!next) return 0;
  if (closes(next->token.kind)) return format->items.items[k].comment ? open->inner : open->indent;
  if (is_pipe(next) && open->pipe >= 0) return open->pipe;
  return open->bracket == '{' && !at_statement ? open->inner + INDENT : open->inner;
}

static bool ends_line(const Format *format, int k) {
  const Item *next = &format->items.items[k + 1];
  return k + 1 == format->items.count || next->starts_line || next->comment;
}

/* Lines within ( and [ begin behind it, if something stands there. */
static void enter_bracket(Format *format, int k, int indent) {
  const Item *item = &format->items.items[k];
  open_bracket(format, &item->token, false);
  Open *open = &format->open.items[format->open.count - 1];
  bool hangs = item->token.kind == TOKEN_LEFT_BRACE || ends_line(format, k);
  open->indent = indent;
  open->inner = hangs ? indent + INDENT : item->column + 1;
}

/* Lays all out once, by the columns found so far. True if one of them was moved. */
static bool place(Format *format) {
  bool moved = false, at_statement = true;
  int indent = 0, end = 0;
  format->open.count = 1;
  format->open.items[0] = (Open){.bracket = '{', .pipe = -1};
  for (int k = 0; k < format->items.count; k++) {
    Item *item = &format->items.items[k];
    if (is_written(item)) {
      item->column = item->starts_line ? line_start(format, k, at_statement) : end + item->gap;
      if (item->starts_line && !item->comment) indent = item->column;
      if (item->align && format->columns.items[item->align] < item->column) {
        format->columns.items[item->align] = item->column;
        moved = true;
      }
      if (item->align) item->column = format->columns.items[item->align];
      end = item->column + item->width;
    }
    if (item->comment) continue;
    Open *open = &format->open.items[format->open.count - 1];
    if (at_statement) open->layer = item->token.kind == TOKEN_NAME && strcmp(item->token.text, "layer") == 0;
    bool hangs = open->layer && item->token.kind == TOKEN_ASSIGN && !ends_line(format, k);
    if ((is_pipe(item) || hangs) && open->pipe < 0) open->pipe = item->column;
    if (item->token.kind == TOKEN_NEWLINE) open->pipe = -1;
    at_statement = item->token.kind == TOKEN_NEWLINE || item->token.kind == TOKEN_LEFT_BRACE;
    if (opens(item->token.kind)) enter_bracket(format, k, indent);
    if (closes(item->token.kind)) indent = open->indent, format->open.count--;
  }
  return moved;
}

/* A source can align words so that a line would have to begin to the right of itself: then nothing is aligned. */
static void find_columns(Format *format) {
  for (int round = 0; round < ROUNDS; round++)
    if (!place(format)) return;
  for (int k = 0; k < format->items.count; k++) format->items.items[k].align = 0;
  place(format);
}

/* ---- the text ---- */

static void write_items(const Format *format, Text *out) {
  int column = 0;
  for (int k = 0; k < format->items.count; k++) {
    const Item *item = &format->items.items[k];
    if (!is_written(item)) continue;
    if (item->starts_line && k > 0) {
      text_add(out, item->blank_before ? "\n\n" : "\n");
      column = 0;
    }
    text_add(out, "%*s", item->column - column, "");
    text_add_bytes(out, format->source->text + item->token.offset, item->token.end - item->token.offset);
    column = item->column + item->width;
  }
  if (format->items.count) text_add(out, "\n");
}

/* That no blank has made other tokens of the text, or other statements. */
static void check_same(Format *format, const Text *text) {
  const Source result = {.name = format->source->name, .text = text->bytes, .length = text->length};
  Format other = {.arena = format->arena, .source = &result};
  read_items(&other);
  if (other.items.count != format->items.count) bug("formatting has changed the number of tokens");
  for (int k = 0; k < other.items.count; k++) {
    const Token *a = &format->items.items[k].token, *b = &other.items.items[k].token;
    if (a->kind != b->kind || a->end - a->offset != b->end - b->offset ||
        memcmp(format->source->text + a->offset, result.text + b->offset, a->end - a->offset) != 0)
      bug("formatting has changed '%.*s'", (int)(a->end - a->offset), format->source->text + a->offset);
  }
}

bool format_source(Arena *arena, Diagnostics *diagnostics, const Source *source, Text *out) {
  Format format = {.arena = arena, .source = source};
  int faults = diagnostics_errors(diagnostics);
  parse_source(arena, diagnostics, source);
  if (diagnostics_errors(diagnostics) > faults) return false;
  PUSH(arena, &format.open, ((Open){.bracket = '{', .pipe = -1}));
  PUSH(arena, &format.columns, 0);
  read_items(&format);
  find_gaps(&format);
  find_padding(&format);
  find_alignments(&format);
  find_columns(&format);
  Text text = {0};
  text_add(&text, "%s", "");
  write_items(&format, &text);
  check_same(&format, &text);
  text_add_bytes(out, text.bytes, text.length);
  text_free(&text);
  return true;
}
