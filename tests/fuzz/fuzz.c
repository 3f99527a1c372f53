/* fuzz: random programs, every way of running them held to bounds carried along in f64.
 *
 *   fuzz --seeds 1..300              checks the programs of these seeds; the first failures are shrunk and printed
 *   fuzz file.graph ...              checks programs from files (tests/fuzz/found holds those that once failed)
 *   --compiled                       compiled code too, for several processors, with one thread and with two
 *   --cuda                           kernels of CUDA too, by the shim of tests/cuda (named in NNC_NVRTC and NN_CUDA_DRIVER)
 *   --precision tf32|bf16            with these kernels' contractions on tensor cores, and bounds that hold for that
 *   --fast-conv 2|4                  with all convolutions that can be by tiles of so many results each way; seeds are then
 *                                    of programs about convolutions
 *   --verbose                        each program's text; --keep FOLDER writes shrunk programs there
 *   --first                          stops at the first failure, not shrunk: "found by program 17"
 *
 * Programs run in a child process, so that one that crashes or hangs says which it was. */
#include "tests/fuzz/fuzz.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FAILURES = 5, SECONDS_EACH = 60 };

/* What parent and child share. */
typedef struct Shared {
  Counts counts;
  int64_t seed, progress;
  char why[4096];
} Shared;

typedef struct Options {
  int64_t first, last;
  const char *keep;
  bool only_first;
  CheckOptions check;
  int failures;
  Shared *shared;
} Options;

static char *program_text(const Options *options, Arena *arena, int64_t seed) {
  Text text = {0};
  module_print((options->check.fast_conv ? generate_conv : generate)(arena, (uint64_t)seed), &text);
  char *copy = arena_copy(arena, text.bytes, text.length + 1);
  text_free(&text);
  return copy;
}

/* ---- in the child ---- */

static int check_text(Options *options, Arena *arena, const char *text) {
  Module *module = module_of_text(arena, text);
  if (!module) return EXIT_INPUT;
  Text why = {0};
  bool good = check_module(module, &options->check, &options->shared->counts, &why);
  if (!good) snprintf(options->shared->why, sizeof options->shared->why, "%s", why.bytes);
  bool program = good || strncmp(why.bytes, NOT_A_PROGRAM, strlen(NOT_A_PROGRAM)) != 0;
  text_free(&why);
  return good ? EXIT_GOOD : program ? EXIT_DIFFERS : EXIT_INPUT;
}

/* Goes through seeds until one fails; the parent sees which in `seed`. Programs go through their text, so that printer and
 * reader are tested as well. */
static int child_seeds(Options *options) {
  for (int64_t seed = options->shared->seed; seed <= options->last; seed++) {
    options->shared->seed = seed;
    Arena *arena = arena_new();
    alarm(SECONDS_EACH);
    char *text = program_text(options, arena, seed);
    if (options->check.verbose) fprintf(stderr, "--- seed %lld\n%s", (long long)seed, text);
    int code = check_text(options, arena, text);
    arena_free(arena);
    if (code != EXIT_GOOD) return code;
  }
  return EXIT_GOOD;
}

static int child_text(Options *options, const char *text) {
  Arena *arena = arena_new();
  alarm(SECONDS_EACH);
  int code = check_text(options, arena, text);
  arena_free(arena);
  return code;
}

/* ---- in the parent ---- */

/* How a child ended: 0, or an exit code, or 1000 and the signal. text NULL: goes through seeds. */
static int in_child(Options *options, const char *text, bool silent) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) bug("no process for a program");
  if (child == 0) {
    if (silent && !freopen("/dev/null", "w", stderr)) _exit(EXIT_BUG);
    int code = text ? child_text(options, text) : child_seeds(options);
    fflush(NULL);
    _exit(code);
  }
  int status;
  if (waitpid(child, &status, 0) < 0) bug("a child was lost");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

typedef struct Failing {
  Options *options;
  int code;
} Failing;

static bool still_fails(const char *text, void *user) {
  Failing *failing = user;
  Counts before = failing->options->shared->counts;
  int code = in_child(failing->options, text, true);
  failing->options->shared->counts = before;
  return code == failing->code;
}

static void report(Options *options, const char *what, const char *text, int code) {
  Arena *arena = arena_new();
  Shared *shared = options->shared;
  if (code == EXIT_DIFFERS) printf("%s: %s\n", what, shared->why);
  if (code != EXIT_DIFFERS) printf("%s: ended with %s %d\n", what, code >= 1000 ? "signal" : "code", code % 1000);
  Failing failing = {options, code};
  char *smallest = shrink(arena, text, still_fails, &failing);
  in_child(options, smallest, false);
  printf("shrunk: %s\n%s\n", code == EXIT_DIFFERS ? shared->why : "", smallest);
  if (options->keep) {
    Failure failure = {0};
    char *path = arena_format(arena, "%s/%s.graph", options->keep, what);
    if (!write_file(path, smallest, strlen(smallest), &failure)) printf("%s\n", failure.message);
  }
  arena_free(arena);
}

