/* nnc bench: each entry, interpreted and compiled in turns, so that a machine that slows down slows both.
 *
 * A step changes its state, and random data may lead it astray; so the state is drawn anew before each turn, outside of
 * what is timed. Multiply-adds are counted over the contractions of the graph: the work that the model asks for, not what
 * either does. */
#include "command/bench.h"

#include "command/arguments.h"
#include "command/commands.h"
#include "command/flops.h"
#include "command/peak.h"
#include "command/progress.h"

#include "runtime/nn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { USUAL_DIM = 64, USUAL_TURNS = 8 };

typedef struct Bench {
  Arena *arena;
  const Settings *settings;
  Machine *interpreted, *compiled; /* either may be NULL */
  Argument *arguments;
  int narguments;
  double mark; /* the least ratio that is wanted */
  BenchReport report;
} Bench;

/* ---- time ---- */

static int by_size(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return one < other ? -1 : one > other;
}

static void summarise(Timing *timing) {
  qsort(timing->seconds, (size_t)timing->count, sizeof(double), by_size);
  timing->fastest = timing->count ? timing->seconds[0] : 0;
  timing->median = timing->count ? timing->seconds[timing->count / 2] : 0;
}

/* Calls for about `seconds`, each timed, after one for nothing: memory and clocks are this side's own then. */
static bool time_burst(Machine *machine, const Call *call, Timing *timing, double seconds, uint64_t seed,
                       Failure *failure) {
  if (machine->entries[call->entry].step && !machine_init(machine, seed, failure)) return false;
  if (!call_run(machine, call, seed, failure)) return false;
  double start = seconds_now();
  for (int calls = 0; calls < 64 && timing->count < MOST_TURNS; calls++) {
    double before = seconds_now();
    if (calls > 0 && before - start > seconds) break;
    if (!call_run(machine, call, seed, failure)) return false;
    timing->seconds[timing->count++] = seconds_now() - before;
  }
  return true;
}

/* In turns of bursts. Between them nobody runs for as long as OpenBLAS's threads keep spinning after their last product:
 * they would take processors from the compiled code that comes next. */
static bool time_both(Bench *bench, const Call *calls, Measured *measured, Failure *failure) {
  Machine *machines[2] = {bench->interpreted, bench->compiled};
  uint64_t seed = (uint64_t)bench->settings->seed;
  int64_t turns = bench->settings->repeat ? bench->settings->repeat : USUAL_TURNS;
  for (int64_t turn = 0; turn < turns; turn++) {
    for (int k = 0; k < 2; k++) {
      if (!machines[k]) continue;
      if (bench->interpreted) nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL);
      if (!time_burst(machines[k], &calls[k], &measured->timing[k], 0.06, seed, failure)) return false;
    }
  }
  for (int k = 0; k < 2; k++) summarise(&measured->timing[k]);
  return true;
}

/* ---- kernels ---- */

typedef struct Trace {
  double *seconds, began;
  int *calls;
} Trace;

static void on_launch(void *user, int launch, int done) {
  Trace *trace = user;
  if (done) {
    trace->seconds[launch] += seconds_now() - trace->began;
    trace->calls[launch]++;
  } else {
    trace->began = seconds_now();
  }
}

/* An expression of the description over the model's dims. */
static double value_of(Module *module, const char *expression, const int64_t *dims) {
  const Dim *dim = dim_read(module, &expression);
  return dim ? (double)dim_value(dim, dims) : 0;
}

static void print_launch(const Bench *bench, const nn_entry *entry, const nn_launch *launch, Module *module,
                         const Call *call, double seconds, int calls, double all) {
  double flops = 0, bytes = 0;
  for (int k = 0; k < launch->kernels; k++) {
    flops += value_of(module, entry->kernels[launch->first_kernel + k].flops, call->dims);
    bytes += value_of(module, entry->kernels[launch->first_kernel + k].bytes, call->dims);
  }
  double each = MAX(seconds / MAX(calls, 1), 1e-12);
  printf("    %9.4f ms  %5.1f%%  %3.0f%% of peak  %6.1f GB/s ", 1e3 * seconds, 100 * seconds / MAX(all, 1e-12),
         bench->report.peak > 0 ? 100 * flops / each / bench->report.peak : 0, 1e-9 * bytes / each);
  for (int k = 0; k < launch->kernels; k++) {
    const nn_kernel *kernel = &entry->kernels[launch->first_kernel + k];
    printf("%s %s (%s)", k ? "," : "", kernel->name, kernel->lines);
  }
  printf("\n");
}

