/* Values for an entry's parameters: from name=value, from files, from chance; and the sizes of dims that follow from
 * them. */
#ifndef NNC_ARGUMENTS_H
#define NNC_ARGUMENTS_H

#include "command/machine.h"

/* What was typed as name=value, read. A number is a tensor of rank 0. A text has characters, and no tensor before
 * prepare_argument has told their indices. */
typedef struct Argument {
  const char *name, *text; /* text: the value as typed */
  const char *characters;  /* of a text, `length` bytes; else NULL */
  size_t length;
  Tensor tensor;
  const Tensor *picture; /* as it was read, before it is made to fit a parameter; or NULL */
  bool file, used;
} Argument;

/* All that is needed to call an entry. */
typedef struct Call {
  int entry;
  int64_t *dims; /* by dim of the model; 0: not known */
  void **parameters, **results;
  int64_t *result_count;
} Call;

/* Splits name=value; false if there is no '=' behind a name. */
bool argument_split(Arena *arena, const char *word, const char **name, const char **value);
/* Says that an entry has no parameter of the name that was typed, and which is meant, or which there are. */
bool no_parameter(Arena *arena, const char *entry, const char *typed, const char *const *names, int count,
                  Failure *failure);
/* A number, [1, 2, [...]], "a text", text:FILE or a file of numbers, by what it looks like. */
bool argument_read(Arena *arena, const char *word, Argument *argument, Failure *failure);

Call call_new(Arena *arena, const Machine *machine, int entry);
/* Binds the arguments to the entry's parameters and the dims to their sizes; NAME=64 may also give a dim. Parameters that
 * were not given take their default; without one that is a fault. */
bool call_bind(Arena *arena, Machine *machine, Call *call, Argument *arguments, int count, Failure *failure);
/* Random arguments for what is not among the arguments, as like to data as can be without knowing it: numbers from -1 to 1,
 * whole numbers 0 and 1; dims that are not known are `usual` or as near to it as their bounds allow. */
bool call_random(Arena *arena, Machine *machine, Call *call, Argument *arguments, int count, int64_t usual, uint64_t seed,
                 Failure *failure);
/* Memory for all results, once the dims are known. */
void call_results(Arena *arena, Machine *machine, Call *call);
bool call_run(Machine *machine, const Call *call, uint64_t seed, Failure *failure);
/* Result r as a tensor with the result's name. */
Tensor call_result(Machine *machine, const Call *call, int result);

/* Sets dims from a tensor that meets a parameter: by axis where ranks agree, else by the first axis alone. */
bool dims_from_tensor(const Machine *machine, const MachineValue *value, const Tensor *tensor, int64_t *dims,
                      Failure *failure);
/* Pictures of bytes become 0 to 1 where floats are wanted. */
bool is_picture(const Tensor *tensor, Dtype wanted);
Tensor picture_floats(Arena *arena, const Tensor *tensor);

#endif
