/* The tree back to text: .nn again, in one form only. Every operation is in parentheses, so that the text shows what was
 * understood; one statement stands on a line, blocks are indented by two. What it prints reads back as the same tree. */
#include "frontend/syntax.h"

static void print_block(const Block *block, int indent, Text *out);
static void print_expression(const Expression *expression, int indent, Text *out);

static void print_list(Expression *const *items, int count, int indent, Text *out) {
  for (int i = 0; i < count; i++) {
    if (i) text_add(out, ", ");
    print_expression(items[i], indent, out);
  }
}

static void print_string(const char *string, Text *out) {
  text_add(out, "\"");
  for (; *string; string++) {
    if (*string == '\n')
      text_add(out, "\\n");
    else if (*string == '\t')
      text_add(out, "\\t");
    else
      text_add(out, *string == '"' || *string == '\\' ? "\\%c" : "%c", *string);
  }
  text_add(out, "\"");
}

/* What a call, an index or a dot is applied to: 3.x would not read back. */
static void print_object(const Expression *object, int indent, Text *out) {
  bool bare = object->kind != EXPRESSION_NUMBER;
  if (!bare) text_add(out, "(");
  print_expression(object, indent, out);
  if (!bare) text_add(out, ")");
}

static void print_call(const Expression *call, int indent, Text *out) {
  print_object(call->call.callee, indent, out);
  text_add(out, "(");
  for (int i = 0; i < call->call.arguments.count; i++) {
    const Argument *argument = &call->call.arguments.items[i];
    if (i) text_add(out, ", ");
    if (argument->name) text_add(out, "%s=", argument->name);
    print_expression(argument->value, indent, out);
  }
  text_add(out, ")");
}

static void print_index_item(const IndexItem *item, int indent, Text *out) {
  switch (item->kind) {
  case INDEX_AT: print_expression(item->at, indent, out); break;
  case INDEX_NEW_AXIS: text_add(out, "None"); break;
  case INDEX_ELLIPSIS: text_add(out, "..."); break;
  case INDEX_SLICE:
    if (item->start) print_expression(item->start, indent, out);
    text_add(out, ":");
    if (item->stop) print_expression(item->stop, indent, out);
    if (item->step) text_add(out, ":");
    if (item->step) print_expression(item->step, indent, out);
    break;
  }
}

static void print_index(const Expression *index, int indent, Text *out) {
  print_object(index->index.object, indent, out);
  text_add(out, "[");
  for (int i = 0; i < index->index.items.count; i++) {
    if (i) text_add(out, ", ");
    print_index_item(&index->index.items.items[i], indent, out);
  }
  text_add(out, "]");
}

static void print_operation(const Expression *expression, int indent, Text *out) {
  const char *operator= operator_text(expression->operation.operator);
  text_add(out, "(");
  if (expression->operation.left) {
    print_expression(expression->operation.left, indent, out);
    text_add(out, " %s ", operator);
  } else {
    text_add(out, expression->operation.operator== OPERATOR_NOT ? "%s " : "%s", operator);
  }
  print_expression(expression->operation.right, indent, out);
  text_add(out, ")");
}

static void print_binding(const Binding *binding, int indent, Text *out) {
  text_add(out, "%s in ", binding->name);
  print_expression(binding->over, indent, out);
}

static void print_scan(const ScanSyntax *scan, int indent, Text *out) {
  text_add(out, "scan ");
  for (int i = 0; i < scan->bindings.count; i++) {
    if (i) text_add(out, ", ");
    print_binding(&scan->bindings.items[i], indent, out);
  }
  if (scan->axis) {
    text_add(out, " axis ");
    print_expression(scan->axis, indent, out);
  }
  for (int i = 0; i < scan->carries.count; i++) {
    text_add(out, i ? ", %s = " : " carry %s = ", scan->carries.items[i].name);
    print_expression(scan->carries.items[i].start, indent, out);
  }
  text_add(out, " ");
  print_block(&scan->body, indent, out);
}

static void print_if(const Branch *branch, int indent, Text *out) {
  text_add(out, "if ");
  print_expression(branch->condition, indent, out);
  text_add(out, " ");
  print_block(&branch->then, indent, out);
  if (!branch->otherwise) return;
  text_add(out, " else ");
  print_block(branch->otherwise, indent, out);
}

static void print_expression(const Expression *expression, int indent, Text *out) {
  switch (expression->kind) {
  case EXPRESSION_NUMBER:
    if (expression->number.whole)
      text_add(out, "%lld", (long long)expression->number.value);
    else
      text_add_number(out, expression->number.real, false);
    break;
  case EXPRESSION_STRING: print_string(expression->string, out); break;
  case EXPRESSION_BOOL: text_add(out, expression->truth ? "true" : "false"); break;
  case EXPRESSION_NAME: text_add(out, "%s", expression->name); break;
  case EXPRESSION_MEMBER:
    print_object(expression->member.object, indent, out);
    text_add(out, ".%s", expression->member.name);
    break;
  case EXPRESSION_CALL: print_call(expression, indent, out); break;
  case EXPRESSION_INDEX: print_index(expression, indent, out); break;
  case EXPRESSION_LIST:
  case EXPRESSION_TUPLE:
    text_add(out, expression->kind == EXPRESSION_LIST ? "[" : "(");
    print_list(expression->items.items, expression->items.count, indent, out);
    if (expression->kind == EXPRESSION_LIST)
      text_add(out, "]");
    else
      text_add(out, expression->items.count == 1 ? ",)" : ")");
    break;
  case EXPRESSION_UNARY:
  case EXPRESSION_BINARY: print_operation(expression, indent, out); break;
  case EXPRESSION_RANGE:
    print_expression(expression->range.low, indent, out);
    text_add(out, "..");
    print_expression(expression->range.high, indent, out);
    break;
  case EXPRESSION_IF: print_if(&expression->branch, indent, out); break;
  case EXPRESSION_SCAN: print_scan(expression->scan, indent, out); break;
  case EXPRESSION_ELLIPSIS: text_add(out, "..."); break;
  case EXPRESSION_SPREAD: text_add(out, "%s...", expression->name); break;
  }
}

