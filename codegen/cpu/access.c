/* Accesses: where an element lies, whether it is there at all, and how 16 of them are read or written at once.
 *
 * An access is taken apart once for a nest. Axes that are linear in the loops go into one base and one stride for each loop;
 * the address is built up loop by loop, so that what an outer loop adds is computed outside the inner ones. Axes with a
 * division or an index of their own are added where the element is used. Only axes that the bounds do not prove to be inside
 * are tested. An absent element's address may lie anywhere, so it is never dereferenced: lanes are masked, a single element
 * is read from the buffer's start instead. */
#include "codegen/cpu/nest.h"

/* ---- taking apart ---- */

const Dim *access_storage_size(const Plan *plan, const Kernel *kernel, const Access *access, int axis) {
  const Buffer *buffer = &plan->buffers.items[access->buffer];
  bool tiled = access->buffer && buffer->memory == MEMORY_LOCAL && axis < kernel->ntasks;
  return tiled ? dim_constant(plan->module, kernel->tasks[axis].tile) : access->as.size[axis];
}

static const Dim *dim_needed(const Dim *dim) {
  if (!dim) bug("an offset leaves 64 bits");
  return dim;
}

static void reach_add_axis(Work *work, Reach *reach, const Axis *axis, const Dim *step) {
  Module *module = work->module;
  reach->base = dim_needed(dim_add(module, reach->base, dim_needed(dim_multiply(module, axis->offset, step))));
  for (int k = 0; k < axis->nterms; k++) {
    const Dim *part = dim_needed(dim_multiply(module, dim_constant(module, axis->coefficient[k]), step));
    const Dim **stride = &reach->stride[axis->dim[k]];
    *stride = dim_needed(dim_add(module, *stride, part));
  }
}

Reach *reach_of(Nest *nest, const Access *access) {
  Work *work = nest->work;
  const Stage *stage = nest->stage;
  Reach *reach = NEW(work->arena, Reach);
  const Dim *zero = dim_constant(work->module, 0), *step = dim_constant(work->module, 1);
  Space space = {.ndims = stage->nloops, .nresult = stage->nkept};
  for (int loop = 0; loop < stage->nloops; loop++) space.extent[loop] = stage->loops[loop].extent;
  for (int loop = 0; loop < MAX_LOOPS; loop++) reach->stride[loop] = zero;
  reach->access = access;
  reach->base = zero;
  reach->plain = true;
  for (int k = access->map.naxes - 1; k >= 0; k--) {
    const Axis *axis = &access->map.axis[k];
    bool indexed = access->index[k] >= 0;
    reach->axis_stride[k] = step;
    reach->linear[k] = !indexed && axis->divisor == 1;
    reach->guarded[k] = indexed || !axis_always_inside(work->module, &space, axis, access->as.size[k]);
    reach->plain &= reach->linear[k] && !reach->guarded[k];
    if (reach->linear[k]) reach_add_axis(work, reach, axis, step);
    if (indexed) reach->depends |= nest->depends[access->index[k]];
    for (int term = 0; term < axis->nterms && !indexed; term++) reach->depends |= 1u << axis->dim[term];
    step = dim_needed(dim_multiply(work->module, step, access_storage_size(work->emitter->plan, work->kernel, access, k)));
  }
  return reach;
}

bool nest_varies(const Nest *nest, uint32_t depends) { return nest->vector >= 0 && (depends >> nest->vector & 1); }

LLVMValueRef work_dim_times(Work *work, const Dim *dim, LLVMValueRef factor) {
  int64_t value;
  if (dim_is_constant(dim, &value)) {
    if (value == 0) return const_i64(work->emitter, 0);
    if (value == 1) return factor;
  }
  return LLVMBuildMul(work->emitter->builder, factor, work_dim(work, dim), "");
}

/* ---- addresses ---- */

LLVMValueRef access_advance(Work *work, LLVMValueRef pointer, LLVMValueRef elements, LLVMTypeRef type) {
  if (LLVMIsAConstantInt(elements) && LLVMConstIntGetZExtValue(elements) == 0) return pointer;
  return LLVMBuildGEP2(work->emitter->builder, type, pointer, &elements, 1, "");
}

