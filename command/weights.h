/* --weights: the numbers of a checkpoint in place of those that params and states would begin with, so that they lie in the
 * object and its init gives them. All that the model has must be there; what the file has besides is left out, since a
 * program for inference alone needs no optimizer's state. To be done before the passes run. */
#ifndef NNC_WEIGHTS_H
#define NNC_WEIGHTS_H

#include "ir/ir.h"

bool weights_build(Arena *arena, Module *module, const char *path, Failure *failure);

#endif
