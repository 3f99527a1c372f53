/* What is kept for later is what takes least room.
 *
 * A training step's backward part reads, long after, what the forward part made. Often it need not be that value:
 *
 * - What a few cheap operations make of what is kept anyway, at the same point, the later reader makes so (a value less its
 *   mean, or times a constant).
 * - What is only compared with a number, always the same, is kept as the answer: a bool (the gradient of relu asks where its
 *   output was above 0).
 *
 * Then the value ends with its last reader that needs it whole; where there is none outside of its kernel, it stays with a
 * task. As long as it would be in a cache for its reader it is left as it is, and so it is where the most that is alive at
 * once would not be less: where a gradient can take its place, an answer beside that gradient may be more.
 *
 * In: fused kernels, in an order that may be executed. Bits stay the same, since the operations do. */
#include "passes/plan/lowering.h"

#include <string.h>

enum { CHEAP = 8 };  /* of roots.c's units: what is worth a store and two loads there, too */
enum { SMALL = 16 }; /* what is so many times smaller than another thing is nothing beside it */

typedef struct User {
  int kernel, stage;
} User;
typedef Vec(User) Users;

typedef struct Saving {
  Plan *plan;
  const TargetCosts *costs;
  Arena *arena;
  Id count;                /* of buffers that were there: others are answers */
  int64_t *bytes;          /* by buffer, at the bounds */
  Users *readers, *makers; /* by buffer */
  Life *lives;             /* by buffer, in kernels */
  Id *heir;                /* by buffer: what is made in its place when it ends; 0: nothing */
  int64_t *live;           /* by kernel: bytes alive */
  int64_t most;            /* the largest of these */
  double *made;            /* by kernel: bytes that all before it make */
  /* the value that is looked at */
  Id buffer;
  int kernel, stage;   /* where it is made */
  Store store;         /* by which */
  int axis[MAX_LOOPS]; /* of the value, by kept loop of that stage */
} Saving;

/* A load of the value, elsewhere. */
typedef struct Reading {
  int kernel, stage, scalar;
} Reading;
typedef Vec(Reading) Readings;

static Stage *stage_at(const Saving *own, int kernel, int stage) {
  return &own->plan->kernels.items[kernel].stages.items[stage];
}

static Stage *maker_of(const Saving *own) { return stage_at(own, own->kernel, own->stage); }

/* ---- what is known of a plan ---- */

static void list_users(Saving *own) {
  const Plan *plan = own->plan;
  for (Id id = 1; id < own->count; id++) own->bytes[id] = buffer_bytes_at_bounds(plan, id);
  for (int k = 0; k < plan->kernels.count; k++) {
    own->made[k + 1] = own->made[k];
    for (int s = 0; s < plan->kernels.items[k].stages.count; s++) {
      const Stage *stage = stage_at(own, k, s);
      for (int j = 0; j < stage->stores.count; j++) {
        Id id = stage->stores.items[j].access.buffer;
        PUSH(own->arena, &own->makers[id], ((User){k, s}));
        own->made[k + 1] += (double)own->bytes[id];
      }
      for (int j = 0; j < stage->scalars.count; j++) {
        const Scalar *scalar = &stage->scalars.items[j];
        Users *readers = scalar->op == SCALAR_LOAD ? &own->readers[scalar->access->buffer] : NULL;
        const User *last = readers && readers->count ? &readers->items[readers->count - 1] : NULL;
        if (readers && !(last && last->kernel == k && last->stage == s)) PUSH(own->arena, readers, ((User){k, s}));
      }
    }
  }
}

/* As if kernels ran one by one. */
static void list_lives(Saving *own) {
  Plan *plan = own->plan;
  for (int k = 0; k < plan->kernels.count; k++)
    PUSH(plan->module->arena, &plan->launches, ((Launch){.kind = LAUNCH_KERNELS, .first = k, .count = 1}));
  own->lives = plan_lives(plan, own->arena);
  own->live = plan_live_bytes(plan, own->lives, own->arena);
  const Id *over = plan_places(plan, own->lives, own->arena);
  for (Id id = 1; id < plan->buffers.count; id++)
    if (over[id]) own->heir[over[id]] = id;
  for (int k = 0; k < plan->kernels.count; k++) own->most = MAX(own->most, own->live[k]);
  plan->launches.count = 0;
}

