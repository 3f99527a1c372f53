/* See cuda.h. One device, the first one, its primary context, and one stream for the whole process, made at the first call;
 * code is loaded once for each object that is run. */
#include "runtime/cuda.h"
#include "runtime/cuda_driver.h"
#include "runtime/cuda_graph.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LAUNCH_LOOP = 1,
  LAUNCH_END = 2,
  MAX_ARGUMENTS = 512,
  STAGING_ALIGN = 256,
  ARRAY_ALIGN = 16,
  BLOCKS_EACH = 32,
  TOGETHER_EACH = 2,
  MAX_MAPS = 8
};

typedef struct Program { /* a part of an object's code on the device */
  struct Program *next;
  const nn_cuda_image *image;
  uint64_t hash;
  CuModule module;
} Program;
typedef struct Function {
  CuFunction function;
  unsigned shared_bytes;
  int wide; /* made for sm_90a: warpgroups multiply, and tensor maps are read */
} Function;
typedef struct Functions { /* an entry's kernels */
  struct Functions *next;
  const nn_cuda_entry *entry;
  uint64_t hash;
  Function whole;
  int together; /* blocks of `whole` that can run at the same time */
  CudaGraph graph;
  Function function[];
} Functions;

static struct Gpu {
  pthread_mutex_t mutex;
  int opened, code; /* what nn_cuda_open gave */
  char message[512];
  CuDriver driver;
  CuContext context;
  CuStream stream;
  int processors, capability;
  Program *programs;
  Functions *functions;
} gpu = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local char message[512];
const char *nn_cuda_error(void) { return message; }

static int fail(int code, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  return code;
}

static int fail_driver(const char *what, CuResult result) {
  const char *text = NULL;
  if (gpu.driver.error) gpu.driver.error(result, &text);
  return fail(NN_GPU_FAILED, "the GPU's driver: %s: %s (%d)", what, text ? text : "unknown error", result);
}

/* ---- opening ---- */

static int find_driver(void) {
  static const char *const names[] = {
#define CU_NAME(field, name, arguments) name,
      CU_FUNCTIONS(CU_NAME)
#undef CU_NAME
  };
  const char *named = getenv("NN_CUDA_DRIVER");
  void *library = dlopen(named && *named ? named : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return fail(NN_NO_GPU, "this machine has no driver for NVIDIA GPUs (libcuda.so.1)");
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    void *function = dlsym(library, names[k]);
    if (!function) return fail(NN_NO_GPU, "the driver for NVIDIA GPUs is too old: it has no %s", names[k]);
    memcpy((char *)&gpu.driver + k * sizeof function, &function, sizeof function);
  }
  return NN_OK;
}

static int open_device(void) {
  const CuDriver *driver = &gpu.driver;
  CuDevice device;
  int count = 0, major = 0, minor = 0;
  CuResult result = driver->init(0);
  if (result == 0) result = driver->count(&count);
  if (result != 0 || count == 0) return fail(NN_NO_GPU, "this machine has no NVIDIA GPU that its driver can use");
  result = driver->device(&device, 0);
  if (result == 0) result = driver->attribute(&gpu.processors, CU_MULTIPROCESSORS, device);
  if (result == 0) result = driver->attribute(&major, CU_CAPABILITY_MAJOR, device);
  if (result == 0) result = driver->attribute(&minor, CU_CAPABILITY_MINOR, device);
  if (result == 0) result = driver->retain(&gpu.context, device);
  if (result == 0) result = driver->current(gpu.context);
  if (result == 0) result = driver->stream(&gpu.stream, CU_STREAM_NON_BLOCKING);
  gpu.capability = 10 * major + minor;
  return result == 0 ? NN_OK : fail_driver("the GPU cannot be opened", result);
}

int nn_cuda_open(void) {
  pthread_mutex_lock(&gpu.mutex);
  if (!gpu.opened) {
    gpu.code = find_driver();
    if (gpu.code == NN_OK) gpu.code = open_device();
    memcpy(gpu.message, message, sizeof message);
    gpu.opened = 1;
  }
  pthread_mutex_unlock(&gpu.mutex);
  if (gpu.code != NN_OK) return fail(gpu.code, "%s", gpu.message);
  CuResult result = gpu.driver.current(gpu.context); /* of this thread */
  return result == 0 ? NN_OK : fail_driver("the GPU's context", result);
}

/* ---- memory ---- */

void *nn_cuda_allocate(size_t bytes) {
  CuAddress address = 0;
  if (nn_cuda_open() != NN_OK) return NULL;
  CuResult result = gpu.driver.allocate(&address, bytes > 0 ? bytes : 1);
  if (result != 0) fail_driver("memory cannot be allocated", result);
  return result == 0 ? (void *)(uintptr_t)address : NULL;
}

