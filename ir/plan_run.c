/* The reference executor: runs a plan point by point, from the definition in plan.h alone. It knows nothing of tiles of
 * registers or vectors: a CONTRACT is a FOLD to it, elements are computed by ir/scalar.h's kernels, one at a time.
 *
 * It is made to find faults of plans. Scratch memory is NaN until it is written: an arena buffer at the launch where its
 * life begins, locals at the start of each task. Tasks of a launch, of all its kernels together, run in a shuffled order,
 * so that what depends on another task differs between runs of different plans. A store outside its buffer, or a local
 * read outside its tile, ends the run with EXIT_BUG.
 *
 * f32 sums are kept in double and rounded once: as near to the true sum as any order of folding can come. */
#include "ir/plan.h"
#include "ir/interpret.h"
#include "ir/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef union Cell {
  float single;
  int32_t whole;
  uint8_t truth;
} Cell;

/* An access at the sizes of this run. */
typedef struct Reach {
  const Access *access;
  const Buffer *buffer; /* NULL: no memory is touched */
  char *data;           /* NULL: a result that the caller does not want */
  Kind kind;
  int ntasks; /* LOCAL: how many axes count from the task's start */
  int64_t offset[MAX_RANK], size[MAX_RANK], stride[MAX_RANK], tile[MAX_RANK];
} Reach;

typedef struct Step {
  const Scalar *scalar;
  Reach reach;
  UnaryKernel *unary;
  BinaryKernel *binary;
  Cell fixed; /* NUMBER, SIZE; LOAD: what an absent element reads as; KEY: the stream */
} Step;

typedef struct Work { /* a stage made ready */
  const Stage *stage;
  Step *steps;
  Reach *stores;
  Cell *values;
  int64_t extent[MAX_LOOPS];
  int64_t low[MAX_LOOPS], high[MAX_LOOPS], point[MAX_LOOPS]; /* of the running task */
} Work;

typedef struct Sum { /* a folder at work */
  double sum;
  Cell best;
  int64_t at;
  bool any;
} Sum;

typedef struct Executor {
  const Plan *plan;
  struct Run *run;
  Arena *arena; /* given back at the end */
  int64_t *dims;
  char **data;    /* by buffer */
  int64_t *bytes; /* by buffer, as its elements need */
  Array *results;
  Failure *failure;
  bool failed;
  uint64_t random;
  const char *kernel; /* at work, for messages */
} Executor;

/* A quiet NaN as f32, -1 and so no index as i32, neither 0 nor 1 as bool. */
static void poison(void *data, int64_t bytes) { memset(data, 0xFF, (size_t)bytes); }

static void fault(Executor *executor, const char *what, Id buffer) {
  if (!executor->failed) {
    fail(executor->failure, EXIT_BUG, "plan %s: kernel %s: %s %%%d", executor->plan->graph->name, executor->kernel, what,
         buffer);
  }
  executor->failed = true;
}

static uint64_t next_random(Executor *executor) {
  uint64_t x = executor->random;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return executor->random = x;
}

/* How many indices of task loop k a task has: all of them before the schedule has cut it. */
static int64_t task_tile(const Executor *executor, const Kernel *kernel, int k) {
  const Loop *loop = &kernel->tasks[k];
  return loop->tile > 0 ? loop->tile : MAX(dim_value(loop->extent, executor->dims), 1);
}

static int64_t task_count(const Executor *executor, const Kernel *kernel) {
  int64_t count = 1;
  for (int k = 0; k < kernel->ntasks; k++) {
    int64_t extent = dim_value(kernel->tasks[k].extent, executor->dims), tile = task_tile(executor, kernel, k);
    if (!multiply_checked(count, (extent + tile - 1) / tile, &count)) bug("%s has too many tasks", kernel->name);
  }
  return count;
}

/* ---- accesses ---- */

