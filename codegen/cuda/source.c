/* One kernel as CUDA C, without its name: arguments and body; and constants.
 *
 * The body is printed first; what it asked for on the way (sizes, shared memory) then makes its head. Its blocks walk
 * through the tasks in steps of the grid. Stages are separated by barriers of the block: memory that one thread wrote,
 * shared or not, is then there for all of them. */
#include "codegen/cuda/print.h"

#include <ctype.h>
#include <string.h>

/* ---- lines ---- */

static void print_list(Print *print, const char *format, va_list list) {
  Text *out = print->out;
  bool directive = format[0] == '#';
  text_add(out, "%*s", directive ? 0 : 2 * print->depth, "");
  text_add_list(out, format, list);
}

void print_line(Print *print, const char *format, ...) {
  va_list list;
  va_start(list, format);
  print_list(print, format, list);
  va_end(list);
  text_add(print->out, "\n");
}

void print_open(Print *print, const char *format, ...) {
  va_list list;
  va_start(list, format);
  print_list(print, format, list);
  va_end(list);
  text_add(print->out, " {\n");
  print->depth++;
}

/* Left alone the compiler unrolls whatever has constant ends, which takes it long and the kernel many registers. What pays is
 * that a thread waits for several loads at once, as far as the loop has turns for that. */
void print_some(Print *print, double turns, int loads) {
  enum { LOADS = 4 };
  double wanted = loads > 1 ? (LOADS + loads - 1) / loads : LOADS;
  print_line(print, "#pragma unroll %d", (int)MAX(MIN(wanted, turns), 1));
}

void print_block(Print *print) {
  print_line(print, "{");
  print->depth++;
}

void print_close(Print *print) {
  print->depth--;
  print_line(print, "}");
}

void print_barrier(Print *print) { print_line(print, "__syncthreads();"); }

/* ---- names and types ---- */

const char *type_text_of(Dtype dtype) { return dtype == F32 ? "float" : dtype == I32 ? "int" : "bool"; }
const char *type_in_memory_of(Dtype dtype) { return dtype == BOOL ? "unsigned char" : type_text_of(dtype); }

/* A name of ours as an identifier of C: letters, digits, underscores. */
char *identifier(Arena *arena, const char *name) {
  const char *wanted = name ? name : "";
  char *own = arena_format(arena, "%s%s", isalpha((unsigned char)wanted[0]) ? "" : "v", wanted);
  for (char *at = own; *at; at++)
    if (!isalnum((unsigned char)*at)) *at = '_';
  return own;
}

static int position_of(Print *print, Id id) {
  for (int k = 0; k < print->buffers.count; k++)
    if (print->buffers.items[k] == id) return k;
  PUSH(print->arena, &print->buffers, id);
  return print->buffers.count - 1;
}

const char *buffer_text(Print *print, Id id) {
  const Buffer *buffer = &print->plan->buffers.items[id];
  if (buffer->memory == MEMORY_CONSTANT)
    return arena_format(print->arena, "((const %s *)%s_%s_constant_%d)", type_in_memory_of(buffer->type.dtype),
                        identifier(print->arena, print->module->name), identifier(print->arena, print->plan->graph->name),
                        id);
  return arena_format(print->arena, buffer->memory == MEMORY_LOCAL ? "local_%d" : "p%d", position_of(print, id));
}

int64_t stage_shared(Print *print, int64_t bytes) {
  print->stage_bytes = MAX(print->stage_bytes, bytes);
  return print->shared_bytes;
}

/* ---- stages ---- */

static void name_loops(Print *print) {
  for (int k = 0; k < print->stage->nloops; k++) {
    const char *name = identifier(print->arena, print->stage->loops[k].name ? print->stage->loops[k].name : "i");
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '_') length--; /* what only makes names differ; numbers do here */
    print->loops[k] = arena_format(print->arena, "%.*s_%d", (int)length, name, k);
  }
}

