/* The passes from graph to plan. Each leaves a plan that plan_verify accepts and plan_run computes the same with. */
#ifndef NNC_PLAN_PASSES_H
#define NNC_PLAN_PASSES_H

#include "ir/plan.h"
#include "passes/passes.h"

/* What the passes must know of the processor to choose well. */
typedef struct TargetCosts {
  int registers;        /* of 16 logical lanes: 32 with AVX-512, 8 with AVX2, 4 with SSE */
  int64_t local_bytes;  /* what a task's tile may take: half of L2 */
  bool locals_share;    /* a task's stages run one after another, so that locals may take each other's place */
  bool skips;           /* its code can leave out turns of a contraction's loops */
  int64_t wide_bytes;   /* buffers of so many are kept from memory where that can be; 0: none are */
  int64_t shared_bytes; /* what all tasks of a kernel may stream through */
  int contractions;     /* at most so many in a kernel; 0: any number */
  /* Stages of more, an index of the loops that they would share, keep tasks of their own; 0: none do. An entry that updates
   * nothing may be called for one example, whose stages want all workers; a training step has a batch. */
  double alone_cycles, alone_inference;
  double task_cycles; /* what a task should have at least: a launch costs about 3,000 */
  /* weights of so many columns and rows at least lie in panels of so many columns; 0: none do */
  int panel, panel_columns, panel_rows;
  int enough_tasks; /* what keeps the processor busy: folds of split_fold points are split for it; 0: they are not */
  double split_fold;
  Precision precision;
  bool small_products; /* contractions of any size as large ones, for tests: else few rows or columns are folds on a GPU */
  double short_launch; /* points: where launches have fewer, all of an entry are one; 0: never */
  /* Gives the task loops that are used their tiles, and each stage its lanes or its register tile. */
  void (*cut)(Kernel *kernel, const struct TargetCosts *costs);
  void (*feed)(Plan *plan,
               const struct TargetCosts
                   *costs); /* once it is known what is LOCAL: how operands of contractions are fed; NULL: nothing to say */
} TargetCosts;

/* One kernel of one stage for each value that needs memory; with `inlined`, values that are cheap to compute again are
 * computed where they are read, else every op has memory of its own (--no-fuse). */
Plan *plan_lower(const Graph *graph, bool inlined);
/* Folds over windows that do not overlap become stages that fold nothing. */
void plan_windows(Plan *plan);
/* Values that are copied to have a border are made inside it, where the copy would be a kernel of its own. */
void plan_borders(Plan *plan, const TargetCosts *costs);
/* The same where a kernel's tasks make both. */
void plan_borders_of_tasks(Plan *plan);
/* True if this stage keeps tasks of its own rather than sharing its first `leading` loops with others: these may have too few
 * indices to keep workers busy (one picture, say), and it is so long that waiting between kernels costs nothing beside it. */
bool stage_stays_alone(const Stage *stage, int leading, const TargetCosts *costs);
/* Stages that run over the same loops become one, then stages that share their leading loops become one kernel; what only
 * one kernel uses becomes LOCAL. `close`: what only so stays with a task is joined first, as convolutions by tiles want it. */
void plan_fuse(Plan *plan, const TargetCosts *costs, bool close);
/* wide.c. What it makes is many times larger than what it reads. */
bool stage_expands(const Stage *stage);
/* The stage with its loops in another order, and the same folders: place[k] is what loop k becomes. */
Stage stage_reordered(Plan *plan, const Stage *stage, const int *place);
/* What no cache holds and a kernel can make again is not kept for it. */
void plan_widen(Plan *plan, const TargetCosts *costs);
/* Of equivalents that later kernels could read, keeps what takes least room. */
void plan_save(Plan *plan, const TargetCosts *costs);
/* Chooses which params and states lie in panels, and cuts the loops that run along them. All entries' plans at once. */
void plans_panels(Module *module, Plan *const *plans, int count, const TargetCosts *costs);
/* What a stage costs, roughly, for one index of its first `loops` loops, at the bounds of run-time sizes. */
double stage_cycles(const Stage *stage, int loops);
/* Chooses the task loops' tiles, the loops that lanes run along, and the tiles of contractions. */
void plan_schedule(Plan *plan, const TargetCosts *costs);
/* Gives contractions that read borders of zeros a condition by which code may skip them. */
void plan_skip(Plan *plan);
/* Puts kernels into launches: as early as what they read is there and what they overwrite was read. */
void plan_order(Plan *plan);
/* Makes values again instead of keeping them, until scratch with one worker fits into so many bytes; plan->again tells
 * whether it does, and at what cost. */
