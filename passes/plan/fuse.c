/* Fewer stages, then fewer kernels.
 *
 * In: a plan whose kernels have one stage each. Folds that need not fold (windows.c) and copies that need not copy
 * (borders.c) come first. Then stages over the same kept loops that hand each other values or read the same ones become
 * one stage: what the first stored, the second takes from a register. So bias, activation and optimizer end up behind the
 * contraction that makes their operand. Then stages that agree on their leading loops, and hand each other only values of
 * the same leading indices, become one kernel: a task runs all of them over its tile, with nobody waiting between them.
 * The rows of a softmax, or a small picture's way through all convolutions, are such kernels.
 *
 * Two may be joined only if no third must run between them. `before` is kept closed under "must precede", so that this is
 * a row of it and a column. */
#include "passes/plan/plan_passes.h"

#include <string.h>

enum { SCALARS_LIMIT = 400, STAGES_LIMIT = 64, FOLDERS_LIMIT = 4 };

typedef struct Group {
  Vec(int) stages;     /* members: indices of the plan's kernels, in an order that may be executed */
  int leading;         /* how many leading loops they share; their own kept loops if there is one member */
  double shared_bytes; /* of operands that every task reads whole */
  int contractions;
  int least; /* so many leading loops they must go on to share */
  bool gone; /* joined to another */
} Group;

typedef Vec(int) Indices;

typedef struct Fusion {
  Plan *plan;
  const TargetCosts *costs;
  int count;
  uint64_t *before; /* count rows of `words`: bit b of row a: a must precede b */
  int words;
  Group *groups;
  Indices *users; /* by buffer: the kernels that read or write it, as they were at first */
  int *into;      /* by kernel: itself, or what it was joined to */
  int *seen;      /* by kernel: the last mark that it got for sharing a buffer with another */
} Fusion;

/* ---- what must precede what ---- */

static bool precedes(const Fusion *fusion, int a, int b) {
  return fusion->before[(size_t)a * fusion->words + b / 64] >> (b % 64) & 1;
}

static void set_precedes(Fusion *fusion, int a, int b) {
  fusion->before[(size_t)a * fusion->words + b / 64] |= (uint64_t)1 << (b % 64);
}

/* True if there was something in it that `to` did not have. */
static bool add_row(Fusion *fusion, int to, int from) {
  uint64_t *row = fusion->before + (size_t)to * fusion->words, *more = fusion->before + (size_t)from * fusion->words;
  uint64_t added = 0;
  for (int w = 0; w < fusion->words; w++) {
    added |= more[w] & ~row[w];
    row[w] |= more[w];
  }
  return added != 0;
}

/* Two that only write one buffer write different parts of it (concat), but for a carry: it is set before its loop, and
 * overwritten inside. */
static bool stage_must_precede(const Stage *a, const Stage *b, bool same_region) {
  for (int k = 0; k < a->stores.count; k++) {
    Id buffer = a->stores.items[k].access.buffer;
    if (stage_reads(b, buffer) || (!same_region && stage_stores_to(b, buffer))) return true;
  }
  for (int k = 0; k < b->stores.count; k++) {
    if (stage_reads(a, b->stores.items[k].access.buffer)) return true;
  }
  return false;
}

bool kernel_must_precede(const Plan *plan, int a, int b) {
  const Kernel *first = &plan->kernels.items[a], *second = &plan->kernels.items[b];
  for (int j = 0; j < first->stages.count; j++) {
    for (int k = 0; k < second->stages.count; k++) {
      bool same_region = first->region == second->region;
      if (stage_must_precede(&first->stages.items[j], &second->stages.items[k], same_region)) return true;
    }
  }
  return false;
}

/* The region of `region`'s line of parents that lies directly in `ancestor`; -1 if there is none, or if they are one. */
static int region_below(const Plan *plan, int region, int ancestor) {
  while (region > 0 && plan->regions.items[region].parent != ancestor) region = plan->regions.items[region].parent;
  return region > 0 ? region : -1;
}

bool region_holds(const Plan *plan, int outer, int inner) {
  while (inner > 0 && inner != outer) inner = plan->regions.items[inner].parent;
  return inner == outer;
}

/* The outermost region that holds kernel a but not b; -1 if that would be a alone. A loop is one step for all outside it:
 * what comes before one of its kernels comes before all. */
