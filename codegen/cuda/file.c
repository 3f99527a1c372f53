/* The file of CUDA C: what kernels are made of, constants, a __global__ function for each kernel of each plan; and, for an
 * entry whose plan is to run at once, one that does all its launches, with a barrier of all blocks behind each.
 *
 * Kernels that are alike but for their arguments are one function: a deep net repeats itself. The file also comes in parts:
 * one for each entry at once, with what it calls, then some with the kernels by themselves. */
#include "codegen/cuda/print.h"

#include <string.h>

/* What an entry at once holds for many kernels, addresses above all, does not fit into registers for two blocks. */
enum { PART_KERNELS = 12, MOST_PARTS = 16, MANY_KERNELS = 12 };

extern const char cuda_prelude[], cuda_warpgroups[]; /* prelude.cu, warpgroup.cu */

typedef struct Function {
  const char *name, *parameters, *names, *body, *legend;
  int blocks;
  bool called; /* by an entry that runs at once */
} Function;
typedef struct AtOnce {
  const char *text;
  const bool *calls; /* by function, of those there were then */
  int functions;
} AtOnce;
typedef struct File {
  Arena *arena; /* the module's */
  const Module *module;
  bool warpgroups; /* multiply in some kernel */
  Vec(Function) functions;
  Vec(AtOnce) wholes; /* entries that run at once */
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
  KernelText text = print_kernel(plan, kernel, file->warpgroups ? 1024 : 16);
  CudaKernel own = text.kernel;
  own.part = find_function(file, &text);
  if (own.part == file->functions.count) {
    Function function = {.name = identifier(arena, arena_format(arena, "%s_%s", file->module->name, kernel->name)),
                         .parameters = kept(arena, &text.parameters),
                         .names = kept(arena, &text.names),
                         .body = kept(arena, &text.body),
                         .legend = kept(arena, &text.legend),
                         .blocks = own.blocks};
    PUSH(arena, &file->functions, function);
  }
  Function *function = &file->functions.items[own.part];
  function->called |= plan->at_once;
  own.name = function->name;
  kernel_text_free(&text);
  return own;
}

/* What a block does, to be called. */
static void print_tasks(const Function *function, Text *out) {
  text_add(out, "%sDEVICE void %s_tasks(int block%s%s) {\n%s}\n", function->legend, function->name,
           *function->parameters ? ", " : "", function->parameters, function->body);
}

static void print_head(const char *name, int blocks, Text *out) {
  text_add(out, "extern \"C\" __global__ void __launch_bounds__(%d, %d) %s", CUDA_THREADS, blocks, name);
}

static void print_global(const Function *function, Text *out) {
  if (function->called) {
    print_tasks(function, out);
    print_head(function->name, function->blocks, out);
    text_add(out, "(%s) { %s_tasks(blockIdx.x%s%s); }\n", function->parameters, function->name,
             *function->names ? ", " : "", function->names);
  } else {
    text_add(out, "%s", function->legend);
    print_head(function->name, function->blocks, out);
    text_add(out, "(%s) {\n  const int block = blockIdx.x;\n%s}\n", function->parameters, function->body);
  }
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
      if (argument->kind == CUDA_MAP) bug("a tensor map in an entry that is one launch");
      wanted[argument->kind][argument->index] = true;
    }
    whole->own->blocks = kernels[k].blocks == 1 ? 1 : whole->own->blocks;
    whole->own->shared_bytes = MAX(whole->own->shared_bytes, kernels[k].shared_bytes);
    whole->own->wide_bytes = MAX(whole->own->wide_bytes, kernels[k].wide_bytes);
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
  CudaKernel own = {.name = identifier(arena, arena_format(arena, "%s_%s", file->module->name, plan->graph->name)),
                    .blocks = plan->kernels.count > MANY_KERNELS ? 1 : 2};
  int ndims = file->module->dims.count + 1;
  Text text = {0};
  Whole whole = {.print = {.plan = plan, .module = plan->module, .arena = arena_new(), .out = &text, .depth = 1},
                 .own = &own};
  whole.buffers = NEW_ARRAY(whole.print.arena, bool, plan->buffers.count);
  whole.values = NEW_ARRAY(whole.print.arena, bool, plan->graph->parameters.count + 1);
  whole.sizes = NEW_ARRAY(whole.print.arena, bool, ndims);
  find_arguments(&whole, kernels);
  text_add(&text, "\n/* %s, whole */\nstatic __device__ unsigned %s_barrier;\n", plan->graph->name, own.name);
  print_head(own.name, own.blocks, &text);
  text_add(&text, "(");
  print_parameters(&whole, &text);
  text_add(&text, ") {\n");
  print_launches(&whole, kernels);
  text_add(&text, "}\n");
  bool *calls = NEW_ARRAY(arena, bool, file->functions.count + 1);
  for (int k = 0; k < plan->kernels.count; k++) calls[kernels[k].part] = true; /* its function's number, for now */
  own.part = file->wholes.count;
  PUSH(arena, &file->wholes, ((AtOnce){kept(arena, &text), calls, file->functions.count}));
  text_free(&text);
  arena_free(whole.print.arena);
  return own;
}

