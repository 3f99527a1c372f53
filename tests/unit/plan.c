/* Plans by their text: every stage kind, locals, loops of launches, random numbers. Each text is read, printed to itself,
 * verified, run, and held to numbers computed here; texts with a fault are refused with a sentence. */
#include "ir/interpret.h"
#include "ir/plan.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static Arena *arena;
static Diagnostics *diagnostics;

static int set_up(void **state) {
  (void)state;
  arena = arena_new();
  diagnostics = diagnostics_new(arena);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static Plan *read_plan(const char *text) {
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "test", .text = text, .length = strlen(text), .users = true};
  Plan **plans;
  int count;
  Module *module = plans_read(arena, diagnostics, source, &plans, &count);
  if (!module) {
    diagnostics_print(diagnostics, stderr);
    return NULL;
  }
  assert_int_equal(count, 1);
  return plans[0];
}

static char *printed(Plan *plan) {
  Text text = {0};
  plans_print(plan->module, &plan, 1, &text);
  char *copy = arena_copy(arena, text.bytes, text.length + 1);
  text_free(&text);
  return copy;
}

/* Read, printed to the text itself, verified. */
static Plan *good_plan(const char *text) {
  Plan *plan = read_plan(text);
  Text why = {0};
  assert_non_null(plan);
  assert_string_equal(printed(plan), text);
  if (!plan_verify(plan, &why)) fail_msg("%s", why.bytes);
  text_free(&why);
  return plan;
}

static Array floats(int rank, const int64_t *size, const float *values) {
  Array array = array_new(arena, F32, false, rank, size);
  memcpy(array.data, values, (size_t)array_count(&array) * sizeof *values);
  return array;
}

static void run(Plan *plan, const int64_t *dims, const Array *parameters, Array *states, Array *results) {
  Failure failure = {0};
  struct Run run = {.graph = plan->graph, .dims = dims, .parameters = parameters, .states = states, .results = results};
  run.arena = arena;
  if (!plan_run(plan, &run, &failure)) fail_msg("%s", failure.message);
}

/* ---- a dense layer with softmax: contraction with a local, folds, an epilogue, a guarded load ---- */

static const char dense[] = "module m\n"
                            "dim N <= 8\n"
                            "param w f32[3, 2] = 0.0\n"
                            "fn f(x: f32[N, 3]) {\n"
                            "  %1 = constant 0.0 : f32[N, 2]\n"
                            "  %2 = constant 0.0 : i32[N]\n"
                            "  result y %1\n"
                            "  result best %2\n"
                            "}\n"
                            "plan f {\n"
                            "  arena 0 of live 0 local 128\n"
                            "  buffer %1 arg 0 x : f32[N, 3]\n"
                            "  buffer %2 state w : f32[3, 2]\n"
                            "  buffer %3 result 0 y : f32[N, 2]\n"
                            "  buffer %4 result 1 best : i32[N]\n"
                            "  kernel f_0_dense tasks n:N/3 {\n"
                            "    flops 12*N\n"
                            "    local %5 t : f32[N, 2]   # a task holds [3, 2]\n"
                            "    local %6 sum : f32[N]   # a task holds [3]\n"
                            "    contract n:N o:2 | k:3 tile vector o row n column - 14x2 {\n"
                            "      s0 = load %1(n, k)\n"
                            "      s1 = load %2(k, o)\n"
                            "      s2 = mul s0 s1\n"
                            "      fold sum s2\n"
                            "    after\n"
                            "      s3 = folded 0\n"
                            "      s4 = exp s3\n"
                            "      store %5(n, o) = s4\n"
                            "    }\n"
                            "    fold n:N | o:2 vector o {\n"
                            "      s0 = load %5(n, o)\n"
                            "      fold sum s0\n"
                            "      fold argmax s0\n"
                            "    after\n"
                            "      s1 = folded 0\n"
                            "      s2 = folded 1\n"
                            "      store %6(n) = s1\n"
                            "      store %4(n) = s2\n"
                            "    }\n"
                            "    each n:N o:2 {\n"
                            "      s0 = load %5(n, o)\n"
                            "      s1 = load %6(n)\n"
                            "      s2 = div s0 s1\n"
                            "      s3 = load %1(n, 4*o - 2) else 0.5\n"
                            "      s4 = add s2 s3\n"
                            "      store %3(n, o) = s4\n"
                            "    }\n"
                            "  }\n"
                            "  launch f_0_dense\n"
                            "}\n";