/* ---- statements ---- */

static void print_type(const TypeSyntax *type, int indent, Text *out) {
  static const char *const elements[] = {"", "f32", "i32", "bool"};
  text_add(out, ": %s", elements[type->element]);
  print_expression(type->shape, indent, out);
}

static void print_routine(const Routine *routine, Text *out) {
  static const char *const words[] = {"def", "fn", "step"};
  text_add(out, "%s %s(", words[routine->kind], routine->name);
  for (int i = 0; i < routine->parameters.count; i++) {
    const ParameterSyntax *parameter = &routine->parameters.items[i];
    text_add(out, i ? ", %s" : "%s", parameter->name);
    if (parameter->type) print_type(parameter->type, 0, out);
    if (!parameter->by_default) continue;
    text_add(out, " = ");
    print_expression(parameter->by_default, 0, out);
  }
  text_add(out, ")");
  for (int i = 0; i < routine->results.count; i++) text_add(out, i ? ", %s" : " -> (%s", routine->results.items[i].name);
  if (routine->results.count) text_add(out, ")");
  if (routine->value) {
    text_add(out, " = ");
    print_expression(routine->value, 0, out);
  } else if (routine->body) {
    text_add(out, " ");
    print_block(routine->body, 0, out);
  }
}

static void print_dim(const Statement *statement, Text *out) {
  text_add(out, "dim ");
  if (statement->dim.low) {
    print_expression(statement->dim.low, 0, out);
    text_add(out, " <= ");
  }
  text_add(out, "%s <= ", statement->dim.name);
  print_expression(statement->dim.high, 0, out);
  if (!statement->dim.by) return;
  text_add(out, " by ");
  print_expression(statement->dim.by, 0, out);
}

static void print_minimize(const Statement *statement, int indent, Text *out) {
  text_add(out, "minimize ");
  print_expression(statement->minimize.loss, indent, out);
  if (statement->minimize.over.count) text_add(out, " over ");
  print_list(statement->minimize.over.items, statement->minimize.over.count, indent, out);
  if (statement->minimize.clip) {
    text_add(out, " clip ");
    print_expression(statement->minimize.clip, indent, out);
  }
  text_add(out, " by ");
  print_expression(statement->minimize.optimizer, indent, out);
}

static void print_named(const char *word, const char *name, const TypeSyntax *type, const Expression *value, int indent,
                        Text *out) {
  text_add(out, "%s %s", word, name);
  if (type) print_type(type, indent, out);
  if (!value) return;
  text_add(out, " = ");
  print_expression(value, indent, out);
}

static void print_assert(const Statement *statement, int indent, Text *out) {
  text_add(out, "assert ");
  print_expression(statement->assertion.condition, indent, out);
  if (!statement->assertion.text) return;
  text_add(out, ", ");
  print_string(statement->assertion.text, out);
}

static void print_statement(const Statement *statement, int indent, Text *out) {
  switch (statement->kind) {
  case STATEMENT_MODEL: text_add(out, "model %s", statement->name); break;
  case STATEMENT_DIM: print_dim(statement, out); break;
  case STATEMENT_IMPORT:
    text_add(out, "import ");
    print_string(statement->import.path, out);
    break;
  case STATEMENT_ROUTINE: print_routine(statement->routine, out); break;
  case STATEMENT_LAYER: print_named("layer", statement->layer.name, NULL, statement->layer.value, indent, out); break;
  case STATEMENT_PARAM:
  case STATEMENT_STATE:
    print_named(statement->kind == STATEMENT_PARAM ? "param" : "state", statement->weight.name, &statement->weight.type,
                statement->weight.initialiser, indent, out);
    break;
  case STATEMENT_ASSIGN:
  case STATEMENT_UPDATE:
    print_list(statement->assign.targets.items, statement->assign.targets.count, indent, out);
    text_add(out, statement->kind == STATEMENT_UPDATE ? " := " : " = ");
    print_expression(statement->assign.value, indent, out);
    break;
  case STATEMENT_ASSERT: print_assert(statement, indent, out); break;
  case STATEMENT_EXPRESSION: print_expression(statement->expression, indent, out); break;
  case STATEMENT_MINIMIZE: print_minimize(statement, indent, out); break;
  case STATEMENT_FOR:
    text_add(out, "for ");
    print_binding(&statement->loop.binding, indent, out);
    text_add(out, " ");
    print_block(&statement->loop.body, indent, out);
    break;
  case STATEMENT_YIELD:
    text_add(out, "yield ");
    print_list(statement->values.items, statement->values.count, indent, out);
    break;
  }
}

static void print_block(const Block *block, int indent, Text *out) {
  text_add(out, "{\n");
  for (int i = 0; i < block->statements.count; i++) {
    text_add(out, "%*s", indent + 2, "");
    print_statement(block->statements.items[i], indent + 2, out);
    text_add(out, "\n");
  }
  text_add(out, "%*s}", indent, "");
}

void expression_print(const Expression *expression, Text *out) { print_expression(expression, 0, out); }

void syntax_print(const File *file, Text *out) {
  for (int i = 0; i < file->statements.count; i++) {
    print_statement(file->statements.items[i], 0, out);
    text_add(out, "\n");
  }
}
