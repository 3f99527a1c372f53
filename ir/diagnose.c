/* Faults in source text: where they are, in what order they are told, and how they look.
 *
 * A fault may lie deep inside defs that the user only called, and the user can mend only his own text. So the place that
 * leads is the first one, outwards from the fault, that lies in a file of the user's; all other places of that chain follow
 * as notes. Faults are printed in the order of their leading places, since they are found in the order of passes, which
 * says nothing to the reader. The same def, used ten times, makes the same fault ten times: it is told once.
 *
 * The excerpt is cut around the caret and cleaned of control characters, so that no input can make it long or ugly. */
#include "ir/base.h"

#include <stdlib.h>
#include <string.h>

enum {
  MOST_FAULTS = 100,   /* of each severity; the rest is only counted */
  MOST_NOTES = 10,     /* through defs, of a fault */
  EXCERPT_WIDTH = 118, /* characters of a source line */
};

typedef enum Severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_COUNT } Severity;

typedef struct Note {
  Place place; /* source NULL: a help */
  const char *message;
} Note;

typedef struct Fault {
  Severity severity;
  Place place, lead;
  int source_rank; /* sources come in the order in which they were first at fault */
  int serial;
  const char *message;
  Vec(Note) notes;
} Fault;

struct Diagnostics {
  Arena *arena;
  Vec(Fault *) faults;
  Vec(const Source *) sources;
  Fault *last; /* that note_at and help_for speak of; NULL if it was not kept */
  int kept[SEVERITY_COUNT], dropped[SEVERITY_COUNT];
};

Diagnostics *diagnostics_new(Arena *arena) {
  Diagnostics *diagnostics = NEW(arena, Diagnostics);
  diagnostics->arena = arena;
  return diagnostics;
}

int diagnostics_errors(const Diagnostics *diagnostics) {
  return diagnostics->kept[SEVERITY_ERROR] + diagnostics->dropped[SEVERITY_ERROR];
}

/* A byte that does not continue a character of UTF-8 begins one. */
static bool begins_character(char byte) { return ((unsigned char)byte & 0xC0) != 0x80; }

static uint32_t line_start(const Source *source, uint32_t offset) {
  while (offset > 0 && source->text[offset - 1] != '\n') offset--;
  return offset;
}

static uint32_t place_offset(const Place *place) { return (uint32_t)MIN((size_t)place->offset, place->source->length); }

void place_position(const Place *place, int *line, int *column) {
  const Source *source = place->source;
  uint32_t offset = place_offset(place), start = line_start(source, offset);
  *line = 1;
  *column = 1;
  for (uint32_t i = 0; i < start; i++) *line += source->text[i] == '\n';
  /* A byte order mark is not seen by the user. */
  if (start == 0 && offset >= 3 && memcmp(source->text, "\xEF\xBB\xBF", 3) == 0) start = 3;
  for (uint32_t i = start; i < offset; i++) *column += begins_character(source->text[i]);
}

/* ---- collecting ---- */

static Place leading_place(const Place *place) {
  for (const Place *at = place; at; at = at->caller)
    if (at->source->users) return *at;
  return *place;
}

static int source_rank(Diagnostics *diagnostics, const Source *source) {
  for (int i = 0; i < diagnostics->sources.count; i++)
    if (diagnostics->sources.items[i] == source) return i;
  PUSH(diagnostics->arena, &diagnostics->sources, source);
  return diagnostics->sources.count - 1;
}

static bool told_before(const Diagnostics *diagnostics, const Fault *fault) {
  for (int i = 0; i < diagnostics->faults.count; i++) {
    const Fault *old = diagnostics->faults.items[i];
    if (old->severity == fault->severity && old->lead.source == fault->lead.source &&
        old->lead.offset == fault->lead.offset && strcmp(old->message, fault->message) == 0)
      return true;
  }
  return false;
}

static void add_fault(Diagnostics *diagnostics, Severity severity, const Place *place, const char *format, va_list list) {
  diagnostics->last = NULL;
  if (diagnostics->kept[severity] == MOST_FAULTS) {
    diagnostics->dropped[severity]++;
    return;
  }
  Fault *fault = NEW(diagnostics->arena, Fault);
  fault->severity = severity;
  fault->place = *place;
  fault->lead = leading_place(place);
  fault->serial = diagnostics->faults.count;
  fault->message = arena_format_list(diagnostics->arena, format, list);
  if (told_before(diagnostics, fault)) return;
  fault->source_rank = source_rank(diagnostics, fault->lead.source);
  PUSH(diagnostics->arena, &diagnostics->faults, fault);
  diagnostics->kept[severity]++;
  diagnostics->last = fault;
}

void error_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) {
  va_list list;
  va_start(list, format);
  add_fault(diagnostics, SEVERITY_ERROR, place, format, list);
  va_end(list);
}

void warning_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) {
  va_list list;
  va_start(list, format);
  add_fault(diagnostics, SEVERITY_WARNING, place, format, list);
  va_end(list);
}

static void add_note(Diagnostics *diagnostics, const Place *place, const char *format, va_list list) {
  if (!diagnostics->last) return;
  Note note = {place ? *place : (Place){0}, arena_format_list(diagnostics->arena, format, list)};
  PUSH(diagnostics->arena, &diagnostics->last->notes, note);
}

