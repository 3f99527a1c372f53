#ifndef NNC_PRINT_ARRAY_H
#define NNC_PRINT_ARRAY_H

#include "command/tensor.h"

/* A tensor as NumPy prints it: the shortest digits that tell f32 (or f64) numbers apart, at most eight behind the point,
 * in columns; more than a thousand elements are summarised by the three at each end of an axis. No newline at the end. */
void print_array(const Tensor *tensor, Text *out);

#endif
