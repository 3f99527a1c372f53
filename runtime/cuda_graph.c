/* See cuda_graph.h. The driver keeps a copy of the arguments; so does this file, to tell what a call changed. */
#include "runtime/cuda_graph.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NODES = 8192, REFUSED = 1 };

struct CudaGraphNode {
  CuGraphNode node;
  CuFunction function;
  unsigned grid;
  int group;
  size_t values; /* its first */
};

static size_t argument_bytes(const nn_cuda_argument *argument) {
  if (argument->bytes < 0) return NN_CUDA_MAP_BYTES;
  return argument->bytes > 0 ? (size_t)argument->bytes : sizeof(uint64_t);
}

static size_t value_words(const nn_cuda_argument *argument) {
  return (argument_bytes(argument) + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

/* NULL: there is no memory, and the items are as they were. */
static void *grown(void *items, size_t size, size_t wanted, size_t *room) {
  if (wanted <= *room) return items;
  void *more = realloc(items, size * 2 * wanted);
  if (more) *room = 2 * wanted;
  return more;
}

/* For one more node, with so many words of values. */
static int grow(CudaGraph *graph, size_t words) {
  CudaGraphNode *nodes = grown(graph->nodes, sizeof *nodes, graph->count + 1, &graph->room);
  if (nodes) graph->nodes = nodes;
  uint64_t *values = grown(graph->values, sizeof *values, graph->nvalues + words + 1, &graph->values_room);
  if (values) graph->values = values;
  return nodes && values ? 0 : REFUSED;
}

static CuKernelNode node_of(const CudaLaunch *launch) {
  return (CuKernelNode){.function = launch->function,
                        .grid = {launch->grid, 1, 1},
                        .block = {(unsigned)launch->kernel->threads, 1, 1},
                        .shared_bytes = launch->shared_bytes,
                        .arguments = launch->arguments};
}

/* ---- building ---- */

/* The group before: its nodes are first..last-1. */
static int add_behind(const CuDriver *driver, CudaGraph *graph, const CudaLaunch *launch, CuGraphNode *node) {
  size_t last = graph->count;
  while (last > 0 && graph->nodes[last - 1].group == launch->group) last--;
  size_t first = last;
  while (first > 0 && graph->nodes[first - 1].group == graph->nodes[last - 1].group) first--;
  CuGraphNode *before = malloc((last - first + 1) * sizeof *before);
  if (!before) return REFUSED;
  for (size_t k = first; k < last; k++) before[k - first] = graph->nodes[k].node;
  CuKernelNode own = node_of(launch);
  int result = driver->graph_kernel(node, graph->graph, before, last - first, &own);
  free(before);
  return result;
}

static size_t keep_values(CudaGraph *graph, const CudaLaunch *launch) {
  size_t first = graph->nvalues;
  for (int k = 0; k < launch->kernel->narguments; k++) {
    const nn_cuda_argument *argument = &launch->kernel->arguments[k];
    memcpy(&graph->values[graph->nvalues], launch->arguments[k], argument_bytes(argument));
    graph->nvalues += value_words(argument);
  }
  return first;
}

static int add_node(const CuDriver *driver, CudaGraph *graph, const CudaLaunch *launch) {
  size_t words = 0;
  CuGraphNode node;
  for (int k = 0; k < launch->kernel->narguments; k++) words += value_words(&launch->kernel->arguments[k]);
  if (graph->count >= MOST_NODES || grow(graph, words) != 0) return REFUSED;
  if (!graph->graph && driver->graph(&graph->graph, 0) != 0) return REFUSED;
  int result = add_behind(driver, graph, launch, &node);
  if (result != 0) return result;
  size_t values = keep_values(graph, launch);
  graph->nodes[graph->count++] = (CudaGraphNode){node, launch->function, launch->grid, launch->group, values};
  return 0;
}

/* ---- exchanging ---- */

static int take_value(uint64_t *kept, const void *now, size_t bytes) {
  if (memcmp(kept, now, bytes) == 0) return 0;
  memcpy(kept, now, bytes);
  return 1;
}

static int exchange(const CuDriver *driver, CudaGraph *graph, const CudaLaunch *launch) {
  if (graph->put >= graph->count) return CUDA_GRAPH_OTHER;
  CudaGraphNode *node = &graph->nodes[graph->put];
  if (node->function != launch->function || node->group != launch->group) return CUDA_GRAPH_OTHER;
  int changed = node->grid != launch->grid;
  uint64_t *kept = &graph->values[node->values];
  for (int k = 0; k < launch->kernel->narguments; k++) {
    const nn_cuda_argument *argument = &launch->kernel->arguments[k];
    changed |= take_value(kept, launch->arguments[k], argument_bytes(argument));
    kept += value_words(argument);
  }
  node->grid = launch->grid;
  graph->put++;
  CuKernelNode own = node_of(launch);
  return changed ? driver->graph_exchange(graph->ready, node->node, &own) : 0;
}

/* ---- a call ---- */

void cuda_graph_begin(CudaGraph *graph) { graph->put = 0; }

int cuda_graph_put(const CuDriver *driver, CudaGraph *graph, const CudaLaunch *launch) {
  return graph->ready ? exchange(driver, graph, launch) : add_node(driver, graph, launch);
}

int cuda_graph_end(const CuDriver *driver, CudaGraph *graph) {
  if (graph->ready) return graph->put == graph->count ? 0 : CUDA_GRAPH_OTHER;
  if (graph->count == 0) return REFUSED;
  return driver->graph_ready(&graph->ready, graph->graph, 0);
}

/* One that the GPU still runs ends first; the driver sees to that. */
void cuda_graph_clear(const CuDriver *driver, CudaGraph *graph) {
  if (graph->ready) driver->graph_ready_free(graph->ready);
  if (graph->graph) driver->graph_free(graph->graph);
  free(graph->nodes);
  free(graph->values);
  *graph = (CudaGraph){.refused = graph->refused};
}
