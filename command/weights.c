#include "command/weights.h"

#include "command/checkpoint.h"

#include <string.h>

/* Drawn from the seed, or counted by the entries themselves. */
static bool is_of_models(const char *name) { return strncmp(name, "nn.", 3) == 0; }

static MachineSymbol described(const Symbol *symbol) {
  MachineSymbol described = {.name = symbol->name, .dtype = symbol->type.dtype, .rank = symbol->type.rank};
  for (int axis = 0; axis < symbol->type.rank; axis++) described.size[axis] = symbol->type.size[axis]->value;
  return described;
}

bool weights_build(Arena *arena, Module *module, const char *path, Failure *failure) {
  Tensors file = {0};
  if (!text_ends(path, ".safetensors"))
    return fail(failure, EXIT_INPUT, "--weights %.300s: a checkpoint (.safetensors) is wanted", path);
  if (!read_safetensors(arena, path, &file, failure)) return false;
  for (int k = 0; k < module->symbols.count; k++) {
    Symbol *symbol = &module->symbols.items[k];
    if (is_of_models(symbol->name)) continue;
    const Tensor *tensor = tensors_find(&file, symbol->name);
    if (!tensor)
      return fail(failure, EXIT_INPUT, "%.300s lacks '%.200s' of the model %s", path, symbol->name, module->name);
    MachineSymbol wanted = described(symbol);
    if (!checkpoint_fits(arena, path, &wanted, tensor, failure)) return false;
    double *numbers = NEW_ARRAY(module->arena, double, tensor_count(tensor) + 1);
    for (int64_t index = 0; index < tensor_count(tensor); index++) numbers[index] = tensor_number(tensor, index);
    symbol->init = (Initialiser){.kind = INIT_ARRAY, .array = numbers};
  }
  return true;
}
