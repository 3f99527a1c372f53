/* The driver's functions that runtime/cuda.c calls. Memory of the device can be touched by kernels and copies alone: at all
 * other times it has no permissions. Each block of it ends (but for less than 256 bytes) at a page that never has any, and
 * holds NaN at first. Every launch runs twice, its threads in opposite orders, from the same memory, and must leave the same
 * bits. */
#include "shim.h"

#include <dlfcn.h>
#include <elf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_BLOCKS = 64, PAGE = 4096, ALIGN = 256, GOOD = SHIM_GOOD, INVALID = SHIM_INVALID, NOT_FOUND = SHIM_NOT_FOUND };
typedef struct Block {
  char *pages, *data;
  size_t length, bytes; /* of pages but the guard; of data */
  char *before, *after; /* copies */
} Block;
static Block blocks[MAX_BLOCKS];

#define EXPORT __attribute__((visibility("default")))
EXPORT int cuInit(unsigned flags);
EXPORT int cuDeviceGetCount(int *count);
EXPORT int cuDeviceGet(int *device, int ordinal);
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device);
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device);
EXPORT int cuCtxSetCurrent(void *context);
EXPORT int cuStreamCreate(void **stream, unsigned flags);
EXPORT int cuStreamSynchronize(void *stream);
EXPORT int cuMemAlloc_v2(unsigned long long *address, size_t bytes);
EXPORT int cuMemFree_v2(unsigned long long address);
EXPORT int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *stream);
EXPORT int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream);
EXPORT int cuMemcpyAsync(unsigned long long to, unsigned long long from, size_t bytes, void *stream);
EXPORT int cuPointerGetAttribute(void *value, int attribute, unsigned long long address);
EXPORT int cuModuleLoadData(void **module, const void *image);
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name);
EXPORT int cuFuncSetAttribute(void *function, int attribute, int value);
EXPORT int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments,
                          void **extra);
EXPORT int cuLaunchCooperativeKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                     unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream,
                                     void **arguments);
EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared_bytes);
EXPORT int cuTensorMapEncodeTiled(ShimMap *map, int kind, unsigned rank, void *array, const uint64_t *sizes,
                                  const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave,
                                  int swizzle, int promotion, int fill);
EXPORT int cuGetErrorString(int code, const char **text);

int shim_fails(const char *function) {
  const char *named = getenv("SHIM_FAIL");
  size_t length = strlen(function);
  for (const char *at = named ? strstr(named, function) : NULL; at; at = strstr(at + 1, function))
    if ((at == named || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
  return 0;
}

/* ---- the device ---- */

int cuInit(unsigned flags) { return flags == 0 ? GOOD : INVALID; }
int cuDeviceGetCount(int *count) { return *count = 1, GOOD; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, GOOD; }
/* One processor, so that blocks run several tasks; sm_90. */
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 16 ? 1 : attribute == 75 ? 9 : 0;
  return GOOD;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
  (void)device;
  return *context = blocks, GOOD;
}
int cuCtxSetCurrent(void *context) { return context == blocks ? GOOD : INVALID; }
int cuStreamCreate(void **stream, unsigned flags) {
  MAY_FAIL();
  (void)flags;
  return *stream = blocks, GOOD;
}
int cuStreamSynchronize(void *stream) { return stream == blocks ? GOOD : INVALID; }
int cuGetErrorString(int code, const char **text) {
  *text = code == INVALID          ? "invalid value"
          : code == SHIM_NO_MEMORY ? "out of memory"
          : code == NOT_FOUND      ? "not found"
                                   : "unknown";
  return GOOD;
}

/* ---- memory ---- */

static void permit(int permitted) {
  for (int k = 0; k < MAX_BLOCKS; k++)
    if (blocks[k].pages) mprotect(blocks[k].pages, blocks[k].length, permitted ? PROT_READ | PROT_WRITE : PROT_NONE);
}

int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
  MAY_FAIL();
  for (int k = 0; k < MAX_BLOCKS; k++) {
    Block *block = &blocks[k];
    if (block->pages) continue;
    block->bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    block->length = (block->bytes + PAGE - 1) / PAGE * PAGE;
    block->pages = mmap(NULL, block->length + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block->pages == MAP_FAILED) shim_die("out of memory");
    block->data = block->pages + block->length - block->bytes;
    block->before = malloc(block->bytes);
    block->after = malloc(block->bytes);
    if (!block->before || !block->after) shim_die("out of memory");
    permit(1);
    memset(block->data, 0xFF, block->bytes);
    permit(0);
    *address = (unsigned long long)(uintptr_t)block->data;
    return GOOD;
  }
  return INVALID;
}