static Reach reach_of(Executor *executor, const Access *access) {
  Reach reach = {.access = access};
  if (access->buffer > 0) {
    reach.buffer = &executor->plan->buffers.items[access->buffer];
    reach.data = executor->data[access->buffer];
    reach.kind = kind_of(reach.buffer->type.dtype, false);
    if (reach.buffer->memory == MEMORY_LOCAL) reach.ntasks = executor->plan->kernels.items[reach.buffer->index].ntasks;
  }
  int64_t stride = 1;
  for (int k = access->map.naxes - 1; k >= 0; k--) {
    reach.offset[k] = access->index[k] < 0 ? dim_value(access->map.axis[k].offset, executor->dims) : 0;
    reach.stride[k] = stride;
    if (k >= access->as.rank) continue; /* an INDEX has no sizes */
    reach.size[k] = dim_value(access->as.size[k], executor->dims);
    if (k < reach.ntasks) reach.tile[k] = task_tile(executor, &executor->plan->kernels.items[reach.buffer->index], k);
    stride *= k < reach.ntasks ? reach.tile[k] : reach.size[k];
  }
  return reach;
}

static bool axis_index(const Reach *reach, const Work *work, int k, int64_t *index) {
  const Access *access = reach->access;
  if (access->index[k] >= 0) {
    *index = work->values[access->index[k]].whole;
    return true;
  }
  const Axis *axis = &access->map.axis[k];
  int64_t sum = reach->offset[k];
  for (int term = 0; term < axis->nterms; term++) sum += axis->coefficient[term] * work->point[axis->dim[term]];
  *index = floor_divide(sum, axis->divisor);
  return *index * axis->divisor == sum;
}

/* The row-major element at the work's point; false if it is absent. */
static bool reach_element(Executor *executor, const Reach *reach, const Work *work, int64_t *element) {
  *element = 0;
  for (int k = 0; k < reach->access->map.naxes; k++) {
    int64_t index;
    if (!axis_index(reach, work, k, &index) || index < 0 || index >= reach->size[k]) return false;
    if (k < reach->ntasks) {
      index -= work->low[k];
      if (index < 0 || index >= reach->tile[k]) {
        fault(executor, "the task's tile is left in local", reach->access->buffer);
        return false;
      }
    }
    *element += index * reach->stride[k];
  }
  return true;
}

static void store(Executor *executor, const Reach *reach, const Work *work, const Cell *value) {
  int64_t element;
  if (!reach->data) return;
  if (!reach_element(executor, reach, work, &element)) {
    fault(executor, "a store is outside of", reach->access->buffer);
    return;
  }
  memcpy(reach->data + element * kind_bytes[reach->kind], value, (size_t)kind_bytes[reach->kind]);
}

/* ---- scalars ---- */

static Step step_of(Executor *executor, const Stage *stage, const Scalar *scalar) {
  Step step = {.scalar = scalar};
  Kind kind = kind_of(scalar->dtype, false);
  if (scalar->access) step.reach = reach_of(executor, scalar->access);
  if (scalar->op == SCALAR_LOAD || scalar->op == SCALAR_NUMBER) kind_set(kind, &step.fixed, 0, scalar->number);
  if (scalar->op == SCALAR_SIZE) step.fixed.whole = (int32_t)dim_value(scalar->dim, executor->dims);
  if (scalar->op == SCALAR_KEY && scalar->a < 0) step.fixed.whole = (int32_t)(uint32_t)(int64_t)scalar->number;
  if (scalar->op >= OP_COUNT || scalar->op == OP_where) return step;
  Kind from = kind_of(stage->scalars.items[scalar->a].dtype, false);
  if (scalar->op == OP_cast)
    step.unary = scalar_cast(from, kind);
  else if (scalar->b < 0)
    step.unary = scalar_unary((Op)scalar->op, from);
  else
    step.binary = scalar_binary((Op)scalar->op, from);
  if (!step.unary && !step.binary) bug("%s has no scalar of %s", op_info[scalar->op].name, dtype_name(scalar->dtype));
  return step;
}