static int loop_apart(const Plan *plan, int a, int b) {
  int common = plan->kernels.items[a].region, other = plan->kernels.items[b].region;
  while (!region_holds(plan, common, other)) common = plan->regions.items[common].parent;
  return region_below(plan, plan->kernels.items[a].region, common);
}

static void order_all(Fusion *fusion, int a, int b) {
  int from = loop_apart(fusion->plan, a, b), to = loop_apart(fusion->plan, b, a);
  if (from < 0 && to < 0) {
    set_precedes(fusion, a, b);
    return;
  }
  for (int i = 0; i < fusion->count; i++) {
    if (i != a && (from < 0 || !region_holds(fusion->plan, from, fusion->plan->kernels.items[i].region))) continue;
    for (int j = 0; j < fusion->count; j++) {
      if (j == b || (to >= 0 && region_holds(fusion->plan, to, fusion->plan->kernels.items[j].region))) {
        set_precedes(fusion, i, j);
      }
    }
  }
}

/* The buffers that a kernel reads or writes, some of them more than once. */
static void list_buffers(const Kernel *kernel, Arena *arena, Indices *buffers) {
  buffers->count = 0;
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++)
      if (stage->scalars.items[k].op == SCALAR_LOAD) PUSH(arena, buffers, stage->scalars.items[k].access->buffer);
    for (int k = 0; k < stage->stores.count; k++) PUSH(arena, buffers, stage->stores.items[k].access.buffer);
  }
}

/* Only those that share a buffer can be ordered by it: with many kernels that is much fewer than all pairs. */
static void order_pairs(Fusion *fusion, Arena *arena) {
  Plan *plan = fusion->plan;
  Indices buffers = {0};
  fusion->users = NEW_ARRAY(plan->module->arena, Indices, plan->buffers.count);
  int *compared = NEW_ARRAY(arena, int, fusion->count); /* a: with which b it was last, plus one */
  for (int b = 0; b < fusion->count; b++) {
    list_buffers(&plan->kernels.items[b], arena, &buffers);
    for (int k = 0; k < buffers.count; k++) {
      Indices *others = &fusion->users[buffers.items[k]];
      if (others->count > 0 && others->items[others->count - 1] == b) continue;
      for (int j = 0; j < others->count; j++) {
        int a = others->items[j];
        if (compared[a] != b + 1 && kernel_must_precede(plan, a, b)) order_all(fusion, a, b);
        compared[a] = b + 1;
      }
      PUSH(plan->module->arena, others, b);
    }
  }
}

/* Marks all that share a buffer with kernel k: no others can be joined to it. */
static void mark_sharers(Fusion *fusion, Arena *arena, int k, int mark) {
  Indices buffers = {0};
  list_buffers(&fusion->plan->kernels.items[k], arena, &buffers);
  for (int i = 0; i < buffers.count; i++) {
    const Indices *users = &fusion->users[buffers.items[i]];
    for (int j = 0; j < users->count; j++) {
      int user = users->items[j];
      while (fusion->into[user] != user) user = fusion->into[user];
      fusion->seen[user] = mark;
    }
  }
}

/* From the last on, so that rows of those behind are closed; what an earlier one has brought in has brought its own. */
static void close_order(Fusion *fusion, Arena *arena) {
  order_pairs(fusion, arena);
  size_t bytes = (size_t)fusion->words * sizeof(uint64_t);
  uint64_t *direct = arena_alloc(arena, bytes);
  for (int a = fusion->count - 1; a >= 0; a--) {
    uint64_t *row = fusion->before + (size_t)a * fusion->words;
    memcpy(direct, row, bytes);
    memset(row, 0, bytes);
    for (int b = a + 1; b < fusion->count; b++) {
      if (direct[b / 64] >> (b % 64) & 1 && !precedes(fusion, a, b)) add_row(fusion, a, b);
    }
    for (int w = 0; w < fusion->words; w++) row[w] |= direct[w];
  }
}

/* No third must run between a and b, and b not before a. */
static bool may_join(const Fusion *fusion, int a, int b) {
  if (fusion->plan->kernels.items[a].region != fusion->plan->kernels.items[b].region) return false;
  if (precedes(fusion, b, a)) return false;
  for (int k = 0; k < fusion->count; k++) {
    if (k != a && k != b && !fusion->groups[k].gone && precedes(fusion, a, k) && precedes(fusion, k, b)) return false;
  }
  return true;
}

