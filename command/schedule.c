/* The schedules of the prelude, by the same formulas; t and steps are the command's to fill. */
#include "command/schedule.h"

#include "command/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  ScheduleKind kind;
  int settings;
  const char *setting[3]; /* in order; all but the first have defaults */
} kinds[] = {{"constant", SCHEDULE_CONSTANT, 1, {"lr"}},
             {"staircase", SCHEDULE_STAIRCASE, 3, {"lr", "steps", "factor"}},
             {"cosine", SCHEDULE_COSINE, 2, {"lr", "warmup"}}};

static double *setting_of(Schedule *schedule, const char *setting) {
  if (strcmp(setting, "steps") == 0) return &schedule->stair;
  if (strcmp(setting, "factor") == 0) return &schedule->factor;
  return strcmp(setting, "warmup") == 0 ? &schedule->warmup : &schedule->rate;
}

static bool read_settings(const char *name, char *list, int kind, Schedule *schedule, Failure *failure) {
  int position = 0;
  char *rest;
  for (char *item = strtok_r(list, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
    while (*item == ' ') item++;
    char *equals = strchr(item, '=');
    int setting = position++;
    if (equals) {
      *equals = 0;
      for (setting = 0; setting < kinds[kind].settings; setting++)
        if (strcmp(item, kinds[kind].setting[setting]) == 0) break;
    }
    char *end = NULL;
    const char *text = equals ? equals + 1 : item;
    double number = strtod(text, &end);
    while (*end == ' ') end++;
    if (setting >= kinds[kind].settings || end == text || *end)
      return fail(failure, EXIT_INPUT, "%s=%s(...): '%.100s' is no setting of it", name, kinds[kind].name, item);
    *setting_of(schedule, kinds[kind].setting[setting]) = number;
  }
  return position > 0 || fail(failure, EXIT_INPUT, "%s=%s(): its rate is missing", name, kinds[kind].name);
}

bool schedule_read(const char *name, const char *text, Schedule *schedule, Failure *failure) {
  *schedule = (Schedule){.kind = SCHEDULE_CONSTANT, .stair = 1000, .factor = 0.1};
  if (number_from_text(text, &schedule->rate)) return true;
  size_t length = strcspn(text, "(");
  for (int kind = 0; kind < COUNT_OF(kinds); kind++) {
    if (strlen(kinds[kind].name) != length || strncmp(text, kinds[kind].name, length) != 0) continue;
    size_t all = strlen(text);
    if (text[length] != '(' || text[all - 1] != ')') break;
    Arena *arena = arena_new();
    schedule->kind = kinds[kind].kind;
    char *list = arena_format(arena, "%.*s", (int)(all - length - 2), text + length + 1);
    bool good = read_settings(name, list, kind, schedule, failure);
    arena_free(arena);
    return good;
  }
  return fail(failure, EXIT_INPUT,
              "%.100s=%.200s: wanted is a number, constant(x), staircase(x, steps=1000, factor=0.1) or cosine(x, warmup=0)",
              name, text);
}

double schedule_value(const Schedule *schedule, int64_t t, int64_t steps) {
  double at = (double)t;
  switch (schedule->kind) {
  case SCHEDULE_CONSTANT: break;
  case SCHEDULE_STAIRCASE: return schedule->rate * pow(schedule->factor, floor(at / MAX(schedule->stair, 1.0)));
  case SCHEDULE_COSINE: {
    if (at < schedule->warmup) return schedule->rate * at / schedule->warmup;
    double part = (at - schedule->warmup) / MAX((double)steps - schedule->warmup, 1.0);
    return schedule->rate * 0.5 * (1 + cos(3.141592653589793 * MIN(part, 1.0)));
  }
  }
  return schedule->rate;
}
