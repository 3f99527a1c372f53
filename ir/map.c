/* Index maps: what an axis may say, and what the bounds prove about it.
 *
 * An axis of an operand is read at (c0*d0 + c1*d1 + offset) / divisor; an element is absent where that is inexact or leaves
 * the axis. Proofs put every dim at its first or last value: the sum is least and greatest there, as a size over the
 * model's dims, and the size's own bounds decide. Maps are put through each other in transpose.c. */
#include "ir/ir.h"

#include <string.h>

Axis axis_of(Module *module, int dim) { return axis_affine(dim, 1, dim_constant(module, 0)); }

Axis axis_at(const Dim *offset) { return (Axis){.offset = offset, .divisor = 1}; }

Axis axis_affine(int dim, int64_t coefficient, const Dim *offset) {
  return (Axis){.nterms = 1, .dim = {dim}, .coefficient = {coefficient}, .offset = offset, .divisor = 1};
}

Axis axis_window(int dim, int64_t coefficient, int tap, int64_t tap_coefficient, const Dim *offset, int64_t divisor) {
  return (Axis){
      .nterms = 2, .dim = {dim, tap}, .coefficient = {coefficient, tap_coefficient}, .offset = offset, .divisor = divisor};
}

bool axis_is_bare(const Axis *axis, int dim) {
  return axis->nterms == 1 && axis->dim[0] == dim && axis->coefficient[0] == 1 && axis->divisor == 1 &&
         dim_is(axis->offset, 0);
}

/* ---- what the bounds prove ---- */

/* The least (or greatest) value of the axis' sum as a size: every dim at 0 or at its extent - 1. */
static const Dim *extreme(Module *module, const Space *space, const Axis *axis, bool greatest) {
  const Dim *sum = axis->offset;
  for (int k = 0; k < axis->nterms; k++) {
    if ((axis->coefficient[k] > 0) != greatest) continue;
    const Dim *last = dim_offset(module, space->extent[axis->dim[k]], -1);
    sum = dim_add(module, sum, dim_multiply(module, dim_constant(module, axis->coefficient[k]), last));
  }
  return sum;
}

bool axis_equal(const Axis *a, const Axis *b) {
  if (a->nterms != b->nterms || a->offset != b->offset || a->divisor != b->divisor) return false;
  for (int k = 0; k < a->nterms; k++) {
    if (a->dim[k] != b->dim[k] || a->coefficient[k] != b->coefficient[k]) return false;
  }
  return true;
}

/* A loop's counter t is below its trips, whatever they are: room >= room + t - (trips - 1). */
static bool is_positive(Module *module, const Dim *room) {
  if (room->low > 0) return true;
  for (int k = 0; k < module->dims.count; k++) {
    const DimSymbol *symbol = &module->dims.items[k];
    if (!symbol->turn || !symbol->below) continue;
    const Dim *sum = dim_add(module, room, dim_symbol(module, k));
    const Dim *least = sum ? dim_subtract(module, sum, dim_offset(module, symbol->below, -1)) : NULL;
    if (least && least->low > 0) return true;
  }
  return false;
}

bool axis_always_inside(Module *module, const Space *space, const Axis *axis, const Dim *size) {
  int64_t divisor = axis->divisor, offset;
  /* exact: each part of the sum is a multiple of the divisor by itself */
  if (divisor > 1) {
    if (!dim_is_constant(axis->offset, &offset) || offset % divisor != 0) return false;
    for (int k = 0; k < axis->nterms; k++) {
      if (axis->coefficient[k] % divisor != 0 && !dim_is(space->extent[axis->dim[k]], 1)) return false;
    }
  }
  const Dim *least = extreme(module, space, axis, false), *greatest = extreme(module, space, axis, true);
  const Dim *end = dim_multiply(module, size, dim_constant(module, divisor));
  const Dim *room = greatest && end ? dim_subtract(module, end, greatest) : NULL;
  return least && room && least->low >= 0 && is_positive(module, room);
}

bool map_always_inside(Module *module, const Space *space, int operand, const Type *operand_type) {
  const Map *map = &space->map[operand];
  for (int k = 0; k < map->naxes; k++) {
    if (!axis_always_inside(module, space, &map->axis[k], operand_type->size[k])) return false;
  }
  return true;
}

bool map_is_identity(const Space *space, int operand, const Type *operand_type) {
  const Map *map = &space->map[operand];
  if (map->naxes != operand_type->rank || map->naxes != space->nresult || space->ndims != space->nresult) return false;
  for (int k = 0; k < map->naxes; k++) {
    if (!axis_is_bare(&map->axis[k], k) || space->extent[k] != operand_type->size[k]) return false;
  }
  return true;
}
