/* Small questions that several graph passes ask. */
#ifndef NNC_REWRITE_H
#define NNC_REWRITE_H

#include "passes/passes.h"

/* True if every element is the same number, which the graph says outright: a constant, or a view of one. */
bool is_number(const Graph *graph, Id id, double *number);
/* True if both compute the same: op, type, attribute and operands, what commutes either way round. Not for scans. */
bool nodes_equal(const Node *a, const Node *b);
/* thin.c. True if a contraction of these operands need not be over all of this space: then they and it are what it is of
 * instead, and its result is to be viewed by `spread`. */
bool thin_contract(Graph *to, Id *operands, Space *space, Space *spread);
/* Runs a rewrite over all entries. */
void rewrite_entries(Module *module, RewriteRule rule, void *user);

#endif
