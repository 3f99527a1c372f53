/* Indices as CUDA C: sizes, the loops of a stage out of one number, where an element lies and whether it is there.
 *
 * An element's offset is a base and a stride for each loop, both folded by the compiler's own size arithmetic, so that
 * constants are literals; axes with a division or an index of their own are terms beside them. Only axes that the bounds do
 * not prove to be inside are tested, by one unsigned comparison for both ends. */
#include "codegen/cuda/print.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes ---- */

const char *dim_text(Print *print, const Dim *dim) {
  int64_t value;
  if (!dim) bug("a size leaves 64 bits");
  if (dim_is_constant(dim, &value)) return arena_format(print->arena, value < 0 ? "(%lld)" : "%lld", (long long)value);
  int k = 0;
  while (k < print->sizes.count && print->sizes.items[k] != dim) k++;
  if (k == print->sizes.count) PUSH(print->arena, &print->sizes, dim);
  return arena_format(print->arena, "size_%d", k);
}

const char *dims_product(Print *print, const char *a, const char *b) {
  if (strcmp(a, "1") == 0) return b;
  if (strcmp(b, "1") == 0) return a;
  return arena_format(print->arena, "%s * %s", a, b);
}

/* ---- loops ---- */

bool task_is_whole(const Loop *loop) {
  int64_t extent;
  return loop->tile == 1 || (dim_is_constant(loop->extent, &extent) && extent % loop->tile == 0);
}

const char *loop_span(Print *print, int loop) {
  const Loop *own = &print->stage->loops[loop];
  if (loop >= print->kernel->ntasks) return dim_text(print, own->extent);
  if (task_is_whole(own)) return arena_format(print->arena, "%d", own->tile);
  return arena_format(print->arena, "span_%d", loop);
}

const char *span_product(Print *print, const int *loops, int count) {
  const char *product = "1";
  int64_t constant = 1;
  for (int k = 0; k < count; k++) {
    const char *span = loop_span(print, loops[k]);
    int64_t value = isdigit((unsigned char)span[0]) ? strtoll(span, NULL, 10) : 0;
    if (value > 0 && multiply_checked(constant, value, &constant)) continue;
    product = dims_product(print, product, span);
  }
  return dims_product(print, product, arena_format(print->arena, "%lld", (long long)constant));
}

double most_points(const Print *print, const int *loops, int count) {
  double points = 1;
  for (int k = 0; k < count; k++) {
    const Loop *loop = &print->stage->loops[loops[k]];
    points *= (double)(loops[k] < print->kernel->ntasks ? MIN(loop->tile, loop->extent->high) : loop->extent->high);
  }
  return points;
}

int loops_in_order(int from, int to, int last, int *order) {
  int count = 0;
  for (int k = from; k < to; k++)
    if (k != last) order[count++] = k;
  if (last >= from && last < to) order[count++] = last;
  return count;
}

static void declare_loop(Print *print, int loop, const char *value) {
  bool task = loop < print->kernel->ntasks;
  if (task && strcmp(value, "0") == 0)
    print_line(print, "const %s %s = low_%d;", print->index, print->loops[loop], loop);
  else if (task)
    print_line(print, "const %s %s = low_%d + %s;", print->index, print->loops[loop], loop, value);
  else
    print_line(print, "const %s %s = %s;", print->index, print->loops[loop], value);
}

const char *quotient_text(Print *print, const char *value, const char *divisor) {
  return arena_format(print->arena, strchr(divisor, '*') ? "%s / (%s)" : "%s / %s", value, divisor);
}

void print_loops(Print *print, const char *value, const int *loops, int count) {
  const char *divisor = "1";
  int first = 0;
  while (first < count && strcmp(loop_span(print, loops[first]), "1") == 0) first++; /* the outermost that counts */
  for (int k = count - 1; k >= 0; k--) {
    const char *span = loop_span(print, loops[k]);
    if (strcmp(span, "1") == 0) {
      declare_loop(print, loops[k], "0");
      continue;
    }
    const char *text = value;
    if (strcmp(divisor, "1") != 0) text = quotient_text(print, value, divisor);
    if (k > first) text = arena_format(print->arena, "%s %% %s", text, span);
    declare_loop(print, loops[k], text);
    divisor = dims_product(print, divisor, span);
  }
}

/* ---- accesses ---- */

static const Buffer *buffer_of(const Print *print, const Access *access) {
  return &print->plan->buffers.items[access->buffer];
}

static bool is_tiled(const Print *print, const Access *access, int axis) {
  return access->buffer > 0 && buffer_of(print, access)->memory == MEMORY_LOCAL && axis < print->kernel->ntasks;
}

