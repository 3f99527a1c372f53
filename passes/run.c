/* The loop over passes.def: runs, times, verifies, dumps. */
#include "passes/passes.h"
#include "passes/plan/plan_passes.h"

#include <string.h>
#include <time.h>

const PassInfo pass_info[PASS_COUNT] = {
#define graph false
#define plan true
#define PASS(name, on, why) [PASS_##name] = {#name, why, on},
#include "passes/passes.def"
#undef graph
#undef plan
};

const PipelineOptions default_pipeline = {.stop_after = PASS_COUNT, .dump = PASS_COUNT, .interpret_after = PASS_dead};

Pass pass_by_name(const char *name) {
  int pass = 0;
  while (pass < PASS_COUNT && strcmp(pass_info[pass].name, name) != 0) pass++;
  return (Pass)pass;
}

/* ---- one function for each row ---- */

typedef struct Pipeline {
  Module *module;
  const PipelineOptions *options;
  Plan **plans;
} Pipeline;

static void run_build(Pipeline *pipeline) { (void)pipeline; } /* the frontend did it; the row is for its dump */
static void run_grad(Pipeline *pipeline) { pass_grad(pipeline->module); }
static void run_fold(Pipeline *pipeline) { pass_fold(pipeline->module); }
static void run_cse(Pipeline *pipeline) { pass_cse(pipeline->module); }
static void run_dead(Pipeline *pipeline) { pass_dead(pipeline->module); }
static void run_reuse(Pipeline *pipeline) { pass_reuse(pipeline->module); }
static void run_split(Pipeline *pipeline) { pass_split(pipeline->module); }
static void run_hoist(Pipeline *pipeline) { pass_hoist(pipeline->module); }
static void run_stack(Pipeline *pipeline) { pass_stack(pipeline->module); }
static void run_trim(Pipeline *pipeline) { pass_dead(pipeline->module); }
static void run_layout(Pipeline *pipeline) { pass_layout(pipeline->module); }
static void run_winograd(Pipeline *pipeline) { pass_winograd(pipeline->module, pipeline->options->fast_conv); }
static void run_tidy(Pipeline *pipeline) { pass_fold(pipeline->module); }
static void run_linear(Pipeline *pipeline) { pass_linear(pipeline->module); }
static void run_share(Pipeline *pipeline) { pass_cse(pipeline->module); }

static void run_lower(Pipeline *pipeline) {
  Module *module = pipeline->module;
  pipeline->plans = NEW_ARRAY(module->arena, Plan *, module->entries.count + 1);
  for (int k = 0; k < module->entries.count; k++) {
    pipeline->plans[k] = plan_lower(module->entries.items[k], !pipeline->options->unfused);
    pipeline->plans[k]->zone = pipeline->options->zone;
  }
}

static const TargetCosts *costs_of(const Pipeline *pipeline) {
  return pipeline->options->costs ? pipeline->options->costs : &default_costs;
}

static void run_fuse(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count && !pipeline->options->unfused; k++) {
    plan_fuse(pipeline->plans[k], costs_of(pipeline), pipeline->options->fast_conv != FAST_CONV_NONE);
    plan_widen(pipeline->plans[k], costs_of(pipeline));
  }
}

static void run_save(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count && !pipeline->options->unfused; k++)
    plan_save(pipeline->plans[k], costs_of(pipeline));
}

static void run_panels(Pipeline *pipeline) {
  plans_panels(pipeline->module, pipeline->plans, pipeline->module->entries.count, costs_of(pipeline));
}

static void run_schedule(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count; k++) plan_schedule(pipeline->plans[k], costs_of(pipeline));
}

static void run_skip(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count && costs_of(pipeline)->skips; k++) plan_skip(pipeline->plans[k]);
}

static void run_order(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count; k++) plan_order(pipeline->plans[k]);
}

static void run_recompute(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count && pipeline->options->memory > 0; k++) {
    plan_recompute(pipeline->plans[k], pipeline->options->memory);
  }
}

static void run_places(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count; k++) { plan_share_places(pipeline->plans[k]); }
}

static void run_memory(Pipeline *pipeline) {
  for (int k = 0; k < pipeline->module->entries.count; k++) pass_memory(pipeline->plans[k]);
}

static void (*const run_pass[PASS_COUNT])(Pipeline *pipeline) = {
#define PASS(name, on, why) [PASS_##name] = run_##name,
#include "passes/passes.def"
};

/* ---- the loop ---- */

static void verify(const Pipeline *pipeline, Pass pass) {
  Text why = {0};
  bool good = true;
  if (!pass_info[pass].on_plans) good = module_verify(pipeline->module, &why);
  /* A plan has its launches from `order` on. */
  for (int k = 0; good && pass >= PASS_order && k < pipeline->module->entries.count; k++) {
    good = plan_verify(pipeline->plans[k], &why);
  }
  if (!good) bug("after pass %s: %s", pass_info[pass].name, why.bytes);
  text_free(&why);
}

static void dump(const Pipeline *pipeline, Pass pass) {
  Text text = {0};
  if (pass_info[pass].on_plans) {
    plans_print(pipeline->module, pipeline->plans, pipeline->module->entries.count, &text);
  } else {
    module_print(pipeline->module, &text);
  }
  fwrite(text.bytes, 1, text.length, pipeline->options->out);
  text_free(&text);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What stands in a plan's text, so that one that was read back goes on from there. */
static void note_pass(const Pipeline *pipeline, Pass pass) {
  for (int k = 0; pass_info[pass].on_plans && k < pipeline->module->entries.count; k++)
    if (pipeline->plans[k]) pipeline->plans[k]->after = pass + 1 < PASS_COUNT ? pass_info[pass].name : NULL;
}

bool pipeline_resume(Module *module, const PipelineOptions *options, Pass from, Plan ***plans, Graph ***interpreted) {
  Pipeline pipeline = {.module = module, .options = options, .plans = *plans};
  for (int pass = from; pass < PASS_COUNT; pass++) {
    double start = seconds();
    run_pass[pass](&pipeline);
    note_pass(&pipeline, (Pass)pass);
    if (options->time && pass != PASS_build)
      fprintf(options->out, "%-10s %8.3f ms\n", pass_info[pass].name, 1e3 * (seconds() - start));
    if (diagnostics_errors(module->diagnostics) > 0) return false;
    if (options->verify) verify(&pipeline, (Pass)pass);
    if (options->dump == (Pass)pass) dump(&pipeline, (Pass)pass);
    if (options->hook) options->hook(options->hook_user, module, (Pass)pass, pipeline.plans);
    if (options->interpret_after == (Pass)pass && interpreted) {
      *interpreted = arena_copy(module->arena, module->entries.items, (size_t)module->entries.count * sizeof(Graph *));
    }
    if (options->stop_after == (Pass)pass) break;
  }
  *plans = pipeline.plans;
  return true;
}

bool pipeline_run(Module *module, const PipelineOptions *options, Plan ***plans, Graph ***interpreted) {
  *plans = NULL;
  return pipeline_resume(module, options, (Pass)0, plans, interpreted);
}
