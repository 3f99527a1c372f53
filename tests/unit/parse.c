/* The parser: the language's own programs, what binds how, where lines end, and faults at their places.
 *
 * What was understood is compared as syntax_print() shows it: bracketed, one statement a line. A fault is compared by line,
 * column and the beginning of its message. */
#include "frontend/syntax.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static File *parse_text(Arena *arena, Diagnostics *diagnostics, const char *text, size_t length) {
  Source *source = NEW(arena, Source);
  *source = (Source){.name = "t.nn", .text = text, .length = length, .users = true};
  return parse_source(arena, diagnostics, source);
}

/* The tree of a text without faults, printed. */
static char *understood(Arena *arena, const char *text) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  File *file = parse_text(arena, diagnostics, text, strlen(text));
  Text out = {0};
  diagnostics_text(diagnostics, &out);
  syntax_print(file, &out);
  char *result = arena_format(arena, "%s", out.length ? out.bytes : "");
  text_free(&out);
  return result;
}

static void check_understood(const char *text, const char *expected) {
  Arena *arena = arena_new();
  assert_string_equal(understood(arena, text), expected);
  arena_free(arena);
}

/* Every fault as a line "line:column: error: message". */
static char *faults(Arena *arena, const char *text, size_t length) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  parse_text(arena, diagnostics, text, length);
  Text all = {0}, out = {0};
  diagnostics_text(diagnostics, &all);
  text_add(&out, "%s", "");
  for (char *line = all.length ? strtok(all.bytes, "\n") : NULL; line; line = strtok(NULL, "\n"))
    if (strncmp(line, "t.nn:", 5) == 0 && strstr(line, ": error: ")) text_add(&out, "%s\n", line + 5);
  char *result = arena_format(arena, "%s", out.bytes);
  text_free(&all);
  text_free(&out);
  return result;
}

static void check_faults(const char *text, const char *expected) {
  Arena *arena = arena_new();
  assert_string_equal(faults(arena, text, strlen(text)), expected);
  arena_free(arena);
}

/* ---- what is understood ---- */

/* Each program parses, and what is printed of it parses to the same. */
static void test_programs(void **state) {
  (void)state;
  static const char *const programs[] = {"linreg", "perceptron", "lenet", "resnet18", "sentiment", "gan"};
  for (int i = 0; i < COUNT_OF(programs); i++) {
    Arena *arena = arena_new();
    Diagnostics *diagnostics = diagnostics_new(arena);
    Failure failure = {0};
    char *bytes;
    size_t length;
    const char *path = arena_format(arena, NNC_SOURCE_DIR "/tests/programs/%s.nn", programs[i]);
    assert_true(read_file(arena, path, &bytes, &length, &failure));
    File *file = parse_text(arena, diagnostics, bytes, length);
    assert_int_equal(diagnostics_errors(diagnostics), 0);
    assert_ptr_equal(file->model, intern(programs[i]));
    const char *once = understood(arena, bytes);
    assert_string_equal(understood(arena, once), once);
    arena_free(arena);
  }
}

static void test_operators(void **state) {
  (void)state;
  check_understood("x = a | f * 2 | g(1)", "x = ((a | (f * 2)) | g(1))\n");
  check_understood("x = a or b and not c == d + e", "x = (a or (b and (not (c == (d + e)))))\n");
  check_understood("x = a - b - c * d @ e // f % g", "x = ((a - b) - ((((c * d) @ e) // f) % g))\n");
  check_understood("x = -a ** 2 ** -b", "x = (-(a ** (2 ** (-b))))\n");
  check_understood("x = -a * b", "x = ((-a) * b)\n");
  check_understood("x = (a + b).c[0](1)", "x = (a + b).c[0](1)\n");
  check_understood("x = y[1:, ::2, :3, None, ..., 0, a:b:c]", "x = y[1:, ::2, :3, None, ..., 0, a:b:c]\n");
  check_understood("x = [0.5, 1, -1, 1e-3, .5, 2., 1_000]", "x = [0.5, 1, (-1), 0.001, 0.5, 2.0, 1000]\n");
  check_understood("x = f(a, b=2, c=\"n\\\"\",)", "x = f(a, b=2, c=\"n\\\"\")\n");
  check_understood("a, b = b, a\n(c, d) = (1, 2)\ne = (1,)", "a, b = (b, a)\nc, d = (1, 2)\ne = (1,)\n");
  check_understood("x = 9223372036854775807", "x = 9223372036854775807\n");
  check_understood("x = true == false", "x = (true == false)\n");
}

