/* What the parts of the fuzzer share.
 *
 * A program is a module with one entry, made from a seed by generate.c and its siblings. bounds.c computes it in f64 and
 * carries along how far a computation in f32 may be off; check.c runs it every other way and compares; shrink.c makes a
 * failing program small. Inputs follow from names alone (inputs.c), so that a program that was cut down, or that comes from
 * a file, sees the same numbers. */
#ifndef NNC_FUZZ_H
#define NNC_FUZZ_H

#include "codegen/codegen.h"
#include "ir/interpret.h"
#include "ir/plan.h"
#include "passes/passes.h"

enum { FUZZ_DIMS = 64 /* room for the dims of a module: those declared, then the turns of loops */ };

/* ---- programs ---- */

/* The same seed gives the same program on every machine. */
Module *generate(Arena *arena, uint64_t seed);
Module *generate_conv(Arena *arena, uint64_t seed); /* about convolutions alone */
/* Elements by the array's name: p... positive, q... quarters (ties happen), i... small integers, others from -1 to 1. */
void fill_input(const char *name, Array *array);

/* ---- bounds ---- */

/* What is decided in a graph (lt, floor, argmax, sort, cast ...): where bounds leave that open, and what a run decided there,
 * which is then taken over from it. */
typedef struct Decisions {
  bool asked;               /* some decision is open, here or in a body */
  bool *open;               /* by Id: for some element, at some size */
  Array *taken;             /* by Id; data NULL: nothing was */
  int *told;                /* by Id: which of the results that tell_decisions adds it is, -1: none; of a scan: the first */
  struct Decisions *bodies; /* by Id: of scans; what is taken there is stacked by turn */
} Decisions;
Decisions decisions_new(Arena *arena, const Graph *graph);
/* The graph with what is open as further results, which a body yields to the graph around it. */
Graph *tell_decisions(const Graph *graph, Decisions *decisions);
void take_decisions(const Graph *graph, Decisions *decisions, const Array *told);
Decisions decisions_at_turn(Arena *arena, const Graph *body, const Decisions *all, int64_t turn);

/* Every value of a graph in f64, and for each element how far an evaluation in f32 may be from it: infinite where a
 * decision may go either way and none was taken over; contractions may round their factors to `precision`. Elements of i32 and bool have 0 or infinity. Notes in `decisions`
 * what is open; fails where one that was taken over is not. */
typedef struct Bounded {
  Array *values;  /* by Id */
  double **bound; /* by Id */
} Bounded;
bool bounds_of(const Graph *graph, const int64_t *dims, const Array *parameters, double *const *parameter_bounds,
               const Array *states, Precision precision, Decisions *decisions, Arena *arena, Bounded *bounded,
               Failure *failure);
/* One op's rule; bounds.c's table names them by the `value` column of ops.def. */
typedef struct BoundsOf {
  const Graph *graph;
  const int64_t *dims;
  Arena *arena;
  const Array *states, *parameters;
  Array *values;
  double *const *bound;
  double *const *parameter_bounds;
  Precision precision;
  Bounded *pairs; /* by Id: results of scans */
  Id *renamed;    /* by Id: room to copy a node */
  Decisions *decisions;
  Failure *failure;
} BoundsOf;
typedef void BoundRule(const BoundsOf *of, Id id, double *out);
BoundRule bound_view, bound_fold, bound_contract, bound_argfold, bound_concat, bound_gather, bound_scatter, bound_argsort,
    bound_cumsum, bound_scan;
double bound_finish(Dtype dtype, double value, double bound); /* what leaves f32's range is undecided */
#define UNIT_ROUNDOFF 0x1p-24
double to_i32(double x);
Array slice_of(const Array *whole, int64_t turn);

/* Gives elements that are open the value that a run took, and the bound that then holds; an element whose operands have no
 * bounds stays open. False if what was taken can't have come out of operands within their bounds. */
typedef bool Settle(const BoundsOf *of, Id id, const Array *taken, double *out);
Settle settle_argfold, settle_argsort;
/* Notes what is open, and settles it if something was taken. */
bool settle_decisions(const BoundsOf *of, Id id, double *out);

/* ---- checking ---- */

typedef struct Counts {
  int64_t programs, entries;
  int64_t compared, close, taken, undecided; /* elements; close: with a relative bound under 1e-3; taken: after decisions
                                                of the run, without which they are undecided */
  int64_t ops[OP_COUNT];
  int64_t strided, dilated, padded, flipped, windows, fixed, repeated, diagonal, filled; /* axes of maps */
  int64_t symbolic, lanes_below, lanes_above, size_one;                                  /* axes of results */
  int64_t nested, second, minimized, steps, shared; /* scans in scans, gradients of gradients, states that a gradient
                                                       changes, entries that are steps, states that several entries have */
  int64_t by_tiles;                                 /* convolutions, where that was asked for */
} Counts;
typedef struct CheckOptions {
  bool compiled, cuda, verbose;
  Precision precision; /* of kernels for CUDA; bounds are then wide enough for it everywhere */
  FastConv fast_conv;  /* all convolutions that can be are by tiles */
  int64_t *progress;   /* what is being run, for the message after a crash */
} CheckOptions;
#define NOT_A_PROGRAM "no program:" /* what `why` begins with if the program is at fault */
/* False with a sentence in `why` if some way of running the module's entry disagrees. */
bool check_module(const Module *module, const CheckOptions *options, Counts *counts, Text *why);
/* Runs compiled code as interpret() runs a graph. */
bool compiled_run(const Loaded *loaded, int entry, Run *run, int threads, Failure *failure);
void count_module(const Module *module, Counts *counts);

/* The smallest module text that still fails, by cutting; `fails` runs it in a process of its own. */
typedef bool Fails(const char *text, void *user);
char *shrink(Arena *arena, const char *text, Fails *fails, void *user);
Module *module_of_text(Arena *arena, const char *text);

#endif
