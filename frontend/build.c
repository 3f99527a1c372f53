/* The builder's frame: files and their imports, the globals of the model, and one graph for each fn and step.
 *
 * Dims are made in the order of their declaration, then the params and states of the top level; layers get their weights
 * when an entry first applies them. Every entry is evaluated on its own, with all params and states as the call finds them;
 * what a step leaves in them goes out as finals. */
#include "frontend/build.h"

#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

static bool belongs_in_import(StatementKind kind, const Statement *statement) {
  if (kind == STATEMENT_ROUTINE) return statement->routine->kind == ROUTINE_DEF;
  return kind == STATEMENT_ASSIGN || kind == STATEMENT_IMPORT || kind == STATEMENT_ASSERT || kind == STATEMENT_MODEL;
}

static void add_global(Builder *b, FileScope *file, const char *name, const Statement *statement) {
  Global *old = find_global(file, name);
  if (old) {
    fault_in(b, statement->source, statement->offset, "'%s' is declared twice", name);
    note_at(b->diagnostics, place_of(b, old->statement->source, old->statement->offset), "declared first here");
    return;
  }
  Global *global = NEW(b->arena, Global);
  *global = (Global){.name = name, .statement = statement};
  PUSH(b->arena, &file->globals, global);
}

static void index_statement(Builder *b, FileScope *file, const Statement *statement, bool imported) {
  if (imported && !belongs_in_import(statement->kind, statement)) {
    fault_in(b, statement->source, statement->offset, "an imported file holds defs and constants only");
    return;
  }
  switch (statement->kind) {
  case STATEMENT_DIM: add_global(b, file, statement->dim.name, statement); break;
  case STATEMENT_ROUTINE: add_global(b, file, statement->routine->name, statement); break;
  case STATEMENT_LAYER: add_global(b, file, statement->layer.name, statement); break;
  case STATEMENT_PARAM:
  case STATEMENT_STATE: add_global(b, file, statement->weight.name, statement); break;
  case STATEMENT_ASSIGN:
    for (int k = 0; k < statement->assign.targets.count; k++) {
      add_global(b, file, statement->assign.targets.items[k]->name, statement);
    }
    break;
  default: break;
  }
}

/* "blocks.nn" beside the importing file. */
static const char *path_beside(Builder *b, const char *importer, const char *path) {
  const char *slash = importer ? strrchr(importer, '/') : NULL;
  if (path[0] == '/' || !slash) return path;
  return arena_format(b->arena, "%.*s/%s", (int)(slash - importer), importer, path);
}

static void import_file(Builder *b, FileScope *file, const Statement *statement) {
  const char *path = path_beside(b, file->path, statement->import.path);
  const Place *place = place_of(b, statement->source, statement->offset);
  for (int k = 0; k < b->files.count; k++) {
    FileScope *known = b->files.items[k];
    if (strcmp(known->path, path) != 0) continue;
    if (known->busy) {
      error_at(b->diagnostics, place, "imports go round: '%s' is on its way already", statement->import.path);
      return;
    }
    PUSH(b->arena, &file->imports, known);
    return;
  }
  Failure failure = {0};
  Source *source = NEW(b->arena, Source);
  char *text;
  size_t length;
  if (!read_file(b->arena, path, &text, &length, &failure)) {
    error_at(b->diagnostics, place, "%s", failure.message);
    return;
  }
  *source = (Source){.name = path, .text = text, .length = length, .users = true};
  FileScope *imported = load_file(b, source, path, place);
  if (imported) PUSH(b->arena, &file->imports, imported);
}

/* The nearer declaration counts: the file's own, then that of the first import. */
static void warn_of_hidden(Builder *b, FileScope *file) {
  for (int k = 0; k < file->imports.count; k++) {
    FileScope *imported = file->imports.items[k];
    for (int j = 0; j < imported->globals.count; j++) {
      const Global *own = find_global(file, imported->globals.items[j]->name);
      if (!own) continue;
      warning_at(b->diagnostics, place_of(b, own->statement->source, own->statement->offset), "'%s' hides that of %s",
                 own->name, imported->path);
    }
  }
}

