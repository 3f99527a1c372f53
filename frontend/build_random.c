/* Random numbers. In a step the keys are the seed and the count of calls, both states; in a fn the seed is the last
 * parameter. The turns of enclosing scans follow as keys, and the stream tells the place in the program, by what a reader
 * would call it, so that a change elsewhere in the file leaves the numbers as they are. */
#include "frontend/build.h"

#include <string.h>

/* A state of the module that no layer owns. */
static Weight *model_state(Builder *b, const char *name, Type type) {
  Initialiser zero = {.kind = INIT_NUMBER};
  return make_weight(b, &b->root, intern(name), &type, false, zero, b->entry->graph->place);
}

/* "seed", with underscores behind it where the fn has parameters of that name. */
static const char *seed_name(Builder *b, const Graph *graph) {
  const char *name = "seed";
  for (int k = 0; k < graph->parameters.count; k++) {
    if (strcmp(graph->parameters.items[k].name, name) != 0) continue;
    name = arena_format(b->arena, "%s_", name);
    k = -1;
  }
  return intern(name);
}

static void open_keys(Builder *b) {
  Entry *entry = b->entry;
  Level *inner = b->level;
  const Place *here = entry->graph->here;
  b->level = entry->level;
  const Dim *two = dim_constant(b->module, 2);
  Id seed;
  if (entry->training) {
    seed = read_weight(b, entry->level, model_state(b, "nn.seed", type_of(I32, 1, &two)));
    entry->calls = read_weight(b, entry->level, model_state(b, "nn.calls", type_scalar(I32)));
  } else {
    entry->graph->draws = true;
    seed = graph_parameter(entry->graph, seed_name(b, entry->graph), type_of(I32, 1, &two), entry->graph->place);
  }
  for (int k = 0; k < 2; k++) entry->seed[k] = drop_axis(b, seed, 0, dim_constant(b->module, k));
  entry->graph->here = here;
  b->level = inner;
}

static uint32_t stream_here(Builder *b) {
  Entry *entry = b->entry;
  const Part *part = b->frame->naming ? b->frame->naming->part : NULL;
  const char *path = part && part->path ? part->path : "";
  int count = 0;
  for (int k = 0; k < entry->draws.count; k++) {
    if (entry->draws.items[k].path == path || strcmp(entry->draws.items[k].path, path) == 0) {
      count = ++entry->draws.items[k].count;
    }
  }
  if (count == 0) PUSH(b->arena, &entry->draws, ((DrawCount){path, count = 1}));
  const char *text = arena_format(b->arena, "%s/%s#%d", entry->routine->name, path, count);
  uint64_t hash = hash_bytes(text, strlen(text));
  return (uint32_t)(hash ^ hash >> 32);
}

Id draw_uniform(Builder *b, const Type *type) {
  Entry *entry = b->entry;
  Id keys[3 + MAX_DEPTH];
  int count = 0, turns = 0;
  if (!entry->seed[0]) open_keys(b);
  for (int k = 0; k < 2; k++) {
    Value key = {.kind = VALUE_TENSOR, .tensor = {entry->seed[k], entry->level}};
    keys[count++] = import_tensor(b, b->level, &key);
  }
  if (entry->training) {
    Value key = {.kind = VALUE_TENSOR, .tensor = {entry->calls, entry->level}};
    keys[count++] = import_tensor(b, b->level, &key);
  }
  for (Level *level = b->level; level->outer; level = level->outer) turns++;
  for (int k = turns; k > 0 && count < COUNT_OF(keys); k--) { /* the outermost scan's turn first */
    Level *level = b->level;
    for (int j = 1; j < k; j++) level = level->outer;
    Value key = {.kind = VALUE_TENSOR, .tensor = {level->turn, level}};
    keys[count++] = import_tensor(b, b->level, &key);
  }
  return graph_random(b->level->graph, *type, keys, count, stream_here(b));
}

/* A step that drew counts its call. */
void finish_draws(Builder *b) {
  Entry *entry = b->entry;
  if (!entry->training || !entry->calls) return;
  Graph *graph = entry->graph;
  int symbol = graph_node(graph, entry->calls)->index;
  set_current(b, entry->level, symbol, graph_binary(graph, OP_add, entry->calls, graph_number(graph, I32, 1)));
  entry->level->changed.items[symbol] = true;
}
