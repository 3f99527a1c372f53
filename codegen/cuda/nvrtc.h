/* NVRTC, NVIDIA's compiler from CUDA C to machine code, found at run time: nnc is built without it and needs no GPU. */
#ifndef NNC_NVRTC_H
#define NNC_NVRTC_H

#include "ir/base.h"

typedef struct Nvrtc Nvrtc;
/* NULL with a failure (EXIT_ENVIRONMENT) where there is none. In $NNC_NVRTC, the folder that scripts/cuda fills, or among
 * the system's libraries. */
Nvrtc *nvrtc_open(Arena *arena, Failure *failure);
void nvrtc_close(Nvrtc *nvrtc); /* NULL is fine */
/* "sm_90a" gives a cubin, "compute_90" PTX. What NVRTC says of registers and spills goes to `log` if that is not NULL. */
bool nvrtc_compile(Nvrtc *nvrtc, const char *name, const char *source, const char *architecture, Text *bytes, Text *log,
                   Failure *failure);

#endif
