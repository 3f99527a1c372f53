/* How far compiled code may differ.
 *
 * The interpreter in f64 stands for the true value; the interpreter in f32 shows how far rounding alone leads away from
 * it. Compiled code sums in another order, so it is allowed FACTOR times that distance, and UNITS units in the last place
 * of the largest value beside it, since the f32 run may have been lucky. Both are taken over a whole tensor. Where a model
 * magnifies rounding (a relu close to 0 that falls to the other side; adam's first step, which divides a gradient by its
 * own size), or where terms cancel (the gradient of a bias that batchnorm takes out again is 0, and what is computed is
 * rounding alone), one f32 run tells too little: so the f64 interpreter runs SHAKES times more, from params and arguments
 * that are off by a few units of f32 at random, and with all that rounds off by one (ir/interpret_shake.c), and FACTOR times
 * what a tensor then moves is allowed too. Whole numbers and bools must be equal wherever both interpreters agree. Where
 * factors of contractions are rounded further (--precision), the interpreter in f32 rounds them too, and one unit of that
 * kind of the largest value is allowed beside: tensor cores cut sums off where f32 rounds them, a unit of f32 for each
 * instruction at most, and one of tf32 has room for the 2^13 instructions of 2^16 folds. Where convolutions are
 * computed by tiles (--fast-conv), the f64 interpreter is off by as much more as these round more.
 *
 * A tensor beyond a bound that is itself as large as the tensor's values is lost, if it is not far beyond: rounding leaves
 * nothing of it to compare (the gradient of a batchnorm over two numbers can be anything), and four draws don't tell how far
 * it may lead. That is no agreement, but no fault of the compiler's is shown either. */
#include "command/diff.h"

#include "ir/interpret.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FACTOR = 4, UNITS = 64, SHAKES = 4, SHAKE_UNITS = 8, ROUNDING_UNITS = 1, LOST = 1000 };

static const MachineEntry *entry_of(const Diff *diff) {
  return &diff->machine[COMPILED]->entries[diff->calls[COMPILED].entry];
}

int diff_values(const Diff *diff) {
  const MachineEntry *entry = entry_of(diff);
  return entry->nresults + (entry->step ? diff->machine[COMPILED]->nsymbols : 0);
}

const char *diff_name(const Diff *diff, int value) {
  const MachineEntry *entry = entry_of(diff);
  return value < entry->nresults ? entry->results[value].name
                                 : diff->machine[COMPILED]->symbols[value - entry->nresults].name;
}

Dtype diff_dtype(const Diff *diff, int value) {
  const MachineEntry *entry = entry_of(diff);
  return value < entry->nresults ? entry->results[value].dtype
                                 : diff->machine[COMPILED]->symbols[value - entry->nresults].dtype;
}

void diff_elements(const Diff *diff, Arena *arena, int value, const void *data[SIDES], int64_t *count) {
  const MachineEntry *entry = entry_of(diff);
  if (value < entry->nresults) {
    for (int side = 0; side < SIDES; side++) data[side] = diff->calls[side].results[value];
    *count = diff->calls[COMPILED].result_count[value];
    return;
  }
  const MachineSymbol *symbol = &diff->machine[COMPILED]->symbols[value - entry->nresults];
  *count = symbol->count;
  for (int side = 0; side < SIDES; side++) {
    Machine *machine = diff->machine[side];
    void *elements =
        arena_alloc_array(arena, (size_t)symbol->count + 1, (size_t)machine_element_bytes(machine, symbol->dtype));
    machine_get(machine, machine_find_symbol(machine, symbol->name), elements);
    data[side] = elements;
  }
}

