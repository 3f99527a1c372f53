/* What the passes over scans share: what a body's values depend on, values of all turns at once, a scan with more slots.
 *
 * A value of a body is invariant if it follows from captures alone: every turn computes the same. It is ahead if it follows
 * from slices, the turn's number and captures: all turns' values can be computed in front of the loop, stacked along a new
 * first axis. Else it is carried: it needs a turn before, or its op cannot be stacked. */
#ifndef NNC_SCANS_H
#define NNC_SCANS_H

#include "passes/graph/rewrite.h"

typedef enum Depends { INVARIANT, AHEAD, CARRIED } Depends;

/* Most bytes, at the bounds, that one scan's passes may add in values of all turns. */
enum { SCAN_BUDGET = 1 << 26 };

Depends *scan_depends(const Scan *scan);                   /* by node of the body */
int *count_users(const Graph *graph);                      /* by node: how many operands, results and finals it is */
Id only_user(const Graph *graph, Id id, const int *users); /* the one node that reads it; 0: several, or a result */
double elements_at_bounds(const Type *type);
/* Bytes of the values of all turns, at the bounds. */
double stacked_bytes(const Scan *scan, const Type *type);
/* A product of a value and of others of its own size is followed to the last node of this chain, the one worth keeping: a
 * sum of two products rather than both. `stays` tells of each node whether it may be part of the chain. */
Id end_of_chain(const Graph *body, Id id, const int *users, const bool *stays);

/* Whether a turn's product has tiles full of rows, at the bounds, that come with operand k alone; the other is what all turns
 * share. Products of all turns at once then win nothing: they must be written and read again from afar. */
bool turn_fills_tiles(const Space *space, int k);

/* Nodes of a body, built once more outside of it. */
typedef struct Outside {
  Graph *to;
  const Scan *scan;
  const Id *operands; /* the scan's, in `to` */
  const Depends *depends;
  Id *built; /* by node of the body: what stands for it in `to`; 0: nothing yet. Ahead and carried ones have
                               a first axis of trips */
} Outside;
Outside outside_new(Graph *to, const Scan *scan, const Id *operands, const Depends *depends);
/* What stands for an invariant node or one that is ahead. */
Id outside_build(Outside *outside, Id id);
/* The space of a node of the body with the turn as the result's first dim or, folded, as the first of those that are folded;
 * operands whose values are stacked get a first axis for it. */
Space space_with_turn(Module *module, const Space *space, const Dim *trips, bool folded, const bool *stacked);

/* What a scan is given beside what it has: a node of the body becomes a slice or a capture, another is yielded too, others
 * are replaced by a rule (its own scans' bodies are left alone). */
typedef struct Given {
  Id inner, outer;
} Given;
typedef struct ScanMore {
  Vec(Given) slices, captures;
  Vec(Id) yields;
  RewriteRule replace; /* or NULL */
  void *user;
} ScanMore;
/* The new scan in `to`; its picks keep their numbers, new yields come behind. */
Id scan_with_more(Graph *to, const Node *node, const Id *operands, const ScanMore *more);

#endif
