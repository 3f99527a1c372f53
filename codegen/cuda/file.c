/* The file of CUDA C: what kernels are made of, constants, a __global__ function for each kernel of each plan; and, for an
 * entry whose plan is to run at once, one that does all its launches, with a barrier of all blocks behind each.
 *
 * Kernels that are alike but for their arguments are one function: a deep net repeats itself. Functions that such an entry
 * calls are apart from the __global__ ones, and all in the first part, as what is called must be. */
#include "codegen/cuda/print.h"

#include <string.h>

enum { PART_KERNELS = 12, MOST_PARTS = 16 };

extern const char cuda_prelude[]; /* prelude.cu */

typedef struct Function {
  const char *name, *parameters, *names, *body, *legend;
  bool called; /* by an entry that runs at once */
  int part;
} Function;
typedef struct File {
  Arena *arena; /* the module's */
  const Module *module;
  Vec(Function) functions;
  Vec(const char *) wholes; /* texts of entries that run at once */
  CudaSource source;
} File;

/* ---- kernels ---- */

static const char *kept(Arena *arena, const Text *text) {
  return text->length > 0 ? arena_format(arena, "%s", text->bytes) : "";
}

static int find_function(const File *file, const KernelText *text) {
  int k = 0;
  for (; k < file->functions.count; k++) {
    const Function *function = &file->functions.items[k];
    const char *parameters = text->parameters.bytes ? text->parameters.bytes : "";
    if (strcmp(function->parameters, parameters) == 0 && strcmp(function->body, text->body.bytes) == 0) break;
  }
  return k;
}

/* `part` is the number of its function for the time being. */
static CudaKernel add_kernel(File *file, const Plan *plan, const Kernel *kernel) {
  Arena *arena = file->arena;
  KernelText text = print_kernel(plan, kernel);
  CudaKernel own = text.kernel;
  own.part = find_function(file, &text);
  if (own.part == file->functions.count) {
    Function function = {.name = identifier(arena, arena_format(arena, "%s_%s", file->module->name, kernel->name)),
                         .parameters = kept(arena, &text.parameters),
                         .names = kept(arena, &text.names),
                         .body = kept(arena, &text.body),
                         .legend = kept(arena, &text.legend)};
    PUSH(arena, &file->functions, function);
  }
  Function *function = &file->functions.items[own.part];
  function->called |= plan->at_once;
  own.name = function->name;
  kernel_text_free(&text);
  return own;
}

static void print_global(const Function *function, Text *out) {
  const char *global = "extern \"C\" __global__ void __launch_bounds__";
  text_add(out, "%s", function->legend);
  if (!function->called) {
    text_add(out, "%s(%d) %s(%s) {\n  const int block = blockIdx.x;\n%s}\n", global, CUDA_THREADS, function->name,
             function->parameters, function->body);
    return;
  }
  const char *comma = *function->names ? ", " : "";
  text_add(out, "static __device__ __noinline__ void %s_tasks(int block%s%s) {\n%s}\n", function->name, comma,
           function->parameters, function->body);
  text_add(out, "%s(%d) %s(%s) { %s_tasks(blockIdx.x%s%s); }\n", global, CUDA_THREADS, function->name, function->parameters,
           function->name, comma, function->names);
}

/* ---- an entry at once ---- */

typedef struct Whole {
  Print print;
  CudaKernel *own;
  bool *buffers, *values, *sizes; /* which are arguments; turns of loops are no sizes */
} Whole;

static const char *argument_name(const Whole *whole, const CudaArgument *argument) {
  if (argument->kind == CUDA_SIZE) return dim_name(&whole->print, argument->index);
  return arena_format(whole->print.arena, argument->kind == CUDA_VALUE ? "v%d" : "b%d", argument->index);
}

