/* nnc show MODEL.nn --target cuda --kernels: each kernel as it comes out for each kind of GPU. NVRTC tells it; no GPU is
 * needed. */
#include "command/show_cuda.h"
#include "codegen/codegen.h"
#include "codegen/cuda/cuda.h"
#include "codegen/interface.h"
#include "command/program.h"

#include <string.h>

/* Once for each kind of GPU: its machine code comes in parts. */
static bool begins_kind(const CudaCode *code, int image) {
  const CudaImage *own = &code->images.items[image];
  if (strncmp(own->architecture, "sm_", 3) != 0) return false;
  for (int k = 0; k < image; k++)
    if (strcmp(code->images.items[k].architecture, own->architecture) == 0) return false;
  return true;
}

static void print_usage(const CudaCode *code, const char *log, const CudaKernel *own) {
  for (int k = 0; k < code->images.count; k++) {
    const char *architecture = code->images.items[k].architecture;
    CudaUsage usage;
    if (!begins_kind(code, k) || !cuda_usage(log, own->name, architecture, &usage)) continue;
    printf("         %-8s %3lld registers, %6lld bytes shared, %lld spilled\n", architecture, (long long)usage.registers,
           (long long)(strcmp(architecture, "sm_90a") == 0 ? own->wide_bytes : own->shared_bytes),
           (long long)usage.spilled);
  }
}

static void print_kernel(const CudaCode *code, const char *log, int launch, const Kernel *kernel, const CudaKernel *own) {
  Text lines = {0};
  kernel_lines(kernel, &lines);
  printf("  %3d  %-32s %s\n", launch, kernel->name, lines.bytes ? lines.bytes : "");
  text_free(&lines);
  print_usage(code, log, own);
}

static void print_entries(const Program *program, const CudaCode *code, const char *log) {
  for (int e = 0; e < program->module->entries.count; e++) {
    const Plan *plan = program->plans[e];
    printf("%s%s:\n", e > 0 ? "\n" : "", plan->graph->name);
    for (int l = 0, ordinal = 0; l < plan->launches.count; l++) {
      const Launch *launch = &plan->launches.items[l];
      if (launch->kind != LAUNCH_KERNELS) continue;
      for (int k = launch->first; k < launch->first + launch->count; k++)
        print_kernel(code, log, ordinal, &plan->kernels.items[k], &code->source.kernels[e][k]);
      ordinal++;
    }
    if (!code->source.wholes[e].name) continue;
    printf("       all of them in one launch\n");
    print_usage(code, log, &code->source.wholes[e]);
  }
}

int show_cuda(Arena *arena, const char *path, const Settings *settings, Failure *failure) {
  PipelineOptions pipeline = program_pipeline(settings);
  Program program = {0};
  CudaCode code = {0};
  Text log = {0};
  if (!program_read(arena, path, settings->set, &pipeline, &program, failure)) return failure->code;
  if (cuda_compile(program.module, program.plans, program.module->entries.count, settings->gpu, &log, &code, failure))
    print_entries(&program, &code, log.bytes);
  cuda_free(&code);
  text_free(&log);
  return failure->code;
}
