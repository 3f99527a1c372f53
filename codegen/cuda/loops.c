/* Stages of all kinds but contractions, as loops that a block's threads run together.
 *
 * A block counts the task's points through, neighbouring threads at neighbouring points of the stage's `vector` loop; where
 * there are enough, each takes four neighbours, whose elements come and go 16 bytes at a time. A fold
 * whose lanes run along a folded loop is done by a warp, or by the whole block where that is long and a task has few of them:
 * each thread folds every 32nd (256th) point, in order, then all merge by a fixed tree of shuffles. Along a kept loop each
 * thread folds a point of its own, or, where a task has few and long ones, each warp folds every 8th point of 32 neighbours,
 * and the warps' shares merge in order. The bits follow from shapes and bounds alone.
 *
 * Scatter and running sums keep their order: one thread walks through a line. Sorting is by rank: each element counts those
 * that sort before it, which needs no memory and no barrier. */
#include "codegen/cuda/print.h"

#include <string.h>

enum { WARP = 32, WARPS = CUDA_THREADS / WARP, MAX_SCALARS = 512 };

/* Opens a loop of all threads over the points of these loops, and declares them. `unrolls` where it is the innermost one. */
static void open_points(Print *print, const int *loops, int count, bool unrolls) {
  const char *points = span_product(print, loops, count);
  double turns = most_points(print, loops, count) / CUDA_THREADS;
  print_some(print, unrolls ? turns : 1, count_loads(print->stage, 0, print->stage->scalars.count));
  print_open(print, "for (%s point = threadIdx.x; point < %s; point += %d)", print->index, points, CUDA_THREADS);
  print_loops(print, "point", loops, count);
}

/* ---- each ---- */

/* A stage of whose accesses some are done 16 bytes at a time: a thread takes WIDE neighbours along `dense`. */
typedef struct Wide {
  Print *print;
  int dense;
  const char *first, *own; /* that loop's names: of the first neighbour, of the one at hand */
  bool load[MAX_SCALARS];
} Wide;

static bool access_is_wide(const Wide *wide, const Access *access) {
  const Buffer *buffer = &wide->print->plan->buffers.items[access->buffer];
  return buffer->type.dtype == F32 && buffer->type.rank > 0 && lies_wide(wide->print, access, wide->dense);
}

/* All stores are, or neighbouring threads would write far apart. */
static bool find_wide(Wide *wide) {
  const Stage *stage = wide->print->stage;
  if (wide->dense < 0 || stage->scalars.count > MAX_SCALARS) return false;
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    bool loads = scalar->op == SCALAR_LOAD && access_always_inside(wide->print->plan, stage, scalar->access);
    wide->load[k] = loads && access_is_wide(wide, scalar->access);
  }
  for (int k = 0; k < stage->stores.count; k++) {
    if (!access_is_wide(wide, &stage->stores.items[k].access)) return false;
  }
  return true;
}

/* Loads before the first neighbour is computed, stores behind the last: an element is overwritten by its own point alone. */
static void print_wide_loads(const Wide *wide) {
  const Stage *stage = wide->print->stage;
  for (int k = 0; k < stage->scalars.count; k++) {
    if (!wide->load[k]) continue;
    print_line(wide->print, "float four_%d[%d];", k, WIDE);
    print_line(wide->print, "fetch_16(four_%d, &%s);", k, access_text(wide->print, stage->scalars.items[k].access));
  }
  for (int k = 0; k < stage->stores.count; k++) print_line(wide->print, "float put_%d[%d];", k, WIDE);
}

static void print_neighbour(const Wide *wide) {
  Print *print = wide->print;
  const Stage *stage = print->stage;
  for (int k = 0; k < stage->scalars.count; k++) {
    if (wide->load[k])
      print_scalar(print, k, arena_format(print->arena, "four_%d[lane]", k));
    else
      print_scalars(print, k, k + 1);
  }
  for (int k = 0; k < stage->stores.count; k++) print_line(print, "put_%d[lane] = s%d;", k, stage->stores.items[k].value);
}

