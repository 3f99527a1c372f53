/* The C library's vector math, as gcc reaches it: loops that it turns into calls of libmvec. */
#include <math.h>

#define EACH(name)                                                                                                         \
  void vector_##name(const float *restrict x, float *restrict y, int count) {                                              \
    for (int k = 0; k < count; k++) y[k] = name##f(x[k]);                                                                  \
  }
EACH(exp)
EACH(tanh)
EACH(erf)
EACH(log)
EACH(sin)
EACH(cos)