static Cell load(Executor *executor, const Step *step, const Work *work) {
  int64_t element;
  Cell cell = step->fixed;
  if (!reach_element(executor, &step->reach, work, &element)) return cell;
  if (!step->reach.data) {
    fault(executor, "a load of an unwanted result", step->reach.access->buffer);
    return cell;
  }
  memcpy(&cell, step->reach.data + element * kind_bytes[step->reach.kind], (size_t)kind_bytes[step->reach.kind]);
  return cell;
}

static void compute(Executor *executor, const Step *step, const Work *work, Cell *result) {
  const Scalar *scalar = step->scalar;
  Cell *values = work->values;
  int64_t element = 0;
  switch (scalar->op) {
  case SCALAR_LOAD: *result = load(executor, step, work); break;
  case SCALAR_NUMBER:
  case SCALAR_SIZE: *result = step->fixed; break;
  case SCALAR_FOLDED: break; /* set by the fold */
  case SCALAR_INDEX:
    result->whole = axis_index(&step->reach, work, 0, &element) ? (int32_t)element : -1; /* poison, behind an INSIDE */
    break;
  case SCALAR_INSIDE: result->truth = reach_element(executor, &step->reach, work, &element); break;
  case SCALAR_KEY: {
    uint32_t key = (uint32_t)(scalar->a < 0 ? step->fixed.whole : values[scalar->a].whole);
    if (scalar->b >= 0) key = random_key(key, (uint32_t)values[scalar->b].whole);
    result->whole = (int32_t)key;
    break;
  }
  case SCALAR_RANDOM:
    result->single = reach_element(executor, &step->reach, work, &element)
                         ? random_uniform((uint32_t)values[scalar->a].whole, (uint64_t)element)
                         : NAN; /* poison, behind an INSIDE */
    break;
  case OP_where: *result = values[scalar->a].truth ? values[scalar->b] : values[scalar->c]; break;
  default:
    if (step->unary)
      step->unary(&values[scalar->a], 1, result, 1);
    else
      step->binary(&values[scalar->a], 1, &values[scalar->b], 1, result, 1);
  }
}

static void compute_range(Executor *executor, Work *work, int from, int to) {
  for (int k = from; k < to; k++) compute(executor, &work->steps[k], work, &work->values[k]);
}

/* ---- points ---- */

/* To the first point of loops from..to-1; false if there is none. */
static bool first_point(Work *work, int from, int to) {
  bool some = true;
  for (int k = from; k < to; k++) {
    work->point[k] = work->low[k];
    some = some && work->low[k] < work->high[k];
  }
  return some;
}

static bool next_point(Work *work, int from, int to) {
  for (int k = to - 1; k >= from; k--) {
    if (++work->point[k] < work->high[k]) return true;
    work->point[k] = work->low[k];
  }
  return false;
}

/* ---- folds ---- */

static bool is_nan(Kind kind, const Cell *cell) { return kind == KIND_F32 && cell->single != cell->single; }

/* A NaN beats all; at ties the first stays. */
static bool beats(Kind kind, bool largest, const Cell *value, const Cell *best) {
  if (is_nan(kind, best)) return false;
  if (is_nan(kind, value)) return true;
  double a = kind_get(kind, value, 0), b = kind_get(kind, best, 0);
  return largest ? a > b : a < b;
}

static void fold_point(const Folder *folder, Sum *sum, const Cell *values, int64_t at) {
  const Cell *value = &values[folder->value];
  Kind kind = kind_of(folder->dtype, false);
  if (folder->when >= 0 && !values[folder->when].truth) return;
  if (folder->op == FOLDER_SUM) {
    if (kind == KIND_F32)
      sum->sum += (double)value->single;
    else
      sum->best.whole = (int32_t)((uint32_t)sum->best.whole + (uint32_t)value->whole);
    return;
  }
  bool largest = folder->op == FOLDER_MAX || folder->op == FOLDER_ARGMAX;
  if (!sum->any || beats(kind, largest, value, &sum->best)) sum->best = *value, sum->at = at;
  sum->any = true;
}