/* ---- a value, and who reads it ---- */

/* True if one stage makes it, from what it has at each point. */
static bool find_maker(Saving *own) {
  const Users *makers = &own->makers[own->buffer];
  if (makers->count != 1) return false;
  own->kernel = makers->items[0].kernel, own->stage = makers->items[0].stage;
  const Stage *stage = maker_of(own);
  for (int k = 0; k < stage->stores.count; k++)
    if (stage->stores.items[k].access.buffer == own->buffer) own->store = stage->stores.items[k];
  return true;
}

/* Each axis of the value is a loop of its maker, or of size 1; gives which. */
static bool find_axes(Saving *own) {
  const Stage *stage = maker_of(own);
  const Type *type = &own->plan->buffers.items[own->buffer].type;
  if (stage->kind == STAGE_SCATTER || stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM) return false;
  if (!type_equal(&own->store.access.as, type)) return false;
  for (int k = 0; k < stage->nkept; k++) own->axis[k] = -1;
  for (int k = 0; k < type->rank; k++) {
    const Axis *axis = &own->store.access.map.axis[k];
    if (own->store.access.index[k] >= 0) return false;
    if (axis->nterms == 0 && dim_is(type->size[k], 1)) continue;
    if (axis->nterms != 1 || !axis_is_bare(axis, axis->dim[0]) || own->axis[axis->dim[0]] >= 0) return false;
    if (stage->loops[axis->dim[0]].extent != type->size[k]) return false;
    own->axis[axis->dim[0]] = k;
  }
  for (int k = 0; k < stage->nkept; k++)
    if (own->axis[k] < 0) return false;
  return true;
}

static Readings readings_of(const Saving *own) {
  Readings readings = {0};
  const Users *readers = &own->readers[own->buffer];
  for (int k = 0; k < readers->count; k++) {
    const User *user = &readers->items[k];
    const Stage *stage = stage_at(own, user->kernel, user->stage);
    for (int j = 0; user->kernel != own->kernel && j < stage->scalars.count; j++)
      if (stage->scalars.items[j].op == SCALAR_LOAD && stage->scalars.items[j].access->buffer == own->buffer)
        PUSH(own->arena, &readings, ((Reading){user->kernel, user->stage, j}));
  }
  return readings;
}

static double points_at_bounds(const Stage *stage, int loops) {
  double points = 1;
  for (int k = 0; k < loops; k++) points *= (double)stage->loops[k].extent->high;
  return points;
}

/* True if this reads each element once or so, at a point that is known, and might as well compute it. */
static bool reads_plainly(const Saving *own, const Reading *reading) {
  const Stage *stage = stage_at(own, reading->kernel, reading->stage);
  const Access *access = stage->scalars.items[reading->scalar].access;
  const Type *type = &own->plan->buffers.items[own->buffer].type;
  bool folded = stage->kind != STAGE_EACH && reading->scalar < stage->after;
  if (stage->kind != STAGE_EACH && stage->kind != STAGE_FOLD && (stage->kind != STAGE_CONTRACT || folded)) return false;
  if (!type_equal(&access->as, type) || !access_always_inside(own->plan, stage, access)) return false;
  for (int k = 0; k < type->rank; k++)
    if (access->map.axis[k].divisor != 1) return false;
  double points = points_at_bounds(stage, folded ? stage->nloops : stage->nkept);
  return points <= 2 * points_at_bounds(maker_of(own), maker_of(own)->nkept);
}

/* ---- is it worth it ---- */

/* What alive would be at kernel k if the value ended at `last` (its own kernel: if it stayed with a task) and an answer of
 * so many bytes were kept in its place. */
static int64_t live_without(const Saving *own, int k, int last, int64_t answer) {
  const Life *life = &own->lives[own->buffer];
  int64_t bytes = own->bytes[own->buffer], live = own->live[k];
  if (k < life->first || k > life->last) return live;
  if (k > last || last == own->kernel) live -= bytes;
  if (k == life->last && own->heir[own->buffer]) live += bytes;
  return live + answer;
}

