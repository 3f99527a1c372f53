/* Offsets of buffers in the arena.
 *
 * In: a plan whose launches are ordered, so that each arena buffer's life is known: the launches from the first that
 * touches it to the last. Out: first, last, bytes, below and offset of each; arena_bytes, live_bytes, local_bytes. Two
 * buffers whose lives meet, be it in one launch, must not overlap; no packing can end below the largest sum of bytes alive
 * at one time (live_bytes), and the search stops when it gets there.
 *
 * Packing: buffers are placed one by one, each at the lowest offset where it meets no conflicting one. Any packing is at
 * least as high as the one that its own order by offset gives this way, so that a search over orders loses nothing. Some
 * good orders come first; then the buffer that ends highest is moved to an earlier place, again and again, a move being
 * kept if the arena does not grow. Steps are counted, not seconds: the same plan comes out on every machine.
 *
 * Sizes are known at run time only; offsets are packed at the bounds. Each buffer keeps a list of conflicting ones below
 * it, and its offset at any sizes is the largest of their ends. By induction over that order no buffers that conflict
 * overlap at any sizes, and no offset exceeds that at the bounds. Of the lists only what does not follow is kept: j is left
 * out of i's if it is below some k of i's. */
#include "passes/plan/plan_passes.h"

#include <stdlib.h>
#include <string.h>

enum { SEARCH_STEPS = 1 << 24 };
static const int64_t TOO_LARGE = (int64_t)1 << 62;

/* Life and size of each buffer; one that nobody touches gets no place. */
static void find_lives(Plan *plan, const Life *lives) {
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA) continue;
    buffer->bytes = NULL;
    buffer->below.count = 0;
    buffer->offset = 0;
    buffer->first = buffer->last = 0;
    if (lives[id].first < 0) continue;
    buffer->first = lives[id].first;
    buffer->last = lives[id].last;
    buffer->bytes = buffer_bytes(plan, &buffer->type);
    if (buffer->bytes && plan->zone) buffer->bytes = dim_offset(plan->module, buffer->bytes, plan->zone);
    if (!buffer->bytes || buffer->bytes->high >= TOO_LARGE) {
      error_at(plan->module->diagnostics, plan->graph->place, "%s needs more memory than 64 bits can count",
               plan->graph->name);
      buffer->bytes = NULL;
    }
  }
}

/* ---- packing at the bounds ---- */

typedef struct Item {
  Id id;
  int first, last;
  int64_t size, crowd;        /* the most bytes alive at one of its launches */
  int nconflicts, *conflicts; /* items whose lives meet this one's */
} Item;

typedef struct Packing {
  int count;
  Item *items;
  int64_t live;
  int64_t steps; /* of the search, so far */
  int *order, *best_order;
  int64_t *offset, *best_offset; /* -1: not placed yet */
  int64_t top, best_top;
  uint64_t random;
} Packing;

static bool lives_meet(const Item *a, const Item *b) { return a->first <= b->last && b->first <= a->last; }

static void find_conflicts(Packing *packing, Arena *arena) {
  int *met = NEW_ARRAY(arena, int, packing->count);
  for (int i = 0; i < packing->count; i++) {
    Item *item = &packing->items[i];
    int count = 0;
    for (int j = 0; j < packing->count; j++) {
      if (j != i && lives_meet(item, &packing->items[j])) met[count++] = j;
    }
    item->nconflicts = count;
    item->conflicts = arena_copy(arena, met, (size_t)count * sizeof *met);
  }
}

/* How much is alive at each launch, and the largest such sum. False if it leaves 64 bits. */
static bool find_live(Packing *packing, int launches, Arena *arena) {
  int64_t *live = NEW_ARRAY(arena, int64_t, launches + 1);
  for (int i = 0; i < packing->count; i++) {
    Item *item = &packing->items[i];
    for (int at = item->first; at <= item->last; at++)
      if (!add_checked(live[at], item->size, &live[at])) return false;
  }
  for (int i = 0; i < packing->count; i++) {
    Item *item = &packing->items[i];
    for (int at = item->first; at <= item->last; at++) item->crowd = MAX(item->crowd, live[at]);
    packing->live = MAX(packing->live, item->crowd);
  }
  return packing->live < TOO_LARGE;
}

