/* Copies that transpose: stages that load along one loop and store along another.
 *
 * Lanes along either would gather or scatter. So blocks of 16 x 16 are turned in registers: 16 loads of neighbours, four rounds
 * that each swap a block's upper right and lower left parts, half as large each time, and 16 stores of neighbours. Only for
 * loops of whole blocks; the others keep the plain way. */
#include "codegen/cpu/nest.h"

typedef struct Turning {
  Nest nest;
  int along, across; /* the loop whose neighbours are loaded, and the one whose neighbours are stored */
} Turning;

static int unit_loop(const Nest *nest, const Reach *reach) {
  for (int loop = 0; loop < nest->stage->nloops; loop++)
    if (nest->trip[loop] > 0 && nest->trip[loop] % LANES == 0 && dim_is(reach->stride[loop], 1)) return loop;
  return -1;
}

static bool turns(Turning *turning) {
  Nest *nest = &turning->nest;
  const Stage *stage = nest->stage;
  Emitter *emitter = nest->work->emitter;
  if (stage->scalars.count != 1 || stage->stores.count != 1 || stage->scalars.items[0].op != SCALAR_LOAD) return false;
  const Reach *from = nest->reach[0], *to = nest->store_reach[0];
  if (!from->plain || !to->plain) return false;
  if (reach_type(nest, from) != emitter->f32 || reach_type(nest, to) != emitter->f32) return false;
  turning->along = unit_loop(nest, from);
  turning->across = unit_loop(nest, to);
  if (turning->along < 0 || turning->across < 0 || turning->along == turning->across) return false;
  return (to->depends >> turning->along & 1) && (from->depends >> turning->across & 1);
}

/* Lane j of the first result is a's where j has no `size` bit, else b's from one part before; of the second, the rest. */
static void swap_parts(Emitter *emitter, LLVMValueRef *a, LLVMValueRef *b, int size) {
  LLVMValueRef low[LANES], high[LANES];
  for (int lane = 0; lane < LANES; lane++) {
    bool second = lane & size;
    low[lane] = const_i32(emitter, second ? LANES + lane - size : lane);
    high[lane] = const_i32(emitter, second ? LANES + lane : lane + size);
  }
  LLVMValueRef upper = LLVMBuildShuffleVector(emitter->builder, *a, *b, LLVMConstVector(low, LANES), "");
  *b = LLVMBuildShuffleVector(emitter->builder, *a, *b, LLVMConstVector(high, LANES), "");
  *a = upper;
}

static void emit_block(Turning *turning) {
  Nest *nest = &turning->nest;
  LLVMValueRef rows[LANES];
  nest->vector = turning->along;
  for (int k = 0; k < LANES; k++) {
    nest->shift[turning->across] = k;
    rows[k] = reach_load(nest, nest->reach[0], F32, 0, nest->count);
  }
  nest->shift[turning->across] = 0;
  for (int size = LANES / 2; size > 0; size /= 2)
    for (int k = 0; k < LANES; k++)
      if (!(k & size)) swap_parts(nest->work->emitter, &rows[k], &rows[k + size], size);
  nest->vector = turning->across;
  for (int k = 0; k < LANES; k++) {
    nest->shift[turning->along] = k;
    reach_store(nest, nest->store_reach[0], rows[k], nest->count);
  }
  nest->shift[turning->along] = 0;
}

static void emit_blocks(Turning *turning, int position) {
  Nest *nest = &turning->nest;
  if (position == nest->count) {
    emit_block(turning);
    return;
  }
  int loop = nest->order[position];
  bool blocked = loop == turning->along || loop == turning->across;
  Looping looping;
  loop_open(nest->work->emitter, &looping, nest->start[loop], nest->stop[loop], blocked ? LANES : 1, nest->trip[loop], NULL,
            0);
  nest->at[loop] = looping.index;
  nest_addresses(nest, position);
  emit_blocks(turning, position + 1);
  loop_close(nest->work->emitter, &looping, NULL);
}

/* The two loops go innermost, so that whole lines are read one after another. */
static void order_blocks(Turning *turning) {
  Nest *nest = &turning->nest;
  int count = 0;
  for (int k = 0; k < nest->count; k++)
    if (nest->order[k] != turning->along && nest->order[k] != turning->across) nest->order[count++] = nest->order[k];
  nest->order[count++] = turning->across;
  nest->order[count++] = turning->along;
}

bool emit_transposed(Work *work, const Stage *stage) {
  Turning turning;
  nest_begin(&turning.nest, work, stage, -1);
  if (!turns(&turning)) return false;
  order_blocks(&turning);
  nest_start(&turning.nest);
  emit_blocks(&turning, 0);
  return true;
}