static Cell fold_result(const Folder *folder, const Sum *sum) {
  Kind kind = kind_of(folder->dtype, false);
  Cell cell = sum->best;
  switch (folder->op) {
  case FOLDER_SUM:
    if (kind == KIND_F32) cell.single = (float)sum->sum;
    break;
  case FOLDER_MAX:
    if (!sum->any) kind_set(kind, &cell, 0, kind == KIND_BOOL ? 0 : -INFINITY);
    break;
  case FOLDER_MIN:
    if (!sum->any) kind_set(kind, &cell, 0, INFINITY);
    break;
  case FOLDER_ARGMAX:
  case FOLDER_ARGMIN: cell.whole = (int32_t)sum->at; break;
  }
  return cell;
}

static void run_fold(Executor *executor, Work *work) {
  const Stage *stage = work->stage;
  Arena *arena = arena_new();
  Sum *sums = NEW_ARRAY(arena, Sum, stage->folders.count);
  int count = stage->folders.count;
  for (bool more = first_point(work, 0, stage->nkept); more; more = next_point(work, 0, stage->nkept)) {
    memset(sums, 0, (size_t)count * sizeof *sums);
    int64_t at = 0;
    for (bool inner = first_point(work, stage->nkept, stage->nloops); inner; at++) {
      compute_range(executor, work, 0, stage->after);
      for (int k = 0; k < count; k++) fold_point(&stage->folders.items[k], &sums[k], work->values, at);
      inner = next_point(work, stage->nkept, stage->nloops);
    }
    for (int k = stage->after; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op != SCALAR_FOLDED) continue;
      work->values[k] = fold_result(&stage->folders.items[scalar->index], &sums[scalar->index]);
    }
    compute_range(executor, work, stage->after, stage->scalars.count);
    for (int k = 0; k < stage->stores.count; k++) {
      store(executor, &work->stores[k], work, &work->values[stage->stores.items[k].value]);
    }
  }
  arena_free(arena);
}

/* ---- the other kinds ---- */

static void run_each(Executor *executor, Work *work) {
  const Stage *stage = work->stage;
  for (bool more = first_point(work, 0, stage->nkept); more; more = next_point(work, 0, stage->nkept)) {
    compute_range(executor, work, 0, stage->scalars.count);
    for (int k = 0; k < stage->stores.count; k++) {
      store(executor, &work->stores[k], work, &work->values[stage->stores.items[k].value]);
    }
  }
}

static void scatter_add(Executor *executor, const Reach *reach, const Work *work, const Cell *value) {
  int64_t element;
  if (!reach->data || !reach_element(executor, reach, work, &element)) return;
  BinaryKernel *add = scalar_binary(OP_add, reach->kind);
  Cell old, sum;
  char *at = reach->data + element * kind_bytes[reach->kind];
  memcpy(&old, at, (size_t)kind_bytes[reach->kind]);
  add(&old, 1, value, 1, &sum, 1);
  memcpy(at, &sum, (size_t)kind_bytes[reach->kind]);
}

static void run_scatter(Executor *executor, Work *work) {
  const Stage *stage = work->stage;
  for (bool more = first_point(work, 0, stage->nloops); more; more = next_point(work, 0, stage->nloops)) {
    compute_range(executor, work, 0, stage->scalars.count);
    for (int k = 0; k < stage->stores.count; k++) {
      scatter_add(executor, &work->stores[k], work, &work->values[stage->stores.items[k].value]);
    }
  }
}

typedef struct Key {
  double key;
  int64_t index;
} Key;

