/* Compiled code as a machine: a model that was compiled into this process, or one of a shared object. */
#include "command/cache.h"
#include "command/machine.h"

#include "codegen/cuda/cuda.h"
#include "runtime/cuda.h"
#include "runtime/nn.h"
#include "runtime/pool.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct Compiled {
  Loaded *loaded; /* or */
  void *shared;   /* from dlopen */
  nn_pool *pool;
  void *state, *scratch;
  size_t scratch_bytes;
} Compiled;

/* Aligned for the model; never of 0 bytes, since NULL is a fault there. The program ends where there is no memory, as it
 * does for arenas. */
static void *block_new(size_t align, size_t bytes) {
  void *block = NULL;
  if (posix_memalign(&block, MAX(align, sizeof(void *)), MAX(bytes, (size_t)64)) != 0) {
    fprintf(stderr, "nnc: error: out of memory: %zu bytes for the model\n", bytes);
    exit(EXIT_ENVIRONMENT);
  }
  return block;
}

/* State and scratch: the host's memory, or the GPU's. */
static void *memory_new(const Machine *machine, size_t bytes, Failure *failure) {
  if (machine->model->device == NN_HOST) return block_new(machine->model->align, bytes);
  void *memory = nn_cuda_allocate(MAX(bytes, (size_t)64));
  if (!memory) fail(failure, EXIT_ENVIRONMENT, "%s", nn_cuda_error());
  return memory;
}

static void memory_free(const Machine *machine, void *memory) {
  if (machine->model->device == NN_HOST)
    free(memory);
  else
    nn_cuda_free(memory);
}

static bool fail_code(const Machine *machine, const char *where, int code, Failure *failure) {
  if (code == NN_NO_GPU || code == NN_GPU_FAILED || (code == NN_BAD_PROCESSOR && machine->model->device == NN_CUDA))
    return fail(failure, EXIT_ENVIRONMENT, "%s: %s", where, nn_cuda_error());
  const char *text = machine->model->error ? machine->model->error(code) : NULL;
  return fail(failure, code == NN_BAD_PROCESSOR ? EXIT_ENVIRONMENT : EXIT_INPUT, "%s: %s", where, text ? text : "failed");
}

static nn_run run_of(const Machine *machine) {
  const Compiled *own = machine->own;
  return (nn_run){nn_pool_parallel_for, own->pool, machine->workers, machine->trace, machine->trace_user};
}

static size_t compiled_scratch(Machine *machine, int entry, const int64_t *dims) {
  return machine->model->entries[entry].scratch(dims, machine->workers);
}

static bool dims_in_bounds(const Machine *machine, const nn_entry *entry, const int64_t *dims, Failure *failure) {
  for (int k = 0; k < entry->ndims; k++) {
    const nn_dim *dim = &machine->model->dims[entry->dims[k]];
    int64_t value = dims[entry->dims[k]];
    if (value < dim->low || value > dim->high)
      return fail(failure, EXIT_INPUT, "%s is %lld, but must be from %lld to %lld", dim->name, (long long)value,
                  (long long)dim->low, (long long)dim->high);
    if (dim->step > 1 && value % dim->step != 0)
      return fail(failure, EXIT_INPUT, "%s is %lld, but must be a multiple of %lld", dim->name, (long long)value,
                  (long long)dim->step);
  }
  return true;
}

/* Which of the entry's checks it is, where the graphs are at hand: the object only says that one does not hold. */
static bool checks_hold(const Machine *machine, int index, const int64_t *dims, Failure *failure) {
  const Graph *graph = machine->program->module->entries.items[index];
  for (int k = 0; k < graph->checks.count; k++) {
    const EntryCheck *check = &graph->checks.items[k];
    int64_t value = dim_value(check->dim, dims);
    if (value >= check->low && value <= check->high) continue;
    return fail(failure, EXIT_INPUT, "%s: %s (it is %lld, and must be from %lld to %lld)", graph->name, check->what,
                (long long)value, (long long)check->low, (long long)check->high);
  }
  return true;
}

static bool compiled_call(Machine *machine, int index, const int64_t *dims, const void *const *parameters,
                          void *const *results, uint64_t seed, Failure *failure) {
  Compiled *own = machine->own;
  const nn_entry *entry = &machine->model->entries[index];
  if (!dims_in_bounds(machine, entry, dims, failure)) return false;
  if (machine->program && !checks_hold(machine, index, dims, failure)) return false;
  size_t bytes = compiled_scratch(machine, index, dims);
  if (!own->scratch || bytes > own->scratch_bytes) {
    memory_free(machine, own->scratch);
    own->scratch = memory_new(machine, bytes, failure);
    own->scratch_bytes = bytes;
    if (!own->scratch) return false;
  }
  nn_run run = run_of(machine);
  int code = entry->call(&run, own->state, own->scratch, dims, parameters, results, seed);
  return code == NN_OK || fail_code(machine, entry->name, code, failure);
}

static void compiled_sizes(Machine *machine, int entry, const int64_t *dims, int64_t *sizes) {
  machine->model->entries[entry].sizes(dims, sizes);
}

