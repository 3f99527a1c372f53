/* Inside pass grad: what the engine (grad.c), the rules (grad_rules.c) and the scan's rule (grad_scan.c) share. */
#ifndef NNC_GRAD_H
#define NNC_GRAD_H

#include "passes/passes.h"

/* One run of reverse accumulation over a graph that grows while it runs: the arrays cover the nodes that were there at the
 * start, the rules append theirs behind them. */
typedef struct Backward {
  Graph *graph;
  int count;           /* nodes at the start */
  bool *reached;       /* by Id: an f32 value through which some `by` may change the result */
  Id *cotangent;       /* by Id: d result / d value, so far; 0: nothing yet */
  bool **pair_reached; /* by the Id of a scan: which of its picks are reached; NULL elsewhere */
  Id **pair_cotangent; /* by the Id of a scan: the cotangents of its picks; NULL until one came */
} Backward;

/* A rule gets the node (a copy: the graph's array moves while rules build), the value's Id and its whole cotangent, and
 * gives contributions to those operands that want one. */
typedef void (*GradientRule)(Backward *b, const Node *node, Id value, Id g);
extern const GradientRule gradient_rules[OP_COUNT];
bool gradient_stops(Op op); /* true if the op's column says that nothing flows through it */

bool wants(const Backward *b, Id value);
void give(Backward *b, Id value, Id contribution);
/* Builds the contribution only if it is wanted: this is what keeps gradients on demand. */
#define GIVE(b, value, contribution)                                                                                       \
  do {                                                                                                                     \
    if (wants((b), (value))) give((b), (value), (contribution));                                                           \
  } while (0)

/* Of sum(values[i] * cotangents[i]) by each of `by`: gradients[i] is 0 where nothing flows. */
void accumulate(Graph *graph, const Id *values, const Id *cotangents, int nvalues, const Id *by, int nby, Id *gradients);

/* Which nodes of a graph the marked ones reach through differentiable ops: `reached` comes in with the starting points set,
 * `pairs` (or NULL) keeps what was found of scans. */
void mark_reached(const Graph *graph, bool *reached, bool **pairs);
/* Which picks of a scan are reached, its operands being so. */
bool *scan_reached(const Graph *graph, const Node *scan, const bool *reached);

void grad_scan(Backward *b, const Node *node, Id value, Id g);

#endif