/* b becomes part of a: what either precedes, both do. */
static void join_order(Fusion *fusion, int a, int b) {
  bool grew = add_row(fusion, a, b);
  for (int k = 0; k < fusion->count; k++) {
    if (k == a || fusion->groups[k].gone) continue;
    bool first = precedes(fusion, k, a);
    if (first ? !grew : !precedes(fusion, k, b)) continue;
    set_precedes(fusion, k, a);
    add_row(fusion, k, a);
  }
  fusion->before[(size_t)a * fusion->words + a / 64] &= ~((uint64_t)1 << (a % 64));
  fusion->before[(size_t)a * fusion->words + b / 64] &= ~((uint64_t)1 << (b % 64));
  fusion->into[b] = a;
}

static Stage *stage_of(const Fusion *fusion, int k) { return &fusion->plan->kernels.items[k].stages.items[0]; }

/* ---- stages over the same loops ---- */

bool stages_run_alike(const Stage *a, const Stage *b) {
  if (a->nkept != b->nkept) return false;
  for (int k = 0; k < a->nkept; k++) {
    if (a->loops[k].extent != b->loops[k].extent) return false;
  }
  return true;
}

/* Every load of `buffer` from scalar `from` on is of the element that `store` writes at the same point. */
static bool loads_only_at(const Stage *stage, const Access *store, int from, bool *any) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || scalar->access->buffer != store->buffer) continue;
    if (k < from || !access_equal(scalar->access, store)) return false;
    *any = true;
  }
  return true;
}

/* Both only write this buffer: as stages of one region do that write different parts of it. */
static bool write_parts(const Stage *first, const Stage *second, Id buffer) {
  return stage_stores_to(second, buffer) && !stage_reads(first, buffer) && !stage_reads(second, buffer);
}

/* True if `second` may run at each point right after `first` did: what either overwrites, the other touches only there. */
static bool points_agree(const Stage *first, const Stage *second, bool *related) {
  bool anti = false;
  for (int k = 0; k < first->stores.count; k++) {
    const Access *store = &first->stores.items[k].access;
    if (write_parts(first, second, store->buffer)) continue;
    if (stage_stores_to(second, store->buffer)) return false;
    if (!loads_only_at(second, store, second->kind == STAGE_EACH ? 0 : second->after, related)) return false;
  }
  for (int k = 0; k < second->stores.count; k++) {
    int from = first->kind == STAGE_EACH ? 0 : first->after;
    if (!loads_only_at(first, &second->stores.items[k].access, from, &anti)) return false;
  }
  return true;
}

/* Scalars from..to of `first` and the first `end` of `second` read the same element of something that is not a number for all
 * points. */
static bool shares_a_load(const Stage *first, int from, int to, const Stage *second, int end) {
  for (int j = from; j < to; j++) {
    const Scalar *a = &first->scalars.items[j];
    if (a->op != SCALAR_LOAD) continue;
    for (int k = 0; k < end; k++) {
      const Scalar *b = &second->scalars.items[k];
      if (b->op == SCALAR_LOAD && access_equal(a->access, b->access)) return true;
    }
  }
  return false;
}

/* The scalar of `first` that holds what `load` would read, or -1. */
static int stored_scalar(const Stage *first, const Access *load) {
  for (int k = 0; k < first->stores.count; k++) {
    if (access_equal(&first->stores.items[k].access, load)) return first->stores.items[k].value;
  }
  return -1;
}

/* Scalars begin..end of `second`, which becomes part of `first`. Folders of `second` are numbered from `folders` on. */
static void append_scalars(Plan *plan, Stage *first, const Stage *second, int begin, int end, int folders, bool hand_over,
                           int *renamed) {
  for (int k = begin; k < end; k++) {
    Scalar scalar = second->scalars.items[k];
    if (scalar.op == SCALAR_LOAD) {
      int value = hand_over ? stored_scalar(first, scalar.access) : -1;
      if (value >= 0) {
        renamed[k] = value;
        continue;
      }
      Access *access = arena_copy(plan->module->arena, scalar.access, sizeof *access);
      for (int a = 0; a < MAX_RANK; a++) {
        if (access->index[a] >= 0) access->index[a] = (int16_t)renamed[access->index[a]];
      }
      scalar.access = access;
    }
    if (scalar.a >= 0) scalar.a = (int16_t)renamed[scalar.a];
    if (scalar.b >= 0) scalar.b = (int16_t)renamed[scalar.b];
    if (scalar.c >= 0) scalar.c = (int16_t)renamed[scalar.c];
    if (scalar.op == SCALAR_FOLDED) scalar.index = (int16_t)(scalar.index + folders);
    renamed[k] = stage_scalar(plan, first, scalar);
  }
}

