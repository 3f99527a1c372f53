/* An entry's memory over time as SVG: launches from left to right, the arena's bytes upward at the bounds, a box for each
 * buffer from the launch that first writes it to the one that last reads it. */
#ifndef NNC_MEMORY_CHART_H
#define NNC_MEMORY_CHART_H

#include "ir/plan.h"

void memory_draw(const Plan *plan, Text *out);

#endif
