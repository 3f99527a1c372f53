/* What is legal of every plan, after every pass that makes or changes one.
 *
 * Three parts. Buffers: indices in range, one dtype and type with what they stand for. Kernels, stage by stage: the task
 * loops come first; scalars are in order and of the dtypes that their ops want; what varies with folded loops stays before
 * `after`; stores are proven to be inside; locals stay in their kernel and are written before they are read. Launches:
 * loops close, kernels exist, an arena buffer is written before it is read. */
#include "ir/plan.h"

#include <string.h>

typedef struct Check {
  const Plan *plan;
  const Kernel *kernel;
  const Stage *stage;
  int kernel_index, stage_index;
  bool *written; /* by buffer: something was stored, in the order of launches and stages */
  Text *why;
} Check;

static bool wrong(const Check *check, const char *format, ...) PRINTF_LIKE(2, 3);
static bool wrong(const Check *check, const char *format, ...) {
  va_list list;
  if (!check->why) return false;
  text_add(check->why, "plan %s: ", check->plan->graph->name);
  if (check->kernel) text_add(check->why, "kernel %s: ", check->kernel->name);
  if (check->stage) text_add(check->why, "stage %d: ", check->stage_index);
  va_start(list, format);
  text_add_list(check->why, format, list);
  va_end(list);
  return false;
}

/* ---- buffers ---- */

static bool check_same_type(const Check *check, Id id, const Type *type) {
  return type_equal(&check->plan->buffers.items[id].type, type) ||
         wrong(check, "buffer %%%d has another type than what it stands for", id);
}

static bool check_local(const Check *check, Id id) {
  const Buffer *buffer = &check->plan->buffers.items[id];
  if (buffer->index < 0 || buffer->index >= check->plan->kernels.count) return wrong(check, "local %%%d has no kernel", id);
  const Kernel *kernel = &check->plan->kernels.items[buffer->index];
  if (buffer->type.rank < kernel->ntasks) return wrong(check, "local %%%d lacks axes for the task loops", id);
  for (int k = 0; k < kernel->ntasks; k++) {
    if (buffer->type.size[k] != kernel->tasks[k].extent) {
      return wrong(check, "axis %d of local %%%d has another size than task loop %s", k, id, kernel->tasks[k].name);
    }
  }
  return true;
}

static bool check_state(const Check *check, Id id, const Symbol *symbol) {
  Type stored = symbol_stored(check->plan->module, symbol);
  return check_same_type(check, id, &stored);
}

static bool check_buffer(const Check *check, Id id) {
  const Plan *plan = check->plan;
  const Buffer *buffer = &plan->buffers.items[id];
  if (buffer->type.dtype == NONE) return wrong(check, "buffer %%%d has no dtype", id);
  for (int k = 0; k < buffer->type.rank; k++) {
    if (!buffer->type.size[k]) return wrong(check, "buffer %%%d lacks a size", id);
  }
  switch (buffer->memory) {
  case MEMORY_ARG:
    if (buffer->index < 0 || buffer->index >= plan->graph->parameters.count)
      return wrong(check, "%%%d is no parameter", id);
    return check_same_type(check, id, &plan->graph->parameters.items[buffer->index].type);
  case MEMORY_RESULT:
    if (buffer->index < 0 || buffer->index >= plan->graph->results.count) return wrong(check, "%%%d is no result", id);
    return check_same_type(check, id, graph_type(plan->graph, plan->graph->results.items[buffer->index].value));
  case MEMORY_STATE:
    if (buffer->index < 0 || buffer->index >= plan->module->symbols.count) return wrong(check, "%%%d is no state", id);
    return check_state(check, id, &plan->module->symbols.items[buffer->index]);
  case MEMORY_CONSTANT: return buffer->array || wrong(check, "constant %%%d has no array", id);
  case MEMORY_LOCAL: return check_local(check, id);
  case MEMORY_ARENA: break;
  }
  for (int k = 0; k < buffer->below.count; k++) {
    Id below = buffer->below.items[k];
    if (below <= 0 || below >= plan->buffers.count || below == id) return wrong(check, "%%%d lies on no buffer", id);
    if (!plan->buffers.items[below].bytes) return wrong(check, "%%%d lies on %%%d, which is not in the arena", id, below);
    if (plan->buffers.items[below].offset >= buffer->offset) return wrong(check, "%%%d lies on %%%d from below", id, below);
  }
  return true;
}

