/* The graph passes on small graphs: what fold, cse and dead take away, and what they must leave. That they keep every value
 * is tested with each op's gradient (gradients.c); here the text of the graph after the pass is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "ir/ir.h"
#include "passes/passes.h"

#include <cmocka.h> /* last: it has a macro named fail */

static const Source source = {.name = "test.nn", .text = "", .users = true};
static const Place place = {.source = &source};

static Module *module_for_test(void) {
  Arena *arena = arena_new();
  Module *module = module_new(arena, diagnostics_new(arena), "test");
  module_add_dim(module, "N", 1, 8, 1, &place);
  return module;
}

static Graph *entry(Module *module) {
  Graph *graph = graph_new(module, "f", GRAPH_FN);
  graph->here = graph->place = &place;
  PUSH(module->arena, &module->entries, graph);
  return graph;
}

static void give_back(Module *module, Id value) {
  PUSH(module->arena, &module->entries.items[0]->results, ((Result){intern("y"), value}));
}

static Type type_with(Module *module, Dtype dtype, int64_t rows, int64_t columns) {
  const Dim *size[] = {dim_constant(module, rows), dim_constant(module, columns)};
  return type_of(dtype, 2, size);
}

static void verify(const Module *module) {
  Text why = {0};
  if (!module_verify(module, &why)) fail_msg("%s", why.bytes);
  text_free(&why);
}

static const Graph *after(Module *module, void (*pass)(Module *)) {
  verify(module);
  pass(module);
  verify(module);
  return module->entries.items[0];
}

/* How many nodes have this op. */
static int count_op(const Graph *graph, Op op) {
  int count = 0;
  for (Id id = 1; id < graph->nodes.count; id++) count += graph_node(graph, id)->op == op;
  return count;
}

static Op result_op(const Graph *graph, int result) { return graph_node(graph, graph->results.items[result].value)->op; }

static void done(Module *module) { arena_free(module->arena); }

/* ---- fold ---- */

static void test_fold_arithmetic(void **unused) {
  (void)unused;
  Module *module = module_for_test();
  Graph *graph = entry(module);
  Id x = graph_parameter(graph, "x", type_with(module, F32, 2, 3), &place);
  Id zero = graph_number(graph, F32, 0), one = graph_number(graph, F32, 1), two = graph_number(graph, F32, 2);
  give_back(module, graph_binary(graph, OP_add, zero, x));
  give_back(module, graph_binary(graph, OP_sub, x, zero));
  give_back(module, graph_binary(graph, OP_mul, one, x));
  give_back(module, graph_binary(graph, OP_div, x, one));
  give_back(module, graph_unary(graph, OP_neg, graph_unary(graph, OP_neg, x)));
  give_back(module, graph_where(graph, graph_number(graph, BOOL, 0), zero, x));
  give_back(module, graph_binary(graph, OP_mul, x, zero)); /* NaN where x is infinite */
  give_back(module, graph_binary(graph, OP_sub, zero, x)); /* not x */
  give_back(module, graph_binary(graph, OP_add, two, graph_binary(graph, OP_mul, two, two)));
  give_back(module, graph_cast(graph, I32, graph_number(graph, F32, -2.5)));
  give_back(module, graph_binary(graph, OP_lt, one, two));
  const Graph *folded = after(module, pass_fold);
  for (int i = 0; i < 6; i++) assert_int_equal(result_op(folded, i), OP_arg);
  assert_int_equal(result_op(folded, 6), OP_mul);
  assert_int_equal(result_op(folded, 7), OP_sub);
  static const double expected[] = {6, -2, 1};
  for (int i = 0; i < 3; i++) {
    const Node *node = graph_node(folded, folded->results.items[8 + i].value);
    assert_int_equal(node->op, OP_constant);
    assert_true(node->number == expected[i]);
  }
  done(module);
}

