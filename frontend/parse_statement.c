/* Statements and declarations. A statement is told by its first word; model, dim, layer, step, param and state are words
 * only if a name follows (dim: or a number), which no expression could make sense of, and are free as names elsewhere.
 * Anything else begins with an expression, and what follows tells whether that was a target. */
#include "frontend/parser.h"

static Statement *make_statement(Parser *parser, StatementKind kind, uint32_t offset) {
  Statement *statement = NEW(parser->arena, Statement);
  statement->kind = kind;
  statement->offset = offset;
  statement->source = parser->source;
  return statement;
}

/* ---- types and headers ---- */

TypeSyntax *parse_type(Parser *parser) {
  static const char *const names[] = {"f32", "i32", "bool"};
  TypeSyntax *type = NEW(parser->arena, TypeSyntax);
  type->offset = parser->current.offset;
  for (int i = 0; i < COUNT_OF(names); i++) {
    if (!at_name(parser, names[i])) continue;
    type->element = (WrittenType)(TYPE_F32 + i);
    advance(parser);
    if (token_kind(parser) != TOKEN_LEFT_BRACKET) {
      fault_expected(parser, "'[' and a shape");
      fault_help(parser, "a scalar is %s[]", names[i]);
    }
    break;
  }
  type->shape = parse_sum(parser);
  return type;
}

static void parse_parameters(Parser *parser, Routine *routine) {
  uint32_t open = parser->current.offset;
  expect(parser, TOKEN_LEFT_PAREN, "'('");
  while (!parser->panic && token_kind(parser) != TOKEN_RIGHT_PAREN) {
    ParameterSyntax parameter = {0};
    parameter.name = expect_name(parser, "the name of a parameter", &parameter.offset);
    if (accept(parser, TOKEN_COLON)) parameter.type = parse_type(parser);
    if (accept(parser, TOKEN_ASSIGN)) parameter.by_default = parse_expression(parser);
    PUSH(parser->arena, &routine->parameters, parameter);
    if (!accept(parser, TOKEN_COMMA)) break;
  }
  expect_close(parser, TOKEN_RIGHT_PAREN, "',' or ')'", open);
}

static void parse_results(Parser *parser, Routine *routine) {
  if (token_kind(parser) != TOKEN_ARROW) return;
  if (routine->kind == ROUTINE_DEF) {
    fault_at(parser, parser->current.offset, "'->': a def has no list of results");
    fault_help(parser, "the last expression of a def is its value");
    return;
  }
  advance(parser);
  routine->has_results = true;
  uint32_t open = parser->current.offset;
  bool parenthesis = accept(parser, TOKEN_LEFT_PAREN);
  do {
    ResultSyntax result = {0};
    if (parenthesis && routine->results.count && token_kind(parser) == TOKEN_RIGHT_PAREN) break;
    result.name = expect_name(parser, "the name of a result", &result.offset);
    PUSH(parser->arena, &routine->results, result);
  } while (accept(parser, TOKEN_COMMA) && parenthesis);
  if (parenthesis) expect_close(parser, TOKEN_RIGHT_PAREN, "',' or ')'", open);
}

/* A fault in the header does not hide those in the body: reading goes on at its brace, if it stands on the same line. */
static void recover_to_body(Parser *parser, int depth) {
  parser->panic = false;
  while (parser->current.kind != TOKEN_END && parser->current.depth >= depth) {
    if (parser->current.kind == TOKEN_LEFT_BRACE || parser->current.kind == TOKEN_NEWLINE) break;
    advance(parser);
  }
  if (parser->current.kind != TOKEN_LEFT_BRACE) parser->panic = true; /* the statement is lost */
}

