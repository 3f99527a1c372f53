/* Calls: of builtins, of defs, of layers, and the pipe.
 *
 * A call of a def that gives no input is a template with settings; one that gives inputs runs the def's body anew. Where
 * the running def is a part of a layer, what it calls is a part of that part, numbered among its like; so the counts begin
 * afresh with each application of a layer, and the same program text finds the same weights again. */
#include "frontend/build.h"

#include <string.h>

/* ---- arguments ---- */

void give_argument(Builder *b, Arguments *arguments, const char *name, Value value, const Expression *expression) {
  PUSH(b->arena, arguments, ((Given){name, value, expression}));
}

bool collect_arguments(Builder *b, const Expression *call, Arguments *arguments) {
  bool good = true;
  for (int k = 0; k < call->call.arguments.count; k++) {
    const Argument *argument = &call->call.arguments.items[k];
    Value value = evaluate(b, argument->value);
    if (value.kind == VALUE_ERROR) good = false;
    give_argument(b, arguments, argument->name, value, argument->value);
  }
  return good;
}

static int input_count(const Routine *routine) {
  int count = 0;
  for (int k = 0; k < routine->parameters.count; k++) count += routine->parameters.items[k].type != NULL;
  return count;
}

static int find_parameter(const Routine *routine, const char *name) {
  for (int k = 0; k < routine->parameters.count; k++) {
    if (routine->parameters.items[k].name == name) return k;
  }
  return -1;
}

/* Does the call give inputs, or settings alone? */
static bool gives_inputs(const Routine *routine, const Arguments *arguments) {
  int inputs = input_count(routine);
  if (inputs == 0) return true;
  for (int k = 0; k < arguments->count; k++) {
    const Given *given = &arguments->items[k];
    int at = given->name ? find_parameter(routine, given->name) : k;
    if (given->name && at >= 0 && routine->parameters.items[at].type) return true;
    if (!given->name && (is_data(&given->value) || given->value.kind == VALUE_TREE)) return true;
    if (!given->name && inputs == routine->parameters.count) return true;
  }
  return false;
}

/* "Basic(256)", as it was written, for notes. */
const char *call_text(Builder *b, const Template *template, const Expression *at) {
  const Expression *made = template->made ? template->made : at;
  const char *name = template->routine ? template->routine->name : template->builtin->name;
  const char *text = made->source->text + made->begin;
  size_t length = made->end - made->begin;
  if (made->kind == EXPRESSION_CALL && length <= 60 && !memchr(text, '\n', length)) {
    return arena_format(b->arena, "%.*s", (int)length, text);
  }
  return name;
}

static const char *parameter_list(Builder *b, const Routine *routine) {
  Text text = {0};
  for (int k = 0; k < routine->parameters.count; k++) {
    const ParameterSyntax *parameter = &routine->parameters.items[k];
    text_add(&text, "%s%s%s", k > 0 ? ", " : "", parameter->name, parameter->by_default ? "=..." : "");
  }
  char *copy = arena_format(b->arena, "%s(%s)", routine->name, text.bytes ? text.bytes : "");
  text_free(&text);
  return copy;
}

/* ---- builtins ---- */

enum { MAX_BUILTIN_ARGUMENTS = 64 };

static int signature_find(const char *signature, const char *name) {
  size_t length = strlen(name);
  const char *at = signature;
  for (int k = 0; *at; k++) {
    size_t word = strcspn(at, " "), bare = word - (word > 0 && at[word - 1] == '?');
    if (bare == length && strncmp(at, name, length) == 0) return k;
    at += word;
    while (*at == ' ') at++;
  }
  return -1;
}

/* "mean(x, axis=..., keep=...)" */
static const char *signature_text(Builder *b, const Builtin *builtin) {
  Text text = {0};
  text_add(&text, "%s(", builtin->name);
  const char *gap = "";
  if (strchr(builtin->signature, '*')) text_add(&text, "a, b, ..."), gap = ", ";
  for (const char *at = builtin->signature; *at; gap = ", ") {
    size_t word = strcspn(at, " ");
    bool optional = at[word - 1] == '?';
    if (*at != '*') text_add(&text, "%s%.*s%s", gap, (int)(word - optional), at, optional ? "=..." : "");
    at += word;
    while (*at == ' ') at++;
  }
  text_add(&text, ")");
  const char *copy = arena_format(b->arena, "%s", text.bytes);
  text_free(&text);
  return copy;
}

