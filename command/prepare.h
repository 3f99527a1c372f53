/* What prepared the data of a training, kept as metadata of its checkpoints, and applied again by `run`. */
#ifndef NNC_PREPARE_H
#define NNC_PREPARE_H

#include "command/arguments.h"
#include "command/characters.h"

#define KEY_CLASSES "nnc.classes" /* names of classes, one a line */
#define KEY_MEAN "nnc.mean."      /* + parameter: numbers, one for each element of a row */
#define KEY_DEVIATION "nnc.deviation."

/* An argument that was typed, as the entry wants it: texts become indices, columns are standardized. */
bool prepare_argument(Arena *arena, const MachineEntry *entry, const Tensors *state, Argument *argument, Failure *failure);
/* What a result of i32 means, if each of its numbers names a class or a character of the training: "setosa, virginica", or
 * a text. False, and nothing is added, if it does not. */
bool result_meaning(Arena *arena, const Tensors *state, const Tensor *result, bool *is_text, Text *out);

/* For the training: means and deviations over these rows of a column, and a column with them applied. */
typedef struct Standard {
  int64_t count; /* elements of a row */
  double *mean, *deviation;
} Standard;
Standard standard_of(Arena *arena, const Tensor *column, const int64_t *rows, int64_t count);
Tensor standardized(Arena *arena, const Tensor *column, const Standard *standard);
void standard_keep(Arena *arena, const Standard *standard, const char *parameter, Tensors *metadata);

#endif
