/* The arena at run-time sizes: offsets as the entry's own code finds them, beside what is alive. */
#include "command/memory_use.h"

#include <string.h>

/* A buffer lies behind all those below it, which lie lower at the bounds as well. */
static int64_t offset_at(const Plan *plan, Id id, const int64_t *sizes, int64_t *offsets) {
  const Buffer *buffer = &plan->buffers.items[id];
  if (offsets[id] >= 0) return offsets[id];
  offsets[id] = 0;
  for (int k = 0; k < buffer->below.count; k++) {
    Id lower = buffer->below.items[k];
    int64_t end = offset_at(plan, lower, sizes, offsets) + dim_value(plan->buffers.items[lower].bytes, sizes);
    offsets[id] = MAX(offsets[id], end);
  }
  return offsets[id];
}

MemoryUse memory_use(const Plan *plan, const int64_t *sizes) {
  Arena *arena = arena_new();
  MemoryUse use = {0};
  int64_t *offsets = NEW_ARRAY(arena, int64_t, plan->buffers.count);
  int64_t *live = NEW_ARRAY(arena, int64_t, plan->launches.count + 1);
  for (Id id = 0; id < plan->buffers.count; id++) offsets[id] = -1;
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || !buffer->bytes) continue;
    int64_t bytes = dim_value(buffer->bytes, sizes);
    use.arena = MAX(use.arena, offset_at(plan, id, sizes, offsets) + bytes);
    for (int at = buffer->first; at <= buffer->last; at++) use.live = MAX(use.live, live[at] += bytes);
  }
  arena_free(arena);
  return use;
}

/* The bound of each dim halved so many times; of dim `only` alone, if that is one. False once that changes nothing. */
static bool halve(const Module *module, int only, int times, int64_t *sizes) {
  bool smaller = false;
  for (int k = 0; k < module->dims.count; k++) {
    const DimSymbol *dim = &module->dims.items[k];
    int64_t step = MAX(dim->step, 1), least = round_up(MAX(dim->low, 1), step);
    int64_t size = only < 0 || only == k ? (dim->high >> times) / step * step : dim->high;
    smaller = smaller || (!dim->turn && size > least && size < dim->high);
    sizes[k] = dim->turn ? 0 : MAX(size, least);
  }
  return smaller;
}

MemoryUse memory_use_worst(const Plan *plan, int64_t *sizes) {
  Arena *arena = arena_new();
  const Module *module = plan->module;
  int64_t *tried = NEW_ARRAY(arena, int64_t, module->dims.count + 1);
  MemoryUse worst = {0};
  for (int only = -1; only < module->dims.count; only++) {
    bool more = true;
    for (int times = 0; more; times++) {
      more = halve(module, only, times, tried) || times == 0;
      MemoryUse use = memory_use(plan, tried);
      if (worst.live > 0 && (double)use.arena * (double)worst.live <= (double)worst.arena * (double)use.live) continue;
      worst = use;
      memcpy(sizes, tried, (size_t)module->dims.count * sizeof *sizes);
    }
  }
  arena_free(arena);
  return worst;
}
