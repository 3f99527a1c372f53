/* The prelude against the numbers of tests/reference/make.py.
 *
 *   reference GROUP.nn ...        calls every entry and compares
 *
 * Interpreted in f64 an entry must give what PyTorch gives in f64, within WIDE of each value or of 1: both only round.
 * Interpreted in f32 it must keep its digits, but for LOST of the largest value of a tensor; and compiled it may be FACTOR
 * times as far off as that, and UNITS units in the last place of the largest value, since it sums in another order. What
 * f32 cannot hold is not asked of f32. Whole numbers and bools are equal every way. */
#include "command/arguments.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FACTOR = 4, UNITS = 64 };
#define WIDE 1e-10
#define LOST 1e-3

typedef enum Way { DOUBLE, SINGLE, COMPILED, WAYS } Way;
static const char *const way_name[WAYS] = {"interpreted in f64", "interpreted in f32", "compiled"};

typedef struct Group {
  Arena *arena;
  const char *path;
  Machine *machine[WAYS];
  Tensors numbers;
  bool *used; /* by tensor of numbers */
  int failures;
} Group;

static bool wrong(Group *group, const char *entry, const char *format, ...) PRINTF_LIKE(3, 4);
static bool wrong(Group *group, const char *entry, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s: %s: ", group->path, entry);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  group->failures++;
  return false;
}

/* ---- the numbers ---- */

static const Tensor *find(Group *group, const char *entry, const char *kind, const char *name) {
  const char *key = arena_format(group->arena, "%s/%s%s", entry, kind, name);
  for (int k = 0; k < group->numbers.list.count; k++) {
    if (strcmp(group->numbers.list.items[k].name, key) != 0) continue;
    group->used[k] = true;
    return &group->numbers.list.items[k];
  }
  return NULL;
}

/* One call's part of a tensor whose first axis counts calls. */
static Tensor part_of(const Tensor *tensor, int64_t call, int64_t calls) {
  Tensor part = *tensor;
  if (calls == 1) return part;
  part.rank--;
  memmove(part.size, part.size + 1, (size_t)part.rank * sizeof *part.size);
  part.data = (char *)tensor->data + call * tensor_count(&part) * element_bytes(tensor->type);
  return part;
}

/* ---- running ---- */

/* Elements of a result or a state, all calls in a row. */
typedef struct Found {
  Dtype dtype;
  int64_t count;
  double *values;
} Found;

static void collect(const Machine *machine, Dtype dtype, const void *data, int64_t count, double *values) {
  for (int64_t i = 0; i < count; i++) {
    if (dtype == BOOL) values[i] = ((const uint8_t *)data)[i];
    if (dtype == I32) values[i] = ((const int32_t *)data)[i];
    if (dtype == F32) values[i] = machine->wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
  }
}

static bool set_states(Group *group, Machine *machine, const char *entry, Failure *failure) {
  if (!machine_init(machine, 0, failure)) return false;
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    const Tensor *tensor = find(group, entry, "set/", symbol->name);
    void *elements;
    if (!tensor) continue;
    if (tensor_count(tensor) != symbol->count) return wrong(group, entry, "%s has another count", symbol->name);
    if (!machine_elements(group->arena, machine, symbol->dtype, symbol->name, tensor, &elements, failure)) return false;
    machine_set(machine, k, elements);
  }
  return true;
}

static bool bind(Group *group, Machine *machine, Call *call, int64_t turn, int64_t calls, Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  Argument *arguments = NEW_ARRAY(group->arena, Argument, entry->nparameters + 1);
  for (int p = 0; p < entry->nparameters; p++) {
    const Tensor *tensor = find(group, entry->name, "", entry->parameters[p].name);
    if (!tensor) return wrong(group, entry->name, "no numbers for %s", entry->parameters[p].name);
    arguments[p] = (Argument){.name = entry->parameters[p].name, .tensor = part_of(tensor, turn, calls)};
  }
  return call_bind(group->arena, machine, call, arguments, entry->nparameters, failure);
}

/* Results of all calls, then states behind them. */
static bool run(Group *group, Machine *machine, int entry, int64_t calls, Found *found, Failure *failure) {
  const MachineEntry *e = &machine->entries[entry];
  if (!set_states(group, machine, e->name, failure)) return false;
  for (int64_t turn = 0; turn < calls; turn++) {
    Call call = call_new(group->arena, machine, entry);
    if (!bind(group, machine, &call, turn, calls, failure)) return false;
    call_results(group->arena, machine, &call);
    if (!call_run(machine, &call, 0, failure)) return false;
    for (int r = 0; r < e->nresults; r++) {
      int64_t count = call.result_count[r];
      if (turn == 0)
        found[r] = (Found){e->results[r].dtype, count * calls, NEW_ARRAY(group->arena, double, count *calls + 1)};
      collect(machine, e->results[r].dtype, call.results[r], count, found[r].values + turn * count);
    }
  }
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    void *data = arena_alloc_array(group->arena, (size_t)symbol->count + 1, 8);
    machine_get(machine, k, data);
    found[e->nresults + k] = (Found){symbol->dtype, symbol->count, NEW_ARRAY(group->arena, double, symbol->count + 1)};
    collect(machine, symbol->dtype, data, symbol->count, found[e->nresults + k].values);
  }
  return true;
}

/* ---- comparing ---- */

