/* nnc train: the model's entries, the settings and the data; then train_run. */
#include "command/train.h"

#include "command/commands.h"
#include "command/index_bound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- entries ---- */

static bool find_step(Train *train, Failure *failure) {
  const Machine *machine = train->machine;
  const char *name = train->settings->step;
  if (name) {
    if (!machine_entry(machine, name, &train->step, failure)) return false;
    return machine->entries[train->step].step || fail(failure, EXIT_INPUT, "--step %.200s: that is a fn, not a step", name);
  }
  int steps = 0, named = machine_find_entry(machine, "train");
  for (int k = 0; k < machine->nentries; k++) {
    if (!machine->entries[k].step) continue;
    steps++;
    train->step = k;
  }
  if (steps == 0) return fail(failure, EXIT_INPUT, "the model %s has no step to train with", machine->name);
  if (steps == 1) return true;
  if (named < 0 || !machine->entries[named].step)
    return fail(failure, EXIT_INPUT, "the model %s has %d steps and none is named train; choose one with --step",
                machine->name, steps);
  train->step = named;
  return true;
}

static bool find_test(Train *train, Failure *failure) {
  const char *name = train->settings->test;
  train->test = machine_find_entry(train->machine, name ? name : "test");
  if (name && !machine_entry(train->machine, name, &train->test, failure)) return false;
  if (train->test < 0 || !train->machine->entries[train->test].step) return true;
  if (name) return fail(failure, EXIT_INPUT, "--test %.200s: that is a step, not a fn", name);
  train->test = -1;
  return true;
}

/* ---- name=value ---- */

static bool read_scalars(Train *train, const char ***bound, int *nbound, Failure *failure) {
  const MachineEntry *entry = &train->machine->entries[train->step];
  Vec(const char *) names = {0};
  train->schedules = NEW_ARRAY(train->arena, Schedule, entry->nparameters + 1);
  train->scheduled = NEW_ARRAY(train->arena, bool, entry->nparameters + 1);
  const char **known = NEW_ARRAY(train->arena, const char *, entry->nparameters + 1);
  for (int p = 0; p < entry->nparameters; p++) known[p] = entry->parameters[p].name;
  for (int w = 2; w < train->settings->words.count; w++) {
    const char *name, *value, *word = train->settings->words.items[w];
    if (!argument_split(train->arena, word, &name, &value))
      return fail(failure, EXIT_INPUT, "'%.200s' is not name=value", word);
    int p = 0;
    while (p < entry->nparameters && strcmp(known[p], name) != 0) p++;
    if (p == entry->nparameters) return no_parameter(train->arena, entry->name, name, known, entry->nparameters, failure);
    if (entry->parameters[p].rank > 0)
      return fail(failure, EXIT_INPUT, "%.200s: %s is a tensor, which the data meet", word, name);
    if (train->scheduled[p]) return fail(failure, EXIT_INPUT, "%.200s is given twice", name);
    if (!schedule_read(name, value, &train->schedules[p], failure)) return false;
    train->scheduled[p] = true;
    PUSH(train->arena, &names, entry->parameters[p].name);
  }
  *bound = names.items;
  *nbound = names.count;
  return true;
}

/* ---- feeds ---- */

static bool make_feeds(Train *train, const char *const *bound, int nbound, Failure *failure) {
  Arena *arena = train->arena;
  int64_t batch = train->settings->batch;
  if (!feed_new(arena, train->machine, train->step, &train->data, &train->data.train, bound, nbound, batch, &train->feed,
                failure))
    return false;
  if (feed_batches(&train->feed, train->count) == 0)
    return fail(failure, EXIT_INPUT, "%lld rows to train on are not one batch", (long long)train->count);
  for (int k = 0; k < COUNT_OF(train->held); k++) {
    Held *held = &train->held[k];
    const DataPart *part = k == 1 && train->data.test.rows > 0 ? &train->data.test : &train->data.train;
    if (held->rows && train->test < 0 && (k == 0 || train->settings->test_every))
      return fail(failure, EXIT_INPUT, "--%s: there is no fn test to run on the rows that are held out",
                  k == 0 ? "valid" : "test-every");
    if (train->test < 0) held->rows = NULL;
    if (!held->rows) continue;
    if (!feed_new(arena, train->machine, train->test, &train->data, part, bound, nbound, 0, &held->feed, failure))
      return false;
  }
  return true;
}