void nn_cuda_free(void *device) {
  if (device && nn_cuda_open() == NN_OK) gpu.driver.release((CuAddress)(uintptr_t)device);
}

int nn_cuda_wait(void) {
  int code = nn_cuda_open();
  if (code != NN_OK) return code;
  CuResult result = gpu.driver.wait(gpu.stream);
  return result == 0 ? NN_OK : fail_driver("a kernel failed", result);
}

int nn_cuda_write(void *device, const void *host, size_t bytes) {
  int code = nn_cuda_open();
  if (code != NN_OK) return code;
  CuResult result = gpu.driver.write((CuAddress)(uintptr_t)device, host, bytes, gpu.stream);
  return result == 0 ? nn_cuda_wait() : fail_driver("memory cannot be written", result);
}

int nn_cuda_read(void *host, const void *device, size_t bytes) {
  int code = nn_cuda_open();
  if (code != NN_OK) return code;
  CuResult result = gpu.driver.read(host, (CuAddress)(uintptr_t)device, bytes, gpu.stream);
  return result == 0 ? nn_cuda_wait() : fail_driver("memory cannot be read", result);
}

/* The driver knows its own memory alone. */
static int on_device(uint64_t address) {
  unsigned type = 0;
  return gpu.driver.pointer(&type, CU_POINTER_MEMORY_TYPE, address) == 0 && type == CU_MEMORY_DEVICE;
}

/* ---- code ---- */

/* How well an image suits this GPU; 0: not at all. Machine code runs on GPUs of its generation that are as able, or, with an
 * "a" behind, on that very kind; PTX on all that are. */
static int suits(const nn_cuda_image *image) {
  const char *digits = strchr(image->architecture, '_');
  char *end;
  if (!digits) return 0;
  int capability = (int)strtol(digits + 1, &end, 10);
  if (*end) return capability == gpu.capability ? 3000 : 0;
  if (capability > gpu.capability) return 0;
  if (strncmp(image->architecture, "sm_", 3) != 0) return 1000 + capability;
  return capability / 10 == gpu.capability / 10 ? 2000 + capability : 0;
}

static const nn_cuda_image *find_image(const nn_cuda_entry *entry, int part) {
  const nn_cuda_image *best = NULL;
  for (int k = 0; k < entry->nimages; k++) {
    const nn_cuda_image *image = &entry->images[k];
    if (image->part != part) continue;
    if (suits(image) > (best ? suits(best) : 0)) best = image;
  }
  return best;
}

static int load_program(const nn_cuda_entry *entry, const nn_cuda_image *image, CuModule *module) {
  for (Program *program = gpu.programs; program; program = program->next) {
    if (program->image != image || program->hash != entry->hash) continue;
    *module = program->module;
    return NN_OK;
  }
  CuResult result = gpu.driver.load(module, image->bytes);
  if (result != 0) return fail_driver("the model's code cannot be loaded", result);
  Program *program = malloc(sizeof *program);
  if (!program) return fail(NN_GPU_FAILED, "out of memory");
  *program = (Program){gpu.programs, image, entry->hash, *module};
  gpu.programs = program;
  return NN_OK;
}

static int find_function(const nn_cuda_entry *entry, const nn_cuda_kernel *kernel, Function *own) {
  const nn_cuda_image *image = find_image(entry, kernel->part);
  if (!image)
    return fail(NN_BAD_PROCESSOR, "this GPU is sm_%d, for which the model has no code: compile it with --gpu sm_%d",
                gpu.capability, gpu.capability);
  CuModule module;
  int code = load_program(entry, image, &module);
  if (code != NN_OK) return code;
  own->wide = strcmp(image->architecture, "sm_90a") == 0;
  int bytes = own->wide ? kernel->wide_bytes : kernel->shared_bytes;
  own->shared_bytes = (unsigned)bytes;
  CuResult result = gpu.driver.function(&own->function, module, kernel->name);
  if (result == 0 && bytes > 48 << 10) result = gpu.driver.set_function(own->function, CU_FUNCTION_DYNAMIC_SHARED, bytes);
  return result == 0 ? NN_OK : fail_driver(kernel->name, result);
}

/* Where the driver does not say how many of its blocks run at the same time, it is left alone. */
static int find_whole(const nn_cuda_entry *entry, Functions *own) {
  int each = 0, code = find_function(entry, entry->whole, &own->whole);
  if (code != NN_OK) return code;
  CuResult result =
      gpu.driver.occupancy(&each, own->whole.function, entry->whole->threads, (size_t)own->whole.shared_bytes);
  own->together = result == 0 ? gpu.processors * (each < TOGETHER_EACH ? each : TOGETHER_EACH) : 0;
  return NN_OK;
}