FileScope *load_file(Builder *b, const Source *source, const char *path, const Place *importer) {
  FileScope *file = NEW(b->arena, FileScope);
  file->source = source;
  file->path = path ? path : "";
  file->busy = true;
  PUSH(b->arena, &b->files, file);
  PUSH(b->arena, &b->module->sources, source);
  int errors = diagnostics_errors(b->diagnostics);
  file->file = parse_source(b->arena, b->diagnostics, source);
  bool good = diagnostics_errors(b->diagnostics) == errors;
  bool imported = importer != NULL;
  if (imported && file->file->model) {
    error_at(b->diagnostics, importer, "'%s' is a model of its own; an imported file has no model line", path);
  }
  for (int k = 0; k < file->file->statements.count; k++) {
    index_statement(b, file, file->file->statements.items[k], imported);
  }
  errors = diagnostics_errors(b->diagnostics);
  for (int k = 0; k < file->file->statements.count; k++) {
    const Statement *statement = file->file->statements.items[k];
    if (statement->kind == STATEMENT_IMPORT) import_file(b, file, statement);
  }
  file->busy = false;
  warn_of_hidden(b, file);
  return good && diagnostics_errors(b->diagnostics) == errors ? file : NULL;
}

/* ---- constants that were given beside the file ---- */

static void no_such_constant(Builder *b, const Source *source, const Expression *target) {
  Vec(const char *) names = {0};
  for (int k = 0; k < b->main->globals.count; k++) {
    const Global *global = b->main->globals.items[k];
    if (global->statement->kind == STATEMENT_ASSIGN) PUSH(b->arena, &names, global->name);
  }
  fault_in(b, source, target->offset, "%s has no constant '%s'", b->main->path, target->name);
  const char *near = nearest_name(target->name, names.items, names.count);
  if (near) help_for(b->diagnostics, "did you mean '%s'?", near);
}

static void replace_by(Builder *b, const Statement *statement) {
  if (statement->kind != STATEMENT_ASSIGN) {
    fault_in(b, statement->source, statement->offset, "only constants are given so: name = value");
    return;
  }
  for (int k = 0; k < statement->assign.targets.count; k++) {
    const Expression *target = statement->assign.targets.items[k];
    Global *own = find_global(b->main, target->name);
    if (own && own->statement->kind == STATEMENT_ASSIGN)
      own->given = find_global(b->given, target->name);
    else
      no_such_constant(b, statement->source, target);
  }
}

/* They see the names of the model's file as if they stood there. */
static bool replace_constants(Builder *b) {
  int errors = diagnostics_errors(b->diagnostics);
  b->given = load_file(b, b->constants, b->constants->name, NULL);
  if (!b->given) return false;
  for (int k = 0; k < b->given->file->statements.count; k++) replace_by(b, b->given->file->statements.items[k]);
  PUSH(b->arena, &b->given->imports, b->main);
  return diagnostics_errors(b->diagnostics) == errors;
}

/* ---- entries ---- */

