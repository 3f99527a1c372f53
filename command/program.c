/* A model comes as .nn text, or as one of the two representations that --dump and -o print: those are read back, so that a
 * dump can be cut down by hand and run. */
#include "command/program.h"

#include "command/bounded.h"
#include "command/tensor.h"
#include "frontend/frontend.h"

#include <string.h>

static bool read_source(Arena *arena, const char *path, Source *source, Failure *failure) {
  char *bytes;
  size_t length;
  if (!read_file(arena, path, &bytes, &length, failure)) return false;
  *source = (Source){.name = strcmp(path, "-") == 0 ? "<stdin>" : path, .text = bytes, .length = length, .users = true};
  return true;
}

/* By what is in them: two texts with other borders between them differ too. */
static uint64_t hash_of_sources(const Module *module) {
  Text all = {0};
  for (int k = 0; k < module->sources.count; k++) {
    const Source *source = module->sources.items[k];
    text_add(&all, "%zu:", source->length);
    text_add_bytes(&all, source->text, source->length);
  }
  uint64_t hash = hash_bytes(all.bytes, all.length);
  text_free(&all);
  return hash;
}

/* A plan that was edited by hand can be wrong in ways that its grammar allows. Launches are there from pass order on. */
static bool plan_holds(const Program *program, const Plan *plan, Failure *failure) {
  Text why = {0};
  if (plan->after && pass_by_name(plan->after) < PASS_order) return true;
  bool good = plan_verify(plan, &why);
  if (!good) fail(failure, EXIT_INPUT, "%.300s: %s", program->path, why.bytes);
  text_free(&why);
  return good;
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
    if (!plan_holds(program, program->plans[k], failure)) return false;
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

typedef enum Form { FORM_PROGRAM, FORM_GRAPH, FORM_PLAN } Form;

/* By its name, or, from standard input, by how it begins: what is printed of graphs and plans has "module NAME" first. */
static Form form_of(const char *path, const Source *source) {
  if (text_ends(path, ".graph")) return FORM_GRAPH;
  if (text_ends(path, ".plan")) return FORM_PLAN;
  if (strcmp(path, "-") != 0 || strncmp(source->text, "module ", 7) != 0) return FORM_PROGRAM;
  return strstr(source->text, "\nplan ") ? FORM_PLAN : FORM_GRAPH;
}

static Source *source_of_constants(Arena *arena, const char *constants) {
  if (!constants) return NULL;
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "--set", .text = constants, .length = strlen(constants), .users = true};
  return source;
}

Module *program_parse(Arena *arena, Diagnostics *diagnostics, const Source *source, Program *program, Failure *failure) {
  Module *module = NULL;
  Form form = form_of(program->path, source);
  if (program->constants && form != FORM_PROGRAM) {
    fail(failure, EXIT_INPUT, "%.300s: a %s has no constants any more; give --set the .nn file", program->path,
         form == FORM_GRAPH ? "graph" : "plan");
    return NULL;
  }
  switch (form) {
  case FORM_PROGRAM: return build_source(arena, diagnostics, source, source_of_constants(arena, program->constants));
  case FORM_GRAPH: module = module_read(arena, diagnostics, source); break;
  case FORM_PLAN: module = read_plans(arena, diagnostics, source, program, failure); break;
  }
  if (module) PUSH(arena, &module->sources, source);
  return module;
}

void program_report(Program *program) {
  if (program->reported || !program->module) return;
  program->reported = true;
  diagnostics_print(program->module->diagnostics, stderr);
}

bool program_open(Arena *arena, const char *path, const char *constants, Program *program, Failure *failure) {
  *program = (Program){.path = path, .constants = constants};
  Diagnostics *diagnostics = diagnostics_new(arena);
  Source *source = NEW(arena, Source);
  if (read_source(arena, path, source, failure))
    program->module = program_parse(arena, diagnostics, source, program, failure);
  program->source = source;
  if (!program->module || diagnostics_errors(diagnostics) > 0) {
    diagnostics_print(diagnostics, stderr);
    if (!failure->code) failure->code = EXIT_INPUT;
    return false;
  }
  const Module *module = program->module;
  program->symbols = arena_copy(arena, module->symbols.items, (size_t)module->symbols.count * sizeof(Symbol));
  program->hash = hash_of_sources(module);
  if (program->plans) { /* one that was dumped between passes goes through those that were still to come */
    const char *after = module->entries.count > 0 ? program->plans[0]->after : NULL;
    program->passed = program->next = after ? (Pass)(pass_by_name(after) + 1) : PASS_COUNT;
  }
  return true;
}

