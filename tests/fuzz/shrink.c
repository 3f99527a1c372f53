/* A failing program made small.
 *
 * The program is a text. Each step reads it, cuts something (a result, a final; a node replaced by one of its operands, by
 * an input of its type, by a number), prints what is left without what nobody needs, and keeps that if it still fails.
 * Cutting goes on until no cut is left that fails. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const Place place = {.source = &(const Source){.name = "fuzz", .text = "", .users = true}};

Module *module_of_text(Arena *arena, const char *text) {
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "fuzz.graph", .text = text, .length = strlen(text), .users = true};
  Diagnostics *diagnostics = diagnostics_new(arena);
  Module *module = module_read(arena, diagnostics, source);
  if (!module) diagnostics_print(diagnostics, stderr);
  return module;
}

/* One way of cutting; `which` numbers what it is done to. */
typedef enum Way { CUT_ENTRY, CUT_RESULT, CUT_FINAL, CUT_TO_RESULT, CUT_TO_OPERAND, CUT_TO_NUMBER, CUT_TO_INPUT, WAYS } Way;

static Id replacement(Graph *to, const Graph *from, Id id, Way way, int which, const Id *renamed) {
  const Node *node = graph_node(from, id);
  Id operand = which < node->noperands ? node->operands[which] : 0;
  switch (way) {
  case CUT_TO_OPERAND: return operand && type_equal(graph_type(from, operand), &node->type) ? renamed[operand] : 0;
  case CUT_TO_NUMBER:
    if (node->op == OP_constant || node->type.dtype == NONE) return 0;
    return graph_constant(to, node->type, node->type.dtype == F32 ? 0.75 : 1);
  case CUT_TO_INPUT: {
    if (node->noperands == 0 || node->type.dtype == NONE) return 0;
    const char *kind = node->type.dtype == F32 ? "x" : node->type.dtype == I32 ? "i" : "b";
    return graph_parameter(to, arena_format(to->module->arena, "%s_%d", kind, to->parameters.count), node->type, &place);
  }
  default: return 0;
  }
}

static void copy_parameters(Graph *to, const Graph *from, const bool *live, Id *renamed) {
  for (Id id = 1; id < from->nodes.count; id++) {
    const Node *node = graph_node(from, id);
    if (node->op != OP_arg || !live[id]) continue;
    const Parameter *parameter = &from->parameters.items[node->index];
    renamed[id] = graph_parameter(to, parameter->name, parameter->type, &place);
  }
}

static void mark_live(const Graph *graph, bool *live) {
  for (int k = 0; k < graph->results.count; k++) live[graph->results.items[k].value] = true;
  for (int k = 0; k < graph->finals.count; k++) live[graph->finals.items[k].value] = true;
  for (Id id = graph->nodes.count - 1; id > 0; id--) {
    for (int k = 0; live[id] && k < graph_node(graph, id)->noperands; k++) live[graph_node(graph, id)->operands[k]] = true;
  }
}

/* The graph without what nobody needs, node `cut` replaced; NULL if it can't be. */
static Graph *copy_live(const Graph *from, Id cut, Way way, int which) {
  Module *module = from->module;
  Graph *to = graph_new(module, from->name, from->kind);
  bool *live = NEW_ARRAY(module->arena, bool, from->nodes.count);
  Id *renamed = NEW_ARRAY(module->arena, Id, from->nodes.count);
  to->here = to->place = &place;
  mark_live(from, live);
  if (cut && !live[cut]) return NULL;
  copy_parameters(to, from, live, renamed);
  for (Id id = 1; id < from->nodes.count; id++) {
    if (!live[id] || renamed[id]) continue;
    if (id == cut) {
      if (!(renamed[id] = replacement(to, from, id, way, which, renamed))) return NULL;
    } else {
      renamed[id] = graph_copy_node(to, from, id, renamed);
    }
  }
  for (int k = 0; k < from->results.count; k++) {
    Result result = from->results.items[k];
    PUSH(module->arena, &to->results, ((Result){result.name, renamed[result.value]}));
  }
  for (int k = 0; k < from->finals.count; k++) {
    Final final = from->finals.items[k];
    PUSH(module->arena, &to->finals, ((Final){final.symbol, renamed[final.value]}));
  }
  return to;
}