/* Labels that no class of the model answers to would be left out silently. */
static bool check_classes(Train *train, Failure *failure) {
  const Graph *graph = machine_graph(train->machine, train->step);
  const Dataset *data = &train->data;
  if (data->class_count == 0 || !graph) return true;
  const Tensor *labels = tensors_find(&data->train.columns, "y");
  for (int c = 0; c < train->feed.columns.count; c++) {
    const FeedColumn *column = &train->feed.columns.items[c];
    const Place *place = NULL;
    if (column->kind != FEED_INTS || (!data->characters && column->data != labels->data)) continue;
    int64_t bound = index_bound(graph, column->parameter, &place);
    if (bound == 0 || data->class_count <= bound) continue;
    int line, position;
    place_position(place, &line, &position);
    return fail(failure, EXIT_INPUT, "%.400s has %d %s, but %s.%s tells %lld apart (%.200s:%d:%d)", data->path,
                data->class_count, data->characters ? "characters" : "classes", train->machine->name,
                train->machine->entries[train->step].parameters[column->parameter].name, (long long)bound,
                place->source->name, line, position);
  }
  return true;
}

/* ---- what is told ---- */

static int *scalar_results(Arena *arena, const MachineEntry *entry, int *count) {
  int *results = NEW_ARRAY(arena, int, entry->nresults + 1);
  *count = 0;
  for (int r = 0; r < entry->nresults; r++)
    if (entry->results[r].rank == 0) results[(*count)++] = r;
  return results;
}

/* The test fn's number of that name goes before the step's. */
static bool find_watched(Train *train, Failure *failure) {
  const char *name = train->settings->watch + (train->settings->watch[0] == '+');
  size_t length = strlen(name);
  train->watched = -1;
  for (int v = train->history.count - 1; v >= 0 && train->watched < 0; v--) {
    const char *known = train->history.names[v], *space = strchr(known, ' ');
    if (strcmp(space ? space + 1 : known, name) == 0 && length > 0) train->watched = v;
  }
  return train->watched >= 0 || train->settings->patience == 0 ||
         fail(failure, EXIT_INPUT, "--watch %.100s: neither the test nor the step gives a number of that name", name);
}

static bool set_numbers(Train *train, Failure *failure) {
  Arena *arena = train->arena;
  const MachineEntry *step = &train->machine->entries[train->step];
  const MachineEntry *test = train->test >= 0 ? &train->machine->entries[train->test] : NULL;
  Vec(const char *) names = {0};
  train->of_step = scalar_results(arena, step, &train->nof_step);
  if (test) train->of_test = scalar_results(arena, test, &train->nof_test);
  train->each = train->held[0].rows ? &train->held[0] : train->held[1].rows ? &train->held[1] : NULL;
  for (int v = 0; v < train->nof_step; v++) PUSH(arena, &names, step->results[train->of_step[v]].name);
  for (int v = 0; train->each && v < train->nof_test; v++)
    PUSH(arena, &names, arena_format(arena, "%s %s", train->each->name, test->results[train->of_test[v]].name));
  train->history = history_new(arena, names.items, names.count, train->nof_step);
  train->sums = NEW_ARRAY(arena, double, train->nof_step + 1);
  if (train->settings->plot && names.count == 0)
    return fail(failure, EXIT_INPUT, "--plot: neither the step nor the test gives a number to draw");
  return find_watched(train, failure);
}

/* ---- all together ---- */

