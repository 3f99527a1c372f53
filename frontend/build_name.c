/* Names: looked up where they are written. First the locals of the running def, fn, step or scan, outwards; then the file
 * that the text stands in, in any order, which is why a file's globals are evaluated when they are first asked for; then
 * what that file imports; then the prelude; last the builtins. Imported text and the prelude never see the model's names.
 * Before `(` only what can be called is looked at, so that a local `f` does not hide a def `f`. */
#include "frontend/build.h"

#include <string.h>

Scope *push_scope(Builder *b, FileScope *file, Scope *parent) {
  Scope *scope = NEW(b->arena, Scope);
  scope->file = file;
  scope->parent = parent;
  return scope;
}

Variable *local_variable(Scope *scope, const char *name) {
  for (int k = 0; k < scope->variables.count; k++) {
    if (scope->variables.items[k].name == name) return &scope->variables.items[k];
  }
  return NULL;
}

void set_variable(Builder *b, const char *name, Value value) {
  Variable *variable = local_variable(b->scope, name);
  if (variable) {
    variable->value = value;
  } else {
    PUSH(b->arena, &b->scope->variables, ((Variable){name, value}));
  }
}

/* ---- globals ---- */

Global *find_global(const FileScope *file, const char *name) {
  for (int k = 0; k < file->globals.count; k++) {
    if (file->globals.items[k]->name == name) return file->globals.items[k];
  }
  return NULL;
}

static Value dim_global(Builder *b, const Statement *statement) {
  int64_t low = 1, high = 1, step = 1;
  Value value;
  if (statement->dim.low) {
    value = evaluate(b, statement->dim.low);
    if (!want_whole(b, &value, "the lower bound", &low)) return value_error;
  }
  value = evaluate(b, statement->dim.high);
  if (!want_whole(b, &value, "the bound", &high)) return value_error;
  if (statement->dim.by) {
    value = evaluate(b, statement->dim.by);
    if (!want_whole(b, &value, "the step", &step)) return value_error;
  }
  const Place *place = place_of(b, statement->source, statement->offset);
  if (low < 1 || high < low || high > INT32_MAX || step < 1) {
    error_at(b->diagnostics, place, "dim '%s' runs from %lld to %lld by %lld: a dim is at least 1, and at most 2147483647",
             statement->dim.name, (long long)low, (long long)high, (long long)step);
    return value_error;
  }
  if (step > 1) {
    low = round_up(low, step);
    high = high / step * step;
    if (high < low) {
      error_at(b->diagnostics, place, "dim '%s' has no value: no multiple of %lld lies within its bounds",
               statement->dim.name, (long long)step);
      return value_error;
    }
  }
  return value_size(dim_symbol(b->module, module_add_dim(b->module, statement->dim.name, low, high, step, place)));
}

static Value layer_global(Builder *b, const Statement *statement) {
  Part *part = find_part(b, &b->root, statement->layer.name, true);
  Value template = evaluate(b, statement->layer.value);
  if (template.kind != VALUE_TEMPLATE && template.kind != VALUE_LAYER) {
    if (!is_error(&template)) {
      fault(b, statement->layer.value, "a layer is made from a def or other layers, not from %s",
            value_kind_name(&template));
    }
    template = value_error;
  }
  part->template = template;
  return (Value){.kind = VALUE_LAYER, .part = part};
}

static Value constant_global(Builder *b, const Global *global) {
  if (global->given) return global_value(b, b->given, global->given);
  const Statement *statement = global->statement;
  Value value = evaluate(b, statement->assign.value);
  if (statement->assign.targets.count == 1) return value;
  int count = statement->assign.targets.count;
  if ((value.kind != VALUE_TUPLE && value.kind != VALUE_LIST) || value.list.count != count) {
    if (!is_error(&value)) fault(b, statement->assign.value, "%d names for %s", count, value_text(b, &value));
    return value_error;
  }
  for (int k = 0; k < count; k++) {
    if (statement->assign.targets.items[k]->name == global->name) return value.list.items[k];
  }
  return value_error;
}

static Value evaluate_global(Builder *b, FileScope *file, Global *global) {
  const Statement *statement = global->statement;
  switch (statement->kind) {
  case STATEMENT_DIM: return dim_global(b, statement);
  case STATEMENT_LAYER: return layer_global(b, statement);
  case STATEMENT_PARAM:
  case STATEMENT_STATE: return declare_weight(b, statement, &b->root);
  case STATEMENT_ASSIGN: return constant_global(b, global);
  case STATEMENT_ROUTINE: {
    Template *template = NEW(b->arena, Template);
    *template = (Template){.kind = TEMPLATE_CALL, .routine = statement->routine, .file = file};
    return (Value){.kind = VALUE_TEMPLATE, .template = template};
  }
  default: return value_error;
  }
}

