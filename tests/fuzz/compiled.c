/* Compiled code, called as a user's program calls it: its state in one block, its scratch in another.
 *
 * Memory given to it is ringed by known bytes, which must still be there afterwards, and scratch is full of NaN, so that
 * what reads before it writes shows. Memory of a GPU is not ringed: the shim's ends at a page that cannot be touched. */
#include "runtime/cuda.h"
#include "runtime/nn.h"
#include "runtime/pool.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { RING = 128, RING_BYTE = 0xA5 };

typedef struct Guarded {
  uint8_t *whole, *data;
  size_t bytes;
} Guarded;

static Guarded guarded_new(size_t bytes) {
  Guarded block = {.bytes = bytes};
  block.whole = aligned_alloc(64, (size_t)round_up((int64_t)bytes, 64) + 2 * RING);
  if (!block.whole) bug("no memory for a model");
  block.data = block.whole + RING;
  memset(block.whole, RING_BYTE, RING);
  memset(block.data, 0xFF, bytes);
  memset(block.data + bytes, RING_BYTE, RING);
  return block;
}

/* State or scratch, where the model wants it; never of no bytes at all, but the ring begins where the model was told. */
static Guarded memory_new(const nn_model *model, size_t bytes) {
  if (model->device == NN_CUDA) {
    Guarded block = {.data = nn_cuda_allocate(bytes), .bytes = bytes};
    if (!block.data) bug("%s", nn_cuda_error());
    return block;
  }
  Guarded block = guarded_new(bytes + 64);
  block.bytes -= 64;
  memset(block.data + block.bytes, RING_BYTE, RING);
  return block;
}

static void memory_free(const nn_model *model, const Guarded *block) {
  if (model->device == NN_CUDA)
    nn_cuda_free(block->data);
  else
    free(block->whole);
}

static bool guarded_whole(const Guarded *block) {
  if (!block->whole) return true;
  for (int k = 0; k < RING; k++) {
    if (block->whole[k] != RING_BYTE || block->data[block->bytes + (size_t)k] != RING_BYTE) return false;
  }
  return true;
}

typedef struct Call {
  const nn_model *model;
  const nn_entry *entry;
  Run *run;
  Guarded state, scratch, *results;
  const void **parameters;
  void **pointers;
} Call;

static void call_begin(Call *call, int workers) {
  Run *run = call->run;
  const Module *module = run->graph->module;
  int nresults = run->graph->results.count, nparameters = run->graph->parameters.count;
  call->state = memory_new(call->model, call->model->state_bytes);
  call->model->init(call->state.data, 1);
  for (int k = 0; k < module->symbols.count; k++) {
    call->model->set(call->state.data, module->symbols.items[k].name, run->states[k].data);
  }
  call->scratch = memory_new(call->model, call->entry->scratch(run->dims, workers));
  call->results = NEW_ARRAY(run->arena, Guarded, nresults + 1);
  call->pointers = NEW_ARRAY(run->arena, void *, nresults + 1);
  call->parameters = NEW_ARRAY(run->arena, const void *, nparameters + 1);
  for (int k = 0; k < nparameters; k++) call->parameters[k] = run->parameters[k].data;
  for (int k = 0; k < nresults; k++) {
    run->results[k] = array_for(run->arena, graph_type(run->graph, run->graph->results.items[k].value), false, run->dims);
    call->results[k] = guarded_new((size_t)array_count(&run->results[k]) * array_element_bytes(&run->results[k]));
    call->pointers[k] = call->results[k].data;
  }
}

static bool call_end(Call *call, Failure *failure) {
  Run *run = call->run;
  const Module *module = run->graph->module;
  bool good = guarded_whole(&call->state) || fail(failure, EXIT_BUG, "writes outside of its state");
  good = good && (guarded_whole(&call->scratch) || fail(failure, EXIT_BUG, "writes outside of its scratch"));
  for (int k = 0; k < run->graph->results.count; k++) {
    good = good && (guarded_whole(&call->results[k]) || fail(failure, EXIT_BUG, "writes outside of result %d", k));
    memcpy(run->results[k].data, call->results[k].data, call->results[k].bytes);
    free(call->results[k].whole);
  }
  for (int k = 0; k < module->symbols.count; k++) {
    Array *state = &run->states[k], fresh = array_new(run->arena, state->dtype, false, state->rank, state->size);
    call->model->get(call->state.data, module->symbols.items[k].name, fresh.data);
    *state = fresh;
  }
  memory_free(call->model, &call->state);
  memory_free(call->model, &call->scratch);
  return good;
}

bool compiled_run(const Loaded *loaded, int entry, Run *run, int threads, Failure *failure) {
  Call call = {.model = loaded_model(loaded), .run = run};
  call.entry = &call.model->entries[entry];
  nn_pool *pool = threads > 1 ? nn_pool_new(threads) : NULL;
  nn_run how = {nn_pool_parallel_for, pool, pool ? nn_pool_workers(pool) : 1, NULL, NULL};
  call_begin(&call, how.workers);
  int code = call.entry->call(&how, call.state.data, call.scratch.data, run->dims, call.parameters, call.pointers, 0);
  nn_pool_free(pool);
  bool good = call_end(&call, failure);
  if (code != NN_OK) {
    const char *why = call.model->device == NN_CUDA ? nn_cuda_error() : call.model->error(code);
    return fail(failure, EXIT_BUG, "compiled code returns %d: %s", code, why);
  }
  return good;
}
