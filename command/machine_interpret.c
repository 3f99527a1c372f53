/* The interpreter as a machine. */
#include "command/machine.h"

#include <cblas.h>
#include <string.h>
#include <unistd.h>

typedef struct Interpreted {
  Interpreter *interpreter;
  Array *states; /* by symbol */
} Interpreted;

static Array parameter_array(const Machine *machine, const Type *type, const int64_t *dims, const void *data) {
  Array array = {.dtype = type->dtype, .f64 = machine->wide && type->dtype == F32, .rank = type->rank};
  for (int axis = 0; axis < type->rank; axis++) array.size[axis] = dim_value(type->size[axis], dims);
  array.data = (void *)(uintptr_t)data; /* parameters are only read */
  return array;
}

static bool interpreted_call(Machine *machine, int entry, const int64_t *dims, const void *const *parameters,
                             void *const *results, uint64_t seed, Failure *failure) {
  Interpreted *own = machine->own;
  const Graph *graph = machine->program->interpreted[entry];
  Arena *arena = arena_new();
  Array *arrays = NEW_ARRAY(arena, Array, graph->parameters.count + 1);
  int32_t seed_words[2] = {(int32_t)(uint32_t)seed, (int32_t)(uint32_t)(seed >> 32)};
  for (int p = 0; p < graph->parameters.count; p++) {
    const void *data = p < machine->entries[entry].nparameters ? parameters[p] : seed_words;
    arrays[p] = parameter_array(machine, &graph->parameters.items[p].type, dims, data);
  }
  Run run = {.graph = graph,
             .f64 = machine->wide,
             .dims = dims,
             .parameters = arrays,
             .states = own->states,
             .results = NEW_ARRAY(arena, Array, graph->results.count + 1),
             .arena = arena,
             .interpreter = own->interpreter,
             .shake = machine->shake,
             .precision = machine->precision};
  bool good = interpret(&run, failure);
  for (int r = 0; good && r < graph->results.count; r++) {
    const Array *result = &run.results[r];
    if (results[r]) memcpy(results[r], result->data, (size_t)array_count(result) * array_element_bytes(result));
  }
  arena_free(arena);
  return good;
}

static void interpreted_sizes(Machine *machine, int entry, const int64_t *dims, int64_t *sizes) {
  const Graph *graph = machine->program->interpreted[entry];
  for (int p = 0; p < machine->entries[entry].nparameters; p++) {
    const Type *type = &graph->parameters.items[p].type;
    for (int axis = 0; axis < type->rank; axis++) *sizes++ = dim_value(type->size[axis], dims);
  }
  for (int r = 0; r < graph->results.count; r++) {
    const Type *type = graph_type(graph, graph->results.items[r].value);
    for (int axis = 0; axis < type->rank; axis++) *sizes++ = dim_value(type->size[axis], dims);
  }
}

static size_t state_size(const Array *state) { return (size_t)array_count(state) * array_element_bytes(state); }

/* States lie as the graphs want them: a dump from after pass layout has its own orders of axes. */
static void interpreted_get(Machine *machine, int symbol, void *elements) {
  const Array *state = &((Interpreted *)machine->own)->states[symbol];
  symbol_load(&machine->program->symbols[symbol], array_element_bytes(state), state->data, elements);
}

static void interpreted_set(Machine *machine, int symbol, const void *elements) {
  Array *state = &((Interpreted *)machine->own)->states[symbol];
  symbol_store(&machine->program->symbols[symbol], array_element_bytes(state), elements, state->data);
}

static bool interpreted_init(Machine *machine, uint64_t seed, Failure *failure) {
  (void)failure;
  for (int k = 0; k < machine->nsymbols; k++) {
    const Symbol *symbol = &machine->program->symbols[k];
    Arena *arena = arena_new();
    Array canonical = array_for(arena, &symbol->type, machine->wide, NULL);
    initialise(symbol, seed, &canonical);
    interpreted_set(machine, k, canonical.data);
    arena_free(arena);
  }
  return true;
}

