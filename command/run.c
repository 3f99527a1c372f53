/* nnc run: one entry, once (or --repeat times) on arguments that were typed or lie in files. */
#include "command/arguments.h"
#include "command/checkpoint.h"
#include "command/commands.h"
#include "command/print_array.h"
#include "command/train.h"

#include <stdlib.h>
#include <string.h>

/* What prepared the training's data prepares these too: means and deviations by parameter's name. */
static bool prepare(Arena *arena, const Tensors *state, Argument *argument, Failure *failure) {
  const char *mean = tensors_get(state, arena_format(arena, KEY_MEAN "%s", argument->name));
  const char *deviation = tensors_get(state, arena_format(arena, KEY_DEVIATION "%s", argument->name));
  Tensor *from = &argument->tensor;
  if (!mean || !deviation || from->rank == 0) return true;
  Tensor to = tensor_new(arena, from->name, ELEMENT_F32, from->rank, from->size);
  int64_t count = tensor_count(from), used = 0;
  while (used < count) {
    const char *means = mean, *deviations = deviation;
    while (used < count && *means) {
      char *end, *deviation_end;
      double middle = strtod(means, &end), by = strtod(deviations, &deviation_end);
      if (end == means || deviation_end == deviations)
        return fail(failure, EXIT_INPUT, "the metadata on %.100s of the state are no numbers", argument->name);
      double number = tensor_number(from, used) - middle;
      ((float *)to.data)[used++] = by > 0 ? (float)(number / by) : 0.0f;
      means = end;
      deviations = deviation_end;
    }
    if (used < count && !*mean)
      return fail(failure, EXIT_INPUT, "the metadata on %.100s of the state are empty", argument->name);
  }
  *from = to;
  return true;
}

static bool read_arguments(Arena *arena, const Settings *settings, const Tensors *state, Argument **arguments, int *count,
                           Failure *failure) {
  *count = settings->words.count - 2;
  *arguments = NEW_ARRAY(arena, Argument, *count + 1);
  for (int k = 0; k < *count; k++) {
    if (!argument_read(arena, settings->words.items[2 + k], &(*arguments)[k], failure)) return false;
    if (!prepare(arena, state, &(*arguments)[k], failure)) return false;
  }
  return true;
}

static void print_results(Machine *machine, const Call *call) {
  Text text = {0};
  for (int r = 0; r < machine->entries[call->entry].nresults; r++) {
    Tensor tensor = call_result(machine, call, r);
    text_add(&text, "%s =%s", tensor.name, tensor.rank > 1 ? "\n" : " ");
    print_array(&tensor, &text);
    text_add(&text, "\n");
  }
  if (text.bytes) fwrite(text.bytes, 1, text.length, stdout);
  text_free(&text);
}

static bool write_results(Arena *arena, Machine *machine, const Call *call, const char *path, Failure *failure) {
  Tensors tensors = {0};
  for (int r = 0; r < machine->entries[call->entry].nresults; r++)
    tensors_add(arena, &tensors, call_result(machine, call, r));
  return write_all(path, &tensors, failure);
}

static bool call_entry(Arena *arena, Machine *machine, const Settings *settings, const Tensors *state, Failure *failure) {
  int entry, count;
  Argument *arguments;
  if (!machine_entry(machine, settings->words.items[1], &entry, failure)) return false;
  if (!read_arguments(arena, settings, state, &arguments, &count, failure)) return false;
  Call call = call_new(arena, machine, entry);
  if (!call_bind(arena, machine, &call, arguments, count, failure)) return false;
  call_results(arena, machine, &call);
  for (int64_t turn = 0; turn < MAX(settings->repeat, 1); turn++)
    if (!call_run(machine, &call, (uint64_t)settings->seed, failure)) return false;
  if (settings->output) return write_results(arena, machine, &call, settings->output, failure);
  print_results(machine, &call);
  return true;
}

static int run_run(Arena *arena, Settings *settings, Failure *failure) {
  if (settings->words.count < 1 || (settings->words.count < 2 && !settings->save)) {
    fail(failure, EXIT_INPUT, "run wants a model and an entry: nnc run MODEL ENTRY [name=value ...]");
    return failure->code;
  }
  Machine *machine = machine_open(arena, settings->words.items[0], settings, failure);
  if (!machine) return failure->code;
  Tensors state = {0};
  bool good = !settings->state || checkpoint_load(arena, machine, settings->state, settings->partial, &state, failure);
  if (good && settings->words.count > 1) good = call_entry(arena, machine, settings, &state, failure);
  Tensors beside = {.metadata.items = state.metadata.items, .metadata.count = state.metadata.count};
  if (good && settings->save) checkpoint_save(machine, settings->save, &beside, failure);
  machine_close(machine);
  return failure->code;
}

static const Option options[] = {
    TEXT("output", 'o', output, "FILE", "writes the results: .npz, .npy, .safetensors, .csv; else they are printed"),
    TEXT("state", 0, state, "FILE", "loads params and states (.safetensors); without it they are drawn from --seed"),
    FLAG("partial", 0, partial, "takes from --state what is there"),
    TEXT("save", 0, save, "FILE", "writes params and states afterwards"),
    WHOLE("repeat", 0, repeat, "K", 1, INT64_MAX, "calls so often on the same arguments"),
    OPTION_SEED,
    OPTIONS_OF_INTERPRETING,
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_run = {
    .name = "run",
    .usage = "nnc run MODEL ENTRY [name=value ...] [options]\nnnc run MODEL --save FILE",
    .summary = "calls one entry on files or numbers",
    .about = "Calls a fn or step once. name=value gives an argument: a number, a list [[1, 2], [3, 4]], or a file: x.npy,\n"
             "x.npz:key, x.safetensors:key, x.csv, x.csv:column, an IDX file (each may be .gz). Sizes of dims are taken\n"
             "from the data; N=64 gives one that no data tell. Without an entry nothing is called, and --save writes the\n"
             "initial state.",
    .options = options,
    .count = COUNT_OF(options),
    .after = "examples:\n"
             "  nnc run linreg.nn predict x=houses.npy --state linreg.safetensors -o prices.csv\n"
             "  nnc run perceptron.nn learn x='[1, 0, 1, 0]' d=1 --save w.safetensors",
    .run = run_run,
};
