/* Graphs: what builders infer, that a module's text reads back to the same text, and that the verifier and the reader
 * refuse what is wrong, the reader without ever ending the program. */
#include "ir/ir.h"

#include <math.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static Arena *arena;
static Module *module;

static int set_up(void **state) {
  (void)state;
  arena = arena_new();
  module = module_new(arena, diagnostics_new(arena), "net");
  module_add_dim(module, "N", 1, 256, 1, NULL);
  module_add_dim(module, "T", 5, 200, 5, NULL);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static const Dim *size_from(const char *text) {
  const Dim *dim = dim_read(module, &text);
  assert_non_null(dim);
  return dim;
}

static Type f32(int rank, const char *const *sizes) {
  const Dim *size[MAX_RANK];
  for (int k = 0; k < rank; k++) size[k] = size_from(sizes[k]);
  return type_of(F32, rank, size);
}
#define TYPE(...) f32(COUNT_OF(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void expect_type(const Graph *graph, Id id, const char *text) {
  assert_string_equal(type_text(module, graph_type(graph, id)), text);
}

/* h' = tanh(h + x[turn]), every h yielded */
static Id add_scan(Graph *graph, Id first, Id sequence) {
  Graph *body = graph_new(module, "train", GRAPH_BODY);
  Id operands[2] = {first, sequence};
  graph_parameter(body, "turn", type_scalar(I32), NULL);
  Id h = graph_parameter(body, "h", *graph_type(graph, first), NULL);
  Id x = graph_parameter(body, "x", *graph_type(graph, first), NULL);
  Id next = graph_unary(body, OP_tanh, graph_binary(body, OP_add, h, x));
  PUSH(arena, &body->results, ((Result){"h", next}));
  PUSH(arena, &body->results, ((Result){NULL, next}));
  Scan scan = {.body = body, .trips = graph_type(graph, sequence)->size[0], .ncarry = 1, .nslice = 1, .nyield = 1};
  return graph_scan(graph, &scan, operands);
}

/* A step with nearly every op. */
static Graph *build_step(void) {
  Graph *graph = graph_new(module, "train", GRAPH_STEP);
  int w = module_add_symbol(module, "net.w", TYPE("8", "4"), true, (Initialiser){INIT_UNIFORM, -0.1, 0.25, NULL}, NULL);
  static const double start[2] = {0.5, -1e-30};
  module_add_symbol(module, "net.s", TYPE("2"), false, (Initialiser){.kind = INIT_ARRAY, .array = start}, NULL);
  Id x = graph_parameter(graph, "x", TYPE("T", "N", "8"), NULL),
     rate = graph_parameter(graph, "lr", type_scalar(F32), NULL);
  graph->parameters.items[1].has_default = true;
  graph->parameters.items[1].fallback = 0.01;
  Id weight = graph_state(graph, w);
  Space space = {.ndims = 4, .nresult = 3, .nmaps = 2};
  space.extent[0] = size_from("T"), space.extent[1] = size_from("N");
  space.extent[2] = size_from("4"), space.extent[3] = size_from("8");
  space.map[0] = (Map){3, {axis_of(module, 0), axis_of(module, 1), axis_of(module, 3)}};
  space.map[1] = (Map){2, {axis_of(module, 3), axis_of(module, 2)}};
  Id product = graph_contract(graph, x, weight, &space);
  expect_type(graph, product, "f32[T, N, 4]");
  Id zero = graph_constant(graph, TYPE("N", "4"), 0);
  Id scan = add_scan(graph, zero, product);
  Id last = graph_pick(graph, scan, 0), all = graph_pick(graph, scan, 1);
  expect_type(graph, last, "f32[N, 4]");
  expect_type(graph, all, "f32[T, N, 4]");
  Id padded = graph_pad(graph, all, 0, size_from("2"), size_from("T - 1"), -INFINITY);
  expect_type(graph, padded, "f32[2*T + 1, N, 4]");
  Id sliced = graph_slice(graph, padded, 0, size_from("T//5"), size_from("T"), 2);
  bool folded[3] = {true, true, true};
  Id loss = graph_binary(graph, OP_mul, graph_fold_axes(graph, OP_fold_sum, sliced, folded, false), rate);
  Id gradient = graph_pick(graph, graph_grad(graph, loss, &weight, 1), 0);
  expect_type(graph, gradient, "f32[8, 4]");
  Id updated = graph_binary(graph, OP_sub, weight, graph_binary(graph, OP_mul, gradient, rate));
  graph_node(graph, updated)->name = "a \"name\"";
  PUSH(arena, &graph->results, ((Result){"loss", loss}));
  PUSH(arena, &graph->finals, ((Final){w, updated}));
  PUSH(arena, &graph->checks, ((EntryCheck){size_from("N - T"), -3, 200, "the window starts in x", NULL}));
  PUSH(arena, &module->entries, graph);
  return graph;
}