/* Puts the arguments in the signature's order. A last "*" takes any number more; then arguments end with ABSENT. */
static bool match_signature(Builder *b, const Builtin *builtin, const Arguments *arguments, Value *values) {
  const char *signature = builtin->signature;
  int count = 0, variadic = -1;
  for (const char *at = signature; *at; count++) {
    size_t word = strcspn(at, " ");
    if (*at == '*') variadic = count;
    at += word;
    while (*at == ' ') at++;
  }
  for (int k = 0; k < MAX_BUILTIN_ARGUMENTS; k++) values[k] = value_absent;
  int positional = 0;
  for (int k = 0; k < arguments->count; k++) {
    const Given *given = &arguments->items[k];
    int at = given->name ? signature_find(signature, given->name) : positional++;
    if (variadic >= 0 && !given->name) at += variadic; /* what is named stands before the star */
    if (at < 0 || (given->name && variadic >= 0 && at >= variadic)) {
      fault(b, NULL, "'%s' has no setting '%s'", builtin->name, given->name);
      help_for(b->diagnostics, "it is %s", signature_text(b, builtin));
      return false;
    }
    if ((variadic < 0 && at >= count) || at >= MAX_BUILTIN_ARGUMENTS - 1) {
      return fault(b, NULL, "'%s' takes at most %d arguments", builtin->name,
                   variadic < 0 ? count : MAX_BUILTIN_ARGUMENTS - 1 - variadic),
             false;
    }
    if (values[at].kind != VALUE_ABSENT)
      return fault(b, NULL, "'%s' is given '%s' twice", builtin->name, given->name), false;
    values[at] = given->value;
  }
  const char *at = signature;
  for (int k = 0; k < count; k++) {
    size_t word = strcspn(at, " ");
    if (values[k].kind == VALUE_ABSENT && at[word - 1] != '?' && at[word - 1] != '*') {
      return fault(b, NULL, "'%s' needs its argument '%.*s'", builtin->name, (int)word, at), false;
    }
    at += word;
    while (*at == ' ') at++;
  }
  return true;
}

static Value call_builtin(Builder *b, const Builtin *builtin, const Arguments *arguments, const Expression *at) {
  Value values[MAX_BUILTIN_ARGUMENTS];
  stand_at(b, at);
  for (int k = 0; k < arguments->count; k++) {
    if (is_error(&arguments->items[k].value)) return value_error;
  }
  if (builtin->call_open) return builtin->call_open(b, arguments);
  if (!match_signature(b, builtin, arguments, values)) return value_error;
  return builtin->call ? builtin->call(b, values) : call_elementwise(b, builtin, values[0]);
}

/* ---- defs ---- */

static Value misfit(Builder *b, const Template *def, const Expression *at, const char *what, const char *name) {
  fault(b, at, "%s '%s'", what, name);
  help_for(b->diagnostics, "it is %s", parameter_list(b, def->routine));
  return value_error;
}

static bool no_parameter(Builder *b, const Routine *routine, const char *name, const Expression *at) {
  Vec(const char *) names = {0};
  for (int k = 0; k < routine->parameters.count; k++) PUSH(b->arena, &names, routine->parameters.items[k].name);
  const char *near = nearest_name(name, names.items, names.count), *list = parameter_list(b, routine);
  fault(b, at, "'%s' has no parameter '%s'", routine->name, name);
  if (near) {
    help_for(b->diagnostics, "did you mean '%s'? it is %s", near, list);
  } else {
    help_for(b->diagnostics, "it is %s", list);
  }
  return false;
}

/* A setting whose default is true or false, or a string, is one: dense(4, 10) does not mean its sizes. */
static bool takes_kind(Builder *b, const Routine *routine, int slot, const Value *value, const Expression *at) {
  const ParameterSyntax *parameter = &routine->parameters.items[slot];
  const Expression *usual = parameter->by_default;
  const char *wanted = NULL;
  if (!usual || parameter->type || value->kind != VALUE_NUMBER) return true;
  if (usual->kind == EXPRESSION_BOOL) wanted = "true or false";
  if (usual->kind == EXPRESSION_STRING) wanted = "a string";
  if (!wanted) return true;
  fault(b, at, "'%s' is %s, not %s", parameter->name, wanted, value_text(b, value));
  help_for(b->diagnostics, "it is %s", parameter_list(b, routine));
  return false;
}