LLVMTypeRef reach_type(Nest *nest, const Reach *reach) {
  const Plan *plan = nest->work->emitter->plan;
  return type_in_memory(nest->work->emitter, plan->buffers.items[reach->access->buffer].type.dtype);
}

/* The address before any loop; a LOCAL's pointer is seen from index 0 of the task loops already. */
static LLVMValueRef reach_start(Nest *nest, const Reach *reach) {
  Work *work = nest->work;
  LLVMValueRef base = work_dim(work, reach->base);
  LLVMTypeRef type = reach_type(nest, reach);
  LLVMValueRef pointer = access_advance(work, work_pointer(work, reach->access->buffer), base, type);
  /* A task loop whose tile is 1 is in no order, but its index is the task's. */
  for (int k = 0; k < work->kernel->ntasks; k++) {
    if (nest->trip[k] != 1 || !(reach->depends >> k & 1)) continue;
    pointer = access_advance(work, pointer, work_dim_times(work, reach->stride[k], nest->start[k]), type);
  }
  return pointer;
}

/* An address that can be read whatever the loops are at: the start of the buffer, or of the task's tile in it, which is all
 * that a LOCAL holds. */
static LLVMValueRef reach_some(Nest *nest, const Reach *reach) {
  Work *work = nest->work;
  const Access *access = reach->access;
  LLVMValueRef pointer = work_pointer(work, access->buffer);
  int ntasks = work->kernel->ntasks;
  for (int k = 0; k < ntasks; k++) {
    if (access->map.naxes <= k || access->index[k] >= 0 || !axis_is_bare(&access->map.axis[k], k)) return pointer;
    if (access->as.size[k] != work->kernel->tasks[k].extent) return pointer;
  }
  for (int k = 0; k < ntasks; k++) {
    LLVMValueRef skipped = work_dim_times(work, reach->axis_stride[k], work->start[k]);
    pointer = access_advance(work, pointer, skipped, reach_type(nest, reach));
  }
  return pointer;
}

void reach_enter(Nest *nest, Reach *reach, int position) {
  if (position < 0) {
    reach->partial[0] = reach_start(nest, reach);
    return;
  }
  int loop = nest->order[position];
  LLVMValueRef elements = work_dim_times(nest->work, reach->stride[loop], nest->at[loop]);
  reach->partial[position + 1] = access_advance(nest->work, reach->partial[position], elements, reach_type(nest, reach));
}

LLVMValueRef nest_at(Nest *nest, int loop) {
  if (!nest->shift[loop]) return nest->at[loop];
  const Emitter *emitter = nest->work->emitter;
  return LLVMBuildAdd(emitter->builder, nest->at[loop], const_i64(emitter, nest->shift[loop]), "");
}

/* A scalar number plus the lanes' part of it, as a vector of i32. */
static LLVMValueRef spread(Nest *nest, LLVMValueRef scalar, int64_t step) {
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef first = splat(emitter, LLVMBuildTrunc(emitter->builder, scalar, emitter->i32, ""));
  return LLVMBuildAdd(emitter->builder, first, lane_numbers(emitter, emitter->i32, step), "");
}

