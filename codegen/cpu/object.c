/* From plans to one object: LLVM's module, filled by the emitters, goes through the target machine once, without any of
 * LLVM's optimising passes: the emitters write what they want (measured: default<O2> costs as much as code generation and
 * saves nothing).
 *
 * Code around kernels is for the target's oldest processor; kernels carry their processor as attributes, and are emitted
 * once for each processor asked for. Nothing here depends on the machine, the time or the folder, unless "native" is
 * asked for. */
#include "codegen/cpu/glue.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

static int by_ability(const void *a, const void *b) {
  return processor_compare(*(const Processor *const *)a, *(const Processor *const *)b);
}

/* The list, most able first, each once. */
static bool find_versions(Object *object, Failure *failure) {
  const char *list = object->options->cpus ? object->options->cpus : "native";
  object->versions = NEW_ARRAY(object->arena, const Processor *, strlen(list) + 1);
  while (*list) {
    size_t length = strcspn(list, ",");
    char *name = arena_copy(object->arena, list, length + 1);
    name[length] = 0;
    const Processor *processor = processor_find(object->arena, name);
    if (!processor) {
      return fail(failure, EXIT_INPUT, "--cpu: unknown processor '%s'; x86-64, x86-64-v3, x86-64-v4 and native are known",
                  name);
    }
    bool known = false;
    for (int k = 0; k < object->nversions; k++) known |= strcmp(object->versions[k]->name, processor->name) == 0;
    if (!known) object->versions[object->nversions++] = processor;
    list += length + (list[length] == ',');
  }
  if (object->nversions == 0) return fail(failure, EXIT_INPUT, "--cpu: no processor is named");
  qsort(object->versions, (size_t)object->nversions, sizeof *object->versions, by_ability);
  return true;
}

static bool check_initialisers(const Module *module, Failure *failure) {
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    if (symbol->init.kind != INIT_ORTHOGONAL) continue;
    return fail(failure, EXIT_INPUT, "%s: compiled models can't draw orthogonal weights yet; start it by normal or xavier",
                symbol->name);
  }
  return true;
}

static LLVMTargetMachineRef target_machine(const char *triple, Failure *failure) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser(); /* of inline assembly */
  LLVMTargetRef target;
  char *why = NULL;
  bool known = strncmp(triple, "x86_64", 6) == 0 && LLVMGetTargetFromTriple(triple, &target, &why) == 0;
  LLVMDisposeMessage(why);
  if (!known) {
    fail(failure, EXIT_INPUT, "--triple: no code can be made for '%s'; x86_64-linux-gnu is what is known", triple);
    return NULL;
  }
  LLVMTargetMachineRef machine =
      LLVMCreateTargetMachine(target, triple, "x86-64", "", LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
  if (!machine) fail(failure, EXIT_ENVIRONMENT, "LLVM makes no target machine for '%s'", triple);
  return machine;
}

/* ---- filling the module ---- */

/* All versions' kernels, and the table of their addresses. */
static void emit_kernels(Object *object, int entry) {
  Emitter *emitter = &object->emitter;
  Plan *plan = object->plans[entry];
  int count = plan->kernels.count;
  LLVMValueRef *all = NEW_ARRAY(object->arena, LLVMValueRef, object->nversions * count + 1);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_STATE) buffer->offset = object->layout.offset[buffer->index];
  }
  emitter->plan = plan;
  for (int version = 0; version < object->nversions; version++) {
    emitter->processor = object->versions[version];
    emitter->suffix = object->nversions > 1 ? arena_format(object->arena, ".%s", emitter->processor->name) : NULL;
    for (int k = 0; k < count; k++) {
      all[version * count + k] = emit_kernel(emitter, k);
      LLVMSetLinkage(all[version * count + k], LLVMInternalLinkage);
    }
  }
  object->entries[entry].kernels = glue_table(object, emitter->pointer, all, object->nversions * count, "kernel_table");
}

static void fill_module(Object *object) {
  declare_state_functions(object);
  declare_entries(object);
  for (int k = 0; k < object->count; k++) emit_kernels(object, k);
  emit_executor(object);
  for (int k = 0; k < object->count; k++) emit_entry(object, k);
  describe_symbols(object);
  emit_state_functions(object);
  describe_model(object);
}

static void verify_module(const Object *object) {
#ifndef NDEBUG
  char *why = NULL;
  if (LLVMVerifyModule(object->emitter.module, LLVMReturnStatusAction, &why)) bug("LLVM: %s", why);
  LLVMDisposeMessage(why);
#else
  (void)object;
#endif
}

/* ---- out ---- */

static LLVMMemoryBufferRef printed(const Object *object) {
  char *text = LLVMPrintModuleToString(object->emitter.module);
  LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "text");
  LLVMDisposeMessage(text);
  return buffer;
}

static LLVMMemoryBufferRef compiled(const Object *object, LLVMTargetMachineRef machine, CodegenOutput output) {
  LLVMCodeGenFileType type = output == OUTPUT_ASSEMBLY ? LLVMAssemblyFile : LLVMObjectFile;
  LLVMMemoryBufferRef buffer = NULL;
  char *why = NULL;
  if (LLVMTargetMachineEmitToMemoryBuffer(machine, object->emitter.module, type, &why, &buffer)) bug("LLVM: %s", why);
  return buffer;
}

static LLVMMemoryBufferRef make(Object *object, LLVMTargetMachineRef machine, const char *triple, CodegenOutput output) {
  Emitter *emitter = &object->emitter;
  emitter->context = LLVMContextCreate();
  emitter->module = LLVMModuleCreateWithNameInContext(object->module->name, emitter->context);
  LLVMTargetDataRef data = LLVMCreateTargetDataLayout(machine);
  LLVMSetModuleDataLayout(emitter->module, data);
  LLVMDisposeTargetData(data);
  LLVMSetTarget(emitter->module, triple);
  emitter->processor = object->versions[object->nversions - 1];
  emitter_begin(emitter);
  fill_module(object);
  verify_module(object);
  LLVMMemoryBufferRef buffer = output == OUTPUT_LLVM ? printed(object) : compiled(object, machine, output);
  emitter_end(emitter);
  LLVMDisposeModule(emitter->module);
  LLVMContextDispose(emitter->context);
  return buffer;
}

LLVMMemoryBufferRef object_make(const Module *module, Plan *const *plans, int count, const CodegenOptions *options,
                                CodegenOutput output, Failure *failure) {
  Object object = {.module = module, .plans = plans, .count = count, .options = options, .arena = arena_new()};
  char *host = LLVMGetDefaultTargetTriple();
  const char *triple = options->triple ? options->triple : host;
  LLVMMemoryBufferRef buffer = NULL;
  LLVMTargetMachineRef machine = NULL;
  bool good = interface_verify(module, failure) && check_initialisers(module, failure) && find_versions(&object, failure);
  if (good) machine = target_machine(triple, failure);
  if (machine) {
    object.layout = state_layout(module);
    object.entries = NEW_ARRAY(object.arena, EntryCode, count + 1);
    buffer = make(&object, machine, triple, output);
    LLVMDisposeTargetMachine(machine);
  }
  LLVMDisposeMessage(host);
  arena_free(object.arena);
  return buffer;
}

bool codegen_emit(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                  Text *bytes, Failure *failure) {
  LLVMMemoryBufferRef buffer = object_make(module, plans, count, options, output, failure);
  if (!buffer) return false;
  text_add_bytes(bytes, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
  LLVMDisposeMemoryBuffer(buffer);
  return true;
}
