/* The graph: SSA values over tensors. One Graph for each fn, step and scan body; a Module holds them with the model's
 * sizes, params and states.
 *
 * A node is its value: an Id is an index into Graph.nodes, 0 is none, operands have smaller Ids than their users, so the
 * order of nodes is an order of execution. Ops with several results (scan, grad) are taken apart by `pick` nodes. There are
 * no effects: a state comes in by a `state` node and goes out as a Final; a := in a program is renaming in the builder. */
#ifndef NNC_IR_H
#define NNC_IR_H

#include "ir/base.h"

typedef int32_t Id;
typedef struct Module Module;
typedef struct Graph Graph;

enum { MAX_RANK = 8, MAX_LOOPS = 16 };

/* ---- sizes: polynomials over the model's dims, interned in a normal form, so that equal sizes are equal pointers ---- */

typedef enum DimKind { DIM_CONSTANT, DIM_SYMBOL, DIM_FLOORDIV, DIM_SUM } DimKind;
typedef struct Dim Dim;
/* coefficient * atoms[0] * atoms[1] ...; atoms are symbols and floordivs, in a fixed order; no atoms: a constant term */
typedef struct DimTerm {
  int64_t coefficient;
  int natoms;
  const Dim **atoms;
} DimTerm;
struct Dim {
  DimKind kind;
  int64_t value;    /* CONSTANT */
  int symbol;       /* SYMBOL: index into Module.dims */
  const Dim *a, *b; /* FLOORDIV: floor(a / b) */
  int nterms;       /* SUM: two terms or more, or one whose coefficient is not 1 or that has several atoms */
  DimTerm *terms;
  int64_t low, high; /* what the bounds of the symbols allow (interval arithmetic; saturates at +-2^62) */
};

/* A size that a model declares: dim N <= 256. */
typedef struct DimSymbol {
  const char *name;
  int64_t low, high, step;
  const Place *place;
  bool turn;        /* not declared: the counter of a scan's loop, made by the plan */
  const Dim *below; /* turn: it is always less than this */
} DimSymbol;

const Dim *dim_constant(Module *module, int64_t value);
const Dim *dim_symbol(Module *module, int symbol);
/* NULL where a coefficient would leave 64 bits. dim_floordiv and dim_mod want b's interval above 0, else NULL. */
const Dim *dim_add(Module *module, const Dim *a, const Dim *b);
const Dim *dim_subtract(Module *module, const Dim *a, const Dim *b);
const Dim *dim_multiply(Module *module, const Dim *a, const Dim *b);
const Dim *dim_floordiv(Module *module, const Dim *a, const Dim *b);
const Dim *dim_mod(Module *module, const Dim *a, const Dim *b); /* a - b * (a // b), in that normal form */
const Dim *dim_offset(Module *module, const Dim *a, int64_t plus);
bool dim_is_constant(const Dim *dim, int64_t *value);
bool dim_is(const Dim *dim, int64_t value);
int64_t dim_value(const Dim *dim, const int64_t *symbols);       /* at run-time sizes, by symbol index */
void dim_print(const Module *module, const Dim *dim, Text *out); /* "N", "2*N*T - 1", "(H + 1)//2" */
const Dim *dim_read(Module *module, const char **text);          /* the same back; NULL if malformed */

/* ---- types ---- */

/* To what a contraction's factors are rounded before they are multiplied; its sums are f32 always. */
typedef enum Precision { PRECISION_F32, PRECISION_TF32, PRECISION_BF16, PRECISION_COUNT } Precision;
extern const struct PrecisionInfo {
  const char *name;
  int bits; /* of the significand, the hidden one among them */
} precision_info[PRECISION_COUNT];

typedef enum Dtype { NONE, F32, I32, BOOL } Dtype; /* NONE: the type of a node that only picks take apart */
typedef struct Type {
  Dtype dtype;
  int rank;
  const Dim *size[MAX_RANK];
} Type;
const char *dtype_name(Dtype dtype); /* "f32", "i32", "bool" */
Type type_scalar(Dtype dtype);
Type type_of(Dtype dtype, int rank, const Dim *const *size);
bool type_equal(const Type *a, const Type *b);
bool type_same_sizes(const Type *a, const Type *b);
const Dim *type_count(Module *module, const Type *type);            /* how many elements */
void type_print(const Module *module, const Type *type, Text *out); /* "f32[N, 784]" */
char *type_text(const Module *module, const Type *type);            /* the same, in the module's arena */

