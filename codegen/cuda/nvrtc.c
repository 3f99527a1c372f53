/* See nvrtc.h. The dozen functions of its interface are declared here by hand: they have been the same since CUDA 11.1. */
#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct NvrtcProgram NvrtcProgram;
struct Nvrtc {
  void *library, *builtins;
  int (*version)(int *major, int *minor);
  int (*create)(NvrtcProgram **program, const char *source, const char *name, int nheaders, const char *const *headers,
                const char *const *names);
  int (*compile)(NvrtcProgram *program, int noptions, const char *const *options);
  int (*log_size)(NvrtcProgram *program, size_t *size);
  int (*log)(NvrtcProgram *program, char *log);
  int (*cubin_size)(NvrtcProgram *program, size_t *size);
  int (*cubin)(NvrtcProgram *program, char *cubin);
  int (*ptx_size)(NvrtcProgram *program, size_t *size);
  int (*ptx)(NvrtcProgram *program, char *ptx);
  int (*destroy)(NvrtcProgram **program);
  const char *(*error)(int code);
};

static const struct {
  const char *name;
  size_t at;
} functions[] = {
    {"nvrtcVersion", offsetof(Nvrtc, version)},
    {"nvrtcCreateProgram", offsetof(Nvrtc, create)},
    {"nvrtcCompileProgram", offsetof(Nvrtc, compile)},
    {"nvrtcGetProgramLogSize", offsetof(Nvrtc, log_size)},
    {"nvrtcGetProgramLog", offsetof(Nvrtc, log)},
    {"nvrtcGetCUBINSize", offsetof(Nvrtc, cubin_size)},
    {"nvrtcGetCUBIN", offsetof(Nvrtc, cubin)},
    {"nvrtcGetPTXSize", offsetof(Nvrtc, ptx_size)},
    {"nvrtcGetPTX", offsetof(Nvrtc, ptx)},
    {"nvrtcDestroyProgram", offsetof(Nvrtc, destroy)},
    {"nvrtcGetErrorString", offsetof(Nvrtc, error)},
};

/* ---- finding it ---- */

/* Where scripts/cuda puts it. */
static const char *fetched_path(Arena *arena) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache && *cache) return arena_format(arena, "%s/nnc/cuda/libnvrtc.so.13", cache);
  return arena_format(arena, "%s/.cache/nnc/cuda/libnvrtc.so.13", home ? home : "");
}