static void print_wide_each(Wide *wide, const int *order, int count) {
  Print *print = wide->print;
  const Stage *stage = print->stage;
  print_some(print, most_points(print, order, count) / (WIDE * CUDA_THREADS), count_loads(stage, 0, stage->scalars.count));
  print_open(print, "for (%s point = %d * threadIdx.x; point < %s; point += %d)", print->index, WIDE,
             span_product(print, order, count), WIDE * CUDA_THREADS);
  print->loops[wide->dense] = wide->first;
  print_loops(print, "point", order, count);
  print_wide_loads(wide);
  print_line(print, "#pragma unroll");
  print_open(print, "for (int lane = 0; lane < %d; lane++)", WIDE);
  print_line(print, "const %s %s = %s + lane;", print->index, wide->own, wide->first);
  print->loops[wide->dense] = wide->own;
  print_neighbour(wide);
  print_close(print);
  print->loops[wide->dense] = wide->first;
  for (int k = 0; k < stage->stores.count; k++) {
    const Store *store = &stage->stores.items[k];
    print_line(print, "%sput_16(&%s, put_%d);", store_open(print, store), access_text(print, &store->access), k);
  }
  print->loops[wide->dense] = wide->own;
  print_close(print);
}

void print_each(Print *print) {
  const Stage *stage = print->stage;
  int order[MAX_LOOPS], count = loops_in_order(0, stage->nkept, stage->vector, order);
  Wide wide = {.print = print, .dense = stage->vector};
  if (most_points(print, order, count) >= WIDE * CUDA_THREADS && find_wide(&wide)) {
    wide.own = print->loops[wide.dense];
    wide.first = arena_format(print->arena, "first_%d", wide.dense);
    print_wide_each(&wide, order, count);
    return;
  }
  open_points(print, order, count, true);
  print_scalars(print, 0, stage->scalars.count);
  print_stores(print);
  print_close(print);
}

/* ---- folds ---- */

/* The class of prelude.cu that says how a folder begins and merges. */
static const char *folder_class(Print *print, const Folder *folder) {
  static const char *const names[] = {[FOLDER_SUM] = "Sum",
                                      [FOLDER_MAX] = "Max",
                                      [FOLDER_MIN] = "Min",
                                      [FOLDER_ARGMAX] = "ArgMax",
                                      [FOLDER_ARGMIN] = "ArgMin"};
  return arena_format(print->arena, "%s<%s>", names[folder->op], type_text_of(folder->dtype));
}

static bool finds_index(const Folder *folder) { return folder->op == FOLDER_ARGMAX || folder->op == FOLDER_ARGMIN; }

static void print_fold_points(Print *print, const char *start, int step, const int *folds, int nfolds) {
  const Stage *stage = print->stage;
  for (int k = 0; k < stage->folders.count; k++) {
    const char *class = folder_class(print, &stage->folders.items[k]);
    print_line(print, "%s::Value found_%d = %s::none();", class, k, class);
  }
  print_some(print, most_points(print, folds, nfolds) / step, count_loads(stage, 0, stage->after));
  print_open(print, "for (%s fold = %s; fold < %s; fold += %d)", print->index, start, span_product(print, folds, nfolds),
             step);
  print_loops(print, "fold", folds, nfolds);
  print_scalars(print, 0, stage->after);
  for (int k = 0; k < stage->folders.count; k++) {
    const Folder *folder = &stage->folders.items[k];
    const char *class = folder_class(print, folder);
    const char *when = folder->when < 0 ? "" : arena_format(print->arena, "if (s%d) ", folder->when);
    const char *point = finds_index(folder) ? arena_format(print->arena, "%s::at(s%d, (int)fold)", class, folder->value)
                                            : arena_format(print->arena, "s%d", folder->value);
    print_line(print, "%sfound_%d = %s::merge(found_%d, %s);", when, k, class, k, point);
  }
  print_close(print);
}

