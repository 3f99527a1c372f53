/* What is kept of a training's numbers: the curve that joins neighbours, the way through a checkpoint, csv; and charts, which
 * must be well-formed whatever the numbers are. */
#include "command/chart.h"
#include "command/history.h"
#include "command/markup.h"
#include "command/progress.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const names[] = {"loss", "acc", "test loss"};

static void feed_steps(History *history, int from, int to) {
  for (int k = from; k < to; k++) history_step(history, (double[]){k, 1 + k % 2});
}

static void the_curve_is_the_mean_of_equal_stretches(void **state) {
  (void)state;
  Arena *arena = arena_new();
  for (int steps = 1; steps < 1000; steps += 37) {
    History history = history_new(arena, names, 3, 2);
    feed_steps(&history, 0, steps);
    const Curve *curve = &history.curve;
    assert_true(curve->count <= CURVE_POINTS && curve->count * curve->stretch + curve->filled == steps);
    for (int k = 0; k < curve->count; k++)
      assert_true(fabs(curve->points[2 * k] - ((double)k * curve->stretch + (curve->stretch - 1) / 2.0)) < 1e-9);
  }
  arena_free(arena);
}

static void a_run_cut_in_two_has_the_same_history(void **state) {
  (void)state;
  Arena *arena = arena_new();
  for (int cut = 0; cut <= 400; cut += 23) {
    History whole = history_new(arena, names, 3, 2), part = whole, rest;
    whole = history_new(arena, names, 3, 2);
    feed_steps(&whole, 0, 400);
    feed_steps(&part, 0, cut);
    if (cut > 100) history_row(arena, &part, 1, 100, 5, (double[]){1, 2, 3});
    Tensors file = {0};
    Failure failure = {0};
    history_take(arena, &part, &file);
    rest = history_new(arena, names, 3, 2);
    assert_true(history_restore(arena, &rest, "file", &file, &failure));
    feed_steps(&rest, cut, 400);
    assert_true(rest.curve.count == whole.curve.count && rest.curve.filled == whole.curve.filled);
    assert_memory_equal(rest.curve.points, whole.curve.points, sizeof(double) * 2 * (size_t)whole.curve.count);
    assert_memory_equal(rest.curve.sums, whole.curve.sums, sizeof(double) * 2);
    assert_int_equal(rest.rows.count, cut > 100);
    if (cut > 100) assert_true(rest.rows.items[0].values[2] == 3 && isnan(rest.rows.items[0].seconds));
  }
  arena_free(arena);
}

static void other_histories_are_refused(void **state) {
  (void)state;
  Arena *arena = arena_new();
  History one = history_new(arena, names, 3, 2), other = history_new(arena, names, 2, 1);
  Tensors file = {0};
  Failure failure = {0};
  history_row(arena, &one, 1, 100, 5, (double[]){1, 2, 3});
  history_take(arena, &one, &file);
  assert_false(history_restore(arena, &other, "file", &file, &failure));
  assert_non_null(strstr(failure.message, "not of 2 numbers"));
  file.list.items[file.list.count - 1].size[1] = 7;
  failure = (Failure){0};
  assert_false(history_restore(arena, &one, "file", &file, &failure));
  arena_free(arena);
}

static void logs_are_gone_on_with(void **state) {
  (void)state;
  Arena *arena = arena_new();
  char path[] = "history-XXXXXX";
  assert_true(close(mkstemp(path)) == 0);
  History history = history_new(arena, names, 3, 2);
  history_row(arena, &history, 1, 10, 0.25, (double[]){3, 0.1, 2.5});
  history_row(arena, &history, 2, 20, 0.5, (double[]){2, 0.2, 1.0 / 3});
  Text text = {0};
  Failure failure = {0};
  history_csv(&history, &text);
  assert_string_equal(text.bytes,
                      "epoch,step,seconds,loss,acc,test loss\n1,10,0.250,3,0.1,2.5\n2,20,0.500,2,0.2,0.333333333\n");
  assert_true(write_file(path, text.bytes, text.length, &failure));
  history.rows.items[0].seconds = history.rows.items[1].seconds = NAN;
  history_seconds(arena, &history, path);
  assert_true(history.rows.items[0].seconds == 0.25 && history.rows.items[1].seconds == 0.5);
  text_free(&text);
  unlink(path);
  arena_free(arena);
}

