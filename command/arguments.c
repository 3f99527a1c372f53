/* An argument is a number, a list or a text written out, or else a file. Its shape must be the parameter's; where only the count of
 * elements agrees and the ranks do not, it is reshaped, so that a table of [rows, 64] meets pictures of [N, 1, 8, 8]. */
#include "command/arguments.h"

#include "command/picture.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool argument_split(Arena *arena, const char *word, const char **name, const char **value) {
  const char *equals = strchr(word, '=');
  if (!equals || equals == word || !(isalpha((unsigned char)word[0]) || word[0] == '_')) return false;
  for (const char *at = word; at < equals; at++)
    if (!isalnum((unsigned char)*at) && *at != '_') return false;
  *name = arena_format(arena, "%.*s", (int)(equals - word), word);
  *value = equals + 1;
  return true;
}

/* ---- lists ---- */

typedef struct ListReader {
  Arena *arena;
  const char *at;
  Vec(double) numbers;
  int rank;
  int64_t size[MAX_TENSOR_RANK]; /* -1: not known yet */
} ListReader;

static void skip_blanks(ListReader *reader) {
  while (isspace((unsigned char)*reader->at)) reader->at++;
}

static bool read_list(ListReader *reader, int depth) {
  skip_blanks(reader);
  if (*reader->at != '[') {
    char *end;
    double number = strtod(reader->at, &end);
    if (end == reader->at || (reader->rank >= 0 && depth != reader->rank)) return false;
    reader->rank = depth;
    reader->at = end;
    PUSH(reader->arena, &reader->numbers, number);
    return true;
  }
  if (depth == MAX_TENSOR_RANK || (reader->rank >= 0 && depth >= reader->rank)) return false;
  reader->at++;
  int64_t count = 0;
  for (;;) {
    if (!read_list(reader, depth + 1)) return false;
    count++;
    skip_blanks(reader);
    if (*reader->at == ',')
      reader->at++;
    else
      break;
  }
  if (*reader->at++ != ']' || (reader->size[depth] >= 0 && reader->size[depth] != count)) return false;
  reader->size[depth] = count;
  return true;
}

static bool tensor_from_list(Arena *arena, const char *name, const char *text, Tensor *tensor) {
  ListReader reader = {.arena = arena, .at = text, .rank = -1};
  for (int axis = 0; axis < MAX_TENSOR_RANK; axis++) reader.size[axis] = -1;
  if (!read_list(&reader, 0)) return false;
  skip_blanks(&reader);
  if (*reader.at) return false;
  *tensor = tensor_new(arena, name, ELEMENT_F64, reader.rank, reader.size);
  memcpy(tensor->data, reader.numbers.items, (size_t)reader.numbers.count * sizeof(double));
  return true;
}

bool argument_read(Arena *arena, const char *word, Argument *argument, Failure *failure) {
  if (!argument_split(arena, word, &argument->name, &argument->text))
    return fail(failure, EXIT_INPUT, "'%.200s' is not name=value", word);
  const char *text = argument->text;
  if (!*text) return fail(failure, EXIT_INPUT, "%.200s: a number, a list or a file is wanted behind '='", word);
  if (tensor_from_list(arena, argument->name, text, &argument->tensor)) return true;
  if (*text == '[')
    return fail(failure, EXIT_INPUT, "%.300s: this is no list of numbers such as [1, 2] or [[1, 2], [3, 4]]", word);
  size_t length = strlen(text);
  if (*text == '"') {
    argument->characters = text + 1;
    argument->length = length - 2;
    return (length > 1 && text[length - 1] == '"') ||
           fail(failure, EXIT_INPUT, "%.300s: the text does not end in '\"'", word);
  }
  if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
    argument->tensor = tensor_new(arena, argument->name, ELEMENT_BOOL, 0, NULL);
    *(uint8_t *)argument->tensor.data = text[0] == 't';
    return true;
  }
  argument->file = true;
  if (strncmp(text, "text:", 5) == 0) {
    char *bytes;
    bool good = read_plain(arena, text + 5, &bytes, &argument->length, failure);
    argument->characters = bytes;
    return good;
  }
  if (!read_any(arena, text, &argument->tensor, failure)) return false;
  argument->tensor.name = argument->name;
  if (is_picture_name(text)) argument->picture = arena_copy(arena, &argument->tensor, sizeof argument->tensor);
  return true;
}