/* `lr = 0.01` is a run-time f32; `k: i32[] = 3` has both. */
static void add_parameter(Builder *b, const ParameterSyntax *syntax, const Source *source) {
  Graph *graph = b->level->graph;
  const Place *place = place_of(b, source, syntax->offset);
  Type type = type_scalar(F32);
  Value value = value_error, fallback = value_absent;
  if (local_variable(b->scope, syntax->name)) {
    error_at(b->diagnostics, place, "two parameters '%s'", syntax->name);
    return;
  }
  if (!syntax->type && !syntax->by_default) {
    error_at(b->diagnostics, place, "'%s' has neither a type nor a default", syntax->name);
    help_for(b->diagnostics, "write %s: [N, 4] for a tensor, %s: f32[] for a number", syntax->name, syntax->name);
    set_variable(b, syntax->name, value_error);
    return;
  }
  if (syntax->by_default) {
    fallback = evaluate(b, syntax->by_default);
    double real;
    if (fallback.kind == VALUE_BOOL) fallback = value_whole(fallback.truth);
    if (!want_real(b, &fallback, "the default", &real)) fallback = value_error;
  }
  bool typed = !syntax->type || written_type(b, syntax->type, &type);
  if (typed && syntax->by_default && type.rank > 0) {
    error_at(b->diagnostics, place, "only a scalar has a default, and '%s' is %s", syntax->name, shape_text(b, &type));
  } else if (typed && fallback.kind == VALUE_NUMBER && type.dtype != F32 && !fallback.number.whole) {
    error_at(b->diagnostics, place, "the default of '%s' does not fit %s", syntax->name, dtype_name(type.dtype));
  } else if (typed && !is_error(&fallback)) {
    graph->here = place;
    value = value_tensor(b, graph_parameter(graph, syntax->name, type, place));
    Parameter *parameter = &graph->parameters.items[graph->parameters.count - 1];
    parameter->has_default = fallback.kind == VALUE_NUMBER;
    if (parameter->has_default) parameter->fallback = fallback.number.real;
  }
  set_variable(b, syntax->name, value);
}

/* value_at: where the value is written, NULL where only its name is. */
static void add_result(Builder *b, const ResultSyntax *syntax, const Source *source, Value value,
                       const Expression *value_at) {
  Graph *graph = b->level->graph;
  Expression *at = NEW(b->arena, Expression);
  Id id;
  *at = (Expression){.kind = EXPRESSION_NAME, .offset = syntax->offset, .begin = syntax->offset, .end = syntax->offset};
  at->source = source;
  stand_at(b, at);
  for (int k = 0; k < graph->results.count; k++) {
    if (graph->results.items[k].name == syntax->name) fault(b, at, "two results '%s'", syntax->name);
  }
  if (value.kind == VALUE_LAYER || value.kind == VALUE_TREE) {
    fault(b, at, "the result '%s' is a layer, not a tensor", syntax->name);
    return;
  }
  if (value_at) stand_at(b, value_at);
  if (want_tensor(b, &value, NONE, &id)) { PUSH(b->arena, &graph->results, ((Result){syntax->name, id})); }
}

static void result_by_name(Builder *b, const Routine *routine, const ResultSyntax *result) {
  Variable *variable = local_variable(b->scope, result->name);
  if (variable) {
    add_result(b, result, routine->source, variable->value, NULL);
    return;
  }
  fault_in(b, routine->source, result->offset, "the result '%s' is never set", result->name);
  Vec(const char *) names = {0};
  for (int k = 0; k < b->scope->variables.count; k++) PUSH(b->arena, &names, b->scope->variables.items[k].name);
  const char *near = nearest_name(result->name, names.items, names.count);
  if (near) help_for(b->diagnostics, "did you mean '%s'?", near);
}

static void run_entry_body(Builder *b, const Routine *routine) {
  if (routine->body) {
    evaluate_block(b, routine->body, false);
    for (int k = 0; k < routine->results.count; k++) result_by_name(b, routine, &routine->results.items[k]);
    return;
  }
  if (!routine->value) return;
  Value value = evaluate(b, routine->value);
  int count = routine->results.count;
  if (is_error(&value)) return;
  if (count == 1) {
    add_result(b, &routine->results.items[0], routine->source, value, routine->value);
    return;
  }
  if (value.kind != VALUE_TUPLE || value.list.count != count) {
    if (count > 0) fault(b, routine->value, "%d results for %s", count, value_text(b, &value)); /* none: told already */
    return;
  }
  for (int k = 0; k < count; k++) {
    add_result(b, &routine->results.items[k], routine->source, value.list.items[k], routine->value);
  }
}

static void add_finals(Builder *b) {
  Level *level = b->level;
  for (int symbol = 0; symbol < level->changed.count; symbol++) {
    if (!level->changed.items[symbol]) continue;
    PUSH(b->arena, &level->graph->finals, ((Final){symbol, level->current.items[symbol]}));
  }
}

