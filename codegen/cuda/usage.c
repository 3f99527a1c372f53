/* What a kernel takes of a GPU, from the lines in which NVRTC tells it:
 *
 *   ptxas info    : Compiling entry function 'lenet_train_3_dense' for 'sm_90a'
 *   ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
 *   ptxas info    : Used 56 registers, used 1 barriers, 16 bytes smem */
#include "codegen/cuda/cuda.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The number before `word`, between `from` and `end`; -1: it is not there. */
static int64_t number_before(const char *from, const char *end, const char *word) {
  const char *at = strstr(from, word);
  if (!at || (end && at > end)) return -1;
  while (at > from && isdigit((unsigned char)at[-1])) at--;
  return strtoll(at, NULL, 10);
}

bool cuda_usage(const char *log, const char *function, const char *architecture, CudaUsage *usage) {
  Arena *arena = arena_new();
  const char *from = log ? strstr(log, arena_format(arena, "'%s' for '%s'", function, architecture)) : NULL;
  arena_free(arena);
  if (!from) return false;
  const char *end = strstr(from, "Compiling entry function");
  usage->registers = number_before(from, end, " registers");
  usage->spilled = number_before(from, end, " bytes spill stores");
  return usage->registers >= 0 && usage->spilled >= 0;
}
