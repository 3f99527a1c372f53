/* The builder on whole programs: the contract's six and the models folder become modules that verify, with the parameters
 * and names that they should have; their values, from the interpreter, against numbers worked out by hand or by the
 * formulas' definitions; gradients by minimize against central differences in f64. */
#include "frontend/frontend.h"
#include "ir/interpret.h"
#include "passes/passes.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

/* ---- building ---- */

typedef struct Program {
  Arena *arena;
  Diagnostics *diagnostics;
  Module *module;
  Array *states;
  bool f64;
} Program;

static void expect_built(Program *program) {
  Text text = {0};
  if (program->module) return;
  diagnostics_text(program->diagnostics, &text);
  fail_msg("%s", text.bytes ? text.bytes : "no module");
}

static Program program_new(void) {
  Program program = {.arena = arena_new()};
  program.diagnostics = diagnostics_new(program.arena);
  return program;
}

static Program build_text(const char *text) {
  Program program = program_new();
  Source *source = NEW(program.arena, Source);
  *source = (Source){.name = "test.nn", .text = text, .length = strlen(text), .users = true};
  program.module = build_source(program.arena, program.diagnostics, source, NULL);
  expect_built(&program);
  return program;
}

static Program build_file(const char *path) {
  Failure failure = {0};
  Program program = program_new();
  program.module = build_module(program.arena, program.diagnostics,
                                arena_format(program.arena, "%s/%s", NNC_SOURCE_DIR, path), &failure);
  if (failure.code) fail_msg("%s", failure.message);
  expect_built(&program);
  return program;
}

static int64_t elements(const Type *type) {
  int64_t count = 1;
  for (int k = 0; k < type->rank; k++) count *= type->size[k]->value;
  return count;
}

static void expect_params(const char *path, int64_t expected, int tensors_expected) {
  Program program = build_file(path);
  int64_t count = 0;
  int tensors = 0;
  for (int k = 0; k < program.module->symbols.count; k++) {
    const Symbol *symbol = &program.module->symbols.items[k];
    if (!symbol->trainable) continue;
    count += elements(&symbol->type);
    tensors++;
  }
  if (count != expected || tensors != tensors_expected) {
    fail_msg("%s: %lld params in %d tensors", path, (long long)count, tensors);
  }
  arena_free(program.arena);
}

static void expect_symbol(const Program *program, const char *name, const char *type) {
  int symbol = module_find_symbol(program->module, name);
  if (symbol < 0) fail_msg("there is no '%s'", name);
  assert_string_equal(type_text(program->module, &program->module->symbols.items[symbol].type), type);
}

static void test_six_programs(void **state) {
  (void)state;
  expect_params("tests/programs/linreg.nn", 14, 2);
  expect_params("tests/programs/perceptron.nn", 4, 1);
  expect_params("tests/programs/lenet.nn", 61706, 10);
  expect_params("tests/programs/resnet18.nn", 11689512, 62);
  expect_params("tests/programs/sentiment.nn", 2954754, 5);
  expect_params("tests/programs/gan.nn", 419345, 8);
}

static void test_models(void **state) {
  (void)state;
  expect_params("models/linreg.nn", 14, 2);
  expect_params("models/perceptron.nn", 4, 1);
  expect_params("models/softmax.nn", 7850, 2);
  expect_params("models/mlp.nn", 269322, 6);
  expect_params("models/lenet.nn", 61706, 10);
  expect_params("models/digits.nn", 13706, 8);
  expect_params("models/resnet18.nn", 11689512, 62);
  expect_params("models/sentiment.nn", 2954754, 5);
  expect_params("models/gan.nn", 419345, 8);
}