static bool set_up(Train *train, const Settings *settings, Failure *failure) {
  const char **bound = NULL;
  int nbound = 0;
  if (!find_step(train, failure) || !find_test(train, failure) || !read_scalars(train, &bound, &nbound, failure))
    return false;
  train->saved_step = -1;
  if (!machine_init(train->machine, (uint64_t)settings->seed, failure)) return false;
  if (settings->state &&
      !checkpoint_load(train->arena, train->machine, settings->state, settings->partial, &train->kept, failure))
    return false;
  if (!train_read_data(train, failure) || !make_feeds(train, bound, nbound, failure) || !check_classes(train, failure) ||
      !set_numbers(train, failure))
    return false;
  if (settings->report)
    train->profile.seconds = NEW_ARRAY(train->arena, double, train->machine->entries[train->step].nlaunches + 1);
  if (!settings->resume) return true;
  if (!train_resume(train, failure)) return false;
  if (settings->log) history_seconds(train->arena, &train->history, settings->log);
  return true;
}

/* A place that cannot be written is told before hours of training, not behind them. */
static bool check_place(Arena *arena, const char *flag, const char *path, Failure *failure) {
  if (!path || strcmp(path, "-") == 0) return true;
  const char *slash = strrchr(path, '/');
  const char *folder = !slash ? "." : slash == path ? "/" : arena_format(arena, "%.*s", (int)(slash - path), path);
  return access(folder, W_OK | X_OK) == 0 ||
         fail(failure, errno == ENOENT || errno == ENOTDIR ? EXIT_INPUT : EXIT_ENVIRONMENT,
              "%s %.300s: cannot write to its folder: %s", flag, path, strerror(errno));
}

static bool check_settings(Arena *arena, const Settings *settings, Failure *failure) {
  if (settings->words.count < 2) return fail(failure, EXIT_INPUT, "train wants a model and data: nnc train MODEL DATA");
  if (settings->shuffle && *settings->shuffle && strcmp(settings->shuffle, "yes") != 0 &&
      strcmp(settings->shuffle, "no") != 0)
    return fail(failure, EXIT_INPUT, "--shuffle=%.100s: wanted is yes or no", settings->shuffle);
  if (settings->set && strchr(settings->set, '\n')) /* checkpoints keep what was typed in lines */
    return fail(failure, EXIT_INPUT, "--set: constants are parted by ';', not by lines");
  if (settings->every && !settings->save)
    return fail(failure, EXIT_INPUT, "--every says how often to save; --save says where");
  if (settings->save && !text_ends(settings->save, ".safetensors"))
    return fail(failure, EXIT_INPUT, "--save %.300s: a checkpoint's name ends in .safetensors", settings->save);
  if (settings->plot && !text_ends(settings->plot, ".svg"))
    return fail(failure, EXIT_INPUT, "--plot %.300s: a picture of curves is an .svg", settings->plot);
  if (settings->report && !text_ends(settings->report, ".html"))
    return fail(failure, EXIT_INPUT, "--report %.300s: the page is an .html", settings->report);
  return check_place(arena, "--save", settings->save, failure) && check_place(arena, "--log", settings->log, failure) &&
         check_place(arena, "--plot", settings->plot, failure) && check_place(arena, "--report", settings->report, failure);
}

static void tell_start(const Train *train) {
  const Settings *settings = train->settings;
  if (settings->quiet) return;
  const MachineEntry *entry = &train->machine->entries[train->step];
  long long steps = (long long)feed_batches(&train->feed, train->count);
  printf("%s.%s: %lld rows, %lld step%s an epoch of up to %lld rows; ", train->machine->name, entry->name,
         (long long)train->count, steps, steps == 1 ? "" : "s", (long long)train->feed.batch);
  for (int k = 0; k < COUNT_OF(train->held); k++)
    if (train->held[k].rows) printf("%lld rows for %s; ", (long long)train->held[k].count, train->held[k].name);
  printf("%s, %d thread%s\n",
         train->machine->wide       ? "interpreted in f64"
         : train->machine->compiled ? "compiled"
                                    : "interpreted",
         train->machine->workers, train->machine->workers == 1 ? "" : "s");
  if (train->steps > 0) printf("going on after step %lld\n", (long long)train->steps);
  fflush(stdout);
}

