/* Debug information (-g): each stage's function, and each entry's, lies at the line of the .nn file that it was made for, so
 * that a debugger's frames and a profiler's rows name lines of the model. A stage is one line: what was fused into it has no
 * instructions of its own. What comes from the prelude stands at the user's line that led there.
 *
 * Files are named as they were typed, so that the same command gives the same bytes in every folder. */
#include "codegen/cpu/emit.h"
#include "codegen/interface.h"

#include <llvm-c/DebugInfo.h>
#include <string.h>

struct Debug {
  LLVMDIBuilderRef builder;
  Arena *arena;
  Vec(const Source *) sources;
  Vec(LLVMMetadataRef) files; /* of the sources */
};

static LLVMMetadataRef debug_file(Debug *debug, const Source *source) {
  for (int k = 0; k < debug->sources.count; k++)
    if (strcmp(debug->sources.items[k]->name, source->name) == 0) return debug->files.items[k];
  LLVMMetadataRef file = LLVMDIBuilderCreateFile(debug->builder, source->name, strlen(source->name), ".", 1);
  PUSH(debug->arena, &debug->sources, source);
  PUSH(debug->arena, &debug->files, file);
  return file;
}

static void add_flag(Emitter *emitter, const char *key, unsigned value) {
  LLVMMetadataRef number = LLVMValueAsMetadata(LLVMConstInt(emitter->i32, value, 0));
  LLVMAddModuleFlag(emitter->module, LLVMModuleFlagBehaviorWarning, key, strlen(key), number);
}

void debug_new(Emitter *emitter, Arena *arena, const Source *source, const char *compiler) {
  enum { DWARF = 4 };
  Debug *debug = emitter->debug = NEW(arena, Debug);
  debug->arena = arena;
  debug->builder = LLVMCreateDIBuilder(emitter->module);
  add_flag(emitter, "Debug Info Version", LLVMDebugMetadataVersion());
  add_flag(emitter, "Dwarf Version", DWARF);
  LLVMDIBuilderCreateCompileUnit(debug->builder, LLVMDWARFSourceLanguageC99, debug_file(debug, source), compiler,
                                 strlen(compiler), 1, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "", 0);
}

void debug_begin(Emitter *emitter, LLVMValueRef function, const Place *place) {
  Debug *debug = emitter->debug;
  place = place_of_user(place);
  if (!debug || !place || !place->source) return;
  int line, column;
  size_t length;
  place_position(place, &line, &column);
  const char *name = LLVMGetValueName2(function, &length);
  LLVMMetadataRef file = debug_file(debug, place->source);
  LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(debug->builder, file, NULL, 0, LLVMDIFlagZero);
  LLVMMetadataRef scope =
      LLVMDIBuilderCreateFunction(debug->builder, file, name, length, name, length, file, (unsigned)line, type,
                                  LLVMGetLinkage(function) == LLVMInternalLinkage, 1, (unsigned)line, LLVMDIFlagZero, 1);
  LLVMSetSubprogram(function, scope);
  LLVMSetCurrentDebugLocation2(
      emitter->builder, LLVMDIBuilderCreateDebugLocation(emitter->context, (unsigned)line, (unsigned)column, scope, NULL));
}

void debug_end(Emitter *emitter) {
  if (emitter->debug) LLVMSetCurrentDebugLocation2(emitter->builder, NULL);
}

void debug_finish(Emitter *emitter) {
  if (!emitter->debug) return;
  LLVMDIBuilderFinalize(emitter->debug->builder);
  LLVMDisposeDIBuilder(emitter->debug->builder);
  emitter->debug = NULL;
}
