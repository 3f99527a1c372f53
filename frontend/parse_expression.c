/* Expressions, by climbing: an operator that binds tighter than the one to its left takes its operands first. How tightly
 * each binds stands in SYNTAX_OPERATORS. Four things break the plain scheme: comparisons do not chain, `not` and the unary
 * minus stand before their operand, and ** groups from the right and lets a minus follow (2 ** -1). */
#include "frontend/parser.h"

#include <string.h>

enum {
  BINDS_PIPE = 1,
  BINDS_NOT = 4,
  BINDS_COMPARISON = 5,
  BINDS_SUM = 6,
  BINDS_PRODUCT = 7,
};

static const int binding_of[OPERATOR_COUNT] = {
#define X(name, text, binds) binds,
    SYNTAX_OPERATORS(X)
#undef X
};

Expression *make_expression(Parser *parser, ExpressionKind kind, uint32_t offset, uint32_t begin) {
  Expression *expression = NEW(parser->arena, Expression);
  expression->kind = kind;
  expression->offset = offset;
  expression->begin = begin;
  expression->end = parser->previous_end;
  expression->source = parser->source;
  set_height(parser, expression, 0);
  return expression;
}

void set_height(Parser *parser, Expression *expression, int height_below) {
  int height = MIN(height_below + 1, SYNTAX_HEIGHT + 1);
  expression->height = (uint16_t)height;
  parser->tallest = MAX(parser->tallest, height);
  if (height > SYNTAX_HEIGHT && !parser->panic) {
    fault_at(parser, expression->offset, "an expression of more than %d levels", SYNTAX_HEIGHT);
    fault_help(parser, "give parts of it names of their own");
  }
}

static int height_of(const Expression *expression) { return expression ? expression->height : 0; }

/* What stands for an expression after a fault. */
static Expression *junk(Parser *parser) {
  Expression *expression = make_expression(parser, EXPRESSION_NAME, parser->current.offset, parser->current.offset);
  expression->name = intern("");
  return expression;
}

/* ---- primaries ---- */

static Expression *parse_list_item(Parser *parser) {
  uint32_t offset = parser->current.offset;
  if (accept(parser, TOKEN_ELLIPSIS)) return make_expression(parser, EXPRESSION_ELLIPSIS, offset, offset);
  if (token_kind(parser) == TOKEN_NAME && parser->next.kind == TOKEN_ELLIPSIS) {
    const char *name = parser->current.text;
    advance(parser);
    advance(parser);
    Expression *spread = make_expression(parser, EXPRESSION_SPREAD, offset, offset);
    spread->name = name;
    return spread;
  }
  return parse_expression(parser);
}

static Expression *parse_list(Parser *parser) {
  uint32_t open = parser->current.offset;
  Expression *list = make_expression(parser, EXPRESSION_LIST, open, open);
  int tallest = 0;
  advance(parser);
  while (token_kind(parser) != TOKEN_RIGHT_BRACKET) {
    Expression *item = parse_list_item(parser);
    tallest = MAX(tallest, item->height);
    PUSH(parser->arena, &list->items, item);
    if (!accept(parser, TOKEN_COMMA)) break;
  }
  expect_close(parser, TOKEN_RIGHT_BRACKET, "',' or ']'", open);
  list->end = parser->previous_end;
  set_height(parser, list, tallest);
  return list;
}

/* Behind the first item, at a comma. What ends it is left to the caller. */
static Expression *parse_tuple(Parser *parser, Expression *first, uint32_t begin, bool bare) {
  Expression *tuple = make_expression(parser, EXPRESSION_TUPLE, begin, begin);
  int tallest = first->height;
  PUSH(parser->arena, &tuple->items, first);
  while (accept(parser, TOKEN_COMMA)) {
    if (!bare && token_kind(parser) == TOKEN_RIGHT_PAREN) break;
    Expression *item = parse_expression(parser);
    tallest = MAX(tallest, item->height);
    PUSH(parser->arena, &tuple->items, item);
  }
  tuple->end = parser->previous_end;
  set_height(parser, tuple, tallest);
  return tuple;
}

static Expression *parse_parenthesis(Parser *parser) {
  uint32_t open = parser->current.offset;
  advance(parser);
  if (token_kind(parser) == TOKEN_RIGHT_PAREN) {
    fault_at(parser, open, "an empty '( )' has no value");
    return junk(parser);
  }
  Expression *inner = parse_expression(parser);
  bool tuple = token_kind(parser) == TOKEN_COMMA;
  if (tuple) inner = parse_tuple(parser, inner, open, false);
  expect_close(parser, TOKEN_RIGHT_PAREN, tuple ? "',' or ')'" : "')'", open);
  if (tuple) inner->end = parser->previous_end;
  return inner;
}