static void compiled_get(Machine *machine, int symbol, void *elements) {
  int code = machine->model->get(((Compiled *)machine->own)->state, machine->symbols[symbol].name, elements);
  if (code != NN_OK) bug("%s cannot be read from the state: %d", machine->symbols[symbol].name, code);
}

static void compiled_set(Machine *machine, int symbol, const void *elements) {
  int code = machine->model->set(((Compiled *)machine->own)->state, machine->symbols[symbol].name, elements);
  if (code != NN_OK) bug("%s cannot be written into the state: %d", machine->symbols[symbol].name, code);
}

static bool compiled_init(Machine *machine, uint64_t seed, Failure *failure) {
  int code = machine->model->init(((Compiled *)machine->own)->state, seed);
  return code == NN_OK || fail_code(machine, machine->name, code, failure);
}

static void compiled_close(Machine *machine) {
  Compiled *own = machine->own;
  nn_pool_free(own->pool);
  memory_free(machine, own->state);
  memory_free(machine, own->scratch);
  if (own->loaded) codegen_unload(own->loaded);
  if (own->shared) dlclose(own->shared);
}

static const MachineFunctions compiled_functions = {compiled_call, compiled_sizes,   compiled_get,  compiled_set,
                                                    compiled_init, compiled_scratch, compiled_close};

static Dtype dtype_of(int dtype) { return dtype == NN_F32 ? F32 : dtype == NN_I32 ? I32 : BOOL; }

static MachineValue *describe_values(Arena *arena, const nn_value *values, int count) {
  MachineValue *result = NEW_ARRAY(arena, MachineValue, count + 1);
  for (int k = 0; k < count; k++)
    result[k] = (MachineValue){values[k].name, values[k].shape,       dtype_of(values[k].dtype),
                               values[k].rank, values[k].has_default, values[k].fallback};
  return result;
}

static void describe(Machine *machine) {
  const nn_model *model = machine->model;
  Arena *arena = machine->arena;
  machine->dims = NEW_ARRAY(arena, MachineDim, model->ndims + 1);
  for (int k = 0; k < model->ndims; k++)
    machine->dims[k] = (MachineDim){model->dims[k].name, model->dims[k].low, model->dims[k].high, model->dims[k].step};
  machine->entries = NEW_ARRAY(arena, MachineEntry, model->nentries + 1);
  for (int k = 0; k < model->nentries; k++) {
    const nn_entry *from = &model->entries[k];
    machine->entries[k] = (MachineEntry){.name = from->name,
                                         .step = from->kind == NN_STEP,
                                         .draws = from->draws,
                                         .nparameters = from->nparameters,
                                         .nresults = from->nresults,
                                         .parameters = describe_values(arena, from->parameters, from->nparameters),
                                         .results = describe_values(arena, from->results, from->nresults),
                                         .nkernels = from->nkernels,
                                         .nlaunches = from->nlaunches};
  }
  machine->symbols = NEW_ARRAY(arena, MachineSymbol, model->nsymbols + 1);
  for (int k = 0; k < model->nsymbols; k++) {
    const nn_symbol *from = &model->symbols[k];
    MachineSymbol *to = &machine->symbols[k];
    *to = (MachineSymbol){
        .name = from->name, .dtype = dtype_of(from->dtype), .trainable = from->trainable, .rank = from->rank, .count = 1};
    for (int axis = 0; axis < to->rank; axis++) {
      to->size[axis] = from->size[axis];
      to->count *= from->size[axis];
    }
  }
}

/* NULL where there is no memory for its state; what it stands on is then the caller's to close. */
static Machine *machine_of_model(Arena *arena, const nn_model *model, int threads, Failure *failure) {
  Machine *machine = NEW(arena, Machine);
  Compiled *own = NEW(arena, Compiled);
  *machine = (Machine){.functions = &compiled_functions,
                       .arena = arena,
                       .name = model->name,
                       .compiled = true,
                       .ndims = model->ndims,
                       .nentries = model->nentries,
                       .nsymbols = model->nsymbols,
                       .state_bytes = model->state_bytes,
                       .model = model,
                       .own = own};
  describe(machine);
  own->pool = nn_pool_new(threads);
  machine->workers = own->pool ? nn_pool_workers(own->pool) : 1;
  own->state = memory_new(machine, model->state_bytes, failure);
  if (own->state) return machine;
  nn_pool_free(own->pool);
  return NULL;
}

/* What an object for CUDA calls. */
static const ExternalFunction cuda_functions[] = {
    {"nn_cuda_execute", (void (*)(void))nn_cuda_execute},
    {"nn_cuda_init", (void (*)(void))nn_cuda_init},
    {"nn_cuda_get", (void (*)(void))nn_cuda_get},
    {"nn_cuda_set", (void (*)(void))nn_cuda_set},
    {NULL, NULL},
};

/* Before anything is compiled for it. */
static bool find_gpu(Failure *failure) {
  return nn_cuda_open() == NN_OK ||
         fail(failure, EXIT_ENVIRONMENT, "%s; -o model.so compiles without one", nn_cuda_error());
}