static int compare_keys(const void *left, const void *right) {
  const Key *a = left, *b = right;
  bool a_nan = a->key != a->key, b_nan = b->key != b->key;
  if (a_nan != b_nan) return a_nan ? 1 : -1;
  if (!a_nan && a->key != b->key) return a->key < b->key ? -1 : 1;
  return a->index < b->index ? -1 : 1;
}

static void run_sort(Executor *executor, Work *work) {
  const Stage *stage = work->stage;
  int line = stage->nkept - 1, value = stage->stores.items[0].value;
  Kind kind = kind_of(stage->scalars.items[value].dtype, false);
  int64_t length = work->high[line];
  Arena *arena = arena_new();
  Key *keys = NEW_ARRAY(arena, Key, length);
  for (bool more = first_point(work, 0, stage->nkept); more; more = next_point(work, 0, line)) {
    for (work->point[line] = 0; work->point[line] < length; work->point[line]++) {
      compute_range(executor, work, 0, stage->scalars.count);
      keys[work->point[line]] = (Key){kind_get(kind, &work->values[value], 0), work->point[line]};
    }
    qsort(keys, (size_t)length, sizeof *keys, compare_keys);
    for (work->point[line] = 0; work->point[line] < length; work->point[line]++) {
      Cell index = {.whole = (int32_t)keys[work->point[line]].index};
      store(executor, &work->stores[0], work, &index);
    }
  }
  arena_free(arena);
}

static void run_cumsum(Executor *executor, Work *work) {
  const Stage *stage = work->stage;
  int line = stage->nkept - 1;
  Folder folder = {.op = FOLDER_SUM, .value = stage->stores.items[0].value, .when = -1};
  folder.dtype = stage->scalars.items[folder.value].dtype;
  for (bool more = first_point(work, 0, stage->nkept); more; more = next_point(work, 0, line)) {
    Sum sum = {0};
    for (work->point[line] = 0; work->point[line] < work->high[line]; work->point[line]++) {
      compute_range(executor, work, 0, stage->scalars.count);
      fold_point(&folder, &sum, work->values, 0);
      Cell cell = fold_result(&folder, &sum);
      store(executor, &work->stores[0], work, &cell);
    }
  }
}

static void run_stage(Executor *executor, Work *work) {
  static void (*const kinds[])(Executor *, Work *) = {
      [STAGE_EACH] = run_each,       [STAGE_FOLD] = run_fold, [STAGE_CONTRACT] = run_fold,
      [STAGE_SCATTER] = run_scatter, [STAGE_SORT] = run_sort, [STAGE_CUMSUM] = run_cumsum,
  };
  kinds[work->stage->kind](executor, work);
}

/* ---- tasks and launches ---- */

static Work work_of(Executor *executor, const Stage *stage, Arena *arena) {
  Work work = {.stage = stage};
  work.steps = NEW_ARRAY(arena, Step, stage->scalars.count);
  work.values = NEW_ARRAY(arena, Cell, stage->scalars.count);
  work.stores = NEW_ARRAY(arena, Reach, stage->stores.count);
  for (int k = 0; k < stage->scalars.count; k++) work.steps[k] = step_of(executor, stage, &stage->scalars.items[k]);
  for (int k = 0; k < stage->stores.count; k++) work.stores[k] = reach_of(executor, &stage->stores.items[k].access);
  for (int k = 0; k < stage->nloops; k++) work.extent[k] = dim_value(stage->loops[k].extent, executor->dims);
  return work;
}

typedef struct Task {
  int kernel;
  int64_t number;
} Task;