static void test_names(void **state) {
  (void)state;
  Program program = build_file("tests/programs/resnet18.nn");
  expect_symbol(&program, "body.conv1.w", "f32[64, 3, 7, 7]");
  expect_symbol(&program, "body.Basic3.conv3.w", "f32[128, 64, 1, 1]");
  expect_symbol(&program, "body.Basic8.batchnorm2.mu", "f32[512]");
  expect_symbol(&program, "head.w", "f32[512, 1000]");
  expect_symbol(&program, "head.w.sgd.v", "f32[512, 1000]");
  expect_symbol(&program, "head.b.adam.t", "f32[]");
  arena_free(program.arena);
  program = build_file("tests/programs/lenet.nn");
  expect_symbol(&program, "net.conv2.w", "f32[16, 6, 5, 5]");
  expect_symbol(&program, "net.dense3.b", "f32[10]");
  arena_free(program.arena);
  program = build_text("model m\nlayer b = dense(3) * 2\nlayer c = dense(4) | relu | dense(5)\n"
                       "fn f(x: [2, 3]) -> y { y = x | b | c }\n");
  expect_symbol(&program, "b.dense2.w", "f32[3, 3]");
  expect_symbol(&program, "c.dense2.w", "f32[4, 5]");
  arena_free(program.arena);
}

/* ---- running ---- */

static void initialise_states(Program *program, bool f64) {
  Module *module = program->module;
  program->f64 = f64;
  program->states = NEW_ARRAY(program->arena, Array, module->symbols.count + 1);
  for (int k = 0; k < module->symbols.count; k++) {
    program->states[k] = array_for(program->arena, &module->symbols.items[k].type, f64, NULL);
    initialise(&module->symbols.items[k], 7, &program->states[k]);
  }
}

/* Every parameter gets numbers from `values` in turn (a seed gets 5, 6); gives the results. */
static Array *run_entry(Program *program, const char *name, const int64_t *dims, const double *values) {
  const Graph *graph = module_find_entry(program->module, name);
  Failure failure = {0};
  assert_non_null(graph);
  Array *parameters = NEW_ARRAY(program->arena, Array, graph->parameters.count + 1);
  Array *results = NEW_ARRAY(program->arena, Array, graph->results.count + 1);
  int64_t at = 0;
  for (int k = 0; k < graph->parameters.count; k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    bool seed = graph->draws && k + 1 == graph->parameters.count;
    parameters[k] = array_for(program->arena, &parameter->type, program->f64, dims);
    for (int64_t i = 0; i < array_count(&parameters[k]); i++) {
      double number = seed ? 5.0 + (double)i : parameter->has_default ? parameter->fallback : values[at++];
      array_set(&parameters[k], i, number);
    }
  }
  Run run = {.graph = graph,
             .f64 = program->f64,
             .dims = dims,
             .parameters = parameters,
             .states = program->states,
             .results = results,
             .arena = program->arena};
  if (!interpret(&run, &failure)) fail_msg("%s: %s", name, failure.message);
  return results;
}

static Array *state_of(Program *program, const char *name) {
  int symbol = module_find_symbol(program->module, name);
  if (symbol < 0) fail_msg("there is no '%s'", name);
  return &program->states[symbol];
}

static void expect_near(double got, double expected, double tolerance, const char *what) {
  if (fabs(got - expected) <= tolerance * fmax(1, fabs(expected))) return;
  fail_msg("%s: got %.17g, expected %.17g", what, got, expected);
}

/* Rosenblatt's rule on one example, worked by hand: w x = 0.5 - 2 - 1.5 = -3, so o = -1; with d = 1 the error is 2, and
 * w moves by 0.2 x. */
static void test_perceptron(void **state) {
  (void)state;
  Program program = build_file("tests/programs/perceptron.nn");
  double values[] = {1, -2, 1.5, 0, 1}, expected[] = {0.7, 0.6, -0.7, 0};
  initialise_states(&program, true);
  Array *results = run_entry(&program, "learn", NULL, values);
  expect_near(array_get(&results[0], 0), -1, 0, "o");
  for (int k = 0; k < 4; k++) expect_near(array_get(state_of(&program, "w"), k), expected[k], 1e-15, "w");
  results = run_entry(&program, "predict", NULL, values);
  expect_near(array_get(&results[0], 0), -1, 0, "o after");
  arena_free(program.arena);
}

