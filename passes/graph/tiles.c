/* The transforms of Winograd's convolutions F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3), of ordinary ops.
 *
 * In one dimension, tile + 2 neighbours d and three taps g give `tile` results y = A((G g) * (B d)) by tile + 2
 * multiplications in place of 3 * tile; in two dimensions the transforms are done along columns, then along rows, and 16
 * multiplications stand in place of 36, 36 in place of 144. A, B and G follow from interpolating a product of polynomials at
 * 0, 1, -1 (2, -2) and infinity. After: Winograd, "Arithmetic complexity of computations" (1980), and Lavin and Gray, "Fast
 * algorithms for convolutional neural networks" (2016).
 *
 * The error. Results are sums with large terms that cancel: let d and g be independent with deviation 1, and each product be
 * off by a unit of its own size. Directly, a result's error has the variance TAPS; here result i's has the sum over k of
 * A[i][k]^2 |G[k]|^2 |B[k]|^2. The root of the ratio, for the worst i, says how much larger the rounding error is in one
 * dimension; `error`, its square, in two. */
#include "passes/graph/convs.h"

static Id add(Graph *graph, Id a, Id b) { return graph_binary(graph, OP_add, a, b); }
static Id sub(Graph *graph, Id a, Id b) { return graph_binary(graph, OP_sub, a, b); }
static Id times(Graph *graph, double factor, Id a) {
  return graph_binary(graph, OP_mul, a, graph_constant(graph, *graph_type(graph, a), factor));
}

/* ---- two results from four ---- */

static void picture2(Graph *g, const Id *d, Id *out) {
  out[0] = sub(g, d[0], d[2]);
  out[1] = add(g, d[1], d[2]);
  out[2] = sub(g, d[2], d[1]);
  out[3] = sub(g, d[1], d[3]);
}

static void kernel2(Graph *g, const Id *w, Id *out) {
  Id ends = times(g, 0.5, add(g, w[0], w[2])), middle = times(g, 0.5, w[1]);
  out[0] = w[0];
  out[1] = add(g, ends, middle);
  out[2] = sub(g, ends, middle);
  out[3] = w[2];
}

static void result2(Graph *g, const Id *m, Id *out) {
  out[0] = add(g, add(g, m[0], m[1]), m[2]);
  out[1] = sub(g, sub(g, m[1], m[2]), m[3]);
}

/* ---- four results from six ---- */

static void picture4(Graph *g, const Id *d, Id *out) {
  Id even = sub(g, d[4], times(g, 4, d[2])), odd = sub(g, d[3], times(g, 4, d[1]));
  Id even2 = sub(g, d[4], d[2]), odd2 = times(g, 2, sub(g, d[3], d[1]));
  Id rest = sub(g, d[4], times(g, 5, d[2]));
  out[0] = add(g, times(g, 4, d[0]), rest);
  out[1] = add(g, even, odd);
  out[2] = sub(g, even, odd);
  out[3] = add(g, even2, odd2);
  out[4] = sub(g, even2, odd2);
  Id rest2 = sub(g, d[5], times(g, 5, d[3]));
  out[5] = add(g, times(g, 4, d[1]), rest2);
}

static void kernel4(Graph *g, const Id *w, Id *out) {
  Id even = times(g, -1.0 / 6, add(g, w[0], w[2])), odd = times(g, -1.0 / 6, w[1]);
  Id even2 = times(g, 1.0 / 24, add(g, w[0], times(g, 4, w[2]))), odd2 = times(g, 1.0 / 12, w[1]);
  out[0] = times(g, 0.25, w[0]);
  out[1] = add(g, even, odd);
  out[2] = sub(g, even, odd);
  out[3] = add(g, even2, odd2);
  out[4] = sub(g, even2, odd2);
  out[5] = w[2];
}

static void result4(Graph *g, const Id *m, Id *out) {
  Id even = add(g, m[1], m[2]), odd = sub(g, m[1], m[2]);
  Id even2 = add(g, m[3], m[4]), odd2 = sub(g, m[3], m[4]);
  out[0] = add(g, m[0], add(g, even, even2));
  out[1] = add(g, odd, times(g, 2, odd2));
  out[2] = add(g, even, times(g, 4, even2));
  out[3] = add(g, m[5], add(g, odd, times(g, 8, odd2)));
}

const Transforms *transforms_of(int tile) {
  static const Transforms two = {2, 4, picture2, kernel2, result2, 5.0 / 3},
                          four = {4, 6, picture4, kernel4, result4, 283.0 / 9};
  return tile == 4 ? &four : &two;
}

void transform_square(Graph *graph, void (*one)(Graph *, const Id *, Id *), int from, int to, const Id *in, Id *out) {
  Id columns[MOST_READ * MOST_READ], line[MOST_READ], made[MOST_READ];
  for (int c = 0; c < from; c++) {
    for (int r = 0; r < from; r++) line[r] = in[r * from + c];
    one(graph, line, made);
    for (int r = 0; r < to; r++) columns[r * from + c] = made[r];
  }
  for (int r = 0; r < to; r++) one(graph, columns + r * from, out + r * to);
}