/* Tags are balanced and closed, and no number is one that SVG does not know. */
static void well_formed(const char *text) {
  char stack[16][32];
  int depth = 0;
  for (const char *at = text; *at; at++) {
    if (*at != '<') continue;
    const char *end = strchr(at, '>');
    assert_non_null(end);
    size_t length = strcspn(at + 1 + (at[1] == '/'), " />");
    if (at[1] == '/') {
      assert_true(depth > 0 && strlen(stack[depth - 1]) == length && memcmp(stack[depth - 1], at + 2, length) == 0);
      depth--;
    } else if (end[-1] != '/') {
      assert_true(depth < 16 && length < 32);
      snprintf(stack[depth++], sizeof stack[0], "%.*s", (int)length, at + 1);
    }
    at = end;
  }
  assert_int_equal(depth, 0);
  assert_null(strstr(text, "nan"));
  assert_null(strstr(text, "inf"));
}

static void charts_are_well_formed_for_any_numbers(void **state) {
  (void)state;
  static const double numbers[][4] = {
      {1, 2, 3, 4},         {0, 0, 0, 0},         {1e-30, 1, 1e30, 1e-8},      {-5, -5, -5, -5},
      {NAN, 1, NAN, 2},     {NAN, NAN, NAN, NAN}, {INFINITY, 1, -INFINITY, 0}, {1e300, 1e-300, 0, -1e300},
      {1, 1 + 1e-15, 1, 1}, {0.02, 0.9, 0.97, 1}};
  static const double x[] = {0.5, 1, 2, 3};
  for (int k = 0; k < COUNT_OF(numbers); k++)
    for (int count = 0; count <= 4; count++) {
      Series series[] = {{"training", x, numbers[k], count, false, false, 0},
                         {"<&\">", x, numbers[k], count, true, false, 1},
                         {NULL, x, numbers[k], count, true, true, 1 + CHART_COLORS}};
      Chart charts[] = {{"epoch", "loss", series, 3, true}, {"epoch", "acc", series, 1, false}};
      Text text = {0};
      charts_draw(charts, 2, &text);
      well_formed(text.bytes);
      assert_non_null(strstr(text.bytes, "&lt;&amp;&quot;&gt;"));
      text_free(&text);
    }
}

static void logarithms_where_numbers_range_far(void **state) {
  (void)state;
  static const double x[] = {1, 2}, far[] = {3, 0.003}, near[] = {3, 0.3};
  for (int k = 0; k < 3; k++) {
    Series series = {"test", x, k == 1 ? near : far, 2, true, false, 0};
    Chart chart = {"epoch", "loss", &series, 1, k != 2};
    Text text = {0};
    charts_draw(&chart, 1, &text);
    assert_int_equal(strstr(text.bytes, "(logarithmic)") != NULL, k == 0);
    text_free(&text);
  }
}

static void base64_is_rfc_4648s(void **state) {
  (void)state;
  static const char *const cases[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"},
                                         {"\xff\xfe", "//4="}};
  for (int k = 0; k < COUNT_OF(cases); k++) {
    Text text = {0};
    markup_base64(&text, cases[k][0], strlen(cases[k][0]));
    assert_string_equal(text.bytes ? text.bytes : "", cases[k][1]);
    text_free(&text);
  }
}

static void the_progress_line(void **state) {
  (void)state;
  static const double curve[] = {8, 7, 6, 5, 4, 3, 2, 1};
  ProgressNow now = {.epoch = 2,
                     .epochs = 3,
                     .done = 500,
                     .rows = 1000,
                     .name = "loss",
                     .value = 1.25,
                     .held_name = "test loss",
                     .held_value = 2,
                     .curve = curve,
                     .points = 8,
                     .stride = 1};
  Text line = {0};
  progress_line(&now, 10, 120, &line);
  assert_string_equal(line.bytes, "epoch 2/3  50%  10 rows/s  2:30 left  loss 1.25  test loss 2  █▇▆▅▄▃▂▁");
  text_clear(&line);
  progress_line(&now, 0.1, 65, &line); /* 65 columns leave room for four */
  assert_string_equal(line.bytes, "epoch 2/3  50%  0 rows/s  4:10:00 left  loss 1.25  test loss 2  ");
  text_clear(&line);
  progress_line(&now, 10, 20, &line);
  assert_string_equal(line.bytes, "epoch 2/3  50%  10 ");
  text_clear(&line);
  now.name = now.held_name = NULL;
  progress_line(&now, 10, 120, &line);
  assert_string_equal(line.bytes, "epoch 2/3  50%  10 rows/s  2:30 left");
  text_free(&line);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_curve_is_the_mean_of_equal_stretches),
      cmocka_unit_test(a_run_cut_in_two_has_the_same_history),
      cmocka_unit_test(other_histories_are_refused),
      cmocka_unit_test(logs_are_gone_on_with),
      cmocka_unit_test(charts_are_well_formed_for_any_numbers),
      cmocka_unit_test(logarithms_where_numbers_range_far),
      cmocka_unit_test(base64_is_rfc_4648s),
      cmocka_unit_test(the_progress_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