Routine *parse_routine(Parser *parser, RoutineKind kind) {
  Routine *routine = NEW(parser->arena, Routine);
  int depth = parser->current.depth;
  routine->kind = kind;
  routine->source = parser->source;
  advance(parser);
  routine->name = expect_name(parser, "a name", &routine->offset);
  parse_parameters(parser, routine);
  parse_results(parser, routine);
  if (parser->panic) recover_to_body(parser, depth);
  if (accept(parser, TOKEN_ASSIGN)) {
    routine->value = parse_expression(parser);
  } else if (token_kind(parser) == TOKEN_LEFT_BRACE) {
    routine->body = NEW(parser->arena, Block);
    parse_block(parser, routine->body);
  } else {
    bool colon = token_kind(parser) == TOKEN_COLON;
    fault_expected(parser, kind == ROUTINE_DEF || routine->has_results ? "'{' or '='" : "'->', '{' or '='");
    if (colon) fault_help(parser, "a body stands in { }, or is one expression behind '='");
  }
  return routine;
}

/* ---- declarations ---- */

static Statement *parse_model(Parser *parser) {
  uint32_t offset;
  advance(parser);
  const char *name = expect_name(parser, "the name of the model", &offset);
  Statement *statement = make_statement(parser, STATEMENT_MODEL, offset);
  statement->name = name;
  return statement;
}

/* `N <= 256`, `5 <= T <= 200`, `H <= 512 by 32`. What stands first is the name only if no second <= comes. */
static Statement *parse_dim(Parser *parser) {
  Statement *statement = make_statement(parser, STATEMENT_DIM, parser->current.offset);
  advance(parser);
  Expression *name = parse_sum(parser), *low = NULL;
  if (!at_operator(parser, OPERATOR_LESS_EQUAL)) {
    fault_expected(parser, "'<='");
    fault_help(parser, "a dim has a bound: dim N <= 256");
    return statement;
  }
  advance(parser);
  Expression *high = parse_sum(parser);
  if (at_operator(parser, OPERATOR_LESS_EQUAL)) {
    advance(parser);
    low = name;
    name = high;
    high = parse_sum(parser);
  }
  if (name->kind != EXPRESSION_NAME) {
    fault_at(parser, name->offset, "expected the name of the dim");
    fault_help(parser, "write dim N <= 256, or dim 5 <= N <= 200");
    return statement;
  }
  statement->offset = name->offset;
  statement->dim.name = name->name;
  statement->dim.low = low;
  statement->dim.high = high;
  if (accept_name(parser, "by")) statement->dim.by = parse_sum(parser);
  return statement;
}

static Statement *parse_import(Parser *parser) {
  advance(parser);
  Statement *statement = make_statement(parser, STATEMENT_IMPORT, parser->current.offset);
  statement->import.path = parser->current.text;
  expect(parser, TOKEN_STRING, "the path of a file, in double quotes");
  return statement;
}

static Statement *parse_layer(Parser *parser) {
  uint32_t offset;
  advance(parser);
  const char *name = expect_name(parser, "the name of the layer", &offset);
  Statement *statement = make_statement(parser, STATEMENT_LAYER, offset);
  statement->layer.name = name;
  bool call = token_kind(parser) == TOKEN_LEFT_PAREN;
  expect(parser, TOKEN_ASSIGN, "'='");
  if (call) fault_help(parser, "what it is stands behind the name: layer %s = dense(10)", name);
  statement->layer.value = parse_expression(parser);
  return statement;
}

static Statement *parse_weight(Parser *parser, StatementKind kind) {
  uint32_t offset;
  advance(parser);
  const char *name = expect_name(parser, "a name", &offset);
  Statement *statement = make_statement(parser, kind, offset);
  statement->weight.name = name;
  if (token_kind(parser) != TOKEN_COLON) {
    fault_expected(parser, "':' and a shape");
    fault_help(parser, "a scalar is %s %s: [] = 0", kind == STATEMENT_PARAM ? "param" : "state", name);
    return statement;
  }
  advance(parser);
  statement->weight.type = *parse_type(parser);
  if (accept(parser, TOKEN_ASSIGN)) statement->weight.initialiser = parse_expression(parser);
  return statement;
}

/* ---- assignments and values ---- */

