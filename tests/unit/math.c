/* Emitted math against libm in double: floats of every exponent, and many where functions change, on each kind of
 * processor that this machine can run. The bounds are those that codegen/cpu/math.c promises. */
#include "codegen/cpu/nest.h"
#include "codegen/cpu/processor.h"
#include "tests/unit/jit.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { SAMPLES = 1 << 18 };
typedef void Function(const float *x, const float *y, float *result, int64_t count);
typedef LLVMValueRef EmitUnary(Emitter *emitter, LLVMValueRef x);
typedef struct Case {
  const char *name;
  EmitUnary *emit;
  double (*exact)(double x);
  double ulps; /* over all floats up to `limit`; 1.25 times that without fused multiply-add */
  double limit;
} Case;

static double nearest_even(double x) { return rint(x); }

static const Case cases[] = {
    {"exp", emit_exp, exp, 1.0, INFINITY},     {"log", emit_log, log, 1.0, INFINITY},
    {"tanh", emit_tanh, tanh, 2.0, INFINITY},  {"erf", emit_erf, erf, 2.0, INFINITY},
    {"sin", emit_sin, sin, 2.0, 1e6},          {"cos", emit_cos, cos, 2.0, 1e6},
    {"floor", emit_floor, floor, 0, INFINITY}, {"round", emit_round, nearest_even, 0, INFINITY},
};

/* void name(x, y, result, count): 16 at a time. */
static void emit_loop(Emitter *emitter, const char *name, EmitUnary *unary) {
  LLVMTypeRef arguments[] = {emitter->pointer, emitter->pointer, emitter->pointer, emitter->i64};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(emitter->context), arguments, 4, 0);
  LLVMValueRef function = emitter->function = LLVMAddFunction(emitter->module, name, type);
  const char *keys[] = {"target-cpu", "target-features"};
  const char *values[] = {emitter->processor->name, emitter->processor->features};
  for (int k = 0; k < 2; k++) { LLVMAddTargetDependentFunctionAttr(function, keys[k], values[k]); }
  LLVMPositionBuilderAtEnd(emitter->builder, new_block(emitter, "entry"));
  Looping loop;
  loop_open(emitter, &loop, const_i64(emitter, 0), LLVMGetParam(function, 3), LANES, -1, NULL, 0);
  LLVMValueRef value[3];
  for (int k = 0; k < 3; k++) {
    value[k] = LLVMGetParam(function, (unsigned)k);
    value[k] = LLVMBuildGEP2(emitter->builder, emitter->f32, value[k], &loop.index, 1, "");
  }
  for (int k = 0; k < 2; k++) {
    value[k] = LLVMBuildLoad2(emitter->builder, emitter->v16f32, value[k], "");
    LLVMSetAlignment(value[k], 4);
  }
  LLVMValueRef result = unary ? unary(emitter, value[0]) : emit_pow(emitter, value[0], value[1]);
  LLVMSetAlignment(LLVMBuildStore(emitter->builder, result, value[2]), 4);
  loop_close(emitter, &loop, NULL);
  LLVMBuildRetVoid(emitter->builder);
}

static uint32_t random_state = 1;
static uint32_t draw(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state ^ random_state >> 15;
}

static float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Half of them any bits, half of moderate size. */
static float sample(int k) {
  static const float special[] = {
      0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN,       0x1p-149f, -0x1p-149f, 0x1.fffffep127f, -0x1.fffffep127f,
      2.0f, -2.0f, 0.5f, 3.0f,  -3.0f,    0x1p-126f, 88.72283f, -103.97f,  8388608.5f, 0.49999997f,     2.5f,
      -0.5f};
  if (k < COUNT_OF(special)) return special[k];
  if (k % 2) return from_bits(draw());
  float scale = ldexpf(1.0f, (int)(draw() % 14) - 6);
  return ((float)(int32_t)draw() / 2147483648.0f) * scale;
}