static int find_functions(const nn_cuda_entry *entry, Functions *own) {
  int code = NN_OK;
  for (int k = 0; code == NN_OK && k < entry->nkernels; k++)
    code = find_function(entry, &entry->kernels[k], &own->function[k]);
  own->together = 0;
  if (code == NN_OK && entry->whole) code = find_whole(entry, own);
  return code;
}

static int functions_of(const nn_cuda_entry *entry, Functions **functions) {
  int code = NN_OK;
  pthread_mutex_lock(&gpu.mutex);
  Functions *own = gpu.functions;
  while (own && (own->entry != entry || own->hash != entry->hash)) own = own->next;
  if (!own) {
    own = malloc(sizeof *own + (size_t)entry->nkernels * sizeof *own->function);
    code = own ? find_functions(entry, own) : fail(NN_GPU_FAILED, "out of memory");
    if (code == NN_OK) {
      own->next = gpu.functions, own->entry = entry, own->hash = entry->hash;
      own->graph = (CudaGraph){0};
      gpu.functions = own;
    } else {
      free(own);
      own = NULL;
    }
  }
  pthread_mutex_unlock(&gpu.mutex);
  *functions = own;
  return code;
}

/* ---- a call ---- */

typedef struct Call {
  const nn_run *run;
  const nn_cuda_entry *entry;
  Functions *functions;
  uint64_t *frame;
  const int64_t *tasks, *trips, *bytes, *numbers;
  uint64_t *staged; /* by array: where the caller's lies, 0: kernels use it itself */
} Call;

typedef struct Arguments {
  _Alignas(64) unsigned char maps[MAX_MAPS][NN_CUDA_MAP_BYTES];
  int count;
  void *address[MAX_ARGUMENTS];
} Arguments;

/* Read by code for sm_90a alone. */
static int make_map(const Call *call, int which, void *to) {
  static const unsigned steps[NN_CUDA_MAP_RANK] = {1, 1, 1, 1, 1};
  const nn_cuda_map *map = &call->entry->maps[which];
  const int64_t *numbers = &call->numbers[map->first];
  uint64_t sizes[NN_CUDA_MAP_RANK], strides[NN_CUDA_MAP_RANK];
  unsigned box[NN_CUDA_MAP_RANK];
  for (int k = 0; k < map->rank; k++) {
    sizes[k] = (uint64_t)numbers[1 + k];
    strides[k] = (uint64_t)numbers[1 + map->rank + k];
    box[k] = (unsigned)map->box[k];
  }
  void *array = (void *)(uintptr_t)(call->frame[map->field] + (uint64_t)numbers[0]);
  CuResult result = gpu.driver.map(to, CU_MAP_F32, (unsigned)map->rank, array, sizes, strides + 1, box, steps, 0,
                                   CU_MAP_SWIZZLE_128, CU_MAP_PROMOTE_256, 0);
  return result == 0 ? NN_OK : fail_driver("a tensor map", result);
}

static int list_arguments(const Call *call, const nn_cuda_kernel *kernel, const Function *function, Arguments *arguments) {
  if (kernel->narguments > MAX_ARGUMENTS) return fail(NN_GPU_FAILED, "%s has too many arguments", kernel->name);
  arguments->count = 0;
  for (int k = 0; k < kernel->narguments; k++) {
    const nn_cuda_argument *argument = &kernel->arguments[k];
    if (argument->bytes < 0) {
      if (arguments->count == MAX_MAPS) return fail(NN_GPU_FAILED, "%s has too many maps", kernel->name);
      void *map = arguments->address[k] = arguments->maps[arguments->count++];
      memset(map, 0, NN_CUDA_MAP_BYTES);
      int code = function->wide ? make_map(call, argument->field, map) : NN_OK;
      if (code != NN_OK) return code;
    } else {
      uint64_t *field = &call->frame[argument->field];
      arguments->address[k] = argument->bytes > 0 ? (void *)(uintptr_t)*field : (void *)field;
    }
  }
  return NN_OK;
}

static int launch_kernel(const Call *call, const CudaLaunch *launch) {
  const nn_cuda_kernel *kernel = launch->kernel;
  (void)call;
  CuResult result = gpu.driver.launch(launch->function, launch->grid, 1, 1, (unsigned)kernel->threads, 1, 1,
                                      launch->shared_bytes, gpu.stream, launch->arguments, NULL);
  return result == 0 ? NN_OK : fail_driver(kernel->name, result);
}