/* The arguments by parameter; ABSENT where none was given. */
static bool match_parameters(Builder *b, const Template *def, const Arguments *arguments, Value *values,
                             const Expression *at) {
  const Routine *routine = def->routine;
  int count = routine->parameters.count, positional = 0;
  for (int k = 0; k < count; k++) values[k] = value_absent;
  for (int k = 0; k < arguments->count; k++) {
    const Given *given = &arguments->items[k];
    int slot = given->name ? find_parameter(routine, given->name) : positional++;
    if (slot < 0) return no_parameter(b, routine, given->name, at);
    if (slot >= count) {
      fault(b, at, "'%s' takes %d argument%s, not %d", routine->name, count, count == 1 ? "" : "s", arguments->count);
      help_for(b->diagnostics, "it is %s", parameter_list(b, routine));
      return false;
    }
    if (values[slot].kind != VALUE_ABSENT) {
      misfit(b, def, at, "two arguments for the parameter", routine->parameters.items[slot].name);
      return false;
    }
    values[slot] = given->value;
    if (is_error(&given->value) || !takes_kind(b, routine, slot, &given->value, at)) return false;
  }
  return true;
}

/* What an input is in the body: a snapshot of a weight, a tensor for a list written out. */
static bool take_input(Builder *b, const ParameterSyntax *parameter, Value *value) {
  Id id;
  if (value->kind == VALUE_WEIGHT || value->kind == VALUE_LIST) {
    Dtype dtype = parameter->type->element == TYPE_I32 ? I32 : parameter->type->element == TYPE_BOOL ? BOOL : F32;
    if (!want_tensor(b, value, value->kind == VALUE_LIST ? dtype : NONE, &id)) return false;
    *value = value_tensor(b, id);
  }
  if (is_data(value) || value->kind == VALUE_NUMBER || value->kind == VALUE_SIZE || value->kind == VALUE_BOOL) return true;
  fault(b, NULL, "'%s' is %s, not a tensor", parameter->name, value_kind_name(value));
  return false;
}

static bool bind_arguments(Builder *b, const Template *def, Scope *scope, Value *values, const Expression *at) {
  const Routine *routine = def->routine;
  Scope *outer = b->scope;
  bool good = true;
  b->scope = scope;
  stand_at(b, at);
  for (int k = 0; k < routine->parameters.count; k++) set_variable(b, routine->parameters.items[k].name, values[k]);
  for (int k = 0; k < routine->parameters.count && good; k++) {
    const ParameterSyntax *parameter = &routine->parameters.items[k];
    if (!parameter->type || (values[k].kind == VALUE_ABSENT && parameter->by_default)) continue;
    if (values[k].kind == VALUE_ABSENT) {
      misfit(b, def, at, "the call gives no", parameter->name);
      good = false;
      break;
    }
    good = take_input(b, parameter, &values[k]) && bind_shape(b, routine, parameter, &values[k]);
    if (good) set_variable(b, parameter->name, values[k]);
  }
  b->scope = outer;
  return good;
}

/* In the def's own frame, since a default may speak of shapes and other settings. */
static bool bind_defaults(Builder *b, const Template *def, const Expression *at) {
  const Routine *routine = def->routine;
  for (int k = 0; k < routine->parameters.count; k++) {
    const ParameterSyntax *parameter = &routine->parameters.items[k];
    if (local_variable(b->scope, parameter->name)->value.kind != VALUE_ABSENT) continue;
    if (!parameter->by_default) {
      Frame *inner = b->frame;
      b->frame = inner->outer;
      misfit(b, def, at, "the call gives no", parameter->name);
      b->frame = inner;
      return false;
    }
    Value value = evaluate(b, parameter->by_default);
    if (is_error(&value)) return false;
    set_variable(b, parameter->name, value);
  }
  return true;
}

/* Where the def's body was led to from: the settings' place, if they were written elsewhere, then the application. */
static const Place *made_at(Builder *b, const Template *def, const Expression *at) {
  const Place *applied = place_at(b, at);
  if (!def->made || def->made == at) return applied;
  Place made = {def->made->source, def->made->offset, applied, NULL};
  return arena_copy(b->arena, &made, sizeof made);
}

