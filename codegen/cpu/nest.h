/* What the files that emit kernels share. A Work is one kernel being emitted, a Nest one stage of it, a Reach one access
 * taken apart.
 *
 * A nest's loops stand in `order`, outermost first: kept ones, then folded ones. While code is emitted, at[loop] is the
 * loop's index at this point of the code plus shift[loop], which unrolling sets. If `vector` is a loop, code runs 16
 * neighbouring indices of it at once: at[vector] is the first, values that depend on it are vectors, all others are scalars,
 * computed once; `mask` (or NULL: all) says which lanes exist. A scalar of the plan is emitted as soon as all loops that it
 * depends on are open, so what does not vary in an inner loop is outside it. */
#ifndef NNC_NEST_H
#define NNC_NEST_H

#include "codegen/cpu/emit.h"

enum { LANES = 16, MAX_CARRIED = 80, MAX_CHAINS = 4 };

typedef struct KnownDim {
  const Dim *dim;
  LLVMValueRef value;
} KnownDim;
typedef struct Work {
  Emitter *emitter;
  const Kernel *kernel;
  Module *module;
  Arena *arena;
  LLVMBasicBlockRef entry; /* what is the same in the whole stage is computed here, before its branch */
  LLVMValueRef *pointers;  /* by buffer: its first element */
  Vec(KnownDim) dims;
  LLVMValueRef start[MAX_LOOPS], stop[MAX_LOOPS]; /* the task's tile of each task loop */
  int64_t trip[MAX_LOOPS];                        /* its constant length, or -1 */
  bool wanted; /* the stage's one result is known to be wanted: its stores need not ask */
} Work;

typedef struct Reach {
  const Access *access;
  bool plain; /* linear in the loops and always inside: base and strides say all */
  bool linear[MAX_RANK], guarded[MAX_RANK];
  const Dim *axis_stride[MAX_RANK];
  const Dim *base, *stride[MAX_LOOPS]; /* elements, of the linear axes */
  uint32_t depends;                    /* bit l: varies with loop l */
  LLVMValueRef partial[MAX_LOOPS + 2]; /* address with the first n loops of the order */
} Reach;

typedef struct Nest {
  Work *work;
  const Stage *stage;
  int before;      /* scalars computed at every point: all where nothing is folded */
  int count, kept; /* loops in order; how many of them are kept */
  int order[MAX_LOOPS];
  LLVMValueRef start[MAX_LOOPS], stop[MAX_LOOPS], at[MAX_LOOPS];
  int64_t trip[MAX_LOOPS], shift[MAX_LOOPS];
  int vector;
  LLVMValueRef mask;
  Reach **reach, **store_reach; /* by scalar (NULL without access), by store */
  int *level;                   /* by scalar: position of the innermost loop that it varies with, -1: none */
  uint32_t *depends;
  LLVMValueRef *value;               /* by scalar: what was emitted last */
  LLVMValueRef *folded;              /* by folder */
  LLVMValueRef carried[MAX_CARRIED]; /* accumulators, through loops that are open */
  int ncarried;
} Nest;

/* A loop being emitted: entered at least once, or guarded. */
typedef struct Looping {
  LLVMBasicBlockRef before, body, after;
  LLVMValueRef index, stop, step, initial[MAX_CARRIED], phi[MAX_CARRIED];
  bool guarded, once;
  int ncarried;
} Looping;

/* A stage's function, and the buffers that it is to be called with. */
typedef struct StageCall {
  LLVMValueRef function;
  int nbuffers;
  Id *buffers;
} StageCall;

/* ---- stages.c ---- */
void stage_function(Emitter *emitter, const Kernel *kernel, const Stage *stage, StageCall *call); /* fills in the call */
LLVMTypeRef stage_type(const Emitter *emitter);

/* ---- kernels.c ---- */
LLVMValueRef emit_function(Emitter *emitter, const char *name, LLVMTypeRef type); /* internal, for the processor */
bool loop_is_cut(const Loop *task);                                               /* into several tiles */
LLVMValueRef work_dim(Work *work, const Dim *dim);                                /* i64, in the entry block */
LLVMValueRef work_pointer(Work *work, Id buffer);
LLVMTypeRef type_in_memory(const Emitter *emitter, Dtype dtype);

/* ---- values.c: small pieces of IR ---- */
LLVMValueRef const_i64(const Emitter *emitter, int64_t value);
LLVMValueRef const_i32(const Emitter *emitter, int64_t value);
LLVMValueRef const_f32(const Emitter *emitter, double value);
LLVMTypeRef type_of_dtype(const Emitter *emitter, Dtype dtype);
LLVMTypeRef lanes_of(LLVMTypeRef type);
LLVMTypeRef like(LLVMValueRef value, LLVMTypeRef element); /* element, or its vector where value is a vector */
bool is_vector(LLVMValueRef value);
LLVMValueRef splat(Emitter *emitter, LLVMValueRef scalar);
LLVMValueRef widen(Emitter *emitter, LLVMValueRef value); /* splat, unless it is a vector */
LLVMValueRef const_like(LLVMValueRef value, LLVMValueRef constant);
LLVMValueRef lane_numbers(Emitter *emitter, LLVMTypeRef element, int64_t step); /* 0, step, 2*step, ... */
LLVMValueRef call_intrinsic(Emitter *emitter, const char *name, LLVMTypeRef *types, int ntypes, LLVMValueRef *arguments,
                            int count);
