/* What the graphs tell of a layer: the call that made it, and the value that leaves it. */
#ifndef NNC_LAYER_USE_H
#define NNC_LAYER_USE_H

#include "command/machine.h"

typedef struct LayerUse {
  const char *call;   /* "conv(6, 5, pad=2)"; NULL where the symbol is not a def's own */
  const Type *output; /* at its first use; NULL where none is known */
} LayerUse;

/* Of the layer that a param belongs to. Knows nothing where there are no graphs (a .so, a plan). */
LayerUse layer_use(const Machine *machine, int symbol);

#endif
