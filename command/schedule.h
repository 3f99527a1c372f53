/* What a run-time argument of a step is at each step of a training: lr=0.05, lr=cosine(0.1, warmup=500). */
#ifndef NNC_SCHEDULE_H
#define NNC_SCHEDULE_H

#include "ir/base.h"

typedef enum ScheduleKind { SCHEDULE_CONSTANT, SCHEDULE_STAIRCASE, SCHEDULE_COSINE } ScheduleKind;
typedef struct Schedule {
  ScheduleKind kind;
  double rate;          /* the first or the largest value */
  double stair, factor; /* STAIRCASE: times factor after each stair of so many steps */
  double warmup;        /* COSINE: steps that rise to it in a line */
} Schedule;

bool schedule_read(const char *name, const char *text, Schedule *schedule, Failure *failure);
/* At step t, counted from 0, of so many steps in all. */
double schedule_value(const Schedule *schedule, int64_t t, int64_t steps);

#endif
