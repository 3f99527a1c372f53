/* What was typed for a training, kept in its checkpoints: --resume FILE alone goes on as it began. */
#include "command/train.h"

#include <stdlib.h>
#include <string.h>

/* A flag that changes which rows are met in which order must stay as it was; the others may be typed anew. */
static const struct {
  const char *name;
  size_t at;
  OptionKind kind;
  bool fixed;
} flags[] = {
    {"set", SETTING(set), OPTION_TEXT, true}, /* another model else */
    {"step", SETTING(step), OPTION_TEXT, true},
    {"test", SETTING(test), OPTION_TEXT, true},
    {"seed", SETTING(seed), OPTION_WHOLE, true},
    {"batch", SETTING(batch), OPTION_WHOLE, false}, /* the rows of a batch are compared, train_state.c */
    {"shuffle", SETTING(shuffle), OPTION_TEXT, true},
    {"test-every", SETTING(test_every), OPTION_WHOLE, true},
    {"rows", SETTING(rows), OPTION_WHOLE, true},
    {"valid", SETTING(valid), OPTION_FRACTION, true},
    {"label", SETTING(label), OPTION_TEXT, true},
    {"standardize", SETTING(standardize), OPTION_FLAG, true},
    {"epochs", SETTING(epochs), OPTION_WHOLE, false},
    {"patience", SETTING(patience), OPTION_WHOLE, false},
    {"watch", SETTING(watch), OPTION_TEXT, false},
};

bool train_shuffles(const Settings *settings) { return !settings->shuffle; }

static const char *fraction_text(Arena *arena, double fraction) {
  Text text = {0};
  text_add_number(&text, fraction, false);
  const char *copy = arena_format(arena, "%s", text.bytes);
  text_free(&text);
  return copy;
}

/* As it would be typed; NULL if it was not. */
static const char *flag_text(Arena *arena, const Settings *settings, int flag) {
  const char *at = (const char *)settings + flags[flag].at;
  switch (flags[flag].kind) {
  case OPTION_BYTES: break; /* of no flag that is kept */
  case OPTION_FLAG: return *(const bool *)at ? "yes" : NULL;
  case OPTION_TEXT: return *(const char *const *)at;
  case OPTION_FRACTION: return *(const double *)at > 0 ? fraction_text(arena, *(const double *)at) : NULL;
  case OPTION_WHOLE: return *(const int64_t *)at ? arena_format(arena, "%lld", (long long)*(const int64_t *)at) : NULL;
  }
  return NULL;
}

static bool set_flag(Settings *settings, int flag, const char *text) {
  char *at = (char *)settings + flags[flag].at;
  switch (flags[flag].kind) {
  case OPTION_BYTES: break; /* of no flag that is kept */
  case OPTION_FLAG: *(bool *)at = true; return true;
  case OPTION_TEXT: *(const char **)at = text; return true;
  case OPTION_FRACTION: return number_from_text(text, (double *)at) && *(double *)at > 0 && *(double *)at < 1;
  case OPTION_WHOLE: return whole_from_text(text, 1, INT64_MAX, (int64_t *)at);
  }
  return false;
}

/* ---- keeping ---- */

void train_keep_settings(const Train *train, Arena *arena, Tensors *beside) {
  const Settings *settings = train->settings;
  Text text = {0};
  for (int f = 0; f < COUNT_OF(flags); f++) {
    const char *value = flag_text(arena, settings, f);
    if (value) text_add(&text, "%s %s\n", flags[f].name, value);
  }
  for (int w = 2; w < settings->words.count; w++) text_add(&text, "%s\n", settings->words.items[w]);
  tensors_set(arena, beside, KEY_SETTINGS, text.bytes ? text.bytes : "");
  text_free(&text);
}

/* ---- resuming ---- */

static bool resume_flag(Train *train, Settings *settings, int flag, const char *text, Failure *failure) {
  const char *typed = flag_text(train->arena, settings, flag), *file = settings->resume, *name = flags[flag].name;
  if (settings->seed_given && strcmp(name, "seed") == 0 && !typed) typed = "0";
  if (!typed)
    return !text || set_flag(settings, flag, text) ||
           fail(failure, EXIT_INPUT, "%.300s: its --%s '%.100s' is none", file, name, text);
  if (!flags[flag].fixed || (text && strcmp(typed, text) == 0)) return true;
  if (!text) return fail(failure, EXIT_INPUT, "%.300s was made without --%s", file, name);
  return fail(failure, EXIT_INPUT, "%.300s was made with --%s %.100s, not %.100s", file, name, text, typed);
}

/* name=value that was not typed again. */
static void resume_word(Train *train, Settings *settings, const char *word) {
  size_t length = strcspn(word, "=") + 1;
  for (int w = 2; w < settings->words.count; w++)
    if (strncmp(settings->words.items[w], word, length) == 0) return;
  PUSH(train->arena, &settings->words, word);
}

static bool resume_settings(Train *train, Settings *settings, Failure *failure) {
  if (!read_all(train->arena, settings->resume, &train->kept, failure)) return false;
  const char *kept = tensors_get(&train->kept, KEY_SETTINGS), *values[COUNT_OF(flags)] = {0};
  if (!kept) return true; /* told when its place is not found either */
  char *rest, *copy = arena_format(train->arena, "%s", kept);
  for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    int f = 0;
    size_t length = strcspn(line, " ");
    while (f < COUNT_OF(flags) && !(strlen(flags[f].name) == length && memcmp(flags[f].name, line, length) == 0)) f++;
    if (f < COUNT_OF(flags))
      values[f] = line + length + (line[length] == ' ');
    else if (strchr(line, '='))
      resume_word(train, settings, line);
  }
  for (int f = 0; f < COUNT_OF(flags); f++)
    if (!resume_flag(train, settings, f, values[f], failure)) return false;
  return true;
}

bool train_settings(Train *train, Settings *settings, Failure *failure) {
  if (settings->resume && settings->state)
    return fail(failure, EXIT_INPUT, "--state begins a new training and --resume goes on with one; give one of them");
  if (settings->shuffle && strcmp(settings->shuffle, "no") != 0) settings->shuffle = NULL; /* the default */
  if (settings->resume && !resume_settings(train, settings, failure)) return false;
  if (settings->epochs == 0) settings->epochs = 10;
  if (!settings->watch) settings->watch = "loss";
  return true;
}