double diff_element(const Diff *diff, Side side, Dtype dtype, const void *data, int64_t i) {
  if (dtype == BOOL) return ((const uint8_t *)data)[i];
  if (dtype == I32) return ((const int32_t *)data)[i];
  return diff->machine[side]->wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Not a number agrees with not a number, infinity with itself. */
static double distance(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
  return a == b ? 0 : fabs(a - b);
}

Verdict diff_verdict(const Diff *diff, int value, int64_t count, const void *const data[SIDES]) {
  Dtype dtype = diff_dtype(diff, value);
  Verdict verdict = {.at = -1};
  double rounding = 0;
  for (int64_t i = 0; i < count; i++) {
    double element[SIDES];
    for (int side = 0; side < SIDES; side++) element[side] = diff_element(diff, (Side)side, dtype, data[side], i);
    if (dtype != F32 && element[SINGLE] != element[DOUBLE]) continue; /* a decision on the edge */
    double off = distance(element[COMPILED], element[DOUBLE]), by_rounding = distance(element[SINGLE], element[DOUBLE]);
    if (isfinite(element[DOUBLE])) verdict.largest = MAX(verdict.largest, fabs(element[DOUBLE]));
    if (by_rounding == INFINITY) continue; /* f32 overflows here */
    rounding = MAX(rounding, by_rounding);
    if (off > verdict.worst || verdict.at < 0) {
      verdict.worst = off;
      verdict.at = i;
    }
  }
  double unit = ldexp(1, 1 - precision_info[diff->machine[SINGLE]->precision].bits);
  verdict.bound = (UNITS * (double)FLT_EPSILON + (unit > (double)FLT_EPSILON ? unit : 0)) * verdict.largest +
                  FACTOR * MAX(rounding, diff->moved[value]) + (double)FLT_MIN;
  if (dtype != F32) verdict.bound = 0;
  verdict.good = verdict.worst <= verdict.bound;
  verdict.lost = !verdict.good && verdict.bound >= verdict.largest && verdict.worst <= LOST * verdict.bound;
  return verdict;
}

void diff_explain(bool fast_conv, FILE *out) {
  fprintf(out,
          "compiled against interpreted in f64; bound: %d times what f32 interpreted, or arguments off by %d units and\n"
          "all that rounds by %d, differ, and %d units of f32 of the largest value\n",
          FACTOR, SHAKE_UNITS, ROUNDING_UNITS, UNITS);
  if (fast_conv)
    fprintf(out, "convolutions by tiles of 2 x 2 or 4 x 4: what rounds, %.1f or %.0f times as much\n", fast_conv_error(2),
            fast_conv_error(4));
}

/* ---- shakes ---- */

static void shake_numbers(double *data, int64_t count, uint32_t key) {
  for (int64_t i = 0; i < count; i++) {
    double off = 2 * (double)random_uniform(key, (uint64_t)i) - 1;
    data[i] *= 1 + SHAKE_UNITS * (double)FLT_EPSILON * off;
  }
}

/* Large nets have gigabytes of state, so that copies of it are made one tensor at a time. */
static double *copy_of_symbol(Arena *arena, Machine *machine, int symbol) {
  double *data = arena_alloc_array(arena, (size_t)machine->symbols[symbol].count + 1, sizeof *data);
  machine_get(machine, symbol, data);
  return data;
}

static void shake_inputs(Diff *diff, Arena *arena, Call *call, uint32_t key) {
  Machine *machine = diff->shaken;
  const MachineEntry *entry = &machine->entries[call->entry];
  int64_t size[MAX_RANK];
  for (int p = 0; p < entry->nparameters; p++) {
    if (entry->parameters[p].dtype != F32) continue;
    int64_t count = machine_sizes(machine, call->entry, p, call->dims, size);
    double *copy = arena_alloc_array(arena, (size_t)count + 1, sizeof *copy);
    memcpy(copy, call->parameters[p], (size_t)count * sizeof *copy);
    shake_numbers(copy, count, key++);
    call->parameters[p] = copy;
  }
  for (int k = 0; k < machine->nsymbols; k++) {
    if (machine->symbols[k].dtype != F32) continue;
    Arena *own = arena_new();
    double *data = copy_of_symbol(own, machine, k);
    shake_numbers(data, machine->symbols[k].count, key++);
    machine_set(machine, k, data);
    arena_free(own);
  }
}

static void note_moved(double *moved, const double *a, const double *b, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double off = distance(a[i], b[i]);
    if (off > *moved && off < INFINITY) *moved = off;
  }
}

static double more_by_tiles(void *user, const Graph *graph, const Node *contract) {
  (void)user;
  return fast_conv_error(fast_conv_tile(graph, contract, FAST_CONV_BEST));
}

/* One more run in f64, a little off; the exact one's call and state stand beside it. */
static bool shake(Diff *diff, Arena *arena, const Call *exact, uint32_t key, Failure *failure) {
  Machine *machine = diff->shaken, *still = diff->machine[DOUBLE];
  const MachineEntry *entry = &machine->entries[exact->entry];
  Call call;
  if (!diff_set_state(diff, machine, failure)) return false;
  if (!diff_make_call(diff, arena, machine, exact->entry, &call, failure)) return false;
  shake_inputs(diff, arena, &call, key);
  Shake roundings = {.units = ROUNDING_UNITS, .draws = (uint64_t)key << 32};
  if (diff->settings->fast_conv) roundings.more = more_by_tiles;
  machine->shake = &roundings;
  bool good = diff_run_call(diff, machine, &call, failure);
  machine->shake = NULL;
  if (!good) return false;
  for (int r = 0; r < entry->nresults; r++)
    if (entry->results[r].dtype == F32)
      note_moved(&diff->moved[r], call.results[r], exact->results[r], call.result_count[r]);
  for (int k = 0; k < machine->nsymbols && entry->step; k++) {
    if (machine->symbols[k].dtype != F32) continue;
    Arena *own = arena_new();
    const double *a = copy_of_symbol(own, machine, k), *b = copy_of_symbol(own, still, k);
    note_moved(&diff->moved[entry->nresults + k], a, b, machine->symbols[k].count);
    arena_free(own);
  }
  return true;
}

bool diff_shake(Diff *diff, Failure *failure) {
  const Machine *machine = diff->shaken;
  const Call *exact = &diff->calls[DOUBLE];
  diff->moved = NEW_ARRAY(diff->arena, double, machine->entries[exact->entry].nresults + machine->nsymbols + 1);
  bool good = true;
  for (uint32_t turn = 0; good && turn < SHAKES; turn++) {
    Arena *arena = arena_new();
    good = shake(diff, arena, exact, turn << 16, failure);
    arena_free(arena);
  }
  return good;
}
