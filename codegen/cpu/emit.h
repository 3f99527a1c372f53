/* What the files of codegen/cpu share: the LLVM objects of one compilation and the shape of a frame.
 *
 * Stages are functions; kernels are numbers (kernels.c) that one function, the runner, reads to run a task. The frame is
 * what an entry fills on its stack once per call:
 *
 *   int64_t dims[module dims, turns included]   by symbol index
 *   void *arguments[parameters]                 a scalar parameter: a pointer to its value
 *   void *results[results]                      NULL: not wanted
 *   void *state
 *   char *scratch                               the arena
 *   char *locals; int64_t local_bytes           worker w's part is locals + w * local_bytes
 *   void *pointers[buffers of the plan]         where each lies, by buffer Id (LOCAL: nothing)
 *   int64_t measures[of the program]            the sizes that the program's numbers refer to
 *
 * all fields 8 bytes wide, in this order, so a field is at index * 8. */
#ifndef NNC_EMIT_H
#define NNC_EMIT_H

#include "ir/plan.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

typedef struct Processor {
  const char *name; /* what LLVM calls it */
  const char *features;
  bool fma;        /* has fused multiply-add: llvm.fma is one instruction */
  int vector_bits; /* 512, 256, 128: the widest registers; code uses 16 logical lanes on every processor */
  int registers;   /* vector registers of that width: 32 or 16 */
} Processor;

typedef struct Stages Stages;
typedef struct Debug Debug;
typedef struct Emitter {
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMBuilderRef builder;
  const Processor *processor;
  const Plan *plan; /* the one being emitted */
  LLVMValueRef function, frame;
  LLVMTypeRef f32, i1, i8, i32, i64, pointer, v16f32, v16i32, v16i1, v16i64;
  Stages *stages;     /* which have functions; NULL: none yet */
  Debug *debug;       /* -g; else NULL */
  const char *suffix; /* behind every kernel's name: ".znver4" where several processors are compiled for; NULL: none */
} Emitter;

/* Field indices of a frame of this plan (multiply by 8 for bytes). */
int frame_dim(const Plan *plan, int symbol);
int frame_argument(const Plan *plan, int parameter);
int frame_result(const Plan *plan, int result);
int frame_state(const Plan *plan);
int frame_scratch(const Plan *plan);
int frame_locals(const Plan *plan);
int frame_local_bytes(const Plan *plan);
int frame_pointer(const Plan *plan, Id buffer);
int frame_measure(const Plan *plan, int measure);

/* A plan's kernels, as kernels.c describes. */
typedef struct Program {
  Vec(int32_t) numbers;
  Vec(const Dim *) measures;
  Vec(LLVMValueRef) functions;   /* of stages */
  int most_buffers, most_locals; /* of a stage, of a kernel */
} Program;
int frame_fields(const Plan *plan, const Program *program); /* how many */

/* Sets up the types of an emitter; context, module and processor are set. Makes the builder. */
void emitter_begin(Emitter *emitter);
void emitter_end(Emitter *emitter);

/* kernels.c: the stages' functions of all kernels of the plan, internal, with the processor's features as attributes; their
 * names are "<model>_<kernel>.<stage>" plus, if several processors are compiled for, ".<processor>". */
void emit_program(Emitter *emitter, Program *program);
/* A CONSTANT buffer's array in read-only data. */
LLVMValueRef emit_constant(Emitter *emitter, Id buffer);
void carry_processor(Emitter *emitter, LLVMValueRef function, const Processor *processor); /* its code is for that one */

/* runner.c: fills in void(const frame *, functions, numbers, int64_t kernel, int64_t task, int64_t worker). */
void emit_runner(Emitter *emitter, LLVMValueRef function, int most_buffers, int most_locals);

/* stages.c: a table of stages' functions, which the emitters, each with a context and module of its own, make in turns. */
typedef struct StageCode StageCode;
struct Stages {
  Arena *arena;
  Emitter **emitters;
  int64_t *filled; /* by emitter: instructions */
  int nemitters;
  Vec(StageCode *) codes;
};
Stages *stages_new(Arena *arena, Emitter **emitters, int count);
void stages_count(Stages *stages, LLVMModuleRef module); /* its functions fill the first emitter too */

/* debug.c: the emitter gets debug information, whose unit is this source. Between begin and end the builder's instructions
 * belong to the place; these do nothing without -g. To be finished before code is generated. */
void debug_new(Emitter *emitter, Arena *arena, const Source *source, const char *compiler);
void debug_begin(Emitter *emitter, LLVMValueRef function, const Place *place);
void debug_end(Emitter *emitter);
void debug_finish(Emitter *emitter);

/* A Dim as an i64 at run time, from the frame. */
LLVMValueRef emit_dim(Emitter *emitter, const Dim *dim);

/* math.c: vector math, inline, on <16 x float> or float. */
LLVMValueRef emit_exp(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_log(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_tanh(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_erf(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_sin(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_cos(Emitter *emitter, LLVMValueRef x);
LLVMValueRef emit_pow(Emitter *emitter, LLVMValueRef x, LLVMValueRef y);

#endif