static void build_entry(Builder *b, FileScope *file, const Routine *routine) {
  bool step = routine->kind == ROUTINE_STEP;
  Graph *graph = graph_new(b->module, routine->name, step ? GRAPH_STEP : GRAPH_FN);
  Level *level = NEW(b->arena, Level);
  Entry *entry = NEW(b->arena, Entry);
  Naming naming = {0};
  Frame frame = {.naming = &naming};
  level->graph = graph;
  *entry = (Entry){.routine = routine, .graph = graph, .level = level, .training = step};
  b->frame = &frame;
  b->level = level;
  b->entry = entry;
  b->scope = push_scope(b, file, NULL);
  graph->place = graph->here = place_of(b, routine->source, routine->offset);
  for (int k = 0; k < routine->parameters.count; k++) add_parameter(b, &routine->parameters.items[k], routine->source);
  if (is_models_own(routine->name)) {
    fault_in(b, routine->source, routine->offset, "an entry can't be named '%s'", routine->name);
    help_for(b->diagnostics, "%s_%s is a C function or table of every model; rename it", b->main->file->model,
             routine->name);
  }
  check_top_asserts(b);
  if (!step && routine->results.count == 0) {
    fault_in(b, routine->source, routine->offset, "the fn '%s' gives no result", routine->name);
    help_for(b->diagnostics, "name what it computes: fn %s(...) -> y { ... }", routine->name);
  }
  run_entry_body(b, routine);
  graph->here = graph->place;
  finish_draws(b);
  add_finals(b);
  if (diagnostics_errors(b->diagnostics) == 0 && graph->results.count + graph->finals.count == 0) {
    warning_at(b->diagnostics, graph->place, "'%s' computes nothing", routine->name);
  }
  PUSH(b->arena, &b->module->entries, graph);
  b->frame = NULL;
  b->level = NULL;
  b->entry = NULL;
  b->scope = NULL;
}

/* ---- the model ---- */

static void evaluate_globals(Builder *b, FileScope *file, StatementKind first, StatementKind second) {
  for (int k = 0; k < file->globals.count; k++) {
    StatementKind kind = file->globals.items[k]->statement->kind;
    if (kind == first || kind == second) global_value(b, file, file->globals.items[k]);
  }
}

static void check_asserts(Builder *b, FileScope *file) {
  Frame top = {0};
  b->frame = &top;
  b->scope = push_scope(b, file, NULL);
  for (int k = 0; k < file->file->statements.count; k++) {
    const Statement *statement = file->file->statements.items[k];
    if (statement->kind == STATEMENT_ASSERT) run_statement(b, statement, false);
  }
  b->frame = NULL;
  b->scope = NULL;
}

static void warn_of_unused(Builder *b, FileScope *file) {
  for (int k = 0; k < file->globals.count; k++) {
    const Global *global = file->globals.items[k];
    if (global->statement->kind != STATEMENT_LAYER || global->used) continue;
    warning_at(b->diagnostics, place_of(b, global->statement->source, global->statement->offset),
               "the layer '%s' is never used", global->name);
  }
}

static void build_model(Builder *b) {
  FileScope *file = b->main;
  evaluate_globals(b, file, STATEMENT_DIM, STATEMENT_DIM);
  evaluate_globals(b, file, STATEMENT_ASSIGN, STATEMENT_ROUTINE);
  evaluate_globals(b, file, STATEMENT_PARAM, STATEMENT_STATE);
  evaluate_globals(b, file, STATEMENT_LAYER, STATEMENT_LAYER);
  check_asserts(b, file);
  for (int k = 0; k < file->file->statements.count; k++) {
    const Statement *statement = file->file->statements.items[k];
    if (statement->kind != STATEMENT_ROUTINE || statement->routine->kind == ROUTINE_DEF) continue;
    build_entry(b, file, statement->routine);
  }
  if (diagnostics_errors(b->diagnostics) > 0) return;
  warn_of_unused(b, file);
  if (b->module->entries.count > 0) return;
  Place place = {.source = file->source};
  warning_at(b->diagnostics, &place, "the model has no fn and no step, so there is nothing to call");
}

