/* csv: rows of numbers, and of words that name classes.
 *
 * The text is gone through three times: to count rows and columns, so that all memory is asked for once; to see which
 * columns are numbers and whether the first line is a header; and to fill the columns. A number is what C's strtod takes,
 * without hexadecimals; a field of nothing is a fault, for what a missing value means is for the user to say. */
#include "command/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Scanner {
  const char *name;
  const char *at, *end;
  char separator;
  int64_t line;
  Failure *failure;
} Scanner;

typedef struct Field {
  const char *start, *end; /* without the quotes and the blanks around */
  bool quoted, last;       /* last: of its row */
  int64_t line;
} Field;

static bool csv_fault(const Scanner *s, int64_t line, const char *wrong) {
  return fail(s->failure, EXIT_INPUT, "%.600s:%lld: %s", s->name, (long long)line, wrong);
}

/* Past empty lines and comments; false at the end of the file. */
static bool next_row(Scanner *s) {
  while (s->at < s->end) {
    const char *at = s->at;
    while (at < s->end && (*at == ' ' || *at == '\r')) at++;
    if (at < s->end && *at != '\n' && *at != '#') return true;
    const char *newline = memchr(at, '\n', (size_t)(s->end - at));
    if (!newline)
      s->at = s->end;
    else
      s->at = newline + 1, s->line++;
  }
  return false;
}

static bool next_field(Scanner *s, Field *field) {
  const char *at = s->at, *end = s->end;
  while (at < end && *at == ' ') at++;
  *field = (Field){.start = at, .line = s->line};
  if (at < end && *at == '"') {
    field->quoted = true;
    field->start = ++at;
    for (; at < end && (*at != '"' || (at + 1 < end && at[1] == '"')); at++) {
      if (*at == '"')
        at++;
      else if (*at == '\n')
        s->line++;
    }
    if (at == end) return csv_fault(s, field->line, "a quoted field starts here and does not end");
    field->end = at++;
    while (at < end && (*at == ' ' || *at == '\r')) at++;
    if (at < end && *at != s->separator && *at != '\n') return csv_fault(s, s->line, "text follows a closing quote");
  } else {
    while (at < end && *at != s->separator && *at != '\n') at++;
    field->end = at;
    while (field->end > field->start && (field->end[-1] == ' ' || field->end[-1] == '\r')) field->end--;
  }
  field->last = at == end || *at == '\n';
  if (at < end && *at == '\n') s->line++;
  s->at = MIN(at + 1, end);
  /* A separator as the file's last byte has an empty field behind it. */
  if (!field->last && at + 1 == end) return csv_fault(s, field->line, "the file ends after a separator");
  return true;
}

static bool is_number(const Field *field, double *number) {
  const char *at = field->start;
  int64_t length = field->end - at;
  if (length == 0) return false;
  int64_t digits = 0;
  while (digits < length && digits < 16 && at[digits] >= '0' && at[digits] <= '9') digits++;
  if (digits == length && digits < 16) { /* most fields: a short integer */
    int64_t integer = 0;
    for (int64_t i = 0; i < length; i++) integer = integer * 10 + (at[i] - '0');
    *number = (double)integer;
    return true;
  }
  if (memchr(at, 'x', (size_t)length) || memchr(at, 'X', (size_t)length)) return false;
  char *end;
  *number = strtod(at, &end);
  return end == field->end;
}

static bool has_digit(const Field *field) {
  for (const char *at = field->start; at < field->end; at++)
    if (*at >= '0' && *at <= '9') return true;
  return false;
}

static const char *field_text(Arena *arena, const Field *field) {
  char *text = arena_alloc(arena, (size_t)(field->end - field->start) + 1), *to = text;
  for (const char *at = field->start; at < field->end; at++) {
    *to++ = *at;
    if (field->quoted && *at == '"') at++;
  }
  return text;
}

/* What both later passes do with a field. */
typedef struct Reading {
  Arena *arena;
  Table *table;
  Scanner start;     /* at the first row */
  bool *head_text;   /* by column: the first line has no number there */
  Field *head;       /* by column: the first line's field */
  bool *text_below;  /* by column: some later line has no number there */
  bool *comes_again; /* by column: the first line's text comes again below */
} Reading;

static bool count_cells(Reading *r) {
  Scanner s = r->start;
  Table *table = r->table;
  while (next_row(&s)) {
    int64_t line = s.line, columns = 0;
    Field field;
    do {
      if (!next_field(&s, &field)) return false;
      if (field.start == field.end)
        return fail(s.failure, EXIT_INPUT, "%.600s:%lld: field %lld is empty; write nan for a number that is missing",
                    s.name, (long long)field.line, (long long)columns + 1);
      columns++;
    } while (!field.last);
    if (table->rows == 0 && columns <= INT32_MAX) table->columns = (int)columns;
    if (columns != table->columns)
      return fail(s.failure, EXIT_INPUT, "%.600s:%lld: %lld fields, but the first line has %d", s.name, (long long)line,
                  (long long)columns, table->columns);
    table->rows++;
  }
  if (table->rows == 0) return csv_fault(&s, s.line, "there are no rows in it");
  return true;
}

static bool same_text(const Field *a, const Field *b) {
  return a->end - a->start == b->end - b->start && !memcmp(a->start, b->start, (size_t)(a->end - a->start));
}