static void check_target(Parser *parser, const Expression *target, bool update) {
  const Expression *root = target;
  while (root->kind == EXPRESSION_MEMBER) root = root->member.object;
  const char *sign = update ? ":=" : "=";
  if (target->kind == EXPRESSION_INDEX) {
    fault_at(parser, target->offset, "'%s' cannot set a part of a tensor", sign);
    fault_help(parser, "make a new one, with where, concat or scatter_add");
  } else if (root->kind != EXPRESSION_NAME) {
    fault_at(parser, target->offset, "'%s' needs a name on its left", sign);
    if (!update) fault_help(parser, "to compare, write '=='");
  } else if (target->kind == EXPRESSION_MEMBER && !update) {
    fault_at(parser, target->offset, "'=' on a part of a layer");
    fault_help(parser, "a param or state is set with ':='");
  }
}

static Statement *parse_assignment(Parser *parser, Expression *left) {
  bool update = token_kind(parser) == TOKEN_UPDATE;
  Statement *statement = make_statement(parser, update ? STATEMENT_UPDATE : STATEMENT_ASSIGN, parser->current.offset);
  if (left->kind == EXPRESSION_TUPLE) {
    for (int i = 0; i < left->items.count; i++) PUSH(parser->arena, &statement->assign.targets, left->items.items[i]);
  } else {
    PUSH(parser->arena, &statement->assign.targets, left);
  }
  for (int i = 0; i < statement->assign.targets.count; i++)
    check_target(parser, statement->assign.targets.items[i], update);
  advance(parser);
  statement->assign.value = parse_expression_list(parser);
  if (token_kind(parser) == TOKEN_ASSIGN || token_kind(parser) == TOKEN_UPDATE)
    fault_at(parser, parser->current.offset, "one statement assigns once");
  return statement;
}

static Statement *parse_simple(Parser *parser, bool top) {
  Expression *left = parse_expression_list(parser);
  TokenKind kind = token_kind(parser);
  if (kind == TOKEN_ASSIGN || (kind == TOKEN_UPDATE && !top)) return parse_assignment(parser, left);
  if (kind == TOKEN_UPDATE) {
    fault_at(parser, parser->current.offset, "':=' stands in a step, or in a def that a step calls");
  } else if (top && kind != TOKEN_ERROR) {
    fault_at(parser, left->offset, "an expression whose value is not used");
    fault_help(parser, "at the top level stand model, dim, import, constants, def, layer, fn, step, param and state");
  }
  Statement *statement = make_statement(parser, STATEMENT_EXPRESSION, left->offset);
  statement->expression = left;
  return statement;
}

/* ---- statements of blocks ---- */

static Statement *parse_assert(Parser *parser) {
  Statement *statement = make_statement(parser, STATEMENT_ASSERT, parser->current.offset);
  advance(parser);
  statement->assertion.condition = parse_expression(parser);
  if (accept(parser, TOKEN_COMMA)) {
    statement->assertion.text = parser->current.text;
    expect(parser, TOKEN_STRING, "a text in double quotes");
  }
  return statement;
}

static Statement *parse_yield(Parser *parser) {
  Statement *statement = make_statement(parser, STATEMENT_YIELD, parser->current.offset);
  advance(parser);
  do {
    Expression *value = parse_expression(parser);
    PUSH(parser->arena, &statement->values, value);
  } while (accept(parser, TOKEN_COMMA));
  return statement;
}

static Statement *parse_for(Parser *parser) {
  Statement *statement = make_statement(parser, STATEMENT_FOR, parser->current.offset);
  advance(parser);
  statement->loop.binding = parse_binding(parser);
  int height = parse_block(parser, &statement->loop.body);
  parser->tallest = MAX(parser->tallest, height + 1); /* the loop is a level of its own */
  return statement;
}