/* As many blocks as the kernel with the most tasks has, if so many can run at the same time. */
static int launch_whole(const Call *call) {
  const nn_cuda_kernel *whole = call->entry->whole;
  const Function *own = &call->functions->whole;
  Arguments arguments;
  int64_t most = 1;
  for (int k = 0; k < call->entry->nkernels; k++) most = call->tasks[k] > most ? call->tasks[k] : most;
  int code = list_arguments(call, whole, own, &arguments);
  if (code != NN_OK) return code;
  unsigned grid = (unsigned)(most < call->functions->together ? most : call->functions->together);
  CuResult result = gpu.driver.launch_together(own->function, grid, 1, 1, (unsigned)whole->threads, 1, 1, own->shared_bytes,
                                               gpu.stream, arguments.address);
  return result == 0 ? NN_OK : fail_driver(whole->name, result);
}

static void trace(const Call *call, const nn_cuda_launch *launch, int done) {
  if (!call->run || !call->run->trace) return;
  gpu.driver.wait(gpu.stream);
  call->run->trace(call->run->trace_user, launch->ordinal, done);
}

/* What is done with each launch; a code that is not NN_OK ends the walk. */
typedef int Visit(const Call *call, const CudaLaunch *launch);

static int visit_kernel(const Call *call, int which, int group, Visit *visit) {
  const nn_cuda_kernel *kernel = &call->entry->kernels[which];
  const Function *own = &call->functions->function[which];
  Arguments arguments;
  int64_t tasks = call->tasks[which], most = (int64_t)gpu.processors * BLOCKS_EACH;
  if (tasks <= 0) return NN_OK;
  int code = list_arguments(call, kernel, own, &arguments);
  CudaLaunch launch = {.kernel = kernel,
                       .function = own->function,
                       .grid = (unsigned)(tasks < most ? tasks : most),
                       .shared_bytes = own->shared_bytes,
                       .arguments = arguments.address,
                       .group = group};
  return code == NN_OK ? visit(call, &launch) : code;
}

/* All launches in order, those in loops once for each turn. */
static int walk_launches(const Call *call, Visit *visit) {
  int group = 0;
  for (int at = 0; at < call->entry->nlaunches; at++) {
    const nn_cuda_launch *launch = &call->entry->launches[at];
    uint64_t *turn = &call->frame[launch->turn];
    if (launch->kind == LAUNCH_LOOP) {
      int64_t trips = call->trips[at];
      *turn = (uint64_t)(launch->reverse ? trips - 1 : 0);
      if (trips <= 0) at = launch->match;
      continue;
    }
    if (launch->kind == LAUNCH_END) {
      *turn += launch->reverse ? UINT64_MAX : 1;
      if (*turn < (uint64_t)call->trips[launch->match]) at = launch->match; /* -1 is beyond all trips */
      continue;
    }
    trace(call, launch, 0);
    group++;
    for (int k = 0; k < launch->count; k++) {
      int code = visit_kernel(call, launch->first + k, group, visit);
      if (code != NN_OK) return code;
    }
    trace(call, launch, 1);
  }
  return NN_OK;
}

static int put_into_graph(const Call *call, const CudaLaunch *launch) {
  return cuda_graph_put(&gpu.driver, &call->functions->graph, launch);
}

static int put_all(const Call *call) {
  cuda_graph_begin(&call->functions->graph);
  int code = walk_launches(call, put_into_graph);
  return code == NN_OK ? cuda_graph_end(&gpu.driver, &call->functions->graph) : code;
}

/* False: there is no graph, and nothing is launched. */
static bool launch_graph(const Call *call, int *code) {
  CudaGraph *graph = &call->functions->graph;
  bool launched = false;
  pthread_mutex_lock(&gpu.mutex);
  if (!graph->refused) {
    int put = put_all(call);
    if (put == CUDA_GRAPH_OTHER) {
      cuda_graph_clear(&gpu.driver, graph);
      put = put_all(call);
    }
    launched = put == 0;
    if (launched) {
      CuResult result = gpu.driver.graph_launch(graph->ready, gpu.stream);
      *code = result == 0 ? NN_OK : fail_driver("a graph of kernels", result);
    } else {
      graph->refused = 1;
      cuda_graph_clear(&gpu.driver, graph);
    }
  }
  pthread_mutex_unlock(&gpu.mutex);
  return launched;
}

/* All as one where they are short, else as a graph; one by one where they are watched. */
static int launch_all(const Call *call) {
  bool watched = call->run && call->run->trace;
  int code;
  if (call->functions->together > 0 && !watched) return launch_whole(call);
  if (!watched && call->entry->nkernels > 1 && launch_graph(call, &code)) return code;
  return walk_launches(call, launch_kernel);
}