/* `over`: which buffers take another's place; they are one item. */
static Packing packing_of(const Plan *plan, const Id *over, Arena *arena) {
  Packing packing = {.best_top = INT64_MAX, .random = 0x9E3779B97F4A7C15u};
  packing.items = NEW_ARRAY(arena, Item, plan->buffers.count);
  int *last = NEW_ARRAY(arena, int, plan->buffers.count); /* of those that end in this one's place */
  for (Id id = 1; id < plan->buffers.count; id++) {
    Id root = id;
    while (over[root]) root = over[root];
    last[root] = MAX(last[root], plan->buffers.items[id].last);
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || !buffer->bytes || over[id]) continue;
    packing.items[packing.count++] =
        (Item){.id = id, .first = buffer->first, .last = last[id], .size = MAX(buffer->bytes->high, 0)};
  }
  packing.order = NEW_ARRAY(arena, int, packing.count);
  packing.best_order = NEW_ARRAY(arena, int, packing.count);
  packing.offset = NEW_ARRAY(arena, int64_t, packing.count);
  packing.best_offset = NEW_ARRAY(arena, int64_t, packing.count);
  find_conflicts(&packing, arena);
  return packing;
}

/* The lowest offset from which `item` fits: an overlap with j rules out all up to j's end, so none that fits is skipped. */
static int64_t lowest_fit(Packing *packing, const Item *item) {
  int64_t offset = 0;
  for (bool moved = item->size > 0; moved;) {
    moved = false;
    packing->steps += item->nconflicts + 1;
    for (int k = 0; k < item->nconflicts; k++) {
      int other = item->conflicts[k];
      int64_t start = packing->offset[other], end = start + packing->items[other].size;
      if (start < 0 || start >= offset + item->size || end <= offset) continue;
      offset = end;
      moved = true;
    }
  }
  return offset;
}

/* Places all in the order; keeps the result if it is no higher than the best. */
static bool pack(Packing *packing) {
  for (int i = 0; i < packing->count; i++) packing->offset[i] = -1;
  packing->top = 0;
  for (int k = 0; k < packing->count; k++) {
    int i = packing->order[k];
    packing->offset[i] = lowest_fit(packing, &packing->items[i]);
    packing->top = MAX(packing->top, packing->offset[i] + packing->items[i].size);
    if (packing->top > packing->best_top) return false;
  }
  packing->best_top = packing->top;
  memcpy(packing->best_order, packing->order, (size_t)packing->count * sizeof *packing->order);
  memcpy(packing->best_offset, packing->offset, (size_t)packing->count * sizeof *packing->offset);
  return true;
}

/* What is placed early: large ones, long ones, those that begin or end early or late. Each order comes in two forms. In the
 * second, buffers go by the most that is alive in their lives: where that is the largest sum of all, there must be no gap,
 * which is easy as long as nothing else has a place. */
enum { BY_SIZE, BY_LIFE, BY_AREA, BY_START, BY_END, BY_LATE_START, BY_CONFLICTS, ORDERS };

static double rank_of(const Item *item, int by) {
  double size = (double)item->size, life = (double)(item->last - item->first + 1);
  switch (by) {
  case BY_SIZE: return size;
  case BY_LIFE: return life;
  case BY_AREA: return size * life;
  case BY_START: return -(double)item->first;
  case BY_END: return -(double)item->last;
  case BY_LATE_START: return (double)item->first;
  default: return (double)item->nconflicts;
  }
}

/* Among equals the larger one is first. */
static bool comes_first(const Item *a, const Item *b, int by, bool by_crowd) {
  double first = rank_of(a, by), second = rank_of(b, by);
  if (by_crowd && a->crowd != b->crowd) return a->crowd > b->crowd;
  if (first > second || first < second) return first > second;
  return a->size >= b->size;
}

static void sort_order(Packing *packing, int by, bool by_crowd) {
  for (int k = 0; k < packing->count; k++) {
    int at = k;
    for (; at > 0; at--) {
      if (comes_first(&packing->items[packing->order[at - 1]], &packing->items[k], by, by_crowd)) break;
      packing->order[at] = packing->order[at - 1];
    }
    packing->order[at] = k;
  }
}

static int random_below(Packing *packing, int limit) {
  uint64_t x = packing->random;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  packing->random = x;
  return (int)(x % (uint64_t)limit);
}

/* A place in the best order whose item ends at the top. */
static int place_of_top(Packing *packing) {
  int found = 0, chosen = 0;
  for (int k = 0; k < packing->count; k++) {
    int i = packing->best_order[k];
    if (packing->best_offset[i] + packing->items[i].size < packing->best_top) continue;
    if (random_below(packing, ++found) == 0) chosen = k;
  }
  return chosen;
}