/* In a LOCAL, task axes count from the task's start. */
static const Dim *storage_size(const Print *print, const Access *access, int axis) {
  bool tiled = is_tiled(print, access, axis);
  return tiled ? dim_constant(print->module, print->kernel->tasks[axis].tile) : access->as.size[axis];
}

static void add_term(Print *print, const char **sum, const char *term) {
  *sum = *sum ? arena_format(print->arena, "%s + %s", *sum, term) : term;
}

/* factor * text, where factor is no 0 */
static const char *scaled(Print *print, const Dim *factor, const char *text) {
  return dim_is(factor, 1) ? text : arena_format(print->arena, "%s * %s", dim_text(print, factor), text);
}

static const char *numerator(Print *print, const Axis *axis) {
  const char *sum = NULL;
  for (int term = 0; term < axis->nterms; term++)
    add_term(print, &sum,
             scaled(print, dim_constant(print->module, axis->coefficient[term]), print->loops[axis->dim[term]]));
  if (!sum || !dim_is(axis->offset, 0)) add_term(print, &sum, dim_text(print, axis->offset));
  return sum;
}

const char *axis_index(Print *print, const Access *access, int k) {
  if (access->index[k] >= 0) return arena_format(print->arena, "s%d", access->index[k]);
  const Axis *axis = &access->map.axis[k];
  const char *sum = numerator(print, axis);
  return axis->divisor == 1 ? sum : arena_format(print->arena, "(%s) / %lld", sum, (long long)axis->divisor);
}

typedef struct Offset {
  const Dim *base, *stride[MAX_LOOPS], *low[MAX_LOOPS];
  const char *rest; /* terms that are not linear */
} Offset;

static const Dim *plus_product(Print *print, const Dim *sum, const Dim *a, const Dim *b) {
  const Dim *product = dim_multiply(print->module, a, b), *result = product ? dim_add(print->module, sum, product) : NULL;
  if (!result) bug("an offset leaves 64 bits");
  return result;
}

static Offset offset_of(Print *print, const Access *access, bool logical) {
  const Dim *zero = dim_constant(print->module, 0), *step = dim_constant(print->module, 1);
  Offset offset = {.base = zero};
  for (int loop = 0; loop < MAX_LOOPS; loop++) offset.stride[loop] = offset.low[loop] = zero;
  for (int k = access->map.naxes - 1; k >= 0; k--) {
    const Axis *axis = &access->map.axis[k];
    if (access->index[k] >= 0 || axis->divisor != 1) {
      const char *index = axis_index(print, access, k);
      if (!dim_is(step, 1)) index = arena_format(print->arena, "%s * (%s)", dim_text(print, step), index);
      add_term(print, &offset.rest, index);
    } else {
      offset.base = plus_product(print, offset.base, axis->offset, step);
      for (int term = 0; term < axis->nterms; term++) {
        const Dim **stride = &offset.stride[axis->dim[term]];
        *stride = plus_product(print, *stride, dim_constant(print->module, axis->coefficient[term]), step);
      }
      if (!logical && is_tiled(print, access, k))
        offset.low[k] = plus_product(print, offset.low[k], step, dim_constant(print->module, 1));
    }
    const Dim *size = logical ? access->as.size[k] : storage_size(print, access, k);
    step = dim_multiply(print->module, step, size);
    if (!step) bug("an array's size leaves 64 bits");
  }
  return offset;
}

static const char *offset_text(Print *print, const Offset *offset) {
  const char *sum = NULL;
  for (int loop = 0; loop < print->stage->nloops; loop++) {
    const char *index = print->loops[loop];
    if (dim_is(offset->stride[loop], 0)) continue;
    if (!dim_is(offset->low[loop], 0)) index = arena_format(print->arena, "(%s - low_%d)", index, loop);
    add_term(print, &sum, scaled(print, offset->stride[loop], index));
  }
  if (offset->rest) add_term(print, &sum, offset->rest);
  if (!sum || !dim_is(offset->base, 0)) add_term(print, &sum, dim_text(print, offset->base));
  return sum;
}

const char *access_text(Print *print, const Access *access) {
  const Buffer *buffer = buffer_of(print, access);
  const char *name = buffer_text(print, access->buffer);
  if (buffer->memory == MEMORY_ARG && buffer->type.rank == 0) return name;
  Offset offset = offset_of(print, access, false);
  return arena_format(print->arena, "%s[%s]", name, offset_text(print, &offset));
}

const char *access_number(Print *print, const Access *access) {
  Offset offset = offset_of(print, access, true);
  return arena_format(print->arena, "(unsigned long long)(%s)", offset_text(print, &offset));
}