Value run_def(Builder *b, const Template *def, const Arguments *arguments, Naming *naming, const Expression *at) {
  const Routine *routine = def->routine;
  Value values[64];
  if (routine->parameters.count > COUNT_OF(values)) return fault(b, at, "'%s' has too many parameters", routine->name);
  if (b->frame->depth >= MAX_DEPTH) {
    fault(b, at, "defs call each other to a depth of more than %d", MAX_DEPTH);
    help_for(b->diagnostics, "a def that calls itself needs an if that ends it");
    return value_error;
  }
  if (!match_parameters(b, def, arguments, values, at)) return value_error;
  Scope *scope = push_scope(b, def->file, NULL), *outer_scope = b->scope;
  if (!bind_arguments(b, def, scope, values, at)) return value_error;
  Frame frame = {.outer = b->frame,
                 .caller = made_at(b, def, at),
                 .inside = call_text(b, def, at),
                 .naming = naming,
                 .def = true,
                 .infer = b->frame->infer,
                 .stop = b->frame->stop,
                 .initialising = b->frame->initialising,
                 .depth = b->frame->depth + 1};
  b->frame = &frame;
  b->scope = scope;
  Value value = value_error;
  if (bind_defaults(b, def, at)) {
    if (routine->value) {
      value = evaluate(b, routine->value);
    } else if (routine->body) {
      value = evaluate_block(b, routine->body, true);
    }
  }
  b->frame = frame.outer;
  b->scope = outer_scope;
  stand_at(b, at);
  return value;
}

Naming *enter_part(Builder *b, const char *name) {
  Naming *outer = b->frame->naming, *naming = NEW(b->arena, Naming);
  if (!outer) return naming;
  int count = 0;
  for (int k = 0; k < outer->counts.count; k++) {
    if (outer->counts.items[k].name == name) count = ++outer->counts.items[k].count;
  }
  if (count == 0) {
    count = 1;
    PUSH(b->arena, &outer->counts, ((struct PartCount){name, 1}));
  }
  if (outer->part) {
    naming->part = find_part(b, outer->part, intern(arena_format(b->arena, "%s%d", name, count)), true);
    naming->part->applied = true;
  }
  return naming;
}

Value call_template(Builder *b, const Template *template, const Arguments *arguments, const Expression *at) {
  if (template->builtin) return call_builtin(b, template->builtin, arguments, at);
  return run_def(b, template, arguments, enter_part(b, template->routine->name), at);
}

/* ---- applying layers ---- */

/* Inputs to inputs, settings to settings; a def without typed inputs takes them first. */
static bool merge_arguments(Builder *b, const Template *template, const Value *inputs, int count, Arguments *merged,
                            const Expression *at) {
  const Routine *routine = template->routine;
  bool typed = routine && input_count(routine) > 0;
  int input = 0, setting = 0;
  for (int k = 0; k < count; k++) {
    const char *name = NULL;
    while (typed && input < routine->parameters.count && !routine->parameters.items[input].type) input++;
    if (typed && input == routine->parameters.count) {
      return fault(b, at, "'%s' takes fewer inputs than %d", routine->name, count), false;
    }
    if (typed) name = routine->parameters.items[input++].name;
    give_argument(b, merged, name, inputs[k], at);
  }
  for (int k = 0; k < template->arguments.count; k++) {
    Given given = template->arguments.items[k];
    if (!given.name && typed) {
      while (setting < routine->parameters.count && routine->parameters.items[setting].type) setting++;
      if (setting == routine->parameters.count) { return fault(b, at, "'%s' takes fewer settings", routine->name), false; }
      given.name = routine->parameters.items[setting++].name;
    }
    PUSH(b->arena, merged, given);
  }
  return true;
}

