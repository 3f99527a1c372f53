/* Fisher and Yates's shuffle, its choices drawn from counters. A choice among n is the high word of a 32-bit number times
 * n: its bias, n / 2^32, is far below what could be seen in an order of rows. */
#include "command/shuffle.h"

#include "ir/interpret.h"

void shuffle_rows(int64_t *rows, int64_t count, uint64_t seed, uint32_t epoch) {
  static const char stream[] = "nnc.shuffle";
  uint64_t name = hash_bytes(stream, sizeof stream - 1);
  uint32_t key = random_key((uint32_t)(name ^ name >> 32), (uint32_t)seed);
  key = random_key(random_key(key, (uint32_t)(seed >> 32)), epoch);
  for (int64_t left = count; left > 1; left--) {
    uint64_t word = random_key(key, (uint32_t)left);
    int64_t chosen = (int64_t)((word * (uint64_t)left) >> 32), kept = rows[left - 1];
    rows[left - 1] = rows[chosen];
    rows[chosen] = kept;
  }
}
