/* What an entry computes: the multiplications and additions of its products of matrices and its convolutions. */
#ifndef NNC_FLOPS_H
#define NNC_FLOPS_H

#include "command/program.h"

/* Of the definition, or of the graph that passes made of it if that needs fewer: the gradient of a loop computes the loop's
 * products again, which is nothing that the model asks for. 0 where the program came as plans. */
double flops_asked(Program *program, const Settings *settings, int entry, const int64_t *dims);

#endif
