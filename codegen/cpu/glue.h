/* What the files share that emit the code around kernels: entries, the description, init. All of it is plain scalar code
 * for the oldest processor of the target (draw.c alone has vectors), with nothing that may be called but memcpy, memset,
 * memmove. */
#ifndef NNC_GLUE_H
#define NNC_GLUE_H

#include "codegen/cpu/processor.h"
#include "codegen/interface.h"

/* One entry's functions, and each version's kernels. */
typedef struct EntryCode {
  LLVMValueRef entry, scratch;          /* exported, with the entry's own arguments */
  LLVMValueRef call, scratch_at, sizes; /* nn_entry's three */
  LLVMValueRef place;                   /* i64 (frame): fills in offsets, gives the arena's end */
  LLVMValueRef lives;                   /* with AddressSanitizer: void (frame, launch, done); else NULL */
  Program program;                      /* its kernels */
  LLVMValueRef functions, numbers;      /* constant tables; functions: by version, then as the program has them */
} EntryCode;

typedef struct KnownSize {
  const Dim *dim;
  LLVMValueRef value;
} KnownSize;

typedef struct Part Part;
typedef struct Object {
  Emitter emitter; /* of the first part; frame: the dims that emit_dim reads */
  Part *parts;     /* known to object.c */
  int nparts;
  Arena *arena;
  const Module *module;
  Plan *const *plans;
  int count;
  const CodegenOptions *options;
  StateLayout layout;
  const char *triple;
  const Architecture *architecture;
  const Processor **versions; /* the most able first */
  int nversions;
  LLVMValueRef init, get, set, error, model;  /* exported */
  LLVMValueRef host_init, host_get, host_set; /* the same on a state in the host's memory */
  LLVMValueRef symbols;                       /* the description's table */
  LLVMValueRef execute;
  EntryCode *entries;
  Vec(KnownSize) sizes; /* of the function being emitted */
} Object;

/* ---- glue.c ---- */
LLVMValueRef glue_declare(Object *object, const char *name, LLVMTypeRef result, LLVMTypeRef *arguments, int count,
                          bool exported);
