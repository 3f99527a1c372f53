/* The system's linker, ar and Graphviz's dot, run on files in a folder of their own that is gone afterwards, whatever happens. */
#include "command/compile.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Runs a program found by PATH, its output going where ours goes. Code 127: there is none. */
static int run_program(char *const *words) {
  pid_t child;
  int error = posix_spawnp(&child, words[0], NULL, NULL, words, environ);
  if (error) return 127;
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return 126;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

typedef struct Workshop {
  char *folder, *object, *output;
} Workshop;

/* The one that is open; a want of memory, which ends the program, must not leave it behind. */
static const Workshop *workshop_now;

static void workshop_remove(void) {
  if (!workshop_now) return;
  unlink(workshop_now->object);
  unlink(workshop_now->output);
  rmdir(workshop_now->folder);
  workshop_now = NULL;
}

static bool workshop_open(Arena *arena, Workshop *workshop, const char *object_name, const Text *object, Failure *failure) {
  const char *place = getenv("TMPDIR");
  workshop->folder = arena_format(arena, "%s/nnc.XXXXXX", place && *place ? place : "/tmp");
  size_t length = strlen(workshop->folder);
  workshop->object = arena_format(arena, "%s/%s", workshop->folder, object_name);
  workshop->output = arena_format(arena, "%s/output", workshop->folder);
  if (!mkdtemp(workshop->folder))
    return fail(failure, EXIT_ENVIRONMENT, "cannot make a folder %.300s: %s", workshop->folder, strerror(errno));
  memcpy(workshop->object, workshop->folder, length);
  memcpy(workshop->output, workshop->folder, length);
  static bool registered;
  if (!registered) at_quick_exit(workshop_remove);
  registered = true;
  workshop_now = workshop;
  return write_file(workshop->object, object->bytes, object->length, failure);
}

static const char *const object_instead = "An object needs none: -o x.o";

/* Runs the tool and takes what it made. */
static bool make(Arena *arena, Workshop *workshop, char *const *words, const char *instead, char **bytes, size_t *length,
                 Failure *failure) {
  int code = run_program(words);
  if (code == 127)
    return fail(failure, EXIT_ENVIRONMENT, "there is no %.100s here; nothing was written. %s", words[0], instead);
  if (code != 0) return fail(failure, EXIT_ENVIRONMENT, "%.100s failed with code %d; nothing was written", words[0], code);
  return read_file(arena, workshop->output, bytes, length, failure);
}

bool link_shared(Arena *arena, const Text *object, char **bytes, size_t *length, Failure *failure) {
  const char *compiler = getenv("CC");
  if (!compiler || !*compiler || strchr(compiler, ' ')) compiler = "cc";
  Workshop workshop = {0};
  bool good = workshop_open(arena, &workshop, "object.o", object, failure);
  if (good) {
    char *words[] = {(char *)(uintptr_t)compiler,
                     (char[]){"-shared"},
                     (char[]){"-nostartfiles"},
                     (char[]){"-Wl,-z,noexecstack"},
                     (char[]){"-Wl,-z,text"},
                     (char[]){"-o"},
                     workshop.output,
                     workshop.object,
                     NULL};
    good = make(arena, &workshop, words, object_instead, bytes, length, failure);
  }
  workshop_remove();
  return good;
}

bool make_archive(Arena *arena, const char *member, const Text *object, char **bytes, size_t *length, Failure *failure) {
  Workshop workshop = {0};
  bool good = workshop_open(arena, &workshop, member, object, failure);
  if (good) {
    /* D: no times and no users, so that equal input gives equal bytes. */
    char *words[] = {(char[]){"ar"}, (char[]){"rcsD"}, workshop.output, workshop.object, NULL};
    good = make(arena, &workshop, words, object_instead, bytes, length, failure);
  }
  workshop_remove();
  return good;
}

bool draw_graph(Arena *arena, const Text *dot, char **bytes, size_t *length, Failure *failure) {
  Workshop workshop = {0};
  bool good = workshop_open(arena, &workshop, "graph.dot", dot, failure);
  if (good) {
    char *words[] = {(char[]){"dot"}, (char[]){"-Tsvg"}, (char[]){"-o"}, workshop.output, workshop.object, NULL};
    good = make(arena, &workshop, words, "It is of the package graphviz; -o x.dot needs none", bytes, length, failure);
  }
  workshop_remove();
  return good;
}
