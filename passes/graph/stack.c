/* Pass stack: sums over turns that a loop carries become one fold behind the loop.
 *
 * The gradient of a weight that a loop uses is a carry that each turn adds a product to: thin, since a turn has few rows, and
 * the whole gradient is read and written each turn. If nothing else reads the carry, the turns' operands are stacked instead
 * (yielded, or built outside where they are ahead of the loop) and one contraction folds over turns and rows at once. */
#include "passes/graph/scans.h"

enum { THIN = 512 /* a product that folds over more in one turn may stay where it is */ };

typedef struct Stack {
  Graph *to;
  const Node *node;
  const Graph *body;
  const Id *operands;
  const Depends *depends;
  const int *users;
  ScanMore more; /* yields */
  int *yield;    /* by node of the body: 1 + which of more.yields it is */
  double budget;
  Id scan; /* the new one, once it is there */
  Outside outside;
  bool *dropped; /* by carry */
} Stack;

/* ---- whether a sum can go ---- */

/* What a carry adds up: the other operand of its only use, the sum that becomes its next value. */
static Id addend_of(const Stack *stack, int carry) {
  Id value = stack->body->results.items[carry].value;
  const Node *sum = graph_node(stack->body, value);
  if (sum->op != OP_add || sum->type.dtype != F32 || stack->users[value] != 1) return 0;
  for (int k = 0; k < 2; k++) {
    const Node *arg = graph_node(stack->body, sum->operands[k]);
    if (arg->op == OP_arg && arg->index == 1 + carry && stack->users[sum->operands[k]] == 1) return sum->operands[1 - k];
  }
  return 0;
}

/* Whether a value can be had for all turns: built outside from what is ahead if no product is in it, else yielded. */
static bool cheap_outside(const Stack *stack, Id id) {
  const Node *node = graph_node(stack->body, id);
  if (stack->depends[id] == CARRIED || node->op == OP_contract) return false;
  for (int k = 0; k < node->noperands; k++)
    if (!cheap_outside(stack, node->operands[k])) return false;
  return true;
}

static bool can_stack(Stack *stack, Id id, const Type *sum) {
  if (stack->depends[id] == INVARIANT || stack->yield[id] || cheap_outside(stack, id)) return true;
  const Type *type = graph_type(stack->body, id);
  double bytes = stacked_bytes(stack->node->scan, type);
  bool small = elements_at_bounds(type) <= elements_at_bounds(sum);
  if (!small || bytes > stack->budget || type->rank + 1 > MAX_RANK) return false;
  stack->budget -= bytes;
  PUSH(stack->body->module->arena, &stack->more.yields, id);
  stack->yield[id] = stack->more.yields.count;
  return true;
}

static bool is_thin(const Space *space) {
  double points = 1;
  for (int d = space->nresult; d < space->ndims; d++) points *= (double)space->extent[d]->high;
  return points <= THIN && space->ndims < MAX_LOOPS;
}

/* Sums, slices and reshapes of products and folds: all of them linear, so that they may follow the sum over turns. */
static bool can_sum(Stack *stack, Id id) {
  const Node *node = graph_node(stack->body, id);
  if (stack->depends[id] == INVARIANT) return false;
  switch (node->op) {
  case OP_contract:
    return is_thin(node->space) && can_stack(stack, node->operands[0], &node->type) &&
           can_stack(stack, node->operands[1], &node->type);
  case OP_fold_sum: return is_thin(node->space) && can_stack(stack, node->operands[0], &node->type);
  case OP_add: return can_sum(stack, node->operands[0]) && can_sum(stack, node->operands[1]);
  case OP_neg:
  case OP_reshape: return can_sum(stack, node->operands[0]);
  case OP_view: return node->number == 0 && can_sum(stack, node->operands[0]);
  default: return false;
  }
}

/* ---- building it behind the loop ---- */

static Id stacked(Stack *stack, Id id) {
  if (stack->yield[id]) {
    const Scan *old = stack->node->scan;
    return graph_pick(stack->to, stack->scan, old->ncarry + old->nyield + stack->yield[id] - 1);
  }
  return outside_build(&stack->outside, id);
}

