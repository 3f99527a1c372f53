/* Is every entry of the prelude told about, and held to numbers? Each def whose name does not begin with _ has a comment
 * above it, each builtin a line in the prelude's list; and for each the programs of tests/reference have an entry
 * NAME_usual... and one NAME_edges..., with gradients and second gradients where it has any.
 *
 *   complete PRELUDE GROUP.nn ... */
#include "frontend/build.h"

#include <stdio.h>
#include <string.h>

/* What gives decisions, draws or numbers of the program itself: there is no gradient to compare. */
static const char *const without_gradient[] = {
    "sgn",     "sign",    "ceil",      "floor",   "round",  "isfinite", "f32",        "i32",         "bool",     "any",
    "all",     "argmax",  "argmin",    "argsort", "onehot", "zeros",    "ones",       "full",        "arange",   "nms",
    "uniform", "normal",  "bernoulli", "randint", "xavier", "he",       "orthogonal", "categorical", "accuracy", "sgd",
    "adagrad", "rmsprop", "adadelta",  "adam",    "adamw",  "constant", "staircase",  "cosine"};
/* What is no function of tensors; tests/lang has them. */
static const char *const of_the_language[] = {"shape",    "rank",  "initial_normal", "contract", "fold_sum", "fold_max",
                                              "fold_min", "view",  "grad",           "stop",     "infer",    "frozen",
                                              "known",    "dtype", "is_list",        "along",    "like"};

static bool listed(const char *name, const char *const *list, int count) {
  for (int k = 0; k < count; k++)
    if (strcmp(name, list[k]) == 0) return true;
  return false;
}

/* Is there an entry NAME_KIND..., and, if asked, one that gives dx? */
static bool has_entry(const char *text, const char *name, const char *kind, const char *result) {
  Text start = {0};
  bool found = false;
  text_add(&start, " %s_%s", name, kind);
  for (const char *at = text; (at = strstr(at, start.bytes)) != NULL && !found; at++) {
    const char *end = strchr(at, '\n'), *given = strstr(at, "-> ");
    char next = at[start.length];
    if (!given || !end || given > end || (next != '(' && next != '_')) continue;
    const char *place = strstr(given, result);
    found = place != NULL && place < end;
  }
  text_free(&start);
  return found;
}

static int check_tried(const char *text, const char *name) {
  int failures = 0;
  const struct {
    const char *kind, *result, *what;
  } wanted[] = {{"usual", "", "case of ordinary points"},
                {"edges", "", "case of awkward points"},
                {"usual", ", d", "gradient"},
                {"usual", ", dd", "second gradient"}};
  for (int k = 0; k < COUNT_OF(wanted); k++) {
    if (k >= 2 && listed(name, without_gradient, COUNT_OF(without_gradient))) continue;
    if (has_entry(text, name, wanted[k].kind, wanted[k].result)) continue;
    fprintf(stderr, "%s: tests/reference has no %s\n", name, wanted[k].what);
    failures++;
  }
  return failures;
}

/* "# ---- builtins" to the next section tells of every builtin. */
static int check_builtins(const char *prelude, const char *text) {
  const Builtin *const tables[] = {builtins_math, builtins_array, builtins_space, builtins_model};
  const char *start = strstr(prelude, "# ---- builtins"), *end = start ? strstr(start + 1, "# ----") : NULL;
  int failures = 0;
  for (int t = 0; t < COUNT_OF(tables); t++) {
    for (const Builtin *row = tables[t]; row->name; row++) {
      Text call = {0};
      text_add(&call, " %s(", row->name);
      const char *told = start ? strstr(start, call.bytes) : NULL;
      if (!told || !end || told > end)
        failures += fprintf(stderr, "%s: the prelude's list of builtins lacks it\n", row->name) > 0;
      text_free(&call);
      if (!listed(row->name, of_the_language, COUNT_OF(of_the_language))) failures += check_tried(text, row->name);
    }
  }
  return failures;
}

static int check_defs(const char *prelude, const char *text) {
  int failures = 0;
  char above = '\n'; /* how the line above begins */
  for (const char *line = prelude; *line; line = strchr(line, '\n') + 1) {
    char name[64];
    if (sscanf(line, "def %63[A-Za-z0-9_]", name) == 1 && name[0] != '_') {
      if (above != '#') failures += fprintf(stderr, "%s: no comment stands above it\n", name) > 0;
      failures += check_tried(text, name);
    }
    above = line[0];
  }
  return failures;
}

int main(int argc, char **argv) {
  Arena *arena = arena_new();
  Text text = {0};
  Failure failure = {0};
  char *bytes, *prelude = NULL;
  size_t length;
  bool good = argc > 2 && read_file(arena, argv[1], &prelude, &length, &failure);
  for (int k = 2; good && k < argc; k++) {
    good = read_file(arena, argv[k], &bytes, &length, &failure);
    if (good) text_add(&text, "%s", bytes);
  }
  int failures = 1;
  if (good) {
    failures = check_builtins(prelude, text.bytes) + check_defs(prelude, text.bytes);
  } else {
    fprintf(stderr, "%s\n", argc > 2 ? failure.message : "complete PRELUDE GROUP.nn ...");
  }
  text_free(&text);
  arena_free(arena);
  return failures ? 1 : 0;
}