/* `merge`: a function of prelude.cu, or "" where one thread has it all. */
static void print_folded(Print *print, const char *merge, const char *more) {
  for (int k = 0; k < print->stage->folders.count; k++) {
    const Folder *folder = &print->stage->folders.items[k];
    const char *class = folder_class(print, folder), *value = arena_format(print->arena, "found_%d", k);
    if (*merge) value = arena_format(print->arena, "%s<%s>(%s%s)", merge, class, value, more);
    Dtype dtype = finds_index(folder) ? I32 : folder->dtype;
    print_line(print, "const %s folded_%d = %s::result(%s);", type_text_of(dtype), k, class, value);
  }
}

static void print_fold_end(Print *print, const char *condition) {
  const Stage *stage = print->stage;
  if (*condition) print_open(print, "if (%s)", condition);
  print_scalars(print, stage->after, stage->scalars.count);
  print_stores(print);
  if (*condition) print_close(print);
}

typedef struct Folding {
  int kept[MAX_LOOPS], folds[MAX_LOOPS], nkept, nfolds;
  double points, each; /* of a task, to a point; at the bounds */
} Folding;

static Folding folding_of(const Print *print) {
  const Stage *stage = print->stage;
  Folding own = {0};
  own.nkept = loops_in_order(0, stage->nkept, stage->vector, own.kept);
  own.nfolds = loops_in_order(stage->nkept, stage->nloops, -1, own.folds); /* arguments of folds count in this order */
  own.points = most_points(print, own.kept, own.nkept);
  own.each = most_points(print, own.folds, own.nfolds);
  return own;
}

static void print_fold_by_thread(Print *print, const Folding *own) {
  open_points(print, own->kept, own->nkept, false);
  print_fold_points(print, "0", 1, own->folds, own->nfolds);
  print_folded(print, "", "");
  print_fold_end(print, "");
  print_close(print);
}

/* A warp for neighbouring points, each warp with its share of the fold; the shares meet in shared memory. */
static void print_fold_by_column(Print *print, const Folding *own) {
  const char *points = span_product(print, own->kept, own->nkept);
  int64_t at = stage_shared(print, CUDA_THREADS * 8);
  print_open(print, "for (%s first_point = 0; first_point < %s; first_point += %d)", print->index, points, WARP);
  print_line(print, "const %s point = first_point + threadIdx.x %% %d;", print->index, WARP);
  print_line(print, "const bool inside = point < %s;", points);
  print_loops(print, arena_format(print->arena, "(inside ? point : 0)"), own->kept, own->nkept);
  print_fold_points(print, arena_format(print->arena, "threadIdx.x / %d", WARP), WARPS, own->folds, own->nfolds);
  print_folded(print, "column_fold", arena_format(print->arena, ", shared + %lld", (long long)at));
  print_fold_end(print, arena_format(print->arena, "inside && threadIdx.x < %d", WARP));
  print_close(print);
}

static void print_fold_by_warp(Print *print, const Folding *own) {
  const char *points = span_product(print, own->kept, own->nkept);
  print_open(print, "for (%s point = threadIdx.x / %d; point < %s; point += %d)", print->index, WARP, points, WARPS);
  print_loops(print, "point", own->kept, own->nkept);
  print_fold_points(print, arena_format(print->arena, "threadIdx.x %% %d", WARP), WARP, own->folds, own->nfolds);
  print_folded(print, "warp_fold", "");
  print_fold_end(print, arena_format(print->arena, "threadIdx.x %% %d == 0", WARP));
  print_close(print);
}

static void print_fold_by_block(Print *print, const Folding *own) {
  int64_t at = stage_shared(print, WARPS * 8);
  print_open(print, "for (%s point = 0; point < %s; point++)", print->index, span_product(print, own->kept, own->nkept));
  print_loops(print, "point", own->kept, own->nkept);
  print_fold_points(print, "threadIdx.x", CUDA_THREADS, own->folds, own->nfolds);
  print_folded(print, "block_fold", arena_format(print->arena, ", shared + %lld", (long long)at));
  print_fold_end(print, "threadIdx.x == 0");
  print_close(print);
}