static Block *block_of(unsigned long long address) {
  for (int k = 0; k < MAX_BLOCKS; k++) {
    unsigned long long first = (unsigned long long)(uintptr_t)blocks[k].data;
    if (blocks[k].pages && address >= first && address < first + blocks[k].bytes) return &blocks[k];
  }
  return NULL;
}

int cuMemFree_v2(unsigned long long address) {
  Block *block = block_of(address);
  if (!block || address != (unsigned long long)(uintptr_t)block->data) return INVALID;
  munmap(block->pages, block->length + PAGE);
  free(block->before);
  free(block->after);
  *block = (Block){0};
  return GOOD;
}

static int copy(void *to, const void *from, size_t bytes, unsigned long long device) {
  Block *block = block_of(device);
  if (!block || device + bytes > (unsigned long long)(uintptr_t)block->data + block->bytes) return INVALID;
  permit(1);
  memcpy(to, from, bytes);
  permit(0);
  return GOOD;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *stream) {
  MAY_FAIL();
  (void)stream;
  return copy((void *)(uintptr_t)to, from, bytes, to);
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream) {
  MAY_FAIL();
  (void)stream;
  return copy(to, (const void *)(uintptr_t)from, bytes, from);
}
int cuMemcpyAsync(unsigned long long to, unsigned long long from, size_t bytes, void *stream) {
  MAY_FAIL();
  (void)stream;
  return copy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes, block_of(to) ? to : from);
}
int cuPointerGetAttribute(void *value, int attribute, unsigned long long address) {
  if (attribute != 2 || !block_of(address)) return INVALID;
  *(unsigned *)value = 2;
  return GOOD;
}

/* ---- code: an image is a shared object that compile.c made ---- */

static size_t image_bytes(const void *image) {
  const Elf64_Ehdr *head = image;
  if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) shim_die("an image is no shared object");
  return head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
}

int cuModuleLoadData(void **module, const void *image) {
  MAY_FAIL();
  char path[] = "/tmp/nnc.shim.XXXXXX";
  size_t bytes = image_bytes(image);
  int file = mkstemp(path);
  if (file < 0 || write(file, image, bytes) != (ssize_t)bytes) shim_die("cannot write %s", path);
  close(file);
  *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  unlink(path);
  if (!*module) shim_die("%s", dlerror());
  return GOOD;
}

/* Functions belong to the driver: who asked for one does not give it back. */
static ShimKernel *kernels;
static pthread_mutex_t kernels_lock = PTHREAD_MUTEX_INITIALIZER;

static ShimKernel *new_kernel(void) {
  ShimKernel *kernel = calloc(1, sizeof *kernel);
  pthread_mutex_lock(&kernels_lock);
  if (kernel) kernel->next = kernels, kernels = kernel;
  pthread_mutex_unlock(&kernels_lock);
  return kernel;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
  char call[600], keep[600];
  MAY_FAIL();
  ShimKernel *kernel = new_kernel();
  snprintf(call, sizeof call, "shim_call_%s", name);
  snprintf(keep, sizeof keep, "shim_keep_%s", name);
  void *addresses[] = {dlsym(module, call), dlsym(module, keep), dlsym(module, "shim_begin")};
  if (!kernel || !addresses[0] || !addresses[1] || !addresses[2]) return NOT_FOUND;
  memcpy(&kernel->call, &addresses[0], sizeof addresses[0]);
  memcpy(&kernel->keep, &addresses[1], sizeof addresses[1]);
  memcpy(&kernel->begin, &addresses[2], sizeof addresses[2]);
  return *function = kernel, GOOD;
}

