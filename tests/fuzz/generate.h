/* What the generator's parts share: a pool of values with known intervals, and choices drawn from a seed. */
#ifndef NNC_GENERATE_H
#define NNC_GENERATE_H

#include "tests/fuzz/fuzz.h"

/* What an f32 or i32 value lies between, so that no exp overflows and no log meets 0. */
typedef struct Value {
  Id id;
  double low, high;
} Value;

enum { SIZES = 5, MOST_ELEMENTS = 3000, MOST_POINTS = 40000 };

typedef struct Generator {
  Arena *arena;
  Module *module;
  Graph *graph;
  uint64_t random;
  Vec(Value) pool;
  Vec(Value) states; /* state nodes of this graph, for finals and gradients */
  const Dim *sizes[SIZES];
  int depth; /* of scan bodies */
  int named; /* parameters and states so far */
} Generator;

uint64_t draw(Generator *g);
int below(Generator *g, int count);
bool chance(Generator *g, int percent);
double between(Generator *g, double low, double high);

static inline const Type *type_of_value(const Generator *g, Value value) { return graph_type(g->graph, value.id); }
static inline const Dim *number_dim(Generator *g, int64_t value) { return dim_constant(g->module, value); }
double elements_high(const Type *type);
bool small_enough(const Type *type);

/* ---- the pool ---- */

Value keep(Generator *g, Id id, double low, double high); /* tamed if it is large, and added to the pool */
Value tame(Generator *g, Value value, double most);       /* by tanh or a factor, so that |value| <= most */
Value leaf(Generator *g, Type type);                      /* an arg, a state, a constant, numbers drawn or counted */
Type random_type(Generator *g, Dtype dtype, int most_rank);
Value any_value(Generator *g, Dtype dtype);
Value any_of_rank(Generator *g, Dtype dtype, int least_rank);
Value alike(Generator *g, Dtype dtype, const Type *sizes); /* of these sizes, or broadcast to them */
Value scalar_of(Generator *g, Value value);                /* f32: a mean */

/* ---- parts of programs; false if there was nothing to do it with ---- */

typedef bool Part(Generator *g);
Part make_unary, make_binary, make_integer, make_compare, make_where, make_cast, make_view, make_fold, make_argfold,
    make_contract, make_convolution, make_reshape, make_concat, make_gather, make_scatter, make_argsort, make_cumsum,
    make_scan, make_grad, make_stop, make_leaf, make_transpose;
void make_some(Generator *g, int parts);
/* Updates of some of the first states along a gradient, by state; 0 for those that it leaves alone. */
void minimize(Generator *g, int nstates, Id *updated);

#endif
