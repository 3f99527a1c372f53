/* The driver's graphs: kernels with copies of their arguments, each behind others. A launch runs them in the order in which
 * they were added, then again, from the same memory, in the opposite order as far as they do not wait for each other: kernels
 * that nothing orders must not meet in memory. */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
typedef struct KernelNode { /* CUDA_KERNEL_NODE_PARAMS, in its first form */
  const ShimKernel *kernel;
  unsigned grid[3], block[3], shared_bytes;
  void **arguments, **extra;
} KernelNode;
typedef struct Node Node;
struct Node {
  Node *next; /* added behind it */
  KernelNode own;
  Node **before;
  size_t count;
  int done;
};
typedef struct Graph {
  Node *first, *last;
} Graph;

EXPORT int cuGraphCreate(Graph **graph, unsigned flags);
EXPORT int cuGraphDestroy(Graph *graph);
EXPORT int cuGraphAddKernelNode(Node **node, Graph *graph, Node *const *before, size_t count, const KernelNode *own);
EXPORT int cuGraphInstantiateWithFlags(Graph **ready, Graph *graph, unsigned long long flags);
EXPORT int cuGraphExecKernelNodeSetParams(Graph *ready, Node *node, const KernelNode *own);
EXPORT int cuGraphLaunch(Graph *ready, void *stream);
EXPORT int cuGraphExecDestroy(Graph *ready);

int cuGraphCreate(Graph **graph, unsigned flags) {
  MAY_FAIL();
  *graph = calloc(1, sizeof **graph);
  return flags == 0 && *graph ? SHIM_GOOD : SHIM_INVALID;
}

static int keep(Node *node, const KernelNode *own) {
  unsigned most = own->grid[1] * own->grid[2] * own->block[1] * own->block[2];
  if (own->grid[0] == 0 || most != 1 || own->shared_bytes > 227 << 10 || own->extra) return SHIM_INVALID;
  free(node->own.arguments);
  node->own = *own;
  node->own.arguments = own->kernel->keep(own->arguments);
  return SHIM_GOOD;
}

int cuGraphAddKernelNode(Node **node, Graph *graph, Node *const *before, size_t count, const KernelNode *own) {
  MAY_FAIL();
  Node *added = *node = calloc(1, sizeof *added);
  if (!added) return SHIM_NO_MEMORY;
  added->before = malloc((count + 1) * sizeof *before);
  added->count = count;
  if (count > 0) memcpy(added->before, before, count * sizeof *before);
  if (graph->last)
    graph->last->next = added;
  else
    graph->first = added;
  graph->last = added;
  return keep(added, own);
}

/* The graph itself stands for what it becomes: nothing is added to it later. */
int cuGraphInstantiateWithFlags(Graph **ready, Graph *graph, unsigned long long flags) {
  MAY_FAIL();
  *ready = graph;
  return flags == 0 ? SHIM_GOOD : SHIM_INVALID;
}

int cuGraphExecKernelNodeSetParams(Graph *ready, Node *node, const KernelNode *own) {
  MAY_FAIL();
  for (const Node *known = ready->first; known; known = known->next)
    if (known == node) return node->own.kernel == own->kernel ? keep(node, own) : SHIM_INVALID;
  return SHIM_INVALID;
}

static int is_next(const Node *node) {
  for (size_t k = 0; k < node->count; k++)
    if (!node->before[k]->done) return 0;
  return !node->done;
}

/* The first, or, backwards, the last added of those that wait for nobody. */
static Node *find_next(const Graph *graph, int backwards) {
  Node *found = NULL;
  for (Node *node = graph->first; node && (backwards || !found); node = node->next)
    if (is_next(node)) found = node;
  return found;
}

static void run_graph(void *user, int backwards) {
  Graph *graph = user;
  for (Node *node = graph->first; node; node = node->next) node->done = 0;
  for (Node *node; (node = find_next(graph, backwards)) != NULL; node->done = 1) {
    const KernelNode *own = &node->own;
    shim_run(own->kernel, own->arguments, own->grid[0], own->block[0], own->shared_bytes, backwards);
  }
}

int cuGraphLaunch(Graph *ready, void *stream) {
  MAY_FAIL();
  if (!stream || !ready->first) return SHIM_INVALID;
  shim_twice(run_graph, ready);
  return SHIM_GOOD;
}

int cuGraphExecDestroy(Graph *ready) { return ready ? SHIM_GOOD : SHIM_INVALID; }

int cuGraphDestroy(Graph *graph) {
  for (Node *node = graph->first, *next; node; node = next) {
    next = node->next;
    free(node->own.arguments);
    free(node->before);
    free(node);
  }
  free(graph);
  return SHIM_GOOD;
}
