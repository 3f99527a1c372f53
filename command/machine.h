/* A Machine is a model that can be called, whoever computes it: the interpreter, code that was compiled into this process,
 * or a shared object from before. Commands are written on it alone.
 *
 * Arrays at this border are dense and row-major, of float, int32_t and uint8_t (0 or 1) elements; where the machine is
 * `wide` (the interpreter in f64), of double in place of float. */
#ifndef NNC_MACHINE_H
#define NNC_MACHINE_H

#include "command/program.h"
#include "command/tensor.h"
#include "ir/interpret.h"

typedef struct MachineValue {
  const char *name, *shape; /* "[N, 784]", "[]" */
  Dtype dtype;
  int rank;
  bool has_default;
  double fallback;
} MachineValue;

typedef struct MachineEntry {
  const char *name;
  bool step, draws;
  int nparameters, nresults; /* without the seed that a fn which draws takes */
  MachineValue *parameters, *results;
  int nkernels, nlaunches; /* 0 where interpreted */
} MachineEntry;

typedef struct MachineDim {
  const char *name;
  int64_t low, high, step;
} MachineDim;

typedef struct MachineSymbol {
  const char *name;
  Dtype dtype;
  bool trainable;
  int rank;
  int64_t size[MAX_RANK], count;
} MachineSymbol;

typedef struct Machine Machine;
typedef struct MachineFunctions {
  bool (*call)(Machine *machine, int entry, const int64_t *dims, const void *const *parameters, void *const *results,
               uint64_t seed, Failure *failure);
  void (*sizes)(Machine *machine, int entry, const int64_t *dims, int64_t *sizes);
  void (*get)(Machine *machine, int symbol, void *elements);
  void (*set)(Machine *machine, int symbol, const void *elements);
  bool (*init)(Machine *machine, uint64_t seed, Failure *failure);
  size_t (*scratch)(Machine *machine, int entry, const int64_t *dims); /* bytes */
  void (*close)(Machine *machine);
} MachineFunctions;

struct Machine {
  const MachineFunctions *functions;
  Arena *arena;
  const char *name;
  bool wide, compiled;
  Precision precision; /* of the interpreter in f32 */
  int workers;
  int ndims, nentries, nsymbols;
  MachineDim *dims;
  MachineEntry *entries;
  MachineSymbol *symbols;
  size_t state_bytes;
  const struct nn_model *model;                    /* where compiled */
  Program *program;                                /* where there is one */
  Shake *shake;                                    /* or NULL; interpreted in f64 */
  void (*trace)(void *user, int launch, int done); /* or NULL; compiled machines tell of their launches */
  void *trace_user;
  void *own; /* of the functions */
};

/* From settings: a .so is loaded; a source is interpreted or compiled as the flags say. The state is drawn from --seed. */
Machine *machine_open(Arena *arena, const char *path, const Settings *settings, Failure *failure);
Machine *machine_interpret(Arena *arena, Program *program, bool f64, int threads);
/* From the cache, else by the passes that are still to run and code generation. */
Machine *machine_compile(Arena *arena, Program *program, const Settings *settings, Failure *failure);
Machine *machine_load(Arena *arena, const char *path, int threads, Failure *failure);
void machine_close(Machine *machine); /* NULL is fine */
/* The plan that an entry's code was made of: where that came from the cache, the passes run now. NULL where there is none. */
const Plan *machine_plan(Machine *machine, const Settings *settings, int entry);
/* An entry's graph, as it was written or after the passes that interpreting wants. NULL where the model came as a plan or
 * as a .so. */
const Graph *machine_graph(const Machine *machine, int entry);

/* dims: by dim of the model. parameters: a pointer for each; results: a pointer for each, or NULL where not wanted. */
bool machine_call(Machine *machine, int entry, const int64_t *dims, const void *const *parameters, void *const *results,
                  uint64_t seed, Failure *failure);
bool machine_init(Machine *machine, uint64_t seed, Failure *failure);
void machine_get(Machine *machine, int symbol, void *elements);
void machine_set(Machine *machine, int symbol, const void *elements);
/* Sizes of parameter k (or, from nparameters on, of result k - nparameters) at these dims; gives their product. */
int64_t machine_sizes(Machine *machine, int entry, int value, const int64_t *dims, int64_t *size);

const MachineValue *machine_value(const MachineEntry *entry, int value);
int machine_find_entry(const Machine *machine, const char *name); /* -1 if there is none */
int machine_find_symbol(const Machine *machine, const char *name);
int machine_find_dim(const Machine *machine, const char *name, size_t length);
/* The same with a failure that lists what there is. */
bool machine_entry(const Machine *machine, const char *name, int *entry, Failure *failure);
int machine_element_bytes(const Machine *machine, Dtype dtype);
ElementType machine_element_type(const Machine *machine, Dtype dtype);
/* A tensor of any element type as elements of this dtype; a fault names `what`. */
bool machine_elements(Arena *arena, const Machine *machine, Dtype dtype, const char *what, const Tensor *tensor,
                      void **elements, Failure *failure);
/* Axis k of a shape as text, without blanks around: its start and length. */
const char *shape_axis(const char *shape, int axis, size_t *length);

/* The first symbol with an element that is not finite; -1: there is none. */
int machine_first_not_finite(Machine *machine);

#endif
