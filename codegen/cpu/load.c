/* Code into this process: the very code that would be in an object file, made by all processors at once, is linked in memory
 * by ORC, so what runs here is what is shipped. The functions that it may call are given by address; nothing else is
 * looked up. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PARTS = 16 };

struct Loaded {
  LLVMOrcLLJITRef jit;
  const nn_model *model;
  Arena *arena;
};

/* True if there was none; takes the error. */
static bool took_no_error(LLVMErrorRef error, Failure *failure) {
  if (!error) return true;
  char *why = llvm_text(LLVMGetErrorMessage(error));
  fail(failure, EXIT_ENVIRONMENT, "the code can't be loaded: %s", why);
  LLVMDisposeErrorMessage(why);
  return false;
}

static LLVMOrcCSymbolMapPair absolute(LLVMOrcLLJITRef jit, const char *name, uint64_t address) {
  LLVMOrcCSymbolMapPair pair = {.Name = LLVMOrcLLJITMangleAndIntern(jit, name), .Sym = {.Address = address}};
  pair.Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
  return pair;
}

static bool define(LLVMOrcLLJITRef jit, LLVMOrcCSymbolMapPair *pairs, int count, Failure *failure) {
  LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, (size_t)count);
  LLVMErrorRef error = LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), unit);
  if (error) LLVMOrcDisposeMaterializationUnit(unit);
  return took_no_error(error, failure);
}

static bool define_externals(LLVMOrcLLJITRef jit, const ExternalFunction *external, Failure *failure) {
  bool good = true;
  for (; good && external && external->name; external++) {
    LLVMOrcCSymbolMapPair pair = absolute(jit, external->name, (uint64_t)(uintptr_t)external->address);
    good = define(jit, &pair, 1, failure);
  }
  return good;
}

static bool define_functions(LLVMOrcLLJITRef jit, Failure *failure) {
  void *(*const copy)(void *, const void *, size_t) = memcpy;
  void *(*const move)(void *, const void *, size_t) = memmove;
  void *(*const set)(void *, int, size_t) = memset;
  LLVMOrcCSymbolMapPair pairs[] = {absolute(jit, "memcpy", (uint64_t)(uintptr_t)copy),
                                   absolute(jit, "memmove", (uint64_t)(uintptr_t)move),
                                   absolute(jit, "memset", (uint64_t)(uintptr_t)set)};
  return define(jit, pairs, COUNT_OF(pairs), failure);
}

static bool find_model(Loaded *loaded, const char *model, Failure *failure) {
  LLVMOrcExecutorAddress address = 0;
  const char *name = arena_format(loaded->arena, "%s_model", model);
  if (!took_no_error(LLVMOrcLLJITLookup(loaded->jit, &address, name), failure)) return false;
  loaded->model = (const nn_model *)(uintptr_t)address;
  return true;
}

/* Takes the buffers. */
static bool link_parts(Loaded *loaded, LLVMMemoryBufferRef *parts, int count, const ExternalFunction *externals,
                       Failure *failure) {
  bool good = took_no_error(LLVMOrcCreateLLJIT(&loaded->jit, NULL), failure) && define_functions(loaded->jit, failure) &&
              define_externals(loaded->jit, externals, failure);
  for (int k = 0; k < count; k++) {
    if (!good) {
      LLVMDisposeMemoryBuffer(parts[k]);
      continue;
    }
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(loaded->jit);
    good = took_no_error(LLVMOrcLLJITAddObjectFile(loaded->jit, library, parts[k]), failure);
  }
  return good;
}

static int count_parts(Plan *const *plans, int count) {
  int kernels = 0, processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  for (int k = 0; k < count; k++) kernels += plans[k]->kernels.count;
  return MAX(1, MIN(MIN(processors, kernels), MAX_PARTS));
}

/* Takes the buffers. */
static Loaded *load_parts(const char *model, LLVMMemoryBufferRef *parts, int count, const ExternalFunction *externals,
                          Failure *failure) {
  Arena *arena = arena_new();
  Loaded *loaded = NEW(arena, Loaded);
  loaded->arena = arena;
  start_llvm();
  if (link_parts(loaded, parts, count, externals, failure) && find_model(loaded, model, failure)) return loaded;
  codegen_unload(loaded);
  return NULL;
}

Loaded *codegen_load(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Failure *failure) {
  LLVMMemoryBufferRef parts[MAX_PARTS];
  int nparts = object_make(module, plans, count, options, OUTPUT_OBJECT, count_parts(plans, count), parts, failure);
  return nparts > 0 ? load_parts(module->name, parts, nparts, options->externals, failure) : NULL;
}

/* ---- code that is kept: each part's length in 8 bytes, then the part ---- */

bool codegen_compile(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Text *code,
                     Failure *failure) {
  LLVMMemoryBufferRef parts[MAX_PARTS];
  int nparts = object_make(module, plans, count, options, OUTPUT_OBJECT, count_parts(plans, count), parts, failure);
  for (int k = 0; k < nparts; k++) {
    uint64_t length = LLVMGetBufferSize(parts[k]);
    text_add_bytes(code, (const char *)&length, sizeof length);
    text_add_bytes(code, LLVMGetBufferStart(parts[k]), length);
    LLVMDisposeMemoryBuffer(parts[k]);
  }
  return nparts > 0;
}

Loaded *codegen_load_code(const char *model, const char *code, size_t length, const ExternalFunction *externals,
                          Failure *failure) {
  LLVMMemoryBufferRef parts[MAX_PARTS];
  int count = 0;
  for (uint64_t part; length >= sizeof part && count < MAX_PARTS; count++) {
    memcpy(&part, code, sizeof part);
    if (part > length - sizeof part) break;
    parts[count] = LLVMCreateMemoryBufferWithMemoryRangeCopy(code + sizeof part, part, "part");
    code += sizeof part + part;
    length -= sizeof part + part;
  }
  if (length > 0) {
    for (int k = 0; k < count; k++) LLVMDisposeMemoryBuffer(parts[k]);
    fail(failure, EXIT_ENVIRONMENT, "the code that was kept of %s is damaged", model);
    return NULL;
  }
  return load_parts(model, parts, count, externals, failure);
}

bool codegen_circumstances(const CodegenOptions *options, Text *out) {
  unsigned major, minor, patch;
  set_llvm_handlers();
  LLVMGetVersion(&major, &minor, &patch);
  text_add(out, "LLVM %u.%u.%u\n", major, minor, patch);
  const char *list = options->cpus ? options->cpus : "native";
  Arena *arena = arena_new();
  char *host = llvm_text(LLVMGetDefaultTargetTriple());
  const Architecture *architecture = architecture_find(options->triple ? options->triple : host);
  const Processor *native = architecture ? processor_find(arena, architecture, "native") : NULL;
  text_add(out, "%s for %s\n", list, options->triple ? options->triple : host);
  if (strstr(list, "native") && native) text_add(out, "native: %s %s\n", native->name, native->features);
  LLVMDisposeMessage(host);
  arena_free(arena);
  return architecture != NULL;
}

const nn_model *loaded_model(const Loaded *loaded) { return loaded->model; }

void codegen_unload(Loaded *loaded) {
  if (!loaded) return;
  if (loaded->jit) {
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(loaded->jit);
    if (error) LLVMConsumeError(error);
  }
  arena_free(loaded->arena);
}