static void test_dense(void **state) {
  (void)state;
  Plan *plan = good_plan(dense);
  enum { N = 5 };
  float x[N][3], w[3][2];
  for (int n = 0; n < N; n++) {
    for (int k = 0; k < 3; k++) x[n][k] = (float)(n - 2) * 0.25f + (float)k * 0.5f;
  }
  for (int k = 0; k < 6; k++) w[k / 2][k % 2] = (float)(k % 4) * 0.5f - 0.75f;
  Array parameter = floats(2, (int64_t[]){N, 3}, &x[0][0]), weight = floats(2, (int64_t[]){3, 2}, &w[0][0]), results[2];
  run(plan, (int64_t[]){N}, &parameter, &weight, results);
  for (int n = 0; n < N; n++) {
    float t[2];
    for (int o = 0; o < 2; o++) t[o] = expf(x[n][0] * w[0][o] + x[n][1] * w[1][o] + x[n][2] * w[2][o]);
    for (int o = 0; o < 2; o++) {
      float expected = t[o] / (t[0] + t[1]) + (o == 0 ? 0.5f : x[n][2]);
      assert_true(fabsf(((float *)results[0].data)[2 * n + o] - expected) < 1e-5f);
    }
    assert_int_equal(((int32_t *)results[1].data)[n], t[1] > t[0]);
  }
  /* no result is wanted: all of it runs, nothing is stored */
  run(plan, (int64_t[]){N}, &parameter, &weight, NULL);
}

/* ---- the other stage kinds, gathers, reshapes, indices, keys ---- */

static const char kinds[] = "module m\n"
                            "fn f(x: f32[6], i: i32[4]) {\n"
                            "  %1 = constant 0.0 : i32[2, 3]\n"
                            "  %2 = constant 0.0 : f32[6]\n"
                            "  %3 = constant 0.0 : f32[6]\n"
                            "  %4 = constant 0.0 : f32[4]\n"
                            "  result order %1\n"
                            "  result total %2\n"
                            "  result added %3\n"
                            "  result taken %4\n"
                            "}\n"
                            "plan f {\n"
                            "  arena 0 of live 0 local 0\n"
                            "  buffer %1 arg 0 x : f32[6]\n"
                            "  buffer %2 arg 1 i : i32[4]\n"
                            "  buffer %3 constant c : f32[4] = [1.0, 2.0, 4.0, 8.0]\n"
                            "  buffer %4 result 0 order : i32[2, 3]\n"
                            "  buffer %5 result 1 total : f32[6]\n"
                            "  buffer %6 result 2 added : f32[6]\n"
                            "  buffer %7 result 3 taken : f32[4]\n"
                            "  kernel f_0_order tasks r:2/1 {\n"
                            "    sort r:2 c:3 {\n"
                            "      s0 = load %1(r, c) as [2, 3]\n"
                            "      store %4(r, c) = s0\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_1_total {\n"
                            "    cumsum c:6 {\n"
                            "      s0 = load %1(c)\n"
                            "      store %5(c) = s0\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_2_added {\n"
                            "    each c:6 {\n"
                            "      s0 = index (2*c + 1)\n"
                            "      s1 = cast f32 s0\n"
                            "      store %6(c) = s1\n"
                            "    }\n"
                            "    scatter | k:4 {\n"
                            "      s0 = load %2(k)\n"
                            "      s1 = load %3(k)\n"
                            "      store %6([s0]) = s1\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_3_taken {\n"
                            "    each k:4 {\n"
                            "      s0 = load %2(k)\n"
                            "      s1 = load %1([s0]) else -1.0\n"
                            "      s2 = inside ((k - 1)/2) of [2]\n"
                            "      s3 = key stream 7 s0\n"
                            "      s4 = random (k) of [4] s3\n"
                            "      s5 = number f32 100.0\n"
                            "      s6 = mul s4 s5\n"
                            "      s7 = where s2 s6 s1\n"
                            "      store %7(k) = s7\n"
                            "    }\n"
                            "  }\n"
                            "  launch f_0_order f_1_total f_2_added f_3_taken\n"
                            "}\n";

static void test_kinds(void **state) {
  (void)state;
  Plan *plan = good_plan(kinds);
  const float x[6] = {3, NAN, 1, 2, 2, -5};
  const int32_t index[4] = {5, 0, 9, 0};
  Array parameters[2] = {floats(1, (int64_t[]){6}, x), array_new(arena, I32, false, 1, (int64_t[]){4})};
  memcpy(parameters[1].data, index, sizeof index);
  Array results[4];
  run(plan, NULL, parameters, NULL, results);
  const int32_t order[6] = {2, 0, 1, 2, 0, 1};
  assert_memory_equal(results[0].data, order, sizeof order);
  const float *total = results[1].data, *added = results[2].data, *taken = results[3].data;
  assert_true(total[0] == 3 && isnan(total[1]) && isnan(total[5]));
  const float sums[6] = {1 + 2 + 8, 3, 5, 7, 9, 11 + 1};
  assert_memory_equal(added, sums, sizeof sums);
  assert_true(taken[0] == -5 && taken[2] == -1);
  for (int k = 1; k < 4; k += 2) {
    uint32_t key = random_key(7, (uint32_t)index[k]);
    assert_true(taken[k] == random_uniform(key, (uint64_t)k) * 100);
  }
}

