/* From CUDA C to code for each kind of GPU that is asked for. */
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/nvrtc.h"

#include <stdlib.h>
#include <string.h>

const char cuda_default_architectures[] = "sm_80,sm_90a";

/* The number of "sm_90a" or "compute_90"; 0: it is neither. */
static int capability_of(const char *architecture, bool *exact) {
  const char *digits = strncmp(architecture, "sm_", 3) == 0        ? architecture + 3
                       : strncmp(architecture, "compute_", 8) == 0 ? architecture + 8
                                                                   : "";
  char *end;
  long number = strtol(digits, &end, 10);
  *exact = strcmp(end, "a") == 0 || strcmp(end, "f") == 0;
  return end != digits && (*end == 0 || *exact) && number > 0 && number < 1000 ? (int)number : 0;
}

static bool add_image(const Module *module, Nvrtc *nvrtc, CudaCode *code, const char *architecture, Text *log,
                      Failure *failure) {
  CudaImage image = {.architecture = architecture};
  const char *name = arena_format(module->arena, "%s.cu", module->name);
  if (!nvrtc_compile(nvrtc, name, code->source.text.bytes, architecture, &image.bytes, log, failure)) {
    text_free(&image.bytes);
    return false;
  }
  PUSH(module->arena, &code->images, image);
  return true;
}

/* Machine code for each; then PTX of the highest, for GPUs that are not yet. */
static bool add_images(const Module *module, Nvrtc *nvrtc, const char *list, Text *log, CudaCode *code, Failure *failure) {
  int highest = 0;
  while (*list) {
    size_t length = strcspn(list, ",");
    const char *architecture = arena_format(module->arena, "%.*s", (int)length, list);
    bool exact;
    int capability = capability_of(architecture, &exact);
    if (capability == 0)
      return fail(failure, EXIT_INPUT, "--gpu: '%.100s' is no kind of GPU; such are sm_80, sm_90a, compute_90",
                  architecture);
    if (!add_image(module, nvrtc, code, architecture, log, failure)) return false;
    highest = MAX(highest, capability);
    list += length + (list[length] == ',');
  }
  if (highest == 0) return fail(failure, EXIT_INPUT, "--gpu: no kind of GPU is named");
  return add_image(module, nvrtc, code, arena_format(module->arena, "compute_%d", highest), log, failure);
}

bool cuda_compile(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, CudaCode *code,
                  Failure *failure) {
  *code = (CudaCode){0};
  Arena *arena = arena_new();
  Nvrtc *nvrtc = nvrtc_open(arena, failure);
  bool good = nvrtc != NULL;
  if (good) code->source = cuda_print(module, plans, count);
  good = good && add_images(module, nvrtc, architectures ? architectures : cuda_default_architectures, log, code, failure);
  nvrtc_close(nvrtc);
  arena_free(arena);
  if (!good) cuda_free(code);
  return good;
}

void cuda_free(CudaCode *code) {
  text_free(&code->source.text);
  for (int k = 0; k < code->images.count; k++) text_free(&code->images.items[k].bytes);
  *code = (CudaCode){0};
}
