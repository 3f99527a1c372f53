/* What the builder says of faulty programs: each has lines that its diagnostics must hold, and a number of errors; and
 * programs that must end in diagnostics, whatever they say, and never in a bug. */
#include "frontend/frontend.h"

#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

typedef struct Case {
  const char *text; /* behind "model m\ndim N <= 128\n" */
  int errors;
  const char *says[4];
} Case;

static char *diagnose(Arena *arena, const char *text, int *errors, bool *built) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  Source *source = NEW(arena, Source);
  Text out = {0};
  *source = (Source){.name = "m.nn", .text = text, .length = strlen(text), .users = true};
  *built = build_source(arena, diagnostics, source, NULL) != NULL;
  *errors = diagnostics_errors(diagnostics);
  diagnostics_text(diagnostics, &out);
  char *copy = arena_format(arena, "%s", out.bytes ? out.bytes : "");
  text_free(&out);
  return copy;
}

static const Case cases[] = {
    {"def Basic(x: [N, C, H, W], out, stride = 1) {\n"
     "  y = x | conv(out, 3, stride, pad=1, bias=false) | batchnorm | relu\n"
     "        | conv(out, 3, pad=1, bias=false) | batchnorm\n"
     "  relu(x + y)\n}\n"
     "layer body = Basic(64) | Basic(256)\n"
     "fn f(x: [N, 64, 8, 8]) -> y = body(x)\n",
     1,
     {"m.nn:6:10: error: '+': [N, 64, 8, 8] does not match [N, 256, 8, 8] (axis 1: 64 and 256)\n",
      "m.nn:8:26: note: in Basic(256), made here\n", "help: project the shortcut, for instance x | conv(256, 1)\n"}},
    {"layer net = dense(4)\nfn f(x: [N, 8]) -> y = nett(x)\nfn g(x: [N, 8]) -> y = net(x) @ x\n",
     2,
     {"m.nn:4:24: error: there is no def or layer 'nett'\n", "help: did you mean 'net'?\n",
      "m.nn:5:31: error: '@': [N, 4] does not match [N, 8] (4 columns and N rows)\n"}},
    {"layer net = dense(4)\nfn f(x: [N, 8]) -> y {\n  net.w := 0\n  y = net(x)\n}\n",
     1,
     {"m.nn:5:9: error: ':=' in a fn: a fn changes no state\n"}},
    {"param w: [8] = 1\nfn f(x: [N, 8]) -> y {\n  w := x[0]\n  y = x\n}\n",
     1,
     {"m.nn:5:5: error: ':=' in a fn: a fn changes no state\n", "help: make 'f' a step\n"}},
    {"param w: [8] = 1\nstep f(x: [N, 8]) -> y {\n  w = x[0]\n  y = x\n}\n",
     1,
     {"m.nn:5:5: error: '=' on 'w', which is a param or state\n", "help: ':=' sets it"}},
    {"step f(x: [N, 8]) -> l {\n  l = mean(x)\n  minimize l by sgd(0.1)\n}\n",
     1,
     {"m.nn:5:12: error: the loss reaches no param\n"}},
    {"layer net = dense(1)\nstep f(x: [N, 8]) -> l {\n  l = mean(frozen(net)(x))\n  minimize l by sgd(0.1)\n}\n",
     1,
     {"m.nn:6:12: error: the loss reaches no param\n"}},
    {"layer net = dense(1)\nstep f(x: [N, 8]) -> l {\n  l = net(x)\n  minimize l by sgd(0.1)\n}\n",
     1,
     {"m.nn:6:12: error: the loss is [N, 1], not a scalar\n", "help: fold it: mean(loss)\n"}},
    {"fn f(x: [N, 8]) -> y = dense(4)(x)\n",
     1,
     {"m.nn:3:24: error: this makes the param 'w', and a fn makes none of its own\n",
      "help: name it at the top level, as in: layer f = ..., and apply that: f(x)\n"}},
    {"fn f(x: [N, 8], k: i32[N, 8]) -> y = x + k\n", 1, {"m.nn:3:40: error: '+': f32 and i32\n", "f32(x)"}},
    {"fn f(k: i32[N]) -> y = k + 0.5\n",
     1,
     {"error: 0.5 does not fit an i32 tensor\n", "help: convert the tensor by f32(x)\n"}},
    {"fn f(k: bool[N]) -> y = k + k\n", 1, {"m.nn:3:27: error: '+' on bool tensors\n"}},
    {"fn f(x: [M, 8]) -> y = x\n", 1, {"m.nn:3:10: error: there is no size 'M'\n", "help: declare it at the top"}},
    {"fn f(x: [N]) -> y {\n  if x > 0 { y = x } else { y = 0 }\n}\n",
     1,
     {"m.nn:4:8: error: the condition is not known at compile time\n", "help: where(c, a, b)"}},
    {"fn f(x: [N]) -> y {\n  relu(x)\n  y = x\n}\n", 1, {"m.nn:4:3: error: the value is not used\n"}},
    {"fn f(x: [N]) -> result {\n  resul = x\n}\n",
     1,
     {"m.nn:3:17: error: the result 'result' is never set\n", "help: did you mean 'resul'?\n"}},
    {"fn f(x: [N]) -> y = x\nfn g(x: [N]) -> y = f(x)\n", 1, {"m.nn:4:21: error: 'f' is a fn, which only C can call\n"}},
    {"def g(x) = g(x)\nfn f(x: [N]) -> y = g(x)\n", 1, {"error: defs call each other to a depth of more than 100\n"}},
    {"a = b\nb = a\nfn f(x: [N]) -> y = x\n", 1, {"m.nn:3:3: error: 'a' needs its own value\n"}},
    {"x = 1\nx = 2\nfn f(x: [N]) -> y = x\n", 1, {"m.nn:4:3: error: 'x' is declared twice\n", "m.nn:3:3: note:"}},
    {"layer c = conv(4, 3, stride=0)\nfn f(x: [N, 4, 5, 5]) -> y = c(x)\n",
     1,
     {"m.nn:3:11: error: a stride is at least 1\n"}},
    {"layer c = conv(4, 9)\nfn f(x: [N, 4, 5, 5]) -> y = c(x)\n",
     1,
     {"m.nn:3:11: error: the window is larger than axis 2 of [N, 4, 5, 5]\n"}},
    {"layer c = dense(0)\nfn f(x: [N, 4]) -> y = c(x)\n",
     1,
     {"m.nn:3:11: error: the shape is [4, 0]: a size is at least 1\n"}},
    {"layer c = dense(2, 3, 4, 5)\nfn f(x: [N, 4]) -> y = c(x)\n", 1, {"help: it is dense(x, out, bias=...)\n"}},
    {"layer c = dense(2, size=3)\nfn f(x: [N, 4]) -> y = c(x)\n", 1, {"'dense' has no parameter 'size'"}},
    {"layer c = dense(2)\nfn f(x: [N, 4]) -> y = c(x)\nfn g(x: [N, 5]) -> y = c(x)\n",
     1,
     {"m.nn:3:11: error: 'c.w' is [5, 2] here, but [4, 2] where it was made first\n", "m.nn:5:24: note: called here\n"}},
    {"fn f(x: [N, 4]) -> y = scan v in x carry s = 0.0 {\n  s = s + v\n  yield s\n}\n",
     1,
     {"error: the carry 's' starts as f32[] and is f32[4] after a turn\n"}},
    {"def g(x: [A, A]) = x\nfn f(x: [N, 4]) -> y = g(x)\n",
     1,
     {"m.nn:4:24: error: 'x' is [N, 4], but its axis 1, 'A', is N here\n"}},
    {"def g(x: [A, 3]) = x\nfn f(x: [N, 4]) -> y = g(x)\n", 1, {"m.nn:4:24: error: 'x' is [N, 4]"}},
    {"def g(x, k) {\n  assert k > 2, \"k is above 2\"\n  x\n}\nfn f(x: [N, 4]) -> y = g(x, 1)\n",
     1,
     {"m.nn:7:24: error: k is above 2\n", "m.nn:4:3: note: asserted here\n"}},
    {"import \"missing.nn\"\nfn f(x: [N]) -> y = x\n", 1, {"m.nn:3:8: error: cannot read missing.nn"}},
    {"layer a = dense(2)\nlayer b = dense(3)\nfn f(x: [N, 4]) -> y = a(x)\n",
     0,
     {"m.nn:4:7: warning: the layer 'b' is never used\n"}},
    {"fn f(x: [N, 4]) -> y {\n  N = 3\n  y = x * N\n}\n", 0, {"m.nn:4:3: warning: 'N' hides the dim of that name\n"}},
};