static void print_stage(Print *print, const Stage *stage) {
  static void (*const kinds[])(Print *) = {
      [STAGE_EACH] = print_each,       [STAGE_FOLD] = print_fold, [STAGE_CONTRACT] = print_contract,
      [STAGE_SCATTER] = print_scatter, [STAGE_SORT] = print_sort, [STAGE_CUMSUM] = print_cumsum,
  };
  print->stage = stage;
  name_loops(print);
  print_block(print);
  kinds[stage->kind](print);
  print_close(print);
}

/* ---- a kernel's body ---- */

static void place_locals(Print *print) {
  const Plan *plan = print->plan;
  int kernel = (int)(print->kernel - plan->kernels.items);
  print->local_offset = NEW_ARRAY(print->arena, int64_t, plan->buffers.count);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_LOCAL || buffer->index != kernel) continue;
    print->local_offset[id] = print->shared_bytes;
    print->shared_bytes += buffer_tile_bytes(plan, id);
    const char *type = type_in_memory_of(buffer->type.dtype);
    print_line(print, "%s *const %s = (%s *)(shared + %lld);", type, buffer_text(print, id), type,
               (long long)print->local_offset[id]);
  }
}

/* The task's part of each task loop. */
static void print_task(Print *print) {
  const Kernel *kernel = print->kernel;
  const char *divisor = "1";
  for (int k = kernel->ntasks - 1; k >= 0; k--) {
    const Loop *loop = &kernel->tasks[k];
    const char *tiles = arena_format(print->arena, "tiles_%d", k), *part = "task";
    if (strcmp(divisor, "1") != 0) part = quotient_text(print, "task", divisor);
    if (k > 0) part = arena_format(print->arena, "%s %% %s", part, tiles);
    print_line(print, "const %s low_%d = %s * %d;", print->index, k, part, loop->tile);
    if (!task_is_whole(loop))
      print_line(print, "const %s span_%d = %s - low_%d < %d ? %s - low_%d : %d;", print->index, k,
                 dim_text(print, loop->extent), k, loop->tile, dim_text(print, loop->extent), k, loop->tile);
    divisor = dims_product(print, divisor, tiles);
  }
}

static void print_body(Print *print) {
  const Kernel *kernel = print->kernel;
  const char *tasks = "1";
  for (int k = 0; k < kernel->ntasks; k++) {
    const Loop *loop = &kernel->tasks[k];
    print_line(print, "const %s tiles_%d = (%s + %d) / %d;", print->index, k, dim_text(print, loop->extent), loop->tile - 1,
               loop->tile);
    tasks = dims_product(print, tasks, arena_format(print->arena, "tiles_%d", k));
  }
  print_open(print, "for (%s task = block; task < %s; task += gridDim.x)", print->index, tasks);
  print_task(print);
  for (int k = 0; k < kernel->stages.count; k++) {
    if (k > 0) print_barrier(print);
    print_stage(print, &kernel->stages.items[k]);
  }
  if (print->shared_bytes + print->stage_bytes > 0) print_barrier(print); /* the next task's stages write there too */
  print_close(print);
}

/* ---- its head ---- */

static void mark_access(const Access *access, bool *read) {
  if (access && access->buffer > 0) read[access->buffer] = true;
}

static void find_buffers(const Print *print, bool *read, bool *written) {
  for (int k = 0; k < print->kernel->stages.count; k++) {
    const Stage *stage = &print->kernel->stages.items[k];
    for (int j = 0; j < stage->scalars.count; j++)
      if (stage->scalars.items[j].op == SCALAR_LOAD) mark_access(stage->scalars.items[j].access, read);
    for (int j = 0; j < stage->stores.count; j++) mark_access(&stage->stores.items[j].access, written);
  }
}