/* One scalar in, one formula out, at awkward places; and its gradient. */
static void expect_formula(const char *formula, double x, double value, double gradient) {
  Program program = program_new();
  Source source = {.name = "test.nn", .users = true};
  source.text =
      arena_format(program.arena, "model m\nfn f(x: [1]) -> (y, g) {\n y = sum(%s)\n g = sum(grad(y, x))\n}\n", formula);
  source.length = strlen(source.text);
  program.module = build_source(program.arena, program.diagnostics, &source, NULL);
  expect_built(&program);
  pass_grad(program.module);
  initialise_states(&program, true);
  Array *results = run_entry(&program, "f", NULL, &x);
  expect_near(array_get(&results[0], 0), value, 1e-12, formula);
  expect_near(array_get(&results[1], 0), gradient, 1e-12, formula);
  arena_free(program.arena);
}

static void test_formulas(void **state) {
  (void)state;
  expect_formula("relu(x)", 0, 0, 0);
  expect_formula("relu(x)", 2, 2, 1);
  expect_formula("abs(x)", 0, 0, 0);
  expect_formula("abs(x)", -3, 3, -1);
  expect_formula("clip(x, 0, 1)", 1, 1, 1);
  expect_formula("clip(x, 0, 1)", 0, 0, 1);
  expect_formula("clip(x, 0, 1)", 2, 1, 0);
  expect_formula("lrelu(x, 0.2)", -2, -0.4, 0.2);
  expect_formula("elu(x)", 0, 0, 1);
  expect_formula("elu(x)", -1, exp(-1) - 1, exp(-1));
  expect_formula("softplus(x)", 0, log(2), 0.5);
  expect_formula("softplus(x)", -100, 0, 0);
  expect_formula("softplus(x)", 100, 100, 1);
  expect_formula("sigmoid(x)", 0, 0.5, 0.25);
  expect_formula("sigmoid(x)", -100, 0, 0);
  expect_formula("silu(x)", 1, 1 / (1 + exp(-1)), 1 / (1 + exp(-1)) * (1 + 1 - 1 / (1 + exp(-1))));
  expect_formula("log1p(x)", 1e-18, 1e-18, 1);
  expect_formula("log1p(x)", 1, log(2), 0.5);
  expect_formula("expm1(x)", 1e-18, 1e-18, 1);
  expect_formula("expm1(x)", 2, exp(2) - 1, exp(2));
  expect_formula("x ** 3", -2, -8, 12);
  expect_formula("logsumexp(concat(x, x))", 100, 100 + log(2), 1);
  expect_formula("softmax(concat(x, 2 * x))[0]", 0, 0.5, -0.25);
  expect_formula("bce(x, 1)", 0, log(2), -0.5);
  expect_formula("bce(x, 0)", 100, 100, 1);
  expect_formula("huber(x, 0)", 3, 2.5, 1);
  expect_formula("prod(concat(x, x, 2 * x))", 3, 54, 54);
  expect_formula("sort(concat(x, 0 - x))[0][0]", 3, -3, -1);
  expect_formula("topk(concat(x, 2 * x, 0 * x), 2)[0]", 3, 9, 3);
  expect_formula("resize(reshape(concat(x, 2 * x), [1, 1, 1, 2]), [1, 4], mode=\"bilinear\")", 3, 18, 6);
  expect_formula("resize(reshape(concat(x, 2 * x), [1, 1, 1, 2]), [1, 3])", 3, 12, 4);
  expect_formula("iou(reshape(concat(0 * x, 0 * x, x, x), [1, 4]), [[0, 0, 2, 1]])", 0.5, 0.125, 0.5);
  expect_formula("attention(reshape(x, [1, 1]), reshape(x, [1, 1]), reshape(x, [1, 1]))", 3, 3, 1);
  expect_formula("cross_entropy(concat(x, 0 * x)[None], [[0.25, 0.75]])", 0, log(2), 0.25);
  expect_formula("x[0] * where(x > 0, 2.0, 3.0)", -1, -3, 3);
}

