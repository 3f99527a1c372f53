/* The processors that code can be made for, and what the emitters need to know of them. */
#ifndef NNC_PROCESSOR_H
#define NNC_PROCESSOR_H

#include "codegen/cpu/emit.h"

/* A string that LLVM made: it gives NULL where memory is short. */
char *llvm_text(char *text);

/* What processors of one instruction set have in common. */
typedef struct Architecture {
  const char *name;     /* as its triples begin, up to the '-' */
  const char *base;     /* of processors the oldest: what code around kernels is for */
  const char *fallback; /* for which code is made where none is named and this machine is of another architecture */
  const char *known;    /* names to choose from, in words */
  bool has_cpuid;
  const Processor *processors;
  int count;
} Architecture;
/* NULL if no code can be made for the triple. */
const Architecture *architecture_find(const char *triple);
bool architecture_is_here(const Architecture *architecture);

/* By name: a row of the architecture's table, or "native" where this machine is of it. NULL if it is unknown. Lives as
 * long as the arena. */
const Processor *processor_find(Arena *arena, const Architecture *architecture, const char *name);
/* Whether code for it runs on this machine. */
bool processor_runs_here(const Processor *processor);
/* The more able one of two comes first: compares as qsort does. */
int processor_compare(const Processor *a, const Processor *b);
/* Bits that CPUID must show before code for this processor may run; see PROCESSOR_*. */
enum {
  PROCESSOR_AVX2 = 1,  /* avx, avx2, bmi, bmi2, fma, f16c, lzcnt, movbe */
  PROCESSOR_AVX512 = 2 /* avx512 f, bw, cd, dq, vl */
};
int processor_needs(const Processor *processor);

#endif