void mention(const Dim *dim, bool *mentioned) {
  if (dim->kind == DIM_SYMBOL) mentioned[dim->symbol] = true;
  if (dim->kind == DIM_FLOORDIV) {
    mention(dim->a, mentioned);
    mention(dim->b, mentioned);
  }
  for (int k = 0; dim->kind == DIM_SUM && k < dim->nterms; k++)
    for (int atom = 0; atom < dim->terms[k].natoms; atom++) mention(dim->terms[k].atoms[atom], mentioned);
}

const char *dim_name(const Print *print, int symbol) {
  return arena_format(print->arena, "%s_%d", identifier(print->arena, print->module->dims.items[symbol].name), symbol);
}

void print_dim(const Print *print, const Dim *dim, Text *out) {
  switch (dim->kind) {
  case DIM_CONSTANT: text_add(out, "%lldLL", (long long)dim->value); break;
  case DIM_SYMBOL: text_add(out, "%s", dim_name(print, dim->symbol)); break;
  case DIM_FLOORDIV:
    text_add(out, "floor_divide(");
    print_dim(print, dim->a, out);
    text_add(out, ", ");
    print_dim(print, dim->b, out);
    text_add(out, ")");
    break;
  case DIM_SUM:
    for (int k = 0; k < dim->nterms; k++) {
      text_add(out, "%s%lldLL", k > 0 ? " + " : "", (long long)dim->terms[k].coefficient);
      for (int atom = 0; atom < dim->terms[k].natoms; atom++) {
        text_add(out, " * ");
        print_dim(print, dim->terms[k].atoms[atom], out);
      }
    }
  }
}

static void add_argument(Print *print, KernelText *own, CudaArgument argument, const char *type, const char *name) {
  const char *comma = own->kernel.arguments.count > 0 ? ", " : "";
  text_add(&own->parameters, "%s%s%s", comma, type, name);
  text_add(&own->names, "%s%s", comma, name);
  PUSH(print->module->arena, &own->kernel.arguments, argument);
}

/* In the order in which the body mentions them. */
static void print_arguments(Print *print, KernelText *own) {
  const Plan *plan = print->plan;
  bool *read = NEW_ARRAY(print->arena, bool, plan->buffers.count),
       *written = NEW_ARRAY(print->arena, bool, plan->buffers.count);
  bool *mentioned = NEW_ARRAY(print->arena, bool, print->module->dims.count + 1);
  find_buffers(print, read, written);
  for (int k = 0; k < print->buffers.count; k++) {
    Id id = print->buffers.items[k];
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL) continue;
    bool value = buffer->memory == MEMORY_ARG && buffer->type.rank == 0;
    add_argument(print, own, (CudaArgument){value ? CUDA_VALUE : CUDA_BUFFER, value ? buffer->index : id},
                 arena_format(print->arena, "%s%s %s", value || written[id] ? "" : "const ",
                              type_in_memory_of(buffer->type.dtype), value ? "" : "*"),
                 buffer_text(print, id));
  }
  for (int k = 0; k < print->sizes.count; k++) mention(print->sizes.items[k], mentioned);
  for (int k = 0; k < print->module->dims.count; k++)
    if (mentioned[k]) add_argument(print, own, (CudaArgument){CUDA_SIZE, k}, "long long ", dim_name(print, k));
  for (int k = 0; k < print->maps.count; k++) {
    add_argument(print, own, (CudaArgument){CUDA_MAP, k}, "const __grid_constant__ TensorMap ",
                 arena_format(print->arena, "map_%d", k));
    PUSH(print->module->arena, &own->kernel.maps, print->maps.items[k]);
  }
}

/* Where it comes from, and what its arguments are the first time. */
static void print_legend(Print *print, Text *out) {
  const char *separator = "";
  text_add(out, "\n/* ");
  kernel_lines(print->kernel, out);
  text_add(out, " (");
  for (int k = 0; k < print->buffers.count; k++) {
    const Buffer *buffer = &print->plan->buffers.items[print->buffers.items[k]];
    if (!buffer->name) continue;
    text_add(out, "%s%s: %s", separator, buffer_text(print, print->buffers.items[k]), buffer->name);
    separator = ", ";
  }
  text_add(out, ") */\n");
}

