/* What was typed: one table for each command, from which flags are read and --help is written.
 *
 * An option names the member of Settings that it fills; a command's table lists the ones that it takes. What is not a flag
 * is left in words, in order. Unknown and repeated flags, values that are no numbers or out of range, and flags without
 * their value are faults with EXIT_INPUT, with the nearest name where one is near. */
#ifndef NNC_OPTIONS_H
#define NNC_OPTIONS_H

#include "ir/base.h"

typedef struct Settings {
  bool help, verbose, quiet, interpret, f64, no_cache, no_fuse, json, time, kernels, partial, standardize, check;
  bool debug_lines, linear, fast_conv;
  const char *output, *emit, *set, *weights, *target, *gpu, *precision, *compiled, *cpu, *triple, *sanitize, *dump,
      *stop_after;
  const char *state, *save, *resume, *label, *step, *test, *watch, *shuffle, *log, *plot, *report, *columns, *svg, *mark;
  int64_t threads, seed, epochs, batch, patience, every, test_every, rows, repeat, memory;
  double valid;
  bool seed_given;
  const char *only; /* the one entry that is wanted, "" for none; NULL: all. Not typed, but a command's */
  Vec(const char *) words;
} Settings;

typedef enum OptionKind { OPTION_FLAG, OPTION_TEXT, OPTION_WHOLE, OPTION_FRACTION, OPTION_BYTES } OptionKind;
typedef struct Option {
  const char *name;
  char letter; /* 0: none */
  OptionKind kind;
  size_t at;         /* of the member of Settings */
  const char *value; /* what --help calls the value; "[...]": it may be left out */
  const char *help;  /* sentences; a newline begins a line of its own */
  int64_t low, high; /* OPTION_WHOLE */
  size_t given;      /* of a bool in Settings that tells whether it was given, or 0 */
} Option;

typedef struct Command {
  const char *name;    /* "" for compiling */
  const char *usage;   /* one form a line */
  const char *about;   /* what it does, for its help */
  const char *summary; /* one line, for the list of commands */
  const char *after;   /* examples, for the end of its help; or NULL */
  const Option *options;
  int count;
  int (*run)(Arena *arena, Settings *settings, Failure *failure);
} Command;

#define SETTING(member) offsetof(Settings, member)
#define FLAG(name, letter, member, help) {name, letter, OPTION_FLAG, SETTING(member), NULL, help, 0, 0, 0}
#define TEXT(name, letter, member, value, help) {name, letter, OPTION_TEXT, SETTING(member), value, help, 0, 0, 0}
#define WHOLE(name, letter, member, value, low, high, help)                                                                \
  {name, letter, OPTION_WHOLE, SETTING(member), value, help, low, high, 0}
#define BYTES(name, member, help) {name, 0, OPTION_BYTES, SETTING(member), "BYTES", help, 0, 0, 0}
#define FRACTION(name, letter, member, value, help) {name, letter, OPTION_FRACTION, SETTING(member), value, help, 0, 0, 0}

/* The options that many commands take, to be put into their tables. */
#define OPTIONS_OF_ALL                                                                                                     \
  FLAG("help", 'h', help, "prints this"), FLAG("verbose", 'v', verbose, "tells more: the time of each pass"),              \
      FLAG("quiet", 'q', quiet, "tells results and faults alone")
#define OPTIONS_OF_TARGETS                                                                                                 \
  TEXT("target", 0, target, "cpu|cuda", "what is compiled for: the processor, or NVIDIA GPUs"),                            \
      TEXT("gpu", 0, gpu, "ARCH,...", "for cuda: kinds of GPU (default: sm_80,sm_90a), and PTX for later ones"),           \
      TEXT("precision", 0, precision, "f32|tf32|bf16",                                                                     \
           "for cuda: to what contractions round their factors, for tensor cores\n"                                        \
           "(default f32: not at all); sums, arrays and params are f32")
#define OPTION_SET                                                                                                         \
  TEXT("set", 0, set, "CONSTANTS", "other values for constants of the model's file: --set 'hidden = 64; rate = 0.5'")
#define OPTION_FAST_CONV                                                                                                   \
  FLAG("fast-conv", 0, fast_conv,                                                                                          \
       "3 x 3 convolutions by Winograd's tiles where that pays: faster, with larger\n"                                     \
       "rounding errors; nnc show --fast-conv tells how large")
#define OPTION_MEMORY                                                                                                      \
  BYTES("mem", memory,                                                                                                     \
        "bounds each entry's scratch with one worker (64M, 1.5G); some values are\n"                                       \
        "then computed again instead of being kept")
#define OPTION_SANITIZE                                                                                                    \
  TEXT("sanitize", 0, sanitize, "[=address|thread]",                                                                       \
       "for tests: code tells AddressSanitizer (default) or ThreadSanitizer of all that it\n"                              \
       "touches, and poisons its scratch; what links or runs it is built with that sanitizer")
#define OPTIONS_OF_MACHINES                                                                                                \
  WHOLE("threads", 0, threads, "K", 1, 1024, "worker threads (default: all processors); results do not depend on it"),     \
      TEXT("cpu", 0, cpu, "NAME", "the processor to compile for (default: native)"), OPTION_SET, OPTIONS_OF_TARGETS,       \
      FLAG("no-fuse", 0, no_fuse, "compiles each op to a kernel of its own"), OPTION_MEMORY, OPTION_SANITIZE,              \
      OPTION_FAST_CONV, FLAG("no-cache", 0, no_cache, "compiles anew, and keeps nothing in the cache folder")
#define OPTIONS_OF_INTERPRETING                                                                                            \
  FLAG("interpret", 0, interpret, "interprets the model instead of compiling it"),                                         \
      FLAG("f64", 0, f64, "interprets it in double precision")
#define OPTION_SEED                                                                                                        \
  {"seed", 0, OPTION_WHOLE, SETTING(seed), "K", "for all random numbers (default 0)", 0, INT64_MAX, SETTING(seed_given)}

/* argv[0] is the command's name. False with a failure, or with settings->help set where --help was typed. */
bool options_read(Arena *arena, const Command *command, int argc, char **argv, Settings *settings, Failure *failure);
void options_help(const Command *command, FILE *out);

/* A whole number from low to high, or a number; the text must be that and nothing else. */
bool whole_from_text(const char *text, int64_t low, int64_t high, int64_t *number);
bool number_from_text(const char *text, double *number);
/* "4096", "64M", "1.5G": K, M, G and T are powers of 1024. */
bool bytes_from_text(const char *text, int64_t *bytes);

#endif
