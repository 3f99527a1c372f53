/* What nnc bench measured of an entry, and how it is told: a row of a table, JSON, a picture. */
#ifndef NNC_BENCH_H
#define NNC_BENCH_H

#include "command/machine.h"

enum { MOST_TURNS = 4096, INTERPRETED = 0, COMPILED = 1 };

typedef struct Timing {
  double seconds[MOST_TURNS];
  int count; /* 0: not measured */
  double median, fastest;
} Timing;

typedef struct Measured {
  const char *entry;
  const int64_t *dims; /* by the model's dims */
  Timing timing[2];
  double flops; /* that the model asks for, 0: not known */
  size_t arena; /* bytes */
} Measured;

typedef struct BenchReport {
  Machine *machine; /* whose dims, threads and state are told */
  double peak;      /* operations per second, 0: not known */
  Vec(Measured *) rows;
} BenchReport;

double measured_ratio(const Measured *measured); /* interpreted over compiled; 0 if one is missing */

void report_head(const BenchReport *report);
void report_row(const BenchReport *report, const Measured *measured);
void report_json(const BenchReport *report);               /* to standard output */
void report_picture(const BenchReport *report, Text *out); /* SVG: two bars for each entry */

#endif