#define REMOVE(vec, at)                                                                                                    \
  do {                                                                                                                     \
    for (int i = (at); i + 1 < (vec).count; i++) (vec).items[i] = (vec).items[i + 1];                                      \
    (vec).count--;                                                                                                         \
  } while (0)

/* Does the cut to the module's entry; false if there is none such. */
static bool cut_module(Module *module, int entry, Way way, int at, int which) {
  Graph *graph = module->entries.items[entry], *cut = NULL;
  int outs = graph->results.count + graph->finals.count;
  if (way == CUT_ENTRY) {
    if (module->entries.count <= 1 || at > 0) return false;
    REMOVE(module->entries, entry);
    return module_verify(module, NULL);
  }
  if (way == CUT_RESULT || way == CUT_FINAL) {
    int count = way == CUT_RESULT ? graph->results.count : graph->finals.count;
    if (at >= count || outs <= 1 || which > 0) return false;
    if (way == CUT_RESULT) REMOVE(graph->results, at);
    if (way == CUT_FINAL) REMOVE(graph->finals, at);
    cut = copy_live(graph, 0, way, 0);
  } else if (way == CUT_TO_RESULT) { /* an operand is given back instead of what is made of it */
    if (at >= graph->results.count) return false;
    const Node *node = graph_node(graph, graph->results.items[at].value);
    if (which >= node->noperands || graph_type(graph, node->operands[which])->dtype == NONE) return false;
    graph->results.items[at].value = node->operands[which];
    cut = copy_live(graph, 0, way, 0);
  } else if (at + 1 < graph->nodes.count) {
    cut = copy_live(graph, graph->nodes.count - 1 - at, way, which);
  }
  if (!cut) return false;
  module->entries.items[entry] = cut;
  return module_verify(module, NULL);
}

static char *text_after(Arena *arena, const char *text, int entry, Way way, int at, int which) {
  Arena *own = arena_new();
  Module *module = module_of_text(own, text);
  char *result = NULL;
  if (module && entry < module->entries.count && cut_module(module, entry, way, at, which)) {
    Text printed = {0};
    module_print(module, &printed);
    result = arena_copy(arena, printed.bytes, printed.length + 1);
    text_free(&printed);
  }
  arena_free(own);
  return result;
}

/* Of the entry; 0 if there is no such entry. */
static int count_nodes(const char *text, int entry) {
  Arena *arena = arena_new();
  const Module *module = module_of_text(arena, text);
  int count = module && entry < module->entries.count ? module->entries.items[entry]->nodes.count : 0;
  arena_free(arena);
  return count;
}

/* One round of all cuts of one kind; true if some was kept. */
static bool shrink_by(Arena *arena, const char **smallest, int entry, Way way, Fails *fails, void *user) {
  bool progress = false;
  for (int at = 0; at < count_nodes(*smallest, entry); at++) {
    for (int which = 0; which < (way == CUT_TO_RESULT || way == CUT_TO_OPERAND ? 3 : 1); which++) {
      char *smaller = text_after(arena, *smallest, entry, way, at, which);
      if (!smaller || strcmp(smaller, *smallest) == 0 || !fails(smaller, user)) continue;
      *smallest = smaller;
      progress = true;
      if (way != CUT_TO_INPUT) at = at > 0 ? at - 1 : 0;
    }
  }
  return progress;
}

char *shrink(Arena *arena, const char *text, Fails *fails, void *user) {
  const char *smallest = text;
  for (bool progress = true; progress;) {
    progress = false;
    for (int entry = 0; count_nodes(smallest, entry) > 0; entry++) {
      for (int way = 0; way < WAYS; way++) progress |= shrink_by(arena, &smallest, entry, (Way)way, fails, user);
    }
  }
  return (char *)smallest;
}
