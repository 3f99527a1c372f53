/* nnc run: one entry, once (or --repeat times) on arguments that were typed or lie in files. */
#include "command/arguments.h"
#include "command/checkpoint.h"
#include "command/commands.h"
#include "command/print_array.h"
#include "command/prepare.h"

#include <stdlib.h>
#include <string.h>

static bool read_arguments(Arena *arena, const MachineEntry *entry, const Settings *settings, const Tensors *state,
                           Argument **arguments, int *count, Failure *failure) {
  *count = settings->words.count - 2;
  *arguments = NEW_ARRAY(arena, Argument, *count + 1);
  for (int k = 0; k < *count; k++) {
    if (!argument_read(arena, settings->words.items[2 + k], &(*arguments)[k], failure)) return false;
    if (!prepare_argument(arena, entry, state, &(*arguments)[k], failure)) return false;
  }
  return true;
}

/* Indices of classes stand beside their names; those of characters are only to be read as a text. */
static void print_result(Arena *arena, const Tensors *state, const Tensor *tensor, Text *out) {
  Text meaning = {0};
  bool is_text = false, known = result_meaning(arena, state, tensor, &is_text, &meaning);
  text_add(out, "%s =%s", tensor->name, tensor->rank > 1 || (known && is_text) ? "\n" : " ");
  if (!known || !is_text) print_array(tensor, out);
  if (known) {
    text_add(out, is_text ? "" : "  ");
    text_add_bytes(out, meaning.bytes, meaning.length);
  }
  text_add(out, "\n");
  text_free(&meaning);
}

static void print_results(Arena *arena, Machine *machine, const Call *call, const Tensors *state) {
  Text text = {0};
  for (int r = 0; r < machine->entries[call->entry].nresults; r++) {
    Tensor tensor = call_result(machine, call, r);
    print_result(arena, state, &tensor, &text);
  }
  if (text.bytes) fwrite(text.bytes, 1, text.length, stdout);
  text_free(&text);
}

/* A text of the only result. */
static bool write_text(Arena *arena, Machine *machine, const Call *call, const Tensors *state, const char *path,
                       Failure *failure) {
  Text text = {0};
  bool is_text = false;
  int results = machine->entries[call->entry].nresults;
  Tensor tensor = results == 1 ? call_result(machine, call, 0) : (Tensor){0};
  bool good = results == 1 && result_meaning(arena, state, &tensor, &is_text, &text);
  good = good ? write_file(path, text.bytes, text.length, failure)
              : fail(failure, EXIT_INPUT,
                     "%.300s: a .txt holds the only result of an entry, as classes or characters that --state names", path);
  text_free(&text);
  return good;
}

static bool write_results(Arena *arena, Machine *machine, const Call *call, const Tensors *state, const char *path,
                          Failure *failure) {
  if (text_ends(path, ".txt")) return write_text(arena, machine, call, state, path, failure);
  Tensors tensors = {0};
  for (int r = 0; r < machine->entries[call->entry].nresults; r++)
    tensors_add(arena, &tensors, call_result(machine, call, r));
  return write_all(path, &tensors, failure);
}

static bool call_entry(Arena *arena, Machine *machine, const Settings *settings, const Tensors *state, Failure *failure) {
  int entry, count;
  Argument *arguments;
  if (!machine_entry(machine, settings->words.items[1], &entry, failure)) return false;
  if (!read_arguments(arena, &machine->entries[entry], settings, state, &arguments, &count, failure)) return false;
  Call call = call_new(arena, machine, entry);
  if (!call_bind(arena, machine, &call, arguments, count, failure)) return false;
  call_results(arena, machine, &call);
  for (int64_t turn = 0; turn < MAX(settings->repeat, 1); turn++)
    if (!call_run(machine, &call, (uint64_t)settings->seed, failure)) return false;
  if (settings->output) return write_results(arena, machine, &call, state, settings->output, failure);
  print_results(arena, machine, &call, state);
  return true;
}

static int run_run(Arena *arena, Settings *settings, Failure *failure) {
  if (settings->words.count < 1 || (settings->words.count < 2 && !settings->save)) {
    fail(failure, EXIT_INPUT, "run wants a model and an entry: nnc run MODEL ENTRY [name=value ...]");
    return failure->code;
  }
  settings->only = settings->words.count > 1 ? settings->words.items[1] : "";
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
    TEXT("output", 'o', output, "FILE",
         "writes the results: .npz, .npy, .safetensors, .csv, .png (a picture),\n.txt (a text); else they are printed"),
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
    .about =
        "Calls a fn or step once. name=value gives an argument: a number, a list [[1, 2], [3, 4]], or a file: x.npy,\n"
        "x.npz:key, x.safetensors:key, x.csv, x.csv:column, x.png, x.ppm, an IDX file (each may be .gz); where --state was "
        "trained\n"
        "on a text, also '\"some text\"' and text:FILE. Sizes of dims are taken from the data; N=64 gives one that no\n"
        "data tell. Without an entry nothing is called, and --save writes the initial state.",
    .options = options,
    .count = COUNT_OF(options),
    .after = "examples:\n"
             "  nnc run linreg.nn predict x=houses.npy --state linreg.safetensors -o prices.csv\n"
             "  nnc run perceptron.nn learn x='[1, 0, 1, 0]' d=1 --save w.safetensors",
    .run = run_run,
};