void print_fold(Print *print) {
  Folding own = folding_of(print);
  bool along = print->stage->vector >= print->stage->nkept;
  if (along && own.points < WARPS && own.each >= 2 * CUDA_THREADS)
    print_fold_by_block(print, &own);
  else if (along)
    print_fold_by_warp(print, &own);
  else if (own.points < CUDA_THREADS && own.each >= 4 * WARPS)
    print_fold_by_column(print, &own);
  else
    print_fold_by_thread(print, &own);
}

/* ---- what keeps its order ---- */

void print_scatter(Print *print) {
  const Stage *stage = print->stage;
  int kept[MAX_LOOPS], folds[MAX_LOOPS];
  int nkept = loops_in_order(0, stage->nkept, stage->vector, kept);
  int nfolds = loops_in_order(stage->nkept, stage->nloops, -1, folds);
  open_points(print, kept, nkept, false);
  print_some(print, most_points(print, folds, nfolds), count_loads(stage, 0, stage->scalars.count));
  print_open(print, "for (%s fold = 0; fold < %s; fold++)", print->index, span_product(print, folds, nfolds));
  print_loops(print, "fold", folds, nfolds);
  print_scalars(print, 0, stage->scalars.count);
  for (int k = 0; k < stage->stores.count; k++) {
    const Store *store = &stage->stores.items[k];
    const char *guard = access_guard(print, &store->access), *element = access_text(print, &store->access);
    bool whole = print->plan->buffers.items[store->access.buffer].type.dtype == I32;
    print_line(print, "%s%s%s%s%s = %s(%s, s%d);", store_open(print, store), guard ? "if (" : "", guard ? guard : "",
               guard ? ") " : "", element, whole ? "wrapping_add" : "plain_add", element, store->value);
  }
  print_close(print);
  print_close(print);
}

static void open_lines(Print *print) {
  int order[MAX_LOOPS], line = print->stage->nkept - 1;
  int vector = print->stage->vector < line ? print->stage->vector : -1;
  open_points(print, order, loops_in_order(0, line, vector, order), false);
}

void print_cumsum(Print *print) {
  const Stage *stage = print->stage;
  int line = stage->nkept - 1, value = stage->stores.items[0].value;
  Dtype dtype = stage->scalars.items[value].dtype;
  const Store *store = &stage->stores.items[0];
  open_lines(print);
  print_line(print, "%s sum = 0;", type_text_of(dtype));
  print_some(print, most_points(print, &line, 1), count_loads(stage, 0, stage->scalars.count));
  print_open(print, "for (%s %s = 0; %s < %s; %s++)", print->index, print->loops[line], print->loops[line],
             loop_span(print, line), print->loops[line]);
  print_scalars(print, 0, stage->scalars.count);
  print_line(print, "sum = %s(sum, s%d);", dtype == I32 ? "wrapping_add" : "plain_add", value);
  print_line(print, "%s%s = sum;", store_open(print, store), access_text(print, &store->access));
  print_close(print);
  print_close(print);
}

void print_sort(Print *print) {
  const Stage *stage = print->stage;
  int line = stage->nkept - 1, order[MAX_LOOPS], count = loops_in_order(0, stage->nkept, line, order);
  const Store *store = &stage->stores.items[0];
  const char *name = print->loops[line], *type = type_text_of(stage->scalars.items[store->value].dtype);
  open_points(print, order, count, false);
  print_scalars(print, 0, stage->scalars.count);
  print_line(print, "const %s key = s%d;", type, store->value);
  print_line(print, "const %s own = %s;", print->index, name);
  print_line(print, "%s rank = 0;", print->index);
  print_some(print, most_points(print, &line, 1), count_loads(stage, 0, stage->scalars.count));
  print_open(print, "for (%s other = 0; other < %s; other++)", print->index, loop_span(print, line));
  print_line(print, "const %s %s = other;", print->index, name);
  print_scalars(print, 0, stage->scalars.count);
  print_line(print, "rank += other < own ? !sorts_before(key, s%d) : sorts_before(s%d, key);", store->value, store->value);
  print_close(print);
  print_block(print);
  print_line(print, "const %s %s = rank;", print->index, name);
  print_line(print, "%s%s = (int)own;", store_open(print, store), access_text(print, &store->access));
  print_close(print);
  print_close(print);
}
