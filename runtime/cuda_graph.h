/* The launches of an entry as one graph of the driver's, which a GPU starts at once instead of kernel by kernel. It is built
 * at the entry's first call; later calls name the same launches again, and what is other in them (a pointer, a value, a
 * size) is exchanged in place. Kernels of one group are independent of each other, those of the next wait for all of them. */
#ifndef NN_CUDA_GRAPH_H
#define NN_CUDA_GRAPH_H

#include "runtime/cuda.h"
#include "runtime/cuda_driver.h"

typedef struct CudaLaunch {
  const nn_cuda_kernel *kernel;
  CuFunction function;
  unsigned grid, shared_bytes;
  void **arguments;
  int group; /* they count up by one */
} CudaLaunch;

typedef struct CudaGraphNode CudaGraphNode;
typedef struct CudaGraph {
  CuGraph graph;
  CuGraphReady ready; /* NULL: it is still being built */
  CudaGraphNode *nodes;
  uint64_t *values; /* of all their arguments */
  size_t count, nvalues, room, values_room;
  size_t put;  /* how many nodes this call has named */
  int refused; /* by the driver: launches go one by one, for good */
} CudaGraph;

/* A call: begin, put for each launch in order, then end, which starts it. 0: good. CUDA_GRAPH_OTHER: the launches are not
 * those of the last call; clear, and put all of them again. Other codes: there will be no graph. */
enum { CUDA_GRAPH_OTHER = -1 };
void cuda_graph_begin(CudaGraph *graph);
int cuda_graph_put(const CuDriver *driver, CudaGraph *graph, const CudaLaunch *launch);
int cuda_graph_end(const CuDriver *driver, CudaGraph *graph);
void cuda_graph_clear(const CuDriver *driver, CudaGraph *graph);

#endif