/* Params moved by plain sgd are p - g: the step's own gradient against central differences of its loss. */
static void expect_gradients(const char *text, const int64_t *dims, const double *values, const char *const *params,
                             int count) {
  Program program = build_text(text);
  pass_grad(program.module);
  for (int k = 0; k < count; k++) {
    initialise_states(&program, true);
    Array before = *state_of(&program, params[k]);
    int64_t size = array_count(&before);
    for (int64_t i = 0; i < size; i += 1 + size / 5) {
      double loss[2], h = 1e-5, start;
      for (int side = 0; side < 2; side++) {
        initialise_states(&program, true);
        Array *weight = state_of(&program, params[k]);
        start = array_get(weight, i);
        array_set(weight, i, start + (side ? -h : h));
        loss[side] = array_get(&run_entry(&program, "train", dims, values)[0], 0);
      }
      initialise_states(&program, true);
      run_entry(&program, "train", dims, values);
      double gradient = start - array_get(state_of(&program, params[k]), i);
      expect_near(gradient, (loss[0] - loss[1]) / (2 * h), 1e-7, params[k]);
    }
  }
  arena_free(program.arena);
}

static double numbers[4096];

static void fill_numbers(void) {
  for (int k = 0; k < COUNT_OF(numbers); k++) numbers[k] = sin(1.7 * k + 0.3);
}

static void test_gradients_of_a_convolutional_net(void **state) {
  (void)state;
  static const char *const params[] = {"net.conv1.w", "net.conv2.b", "net.batchnorm1.scale", "net.dense1.w", "net.conv3.w"};
  int64_t dims[] = {2};
  fill_numbers();
  expect_gradients("model m\ndim N <= 4\n"
                   "def Net(x: [N, 2, 9, 8]) = x | conv(4, 3, stride=2, pad=1) | batchnorm | tanh\n"
                   "  | conv(4, [3, 2], dilation=[2, 1], pad=2) | maxpool(3, stride=2, pad=1) | conv(6, 1, groups=2)\n"
                   "  | avgpool(2) | flatten | dense(3)\n"
                   "layer net = Net\n"
                   "step train(x: [N, 2, 9, 8]) -> loss {\n"
                   "  loss = cross_entropy(net(x), i32(arange(N)))\n"
                   "  minimize loss by sgd(1)\n}\n",
                   dims, numbers, params, COUNT_OF(params));
}

static void test_gradients_through_scans(void **state) {
  (void)state;
  static const char *const params[] = {"a.w", "b.wx", "b.bh", "c.wh", "d.cell.w"};
  int64_t dims[] = {2, 5};
  fill_numbers();
  expect_gradients("model m\ndim N <= 4\ndim T <= 9\n"
                   "def Deep(xs: [N, T, I], h) {\n"
                   "  layer cell = dense(h)\n"
                   "  scan x in xs, i in 0..T axis 1 carry s = zeros([N, h]) {\n"
                   "    s = tanh(cell(concat(x, s)) + 0.1 * f32(i))\n"
                   "    yield s\n  }\n}\n"
                   "layer a = lstm(3)\nlayer b = gru(2)\nlayer c = rnn(3)\nlayer d = Deep(2)\n"
                   "step train(xs: [N, T, 3]) -> loss {\n"
                   "  y = xs | a | b | c | d\n"
                   "  loss = mean(y * y) + mean(y[:, -1])\n"
                   "  minimize loss by sgd(1)\n}\n",
                   dims, numbers, params, COUNT_OF(params));
}

