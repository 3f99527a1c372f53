/* nnc diff: compiled code against the interpreter, on the same arguments; where a value is beyond its bound (diff_bound.c),
 * the pass that took it there is named (diff_replay.c). */
#include "command/diff.h"

#include "command/checkpoint.h"
#include "command/commands.h"
#include "runtime/nn.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { USUAL_DIM = 8, MOST_NAMES = 6 };

/* ---- runs ---- */

/* All begin from the same state: drawn from the seed, or read. */
bool diff_set_state(Diff *diff, Machine *machine, Failure *failure) {
  const Settings *settings = diff->settings;
  if (!machine_init(machine, (uint64_t)settings->seed, failure)) return false;
  return !settings->state || checkpoint_load(diff->arena, machine, settings->state, settings->partial, NULL, failure);
}

bool diff_make_call(Diff *diff, Arena *arena, Machine *machine, int entry, Call *call, Failure *failure) {
  *call = call_new(arena, machine, entry);
  if (!call_random(arena, machine, call, diff->arguments, diff->narguments, USUAL_DIM, (uint64_t)diff->settings->seed,
                   failure))
    return false;
  call_results(arena, machine, call);
  return true;
}

bool diff_run_call(Diff *diff, Machine *machine, const Call *call, Failure *failure) {
  for (int64_t turn = 0; turn < MAX(diff->settings->repeat, 1); turn++)
    if (!call_run(machine, call, (uint64_t)diff->settings->seed, failure)) return false;
  return true;
}

/* ---- what is told ---- */

static const char *kind_of(const Diff *diff, int value) {
  return value < diff->machine[COMPILED]->entries[diff->calls[COMPILED].entry].nresults ? "result" : "state";
}

static void print_verdict(const Diff *diff, int value, const Verdict *verdict, const void *const data[SIDES]) {
  Dtype dtype = diff_dtype(diff, value);
  printf("  %-8s %-28s differs by %-12.4g bound %-12.4g largest value %-10.4g %s", kind_of(diff, value),
         diff_name(diff, value), verdict->worst, verdict->bound, verdict->largest,
         verdict->good   ? "ok"
         : verdict->lost ? "LOST"
                         : "BEYOND");
  if (!verdict->good)
    printf(" at element %lld: %.9g compiled, %.9g in f32, %.17g in f64", (long long)verdict->at,
           diff_element(diff, COMPILED, dtype, data[COMPILED], verdict->at),
           diff_element(diff, SINGLE, dtype, data[SINGLE], verdict->at),
           diff_element(diff, DOUBLE, dtype, data[DOUBLE], verdict->at));
  printf("\n");
}

static void add_verdict(const Diff *diff, cJSON *rows, int value, const Verdict *verdict) {
  cJSON *row = cJSON_CreateObject();
  cJSON_AddStringToObject(row, "kind", kind_of(diff, value));
  cJSON_AddStringToObject(row, "name", diff_name(diff, value));
  cJSON_AddNumberToObject(row, "differs", verdict->worst);
  cJSON_AddNumberToObject(row, "bound", verdict->bound);
  cJSON_AddNumberToObject(row, "largest", verdict->largest);
  cJSON_AddBoolToObject(row, "ok", verdict->good);
  cJSON_AddBoolToObject(row, "lost", verdict->lost);
  if (!verdict->good) cJSON_AddNumberToObject(row, "element", (double)verdict->at);
  cJSON_AddItemToArray(rows, row);
}

static const char *first_name(Pass first) { return first == PASS_COUNT ? "code generation" : pass_info[first].name; }

/* What shows the fault: the dumps on both sides of it. */
static void print_help(const Diff *diff, Pass first) {
  const char *model = diff->program->path, *flag = diff->settings->no_fuse ? " --no-fuse" : "";
  if (diff->settings->fast_conv) flag = arena_format(diff->arena, "%s --fast-conv", flag);
  if (diff->settings->set) flag = arena_format(diff->arena, " --set='%s'%s", diff->settings->set, flag);
  if (first == PASS_COUNT)
    printf("  help: 'nnc %s%s --stop-after=memory' prints the plan, which is right, '--emit ll' the code made of it\n",
           model, flag);
  else
    printf("  help: 'nnc %s%s --stop-after=%s' prints what it left, '--stop-after=%s' what it was given\n", model, flag,
           pass_info[first].name, pass_info[first - 1].name);
}