Value global_value(Builder *b, FileScope *file, Global *global) {
  if (global->state == GLOBAL_DONE) return global->value;
  if (global->state == GLOBAL_BUSY) {
    fault_in(b, global->statement->source, global->statement->offset, "'%s' needs its own value", global->name);
    return value_error;
  }
  Scope *scope = b->scope;
  Frame *frame = b->frame, top = {0};
  Level *level = b->level;
  const Expression *at = b->at;
  global->state = GLOBAL_BUSY;
  top.depth = frame ? frame->depth + 1 : 0;
  b->frame = &top;
  b->scope = push_scope(b, file, NULL);
  b->level = NULL;
  global->value = top.depth > MAX_DEPTH ? value_error : evaluate_global(b, file, global);
  global->state = GLOBAL_DONE;
  b->scope = scope;
  b->frame = frame;
  b->level = level;
  b->at = at;
  return global->value;
}

/* ---- looking up ---- */

static bool can_be_called(const Value *value) {
  return value->kind == VALUE_TEMPLATE || value->kind == VALUE_LAYER || value->kind == VALUE_ERROR;
}

/* fn and step are C functions, no defs: nothing in the language calls them. */
static bool is_entry(const Global *global) {
  return global->statement->kind == STATEMENT_ROUTINE && global->statement->routine->kind != ROUTINE_DEF;
}

static Value find_in_file(Builder *b, FileScope *file, const char *name, bool callable) {
  Global *global = find_global(file, name);
  if (global && !is_entry(global)) {
    global->used = true;
    StatementKind kind = global->statement->kind;
    bool may_call = kind == STATEMENT_ROUTINE || kind == STATEMENT_LAYER || kind == STATEMENT_ASSIGN;
    if (!callable || may_call) {
      Value value = global_value(b, file, global);
      if (!callable || can_be_called(&value)) return value;
    }
  }
  for (int k = 0; k < file->imports.count; k++) {
    Value value = find_in_file(b, file->imports.items[k], name, callable);
    if (value.kind != VALUE_ABSENT) return value;
  }
  return value_absent;
}

static Value special_name(Builder *b, const char *name) {
  if (strcmp(name, "training") == 0) return value_bool(in_training(b));
  if (strcmp(name, "initialising") == 0) return value_bool(b->frame && b->frame->initialising);
  if (strcmp(name, "none") == 0) return no_value;
  if (strcmp(name, "pi") == 0) return value_real(3.14159265358979323846);
  return value_absent;
}

Value look_up(Builder *b, const char *name, bool callable) {
  FileScope *file = b->scope->file;
  for (Scope *scope = b->scope; scope; scope = scope->parent) {
    Variable *variable = local_variable(scope, name);
    if (variable && (!callable || can_be_called(&variable->value))) return variable->value;
  }
  Value value = find_in_file(b, file, name, callable);
  if (value.kind != VALUE_ABSENT) return value;
  if (!callable) value = special_name(b, name);
  if (value.kind != VALUE_ABSENT) return value;
  if (b->prelude && file != b->prelude) value = find_in_file(b, b->prelude, name, callable);
  if (value.kind != VALUE_ABSENT) return value;
  const Builtin *builtin = find_builtin(name);
  if (!builtin) return value_absent;
  Template *template = NEW(b->arena, Template);
  *template = (Template){.kind = TEMPLATE_CALL, .builtin = builtin};
  return (Value){.kind = VALUE_TEMPLATE, .template = template};
}

typedef Vec(const char *) Names;

static void add_file_names(Builder *b, const FileScope *file, Names *names) {
  for (int k = 0; k < file->globals.count; k++) {
    if (!is_entry(file->globals.items[k])) PUSH(b->arena, names, file->globals.items[k]->name);
  }
  for (int k = 0; k < file->imports.count; k++) add_file_names(b, file->imports.items[k], names);
}

/* What other frameworks call it. */
static const struct {
  const char *theirs, *ours;
} foreign_names[] = {{"Linear", "dense"},
                     {"linear", "dense"},
                     {"Dense", "dense"},
                     {"Conv1d", "conv"},
                     {"Conv2d", "conv"},
                     {"Conv3d", "conv"},
                     {"ConvTranspose2d", "conv_transpose"},
                     {"MaxPool2d", "maxpool"},
                     {"AvgPool2d", "avgpool"},
                     {"AdaptiveAvgPool2d", "gap"},
                     {"BatchNorm1d", "batchnorm"},
                     {"BatchNorm2d", "batchnorm"},
                     {"Embedding", "embed"},
                     {"LeakyReLU", "lrelu"},
                     {"leaky_relu", "lrelu"},
                     {"CrossEntropyLoss", "cross_entropy"},
                     {"MSELoss", "mse"},
                     {"mse_loss", "mse"},
                     {"BCEWithLogitsLoss", "bce"},
                     {"cat", "concat"},
                     {"matmul", "x @ w"},
                     {"permute", "transpose"},
                     {"power", "x ** 2"},
                     {"range", "0..n"},
                     {"len", "shape(x)[0]"},
                     {"view", "reshape(x, [N, -1])"},
                     {"T", "transpose(x)"},
                     {"backward", "minimize loss by sgd(lr)"}};