static Value apply_template(Builder *b, const Template *template, const Value *inputs, int count, Naming *own,
                            const Expression *at) {
  Value value;
  Arguments merged = {0};
  switch (template->kind) {
  case TEMPLATE_ROW:
    value = apply(b, template->left, inputs, count, at);
    return is_error(&value) ? value : apply(b, template->right, &value, 1, at);
  case TEMPLATE_REPEAT:
    value = count == 1 ? inputs[0] : fault(b, at, "layers in a row take one input, not %d", count);
    for (int64_t k = 0; k < template->count && !is_error(&value); k++) value = apply(b, template->left, &value, 1, at);
    return value;
  case TEMPLATE_CALL: break;
  }
  if (!merge_arguments(b, template, inputs, count, &merged, at)) return value_error;
  if (own && template->routine) return run_def(b, template, &merged, own, at);
  return call_template(b, template, &merged, at);
}

Value apply(Builder *b, Value callee, const Value *inputs, int count, const Expression *at) {
  Frame frame = *b->frame, *outer = b->frame;
  frame.infer |= callee.infer;
  frame.stop |= callee.stop;
  Naming *own = NULL;
  Value value;
  for (int k = 0; k < count; k++) {
    if (is_error(&inputs[k])) return value_error;
  }
  b->frame = &frame;
  frame.outer = outer->outer;
  if (callee.kind == VALUE_LAYER) {
    own = NEW(b->arena, Naming);
    own->part = callee.part;
    callee.part->applied = true;
    callee = callee.part->template;
    frame.naming = own;
    frame.infer |= callee.infer;
    frame.stop |= callee.stop;
  }
  if (++frame.depth > MAX_DEPTH * 2) {
    value = fault(b, at, "layers lie in each other to a depth of more than %d", MAX_DEPTH);
  } else if (callee.kind == VALUE_LAYER) {
    value = apply(b, callee, inputs, count, at);
  } else if (callee.kind == VALUE_TEMPLATE) {
    value = apply_template(b, callee.template, inputs, count, own, at);
  } else {
    value = value_error;
    if (own && callee.kind == VALUE_NONE) fault(b, at, "this is a tree of states, which cannot be applied");
    if (!own && !is_error(&callee)) fault(b, at, "%s cannot be applied", value_text(b, &callee));
  }
  b->frame = outer;
  return value;
}

Value repeat_template(Builder *b, Value template, Value count, const Expression *at) {
  int64_t times;
  if (!want_whole(b, &count, "the number of copies", &times)) return value_error;
  if (times < 1 || times > MAX_UNROLL)
    return fault(b, at, "%lld copies: 1 to %d are possible", (long long)times, MAX_UNROLL);
  Template *row = NEW(b->arena, Template);
  *row = (Template){.kind = TEMPLATE_REPEAT, .left = template, .count = times, .made = at};
  return (Value){.kind = VALUE_TEMPLATE, .template = row};
}

/* ---- calls as written ---- */

static Value callee_value(Builder *b, const Expression *callee) {
  if (callee->kind == EXPRESSION_NAME) return name_value(b, callee, true);
  return evaluate(b, callee);
}

/* The parameter that is the setting of this number; -1: none. */
static int setting_at(const Routine *routine, int number) {
  for (int k = 0; k < routine->parameters.count; k++)
    if (!routine->parameters.items[k].type && number-- == 0) return k;
  return -1;
}

/* What can be told of settings before there are inputs is told where they are written. */
static bool settings_fit(Builder *b, const Routine *routine, const Arguments *arguments, const Expression *at) {
  int settings = routine->parameters.count - input_count(routine), positional = 0;
  for (int k = 0; k < arguments->count; k++) {
    const char *name = arguments->items[k].name;
    int slot = name ? find_parameter(routine, name) : setting_at(routine, positional++);
    if (name && slot < 0) return no_parameter(b, routine, name, at);
    if (slot >= 0 && !takes_kind(b, routine, slot, &arguments->items[k].value, at)) return false;
  }
  if (positional <= settings) return true;
  fault(b, at, "'%s' takes %d setting%s, not %d", routine->name, settings, settings == 1 ? "" : "s", positional);
  help_for(b->diagnostics, "it is %s", parameter_list(b, routine));
  return false;
}

static Value template_with(Builder *b, const Template *def, const Arguments *arguments, const Expression *at) {
  if (def->routine && input_count(def->routine) > 0 && !settings_fit(b, def->routine, arguments, at)) return value_error;
  Template *template = NEW(b->arena, Template);
  *template = *def;
  template->arguments = *arguments;
  template->made = at;
  return (Value){.kind = VALUE_TEMPLATE, .template = template};
}