/* ---- accesses ---- */

static bool check_map(const Check *check, const Access *access, int scalars) {
  for (int k = 0; k < access->map.naxes; k++) {
    if (access->index[k] >= 0) {
      if (access->index[k] >= scalars) return wrong(check, "an index is scalar s%d, which comes later", access->index[k]);
      if (check->stage->scalars.items[access->index[k]].dtype != I32) return wrong(check, "an index is not i32");
      continue;
    }
    const Axis *axis = &access->map.axis[k];
    if (axis->divisor < 1 || axis->nterms < 0 || axis->nterms > 2 || !axis->offset) return wrong(check, "a broken axis");
    for (int term = 0; term < axis->nterms; term++) {
      if (axis->dim[term] < 0 || axis->dim[term] >= check->stage->nloops) return wrong(check, "an axis along no loop");
    }
  }
  return true;
}

/* A local holds a task's tile: its task axes are the task loops themselves, whatever shape the others have. */
static bool check_local_access(const Check *check, const Access *access) {
  const Buffer *buffer = &check->plan->buffers.items[access->buffer];
  if (buffer->index != check->kernel_index) return wrong(check, "local %%%d is another kernel's", access->buffer);
  for (int k = 0; k < check->kernel->ntasks; k++) {
    if (access->as.rank <= k || access->as.size[k] != buffer->type.size[k]) {
      return wrong(check, "local %%%d is reshaped across its tile", access->buffer);
    }
    if (access->index[k] >= 0 || !axis_is_bare(&access->map.axis[k], k)) {
      return wrong(check, "axis %d of local %%%d is not the bare task loop", k, access->buffer);
    }
  }
  return true;
}

static bool check_access(const Check *check, const Access *access, int scalars) {
  const Plan *plan = check->plan;
  if (access->buffer <= 0 || access->buffer >= plan->buffers.count) return wrong(check, "there is no %%%d", access->buffer);
  const Buffer *buffer = &plan->buffers.items[access->buffer];
  if (access->map.naxes != access->as.rank) return wrong(check, "%d indices for %%%d", access->map.naxes, access->buffer);
  if (!type_same_sizes(&access->as, &buffer->type) &&
      type_count(plan->module, &access->as) != type_count(plan->module, &buffer->type)) {
    return wrong(check, "%%%d is reshaped to another count of elements", access->buffer);
  }
  if (buffer->memory == MEMORY_LOCAL && !check_local_access(check, access)) return false;
  return check_map(check, access, scalars);
}

/* True if the access names a folded loop, or a scalar of before `after`. */
static bool varies_with_folds(const Stage *stage, const Access *access) {
  for (int k = 0; k < access->map.naxes; k++) {
    const Axis *axis = &access->map.axis[k];
    if (access->index[k] >= 0) {
      if (access->index[k] < stage->after) return true;
      continue;
    }
    for (int term = 0; term < axis->nterms; term++) {
      if (axis->dim[term] >= stage->nkept) return true;
    }
  }
  return false;
}

/* ---- scalars ---- */

static bool folds(const Stage *stage) { return stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT; }

static bool check_operands(const Check *check, int at) {
  const Scalar *scalar = &check->stage->scalars.items[at];
  const int16_t operands[] = {scalar->a, scalar->b, scalar->c};
  for (int k = 0; k < scalar_operands(scalar->op); k++) {
    bool optional = scalar->op == SCALAR_KEY;
    if (operands[k] < 0 && optional) continue;
    if (operands[k] < 0 || operands[k] >= at) return wrong(check, "s%d: operand %d comes later or is none", at, k + 1);
    if (folds(check->stage) && at >= check->stage->after && operands[k] < check->stage->after) {
      return wrong(check, "s%d uses s%d, which varies with the folded loops", at, operands[k]);
    }
  }
  return true;
}

