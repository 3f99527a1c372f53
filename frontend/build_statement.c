/* Statements. */
#include "frontend/build.h"

#include <string.h>

/* Faults of a statement point at its operator or the name that it declares. */
static void stand_at_statement(Builder *b, const Statement *statement) {
  Expression *at = NEW(b->arena, Expression);
  *at = (Expression){.kind = EXPRESSION_NAME,
                     .offset = statement->offset,
                     .begin = statement->offset,
                     .end = statement->offset,
                     .source = statement->source};
  stand_at(b, at);
}

static bool is_weight_name(Builder *b, const char *name) {
  Variable *variable = local_variable(b->scope, name);
  if (variable) return variable->value.kind == VALUE_WEIGHT || variable->value.kind == VALUE_LAYER;
  Global *global = find_global(b->scope->file, name);
  return global && !b->frame->def &&
         (global->statement->kind == STATEMENT_PARAM || global->statement->kind == STATEMENT_STATE);
}

/* What a local holds stays as it is now, though a param be changed later; the node gets the local's name. */
static Value snapshot(Builder *b, const char *name, Value value) {
  Id id;
  if (value.kind == VALUE_WEIGHT && b->level) {
    if (!want_tensor(b, &value, NONE, &id)) return value_error;
    return value_tensor(b, id);
  }
  if (value.kind == VALUE_TENSOR && value.tensor.level == b->level) {
    Node *node = graph_node(b->level->graph, value.tensor.id);
    if (!node->name && node->op != OP_constant) node->name = name;
  }
  return value;
}

static void warn_of_shadow(Builder *b, const Expression *target) {
  const Global *global = find_global(b->scope->file, target->name);
  if (!global || !b->scope->file->source->users) return;
  StatementKind kind = global->statement->kind;
  if (kind != STATEMENT_LAYER && kind != STATEMENT_DIM) return;
  for (Scope *scope = b->scope; scope; scope = scope->parent) {
    if (local_variable(scope, target->name)) return;
  }
  warning_at(b->diagnostics, place_at(b, target), "'%s' hides the %s of that name", target->name,
             kind == STATEMENT_LAYER ? "layer" : "dim");
}

static void assign_name(Builder *b, const Expression *target, Value value) {
  warn_of_shadow(b, target);
  if (is_weight_name(b, target->name)) {
    fault(b, NULL, "'=' on '%s', which is a param or state", target->name);
    help_for(b->diagnostics, "':=' sets it; for a local choose another name");
    return;
  }
  if (value.kind == VALUE_NONE && b->at) {
    fault(b, NULL, "'%s' gets no value: the right side gives none", target->name);
    value = value_error;
  }
  set_variable(b, target->name, snapshot(b, target->name, value));
}

static Value run_assign(Builder *b, const Statement *statement) {
  int count = statement->assign.targets.count;
  Value value = evaluate(b, statement->assign.value);
  stand_at_statement(b, statement);
  if (count == 1) {
    assign_name(b, statement->assign.targets.items[0], value);
    return no_value;
  }
  bool fits = (value.kind == VALUE_TUPLE || value.kind == VALUE_LIST) && value.list.count == count;
  if (!fits && !is_error(&value)) {
    bool many = value.kind == VALUE_TUPLE || value.kind == VALUE_LIST;
    if (many) {
      fault(b, NULL, "%d names for %d values", count, value.list.count);
    } else {
      fault(b, NULL, "%d names for one value, %s", count, value_text(b, &value));
    }
  }
  for (int k = 0; k < count; k++) {
    assign_name(b, statement->assign.targets.items[k], fits ? value.list.items[k] : value_error);
  }
  return no_value;
}

static Value run_update(Builder *b, const Statement *statement) {
  int count = statement->assign.targets.count;
  if (!b->entry) {
    fault_in(b, statement->source, statement->offset, "':=' stands in a step or a def");
    return value_error;
  }
  if (!in_training(b)) {
    if (b->frame->def) return no_value;
    fault_in(b, statement->source, statement->offset, "':=' in a fn: a fn changes no state");
    help_for(b->diagnostics, "make '%s' a step", b->entry->routine->name);
    return value_error;
  }
  Value value = evaluate(b, statement->assign.value);
  bool fits = count == 1 || ((value.kind == VALUE_TUPLE || value.kind == VALUE_LIST) && value.list.count == count);
  if (!fits && !is_error(&value)) {
    fault_in(b, statement->source, statement->offset, "%d names for %s", count, value_text(b, &value));
  }
  for (int k = 0; k < count; k++) {
    const Expression *target = statement->assign.targets.items[k];
    Value left = target->kind == EXPRESSION_MEMBER ? member_value(b, target) : name_value(b, target, false);
    stand_at_statement(b, statement);
    update(b, left, !fits ? value_error : count == 1 ? value : value.list.items[k]);
  }
  return no_value;
}

