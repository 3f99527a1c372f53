/* nnc diff: compiled code against the interpreter, on the same arguments.
 *
 * The interpreter in f64 stands for the true value; the interpreter in f32 shows how far rounding alone leads away from
 * it. Compiled code sums in another order, so it is allowed FACTOR times that distance, and UNITS units in the last place
 * of the largest value beside it, since the f32 run may have been lucky. Both are taken over a whole tensor. Where a model
 * magnifies rounding (a relu close to 0 that falls to the other side; adam's first step, which divides a gradient by its
 * own size) one f32 run tells too little: so the f64 interpreter runs SHAKES times more, from params and arguments that are
 * off by a few units of f32 at random, and FACTOR times what a tensor then moves is allowed too. Whole numbers and bools
 * must be equal wherever both interpreters agree. */
#include "command/arguments.h"
#include "command/checkpoint.h"
#include "command/commands.h"
#include "ir/interpret.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { USUAL_DIM = 8, FACTOR = 4, UNITS = 64, SHAKES = 4, SHAKE_UNITS = 8 };

typedef enum Side { COMPILED, SINGLE, DOUBLE, SIDES } Side;
typedef struct Diff {
  Arena *arena;
  const Settings *settings;
  Machine *machine[SIDES];
  Argument *arguments;
  int narguments;
  Machine *shaken; /* as machine[DOUBLE] */
  double *moved;   /* of each result, then of each symbol: how far shakes moved it */
  int beyond;      /* tensors that are */
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

static void compare(Diff *diff, const char *what, const char *name, Dtype dtype, int64_t count, void *const *data,
                    double moved) {
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
  double bound = UNITS * (double)FLT_EPSILON * largest + FACTOR * MAX(rounding, moved) + (double)FLT_MIN;
  if (dtype != F32) bound = 0;
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

static void compare_states(Diff *diff, const double *moved) {
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
    compare(diff, "state", symbol->name, symbol->dtype, symbol->count, data, moved[k]);
    arena_free(arena);
  }
}

/* All begin from the same state: drawn from the seed, or read. */
static bool set_state(Diff *diff, Machine *machine, Failure *failure) {
  const Settings *settings = diff->settings;
  if (!machine_init(machine, (uint64_t)settings->seed, failure)) return false;
  return !settings->state || checkpoint_load(diff->arena, machine, settings->state, settings->partial, NULL, failure);
}

static bool make_call(Diff *diff, Arena *arena, Machine *machine, int entry, Call *call, Failure *failure) {
  *call = call_new(arena, machine, entry);
  if (!call_random(arena, machine, call, diff->arguments, diff->narguments, USUAL_DIM, (uint64_t)diff->settings->seed,
                   failure))
    return false;
  call_results(arena, machine, call);
  return true;
}

static bool run_call(Diff *diff, Machine *machine, const Call *call, Failure *failure) {
  for (int64_t turn = 0; turn < MAX(diff->settings->repeat, 1); turn++)
    if (!call_run(machine, call, (uint64_t)diff->settings->seed, failure)) return false;
  return true;
}

/* ---- shakes ---- */

static double *shaken_copy(Arena *arena, const double *data, int64_t count, uint32_t key) {
  double *copy = arena_alloc_array(arena, (size_t)count + 1, sizeof *copy);
  for (int64_t i = 0; i < count; i++) {
    double off = 2 * (double)random_uniform(key, (uint64_t)i) - 1;
    copy[i] = data[i] * (1 + SHAKE_UNITS * (double)FLT_EPSILON * off);
  }
  return copy;
}

static void shake_inputs(Diff *diff, Arena *arena, Call *call, uint32_t key) {
  Machine *machine = diff->shaken;
  const MachineEntry *entry = &machine->entries[call->entry];
  int64_t size[MAX_RANK];
  for (int p = 0; p < entry->nparameters; p++) {
    if (entry->parameters[p].dtype != F32) continue;
    int64_t count = machine_sizes(machine, call->entry, p, call->dims, size);
    call->parameters[p] = shaken_copy(arena, call->parameters[p], count, key++);
  }
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    if (symbol->dtype != F32) continue;
    double *data = arena_alloc_array(arena, (size_t)symbol->count + 1, sizeof *data);
    machine_get(machine, k, data);
    machine_set(machine, k, shaken_copy(arena, data, symbol->count, key++));
  }
}

