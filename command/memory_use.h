/* What an entry's plan makes of its arena, at any sizes. */
#ifndef NNC_MEMORY_USE_H
#define NNC_MEMORY_USE_H

#include "ir/plan.h"

/* Where nothing is in the arena both are 0. No packing for the same launches takes less than `live`. */
typedef struct MemoryUse {
  int64_t arena, live; /* bytes it comes to; the largest sum of bytes alive at one time */
} MemoryUse;
/* sizes: by dim of the module. */
MemoryUse memory_use(const Plan *plan, const int64_t *sizes);
/* Where arena over live is most, of the bounds and of what they are halved to, all together or one dim alone. `sizes` is set
 * to that: room for all dims of the module. */
MemoryUse memory_use_worst(const Plan *plan, int64_t *sizes);

#endif