/* `if c { } else { }`. An else on a line of its own comes too late: the newline has ended the statement. */
static Expression *parse_if(Parser *parser) {
  uint32_t begin = parser->current.offset;
  Expression *result = make_expression(parser, EXPRESSION_IF, begin, begin);
  advance(parser);
  result->branch.condition = parse_expression(parser);
  int then_height = parse_block(parser, &result->branch.then);
  int height = MAX(height_of(result->branch.condition), then_height);
  if (at_word(parser, WORD_ELSE)) {
    advance(parser);
    Block *otherwise = result->branch.otherwise = NEW(parser->arena, Block);
    if (at_word(parser, WORD_IF)) {
      Statement *statement = NEW(parser->arena, Statement);
      otherwise->offset = parser->current.offset;
      if (enter(parser))
        statement->expression = parse_if(parser);
      else
        statement->expression = junk(parser);
      leave(parser);
      statement->kind = STATEMENT_EXPRESSION;
      statement->last = true;
      statement->offset = statement->expression->offset;
      statement->source = parser->source;
      PUSH(parser->arena, &otherwise->statements, statement);
      otherwise->end = parser->previous_end;
      height = MAX(height, statement->expression->height);
    } else {
      int otherwise_height = parse_block(parser, otherwise);
      height = MAX(height, otherwise_height);
    }
  }
  result->end = parser->previous_end;
  set_height(parser, result, height);
  return result;
}

static Expression *parse_scan_expression(Parser *parser) {
  uint32_t begin = parser->current.offset;
  Expression *result = make_expression(parser, EXPRESSION_SCAN, begin, begin);
  int height = 0;
  advance(parser);
  result->scan = parse_scan(parser, &height);
  result->end = parser->previous_end;
  set_height(parser, result, height);
  return result;
}

/* A token that is a value by itself. */
static Expression *parse_leaf(Parser *parser, ExpressionKind kind) {
  Token token = parser->current;
  advance(parser);
  Expression *leaf = make_expression(parser, kind, token.offset, token.offset);
  if (kind == EXPRESSION_NUMBER)
    leaf->number = token.number;
  else if (kind == EXPRESSION_STRING)
    leaf->string = token.text;
  else if (kind == EXPRESSION_NAME)
    leaf->name = token.text;
  else
    leaf->truth = token.word == WORD_TRUE;
  return leaf;
}

static Expression *not_a_value(Parser *parser) {
  bool pipe = at_operator(parser, OPERATOR_PIPE), brace = token_kind(parser) == TOKEN_LEFT_BRACE;
  uint32_t offset = parser->current.offset;
  char before = offset ? parser->source->text[offset - 1] : ' ';
  bool assign = token_kind(parser) == TOKEN_ASSIGN && before && strchr("+-*/%@", before);
  bool plus = at_operator(parser, OPERATOR_ADD);
  if (token_kind(parser) == TOKEN_ELLIPSIS) {
    fault_at(parser, offset, "'...' stands only in a list that is a shape, or in an index");
  } else if (at_word(parser, WORD_NONE)) {
    fault_at(parser, offset, "'None' stands only in an index, where it makes a new axis");
  } else {
    fault_expected(parser, "a value");
  }
  if (pipe) fault_help(parser, "'x | f' needs a value on its left; is a line above it ended with ';' or with an operator?");
  if (brace) fault_help(parser, "a '{' follows only a header, an if, a for or a scan; lists stand in [ ]");
  if (assign) fault_help(parser, "there is no '%c=': write x = x %c y", before, before);
  if (plus) fault_help(parser, "there is no unary '+'");
  return junk(parser);
}

static Expression *parse_primary(Parser *parser) {
  switch (token_kind(parser)) {
  case TOKEN_NUMBER: return parse_leaf(parser, EXPRESSION_NUMBER);
  case TOKEN_STRING: return parse_leaf(parser, EXPRESSION_STRING);
  case TOKEN_NAME: return parse_leaf(parser, EXPRESSION_NAME);
  case TOKEN_LEFT_PAREN: return parse_parenthesis(parser);
  case TOKEN_LEFT_BRACKET: return parse_list(parser);
  case TOKEN_WORD:
    if (parser->current.word == WORD_TRUE || parser->current.word == WORD_FALSE) return parse_leaf(parser, EXPRESSION_BOOL);
    if (parser->current.word == WORD_IF) return parse_if(parser);
    if (parser->current.word == WORD_SCAN) return parse_scan_expression(parser);
    return not_a_value(parser);
  default: return not_a_value(parser);
  }
}

/* ---- calls, indices, dots ---- */