static bool compile_cuda(const Program *program, const Settings *settings, CodegenOptions *options, CudaCode *cuda,
                         Failure *failure) {
  if (!target_is_cuda(settings)) return true;
  options->cuda = cuda;
  return cuda_compile(program->module, program->plans, program->module->entries.count, settings->gpu, NULL, cuda, failure);
}

/* What sanitized code calls: there if this nnc was built with that sanitizer. NULL with a failure. */
static const ExternalFunction *sanitizer_functions(Arena *arena, Sanitizer sanitizer, Failure *failure) {
  enum { MOST = 4 };
  static const struct {
    const char *name, *flag, *functions[MOST];
  } known[SANITIZER_COUNT] = {
      [SANITIZE_ADDRESS] = {"AddressSanitizer",
                            "address",
                            {"__asan_loadN", "__asan_storeN", "__asan_poison_memory_region",
                             "__asan_unpoison_memory_region"}},
      [SANITIZE_THREAD] = {"ThreadSanitizer", "thread", {"__tsan_read_range", "__tsan_write_range"}}};
  ExternalFunction *found = NEW_ARRAY(arena, ExternalFunction, MOST + 1);
  for (int k = 0; k < MOST && known[sanitizer].functions[k]; k++) {
    found[k].name = known[sanitizer].functions[k];
    found[k].address = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, found[k].name);
    if (found[k].address) continue;
    fail(failure, EXIT_ENVIRONMENT,
         "--sanitize: this nnc was not built with %s, so it can't run such code; compile it to a .o and link that with "
         "cc -fsanitize=%s",
         known[sanitizer].name, known[sanitizer].flag);
    return NULL;
  }
  return found;
}

/* From the cache, or compiled now and put there. */
static Loaded *load_code(Program *program, const Settings *settings, const Cached *cached, Text *code, Failure *failure) {
  Arena *arena = arena_new();
  const char *kept;
  size_t length;
  Failure ignored = {0};
  const char *name = program->module->name;
  Sanitizer sanitizer = settings_sanitizer(settings);
  const ExternalFunction *externals =
      sanitizer ? sanitizer_functions(program->module->arena, sanitizer, failure) : cuda_functions;
  Loaded *loaded = externals && cache_read(arena, cached, &kept, &length)
                       ? codegen_load_code(name, kept, length, externals, &ignored)
                       : NULL;
  arena_free(arena);
  if (loaded) {
    program_report(program);
    if (settings->verbose) fprintf(stderr, "code from the cache: %s\n", cached->path);
    return loaded;
  }
  if (!externals) return NULL;
  CodegenOptions options = program_codegen(program, settings);
  PipelineOptions pipeline = program_pipeline(settings);
  CudaCode cuda = {0};
  if (program->next < PASS_COUNT && !program_run(program, &pipeline, failure)) return NULL;
  bool good = compile_cuda(program, settings, &options, &cuda, failure) &&
              codegen_compile(program->module, program->plans, program->module->entries.count, &options, code, failure);
  cuda_free(&cuda);
  if (!good) return NULL;
  cache_write(cached, code);
  return codegen_load_code(name, code->bytes, code->length, externals, failure);
}

Machine *machine_compile(Arena *arena, Program *program, const Settings *settings, Failure *failure) {
  if (!target_known(settings, failure) || (target_is_cuda(settings) && !find_gpu(failure))) return NULL;
  Cached cached = cache_find(arena, program, settings);
  Text code = {0};
  Loaded *loaded = load_code(program, settings, &cached, &code, failure);
  text_free(&code);
  cache_forget(&cached);
  Machine *machine = loaded ? machine_of_model(arena, loaded_model(loaded), (int)settings->threads, failure) : NULL;
  if (!machine) {
    codegen_unload(loaded);
    return NULL;
  }
  ((Compiled *)machine->own)->loaded = loaded;
  machine->program = program;
  return machine;
}

Machine *machine_load(Arena *arena, const char *path, int threads, Failure *failure) {
  /* A name without a slash would be looked for among the system's libraries. */
  const char *place = strchr(path, '/') ? path : arena_format(arena, "./%s", path);
  void *shared = dlopen(place, RTLD_NOW | RTLD_LOCAL);
  if (!shared) {
    fail(failure, EXIT_INPUT, "%.300s cannot be loaded: %.600s", path, dlerror());
    return NULL;
  }
  const nn_model *model = dlsym(shared, "nn_model");
  if (!model || model->abi != NN_ABI) {
    if (!model)
      fail(failure, EXIT_INPUT, "%.300s is not a compiled model: it has no symbol nn_model", path);
    else
      fail(failure, EXIT_INPUT, "%.300s was compiled for interface %u, this nnc has %u: compile it again", path,
           (unsigned)model->abi, (unsigned)NN_ABI);
    dlclose(shared);
    return NULL;
  }
  Machine *machine = machine_of_model(arena, model, threads, failure);
  if (machine)
    ((Compiled *)machine->own)->shared = shared;
  else
    dlclose(shared);
  return machine;
}