static Statement *parse_minimize(Parser *parser) {
  Statement *statement = make_statement(parser, STATEMENT_MINIMIZE, parser->current.offset);
  advance(parser);
  statement->minimize.loss = parse_expression(parser);
  if (accept_name(parser, "over")) {
    do {
      Expression *part = parse_postfix(parser);
      const Expression *root = part;
      while (root->kind == EXPRESSION_MEMBER) root = root->member.object;
      if (root->kind != EXPRESSION_NAME) fault_at(parser, part->offset, "'over' takes names of layers and params");
      PUSH(parser->arena, &statement->minimize.over, part);
    } while (accept(parser, TOKEN_COMMA));
  }
  if (accept_name(parser, "clip")) statement->minimize.clip = parse_expression(parser);
  if (!accept_name(parser, "by")) {
    fault_expected(parser, "'by' and an optimizer");
    fault_help(parser, "minimize loss [over a, b] [clip c] by sgd(lr)");
    return statement;
  }
  Expression *optimizer = parse_postfix(parser);
  if (optimizer->kind != EXPRESSION_CALL && optimizer->kind != EXPRESSION_NAME)
    fault_at(parser, optimizer->offset, "after 'by' stands an optimizer, as in sgd(lr)");
  statement->minimize.optimizer = optimizer;
  return statement;
}

/* ---- which statement it is ---- */

/* `layer x`: two names side by side; or a name and a word of the language, which is then told to be no name. */
static bool declares(const Parser *parser, const char *word) {
  return at_name(parser, word) && (parser->next.kind == TOKEN_NAME || parser->next.kind == TOKEN_WORD);
}

/* NULL: none of these. */
static Statement *parse_top_level(Parser *parser, bool top) {
  uint32_t offset = parser->current.offset;
  Statement *statement = NULL;
  const char *word = NULL;
  RoutineKind kind = ROUTINE_DEF;
  if (at_word(parser, WORD_DEF))
    word = "def";
  else if (at_word(parser, WORD_FN))
    word = "fn", kind = ROUTINE_FN;
  else if (declares(parser, "step"))
    word = "step", kind = ROUTINE_STEP;
  if (word) {
    statement = make_statement(parser, STATEMENT_ROUTINE, offset);
    if (top) {
      statement->routine = parse_routine(parser, kind);
      statement->offset = statement->routine->offset;
    }
  } else if (at_word(parser, WORD_IMPORT)) {
    word = "import";
    if (top) statement = parse_import(parser);
  } else if (declares(parser, "model")) {
    word = "model";
    if (top) statement = parse_model(parser);
  } else if (declares(parser, "dim") || (at_name(parser, "dim") && parser->next.kind == TOKEN_NUMBER)) {
    word = "dim";
    if (top) statement = parse_dim(parser);
  }
  if (word && !top) {
    fault_at(parser, offset, "'%s' stands only at the top level", word);
    if (!statement) statement = make_statement(parser, STATEMENT_IMPORT, offset);
  }
  return statement;
}

static Statement *parse_word(Parser *parser, bool top) {
  Statement *(*parse)(Parser *) = NULL;
  switch (parser->current.word) {
  case WORD_ASSERT: return parse_assert(parser);
  case WORD_FOR: parse = parse_for; break;
  case WORD_MINIMIZE: parse = parse_minimize; break;
  case WORD_YIELD: parse = parse_yield; break;
  case WORD_ELSE:
    fault_at(parser, parser->current.offset, "'else' without an 'if' before it on the line");
    fault_help(parser, "put 'else' on the line of the '}' that it follows");
    return make_statement(parser, STATEMENT_YIELD, parser->current.offset);
  default: return parse_simple(parser, top);
  }
  if (!top) return parse(parser);
  uint32_t length = parser->current.end - parser->current.offset;
  const char *place = parser->current.word == WORD_YIELD      ? "a scan"
                      : parser->current.word == WORD_MINIMIZE ? "a step"
                                                              : "a def, fn or step";
  fault_at(parser, parser->current.offset, "'%.*s' stands only in %s", (int)length,
           parser->source->text + parser->current.offset, place);
  return make_statement(parser, STATEMENT_YIELD, parser->current.offset);
}