/* Arrays of the host, and those of the device that 16-byte copies could not read, get a place in staging; what is read is
 * copied there. */
static int bring_arrays(Call *call) {
  const nn_cuda_entry *entry = call->entry;
  uint64_t staging = entry->staging >= 0 ? call->frame[entry->staging] : 0;
  for (int k = 0; k < entry->narrays; k++) {
    uint64_t *field = &call->frame[entry->arrays[k].field];
    call->staged[k] = *field && (*field % ARRAY_ALIGN != 0 || !on_device(*field)) ? *field : 0;
    if (!call->staged[k]) continue;
    *field = staging;
    staging += ((uint64_t)call->bytes[k] + STAGING_ALIGN - 1) / STAGING_ALIGN * STAGING_ALIGN;
    if (entry->arrays[k].result) continue;
    CuResult result = gpu.driver.copy(*field, call->staged[k], (size_t)call->bytes[k], gpu.stream);
    if (result != 0) return fail_driver("an argument cannot be copied", result);
  }
  return NN_OK;
}

static int take_arrays(const Call *call) {
  const nn_cuda_entry *entry = call->entry;
  int any = 0;
  for (int k = 0; k < entry->narrays; k++) {
    if (!call->staged[k]) continue;
    any = 1;
    if (!entry->arrays[k].result) continue;
    uint64_t from = call->frame[entry->arrays[k].field];
    CuResult result = gpu.driver.copy(call->staged[k], from, (size_t)call->bytes[k], gpu.stream);
    if (result != 0) return fail_driver("a result cannot be copied", result);
  }
  return any ? nn_cuda_wait() : NN_OK;
}

static int check_memory(const Call *call, int field, const char *what) {
  if (field < 0 || on_device(call->frame[field])) return NN_OK;
  return fail(NN_GPU_FAILED, "%s is no memory of the GPU's: take it from nn_cuda_allocate", what);
}

int nn_cuda_execute(const nn_run *run, uint64_t *frame, const nn_cuda_entry *entry, const int64_t *tasks,
                    const int64_t *trips, const int64_t *bytes, const int64_t *numbers) {
  Call call = {
      .run = run, .entry = entry, .frame = frame, .tasks = tasks, .trips = trips, .bytes = bytes, .numbers = numbers};
  uint64_t staged[MAX_ARGUMENTS];
  call.staged = staged;
  int code = nn_cuda_open();
  if (code == NN_OK && entry->narrays > MAX_ARGUMENTS) code = fail(NN_GPU_FAILED, "an entry has too many arrays");
  if (code == NN_OK) code = check_memory(&call, entry->state, "the state");
  if (code == NN_OK) code = check_memory(&call, entry->scratch, "scratch");
  if (code == NN_OK) code = functions_of(entry, &call.functions);
  if (code == NN_OK) code = bring_arrays(&call);
  if (code == NN_OK) code = launch_all(&call);
  if (code == NN_OK) code = take_arrays(&call);
  return code;
}

/* ---- the state ---- */

/* Aligned as the model wants its state; the caller frees it. */
static void *host_copy(const void *device, int64_t bytes, int *code) {
  void *host = NULL;
  *code = nn_cuda_open();
  if (*code == NN_OK && posix_memalign(&host, 64, bytes > 0 ? (size_t)bytes : 64) != 0)
    *code = fail(NN_GPU_FAILED, "out of memory");
  if (*code == NN_OK && device) *code = nn_cuda_read(host, device, (size_t)bytes);
  return host;
}

int nn_cuda_init(void *state, int64_t bytes, uint64_t seed, int (*init)(void *state, uint64_t seed)) {
  int code;
  void *host = host_copy(NULL, bytes, &code);
  if (code == NN_OK) code = init(host, seed);
  if (code == NN_OK) code = nn_cuda_write(state, host, (size_t)bytes);
  free(host);
  return code;
}

int nn_cuda_get(const void *state, int64_t bytes, const char *name, void *out,
                int (*get)(const void *state, const char *name, void *out)) {
  int code;
  void *host = host_copy(state, bytes, &code);
  if (code == NN_OK) code = get(host, name, out);
  free(host);
  return code;
}

int nn_cuda_set(void *state, int64_t bytes, const char *name, const void *in,
                int (*set)(void *state, const char *name, const void *in)) {
  int code;
  void *host = host_copy(state, bytes, &code);
  if (code == NN_OK) code = set(host, name, in);
  if (code == NN_OK) code = nn_cuda_write(state, host, (size_t)bytes);
  free(host);
  return code;
}