/* Leaves the path by which it was found. */
static void *find_library(Arena *arena, const char **path) {
  const char *named = getenv("NNC_NVRTC");
  const char *const places[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", fetched_path(arena)};
  bool only = named && *named;
  void *library = NULL;
  for (int k = 0; k < (only ? 1 : COUNT_OF(places)) && !library; k++) {
    *path = only ? named : places[k];
    library = dlopen(*path, RTLD_NOW | RTLD_LOCAL);
  }
  return library;
}

/* NVRTC looks for its second library among the system's alone; once loaded from beside it, it is found. */
static void *find_builtins(Nvrtc *nvrtc, Arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  int major = 0, minor = 0;
  if (!slash || nvrtc->version(&major, &minor) != 0) return NULL;
  const char *name = arena_format(arena, "%.*s/libnvrtc-builtins.so.%d.%d", (int)(slash - path), path, major, minor);
  return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

Nvrtc *nvrtc_open(Arena *arena, Failure *failure) {
  Nvrtc *nvrtc = NEW(arena, Nvrtc);
  const char *path = NULL;
  nvrtc->library = find_library(arena, &path);
  if (!nvrtc->library) {
    fail(failure, EXIT_ENVIRONMENT,
         "NVRTC, which compiles for NVIDIA GPUs, is not on this machine: scripts/cuda fetches it; NNC_NVRTC=FILE names it "
         "elsewhere; .cu files need none");
    return NULL;
  }
  for (int k = 0; k < COUNT_OF(functions); k++) {
    void *function = dlsym(nvrtc->library, functions[k].name);
    if (!function) {
      fail(failure, EXIT_ENVIRONMENT, "the NVRTC on this machine lacks %s: it is older than CUDA 11.1", functions[k].name);
      nvrtc_close(nvrtc);
      return NULL;
    }
    memcpy((char *)nvrtc + functions[k].at, &function, sizeof function);
  }
  nvrtc->builtins = find_builtins(nvrtc, arena, path);
  return nvrtc;
}

void nvrtc_close(Nvrtc *nvrtc) {
  if (nvrtc && nvrtc->builtins) dlclose(nvrtc->builtins);
  if (nvrtc && nvrtc->library) dlclose(nvrtc->library);
}

/* ---- compiling ---- */

static void read_log(Nvrtc *nvrtc, NvrtcProgram *program, Text *log) {
  size_t size = 0;
  if (nvrtc->log_size(program, &size) != 0 || size < 2) return;
  char *bytes = calloc(1, size + 1);
  if (bytes && nvrtc->log(program, bytes) == 0) text_add(log, "%s", bytes);
  free(bytes);
}

static bool read_code(NvrtcProgram *program, int (*size_of)(NvrtcProgram *, size_t *), int (*get)(NvrtcProgram *, char *),
                      Text *bytes) {
  size_t size = 0;
  if (size_of(program, &size) != 0 || size == 0) return false;
  char *own = malloc(size);
  bool good = own && get(program, own) == 0;
  if (good) text_add_bytes(bytes, own, size);
  free(own);
  return good;
}

static bool read_machine(Nvrtc *nvrtc, NvrtcProgram *program, Text *machine) {
  return !machine || read_code(program, nvrtc->cubin_size, nvrtc->cubin, machine);
}

static bool read_ptx(Nvrtc *nvrtc, NvrtcProgram *program, Text *ptx) {
  bool good = !ptx || read_code(program, nvrtc->ptx_size, nvrtc->ptx, ptx);
  if (good && ptx) ptx->length--; /* it ends in a zero */
  return good;
}

/* An architecture that NVRTC refuses is the user's fault; source that it does not compile is nnc's. */
static bool fail_compile(Nvrtc *nvrtc, const char *architecture, int code, const char *log, Failure *failure) {
  enum { INVALID_OPTION = 5 };
  int major = 0, minor = 0;
  nvrtc->version(&major, &minor);
  if (code == INVALID_OPTION)
    return fail(failure, EXIT_INPUT, "--gpu: NVRTC %d.%d does not compile for '%.100s'", major, minor, architecture);
  return fail(failure, EXIT_BUG, "NVRTC %d.%d for %s: %s: %.600s", major, minor, architecture, nvrtc->error(code), log);
}

bool nvrtc_compile(Nvrtc *nvrtc, const char *name, const char *source, const char *architecture, Text *machine, Text *ptx,
                   Text *log, Failure *failure) {
  NvrtcProgram *program = NULL;
  Arena *arena = arena_new();
  const char *options[] = {arena_format(arena, "--gpu-architecture=%s", architecture), "--fmad=false", "--std=c++17",
                           "--diag-suppress=177", "--ptxas-options=-v"};
  Text said = {0};
  int code = nvrtc->create(&program, source, name, 0, NULL, NULL);
  if (code == 0) code = nvrtc->compile(program, COUNT_OF(options), options);
  if (program) read_log(nvrtc, program, &said);
  if (strncmp(architecture, "sm_", 3) != 0) machine = NULL;
  bool good = code == 0 && read_machine(nvrtc, program, machine) && read_ptx(nvrtc, program, ptx);
  if (!good) fail_compile(nvrtc, architecture, code, said.bytes ? said.bytes : "", failure);
  if (log && said.bytes) text_add(log, "%s", said.bytes);
  if (program) nvrtc->destroy(&program);
  text_free(&said);
  arena_free(arena);
  return good;
}