Statement *parse_statement(Parser *parser, bool top) {
  Statement *statement = parse_top_level(parser, top);
  if (statement) return statement;
  if (token_kind(parser) == TOKEN_WORD) return parse_word(parser, top);
  if (declares(parser, "layer")) return parse_layer(parser);
  if (declares(parser, "param")) return parse_weight(parser, STATEMENT_PARAM);
  if (declares(parser, "state")) return parse_weight(parser, STATEMENT_STATE);
  return parse_simple(parser, top);
}

/* ---- blocks ---- */

/* A minus may begin the first line of a block, or stand behind a ';': there it cannot be meant to go on. */
static void check_first_token(Parser *parser, bool first) {
  if (token_kind(parser) != TOKEN_OPERATOR || !parser->current.starts_line) return;
  Operator operation = parser->current.operation;
  bool minus = operation == OPERATOR_SUBTRACT;
  if (operation == OPERATOR_NOT || operation == OPERATOR_PIPE || (minus && first)) return;
  fault_at(parser, parser->current.offset, "a line begins with '%s'", operator_text(operation));
  if (operation == OPERATOR_FLOOR_DIVIDE) {
    fault_help(parser, "a comment begins with #");
    return;
  }
  fault_help(parser, "put the operator at the end of the line before, or the expression in ( )");
  if (minus) fault_help(parser, "if this is a value of its own, write (-x)");
}

void parse_statements(Parser *parser, Block *block, bool top) {
  int depth = parser->current.depth;
  bool first = true;
  for (;;) {
    while (accept(parser, TOKEN_NEWLINE)) {}
    TokenKind kind = token_kind(parser);
    if (kind == TOKEN_END || parser->current.depth < depth) return;
    if (kind == TOKEN_RIGHT_BRACE && top) {
      fault_at(parser, parser->current.offset, "'}' without a '{'");
      parser->panic = false;
      advance(parser);
      continue;
    }
    check_first_token(parser, first);
    bool returns = at_name(parser, "return");
    Statement *statement = parse_statement(parser, top);
    first = false;
    kind = token_kind(parser);
    bool ends =
        kind == TOKEN_NEWLINE || kind == TOKEN_END || parser->current.depth < depth || (parser->resumed && !parser->panic);
    parser->resumed = false;
    if (!ends && !parser->panic) {
      bool at_if = at_word(parser, WORD_IF);
      fault_expected(parser, "the end of the statement");
      if (returns)
        fault_help(parser, "a fn or step sets its results by name; a def's value is its last expression");
      else if (at_if)
        fault_help(parser, "choose with if c { a } else { b }, or where(c, a, b)");
      else if (kind == TOKEN_NAME || kind == TOKEN_WORD || kind == TOKEN_NUMBER)
        fault_help(parser, "put an operator between them, or ';' or a new line");
    }
    if (parser->panic)
      recover(parser, depth);
    else
      PUSH(parser->arena, &block->statements, statement);
  }
}

int parse_block(Parser *parser, Block *block) {
  int tallest_before = parser->tallest;
  parser->tallest = 0;
  block->offset = parser->current.offset;
  int depth = parser->current.depth;
  if (!enter(parser)) parser->panic = true;
  expect(parser, TOKEN_LEFT_BRACE, "'{'");
  if (!parser->panic && parser->current.depth > depth) parse_statements(parser, block, false);
  leave(parser);
  block->end = parser->current.offset;
  bool forgotten = !parser->panic && parser->current.kind != TOKEN_RIGHT_BRACE && parser->current.starts_line;
  expect_close(parser, TOKEN_RIGHT_BRACE, "'}'", block->offset);
  if (forgotten) { /* the lexer saw a declaration at the left edge: all is well from there */
    parser->panic = false;
    parser->resumed = true;
  }
  if (block->statements.count) block->statements.items[block->statements.count - 1]->last = true;
  int height = parser->tallest;
  parser->tallest = MAX(tallest_before, height);
  return height;
}
