/* --mem: whether the plans keep to it, what that costs, and what would fit where they don't. */
#include "command/bounded.h"

static bool all_fit(Plan *const *plans, int count) {
  for (int k = 0; k < count; k++)
    if (!plans[k]->again.fits) return false;
  return true;
}

/* Whether all would fit if the first dim had this bound. */
static bool fits_with(const Program *program, const PipelineOptions *pipeline, int64_t bound) {
  Arena *arena = arena_new();
  Diagnostics *diagnostics = diagnostics_new(arena);
  Source source = *program->source;
  source.first_dim = bound;
  Program other = {.path = program->path, .constants = program->constants};
  PipelineOptions quiet = {.unfused = pipeline->unfused, .costs = pipeline->costs, .memory = pipeline->memory};
  quiet.stop_after = quiet.dump = quiet.interpret_after = PASS_COUNT;
  Failure ignored = {0};
  Module *module = program_parse(arena, diagnostics, &source, &other, &ignored);
  bool good = module && diagnostics_errors(diagnostics) == 0 && pipeline_run(module, &quiet, &other.plans, NULL) &&
              all_fit(other.plans, module->entries.count);
  arena_free(arena);
  return good;
}

/* The largest bound of the first dim with which all fit, 0 if there is none. More rows never take less. */
static int64_t largest_bound(const Program *program, const PipelineOptions *pipeline) {
  const DimSymbol *dim = &program->module->dims.items[0];
  int64_t step = MAX(dim->step, 1), low = (MAX(dim->low, 1) + step - 1) / step, high = dim->high / step;
  int64_t fitting = 0;
  while (low < high) { /* the bound itself does not */
    int64_t middle = low + (high - low) / 2;
    if (fits_with(program, pipeline, middle * step))
      fitting = middle * step, low = middle + 1;
    else
      high = middle;
  }
  return fitting;
}

static bool fail_memory(const Program *program, const PipelineOptions *pipeline, Failure *failure) {
  const Module *module = program->module;
  Text text = {0};
  text_add(&text, "--mem: %lld bytes are not enough", (long long)pipeline->memory);
  for (int k = 0, told = 0; k < module->entries.count; k++) {
    const Plan *plan = program->plans[k];
    if (plan->again.fits) continue;
    text_add(&text, "%s %s needs %lld", told++ ? "," : ":", plan->graph->name, (long long)plan->again.needs);
  }
  const DimSymbol *dim = module->dims.count > 0 ? &module->dims.items[0] : NULL;
  bool known = dim && !dim->turn && dim->place && dim->place->source == program->source && program->passed == 0;
  int64_t bound = known ? largest_bound(program, pipeline) : 0;
  if (bound)
    text_add(&text, "; they are with dim %s <= %lld", dim->name, (long long)bound);
  else if (known)
    text_add(&text, ", whatever the bound of dim %s", dim->name);
  fail(failure, EXIT_INPUT, "%s", text.bytes);
  text_free(&text);
  return false;
}

/* Plans that were read whole are as they are. */
static void measure(Plan *const *plans, int count, int64_t bytes) {
  for (int k = 0; k < count; k++) {
    int64_t needs = plans[k]->arena_bytes + round_up(plans[k]->local_bytes, 64);
    plans[k]->again = (Again){.before = needs, .needs = needs, .fits = needs <= bytes};
  }
}

bool bounded_check(const Program *program, const PipelineOptions *pipeline, Failure *failure) {
  if (pipeline->memory == 0 || program->next <= PASS_recompute) return true;
  int count = program->module->entries.count;
  if (program->passed > PASS_recompute) measure(program->plans, count, pipeline->memory);
  return all_fit(program->plans, count) || fail_memory(program, pipeline, failure);
}

void bounded_tell(const Plan *plan, Text *out) {
  const Again *again = &plan->again;
  if (again->kernels == 0) return;
  double flops = 0;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Dim *own = kernel_flops(plan, &plan->kernels.items[k]);
    flops += own ? (double)own->high : 0;
  }
  double share = 100 * (double)again->flops / MAX(flops - (double)again->flops, 1);
  text_add(out, "%lld bytes of scratch instead of %lld: %d kernel%s again, %.3g MFLOP (%.2g%%) and %.3g MB moved more",
           (long long)again->needs, (long long)again->before, again->kernels, again->kernels == 1 ? " runs" : "s run",
           1e-6 * (double)again->flops, share, 1e-6 * (double)again->bytes);
}
