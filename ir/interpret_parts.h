/* What the files of the interpreter share: tensors that may be strided readings of others' memory, the pool that memory
 * comes from, readers of index maps. Known to ir/interpret*.c and ir/random.c alone. */
#ifndef NNC_INTERPRET_PARTS_H
#define NNC_INTERPRET_PARTS_H

#include "ir/interpret.h"
#include "ir/scalar.h"

/* ---- memory: blocks, counted by their users, that go back to the pool of their size class ---- */

typedef struct Block Block;
typedef struct Blocks {
  Block **items;
  int count, capacity;
} Blocks;
enum { BLOCK_CLASSES = 4 * 48 };
struct Interpreter {
  Block *free_blocks[BLOCK_CLASSES], *all_blocks;
  Blocks states, results; /* what the caller reads through Run.states and Run.results */
};
bool block_is_kept(const Block *block);
void blocks_keep(Blocks *blocks, Block *block);
bool blocks_give_back(Interpreter *interpreter, Blocks *blocks, const void *data); /* false if it holds no such data */
Block *block_new(Interpreter *interpreter, size_t bytes); /* used once; not zeroed, aligned to 64 */
void *block_data(Block *block);
void block_use(Block *block); /* NULL is memory that others own */
void block_drop(Interpreter *interpreter, Block *block);

/* A value: elements of `data` by strides. Transposes, slices and broadcasts only change strides, as in eager frameworks. */
typedef struct Tensor {
  Dtype dtype;
  Kind kind;
  int rank;
  int64_t size[MAX_RANK], stride[MAX_RANK]; /* strides in elements; may be 0 or negative */
  char *data;                               /* the element at index 0, 0, ... */
  Block *block;                             /* what keeps data alive; NULL: the caller's memory */
  struct Tensor *parts;                     /* a scan's results, for pick; NULL elsewhere */
  int nparts;
} Tensor;

/* One graph at work: an entry's, or a scan body's. */
typedef struct Frame {
  Run *run;
  Interpreter *interpreter;
  const Graph *graph;
  const Tensor *parameters;
  Tensor *values;   /* by Id */
  int *uses, *left; /* how many live users a value has; how many have not run yet */
} Frame;

/* Gives node its value: `result` has its dtype, sizes and dense strides, and no memory yet. */
typedef void ValueFunction(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result);
ValueFunction value_constant, value_arg, value_state, value_dim, value_iota, value_random, value_unary, value_cast,
    value_binary, value_where, value_view, value_reshape, value_concat, value_gather, value_scatter, value_fold,
    value_contract, value_argfold, value_argsort, value_cumsum, value_scan, value_pick, value_stop, value_none;

/* Moves a result, which `value` has just given, as Run.shake says. */
void shake_result(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result, ValueFunction *value);

int64_t tensor_elements(const Tensor *tensor);
void tensor_dense_strides(Tensor *tensor);
bool tensor_is_dense(const Tensor *tensor);
void tensor_allocate(Frame *frame, Tensor *tensor);            /* dense memory for its sizes */
Tensor tensor_scratch(Frame *frame, Kind kind, int64_t count); /* a dense line; dropped by tensor_drop */
void tensor_drop(Frame *frame, Tensor *tensor);
void tensor_alias(Tensor *result, const Tensor *of);     /* result keeps its sizes, and reads of's memory densely */
Tensor tensor_dense(Frame *frame, const Tensor *tensor); /* dense, the same memory if it was; to be dropped */
Tensor tensor_of_array(const Array *array);
void tensor_sizes(Tensor *tensor, const Type *type, bool f64, const int64_t *dims);

/* ---- loops ---- */

/* Copies a block of elements between strided places: transposes in tiles, lines by memcpy. */
void copy_strided(int bytes, int rank, const int64_t *size, void *to, const int64_t *to_stride, const void *from,
                  const int64_t *from_stride);
void copy_line(int bytes, int64_t count, void *to, int64_t to_stride, const void *from, int64_t from_stride);
void fill_line(int bytes, int64_t count, void *to, const void *element);
/* The next index over some dims, the last fastest; false, with all of them 0 again, after the last one. */
bool next_index(int ndims, const int *dims, const int64_t *extent, int64_t *index);

/* ---- reading an operand through a space's map ---- */

/* What can be said at run-time sizes: the linear part of all axes is folded into base and step; only axes that may miss
 * (padding) or that divide keep a test. */
typedef struct CheckedAxis {
  int nterms, dim[2];
  int64_t coefficient[2], offset, divisor, size, stride; /* stride: 0 where the linear part already moves */
} CheckedAxis;
typedef struct Reader {
  const char *data;
  int bytes, ndims;
  int64_t extent[MAX_LOOPS];
  int64_t base, step[MAX_LOOPS]; /* in elements */
  bool uses[MAX_LOOPS];          /* which dims matter to what is read */
  int nchecked;
  CheckedAxis checked[MAX_RANK];
} Reader;
/* The positions first, first + step ... of one dim that are present, and the element of the first of them. */
typedef struct Line {
  int64_t first, count, step, element, stride;
} Line;
Reader reader_of(const Tensor *tensor, const Space *space, int operand, const int64_t *dims);
static inline bool reader_is_plain(const Reader *reader) { return reader->nchecked == 0; }
/* index[line_dim] is ignored */
Line reader_line(const Reader *reader, const int64_t *index, int line_dim);
/* Copies what the given dims read into a dense array, the other dims held at `index`; absent elements become *fill. */
void reader_gather(const Reader *reader, int ndims, const int *dims, int64_t *index, void *to, const void *fill);

/* Folds what the reader reads over the folded dims into a dense array over the result dims, in this order of both. */
void fold_reader(Frame *frame, const Reader *reader, Op op, Kind kind, int nresult, const int *result_dims, int nfolded,
                 const int *folded_dims, void *result);

void random_fill(uint32_t key, uint64_t start, float *values, int64_t count);
void random_normals(uint32_t key, double deviation, float *values, int64_t count); /* elements 0 and on */

#endif
