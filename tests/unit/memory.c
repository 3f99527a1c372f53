/* The memory pass: random plans get packed, then at random sizes no two buffers that live at once overlap and none lies
 * higher than at the bounds; the ratio of the arena to the live bytes is printed. Lives in loops are held to what the
 * pass promises, on a plan read from text. */
#include "passes/plan/plan_passes.h"

#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static uint64_t seed;
static Arena *arena;
static Diagnostics *diagnostics;

static int draw(int low, int high) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int)((seed >> 33) % (uint64_t)(high - low + 1));
}

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

/* ---- random plans: each launch is a kernel that stores what begins there and loads what ends there ---- */

static Access anywhere(Plan *plan, Id id) {
  Map map = {.naxes = plan->buffers.items[id].type.rank};
  for (int k = 0; k < map.naxes; k++) map.axis[k] = axis_at(dim_constant(plan->module, 0));
  return access_of(plan, id, &map);
}

/* a*N + b + c*N*T elements, some of the terms 0 */
static const Dim *random_size(Module *module) {
  static const int a[] = {0, 0, 1, 3, 10, 40}, b[] = {0, 0, 100, 5000, 20000}, c[] = {0, 0, 0, 2};
  const Dim *n = dim_symbol(module, 0), *t = dim_symbol(module, 1);
  const Dim *linear = dim_multiply(module, dim_constant(module, a[draw(0, 5)]), n);
  const Dim *product = dim_multiply(module, dim_constant(module, c[draw(0, 3)]), dim_multiply(module, n, t));
  return dim_offset(module, dim_add(module, linear, product), b[draw(0, 4)] + 1);
}

static Plan *random_plan(int buffers, int launches, int longest) {
  Module *module = module_new(arena, diagnostics, "test");
  module_add_dim(module, "N", 1, 256, 1, NULL);
  module_add_dim(module, "T", 1, 200, 1, NULL);
  Plan *plan = plan_new(graph_new(module, "f", GRAPH_FN));
  for (int k = 0; k < launches; k++) {
    Kernel *kernel = plan_kernel(plan, arena_format(arena, "f_%d", k), NULL);
    kernel_stage(plan, kernel, STAGE_EACH, NULL);
    PUSH(arena, &plan->launches, ((Launch){.kind = LAUNCH_KERNELS, .first = k, .count = 1}));
  }
  for (int k = 0; k < buffers; k++) {
    const Dim *size = random_size(module);
    Id id = plan_buffer(plan, MEMORY_ARENA, type_of(F32, 1, &size), 0, NULL);
    int first = draw(0, launches - 1), last = first + draw(0, longest);
    Store store = {.access = anywhere(plan, id)};
    Access access = anywhere(plan, id);
    Stage *stores = plan->kernels.items[first].stages.items;
    PUSH(arena, &stores->stores, store);
    Stage *loads = plan->kernels.items[MIN(last, launches - 1)].stages.items;
    stage_scalar(plan, loads, (Scalar){.op = SCALAR_LOAD, .dtype = F32, .access = &access});
  }
  return plan;
}

/* ---- the offset program at given sizes ---- */

static void offsets_at(const Plan *plan, const int64_t *dims, int64_t *offset) {
  for (Id id = 0; id < plan->buffers.count; id++) offset[id] = 0;
  /* until nothing moves: the order of Ids is not the program's */
  for (bool moved = true; moved;) {
    moved = false;
    for (Id id = 1; id < plan->buffers.count; id++) {
      const Buffer *buffer = &plan->buffers.items[id];
      for (int k = 0; k < buffer->below.count; k++) {
        Id lower = buffer->below.items[k];
        int64_t end = offset[lower] + dim_value(plan->buffers.items[lower].bytes, dims);
        if (end <= offset[id]) continue;
        offset[id] = end;
        moved = true;
      }
    }
  }
}

static void check_sizes(const Plan *plan, const int64_t *dims, bool at_bounds) {
  int64_t *offset = NEW_ARRAY(arena, int64_t, plan->buffers.count);
  offsets_at(plan, dims, offset);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *a = &plan->buffers.items[id];
    int64_t end = offset[id] + dim_value(a->bytes, dims);
    assert_true(offset[id] % 64 == 0 && offset[id] <= a->offset && end <= plan->arena_bytes);
    if (at_bounds) assert_true(offset[id] == a->offset);
    for (Id other = 1; other < id; other++) {
      const Buffer *b = &plan->buffers.items[other];
      if (a->first > b->last || b->first > a->last) continue;
      assert_true(end <= offset[other] || offset[other] + dim_value(b->bytes, dims) <= offset[id]);
    }
  }
}

static void test_random(void **state) {
  (void)state;
  int exact = 0, plans = 0;
  double sum = 0, worst = 0, edges = 0, buffers = 0;
  for (seed = 1; plans < 60; plans++) {
    Plan *plan = random_plan(draw(1, 60), draw(1, 41), draw(0, 12));
    pass_memory(plan);
    double ratio = (double)plan->arena_bytes / (double)plan->live_bytes;
    assert_true(plan->arena_bytes >= plan->live_bytes);
    exact += plan->arena_bytes == plan->live_bytes;
    sum += ratio;
    worst = MAX(worst, ratio);
    for (Id id = 1; id < plan->buffers.count; id++) edges += plan->buffers.items[id].below.count;
    buffers += plan->buffers.count - 1;
    check_sizes(plan, (int64_t[]){256, 200}, true);
    check_sizes(plan, (int64_t[]){1, 1}, false);
    for (int k = 0; k < 3; k++) check_sizes(plan, (int64_t[]){draw(1, 256), draw(1, 200)}, false);
  }
  print_message("arena over live: mean %.4f, worst %.4f, exact %d of %d; edges per buffer %.2f\n", sum / plans, worst,
                exact, plans, edges / buffers);
  assert_true(sum / plans < 1.02);
}

