/* nnc diff finds planted faults, and names the pass that they were planted behind; and what rounding does is no fault. */
#include "command/diff.h"
#include "ir/plan.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static const char source[] = "model waves\n"
                             "dim N <= 8\n"
                             "layer f = dense(3)\n"
                             "fn wave(x: [N, 4]) -> y { y = tanh(f(x)) * 2 }\n"
                             "fn roll(xs: [5, N]) -> y {\n"
                             "  scan x in xs carry s = zeros([N]) { s = tanh(s + x) }\n"
                             "  y = s\n"
                             "}\n"
                             "step learn(x: [N, 4]) -> loss {\n"
                             "  loss = mean(tanh(f(x)) ** 2)\n"
                             "  minimize loss by sgd(0.5)\n"
                             "}\n";

/* ---- faults ---- */

static Pass planted_behind;
static int times; /* how often it is planted: the first run of the passes is the one that is compiled */

static Id sine_for_tanh(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  (void)user;
  const Node *node = graph_node(from, id);
  return node->op == OP_tanh ? graph_unary(to, OP_sin, renamed[node->operands[0]]) : 0;
}

static void spoil_plan(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int s = 0; s < plan->kernels.items[k].stages.count; s++) {
      Stage *stage = &plan->kernels.items[k].stages.items[s];
      for (int i = 0; i < stage->scalars.count; i++)
        if (stage->scalars.items[i].op == OP_tanh) stage->scalars.items[i].op = OP_sin;
    }
  }
}

static void plant(void *user, Module *module, Pass pass, Plan *const *plans) {
  (void)user;
  if (pass != planted_behind || times-- <= 0) return;
  for (int k = 0; k < module->entries.count; k++) {
    if (pass_info[pass].on_plans)
      spoil_plan(plans[k]);
    else
      module->entries.items[k] = graph_rewrite(module->entries.items[k], sine_for_tanh, NULL);
  }
}

/* ---- what diff says ---- */

static const char *named_for(const cJSON *list, const char *entry, const char *value) {
  const cJSON *row, *item;
  cJSON_ArrayForEach(row, list) {
    if (strcmp(cJSON_GetObjectItem(row, "entry")->valuestring, entry) != 0) continue;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(row, "values")) {
      if (strcmp(cJSON_GetObjectItem(item, "name")->valuestring, value) != 0) continue;
      const cJSON *first = cJSON_GetObjectItem(item, "first_beyond_after");
      return first ? first->valuestring : "good";
    }
  }
  return "absent";
}

/* All values agree where nothing is planted; else all that a tanh leads to are put down to the pass. */
static void diff_names(Pass pass, int turns, const char *expected) {
  Arena *arena = arena_new();
  Settings settings = {.json = true, .threads = 1};
  PUSH(arena, &settings.words, "diff_waves.nn");
  Failure failure = {0};
  assert_true(write_file("diff_waves.nn", source, sizeof source - 1, &failure));
  planted_behind = pass;
  times = turns;
  Diff diff = {.arena = arena, .settings = &settings, .list = cJSON_CreateArray(), .tamper = plant};
  bool good = diff_model(&diff, &failure);
  assert_int_equal(good, turns == 0);
  assert_int_equal(failure.code, turns == 0 ? EXIT_GOOD : EXIT_DIFFERS);
  assert_string_equal(named_for(diff.list, "wave", "y"), expected);
  assert_string_equal(named_for(diff.list, "roll", "y"), expected);
  assert_string_equal(named_for(diff.list, "learn", "loss"), expected);
  assert_string_equal(named_for(diff.list, "learn", "f.w"), expected);
  cJSON_Delete(diff.list);
  diff_close(&diff);
  arena_free(arena);
}

static void nothing_planted(void **state) {
  (void)state;
  diff_names(PASS_grad, 0, "good");
}

static void behind_each_pass(void **state) {
  (void)state;
  for (int pass = PASS_grad + 1; pass < PASS_COUNT; pass++) diff_names((Pass)pass, 100, pass_info[pass].name);
}

/* What is compiled differs from what the passes leave: they are all right. */
static void in_code_generation(void **state) {
  (void)state;
  diff_names(PASS_memory, 1, "code generation");
}

/* ---- where rounding is all that is left ---- */

/* Batchnorm takes the bias before it out again, so that its gradient is 0: both ways it is a sum over 16,384 terms that
 * cancel, in different orders. */
static const char cancelling[] =
    "model cancelling\n"
    "dim N <= 64\n"
    "layer net = conv(8, 3, pad=1) | batchnorm | relu | conv(8, 3) | batchnorm | relu | flatten | "
    "dense(10)\n"
    "step learn(x: [N, 1, 16, 16], y: i32[N]) -> loss {\n"
    "  loss = cross_entropy(net(x), y)\n"
    "  minimize loss by adam(0.1)\n"
    "}\n";

static void gradients_that_are_zero(void **state) {
  (void)state;
  Failure failure = {0};
  assert_true(write_file("diff_cancelling.nn", cancelling, sizeof cancelling - 1, &failure));
  for (int seed = 0; seed < 3; seed++) {
    Arena *arena = arena_new();
    Settings settings = {.json = true, .threads = 1, .seed = seed};
    PUSH(arena, &settings.words, "diff_cancelling.nn");
    PUSH(arena, &settings.words, "N=64");
    Diff diff = {.arena = arena, .settings = &settings, .list = cJSON_CreateArray()};
    assert_true(diff_model(&diff, &failure));
    assert_int_equal(diff.lost, 0);
    assert_string_equal(named_for(diff.list, "learn", "net.conv1.b.adam.v"), "good");
    cJSON_Delete(diff.list);
    diff_close(&diff);
    arena_free(arena);
  }
}

/* A bound as large as the value leaves nothing to compare, but what is far beyond it is a fault all the same. */
static void lost_or_beyond(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Settings settings = {.json = true, .threads = 1};
  PUSH(arena, &settings.words, "diff_waves.nn");
  PUSH(arena, &settings.words, "wave");
  PUSH(arena, &settings.words, "N=1");
  Failure failure = {0};
  assert_true(write_file("diff_waves.nn", source, sizeof source - 1, &failure));
  Diff diff = {.arena = arena, .settings = &settings, .list = cJSON_CreateArray()};
  assert_true(diff_model(&diff, &failure));
  float compiled[1], single[1] = {1};
  double exact[1] = {1};
  const void *data[SIDES] = {[COMPILED] = compiled, [SINGLE] = single, [DOUBLE] = exact};
  diff.moved[0] = 1;
  compiled[0] = 4;
  Verdict verdict = diff_verdict(&diff, 0, 1, data);
  assert_true(verdict.good && !verdict.lost);
  compiled[0] = 40;
  verdict = diff_verdict(&diff, 0, 1, data);
  assert_true(!verdict.good && verdict.lost);
  compiled[0] = 1e6F;
  verdict = diff_verdict(&diff, 0, 1, data);
  assert_true(!verdict.good && !verdict.lost);
  diff.moved[0] = 0.01;
  compiled[0] = 2;
  verdict = diff_verdict(&diff, 0, 1, data);
  assert_true(!verdict.good && !verdict.lost);
  cJSON_Delete(diff.list);
  diff_close(&diff);
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_planted),         cmocka_unit_test(behind_each_pass), cmocka_unit_test(in_code_generation),
      cmocka_unit_test(gradients_that_are_zero), cmocka_unit_test(lost_or_beyond),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