/* What the kernels and the loops want, each once. */
static void find_arguments(Whole *whole, const CudaKernel *kernels) {
  const Plan *plan = whole->print.plan;
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int j = 0; j < kernels[k].arguments.count; j++) {
      const CudaArgument *argument = &kernels[k].arguments.items[j];
      bool *const wanted[] = {[CUDA_BUFFER] = whole->buffers, [CUDA_VALUE] = whole->values, [CUDA_SIZE] = whole->sizes};
      wanted[argument->kind][argument->index] = true;
    }
    whole->own->shared_bytes = MAX(whole->own->shared_bytes, kernels[k].shared_bytes);
  }
  for (int k = 0; k < plan->launches.count; k++)
    if (plan->launches.items[k].kind == LAUNCH_LOOP) mention(plan->launches.items[k].trips, whole->sizes);
  for (int k = 0; k < plan->launches.count; k++)
    if (plan->launches.items[k].kind == LAUNCH_LOOP) whole->sizes[plan->launches.items[k].turn] = false;
}

static void add_parameter(Whole *whole, Text *out, CudaArgumentKind kind, int index, const char *type) {
  CudaArgument argument = {kind, index};
  text_add(out, "%s%s%s", whole->own->arguments.count > 0 ? ", " : "", type, argument_name(whole, &argument));
  PUSH(whole->print.module->arena, &whole->own->arguments, argument);
}

static void print_parameters(Whole *whole, Text *out) {
  const Plan *plan = whole->print.plan;
  Arena *arena = whole->print.arena;
  for (Id id = 1; id < plan->buffers.count; id++)
    if (whole->buffers[id])
      add_parameter(whole, out, CUDA_BUFFER, id,
                    arena_format(arena, "%s *", type_in_memory_of(plan->buffers.items[id].type.dtype)));
  for (int k = 0; k < plan->graph->parameters.count; k++)
    if (whole->values[k])
      add_parameter(whole, out, CUDA_VALUE, k,
                    arena_format(arena, "%s ", type_in_memory_of(plan->graph->parameters.items[k].type.dtype)));
  for (int k = 0; k < whole->print.module->dims.count; k++)
    if (whole->sizes[k]) add_parameter(whole, out, CUDA_SIZE, k, "long long ");
}

/* Kernels side by side begin at different blocks, so that few tasks of each keep many blocks busy. */
static void print_launch(Whole *whole, const CudaKernel *kernels, const Launch *launch) {
  Print *print = &whole->print;
  int64_t first = 0;
  for (int k = launch->first; k < launch->first + launch->count; k++) {
    Text call = {0};
    text_add(&call, "%s_tasks(", kernels[k].name);
    text_add(&call, first == 0 ? "blockIdx.x" : "block_behind(%lld)", (long long)first);
    for (int j = 0; j < kernels[k].arguments.count; j++)
      text_add(&call, ", %s", argument_name(whole, &kernels[k].arguments.items[j]));
    print_line(print, "%s);", call.bytes);
    text_free(&call);
    const Dim *tasks = kernel_task_count(print->plan, k);
    first = (first + (tasks ? tasks->high : 0)) % INT32_MAX;
  }
}

static void print_loop(Whole *whole, const Launch *launch) {
  const char *turn = dim_name(&whole->print, launch->turn);
  Text trips = {0};
  print_dim(&whole->print, launch->trips, &trips);
  if (launch->reverse)
    print_open(&whole->print, "for (long long %s = (%s) - 1; %s >= 0; %s--)", turn, trips.bytes, turn, turn);
  else
    print_open(&whole->print, "for (long long %s = 0; %s < %s; %s++)", turn, turn, trips.bytes, turn);
  text_free(&trips);
}

static void print_launches(Whole *whole, const CudaKernel *kernels) {
  const Plan *plan = whole->print.plan;
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    if (launch->kind == LAUNCH_LOOP) print_loop(whole, launch);
    if (launch->kind == LAUNCH_END) print_close(&whole->print);
    if (launch->kind != LAUNCH_KERNELS) continue;
    print_launch(whole, kernels, launch);
    if (k + 1 < plan->launches.count) print_line(&whole->print, "grid_barrier(&%s_barrier);", whole->own->name);
  }
}

