#ifndef NNC_SHOW_CUDA_H
#define NNC_SHOW_CUDA_H

#include "command/options.h"

/* Prints the kernels that NVRTC makes of a .nn file. Gives the exit code. */
int show_cuda(Arena *arena, const char *path, const Settings *settings, Failure *failure);

#endif
