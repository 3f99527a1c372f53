/* What machines have in common, and the choice of one. */
#include "command/machine.h"

#include <math.h>
#include <string.h>

bool machine_call(Machine *machine, int entry, const int64_t *dims, const void *const *parameters, void *const *results,
                  uint64_t seed, Failure *failure) {
  return machine->functions->call(machine, entry, dims, parameters, results, seed, failure);
}

bool machine_init(Machine *machine, uint64_t seed, Failure *failure) {
  return machine->functions->init(machine, seed, failure);
}

void machine_get(Machine *machine, int symbol, void *elements) { machine->functions->get(machine, symbol, elements); }

void machine_set(Machine *machine, int symbol, const void *elements) { machine->functions->set(machine, symbol, elements); }

void machine_close(Machine *machine) {
  if (machine) machine->functions->close(machine);
}

const MachineValue *machine_value(const MachineEntry *entry, int value) {
  return value < entry->nparameters ? &entry->parameters[value] : &entry->results[value - entry->nparameters];
}

int64_t machine_sizes(Machine *machine, int entry, int value, const int64_t *dims, int64_t *size) {
  const MachineEntry *e = &machine->entries[entry];
  int axes = 0, before = 0;
  for (int v = 0; v < e->nparameters + e->nresults; v++) {
    if (v == value) before = axes;
    axes += machine_value(e, v)->rank;
  }
  Arena *arena = arena_new();
  int64_t *all = NEW_ARRAY(arena, int64_t, axes + 1), count = 1;
  machine->functions->sizes(machine, entry, dims, all);
  for (int axis = 0; axis < machine_value(e, value)->rank; axis++) {
    size[axis] = all[before + axis];
    CHECK(multiply_checked(count, MAX(size[axis], 0), &count));
  }
  arena_free(arena);
  return count;
}

int machine_find_entry(const Machine *machine, const char *name) {
  for (int k = 0; k < machine->nentries; k++)
    if (strcmp(machine->entries[k].name, name) == 0) return k;
  return -1;
}

int machine_find_symbol(const Machine *machine, const char *name) {
  for (int k = 0; k < machine->nsymbols; k++)
    if (strcmp(machine->symbols[k].name, name) == 0) return k;
  return -1;
}

int machine_find_dim(const Machine *machine, const char *name, size_t length) {
  for (int k = 0; k < machine->ndims; k++)
    if (strlen(machine->dims[k].name) == length && memcmp(machine->dims[k].name, name, length) == 0) return k;
  return -1;
}

bool machine_entry(const Machine *machine, const char *name, int *entry, Failure *failure) {
  *entry = machine_find_entry(machine, name);
  if (*entry >= 0) return true;
  Text list = {0};
  for (int k = 0; k < machine->nentries; k++) text_add(&list, "%s%s", k ? ", " : "", machine->entries[k].name);
  fail(failure, EXIT_INPUT, "the model %.100s has no entry '%.200s'; it has %.500s", machine->name, name,
       machine->nentries ? list.bytes : "none");
  text_free(&list);
  return false;
}

int machine_element_bytes(const Machine *machine, Dtype dtype) {
  return dtype == BOOL ? 1 : dtype == F32 && machine->wide ? 8 : 4;
}

ElementType machine_element_type(const Machine *machine, Dtype dtype) {
  return dtype == BOOL ? ELEMENT_BOOL : dtype == I32 ? ELEMENT_I32 : machine->wide ? ELEMENT_F64 : ELEMENT_F32;
}

static bool elements_as_bools(Arena *arena, const char *what, const Tensor *tensor, void **elements, Failure *failure) {
  int64_t count = tensor_count(tensor);
  uint8_t *bools = arena_alloc(arena, (size_t)count + 1);
  for (int64_t i = 0; i < count; i++) {
    double number = tensor_number(tensor, i);
    if (number != 0 && number != 1)
      return fail(failure, EXIT_INPUT, "%.300s: element %lld is %g, but a bool is 0 or 1", what, (long long)i, number);
    bools[i] = number != 0;
  }
  *elements = bools;
  return true;
}