/* ---- a loop of launches: h = 2*h + x[t], from the last turn to the first, every h kept ---- */

static const char loop[] = "module m\n"
                           "dim 0 <= t <= 3 turn\n"
                           "fn f(x: f32[4]) {\n"
                           "  %1 = constant 0.0 : f32[4]\n"
                           "  result y %1\n"
                           "}\n"
                           "plan f {\n"
                           "  arena 128 of live 128 local 0\n"
                           "  buffer %1 arg 0 x : f32[4]\n"
                           "  buffer %2 result 0 y : f32[4]\n"
                           "  buffer %3 arena h : f32[] life 0..4 offset 0\n"
                           "  buffer %4 arena twice : f32[] life 2..3 offset 64 below %3\n"
                           "  kernel f_0_zero {\n"
                           "    each {\n"
                           "      s0 = number f32 0.0\n"
                           "      store %3() = s0\n"
                           "    }\n"
                           "  }\n"
                           "  kernel f_1_twice {\n"
                           "    each {\n"
                           "      s0 = load %3()\n"
                           "      s1 = add s0 s0\n"
                           "      store %4() = s1\n"
                           "    }\n"
                           "  }\n"
                           "  kernel f_2_cell {\n"
                           "    each {\n"
                           "      s0 = load %4()\n"
                           "      s1 = load %1(t)\n"
                           "      s2 = add s0 s1\n"
                           "      store %3() = s2\n"
                           "      store %2(t) = s2\n"
                           "    }\n"
                           "  }\n"
                           "  launch f_0_zero\n"
                           "  loop t trips 4 reverse {\n"
                           "    launch f_1_twice\n"
                           "    launch f_2_cell\n"
                           "  }\n"
                           "}\n";

static void test_loop(void **state) {
  (void)state;
  Plan *plan = good_plan(loop);
  const float x[4] = {1, 2, 3, 4};
  Array parameter = floats(1, (int64_t[]){4}, x), result;
  run(plan, NULL, &parameter, NULL, &result);
  const float expected[4] = {49, 24, 11, 4};
  assert_memory_equal(result.data, expected, sizeof expected);
}

/* ---- faults ---- */

