/* Loads one LLVM module into a test. Nothing of the process is visible to it but memcpy, memset and memmove, so code that
 * calls libm does not load. */
#ifndef NNC_TEST_JIT_H
#define NNC_TEST_JIT_H

#include "codegen/cpu/emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm/Config/llvm-config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Jit {
  LLVMOrcThreadSafeContextRef safe;
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMOrcLLJITRef jit;
} Jit;

static inline void jit_check(LLVMErrorRef error) {
  if (!error) return;
  fprintf(stderr, "%s\n", LLVMGetErrorMessage(error));
  abort();
}

static inline void jit_begin(Jit *jit, Emitter *emitter, const Processor *processor) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
#if LLVM_VERSION_MAJOR < 21
  jit->safe = LLVMOrcCreateNewThreadSafeContext();
  jit->context = LLVMOrcThreadSafeContextGetContext(jit->safe);
#else
  jit->context = LLVMContextCreate();
  jit->safe = LLVMOrcCreateNewThreadSafeContextFromLLVMContext(jit->context);
#endif
  jit->module = LLVMModuleCreateWithNameInContext("test", jit->context);
  *emitter = (Emitter){.context = jit->context, .module = jit->module, .processor = processor};
  emitter_begin(emitter);
}

/* Verifies, compiles; the address of `name` comes from jit_find. */
static inline void jit_end(Jit *jit, Emitter *emitter) {
  char *why = NULL;
  emitter_end(emitter);
  if (LLVMVerifyModule(jit->module, LLVMReturnStatusAction, &why)) {
    char *text = LLVMPrintModuleToString(jit->module);
    fprintf(stderr, "%s\n%s\n", text, why);
    abort();
  }
  LLVMDisposeMessage(why);
  jit_check(LLVMOrcCreateLLJIT(&jit->jit, NULL));
  static const char *const names[] = {"memcpy", "memset", "memmove"};
  void *const addresses[] = {(void *)memcpy, (void *)memset, (void *)memmove};
  LLVMOrcCSymbolMapPair pairs[3];
  for (int k = 0; k < 3; k++) {
    pairs[k].Name = LLVMOrcLLJITMangleAndIntern(jit->jit, names[k]);
    pairs[k].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)addresses[k];
    pairs[k].Sym.Flags = (LLVMJITSymbolFlags){LLVMJITSymbolGenericFlagsExported, 0};
  }
  LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit->jit);
  jit_check(LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(pairs, 3)));
  LLVMOrcThreadSafeModuleRef safe = LLVMOrcCreateNewThreadSafeModule(jit->module, jit->safe);
  jit_check(LLVMOrcLLJITAddLLVMIRModule(jit->jit, library, safe));
}

static inline void *jit_find(Jit *jit, const char *name) {
  LLVMOrcExecutorAddress address;
  jit_check(LLVMOrcLLJITLookup(jit->jit, &address, name));
  return (void *)(uintptr_t)address;
}

static inline void jit_free(Jit *jit) {
  jit_check(LLVMOrcDisposeLLJIT(jit->jit));
  LLVMOrcDisposeThreadSafeContext(jit->safe);
}

#endif
