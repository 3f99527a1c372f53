/* Code into this process: the very bytes that would be an object file are linked in memory by ORC, so what runs here is
 * what is shipped. The three functions that it may call are given by address; nothing else is looked up. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <string.h>

struct Loaded {
  LLVMOrcLLJITRef jit;
  const nn_model *model;
  Arena *arena;
};

/* True if there was none; takes the error. */
static bool took_no_error(LLVMErrorRef error, Failure *failure) {
  if (!error) return true;
  char *why = LLVMGetErrorMessage(error);
  fail(failure, EXIT_ENVIRONMENT, "the code can't be loaded: %s", why);
  LLVMDisposeErrorMessage(why);
  return false;
}

static LLVMOrcCSymbolMapPair absolute(LLVMOrcLLJITRef jit, const char *name, uint64_t address) {
  LLVMOrcCSymbolMapPair pair = {.Name = LLVMOrcLLJITMangleAndIntern(jit, name), .Sym = {.Address = address}};
  pair.Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
  return pair;
}

static bool define_functions(LLVMOrcLLJITRef jit, Failure *failure) {
  void *(*const copy)(void *, const void *, size_t) = memcpy;
  void *(*const move)(void *, const void *, size_t) = memmove;
  void *(*const set)(void *, int, size_t) = memset;
  LLVMOrcCSymbolMapPair pairs[] = {absolute(jit, "memcpy", (uint64_t)(uintptr_t)copy),
                                   absolute(jit, "memmove", (uint64_t)(uintptr_t)move),
                                   absolute(jit, "memset", (uint64_t)(uintptr_t)set)};
  LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, COUNT_OF(pairs));
  LLVMErrorRef error = LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), unit);
  if (error) LLVMOrcDisposeMaterializationUnit(unit);
  return took_no_error(error, failure);
}

/* Takes the buffer. */
static bool load(Loaded *loaded, LLVMMemoryBufferRef buffer, const Module *module, Failure *failure) {
  if (!took_no_error(LLVMOrcCreateLLJIT(&loaded->jit, NULL), failure)) {
    LLVMDisposeMemoryBuffer(buffer);
    return false;
  }
  if (!define_functions(loaded->jit, failure)) {
    LLVMDisposeMemoryBuffer(buffer);
    return false;
  }
  LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(loaded->jit);
  if (!took_no_error(LLVMOrcLLJITAddObjectFile(loaded->jit, library, buffer), failure)) return false;
  LLVMOrcExecutorAddress address = 0;
  const char *name = arena_format(loaded->arena, "%s_model", module->name);
  if (!took_no_error(LLVMOrcLLJITLookup(loaded->jit, &address, name), failure)) return false;
  loaded->model = (const nn_model *)(uintptr_t)address;
  return true;
}

Loaded *codegen_load(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Failure *failure) {
  LLVMMemoryBufferRef buffer = object_make(module, plans, count, options, OUTPUT_OBJECT, failure);
  if (!buffer) return NULL;
  Arena *arena = arena_new();
  Loaded *loaded = NEW(arena, Loaded);
  loaded->arena = arena;
  if (load(loaded, buffer, module, failure)) return loaded;
  codegen_unload(loaded);
  return NULL;
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