/* ---- parts ---- */

/* Neighbours stay together. How many parts there are hangs on the source alone, so that objects are the same everywhere. */
static int part_of(const File *file, int function) {
  int count = file->functions.count, parts = MIN(MAX(count / PART_KERNELS, 1), MOST_PARTS);
  return file->wholes.count + (int)((int64_t)function * parts / count);
}

static Text *part_text(File *file, const Text *head, int part) {
  while (file->source.parts.count <= part) {
    PUSH(file->arena, &file->source.parts, ((Text){0}));
    text_add_bytes(&file->source.parts.items[file->source.parts.count - 1], head->bytes, head->length);
  }
  return &file->source.parts.items[part];
}

static void assemble(File *file) {
  Text head = {0};
  text_add_bytes(&head, file->source.text.bytes, file->source.text.length);
  for (int k = 0; k < file->wholes.count; k++) {
    const AtOnce *whole = &file->wholes.items[k];
    Text *part = part_text(file, &head, k);
    for (int j = 0; j < whole->functions; j++)
      if (whole->calls[j]) print_tasks(&file->functions.items[j], part);
    text_add_bytes(part, whole->text, strlen(whole->text));
  }
  for (int k = 0; k < file->functions.count; k++) {
    print_global(&file->functions.items[k], part_text(file, &head, part_of(file, k)));
    print_global(&file->functions.items[k], &file->source.text);
  }
  for (int k = 0; k < file->wholes.count; k++)
    text_add_bytes(&file->source.text, file->wholes.items[k].text, strlen(file->wholes.items[k].text));
  text_free(&head);
}

/* ---- all ---- */

CudaSource cuda_print(const Module *module, Plan *const *plans, int count) {
  Arena *arena = module->arena;
  File file = {.arena = arena, .module = module};
  CudaSource *source = &file.source;
  source->kernels = NEW_ARRAY(arena, CudaKernel *, count + 1);
  source->wholes = NEW_ARRAY(arena, CudaKernel, count + 1);
  for (int k = 0; k < count; k++) file.warpgroups |= plan_has_warpgroups(plans[k]);
  text_add(&source->text, "/* %s, for CUDA: made by nnc. */\n\n%s%s", module->name, cuda_prelude,
           file.warpgroups ? cuda_warpgroups : "");
  for (int k = 0; k < count; k++) {
    const Plan *plan = plans[k];
    source->kernels[k] = NEW_ARRAY(arena, CudaKernel, plan->kernels.count + 1);
    print_constants(plan, &source->text);
    for (int j = 0; j < plan->kernels.count; j++) source->kernels[k][j] = add_kernel(&file, plan, &plan->kernels.items[j]);
    if (plan->at_once) source->wholes[k] = add_whole(&file, plan, source->kernels[k]);
  }
  for (int k = 0; k < count; k++)
    for (int j = 0; j < plans[k]->kernels.count; j++)
      source->kernels[k][j].part = part_of(&file, source->kernels[k][j].part);
  assemble(&file);
  return *source;
}

void cuda_source_free(CudaSource *source) {
  for (int k = 0; k < source->parts.count; k++) text_free(&source->parts.items[k]);
  text_free(&source->text);
  *source = (CudaSource){0};
}