static void test_declarations(void **state) {
  (void)state;
  check_understood("model m; dim N <= 256; dim 5 <= T <= 200; dim H <= 2 * 256 by 32; import \"b.nn\"",
                   "model m\ndim N <= 256\ndim 5 <= T <= 200\ndim H <= (2 * 256) by 32\nimport \"b.nn\"\n");
  check_understood("def f(x: [..., C], y: i32[S..., 2*C], m: bool[], k, s = 1) = x",
                   "def f(x: [..., C], y: i32[S..., (2 * C)], m: bool[], k, s = 1) = x\n");
  check_understood("fn f(x: [N], k: i32[] = 3) -> y = x", "fn f(x: [N], k: i32[] = 3) -> (y) = x\n");
  check_understood("step s() {\n  w := 1\n  a.b.c := a.d\n}", "step s() {\n  w := 1\n  a.b.c := a.d\n}\n");
  check_understood("state a: shape(net) = 0\nparam w: [2] + shape(x) = xavier\nparam c: []",
                   "state a: shape(net) = 0\nparam w: ([2] + shape(x)) = xavier\nparam c: []\n");
  /* Words that are not reserved are names wherever they can be. */
  check_understood("model = 1\nstep = layer + state\nlayer over = f(axis=by, clip=carry)",
                   "model = 1\nstep = (layer + state)\nlayer over = f(axis=by, clip=carry)\n");
}

static void test_statements(void **state) {
  (void)state;
  check_understood("step s() { minimize l + m over net.a, h clip 1.0 by adam(lr, 0.5) }",
                   "step s() {\n  minimize (l + m) over net.a, h clip 1.0 by adam(lr, 0.5)\n}\n");
  check_understood("def f() { y = if c { a } else if d { b } else { x = 1; x } | g }",
                   "def f() {\n  y = (if c {\n    a\n  } else {\n    if d {\n      b\n    } else {\n      x = 1\n      x\n"
                   "    }\n  } | g)\n}\n");
  check_understood("def f() { for i in 0..n + 1 { assert i > 0, \"t\" }; for v in [1, 2] { } }",
                   "def f() {\n  for i in 0..(n + 1) {\n    assert (i > 0), \"t\"\n  }\n  for v in [1, 2] {\n  }\n}\n");
  check_understood(
      "def f() { y = scan x in xs, i in 0..3 axis 1 carry s = 0, c = 1 { s = x; yield s, c } }",
      "def f() {\n  y = scan x in xs, i in 0..3 axis 1 carry s = 0, c = 1 {\n    s = x\n    yield s, c\n  }\n}\n");
}

static void test_lines(void **state) {
  (void)state;
  check_understood("x = a\n\n  # a comment\n  | f\n  | g", "x = ((a | f) | g)\n");
  check_understood("x =\n a +\n b and\n c", "x = ((a + b) and c)\n");
  check_understood("x = f(a\n+ b,\n\nc)\ny = [1\n, 2]", "x = f((a + b), c)\ny = [1, 2]\n");
  check_understood("x = f(if c { a = 1\nb = 2\na } else { b })",
                   "x = f(if c {\n  a = 1\n  b = 2\n  a\n} else {\n  b\n})\n");
  check_understood("a = 1;; b = 2;\r\n;c = 3 # end", "a = 1\nb = 2\nc = 3\n");
  check_understood("\xEF\xBB\xBFx = 1 # \xC3\xA9", "x = 1\n");
  check_understood("def f(x) {\n  -x\n}", "def f(x) {\n  (-x)\n}\n");
  check_understood("", "");
}

/* What the builder relies on besides the shape of the tree. */
static void test_marks(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Diagnostics *diagnostics = diagnostics_new(arena);
  const char *text = "def f(x) {\n  y = x + Basic(256)\n  net.a\n}";
  File *file = parse_text(arena, diagnostics, text, strlen(text));
  const Block *body = file->statements.items[0]->routine->body;
  assert_false(body->statements.items[0]->last);
  assert_true(body->statements.items[1]->last);
  assert_string_equal(dotted_name(arena, body->statements.items[1]->expression), "net.a");
  const Expression *sum = body->statements.items[0]->assign.value, *call = sum->operation.right;
  Place place = expression_place(sum, NULL, NULL);
  int line, column;
  place_position(&place, &line, &column);
  assert_int_equal(line, 2);
  assert_int_equal(column, 9);
  assert_int_equal(sum->height, 3);
  assert_true(call->end - call->begin == 10 && memcmp(text + call->begin, "Basic(256)", 10) == 0);
  arena_free(arena);
}

/* ---- faults ---- */