static void note_moved(double *moved, const double *a, const double *b, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double off = distance(a[i], b[i]);
    if (off > *moved && off < INFINITY) *moved = off;
  }
}

/* One more run in f64, a little off; the exact one's call and state stand beside it. */
static bool shake(Diff *diff, Arena *arena, const Call *exact, uint32_t key, Failure *failure) {
  Machine *machine = diff->shaken, *still = diff->machine[DOUBLE];
  const MachineEntry *entry = &machine->entries[exact->entry];
  Call call;
  if (!set_state(diff, machine, failure) || !make_call(diff, arena, machine, exact->entry, &call, failure)) return false;
  shake_inputs(diff, arena, &call, key);
  if (!run_call(diff, machine, &call, failure)) return false;
  for (int r = 0; r < entry->nresults; r++)
    if (entry->results[r].dtype == F32)
      note_moved(&diff->moved[r], call.results[r], exact->results[r], call.result_count[r]);
  for (int k = 0; k < machine->nsymbols && entry->step; k++) {
    int64_t count = machine->symbols[k].count;
    if (machine->symbols[k].dtype != F32) continue;
    double *a = arena_alloc_array(arena, (size_t)count + 1, sizeof *a);
    double *b = arena_alloc_array(arena, (size_t)count + 1, sizeof *b);
    machine_get(machine, k, a);
    machine_get(still, k, b);
    note_moved(&diff->moved[entry->nresults + k], a, b, count);
  }
  return true;
}

static bool shake_often(Diff *diff, const Call *exact, Failure *failure) {
  const Machine *machine = diff->shaken;
  diff->moved = NEW_ARRAY(diff->arena, double, machine->entries[exact->entry].nresults + machine->nsymbols + 1);
  bool good = true;
  for (uint32_t turn = 0; good && turn < SHAKES; turn++) {
    Arena *arena = arena_new();
    good = shake(diff, arena, exact, turn << 16, failure);
    arena_free(arena);
  }
  return good;
}

/* ---- entries ---- */

static bool diff_entry(Diff *diff, int entry, Failure *failure) {
  Call calls[SIDES];
  for (int side = 0; side < SIDES; side++) {
    Machine *machine = diff->machine[side];
    if (!set_state(diff, machine, failure)) return false;
    if (!make_call(diff, diff->arena, machine, entry, &calls[side], failure)) return false;
    if (!run_call(diff, machine, &calls[side], failure)) return false;
  }
  if (!shake_often(diff, &calls[DOUBLE], failure)) return false;
  const MachineEntry *e = &diff->machine[COMPILED]->entries[entry];
  if (!diff->settings->quiet) printf("%s:\n", e->name);
  for (int r = 0; r < e->nresults; r++) {
    void *data[SIDES];
    for (int side = 0; side < SIDES; side++) data[side] = calls[side].results[r];
    compare(diff, "result", e->results[r].name, e->results[r].dtype, calls[COMPILED].result_count[r], data, diff->moved[r]);
  }
  if (e->step) compare_states(diff, diff->moved + e->nresults);
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
  diff->shaken = machine_interpret(diff->arena, program, true, (int)settings->threads);
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
    printf(
        "compiled against interpreted in f64; bound: %d times what f32 interpreted, or arguments off by %d units, differ,\n"
        "and %d units of f32 of the largest value\n",
        FACTOR, SHAKE_UNITS, UNITS);
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
  machine_close(diff.shaken);
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
