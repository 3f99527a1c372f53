/* Graphs of launches, on a driver that counts what is asked of it and refuses when it is told to. */
#include "runtime/cuda_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 8 };
static struct {
  int graphs, nodes, readies, exchanges, freed, ready_freed; /* calls */
  size_t before[MOST];                                       /* how many nodes each waits for */
  CuGraphNode last_before;
  int exchanged; /* which node, last */
  float value;   /* its last argument then */
  int fails;     /* at which call of those that can, counted down; 0: none */
} driver;
static char nodes[MOST];

static int refuses(void) { return driver.fails > 0 && --driver.fails == 0 ? 2 : 0; }
static CuResult create(CuGraph *graph, unsigned flags) {
  assert_int_equal(flags, 0);
  driver.graphs++;
  *graph = (CuGraph)(void *)nodes;
  return refuses();
}
static CuResult add(CuGraphNode *node, CuGraph graph, const CuGraphNode *before, size_t count, const CuKernelNode *own) {
  assert_ptr_equal(graph, nodes);
  assert_int_equal(own->block[0], 256);
  driver.before[driver.nodes] = count;
  if (count > 0) driver.last_before = before[count - 1];
  *node = (CuGraphNode)(void *)&nodes[driver.nodes++];
  return refuses();
}
static CuResult instantiate(CuGraphReady *ready, CuGraph graph, unsigned long long flags) {
  assert_int_equal(flags, 0);
  driver.readies++;
  *ready = (CuGraphReady)(void *)graph;
  return refuses();
}
static CuResult exchange(CuGraphReady ready, CuGraphNode node, const CuKernelNode *own) {
  assert_ptr_equal(ready, nodes);
  driver.exchanges++;
  driver.exchanged = (int)((char *)node - nodes);
  memcpy(&driver.value, own->arguments[1], sizeof driver.value);
  return refuses();
}
static CuResult free_ready(CuGraphReady ready) { return driver.ready_freed += ready != NULL, 0; }
static CuResult free_graph(CuGraph graph) { return driver.freed += graph != NULL, 0; }
static const CuDriver functions = {.graph = create,
                                   .graph_kernel = add,
                                   .graph_ready = instantiate,
                                   .graph_exchange = exchange,
                                   .graph_ready_free = free_ready,
                                   .graph_free = free_graph};

/* Three kernels of an array and a value: the first two side by side. */
static const nn_cuda_argument both[] = {{0, 0}, {1, 4}};
static const nn_cuda_kernel kernel = {.name = "k", .threads = 256, .arguments = both, .narguments = 2};
typedef struct Call {
  uint64_t array[3];
  float value[3];
  unsigned grid[3];
  int count;
} Call;
static const Call first = {{1, 2, 3}, {0.1f, 0.2f, 0.3f}, {1, 1, 4}, 3};

static int put_all(CudaGraph *graph, Call *call) {
  static const int groups[] = {1, 1, 2};
  int result = 0;
  cuda_graph_begin(graph);
  for (int k = 0; k < call->count && result == 0; k++) {
    void *arguments[] = {&call->array[k], &call->value[k]};
    CudaLaunch launch = {&kernel, (CuFunction)(void *)&nodes[k], call->grid[k], 0, arguments, groups[k]};
    result = cuda_graph_put(&functions, graph, &launch);
  }
  return result == 0 ? cuda_graph_end(&functions, graph) : result;
}

static int start(void **state) {
  (void)state;
  memset(&driver, 0, sizeof driver);
  return 0;
}

static void what_stays_is_not_exchanged(void **state) {
  (void)state;
  CudaGraph graph = {0};
  Call call = first;
  for (int k = 0; k < 3; k++) assert_int_equal(put_all(&graph, &call), 0);
  assert_int_equal(driver.graphs, 1);
  assert_int_equal(driver.nodes, 3);
  assert_int_equal(driver.readies, 1);
  assert_int_equal(driver.exchanges, 0);
  assert_int_equal(driver.before[0], 0);
  assert_int_equal(driver.before[1], 0); /* of its own group it does not wait for the one before */
  assert_int_equal(driver.before[2], 2);
  assert_ptr_equal(driver.last_before, &nodes[1]);
  cuda_graph_clear(&functions, &graph);
  assert_int_equal(driver.freed, 1);
  assert_int_equal(driver.ready_freed, 1);
}

static void what_changes_is_exchanged(void **state) {
  (void)state;
  CudaGraph graph = {0};
  Call call = first;
  assert_int_equal(put_all(&graph, &call), 0);
  call.value[1] = 0.5f;
  assert_int_equal(put_all(&graph, &call), 0);
  assert_int_equal(driver.exchanges, 1);
  assert_int_equal(driver.exchanged, 1);
  assert_true(driver.value == 0.5f);
  call.array[2] = 9;
  assert_int_equal(put_all(&graph, &call), 0);
  assert_int_equal(driver.exchanges, 2);
  assert_int_equal(driver.exchanged, 2);
  call.grid[0] = 2;
  assert_int_equal(put_all(&graph, &call), 0);
  assert_int_equal(driver.exchanges, 3);
  assert_int_equal(driver.exchanged, 0);
  assert_int_equal(put_all(&graph, &call), 0);
  assert_int_equal(driver.exchanges, 3);
  assert_int_equal(driver.readies, 1);
  cuda_graph_clear(&functions, &graph);
}

static void other_launches_want_another_graph(void **state) {
  (void)state;
  CudaGraph graph = {0};
  Call call = first;
  assert_int_equal(put_all(&graph, &call), 0);
  call.count = 2;
  assert_int_equal(put_all(&graph, &call), CUDA_GRAPH_OTHER);
  cuda_graph_clear(&functions, &graph);
  assert_int_equal(put_all(&graph, &call), 0);
  call.count = 3;
  assert_int_equal(put_all(&graph, &call), CUDA_GRAPH_OTHER);
  cuda_graph_clear(&functions, &graph);
  assert_int_equal(driver.freed, 2);
  assert_int_equal(driver.ready_freed, 2);
}

/* Whichever call the driver refuses, it is said, and all that was made is freed. */
static void refusals_are_told(void **state) {
  (void)state;
  for (int fails = 1; fails <= 5; fails++) {
    CudaGraph graph = {0};
    Call call = first;
    start(NULL);
    driver.fails = fails;
    assert_int_not_equal(put_all(&graph, &call), 0);
    cuda_graph_clear(&functions, &graph);
    assert_null(graph.nodes);
    assert_int_equal(driver.freed, 1);
  }
  CudaGraph graph = {0};
  Call call = first;
  start(NULL);
  assert_int_equal(put_all(&graph, &call), 0);
  call.array[0] = 7;
  driver.fails = 1;
  assert_int_not_equal(put_all(&graph, &call), 0);
  cuda_graph_clear(&functions, &graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_stays_is_not_exchanged, start),
      cmocka_unit_test_setup(what_changes_is_exchanged, start),
      cmocka_unit_test_setup(other_launches_want_another_graph, start),
      cmocka_unit_test_setup(refusals_are_told, start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