static int run_seeds(Options *options) {
  Shared *shared = options->shared;
  for (shared->seed = options->first; shared->seed <= options->last; shared->seed++) {
    int code = in_child(options, NULL, false);
    if (code == EXIT_GOOD) break;
    Arena *arena = arena_new();
    int64_t seed = shared->seed;
    if (options->only_first) {
      printf("found by program %lld: %s\n", (long long)(seed - options->first + 1),
             code == EXIT_DIFFERS ? shared->why : "it ends the process");
      arena_free(arena);
      return ++options->failures;
    }
    if (options->failures++ < MOST_FAILURES) {
      report(options, arena_format(arena, "seed%lld", (long long)seed), program_text(options, arena, seed), code);
      printf("again: fuzz --seeds %lld..%lld\n\n", (long long)seed, (long long)seed);
    } else {
      printf("seed%lld fails too\n", (long long)seed);
    }
    shared->seed = seed;
    arena_free(arena);
  }
  return options->failures;
}

static void run_file(Options *options, const char *path) {
  Arena *arena = arena_new();
  char *text;
  size_t length;
  Failure failure = {0};
  if (!read_file(arena, path, &text, &length, &failure)) {
    printf("%s\n", failure.message);
    options->failures++;
  } else {
    int code = in_child(options, text, false);
    if (code != EXIT_GOOD) {
      options->failures++;
      printf("%s: code %d %s\n", path, code, code == EXIT_DIFFERS ? options->shared->why : "");
    }
  }
  arena_free(arena);
}

static void print_counts(const Counts *counts) {
  double percent = 100.0 / (double)MAX(counts->compared, 1);
  printf("%lld programs, %lld values compared, %.2f%% with a relative bound under 1e-3, %.2f%% after decisions of the run, "
         "%.2f%% undecided\n",
         (long long)counts->programs, (long long)counts->compared, percent * (double)counts->close,
         percent * (double)counts->taken, percent * (double)counts->undecided);
  printf("ops:");
  for (int op = 1; op < OP_COUNT; op++) printf(" %s %lld", op_info[op].name, (long long)counts->ops[op]);
  printf("\nmaps: strided %lld dilated %lld padded %lld flipped %lld windows %lld fixed %lld repeated %lld diagonal %lld "
         "filled %lld\n",
         (long long)counts->strided, (long long)counts->dilated, (long long)counts->padded, (long long)counts->flipped,
         (long long)counts->windows, (long long)counts->fixed, (long long)counts->repeated, (long long)counts->diagonal,
         (long long)counts->filled);
  printf("programs: entries %lld steps %lld shared_states %lld nested_scans %lld second_gradients %lld minimized %lld\n",
         (long long)counts->entries, (long long)counts->steps, (long long)counts->shared, (long long)counts->nested,
         (long long)counts->second, (long long)counts->minimized);
  printf("sizes: one %lld below_lanes %lld above_lanes %lld symbolic %lld\n", (long long)counts->size_one,
         (long long)counts->lanes_below, (long long)counts->lanes_above, (long long)counts->symbolic);
  if (counts->by_tiles > 0) printf("convolutions by tiles: %lld\n", (long long)counts->by_tiles);
}

int main(int count, char **words) {
  Options options = {.last = -1};
  bool files = false;
  void *memory = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) bug("no memory to share");
  options.shared = memory;
  options.check.progress = &options.shared->progress;
  for (int k = 1; k < count; k++) {
    if (strcmp(words[k], "--seeds") == 0 && k + 1 < count) {
      char *rest;
      options.first = strtoll(words[++k], &rest, 10);
      options.last = strncmp(rest, "..", 2) == 0 ? strtoll(rest + 2, NULL, 10) : options.first;
    } else if (strcmp(words[k], "--keep") == 0 && k + 1 < count) {
      options.keep = words[++k];
    } else if (strcmp(words[k], "--compiled") == 0) {
      options.check.compiled = true;
    } else if (strcmp(words[k], "--cuda") == 0) {
      options.check.cuda = true;
    } else if (strcmp(words[k], "--precision") == 0 && k + 1 < count) {
      options.check.precision = strcmp(words[++k], "tf32") == 0 ? PRECISION_TF32 : PRECISION_BF16;
    } else if (strcmp(words[k], "--fast-conv") == 0 && k + 1 < count) {
      options.check.fast_conv = strcmp(words[++k], "2") == 0 ? FAST_CONV_2 : FAST_CONV_4;
    } else if (strcmp(words[k], "--first") == 0) {
      options.only_first = true;
    } else if (strcmp(words[k], "--verbose") == 0) {
      options.check.verbose = true;
    } else {
      files = true;
      run_file(&options, words[k]);
    }
  }
  if (!files && options.last < options.first) options.first = 1, options.last = 100;
  if (options.last >= options.first) run_seeds(&options);
  if (!options.only_first) print_counts(&options.shared->counts);
  printf("%d failed\n", options.failures);
  return options.failures > 0 ? EXIT_DIFFERS : EXIT_GOOD;
}