/* ---- pictures ---- */

bool is_picture(const Tensor *tensor, Dtype wanted) {
  return wanted == F32 && tensor->type == ELEMENT_U8 && tensor->rank >= 2;
}

Tensor picture_floats(Arena *arena, const Tensor *tensor) {
  Tensor floats = tensor_new(arena, tensor->name, ELEMENT_F32, tensor->rank, tensor->size);
  int64_t count = tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) ((float *)floats.data)[i] = (float)((const uint8_t *)tensor->data)[i] / 255.0f;
  return floats;
}

/* The number at an axis of a shape; 0 where there is a dim. */
static int64_t fixed_axis(const MachineValue *value, int axis) {
  size_t length;
  const char *text = shape_axis(value->shape, axis, &length);
  char *end;
  long long number = strtoll(text, &end, 10);
  return end == text + length ? number : 0;
}

/* One picture as the parameter wants it: [N, C, H, W], [C, H, W], [N, H, W], [H, W] or a row of [N, C*H*W]. */
static Tensor fit_picture(Arena *arena, const MachineValue *value, const Tensor *picture) {
  int64_t height = picture->size[1], width = picture->size[2], channels = 1;
  int64_t last = value->rank > 0 ? fixed_axis(value, value->rank - 1) : 0;
  if (value->rank >= 3) channels = fixed_axis(value, value->rank - 3);
  if (value->rank == 4 && channels == 0) channels = picture->size[0];
  bool row = value->rank <= 2 && last > 0 && last != width;
  if (row) channels = last / MAX(height * width, 1);
  if (channels != 3 && channels != 4) channels = 1;
  Tensor tensor = picture_channels(arena, picture, (int)channels);
  const int64_t sizes[][4] = {{height, width}, {channels, height, width}, {1, channels, height, width}};
  if (row) {
    tensor.rank = 2;
    tensor.size[0] = 1;
    tensor.size[1] = channels * height * width;
  } else if (value->rank <= 4) {
    tensor.rank = value->rank;
    for (int axis = 0; axis < value->rank; axis++) tensor.size[axis] = sizes[value->rank - 2][axis];
  }
  return tensor;
}

/* ---- dims ---- */

static bool set_dim(const Machine *machine, int dim, int64_t value, const char *why, int64_t *dims, Failure *failure) {
  const MachineDim *d = &machine->dims[dim];
  if (value < d->low || value > d->high || (d->step > 1 && value % d->step != 0))
    return fail(failure, EXIT_INPUT, "%.200s: %s is %lld here, but the model has %lld <= %s <= %lld%s", why, d->name,
                (long long)value, (long long)d->low, d->name, (long long)d->high, d->step > 1 ? " in its steps" : "");
  if (dims[dim] && dims[dim] != value)
    return fail(failure, EXIT_INPUT, "%.200s: %s is %lld here, but %lld by another argument", why, d->name,
                (long long)value, (long long)dims[dim]);
  dims[dim] = value;
  return true;
}

bool dims_from_tensor(const Machine *machine, const MachineValue *value, const Tensor *tensor, int64_t *dims,
                      Failure *failure) {
  int axes = value->rank == tensor->rank ? value->rank : MIN(1, MIN(value->rank, tensor->rank));
  for (int axis = 0; axis < axes; axis++) {
    size_t length;
    const char *text = shape_axis(value->shape, axis, &length);
    int dim = machine_find_dim(machine, text, length);
    if (dim >= 0 && !set_dim(machine, dim, tensor->size[axis], value->name, dims, failure)) return false;
  }
  return true;
}

/* Whether the name stands in this part of a shape, behind its '['. */
static bool text_mentions(const char *text, size_t length, const char *name) {
  size_t letters = strlen(name);
  for (const char *at = text; (at = strstr(at, name)) && at + letters <= text + length; at += letters) {
    bool longer =
        isalnum((unsigned char)at[letters]) || at[letters] == '_' || isalnum((unsigned char)at[-1]) || at[-1] == '_';
    if (!longer) return true;
  }
  return false;
}

