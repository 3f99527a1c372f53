/* In the place of codegen/cpu where nnc is built without LLVM (-DNNC_LLVM=OFF): for machines that only run what was compiled
 * elsewhere. Models are read, interpreted, printed and loaded as .so; nothing is compiled. */
#include "codegen/codegen.h"

static bool refuse(Failure *failure) {
  return fail(failure, EXIT_ENVIRONMENT, "this nnc was built without LLVM, so it compiles nothing; it runs model.so files");
}

bool codegen_emit(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, CodegenOutput output,
                  Text *bytes, Failure *failure) {
  (void)module, (void)plans, (void)count, (void)options, (void)output, (void)bytes;
  return refuse(failure);
}

bool codegen_compile(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Text *code,
                     Failure *failure) {
  (void)module, (void)plans, (void)count, (void)options, (void)code;
  return refuse(failure);
}

Loaded *codegen_load_code(const char *model, const char *code, size_t length, const ExternalFunction *externals,
                          Failure *failure) {
  (void)model, (void)code, (void)length, (void)externals;
  refuse(failure);
  return NULL;
}

Loaded *codegen_load(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Failure *failure) {
  (void)module, (void)plans, (void)count, (void)options;
  refuse(failure);
  return NULL;
}

bool codegen_circumstances(const CodegenOptions *options, Text *out) { return (void)options, (void)out, false; }
const struct nn_model *loaded_model(const Loaded *loaded) { return (void)loaded, NULL; }
void codegen_unload(Loaded *loaded) { (void)loaded; }