static void append_stores(Plan *plan, Stage *first, const Stage *second, const int *renamed) {
  for (int k = 0; k < second->stores.count; k++) {
    Store store = second->stores.items[k];
    store.value = (int16_t)renamed[store.value];
    PUSH(plan->module->arena, &first->stores, store);
  }
}

void stage_append(Plan *plan, Stage *first, const Stage *second, bool hand_over) {
  int *renamed = NEW_ARRAY(plan->module->arena, int, second->scalars.count + 1);
  if (first->kind == STAGE_EACH) first->after = 0;
  append_scalars(plan, first, second, 0, second->scalars.count, 0, hand_over, renamed);
  if (first->kind == STAGE_EACH) first->after = first->scalars.count;
  append_stores(plan, first, second, renamed);
}

static void append_folders(Plan *plan, Stage *joined, const Stage *stage, const int *renamed) {
  for (int k = 0; k < stage->folders.count; k++) {
    Folder folder = stage->folders.items[k];
    folder.value = (int16_t)renamed[folder.value];
    if (folder.when >= 0) folder.when = (int16_t)renamed[folder.when];
    PUSH(plan->module->arena, &joined->folders, folder);
  }
}

/* Two folds over the same loops fold side by side; behind them, `second` takes what `first` stored from its scalars. */
static void fold_append(Plan *plan, Stage *first, const Stage *second) {
  int *renamed[2] = {NEW_ARRAY(plan->module->arena, int, first->scalars.count + 1),
                     NEW_ARRAY(plan->module->arena, int, second->scalars.count + 1)};
  const Stage old = *first, *parts[2] = {&old, second};
  memset(&first->scalars, 0, sizeof first->scalars);
  memset(&first->folders, 0, sizeof first->folders);
  memset(&first->stores, 0, sizeof first->stores);
  first->after = 0;
  for (int k = 0; k < 2; k++) append_scalars(plan, first, parts[k], 0, parts[k]->after, 0, false, renamed[k]);
  for (int k = 0; k < 2; k++) append_folders(plan, first, parts[k], renamed[k]);
  first->after = first->scalars.count;
  for (int k = 0; k < 2; k++) {
    int folders = k == 0 ? 0 : old.folders.count;
    append_scalars(plan, first, parts[k], parts[k]->after, parts[k]->scalars.count, folders, k == 1, renamed[k]);
    append_stores(plan, first, parts[k], renamed[k]);
  }
}

/* Two folds whose folded loops agree too, and that read something together. */
static bool folds_agree(const Stage *first, const Stage *second) {
  if (first->kind != STAGE_FOLD || first->nloops != second->nloops) return false;
  if (first->folders.count + second->folders.count > FOLDERS_LIMIT) return false;
  for (int k = first->nkept; k < first->nloops; k++) {
    if (first->loops[k].extent != second->loops[k].extent) return false;
  }
  return shares_a_load(first, 0, first->after, second, second->after);
}

static bool try_join_stages(Fusion *fusion, int a, int b) {
  Stage *first = stage_of(fusion, a);
  const Stage *second = stage_of(fusion, b);
  bool related = false;
  bool points = second->kind == STAGE_EACH &&
                (first->kind == STAGE_EACH || first->kind == STAGE_FOLD || first->kind == STAGE_CONTRACT);
  bool folds = second->kind == STAGE_FOLD && folds_agree(first, second);
  if ((!points && !folds) || !stages_run_alike(first, second)) return false;
  if (first->scalars.count + second->scalars.count > SCALARS_LIMIT) return false;
  if (!points_agree(first, second, &related)) return false;
  int from = first->kind == STAGE_EACH ? 0 : first->after;
  if (points && !related && !shares_a_load(first, from, first->scalars.count, second, second->scalars.count)) return false;
  if (!may_join(fusion, a, b)) return false;
  if (folds)
    fold_append(fusion->plan, first, second);
  else
    stage_append(fusion->plan, first, second, true);
  join_order(fusion, a, b);
  fusion->groups[b].gone = true;
  Kernel *kernel = &fusion->plan->kernels.items[a], *other = &fusion->plan->kernels.items[b];
  for (int k = 0; k < other->places.count; k++) PUSH(fusion->plan->module->arena, &kernel->places, other->places.items[k]);
  return true;
}