/* It runs once in a call at most: LLVM is to make it quickly, not well. */
LLVMValueRef glue_once(Object *object, LLVMValueRef function);
const char *glue_name(Object *object, const char *what); /* "lenet.what": of an internal function */
void glue_begin(Object *object, LLVMValueRef function);  /* its first block; forgets sizes */
LLVMValueRef glue_int(Object *object, int64_t value);    /* i32 */
LLVMValueRef glue_long(Object *object, int64_t value);   /* i64 */
LLVMValueRef glue_null(Object *object);
LLVMBasicBlockRef glue_block(Object *object);
LLVMValueRef glue_at(Object *object, LLVMValueRef pointer, int64_t bytes);
LLVMValueRef glue_element(Object *object, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef index);
LLVMValueRef glue_load(Object *object, LLVMTypeRef type, LLVMValueRef pointer, int64_t bytes);
void glue_store(Object *object, LLVMValueRef value, LLVMValueRef pointer, int64_t bytes);
LLVMValueRef glue_call(Object *object, LLVMValueRef function, LLVMValueRef *arguments, int count);
LLVMValueRef glue_compare(Object *object, LLVMIntPredicate predicate, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef glue_array(Object *object, LLVMTypeRef element, int64_t count); /* on the stack, in the first block */
LLVMValueRef glue_size(Object *object, const Dim *dim);                      /* emit_dim, each only once in a function */
/* Returns the code (of enum NN_*) unless the condition holds. */
void glue_demand(Object *object, LLVMValueRef condition, int code);
/* State or scratch: there, and aligned. */
void glue_demand_memory(Object *object, LLVMValueRef pointer);
/* if (condition) { ... }: the code between is emitted into the block. */
LLVMBasicBlockRef glue_if(Object *object, LLVMValueRef condition);
void glue_end_if(Object *object, LLVMBasicBlockRef after);

/* for (index = 0; index < count; index++) { ... } with up to one carried value. */
typedef struct Turns {
  LLVMBasicBlockRef head, after;
  LLVMValueRef index, carried;
} Turns;
void turns_open(Object *object, Turns *turns, LLVMValueRef count, LLVMValueRef carried);
void turns_close(Object *object, Turns *turns, LLVMValueRef carried); /* then turns->carried is the last */

/* Constants in read-only memory. */
LLVMValueRef glue_constant(Object *object, LLVMValueRef value, const char *name);
LLVMValueRef glue_string(Object *object, const char *text);
LLVMValueRef glue_struct(Object *object, LLVMValueRef *fields, int count);
LLVMValueRef glue_table(Object *object, LLVMTypeRef type, LLVMValueRef *items, int count, const char *name); /* pointer */

/* ---- entry.c ---- */
void declare_entries(Object *object);
void emit_entry(Object *object, int entry);
/* ---- executor.c ---- */
void emit_executor(Object *object);
/* ---- gpu.c: where options->cuda is set, entries and the state's functions go to runtime/cuda.c ---- */
LLVMValueRef gpu_staging_bytes(Object *object, int entry); /* i64: what arrays of the host need behind the arena */
/* i32: the code that the call gives. */
LLVMValueRef emit_gpu_execute(Object *object, int entry, LLVMValueRef run, LLVMValueRef frame, LLVMValueRef launches,
                              LLVMValueRef counts, LLVMValueRef extents);
void emit_gpu_state_functions(Object *object);
/* ---- describe.c ---- */
void describe_symbols(Object *object);
void describe_model(Object *object);
/* ---- initial.c ---- */
void declare_state_functions(Object *object);
void emit_state_functions(Object *object);
/* ---- draw.c: twins of ir/random.c ---- */
typedef struct Draws {
  LLVMValueRef key; /* i32 (stream, key) */
  /* void (ptr floats, i64 start, i64 count, i32 key, double a, double b): a + b * u or a * z for elements `start` and on;
   * floats has room for DRAW_PADDING more than `count` */
  LLVMValueRef uniform, normal;
} Draws;
enum { DRAW_PADDING = 7 };
Draws emit_draws(Object *object, bool uniform, bool normal);   /* those that are wanted, else NULL */
LLVMValueRef emit_square_root(Object *object, LLVMValueRef x); /* one instruction: no libm */
/* orthogonal.c: void (ptr to, ptr symbol, i64 rows, i64 columns, double gain), of what lies there. place: i64 (symbol,
 * index), where an element of the canonical order lies. */
LLVMValueRef emit_orthogonal(Object *object, LLVMValueRef place);
LLVMValueRef emit_random_key(Object *object, const Draws *draws, LLVMValueRef stream, LLVMValueRef key);
/* ---- requirements.c ---- */
/* i32: the first version whose processor this is able to be, -1: none. */
LLVMValueRef emit_choose_version(Object *object);

/* ---- sanitize.c ---- */
void sanitize_module(Emitter *emitter, Sanitizer sanitizer);
/* Around a call: all bytes of scratch hold NaN, those before the workers' locals may not be touched; all may be again. */
void sanitize_forbid(Object *object, LLVMValueRef scratch, LLVMValueRef locals, LLVMValueRef all);
void sanitize_allow(Object *object, LLVMValueRef scratch, LLVMValueRef all);
LLVMValueRef sanitize_lives(Object *object, const Plan *plan, const char *name);

/* ---- object.c ---- */
void set_llvm_handlers(void); /* of a want of memory: before anything of LLVM that allocates; the same */
void start_llvm(void);        /* before anything that knows targets; more often does no harm */
/* Object files in memory, as many as parts; 0 with a failure. All but the first hold kernels alone. */
int object_make(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                int parts, LLVMMemoryBufferRef *made, Failure *failure);

#endif
