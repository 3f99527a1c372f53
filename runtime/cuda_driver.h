/* NVIDIA's driver interface: the functions that nnc's runtime calls, declared by hand, as they have been since CUDA 12.0. */
#ifndef NN_CUDA_DRIVER_H
#define NN_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int CuResult; /* 0: good */
typedef int CuDevice;
typedef struct CuContextRecord *CuContext;
typedef struct CuModuleRecord *CuModule;
typedef struct CuFunctionRecord *CuFunction;
typedef struct CuStreamRecord *CuStream;
typedef struct CuGraphRecord *CuGraph;
typedef struct CuGraphNodeRecord *CuGraphNode;
typedef struct CuGraphReadyRecord *CuGraphReady; /* CUgraphExec */
typedef unsigned long long CuAddress;
typedef struct CuKernelNode { /* CUDA_KERNEL_NODE_PARAMS, in its first form, which drivers keep */
  CuFunction function;
  unsigned grid[3], block[3], shared_bytes;
  void **arguments, **extra;
} CuKernelNode;

enum {
  CU_MULTIPROCESSORS = 16, /* attributes of a device */
  CU_CAPABILITY_MAJOR = 75,
  CU_CAPABILITY_MINOR = 76,
  CU_POINTER_MEMORY_TYPE = 2, /* an attribute of an address; its values: */
  CU_MEMORY_DEVICE = 2,
  CU_FUNCTION_DYNAMIC_SHARED = 8, /* an attribute of a function */
  CU_STREAM_NON_BLOCKING = 1,
  CU_MAP_F32 = 7, /* kinds of tensor maps */
  CU_MAP_SWIZZLE_128 = 3,
  CU_MAP_PROMOTE_256 = 3
};

/*  field          name in libcuda                 arguments */
#define CU_FUNCTIONS(F)                                                                                                    \
  F(init, "cuInit", (unsigned flags))                                                                                      \
  F(count, "cuDeviceGetCount", (int *count))                                                                               \
  F(device, "cuDeviceGet", (CuDevice * device, int ordinal))                                                               \
  F(attribute, "cuDeviceGetAttribute", (int *value, int attribute, CuDevice device))                                       \
  F(retain, "cuDevicePrimaryCtxRetain", (CuContext * context, CuDevice device))                                            \
  F(current, "cuCtxSetCurrent", (CuContext context))                                                                       \
  F(stream, "cuStreamCreate", (CuStream * stream, unsigned flags))                                                         \
  F(wait, "cuStreamSynchronize", (CuStream stream))                                                                        \
  F(allocate, "cuMemAlloc_v2", (CuAddress * address, size_t bytes))                                                        \
  F(release, "cuMemFree_v2", (CuAddress address))                                                                          \
  F(write, "cuMemcpyHtoDAsync_v2", (CuAddress to, const void *from, size_t bytes, CuStream stream))                        \
  F(read, "cuMemcpyDtoHAsync_v2", (void *to, CuAddress from, size_t bytes, CuStream stream))                               \
  F(copy, "cuMemcpyAsync", (CuAddress to, CuAddress from, size_t bytes, CuStream stream)) /* host or device */             \
  F(pointer, "cuPointerGetAttribute", (void *value, int attribute, CuAddress address))                                     \
  F(load, "cuModuleLoadData", (CuModule * module, const void *image))                                                      \
  F(function, "cuModuleGetFunction", (CuFunction * function, CuModule module, const char *name))                           \
  F(set_function, "cuFuncSetAttribute", (CuFunction function, int attribute, int value))                                   \
  F(launch, "cuLaunchKernel",                                                                                              \
    (CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,           \
     unsigned block_z, unsigned shared_bytes, CuStream stream, void **arguments, void **extra))                            \
  F(launch_together, "cuLaunchCooperativeKernel", /* all blocks at the same time, or none */                               \
    (CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,           \
     unsigned block_z, unsigned shared_bytes, CuStream stream, void **arguments))                                          \
  F(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                                              \
    (int *blocks, CuFunction function, int threads, size_t shared_bytes))                                                  \
  F(map, "cuTensorMapEncodeTiled",                                                                                         \
    (void *map, int kind, unsigned rank, void *array, const uint64_t *sizes, const uint64_t *strides, const unsigned *box, \
     const unsigned *steps, int interleave, int swizzle, int promotion, int fill))                                         \
  F(graph, "cuGraphCreate", (CuGraph * graph, unsigned flags))                                                             \
  F(graph_kernel, "cuGraphAddKernelNode",                                                                                  \
    (CuGraphNode * node, CuGraph graph, const CuGraphNode *before, size_t count, const CuKernelNode *own))                 \
  F(graph_ready, "cuGraphInstantiateWithFlags", (CuGraphReady * ready, CuGraph graph, unsigned long long flags))           \
  F(graph_exchange, "cuGraphExecKernelNodeSetParams", (CuGraphReady ready, CuGraphNode node, const CuKernelNode *own))     \
  F(graph_launch, "cuGraphLaunch", (CuGraphReady ready, CuStream stream))                                                  \
  F(graph_ready_free, "cuGraphExecDestroy", (CuGraphReady ready))                                                          \
  F(graph_free, "cuGraphDestroy", (CuGraph graph))                                                                         \
  F(error, "cuGetErrorString", (CuResult code, const char **text))

typedef struct CuDriver {
#define CU_FIELD(field, name, arguments) CuResult(*field) arguments;
  CU_FUNCTIONS(CU_FIELD)
#undef CU_FIELD
} CuDriver;

#endif