static void run_task(Executor *executor, const Task *task, Work *works) {
  const Kernel *kernel = &executor->plan->kernels.items[task->kernel];
  int64_t low[MAX_LOOPS], high[MAX_LOOPS], number = task->number;
  executor->kernel = kernel->name;
  for (int k = kernel->ntasks - 1; k >= 0; k--) {
    int64_t extent = dim_value(kernel->tasks[k].extent, executor->dims), tile = task_tile(executor, kernel, k);
    int64_t tiles = (extent + tile - 1) / tile;
    low[k] = number % tiles * tile;
    high[k] = MIN(low[k] + tile, extent);
    number /= tiles;
  }
  for (Id id = 1; id < executor->plan->buffers.count; id++) {
    const Buffer *buffer = &executor->plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL && buffer->index == task->kernel) poison(executor->data[id], executor->bytes[id]);
  }
  for (int k = 0; k < kernel->stages.count && !executor->failed; k++) {
    Work *work = &works[k];
    memcpy(work->high, work->extent, sizeof work->high);
    memset(work->low, 0, sizeof work->low);
    memcpy(work->low, low, (size_t)kernel->ntasks * sizeof *low);
    memcpy(work->high, high, (size_t)kernel->ntasks * sizeof *high);
    run_stage(executor, work);
  }
}

static void run_kernels(Executor *executor, const Launch *launch) {
  Arena *arena = arena_new();
  Vec(Task) tasks = {0};
  Work **works = NEW_ARRAY(arena, Work *, launch->count);
  for (int k = 0; k < launch->count; k++) {
    const Kernel *kernel = &executor->plan->kernels.items[launch->first + k];
    works[k] = NEW_ARRAY(arena, Work, kernel->stages.count);
    for (int stage = 0; stage < kernel->stages.count; stage++) {
      works[k][stage] = work_of(executor, &kernel->stages.items[stage], arena);
    }
    int64_t count = task_count(executor, kernel);
    for (int64_t number = 0; number < count; number++) PUSH(arena, &tasks, ((Task){launch->first + k, number}));
  }
  for (int k = tasks.count - 1; k > 0; k--) {
    int other = (int)(next_random(executor) % (uint64_t)(k + 1));
    Task task = tasks.items[k];
    tasks.items[k] = tasks.items[other];
    tasks.items[other] = task;
  }
  for (int k = 0; k < tasks.count && !executor->failed; k++) {
    run_task(executor, &tasks.items[k], works[tasks.items[k].kernel - launch->first]);
  }
  arena_free(arena);
}

/* What lives from this launch on holds nothing yet. */
static void poison_born(Executor *executor, int launch) {
  for (Id id = 1; id < executor->plan->buffers.count; id++) {
    const Buffer *buffer = &executor->plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || !buffer->bytes || buffer->first != launch) continue;
    poison(executor->data[id], executor->bytes[id]);
  }
}

static void run_launches(Executor *executor, int from, int to) {
  for (int k = from; k < to && !executor->failed; k++) {
    const Launch *launch = &executor->plan->launches.items[k];
    poison_born(executor, k);
    if (launch->kind == LAUNCH_KERNELS) run_kernels(executor, launch);
    if (launch->kind != LAUNCH_LOOP) continue;
    int end = plan_loop_end(executor->plan, k);
    int64_t trips = dim_value(launch->trips, executor->dims);
    for (int64_t trip = 0; trip < trips && !executor->failed; trip++) {
      executor->dims[launch->turn] = launch->reverse ? trips - 1 - trip : trip;
      run_launches(executor, k + 1, end);
    }
    k = end;
  }
}

/* The region right inside `region` that holds this kernel; -1: it lies in `region` itself; -2: outside. */
static int inner_region(const Plan *plan, int region, int kernel) {
  int inner = -1, own = plan->kernels.items[kernel].region;
  while (own != region) {
    if (own == 0) return -2;
    inner = own;
    own = plan->regions.items[own].parent;
  }
  return inner;
}