/* Later stages are tried against the nearest one first: mostly it made their operand. What they made together may have had
 * other operands from stages before. */
static void join_stages(Fusion *fusion, Arena *arena) {
  for (int b = 1; b < fusion->count; b++) {
    if (fusion->groups[b].gone) continue;
    int joined = b;
    mark_sharers(fusion, arena, b, b);
    for (int a = b - 1; a >= 0; a--) {
      if (fusion->groups[a].gone || fusion->seen[a] != b || !try_join_stages(fusion, a, joined)) continue;
      joined = a;
      mark_sharers(fusion, arena, a, b);
    }
  }
}

/* Stores that nobody reads any more: their readers took the register. */
static void drop_dead_stores(Fusion *fusion) {
  Plan *plan = fusion->plan;
  bool *read = NEW_ARRAY(plan->module->arena, bool, plan->buffers.count);
  for (int k = 0; k < fusion->count; k++) {
    const Stage *stage = stage_of(fusion, k);
    for (int s = 0; !fusion->groups[k].gone && s < stage->scalars.count; s++) {
      if (stage->scalars.items[s].op == SCALAR_LOAD) read[stage->scalars.items[s].access->buffer] = true;
    }
  }
  for (int k = 0; k < fusion->count; k++) {
    Stage *stage = stage_of(fusion, k);
    int kept = 0;
    for (int s = 0; s < stage->stores.count; s++) {
      Id buffer = stage->stores.items[s].access.buffer;
      if (plan->buffers.items[buffer].memory != MEMORY_ARENA || read[buffer]) {
        stage->stores.items[kept++] = stage->stores.items[s];
      }
    }
    stage->stores.count = kept;
    if (kept == 0) fusion->groups[k].gone = true;
  }
}

/* ---- stages with the same leading loops ---- */

/* How many leading axes of an access are the bare leading loops, whole and in order. */
static int leading_axes(const Plan *plan, const Stage *stage, const Access *access, int at_most) {
  const Type *own = &plan->buffers.items[access->buffer].type;
  int t = 0;
  while (t < at_most && t < access->as.rank && t < own->rank && access->as.size[t] == own->size[t] &&
         access->as.size[t] == stage->loops[t].extent && access->index[t] < 0 && axis_is_bare(&access->map.axis[t], t)) {
    t++;
  }
  return t;
}

/* The leading axes by which all accesses of `stage` to `buffer` are its leading loops. */
static int leading_in(const Plan *plan, const Stage *stage, Id buffer, int at_most) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op == SCALAR_LOAD && scalar->access->buffer == buffer) {
      at_most = leading_axes(plan, stage, scalar->access, at_most);
    }
  }
  for (int k = 0; k < stage->stores.count; k++) {
    const Access *store = &stage->stores.items[k].access;
    if (store->buffer == buffer) at_most = leading_axes(plan, stage, store, at_most);
  }
  return at_most;
}

/* How stages are related: one reads what the other writes, or both write parts of one buffer. */
enum { HANDED = 1, PARTS = 2 };

/* How many leading loops two stages can share, given what they hand each other. */
static int common_leading(const Plan *plan, const Stage *a, const Stage *b, int at_most, int *related) {
  at_most = MIN(at_most, MIN(a->nkept, b->nkept));
  int t = 0;
  while (t < at_most && a->loops[t].extent == b->loops[t].extent) t++;
  for (int side = 0; side < 2; side++) {
    const Stage *writer = side == 0 ? a : b, *other = side == 0 ? b : a;
    for (int k = 0; k < writer->stores.count; k++) {
      Id buffer = writer->stores.items[k].access.buffer;
      if (!stage_reads(other, buffer) && !stage_stores_to(other, buffer)) continue;
      *related |= write_parts(writer, other, buffer) ? PARTS : HANDED;
      t = MIN(leading_in(plan, writer, buffer, t), leading_in(plan, other, buffer, t));
    }
  }
  return t;
}