/* What a task has of the value then is not for nothing either. */
static bool is_better(const Saving *own, int last, int64_t answer) {
  int64_t most = 0, part = last > own->kernel ? 0 : MIN(own->bytes[own->buffer], own->costs->local_bytes);
  for (int k = 0; k < own->plan->kernels.count; k++) most = MAX(most, live_without(own, k, last, answer));
  return most <= own->most && part <= MAX(own->most - most, most / SMALL);
}

static void note_change(Saving *own, int last, int64_t answer) {
  own->most = 0;
  for (int k = 0; k < own->plan->kernels.count; k++) {
    own->live[k] = live_without(own, k, last, answer);
    own->most = MAX(own->most, own->live[k]);
  }
  own->lives[own->buffer].last = last;
  own->heir[own->buffer] = 0;
}

/* Leaves those readings that lie behind the last that can't be changed, and gives where that is: the value's own kernel, if
 * all can. False if nothing is won: there are none, or the value is still in a cache for them. */
static bool keep_late(const Saving *own, Readings *readings, const bool *can, int *last) {
  int kept = 0, first = own->plan->kernels.count;
  *last = own->kernel;
  for (int k = 0; k < readings->count; k++)
    if (!can[k]) *last = MAX(*last, readings->items[k].kernel);
  for (int k = 0; k < readings->count; k++) {
    if (readings->items[k].kernel <= *last) continue;
    first = MIN(first, readings->items[k].kernel);
    readings->items[kept++] = readings->items[k];
  }
  readings->count = kept;
  if (kept == 0 || *last == own->kernel) return kept > 0;
  return own->made[first] - own->made[*last + 1] > (double)own->costs->local_bytes;
}

/* ---- changing stages ---- */

/* A reader's stage that is being rebuilt. */
typedef struct Rebuilding {
  const Saving *own;
  int kernel;
  const Stage *old;
  Id answer; /* what is loaded instead of comparing; 0: the value is made again */
} Rebuilding;

static int make_instead(const Rebuilding *rebuilding, Stage *stage, int scalar);
static int load_instead(const Rebuilding *rebuilding, Stage *stage, int scalar);

/* In a place of its own: while it is made, the plan is asked who reads what. */
static Stage rebuilt(const Saving *own, int kernel, const Stage *old, Id answer) {
  Arena *arena = own->plan->module->arena;
  Rebuilding rebuilding = {own, kernel, old, answer};
  int16_t *place = NEW_ARRAY(own->arena, int16_t, old->scalars.count + 1);
  Stage stage = *old;
  memset(&stage.scalars, 0, sizeof stage.scalars);
  memset(&stage.folders, 0, sizeof stage.folders);
  memset(&stage.stores, 0, sizeof stage.stores);
  stage.after = 0;
  for (int k = 0; k < old->scalars.count; k++) {
    if (old->kind != STAGE_EACH && k == old->after) stage.after = stage.scalars.count;
    place[k] = (int16_t)(answer ? load_instead(&rebuilding, &stage, k) : make_instead(&rebuilding, &stage, k));
    if (place[k] >= 0) continue;
    place[k] = (int16_t)stage_scalar(own->plan, &stage, scalar_moved(arena, &old->scalars.items[k], place));
  }
  if (old->kind == STAGE_EACH || old->after == old->scalars.count) stage.after = stage.scalars.count;
  for (int k = 0; k < old->folders.count; k++) PUSH(arena, &stage.folders, folder_moved(&old->folders.items[k], place));
  for (int k = 0; k < old->stores.count; k++) PUSH(arena, &stage.stores, store_moved(&old->stores.items[k], place));
  return stage;
}

static void rebuild_readers(Saving *own, const Readings *readings, Id answer) {
  for (int k = 0; k < readings->count; k++) {
    const Reading *reading = &readings->items[k];
    Stage *stage = stage_at(own, reading->kernel, reading->stage);
    if (!stage_reads(stage, own->buffer)) continue; /* with another reading of it */
    *stage = rebuilt(own, reading->kernel, stage, answer);
    for (int j = 0; j < stage->scalars.count; j++) {
      if (stage->scalars.items[j].op != SCALAR_LOAD) continue;
      Id id = stage->scalars.items[j].access->buffer;
      if (id >= own->count) continue; /* an answer */
      PUSH(own->arena, &own->readers[id], ((User){reading->kernel, reading->stage}));
      own->lives[id].last = MAX(own->lives[id].last, reading->kernel);
    }
  }
}