static CudaKernel add_whole(File *file, const Plan *plan, const CudaKernel *kernels) {
  Arena *arena = file->arena;
  CudaKernel own = {.name = identifier(arena, arena_format(arena, "%s_%s", file->module->name, plan->graph->name))};
  int ndims = file->module->dims.count + 1;
  Text text = {0};
  Whole whole = {.print = {.plan = plan, .module = plan->module, .arena = arena_new(), .out = &text, .depth = 1},
                 .own = &own};
  whole.buffers = NEW_ARRAY(whole.print.arena, bool, plan->buffers.count);
  whole.values = NEW_ARRAY(whole.print.arena, bool, plan->graph->parameters.count + 1);
  whole.sizes = NEW_ARRAY(whole.print.arena, bool, ndims);
  find_arguments(&whole, kernels);
  text_add(&text, "\n/* %s, whole */\nstatic __device__ unsigned %s_barrier;\n", plan->graph->name, own.name);
  text_add(&text, "extern \"C\" __global__ void __launch_bounds__(%d) %s(", CUDA_THREADS, own.name);
  print_parameters(&whole, &text);
  text_add(&text, ") {\n");
  print_launches(&whole, kernels);
  text_add(&text, "}\n");
  PUSH(arena, &file->wholes, kept(arena, &text));
  text_free(&text);
  arena_free(whole.print.arena);
  return own;
}

/* ---- parts ---- */

/* Neighbours stay together. How many parts there are hangs on the source alone, so that objects are the same everywhere. */
static void choose_parts(File *file) {
  int called = 0, own = 0;
  for (int k = 0; k < file->functions.count; k++) called += file->functions.items[k].called;
  int rest = file->functions.count - called, from = called > 0;
  int parts = MIN(MAX(rest / PART_KERNELS, 1), MOST_PARTS);
  for (int k = 0; k < file->functions.count; k++) {
    Function *function = &file->functions.items[k];
    function->part = function->called ? 0 : from + (int)((int64_t)own++ * parts / rest);
  }
}

static Text *part_text(File *file, const Text *head, int part) {
  while (file->source.parts.count <= part) {
    PUSH(file->arena, &file->source.parts, ((Text){0}));
    text_add_bytes(&file->source.parts.items[file->source.parts.count - 1], head->bytes, head->length);
  }
  return &file->source.parts.items[part];
}

static void add_text(File *file, const Text *head, int part, const char *text) {
  Text *own = part_text(file, head, part);
  text_add_bytes(own, text, strlen(text));
  text_add_bytes(&file->source.text, text, strlen(text));
}

static void assemble(File *file) {
  Text head = {0};
  text_add_bytes(&head, file->source.text.bytes, file->source.text.length);
  for (int k = 0; k < file->functions.count; k++) {
    Text text = {0};
    print_global(&file->functions.items[k], &text);
    add_text(file, &head, file->functions.items[k].part, text.bytes);
    text_free(&text);
  }
  for (int k = 0; k < file->wholes.count; k++) add_text(file, &head, 0, file->wholes.items[k]);
  text_free(&head);
}

/* ---- all ---- */

CudaSource cuda_print(const Module *module, Plan *const *plans, int count) {
  Arena *arena = module->arena;
  File file = {.arena = arena, .module = module};
  CudaSource *source = &file.source;
  source->kernels = NEW_ARRAY(arena, CudaKernel *, count + 1);
  source->wholes = NEW_ARRAY(arena, CudaKernel, count + 1);
  text_add(&source->text, "/* %s, for CUDA: made by nnc. */\n\n%s", module->name, cuda_prelude);
  for (int k = 0; k < count; k++) {
    const Plan *plan = plans[k];
    source->kernels[k] = NEW_ARRAY(arena, CudaKernel, plan->kernels.count + 1);
    print_constants(plan, &source->text);
    for (int j = 0; j < plan->kernels.count; j++) source->kernels[k][j] = add_kernel(&file, plan, &plan->kernels.items[j]);
    if (plan->at_once) source->wholes[k] = add_whole(&file, plan, source->kernels[k]);
  }
  choose_parts(&file);
  for (int k = 0; k < count; k++)
    for (int j = 0; j < plans[k]->kernels.count; j++)
      source->kernels[k][j].part = file.functions.items[source->kernels[k][j].part].part;
  assemble(&file);
  return *source;
}

void cuda_source_free(CudaSource *source) {
  for (int k = 0; k < source->parts.count; k++) text_free(&source->parts.items[k]);
  text_free(&source->text);
  *source = (CudaSource){0};
}