bool machine_elements(Arena *arena, const Machine *machine, Dtype dtype, const char *what, const Tensor *tensor,
                      void **elements, Failure *failure) {
  if (dtype == BOOL) return elements_as_bools(arena, what, tensor, elements, failure);
  if (dtype == I32 || !machine->wide) {
    int32_t *ints = NULL;
    float *floats = NULL;
    bool good = dtype == I32 ? tensor_ints(arena, tensor, &ints, failure) : tensor_floats(arena, tensor, &floats, failure);
    *elements = dtype == I32 ? (void *)ints : (void *)floats;
    return good;
  }
  int64_t count = tensor_count(tensor);
  double *wide = NEW_ARRAY(arena, double, count + 1);
  for (int64_t i = 0; i < count; i++) wide[i] = tensor_number(tensor, i);
  *elements = wide;
  return true;
}

const char *shape_axis(const char *shape, int axis, size_t *length) {
  const char *at = shape + 1; /* behind the '[' */
  for (int depth = 0; axis > 0 && *at; at++) {
    if (*at == '(') depth++;
    if (*at == ')') depth--;
    if (*at == ',' && depth == 0) axis--;
  }
  while (*at == ' ') at++;
  const char *end = at;
  for (int depth = 0; *end && (depth > 0 || (*end != ',' && *end != ']')); end++) {
    if (*end == '(') depth++;
    if (*end == ')') depth--;
  }
  *length = (size_t)(end - at);
  return at;
}

int machine_first_not_finite(Machine *machine) {
  int found = -1;
  for (int k = 0; k < machine->nsymbols && found < 0; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    if (symbol->dtype != F32) continue;
    Arena *arena = arena_new();
    void *elements = arena_alloc_array(arena, (size_t)symbol->count, (size_t)machine_element_bytes(machine, F32));
    machine_get(machine, k, elements);
    for (int64_t i = 0; i < symbol->count && found < 0; i++)
      if (!isfinite(machine->wide ? ((double *)elements)[i] : (double)((float *)elements)[i])) found = k;
    arena_free(arena);
  }
  return found;
}

const Plan *machine_plan(Machine *machine, const Settings *settings, int entry) {
  Program *program = machine->program;
  if (!machine->compiled || !program) return NULL;
  PipelineOptions pipeline = program_pipeline(settings);
  Failure ignored = {0};
  if (program->next < PASS_COUNT && !program_run(program, &pipeline, &ignored)) return NULL;
  return program->plans[entry];
}

const Graph *machine_graph(const Machine *machine, int entry) {
  const Program *program = machine->program;
  if (!program) return NULL;
  if (program->interpreted) return program->interpreted[entry];
  return program->next == 0 ? program->module->entries.items[entry] : NULL;
}

/* Entries that nobody wants need not be compiled. One that is not there is told of by whoever looks for it among all. */
static void keep_only(Program *program, const char *only) {
  Module *module = program->module;
  Graph *wanted = only && *only ? module_find_entry(module, only) : NULL;
  if (!only || (*only && !wanted)) return;
  for (int k = 0; wanted && program->plans && k < module->entries.count; k++)
    if (module->entries.items[k] == wanted) program->plans[0] = program->plans[k];
  if (wanted) module->entries.items[0] = wanted;
  module->entries.count = wanted ? 1 : 0;
}

Machine *machine_open(Arena *arena, const char *path, const Settings *settings, Failure *failure) {
  int threads = (int)settings->threads;
  Machine *machine = NULL;
  if (!target_known(settings, failure)) return NULL;
  if (text_ends(path, ".so")) {
    if (settings->interpret || settings->f64) {
      fail(failure, EXIT_INPUT, "%.300s: compiled code cannot be interpreted; give the .nn file", path);
      return NULL;
    }
    if (settings->set) {
      fail(failure, EXIT_INPUT, "%.300s: a compiled model has its constants built in; give --set the .nn file", path);
      return NULL;
    }
    machine = machine_load(arena, path, threads, failure);
  } else {
    Program *program = NEW(arena, Program);
    PipelineOptions pipeline = program_pipeline(settings);
    bool interpret = settings->interpret || settings->f64;
    pipeline.stop_after = pipeline.interpret_after;
    if (!program_open(arena, path, settings->set, program, failure)) return NULL;
    keep_only(program, settings->only);
    if (interpret && !program->plans && !program_run(program, &pipeline, failure)) return NULL;
    if (interpret && !program->interpreted) {
      fail(failure, EXIT_INPUT, "%.300s: a plan cannot be interpreted; give the .nn file", path);
      return NULL;
    }
    machine = interpret ? machine_interpret(arena, program, settings->f64, threads)
                        : machine_compile(arena, program, settings, failure);
  }
  if (machine && machine_init(machine, (uint64_t)settings->seed, failure)) return machine;
  machine_close(machine);
  return NULL;
}