/* ---- made again of what is kept ---- */

/* True if a buffer holds the same for this reader as for the value's maker, and is there without the reader's asking. */
static bool is_kept(const Saving *own, Id id, int reader) {
  const Plan *plan = own->plan;
  Memory memory = plan->buffers.items[id].memory;
  if (memory == MEMORY_ARG || memory == MEMORY_CONSTANT) return true;
  if ((memory != MEMORY_ARENA && memory != MEMORY_STATE) || id >= own->count) return false;
  bool small = own->bytes[id] <= own->bytes[own->buffer] / SMALL;
  for (int k = 0; k < own->makers[id].count; k++) {
    const User *maker = &own->makers[id].items[k];
    bool before = maker->kernel < own->kernel || maker->kernel > reader;
    before = before || (memory == MEMORY_ARENA && maker->kernel == own->kernel && maker->stage <= own->stage);
    if (!before) return false;
  }
  return memory == MEMORY_STATE || small || own->lives[id].last >= reader;
}

/* The kept buffer to which the maker stores this scalar at the value's own point; 0: there is none. */
static Id stored_beside(const Saving *own, int scalar, int reader) {
  const Stage *stage = maker_of(own);
  const Type *type = &own->plan->buffers.items[own->buffer].type;
  for (int k = 0; k < stage->stores.count; k++) {
    Access access = stage->stores.items[k].access;
    Id id = access.buffer;
    access.buffer = own->buffer;
    if (id == own->buffer || stage->stores.items[k].value != scalar) continue;
    access.as = *type; /* of another dtype, perhaps */
    if (!type_same_sizes(&stage->stores.items[k].access.as, type) || !access_equal(&access, &own->store.access)) continue;
    if (is_kept(own, id, reader)) return id;
  }
  return 0;
}

/* The access of the maker's, for the point of the value that `at` reads. */
static bool moved_access(const Saving *own, const Access *from, const Access *at, Access *to) {
  Axis coordinate[MAX_LOOPS];
  for (int k = 0; k < maker_of(own)->nkept; k++) coordinate[k] = at->map.axis[own->axis[k]];
  *to = *from;
  for (int k = 0; k < from->map.naxes; k++) {
    if (from->index[k] >= 0) return false;
    if (!compose_axis(own->plan->module, &from->map.axis[k], coordinate, &to->map.axis[k])) return false;
  }
  return true;
}

/* True if lanes along the value's last axis find neighbours here, or one element. */
static bool lanes_agree(const Saving *own, const Access *access) {
  int last = -1;
  for (int k = 0; k < maker_of(own)->nkept; k++)
    if (last < 0 || own->axis[k] > own->axis[last]) last = k;
  return last < 0 || !access_depends(access, last) || access_is_dense(access, last);
}

/* What it costs to make a scalar of the maker's for a reader, more than CHEAP where that can't be. */
static int cost_of(const Saving *own, int index, int reader, const Access *at) {
  const Stage *stage = maker_of(own);
  const Scalar *scalar = &stage->scalars.items[index];
  const int16_t operands[] = {scalar->a, scalar->b, scalar->c};
  if (scalar->op == SCALAR_NUMBER || scalar->op == SCALAR_SIZE || stored_beside(own, index, reader)) return 0;
  if (scalar->op == SCALAR_LOAD) {
    Access unused;
    bool every_point = stage->kind != STAGE_EACH && index < stage->after;
    bool can = !every_point && is_kept(own, scalar->access->buffer, reader) && lanes_agree(own, scalar->access);
    return can && moved_access(own, scalar->access, at, &unused) ? 0 : CHEAP + 1;
  }
  if (scalar->op < OP_neg || scalar->op > OP_where) return CHEAP + 1;
  int cost = op_cost((Op)scalar->op);
  for (int k = 0; k < COUNT_OF(operands) && cost <= CHEAP; k++)
    if (operands[k] >= 0) cost += cost_of(own, operands[k], reader, at);
  return cost;
}