static void refused(const char *text, const char *from, const char *to, const char *why) {
  const char *at = strstr(text, from);
  assert_non_null(at);
  char *bad = arena_format(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  Plan *plan = read_plan(bad);
  assert_non_null(plan);
  Text said = {0};
  assert_false(plan_verify(plan, &said));
  if (!strstr(said.bytes, why)) fail_msg("said: %s", said.bytes);
  text_free(&said);
}

static void test_verify(void **state) {
  (void)state;
  refused(dense, "store %3(n, o)", "store %3(n, o + 1)", "not proven to be inside");
  refused(dense, "store %6(n) = s1", "store %6(n) = s0", "varies with the folded loops");
  refused(dense, "load %1(n, k)", "load %1(n, k + 1)", "a contraction is");
  refused(dense, "s3 = folded 0", "s3 = load %2(k, o)", "varies with folded loops");
  refused(dense, "load %6(n)\n", "load %3(n, 0)\n", "loads a result");
  refused(dense, "      store %5(n, o) = s4\n", "", "before it is written");
  refused(dense, "local %6 sum : f32[N]", "local %6 sum : f32[3]", "another size than task loop");
  refused(dense, "s2 = div s0 s1", "s2 = lt s0 s1", "dtypes do not fit");
  refused(kinds, "scatter | k:4", "each k:4", "not proven to be inside");
  refused(loop, "  launch f_0_zero\n", "", "before it is written");
}

static void not_read(const char *text, const char *from, const char *to) {
  const char *at = strstr(text, from);
  assert_non_null(at);
  Diagnostics *kept = diagnostics;
  diagnostics = diagnostics_new(arena);
  char *bad = arena_format(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "test", .text = bad, .length = strlen(bad), .users = true};
  Plan **plans;
  int count;
  assert_null(plans_read(arena, diagnostics, source, &plans, &count));
  assert_int_equal(diagnostics_errors(diagnostics), 1);
  diagnostics = kept;
}

static void test_read(void **state) {
  (void)state;
  not_read(dense, "load %1(n, k)", "load %9(n, k)");
  not_read(dense, "load %1(n, k)", "load %1(n)");
  not_read(dense, "s2 = mul s0 s1", "s2 = mul s0 s2");
  not_read(dense, "s2 = mul s0 s1", "s2 = frobnicate s0");
  not_read(dense, "buffer %2 state w", "buffer %2 state v");
  not_read(dense, "buffer %2 state w", "buffer %7 state w");
  not_read(dense, "launch f_0_dense", "launch f_0_conv");
  not_read(dense, "tasks n:N/3", "tasks n:N/0");
  not_read(dense, "folded 1", "folded 2");
  not_read(loop, "loop t trips", "loop u trips");
}

/* Texts with a few characters changed are read or refused, verified or not, and what was read prints to what reads back:
 * never a crash (the sanitizers watch). */
static void test_broken(void **state) {
  (void)state;
  static const char *const texts[] = {dense, kinds, loop};
  static const char letters[] = "0123456789s%()[]{}|:/*+- =.,nkotNx\n";
  uint64_t seed = 1;
  for (int round = 0; round < 3000; round++) {
    Arena *kept = arena;
    arena = arena_new();
    Diagnostics *said = diagnostics_new(arena);
    char *bad = arena_format(arena, "%s", texts[round % 3]);
    size_t start = (size_t)(strstr(bad, "\nplan ") - bad), length = strlen(bad);
    for (int change = 0; change <= round % 4; change++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      bad[start + (seed >> 33) % (length - start)] = letters[(seed >> 20) % (sizeof letters - 1)];
    }
    Source source = {.name = "test", .text = bad, .length = length, .users = true};
    Plan **plans;
    int count;
    if (plans_read(arena, said, &source, &plans, &count) && count == 1) {
      plan_verify(plans[0], NULL);
      diagnostics = said;
      char *text = printed(plans[0]);
      Plan *again = read_plan(text);
      if (!again) fail_msg("read once, but not again:\n%s", text);
      assert_string_equal(printed(again), text);
    }
    arena_free(arena);
    arena = kept;
  }
}

/* Two that live at once in one place: the one that is born poisons the other, and the run shows it. */
static void test_poison(void **state) {
  (void)state;
  const char *below = strstr(loop, " offset 64 below %3");
  Plan *plan = read_plan(arena_format(arena, "%.*s offset 0%s", (int)(below - loop), loop, strchr(below, '\n')));
  const float x[4] = {1, 2, 3, 4};
  Array parameter = floats(1, (int64_t[]){4}, x), result;
  run(plan, NULL, &parameter, NULL, &result);
  assert_true(isnan(((float *)result.data)[0]));
}

/* ---- what a plan answers ---- */

static void test_answers(void **state) {
  (void)state;
  Plan *plan = good_plan(dense);
  const Kernel *kernel = &plan->kernels.items[0];
  assert_int_equal(kernel_local_bytes(plan, 0), 128);
  assert_int_equal(dim_value(kernel_task_count(plan, 0), (int64_t[]){7}), 3);
  const Stage *contract = &kernel->stages.items[0], *each = &kernel->stages.items[2];
  const Dim *base, *strides[MAX_LOOPS];
  assert_true(access_strides(plan, contract, contract->scalars.items[1].access, &base, strides));
  assert_true(dim_is(base, 0) && dim_is(strides[0], 0) && dim_is(strides[1], 1) && dim_is(strides[2], 2));
  assert_true(access_strides(plan, each, each->scalars.items[3].access, &base, strides));
  assert_true(dim_is(base, -2) && dim_is(strides[0], 3) && dim_is(strides[1], 4));
  assert_false(access_always_inside(plan, each, each->scalars.items[3].access));
  assert_true(access_always_inside(plan, each, each->scalars.items[0].access));
  Kernel *second = plan_kernel(plan, "f_0_dense", NULL);
  assert_string_equal(second->name, "f_0_dense_2");
  Stage *stage = kernel_stage(plan, second, STAGE_EACH, NULL);
  int one = stage_scalar(plan, stage, (Scalar){.op = SCALAR_NUMBER, .dtype = F32, .number = 1, .a = 5});
  assert_int_equal(one, stage_scalar(plan, stage, (Scalar){.op = SCALAR_NUMBER, .dtype = F32, .number = 1}));
  assert_int_not_equal(one, stage_scalar(plan, stage, (Scalar){.op = SCALAR_NUMBER, .dtype = F32, .number = -1}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_dense, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_kinds, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_loop, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_verify, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_poison, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
