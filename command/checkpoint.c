/* A file is not to be trusted: names, dtypes and shapes are compared with the model's before one number is taken. */
#include "command/checkpoint.h"

#include <string.h>

static bool is_of_command(const char *name) { return strncmp(name, "nn.", 3) == 0; }

static bool type_fits(Dtype dtype, ElementType type) {
  if (dtype == BOOL) return type == ELEMENT_BOOL || type == ELEMENT_U8;
  if (dtype == I32) return type == ELEMENT_I32 || type == ELEMENT_I64;
  return type == ELEMENT_F32 || type == ELEMENT_F64 || type == ELEMENT_F16 || type == ELEMENT_BF16;
}

static bool shape_fits(const MachineSymbol *symbol, const Tensor *tensor) {
  bool good = symbol->rank == tensor->rank;
  for (int axis = 0; good && axis < symbol->rank; axis++) good = symbol->size[axis] == tensor->size[axis];
  return good;
}

bool checkpoint_fits(Arena *arena, const char *path, const MachineSymbol *symbol, const Tensor *tensor, Failure *failure) {
  if (!type_fits(symbol->dtype, tensor->type))
    return fail(failure, EXIT_INPUT, "%.300s: %.200s is %s there, but the model has %s", path, symbol->name,
                element_name(tensor->type), dtype_name(symbol->dtype));
  if (shape_fits(symbol, tensor)) return true;
  Tensor wanted = {.rank = symbol->rank};
  memcpy(wanted.size, symbol->size, sizeof symbol->size);
  return fail(failure, EXIT_INPUT, "%.300s: %.200s is %s there, but %s in the model", path, symbol->name,
              tensor_shape(arena, tensor), tensor_shape(arena, &wanted));
}

/* A tensor that the model does not know is more often a wrong file than a wish to have it ignored. */
static bool check_names(Arena *arena, const Machine *machine, const char *path, const Tensors *file, Failure *failure) {
  const char **names = NEW_ARRAY(arena, const char *, machine->nsymbols + 1);
  for (int k = 0; k < machine->nsymbols; k++) names[k] = machine->symbols[k].name;
  for (int t = 0; t < file->list.count; t++) {
    const char *name = file->list.items[t].name;
    if (is_of_command(name) || machine_find_symbol(machine, name) >= 0) continue;
    const char *near = nearest_name(name, names, machine->nsymbols);
    return fail(failure, EXIT_INPUT,
                "%.300s holds '%.200s', which the model %s has not%s%.200s%s; --partial takes what is there", path, name,
                machine->name, near ? " (it has " : "", near ? near : "", near ? ")" : "");
  }
  return true;
}

bool checkpoint_set(Arena *arena, Machine *machine, const char *path, const Tensors *file, const char *prefix, bool partial,
                    Failure *failure) {
  void **elements = NEW_ARRAY(arena, void *, machine->nsymbols + 1);
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    const Tensor *tensor = tensors_find(file, arena_format(arena, "%s%s", prefix, symbol->name));
    if (!tensor) {
      if (partial || is_of_command(symbol->name)) continue;
      return fail(failure, EXIT_INPUT, "%.300s lacks '%.200s'; --partial takes what is there", path, symbol->name);
    }
    if (!checkpoint_fits(arena, path, symbol, tensor, failure)) return false;
    if (!machine_elements(arena, machine, symbol->dtype, symbol->name, tensor, &elements[k], failure)) return false;
  }
  for (int k = 0; k < machine->nsymbols; k++)
    if (elements[k]) machine_set(machine, k, elements[k]);
  return true;
}

bool checkpoint_load(Arena *arena, Machine *machine, const char *path, bool partial, Tensors *file, Failure *failure) {
  Tensors own = {0}, *tensors = file ? file : &own;
  if (text_ends(path, ".nn") || text_ends(path, ".so"))
    return fail(failure, EXIT_INPUT, "%s is a model, and a checkpoint (.safetensors) is wanted", path);
  if (!read_all(arena, path, tensors, failure)) return false;
  if (!partial && !check_names(arena, machine, path, tensors, failure)) return false;
  return checkpoint_set(arena, machine, path, tensors, "", partial, failure);
}

void checkpoint_take(Arena *arena, Machine *machine, const char *prefix, Tensors *tensors) {
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    Tensor tensor = tensor_new(arena, arena_format(arena, "%s%s", prefix, symbol->name),
                               machine_element_type(machine, symbol->dtype), symbol->rank, symbol->size);
    machine_get(machine, k, tensor.data);
    tensors_add(arena, tensors, tensor);
  }
}

bool checkpoint_save(Machine *machine, const char *path, const Tensors *beside, Failure *failure) {
  Arena *arena = arena_new();
  Tensors all = {0};
  checkpoint_take(arena, machine, "", &all);
  for (int t = 0; beside && t < beside->list.count; t++) tensors_add(arena, &all, beside->list.items[t]);
  for (int m = 0; beside && m < beside->metadata.count; m++)
    tensors_set(arena, &all, beside->metadata.items[m].key, beside->metadata.items[m].value);
  bool good = write_all(path, &all, failure);
  arena_free(arena);
  return good;
}
