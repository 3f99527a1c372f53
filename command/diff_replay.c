/* Which pass did it: the pipeline runs once more, and what each pass leaves is run on the same arguments and held to the
 * same bounds as compiled code was.
 *
 * Graphs are interpreted, plans go through the reference executor, which is slow: so a first replay looks at the graphs and
 * the finished plan, and only where that plan is off a second one looks at the plans on the way. What comes first is the
 * graph after `grad`, which the interpreters ran too: the definition. Behind the last pass stands code generation. */
#include "command/diff.h"

#include "ir/plan.h"

#include <string.h>

typedef struct Replay {
  Diff *diff;
  Machine *start; /* holds the state that calls begin with */
  bool between;   /* the second replay */
  const int *values;
  int count, left;
  Pass *first;
  Text *why;
} Replay;

static bool is_watched(const Replay *replay, Pass pass) {
  if (replay->between) return pass >= PASS_lower && pass < PASS_memory;
  return !pass_info[pass].on_plans || pass == PASS_memory;
}

/* ---- one run ---- */

static Array *parameter_arrays(const Replay *replay, Arena *arena, const Graph *graph) {
  const Call *call = &replay->diff->calls[SINGLE];
  const MachineEntry *entry = &replay->start->entries[call->entry];
  Array *arrays = NEW_ARRAY(arena, Array, graph->parameters.count + 1);
  for (int p = 0; p < graph->parameters.count; p++) {
    arrays[p] = array_for(arena, &graph->parameters.items[p].type, false, call->dims);
    uint64_t seed = (uint64_t)replay->diff->settings->seed;
    if (p < entry->nparameters)
      arrays[p].data = call->parameters[p];
    else
      memcpy(arrays[p].data, (uint32_t[]){(uint32_t)seed, (uint32_t)(seed >> 32)}, 8);
  }
  return arrays;
}

/* Graphs have states in the orders that pass layout chose, plans take and give them in the canonical one. */
static Array *state_arrays(const Replay *replay, Arena *arena, Module *module, bool canonical) {
  Array *states = NEW_ARRAY(arena, Array, module->symbols.count + 1);
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    Type stored = symbol_stored(module, symbol);
    Array read = array_for(arena, &symbol->type, false, NULL);
    machine_get(replay->start, k, read.data);
    states[k] = canonical ? read : array_for(arena, &stored, false, NULL);
    if (!canonical) symbol_store(symbol, array_element_bytes(&read), read.data, states[k].data);
  }
  return states;
}

static bool run_stage(const Replay *replay, const Plan *plan, Run *run, Failure *failure) {
  for (int64_t turn = 0; turn < MAX(replay->diff->settings->repeat, 1); turn++)
    if (!(plan ? plan_run(plan, run, failure) : interpret(run, failure))) return false;
  return true;
}

/* ---- after a pass ---- */

/* This value as the pass left it. */
static const void *found_elements(const Replay *replay, Arena *arena, const Module *module, const Run *run, int value,
                                  bool canonical) {
  int nresults = replay->start->entries[replay->diff->calls[SINGLE].entry].nresults;
  if (value < nresults) return run->results[value].data;
  const Symbol *symbol = &module->symbols.items[value - nresults];
  const Array *state = &run->states[value - nresults];
  if (canonical) return state->data;
  Array read = array_for(arena, &symbol->type, false, NULL);
  symbol_load(symbol, array_element_bytes(state), state->data, read.data);
  return read.data;
}

static void judge(Replay *replay, Arena *arena, const Module *module, const Run *run, Pass pass, bool canonical) {
  for (int k = 0; k < replay->count; k++) {
    if (replay->first[k] < pass) continue;
    const void *data[SIDES];
    int64_t count;
    diff_elements(replay->diff, arena, replay->values[k], data, &count);
    data[COMPILED] = found_elements(replay, arena, module, run, replay->values[k], canonical);
    if (!diff_verdict(replay->diff, replay->values[k], count, data).good) replay->first[k] = pass;
  }
}

static void after_pass(void *user, Module *module, Pass pass, Plan *const *plans) {
  Replay *replay = user;
  Diff *diff = replay->diff;
  if (diff->tamper) diff->tamper(NULL, module, pass, plans);
  bool open = false;
  for (int k = 0; k < replay->count; k++) open = open || replay->first[k] > pass;
  if (!open || !is_watched(replay, pass)) return;
  Arena *arena = arena_new();
  const Call *call = &diff->calls[SINGLE];
  const Plan *plan = pass_info[pass].on_plans ? plans[call->entry] : NULL;
  const Graph *graph = module->entries.items[call->entry];
  Run run = {.graph = graph,
             .dims = call->dims,
             .parameters = parameter_arrays(replay, arena, graph),
             .states = state_arrays(replay, arena, module, plan != NULL),
             .results = NEW_ARRAY(arena, Array, graph->results.count + 1),
             .arena = arena};
  Failure failure = {0};
  if (run_stage(replay, plan, &run, &failure)) {
    judge(replay, arena, module, &run, pass, plan != NULL);
  } else {
    text_add(replay->why, "%s%s", replay->why->length > 0 ? "; " : "", failure.message);
    for (int k = 0; k < replay->count; k++) replay->first[k] = MIN(replay->first[k], pass);
  }
  arena_free(arena);
}

/* ---- the whole ---- */

/* From the definition on: the module as it was before the passes after `grad`. */
static bool replay_passes(Replay *replay) {
  Diff *diff = replay->diff;
  Module *module = diff->program->module;
  PipelineOptions options = program_pipeline(diff->settings);
  Plan **plans = NULL;
  options.hook = after_pass;
  options.hook_user = replay;
  options.time = false;
  for (int k = 0; k < module->entries.count; k++) module->entries.items[k] = diff->program->interpreted[k];
  for (int k = 0; k < module->symbols.count; k++) module->symbols.items[k] = diff->program->symbols[k];
  return pipeline_resume(module, &options, (Pass)(PASS_grad + 1), &plans, NULL);
}

bool diff_replay(Diff *diff, const int *values, int count, Pass *first, Text *why, Failure *failure) {
  Replay replay = {.diff = diff, .values = values, .count = count, .first = first, .why = why};
  replay.start = machine_interpret(diff->arena, diff->program, false, (int)diff->settings->threads);
  bool between = false, good = diff_set_state(diff, replay.start, failure);
  for (int k = 0; k < count; k++) first[k] = PASS_COUNT;
  good = good && replay_passes(&replay);
  for (int k = 0; k < count; k++) between = between || first[k] == PASS_memory;
  replay.between = true;
  if (good && between) good = replay_passes(&replay);
  machine_close(replay.start);
  return good;
}