static Value run_layer(Builder *b, const Statement *statement) {
  Part *outer = b->frame->naming ? b->frame->naming->part : NULL;
  if (!outer) {
    fault_in(b, statement->source, statement->offset, "a %s makes no layer of its own",
             b->entry && b->entry->routine->kind == ROUTINE_STEP ? "step" : "fn");
    help_for(b->diagnostics, "declare it at the top level of the file");
    set_variable(b, statement->layer.name, value_error);
    return value_error;
  }
  Value template = evaluate(b, statement->layer.value);
  if (template.kind != VALUE_TEMPLATE && template.kind != VALUE_LAYER) {
    if (!is_error(&template)) {
      fault(b, statement->layer.value, "a layer is made from a def or other layers, not from %s", value_text(b, &template));
    }
    set_variable(b, statement->layer.name, value_error);
    return value_error;
  }
  Part *part = find_part(b, outer, statement->layer.name, true);
  part->template = template;
  set_variable(b, statement->layer.name, (Value){.kind = VALUE_LAYER, .part = part});
  return no_value;
}

static Value run_weight(Builder *b, const Statement *statement) {
  Part *part = b->frame->naming ? b->frame->naming->part : NULL;
  Value value = declare_weight(b, statement, part);
  if (is_error(&value)) b->frame->failed = b->frame->def;
  set_variable(b, statement->weight.name, value);
  return no_value;
}

static Value run_for_turn(Builder *b, const Statement *statement, Value item) {
  set_variable(b, statement->loop.binding.name, item);
  return evaluate_block(b, &statement->loop.body, false);
}

static Value run_for(Builder *b, const Statement *statement) {
  const Expression *over = statement->loop.binding.over;
  if (over->kind == EXPRESSION_RANGE) {
    int64_t low, high;
    Value from = evaluate(b, over->range.low), to = evaluate(b, over->range.high);
    if (!want_whole(b, &from, "the range's start", &low) || !want_whole(b, &to, "the range's end", &high)) {
      return value_error;
    }
    if (high - low > MAX_UNROLL) return fault(b, over, "a for of more than %d turns; scan makes a loop", MAX_UNROLL);
    for (int64_t k = low; k < high; k++) run_for_turn(b, statement, value_whole(k));
    return no_value;
  }
  Value list = evaluate(b, over);
  if (is_error(&list)) return value_error;
  if (list.kind != VALUE_LIST && list.kind != VALUE_TUPLE) {
    fault(b, over, "a for runs over a range or a list, not %s", value_text(b, &list));
    if (is_data(&list)) help_for(b->diagnostics, "scan runs along an axis of a tensor");
    return value_error;
  }
  for (int k = 0; k < list.list.count; k++) run_for_turn(b, statement, list.list.items[k]);
  return no_value;
}

static Value run_yield(Builder *b, const Statement *statement) {
  Level *level = b->level;
  if (!level || !level->scan || level->scan->frame != b->frame) {
    fault_in(b, statement->source, statement->offset, "yield stands in the body of a scan");
    return value_error;
  }
  if (level->yielded) {
    fault_in(b, statement->source, statement->offset, "a second yield in one turn");
    return value_error;
  }
  level->yielded = true;
  for (int k = 0; k < statement->values.count; k++) {
    Value value = evaluate(b, statement->values.items[k]);
    Value *items = value.kind == VALUE_TUPLE ? value.list.items : &value;
    int count = value.kind == VALUE_TUPLE ? value.list.count : 1;
    for (int j = 0; j < count; j++) {
      Id id;
      if (!want_tensor(b, &items[j], NONE, &id)) return value_error;
      PUSH(b->arena, &level->yields, value_tensor(b, id));
    }
  }
  return no_value;
}

static Value run_expression(Builder *b, const Statement *statement, bool value_wanted) {
  Value value = evaluate(b, statement->expression);
  if (!value_wanted && is_error(&value)) b->frame->failed = b->frame->def; /* a check that did not hold */
  if (value_wanted || value.kind == VALUE_NONE || is_error(&value)) return value;
  fault(b, statement->expression, "the value is not used");
  help_for(b->diagnostics, "name it: y = ...");
  return value_error;
}

Value run_statement(Builder *b, const Statement *statement, bool value_wanted) {
  switch (statement->kind) {
  case STATEMENT_ASSIGN: return run_assign(b, statement);
  case STATEMENT_UPDATE: return run_update(b, statement);
  case STATEMENT_LAYER: return run_layer(b, statement);
  case STATEMENT_PARAM:
  case STATEMENT_STATE: return run_weight(b, statement);
  case STATEMENT_ASSERT: return run_assert(b, statement);
  case STATEMENT_EXPRESSION: return run_expression(b, statement, value_wanted);
  case STATEMENT_MINIMIZE: return run_minimize(b, statement);
  case STATEMENT_FOR: return run_for(b, statement);
  case STATEMENT_YIELD: return run_yield(b, statement);
  default: return value_error;
  }
}