/* The generator's step must see the discriminator as the first minimize left it, and not move it. */
static void test_gan(void **state) {
  (void)state;
  Program program = build_text("model m\ndim N <= 8\nlayer G = dense(3)\nlayer D = dense(1)\n"
                               "step train(x: [N, 3], z: [N, 2]) -> (dl, gl) {\n"
                               "  fake = G(z)\n  dl = bce(D(x), 1) + bce(D(stop(fake)), 0)\n"
                               "  minimize dl over D by sgd(1)\n"
                               "  gl = bce(D(fake), 1)\n  minimize gl over G by sgd(1)\n}\n"
                               "fn after(z: [N, 2]) -> gl { gl = bce(D(G(z)), 1) }\n");
  int64_t dims[] = {4};
  fill_numbers();
  pass_grad(program.module);
  initialise_states(&program, true);
  Array *results = run_entry(&program, "train", dims, numbers);
  double gl = array_get(&results[1], 0);
  /* put G back: then the loss of the generator is what the step saw */
  for (int k = 0; k < program.module->symbols.count; k++) {
    const Symbol *symbol = &program.module->symbols.items[k];
    if (strncmp(symbol->name, "G.", 2) == 0) initialise(symbol, 7, &program.states[k]);
  }
  results = run_entry(&program, "after", dims, numbers + 12);
  expect_near(array_get(&results[0], 0), gl, 1e-12, "gloss");
  arena_free(program.arena);
}

/* States that a scan's body changes are carries; := in a fn's defs does nothing; a read after := sees the new value. */
static void test_states(void **state) {
  (void)state;
  Program program = build_text("model m\nstate n: [] = 1\nstate old: [] = 0\n"
                               "def Count(x: [S...]) {\n  state k: [] = 0\n  k := k + 1\n  x + k\n}\n"
                               "layer c = Count\n"
                               "def Sum(xs: [T]) {\n  layer inner = Count\n"
                               "  scan x in xs carry s = 0.0 { s = s + inner(x) }\n  s\n}\n"
                               "layer sum_up = Sum\n"
                               "step go(x: [3]) -> (y, s) {\n"
                               "  before = n\n  n := n * 2\n  old := before\n  y = c(x) + n\n  s = sum_up(x)\n}\n"
                               "fn look(x: [3]) -> y { y = c(x) }\n");
  double values[] = {10, 20, 30};
  initialise_states(&program, false);
  Array *results = run_entry(&program, "go", NULL, values);
  expect_near(array_get(&results[0], 0), 13, 0, "y");
  expect_near(array_get(&results[1], 0), 66, 0, "s");
  expect_near(array_get(state_of(&program, "sum_up.inner.k"), 0), 3, 0, "k");
  expect_near(array_get(state_of(&program, "old"), 0), 1, 0, "old");
  results = run_entry(&program, "look", NULL, values);
  expect_near(array_get(&results[0], 0), 11, 0, "look");
  expect_near(array_get(state_of(&program, "c.k"), 0), 1, 0, "c.k");
  arena_free(program.arena);
}

static void test_trees(void **state) {
  (void)state;
  Program program = build_text("model m\nlayer net = dense(2)\nlayer ema = dense(2)\nlayer copy = dense(2)\n"
                               "state total: shape(net) = 0\n"
                               "step go(x: [1, 2]) -> n {\n"
                               "  l = sum(net(x))\n  g = grad(l, net)\n  n = sum(g * g)\n"
                               "  total := total + g\n  ema := 0.5 * net\n  copy := net\n}\n"
                               "fn early() -> w { w = net.w }\nfn look(x: [1, 2]) -> y { y = copy(x) - net(x) }\n");
  double values[] = {3, 4};
  pass_grad(program.module);
  initialise_states(&program, false);
  Array *results = run_entry(&program, "go", NULL, values);
  expect_near(array_get(&results[0], 0), 2 * 9 + 2 * 16 + 2, 0, "n");
  expect_near(array_get(state_of(&program, "total.w"), 2), 4, 0, "total.w");
  expect_near(array_get(state_of(&program, "ema.w"), 1), 0.5 * array_get(state_of(&program, "net.w"), 1), 1e-7, "ema.w");
  results = run_entry(&program, "look", NULL, values);
  expect_near(array_get(&results[0], 0), 0, 0, "look");
  arena_free(program.arena);
}

