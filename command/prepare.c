/* Numbers go into metadata as decimals of 17 digits, which read back as they were. */
#include "command/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- mean 0 and deviation 1 ---- */

Standard standard_of(Arena *arena, const Tensor *column, const int64_t *rows, int64_t count) {
  int64_t n = tensor_count(column) / column->size[0];
  Standard standard = {n, NEW_ARRAY(arena, double, n + 1), NEW_ARRAY(arena, double, n + 1)};
  for (int64_t k = 0; k < count; k++)
    for (int64_t i = 0; i < n; i++) standard.mean[i] += tensor_number(column, rows[k] * n + i) / (double)count;
  for (int64_t k = 0; k < count; k++)
    for (int64_t i = 0; i < n; i++) {
      double off = tensor_number(column, rows[k] * n + i) - standard.mean[i];
      standard.deviation[i] += off * off / (double)count;
    }
  for (int64_t i = 0; i < n; i++) standard.deviation[i] = sqrt(standard.deviation[i]);
  return standard;
}

/* A constant column becomes 0. */
Tensor standardized(Arena *arena, const Tensor *column, const Standard *standard) {
  Tensor to = tensor_new(arena, column->name, ELEMENT_F32, column->rank, column->size);
  int64_t count = tensor_count(column);
  for (int64_t i = 0; i < count; i++) {
    double number = tensor_number(column, i) - standard->mean[i % standard->count];
    double by = standard->deviation[i % standard->count];
    ((float *)to.data)[i] = by > 0 ? (float)(number / by) : 0.0f;
  }
  return to;
}

static void keep_numbers(Arena *arena, const char *key, const double *numbers, int64_t count, Tensors *metadata) {
  Text text = {0};
  for (int64_t k = 0; k < count; k++) text_add(&text, "%s%.17g", k ? " " : "", numbers[k]);
  tensors_set(arena, metadata, key, text.bytes ? text.bytes : "");
  text_free(&text);
}

void standard_keep(Arena *arena, const Standard *standard, const char *parameter, Tensors *metadata) {
  keep_numbers(arena, arena_format(arena, KEY_MEAN "%s", parameter), standard->mean, standard->count, metadata);
  keep_numbers(arena, arena_format(arena, KEY_DEVIATION "%s", parameter), standard->deviation, standard->count, metadata);
}

/* So many numbers separated by blanks; NULL if there are others. */
static double *read_numbers(Arena *arena, const char *text, int64_t *count) {
  Vec(double) numbers = {0};
  for (char *end; *text; text = end) {
    double number = strtod(text, &end);
    if (end == text) return NULL;
    PUSH(arena, &numbers, number);
  }
  *count = numbers.count;
  return numbers.items;
}

static bool apply_standard(Arena *arena, const Tensors *state, Argument *argument, Failure *failure) {
  const char *mean = tensors_get(state, arena_format(arena, KEY_MEAN "%s", argument->name));
  const char *deviation = tensors_get(state, arena_format(arena, KEY_DEVIATION "%s", argument->name));
  if (!mean || !deviation || argument->tensor.rank == 0) return true;
  Standard standard;
  int64_t deviations, count = tensor_count(&argument->tensor);
  standard.mean = read_numbers(arena, mean, &standard.count);
  standard.deviation = read_numbers(arena, deviation, &deviations);
  if (!standard.mean || !standard.deviation || standard.count != deviations)
    return fail(failure, EXIT_INPUT, "the state's metadata on %.100s are not as many means as deviations", argument->name);
  if (count % standard.count)
    return fail(failure, EXIT_INPUT, "%.100s has %lld elements, but its training standardized rows of %lld", argument->name,
                (long long)count, (long long)standard.count);
  argument->tensor = standardized(arena, &argument->tensor, &standard);
  return true;
}

/* ---- texts ---- */

/* The indices along the last of the parameter's axes; the others are 1. */
static bool apply_characters(Arena *arena, const MachineEntry *entry, const Tensors *state, Argument *argument,
                             Failure *failure) {
  const char *known = tensors_get(state, KEY_CHARACTERS);
  if (!known)
    return fail(failure, EXIT_INPUT, "%.100s is a text; --state wants a checkpoint of a training on text:FILE",
                argument->name);
  Characters characters;
  Tensor indices;
  if (!characters_of(arena, "the state's characters", known, strlen(known), &characters, failure) ||
      !characters_encode(arena, &characters, argument->name, argument->characters, argument->length, &indices, failure))
    return false;
  if (indices.size[0] == 0) return fail(failure, EXIT_INPUT, "%.100s: the text is empty", argument->name);
  int rank = 1;
  for (int p = 0; p < entry->nparameters; p++)
    if (strcmp(entry->parameters[p].name, argument->name) == 0) rank = MAX(1, entry->parameters[p].rank);
  indices.name = argument->name;
  indices.size[rank - 1] = indices.size[0];
  for (int axis = 0; axis < rank - 1; axis++) indices.size[axis] = 1;
  indices.rank = rank;
  argument->tensor = indices;
  argument->characters = NULL;
  return true;
}

bool prepare_argument(Arena *arena, const MachineEntry *entry, const Tensors *state, Argument *argument, Failure *failure) {
  if (argument->characters) return apply_characters(arena, entry, state, argument, failure);
  return apply_standard(arena, state, argument, failure);
}

/* ---- results ---- */

static bool text_meaning(Arena *arena, const char *known, const Tensor *result, Text *out) {
  Characters characters;
  Failure failure = {0};
  return result->rank > 0 && characters_of(arena, "", known, strlen(known), &characters, &failure) &&
         characters_decode(&characters, result, out);
}

static bool class_meaning(Arena *arena, const char *names, const Tensor *result, Text *out) {
  Vec(const char *) lines = {0};
  for (const char *at = names; *at; at += *at == '\n') {
    size_t length = strcspn(at, "\n");
    PUSH(arena, &lines, arena_format(arena, "%.*s", (int)length, at));
    at += length;
  }
  const int32_t *index = result->data;
  int64_t count = tensor_count(result);
  for (int64_t i = 0; i < count; i++)
    if (index[i] < 0 || index[i] >= lines.count) return false;
  for (int64_t i = 0; i < count; i++) text_add(out, "%s%s", i ? ", " : "", lines.items[index[i]]);
  return count > 0;
}

bool result_meaning(Arena *arena, const Tensors *state, const Tensor *result, bool *is_text, Text *out) {
  const char *characters = tensors_get(state, KEY_CHARACTERS), *classes = tensors_get(state, KEY_CLASSES);
  if (result->type != ELEMENT_I32) return false;
  *is_text = characters != NULL;
  if (characters) return text_meaning(arena, characters, result, out);
  return classes && class_meaning(arena, classes, result, out);
}