/* Before launches are made, kernels stand in an order that is right; a loop stands where its first kernel does. */
static void run_region(Executor *executor, int region) {
  const Plan *plan = executor->plan;
  bool *done = NEW_ARRAY(executor->arena, bool, plan->regions.count + 1);
  for (int k = 0; k < plan->kernels.count && !executor->failed; k++) {
    int inner = inner_region(plan, region, k);
    if (inner == -1) run_kernels(executor, &(Launch){.kind = LAUNCH_KERNELS, .first = k, .count = 1});
    if (inner < 0 || done[inner]) continue;
    done[inner] = true;
    const Region *loop = &plan->regions.items[inner];
    int64_t trips = dim_value(loop->trips, executor->dims);
    for (int64_t trip = 0; trip < trips && !executor->failed; trip++) {
      executor->dims[loop->turn] = loop->reverse ? trips - 1 - trip : trip;
      run_region(executor, inner);
    }
  }
}

/* ---- memory ---- */

static int64_t bytes_of(Executor *executor, Id id) {
  const Plan *plan = executor->plan;
  const Buffer *buffer = &plan->buffers.items[id];
  int64_t bytes = plan_element_bytes(buffer->type.dtype);
  const Kernel *kernel = buffer->memory == MEMORY_LOCAL ? &plan->kernels.items[buffer->index] : NULL;
  for (int k = 0; k < buffer->type.rank; k++) {
    bytes *=
        kernel && k < kernel->ntasks ? task_tile(executor, kernel, k) : dim_value(buffer->type.size[k], executor->dims);
  }
  return bytes;
}

/* Offsets by the offset program: each buffer lies on the highest of those below it. `known` guards the recursion's cost. */
static int64_t offset_of(Executor *executor, Id id, int64_t *known) {
  const Buffer *buffer = &executor->plan->buffers.items[id];
  if (known[id] >= 0) return known[id];
  int64_t offset = 0;
  for (int k = 0; k < buffer->below.count; k++) {
    Id under = buffer->below.items[k];
    int64_t end = offset_of(executor, under, known) + dim_value(executor->plan->buffers.items[under].bytes, executor->dims);
    offset = MAX(offset, end);
  }
  return known[id] = offset;
}

static void place_arena(Executor *executor) {
  const Plan *plan = executor->plan;
  char *scratch = arena_alloc(executor->arena, (size_t)plan->arena_bytes);
  poison(scratch, plan->arena_bytes);
  int64_t *known = NEW_ARRAY(executor->arena, int64_t, plan->buffers.count);
  memset(known, 0xFF, (size_t)plan->buffers.count * sizeof *known);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA) continue;
    if (!buffer->bytes) { /* the memory pass has not run: each has memory of its own */
      executor->data[id] = arena_alloc(executor->arena, (size_t)executor->bytes[id]);
      poison(executor->data[id], executor->bytes[id]);
      continue;
    }
    int64_t offset = offset_of(executor, id, known);
    if (offset + dim_value(buffer->bytes, executor->dims) > plan->arena_bytes) {
      fault(executor, "the arena is too small for", id);
    }
    executor->data[id] = scratch + offset;
  }
}

static char *constant_data(Executor *executor, const Buffer *buffer, int64_t bytes) {
  Kind kind = kind_of(buffer->type.dtype, false);
  char *data = arena_alloc(executor->arena, (size_t)bytes);
  for (int64_t k = 0; k < bytes / kind_bytes[kind]; k++) kind_set(kind, data, k, buffer->array[k]);
  return data;
}

static void place_buffers(Executor *executor) {
  const Plan *plan = executor->plan;
  struct Run *run = executor->run;
  char **states = NEW_ARRAY(executor->arena, char *, plan->module->symbols.count + 1);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    int64_t bytes = executor->bytes[id] = bytes_of(executor, id);
    switch (buffer->memory) {
    case MEMORY_ARG: executor->data[id] = run->parameters[buffer->index].data; break;
    case MEMORY_RESULT:
      if (!run->results) break;
      executor->results[buffer->index] = array_for(run->arena, &buffer->type, false, executor->dims);
      executor->data[id] = executor->results[buffer->index].data;
      poison(executor->data[id], bytes);
      break;
    case MEMORY_STATE:
      if (!states[buffer->index]) {
        const Symbol *symbol = &plan->module->symbols.items[buffer->index];
        states[buffer->index] = arena_alloc(run->arena, (size_t)bytes);
        symbol_store(symbol, (size_t)plan_element_bytes(symbol->type.dtype), run->states[buffer->index].data,
                     states[buffer->index]);
      }
      executor->data[id] = states[buffer->index];
      break;
    case MEMORY_CONSTANT: executor->data[id] = constant_data(executor, buffer, bytes); break;
    case MEMORY_LOCAL: executor->data[id] = arena_alloc(executor->arena, (size_t)bytes); break;
    case MEMORY_ARENA: break;
    }
  }
  place_arena(executor);
}

