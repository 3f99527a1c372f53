#ifndef NNC_SHUFFLE_H
#define NNC_SHUFFLE_H

#include <stdint.h>

/* Puts rows into an order that depends on seed and epoch alone: the same on every machine, and no state to be kept for a
 * run that is resumed. */
void shuffle_rows(int64_t *rows, int64_t count, uint64_t seed, uint32_t epoch);

#endif