static size_t interpreted_scratch(Machine *machine, int entry, const int64_t *dims) {
  (void)machine, (void)entry, (void)dims;
  return 0;
}

static void interpreted_close(Machine *machine) { interpreter_free(((Interpreted *)machine->own)->interpreter); }

static const MachineFunctions interpreted_functions = {interpreted_call, interpreted_sizes, interpreted_get,
                                                       interpreted_set,  interpreted_init,  interpreted_scratch,
                                                       interpreted_close};

static const char *shape_text(const Module *module, const Type *type) {
  const char *text = type_text(module, type), *open = strchr(text, '[');
  return open ? open : "[]";
}

static MachineEntry describe_entry(Arena *arena, const Graph *graph) {
  MachineEntry entry = {.name = graph->name,
                        .step = graph->kind == GRAPH_STEP,
                        .draws = graph->draws,
                        .nparameters = graph->parameters.count - (graph->draws ? 1 : 0),
                        .nresults = graph->results.count};
  entry.parameters = NEW_ARRAY(arena, MachineValue, entry.nparameters + 1);
  entry.results = NEW_ARRAY(arena, MachineValue, entry.nresults + 1);
  for (int p = 0; p < entry.nparameters; p++) {
    const Parameter *from = &graph->parameters.items[p];
    entry.parameters[p] = (MachineValue){from->name,        shape_text(graph->module, &from->type),
                                         from->type.dtype,  from->type.rank,
                                         from->has_default, from->fallback};
  }
  for (int r = 0; r < entry.nresults; r++) {
    const Type *type = graph_type(graph, graph->results.items[r].value);
    entry.results[r] = (MachineValue){.name = graph->results.items[r].name,
                                      .shape = shape_text(graph->module, type),
                                      .dtype = type->dtype,
                                      .rank = type->rank};
  }
  return entry;
}

static MachineSymbol describe_symbol(const Symbol *symbol) {
  MachineSymbol result = {.name = symbol->name,
                          .dtype = symbol->type.dtype,
                          .trainable = symbol->trainable,
                          .rank = symbol->type.rank,
                          .count = 1};
  for (int axis = 0; axis < result.rank; axis++) {
    result.size[axis] = dim_value(symbol->type.size[axis], NULL);
    result.count *= result.size[axis];
  }
  return result;
}

Machine *machine_interpret(Arena *arena, Program *program, bool f64, int threads) {
  const Module *module = program->module;
  int processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (threads > 0) openblas_set_num_threads(threads);
  Machine *machine = NEW(arena, Machine);
  *machine = (Machine){.functions = &interpreted_functions,
                       .arena = arena,
                       .name = module->name,
                       .wide = f64,
                       .workers = threads > 0 ? threads : processors,
                       .nentries = module->entries.count,
                       .nsymbols = module->symbols.count,
                       .program = program};
  machine->dims = NEW_ARRAY(arena, MachineDim, module->dims.count + 1);
  for (int k = 0; k < module->dims.count; k++) { /* the plan's own counters of loops come behind the model's dims */
    const DimSymbol *dim = &module->dims.items[k];
    if (dim->turn) continue;
    machine->dims[machine->ndims++] = (MachineDim){dim->name, dim->low, dim->high, dim->step};
  }
  machine->entries = NEW_ARRAY(arena, MachineEntry, machine->nentries + 1);
  for (int k = 0; k < machine->nentries; k++) machine->entries[k] = describe_entry(arena, program->interpreted[k]);
  machine->symbols = NEW_ARRAY(arena, MachineSymbol, machine->nsymbols + 1);
  Interpreted *own = NEW(arena, Interpreted);
  own->interpreter = interpreter_new();
  own->states = NEW_ARRAY(arena, Array, machine->nsymbols + 1);
  for (int k = 0; k < machine->nsymbols; k++) {
    const Symbol *symbol = &program->symbols[k];
    Type stored = symbol_stored(program->module, symbol);
    machine->symbols[k] = describe_symbol(symbol);
    own->states[k] = array_for(arena, &stored, f64, NULL);
    machine->state_bytes += state_size(&own->states[k]);
  }
  machine->own = own;
  return machine;
}
