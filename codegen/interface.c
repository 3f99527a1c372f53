/* See interface.h. All of it is read off plans and graphs; nothing is changed. */
#include "codegen/interface.h"

#include <string.h>

int module_declared_dims(const Module *module) {
  int count = 0;
  while (count < module->dims.count && !module->dims.items[count].turn) count++;
  for (int k = count; k < module->dims.count; k++) CHECK(module->dims.items[k].turn);
  return count;
}

/* ---- dims ---- */

static void mention(const Dim *dim, bool *mentioned) {
  if (!dim) return;
  if (dim->kind == DIM_SYMBOL) mentioned[dim->symbol] = true;
  if (dim->kind == DIM_FLOORDIV) {
    mention(dim->a, mentioned);
    mention(dim->b, mentioned);
  }
  for (int k = 0; dim->kind == DIM_SUM && k < dim->nterms; k++) {
    for (int atom = 0; atom < dim->terms[k].natoms; atom++) mention(dim->terms[k].atoms[atom], mentioned);
  }
}

static void mention_type(const Type *type, bool *mentioned) {
  for (int k = 0; k < type->rank; k++) mention(type->size[k], mentioned);
}

static void mention_access(const Access *access, bool *mentioned) {
  mention_type(&access->as, mentioned);
  for (int k = 0; k < access->map.naxes; k++) mention(access->map.axis[k].offset, mentioned);
}

static void mention_stage(const Stage *stage, bool *mentioned) {
  for (int k = 0; k < stage->nloops; k++) mention(stage->loops[k].extent, mentioned);
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    mention(scalar->dim, mentioned);
    if (scalar->access) mention_access(scalar->access, mentioned);
  }
  for (int k = 0; k < stage->stores.count; k++) mention_access(&stage->stores.items[k].access, mentioned);
}

void entry_dims(const Plan *plan, bool *mentioned) {
  const Graph *graph = plan->graph;
  memset(mentioned, 0, (size_t)plan->module->dims.count * sizeof *mentioned);
  for (int k = 0; k < graph->parameters.count; k++) mention_type(&graph->parameters.items[k].type, mentioned);
  for (int k = 0; k < graph->results.count; k++) {
    mention_type(graph_type(graph, graph->results.items[k].value), mentioned);
  }
  for (int k = 0; k < graph->checks.count; k++) mention(graph->checks.items[k].dim, mentioned);
  for (Id id = 1; id < plan->buffers.count; id++) mention_type(&plan->buffers.items[id].type, mentioned);
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int stage = 0; stage < kernel->stages.count; stage++) mention_stage(&kernel->stages.items[stage], mentioned);
  }
  for (int k = 0; k < plan->launches.count; k++) mention(plan->launches.items[k].trips, mentioned);
  for (int k = module_declared_dims(plan->module); k < plan->module->dims.count; k++) mentioned[k] = false;
}

/* ---- the rest of a signature ---- */

int entry_parameters(const Graph *graph) {
  if (graph->draws) CHECK(graph->parameters.count > 0);
  return graph->parameters.count - (graph->draws ? 1 : 0);
}

bool entry_wants_state(const Plan *plan) {
  for (Id id = 1; id < plan->buffers.count; id++) {
    if (plan->buffers.items[id].memory == MEMORY_STATE) return true;
  }
  return false;
}

bool buffer_is_callers(const Buffer *buffer) {
  return buffer->memory == MEMORY_RESULT || (buffer->memory == MEMORY_ARG && buffer->type.rank > 0);
}

static int64_t staging_bytes(const Plan *plan) {
  int64_t bytes = 0;
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (!buffer_is_callers(buffer)) continue;
    const Dim *count = type_count(plan->module, &buffer->type);
    bytes += round_up((count ? count->high : 0) * plan_element_bytes(buffer->type.dtype), STAGING_ALIGN);
  }
  return bytes;
}

bool entry_wants_scratch(const Plan *plan, bool cuda) {
  return plan->arena_bytes > 0 || (cuda ? staging_bytes(plan) : plan->local_bytes) > 0;
}

int64_t entry_scratch_bytes(const Plan *plan, bool cuda) {
  int64_t rest = cuda ? staging_bytes(plan) : round_up(plan->local_bytes, STATE_ALIGN);
  return round_up(plan->arena_bytes, STATE_ALIGN) + rest;
}

bool interface_verify(const Module *module, Failure *failure) {
  for (int k = 0; k < module->entries.count; k++) {
    const char *name = module->entries.items[k]->name;
    if (is_models_own(name))
      return fail(failure, EXIT_INPUT, "an entry can't be named %s: %s_%s is every model's own; rename it", name,
                  module->name, name);
    for (int j = 0; j < module->entries.count; j++) {
      const char *other = module->entries.items[j]->name;
      size_t length = strlen(other);
      if (strncmp(name, other, length) == 0 && strcmp(name + length, "_scratch") == 0) {
        return fail(failure, EXIT_INPUT,
                    "an entry can't be named %s beside %s, whose scratch function has that name; rename it", name, other);
      }
    }
  }
  return true;
}
