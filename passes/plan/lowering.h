/* What lower.c (stages), roots.c (what gets memory) and emit.c (expressions) share. */
#ifndef NNC_LOWERING_H
#define NNC_LOWERING_H

#include "passes/plan/plan_passes.h"

typedef struct Lowering {
  const Graph *graph;
  Module *module;
  Plan *plan;
  bool inlined; /* false: every op is a root */
  bool *live;   /* by node: some result, final or root needs it */
  bool *root;   /* by node: has a buffer */
  Id *buffer;   /* by node: the buffer that holds it, 0: none yet */
  Id *states;   /* by symbol: its buffer, 0: none yet */
  Id culprit;   /* the value that must be a root after all */
} Lowering;

typedef struct Memo {
  Id node;
  Axis coordinates[MAX_RANK];
  int scalar;
} Memo;
/* One stage under construction. */
typedef struct Emission {
  Lowering *lowering;
  Id node;
  Stage stage;
  Vec(Memo) memo;
} Emission;

void choose_roots(Lowering *lowering);
bool has_buffer(const Lowering *lowering, Id id); /* a root, or what has memory anyway: arg, state, an array, a pick */
Id state_buffer(Lowering *lowering, int symbol);

/* The scalar that is node `id` at these coordinates (an Axis in the stage's loops for each of its axes); -1 if some value
 * must be a root first: lowering->culprit. emit loads a root, emit_op computes it. */
int emit(Emission *emission, Id id, const Axis *coordinates);
int emit_op(Emission *emission, Id id, const Axis *coordinates);
int emit_inside(Emission *emission, const Axis *coordinates, const Type *type);
int emission_scalar(Emission *emission, Scalar scalar);
/* `axis`, whose dims are those of a space, with each dim replaced by its coordinate. False if the index would need more
 * than two loops, or a division inside another. */
bool axis_equal(const Axis *a, const Axis *b);
bool compose_axis(Module *module, const Axis *axis, const Axis *dims, Axis *composed);

/* lower.c's own, for stages made elsewhere (scans). */
Emission emission_begin(Lowering *lowering, StageKind kind, Id node);
void emission_kept_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates);
void emission_folded_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates);
void emission_store(Emission *emission, Id buffer, const Axis *coordinates, int scalar);
void emission_end(Emission *emission);

#endif
