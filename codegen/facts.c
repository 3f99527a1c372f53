/* What is told of a kernel: where it comes from, what it computes and moves. Counts are of the arithmetic as written in the
 * plan: a multiplication and an addition for each point of a contraction, one for each other scalar op, each array that is
 * touched moved once. */
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

/* ---- counts; NULL, once beyond 64 bits, stays NULL ---- */

static const Dim *times(Module *module, const Dim *a, int64_t b) {
  return a ? dim_multiply(module, a, dim_constant(module, b)) : NULL;
}
static const Dim *plus(Module *module, const Dim *a, const Dim *b) { return a && b ? dim_add(module, a, b) : NULL; }

static const Dim *points(const Plan *plan, const Stage *stage, int loops) {
  const Dim *count = dim_constant(plan->module, 1);
  for (int k = 0; k < loops && count; k++) count = dim_multiply(plan->module, count, stage->loops[k].extent);
  return count;
}

static int count_ops(const Stage *stage, int from, int to) {
  int count = 0;
  for (int k = from; k < to; k++) count += stage->scalars.items[k].op < SCALAR_LOAD;
  return count;
}

static const Dim *stage_flops(const Plan *plan, const Stage *stage) {
  Module *module = plan->module;
  const Dim *all = points(plan, stage, stage->nloops), *kept = points(plan, stage, stage->nkept);
  bool folds = stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
  int after = folds ? stage->after : stage->scalars.count;
  int each = count_ops(stage, 0, after) + stage->folders.count;
  if (stage->kind == STAGE_SCATTER || stage->kind == STAGE_CUMSUM) each++;
  const Dim *flops = times(module, all, each);
  return plus(module, flops, times(module, kept, count_ops(stage, after, stage->scalars.count)));
}

const Dim *kernel_flops(const Plan *plan, int kernel) {
  const Kernel *own = &plan->kernels.items[kernel];
  if (own->flops) return own->flops;
  const Dim *sum = dim_constant(plan->module, 0);
  for (int k = 0; k < own->stages.count; k++) sum = plus(plan->module, sum, stage_flops(plan, &own->stages.items[k]));
  return sum;
}

static void touch(const Access *access, bool *touched) {
  if (access) touched[access->buffer] = true;
}

const Dim *kernel_bytes(const Plan *plan, int kernel) {
  const Kernel *own = &plan->kernels.items[kernel];
  if (own->bytes) return own->bytes;
  Module *module = plan->module;
  Arena *arena = arena_new();
  bool *touched = NEW_ARRAY(arena, bool, plan->buffers.count);
  for (int k = 0; k < own->stages.count; k++) {
    const Stage *stage = &own->stages.items[k];
    for (int j = 0; j < stage->scalars.count; j++) {
      if (stage->scalars.items[j].op == SCALAR_LOAD) touch(stage->scalars.items[j].access, touched);
    }
    for (int j = 0; j < stage->stores.count; j++) touch(&stage->stores.items[j].access, touched);
  }
  const Dim *sum = dim_constant(module, 0);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (!touched[id] || buffer->memory == MEMORY_LOCAL) continue;
    const Dim *count = type_count(module, &buffer->type);
    sum = plus(module, sum, times(module, count, plan_element_bytes(buffer->type.dtype)));
  }
  arena_free(arena);
  return sum;
}

/* A contraction's op is the measure; others wait for memory, divide, compare: about eight times as long. */
const Dim *kernel_effort(const Plan *plan, int kernel) {
  const Kernel *own = &plan->kernels.items[kernel];
  Module *module = plan->module;
  const Dim *sum = dim_constant(module, 0);
  for (int k = 0; k < own->stages.count; k++) {
    const Stage *stage = &own->stages.items[k];
    const Dim *all = points(plan, stage, stage->nloops);
    int64_t each = stage->kind == STAGE_CONTRACT ? 2 : 8 * (int64_t)stage->scalars.count;
    sum = plus(module, sum, times(module, all, each));
  }
  return sum;
}