/* Training's shape: what forward makes is used in backward in reverse order. Packs exactly. */
static void test_training(void **state) {
  (void)state;
  enum { LAYERS = 100 };
  seed = 7;
  Plan *plan = random_plan(0, 2 * LAYERS, 0);
  for (int k = 0; k < LAYERS; k++) {
    const Dim *size = random_size(plan->module);
    Id saved = plan_buffer(plan, MEMORY_ARENA, type_of(F32, 1, &size), 0, NULL);
    Id gradient = plan_buffer(plan, MEMORY_ARENA, type_of(F32, 1, &size), 0, NULL);
    int lives[2][2] = {{k, 2 * LAYERS - 1 - k}, {2 * LAYERS - 1 - k, MIN(2 * LAYERS - k, 2 * LAYERS - 1)}};
    for (int which = 0; which < 2; which++) {
      Access access = anywhere(plan, which ? gradient : saved);
      Stage *loads = plan->kernels.items[lives[which][1]].stages.items;
      stage_scalar(plan, loads, (Scalar){.op = SCALAR_LOAD, .dtype = F32, .access = &access});
      Stage *stores = plan->kernels.items[lives[which][0]].stages.items;
      PUSH(arena, &stores->stores, ((Store){.access = access}));
    }
  }
  pass_memory(plan);
  print_message("training: arena %lld of live %lld\n", (long long)plan->arena_bytes, (long long)plan->live_bytes);
  assert_true(plan->arena_bytes * 100 <= plan->live_bytes * 102);
  check_sizes(plan, (int64_t[]){256, 200}, true);
  check_sizes(plan, (int64_t[]){17, 3}, false);
}

/* ---- lives in loops ---- */

static const char loops[] = "module m\n"
                            "dim 0 <= t <= 3 turn\n"
                            "fn f(x: f32[4]) {\n"
                            "  %1 = constant 0.0 : f32[]\n"
                            "  result y %1\n"
                            "}\n"
                            "plan f {\n"
                            "  buffer %1 arg 0 x : f32[4]\n"
                            "  buffer %2 result 0 y : f32[]\n"
                            "  buffer %3 arena carry : f32[]\n"
                            "  buffer %4 arena fresh : f32[]\n"
                            "  buffer %5 arena history : f32[4]\n"
                            "  buffer %6 arena before : f32[]\n"
                            "  buffer %7 arena unused : f32[]\n"
                            "  kernel f_0 {\n"
                            "    each {\n"
                            "      s0 = number f32 0.0\n"
                            "      store %3() = s0\n"
                            "      store %6() = s0\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_1 {\n"
                            "    each {\n"
                            "      s0 = load %1(t)\n"
                            "      s1 = load %6()\n"
                            "      s2 = add s0 s1\n"
                            "      store %4() = s2\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_2 {\n"
                            "    each {\n"
                            "      s0 = load %4()\n"
                            "      s1 = load %3()\n"
                            "      s2 = add s0 s1\n"
                            "      store %3() = s2\n"
                            "      store %5(t) = s2\n"
                            "    }\n"
                            "  }\n"
                            "  kernel f_3 {\n"
                            "    each {\n"
                            "      s0 = load %5(t)\n"
                            "      store %2() = s0\n"
                            "    }\n"
                            "  }\n"
                            "  launch f_0\n"
                            "  loop t trips 4 {\n"
                            "    launch f_1\n"
                            "    launch f_2\n"
                            "    launch f_3\n"
                            "  }\n"
                            "}\n";

static void assert_life(const Plan *plan, Id id, int first, int last) {
  const Buffer *buffer = &plan->buffers.items[id];
  assert_non_null(buffer->bytes);
  assert_int_equal(buffer->first, first);
  assert_int_equal(buffer->last, last);
}

static void test_loops(void **state) {
  (void)state;
  Source source = {.name = "test", .text = loops, .length = sizeof loops - 1, .users = true};
  Plan **plans;
  int count;
  assert_non_null(plans_read(arena, diagnostics, &source, &plans, &count));
  Plan *plan = plans[0];
  pass_memory(plan);
  assert_life(plan, 3, 0, 5); /* carried: from its first value to the loop's end */
  assert_life(plan, 4, 2, 3); /* made anew in each turn */
  assert_life(plan, 5, 1, 5); /* each turn writes a part */
  assert_life(plan, 6, 0, 5); /* read in every turn */
  assert_null(plan->buffers.items[7].bytes);
  assert_int_equal(plan->live_bytes, 4 * 64);
  assert_int_equal(plan->arena_bytes, 4 * 64);
  pass_memory(plan); /* again: the same */
  assert_int_equal(plan->arena_bytes, 4 * 64);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_training, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_loops, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