static bool check_elementwise(const Check *check, int at) {
  const Scalar *items = check->stage->scalars.items, *scalar = &items[at];
  int flags = op_info[scalar->op].flags;
  Dtype first = items[scalar->a].dtype;
  bool good = true;
  if (scalar->op == OP_where) {
    good = first == BOOL && items[scalar->b].dtype == scalar->dtype && items[scalar->c].dtype == scalar->dtype;
  } else if (scalar->op != OP_cast) {
    good = scalar->dtype == (flags & TRUTH ? BOOL : first);
    if (scalar->b >= 0) good = good && items[scalar->b].dtype == first;
    if (flags & FLOATS) good = good && first == F32;
    bool of_truths = scalar->op == OP_max || scalar->op == OP_min || scalar->op == OP_eq;
    if (first == BOOL) good = good && of_truths;
  }
  return good || wrong(check, "s%d = %s: dtypes do not fit", at, op_info[scalar->op].name);
}

static bool check_load(const Check *check, int at) {
  const Scalar *scalar = &check->stage->scalars.items[at];
  const Buffer *buffer = &check->plan->buffers.items[scalar->access->buffer];
  if (buffer->type.dtype != scalar->dtype) return wrong(check, "s%d loads another dtype", at);
  if (buffer->memory == MEMORY_RESULT) return wrong(check, "s%d loads a result, which the caller may not want", at);
  if (buffer->memory == MEMORY_LOCAL && !check->written[scalar->access->buffer]) {
    return wrong(check, "s%d reads %%%d before it is written", at, scalar->access->buffer);
  }
  return true;
}

static bool check_folded(const Check *check, int at) {
  const Stage *stage = check->stage;
  const Scalar *scalar = &stage->scalars.items[at];
  if (at < stage->after || !folds(stage)) return wrong(check, "s%d: a fold's result is there only after it", at);
  if (scalar->index < 0 || scalar->index >= stage->folders.count) return wrong(check, "s%d: there is no such fold", at);
  const Folder *folder = &stage->folders.items[scalar->index];
  bool index = folder->op == FOLDER_ARGMAX || folder->op == FOLDER_ARGMIN;
  return scalar->dtype == (index ? I32 : folder->dtype) || wrong(check, "s%d: the fold has another dtype", at);
}

static bool check_scalar(const Check *check, int at) {
  const Stage *stage = check->stage;
  const Scalar *scalar = &stage->scalars.items[at];
  if (scalar_operands(scalar->op) < 0) return wrong(check, "s%d has no op", at);
  if (scalar->dtype == NONE) return wrong(check, "s%d has no dtype", at);
  if (!check_operands(check, at)) return false;
  if (scalar_has_access(scalar->op)) {
    if (!scalar->access) return wrong(check, "s%d has no access", at);
    if (scalar->op == SCALAR_LOAD && !check_access(check, scalar->access, at)) return false;
    if (!check_map(check, scalar->access, at)) return false;
    if (folds(stage) && at >= stage->after && varies_with_folds(stage, scalar->access)) {
      return wrong(check, "s%d varies with folded loops behind the fold", at);
    }
    bool sized = scalar->op == SCALAR_INSIDE || scalar->op == SCALAR_RANDOM;
    if (sized && scalar->access->map.naxes != scalar->access->as.rank) return wrong(check, "s%d: indices for no axes", at);
  }
  switch (scalar->op) {
  case SCALAR_LOAD: return check_load(check, at);
  case SCALAR_NUMBER: return true;
  case SCALAR_SIZE: return (scalar->dtype == I32 && scalar->dim) || wrong(check, "s%d is no size", at);
  case SCALAR_INDEX: return (scalar->dtype == I32 && scalar->access->map.naxes == 1) || wrong(check, "s%d is no index", at);
  case SCALAR_INSIDE: return scalar->dtype == BOOL || wrong(check, "s%d is not bool", at);
  case SCALAR_KEY: return scalar->dtype == I32 || wrong(check, "s%d: a key is i32", at);
  case SCALAR_RANDOM: return scalar->dtype == F32 || wrong(check, "s%d is not f32", at);
  case SCALAR_FOLDED: return check_folded(check, at);
  default: return check_elementwise(check, at);
  }
}

