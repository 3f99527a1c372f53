/* The passes over graphs and plans, and the one loop that runs them. See passes.def for the table. */
#ifndef NNC_PASSES_H
#define NNC_PASSES_H

#include "ir/ir.h"

/* ---- graph passes: each replaces entries of the module by better ones that mean the same ---- */

/* Expands every grad node into ordinary ops, by the rules of the table; scans get a reverse scan. Reports a loss that
 * does not reach what it is differentiated by (error at the grad node's place). */
void pass_grad(Module *module);
void pass_fold(Module *module); /* constants folded; x+0, x*1, views of views, casts to the same: gone */
void pass_cse(Module *module);  /* equal nodes become one */
void pass_dead(Module *module); /* what no result, final or check needs is gone */
/* Loops: a reverse scan takes products from the forward scan's yields; products are cut where their parts belong to different
 * places; products that are ahead of a loop move in front of it, sums of products that it carries behind it. */
void pass_reuse(Module *module);
void pass_split(Module *module);
void pass_hoist(Module *module);
void pass_stack(Module *module);
/* Chooses in which order the axes of pictures and of convolutions' kernels lie in memory. */
void pass_layout(Module *module);
/* Convolutions by fewer multiplications and larger errors: for each as pays best, or all that can be by tiles of 2 or 4. */
typedef enum FastConv { FAST_CONV_NONE, FAST_CONV_BEST, FAST_CONV_2, FAST_CONV_4 } FastConv;
void pass_winograd(Module *module, FastConv fast);
/* By tiles of how many results each way it would compute this node; 0: as ever. */
int fast_conv_tile(const Graph *graph, const Node *node, FastConv fast);
/* How many times the direct way's rounding error is to be expected in what such tiles compute; 1 for 0. */
double fast_conv_error(int tile);
/* Brings contracts into the form that lowering wants: every operand is read linearly and inside (padding and dilation are
 * written out by a view that gets memory), and some loop is such that lanes can run along it. */
void pass_linear(Module *module);

/* ---- the pipeline ---- */

typedef enum Pass {
#define PASS(name, on, why) PASS_##name,
#include "passes/passes.def"
  PASS_COUNT
} Pass;
typedef struct PassInfo {
  const char *name, *why;
  bool on_plans;
} PassInfo;
extern const PassInfo pass_info[PASS_COUNT];
Pass pass_by_name(const char *name); /* PASS_COUNT if there is none */

struct Plan;
struct TargetCosts;
extern const struct TargetCosts default_costs; /* what the passes must know of a target */
extern const struct TargetCosts *const cuda_costs[PRECISION_COUNT];
/* Told after a pass what it left: all entries' graphs in the module, and from `lower` on their plans. */
typedef void (*PassHook)(void *user, Module *module, Pass pass, struct Plan *const *plans);
typedef struct PipelineOptions {
  int64_t memory;     /* --mem: what an entry's scratch may take with one worker, at the bounds; 0: what it wants */
  int64_t zone;       /* --sanitize address: so many bytes behind each buffer are nobody's */
  bool unfused;       /* --no-fuse: each op its own kernel */
  FastConv fast_conv; /* --fast-conv */
  bool verify;        /* check after every pass; a fault is a bug() that names the pass */
  Pass stop_after;    /* PASS_COUNT: none */
  Pass dump;          /* PASS_COUNT: none; printed to `out` after it */
  bool time;          /* seconds of each pass to `out` */
  FILE *out;
  const struct TargetCosts *costs; /* NULL: default_costs */
  Pass interpret_after;            /* whose graphs are what the interpreter runs */
  PassHook hook;                   /* after each pass; NULL: none */
  void *hook_user;
} PipelineOptions;
extern const PipelineOptions default_pipeline;
/* Runs the passes on all entries. plans (one for each entry) is set if `lower` was reached. False if there were errors,
 * which are in the module's diagnostics. interpreted, if not NULL, is set to the graphs that the interpreter
 * runs (one for each entry). */
bool pipeline_run(Module *module, const PipelineOptions *options, struct Plan ***plans, Graph ***interpreted);
/* The same from this pass on; where it is one on plans, they come in. */
bool pipeline_resume(Module *module, const PipelineOptions *options, Pass from, struct Plan ***plans, Graph ***interpreted);

/* ---- what passes are made of ---- */

/* A copy of a graph with a chance to replace each node: `rule` may build other nodes into `to` and return their Id, or
 * return 0 to have the node copied. The frame of most graph passes. Bodies of scans are rewritten too, innermost first. */
typedef Id (*RewriteRule)(Graph *to, const Graph *from, Id id, const Id *renamed, void *user);
Graph *graph_rewrite(const Graph *graph, RewriteRule rule, void *user);
/* Copies all of `from`'s nodes into `to`, its arg nodes replaced by arguments (by parameter index); renamed (from's node
 * count long) is filled. How a scan's body is inlined into another. */
void graph_inline(Graph *to, const Graph *from, const Id *arguments, Id *renamed);

#endif