/* A step's numbers change from call to call; two places in a program draw different ones; dropout rests in a fn. */
static void test_random(void **state) {
  (void)state;
  Program program = build_text("model m\n"
                               "def D(x: [S...]) = x | dropout(0.5)\nlayer d = D\n"
                               "step go() -> (a, b, n) { a = uniform([200])\n b = uniform([200])\n n = normal([4000]) }\n"
                               "fn once(x: [3]) -> (y, u) { y = d(x)\n u = uniform([2]) }\n");
  double values[] = {1, 2, 3};
  initialise_states(&program, false);
  Array *first = run_entry(&program, "go", NULL, values), *second = run_entry(&program, "go", NULL, values);
  int same = 0;
  double mean = 0, square = 0;
  for (int k = 0; k < 200; k++) {
    same += array_get(&first[0], k) == array_get(&second[0], k);
    same += array_get(&first[0], k) == array_get(&first[1], k);
  }
  for (int k = 0; k < 4000; k++) {
    double n = array_get(&first[2], k);
    mean += n / 4000;
    square += n * n / 4000;
  }
  assert_true(same < 5);
  assert_true(fabs(mean) < 0.06 && fabs(square - 1) < 0.1);
  expect_near(array_get(state_of(&program, "nn.calls"), 0), 2, 0, "nn.calls");
  Array *results = run_entry(&program, "once", NULL, values);
  for (int k = 0; k < 3; k++) expect_near(array_get(&results[0], k), values[k], 0, "dropout in a fn");
  arena_free(program.arena);
}

/* Training: the loss of a small net falls, by every optimizer. */
static void test_optimizers(void **state) {
  (void)state;
  static const char *const optimizers[] = {"sgd(0.5)",      "sgd(0.05, momentum=0.9, nesterov=true, decay=1e-4)",
                                           "adagrad(0.1)",  "rmsprop(0.01, momentum=0.5)",
                                           "adadelta(5.0)", "adam(0.02, decay=1e-3)",
                                           "adamw(0.02)",   "sgd(cosine(0, 0.5, 100))"};
  fill_numbers();
  for (int k = 0; k < COUNT_OF(optimizers); k++) {
    Arena *arena = arena_new();
    Program program =
        build_text(arena_format(arena,
                                "model m\ndim N <= 8\nlayer net = dense(8) | tanh | dense(3)\n"
                                "step train(x: [N, 4]) -> loss {\n  loss = cross_entropy(net(x), arange(N) %% 3)\n"
                                "  minimize loss clip 5 by %s\n}\n",
                                optimizers[k]));
    int64_t dims[] = {6};
    double first = 0, last = 0;
    pass_grad(program.module);
    initialise_states(&program, false);
    for (int turn = 0; turn < 150; turn++) {
      last = array_get(&run_entry(&program, "train", dims, numbers)[0], 0);
      if (turn == 0) first = last;
    }
    if (!(last < 0.8 * first)) fail_msg("%s: from %g to %g", optimizers[k], first, last);
    arena_free(program.arena);
    arena_free(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_six_programs),
      cmocka_unit_test(test_models),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_perceptron),
      cmocka_unit_test(test_formulas),
      cmocka_unit_test(test_gradients_of_a_convolutional_net),
      cmocka_unit_test(test_gradients_through_scans),
      cmocka_unit_test(test_gan),
      cmocka_unit_test(test_states),
      cmocka_unit_test(test_trees),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_optimizers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
