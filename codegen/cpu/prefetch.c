/* What a contraction will read, asked for while it computes.
 *
 * A processor finds by itself what comes next in a row. It does not find the next piece of an operand that is cut into pieces,
 * the next row of a picture, or what is only read when a tile is done; and a tile that waits for these does nothing else.
 * Asking costs little where much is computed with what is asked for: only long folds do. Asking reads nothing, and may go
 * beyond an array. */
#include "codegen/cpu/tiling.h"

enum {
  LONG_FOLD = 256, /* turns */
  MOST_LINES = 64, /* asked for at once */
  LINE = 16        /* floats */
};

static void ask(Tiling *tiling, LLVMValueRef pointer, int64_t more) {
  Emitter *emitter = tiling->nest.work->emitter;
  LLVMValueRef at = access_advance(tiling->nest.work, pointer, const_i64(emitter, more), emitter->f32);
  /* to read, into L2, data */
  LLVMValueRef arguments[] = {at, const_i32(emitter, 0), const_i32(emitter, 2), const_i32(emitter, 1)};
  call_intrinsic(emitter, "llvm.prefetch", &emitter->pointer, 1, arguments, 4);
}

static int64_t constant_stride(const Reach *reach, int loop) {
  int64_t stride = 0;
  return loop >= 0 && dim_is_constant(reach->stride[loop], &stride) ? stride : 0;
}

static int64_t turns_of_fold(const Nest *nest) {
  int64_t turns = 1;
  for (int k = nest->kept; k < nest->count; k++) turns *= MAX(nest->trip[nest->order[k]], 1);
  return turns;
}

static bool comes_from_far(const Nest *nest, const Reach *reach) {
  Memory memory = nest->work->emitter->plan->buffers.items[reach->access->buffer].memory;
  return reach->plain && memory != MEMORY_LOCAL && memory != MEMORY_CONSTANT;
}

/* ---- the next piece ---- */

void prefetch_pieces(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  Module *module = nest->work->module;
  bool cut = tiling->chunked >= 0;
  int loop = cut ? tiling->chunked : nest->order[tiling->pieces + tiling->outside - 1];
  tiling->ahead = dim_multiply(module, tiling->operand[1]->stride[loop], dim_constant(module, cut ? tiling->chunk : 1));
}

void prefetch_ahead(Tiling *tiling, const Reach *reach, LLVMValueRef pointer) {
  Work *work = tiling->nest.work;
  if (!tiling->ahead || reach != tiling->operand[1]) return;
  ask(tiling, access_advance(work, pointer, work_dim(work, tiling->ahead), work->emitter->f32), 0);
}

/* ---- what a tile reads when it is done ---- */

static void ask_for_results(Tiling *tiling, const Reach *reach) {
  Nest *nest = &tiling->nest;
  int64_t by_row = constant_stride(reach, tiling->row);
  if (tiling->rows * tiling->columns > MOST_LINES || (tiling->rows > 1 && by_row == 0)) return;
  for (int i = 0; i < tiling->rows; i++)
    for (int j = 0; j < tiling->columns; j++) ask(tiling, reach->partial[nest->kept], i * by_row + j * LANES);
}

/* ---- the next row of a picture ---- */

/* Loops of one axis, a kept one outside the tile and a folded one: a window that moves. */
static bool find_window(const Tiling *tiling, const Reach *reach, int *place, int *tap) {
  int nkept = tiling->nest.stage->nkept;
  for (int k = 0; k < reach->access->map.naxes; k++) {
    const Axis *axis = &reach->access->map.axis[k];
    if (axis->nterms != 2 || (axis->dim[0] < nkept) == (axis->dim[1] < nkept)) continue;
    int kept = axis->dim[0] < nkept ? 0 : 1;
    *place = axis->dim[kept], *tap = axis->dim[1 - kept];
    if (*place != tiling->row && *place != tiling->vector && *place != tiling->column) return true;
  }
  return false;
}

/* What the last taps of the tile's rows will read, one row of the picture further on. */
static void ask_for_next_row(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  const Reach *reach = tiling->operand[0];
  int place, tap, inner = nest->order[nest->count - 1];
  if (tiling->folded || !find_window(tiling, reach, &place, &tap) || nest->trip[tap] < 1) return;
  int64_t by_row = constant_stride(reach, tiling->row), by_place = constant_stride(reach, place);
  int64_t by_tap = constant_stride(reach, tap), lines = 1;
  if (constant_stride(reach, inner) == 1 && nest->trip[inner] > 0) lines = (nest->trip[inner] + LINE - 1) / LINE;
  if (by_row == 0 || by_place == 0 || by_tap == 0 || lines * tiling->rows > MOST_LINES) return;
  int64_t first = by_place + MAX(by_tap * (nest->trip[tap] - 1), 0);
  for (int i = 0; i < tiling->rows; i++)
    for (int64_t k = 0; k < lines; k++) ask(tiling, reach->partial[nest->kept], first + i * by_row + k * LINE);
}

void prefetch_tile(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  const Stage *stage = nest->stage;
  if (tiling->waiting || tiling->limit || turns_of_fold(nest) < LONG_FOLD) return;
  for (int k = stage->after; k < stage->scalars.count; k++) {
    const Reach *reach = nest->reach[k];
    if (stage->scalars.items[k].op != SCALAR_LOAD || !comes_from_far(nest, reach) || tiling->folded) continue;
    if (tiling->vector >= 0 && constant_stride(reach, tiling->vector) == 1) ask_for_results(tiling, reach);
  }
  if (comes_from_far(nest, tiling->operand[0])) ask_for_next_row(tiling);
}
