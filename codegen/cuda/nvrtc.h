/* NVRTC, NVIDIA's compiler from CUDA C to machine code, found at run time: nnc is built without it and needs no GPU. */
#ifndef NNC_NVRTC_H
#define NNC_NVRTC_H

#include "ir/base.h"

typedef struct Nvrtc Nvrtc;
/* NULL with a failure (EXIT_ENVIRONMENT) where there is none. In $NNC_NVRTC, the folder that scripts/cuda fills, or among
 * the system's libraries. */
Nvrtc *nvrtc_open(Arena *arena, Failure *failure);
void nvrtc_close(Nvrtc *nvrtc); /* NULL is fine */
/* "sm_90a" gives a cubin and PTX of that kind, "compute_90" PTX alone; `machine`, `ptx` and `log` get theirs if they are not
 * NULL. The log is what NVRTC says of registers and spills. */
bool nvrtc_compile(Nvrtc *nvrtc, const char *name, const char *source, const char *architecture, Text *machine, Text *ptx,
                   Text *log, Failure *failure);

#endif
