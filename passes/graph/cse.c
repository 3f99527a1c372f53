/* Pass cse: equal nodes become one.
 *
 * Nodes are equal if op, type, attribute and (renamed) operands are; what commutes is equal either way round. A hash table
 * holds the nodes of the graph being built. Scans are left alone, their bodies are not. Numbers are compared as bits, so
 * that 0 and -0 stay two. */
#include "passes/graph/rewrite.h"

#include <string.h>

typedef struct Table {
  const Graph *from;
  Id *slots; /* in `to`; 0: free. A power of two, at least twice the nodes */
  uint64_t mask;
} Table;

/* ---- hashing ---- */

static void mix(uint64_t *hash, uint64_t word) { *hash = (*hash ^ word) * 0x9e3779b97f4a7c15u, *hash ^= *hash >> 29; }
static void mix_pointer(uint64_t *hash, const void *pointer) { mix(hash, (uint64_t)(uintptr_t)pointer); }

static uint64_t hash_node(const Node *node) {
  uint64_t hash = 0, operands = 0, number;
  memcpy(&number, &node->number, sizeof number);
  mix(&hash, (uint64_t)node->op << 32 | (uint64_t)node->type.dtype << 8 | (uint64_t)node->type.rank);
  for (int k = 0; k < node->type.rank; k++) mix_pointer(&hash, node->type.size[k]);
  for (int k = 0; k < node->noperands; k++) {
    if (op_info[node->op].flags & COMMUTES)
      operands += (uint64_t)node->operands[k] * (uint64_t)node->operands[k];
    else
      mix(&hash, (uint64_t)node->operands[k]);
  }
  mix(&hash, operands);
  mix(&hash, number);
  mix(&hash, (uint64_t)(uint32_t)node->index << 32 | (uint32_t)node->batch);
  mix(&hash, node->stream);
  mix_pointer(&hash, node->dim);
  return hash;
}

/* ---- equality ---- */

static bool spaces_equal(const Space *a, const Space *b) {
  if (a == b) return true;
  if (!a || !b || a->ndims != b->ndims || a->nresult != b->nresult || a->nmaps != b->nmaps) return false;
  for (int d = 0; d < a->ndims; d++)
    if (a->extent[d] != b->extent[d]) return false;
  for (int m = 0; m < a->nmaps; m++) {
    if (a->map[m].naxes != b->map[m].naxes) return false;
    for (int k = 0; k < a->map[m].naxes; k++)
      if (!axis_equal(&a->map[m].axis[k], &b->map[m].axis[k])) return false;
  }
  return true;
}

static bool arrays_equal(const Node *a, const Node *b) {
  if (a->array == b->array) return true;
  if (!a->array || !b->array) return false;
  int64_t count = 1, size;
  for (int k = 0; k < a->type.rank; k++) {
    if (!dim_is_constant(a->type.size[k], &size)) return false;
    count *= size;
  }
  return memcmp(a->array, b->array, sizeof(double) * (size_t)count) == 0;
}

static bool operands_equal(const Node *a, const Node *b) {
  if (a->noperands != b->noperands) return false;
  if (op_info[a->op].flags & COMMUTES && a->operands[0] == b->operands[1] && a->operands[1] == b->operands[0]) return true;
  return a->noperands == 0 || memcmp(a->operands, b->operands, sizeof(Id) * (size_t)a->noperands) == 0;
}

bool nodes_equal(const Node *a, const Node *b) {
  return a->op == b->op && type_equal(&a->type, &b->type) && operands_equal(a, b) && a->index == b->index &&
         memcmp(&a->number, &b->number, sizeof a->number) == 0 && a->batch == b->batch && a->stream == b->stream &&
         a->dim == b->dim && spaces_equal(a->space, b->space) && arrays_equal(a, b);
}

/* ---- the pass ---- */

static void table_for(Table *table, const Graph *from) {
  uint64_t slots = 64;
  while (slots < 2 * (uint64_t)from->nodes.count) slots *= 2;
  *table = (Table){.from = from, .slots = NEW_ARRAY(from->module->arena, Id, slots), .mask = slots - 1};
}

static Id rule_cse(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  Table *table = user;
  if (table->from != from) table_for(table, from);
  Node node = *graph_node(from, id);
  if (node.op == OP_scan || node.op == OP_grad) return 0;
  Id *operands = NEW_ARRAY(to->module->arena, Id, node.noperands + 1);
  for (int k = 0; k < node.noperands; k++) operands[k] = renamed[node.operands[k]];
  node.operands = operands;
  uint64_t slot = hash_node(&node) & table->mask;
  for (; table->slots[slot]; slot = (slot + 1) & table->mask) {
    Node *found = graph_node(to, table->slots[slot]);
    if (!nodes_equal(found, &node)) continue;
    if (!found->name) found->name = node.name;
    return table->slots[slot];
  }
  return table->slots[slot] = graph_copy_node(to, from, id, renamed);
}

void pass_cse(Module *module) {
  Table table = {0};
  rewrite_entries(module, rule_cse, &table);
}