/* Two blocks hide each other's waiting; several contractions, one by 4 x 4 sums a thread or more, one by tensor cores beside
 * other stages, or what is done to many tensors at once, want all registers. Left alone the compiler spills a few for still
 * more blocks. */
static int blocks_of(const Kernel *kernel) {
  enum { MANY_SUMS = 16 };
  int contractions = 0, sums = 0;
  bool crowded = false;
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    if (stage->kind != STAGE_CONTRACT) continue;
    contractions++;
    crowded |= stage->tile.precision != PRECISION_F32 && kernel->stages.count > 1;
    if (stage->tile.precision == PRECISION_F32) sums = MAX(sums, stage->tile.rows * stage->tile.columns);
  }
  return contractions > 1 || sums >= MANY_SUMS || crowded ? 1 : 2;
}

KernelText print_kernel(const Plan *plan, const Kernel *kernel, int shared_align) {
  enum { MANY_ARGUMENTS = 40 };
  Print print = {.plan = plan, .module = plan->module, .kernel = kernel, .arena = arena_new(), .depth = 1};
  KernelText own = {0};
  Text body = {0};
  print.index = indices_fit_int(plan, kernel) ? "int" : "long long";
  print.out = &body;
  place_locals(&print);
  print_body(&print);
  own.kernel.shared_bytes = print.shared_bytes + print.stage_bytes;
  own.kernel.wide_bytes = print.shared_bytes + MAX(print.stage_bytes, print.wide_bytes);
  print_arguments(&print, &own);
  own.kernel.blocks = own.kernel.arguments.count > MANY_ARGUMENTS ? 1 : blocks_of(kernel);
  print_legend(&print, &own.legend);
  print.out = &own.body;
  if (own.kernel.shared_bytes > 0)
    print_line(&print, "extern __shared__ __align__(%d) unsigned char shared[];", shared_align);
  for (int k = 0; k < print.sizes.count; k++) {
    Text size = {0};
    print_dim(&print, print.sizes.items[k], &size);
    print_line(&print, "const %s size_%d = (%s)(%s);", print.index, k, print.index, size.bytes);
    text_free(&size);
  }
  text_add_bytes(&own.body, body.bytes, body.length);
  text_free(&body);
  arena_free(print.arena);
  return own;
}

void kernel_text_free(KernelText *own) {
  text_free(&own->parameters);
  text_free(&own->names);
  text_free(&own->body);
  text_free(&own->legend);
}

/* ---- constants ---- */

static uint32_t bits_of(Dtype dtype, double number) {
  float single = (float)number;
  uint32_t bits;
  if (dtype != F32) return (uint32_t)(int32_t)number;
  memcpy(&bits, &single, sizeof bits);
  return bits;
}

/* By their bits, so that any number is exact. */
void print_constants(const Plan *plan, Text *out) {
  Arena *arena = arena_new();
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    int64_t count;
    if (buffer->memory != MEMORY_CONSTANT) continue;
    if (!dim_is_constant(type_count(plan->module, &buffer->type), &count)) bug("a constant has an open size");
    text_add(out, "\nstatic __device__ __align__(16) const %s %s_%s_constant_%d[%lld] = {",
             buffer->type.dtype == BOOL ? "unsigned char" : "unsigned", identifier(arena, plan->module->name),
             identifier(arena, plan->graph->name), id, (long long)count);
    for (int64_t k = 0; k < count; k++)
      text_add(out, "%s%#x", k == 0 ? "" : k % 16 == 0 ? ",\n  " : ", ", bits_of(buffer->type.dtype, buffer->array[k]));
    text_add(out, "};\n");
  }
  arena_free(arena);
}
