/* An arena and a folder for one test program, there from set_up to tear_down. */
#ifndef NNC_TEST_FOLDER_H
#define NNC_TEST_FOLDER_H

#include "ir/base.h"

#include <stdio.h>
#include <stdlib.h>

static Arena *arena;
static char folder[] = "unit-test-XXXXXX";

static inline int set_up(void **state) {
  (void)state;
  arena = arena_new();
  return mkdtemp(folder) ? 0 : -1;
}

static inline int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static inline const char *path_of(const char *name) { return arena_format(arena, "%s/%s", folder, name); }

#endif
