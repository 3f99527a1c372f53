/* Curves as SVG: plain lines over two axes with ticks, a legend, nothing that needs a script or a network. */
#ifndef NNC_CHART_H
#define NNC_CHART_H

#include "ir/base.h"

typedef struct Series {
  const char *name;    /* NULL: not in the legend */
  const double *x, *y; /* a y that is not finite leaves a gap */
  int count;
  bool marks; /* a dot at each point, as few points want */
  bool dashed;
  int color; /* from 0; they come again after CHART_COLORS */
} Series;

typedef struct Chart {
  const char *x_label, *y_label;
  Series *series;
  int count;
  bool may_be_logarithmic;
} Chart;

/* The charts one under the other, as an SVG document. Where it may be, a y axis is logarithmic if its numbers are positive
 * and range over more than LOG_RANGE. */
enum { LOG_RANGE = 30, CHART_COLORS = 6 };
void charts_draw(const Chart *charts, int count, Text *out);

#endif
