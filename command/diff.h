/* What the parts of nnc diff share: two machines in f32 and f64 that interpret, one that is compiled, and what is compared.
 *
 * The values of an entry are counted through: its results first, then, of a step, every param and state. */
#ifndef NNC_DIFF_H
#define NNC_DIFF_H

#include "command/arguments.h"

typedef enum Side { COMPILED, SINGLE, DOUBLE, SIDES } Side;

/* A value beside its bound. */
typedef struct Verdict {
  double worst, bound, largest; /* the largest difference, what is allowed, the largest value */
  int64_t at;                   /* the element of the worst; -1: none is comparable */
  bool good, lost;              /* lost: not good, but the bound is as large as the value */
} Verdict;

typedef struct Diff {
  Arena *arena;
  const Settings *settings;
  Program *program;
  Machine *machine[SIDES];
  Argument *arguments;
  int narguments;
  Machine *shaken;    /* as machine[DOUBLE] */
  Call calls[SIDES];  /* of the entry at work */
  double *moved;      /* of each value: how far shakes moved it */
  int beyond, lost;   /* values that are, of all entries */
  struct cJSON *list; /* --json: its rows */
  PassHook tamper;    /* by which tests plant faults: after every pass, of replays too */
} Diff;

/* The whole command, but for what is printed as JSON and for closing. */
bool diff_model(Diff *diff, Failure *failure);
void diff_close(Diff *diff);

/* diff.c: runs; what the bound is made of is in diff_bound.c. */
bool diff_set_state(Diff *diff, Machine *machine, Failure *failure);
bool diff_make_call(Diff *diff, Arena *arena, Machine *machine, int entry, Call *call, Failure *failure);
bool diff_run_call(Diff *diff, Machine *machine, const Call *call, Failure *failure);

/* diff_bound.c */
int diff_values(const Diff *diff);
const char *diff_name(const Diff *diff, int value);
Dtype diff_dtype(const Diff *diff, int value);
/* This value of each side, after its call; a state's elements are copied into the arena. */
void diff_elements(const Diff *diff, Arena *arena, int value, const void *data[SIDES], int64_t *count);
double diff_element(const Diff *diff, Side side, Dtype dtype, const void *data, int64_t i);
Verdict diff_verdict(const Diff *diff, int value, int64_t count, const void *const data[SIDES]);
/* Fills diff->moved, after the calls. */
bool diff_shake(Diff *diff, Failure *failure);
void diff_explain(bool fast_conv, FILE *out); /* the bound, in words */

/* diff_replay.c: for each of these values of the entry that went beyond, the first pass after which it does; PASS_COUNT:
 * none, so that code generation is left. `why` gets what the executor says of a plan that cannot even be run. */
bool diff_replay(Diff *diff, const int *values, int count, Pass *first, Text *why, Failure *failure);

#endif