static void test_fold_movement(void **unused) {
  (void)unused;
  Module *module = module_for_test();
  Graph *graph = entry(module);
  Id x = graph_parameter(graph, "x", type_with(module, F32, 2, 6), &place);
  const int swap[] = {1, 0};
  const Dim *one = dim_constant(module, 1), *two = dim_constant(module, 2), *three = dim_constant(module, 3);
  Id transposed = graph_transpose(graph, x, swap);
  give_back(module, graph_transpose(graph, transposed, swap));
  give_back(module, graph_slice(graph, graph_slice(graph, transposed, 0, one, three, 1), 0, one, two, 1));
  Id padded = graph_pad(graph, x, 0, one, one, 7);
  give_back(module, graph_slice(graph, padded, 0, one, two, 1)); /* only what was there before */
  Id sliced = graph_slice(graph, x, 1, one, three, 1);
  give_back(module, graph_pad(graph, sliced, 1, one, one, 0)); /* must not see what the slice cut off */
  const Dim *flat[] = {dim_constant(module, 12)}, *other[] = {three, dim_constant(module, 4)};
  give_back(module, graph_reshape(graph, graph_reshape(graph, x, 1, flat), 2, other));
  give_back(module, graph_broadcast(graph, graph_number(graph, F32, 3), 2, other));
  const Graph *folded = after(module, pass_fold);
  const Graph *live = after(module, pass_dead);
  (void)folded;
  assert_int_equal(result_op(live, 0), OP_arg);
  assert_int_equal(result_op(live, 1), OP_view);
  assert_int_equal(result_op(live, 5), OP_constant);
  assert_int_equal(count_op(live, OP_reshape), 1);
  /* one for the slices, two for slice and pad; slice of pad is the identity where the bounds prove it */
  assert_true(count_op(live, OP_view) >= 3 && count_op(live, OP_view) <= 5);
  const Node *cut = graph_node(live, live->results.items[3].value);
  assert_int_equal(graph_node(live, cut->operands[0])->op, OP_view);
  done(module);
}

/* ---- cse ---- */

static void test_cse(void **unused) {
  (void)unused;
  Module *module = module_for_test();
  Graph *graph = entry(module);
  Id x = graph_parameter(graph, "x", type_with(module, F32, 2, 2), &place);
  Id z = graph_parameter(graph, "z", type_with(module, F32, 2, 2), &place);
  const int swap[] = {1, 0};
  give_back(module, graph_unary(graph, OP_exp, graph_binary(graph, OP_add, x, z)));
  give_back(module, graph_unary(graph, OP_exp, graph_binary(graph, OP_add, z, x)));
  give_back(module, graph_binary(graph, OP_sub, x, z));
  give_back(module, graph_binary(graph, OP_sub, z, x));
  give_back(module, graph_transpose(graph, x, swap));
  give_back(module, graph_transpose(graph, x, swap));
  give_back(module, graph_constant(graph, type_scalar(F32), 0.0));
  give_back(module, graph_constant(graph, type_scalar(F32), -0.0));
  give_back(module, graph_array(graph, type_with(module, F32, 1, 2), (const double[]){1, 2}));
  give_back(module, graph_array(graph, type_with(module, F32, 1, 2), (const double[]){1, 2}));
  give_back(module, graph_array(graph, type_with(module, F32, 1, 2), (const double[]){1, 3}));
  const Graph *merged = after(module, pass_cse);
  assert_int_equal(count_op(merged, OP_add), 1);
  assert_int_equal(count_op(merged, OP_exp), 1);
  assert_int_equal(count_op(merged, OP_sub), 2);
  assert_int_equal(count_op(merged, OP_view), 1);
  assert_int_equal(count_op(merged, OP_constant), 4);
  done(module);
}

/* ---- dead, and scans ---- */

