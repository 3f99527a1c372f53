/* The lines that a kernel comes from. */
#include "codegen/interface.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

const Place *place_of_user(const Place *place) {
  const Place *own = place;
  while (own && own->source && !own->source->users && own->caller) own = own->caller;
  return own;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

typedef struct Line {
  const char *file;
  int number;
} Line;

static int by_file(const void *a, const void *b) {
  const Line *one = a, *other = b;
  int order = strcmp(one->file, other->file);
  return order ? order : (one->number > other->number) - (one->number < other->number);
}

/* The file once before its lines; three in a row or more as a range. */
static void add_lines(const Line *lines, int count, Text *out) {
  for (int k = 0, last; k < count; k = last + 1) {
    for (last = k; last + 1 < count && strcmp(lines[last + 1].file, lines[k].file) == 0 &&
                   lines[last + 1].number == lines[last].number + 1;)
      last++;
    bool same_file = k > 0 && strcmp(lines[k - 1].file, lines[k].file) == 0;
    if (last == k + 1) last = k;
    if (same_file)
      text_add(out, ",%d", lines[k].number);
    else
      text_add(out, "%s%s:%d", k ? ", " : "", lines[k].file, lines[k].number);
    if (last > k) text_add(out, "-%d", lines[last].number);
  }
}

void kernel_lines(const Kernel *kernel, Text *out) {
  Arena *arena = arena_new();
  int places = kernel->places.count, count = 0, kept = 0;
  Line *lines = NEW_ARRAY(arena, Line, places + 1);
  for (int k = 0; k < MAX(places, 1); k++) {
    const Place *place = place_of_user(places > 0 ? kernel->places.items[k] : kernel->place);
    if (!place || !place->source) continue;
    int column;
    lines[count].file = base_name(place->source->name);
    place_position(place, &lines[count++].number, &column);
  }
  qsort(lines, (size_t)count, sizeof *lines, by_file);
  for (int k = 0; k < count; k++)
    if (kept == 0 || by_file(&lines[kept - 1], &lines[k]) != 0) lines[kept++] = lines[k];
  add_lines(lines, kept, out);
  arena_free(arena);
}