/* Distance of a float to the exact result, in units of the float nearest to that. */
static double ulps_between(float got, double exact) {
  float rounded = (float)exact;
  if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
  if (isinf(rounded) || isinf(got))
    return rounded == got                                    ? 0
           : fabs(exact) < 0x1.ffffffp127 && isinf(got)      ? INFINITY
           : isinf(rounded) && fabsf(got) == 0x1.fffffep127f ? 1
                                                             : INFINITY;
  if (exact == 0 && got == 0) return 0;
  int exponent;
  frexp(exact, &exponent);
  double unit = ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
  return fabs((double)got - exact) / unit;
}

static float *xs, *ys, *results;

static void check_unary(const Case *one, Function *function, const Processor *processor, const char *name) {
  double worst = 0, worst_x = 0;
  function(xs, ys, results, SAMPLES);
  for (int k = 0; k < SAMPLES; k++) {
    if (fabsf(xs[k]) > one->limit) {
      assert_true(fabsf(results[k]) <= 1 || isinf(xs[k]));
      continue;
    }
    double ulps = ulps_between(results[k], one->exact((double)xs[k]));
    if (ulps > worst) worst = ulps, worst_x = (double)xs[k];
  }
  print_message("%-12s %-6s %.3f ulp at %.9g\n", name, one->name, worst, worst_x);
  assert_true(worst <= one->ulps * (processor->fma ? 1 : 1.25));
}

static void check_pow(Function *function, const char *processor) {
  double worst = 0;
  int at = 0;
  for (int k = 0; k < SAMPLES; k++) {
    xs[k] = sample(k % 64 == 0 ? k / 64 % 23 : k + 64);
    ys[k] = sample(k % 64 == 0 ? k / (64 * 23) % 23 : (int)(draw() % 2) + 64);
    if (k % 5 == 0) ys[k] = (float)(int)(draw() % 41) - 20;
  }
  function(xs, ys, results, SAMPLES);
  for (int k = 0; k < SAMPLES; k++) {
    double ulps = ulps_between(results[k], pow((double)xs[k], (double)ys[k]));
    if (ulps > worst) worst = ulps, at = k;
  }
  print_message("%-12s pow    %.3f ulp at %.9g, %.9g: %.9g\n", processor, worst, (double)xs[at], (double)ys[at],
                (double)results[at]);
  assert_true(worst <= 1.0);
}

static void test_processor(const char *name) {
  Arena *arena = arena_new();
  const Processor *processor = processor_find(arena, architecture_find("x86_64-"), name);
  assert_non_null(processor);
  if (processor_runs_here(processor)) {
    Jit jit;
    Emitter emitter;
    jit_begin(&jit, &emitter, processor);
    for (int k = 0; k < COUNT_OF(cases); k++) emit_loop(&emitter, cases[k].name, cases[k].emit);
    emit_loop(&emitter, "power", NULL);
    jit_end(&jit, &emitter);
    for (int k = 0; k < SAMPLES; k++) xs[k] = sample(k);
    for (int k = 0; k < COUNT_OF(cases); k++)
      check_unary(&cases[k], (Function *)jit_find(&jit, cases[k].name), processor, name);
    check_pow((Function *)jit_find(&jit, "power"), name);
    jit_free(&jit);
  }
  arena_free(arena);
}

static void test_native(void **state) {
  (void)state;
  test_processor("native");
}
static void test_v3(void **state) {
  (void)state;
  test_processor("x86-64-v3");
}
static void test_plain(void **state) {
  (void)state;
  test_processor("x86-64");
}

int main(void) {
  xs = malloc(SAMPLES * sizeof *xs), ys = malloc(SAMPLES * sizeof *ys), results = malloc(SAMPLES * sizeof *results);
  if (!xs || !ys || !results) return 1;
  memset(ys, 0, SAMPLES * sizeof *ys);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_native), cmocka_unit_test(test_v3),
                                     cmocka_unit_test(test_plain)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  free(xs), free(ys), free(results);
  return failed;
}
