/* nnc fmt: files in the one layout that format_source() gives them. A file that has it already is not touched. */
#include "frontend/format.h"

#include "command/commands.h"

#include <string.h>

static bool format_file(Arena *arena, const char *path, const Settings *settings, int *differing, Failure *failure) {
  bool streams = strcmp(path, "-") == 0;
  char *bytes;
  size_t length;
  if (!read_file(arena, path, &bytes, &length, failure)) return false;
  const Source source = {.name = streams ? "<stdin>" : path, .text = bytes, .length = length, .users = true};
  Diagnostics *diagnostics = diagnostics_new(arena);
  Text text = {0};
  bool good = format_source(arena, diagnostics, &source, &text);
  if (!good) {
    diagnostics_print(diagnostics, stderr);
    failure->code = EXIT_INPUT;
  }
  bool differs = good && (text.length != length || memcmp(text.bytes, bytes, length) != 0);
  *differing += differs;
  if (good && settings->check && differs && !settings->quiet) printf("%s\n", source.name);
  if (good && !settings->check && (differs || streams)) good = write_file(path, text.bytes, text.length, failure);
  text_free(&text);
  return good;
}

static int run_format(Arena *arena, Settings *settings, Failure *failure) {
  int differing = 0;
  if (settings->words.count == 0) fail(failure, EXIT_INPUT, "fmt wants files: nnc fmt FILE ...");
  for (int k = 0; k < settings->words.count; k++) {
    Failure one = {0};
    if (format_file(arena, settings->words.items[k], settings, &differing, &one)) continue;
    if (failure->message[0]) fprintf(stderr, "nnc: error: %s\n", failure->message);
    *failure = one;
  }
  return failure->code ? failure->code : settings->check && differing ? EXIT_DIFFERS : 0;
}

static const Option options[] = {
    FLAG("check", 0, check, "writes nothing; names the files that are laid out otherwise, and ends with 1"),
    OPTIONS_OF_ALL,
};

const Command command_format = {
    .name = "fmt",
    .usage = "nnc fmt FILE ... [--check]",
    .summary = "the one layout of a .nn file",
    .about =
        "Lays .nn files out: indentation, blanks between words, blank lines. Comments, line breaks and columns of words\n"
        "that stand below each other are kept. '-' reads standard input and writes standard output. A file with faults is\n"
        "left as it is.",
    .options = options,
    .count = COUNT_OF(options),
    .run = run_format,
};
