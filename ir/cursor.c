/* The characters of dumps: words, numbers, names, sizes, types, index maps' axes. See cursor.h. */
#include "ir/cursor.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- characters ---- */

const Place *cursor_place(const Cursor *cursor) {
  Place place = {.source = cursor->source, .offset = (uint32_t)(cursor->at - cursor->source->text)};
  return arena_copy(cursor->arena, &place, sizeof place);
}

bool cursor_refuse(Cursor *cursor, const char *format, ...) {
  va_list list;
  if (cursor->failed) return false;
  cursor->failed = true;
  va_start(list, format);
  error_at(cursor->diagnostics, cursor_place(cursor), "%s", arena_format_list(cursor->arena, format, list));
  va_end(list);
  return false;
}

void cursor_skip_blanks(Cursor *cursor) {
  while (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\r') cursor->at++;
}

void cursor_skip_lines(Cursor *cursor) {
  for (;;) {
    cursor_skip_blanks(cursor);
    if (*cursor->at == '#') {
      while (*cursor->at && *cursor->at != '\n') cursor->at++;
    }
    if (*cursor->at != '\n') return;
    cursor->at++;
  }
}

/* True, and past it, if the text goes on with `mark` (a word must end there). */
bool cursor_accept(Cursor *cursor, const char *mark) {
  size_t length = strlen(mark);
  cursor_skip_blanks(cursor);
  if (cursor->failed || strncmp(cursor->at, mark, length) != 0) return false;
  if (isalpha((unsigned char)mark[0]) && (isalnum((unsigned char)cursor->at[length]) || cursor->at[length] == '_')) {
    return false;
  }
  cursor->at += length;
  return true;
}

bool cursor_expect(Cursor *cursor, const char *mark) {
  return cursor_accept(cursor, mark) || cursor_refuse(cursor, "expected '%s'", mark);
}

void cursor_expect_end(Cursor *cursor) {
  cursor_skip_blanks(cursor);
  if (*cursor->at != '\n' && *cursor->at != 0 && *cursor->at != '#') cursor_refuse(cursor, "expected the end of the line");
}

int64_t cursor_integer(Cursor *cursor) {
  cursor_skip_blanks(cursor);
  bool negative = *cursor->at == '-';
  const char *digits = cursor->at + (negative ? 1 : 0);
  int64_t value = 0;
  if (!isdigit((unsigned char)*digits)) {
    cursor_refuse(cursor, "expected a whole number");
    return 0;
  }
  for (; isdigit((unsigned char)*digits); digits++) {
    int digit = *digits - '0';
    if (!multiply_checked(value, 10, &value) || !add_checked(value, negative ? -digit : digit, &value)) {
      cursor_refuse(cursor, "the number leaves 64 bits");
      return 0;
    }
  }
  cursor->at = digits;
  return value;
}

int cursor_small(Cursor *cursor) {
  int64_t value = cursor_integer(cursor);
  if (value < 0 || value > INT_MAX) cursor_refuse(cursor, "expected a small whole number");
  return cursor->failed ? 0 : (int)value;
}

double cursor_number(Cursor *cursor) {
  char *end;
  cursor_skip_blanks(cursor);
  double value = strtod(cursor->at, &end);
  if (end == cursor->at) cursor_refuse(cursor, "expected a number");
  cursor->at = end;
  return value;
}

const char *cursor_quoted(Cursor *cursor) {
  Text text = {0};
  text_add(&text, "%s", "");
  if (cursor_expect(cursor, "\"")) {
    while (*cursor->at && *cursor->at != '"' && *cursor->at != '\n') {
      char letter = *cursor->at++;
      if (letter == '\\' && *cursor->at) {
        letter = *cursor->at++;
        if (letter == 'n') letter = '\n';
      }
      text_add_bytes(&text, &letter, 1);
    }
    cursor_expect(cursor, "\"");
  }
  const char *name = intern_length(text.bytes, text.length);
  text_free(&text);
  return name;
}

const char *cursor_name(Cursor *cursor) {
  cursor_skip_blanks(cursor);
  if (*cursor->at == '"') return cursor_quoted(cursor);
  size_t length = 0;
  const char *start = cursor->at;
  while (isalnum((unsigned char)start[length]) || start[length] == '_' || start[length] == '.') length++;
  if (length == 0) cursor_refuse(cursor, "expected a name");
  cursor->at += length;
  return intern_length(start, length);
}

const Dim *cursor_size(Cursor *cursor) {
  cursor_skip_blanks(cursor);
  const char *end = cursor->at;
  const Dim *dim = dim_read(cursor->module, &end);
  if (!dim) cursor_refuse(cursor, "expected a size over the dims of the module");
  cursor->at = end;
  return cursor->failed ? dim_constant(cursor->module, 1) : dim;
}

Dtype cursor_dtype(Cursor *cursor) {
  for (Dtype dtype = NONE; dtype <= BOOL; dtype = (Dtype)(dtype + 1)) {
    if (cursor_accept(cursor, dtype_name(dtype))) return dtype;
  }
  cursor_refuse(cursor, "expected f32, i32 or bool");
  return NONE;
}

void cursor_sizes(Cursor *cursor, Type *type) {
  type->rank = 0;
  cursor_expect(cursor, "[");
  while (!cursor->failed && !cursor_accept(cursor, "]")) {
    if (type->rank > 0) cursor_expect(cursor, ",");
    if (type->rank == MAX_RANK) {
      cursor_refuse(cursor, "a tensor has at most %d axes", MAX_RANK);
      return;
    }
    type->size[type->rank++] = cursor_size(cursor);
  }
}

Type cursor_type(Cursor *cursor) {
  Type type = {.dtype = cursor_dtype(cursor)};
  if (type.dtype != NONE) cursor_sizes(cursor, &type);
  return type;
}

/* ---- axes ---- */

/* The dim that the text names here, past it; -1 if it names none. */
int cursor_loop(Cursor *cursor, const Loops *loops) {
  cursor_skip_blanks(cursor);
  size_t length = 0;
  while (isalnum((unsigned char)cursor->at[length]) || cursor->at[length] == '_') length++;
  for (int k = 0; k < loops->count; k++) {
    if (strlen(loops->name[k]) == length && memcmp(loops->name[k], cursor->at, length) == 0) {
      cursor->at += length;
      return k;
    }
  }
  return -1;
}

/* "a", "-2*a": true and past it if a term by a dim stands here. */
static bool accept_axis_term(Cursor *cursor, const Loops *loops, Axis *axis) {
  const char *start = cursor->at;
  bool negative = cursor_accept(cursor, "-");
  int64_t coefficient = 1;
  if (!negative && axis->nterms > 0) cursor_accept(cursor, "+");
  cursor_skip_blanks(cursor);
  if (isdigit((unsigned char)*cursor->at)) {
    coefficient = cursor_integer(cursor);
    if (!cursor_accept(cursor, "*")) {
      cursor->at = start;
      return false;
    }
  }
  int dim = cursor_loop(cursor, loops);
  if (dim < 0 || cursor->failed) {
    cursor->at = start;
    return false;
  }
  if (axis->nterms == 2) return cursor_refuse(cursor, "an axis has at most two dims");
  axis->dim[axis->nterms] = dim;
  axis->coefficient[axis->nterms++] = negative ? -coefficient : coefficient;
  return true;
}

/* True if the bracket that opens here closes before a single '/'. */
static bool is_divided(const Cursor *cursor) {
  int depth = 0;
  if (*cursor->at != '(') return false;
  for (const char *at = cursor->at; *at && *at != '\n'; at++) {
    if (*at == '(') depth++;
    if (*at == ')' && --depth == 0) return at[1] == '/' && at[2] != '/';
  }
  return false;
}

void cursor_axis(Cursor *cursor, const Loops *loops, Axis *axis) {
  cursor_skip_blanks(cursor);
  bool divided = is_divided(cursor);
  *axis = (Axis){.offset = dim_constant(cursor->module, 0), .divisor = 1};
  if (divided) cursor_expect(cursor, "(");
  while (!cursor->failed && accept_axis_term(cursor, loops, axis)) continue;
  cursor_skip_blanks(cursor);
  if (axis->nterms == 0 || *cursor->at == '+' || *cursor->at == '-') {
    if (axis->nterms > 0) cursor_accept(cursor, "+");
    axis->offset = cursor_size(cursor);
  }
  if (!divided) return;
  cursor_expect(cursor, ")");
  cursor_expect(cursor, "/");
  axis->divisor = cursor_integer(cursor);
  if (axis->divisor < 1) cursor_refuse(cursor, "a divisor is 1 or more");
}