const char *access_guard(Print *print, const Access *access) {
  const Stage *stage = print->stage;
  const char *guard = NULL;
  const char *is_unsigned = strcmp(print->index, "int") == 0 ? "unsigned" : "unsigned long long";
  Space space = {.ndims = stage->nloops, .nresult = stage->nkept};
  for (int loop = 0; loop < stage->nloops; loop++) space.extent[loop] = stage->loops[loop].extent;
  for (int k = 0; k < access->map.naxes; k++) {
    const Axis *axis = &access->map.axis[k];
    bool indexed = access->index[k] >= 0;
    if (!indexed && axis_always_inside(print->module, &space, axis, access->as.size[k])) continue;
    const char *test = arena_format(print->arena, "(%s)(%s) < (%s)%s", is_unsigned, axis_index(print, access, k),
                                    is_unsigned, dim_text(print, access->as.size[k]));
    if (!indexed && axis->divisor != 1)
      test = arena_format(print->arena, "(%s) %% %lld == 0 && %s", numerator(print, axis), (long long)axis->divisor, test);
    guard = guard ? arena_format(print->arena, "%s && %s", guard, test) : test;
  }
  return guard;
}

/* ---- 16 bytes at a time ---- */

static bool span_is_wide(const Print *print, int loop) {
  const Loop *own = &print->stage->loops[loop];
  int64_t extent;
  if (!dim_is_constant(own->extent, &extent) || extent % WIDE != 0) return false;
  return loop >= print->kernel->ntasks || own->tile % WIDE == 0 || own->tile >= extent;
}

static bool dim_is_multiple(const Print *print, const Dim *dim, int64_t by) {
  const Dim *rest = dim_mod(print->module, dim, dim_constant(print->module, by));
  return rest && dim_is(rest, 0);
}

bool lies_wide(const Print *print, const Access *access, int dense) {
  const Dim *base, *strides[MAX_LOOPS];
  if (!access_strides(print->plan, print->stage, access, &base, strides)) return false;
  if (!dim_is(strides[dense], 1) || !span_is_wide(print, dense) || !dim_is_multiple(print, base, WIDE)) return false;
  for (int loop = 0; loop < print->stage->nloops; loop++)
    if (loop != dense && !dim_is_multiple(print, strides[loop], WIDE)) return false;
  return true;
}

/* ---- the type of indices ---- */

enum { INT_LIMIT = INT32_MAX / 2 }; /* room for a grid's stride behind the last index */

static bool dim_fits(const Dim *dim) { return dim && dim->high <= INT_LIMIT && dim->low >= -INT_LIMIT; }

static bool axis_fits(const Stage *stage, const Axis *axis) {
  double most = MAX((double)MAX(axis->offset->high, 0), -(double)MIN(axis->offset->low, 0));
  for (int term = 0; term < axis->nterms; term++) {
    double reach = (double)axis->coefficient[term] * (double)stage->loops[axis->dim[term]].extent->high;
    most += reach < 0 ? -reach : reach;
  }
  return most <= INT_LIMIT;
}

static bool access_fits(const Plan *plan, const Stage *stage, const Access *access) {
  if (access->buffer > 0 && !dim_fits(type_count(plan->module, &plan->buffers.items[access->buffer].type))) return false;
  if (access->as.rank > 0 && !dim_fits(type_count(plan->module, &access->as))) return false;
  for (int k = 0; k < access->map.naxes; k++)
    if (access->index[k] < 0 && !axis_fits(stage, &access->map.axis[k])) return false;
  return true;
}

static bool points_fit(const Plan *plan, const Stage *stage, int from, int to) {
  const Dim *points = dim_constant(plan->module, 1);
  for (int k = from; k < to && points; k++) points = dim_multiply(plan->module, points, stage->loops[k].extent);
  return dim_fits(points);
}

/* Kept loops are counted through as one, and so are folded ones. */
static bool stage_fits(const Plan *plan, const Stage *stage) {
  bool fits = points_fit(plan, stage, 0, stage->nkept) && points_fit(plan, stage, stage->nkept, stage->nloops);
  for (int k = 0; fits && k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->access) fits = access_fits(plan, stage, scalar->access);
  }
  for (int k = 0; fits && k < stage->stores.count; k++) fits = access_fits(plan, stage, &stage->stores.items[k].access);
  return fits;
}

bool indices_fit_int(const Plan *plan, const Kernel *kernel) {
  for (int k = 0; k < kernel->stages.count; k++)
    if (!stage_fits(plan, &kernel->stages.items[k])) return false;
  return true;
}
