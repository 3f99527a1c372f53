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

/* Plans in the order of the module's entries, one for each: a text that was cut down may lack some. */
static bool place_plans(Module *module, Program *program, Plan **plans, int count, Failure *failure) {
  program->plans = NEW_ARRAY(module->arena, Plan *, module->entries.count + 1);
  for (int k = 0; k < module->entries.count; k++) {
    const Graph *entry = module->entries.items[k];
    for (int p = 0; p < count; p++)
      if (plans[p]->graph == entry) program->plans[k] = plans[p];
    if (!program->plans[k])
      return fail(failure, EXIT_INPUT, "%.300s: the entry %s has no plan", program->path, entry->name);
    const char *after = program->plans[k]->after, *first = program->plans[0]->after;
    if (after ? !first || strcmp(after, first) != 0 : first != NULL)
      return fail(failure, EXIT_INPUT, "%.300s: the plans of %s and %s come from different passes", program->path,
                  program->plans[0]->graph->name, entry->name);
    if (after && (pass_by_name(after) == PASS_COUNT || !pass_info[pass_by_name(after)].on_plans))
      return fail(failure, EXIT_INPUT, "%.300s: plan %s after %s: there is no such pass", program->path, entry->name,
                  after);
  }
  return true;
}

static Module *read_plans(Arena *arena, Diagnostics *diagnostics, const Source *source, Program *program,
                          Failure *failure) {
  int count = 0;
  Plan **plans = NULL;
  Module *module = plans_read(arena, diagnostics, source, &plans, &count);
  return module && place_plans(module, program, plans, count, failure) ? module : NULL;
}

static Module *read_module(Arena *arena, Diagnostics *diagnostics, Program *program, Failure *failure) {
  Source *source = NEW(arena, Source);
  if (text_ends(program->path, ".graph"))
    return read_source(arena, program->path, source, failure) ? module_read(arena, diagnostics, source) : NULL;
  if (text_ends(program->path, ".plan")) {
    if (!read_source(arena, program->path, source, failure)) return NULL;
    return read_plans(arena, diagnostics, source, program, failure);
  }
  return build_module(arena, diagnostics, program->path, failure);
}

/* A plan that was dumped between passes goes through those that were still to come. */
static bool run_passes(Program *program, const PipelineOptions *pipeline) {
  if (!program->plans) return pipeline_run(program->module, pipeline, &program->plans, &program->interpreted);
  const char *after = program->module->entries.count > 0 ? program->plans[0]->after : NULL;
  program->passed = after ? (Pass)(pass_by_name(after) + 1) : PASS_COUNT;
  return pipeline_resume(program->module, pipeline, program->passed, &program->plans, NULL);
}

bool program_read(Arena *arena, const char *path, const PipelineOptions *pipeline, Program *program, Failure *failure) {
  *program = (Program){.path = path};
  Diagnostics *diagnostics = diagnostics_new(arena);
  program->module = read_module(arena, diagnostics, program, failure);
  bool good = program->module && diagnostics_errors(diagnostics) == 0;
  if (good) {
    const Module *module = program->module;
    program->symbols = arena_copy(arena, module->symbols.items, (size_t)module->symbols.count * sizeof(Symbol));
  }
  if (good) good = run_passes(program, pipeline);
  fflush(stdout);
  diagnostics_print(diagnostics, stderr);
  if (!good && !failure->code) failure->code = EXIT_INPUT;
  if (good) program->hash = hash_of_file(path);
  return good;
}

CodegenOptions program_codegen(const Program *program, const Settings *settings) {
  return (CodegenOptions){.cpus = settings->cpu,
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
