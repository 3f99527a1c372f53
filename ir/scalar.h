/* What one element of each elementwise op is, over lines of elements: the definition that compiled code is held to. A line
 * is read with a step of its own for each operand (0 repeats one element), so that broadcasting needs no copy; the result is
 * dense and overlaps no operand. */
#ifndef NNC_SCALAR_H
#define NNC_SCALAR_H

#include "ir/ir.h"

/* How an element lies in memory: an f32 tensor holds doubles in an f64 run. */
typedef enum Kind { KIND_F32, KIND_F64, KIND_I32, KIND_BOOL, KIND_COUNT } Kind;
extern const int kind_bytes[KIND_COUNT];
Kind kind_of(Dtype dtype, bool f64);

typedef void UnaryKernel(const void *a, int64_t a_step, void *result, int64_t count);
typedef void BinaryKernel(const void *a, int64_t a_step, const void *b, int64_t b_step, void *result, int64_t count);
/* NULL where the op has no such kind. Comparisons give KIND_BOOL, the others the operands' kind. */
UnaryKernel *scalar_unary(Op op, Kind kind);
BinaryKernel *scalar_binary(Op op, Kind kind);
UnaryKernel *scalar_cast(Kind from, Kind to);

/* One element, for passes that fold constants: rounded as the dtype is. b is ignored by unary ops. */
double scalar_compute(Op op, Dtype dtype, double a, double b);
double scalar_convert(Dtype from, Dtype to, double a);

double kind_get(Kind kind, const void *data, int64_t index);
void kind_set(Kind kind, void *data, int64_t index, double value);

/* Kernels are compiled for several processors and chosen at load, where the linker can do that. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NNC_SANITIZED
#endif
#endif
#if defined(__GNUC__) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                    \
    !defined(NNC_SANITIZED)
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define KERNEL
#endif

#endif