/* Bytes, at the bounds, of what a contraction reads whole in every task: operands without the leading loop. */
static double shared_bytes(const Plan *plan, const Stage *stage) {
  double bytes = 0;
  if (stage->kind != STAGE_CONTRACT) return 0;
  for (int k = 0; k < stage->after; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || leading_axes(plan, stage, scalar->access, 1) > 0) continue;
    bytes += (double)type_count(plan->module, &scalar->access->as)->high * 4;
  }
  return bytes;
}

/* A sort or running sum needs its last loop whole. */
int leading_loops(const Stage *stage) {
  bool whole = stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM;
  return whole ? stage->nkept - 1 : stage->nkept;
}

bool stage_stays_alone(const Stage *stage, int leading, const TargetCosts *costs) {
  enum { TASKS_ENOUGH = 32 };
  double tasks = 1;
  for (int k = 0; k < leading; k++) tasks *= (double)stage->loops[k].extent->low;
  if (costs->alone_cycles <= 0 || tasks >= TASKS_ENOUGH || leading >= leading_loops(stage)) return false;
  return stage_cycles(stage, leading) > costs->alone_cycles;
}

/* Too short to be cut any further. */
static bool are_short(const Fusion *fusion, const Group *group, int leading) {
  for (int k = 0; k < group->stages.count; k++) {
    if (stage_cycles(stage_of(fusion, group->stages.items[k]), leading) > fusion->costs->task_cycles) return false;
  }
  return true;
}

static bool stays_alone(const Fusion *fusion, const Group *group, int leading) {
  for (int k = 0; k < group->stages.count; k++) {
    if (stage_stays_alone(stage_of(fusion, group->stages.items[k]), leading, fusion->costs)) return true;
  }
  return false;
}

/* What a stage stores of one array for one index of its first `leading` loops, at most. */
static double bytes_of_index(const Stage *stage, int leading) {
  double bytes = 4;
  for (int k = leading; k < stage->nkept; k++) bytes *= (double)stage->loops[k].extent->high;
  return bytes;
}

/* True if tasks along these loops alone would have more of a wide buffer than stays with a task, and those of the group alone
 * have not: a buffer that is made of little, as only such a one need not come from memory. */
static bool would_spill(const Fusion *fusion, const Group *group, int leading) {
  const Plan *plan = fusion->plan;
  double most = (double)fusion->costs->local_bytes;
  if (fusion->costs->wide_bytes <= 0) return false;
  for (int j = 0; j < group->stages.count; j++) {
    const Stage *stage = stage_of(fusion, group->stages.items[j]);
    if (!stage_expands(stage) || bytes_of_index(stage, leading) <= most || bytes_of_index(stage, group->leading) > most)
      continue;
    for (int s = 0; s < stage->stores.count; s++) {
      Id id = stage->stores.items[s].access.buffer;
      bool arena = plan->buffers.items[id].memory == MEMORY_ARENA;
      if (arena && buffer_bytes_at_bounds(plan, id) >= fusion->costs->wide_bytes) return true;
    }
  }
  return false;
}

static bool try_join_groups(Fusion *fusion, int a, int b, int least) {
  Group *first = &fusion->groups[a], *second = &fusion->groups[b];
  int related = 0, leading = MIN(first->leading, second->leading);
  if (first->stages.count + second->stages.count > STAGES_LIMIT) return false;
  for (int j = 0; j < first->stages.count && leading > 0; j++) {
    for (int k = 0; k < second->stages.count && leading > 0; k++) {
      leading = common_leading(fusion->plan, stage_of(fusion, first->stages.items[j]),
                               stage_of(fusion, second->stages.items[k]), leading, &related);
    }
  }
  double bytes = first->shared_bytes + second->shared_bytes;
  if (leading == 0 || !related || bytes > (double)fusion->costs->shared_bytes) return false;
  if (related == PARTS && (!are_short(fusion, first, leading) || !are_short(fusion, second, leading))) return false;
  if (stays_alone(fusion, first, leading) || stays_alone(fusion, second, leading)) return false;
  if (would_spill(fusion, first, leading) || would_spill(fusion, second, leading)) return false;
  if (leading < MAX(least, MAX(first->least, second->least))) return false;
  int contractions = first->contractions + second->contractions;
  if (fusion->costs->contractions > 0 && contractions > fusion->costs->contractions) return false;
  if (!may_join(fusion, a, b)) return false;
  for (int k = 0; k < second->stages.count; k++) {
    PUSH(fusion->plan->module->arena, &first->stages, second->stages.items[k]);
  }
  first->leading = leading;
  first->shared_bytes = bytes;
  first->contractions = contractions;
  first->least = MAX(least, MAX(first->least, second->least));
  join_order(fusion, a, b);
  second->gone = true;
  return true;
}

