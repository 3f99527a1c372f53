/* From plans to objects: LLVM's module, filled by the emitters, goes through the target machine once, without any of
 * LLVM's optimising passes: the emitters write what they want (measured: default<O2> costs as much as code generation and
 * saves nothing). A file is one module. For loading, stages are dealt out to several, each with a context of its own, and
 * code is generated for all at a time: that is 97% of the time.
 *
 * Code around kernels is for the target's oldest processor; kernels carry their processor as attributes, and are emitted
 * once for each processor asked for. Nothing here depends on the machine, the time or the folder, unless "native" is
 * asked for. */
#include "codegen/cpu/glue.h"

#include <dlfcn.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A module with code for it being generated. The first holds all that is no kernel. */
struct Part {
  Emitter emitter;
  LLVMTargetMachineRef machine;
  CodegenOutput output;
  pthread_t thread;
  bool threaded;
  LLVMMemoryBufferRef made;
};

/* ---- options ---- */

static int by_ability(const void *a, const void *b) {
  return processor_compare(*(const Processor *const *)a, *(const Processor *const *)b);
}

/* The list, most able first, each once. */
static bool find_versions(Object *object, Failure *failure) {
  const char *list = object->options->cpus;
  if (!list) list = architecture_is_here(object->architecture) ? "native" : object->architecture->fallback;
  object->versions = NEW_ARRAY(object->arena, const Processor *, strlen(list) + 1);
  while (*list) {
    size_t length = strcspn(list, ",");
    char *name = arena_copy(object->arena, list, length + 1);
    name[length] = 0;
    const Processor *processor = processor_find(object->arena, object->architecture, name);
    if (!processor) {
      return fail(failure, EXIT_INPUT, "--cpu: unknown processor '%s' of %s; %s are known", name,
                  object->architecture->name, object->architecture->known);
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

/* Loop strength reduction takes 40% of the time and gains nothing, as the emitters hoist addresses themselves; scheduling
 * for the second time takes 10%. */
static void set_llvm_options(void) {
  static bool done;
  const char *const options[] = {"nnc", "-disable-lsr", "-post-RA-scheduler=false"};
  if (!done) LLVMParseCommandLineOptions(COUNT_OF(options), options, NULL);
  done = true;
}

/* LLVM and the C++ library end the process by a signal where memory is short, unless they are told of a function to call.
 * C++ alone has a header for the two that tell them, so they are found by their names in the libraries; where one is not
 * there, nothing is lost but the message. */
static void on_bad_allocation(void *user, const char *reason, bool diagnose) {
  (void)user, (void)reason, (void)diagnose;
  out_of_memory();
}

void set_llvm_handlers(void) {
  typedef void SetNew(void (*handler)(void));
  typedef void SetBad(void (*handler)(void *user, const char *reason, bool diagnose), void *user);
  static bool done;
  if (done) return;
  done = true;
  SetNew *set_new = (SetNew *)(uintptr_t)dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
  SetBad *set_bad = (SetBad *)(uintptr_t)dlsym(RTLD_DEFAULT, "_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_");
  if (set_new) set_new(out_of_memory);
  if (set_bad) set_bad(on_bad_allocation, NULL);
}

void start_llvm(void) {
  set_llvm_handlers();
  set_llvm_options();
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser(); /* of inline assembly */
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
}

static LLVMTargetMachineRef target_machine(const Object *object, Failure *failure) {
  const char *triple = object->triple;
  LLVMTargetRef target;
  char *why = NULL;
  bool known = LLVMGetTargetFromTriple(triple, &target, &why) == 0;
  LLVMDisposeMessage(why);
  if (!known) {
    fail(failure, EXIT_INPUT, "--triple: LLVM does not know '%s'", triple);
    return NULL;
  }
  LLVMTargetMachineRef machine = LLVMCreateTargetMachine(target, triple, object->architecture->base, "",
                                                         LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
  if (!machine) fail(failure, EXIT_ENVIRONMENT, "LLVM makes no target machine for '%s'", triple);
  return machine;
}

/* The triple, in the object's arena, and what it stands for. */
static bool find_architecture(Object *object, Failure *failure) {
  char *host = llvm_text(LLVMGetDefaultTargetTriple());
  const char *triple = object->options->triple ? object->options->triple : host;
  object->triple = arena_copy(object->arena, triple, strlen(triple) + 1);
  LLVMDisposeMessage(host);
  object->architecture = architecture_find(object->triple);
  if (object->architecture && strstr(object->triple, "linux")) return true;
  return fail(failure, EXIT_INPUT,
              "--triple: no code can be made for '%.100s'; x86_64-linux-gnu and aarch64-linux-gnu are what is known",
              object->triple);
}

/* ---- filling the module ---- */

static LLVMValueRef number_table(Object *object, const Program *program) {
  LLVMValueRef *numbers = NEW_ARRAY(object->arena, LLVMValueRef, program->numbers.count + 1);
  for (int k = 0; k < program->numbers.count; k++) numbers[k] = glue_int(object, program->numbers.items[k]);
  return glue_table(object, object->emitter.i32, numbers, program->numbers.count, "kernels");
}

static void place_states(Object *object, int entry) {
  Plan *plan = object->plans[entry];
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_STATE) buffer->offset = object->layout.offset[buffer->index];
  }
}

/* All versions' stages, and the table of their addresses; the numbers are the same for all. */
static void emit_kernels(Object *object, int entry) {
  Emitter *emitter = &object->emitter;
  Plan *plan = object->plans[entry];
  EntryCode *code = &object->entries[entry];
  Vec(LLVMValueRef) all = {0};
  emitter->plan = plan;
  for (int version = 0; version < object->nversions; version++) {
    emitter->processor = object->versions[version];
    emitter->suffix = object->nversions > 1 ? arena_format(object->arena, ".%s", emitter->processor->name) : NULL;
    emit_program(emitter, &code->program);
    for (int k = 0; k < code->program.functions.count; k++) PUSH(object->arena, &all, code->program.functions.items[k]);
  }
  code->functions = glue_table(object, emitter->pointer, all.items, all.count, "stages");
  code->numbers = number_table(object, &code->program);
}

static void fill_module(Object *object) {
  declare_state_functions(object);
  declare_entries(object);
  for (int k = 0; k < object->count; k++) place_states(object, k);
  describe_symbols(object);
  emit_state_functions(object);
  stages_count(object->emitter.stages, object->emitter.module);
  for (int k = 0; k < object->count && !object->options->cuda; k++) emit_kernels(object, k);
  if (!object->options->cuda) emit_executor(object);
  for (int k = 0; k < object->count; k++) emit_entry(object, k);
  describe_model(object);
}

static void verify_module(LLVMModuleRef module) {
#ifndef NDEBUG
  char *why = NULL;
  if (LLVMVerifyModule(module, LLVMReturnStatusAction, &why)) bug("LLVM: %s", why);
  LLVMDisposeMessage(why);
#else
  (void)module;
#endif
}

/* ---- parts ---- */

static void begin_part(Object *object, Part *part) {
  Emitter *emitter = &part->emitter;
  emitter->context = LLVMContextCreate();
  emitter->module = LLVMModuleCreateWithNameInContext(object->module->name, emitter->context);
  LLVMTargetDataRef data = LLVMCreateTargetDataLayout(part->machine);
  LLVMSetModuleDataLayout(emitter->module, data);
  LLVMDisposeTargetData(data);
  LLVMSetTarget(emitter->module, object->triple);
  emitter->processor = object->versions[object->nversions - 1];
  emitter_begin(emitter);
  const Place *place = object->count > 0 ? object->plans[0]->graph->place : NULL;
  if (object->options->debug_lines && place && place->source)
    debug_new(emitter, object->arena, place->source, object->options->compiler);
}

static void end_part(Part *part) {
  if (part->emitter.context) {
    emitter_end(&part->emitter);
    LLVMDisposeModule(part->emitter.module);
    LLVMContextDispose(part->emitter.context);
  }
  if (part->machine) LLVMDisposeTargetMachine(part->machine);
}

static void *compile_part(void *argument) {
  Part *part = argument;
  LLVMCodeGenFileType type = part->output == OUTPUT_ASSEMBLY ? LLVMAssemblyFile : LLVMObjectFile;
  char *why = NULL;
  verify_module(part->emitter.module);
  if (part->output == OUTPUT_LLVM) {
    char *text = llvm_text(LLVMPrintModuleToString(part->emitter.module));
    part->made = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "text");
    LLVMDisposeMessage(text);
  } else if (LLVMTargetMachineEmitToMemoryBuffer(part->machine, part->emitter.module, type, &why, &part->made)) {
    bug("LLVM: %s", why);
  }
  return NULL;
}

/* The first on this thread; where no thread is to be had, all are. */
static void compile_parts(Object *object) {
  for (int k = 1; k < object->nparts; k++) {
    Part *part = &object->parts[k];
    part->threaded = pthread_create(&part->thread, NULL, compile_part, part) == 0;
  }
  compile_part(&object->parts[0]);
  for (int k = 1; k < object->nparts; k++) {
    Part *part = &object->parts[k];
    if (part->threaded)
      pthread_join(part->thread, NULL);
    else
      compile_part(part);
  }
}

/* ---- the whole ---- */

static bool make(Object *object, CodegenOutput output, Failure *failure) {
  bool good = true;
  start_llvm();
  for (int k = 0; good && k < object->nparts; k++) {
    Part *part = &object->parts[k];
    part->output = output;
    part->machine = target_machine(object, failure);
    good = part->machine != NULL;
    if (good) begin_part(object, part);
  }
  if (!good) return false;
  object->emitter = object->parts[0].emitter;
  object->layout = state_layout(object->module);
  object->entries = NEW_ARRAY(object->arena, EntryCode, object->count + 1);
  Emitter **emitters = NEW_ARRAY(object->arena, Emitter *, object->nparts);
  for (int k = 0; k < object->nparts; k++) emitters[k] = k == 0 ? &object->emitter : &object->parts[k].emitter;
  object->emitter.stages = stages_new(object->arena, emitters, object->nparts);
  fill_module(object);
  for (int k = 0; k < object->nparts; k++) sanitize_module(emitters[k], object->options->sanitize);
  for (int k = 0; k < object->nparts; k++) debug_finish(emitters[k]);
  compile_parts(object);
  return true;
}

int object_make(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                int parts, LLVMMemoryBufferRef *made, Failure *failure) {
  Object object = {.module = module, .plans = plans, .count = count, .options = options, .arena = arena_new()};
  object.parts = NEW_ARRAY(object.arena, Part, parts);
  object.nparts = parts;
  set_llvm_handlers();
  bool good = interface_verify(module, failure) && find_architecture(&object, failure) && find_versions(&object, failure) &&
              make(&object, output, failure);
  for (int k = 0; k < parts; k++) {
    if (good) made[k] = object.parts[k].made;
    end_part(&object.parts[k]);
  }
  arena_free(object.arena);
  return good ? parts : 0;
}

bool codegen_emit(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                  Text *bytes, Failure *failure) {
  LLVMMemoryBufferRef buffer;
  if (!object_make(module, plans, count, options, output, 1, &buffer, failure)) return false;
  text_add_bytes(bytes, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
  LLVMDisposeMemoryBuffer(buffer);
  return true;
}
