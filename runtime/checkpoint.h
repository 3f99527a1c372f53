/* A model's state in a file: safetensors, one tensor for each param and state under its dotted name, in canonical order, so
 * that PyTorch, NumPy and nnc's commands read it too. For programs that link a model; part of libnn. */
#ifndef NN_CHECKPOINT_H
#define NN_CHECKPOINT_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Both return 0; or -1, with a sentence in `message` (which may be NULL with size 0).
 *
 * Load: every param and state must be in the file with its dtype and shape; the state is changed only if all are, and what
 * else the file holds is passed over. A file without nn.seed and nn.calls leaves those of the state. Save: writes beside
 * path and renames, so that path is the old or the new file whole whatever happens. */
int nn_checkpoint_load(const nn_model *model, void *state, const char *path, char *message, size_t size);
int nn_checkpoint_save(const nn_model *model, const void *state, const char *path, char *message, size_t size);

#ifdef __cplusplus
}
#endif
#endif