static Graph *build_fn(void) {
  Graph *graph = graph_new(module, "y", GRAPH_FN);
  static const double values[3] = {1, NAN, -INFINITY};
  Type whole = type_scalar(I32);
  graph->draws = true;
  Id seed = graph_parameter(graph, "seed", whole, NULL);
  Id base = graph_array(graph, TYPE("3"), values);
  Id index = graph_argsort(graph, base);
  Id picked = graph_gather(graph, base, index, 0, 0);
  Id sum = graph_cumsum(graph, graph_scatter(graph, base, index, picked, 0, 0), 0);
  Id parts[2] = {sum, graph_random(graph, TYPE("N"), &seed, 1, 4000000000u)};
  Id joined = graph_concat(graph, parts, 2, 0);
  expect_type(graph, joined, "f32[N + 3]");
  Id matrix = graph_broadcast(graph, joined, 2, (const Dim *[]){size_from("2"), size_from("N + 3")});
  Id axes = graph_transpose(graph, matrix, (const int[]){1, 0});
  expect_type(graph, axes, "f32[N + 3, 2]");
  Id count = graph_cast(graph, F32, graph_dim(graph, size_from("N*T//2 - 1")));
  Id flags = graph_binary(graph, OP_lt, axes, count);
  Id chosen = graph_where(graph, flags, axes, graph_number(graph, F32, -0.0));
  Id steps = graph_cast(graph, F32, graph_iota(graph, TYPE("N + 3", "2"), 0));
  bool folded[2] = {true, false};
  Id best = graph_fold_axes(graph, OP_argmax, graph_binary(graph, OP_add, chosen, steps), folded, true);
  expect_type(graph, best, "i32[1, 2]");
  PUSH(arena, &graph->results, ((Result){"best", graph_stop(graph, best)}));
  PUSH(arena, &module->entries, graph);
  return graph;
}

static char *text_of(const Module *of) {
  Text text = {0};
  module_print(of, &text);
  char *copy = arena_copy(arena, text.bytes, text.length + 1);
  text_free(&text);
  return copy;
}

static Module *read_text(const char *text, Diagnostics *diagnostics) {
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "dump", .text = text, .length = strlen(text), .users = true};
  return module_read(arena, diagnostics, source);
}

static void a_module_reads_back(void **state) {
  (void)state;
  build_step();
  build_fn();
  Text why = {0};
  if (!module_verify(module, &why)) print_error("%s\n", why.bytes);
  assert_true(module_verify(module, NULL));
  char *text = text_of(module);
  Diagnostics *diagnostics = diagnostics_new(arena);
  Module *again = read_text(text, diagnostics);
  if (!again) {
    print_error("%s\n", text);
    diagnostics_print(diagnostics, stderr);
  }
  assert_non_null(again);
  assert_string_equal(text_of(again), text);
  if (!module_verify(again, &why)) print_error("%s\n", why.bytes);
  assert_true(module_verify(again, NULL));
  text_free(&why);
}

/* Every prefix of a module's text, and the text with any one character replaced, is refused or read: never a bug(). */
static void broken_text_is_refused(void **state) {
  (void)state;
  build_step();
  build_fn();
  char *text = text_of(module);
  size_t length = strlen(text);
  int refused = 0;
  for (size_t k = 0; k < length; k++) {
    Arena *outer = arena;
    arena = arena_new();
    char *broken = arena_copy(arena, text, length + 1);
    broken[k] = k % 3 == 0 ? 0 : "0%]) 9-:"[(k * 7 + length) % 8];
    Diagnostics *diagnostics = diagnostics_new(arena);
    Module *read = read_text(broken, diagnostics);
    refused += read == NULL;
    assert_true((read == NULL) == (diagnostics_errors(diagnostics) > 0));
    if (read) {
      char *once = text_of(read);
      Module *again = read_text(once, diagnostics);
      assert_non_null(again);
      assert_string_equal(text_of(again), once);
    }
    arena_free(arena);
    arena = outer;
  }
  assert_true(refused > (int)length / 2);
}

static void expect_fault(const Graph *graph, const char *sentence) {
  Text why = {0};
  assert_false(graph_verify(graph, &why));
  if (!strstr(why.bytes, sentence)) print_error("'%s' lacks '%s'\n", why.bytes, sentence);
  assert_non_null(strstr(why.bytes, sentence));
  text_free(&why);
}

static void the_verifier_finds_faults(void **state) {
  (void)state;
  Graph *graph = build_step();
  assert_true(graph_verify(graph, NULL));
  Id last = graph->nodes.count - 1;
  Node *node = graph_node(graph, last);
  Type type = node->type;
  node->type.dtype = I32;
  expect_fault(graph, "sub gives f32[8, 4], but the node says i32[8, 4]");
  node->type = type;
  Id operand = node->operands[0];
  node->operands[0] = last;
  expect_fault(graph, "does not stand before it");
  node->operands[0] = operand;
  graph->finals.items[0].value = 2;
  expect_fault(graph, "net.w is f32[8, 4], its final f32[]");
  graph->finals.items[0].value = last;
  graph->results.items[0].name = NULL;
  expect_fault(graph, "has no name");
  graph->results.items[0].name = "loss";
  for (Id id = 1; id < graph->nodes.count; id++) {
    if (graph_node(graph, id)->op != OP_scan) continue;
    graph_node(graph, id)->scan->body->results.items[0].value = 1;
    expect_fault(graph, "carry 1 changes its type");
    graph_node(graph, id)->scan->body->results.items[0].value = 99;
    expect_fault(graph, "result 1 is none");
  }
}

