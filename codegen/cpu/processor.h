/* The processors that code can be made for, and what the emitters need to know of them. */
#ifndef NNC_PROCESSOR_H
#define NNC_PROCESSOR_H

#include "codegen/cpu/emit.h"

/* By name: a row of the table, or "native". NULL if it is unknown. Lives as long as the arena. */
const Processor *processor_find(Arena *arena, const char *name);
/* Whether code for it runs on this machine. */
bool processor_runs_here(const Processor *processor);
/* The more able one of two comes first: compares as qsort does. */
int processor_compare(const Processor *a, const Processor *b);
/* Bits that CPUID must show before code for this processor may run; see PROCESSOR_*. */
enum {
  PROCESSOR_AVX2 = 1,      /* avx, avx2, bmi, bmi2, fma, f16c, lzcnt, movbe */
  PROCESSOR_AVX512 = 2     /* avx512 f, bw, cd, dq, vl */
};
int processor_needs(const Processor *processor);

#endif