LLVMValueRef call_unary(Emitter *emitter, const char *name, LLVMValueRef a);             /* overloaded by its operand */
LLVMValueRef emit_fma(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c); /* or mul and add */
LLVMValueRef emit_floor(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_round(Emitter *emitter, LLVMValueRef x);
LLVMValueRef select_max(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, Dtype dtype, bool min);
LLVMValueRef both_masks(Emitter *emitter, LLVMValueRef a, LLVMValueRef b); /* either may be NULL */
LLVMValueRef masked_load(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef mask, LLVMValueRef other);
void masked_store(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef mask);
LLVMValueRef masked_gather(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointers, LLVMValueRef mask,
                           LLVMValueRef other);
void masked_scatter(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointers, LLVMValueRef mask);
LLVMValueRef tail_mask(Emitter *emitter, LLVMValueRef left); /* lanes below `left`, an i64 */
/* The lower and the upper half of a vector of 2 * half lanes: lanes are folded by a fixed tree of these. */
void split_lanes(Emitter *emitter, LLVMValueRef vector, int half, LLVMValueRef *low, LLVMValueRef *high);
LLVMValueRef sum_lanes(Emitter *emitter, LLVMValueRef vector);
LLVMValueRef constant_mask(Emitter *emitter, int64_t lanes);
LLVMBasicBlockRef new_block(Emitter *emitter, const char *name);

/* ---- loops.c ---- */
/* values: the carried ones before the loop; becomes the ones inside it. */
void loop_open(Emitter *emitter, Looping *loop, LLVMValueRef start, LLVMValueRef stop, int64_t step, int64_t trip,
               LLVMValueRef *values, int nvalues);
/* values: the ones at the end of the body; becomes the ones behind the loop. */
void loop_close(Emitter *emitter, Looping *loop, LLVMValueRef *values);
void nest_begin(Nest *nest, Work *work, const Stage *stage, int vector);
/* Adjacent loops that walk through memory as one become one; those in `stay` (bits) keep their number. */
void nest_collapse(Nest *nest, uint32_t stay);
void nest_start(Nest *nest); /* levels; what no loop changes */
void emit_each(Work *work, const Stage *stage);
void nest_addresses(Nest *nest, int position); /* at[order[position]] is set */
void nest_scalars(Nest *nest, int position);
void nest_enter(Nest *nest, int position); /* both */
void nest_after(Nest *nest);               /* the scalars from `after` on */
void nest_stores(Nest *nest);
/* Runs `body` over the kept loops from `position` on, the vector loop in vectors with a masked rest. */
typedef void NestBody(Nest *nest, void *context);
void nest_kept(Nest *nest, int position, NestBody *body, void *context);

/* ---- transpose.c ---- */
bool emit_transposed(Work *work, const Stage *stage); /* false: it is no such copy, nothing was emitted */

/* ---- folds.c ---- */
void emit_fold(Work *work, const Stage *stage);

/* ---- access.c ---- */
/* Of the storage: a LOCAL holds one tile of the task loops. */
const Dim *access_storage_size(const Plan *plan, const Kernel *kernel, const Access *access, int axis);
Reach *reach_of(Nest *nest, const Access *access);
void reach_enter(Nest *nest, Reach *reach, int position);
LLVMValueRef reach_guard(Nest *nest, const Reach *reach); /* NULL: always inside */
LLVMValueRef reach_load(Nest *nest, const Reach *reach, Dtype dtype, double absent, int position);
void reach_store(Nest *nest, const Reach *reach, LLVMValueRef value, int position);
/* Adds value to the element where it is inside. */
void reach_add(Nest *nest, const Reach *reach, LLVMValueRef value, int position);
LLVMValueRef reach_axis(Nest *nest, const Reach *reach, int axis, LLVMValueRef *exact); /* i64, or vector of i32 */
LLVMValueRef reach_index(Nest *nest, const Reach *reach); /* row-major index: i64, or vector of i64 */
LLVMTypeRef reach_type(Nest *nest, const Reach *reach);   /* of an element in memory */
LLVMValueRef access_advance(Work *work, LLVMValueRef pointer, LLVMValueRef elements, LLVMTypeRef type);
LLVMValueRef nest_at(Nest *nest, int loop); /* at + shift */
LLVMValueRef work_dim_times(Work *work, const Dim *dim, LLVMValueRef factor);
bool nest_varies(const Nest *nest, uint32_t depends);
LLVMValueRef begin_if(Emitter *emitter, LLVMValueRef condition, LLVMBasicBlockRef *join);
void end_if(Emitter *emitter, LLVMBasicBlockRef join);
LLVMValueRef work_wanted(Work *work, Id buffer); /* i1: a result's array is there; NULL: always */

/* ---- scalars.c ---- */
LLVMValueRef emit_scalar(Nest *nest, int scalar, int position);
LLVMValueRef number_value(const Emitter *emitter, Dtype dtype, double number);
LLVMValueRef emit_elementwise(Emitter *emitter, int op, Dtype from, Dtype to, LLVMValueRef a, LLVMValueRef b,
                              LLVMValueRef c);
bool stage_is_heavy(const Stage *stage, int from); /* long code at each point: not to be repeated */

/* ---- tile.c, special.c ---- */
void emit_contract(Work *work, const Stage *stage);
void emit_scatter(Work *work, const Stage *stage);
void emit_sort(Work *work, const Stage *stage);
void emit_cumsum(Work *work, const Stage *stage);

#endif
