/* Arrays and tensors: what they are, where their memory comes from.
 *
 * A pool hands out blocks in size classes of a quarter of a power of two and takes them back when their last user is done;
 * nothing returns to the system before interpreter_free, so that a loop of training touches the same pages at each step.
 * Tensors are readings of a block by strides; several may share one. */
#include "ir/interpret_parts.h"
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pool ---- */

enum { BLOCK_HEAD = 64 };

struct Block {
  Block *next_free, *next_of_all;
  int users, class;
  bool kept; /* as a state or a result, which the caller may write: not to be shared */
};

void *block_data(Block *block) { return (char *)block + BLOCK_HEAD; }

/* Sizes of a class: (4 + class % 4) * 2^(class / 4) units of 64 bytes, over 4. */
static size_t class_bytes(int class) { return ((size_t)(4 + class % 4) << (class / 4)) * 16; }

static int class_of(size_t bytes) {
  int class = 0;
  while (class < BLOCK_CLASSES && class_bytes(class) < bytes) class += class_bytes(class + 4) < bytes ? 4 : 1;
  return class;
}

Block *block_new(Interpreter *interpreter, size_t bytes) {
  int class = class_of(bytes);
  Block *block = class < BLOCK_CLASSES ? interpreter->free_blocks[class] : NULL;
  if (block) {
    interpreter->free_blocks[class] = block->next_free;
    block->kept = false;
  } else {
    void *memory = NULL;
    if (class >= BLOCK_CLASSES || posix_memalign(&memory, 64, round_up((int64_t)class_bytes(class), 64) + BLOCK_HEAD)) {
      fprintf(stderr, "error: out of memory: the interpreter needs %zu bytes more\n", bytes);
      exit(EXIT_ENVIRONMENT);
    }
    block = memory;
    block->class = class, block->kept = false;
    block->next_of_all = interpreter->all_blocks;
    interpreter->all_blocks = block;
  }
  block->users = 1;
  return block;
}

void block_use(Block *block) {
  if (block) block->users++;
}

void block_drop(Interpreter *interpreter, Block *block) {
  if (!block || --block->users > 0) return;
  CHECK(block->users == 0);
  block->next_free = interpreter->free_blocks[block->class];
  interpreter->free_blocks[block->class] = block;
}

void blocks_keep(Blocks *blocks, Block *block) {
  if (blocks->count == blocks->capacity) {
    blocks->capacity = MAX(64, 2 * blocks->capacity);
    blocks->items = realloc(blocks->items, (size_t)blocks->capacity * sizeof *blocks->items);
    if (!blocks->items) out_of_memory();
  }
  blocks->items[blocks->count++] = block;
  block->kept = true;
}

bool block_is_kept(const Block *block) { return block->kept; }

bool blocks_give_back(Interpreter *interpreter, Blocks *blocks, const void *data) {
  for (int i = 0; i < blocks->count; i++)
    if (block_data(blocks->items[i]) == data) {
      block_drop(interpreter, blocks->items[i]);
      blocks->items[i] = blocks->items[--blocks->count];
      return true;
    }
  return false;
}

extern void openblas_set_num_threads(int count) __attribute__((weak)); /* absent where another BLAS stands in */

Interpreter *interpreter_new(void) {
  Interpreter *interpreter = calloc(1, sizeof *interpreter);
  if (!interpreter) out_of_memory();
  if (openblas_set_num_threads) openblas_set_num_threads(1);
  return interpreter;
}

void interpreter_free(Interpreter *interpreter) {
  if (!interpreter) return;
  for (Block *block = interpreter->all_blocks; block;) {
    Block *next = block->next_of_all;
    free(block);
    block = next;
  }
  free(interpreter->states.items);
  free(interpreter->results.items);
  free(interpreter);
}

/* ---- arrays: what callers see ---- */

int64_t array_count(const Array *array) {
  int64_t count = 1;
  for (int axis = 0; axis < array->rank; axis++)
    if (!multiply_checked(count, array->size[axis], &count)) bug("an array of more than 2^63 elements");
  return count;
}