static bool time_kernels(Bench *bench, const Call *call, Failure *failure) {
  enum { TURNS = 10 };
  Machine *machine = bench->compiled;
  const nn_entry *entry = &machine->model->entries[call->entry];
  Trace trace = {.seconds = NEW_ARRAY(bench->arena, double, entry->nlaunches + 1),
                 .calls = NEW_ARRAY(bench->arena, int, entry->nlaunches + 1)};
  machine->trace = on_launch;
  machine->trace_user = &trace;
  bool good = true;
  for (int turn = 0; good && turn < TURNS; turn++) good = call_run(machine, call, (uint64_t)bench->settings->seed, failure);
  machine->trace = NULL;
  Module *module = module_new(bench->arena, NULL, machine->name);
  for (int k = 0; k < machine->ndims; k++)
    module_add_dim(module, machine->dims[k].name, machine->dims[k].low, machine->dims[k].high, machine->dims[k].step, NULL);
  double all = 0;
  for (int l = 0; l < entry->nlaunches; l++) all += trace.seconds[l] / TURNS;
  for (int l = 0; good && l < entry->nlaunches; l++)
    print_launch(bench, entry, &entry->launches[l], module, call, trace.seconds[l] / TURNS, trace.calls[l] / TURNS, all);
  return good;
}

/* ---- an entry ---- */

static bool bench_entry(Bench *bench, int entry, Failure *failure) {
  Machine *machines[2] = {bench->interpreted, bench->compiled};
  Call calls[2];
  for (int k = 0; k < 2; k++) {
    if (!machines[k]) continue;
    calls[k] = call_new(bench->arena, machines[k], entry);
    if (!call_random(bench->arena, machines[k], &calls[k], bench->arguments, bench->narguments, USUAL_DIM,
                     (uint64_t)bench->settings->seed, failure))
      return false;
    call_results(bench->arena, machines[k], &calls[k]);
  }
  Measured *measured = NEW(bench->arena, Measured);
  if (!time_both(bench, calls, measured, failure)) return false;
  const Call *call = &calls[bench->compiled ? COMPILED : INTERPRETED];
  measured->entry = bench->report.machine->entries[entry].name;
  measured->dims = call->dims;
  if (bench->interpreted) measured->flops = flops_asked(bench->interpreted->program, bench->settings, entry, call->dims);
  if (bench->compiled) measured->arena = bench->compiled->functions->scratch(bench->compiled, entry, call->dims);
  PUSH(bench->arena, &bench->report.rows, measured);
  if (bench->settings->json) return true;
  report_row(&bench->report, measured);
  return !bench->settings->kernels || !bench->compiled || time_kernels(bench, call, failure);
}

/* ---- the command ---- */

static bool open_machines(Bench *bench, const char *path, Failure *failure) {
  Settings settings = *bench->settings;
  if (text_ends(path, ".so")) {
    bench->compiled = machine_open(bench->arena, path, &settings, failure);
    return bench->compiled != NULL;
  }
  Program *program = NEW(bench->arena, Program);
  PipelineOptions pipeline = program_pipeline(&settings);
  pipeline.stop_after = pipeline.interpret_after;
  if (!program_read(bench->arena, path, settings.set, &pipeline, program, failure)) return false;
  if (program->interpreted)
    bench->interpreted = machine_interpret(bench->arena, program, settings.f64, (int)settings.threads);
  if (!settings.interpret) {
    bench->compiled = machine_compile(bench->arena, program, &settings, failure);
    if (!bench->compiled) return false;
  }
  uint64_t seed = (uint64_t)settings.seed;
  return (!bench->interpreted || machine_init(bench->interpreted, seed, failure)) &&
         (!bench->compiled || machine_init(bench->compiled, seed, failure));
}

