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
/* Elements by the array's name: p... positive, q... quarters (ties happen), i... small integers, others from -1 to 1. */
void fill_input(const char *name, Array *array);

/* ---- bounds ---- */

/* Every value of a graph in f64, and for each element how far an evaluation in f32 may be from it: infinite where a
 * decision may go either way. Elements of i32 and bool have 0 or infinity. */
typedef struct Bounded {
  Array *values;  /* by Id */
  double **bound; /* by Id */
} Bounded;
bool bounds_of(const Graph *graph, const int64_t *dims, const Array *parameters, double *const *parameter_bounds,
               const Array *states, Arena *arena, Bounded *bounded, Failure *failure);
/* One op's rule; bounds.c's table names them by the `value` column of ops.def. */
typedef struct BoundsOf {
  const Graph *graph;
  const int64_t *dims;
  Arena *arena;
  const Array *states;
  const Array *values;
  double *const *bound;
  double *const *parameter_bounds;
  Bounded *pairs; /* by Id: results of scans */
  Failure *failure;
} BoundsOf;
typedef void BoundRule(const BoundsOf *of, Id id, double *out);
BoundRule bound_view, bound_fold, bound_contract, bound_argfold, bound_concat, bound_gather, bound_scatter, bound_argsort,
    bound_cumsum, bound_scan;
double bound_finish(Dtype dtype, double value, double bound); /* what leaves f32's range is undecided */
#define UNIT_ROUNDOFF 0x1p-24

/* ---- checking ---- */

typedef struct Counts {
  int64_t programs, compared, close, undecided; /* elements; close: with a relative bound under 1e-3 */
  int64_t ops[OP_COUNT];
  int64_t strided, dilated, padded, flipped, windows, fixed, repeated, diagonal, filled; /* axes of maps */
  int64_t symbolic, lanes_below, lanes_above, size_one;                                  /* axes of results */
} Counts;
typedef struct CheckOptions {
  bool compiled, verbose;
  int64_t *progress; /* what is being run, for the message after a crash */
} CheckOptions;
#define NOT_A_PROGRAM "no program:" /* what `why` begins with if the program is at fault */
/* False with a sentence in `why` if some way of running the module's entry disagrees. */
bool check_module(const Module *module, const CheckOptions *options, Counts *counts, Text *why);
/* Runs compiled code as interpret() runs a graph. */
bool compiled_run(const Loaded *loaded, Run *run, int threads, Failure *failure);
void count_features(const Graph *graph, Counts *counts);

/* The smallest module text that still fails, by cutting; `fails` runs it in a process of its own. */
typedef bool Fails(const char *text, void *user);
char *shrink(Arena *arena, const char *text, Fails *fails, void *user);
Module *module_of_text(Arena *arena, const char *text);

#endif
