/* What a kernel takes of a GPU, from the lines in which NVRTC tells it:
 *
 *   ptxas info    : Compiling entry function 'lenet_train_3_dense' for 'sm_90a'
 *   ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
 *   ptxas info    : Used 56 registers, used 1 barriers, 16 bytes smem
 *
 * Functions that it calls follow, with stack and spills of their own. */
#include "codegen/cuda/cuda.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int64_t number_before(const char *at) {
  while (isdigit((unsigned char)at[-1])) at--;
  return strtoll(at, NULL, 10);
}

bool cuda_usage(const char *log, const char *function, const char *architecture, CudaUsage *usage) {
  static const char spill[] = " bytes spill stores";
  Arena *arena = arena_new();
  const char *from = log ? strstr(log, arena_format(arena, "'%s' for '%s'", function, architecture)) : NULL;
  arena_free(arena);
  if (!from) return false;
  const char *end = strstr(from, "Compiling entry function");
  const char *registers = strstr(from, " registers");
  if (!registers || (end && registers > end)) return false;
  *usage = (CudaUsage){.registers = number_before(registers)};
  for (const char *at = strstr(from, spill); at && (!end || at < end); at = strstr(at + 1, spill))
    usage->spilled += number_before(at);
  return true;
}
