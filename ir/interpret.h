/* The interpreter: the definition of what a graph computes, op by op, plainly, in f32 or f64; products through OpenBLAS.
 * It also stands for "what an eager framework does", so it is written for honest speed: one pass over memory per op,
 * contractions by sgemm (convolutions after gathering their windows, as im2col), nothing fused. */
#ifndef NNC_INTERPRET_H
#define NNC_INTERPRET_H

#include "ir/ir.h"

/* A tensor at run time: dense, row-major. An f32 tensor's elements are float, or double in an f64 run. */
typedef struct Array {
  Dtype dtype;
  bool f64; /* elements of an F32 array are double */
  int rank;
  int64_t size[MAX_RANK];
  void *data; /* float or double, int32_t, uint8_t (0 or 1) */
} Array;
int64_t array_count(const Array *array);
size_t array_element_bytes(const Array *array);
Array array_new(Arena *arena, Dtype dtype, bool f64, int rank, const int64_t *size); /* zeroed */
Array array_for(Arena *arena, const Type *type, bool f64, const int64_t *dims);      /* sizes at run-time dims */
double array_get(const Array *array, int64_t index);
void array_set(const Array *array, int64_t index, double value);

/* Draws the initial value of a param or state, by its dotted name and the seed, into f32 (or double, the same numbers).
 * The bits are the same on every machine: no libm, no contraction. Symbols "nn.seed" and "nn.calls" become seed and 0. */
void initialise(const Symbol *symbol, uint64_t seed, Array *array);
/* Philox 2x32-10: one block; the lowest level of all random numbers. random_key folds one more i32 key into a stream. */
void philox(uint32_t counter[2], uint32_t key);
uint32_t random_key(uint32_t stream, uint32_t key);
#define RANDOM_KEY_WORD 0x6E6E6373u /* second counter word of random_key, which no element's index reaches */
/* What ir/random.c and the code that is emitted for initial values compute -2 log u and cos(2 pi v) with. */
#define NORMAL_ONE 0x3FF0000000000000u       /* the bits of 1 */
#define NORMAL_ROOT_HALF 0x3FE6A09E667F3BCDu /* of sqrt(1/2) */
#define NORMAL_MANTISSA 0xFFFFFFFFFFFFFu
#define NORMAL_TWO_LOG -1.3862943611198906 /* -2 log 2 */
enum { NORMAL_LOG_TERMS = 8, NORMAL_SINE_TERMS = 9 };
extern const double normal_log[NORMAL_LOG_TERMS];   /* -2 log((1 + s) / (1 - s)) = s * (sum of these * s^2k) */
extern const double normal_sine[NORMAL_SINE_TERMS]; /* sin(z pi / 2) = z * (sum of these * z^2k) */
/* Uniform in [0, 1) with 24 bits, for logical element `index` of a random node whose keys folded into `key`. */
float random_uniform(uint32_t key, uint64_t index);

/* Memory that is kept from one call to the next, as an eager framework's caching allocator does. Not to be used by two
 * threads at once. */
typedef struct Interpreter Interpreter;
Interpreter *interpreter_new(void);
void interpreter_free(Interpreter *interpreter);

/* Where every op that rounds in f32 is off by up to so many units of f32, at random. */
typedef struct Shake {
  double units;
  /* NULL, or how many times as much a contract is off, where it will be computed in a way that rounds more */
  double (*more)(void *user, const Graph *graph, const Node *contract);
  void *user;
  uint64_t draws; /* how many were drawn; where it starts is the seed */
} Shake;

typedef struct Run {
  const Graph *graph; /* an entry, without grad nodes */
  bool f64;
  const int64_t *dims;     /* by symbol index of the module */
  const Array *parameters; /* by parameter; dtypes and sizes must fit */
  /* by symbol: read, and replaced (data pointer into `arena`) by the finals at the end; of the types that the graph's state
   * nodes have, which after pass layout are those of symbol_stored */
  Array *states;
  Array *results; /* by result: set, data in `arena` */
  Arena *arena;
  Array *values; /* if not NULL: an array of graph->nodes.count, filled with every node's value (for diff) */
  /* If not NULL: results' data live in its memory, until the next call with it, instead of in `arena`; states that finals
   * replace live there until they are replaced again. For loops of training, where `arena` would grow at each step. */
  Interpreter *interpreter;
  Shake *shake;        /* NULL: none; in f64 runs alone */
  Precision precision; /* an f32 run's factors of contractions are rounded to it first */
} Run;
/* Computes the entry. Sizes and EntryChecks are checked first; a false return means that nothing was changed. */
bool interpret(Run *run, Failure *failure);

#endif