/* One note for each pass that is to blame. */
static void print_passes(const Diff *diff, const int *values, int count, const Pass *first, const char *why) {
  for (int pass = 0; pass <= PASS_COUNT; pass++) {
    int named = 0;
    for (int k = 0; k < count; k++) {
      if (first[k] != (Pass)pass) continue;
      if (named == 0)
        printf("  beyond the bound first after %s%s:", pass < PASS_COUNT ? "pass " : "", first_name((Pass)pass));
      if (named < MOST_NAMES) printf("%s %s", named > 0 ? "," : "", diff_name(diff, values[k]));
      named++;
    }
    if (named > MOST_NAMES) printf(", and %d more", named - MOST_NAMES);
    if (named > 0) {
      printf("\n");
      print_help(diff, (Pass)pass);
    }
  }
  if (*why) printf("  note: %s\n", why);
}

/* ---- entries ---- */

static bool find_passes(Diff *diff, const int *values, int count, cJSON *rows, Failure *failure) {
  Pass *first = NEW_ARRAY(diff->arena, Pass, count + 1);
  Text why = {0};
  fflush(stdout);
  bool good = diff_replay(diff, values, count, first, &why, failure);
  if (good && !rows) print_passes(diff, values, count, first, why.bytes ? why.bytes : "");
  for (int k = 0; good && rows && k < count; k++)
    cJSON_AddStringToObject(cJSON_GetArrayItem(rows, values[k]), "first_beyond_after", first_name(first[k]));
  text_free(&why);
  return good;
}

/* Each value beside its bound; those beyond it are gathered. */
static void compare_values(Diff *diff, cJSON *rows, int *beyond, int *count) {
  for (int value = 0; value < diff_values(diff); value++) {
    Arena *arena = arena_new();
    const void *data[SIDES];
    int64_t elements;
    diff_elements(diff, arena, value, data, &elements);
    Verdict verdict = diff_verdict(diff, value, elements, data);
    if (!verdict.good && !verdict.lost) beyond[(*count)++] = value;
    diff->lost += verdict.lost;
    if (rows)
      add_verdict(diff, rows, value, &verdict);
    else if (!diff->settings->quiet || !verdict.good)
      print_verdict(diff, value, &verdict, data);
    arena_free(arena);
  }
}

static bool diff_entry(Diff *diff, int entry, Failure *failure) {
  for (int side = 0; side < SIDES; side++) {
    Machine *machine = diff->machine[side];
    Call *call = &diff->calls[side];
    if (!diff_set_state(diff, machine, failure)) return false;
    if (!diff_make_call(diff, diff->arena, machine, entry, call, failure)) return false;
    if (!diff_run_call(diff, machine, call, failure)) return false;
  }
  if (!diff_shake(diff, failure)) return false;
  const char *name = diff->machine[COMPILED]->entries[entry].name;
  cJSON *rows = NULL;
  if (diff->list) {
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "entry", name);
    rows = cJSON_AddArrayToObject(row, "values");
    cJSON_AddItemToArray(diff->list, row);
  } else if (!diff->settings->quiet) {
    printf("%s:\n", name);
  }
  int *beyond = NEW_ARRAY(diff->arena, int, diff_values(diff) + 1), count = 0;
  compare_values(diff, rows, beyond, &count);
  diff->beyond += count;
  return count == 0 || find_passes(diff, beyond, count, rows, failure);
}

/* ---- the command ---- */

static void tamper_only(void *user, Module *module, Pass pass, Plan *const *plans) {
  ((Diff *)user)->tamper(NULL, module, pass, plans);
}

/* --compiled: made from this very source, perhaps on another machine. */
static Machine *load_compiled(const Diff *diff, Failure *failure) {
  const char *path = diff->settings->compiled;
  Machine *machine = machine_load(diff->arena, path, (int)diff->settings->threads, failure);
  if (!machine || machine->model->source_hash == diff->program->hash) return machine;
  fail(failure, EXIT_INPUT, "%.300s was not compiled from %.300s as it is now: compile it again", path,
       diff->program->path);
  machine_close(machine);
  return NULL;
}

static bool open_machines(Diff *diff, const char *path, Failure *failure) {
  const Settings *settings = diff->settings;
  if (text_ends(path, ".so")) return fail(failure, EXIT_INPUT, "%.300s: diff needs the source, to interpret it", path);
  Program *program = diff->program = NEW(diff->arena, Program);
  PipelineOptions pipeline = program_pipeline(settings);
  pipeline.interpret_after = PASS_grad; /* so that no pass stands on both sides */
  pipeline.hook = diff->tamper ? tamper_only : NULL;
  pipeline.hook_user = diff;
  if (!program_read(diff->arena, path, settings->set, &pipeline, program, failure)) return false;
  if (!program->interpreted)
    return fail(failure, EXIT_INPUT, "%.300s: a plan cannot be interpreted; give the .nn file", path);
  diff->machine[SINGLE] = machine_interpret(diff->arena, program, false, (int)settings->threads);
  diff->machine[SINGLE]->precision = settings_precision(settings);
  diff->machine[DOUBLE] = machine_interpret(diff->arena, program, true, (int)settings->threads);
  diff->shaken = machine_interpret(diff->arena, program, true, (int)settings->threads);
  Settings anew = *settings;
  anew.no_cache = true; /* what is compared is this compiler's work */
  diff->machine[COMPILED] =
      settings->compiled ? load_compiled(diff, failure) : machine_compile(diff->arena, program, &anew, failure);
  return diff->machine[COMPILED] != NULL;
}