static double distance(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
  return a == b ? 0 : fabs(a - b);
}

static void compare_way(Group *group, const char *entry, const char *name, Way way, const Tensor *wanted,
                        const Found *found, double floor, double by_value) {
  for (int64_t i = 0; i < found->count; i++) {
    double number = tensor_number(wanted, i);
    if (way != DOUBLE && isfinite(number) && fabs(number) > (double)FLT_MAX) continue;
    double bound = found->dtype == F32 ? floor + by_value * fabs(isfinite(number) ? number : 0) : 0;
    if (distance(found->values[i], number) <= bound) continue;
    wrong(group, entry, "%s, %s: element %lld is %.17g, not %.17g (bound %g)", name, way_name[way], (long long)i,
          found->values[i], number, bound);
    return;
  }
}

static void compare(Group *group, const char *entry, const char *name, const Tensor *wanted, const Found *found[WAYS]) {
  double largest = 0, rounding = 0;
  bool whole = wanted->type == ELEMENT_I32 || wanted->type == ELEMENT_BOOL;
  if (tensor_count(wanted) != found[DOUBLE]->count || whole != (found[DOUBLE]->dtype != F32)) {
    wrong(group, entry, "%s has another shape or dtype", name);
    return;
  }
  for (int64_t i = 0; i < found[DOUBLE]->count; i++) {
    double number = tensor_number(wanted, i), off = distance(found[SINGLE]->values[i], number);
    if (!isfinite(number) || fabs(number) > (double)FLT_MAX || !isfinite(off)) continue;
    largest = fmax(largest, fabs(number));
    rounding = fmax(rounding, off);
  }
  double single = LOST * largest + UNITS * (double)FLT_EPSILON;
  double compiled = UNITS * (double)FLT_EPSILON * largest + FACTOR * rounding + (double)FLT_MIN;
  compare_way(group, entry, name, DOUBLE, wanted, found[DOUBLE], WIDE, WIDE);
  compare_way(group, entry, name, SINGLE, wanted, found[SINGLE], single, 0);
  compare_way(group, entry, name, COMPILED, wanted, found[COMPILED], compiled, 0);
}

static bool run_entry(Group *group, int entry, Failure *failure) {
  const Machine *first = group->machine[DOUBLE];
  const MachineEntry *e = &first->entries[entry];
  const Tensor *count = find(group, e->name, "", "calls");
  int64_t calls = count ? (int64_t)tensor_number(count, 0) : 1;
  Found *found[WAYS];
  for (int way = 0; way < WAYS; way++) {
    found[way] = NEW_ARRAY(group->arena, Found, e->nresults + first->nsymbols + 1);
    if (!run(group, group->machine[way], entry, calls, found[way], failure)) return false;
  }
  for (int r = 0; r < e->nresults + first->nsymbols; r++) {
    bool result = r < e->nresults;
    const char *name = result ? e->results[r].name : first->symbols[r - e->nresults].name;
    const Tensor *wanted = find(group, e->name, result ? "" : "get/", name);
    const Found *ways[WAYS];
    if (!wanted && result) wrong(group, e->name, "no numbers for %s", name);
    if (!wanted) continue;
    for (int way = 0; way < WAYS; way++) {
      int at = result ? r : e->nresults + machine_find_symbol(group->machine[way], name);
      ways[way] = &found[way][at];
    }
    compare(group, e->name, name, wanted, ways);
  }
  return true;
}

static bool run_group(Group *group, Failure *failure) {
  Settings settings = {.threads = 1};
  Program *program = NEW(group->arena, Program);
  PipelineOptions pipeline = default_pipeline;
  const char *stem = arena_format(group->arena, "%.*s", (int)(strlen(group->path) - 3), group->path);
  const char *file = arena_format(group->arena, "%s.safetensors", stem);
  if (!read_safetensors(group->arena, file, &group->numbers, failure)) return false;
  group->used = NEW_ARRAY(group->arena, bool, group->numbers.list.count + 1);
  if (!program_read(group->arena, group->path, NULL, &pipeline, program, failure)) return false;
  group->machine[DOUBLE] = machine_interpret(group->arena, program, true, 1);
  group->machine[SINGLE] = machine_interpret(group->arena, program, false, 1);
  group->machine[COMPILED] = machine_compile(group->arena, program, &settings, failure);
  if (!group->machine[COMPILED]) return false;
  for (int k = 0; k < group->machine[DOUBLE]->nentries; k++)
    if (!run_entry(group, k, failure)) return false;
  for (int k = 0; k < group->numbers.list.count; k++)
    if (!group->used[k]) wrong(group, group->numbers.list.items[k].name, "nothing asks for these numbers");
  return true;
}

static int run_path(const char *path) {
  Arena *arena = arena_new();
  Group group = {.arena = arena, .path = path};
  Failure failure = {0};
  if (!run_group(&group, &failure)) wrong(&group, "all", "%s", failure.message);
  for (int way = 0; way < WAYS; way++) machine_close(group.machine[way]);
  arena_free(arena);
  return group.failures;
}

int main(int argc, char **argv) {
  int failures = 0;
  for (int k = 1; k < argc; k++) failures += run_path(argv[k]);
  if (failures) fprintf(stderr, "%d failure%s\n", failures, failures == 1 ? "" : "s");
  return failures ? 1 : argc < 2;
}