static bool bench_all(Bench *bench, Failure *failure) {
  const Settings *settings = bench->settings;
  Machine *machine = bench->report.machine;
  Vec(int) entries = {0};
  bench->arguments = NEW_ARRAY(bench->arena, Argument, settings->words.count + 1);
  for (int w = 1; w < settings->words.count; w++) {
    const char *name, *value, *word = settings->words.items[w];
    int entry;
    if (argument_split(bench->arena, word, &name, &value)) {
      if (!argument_read(bench->arena, word, &bench->arguments[bench->narguments++], failure)) return false;
    } else {
      if (!machine_entry(machine, word, &entry, failure)) return false;
      PUSH(bench->arena, &entries, entry);
    }
  }
  bool all = entries.count == 0;
  for (int k = 0; all && k < machine->nentries; k++) PUSH(bench->arena, &entries, k);
  bench->report.peak = measure_peak((int)settings->threads);
  if (!settings->json && !settings->quiet) report_head(&bench->report);
  for (int k = 0; k < entries.count; k++) {
    fflush(stdout);
    if (!bench_entry(bench, entries.items[k], failure)) return false;
  }
  return true;
}

static bool check_settings(Bench *bench, Failure *failure) {
  const char *text = bench->settings->mark, *picture = bench->settings->svg;
  if (picture && !text_ends(picture, ".svg"))
    return fail(failure, EXIT_INPUT, "--svg %.300s: a picture's name ends in .svg", picture);
  if (!text || (number_from_text(text, &bench->mark) && bench->mark > 0)) return true;
  return fail(failure, EXIT_INPUT, "--mark: '%.100s' is not a number above 0", text);
}

/* What was measured, other than the table, which was printed row by row. */
static bool tell(const Bench *bench, Failure *failure) {
  const char *picture = bench->settings->svg;
  if (bench->settings->json) report_json(&bench->report);
  if (!picture) return true;
  Text text = {0};
  report_picture(&bench->report, &text);
  bool good = write_file(picture, text.bytes, text.length, failure);
  text_free(&text);
  return good;
}

static int slower_than_mark(const Bench *bench) {
  int slower = 0;
  for (int k = 0; k < bench->report.rows.count; k++) {
    const Measured *measured = bench->report.rows.items[k];
    double ratio = measured_ratio(measured);
    if (ratio == 0 || ratio >= bench->mark) continue;
    fprintf(stderr, "nnc: %s is %.2f times as fast as interpreted, %.4g are wanted\n", measured->entry, ratio, bench->mark);
    slower++;
  }
  return slower;
}

static int run_bench(Arena *arena, Settings *settings, Failure *failure) {
  Bench bench = {.arena = arena, .settings = settings};
  if (settings->words.count < 1) fail(failure, EXIT_INPUT, "bench wants a model: nnc bench MODEL [ENTRY ...]");
  bool good = settings->words.count > 0 && check_settings(&bench, failure) &&
              open_machines(&bench, settings->words.items[0], failure);
  bench.report.machine = bench.compiled ? bench.compiled : bench.interpreted;
  good = good && bench_all(&bench, failure) && tell(&bench, failure);
  int slower = good ? slower_than_mark(&bench) : 0;
  machine_close(bench.interpreted);
  machine_close(bench.compiled);
  return good && slower ? EXIT_DIFFERS : failure->code;
}

static const Option options[] = {
    FLAG("kernels", 0, kernels, "prints each launch's time, share of the peak, bytes a second, and .nn lines"),
    FLAG("json", 0, json, "prints all of it as JSON"),
    TEXT("svg", 0, svg, "FILE", "draws interpreted beside compiled, a pair of bars for each entry"),
    TEXT("mark", 0, mark, "RATIO", "ends with 1 if an entry, compiled, is not so many times as fast as interpreted"),
    WHOLE("repeat", 0, repeat, "K", 1, 1000, "so many turns of each (default 8), of up to 64 calls and a 16th of a second"),
    OPTION_SEED,
    FLAG("interpret", 0, interpret, "times the interpreter alone"),
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_bench = {
    .name = "bench",
    .usage = "nnc bench MODEL [ENTRY ...] [name=value ...] [options]",
    .summary = "interpreted beside compiled",
    .about = "Times entries on random arguments: interpreted and compiled (median, fastest), their ratio, the rate of\n"
             "multiply-adds that the model asks for and its share of what the machine can do, memory. N=32 gives a dim\n"
             "(default 64, or as near as its bounds allow), name=value an argument.",
    .options = options,
    .count = COUNT_OF(options),
    .run = run_bench,
};
