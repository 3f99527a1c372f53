/* Params and states to a safetensors file and back, under their dotted names.
 *
 * Beside the model's own tensors a checkpoint may hold tensors whose names begin with "nn.": those of the command itself
 * ("nn.best.net.w": the best state so far of a run that may still stop early). nn.seed and nn.calls are states as others,
 * but may be missing. Metadata tells how data were prepared and where the training stands; train.h names the keys. */
#ifndef NNC_CHECKPOINT_H
#define NNC_CHECKPOINT_H

#include "command/machine.h"

/* Reads the file and checks every tensor against the model, then sets them all: after a fault nothing is changed. With
 * partial, what the file lacks stays as it is. file, if not NULL, gets all that the file holds. */
bool checkpoint_load(Arena *arena, Machine *machine, const char *path, bool partial, Tensors *file, Failure *failure);
/* Sets the state from tensors of these names behind a prefix ("nn.best."). */
bool checkpoint_set(Arena *arena, Machine *machine, const char *path, const Tensors *file, const char *prefix, bool partial,
                    Failure *failure);
/* Adds all of the state to the tensors, copied, under prefix + name. */
void checkpoint_take(Arena *arena, Machine *machine, const char *prefix, Tensors *tensors);
bool checkpoint_save(Machine *machine, const char *path, const Tensors *beside, Failure *failure);

/* Whether a tensor of this file has the symbol's dtype and shape; else a failure that tells both. */
bool checkpoint_fits(Arena *arena, const char *path, const MachineSymbol *symbol, const Tensor *tensor, Failure *failure);

#endif