static int run_train(Arena *arena, Settings *settings, Failure *failure) {
  if (!check_settings(arena, settings, failure)) return failure->code;
  Train train = {.arena = arena, .settings = settings};
  if (!train_settings(&train, settings, failure)) return failure->code;
  train.machine = machine_open(arena, settings->words.items[0], settings, failure);
  if (!train.machine) return failure->code;
  if (set_up(&train, settings, failure)) {
    tell_start(&train);
    train_run(&train, failure);
    progress_clear(&train.progress);
  }
  if (train.best_arena) arena_free(train.best_arena);
  machine_close(train.machine);
  return failure->code;
}

static const Option options[] = {
    WHOLE("epochs", 'e', epochs, "K", 1, 1000000000, "how often each row is used (default 10)"),
    WHOLE("batch", 'b', batch, "N", 1, INT32_MAX, "rows of one step (default 64, or as the shapes say)"),
    TEXT("step", 0, step, "NAME", "the step that trains (default: the only one, or train)"),
    TEXT("test", 0, test, "NAME", "the fn that is run on held-out rows (default: test)"),
    WHOLE("test-every", 0, test_every, "K", 2, INT32_MAX, "rows 0, K, 2K, ... are held out for tests"),
    WHOLE("rows", 0, rows, "K", 1, INT64_MAX, "only the first K rows that are not held out for tests are used"),
    FRACTION("valid", 0, valid, "F", "this share of the rows to train on is held out for validation"),
    WHOLE("patience", 0, patience, "K", 1, INT32_MAX,
          "stops after K epochs without a better value; the best state is kept"),
    TEXT("watch", 0, watch, "NAME", "the value that patience is about (default: loss); acc... and +NAME should grow"),
    TEXT("save", 0, save, "FILE", "writes a checkpoint (.safetensors) at the end, when stopped, and every 30 seconds"),
    WHOLE("every", 0, every, "K", 1, INT64_MAX, "also after each K steps"),
    TEXT("resume", 0, resume, "FILE", "goes on where this checkpoint stands"),
    TEXT("state", 0, state, "FILE", "starts from these weights, as a new training"),
    FLAG("partial", 0, partial, "takes from --state what is there"),
    OPTION_SEED,
    TEXT("shuffle", 0, shuffle, "[=yes|no]",
         "whether each epoch has an order of its own (default: yes); with no, each row of a batch\n"
         "of a text goes on where the same row of the batch before ended"),
    TEXT("label", 0, label, "COLUMN", "which column of a csv is the label (default: the last)"),
    FLAG("standardize", 0, standardize, "brings input columns to mean 0 and deviation 1"),
    TEXT("log", 0, log, "FILE", "writes a csv with a line for each epoch"),
    TEXT("plot", 0, plot, "FILE", "draws the curves (.svg), anew after each epoch"),
    TEXT("report", 0, report, "FILE", "at the end writes a page (.html): curves, mistakes, layers, memory, profile"),
    OPTIONS_OF_INTERPRETING,
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_train = {
    .name = "train",
    .usage = "nnc train MODEL DATA [name=value ...] [options]",
    .summary = "trains on real data",
    .about =
        "Trains a model on DATA:\n"
        "  a folder of IDX files (MNIST and its kin), of CIFAR-10's binary batches, or of folders of pictures by class,\n"
        "  a .csv, a .npz or .safetensors with named arrays (any may be .gz),\n"
        "  text:FILE, whose characters are learnt, each window's target being the window one further.\n"
        "Data meet the step's parameters by name, else by position; bytes of pictures are scaled to 0..1.\n"
        "name=value sets a scalar: lr=0.05, lr=cosine(0.1, warmup=500), lr=staircase(0.1, steps=1000, factor=0.5).\n"
        "Ctrl-C ends after the step at hand, with a checkpoint; a second one at once. A run that is resumed ends\n"
        "in the same bits as one never interrupted.",
    .options = options,
    .count = COUNT_OF(options),
    .after = "examples:\n"
             "  nnc train models/digits.nn models/data/digits.csv.gz --test-every 5 --epochs 30\n"
             "  nnc train models/lenet.nn models/data/mnist --epochs 3 lr=0.05 --save lenet.safetensors",
    .run = run_train,
};