void note_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) {
  va_list list;
  va_start(list, format);
  add_note(diagnostics, place, format, list);
  va_end(list);
}

void help_for(Diagnostics *diagnostics, const char *format, ...) {
  va_list list;
  va_start(list, format);
  add_note(diagnostics, NULL, format, list);
  va_end(list);
}

/* ---- printing ---- */

static void print_head(const Place *place, const char *kind, Text *out) {
  int line, column;
  place_position(place, &line, &column);
  text_add(out, "%s:%d:%d: %s: ", place->source->name, line, column, kind);
}

/* Bytes of the character at text[at], or 0 if it is not well-formed UTF-8 or does not print. */
static uint32_t printable(const char *text, uint32_t at, uint32_t end) {
  unsigned char first = (unsigned char)text[at];
  if (first < 0x80) return first >= 0x20 && first != 0x7F;
  return (uint32_t)character_bytes(text + at, end - at);
}

/* The line, and a caret under the place: two columns in, without its indentation, and at most EXCERPT_WIDTH wide. */
static void print_excerpt(const Place *place, Text *out) {
  const Source *source = place->source;
  const char *text = source->text;
  uint32_t offset = place_offset(place), start = line_start(source, offset), end = offset;
  while (end < source->length && text[end] != '\n') end++;
  while (end > offset && text[end - 1] == '\r') end--;
  while (start < offset && (text[start] == ' ' || text[start] == '\t')) start++;
  bool cut = offset - start > EXCERPT_WIDTH * 2 / 3;
  if (cut) {
    start = offset - EXCERPT_WIDTH / 2;
    while (start < offset && !begins_character(text[start])) start++;
  }
  text_add(out, cut ? "  ..." : "  ");
  int caret = cut ? 5 : 2, width = 0;
  uint32_t at = start;
  for (; at < end && width < EXCERPT_WIDTH; width++) {
    uint32_t bytes = printable(text, at, end);
    if (bytes)
      text_add_bytes(out, text + at, bytes);
    else
      text_add(out, text[at] == '\t' ? " " : "?");
    caret += at < offset;
    at += bytes ? bytes : 1;
  }
  text_add(out, at < end ? "...\n%*s^\n" : "\n%*s^\n", caret, "");
}

static bool same_place(const Place *a, const Place *b) { return a->source == b->source && a->offset == b->offset; }

/* Where a def calls itself, the same place leads to it again and again. */
static bool was_shown(const Fault *fault, const Place *place) {
  for (const Place *at = &fault->place; at != place; at = at->caller)
    if (same_place(at, place)) return true;
  return false;
}

/* The places that led to the fault, outwards, except the one that leads; each once, and not too many. */
static void print_chain(const Fault *fault, Text *out) {
  int shown = 0, more = 0, again = 0;
  bool led = false;
  const char *inside = NULL; /* of the place before this one in the chain */
  for (const Place *at = &fault->place; at; inside = at->inside, at = at->caller) {
    if (!led && same_place(at, &fault->lead)) {
      led = true; /* its own message stands above */
      continue;
    }
    bool known = shown > 0 && was_shown(fault, at);
    if (known || (shown >= MOST_NOTES && at->caller)) {
      again += known;
      more += !known;
      continue;
    }
    print_head(at, "note", out);
    if (!led)
      text_add(out, at->inside ? "in %s, here\n" : "here\n", at->inside);
    else if (inside)
      text_add(out, "in %s, made here\n", inside);
    else
      text_add(out, "called here\n");
    shown++;
  }
  if (more > 0 || again > 1) text_add(out, "note: and %d more calls\n", more + again);
}

static void print_fault(const Fault *fault, Text *out) {
  print_head(&fault->lead, fault->severity == SEVERITY_ERROR ? "error" : "warning", out);
  text_add(out, "%s\n", fault->message);
  print_excerpt(&fault->lead, out);
  print_chain(fault, out);
  for (int i = 0; i < fault->notes.count; i++) {
    const Note *note = &fault->notes.items[i];
    if (note->place.source)
      print_head(&note->place, "note", out);
    else
      text_add(out, "help: ");
    text_add(out, "%s\n", note->message);
  }
}

static int in_source_order(const void *left, const void *right) {
  const Fault *a = *(Fault *const *)left, *b = *(Fault *const *)right;
  if (a->source_rank != b->source_rank) return a->source_rank - b->source_rank;
  if (a->lead.offset != b->lead.offset) return a->lead.offset < b->lead.offset ? -1 : 1;
  return a->serial - b->serial;
}

void diagnostics_text(const Diagnostics *diagnostics, Text *out) {
  int count = diagnostics->faults.count;
  if (count) {
    Fault **sorted = arena_copy(diagnostics->arena, diagnostics->faults.items, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, in_source_order);
    for (int i = 0; i < count; i++) print_fault(sorted[i], out);
  }
  static const char *const kinds[SEVERITY_COUNT] = {"error", "warning"};
  for (int severity = 0; severity < SEVERITY_COUNT; severity++)
    if (diagnostics->dropped[severity])
      text_add(out, "note: and %d more %ss\n", diagnostics->dropped[severity], kinds[severity]);
}

void diagnostics_print(const Diagnostics *diagnostics, FILE *out) {
  Text text = {0};
  diagnostics_text(diagnostics, &text);
  if (text.length) fwrite(text.bytes, 1, text.length, out);
  text_free(&text);
}