static Value call_value(Builder *b, Value callee, const Arguments *arguments, bool piped, const Expression *at) {
  if (callee.kind == VALUE_TEMPLATE && callee.template->kind == TEMPLATE_CALL && !callee.template->made) {
    const Template *template = callee.template;
    if (template->routine && !piped && !gives_inputs(template->routine, arguments)) {
      return template_with(b, template, arguments, at);
    }
    return call_template(b, template, arguments, at);
  }
  if (callee.kind != VALUE_TEMPLATE && callee.kind != VALUE_LAYER) {
    return is_error(&callee) ? value_error : fault(b, at, "%s cannot be called", value_text(b, &callee));
  }
  Value inputs[MAX_ARGUMENTS];
  if (arguments->count > MAX_ARGUMENTS) return fault(b, at, "too many arguments");
  for (int k = 0; k < arguments->count; k++) {
    inputs[k] = arguments->items[k].value;
    if (arguments->items[k].name)
      return fault(b, at, "a layer takes its inputs by position; '%s' was settled before", arguments->items[k].name);
  }
  return apply(b, callee, inputs, arguments->count, at);
}

Value evaluate_call(Builder *b, const Expression *expression) {
  Arguments arguments = {0};
  Value callee = callee_value(b, expression->call.callee);
  bool good = collect_arguments(b, expression, &arguments);
  if (is_error(&callee) || !good) return value_error;
  stand_at(b, expression);
  return call_value(b, callee, &arguments, false, expression);
}

/* infer, stop and frozen give a layer, which is then applied. */
static bool makes_layer(const Value *callee, const Expression *call) {
  if (callee->kind != VALUE_TEMPLATE || callee->template->kind != TEMPLATE_CALL || !callee->template->builtin) return false;
  const char *name = callee->template->builtin->name;
  return call->call.arguments.count == 1 && (!strcmp(name, "infer") || !strcmp(name, "frozen") || !strcmp(name, "stop"));
}

/* `layer | right`: right waits for what comes through. */
static Value waiting(Builder *b, const Expression *right) {
  if (right->kind == EXPRESSION_NAME) return name_value(b, right, true);
  if (right->kind != EXPRESSION_CALL) return evaluate(b, right);
  Value callee = callee_value(b, right->call.callee);
  if (callee.kind != VALUE_TEMPLATE || callee.template->kind != TEMPLATE_CALL || callee.template->made ||
      makes_layer(&callee, right)) {
    return evaluate(b, right);
  }
  const Template *template = callee.template;
  if (template->routine && input_count(template->routine) > 0) return evaluate(b, right);
  Arguments arguments = {0};
  if (!collect_arguments(b, right, &arguments)) return value_error;
  return template_with(b, template, &arguments, right);
}

Value evaluate_pipe(Builder *b, const Expression *expression) {
  const Expression *right = expression->operation.right;
  Value left = evaluate(b, expression->operation.left);
  if (is_error(&left)) return value_error;
  if (left.kind == VALUE_TEMPLATE || left.kind == VALUE_LAYER) {
    Value next = waiting(b, right);
    if (is_error(&next)) return value_error;
    if (next.kind != VALUE_TEMPLATE && next.kind != VALUE_LAYER) {
      return fault(b, right, "a layer goes on with a layer, not with %s", value_text(b, &next));
    }
    Template *row = NEW(b->arena, Template);
    *row = (Template){.kind = TEMPLATE_ROW, .left = left, .right = next, .made = expression};
    return (Value){.kind = VALUE_TEMPLATE, .template = row};
  }
  if (right->kind == EXPRESSION_CALL) {
    Value callee = callee_value(b, right->call.callee);
    if (is_error(&callee)) return value_error;
    if (!makes_layer(&callee, right)) {
      Arguments arguments = {0};
      give_argument(b, &arguments, NULL, left, expression->operation.left);
      if (!collect_arguments(b, right, &arguments)) return value_error;
      stand_at(b, right);
      return call_value(b, callee, &arguments, true, right);
    }
  }
  Value callee = right->kind == EXPRESSION_NAME ? name_value(b, right, true) : evaluate(b, right);
  if (is_error(&callee)) return value_error;
  stand_at(b, right);
  return apply(b, callee, &left, 1, right);
}
