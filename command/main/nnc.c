/* nnc: which command, with which flags; what went wrong, and how it is told to the shell. */
#include "command/commands.h"
#include "command/program.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const Command *const commands[] = {&command_train, &command_run,  &command_bench, &command_diff,
                                          &command_show,  &command_plot, &command_format};

static void print_help(void) {
  printf("nnc compiles neural nets that train.\n\n"
         "usage: nnc MODEL.nn -o OUT               compile; what OUT ends in decides what is written\n");
  for (int k = 0; k < COUNT_OF(commands); k++)
    printf("       nnc %-6s ...  %*s%s\n", commands[k]->name, 19, "", commands[k]->summary);
  printf("       nnc COMMAND --help, nnc --version\n\n"
         "MODEL is a .nn file or a compiled .so; '-' is standard input or output where a file may stand.\n\n"
         "Exit codes: 0; 1 a comparison failed; 2 what was typed or what a file holds; 3 the environment (a full disk, no\n"
         "linker); 4 numbers (NaN or infinity in training); 70 a fault of nnc itself.\n\n"
         "Compiling: ");
  options_help(&command_compile, stdout);
}

static const Command *command_of(const char *name) {
  for (int k = 0; k < COUNT_OF(commands); k++)
    if (strcmp(commands[k]->name, name) == 0) return commands[k];
  return NULL;
}

/* A first word that is no command must look like a model. */
static bool looks_like_model(const char *word) { return *word == '-' || strchr(word, '.') || strchr(word, '/'); }

static bool fail_command(const char *word, Failure *failure) {
  const char *names[COUNT_OF(commands)];
  for (int k = 0; k < COUNT_OF(commands); k++) names[k] = commands[k]->name;
  const char *near = nearest_name(word, names, COUNT_OF(commands));
  if (near) return fail(failure, EXIT_INPUT, "'%.200s' is no command; did you mean %s?", word, near);
  return fail(failure, EXIT_INPUT, "'%.200s' is neither a command nor a file's name; 'nnc --help' lists the commands",
              word);
}

static void run_command(Arena *arena, const Command *command, int argc, char **argv, Failure *failure, int *code) {
  Settings settings = {0};
  if (!options_read(arena, command, argc, argv, &settings, failure)) return;
  if (settings.help && command == &command_compile)
    print_help();
  else if (settings.help)
    options_help(command, stdout);
  else
    *code = command->run(arena, &settings, failure);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    print_help();
    return EXIT_INPUT;
  }
  signal(SIGXFSZ, SIG_IGN); /* a write beyond a limit on the size of files fails then, and is told */
  Arena *arena = arena_new();
  Failure failure = {0};
  int code = 0;
  const Command *command = command_of(argv[1]);
  if (strcmp(argv[1], "--version") == 0)
    printf("nnc " NNC_VERSION "\n");
  else if (command)
    run_command(arena, command, argc - 1, argv + 1, &failure, &code);
  else if (looks_like_model(argv[1]))
    run_command(arena, &command_compile, argc, argv, &failure, &code);
  else
    fail_command(argv[1], &failure);
  if ((fflush(stdout) != 0 || ferror(stdout)) && !failure.code)
    fail(&failure, EXIT_ENVIRONMENT, "cannot write standard output: %s", strerror(errno));
  if (failure.message[0]) fprintf(stderr, "nnc: error: %s\n", failure.message);
  arena_free(arena);
  return failure.code ? failure.code : code;
}
