/* Pass hoist: what a loop need not compute turn by turn is computed in front of it.
 *
 * Where a turn has few rows, a product of a value that is ahead of the loop with one that every turn has (an input of the
 * turn by a slice of the weights) becomes one large product over all turns, whose result the loop reads as a slice: a tile
 * then has trips times the rows. What the product ends up in goes along if it is no larger. What every turn computes alike is computed once and
 * captured. And weights that a turn's product reads across, so that each turn would transpose them, are transposed once. */
#include "passes/graph/scans.h"

typedef struct Hoist {
  Outside outside;
  ScanMore more;
  const Graph *body;
  const Depends *depends;
  const int *users;
  bool *taken;
  double budget;
} Hoist;

/* ---- products that are ahead ---- */

static void hoist_ahead(Hoist *hoist, Id id) {
  const Node *node = graph_node(hoist->body, id);
  if (node->op != OP_contract || hoist->depends[id] != AHEAD) return;
  int ahead = hoist->depends[node->operands[0]] == AHEAD ? 0 : 1;
  if (hoist->depends[node->operands[1 - ahead]] != INVARIANT || turn_fills_tiles(node->space, ahead)) return;
  bool *stays = NEW_ARRAY(hoist->body->module->arena, bool, hoist->body->nodes.count);
  for (Id other = 1; other < hoist->body->nodes.count; other++) stays[other] = hoist->depends[other] == AHEAD;
  Id end = end_of_chain(hoist->body, id, hoist->users, stays);
  double bytes = stacked_bytes(hoist->outside.scan, graph_type(hoist->body, end));
  if (hoist->taken[end] || bytes > hoist->budget) return;
  hoist->taken[end] = true;
  hoist->budget -= bytes;
  PUSH(hoist->body->module->arena, &hoist->more.slices, ((Given){end, outside_build(&hoist->outside, end)}));
}

/* ---- what every turn computes alike ---- */

/* Reading it costs no more than reading what it is made of. */
static bool is_free(const Node *node) {
  bool source = op_info[node->op].flags & SOURCE && node->op != OP_random;
  return source || (node->op == OP_view && !node->materialise) || node->op == OP_reshape || node->op == OP_cast ||
         node->op == OP_stop;
}

/* Not free, invariant, and read by a node that is not invariant. */
static void hoist_invariant(Hoist *hoist, Id id) {
  const Node *user = graph_node(hoist->body, id);
  for (int k = 0; hoist->depends[id] != INVARIANT && k < user->noperands; k++) {
    Id operand = user->operands[k], made = operand;
    while (is_free(graph_node(hoist->body, made)) && graph_node(hoist->body, made)->noperands == 1)
      made = graph_node(hoist->body, made)->operands[0];
    if (hoist->depends[made] != INVARIANT || hoist->taken[made] || is_free(graph_node(hoist->body, made))) continue;
    hoist->taken[made] = true;
    PUSH(hoist->body->module->arena, &hoist->more.captures, ((Given){made, outside_build(&hoist->outside, made)}));
  }
}

/* ---- the pass ---- */

static Id hoist_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  const Node *node = graph_node(from, id);
  (void)user;
  if (node->op != OP_scan) return 0;
  const Graph *body = node->scan->body;
  Arena *arena = to->module->arena;
  Id *operands = NEW_ARRAY(arena, Id, node->noperands + 1);
  for (int k = 0; k < node->noperands; k++) operands[k] = renamed[node->operands[k]];
  const Depends *depends = scan_depends(node->scan);
  Hoist hoist = {.outside = outside_new(to, node->scan, operands, depends),
                 .body = body,
                 .depends = depends,
                 .users = count_users(body),
                 .taken = NEW_ARRAY(arena, bool, body->nodes.count),
                 .budget = SCAN_BUDGET};
  for (Id inner = 1; inner < body->nodes.count; inner++) {
    hoist_ahead(&hoist, inner);
    hoist_invariant(&hoist, inner);
  }
  return scan_with_more(to, node, operands, &hoist.more);
}

void pass_hoist(Module *module) { rewrite_entries(module, hoist_node, NULL); }