/* A step of the search: what ends highest is placed earlier; now and then any other is, so that no corner is a trap. */
static void try_move(Packing *packing) {
  int from = random_below(packing, 4) ? place_of_top(packing) : random_below(packing, packing->count);
  int to = random_below(packing, from ? from : packing->count);
  int item = packing->best_order[from];
  memcpy(packing->order, packing->best_order, (size_t)packing->count * sizeof *packing->order);
  memmove(&packing->order[from], &packing->order[from + 1], (size_t)(packing->count - from - 1) * sizeof item);
  memmove(&packing->order[to + 1], &packing->order[to], (size_t)(packing->count - to - 1) * sizeof item);
  packing->order[to] = item;
  packing->steps += packing->count;
  pack(packing);
}

static void search(Packing *packing) {
  for (int k = 0; k < 2 * ORDERS && packing->best_top > packing->live; k++) {
    sort_order(packing, k % ORDERS, k >= ORDERS);
    pack(packing);
  }
  while (packing->count > 1 && packing->best_top > packing->live && packing->steps < SEARCH_STEPS) try_move(packing);
}

/* ---- the offset program ---- */

typedef struct Position {
  int64_t offset;
  int item;
} Position;

static int compare_positions(const void *left, const void *right) {
  const Position *a = left, *b = right;
  if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
  return a->item < b->item ? -1 : a->item > b->item;
}

/* Sets of items, a bit for each. */
static bool holds(const uint64_t *set, int item) { return set[item / 64] >> (item % 64) & 1; }
static void join(uint64_t *set, const uint64_t *other, int words) {
  for (int w = 0; w < words; w++) set[w] |= other[w];
}

/* Marks in `own` those that conflict with item i and lie below it. */
static void mark_below(const Packing *packing, int i, uint64_t *own) {
  const Item *item = &packing->items[i];
  for (int k = 0; k < item->nconflicts; k++) {
    int j = item->conflicts[k];
    bool solid = item->size > 0 && packing->items[j].size > 0; /* 0 at the bounds is 0 at any sizes */
    if (solid && packing->best_offset[j] < packing->best_offset[i]) own[j / 64] |= (uint64_t)1 << (j % 64);
  }
}

/* Lists of those below, upward by offset, and the offsets at the bounds that follow from them. */
static void write_program(Plan *plan, Packing *packing, Arena *arena) {
  int count = packing->count, words = (count + 63) / 64;
  uint64_t *below = NEW_ARRAY(arena, uint64_t, (int64_t)count *words), *further = NEW_ARRAY(arena, uint64_t, words);
  Position *upward = NEW_ARRAY(arena, Position, count);
  for (int i = 0; i < count; i++) upward[i] = (Position){packing->best_offset[i], i};
  qsort(upward, (size_t)count, sizeof *upward, compare_positions);
  plan->arena_bytes = 0;
  for (int at = 0; at < count; at++) {
    int i = upward[at].item;
    const Item *item = &packing->items[i];
    Buffer *buffer = &plan->buffers.items[item->id];
    uint64_t *own = &below[(int64_t)i * words];
    mark_below(packing, i, own);
    memset(further, 0, (size_t)words * sizeof *further); /* below one that is below i */
    for (int k = 0; k < item->nconflicts; k++)
      if (holds(own, item->conflicts[k])) join(further, &below[(int64_t)item->conflicts[k] * words], words);
    for (int k = 0; k < item->nconflicts; k++) {
      int j = item->conflicts[k];
      if (!holds(own, j) || holds(further, j)) continue;
      Id lower = packing->items[j].id;
      PUSH(plan->module->arena, &buffer->below, lower);
      buffer->offset = MAX(buffer->offset, plan->buffers.items[lower].offset + packing->items[j].size);
    }
    plan->arena_bytes = MAX(plan->arena_bytes, buffer->offset + item->size);
  }
}

void plan_pack(Plan *plan, bool shares) {
  Arena *arena = arena_new();
  const Life *lives = plan_lives(plan, arena);
  find_lives(plan, lives);
  const Id *over = shares ? plan_places(plan, lives, arena) : NEW_ARRAY(arena, Id, plan->buffers.count);
  Packing packing = packing_of(plan, over, arena);
  if (find_live(&packing, plan->launches.count, arena)) {
    search(&packing);
    plan->live_bytes = packing.live;
    write_program(plan, &packing, arena);
  } else {
    error_at(plan->module->diagnostics, plan->graph->place, "%s needs more memory than 64 bits can count",
             plan->graph->name);
  }
  plan->local_bytes = 0;
  for (int k = 0; k < plan->kernels.count; k++) plan->local_bytes = MAX(plan->local_bytes, kernel_local_bytes(plan, k));
  arena_free(arena);
}

void pass_memory(Plan *plan) { plan_pack(plan, false); }