static Expression *parse_call(Parser *parser, Expression *callee) {
  uint32_t open = parser->current.offset;
  Expression *call = make_expression(parser, EXPRESSION_CALL, callee->offset, callee->begin);
  int tallest = callee->height;
  bool named = false;
  call->call.callee = callee;
  advance(parser);
  while (token_kind(parser) != TOKEN_RIGHT_PAREN) {
    Argument argument = {.offset = parser->current.offset};
    if (token_kind(parser) == TOKEN_NAME && parser->next.kind == TOKEN_ASSIGN) {
      argument.name = parser->current.text;
      named = true;
      advance(parser);
      advance(parser);
    } else if (named) {
      fault_at(parser, argument.offset, "an argument without a name after one with a name");
      fault_help(parser, "put it before them, or name it too");
    }
    argument.value = parse_expression(parser);
    tallest = MAX(tallest, argument.value->height);
    PUSH(parser->arena, &call->call.arguments, argument);
    if (!accept(parser, TOKEN_COMMA)) break;
  }
  expect_close(parser, TOKEN_RIGHT_PAREN, "',' or ')'", open);
  call->end = parser->previous_end;
  set_height(parser, call, tallest);
  return call;
}

static bool ends_slice_part(const Parser *parser) {
  TokenKind kind = token_kind(parser);
  return kind == TOKEN_COLON || kind == TOKEN_COMMA || kind == TOKEN_RIGHT_BRACKET;
}

static IndexItem parse_index_item(Parser *parser, int *tallest) {
  IndexItem item = {.kind = INDEX_AT, .offset = parser->current.offset};
  if (accept(parser, TOKEN_ELLIPSIS)) {
    item.kind = INDEX_ELLIPSIS;
    return item;
  }
  if (at_word(parser, WORD_NONE)) {
    advance(parser);
    item.kind = INDEX_NEW_AXIS;
    return item;
  }
  if (token_kind(parser) != TOKEN_COLON) item.at = parse_expression(parser);
  if (accept(parser, TOKEN_COLON)) {
    item.kind = INDEX_SLICE;
    item.start = item.at;
    item.at = NULL;
    if (!ends_slice_part(parser)) item.stop = parse_expression(parser);
    if (accept(parser, TOKEN_COLON) && !ends_slice_part(parser)) item.step = parse_expression(parser);
  }
  *tallest =
      MAX(MAX(*tallest, height_of(item.at)), MAX(height_of(item.start), MAX(height_of(item.stop), height_of(item.step))));
  return item;
}

static Expression *parse_index(Parser *parser, Expression *object) {
  uint32_t open = parser->current.offset;
  Expression *index = make_expression(parser, EXPRESSION_INDEX, open, object->begin);
  int tallest = object->height;
  index->index.object = object;
  advance(parser);
  if (token_kind(parser) == TOKEN_RIGHT_BRACKET) fault_at(parser, open, "an index without an item");
  while (token_kind(parser) != TOKEN_RIGHT_BRACKET) {
    IndexItem item = parse_index_item(parser, &tallest);
    PUSH(parser->arena, &index->index.items, item);
    if (!accept(parser, TOKEN_COMMA)) break;
  }
  expect_close(parser, TOKEN_RIGHT_BRACKET, "',' or ']'", open);
  index->end = parser->previous_end;
  set_height(parser, index, tallest);
  return index;
}

static Expression *parse_member(Parser *parser, Expression *object) {
  uint32_t offset;
  advance(parser);
  const char *name = expect_name(parser, "a name after '.'", &offset);
  Expression *member = make_expression(parser, EXPRESSION_MEMBER, offset, object->begin);
  member->member.object = object;
  member->member.name = name;
  set_height(parser, member, object->height);
  return member;
}

Expression *parse_postfix(Parser *parser) {
  if (!enter(parser)) {
    leave(parser);
    return junk(parser);
  }
  Expression *expression = parse_primary(parser);
  for (;;) {
    TokenKind kind = token_kind(parser);
    if (kind == TOKEN_LEFT_PAREN)
      expression = parse_call(parser, expression);
    else if (kind == TOKEN_LEFT_BRACKET)
      expression = parse_index(parser, expression);
    else if (kind == TOKEN_DOT)
      expression = parse_member(parser, expression);
    else
      break;
  }
  leave(parser);
  return expression;
}

/* ---- operators ---- */

static Expression *make_operation(Parser *parser, Operator operation, uint32_t offset, Expression *left,
                                  Expression *right) {
  ExpressionKind kind = left ? EXPRESSION_BINARY : EXPRESSION_UNARY;
  Expression *result = make_expression(parser, kind, offset, left ? left->begin : offset);
  result->operation.operator= operation;
  result->operation.left = left;
  result->operation.right = right;
  set_height(parser, result, MAX(height_of(left), right->height));
  return result;
}