static void test_messages(void **state) {
  (void)state;
  for (int k = 0; k < COUNT_OF(cases); k++) {
    Arena *arena = arena_new();
    int errors;
    bool built;
    const char *text = arena_format(arena, "model m\ndim N <= 128\n%s", cases[k].text);
    const char *out = diagnose(arena, text, &errors, &built);
    if (errors != cases[k].errors || built != (errors == 0)) fail_msg("%d errors of\n%s\n%s", errors, text, out);
    for (int j = 0; j < COUNT_OF(cases[k].says) && cases[k].says[j]; j++) {
      if (!strstr(out, cases[k].says[j])) fail_msg("\"%s\" is not said of\n%s\n%s", cases[k].says[j], text, out);
    }
    arena_free(arena);
  }
}

/* Ends of many kinds: all that matters is that there is a diagnostic, and no crash. */
static void test_hostile_programs(void **state) {
  (void)state;
  static const char *const programs[] = {
      "",
      "fn f(x: [3]) -> y = x",
      "model m\nlayer a = b\nlayer b = a\nfn f(x: [3]) -> y = a(x)",
      "model m\nfn f(x: [4294967296, 4294967296]) -> y = reshape(x, [-1])",
      "model m\nparam w: [4294967296, 4294967296] = 1\nfn f(x: [4]) -> y = w",
      "model m\nlayer c = conv(4, 9223372036854775807)\nfn f(x: [3, 4, 5, 5]) -> y = c(x)",
      "model m\nlayer c = dense(9223372036854775807)\nfn f(x: [3, 4]) -> y = c(x)",
      "model m\nlayer c = conv(4, 3, groups=0)\nfn f(x: [3, 4, 5, 5]) -> y = c(x)",
      "model m\nlayer c = conv(4, 3, pad=-1)\nfn f(x: [3, 4, 5, 5]) -> y = c(x)",
      "model m\ndim N <= 0\nfn f(x: [N]) -> y = x",
      "model m\nfn f(x: [3]) -> y = x[5]",
      "model m\nfn f(x: [3]) -> y = x[1:1]",
      "model m\nfn f(x: [3]) -> y = x[::0]",
      "model m\nfn f(x: [3]) -> y = (x, x)",
      "model m\nfn f(x: [3]) -> y = relu",
      "model m\nfn f(x: [3]) -> y = \"s\"",
      "model m\nfn f(x: [3]) -> y = [x, x]",
      "model m\nfn f(x: [3]) -> y = [1, [2]]",
      "model m\nfn f(x: [3]) -> y = contract(\"a, b -> q*\", x, x)",
      "model m\nfn f(x: [3]) -> y = contract(\"((((\", x, x)",
      "model m\nfn f(x: [3]) -> y = contract(\"99999999999999999999*a -> a\", x, x)",
      "model m\nfn f(x: [3]) -> y = 10 ** 30",
      "model m\nfn f(x: [3]) -> y = x + 5 // 0",
      "model m\nfn f(x: [3]) -> y = grad(x, x)",
      "model m\nfn f(x: [3]) -> y = uniform([3], \"a\")",
      "model m\nfn f(x: [3]) -> y = infer(x)",
      "model m\nlayer n = 3\nfn f(x: [3]) -> y = n(x)",
      "model m\nlayer n = dense(3) * 0\nfn f(x: [3]) -> y = n(x)",
      "model m\nlayer n = dense(3) * 99999999\nfn f(x: [3]) -> y = n(x)",
      "model m\nstate a: shape(b) = 0\nlayer b = dense(3)\nfn f(x: [3]) -> y = x",
      "model m\nfn f(x: [2, 2, 2, 2, 2, 2, 2, 2, 2]) -> y = x",
      ("model m\ndef g(x) { for i in 0..9999 { x = relu(x) }\n x }\n"
       "def h(x) { for i in 0..9999 { x = g(x) }\n x }\nfn f(x: [3]) -> y = h(x)"),
      "model m\nfn f(x: [3]) -> y = scan v in x { yield v; yield v }",
      "model m\nfn f(x: [3]) -> y = scan i in 0..0 { yield i }",
      "model m\nstep f(x: [3]) -> y { y = sum(x)\n minimize y by 3 }",
      "model m\nparam p: [3] = 1\nstep f(x: [3]) -> y { y = sum(x * p)\n minimize y by relu(3) }",
  };
  for (int k = 0; k < COUNT_OF(programs); k++) {
    Arena *arena = arena_new();
    int errors;
    bool built;
    diagnose(arena, programs[k], &errors, &built);
    if (errors == 0 || built) fail_msg("no error in\n%s", programs[k]);
    arena_free(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_hostile_programs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