/* The index along one axis: an i64, or a vector of i32 if it varies along the vector loop. */
LLVMValueRef reach_axis(Nest *nest, const Reach *reach, int k, LLVMValueRef *exact) {
  Work *work = nest->work;
  Emitter *emitter = work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  const Axis *axis = &reach->access->map.axis[k];
  *exact = NULL;
  if (reach->access->index[k] >= 0) {
    LLVMValueRef index = nest->value[reach->access->index[k]];
    return is_vector(index) ? index : LLVMBuildSExt(builder, index, emitter->i64, "");
  }
  LLVMValueRef sum = work_dim(work, axis->offset);
  int64_t step = 0;
  for (int term = 0; term < axis->nterms; term++) {
    LLVMValueRef coefficient = const_i64(emitter, axis->coefficient[term]);
    sum = LLVMBuildAdd(builder, sum, LLVMBuildMul(builder, nest_at(nest, axis->dim[term]), coefficient, ""), "");
    if (axis->dim[term] == nest->vector) step += axis->coefficient[term];
  }
  if (step) sum = spread(nest, sum, step);
  if (axis->divisor == 1) return sum;
  LLVMTypeRef type = is_vector(sum) ? emitter->i32 : emitter->i64;
  LLVMValueRef divisor = const_like(sum, LLVMConstInt(type, (unsigned long long)axis->divisor, 1));
  LLVMValueRef rest = LLVMBuildSRem(builder, sum, divisor, "");
  *exact = LLVMBuildICmp(builder, LLVMIntEQ, rest, LLVMConstNull(LLVMTypeOf(rest)), "");
  return LLVMBuildSDiv(builder, sum, divisor, "");
}

/* One unsigned comparison tests both ends. */
static LLVMValueRef axis_guard(Nest *nest, const Reach *reach, int k) {
  Work *work = nest->work;
  LLVMBuilderRef builder = work->emitter->builder;
  LLVMValueRef exact, index = reach_axis(nest, reach, k, &exact), size = work_dim(work, reach->access->as.size[k]);
  if (is_vector(index)) size = splat(work->emitter, LLVMBuildTrunc(builder, size, work->emitter->i32, ""));
  return both_masks(work->emitter, exact, LLVMBuildICmp(builder, LLVMIntULT, index, size, ""));
}

LLVMValueRef reach_guard(Nest *nest, const Reach *reach) {
  LLVMValueRef inside = NULL;
  for (int k = 0; k < reach->access->map.naxes; k++) {
    if (reach->guarded[k]) inside = both_masks(nest->work->emitter, inside, axis_guard(nest, reach, k));
  }
  return inside;
}

/* Where the element, or the first of 16, lies: constant shifts of unrolled loops and axes that are not linear come last.
 * `lanes` gets the offsets of the 16 from there (a vector of i64), NULL if they are neighbours or all the same. */
static LLVMValueRef reach_address(Nest *nest, const Reach *reach, int position, LLVMValueRef *lanes) {
  Work *work = nest->work;
  Emitter *emitter = work->emitter;
  LLVMTypeRef type = reach_type(nest, reach);
  LLVMValueRef pointer = reach->partial[position];
  *lanes = NULL;
  for (int loop = 0; loop < nest->stage->nloops; loop++) {
    if (!nest->shift[loop]) continue;
    LLVMValueRef elements = work_dim_times(work, reach->stride[loop], const_i64(emitter, nest->shift[loop]));
    pointer = access_advance(work, pointer, elements, type);
  }
  for (int k = 0; k < reach->access->map.naxes; k++) {
    if (reach->linear[k]) continue;
    LLVMValueRef exact, index = reach_axis(nest, reach, k, &exact), step = work_dim(work, reach->axis_stride[k]);
    if (!is_vector(index)) {
      pointer = access_advance(work, pointer, LLVMBuildMul(emitter->builder, index, step, ""), type);
      continue;
    }
    LLVMValueRef wide = LLVMBuildSExt(emitter->builder, index, lanes_of(emitter->i64), "");
    wide = LLVMBuildMul(emitter->builder, wide, splat(emitter, step), "");
    *lanes = *lanes ? LLVMBuildAdd(emitter->builder, *lanes, wide, "") : wide;
  }
  if (!nest_varies(nest, reach->depends)) return pointer;
  const Dim *stride = reach->stride[nest->vector];
  if (dim_is(stride, 0) || (!*lanes && dim_is(stride, 1))) return pointer;
  LLVMValueRef steps =
      LLVMBuildMul(emitter->builder, lane_numbers(emitter, emitter->i64, 1), splat(emitter, work_dim(work, stride)), "");
  *lanes = *lanes ? LLVMBuildAdd(emitter->builder, *lanes, steps, "") : steps;
  return pointer;
}

/* ---- memory ---- */