/* ---- the whole ---- */

static bool check_array(const Executor *executor, const Array *array, const Type *type, const char *name,
                        Failure *failure) {
  bool good = array->dtype == type->dtype && array->rank == type->rank && !array->f64;
  for (int k = 0; good && k < type->rank; k++) good = array->size[k] == dim_value(type->size[k], executor->dims);
  return good || fail(failure, EXIT_INPUT, "%s: %s does not have its sizes or dtype", executor->plan->graph->name, name);
}

static bool check_run(const Executor *executor, Failure *failure) {
  const Graph *graph = executor->plan->graph;
  const struct Run *run = executor->run;
  for (int k = 0; k < graph->checks.count; k++) {
    const EntryCheck *check = &graph->checks.items[k];
    int64_t value = dim_value(check->dim, executor->dims);
    if (value < check->low || value > check->high) return fail(failure, EXIT_INPUT, "%s: %s", graph->name, check->what);
  }
  for (int k = 0; k < graph->parameters.count; k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    if (!check_array(executor, &run->parameters[k], &parameter->type, parameter->name, failure)) return false;
  }
  for (Id id = 1; id < executor->plan->buffers.count; id++) {
    const Buffer *buffer = &executor->plan->buffers.items[id];
    if (buffer->memory != MEMORY_STATE) continue;
    const Symbol *symbol = &executor->plan->module->symbols.items[buffer->index];
    if (!check_array(executor, &run->states[buffer->index], &symbol->type, symbol->name, failure)) return false;
  }
  return true;
}

bool plan_run(const Plan *plan, struct Run *run, Failure *failure) {
  if (run->f64) bug("a plan runs in f32 alone");
  Executor executor = {.plan = plan, .run = run, .arena = arena_new(), .failure = failure, .kernel = "(none)"};
  const Module *module = plan->module;
  executor.random = 0x9E3779B97F4A7C15u ^ hash_bytes(plan->graph->name, strlen(plan->graph->name));
  executor.dims = NEW_ARRAY(executor.arena, int64_t, module->dims.count + 1);
  executor.data = NEW_ARRAY(executor.arena, char *, plan->buffers.count);
  executor.bytes = NEW_ARRAY(executor.arena, int64_t, plan->buffers.count);
  executor.results = NEW_ARRAY(executor.arena, Array, plan->graph->results.count + 1);
  for (int k = 0; k < module->dims.count; k++) {
    if (!module->dims.items[k].turn) executor.dims[k] = run->dims[k]; /* the caller's array ends before the turns */
  }
  bool good = check_run(&executor, failure);
  if (good) {
    place_buffers(&executor);
    if (plan->launches.count > 0)
      run_launches(&executor, 0, plan->launches.count);
    else
      run_region(&executor, 0);
    good = !executor.failed;
  }
  for (int k = 0; good && run->results && k < plan->graph->results.count; k++) run->results[k] = executor.results[k];
  for (Id id = 1; good && id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_STATE) continue;
    void *canonical = arena_alloc(run->arena, (size_t)executor.bytes[id]);
    const Symbol *symbol = &module->symbols.items[buffer->index];
    symbol_load(symbol, (size_t)plan_element_bytes(symbol->type.dtype), executor.data[id], canonical);
    run->states[buffer->index].data = canonical;
  }
  arena_free(executor.arena);
  return good;
}