/* ---- index maps ---- */

/* index along one axis of an operand = (coefficient[0]*dim[0] + coefficient[1]*dim[1] + offset) / divisor; the element is
 * absent where the division is inexact or the index falls outside the axis. nterms 0..2; divisor >= 1. */
typedef struct Axis {
  int nterms;
  int dim[2];
  int64_t coefficient[2];
  const Dim *offset;
  int64_t divisor;
} Axis;
typedef struct Map {
  int naxes;
  Axis axis[MAX_RANK];
} Map;
/* The iteration space of view, folds, contract and argmax/argmin: dims 0..nresult-1 are the result's axes, the rest are
 * folded in row-major order. map[k] tells where operand k is read. */
typedef struct Space {
  int ndims, nresult;
  const Dim *extent[MAX_LOOPS];
  int nmaps;
  Map map[2];
} Space;
Axis axis_of(Module *module, int dim); /* the bare dim */
Axis axis_at(const Dim *offset);       /* no dim: always this index */
Axis axis_affine(int dim, int64_t coefficient, const Dim *offset);
Axis axis_window(int dim, int64_t coefficient, int tap, int64_t tap_coefficient, const Dim *offset, int64_t divisor);
bool axis_is_bare(const Axis *axis, int dim);
bool axis_equal(const Axis *a, const Axis *b); /* term by term */
/* True if the bounds prove that every index of this axis is exact and inside 0..size-1. */
bool axis_always_inside(Module *module, const Space *space, const Axis *axis, const Dim *size);
bool map_always_inside(Module *module, const Space *space, int operand, const Type *operand_type);
bool map_is_identity(const Space *space, int operand, const Type *operand_type); /* axis k is bare dim k, same sizes */
void space_print(const Module *module, const Space *space, Text *out);
/* "[n:N c:3 | k:5] x(n, 2*c + k - 1)" and back */

/* The gradient of a space by operand `by`: a space whose result has operand's sizes, reading the result's gradient as map
 * 0 and, if there is another operand, that as map 1. False if the map is not closed under transposition (a dim in a
 * two-term axis more than once, say): the caller materialises a view first. */
bool space_transpose(Module *module, const Space *space, int by, const Type *operand_types, Space *transposed);
/* The space of b(a(x)) where `inner` made operand k of `outer`: view of view, fold of view. False if not expressible. */
bool space_compose(Module *module, const Space *outer, int operand, const Type *operand_type, const Space *inner,
                   Space *composed);

/* ---- ops ---- */