/* Bytes, at the bounds, of one index of the leading loops of what `a` hands `b`. */
static double handed_bytes(const Plan *plan, const Stage *a, const Stage *b, int leading) {
  double bytes = 0;
  for (int k = 0; k < a->stores.count; k++) {
    const Type *type = &plan->buffers.items[a->stores.items[k].access.buffer].type;
    if (!stage_reads(b, a->stores.items[k].access.buffer)) continue;
    double own = 4;
    for (int axis = leading; axis < type->rank; axis++) own *= (double)type->size[axis]->high;
    bytes = MAX(bytes, own);
  }
  return bytes;
}

/* What a contraction takes from a stage or hands it may fit a task's own memory if they share several loops, and not if they
 * share one, as all with the same batch do. Such stages are joined first, and stay so. */
static bool are_close(const Fusion *fusion, const Stage *first, const Stage *second, int *leading) {
  int related = 0;
  double room = (double)fusion->costs->local_bytes / 2;
  if ((first->kind == STAGE_CONTRACT) == (second->kind == STAGE_CONTRACT)) return false;
  *leading = common_leading(fusion->plan, first, second, MAX_LOOPS, &related);
  return related == HANDED && *leading > 1 && handed_bytes(fusion->plan, first, second, 1) > room &&
         handed_bytes(fusion->plan, first, second, *leading) <= room;
}

static void join_close(Fusion *fusion) {
  int *group = NEW_ARRAY(fusion->plan->module->arena, int, fusion->count), leading;
  for (int b = 0; b < fusion->count; b++) {
    group[b] = b;
    for (int a = b - 1; a >= 0; a--) {
      if (fusion->groups[group[a]].gone || fusion->groups[group[b]].gone || group[a] == group[b]) continue;
      if (!are_close(fusion, stage_of(fusion, a), stage_of(fusion, b), &leading)) continue;
      if (try_join_groups(fusion, group[a], group[b], leading)) group[b] = group[a];
    }
  }
}

static void join_groups(Fusion *fusion, Arena *arena) {
  for (int b = 1; b < fusion->count; b++) {
    const Group *group = &fusion->groups[b];
    for (int k = 0; !group->gone && k < group->stages.count; k++) mark_sharers(fusion, arena, group->stages.items[k], -b);
    for (int a = b - 1; a >= 0 && !group->gone; a--) {
      if (!fusion->groups[a].gone && fusion->seen[a] == -b) try_join_groups(fusion, a, b, 1);
    }
  }
}

/* ---- the new list of kernels ---- */

/* The heaviest stage names the kernel. */
static double stage_weight(const Stage *stage) {
  double points = stage->kind == STAGE_CONTRACT ? 4 : 1;
  for (int k = 0; k < stage->nloops; k++) points *= (double)stage->loops[k].extent->high;
  return points;
}

static Kernel joined_kernel(const Fusion *fusion, const Group *group) {
  const Plan *plan = fusion->plan;
  int heaviest = group->stages.items[0];
  for (int k = 1; k < group->stages.count; k++) {
    int other = group->stages.items[k];
    if (stage_weight(stage_of(fusion, other)) > stage_weight(stage_of(fusion, heaviest))) heaviest = other;
  }
  Kernel kernel = {.name = plan->kernels.items[heaviest].name, .place = plan->kernels.items[heaviest].place};
  for (int k = 0; k < group->stages.count; k++) {
    const Kernel *part = &plan->kernels.items[group->stages.items[k]];
    PUSH(plan->module->arena, &kernel.stages, part->stages.items[0]);
    for (int p = 0; p < part->places.count; p++) PUSH(plan->module->arena, &kernel.places, part->places.items[p]);
  }
  kernel.region = plan->kernels.items[heaviest].region;
  kernel.ntasks = group->leading;
  for (int k = 0; k < group->leading; k++) kernel.tasks[k] = kernel.stages.items[0].loops[k];
  return kernel;
}