bool program_run(Program *program, const PipelineOptions *pipeline, Failure *failure) {
  Graph ***interpreted = program->next <= pipeline->interpret_after ? &program->interpreted : NULL;
  bool good = pipeline_resume(program->module, pipeline, program->next, &program->plans, interpreted);
  bool stopped = pipeline->stop_after < PASS_COUNT && pipeline->stop_after >= program->next;
  program->next = stopped ? (Pass)(pipeline->stop_after + 1) : PASS_COUNT;
  fflush(stdout);
  program_report(program);
  if (!good && !failure->code) failure->code = EXIT_INPUT;
  return good && bounded_check(program, pipeline, failure);
}

bool program_read(Arena *arena, const char *path, const char *constants, const PipelineOptions *pipeline, Program *program,
                  Failure *failure) {
  return program_open(arena, path, constants, program, failure) && program_run(program, pipeline, failure);
}

CodegenOptions program_codegen(const Program *program, const Settings *settings) {
  /* the host's side of a GPU's model is no hot code */
  const char *oldest = target_is_cuda(settings) && !settings->triple ? "x86-64" : NULL;
  return (CodegenOptions){.cpus = settings->cpu ? settings->cpu : oldest,
                          .triple = settings->triple,
                          .source_hash = program->hash,
                          .compiler = "nnc " NNC_VERSION,
                          .debug_lines = settings->debug_lines,
                          .sanitize = settings_sanitizer(settings)};
}

bool target_is_cuda(const Settings *settings) { return settings->target && strcmp(settings->target, "cuda") == 0; }

bool target_known(const Settings *settings, Failure *failure) {
  if (target_is_cuda(settings) && settings->memory)
    return fail(failure, EXIT_INPUT, "--mem bounds scratch on the processor; with --target cuda it can't be given");
  if (settings->target && !target_is_cuda(settings) && strcmp(settings->target, "cpu") != 0)
    return fail(failure, EXIT_INPUT, "--target %.100s: nnc compiles for cpu and cuda", settings->target);
  if (settings_sanitizer(settings) == SANITIZER_COUNT)
    return fail(failure, EXIT_INPUT, "--sanitize=%.100s: there are address and thread", settings->sanitize);
  if (settings->sanitize && target_is_cuda(settings))
    return fail(failure, EXIT_INPUT, "--sanitize is for code of the processor; with --target cuda it can't be given");
  Precision precision = settings_precision(settings);
  if (precision == PRECISION_COUNT)
    return fail(failure, EXIT_INPUT, "--precision %.100s: there are f32, tf32 and bf16", settings->precision);
  if (precision != PRECISION_F32 && !target_is_cuda(settings))
    return fail(failure, EXIT_INPUT, "--precision %s is for GPUs: give --target cuda", settings->precision);
  return true;
}

Precision settings_precision(const Settings *settings) {
  int precision = PRECISION_F32;
  while (settings->precision && precision < PRECISION_COUNT &&
         strcmp(settings->precision, precision_info[precision].name) != 0)
    precision++;
  return (Precision)precision;
}

Sanitizer settings_sanitizer(const Settings *settings) {
  static const char *const names[SANITIZER_COUNT] = {[SANITIZE_ADDRESS] = "address", [SANITIZE_THREAD] = "thread"};
  int sanitizer = settings->sanitize ? SANITIZE_ADDRESS : SANITIZE_NONE;
  if (!settings->sanitize || !*settings->sanitize) return (Sanitizer)sanitizer;
  while (sanitizer < SANITIZER_COUNT && strcmp(settings->sanitize, names[sanitizer]) != 0) sanitizer++;
  return (Sanitizer)sanitizer;
}

PipelineOptions program_pipeline(const Settings *settings) {
  PipelineOptions pipeline = default_pipeline;
  pipeline.unfused = settings->no_fuse;
  pipeline.memory = settings->memory;
  pipeline.zone = settings_sanitizer(settings) == SANITIZE_ADDRESS ? 64 : 0;
  pipeline.fast_conv = settings->fast_conv ? FAST_CONV_BEST : FAST_CONV_NONE;
  pipeline.time = settings->verbose;
  pipeline.out = stderr;
  pipeline.costs = target_is_cuda(settings) ? cuda_costs[settings_precision(settings) % PRECISION_COUNT] : &default_costs;
  return pipeline;
}