static bool diff_all(Diff *diff, Failure *failure) {
  const Settings *settings = diff->settings;
  Vec(int) entries = {0};
  diff->arguments = NEW_ARRAY(diff->arena, Argument, settings->words.count + 1);
  for (int w = 1; w < settings->words.count; w++) {
    const char *name, *value, *word = settings->words.items[w];
    int entry;
    if (argument_split(diff->arena, word, &name, &value)) {
      if (!argument_read(diff->arena, word, &diff->arguments[diff->narguments++], failure)) return false;
    } else {
      if (!machine_entry(diff->machine[COMPILED], word, &entry, failure)) return false;
      PUSH(diff->arena, &entries, entry);
    }
  }
  bool all = entries.count == 0;
  for (int k = 0; all && k < diff->machine[COMPILED]->nentries; k++) PUSH(diff->arena, &entries, k);
  if (!settings->quiet && !diff->list) diff_explain(settings->fast_conv, stdout);
  for (int k = 0; k < entries.count; k++)
    if (!diff_entry(diff, entries.items[k], failure)) return false;
  if (diff->beyond > 0)
    return fail(failure, EXIT_DIFFERS, "%d tensor%s beyond the bound", diff->beyond, diff->beyond == 1 ? " is" : "s are");
  if (diff->lost > 0)
    return fail(failure, EXIT_DIFFERS,
                "%d tensor%s lost: rounding alone moves them by as much as they are large, so nothing can be compared; "
                "choose other sizes or arguments",
                diff->lost, diff->lost == 1 ? " is" : "s are");
  return true;
}

bool diff_model(Diff *diff, Failure *failure) {
  return open_machines(diff, diff->settings->words.items[0], failure) && diff_all(diff, failure);
}

void diff_close(Diff *diff) {
  for (int side = 0; side < SIDES; side++) machine_close(diff->machine[side]);
  machine_close(diff->shaken);
}

static void print_json(const Diff *diff) {
  cJSON *root = cJSON_CreateObject();
  cJSON_AddStringToObject(root, "model", diff->program->module->name);
  cJSON_AddNumberToObject(root, "beyond", diff->beyond);
  cJSON_AddNumberToObject(root, "lost", diff->lost);
  cJSON_AddItemReferenceToObject(root, "entries", diff->list);
  char *text = cJSON_Print(root);
  printf("%s\n", text);
  cJSON_free(text);
  cJSON_Delete(root);
}

static int run_diff(Arena *arena, Settings *settings, Failure *failure) {
  if (settings->words.count < 1) {
    fail(failure, EXIT_INPUT, "diff wants a model: nnc diff MODEL [ENTRY ...]");
    return failure->code;
  }
  Diff diff = {.arena = arena, .settings = settings};
  if (settings->json) diff.list = cJSON_CreateArray();
  diff_model(&diff, failure);
  if (diff.list && (failure->code == 0 || failure->code == EXIT_DIFFERS)) print_json(&diff);
  cJSON_Delete(diff.list);
  diff_close(&diff);
  return failure->code;
}

static const Option options[] = {
    TEXT("state", 0, state, "FILE", "begins from these params and states (default: drawn from --seed)"),
    TEXT("compiled", 0, compiled, "MODEL.so", "compares this one, made elsewhere from the same source; compiles nothing"),
    FLAG("partial", 0, partial, "takes from --state what is there"),
    WHOLE("repeat", 0, repeat, "K", 1, 1000000, "calls each so often before comparing (default 1)"),
    FLAG("json", 0, json, "prints all of it as JSON"),
    OPTION_SEED,
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_diff = {
    .name = "diff",
    .usage = "nnc diff MODEL [ENTRY ...] [name=value ...] [options]",
    .summary = "interpreted against compiled: where they part",
    .about =
        "Runs entries both ways on the same random (or given) arguments, and prints the largest difference of each\n"
        "result, and after a step of each state, beside its bound. Ends with 1 if one is beyond; then the passes run\n"
        "once more, what each leaves is run too, and the first after which a value is beyond its bound is named, with\n"
        "the dumps that show it. Plans run slowly so: choose small dims (N=2) for large models. It ends with 1 as well\n"
        "where a value is lost, since rounding alone moves it by as much as it is large: there choose larger ones.",
    .options = options,
    .count = COUNT_OF(options),
    .run = run_diff,
};
