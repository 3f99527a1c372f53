/* A model comes as .nn text, or as one of the two representations that --dump and -o print: those are read back, so that a
 * dump can be cut down by hand and run. */
#include "command/program.h"

#include "command/tensor.h"
#include "frontend/frontend.h"

#include <string.h>

static bool read_source(Arena *arena, const char *path, Source *source, Failure *failure) {
  char *bytes;
  size_t length;
  if (!read_file(arena, path, &bytes, &length, failure)) return false;
  *source = (Source){.name = path, .text = bytes, .length = length, .users = true};
  return true;
}

/* The file once more, for its hash: what the frontend read is not kept. Standard input has none. */
static uint64_t hash_of_file(const char *path) {
  Arena *arena = arena_new();
  Failure ignored = {0};
  char *bytes;
  size_t length;
  uint64_t hash =
      strcmp(path, "-") != 0 && read_file(arena, path, &bytes, &length, &ignored) ? hash_bytes(bytes, length) : 0;
  arena_free(arena);
  return hash;
}

static Module *read_module(Arena *arena, Diagnostics *diagnostics, Program *program, Failure *failure) {
  Source *source = NEW(arena, Source);
  if (text_ends(program->path, ".graph"))
    return read_source(arena, program->path, source, failure) ? module_read(arena, diagnostics, source) : NULL;
  if (text_ends(program->path, ".plan")) {
    int count = 0;
    if (!read_source(arena, program->path, source, failure)) return NULL;
    return plans_read(arena, diagnostics, source, &program->plans, &count);
  }
  return build_module(arena, diagnostics, program->path, failure);
}

bool program_read(Arena *arena, const char *path, const PipelineOptions *pipeline, Program *program, Failure *failure) {
  *program = (Program){.path = path};
  Diagnostics *diagnostics = diagnostics_new(arena);
  program->module = read_module(arena, diagnostics, program, failure);
  bool good = program->module && diagnostics_errors(diagnostics) == 0;
  if (good && !program->plans) good = pipeline_run(program->module, pipeline, &program->plans, &program->interpreted);
  fflush(stdout);
  diagnostics_print(diagnostics, stderr);
  if (!good && !failure->code) failure->code = EXIT_INPUT;
  if (good) program->hash = hash_of_file(path);
  return good;
}

CodegenOptions program_codegen(const Program *program, const Settings *settings) {
  return (CodegenOptions){.cpus = settings->cpu ? settings->cpu : "native",
                          .triple = settings->triple,
                          .source_hash = program->hash,
                          .compiler = "nnc " NNC_VERSION,
                          .debug_lines = settings->debug_lines};
}

PipelineOptions program_pipeline(const Settings *settings) {
  PipelineOptions pipeline = default_pipeline;
  pipeline.unfused = settings->no_fuse;
  pipeline.time = settings->verbose;
  pipeline.out = stderr;
  return pipeline;
}