static LLVMValueRef from_memory(Emitter *emitter, LLVMValueRef value, Dtype dtype) {
  if (dtype != BOOL) return value;
  return LLVMBuildICmp(emitter->builder, LLVMIntNE, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

static LLVMValueRef to_memory(Emitter *emitter, LLVMValueRef value) {
  LLVMTypeRef type = LLVMTypeOf(value), element = is_vector(value) ? LLVMGetElementType(type) : type;
  return element == emitter->i1 ? LLVMBuildZExt(emitter->builder, value, like(value, emitter->i8), "") : value;
}

static unsigned align_of(const Emitter *emitter, LLVMTypeRef element) { return element == emitter->i8 ? 1 : 4; }

static LLVMValueRef load_from(Emitter *emitter, LLVMTypeRef type, LLVMTypeRef element, LLVMValueRef pointer) {
  LLVMValueRef load = LLVMBuildLoad2(emitter->builder, type, pointer, "");
  LLVMSetAlignment(load, align_of(emitter, element));
  return load;
}

static LLVMValueRef load_one(Nest *nest, const Reach *reach, LLVMValueRef pointer, LLVMValueRef guard, Dtype dtype,
                             double absent) {
  Emitter *emitter = nest->work->emitter;
  LLVMTypeRef element = type_in_memory(emitter, dtype);
  if (guard) { pointer = LLVMBuildSelect(emitter->builder, guard, pointer, reach_some(nest, reach), ""); }
  LLVMValueRef value = from_memory(emitter, load_from(emitter, element, element, pointer), dtype);
  if (!guard) return value;
  return LLVMBuildSelect(emitter->builder, guard, value, number_value(emitter, dtype, absent), "");
}

static LLVMValueRef load_lanes(Nest *nest, LLVMValueRef pointer, LLVMValueRef lanes, LLVMValueRef mask, Dtype dtype,
                               double absent) {
  Emitter *emitter = nest->work->emitter;
  LLVMTypeRef element = type_in_memory(emitter, dtype), type = lanes_of(element);
  LLVMValueRef other = dtype == BOOL ? LLVMConstInt(emitter->i8, absent != 0, 0) : number_value(emitter, dtype, absent);
  other = splat(emitter, other);
  LLVMValueRef value;
  if (lanes) {
    LLVMValueRef pointers = LLVMBuildGEP2(emitter->builder, element, pointer, &lanes, 1, "");
    value = masked_gather(emitter, type, pointers, mask, other);
  } else {
    value = mask ? masked_load(emitter, type, pointer, mask, other) : load_from(emitter, type, element, pointer);
  }
  return from_memory(emitter, value, dtype);
}

LLVMValueRef reach_load(Nest *nest, const Reach *reach, Dtype dtype, double absent, int position) {
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef guard = reach_guard(nest, reach), lanes;
  LLVMValueRef pointer = reach_address(nest, reach, position, &lanes);
  if (!nest_varies(nest, reach->depends)) return load_one(nest, reach, pointer, guard, dtype, absent);
  if (!lanes && dim_is(reach->stride[nest->vector], 0)) lanes = LLVMConstNull(lanes_of(emitter->i64));
  LLVMValueRef mask = both_masks(emitter, guard, nest->mask);
  if (mask) mask = widen(emitter, mask);
  return load_lanes(nest, pointer, lanes, mask, dtype, absent);
}

LLVMValueRef begin_if(Emitter *emitter, LLVMValueRef condition, LLVMBasicBlockRef *join) {
  *join = NULL;
  if (!condition) return NULL;
  LLVMBasicBlockRef then = new_block(emitter, "then");
  *join = new_block(emitter, "join");
  LLVMBuildCondBr(emitter->builder, condition, then, *join);
  LLVMPositionBuilderAtEnd(emitter->builder, then);
  return condition;
}

void end_if(Emitter *emitter, LLVMBasicBlockRef join) {
  if (!join) return;
  LLVMBuildBr(emitter->builder, join);
  LLVMPositionBuilderAtEnd(emitter->builder, join);
}

LLVMValueRef work_wanted(Work *work, Id buffer) {
  if (work->wanted || work->emitter->plan->buffers.items[buffer].memory != MEMORY_RESULT) return NULL;
  return LLVMBuildIsNotNull(work->emitter->builder, work_pointer(work, buffer), "");
}

static void store_lanes(Nest *nest, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef lanes, LLVMValueRef mask) {
  Emitter *emitter = nest->work->emitter;
  LLVMTypeRef element = LLVMGetElementType(LLVMTypeOf(value));
  if (lanes) {
    LLVMValueRef pointers = LLVMBuildGEP2(emitter->builder, element, pointer, &lanes, 1, "");
    masked_scatter(emitter, value, pointers, mask);
  } else if (mask) {
    masked_store(emitter, value, pointer, mask);
  } else {
    LLVMSetAlignment(LLVMBuildStore(emitter->builder, value, pointer), align_of(emitter, element));
  }
}

void reach_store(Nest *nest, const Reach *reach, LLVMValueRef value, int position) {
  Emitter *emitter = nest->work->emitter;
  LLVMBasicBlockRef join;
  LLVMValueRef lanes, pointer;
  begin_if(emitter, work_wanted(nest->work, reach->access->buffer), &join);
  pointer = reach_address(nest, reach, position, &lanes);
  value = to_memory(emitter, value);
  if (nest_varies(nest, reach->depends)) {
    store_lanes(nest, widen(emitter, value), pointer, lanes, nest->mask);
  } else {
    LLVMSetAlignment(LLVMBuildStore(emitter->builder, value, pointer), align_of(emitter, LLVMTypeOf(value)));
  }
  end_if(emitter, join);
}

static LLVMValueRef add_values(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, Dtype dtype) {
  return dtype == F32 ? LLVMBuildFAdd(emitter->builder, a, b, "") : LLVMBuildAdd(emitter->builder, a, b, "");
}

void reach_add(Nest *nest, const Reach *reach, LLVMValueRef value, int position) {
  Emitter *emitter = nest->work->emitter;
  Dtype dtype = emitter->plan->buffers.items[reach->access->buffer].type.dtype;
  LLVMTypeRef element = type_in_memory(emitter, dtype);
  LLVMBasicBlockRef join = NULL, wanted;
  begin_if(emitter, work_wanted(nest->work, reach->access->buffer), &wanted);
  LLVMValueRef guard = reach_guard(nest, reach), lanes;
  if (nest_varies(nest, reach->depends)) {
    LLVMValueRef mask = both_masks(emitter, guard, nest->mask);
    LLVMValueRef pointer = reach_address(nest, reach, position, &lanes);
    if (mask) mask = widen(emitter, mask);
    LLVMValueRef old = load_lanes(nest, pointer, lanes, mask, dtype, 0);
    store_lanes(nest, add_values(emitter, old, widen(emitter, value), dtype), pointer, lanes, mask);
  } else {
    begin_if(emitter, guard, &join);
    LLVMValueRef pointer = reach_address(nest, reach, position, &lanes);
    LLVMValueRef old = load_from(emitter, element, element, pointer);
    LLVMSetAlignment(LLVMBuildStore(emitter->builder, add_values(emitter, old, value, dtype), pointer), 4);
    end_if(emitter, join);
  }
  end_if(emitter, wanted);
}

LLVMValueRef reach_index(Nest *nest, const Reach *reach) {
  Work *work = nest->work;
  Emitter *emitter = work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef sum = const_i64(emitter, 0);
  for (int k = 0; k < reach->access->map.naxes; k++) {
    LLVMValueRef exact, index = reach_axis(nest, reach, k, &exact), step = work_dim(work, reach->axis_stride[k]);
    if (is_vector(index)) {
      index = LLVMBuildSExt(builder, index, lanes_of(emitter->i64), "");
      sum = widen(emitter, sum);
    }
    if (is_vector(sum)) index = widen(emitter, index), step = splat(emitter, step);
    sum = LLVMBuildAdd(builder, sum, LLVMBuildMul(builder, index, step, ""), "");
  }
  return sum;
}
