/* What the header and the object must agree on: which dims an entry takes, what of its graph's parameters is one in C, how
 * much scratch it wants; and what is told of a kernel beside its code. */
#ifndef NNC_INTERFACE_H
#define NNC_INTERFACE_H

#include "codegen/codegen.h"

enum { STATE_ALIGN = 64, STATE_HEAD = 64 }; /* the head: which processor's code init chose */

int module_declared_dims(const Module *module); /* turns stand behind all of these */
/* By module dim: symbols that occur in its parameters' or results' types, its checks, or anywhere in its plan. */
void entry_dims(const Plan *plan, bool *mentioned);
int entry_parameters(const Graph *graph); /* without the seed, which is a uint64_t of its own in C */
bool entry_wants_state(const Plan *plan);
bool buffer_is_callers(const Buffer *buffer); /* an array that the caller gives */
/* For CUDA, arrays of the host are copied to scratch; a task's locals are the device's own. */
enum { STAGING_ALIGN = 256 };
bool entry_wants_scratch(const Plan *plan, bool cuda);
int64_t entry_scratch_bytes(const Plan *plan, bool cuda); /* at the bounds, one worker */
/* Names of entries that would take another exported symbol's name: a Failure. */
bool interface_verify(const Module *module, Failure *failure);

/* ---- facts.c ---- */

const Place *place_of_user(const Place *place); /* the user's own that led here; else the place itself */

void kernel_lines(const Kernel *kernel, Text *out); /* "lenet.nn:5,6,9-12, blocks.nn:3" */

#endif
