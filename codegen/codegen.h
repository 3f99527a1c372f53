/* From plans to machine code. LLVM is known to the files of codegen/cpu alone; others see this header. */
#ifndef NNC_CODEGEN_H
#define NNC_CODEGEN_H

#include "ir/plan.h"

typedef struct ExternalFunction {
  const char *name;
  void (*address)(void);
} ExternalFunction;
/* Whose runtime is told of each access of memory; scratch is poisoned then. */
typedef enum Sanitizer { SANITIZE_NONE, SANITIZE_ADDRESS, SANITIZE_THREAD, SANITIZER_COUNT } Sanitizer;
typedef struct CodegenOptions {
  const char *cpus;   /* "native", an LLVM name ("x86-64-v3", "znver4", "x86-64"), or several with commas: every
                                kernel is made for each, and chosen once at the entry, the most able first. NULL: native,
                                or what suits the triple */
  const char *triple; /* NULL: the host's */
  uint64_t source_hash;
  const char *compiler; /* "nnc 0.1.0" */
  bool debug_lines;     /* -g */
  Sanitizer sanitize;
  bool shared;                       /* the object is for a .so: it exports nn_model too */
  const ExternalFunction *externals; /* for loading: what the code may call beside libc's; ends with NULL */
  const struct CudaCode *cuda;       /* the kernels, of the same plans; NULL: they are made for the processor */
} CodegenOptions;

typedef enum CodegenOutput { OUTPUT_OBJECT, OUTPUT_ASSEMBLY, OUTPUT_LLVM } CodegenOutput;

/* All planned entries of a module as bytes of one object file (or text); the symbols are those of the header that
 * header_print writes. False with a failure where the target is unknown. */
bool codegen_emit(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                  Text *bytes, Failure *failure);
/* The C header beside the object. */
void header_print(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Text *out);

/* Loads the code into this process (ORC LLJIT); the model stays valid until unload. */
typedef struct Loaded Loaded;
struct nn_model;
Loaded *codegen_load(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Failure *failure);
/* The same in two steps, so that the code can be kept: what it is made of is known to this nnc alone. */
bool codegen_compile(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Text *code,
                     Failure *failure);
Loaded *codegen_load_code(const char *model, const char *code, size_t length, const ExternalFunction *externals,
                          Failure *failure);
/* What code depends on beside plans and options, in words: LLVM, and what "native" stands for. */
bool codegen_circumstances(const CodegenOptions *options, Text *out);
const struct nn_model *loaded_model(const Loaded *loaded);
void codegen_unload(Loaded *loaded);

/* Where each symbol lies in the state block, in bytes: behind a head of 64, those that a fn may use come first. The same
 * for every target. */
typedef struct StateLayout {
  int64_t *offset; /* by symbol */
  int64_t bytes, inference_bytes;
} StateLayout;
StateLayout state_layout(const Module *module);

#endif