static void shapes_broadcast_as_numpys_do(void **state) {
  (void)state;
  Graph *graph = graph_new(module, "y", GRAPH_FN);
  Id a = graph_parameter(graph, "a", TYPE("N", "1", "3"), NULL), b = graph_parameter(graph, "b", TYPE("T", "1"), NULL);
  Id sum = graph_binary(graph, OP_add, a, b);
  expect_type(graph, sum, "f32[N, T, 3]");
  int before = graph->nodes.count;
  assert_int_equal(graph_binary(graph, OP_max, sum, sum), before); /* equal sizes need no views */
  expect_type(graph, graph_insert_axis(graph, a, 1), "f32[N, 1, 1, 3]");
  Type result, left = TYPE("N", "2"), right = TYPE("T", "2");
  assert_false(shapes_broadcast(module, &left, &right, &result));
  assert_int_equal(graph_broadcast(graph, a, 3, graph_type(graph, a)->size), a);
}

static void a_dump_may_be_cut_down(void **state) {
  (void)state;
  static const char text[] = "# by hand\nmodule m\ndim n <= 4\n\nfn y(x: f32[n, 6]) {\n"
                             "  %2 = arg 0 : f32[n, 6]\n"
                             "  %7 = view %2 [r:n s:3] (r, (2*s + 1)/1) : f32[n, 3]   # every second\n"
                             "  %9 = fold_sum %7 [| r:n s:3] (r, s) : f32[] \"sum\"\n  result z %9\n}\n";
  Diagnostics *diagnostics = diagnostics_new(arena);
  Module *read = read_text(text, diagnostics);
  assert_non_null(read);
  assert_string_equal(text_of(read), "module m\ndim n <= 4\nfn y(x: f32[n, 6]) {\n  %1 = arg 0 : f32[n, 6]\n"
                                     "  %2 = view %1 [a:n b:3] (a, 2*b + 1) : f32[n, 3]\n"
                                     "  %3 = fold_sum %2 [| a:n b:3] (a, b) : f32[] \"sum\"\n  result z %3\n}\n");
}

/* Beside the plain way: each axis's place, at the stride that it has among the stored ones, its last cut into panels. */
static int64_t place_of(const Symbol *symbol, int64_t index) {
  int rank = symbol->type.rank;
  int64_t digit[MAX_RANK], place = 0, stride = symbol->panel ? symbol->panel : 1;
  for (int axis = rank - 1; axis >= 0; axis--) {
    int64_t size = symbol->type.size[axis]->value;
    digit[axis] = index % size, index /= size;
  }
  for (int k = rank - 1; k >= 0; k--) {
    int axis = symbol->reordered ? symbol->order[k] : k;
    if (symbol->panel && k == rank - 1) {
      place += digit[axis] % symbol->panel;
      continue;
    }
    place += digit[axis] * stride, stride *= symbol->type.size[axis]->value;
  }
  int last = symbol->reordered ? symbol->order[rank - 1] : rank - 1;
  return symbol->panel ? place + digit[last] / symbol->panel * stride : place;
}

static void expect_places(const Symbol *symbol) {
  StoredFactor factors[MAX_FACTORS];
  int nfactors = symbol_factors(symbol, factors);
  int64_t count = 1;
  for (int k = 0; k < symbol->type.rank; k++) count *= symbol->type.size[k]->value;
  for (int k = 0; k < nfactors; k++) assert_int_equal(factors[k].divisor, k ? factors[k - 1].modulus : 1);
  if (nfactors > 0) assert_int_equal(factors[nfactors - 1].modulus, count);
  for (int64_t k = 0; k < count; k++) assert_int_equal(stored_place(factors, nfactors, k), place_of(symbol, k));
}

static void states_lie_where_their_order_says(void **state) {
  (void)state;
  Symbol kernels = {.name = "w", .type = TYPE("8", "6", "3", "1")};
  static const int8_t orders[][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}, {2, 3, 1, 0}, {0, 2, 3, 1}, {3, 1, 0, 2}};
  expect_places(&kernels);
  for (int k = 0; k < COUNT_OF(orders); k++) {
    kernels.reordered = true;
    memcpy(kernels.order, orders[k], sizeof orders[k]);
    int64_t last = kernels.type.size[orders[k][3]]->value;
    for (int panel = 0; panel <= last; panel++) {
      if (panel && last % panel) continue;
      kernels.panel = panel;
      expect_places(&kernels);
    }
  }
  Symbol one = {.name = "b", .type = TYPE("1", "1")};
  expect_places(&one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_module_reads_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(broken_text_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_verifier_finds_faults, set_up, tear_down),
      cmocka_unit_test_setup_teardown(shapes_broadcast_as_numpys_do, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_dump_may_be_cut_down, set_up, tear_down),
      cmocka_unit_test_setup_teardown(states_lie_where_their_order_says, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