/* The same scalar in the reader's stage. */
static int make_again(const Saving *own, int index, int reader, const Access *at, Stage *stage) {
  Scalar scalar = maker_of(own)->scalars.items[index];
  Id beside = stored_beside(own, index, reader);
  if (beside) {
    Access access = *at;
    access.buffer = beside;
    access.as.dtype = scalar.dtype;
    scalar = (Scalar){.op = SCALAR_LOAD, .dtype = scalar.dtype, .a = -1, .b = -1, .c = -1};
    scalar.access = arena_copy(own->plan->module->arena, &access, sizeof access);
    return stage_scalar(own->plan, stage, scalar);
  }
  if (scalar.a >= 0) scalar.a = (int16_t)make_again(own, scalar.a, reader, at, stage);
  if (scalar.b >= 0) scalar.b = (int16_t)make_again(own, scalar.b, reader, at, stage);
  if (scalar.c >= 0) scalar.c = (int16_t)make_again(own, scalar.c, reader, at, stage);
  if (scalar.op == SCALAR_LOAD) {
    Access access;
    if (!moved_access(own, scalar.access, at, &access)) bug("an index that composed does so no longer");
    scalar.access = arena_copy(own->plan->module->arena, &access, sizeof access);
  }
  return stage_scalar(own->plan, stage, scalar);
}

static bool loads_value(const Rebuilding *rebuilding, int scalar) {
  const Scalar *load = scalar >= 0 ? &rebuilding->old->scalars.items[scalar] : NULL;
  return load && load->op == SCALAR_LOAD && load->access->buffer == rebuilding->own->buffer;
}

static int make_instead(const Rebuilding *rebuilding, Stage *stage, int scalar) {
  const Saving *own = rebuilding->own;
  if (!loads_value(rebuilding, scalar)) return -1;
  return make_again(own, own->store.value, rebuilding->kernel, rebuilding->old->scalars.items[scalar].access, stage);
}

static bool try_again(Saving *own) {
  Readings readings = readings_of(own);
  bool *can = NEW_ARRAY(own->arena, bool, readings.count + 1);
  int last;
  for (int k = 0; k < readings.count; k++) {
    const Reading *reading = &readings.items[k];
    const Access *at = stage_at(own, reading->kernel, reading->stage)->scalars.items[reading->scalar].access;
    can[k] = reads_plainly(own, reading) && cost_of(own, own->store.value, reading->kernel, at) <= CHEAP;
  }
  if (!keep_late(own, &readings, can, &last) || !is_better(own, last, 0)) return false;
  rebuild_readers(own, &readings, 0);
  note_change(own, last, 0);
  return true;
}

/* ---- kept as a bool ---- */

/* How a value is compared with a number. */
typedef struct Question {
  Op op;
  bool left; /* the value stands left of the number */
  double number;
} Question;

/* True if all that a load is used for is one comparison with a number. */
static bool find_question(const Stage *stage, int load, Question *question) {
  int asks = -1;
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    for (int axis = 0; scalar_has_access(scalar->op) && axis < scalar->access->map.naxes; axis++)
      if (scalar->access->index[axis] == load) return false;
    if (scalar->a != load && scalar->b != load && scalar->c != load) continue;
    if (asks >= 0 || (scalar->op != OP_lt && scalar->op != OP_le && scalar->op != OP_eq)) return false;
    asks = k;
  }
  for (int k = 0; k < stage->folders.count; k++)
    if (stage->folders.items[k].value == load) return false;
  for (int k = 0; k < stage->stores.count; k++)
    if (stage->stores.items[k].value == load) return false;
  if (asks < 0) return false;
  const Scalar *answer = &stage->scalars.items[asks];
  bool left = answer->a == load;
  const Scalar *other = &stage->scalars.items[left ? answer->b : answer->a];
  *question = (Question){(Op)answer->op, left, other->number};
  return other->op == SCALAR_NUMBER;
}

static bool same_question(const Question *a, const Question *b) {
  return a->op == b->op && a->left == b->left && a->number == b->number;
}