void plan_recompute(Plan *plan, int64_t bytes);
/* Makes one buffer of those that take each other's place. */
void plan_share_places(Plan *plan);
void pass_memory(Plan *plan);
/* The same; `shares`: as if plan_share_places had been here. */
void plan_pack(Plan *plan, bool shares);

/* slice.c: the part of a kernel that makes the wanted buffers, and of locals (which are marked too) what these need. Made in
 * this arena; it reads the same buffers and locals. */
Kernel kernel_slice(const Plan *plan, const Kernel *from, bool *wanted, Arena *arena);
/* What of a stage goes to another, whose scalar place[k] is scalar k of the old one. */
Scalar scalar_moved(Arena *arena, const Scalar *from, const int16_t *place);
Folder folder_moved(const Folder *from, const int16_t *place);
Store store_moved(const Store *from, const int16_t *place);
/* Drops what makes buffers that nobody reads; true if there was any (of which others may be unread now). */
bool plan_drop_unread(Plan *plan);

/* lives.c. A SCATTER reads what it adds to. */
bool stage_reads(const Stage *stage, Id buffer);
bool stage_stores_to(const Stage *stage, Id buffer);
bool kernel_touches(const Kernel *kernel, Id buffer, bool (*touches)(const Stage *stage, Id buffer)); /* reads, stores to */
/* Of a plan with launches, from the first that touches a buffer to the last; -1: none does. */
typedef struct Life {
  int first, last;
} Life;
Life *plan_lives(const Plan *plan, Arena *arena);            /* by buffer */
int64_t buffer_bytes_at_bounds(const Plan *plan, Id buffer); /* at most 2^40 */
/* Alive at each launch, where values take each other's place: they count once where one ends and the other begins. */
int64_t *plan_live_bytes(const Plan *plan, const Life *lives, Arena *arena);
int64_t plan_largest_live(const Plan *plan);

/* places.c: a kernel that may make `to` in the place of `from`, where it is the last to touch it and no other kernel of its
 * launch does, nor stores to `to`. In the order of kernels. */
typedef struct TakeOver {
  int kernel;
  Id from, to;
} TakeOver;
typedef Vec(TakeOver) TakeOvers;
TakeOvers plan_take_overs(const Plan *plan, Arena *arena);
/* By buffer, the one in whose place it may be made, which ends in the launch where it begins; 0: none. */
Id *plan_places(const Plan *plan, const Life *lives, Arena *arena);
void kernel_rename_buffer(Plan *plan, Kernel *kernel, Id from, Id to);

/* What must come before what: between the kernels of a plan (by index). before(a, b): b reads what a writes, writes what
 * a reads, or writes what a writes, and a comes first in the plan's list. */
bool kernel_must_precede(const Plan *plan, int a, int b);
bool region_holds(const Plan *plan, int outer, int inner); /* inner is outer or lies in it */
/* fuse.c. Both run over the same kept loops. */
bool stages_run_alike(const Stage *first, const Stage *second);
/* Does the work of `second` (an EACH) in `first` too, at each point; with hand_over it takes what first stores from its
 * scalars, else it reads what was there before. */
void stage_append(Plan *plan, Stage *first, const Stage *second, bool hand_over);
int leading_loops(const Stage *stage); /* how many of its loops may be task loops */

/* Turns deep folds with few results into shares, made by many tasks, and a fold of these. */
void split_folds(Plan *plan, const TargetCosts *costs);

/* schedule.c: what its targets share. */
typedef struct Operands {
  const Access *a, *b;
} Operands;
Operands contract_operands(const Stage *stage);
void contract_swap(Stage *stage); /* a and b change places */
bool access_depends(const Access *access, int loop);
bool access_is_dense(const Access *access, int loop); /* neighbours along the loop lie side by side */
int64_t even_part(const Dim *extent, int64_t most);
void feed_for_cuda(Plan *plan, const TargetCosts *costs); /* feed_cuda.c */
void choose_vector(Stage *stage);
void cut_stages(Kernel *kernel, const TargetCosts *costs);  /* lanes and tiles, for a processor's tasks */
void plan_make_local(Plan *plan, const TargetCosts *costs); /* locals.c */
/* The stages' first loops are the kernel's task loops, of which `count` are used. */
void use_tasks(Kernel *kernel, int count);

#endif