/* ---- stages ---- */

static bool check_loops(const Check *check) {
  const Stage *stage = check->stage;
  int ntasks = check->kernel->ntasks;
  if (stage->nloops < 0 || stage->nloops > MAX_LOOPS) return wrong(check, "%d loops", stage->nloops);
  if (stage->nkept < ntasks || stage->nkept > stage->nloops) return wrong(check, "it keeps fewer loops than the tasks'");
  for (int k = 0; k < stage->nloops; k++) {
    if (!stage->loops[k].extent) return wrong(check, "loop %d has no extent", k);
    if (k < ntasks && stage->loops[k].extent != check->kernel->tasks[k].extent) {
      return wrong(check, "loop %d is not the kernel's task loop", k);
    }
  }
  if (stage->vector < -1 || stage->vector >= stage->nloops) return wrong(check, "its vector is no loop");
  bool line = stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM;
  if (line && stage->nkept <= ntasks) return wrong(check, "the line it works along is cut into tasks");
  bool folded = folds(stage) || stage->kind == STAGE_SCATTER;
  return folded || stage->nkept == stage->nloops || wrong(check, "it folds loops without being a fold");
}

static bool check_folders(const Check *check) {
  const Stage *stage = check->stage;
  if (!folds(stage)) return stage->folders.count == 0 || wrong(check, "it has folds without being one");
  if (stage->folders.count == 0) return wrong(check, "a fold of nothing");
  if (stage->after < 0 || stage->after > stage->scalars.count) return wrong(check, "`after` is outside");
  for (int k = 0; k < stage->folders.count; k++) {
    const Folder *folder = &stage->folders.items[k];
    if (folder->value < 0 || folder->value >= stage->after) return wrong(check, "fold %d is not of a scalar before it", k);
    if (folder->when >= stage->after) return wrong(check, "fold %d: its condition comes later", k);
    if (folder->when >= 0 && stage->scalars.items[folder->when].dtype != BOOL)
      return wrong(check, "fold %d: when is not bool", k);
    Dtype dtype = stage->scalars.items[folder->value].dtype;
    if (dtype != folder->dtype) return wrong(check, "fold %d has another dtype than its value", k);
    bool ordered = folder->op == FOLDER_MAX || folder->op == FOLDER_MIN;
    if (dtype == BOOL && !ordered) return wrong(check, "fold %d: of bool", k);
  }
  return true;
}

static bool check_contract(const Check *check) {
  const Stage *stage = check->stage;
  const Tile *tile = &stage->tile;
  if (stage->kind != STAGE_CONTRACT) return true;
  const Folder *folder = &stage->folders.items[0];
  const Scalar *product = &stage->scalars.items[folder->value];
  bool good = stage->folders.count == 1 && folder->op == FOLDER_SUM && product->op == OP_mul;
  if (folder->when >= 0 && stage->scalars.items[folder->when].op != SCALAR_INSIDE)
    return wrong(check, "a contraction's condition is that something is inside");
  for (int side = 0; good && side < 2; side++) {
    const Scalar *factor = &stage->scalars.items[side ? product->b : product->a];
    good = factor->op == SCALAR_LOAD && factor->dtype == F32 && access_always_inside(check->plan, stage, factor->access);
  }
  if (!good) return wrong(check, "a contraction is one sum of load * load, f32, always inside");
  int loops[] = {tile->vector, tile->row, tile->column};
  for (int k = 0; k < 3; k++) {
    if (loops[k] < -1 || loops[k] >= stage->nloops) return wrong(check, "its tile is along no loop");
  }
  if (tile->piece < 0) return wrong(check, "its pieces have %d points", tile->piece);
  if ((tile->feed[0] == FEED_NONE) != (tile->feed[1] == FEED_NONE)) return wrong(check, "one operand alone is fed");
  return true;
}

