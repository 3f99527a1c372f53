/* How many classes a model knows: the extent of the axis along which it looks up what a parameter holds.
 *
 * An index outside its axis is no fault of a net (gather gives 0, cross_entropy leaves the row out), but class labels outside
 * of all classes are a fault of the data, or of the net that was chosen for them. */
#ifndef NNC_INDEX_BOUND_H
#define NNC_INDEX_BOUND_H

#include "ir/ir.h"

/* The least constant extent that gathers of this graph index by the parameter's elements, and where in the source that is;
 * 0 if there is none. */
int64_t index_bound(const Graph *graph, int parameter, const Place **place);

#endif