/* The maker stores the answer too. */
static Id store_answer(Saving *own, const Question *question) {
  Plan *plan = own->plan;
  Stage *stage = maker_of(own);
  const Type *type = &plan->buffers.items[own->buffer].type;
  Store store = own->store;
  Scalar number = {.op = SCALAR_NUMBER, .dtype = type->dtype, .a = -1, .b = -1, .c = -1, .number = question->number};
  Scalar answer = {.op = (int16_t)question->op, .dtype = BOOL, .a = -1, .b = -1, .c = -1};
  store.access.buffer = plan_buffer(plan, MEMORY_ARENA, type_of(BOOL, type->rank, type->size), 0, NULL);
  store.access.as = plan->buffers.items[store.access.buffer].type;
  if (stage->kind == STAGE_EACH) stage->after = 0;
  answer.a = question->left ? store.value : (int16_t)stage_scalar(plan, stage, number);
  answer.b = question->left ? (int16_t)stage_scalar(plan, stage, number) : store.value;
  store.value = (int16_t)stage_scalar(plan, stage, answer);
  if (stage->kind == STAGE_EACH) stage->after = stage->scalars.count;
  PUSH(plan->module->arena, &stage->stores, store);
  return store.access.buffer;
}

static int load_instead(const Rebuilding *rebuilding, Stage *stage, int scalar) {
  Plan *plan = rebuilding->own->plan;
  const Scalar *asks = &rebuilding->old->scalars.items[scalar];
  if (loads_value(rebuilding, scalar)) return 0; /* whoever asked for it is not there any more */
  int load = loads_value(rebuilding, asks->a) ? asks->a : loads_value(rebuilding, asks->b) ? asks->b : -1;
  if (load < 0) return -1;
  Scalar answer = {.op = SCALAR_LOAD, .dtype = BOOL, .a = -1, .b = -1, .c = -1};
  Access access = *rebuilding->old->scalars.items[load].access;
  access.buffer = rebuilding->answer;
  access.as = plan->buffers.items[rebuilding->answer].type;
  answer.access = arena_copy(plan->module->arena, &access, sizeof access);
  return stage_scalar(plan, stage, answer);
}

/* The question of all late readings, if it is one: that of the last. */
static bool *find_questions(const Saving *own, const Readings *readings, Question *asked) {
  bool *can = NEW_ARRAY(own->arena, bool, readings->count + 1);
  int latest = -1;
  for (int round = 0; round < 2; round++) {
    for (int k = 0; k < readings->count; k++) {
      const Reading *reading = &readings->items[k];
      Question question = {0};
      can[k] = reads_plainly(own, reading) &&
               find_question(stage_at(own, reading->kernel, reading->stage), reading->scalar, &question);
      if (round == 0 && can[k] && reading->kernel > latest) latest = reading->kernel, *asked = question;
      can[k] = can[k] && same_question(&question, asked);
    }
  }
  return can;
}

static bool try_question(Saving *own) {
  Readings readings = readings_of(own);
  const Type *type = &own->plan->buffers.items[own->buffer].type;
  Question question = {0};
  int last;
  if (readings.count == 0 || plan_element_bytes(type->dtype) == 1) return false;
  int64_t answer = own->bytes[own->buffer] / plan_element_bytes(type->dtype);
  const bool *can = find_questions(own, &readings, &question);
  if (!keep_late(own, &readings, can, &last) || !is_better(own, last, answer)) return false;
  rebuild_readers(own, &readings, store_answer(own, &question));
  note_change(own, last, answer);
  return true;
}

/* ---- the whole ---- */

void plan_save(Plan *plan, const TargetCosts *costs) {
  if (plan->regions.count > 1) return; /* what loops keep, their yields say */
  Arena *arena = arena_new();
  Id count = plan->buffers.count;
  Saving own = {.plan = plan, .costs = costs, .arena = arena, .count = count};
  bool any = false;
  own.bytes = NEW_ARRAY(arena, int64_t, count);
  own.readers = NEW_ARRAY(arena, Users, count);
  own.makers = NEW_ARRAY(arena, Users, count);
  own.heir = NEW_ARRAY(arena, Id, count);
  own.made = NEW_ARRAY(arena, double, plan->kernels.count + 1);
  list_users(&own);
  list_lives(&own);
  for (own.buffer = 1; own.buffer < count; own.buffer++) {
    if (plan->buffers.items[own.buffer].memory != MEMORY_ARENA || !find_maker(&own) || !find_axes(&own)) continue;
    any = try_again(&own) || try_question(&own) || any;
  }
  while (any && plan_drop_unread(plan)) continue;
  arena_free(arena);
}