static bool check_stores(const Check *check) {
  const Stage *stage = check->stage;
  bool one = stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM;
  if (one && stage->stores.count != 1) return wrong(check, "it stores %d times, not once", stage->stores.count);
  for (int k = 0; k < stage->stores.count; k++) {
    const Store *store = &stage->stores.items[k];
    if (!check_access(check, &store->access, stage->scalars.count)) return false;
    const Buffer *buffer = &check->plan->buffers.items[store->access.buffer];
    if (buffer->memory == MEMORY_ARG || buffer->memory == MEMORY_CONSTANT)
      return wrong(check, "store %d is into a source", k);
    if (store->value < 0 || store->value >= stage->scalars.count) return wrong(check, "store %d is of no scalar", k);
    Dtype dtype = stage->kind == STAGE_SORT ? I32 : stage->scalars.items[store->value].dtype;
    if (dtype != buffer->type.dtype) return wrong(check, "store %d is of another dtype than %%%d", k, store->access.buffer);
    if (stage->kind == STAGE_SCATTER) continue;
    if (!access_always_inside(check->plan, stage, &store->access)) {
      return wrong(check, "store %d into %%%d is not proven to be inside", k, store->access.buffer);
    }
    if (!folds(stage)) continue;
    if (store->value < stage->after || varies_with_folds(stage, &store->access)) {
      return wrong(check, "store %d varies with the folded loops", k);
    }
  }
  return true;
}

static bool check_stage(Check *check) {
  const Stage *stage = check->stage;
  if (!check_loops(check)) return false;
  for (int k = 0; k < stage->scalars.count; k++) {
    bool folded = stage->scalars.items[k].op == SCALAR_FOLDED;
    if (folded && stage->scalars.items[k].index >= stage->folders.count)
      return wrong(check, "s%d: there is no such fold", k);
    if (!check_scalar(check, k)) return false;
  }
  if (!check_folders(check) || !check_contract(check) || !check_stores(check)) return false;
  for (int k = 0; k < stage->stores.count; k++) check->written[stage->stores.items[k].access.buffer] = true;
  return true;
}

static bool check_kernel(Check *check, int kernel) {
  check->kernel = &check->plan->kernels.items[kernel];
  check->kernel_index = kernel;
  if (check->kernel->ntasks < 0 || check->kernel->ntasks > MAX_LOOPS) return wrong(check, "too many task loops");
  for (int k = 0; k < check->kernel->ntasks; k++) {
    const Loop *task = &check->kernel->tasks[k];
    if (!task->extent || task->tile < 1) return wrong(check, "task loop %d has no extent or tile", k);
  }
  for (check->stage_index = 0; check->stage_index < check->kernel->stages.count; check->stage_index++) {
    check->stage = &check->kernel->stages.items[check->stage_index];
    if (!check_stage(check)) return false;
  }
  check->stage = NULL;
  check->kernel = NULL;
  return true;
}

/* ---- launches ---- */

/* Arena buffers that the kernel loads before anything has been stored; a stage may read what an earlier one stored. */
static bool check_reads(Check *check, const Kernel *kernel) {
  check->kernel = kernel;
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op != SCALAR_LOAD || check->plan->buffers.items[scalar->access->buffer].memory != MEMORY_ARENA) continue;
      if (!check->written[scalar->access->buffer]) {
        return wrong(check, "stage %d reads %%%d before it is written", s, scalar->access->buffer);
      }
    }
    for (int k = 0; k < stage->stores.count; k++) check->written[stage->stores.items[k].access.buffer] = true;
  }
  check->kernel = NULL;
  return true;
}