int cuFuncSetAttribute(void *function, int attribute, int value) {
  MAY_FAIL();
  (void)function;
  return attribute == 8 && value <= 227 << 10 ? GOOD : INVALID;
}

/* ---- tensor maps ---- */

/* Refuses what NVIDIA's does: f32 in squares with lines of 128 bytes alone are known here. */
int cuTensorMapEncodeTiled(ShimMap *map, int kind, unsigned rank, void *array, const uint64_t *sizes,
                           const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave, int swizzle,
                           int promotion, int fill) {
  MAY_FAIL();
  uint64_t address = (uint64_t)(uintptr_t)array;
  if (kind != 7 || rank < 2 || rank > 5 || interleave != 0 || swizzle != 3 || promotion > 3 || fill != 0) return INVALID;
  if ((uintptr_t)map % 64 != 0 || address % 16 != 0 || box[0] != 32) return INVALID;
  *map = (ShimMap){.magic = SHIM_MAP_MAGIC, .array = address, .rank = rank};
  for (unsigned k = 0; k < rank; k++) {
    if (sizes[k] < 1 || sizes[k] > 1ull << 32 || box[k] < 1 || box[k] > 256 || steps[k] != 1) return INVALID;
    map->sizes[k] = sizes[k];
    map->box[k] = box[k];
    map->strides[k] = k == 0 ? 4 : strides[k - 1];
    if (k > 0 && (map->strides[k] % 16 != 0 || map->strides[k] >= 1ull << 40)) return INVALID;
    if (k > 0 && map->strides[k] < map->strides[k - 1] * sizes[k - 1]) return INVALID;
    if (k > 1 && map->strides[k] % map->strides[k - 1] != 0) return INVALID;
  }
  return GOOD;
}

/* ---- launches ---- */

static void compare(const Block *block) {
  if (memcmp(block->data, block->after, block->bytes) == 0) return;
  size_t at = 0;
  while (block->data[at] == block->after[at]) at++;
  shim_die("a race: byte %zu of %zu at %p hangs on the order of threads", at, block->bytes, (void *)block->data);
}

void shim_twice(void (*work)(void *user, int backwards), void *user) {
  permit(1);
  for (int k = 0; k < MAX_BLOCKS; k++)
    if (blocks[k].pages) memcpy(blocks[k].before, blocks[k].data, blocks[k].bytes);
  work(user, 0);
  for (int k = 0; k < MAX_BLOCKS; k++) {
    if (!blocks[k].pages) continue;
    memcpy(blocks[k].after, blocks[k].data, blocks[k].bytes);
    memcpy(blocks[k].data, blocks[k].before, blocks[k].bytes);
  }
  work(user, 1);
  for (int k = 0; k < MAX_BLOCKS; k++)
    if (blocks[k].pages) compare(&blocks[k]);
  permit(0);
}

typedef void Runner(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
                    int backwards);
typedef struct Launch {
  Runner *runner;
  const ShimKernel *kernel;
  void **arguments;
  unsigned grid, threads, shared_bytes;
} Launch;

static void run_launch(void *user, int backwards) {
  const Launch *own = user;
  own->runner(own->kernel, own->arguments, own->grid, own->threads, own->shared_bytes, backwards);
}

static int launch(Launch own) {
  if (own.grid == 0 || own.shared_bytes > 227 << 10) return INVALID;
  shim_twice(run_launch, &own);
  return GOOD;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, void *stream, void **arguments, void **extra) {
  MAY_FAIL();
  if (grid_y * grid_z * block_y * block_z != 1 || stream != blocks || extra) return INVALID;
  return launch((Launch){shim_run, function, arguments, grid_x, block_x, shared_bytes});
}

int cuLaunchCooperativeKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                              unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments) {
  MAY_FAIL();
  if (grid_y * grid_z * block_y * block_z != 1 || stream != blocks || grid_x > SHIM_TOGETHER) return INVALID;
  return launch((Launch){shim_run_together, function, arguments, grid_x, block_x, shared_bytes});
}

/* More than one of the only processor, so that blocks do wait for each other. */
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *count, void *function, int threads, size_t shared_bytes) {
  MAY_FAIL();
  (void)function, (void)threads, (void)shared_bytes;
  return *count = 3, GOOD;
}
