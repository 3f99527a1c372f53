/* Flags are read by getopt_long from a table; what it makes of them is checked and told here, so that every fault is one
 * sentence of nnc's own. */
#include "command/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_LONG = 256 }; /* what getopt gives for option k is FIRST_LONG + k; letters lie below */

bool whole_from_text(const char *text, int64_t low, int64_t high, int64_t *number) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end || errno || value < low || value > high) return false;
  *number = value;
  return true;
}

bool number_from_text(const char *text, double *number) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end) return false;
  *number = value;
  return true;
}

bool bytes_from_text(const char *text, int64_t *bytes) {
  static const char units[] = "KMGT";
  char *end;
  double value = strtod(text, &end);
  if (end == text) return false;
  const char *unit = *end ? strchr(units, *end) : NULL;
  if (unit) value *= (double)((int64_t)1 << (10 * (unit - units + 1)));
  if (unit ? end[1] : *end) return false;
  if (!(value >= 1 && value <= 0x1p60)) return false;
  *bytes = (int64_t)value;
  return true;
}

static bool set_option(const Option *option, Settings *settings, const char *value, Failure *failure) {
  char *at = (char *)settings + option->at;
  switch (option->kind) {
  case OPTION_FLAG: *(bool *)at = true; break;
  case OPTION_TEXT: *(const char **)at = value ? value : ""; break;
  case OPTION_WHOLE:
    if (!whole_from_text(value, option->low, option->high, (int64_t *)at)) {
      if (option->high == INT64_MAX)
        return fail(failure, EXIT_INPUT, "--%s: '%.100s' is not a whole number of %lld or more", option->name, value,
                    (long long)option->low);
      return fail(failure, EXIT_INPUT, "--%s: '%.100s' is not a whole number from %lld to %lld", option->name, value,
                  (long long)option->low, (long long)option->high);
    }
    break;
  case OPTION_BYTES:
    if (!bytes_from_text(value, (int64_t *)at))
      return fail(failure, EXIT_INPUT, "--%s: '%.100s' is not a number of bytes, like 65536, 64M or 1.5G", option->name,
                  value);
    break;
  case OPTION_FRACTION:
    if (!number_from_text(value, (double *)at) || !(*(double *)at >= 0 && *(double *)at < 1))
      return fail(failure, EXIT_INPUT, "--%s: '%.100s' is not a number from 0 to below 1", option->name, value);
    break;
  }
  if (option->given) *(bool *)((char *)settings + option->given) = true;
  return true;
}

static const Option *option_of_letter(const Command *command, int letter) {
  for (int k = 0; k < command->count; k++)
    if (command->options[k].letter == letter) return &command->options[k];
  return NULL;
}

static bool unknown(Arena *arena, const Command *command, const char *typed, Failure *failure) {
  const char **names = NEW_ARRAY(arena, const char *, command->count);
  for (int k = 0; k < command->count; k++) names[k] = command->options[k].name;
  const char *bare = typed;
  while (*bare == '-') bare++;
  const char *near = nearest_name(arena_format(arena, "%.*s", (int)strcspn(bare, "="), bare), names, command->count);
  const char *help = *command->name ? arena_format(arena, "nnc %s --help", command->name) : "nnc --help";
  if (near && typed[1] == '-')
    return fail(failure, EXIT_INPUT, "%.200s: there is no such flag; did you mean --%s?", typed, near);
  return fail(failure, EXIT_INPUT, "%.200s: there is no such flag; '%s' lists them", typed, help);
}

/* The tables that getopt wants. Letters: '+' and '-' would change the order, ':' tells a missing value apart. */
static void getopt_tables(Arena *arena, const Command *command, struct option **longs, char **letters) {
  *longs = NEW_ARRAY(arena, struct option, command->count + 1);
  *letters = arena_alloc(arena, (size_t)command->count * 2 + 2);
  char *letter = *letters;
  *letter++ = ':';
  for (int k = 0; k < command->count; k++) {
    const Option *option = &command->options[k];
    int argument = option->kind == OPTION_FLAG ? no_argument
                   : option->value[0] == '['   ? optional_argument
                                               : required_argument;
    (*longs)[k] = (struct option){option->name, argument, NULL, FIRST_LONG + k};
    if (!option->letter) continue;
    *letter++ = option->letter;
    if (argument == required_argument) *letter++ = ':';
  }
}

bool options_read(Arena *arena, const Command *command, int argc, char **argv, Settings *settings, Failure *failure) {
  struct option *longs;
  char *letters;
  getopt_tables(arena, command, &longs, &letters);
  bool *seen = NEW_ARRAY(arena, bool, command->count + 1);
  opterr = 0;
  optind = 1;
  for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
    if (found == '?' && optopt >= FIRST_LONG)
      return fail(failure, EXIT_INPUT, "--%s takes no value", command->options[optopt - FIRST_LONG].name);
    if (found == '?')
      return unknown(arena, command, optopt ? arena_format(arena, "-%c", optopt) : argv[optind - 1], failure);
    const Option *option = found >= FIRST_LONG ? &command->options[found - FIRST_LONG]
                           : found == ':' && optopt >= FIRST_LONG
                               ? &command->options[optopt - FIRST_LONG]
                               : option_of_letter(command, found == ':' ? optopt : found);
    CHECK(option);
    if (found == ':') return fail(failure, EXIT_INPUT, "--%s wants a value: %s", option->name, option->value);
    if (option->kind != OPTION_FLAG && seen[option - command->options])
      return fail(failure, EXIT_INPUT, "--%s stands there twice", option->name);
    seen[option - command->options] = true;
    if (!set_option(option, settings, optarg, failure)) return false;
  }
  for (int k = optind; k < argc; k++) PUSH(arena, &settings->words, argv[k]);
  return true;
}

/* One option: its forms in a column, its help in another. */
static void print_option(const Option *option, FILE *out) {
  enum { COLUMN = 26 };
  char form[80];
  int length = snprintf(form, sizeof form, "  %c%c%c --%s%s%s", option->letter ? '-' : ' ',
                        option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
                        option->kind == OPTION_FLAG ? ""
                        : option->value[0] == '['   ? ""
                                                    : " ",
                        option->kind == OPTION_FLAG ? "" : option->value);
  fprintf(out, "%s", form);
  if (length >= COLUMN) fprintf(out, "\n%*s", COLUMN, "");
  for (int k = length; length < COLUMN && k < COLUMN; k++) fputc(' ', out);
  for (const char *at = option->help; *at; at++) {
    fputc(*at, out);
    if (*at == '\n') fprintf(out, "%*s", COLUMN, "");
  }
  fputc('\n', out);
}

void options_help(const Command *command, FILE *out) {
  fprintf(out, "usage: ");
  for (const char *at = command->usage; *at; at++) {
    fputc(*at, out);
    if (*at == '\n') fprintf(out, "       ");
  }
  fprintf(out, "\n\n%s\n\noptions:\n", command->about);
  for (int k = 0; k < command->count; k++) print_option(&command->options[k], out);
  if (command->after) fprintf(out, "\n%s\n", command->after);
}