static Id sum_outside(Stack *stack, Id id) {
  const Node *node = graph_node(stack->body, id);
  Graph *to = stack->to;
  if (node->op == OP_add) {
    Id left = sum_outside(stack, node->operands[0]);
    return graph_binary(to, OP_add, left, sum_outside(stack, node->operands[1]));
  }
  if (node->op == OP_neg) return graph_unary(to, OP_neg, sum_outside(stack, node->operands[0]));
  if (node->op == OP_view) return graph_view(to, sum_outside(stack, node->operands[0]), node->space, node->number);
  if (node->op == OP_reshape)
    return graph_reshape(to, sum_outside(stack, node->operands[0]), node->type.rank, node->type.size);
  bool has_turn[2] = {false, false};
  Id operands[2] = {0, 0};
  for (int k = 0; k < node->noperands; k++) {
    operands[k] = stacked(stack, node->operands[k]);
    has_turn[k] = stack->depends[node->operands[k]] != INVARIANT;
  }
  Space space = space_with_turn(to->module, node->space, stack->node->scan->trips, true, has_turn);
  return node->op == OP_contract ? graph_contract(to, operands[0], operands[1], &space)
                                 : graph_fold(to, OP_fold_sum, operands[0], &space);
}

/* ---- the pass ---- */

typedef struct Picks {
  const Graph *from;
  Id **sums; /* by scan of `from`: by carry, what its last value is; 0: as it was */
} Picks;

/* Products first: what they have stacked is there for the folds, which alone would not be worth it. */
static bool choose_carries(Stack *stack) {
  bool any = false;
  for (int round = 0; round < 2; round++) {
    for (int c = 0; c < stack->node->scan->ncarry; c++) {
      Id addend = stack->dropped[c] ? 0 : addend_of(stack, c);
      if (!addend || (round == 0) != (graph_node(stack->body, addend)->op != OP_fold_sum)) continue;
      ScanMore before = stack->more;
      double budget = stack->budget;
      if (can_sum(stack, addend)) {
        any = stack->dropped[c] = true;
        continue;
      }
      for (int y = before.yields.count; y < stack->more.yields.count; y++) stack->yield[stack->more.yields.items[y]] = 0;
      stack->more.yields.count = before.yields.count;
      stack->budget = budget;
    }
  }
  return any;
}

static Id stack_scan(Graph *to, const Node *node, const Id *renamed, Id *sums) {
  Arena *arena = to->module->arena;
  const Graph *body = node->scan->body;
  Id *operands = NEW_ARRAY(arena, Id, node->noperands + 1);
  for (int k = 0; k < node->noperands; k++) operands[k] = renamed[node->operands[k]];
  Stack stack = {.to = to,
                 .node = node,
                 .body = body,
                 .operands = operands,
                 .depends = scan_depends(node->scan),
                 .users = count_users(body),
                 .yield = NEW_ARRAY(arena, int, body->nodes.count),
                 .budget = SCAN_BUDGET,
                 .dropped = NEW_ARRAY(arena, bool, node->scan->ncarry + 1)};
  stack.outside = outside_new(to, node->scan, operands, stack.depends);
  if (!choose_carries(&stack)) return 0;
  stack.scan = scan_with_more(to, node, operands, &stack.more);
  for (int c = 0; c < node->scan->ncarry; c++)
    if (stack.dropped[c]) sums[c] = graph_binary(to, OP_add, operands[c], sum_outside(&stack, addend_of(&stack, c)));
  return stack.scan;
}

static Id stack_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  Picks *picks = user;
  const Node *node = graph_node(from, id);
  if (picks->from != from) *picks = (Picks){from, NEW_ARRAY(from->module->arena, Id *, from->nodes.count)};
  if (node->op == OP_scan) {
    Id *sums = picks->sums[id] = NEW_ARRAY(from->module->arena, Id, node->scan->ncarry + 1);
    return stack_scan(to, node, renamed, sums);
  }
  bool carry = node->op == OP_pick && picks->sums[node->operands[0]] &&
               node->index < graph_node(from, node->operands[0])->scan->ncarry;
  return carry ? picks->sums[node->operands[0]][node->index] : 0;
}

void pass_stack(Module *module) {
  Picks picks = {0};
  rewrite_entries(module, stack_node, &picks);
}