/* Members in an order that may be executed: the closed order was kept for groups, so stages are ordered among themselves by
 * what they read and write and, where that says nothing, by their place in the list. */
static void sort_members(Fusion *fusion, Group *group) {
  for (int k = 1; k < group->stages.count; k++) {
    for (int j = k; j > 0 && group->stages.items[j - 1] > group->stages.items[j]; j--) {
      int swap = group->stages.items[j];
      group->stages.items[j] = group->stages.items[j - 1];
      group->stages.items[j - 1] = swap;
    }
  }
  /* A stage that took another in may have to come later than its place says. */
  for (int k = 0; k < group->stages.count; k++) {
    int pick = -1;
    for (int j = k; j < group->stages.count && pick < 0; j++) {
      bool ready = true;
      for (int i = k; i < group->stages.count && ready; i++) {
        ready = i == j || !precedes(fusion, group->stages.items[i], group->stages.items[j]);
      }
      if (ready) pick = j;
    }
    if (pick < 0) bug("no order for the stages of a kernel");
    int stage = group->stages.items[pick];
    memmove(group->stages.items + k + 1, group->stages.items + k, (size_t)(pick - k) * sizeof stage);
    group->stages.items[k] = stage;
  }
}

/* Groups in an order that may be executed. `order` is the stages' order as it was before groups were joined. */
static void rebuild(Fusion *fusion, const uint64_t *stage_order) {
  Plan *plan = fusion->plan;
  Vec(Kernel) kernels = {0};
  bool *done = NEW_ARRAY(plan->module->arena, bool, fusion->count);
  uint64_t *group_order = fusion->before;
  fusion->before = (uint64_t *)stage_order;
  for (int k = 0; k < fusion->count; k++) {
    if (!fusion->groups[k].gone) sort_members(fusion, &fusion->groups[k]);
  }
  fusion->before = group_order;
  for (;;) {
    int pick = -1;
    bool left = false;
    for (int k = 0; k < fusion->count && pick < 0; k++) {
      if (fusion->groups[k].gone || done[k]) continue;
      left = true;
      bool ready = true;
      for (int i = 0; i < fusion->count && ready; i++) {
        ready = fusion->groups[i].gone || done[i] || i == k || !precedes(fusion, i, k);
      }
      if (ready) pick = k;
    }
    if (!left) break;
    if (pick < 0) bug("no order for the kernels of %s", plan->graph->name);
    done[pick] = true;
    PUSH(plan->module->arena, &kernels, joined_kernel(fusion, &fusion->groups[pick]));
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
}

void plan_fuse(Plan *plan, const TargetCosts *target, bool close) {
  TargetCosts own = *target, *costs = &own;
  if (plan->graph->finals.count == 0) own.alone_cycles = own.alone_inference;
  plan_windows(plan);
  plan_borders(plan, costs);
  int count = plan->kernels.count;
  Fusion fusion = {.plan = plan, .costs = costs, .count = count, .words = (count + 63) / 64};
  size_t bytes = (size_t)count * (size_t)fusion.words * sizeof(uint64_t);
  if (count == 0) return;
  fusion.before = arena_alloc(plan->module->arena, bytes);
  fusion.groups = NEW_ARRAY(plan->module->arena, Group, count);
  fusion.seen = NEW_ARRAY(plan->module->arena, int, count);
  fusion.into = NEW_ARRAY(plan->module->arena, int, count);
  for (int k = 0; k < count; k++) fusion.into[k] = k;
  Arena *arena = arena_new();
  close_order(&fusion, arena);
  join_stages(&fusion, arena);
  drop_dead_stores(&fusion);
  for (int k = 0; k < count; k++) {
    const Stage *stage = stage_of(&fusion, k);
    PUSH(plan->module->arena, &fusion.groups[k].stages, k);
    fusion.groups[k].leading = leading_loops(stage);
    fusion.groups[k].shared_bytes = shared_bytes(plan, stage);
    fusion.groups[k].contractions = stage->kind == STAGE_CONTRACT;
  }
  const uint64_t *stage_order = arena_copy(plan->module->arena, fusion.before, bytes);
  if (close) join_close(&fusion);
  join_groups(&fusion, arena);
  arena_free(arena);
  rebuild(&fusion, stage_order);
  /* Where stages of a task wait for each other's threads, four sides are more waiting than one copy. */
  if (costs->locals_share) plan_borders_of_tasks(plan);
}