static const char *our_name(const char *name) {
  for (int k = 0; k < COUNT_OF(foreign_names); k++)
    if (strcmp(foreign_names[k].theirs, name) == 0) return foreign_names[k].ours;
  return NULL;
}

static Value unknown_name(Builder *b, const Expression *at, const char *name, bool callable) {
  Names names = {0};
  for (Scope *scope = b->scope; scope; scope = scope->parent) {
    for (int k = 0; k < scope->variables.count; k++) PUSH(b->arena, &names, scope->variables.items[k].name);
  }
  add_file_names(b, b->scope->file, &names);
  if (b->prelude) add_file_names(b, b->prelude, &names);
  const Builtin *const tables[] = {builtins_math, builtins_array, builtins_space, builtins_model};
  for (int k = 0; k < COUNT_OF(tables); k++) {
    for (const Builtin *row = tables[k]; row->name; row++) PUSH(b->arena, &names, row->name);
  }
  for (int op = 0; op < OP_COUNT; op++) {
    if (elementwise_builtin((Op)op)) PUSH(b->arena, &names, op_info[op].name);
  }
  Global *entry = find_global(b->scope->file, name);
  const char *near = our_name(name);
  if (!near) near = nearest_name(name, names.items, names.count);
  if (entry && is_entry(entry)) {
    fault(b, at, "'%s' is a %s, which only C can call", name,
          entry->statement->routine->kind == ROUTINE_FN ? "fn" : "step");
    help_for(b->diagnostics, "put what both need into a def");
    return value_error;
  }
  if (callable && look_up(b, name, false).kind != VALUE_ABSENT) {
    fault(b, at, "'%s' cannot be called", name);
    return value_error;
  }
  fault(b, at, "there is no %s '%s'", callable ? "def or layer" : "name", name);
  if (near) help_for(b->diagnostics, "did you mean '%s'?", near);
  static const char *const dtypes[] = {"f16", "bf16", "f64", "i8", "i16", "i64", "u8", "int", "float", "double"};
  for (int k = 0; k < COUNT_OF(dtypes) && !near; k++) {
    if (strcmp(name, dtypes[k]) == 0) help_for(b->diagnostics, "tensors are of f32, i32 or bool");
  }
  return value_error;
}

Value name_value(Builder *b, const Expression *expression, bool callable) {
  if (callable && expression->kind == EXPRESSION_MEMBER) return member_value(b, expression);
  Value value = look_up(b, expression->name, callable);
  if (value.kind != VALUE_ABSENT) return value;
  return unknown_name(b, expression, expression->name, callable);
}

Value member_value(Builder *b, const Expression *expression) {
  Value object = evaluate(b, expression->member.object);
  const char *name = expression->member.name;
  if (is_error(&object)) return value_error;
  if (object.kind == VALUE_WEIGHT) { /* what an optimizer keeps for it lies below its name */
    Part *kept = find_part(b, object.weight->part, object.weight->name, false);
    if (kept) object = (Value){.kind = VALUE_LAYER, .part = kept, .stop = object.stop};
  }
  if (object.kind == VALUE_LAYER) {
    make_known(b, object.part);
    Weight *weight = find_weight(object.part, name);
    if (weight) return (Value){.kind = VALUE_WEIGHT, .weight = weight, .stop = object.stop};
    Part *part = find_part(b, object.part, name, false);
    if (part) return (Value){.kind = VALUE_LAYER, .part = part, .infer = object.infer, .stop = object.stop};
    Vec(const char *) names = {0};
    for (int k = 0; k < object.part->parts.count; k++) PUSH(b->arena, &names, object.part->parts.items[k]->name);
    for (int k = 0; k < object.part->weights.count; k++) PUSH(b->arena, &names, object.part->weights.items[k]->name);
    fault(b, expression, "the layer '%s' has no part or param '%s'", object.part->path, name);
    const char *near = nearest_name(name, names.items, names.count);
    if (near) {
      help_for(b->diagnostics, "did you mean '%s'?", near);
    } else if (!object.part->applied) {
      help_for(b->diagnostics, "its parts are made when it is first applied");
    }
    return value_error;
  }
  fault(b, expression, "%s has no parts", value_text(b, &object));
  if (is_data(&object) && our_name(name))
    help_for(b->diagnostics, "did you mean '%s'?", our_name(name));
  else if (is_data(&object) && look_up(b, name, true).kind != VALUE_ABSENT)
    help_for(b->diagnostics, "write %s(x)", name);
  else if (is_data(&object))
    help_for(b->diagnostics, "functions take a tensor, as in mean(x)");
  return value_error;
}