static bool check_launches(Check *check) {
  const Plan *plan = check->plan;
  int depth = 0;
  memset(check->written, 0, (size_t)plan->buffers.count * sizeof *check->written);
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    switch (launch->kind) {
    case LAUNCH_LOOP:
      depth++;
      if (launch->turn < 0 || launch->turn >= plan->module->dims.count || !plan->module->dims.items[launch->turn].turn) {
        return wrong(check, "launch %d counts no turn", k);
      }
      if (!launch->trips) return wrong(check, "launch %d has no trips", k);
      break;
    case LAUNCH_END:
      if (--depth < 0) return wrong(check, "launch %d ends no loop", k);
      break;
    case LAUNCH_KERNELS:
      if (launch->first < 0 || launch->count < 0 || launch->count > plan->kernels.count - launch->first) {
        return wrong(check, "launch %d is of no kernels", k);
      }
      for (int kernel = 0; kernel < launch->count; kernel++) {
        if (!check_reads(check, &plan->kernels.items[launch->first + kernel])) return false;
      }
      break;
    }
  }
  return depth == 0 || wrong(check, "a loop of launches does not end");
}

static bool check_names(const Check *check) {
  const Plan *plan = check->plan;
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int other = 0; other < k; other++) {
      if (strcmp(plan->kernels.items[k].name, plan->kernels.items[other].name) == 0) {
        return wrong(check, "two kernels are called %s", plan->kernels.items[k].name);
      }
    }
  }
  return true;
}

/* ---- memory ---- */

static bool lives_meet(const Buffer *a, const Buffer *b) { return a->first < b->last && b->first < a->last; }

/* At the bounds: what lives at the same time lies apart, and all of it inside the arena. */
static bool check_arena(const Check *check, Id id) {
  const Plan *plan = check->plan;
  const Buffer *buffer = &plan->buffers.items[id];
  if (buffer->memory != MEMORY_ARENA || !buffer->bytes) return true;
  if (buffer->offset < 0 || buffer->bytes->high > plan->arena_bytes - buffer->offset) {
    return wrong(check, "%%%d reaches outside the arena of %lld bytes", id, (long long)plan->arena_bytes);
  }
  for (Id other = 1; other < id; other++) {
    const Buffer *beside = &plan->buffers.items[other];
    if (beside->memory != MEMORY_ARENA || !beside->bytes || !lives_meet(buffer, beside)) continue;
    bool apart =
        beside->offset + beside->bytes->high <= buffer->offset || buffer->offset + buffer->bytes->high <= beside->offset;
    if (!apart) return wrong(check, "%%%d and %%%d share memory while both are in use", other, id);
  }
  return true;
}

static bool check_memory(const Check *check) {
  const Plan *plan = check->plan;
  if (plan->after) return true; /* not placed yet */
  for (int k = 0; k < plan->kernels.count; k++) {
    int64_t bytes = kernel_local_bytes(plan, k);
    if (bytes <= plan->local_bytes) continue;
    return wrong(check, "kernel %s needs %lld bytes of local memory, the plan has %lld", plan->kernels.items[k].name,
                 (long long)bytes, (long long)plan->local_bytes);
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    if (!check_arena(check, id)) return false;
  }
  return true;
}

bool plan_verify(const Plan *plan, Text *why) {
  Arena *arena = arena_new();
  Check check = {.plan = plan, .why = why};
  check.written = NEW_ARRAY(arena, bool, plan->buffers.count);
  bool good = check_names(&check);
  for (Id id = 1; good && id < plan->buffers.count; id++) good = check_buffer(&check, id);
  for (int k = 0; good && k < plan->kernels.count; k++) good = check_kernel(&check, k);
  good = good && check_launches(&check) && check_memory(&check);
  arena_free(arena);
  return good;
}