typedef enum Op {
  OP_NONE,
#define OP(name, ...) OP_##name,
#include "ir/ops.def"
  OP_COUNT
} Op;
enum OpFlags { FLOATS = 1, INDEX = 2, TRUTH = 4, COMMUTES = 8, SOURCE = 16, FOLD = 32, MOVES = 64, PAIR = 128, LONG = 256 };
enum { ANY_NUMBER = -1 };
typedef struct OpInfo {
  const char *name;
  int operands, flags;
  const char *meaning;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
Op op_by_name(const char *name); /* OP_NONE if there is none */
typedef struct Node Node;
/* The type of a node by its op's shape rule (the table's column), from its operands' types and its attribute; where the
 * type is given, node->type is checked. False, with a sentence in `why`, if the operands or the attribute do not fit. */
bool op_type(const Graph *graph, const Node *node, Type *type, Text *why);
bool pair_type(const Graph *graph, const Node *pair, int result, Type *type); /* of one pick; false if there is none */

/* ---- nodes and graphs ---- */

typedef struct Scan {
  Graph *body; /* parameters: turn (i32[]), carries, slices, captures; results: carries, yields */
  const Dim *trips;
  bool reverse; /* turn runs from trips-1 down to 0; slices are read and yields are written at turn */
  int ncarry, nslice, ncapture, nyield;
} Scan; /* the node's operands: first carries, whole sequences (axis 0), captures.
                               its picks: last carries, then yields stacked along axis 0 */
struct Node {
  Op op;
  Type type;
  int noperands;
  Id *operands;
  /* the attribute; which part is meant follows from op */
  double number;       /* constant without array; view: fill */
  const double *array; /* constant: row-major, or NULL */
  int index;           /* arg: parameter; state: symbol; pick: result; iota, concat, gather, scatter, cumsum: axis */
  int batch;           /* gather, scatter: leading axes that a and b share */
  uint32_t stream;     /* random */
  bool materialise;    /* view: gets memory of its own in the plan even where it could be read through */
  const Dim *dim;      /* dim */
  const Space *space;  /* view, folds, contract, argmax, argmin */
  const Scan *scan;
  const Place *place; /* never NULL in graphs that come from a file */
  const char *name;   /* what the program called it, or NULL */
};

typedef struct Parameter {
  const char *name;
  Type type;
  bool has_default;
  double fallback; /* the default of a scalar */
  const Place *place;
} Parameter;
typedef struct Result {
  const char *name;
  Id value;
} Result;
typedef struct Final {
  int symbol;
  Id value; /* what the state or param holds after the call */
} Final;
/* What a bound leaves open: `what` must hold at the entry, low <= dim <= high. */
typedef struct EntryCheck {
  const Dim *dim;
  int64_t low, high;
  const char *what;
  const Place *place;
} EntryCheck;

typedef enum GraphKind { GRAPH_FN, GRAPH_STEP, GRAPH_BODY } GraphKind;
struct Graph {
  Module *module;
  const char *name;
  GraphKind kind;
  const Place *place;
  Vec(Node) nodes; /* nodes.items[0] is none */
  Vec(Parameter) parameters;
  Vec(Result) results;
  Vec(Final) finals;
  Vec(EntryCheck) checks;
  bool draws;        /* a fn that takes a seed: its last parameter is i32[2] named "seed" */
  const Place *here; /* the place given to nodes that are added */
};

typedef enum InitKind { INIT_NUMBER, INIT_UNIFORM, INIT_NORMAL, INIT_ORTHOGONAL, INIT_ARRAY } InitKind;
typedef struct Initialiser {
  InitKind kind;
  double a, b; /* NUMBER: a; UNIFORM: from a to b; NORMAL: deviation a; ORTHOGONAL: gain a */
  const double *array;
} Initialiser;
/* A param or a state. "nn.seed" (i32[2]) and "nn.calls" (i32[]) are states that a module has if a step draws. */
typedef struct Symbol {
  const char *name; /* "net.conv1.w" */
  Type type;        /* constants only */
  bool trainable;
  Initialiser init;
  const Place *place;
  bool reordered; /* in the state block its axes lie in another order: axis k is the type's axis order[k] */
  int8_t order[MAX_RANK];
  int panel; /* not 0: its last axis there is cut into panels of so many, which lie outermost: [.., O] as
                             * [O / panel, .., panel] */
} Symbol;
void module_canonical(Module *module); /* all symbols in canonical order again: for graphs from before pass layout */
Type symbol_stored(Module *module, const Symbol *symbol); /* its type as it lies in the state block */
Type type_in_panels(Module *module, const Type *type, int panel);
enum { MAX_FACTORS = MAX_RANK + 1 };
/* Element `index` of the canonical, row-major order lies at the sum of (index % modulus) / divisor * stride over these
 * factors: no more than one for each axis and one for panels, the fastest first, whose divisor is 1. Each one's modulus is
 * the next one's divisor. Gives their number. */
typedef struct StoredFactor {
  int64_t modulus, divisor, stride;
} StoredFactor;
int symbol_factors(const Symbol *symbol, StoredFactor *factors);
int64_t stored_place(const StoredFactor *factors, int count, int64_t index);
/* All elements, of so many bytes each, from the canonical order into the stored one, and back. */
void symbol_store(const Symbol *symbol, size_t bytes, const void *canonical, void *stored);
void symbol_load(const Symbol *symbol, size_t bytes, const void *stored, void *canonical);

struct Module {
  Arena *arena;
  Diagnostics *diagnostics;
  const char *name;
  Vec(DimSymbol) dims;
  Vec(Symbol) symbols;
  Vec(Graph *) entries;
  Vec(const Source *) sources; /* the texts that it was made of */
  void *interned_dims;         /* dim.c's own */
};
Module *module_new(Arena *arena, Diagnostics *diagnostics, const char *name);
int module_add_dim(Module *module, const char *name, int64_t low, int64_t high, int64_t step, const Place *place);
int module_add_symbol(Module *module, const char *name, Type type, bool trainable, Initialiser init, const Place *place);
int module_find_symbol(const Module *module, const char *name); /* -1 if there is none */
bool is_models_own(const char *name); /* init, get, set, error, model: an object exports these beside entries */
Graph *module_find_entry(const Module *module, const char *name);
Graph *graph_new(Module *module, const char *name, GraphKind kind); /* not added to the entries */

/* ---- building: each adds one node (or a few), infers its type, and gives its Id. Operands must fit: the frontend checks
 * and reports first; a misfit here is a bug(). ---- */

static inline Node *graph_node(const Graph *graph, Id id) { return &graph->nodes.items[id]; }
static inline const Type *graph_type(const Graph *graph, Id id) { return &graph->nodes.items[id].type; }
Id graph_add(Graph *graph, const Node *node); /* as it is, operands copied; place and name kept or filled from here */
Id graph_parameter(Graph *graph, const char *name, Type type, const Place *place); /* appends it, and its arg node */
Id graph_constant(Graph *graph, Type type, double number);
Id graph_number(Graph *graph, Dtype dtype, double number);     /* a scalar */
Id graph_array(Graph *graph, Type type, const double *values); /* sizes must be constants */
Id graph_state(Graph *graph, int symbol);
Id graph_dim(Graph *graph, const Dim *dim);
Id graph_iota(Graph *graph, Type type, int axis); /* i32 */
Id graph_random(Graph *graph, Type type, const Id *keys, int nkeys, uint32_t stream);
Id graph_unary(Graph *graph, Op op, Id a);
Id graph_cast(Graph *graph, Dtype dtype, Id a);
/* Shapes are brought together as NumPy does (sizes 1 and missing leading axes), by explicit views. */
Id graph_binary(Graph *graph, Op op, Id a, Id b);
Id graph_where(Graph *graph, Id condition, Id yes, Id no);
bool shapes_broadcast(Module *module, const Type *a, const Type *b, Type *result); /* false if they do not */
Id graph_broadcast(Graph *graph, Id a, int rank, const Dim *const *size);
Id graph_view(Graph *graph, Id a, const Space *space, double fill);
Id graph_transpose(Graph *graph, Id a, const int *axes); /* result axis k is a's axis axes[k] */
Id graph_slice(Graph *graph, Id a, int axis, const Dim *start, const Dim *count, int64_t step);
Id graph_pad(Graph *graph, Id a, int axis, const Dim *before, const Dim *after, double fill);
Id graph_insert_axis(Graph *graph, Id a, int axis);
Id graph_reshape(Graph *graph, Id a, int rank, const Dim *const *size);
Id graph_concat(Graph *graph, const Id *parts, int nparts, int axis);
Id graph_gather(Graph *graph, Id a, Id index, int axis, int batch);
Id graph_scatter(Graph *graph, Id base, Id index, Id values, int axis, int batch);
Id graph_fold(Graph *graph, Op op, Id a, const Space *space);                 /* fold_*, argmax, argmin */
Id graph_fold_axes(Graph *graph, Op op, Id a, const bool *folded, bool keep); /* the same over some whole axes */
Id graph_contract(Graph *graph, Id a, Id b, const Space *space);
Id graph_argsort(Graph *graph, Id a);
Id graph_cumsum(Graph *graph, Id a, int axis);
Id graph_scan(Graph *graph, const Scan *scan, const Id *operands); /* then graph_pick */
Id graph_grad(Graph *graph, Id loss, const Id *by, int count);     /* then graph_pick */
Id graph_pick(Graph *graph, Id pair, int result);
Id graph_stop(Graph *graph, Id a);

/* Copies a node of `from` into `to`, its operands renamed by `renamed` (indexed by from's Ids). */
Id graph_copy_node(Graph *to, const Graph *from, Id id, const Id *renamed);

/* ---- checking and text ---- */

/* What is legal of every graph: operand order, types against shape rules, spaces inside bounds. False, with a sentence in
 * `why`, at the first fault. */
bool graph_verify(const Graph *graph, Text *why);
bool module_verify(const Module *module, Text *why);
void module_print(const Module *module, Text *out);
void graph_print(const Graph *graph, Text *out);
Module *module_read(Arena *arena, Diagnostics *diagnostics, const Source *source); /* NULL after errors */

#endif