static bool judge_columns(Reading *r) {
  Scanner s = r->start;
  Table *table = r->table;
  for (int64_t row = 0; row < table->rows; row++) {
    next_row(&s);
    for (int c = 0; c < table->columns; c++) {
      Field field;
      double number = 0;
      if (!next_field(&s, &field)) return false;
      bool text = !is_number(&field, &number);
      if (!text && isinf(number) && has_digit(&field))
        return csv_fault(&s, field.line, "a number is too large for a double");
      if (row == 0) {
        r->head[c] = field;
        r->head_text[c] = text;
      } else if (text) {
        if (!r->text_below[c]) table->column[c].first_line = field.line;
        r->text_below[c] = true;
        if (r->head_text[c] && !r->comes_again[c]) r->comes_again[c] = same_text(&field, &r->head[c]);
      }
    }
  }
  bool all_text = table->rows > 1;
  for (int c = 0; c < table->columns; c++) {
    if (r->head_text[c] && !r->text_below[c] && table->rows > 1) table->header = true;
    all_text = all_text && r->head_text[c] && !r->comes_again[c];
  }
  table->header |= all_text;
  return true;
}

static bool fill_columns(Reading *r) {
  Scanner s = r->start;
  Table *table = r->table;
  if (table->header) table->rows--;
  for (int c = 0; c < table->columns; c++) {
    TableColumn *column = &table->column[c];
    if (table->header)
      column->name = field_text(r->arena, &r->head[c]);
    else if (r->head_text[c])
      column->first_line = r->head[c].line;
    column->text = r->text_below[c] || (!table->header && r->head_text[c]);
    if (column->text)
      column->texts = NEW_ARRAY(r->arena, const char *, table->rows);
    else
      column->numbers = NEW_ARRAY(r->arena, double, table->rows);
  }
  for (int64_t line = table->header ? -1 : 0; line < table->rows; line++) {
    next_row(&s);
    for (int c = 0; c < table->columns; c++) {
      Field field;
      if (!next_field(&s, &field)) return false;
      if (line < 0) continue;
      if (table->column[c].text)
        table->column[c].texts[line] = field_text(r->arena, &field);
      else if (!is_number(&field, &table->column[c].numbers[line]))
        bug("a field of csv changed its kind");
    }
  }
  return true;
}

/* scikit-learn's tables start with a line that is no header: rows, columns before the label, names of the classes. It is
 * believed if rows and columns are as it says. */
static void skip_summary(Reading *r) {
  Scanner s = r->start;
  Failure quiet = {0};
  s.failure = &quiet;
  double counts[2] = {0};
  Field field;
  Vec(const char *) classes = {0};
  if (!next_row(&s)) return;
  for (int i = 0; i == 0 || !field.last; i++) {
    double number;
    if (!next_field(&s, &field) || field.start == field.end || is_number(&field, &number) != (i < 2)) return;
    if (i < 2)
      counts[i] = number;
    else
      PUSH(r->arena, &classes, field_text(r->arena, &field));
  }
  Table below = {0};
  Reading trial = {.arena = r->arena, .table = &below, .start = s};
  if (!classes.count || !count_cells(&trial)) return;
  if ((double)below.rows != counts[0] || below.columns - 1 != counts[1]) return;
  r->start = s;
  r->table->classes = classes.items;
  r->table->class_count = classes.count;
}

bool parse_csv(Arena *arena, const char *name, char *bytes, size_t length, Table *table, Failure *failure) {
  *table = (Table){.path = name};
  Reading r = {.arena = arena, .table = table};
  r.start = (Scanner){.name = name, .at = bytes, .end = bytes + length, .separator = ',', .line = 1, .failure = failure};
  const char *zero = memchr(bytes, 0, length);
  if (zero) return fail(failure, EXIT_INPUT, "%.600s: byte %td: a zero byte: this is no text", name, zero - bytes);
  if (length >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) r.start.at += 3;
  if (next_row(&r.start)) {
    const char *newline = memchr(r.start.at, '\n', (size_t)(r.start.end - r.start.at));
    size_t line = (size_t)((newline ? newline : r.start.end) - r.start.at);
    if (!memchr(r.start.at, ',', line))
      r.start.separator = memchr(r.start.at, ';', line) ? ';' : memchr(r.start.at, '\t', line) ? '\t' : ',';
  }
  skip_summary(&r);
  r.start.failure = failure;
  if (!count_cells(&r)) return false;
  size_t columns = (size_t)table->columns;
  table->column = NEW_ARRAY(arena, TableColumn, columns);
  r.head = NEW_ARRAY(arena, Field, columns);
  r.head_text = NEW_ARRAY(arena, bool, columns);
  r.text_below = NEW_ARRAY(arena, bool, columns);
  r.comes_again = NEW_ARRAY(arena, bool, columns);
  return judge_columns(&r) && fill_columns(&r);
}

bool read_csv(Arena *arena, const char *path, Table *table, Failure *failure) {
  char *bytes;
  size_t length;
  return read_plain(arena, path, &bytes, &length, failure) && parse_csv(arena, path, bytes, length, table, failure);
}

int table_find(const Table *table, const char *name) {
  for (int c = 0; c < table->columns; c++)
    if (table->column[c].name && !strcmp(table->column[c].name, name)) return c;
  char *end;
  long number = strtol(name, &end, 10);
  return *name >= '0' && *name <= '9' && !*end && number < table->columns ? (int)number : -1;
}

const char *table_column_name(Arena *arena, const Table *table, int column) {
  return table->column[column].name ? table->column[column].name : arena_format(arena, "%d", column);
}