/* Which dims the entry's shapes mention. */
static bool entry_mentions(const Machine *machine, const MachineEntry *entry, int dim) {
  for (int v = 0; v < entry->nparameters + entry->nresults; v++) {
    const char *shape = machine_value(entry, v)->shape;
    if (text_mentions(shape + 1, strlen(shape + 1), machine->dims[dim].name)) return true;
  }
  return false;
}

/* The one dim of this axis that is not known; -1: there is none, or there are several. */
static int open_dim(const Machine *machine, const MachineValue *value, int axis, const int64_t *dims) {
  size_t length;
  const char *text = shape_axis(value->shape, axis, &length);
  int found = -1;
  for (int k = 0; k < machine->ndims; k++) {
    if (dims[k] || !text_mentions(text, length, machine->dims[k].name)) continue;
    if (found >= 0) return -1;
    found = k;
  }
  return found;
}

/* The value at which an axis such as 2*N has this size, which grows with the dim; 0 if there is none, or several. */
static int64_t solve_axis(Machine *machine, const Call *call, int parameter, int axis, int dim, int64_t wanted) {
  const MachineDim *d = &machine->dims[dim];
  Arena *arena = arena_new();
  int64_t *dims = NEW_ARRAY(arena, int64_t, machine->ndims + 1), size[MAX_RANK], step = MAX(d->step, 1), result = 0;
  for (int k = 0; k < machine->ndims; k++) dims[k] = call->dims[k] ? call->dims[k] : machine->dims[k].low;
  int64_t low = (d->low + step - 1) / step, high = d->high / step, end = high;
  while (low < high) { /* the least with at least this size */
    int64_t middle = low + (high - low) / 2;
    dims[dim] = middle * step;
    machine_sizes(machine, call->entry, parameter, dims, size);
    if (size[axis] < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  for (int64_t k = low; k <= MIN(low + 1, end); k++) {
    dims[dim] = k * step;
    machine_sizes(machine, call->entry, parameter, dims, size);
    if (size[axis] == wanted) result = result ? -1 : k * step;
  }
  arena_free(arena);
  return MAX(result, 0);
}

static Argument *find_argument(Argument *arguments, int count, const char *name);

/* Dims that no axis has bare, from those that are made of one of them. */
static bool infer_dims(Machine *machine, Call *call, Argument *arguments, int count, Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  for (int p = 0; p < entry->nparameters; p++) {
    const MachineValue *value = &entry->parameters[p];
    const Argument *argument = find_argument(arguments, count, value->name);
    if (!argument || argument->tensor.rank != value->rank) continue;
    for (int axis = 0; axis < value->rank; axis++) {
      int dim = open_dim(machine, value, axis, call->dims);
      int64_t solved = dim < 0 ? 0 : solve_axis(machine, call, p, axis, dim, argument->tensor.size[axis]);
      if (solved > 0 && !set_dim(machine, dim, solved, value->name, call->dims, failure)) return false;
    }
  }
  return true;
}

static bool dims_known(const Machine *machine, const MachineEntry *entry, int64_t *dims, Failure *failure) {
  for (int k = 0; k < machine->ndims; k++) {
    if (dims[k]) continue;
    if (entry_mentions(machine, entry, k))
      return fail(failure, EXIT_INPUT, "%s: no argument tells how large %s is; give %s=...", entry->name,
                  machine->dims[k].name, machine->dims[k].name);
    dims[k] = machine->dims[k].low; /* not read by the entry */
  }
  return true;
}

/* ---- calls ---- */

Call call_new(Arena *arena, const Machine *machine, int entry) {
  const MachineEntry *e = &machine->entries[entry];
  return (Call){.entry = entry,
                .dims = NEW_ARRAY(arena, int64_t, machine->ndims + 1),
                .parameters = NEW_ARRAY(arena, void *, e->nparameters + 1),
                .results = NEW_ARRAY(arena, void *, e->nresults + 1),
                .result_count = NEW_ARRAY(arena, int64_t, e->nresults + 1)};
}

static Argument *find_argument(Argument *arguments, int count, const char *name) {
  for (int k = 0; k < count; k++)
    if (strcmp(arguments[k].name, name) == 0) return &arguments[k];
  return NULL;
}

bool no_parameter(Arena *arena, const char *entry, const char *typed, const char *const *names, int count,
                  Failure *failure) {
  const char *near = nearest_name(typed, names, count), *list = "";
  if (near) return fail(failure, EXIT_INPUT, "%s has no parameter '%.200s'; did you mean %s?", entry, typed, near);
  for (int k = 0; k < count; k++) list = arena_format(arena, "%s%s%s", list, k ? ", " : "; it has ", names[k]);
  return fail(failure, EXIT_INPUT, "%s has no parameter '%.200s'%.300s", entry, typed, list);
}

/* Every argument must be a parameter or a dim, and once. */
static bool names_fit(Arena *arena, const Machine *machine, const MachineEntry *entry, Argument *arguments, int count,
                      int64_t *dims, Failure *failure) {
  Vec(const char *) names = {0};
  for (int p = 0; p < entry->nparameters; p++) PUSH(arena, &names, entry->parameters[p].name);
  for (int k = 0; k < machine->ndims; k++) PUSH(arena, &names, machine->dims[k].name);
  for (int a = 0; a < count; a++) {
    const Argument *argument = &arguments[a];
    if (find_argument(arguments, count, argument->name) != argument)
      return fail(failure, EXIT_INPUT, "%.200s is given twice", argument->name);
    int at = 0;
    while (at < names.count && strcmp(names.items[at], argument->name) != 0) at++;
    if (at == names.count) return no_parameter(arena, entry->name, argument->name, names.items, names.count, failure);
    int dim = at - entry->nparameters;
    if (dim < 0) continue;
    int64_t value;
    if (!whole_from_text(argument->text, INT64_MIN, INT64_MAX, &value))
      return fail(failure, EXIT_INPUT, "%s=%.100s: a dim is a whole number", argument->name, argument->text);
    if (!set_dim(machine, dim, value, argument->name, dims, failure)) return false;
  }
  return true;
}

static bool fits(Arena *arena, Machine *machine, const Call *call, int parameter, const Tensor *tensor, Failure *failure) {
  const MachineValue *value = &machine->entries[call->entry].parameters[parameter];
  int64_t size[MAX_RANK], count = machine_sizes(machine, call->entry, parameter, call->dims, size);
  bool good = count == tensor_count(tensor);
  for (int axis = 0; good && tensor->rank == value->rank && axis < value->rank; axis++)
    good = size[axis] == tensor->size[axis];
  if (good) return true;
  return fail(failure, EXIT_INPUT, "%s: %s is %s, but was given %s", machine->entries[call->entry].name, value->name,
              value->shape, tensor_shape(arena, tensor));
}

static bool bind_parameter(Arena *arena, Machine *machine, Call *call, int parameter, Tensor *tensor, Failure *failure) {
  const MachineValue *value = &machine->entries[call->entry].parameters[parameter];
  if (!fits(arena, machine, call, parameter, tensor, failure)) return false;
  if (is_picture(tensor, value->dtype)) *tensor = picture_floats(arena, tensor);
  return machine_elements(arena, machine, value->dtype, value->name, tensor, &call->parameters[parameter], failure);
}

static void bind_default(Arena *arena, Machine *machine, Call *call, int parameter) {
  const MachineValue *value = &machine->entries[call->entry].parameters[parameter];
  Tensor tensor = tensor_new(arena, value->name, ELEMENT_F64, 0, NULL);
  *(double *)tensor.data = value->fallback;
  Failure failure = {0};
  CHECK(machine_elements(arena, machine, value->dtype, value->name, &tensor, &call->parameters[parameter], &failure));
}

static bool bind(Machine *machine, Call *call, Argument *arguments, int count, bool all, Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  for (int p = 0; p < entry->nparameters; p++) {
    const MachineValue *value = &entry->parameters[p];
    Argument *argument = find_argument(arguments, count, value->name);
    if (argument && argument->characters)
      return fail(failure, EXIT_INPUT, "%.100s is a text; only `nnc run --state` knows the indices of its characters",
                  argument->name);
    if (argument && argument->picture) argument->tensor = fit_picture(machine->arena, value, argument->picture);
    if (argument && !dims_from_tensor(machine, value, &argument->tensor, call->dims, failure)) return false;
    if (!argument && !value->has_default && all)
      return fail(failure, EXIT_INPUT, "%s wants %s=..., %s%s", entry->name, value->name, dtype_name(value->dtype),
                  value->shape);
  }
  return true;
}

static bool bind_values(Arena *arena, Machine *machine, Call *call, Argument *arguments, int count, Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  for (int p = 0; p < entry->nparameters; p++) {
    Argument *argument = find_argument(arguments, count, entry->parameters[p].name);
    if (argument) {
      if (!bind_parameter(arena, machine, call, p, &argument->tensor, failure)) return false;
    } else if (entry->parameters[p].has_default) {
      bind_default(arena, machine, call, p);
    }
  }
  return true;
}

bool call_bind(Arena *arena, Machine *machine, Call *call, Argument *arguments, int count, Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  return names_fit(arena, machine, entry, arguments, count, call->dims, failure) &&
         bind(machine, call, arguments, count, true, failure) && infer_dims(machine, call, arguments, count, failure) &&
         dims_known(machine, entry, call->dims, failure) && bind_values(arena, machine, call, arguments, count, failure);
}

/* ---- random arguments ---- */

static void fill_random(Arena *arena, Machine *machine, Call *call, int parameter, uint64_t seed) {
  const MachineValue *value = &machine->entries[call->entry].parameters[parameter];
  int64_t size[MAX_RANK], count = machine_sizes(machine, call->entry, parameter, call->dims, size);
  char *data = arena_alloc_array(arena, (size_t)count + 1, (size_t)machine_element_bytes(machine, value->dtype));
  uint64_t name = hash_bytes(value->name, strlen(value->name));
  uint32_t key = random_key(random_key((uint32_t)(name ^ name >> 32), (uint32_t)seed), (uint32_t)(seed >> 32));
  for (int64_t i = 0; i < count; i++) {
    float number = random_uniform(key, (uint64_t)i);
    if (value->dtype == BOOL)
      ((uint8_t *)data)[i] = number >= 0.5f;
    else if (value->dtype == I32)
      ((int32_t *)data)[i] = number >= 0.5f;
    else if (machine->wide)
      ((double *)data)[i] = (double)(2.0f * number - 1.0f);
    else
      ((float *)data)[i] = 2.0f * number - 1.0f;
  }
  call->parameters[parameter] = data;
}

bool call_random(Arena *arena, Machine *machine, Call *call, Argument *arguments, int count, int64_t usual, uint64_t seed,
                 Failure *failure) {
  const MachineEntry *entry = &machine->entries[call->entry];
  if (!names_fit(arena, machine, entry, arguments, count, call->dims, failure)) return false;
  if (!bind(machine, call, arguments, count, false, failure)) return false;
  if (!infer_dims(machine, call, arguments, count, failure)) return false;
  for (int k = 0; k < machine->ndims; k++) {
    const MachineDim *dim = &machine->dims[k];
    if (call->dims[k]) continue;
    int64_t value = MAX(dim->low, MIN(dim->high, usual));
    if (dim->step > 1) value = MIN(round_up(value, dim->step), dim->high / dim->step * dim->step);
    call->dims[k] = value;
  }
  if (!bind_values(arena, machine, call, arguments, count, failure)) return false;
  for (int p = 0; p < entry->nparameters; p++)
    if (!call->parameters[p]) fill_random(arena, machine, call, p, seed);
  return true;
}

void call_results(Arena *arena, Machine *machine, Call *call) {
  const MachineEntry *entry = &machine->entries[call->entry];
  for (int r = 0; r < entry->nresults; r++) {
    int64_t size[MAX_RANK];
    call->result_count[r] = machine_sizes(machine, call->entry, entry->nparameters + r, call->dims, size);
    call->results[r] = arena_alloc_array(arena, (size_t)call->result_count[r] + 1,
                                         (size_t)machine_element_bytes(machine, entry->results[r].dtype));
  }
}

bool call_run(Machine *machine, const Call *call, uint64_t seed, Failure *failure) {
  return machine_call(machine, call->entry, call->dims, (const void *const *)call->parameters, call->results, seed,
                      failure);
}

Tensor call_result(Machine *machine, const Call *call, int result) {
  const MachineEntry *entry = &machine->entries[call->entry];
  Tensor tensor = {.name = entry->results[result].name,
                   .type = machine_element_type(machine, entry->results[result].dtype),
                   .rank = entry->results[result].rank,
                   .data = call->results[result]};
  machine_sizes(machine, call->entry, entry->nparameters + result, call->dims, tensor.size);
  return tensor;
}
