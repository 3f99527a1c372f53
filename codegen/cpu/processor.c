/* The processors that code can be made for. A row says what LLVM calls it and what the emitters ask: whether fused
 * multiply-add is one instruction, how wide the registers are, how many there are. "native" is this machine: LLVM's own name
 * and features for it. */
#include "codegen/cpu/processor.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

#define V2_FEATURES "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define V3_FEATURES V2_FEATURES ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
#define V4_FEATURES V3_FEATURES ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

static const Processor x86_64_processors[] = {
    {"x86-64", "+sse2", false, 128, 16},
    {"x86-64-v2", V2_FEATURES, false, 128, 16},
    {"x86-64-v3", V3_FEATURES, true, 256, 16},
    {"haswell", V3_FEATURES, true, 256, 16},
    {"znver2", V3_FEATURES, true, 256, 16},
    {"znver3", V3_FEATURES, true, 256, 16},
    {"alderlake", V3_FEATURES, true, 256, 16},
    {"x86-64-v4", V4_FEATURES, true, 512, 32},
    {"skylake-avx512", V4_FEATURES, true, 512, 32},
    {"cascadelake", V4_FEATURES, true, 512, 32},
    {"icelake-server", V4_FEATURES, true, 512, 32},
    {"sapphirerapids", V4_FEATURES, true, 512, 32},
    {"znver4", V4_FEATURES, true, 512, 32},
    {"znver5", V4_FEATURES, true, 512, 32},
};

/* Those that every 64-bit ARM runs code for; they differ in what LLVM takes instructions to cost. */
static const Processor aarch64_processors[] = {
    {"generic", "+neon", true, 128, 32},
    {"cortex-a53", "+neon", true, 128, 32},
    {"cortex-a72", "+neon", true, 128, 32},
};

static const Architecture architectures[] = {
    {"x86_64", "x86-64", "x86-64-v3", "x86-64, x86-64-v3, x86-64-v4 and native", true, x86_64_processors,
     COUNT_OF(x86_64_processors)},
    {"aarch64", "generic", "generic", "generic, cortex-a53 and cortex-a72", false, aarch64_processors,
     COUNT_OF(aarch64_processors)},
};

const Architecture *architecture_find(const char *triple) {
  for (int k = 0; k < COUNT_OF(architectures); k++) {
    size_t length = strlen(architectures[k].name);
    if (strncmp(triple, architectures[k].name, length) == 0 && triple[length] == '-') return &architectures[k];
  }
  return NULL;
}

bool architecture_is_here(const Architecture *architecture) {
  char *host = llvm_text(LLVMGetDefaultTargetTriple());
  bool here = architecture_find(host) == architecture;
  LLVMDisposeMessage(host);
  return here;
}

/* Whether "+feature" stands in the list, as a whole item. */
static bool has_feature(const char *features, const char *feature) {
  size_t length = strlen(feature);
  for (const char *item = features; item && *item; item = strchr(item, ',') ? strchr(item, ',') + 1 : NULL) {
    if (item[0] == '+' && strncmp(item + 1, feature, length) == 0 && (item[1 + length] == ',' || !item[1 + length])) {
      return true;
    }
  }
  return false;
}

char *llvm_text(char *text) {
  if (!text) out_of_memory();
  return text;
}

static const Processor *processor_native(Arena *arena) {
  char *name = llvm_text(LLVMGetHostCPUName()), *features = llvm_text(LLVMGetHostCPUFeatures());
  Processor *native = NEW(arena, Processor);
  native->name = arena_copy(arena, name, strlen(name) + 1);
  native->features = arena_copy(arena, features, strlen(features) + 1);
  LLVMDisposeMessage(name);
  LLVMDisposeMessage(features);
  bool neon = has_feature(native->features, "neon");
  native->fma = neon || has_feature(native->features, "fma");
  bool wide = has_feature(native->features, "avx512f") && has_feature(native->features, "avx512vl") &&
              has_feature(native->features, "avx512bw") && has_feature(native->features, "avx512dq");
  native->vector_bits = wide ? 512 : has_feature(native->features, "avx2") ? 256 : 128;
  native->registers = wide || neon ? 32 : 16;
  return native;
}

const Processor *processor_find(Arena *arena, const Architecture *architecture, const char *name) {
  if (strcmp(name, "native") == 0) return architecture_is_here(architecture) ? processor_native(arena) : NULL;
  for (int k = 0; k < architecture->count; k++) {
    if (strcmp(architecture->processors[k].name, name) == 0) return &architecture->processors[k];
  }
  return NULL;
}

int processor_needs(const Processor *processor) {
  return (processor->vector_bits >= 256 ? PROCESSOR_AVX2 : 0) | (processor->vector_bits >= 512 ? PROCESSOR_AVX512 : 0);
}

bool processor_runs_here(const Processor *processor) {
  char *features = llvm_text(LLVMGetHostCPUFeatures());
  int here = (has_feature(features, "avx2") && has_feature(features, "fma") && has_feature(features, "bmi2") ? 1 : 0) |
             (has_feature(features, "avx512vl") && has_feature(features, "avx512bw") && has_feature(features, "avx512dq") &&
                      has_feature(features, "avx512cd")
                  ? PROCESSOR_AVX512
                  : 0);
  LLVMDisposeMessage(features);
  int needs = processor_needs(processor);
  return (needs & here) == needs;
}

int processor_compare(const Processor *a, const Processor *b) {
  return a->vector_bits != b->vector_bits ? b->vector_bits - a->vector_bits : (int)b->fma - (int)a->fma;
}