size_t array_element_bytes(const Array *array) { return (size_t)kind_bytes[kind_of(array->dtype, array->f64)]; }

Array array_new(Arena *arena, Dtype dtype, bool f64, int rank, const int64_t *size) {
  Array array = {.dtype = dtype, .f64 = f64 && dtype == F32, .rank = rank};
  for (int axis = 0; axis < rank; axis++) array.size[axis] = size[axis];
  array.data = arena_alloc_array(arena, (size_t)MAX(array_count(&array), 1), array_element_bytes(&array));
  return array;
}

Array array_for(Arena *arena, const Type *type, bool f64, const int64_t *dims) {
  int64_t size[MAX_RANK];
  for (int axis = 0; axis < type->rank; axis++) size[axis] = dim_value(type->size[axis], dims);
  return array_new(arena, type->dtype, f64, type->rank, size);
}

double array_get(const Array *array, int64_t index) {
  return kind_get(kind_of(array->dtype, array->f64), array->data, index);
}

void array_set(const Array *array, int64_t index, double value) {
  kind_set(kind_of(array->dtype, array->f64), array->data, index, value);
}

/* ---- tensors ---- */

int64_t tensor_elements(const Tensor *tensor) {
  int64_t count = 1;
  for (int axis = 0; axis < tensor->rank; axis++) count *= tensor->size[axis];
  return count;
}

void tensor_dense_strides(Tensor *tensor) {
  int64_t stride = 1;
  for (int axis = tensor->rank - 1; axis >= 0; axis--) {
    tensor->stride[axis] = stride;
    stride *= tensor->size[axis];
  }
}

bool tensor_is_dense(const Tensor *tensor) {
  int64_t stride = 1;
  for (int axis = tensor->rank - 1; axis >= 0; axis--) {
    if (tensor->size[axis] != 1 && tensor->stride[axis] != stride) return false;
    stride *= tensor->size[axis];
  }
  return true;
}

void tensor_allocate(Frame *frame, Tensor *tensor) {
  tensor->block = block_new(frame->interpreter, (size_t)(tensor_elements(tensor) * kind_bytes[tensor->kind]));
  tensor->data = block_data(tensor->block);
}

Tensor tensor_scratch(Frame *frame, Kind kind, int64_t count) {
  Tensor tensor = {.dtype = NONE, .kind = kind, .rank = 1, .size = {count}, .stride = {1}};
  tensor_allocate(frame, &tensor);
  return tensor;
}

void tensor_drop(Frame *frame, Tensor *tensor) {
  for (int part = 0; part < tensor->nparts; part++) tensor_drop(frame, &tensor->parts[part]);
  block_drop(frame->interpreter, tensor->block);
  tensor->block = NULL, tensor->data = NULL, tensor->nparts = 0;
}

void tensor_alias(Tensor *result, const Tensor *of) {
  result->data = of->data;
  result->block = of->block;
  block_use(of->block);
}

Tensor tensor_dense(Frame *frame, const Tensor *tensor) {
  Tensor dense = *tensor;
  tensor_dense_strides(&dense);
  if (tensor_is_dense(tensor)) {
    block_use(dense.block);
    return dense;
  }
  tensor_allocate(frame, &dense);
  copy_strided(kind_bytes[dense.kind], dense.rank, dense.size, dense.data, dense.stride, tensor->data, tensor->stride);
  return dense;
}

Tensor tensor_of_array(const Array *array) {
  Tensor tensor = {
      .dtype = array->dtype, .kind = kind_of(array->dtype, array->f64), .rank = array->rank, .data = array->data};
  for (int axis = 0; axis < array->rank; axis++) tensor.size[axis] = array->size[axis];
  tensor_dense_strides(&tensor);
  return tensor;
}

void tensor_sizes(Tensor *tensor, const Type *type, bool f64, const int64_t *dims) {
  *tensor = (Tensor){.dtype = type->dtype, .rank = type->rank};
  if (type->dtype == NONE) return;
  tensor->kind = kind_of(type->dtype, f64);
  for (int axis = 0; axis < type->rank; axis++) tensor->size[axis] = dim_value(type->size[axis], dims);
  tensor_dense_strides(tensor);
}
