/* nnc diff: compiled code against the interpreter, on the same arguments.
 *
 * The interpreter in f64 stands for the true value; the interpreter in f32 shows how far rounding alone leads away from
 * it. Compiled code sums in another order, so it is allowed FACTOR times that distance, and UNITS units in the last place
 * of the largest value beside it, since the f32 run may have been lucky. Both are taken over a whole tensor. Whole
 * numbers and bools must be equal wherever both interpreters agree. */
#include "command/arguments.h"
#include "command/checkpoint.h"
#include "command/commands.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { USUAL_DIM = 8, FACTOR = 4, UNITS = 64 };

typedef enum Side { COMPILED, SINGLE, DOUBLE, SIDES } Side;
typedef struct Diff {
  Arena *arena;
  const Settings *settings;
  Machine *machine[SIDES];
  Argument *arguments;
  int narguments;
  int beyond; /* tensors that are */
} Diff;

static double element(const Machine *machine, Dtype dtype, const void *data, int64_t i) {
  if (dtype == BOOL) return ((const uint8_t *)data)[i];
  if (dtype == I32) return ((const int32_t *)data)[i];
  return machine->wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Not a number agrees with not a number, infinity with itself. */
static double distance(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
  return a == b ? 0 : fabs(a - b);
}

static void compare(Diff *diff, const char *what, const char *name, Dtype dtype, int64_t count, void *const *data) {
  double worst = 0, rounding = 0, largest = 0;
  int64_t at = -1;
  for (int64_t i = 0; i < count; i++) {
    double value[SIDES];
    for (int side = 0; side < SIDES; side++) value[side] = element(diff->machine[side], dtype, data[side], i);
    if (dtype != F32 && value[SINGLE] != value[DOUBLE]) continue; /* a decision on the edge */
    double off = distance(value[COMPILED], value[DOUBLE]), by_rounding = distance(value[SINGLE], value[DOUBLE]);
    if (isfinite(value[DOUBLE])) largest = MAX(largest, fabs(value[DOUBLE]));
    if (by_rounding == INFINITY) continue; /* f32 overflows here */
    rounding = MAX(rounding, by_rounding);
    if (off > worst || at < 0) {
      worst = off;
      at = i;
    }
  }
  double bound = dtype == F32 ? FACTOR * rounding + UNITS * (double)FLT_EPSILON * largest + (double)FLT_MIN : 0;
  bool good = worst <= bound;
  if (!good) diff->beyond++;
  if (diff->settings->quiet && good) return;
  printf("  %-8s %-28s differs by %-12.4g bound %-12.4g largest value %-10.4g %s", what, name, worst, bound, largest,
         good ? "ok" : "BEYOND");
  if (!good)
    printf(" at element %lld: %.9g compiled, %.9g in f32, %.17g in f64", (long long)at,
           element(diff->machine[COMPILED], dtype, data[COMPILED], at),
           element(diff->machine[SINGLE], dtype, data[SINGLE], at),
           element(diff->machine[DOUBLE], dtype, data[DOUBLE], at));
  printf("\n");
}

static void compare_states(Diff *diff) {
  for (int k = 0; k < diff->machine[COMPILED]->nsymbols; k++) {
    const MachineSymbol *symbol = &diff->machine[COMPILED]->symbols[k];
    Arena *arena = arena_new();
    void *data[SIDES];
    for (int side = 0; side < SIDES; side++) {
      Machine *machine = diff->machine[side];
      data[side] =
          arena_alloc_array(arena, (size_t)symbol->count + 1, (size_t)machine_element_bytes(machine, symbol->dtype));
      machine_get(machine, machine_find_symbol(machine, symbol->name), data[side]);
    }
    compare(diff, "state", symbol->name, symbol->dtype, symbol->count, data);
    arena_free(arena);
  }
}

/* All three begin from the same state: drawn from the seed, or read. */
static bool set_states(Diff *diff, Failure *failure) {
  const Settings *settings = diff->settings;
  for (int side = 0; side < SIDES; side++) {
    Machine *machine = diff->machine[side];
    if (!machine_init(machine, (uint64_t)settings->seed, failure)) return false;
    if (settings->state && !checkpoint_load(diff->arena, machine, settings->state, settings->partial, NULL, failure))
      return false;
  }
  return true;
}

static bool diff_entry(Diff *diff, int entry, Failure *failure) {
  Call calls[SIDES];
  if (!set_states(diff, failure)) return false;
  for (int side = 0; side < SIDES; side++) {
    Machine *machine = diff->machine[side];
    calls[side] = call_new(diff->arena, machine, entry);
    if (!call_random(diff->arena, machine, &calls[side], diff->arguments, diff->narguments, USUAL_DIM,
                     (uint64_t)diff->settings->seed, failure))
      return false;
    call_results(diff->arena, machine, &calls[side]);
    for (int64_t turn = 0; turn < MAX(diff->settings->repeat, 1); turn++)
      if (!call_run(machine, &calls[side], (uint64_t)diff->settings->seed, failure)) return false;
  }
  const MachineEntry *e = &diff->machine[COMPILED]->entries[entry];
  if (!diff->settings->quiet) printf("%s:\n", e->name);
  for (int r = 0; r < e->nresults; r++) {
    void *data[SIDES];
    for (int side = 0; side < SIDES; side++) data[side] = calls[side].results[r];
    compare(diff, "result", e->results[r].name, e->results[r].dtype, calls[COMPILED].result_count[r], data);
  }
  if (e->step) compare_states(diff);
  return true;
}

static bool open_machines(Diff *diff, const char *path, Failure *failure) {
  const Settings *settings = diff->settings;
  if (text_ends(path, ".so")) return fail(failure, EXIT_INPUT, "%.300s: diff needs the source, to interpret it", path);
  Program *program = NEW(diff->arena, Program);
  PipelineOptions pipeline = program_pipeline(settings);
  if (!program_read(diff->arena, path, &pipeline, program, failure)) return false;
  if (!program->interpreted)
    return fail(failure, EXIT_INPUT, "%.300s: a plan cannot be interpreted; give the .nn file", path);
  diff->machine[SINGLE] = machine_interpret(diff->arena, program, false, (int)settings->threads);
  diff->machine[DOUBLE] = machine_interpret(diff->arena, program, true, (int)settings->threads);
  diff->machine[COMPILED] = machine_compile(diff->arena, program, settings, failure);
  return diff->machine[COMPILED] != NULL;
}

static bool diff_all(Diff *diff, Failure *failure) {
  const Settings *settings = diff->settings;
  Vec(int) entries = {0};
  diff->arguments = NEW_ARRAY(diff->arena, Argument, settings->words.count + 1);
  for (int w = 1; w < settings->words.count; w++) {
    const char *name, *value, *word = settings->words.items[w];
    int entry;
    if (argument_split(diff->arena, word, &name, &value)) {
      if (!argument_read(diff->arena, word, &diff->arguments[diff->narguments++], failure)) return false;
    } else {
      if (!machine_entry(diff->machine[COMPILED], word, &entry, failure)) return false;
      PUSH(diff->arena, &entries, entry);
    }
  }
  bool all = entries.count == 0;
  for (int k = 0; all && k < diff->machine[COMPILED]->nentries; k++) PUSH(diff->arena, &entries, k);
  if (!settings->quiet)
    printf("compiled against interpreted in f64; bound: %d times what f32 interpreted differs, and %d units of f32 of the\n"
           "largest value\n",
           FACTOR, UNITS);
  for (int k = 0; k < entries.count; k++)
    if (!diff_entry(diff, entries.items[k], failure)) return false;
  if (diff->beyond > 0)
    fail(failure, EXIT_DIFFERS, "%d tensor%s beyond the bound", diff->beyond, diff->beyond == 1 ? " is" : "s are");
  return diff->beyond == 0;
}

static int run_diff(Arena *arena, Settings *settings, Failure *failure) {
  if (settings->words.count < 1) {
    fail(failure, EXIT_INPUT, "diff wants a model: nnc diff MODEL [ENTRY ...]");
    return failure->code;
  }
  Diff diff = {.arena = arena, .settings = settings};
  if (open_machines(&diff, settings->words.items[0], failure)) diff_all(&diff, failure);
  for (int side = 0; side < SIDES; side++) machine_close(diff.machine[side]);
  return failure->code;
}

static const Option options[] = {
    TEXT("state", 0, state, "FILE", "begins from these params and states (default: drawn from --seed)"),
    FLAG("partial", 0, partial, "takes from --state what is there"),
    WHOLE("repeat", 0, repeat, "K", 1, 1000000, "calls each so often before comparing (default 1)"),
    OPTION_SEED,
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_diff = {
    .name = "diff",
    .usage = "nnc diff MODEL [ENTRY ...] [name=value ...] [options]",
    .summary = "interpreted against compiled: where they part",
    .about = "Runs entries both ways on the same random (or given) arguments, and prints the largest difference of each\n"
             "result, and after a step of each state, beside its bound. Ends with 1 if one is beyond.",
    .options = options,
    .count = COUNT_OF(options),
    .run = run_diff,
};