static Expression *parse_operation(Parser *parser, int loosest);

/* The operand of a prefix operator: its kind of expression again, one deeper. */
static Expression *parse_under(Parser *parser, Expression *(*parse)(Parser *)) {
  Expression *operand = enter(parser) ? parse(parser) : junk(parser);
  leave(parser);
  return operand;
}

static Expression *parse_negation(Parser *parser) {
  uint32_t offset = parser->current.offset;
  if (at_operator(parser, OPERATOR_SUBTRACT)) {
    advance(parser);
    Expression *operand = parse_under(parser, parse_negation);
    return make_operation(parser, OPERATOR_NEGATE, offset, NULL, operand);
  }
  Expression *base = parse_postfix(parser);
  if (!at_operator(parser, OPERATOR_POWER)) return base;
  offset = parser->current.offset;
  advance(parser);
  return make_operation(parser, OPERATOR_POWER, offset, base, parse_under(parser, parse_negation));
}

static Expression *parse_not(Parser *parser) { return parse_operation(parser, BINDS_NOT); }

static Expression *parse_operation(Parser *parser, int loosest) {
  Expression *left;
  uint32_t offset = parser->current.offset;
  if (loosest <= BINDS_NOT && at_operator(parser, OPERATOR_NOT)) {
    advance(parser);
    left = make_operation(parser, OPERATOR_NOT, offset, NULL, parse_under(parser, parse_not));
  } else {
    left = parse_negation(parser);
  }
  bool compared = false;
  while (token_kind(parser) == TOKEN_OPERATOR) {
    Operator operation = parser->current.operation;
    int binds = binding_of[operation];
    if (binds < loosest || binds > BINDS_PRODUCT || binds == BINDS_NOT) break;
    offset = parser->current.offset;
    if (binds == BINDS_COMPARISON && compared) {
      fault_at(parser, offset, "'%s': comparisons are not chained", operator_text(operation));
      fault_help(parser, "write a < b and b < c");
      break;
    }
    compared = binds == BINDS_COMPARISON;
    advance(parser);
    left = make_operation(parser, operation, offset, left, parse_operation(parser, binds + 1));
  }
  return left;
}

Expression *parse_expression(Parser *parser) { return parse_operation(parser, BINDS_PIPE); }
Expression *parse_sum(Parser *parser) { return parse_operation(parser, BINDS_SUM); }

Expression *parse_expression_list(Parser *parser) {
  uint32_t begin = parser->current.offset;
  Expression *first = parse_expression(parser);
  return token_kind(parser) == TOKEN_COMMA ? parse_tuple(parser, first, begin, true) : first;
}

/* ---- scan ---- */

Expression *parse_range(Parser *parser) {
  uint32_t begin = parser->current.offset;
  Expression *low = parse_expression(parser);
  uint32_t offset = parser->current.offset;
  if (!accept(parser, TOKEN_RANGE)) return low;
  Expression *high = parse_expression(parser);
  Expression *range = make_expression(parser, EXPRESSION_RANGE, offset, begin);
  range->range.low = low;
  range->range.high = high;
  set_height(parser, range, MAX(low->height, high->height));
  return range;
}

Binding parse_binding(Parser *parser) {
  Binding binding = {0};
  binding.name = expect_name(parser, "a name", &binding.offset);
  if (at_word(parser, WORD_IN))
    advance(parser);
  else
    fault_expected(parser, "'in'");
  binding.over = parse_range(parser);
  return binding;
}

ScanSyntax *parse_scan(Parser *parser, int *height) {
  ScanSyntax *scan = NEW(parser->arena, ScanSyntax);
  do {
    Binding binding = parse_binding(parser);
    *height = MAX(*height, binding.over->height);
    PUSH(parser->arena, &scan->bindings, binding);
  } while (accept(parser, TOKEN_COMMA));
  if (accept_name(parser, "axis")) {
    scan->axis = parse_expression(parser);
    *height = MAX(*height, scan->axis->height);
  }
  if (accept_name(parser, "carry")) {
    do {
      Carry carry = {0};
      carry.name = expect_name(parser, "the name of a carried value", &carry.offset);
      expect(parser, TOKEN_ASSIGN, "'=' and the value that it starts with");
      carry.start = parse_expression(parser);
      *height = MAX(*height, carry.start->height);
      PUSH(parser->arena, &scan->carries, carry);
    } while (accept(parser, TOKEN_COMMA));
  }
  int body_height = parse_block(parser, &scan->body);
  *height = MAX(*height, body_height);
  return scan;
}