/* The prelude, the file and what it imports; false after errors. */
static bool load_all(Builder *b, const Source *source) {
  Source *prelude = NEW(b->arena, Source);
  *prelude = (Source){.name = "prelude.nn", .text = prelude_text, .length = strlen(prelude_text), .users = false};
  b->module = module_new(b->arena, b->diagnostics, "model");
  b->prelude = load_file(b, prelude, "prelude.nn", NULL);
  b->main = load_file(b, source, source->name, NULL);
  if (!b->main || !b->prelude) return false;
  if (!b->main->file->model) {
    Place place = {.source = source};
    error_at(b->diagnostics, &place, "the file names no model");
    help_for(b->diagnostics, "begin it with: model name");
    return false;
  }
  b->module->name = b->main->file->model;
  return !b->constants || replace_constants(b);
}

/* Is a part of the layer named anywhere, as in net.dense1.w? Comments may mislead it, which costs only time. */
static bool names_part(const Source *source, const char *layer) {
  size_t length = strlen(layer);
  for (const char *at = source->text; (at = strstr(at, layer)); at += length) {
    if (at[length] == '.') return true;
  }
  return false;
}

/* Does a step set a whole layer? */
static bool sets_layer(const FileScope *file, const Block *body) {
  for (int k = 0; body && k < body->statements.count; k++) {
    const Statement *statement = body->statements.items[k];
    if (statement->kind != STATEMENT_UPDATE) continue;
    for (int j = 0; j < statement->assign.targets.count; j++) {
      const Expression *target = statement->assign.targets.items[j];
      const Global *global = target->kind == EXPRESSION_NAME ? find_global(file, target->name) : NULL;
      if (global && global->statement->kind == STATEMENT_LAYER) return true;
    }
  }
  return false;
}

/* Must a layer's tensors perhaps be known before it is applied? */
static bool needs_two_rounds(const FileScope *file) {
  for (int k = 0; k < file->file->statements.count; k++) {
    const Statement *statement = file->file->statements.items[k];
    switch (statement->kind) {
    case STATEMENT_STATE:
    case STATEMENT_PARAM:
      if (statement->weight.type.shape && statement->weight.type.shape->kind != EXPRESSION_LIST) return true;
      break;
    case STATEMENT_LAYER:
      if (names_part(file->source, statement->layer.name)) return true;
      break;
    case STATEMENT_ROUTINE:
      if (sets_layer(file, statement->routine->body)) return true;
      break;
    default: break;
    }
  }
  return false;
}

/* Builds once for nobody, to learn which params and states there are. */
static void learn_weights(Builder *b, const Source *source) {
  Builder first = {
      .arena = b->arena, .diagnostics = diagnostics_new(b->arena), .known = b->known, .constants = b->constants};
  if (!load_all(&first, source)) return;
  build_model(&first);
  b->known.count = 0;
  for (int k = 0; k < first.module->symbols.count; k++) {
    const Symbol *symbol = &first.module->symbols.items[k];
    PUSH(b->arena, &b->known, ((Known){symbol->name, symbol->type, symbol->trainable, symbol->init}));
  }
}

Module *build_source(Arena *arena, Diagnostics *diagnostics, const Source *source, const Source *constants) {
  Builder builder = {.arena = arena, .diagnostics = diagnostics, .constants = constants}, *b = &builder;
  if (!load_all(b, source)) return NULL;
  if (needs_two_rounds(b->main)) learn_weights(b, source);
  build_model(b);
  if (diagnostics_errors(diagnostics) > 0) return NULL;
  Text why = {0};
  if (!module_verify(b->module, &why)) bug("the builder made %s", why.bytes);
  return b->module;
}

Module *build_module(Arena *arena, Diagnostics *diagnostics, const char *path, Failure *failure) {
  Source *source = NEW(arena, Source);
  char *text;
  size_t length;
  if (!read_file(arena, path, &text, &length, failure)) return NULL;
  bool standard_input = strcmp(path, "-") == 0;
  *source = (Source){.name = standard_input ? "<stdin>" : path, .text = text, .length = length, .users = true};
  return build_source(arena, diagnostics, source, NULL);
}