/* Carries a and b (b from a), yields a and b; slice and capture feed only b. */
static Id two_carries(Graph *graph) {
  Module *module = graph->module;
  Graph *body = graph_new(module, "body", GRAPH_BODY);
  body->here = body->place = &place;
  Type scalar = type_scalar(F32);
  graph_parameter(body, "turn", type_scalar(I32), &place);
  Id a = graph_parameter(body, "a", scalar, &place), b = graph_parameter(body, "b", scalar, &place);
  Id slice = graph_parameter(body, "x", scalar, &place), capture = graph_parameter(body, "w", scalar, &place);
  Id next_a = graph_unary(body, OP_sin, a);
  Id next_b = graph_binary(body, OP_add, graph_binary(body, OP_mul, b, a), graph_binary(body, OP_mul, slice, capture));
  const Id results[] = {next_a, next_b, next_a, next_b};
  for (int i = 0; i < 4; i++) PUSH(module->arena, &body->results, ((Result){NULL, results[i]}));
  const Dim *trips = dim_symbol(module, 0);
  Id xs = graph_parameter(graph, "xs", type_of(F32, 1, &trips), &place), w = graph_parameter(graph, "w", scalar, &place);
  Scan scan = {.body = body, .trips = trips, .ncarry = 2, .nslice = 1, .ncapture = 1, .nyield = 2};
  const Id operands[] = {graph_number(graph, F32, 1), graph_number(graph, F32, 2), xs, w};
  return graph_scan(graph, &scan, operands);
}

static const Node *the_scan(const Graph *graph) {
  for (Id id = 1; id < graph->nodes.count; id++)
    if (graph_node(graph, id)->op == OP_scan) return graph_node(graph, id);
  return NULL;
}

static void test_dead_scan(void **unused) {
  (void)unused;
  /* which pick is asked for, and what of the scan then remains: carries, slices, captures, yields */
  static const int cases[][5] = {{0, 1, 0, 0, 0}, {1, 2, 1, 1, 0}, {2, 1, 0, 0, 1}, {3, 2, 1, 1, 1}};
  for (int i = 0; i < COUNT_OF(cases); i++) {
    Module *module = module_for_test();
    Graph *graph = entry(module);
    give_back(module, graph_pick(graph, two_carries(graph), cases[i][0]));
    const Node *node = the_scan(after(module, pass_dead));
    assert_non_null(node);
    assert_int_equal(node->scan->ncarry, cases[i][1]);
    assert_int_equal(node->scan->nslice, cases[i][2]);
    assert_int_equal(node->scan->ncapture, cases[i][3]);
    assert_int_equal(node->scan->nyield, cases[i][4]);
    done(module);
  }
  Module *module = module_for_test();
  Graph *graph = entry(module);
  graph_pick(graph, two_carries(graph), 0);
  Id x = graph_parameter(graph, "x", type_scalar(F32), &place);
  give_back(module, graph_unary(graph, OP_neg, x));
  const Graph *live = after(module, pass_dead);
  assert_null(the_scan(live));
  assert_int_equal(live->parameters.count, 3); /* they are the C function's */
  done(module);
}

/* ---- rewriting ---- */

static Id sines_to_cosines(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  const Node *node = graph_node(from, id);
  if (node->op != OP_sin) return 0;
  ++*(int *)user;
  return graph_unary(to, OP_cos, renamed[node->operands[0]]);
}

static void test_rewrite_bodies(void **unused) {
  (void)unused;
  Module *module = module_for_test();
  Graph *graph = entry(module);
  Id scan = two_carries(graph);
  give_back(module, graph_unary(graph, OP_sin, graph_pick(graph, scan, 0)));
  int replaced = 0;
  Graph *rewritten = graph_rewrite(graph, sines_to_cosines, &replaced);
  assert_int_equal(replaced, 2);
  assert_int_equal(count_op(rewritten, OP_sin), 0);
  assert_int_equal(count_op(the_scan(rewritten)->scan->body, OP_cos), 1);
  assert_int_equal(count_op(the_scan(graph)->scan->body, OP_sin), 1); /* the original is as it was */
  assert_int_equal(rewritten->parameters.count, graph->parameters.count);
  done(module);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fold_arithmetic), cmocka_unit_test(test_fold_movement),  cmocka_unit_test(test_cse),
      cmocka_unit_test(test_dead_scan),       cmocka_unit_test(test_rewrite_bodies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
