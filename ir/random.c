/* Random numbers that depend on nothing but a key and a logical index: Philox 2x32-10 (Salmon, Moraes, Dror and Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3", 2011), and the initial values of params and states drawn with it.
 *
 * All of it gives the same bits on every machine: integers, and IEEE + - * / sqrt in a fixed order, without libm and without
 * contraction (-ffp-contract=off). Emitted code has twins of random_key, random_uniform and standard_normal, operation for
 * operation (codegen/cpu/draw.c). */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "ir/interpret.h"
#include "ir/interpret_parts.h"
#include <math.h>
#include <string.h>

static inline void philox_block(uint32_t *first, uint32_t *second, uint32_t key) {
  uint32_t a = *first, b = *second;
  for (int turn = 0; turn < 10; turn++) {
    uint64_t product = (uint64_t)a * 0xD256D193u;
    a = (uint32_t)(product >> 32) ^ key ^ b;
    b = (uint32_t)product;
    key += 0x9E3779B9u;
  }
  *first = a, *second = b;
}

void philox(uint32_t counter[2], uint32_t key) { philox_block(&counter[0], &counter[1], key); }

uint32_t random_key(uint32_t stream, uint32_t key) {
  uint32_t counter[2] = {key, RANDOM_KEY_WORD};
  philox(counter, stream);
  return counter[0];
}

static inline float uniform(uint32_t key, uint64_t index) {
  uint32_t first = (uint32_t)index, second = (uint32_t)(index >> 32);
  philox_block(&first, &second, key);
  return (float)(int32_t)(first >> 8) * 0x1p-24f;
}

float random_uniform(uint32_t key, uint64_t index) { return uniform(key, index); }

KERNEL void random_fill(uint32_t key, uint64_t start, float *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) values[i] = uniform(key, start + (uint64_t)i);
}

const double normal_log[NORMAL_LOG_TERMS] = {-4.0,       -4.0 / 3.0,  -4.0 / 5.0,  -4.0 / 7.0,
                                             -4.0 / 9.0, -4.0 / 11.0, -4.0 / 13.0, -4.0 / 15.0};
const double normal_sine[NORMAL_SINE_TERMS] = {1.5707963267948966,    -0.6459640975062463,    0.07969262624616705,
                                               -0.004681754135318688, 0.00016044118478735983, -3.598843235212085e-6,
                                               5.692172921967927e-8,  -6.688035109811468e-10, 6.0669357311061955e-12};

/* A standard normal number by Box and Muller: sqrt(-2 log u) cos(2 pi v), u in (0, 1] and v in [0, 1) from the two words of
 * the block at `index`. log: u = 2^exponent * m, m in [sqrt(1/2), sqrt(2)), -2 log m = -4 atanh((m - 1) / (m + 1)) by its
 * series. cos(2 pi v) = sin(z pi / 2), z = |4 v - 2| - 1 in [-1, 1], without rounding, by its series. Both series end where
 * the next term is below 2^-44 of the sum: what is left rounds away in f32. */
static inline double standard_normal(uint32_t key, uint64_t index) {
  uint32_t first = (uint32_t)index, second = (uint32_t)(index >> 32);
  philox_block(&first, &second, key);
  double u = ((double)first + 1.0) * 0x1p-32, m;
  uint64_t bits;
  memcpy(&bits, &u, sizeof bits);
  bits += NORMAL_ONE - NORMAL_ROOT_HALF;
  double exponent = (double)(int)(bits >> 52) - 1023.0;
  bits = (bits & NORMAL_MANTISSA) + NORMAL_ROOT_HALF;
  memcpy(&m, &bits, sizeof m);
  double s = (m - 1.0) / (m + 1.0), s2 = s * s, series = normal_log[NORMAL_LOG_TERMS - 1];
  for (int k = NORMAL_LOG_TERMS - 2; k >= 0; k--) series = series * s2 + normal_log[k];
  double minus_two_log = exponent * NORMAL_TWO_LOG + s * series;

  double z = fabs((double)second * 0x1p-30 - 2.0) - 1.0, z2 = z * z, sine = normal_sine[NORMAL_SINE_TERMS - 1];
  for (int k = NORMAL_SINE_TERMS - 2; k >= 0; k--) sine = sine * z2 + normal_sine[k];
  return sqrt(minus_two_log) * (sine * z);
}

KERNEL void random_normals(uint32_t key, double deviation, float *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) values[i] = (float)(deviation * standard_normal(key, (uint64_t)i));
}