static void test_faults(void **state) {
  (void)state;
  check_faults("x = a < b < c", "1:11: error: '<': comparisons are not chained\n");
  check_faults("def f(x) {\n  y = x\n    + 1\n  - y\n}",
               "3:5: error: a line begins with '+'\n4:3: error: a line begins with '-'\n");
  check_faults("x = (1 + 2\ny = 3\nlayer z = 4 4",
               "2:1: error: expected ')', found 'y'\n3:13: error: expected the end of the statement, found '4'\n");
  check_faults("dim N = 3\nx = 1 1\ny = ]",
               "1:7: error: expected '<=', found '='\n2:7: error: expected the end of the statement, found '1'\n"
               "3:5: error: expected a value, found ']'\n");
  check_faults("fn f(x: [N) -> y {\n  y = 1 1\n}",
               "1:11: error: expected ',' or ']', found ')'\n2:9: error: expected the end of the statement, found '1'\n");
  check_faults("def f(x) {\n  y = x\n\ndef g(x) {\n  z = 3 3\n}\nx := 1",
               "4:1: error: expected '}', found 'def'\n5:9: error: expected the end of the statement, found '3'\n"
               "7:3: error: ':=' stands in a step, or in a def that a step calls\n");
  check_faults("step s() {\n  x[0] = 1\n  a.b = 2\n  x += 1\n  f(a=1, 2)\n  else { }\n}",
               "2:4: error: '=' cannot set a part of a tensor\n3:5: error: '=' on a part of a layer\n"
               "4:6: error: expected a value, found '='\n5:10: error: an argument without a name after one with a name\n"
               "6:3: error: 'else' without an 'if' before it on the line\n");
  check_faults("x = 'a'\ny = \"b\nz = a ! b", "1:5: error: unexpected character '''\n"
                                              "2:5: error: this string does not end on its line\n"
                                              "3:7: error: unexpected character '!'\n");
  check_faults("a + b\nmodel m\nmodel n", "1:3: error: an expression whose value is not used\n"
                                          "3:7: error: a second 'model': this file is the model 'm' already\n");
  check_faults("# \xC3\xA9\xC3\xA9\n\"\xC3\xA9\" $", "2:5: error: unexpected character '$'\n");
  check_faults("x = 9223372036854775808\ny = 1e999\nz = 3x",
               "1:5: error: this whole number is too large: the largest is 9223372036854775807\n"
               "2:5: error: this number is too large: the largest is near 1.8e308\n"
               "3:5: error: a number runs into a name\n");
  check_faults("def f() {\n  def g() = 1\n", "2:3: error: 'def' stands only at the top level\n"
                                             "2:14: error: expected '}', found the end of the file\n");
}

static void test_bytes(void **state) {
  (void)state;
  Arena *arena = arena_new();
  static const char text[] = "x = 1 # caf\xE9\nz = \xFF\nq = 3 3", binary[] = "x = 1 # caf\xE9\ny = 1 \0 2\nq = 3 3";
  assert_string_equal(faults(arena, text, sizeof text - 1),
                      "1:12: error: this is not UTF-8\n3:7: error: expected the end of the statement, found '3'\n");
  assert_string_equal(faults(arena, binary, sizeof binary - 1), "2:7: error: a byte 0: this is no text in UTF-8\n");
  arena_free(arena);
}

/* A text of many parts; every one must end in a message, whatever the depth of the stack. */
static void check_long(const char *before, const char *part, int count, const char *after, const char *expected) {
  Text text = {0};
  text_add(&text, "%s", before);
  for (int i = 0; i < count; i++) text_add_bytes(&text, part, strlen(part));
  text_add(&text, "%s", after);
  Arena *arena = arena_new();
  const char *found = faults(arena, text.bytes, text.length);
  if (!strstr(found, expected)) fail_msg("%s, %d times: expected '%s', found '%.200s'", part, count, expected, found);
  arena_free(arena);
  text_free(&text);
}

static void test_limits(void **state) {
  (void)state;
  enum { MANY = 100000, MIB = 1 << 20 };
  check_long("x = ", "(", MANY, "1\nlayer y = )",
             "1:505: error: this is nested more than 500 deep\n2:11: error: expected a value");
  check_long("x = ", "[", MANY, "", "nested more than 500 deep");
  check_long("x = ", "f(", MANY, "", "nested more than 500 deep");
  check_long("x = ", "-", MANY, "1", "nested more than 500 deep");
  check_long("x = ", "not ", MANY, "1", "nested more than 500 deep");
  check_long("x = ", "2 ** ", MANY, "1", "nested more than 500 deep");
  check_long("x = 1", " + 1", MANY, "", "an expression of more than 500 levels");
  check_long("x = a", ".a", MANY, "", "an expression of more than 500 levels");
  check_long("def f() ", "{ if c ", MANY, "", "nested more than 500 deep");
  check_long("def f() { ", "if c { } else ", MANY, "{ } }", "nested more than 500 deep");
  check_long("x = ", "aaaaaaaaaa", MIB, "\ny = 1 1",
             "1:5: error: a name of more than 255 characters\n2:7: error: expected");
  check_long("x = ", "1111111111", MIB, "", "1:5: error: a number of more than 100 characters\n");
  check_long("x = [", "a,", MIB, "]", "the file has more than a million words\n");
  check_long("x = ", "(", 490, "1", "expected ')', found the end of the file");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_programs),   cmocka_unit_test(test_operators), cmocka_unit_test(test_declarations),
      cmocka_unit_test(test_statements), cmocka_unit_test(test_lines),     cmocka_unit_test(test_marks),
      cmocka_unit_test(test_faults),     cmocka_unit_test(test_bytes),     cmocka_unit_test(test_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
