/* What lower.c (stages), roots.c (what gets memory) and emit.c (expressions) share. */
#ifndef NNC_LOWERING_H
#define NNC_LOWERING_H

#include "passes/plan/plan_passes.h"

typedef struct Lowering {
  const Graph *graph;
  Module *module;
  Plan *plan;
  bool inlined;    /* false: every op is a root */
  bool *live;      /* by node: some result, final or root needs it */
  bool *root;      /* by node: has a buffer */
  bool *next_root; /* by node: will be one in the next round */
  Id *buffer;      /* by node: the buffer of a root, 0: none yet */
  Id *source;      /* by node: the buffer of what has memory anyway (arg, state, array, pick), 0: none yet */
  Id *states;      /* by symbol: its buffer, 0: none yet */
  Id culprit;      /* the value that must be a root after all; RESTART: one in a scan's body, marked already */
  /* scans */
  struct Lowering **bodies;   /* by scan node: its body's lowering, kept over restarts with its roots */
  int region;                 /* the loop that stages go into; 0: the entry itself */
  int turn;                   /* a body: its counter's symbol */
  int first_slice, end_slice; /* a body: these parameters are read at the turn */
} Lowering;
enum { RESTART = -1 };

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
int op_cost(Op op); /* of an elementwise op, in additions */
/* A concatenation of parts that are one element long, or of such concatenations which have no memory of their own. */
bool is_stack(const Lowering *lowering, Id id);
bool has_buffer(const Lowering *lowering, Id id); /* a root, or what has memory anyway: arg, state, an array, a pick */
Id state_buffer(Lowering *lowering, int symbol);
Id source_of(Lowering *lowering, Id id); /* the buffer of a value that has memory without being a root */

/* The scalar that is node `id` at these coordinates (an Axis in the stage's loops for each of its axes); -1 if some value
 * must be a root first: lowering->culprit. emit loads a root, emit_op computes it. */
int emit(Emission *emission, Id id, const Axis *coordinates);
int emit_op(Emission *emission, Id id, const Axis *coordinates);
int emit_inside(Emission *emission, const Axis *coordinates, const Type *type);
int emission_scalar(Emission *emission, Scalar scalar);
/* `axis`, whose dims are those of a space, with each dim replaced by its coordinate. False if the index would need more
 * than two loops, or a division inside another. */
bool compose_axis(Module *module, const Axis *axis, const Axis *dims, Axis *composed);

/* scan.c */
void lower_scan(Lowering *lowering, Id id);

/* lower.c's own, for stages made elsewhere (scans). */
void start_round(Lowering *lowering); /* what stumbled in the last round is a root in this one */
bool stumbled(Lowering *lowering);    /* a stage could not be made; its culprit is a root from the next round on */
bool lower_roots(Lowering *lowering); /* all stages of a graph's roots; false if lowering must start over */
/* A stage that copies a value to `buffer`, behind `lead` (which may be NULL) as the index of a leading axis. */
bool lower_copy(Lowering *lowering, Id value, Id buffer, const Dim *lead);
/* overwrite.c. Brings the last stages, from kernel `first` on, each of which overwrites what others of them may read, into an order in
 * which each reads old values; if there is none (a := b beside b := a), a buffer whose new value needs memory of its own
 * first, else 0. */
Id order_overwriters(Plan *plan, int first);
Emission emission_begin(Lowering *lowering, StageKind kind, Id node);
void emission_kept_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates);
void emission_folded_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates);
void emission_store(Emission *emission, Id buffer, const Axis *coordinates, int scalar);
void emission_end(Emission *emission);

#endif