/* Vectors in the memory of a param: element i of vector v is v * across + i * along. */
typedef struct Basis {
  float *elements;
  int64_t vectors, length, across, along;
} Basis;

static double dot(const Basis *basis, int64_t one, int64_t other) {
  const float *a = basis->elements + one * basis->across, *b = basis->elements + other * basis->across;
  double sum = 0;
  for (int64_t i = 0; i < basis->length; i++) sum += (double)a[i * basis->along] * (double)b[i * basis->along];
  return sum;
}

static void make_unit_vector(const Basis *basis, int64_t v) {
  float *vector = basis->elements + v * basis->across;
  int64_t length = basis->length, along = basis->along;
  for (int turn = 0; turn < 2; turn++) {
    for (int64_t other = 0; other < v; other++) {
      const float *before = basis->elements + other * basis->across;
      double share = dot(basis, other, v);
      for (int64_t i = 0; i < length; i++)
        vector[i * along] = (float)((double)vector[i * along] - share * (double)before[i * along]);
    }
  }
  double norm = sqrt(dot(basis, v, v));
  for (int64_t i = 0; i < length; i++) vector[i * along] = norm > 0 ? (float)((double)vector[i * along] / norm) : 0.0f;
}

/* The array as a matrix of size[0] rows: its rows become orthonormal, or its columns if it has more rows than columns, by
 * Gram and Schmidt on normal numbers; then all is scaled by the gain. An object has no memory for it but the param's own
 * floats, so there are no others here either: what rounding leaves of the vectors before is taken out by a second turn. */
static void initialise_orthogonal(uint32_t key, double gain, Array *array) {
  int64_t count = array_count(array), rows = array->rank ? array->size[0] : 1, columns = rows ? count / rows : 0;
  bool by_columns = rows > columns;
  Arena *arena = arena_new();
  Basis basis = {.elements = NEW_ARRAY(arena, float, count + 1),
                 .vectors = MIN(rows, columns),
                 .length = MAX(rows, columns),
                 .across = by_columns ? 1 : columns,
                 .along = by_columns ? columns : 1};
  random_normals(key, 1, basis.elements, count);
  for (int64_t v = 0; v < basis.vectors; v++) make_unit_vector(&basis, v);
  for (int64_t i = 0; i < count; i++) array_set(array, i, (float)(gain * (double)basis.elements[i]));
  arena_free(arena);
}

static void initialise_normal(uint32_t key, double deviation, Array *array) {
  int64_t count = array_count(array);
  Arena *arena = arena_new();
  float *drawn = array->dtype == F32 && !array->f64 ? array->data : NEW_ARRAY(arena, float, count + 1);
  random_normals(key, deviation, drawn, count);
  for (int64_t i = 0; drawn != array->data && i < count; i++) array_set(array, i, (double)drawn[i]);
  arena_free(arena);
}

/* An f64 run starts from the very numbers that an f32 run starts from. */
static double as_stored(const Array *array, double number) { return array->dtype == F32 ? (double)(float)number : number; }

void initialise(const Symbol *symbol, uint64_t seed, Array *array) {
  int64_t count = array_count(array);
  const Initialiser *init = &symbol->init;
  if (strcmp(symbol->name, "nn.seed") == 0) {
    CHECK(array->dtype == I32 && count == 2);
    for (int k = 0; k < 2; k++) ((uint32_t *)array->data)[k] = (uint32_t)(seed >> (32 * k));
    return;
  }
  if (strcmp(symbol->name, "nn.calls") == 0) {
    array_set(array, 0, 0);
    return;
  }
  uint64_t name = hash_bytes(symbol->name, strlen(symbol->name));
  uint32_t key = random_key(random_key((uint32_t)(name ^ name >> 32), (uint32_t)seed), (uint32_t)(seed >> 32));
  float low = (float)init->a, span = (float)init->b - (float)init->a;
  switch (init->kind) {
  case INIT_NUMBER:
    for (int64_t i = 0; i < count; i++) array_set(array, i, as_stored(array, init->a));
    break;
  case INIT_UNIFORM:
    for (int64_t i = 0; i < count; i++) array_set(array, i, (double)(low + span * random_uniform(key, (uint64_t)i)));
    break;
  case INIT_NORMAL: initialise_normal(key, init->a, array); break;
  case INIT_ORTHOGONAL: initialise_orthogonal(key, init->a, array); break;
  case INIT_ARRAY:
    for (int64_t i = 0; i < count; i++) array_set(array, i, as_stored(array, init->array[i]));
    break;
  }
}
