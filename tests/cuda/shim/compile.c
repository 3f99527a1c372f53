/* NVRTC's functions: CUDA C goes through the host's C++ compiler, with device.hpp in front and, behind, a function for each
 * kernel that calls it with an array of arguments. The "cubin" is a shared object. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
typedef struct Source {
  char *text, *code;
  size_t bytes;
} Source;
EXPORT int nvrtcVersion(int *major, int *minor);
EXPORT int nvrtcCreateProgram(Source **program, const char *source, const char *name, int nheaders,
                              const char *const *headers, const char *const *names);
EXPORT int nvrtcCompileProgram(Source *program, int noptions, const char *const *options);
EXPORT int nvrtcGetProgramLogSize(Source *program, size_t *size);
EXPORT int nvrtcGetProgramLog(Source *program, char *log);
EXPORT int nvrtcGetCUBINSize(Source *program, size_t *size);
EXPORT int nvrtcGetCUBIN(Source *program, char *cubin);
EXPORT int nvrtcGetPTXSize(Source *program, size_t *size);
EXPORT int nvrtcGetPTX(Source *program, char *ptx);
EXPORT int nvrtcDestroyProgram(Source **program);
EXPORT const char *nvrtcGetErrorString(int code);

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
const char *nvrtcGetErrorString(int code) { return code == 0 ? "no error" : "the host's compiler failed"; }

int nvrtcCreateProgram(Source **program, const char *source, const char *name, int nheaders, const char *const *headers,
                       const char *const *names) {
  (void)name, (void)nheaders, (void)headers, (void)names;
  *program = calloc(1, sizeof **program);
  if (!*program) return 1;
  (*program)->text = strdup(source);
  return 0;
}

/* Each stands between its head's last word and a bracket. */
static void write_calls(FILE *file, const char *text) {
  const char *head = "extern \"C\" __global__ void ";
  for (const char *at = strstr(text, head); at; at = strstr(at + 1, head)) {
    const char *name = strchr(at, ')') + 2; /* behind __launch_bounds__(256) */
    int length = (int)strcspn(name, "(");
    fprintf(file, "extern \"C\" void shim_call_%.*s(void **arguments) { shim_call(%.*s, arguments); }\n", length, name,
            length, name);
    fprintf(file, "extern \"C\" void **shim_keep_%.*s(void **arguments) { return shim_keep(%.*s, arguments); }\n", length,
            name, length, name);
  }
}

static int read_code(Source *program, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return 1;
  fseek(file, 0, SEEK_END);
  program->bytes = (size_t)ftell(file);
  rewind(file);
  program->code = malloc(program->bytes);
  size_t got = program->code ? fread(program->code, 1, program->bytes, file) : 0;
  fclose(file);
  return got != program->bytes;
}

int nvrtcCompileProgram(Source *program, int noptions, const char *const *options) {
  char folder[] = "/tmp/nnc.shim.XXXXXX", source[64], code[64], command[512];
  for (int k = 0; k < noptions; k++) /* PTX is for GPUs that are not yet: there will be no such shim */
    if (strncmp(options[k], "--gpu-architecture=compute_", 27) == 0) return 0;
  int hopper = 0;
  for (int k = 0; k < noptions; k++) hopper |= strcmp(options[k], "--gpu-architecture=sm_90a") == 0;
  if (!mkdtemp(folder)) return 1;
  snprintf(source, sizeof source, "%s/kernels.cpp", folder);
  snprintf(code, sizeof code, "%s/kernels.so", folder);
  FILE *file = fopen(source, "w");
  if (!file) return 1;
  fprintf(file, "%s#include \"%s\"\n%s", hopper ? "#define __CUDA_ARCH_FEAT_SM90_ALL\n" : "", SHIM_DEVICE_HEADER,
          program->text);
  write_calls(file, program->text);
  fclose(file);
  snprintf(command, sizeof command, "c++ -std=c++17 -w -Og -ffp-contract=off -shared -fPIC -o %s %s", code, source);
  int failed = system(command) != 0 || read_code(program, code) != 0;
  unlink(source);
  unlink(code);
  rmdir(folder);
  return failed;
}

int nvrtcGetProgramLogSize(Source *program, size_t *size) { return (void)program, *size = 1, 0; }
int nvrtcGetProgramLog(Source *program, char *log) { return (void)program, *log = 0, 0; }
int nvrtcGetCUBINSize(Source *program, size_t *size) { return *size = program->bytes, 0; }
int nvrtcGetCUBIN(Source *program, char *cubin) { return memcpy(cubin, program->code, program->bytes), 0; }
int nvrtcGetPTXSize(Source *program, size_t *size) { return (void)program, *size = 2, 0; }
int nvrtcGetPTX(Source *program, char *ptx) { return (void)program, memcpy(ptx, "-", 2), 0; }
int nvrtcDestroyProgram(Source **program) {
  free((*program)->text);
  free((*program)->code);
  free(*program);
  return *program = NULL, 0;
}
