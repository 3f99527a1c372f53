/* Memory, interned names, growing text, checked arithmetic, and the two ends of the road: fail() and bug().
 *
 * An arena is a list of zeroed blocks; what is handed out is never moved or freed singly. Blocks double up to a mebibyte,
 * so that a small program stays small and a large one makes few calls. An allocation that does not fit the current block
 * and is large gets a block of its own, behind the current one, which stays in use.
 *
 * The table of interned names is the one mutable global here. It is locked, grows by doubling, and lives until the process
 * ends. */
#include "ir/base.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 16 << 10, LAST_BLOCK = 1 << 20 };

/* ---- memory ---- */

typedef struct ArenaBlock {
  struct ArenaBlock *next;
  size_t used, capacity;
  _Alignas(ALIGNMENT) char bytes[];
} ArenaBlock;

struct Arena {
  ArenaBlock *blocks; /* the first one is the one in use */
  size_t next_capacity;
  size_t handed_out;
};

/* Nothing allocates here: there may be no memory left for that. */
void out_of_memory(void) {
  static const char message[] = "error: not enough memory\n";
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) quick_exit(EXIT_ENVIRONMENT);
  quick_exit(EXIT_ENVIRONMENT);
}

static ArenaBlock *block_new(size_t capacity) {
  if (capacity > SIZE_MAX - sizeof(ArenaBlock)) out_of_memory();
  ArenaBlock *block = calloc(1, sizeof(ArenaBlock) + capacity);
  if (!block) out_of_memory();
  block->capacity = capacity;
  return block;
}

Arena *arena_new(void) {
  Arena *arena = calloc(1, sizeof *arena);
  if (!arena) out_of_memory();
  arena->next_capacity = FIRST_BLOCK;
  return arena;
}

void arena_free(Arena *arena) {
  if (!arena) return;
  for (ArenaBlock *block = arena->blocks; block;) {
    ArenaBlock *next = block->next;
    free(block);
    block = next;
  }
  free(arena);
}

void *arena_alloc(Arena *arena, size_t bytes) {
  if (bytes > SIZE_MAX / 2) out_of_memory();
  bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (!bytes) bytes = ALIGNMENT; /* so that two allocations never share an address */
  arena->handed_out += bytes;
  ArenaBlock *first = arena->blocks;
  if (!first || first->capacity - first->used < bytes) {
    if (first && bytes > arena->next_capacity / 4) {
      ArenaBlock *own = block_new(bytes);
      own->used = bytes;
      own->next = first->next;
      first->next = own;
      return own->bytes;
    }
    ArenaBlock *block = block_new(MAX(bytes, arena->next_capacity));
    block->next = first;
    arena->blocks = first = block;
    arena->next_capacity = MIN(arena->next_capacity * 2, (size_t)LAST_BLOCK);
  }
  void *result = first->bytes + first->used;
  first->used += bytes;
  return result;
}

void *arena_alloc_array(Arena *arena, size_t count, size_t item_bytes) {
  if (item_bytes && count > SIZE_MAX / item_bytes) bug("an array of %zu items of %zu bytes", count, item_bytes);
  return arena_alloc(arena, count * item_bytes);
}

void *arena_copy(Arena *arena, const void *from, size_t bytes) {
  void *copy = arena_alloc(arena, bytes);
  if (bytes) memcpy(copy, from, bytes);
  return copy;
}

char *arena_format_list(Arena *arena, const char *format, va_list list) {
  CHECK(format);
  va_list again;
  va_copy(again, list);
  char none[1];
  int length = vsnprintf(none, 0, format, list);
  if (length < 0) bug("a format that cannot be printed: %s", format);
  char *text = arena_alloc(arena, (size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}

char *arena_format(Arena *arena, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *text = arena_format_list(arena, format, list);
  va_end(list);
  return text;
}

size_t arena_bytes(const Arena *arena) { return arena->handed_out; }

void vec_grow(Arena *arena, void **items, int *count, int *capacity, size_t item_bytes) {
  if (*count < *capacity) return;
  if (*capacity > INT32_MAX / 2) out_of_memory();
  int larger = *capacity ? *capacity * 2 : 4;
  void *grown = arena_alloc_array(arena, (size_t)larger, item_bytes);
  if (*count) memcpy(grown, *items, (size_t)*count * item_bytes);
  *items = grown;
  *capacity = larger;
}

/* ---- interned names ---- */

typedef struct Name {
  uint64_t hash;
  size_t length;
  const char *text; /* NULL: free */
} Name;

/* Open addressing with linear probing; at most half full, so a probe is short and ends. */
static struct {
  pthread_mutex_t lock;
  Arena *texts;
  Name *slots;
  size_t count, capacity;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

static Name *name_slot(Name *slots, size_t capacity, uint64_t hash, const char *text, size_t length) {
  size_t at = (size_t)hash & (capacity - 1);
  while (slots[at].text &&
         (slots[at].hash != hash || slots[at].length != length || memcmp(slots[at].text, text, length) != 0))
    at = (at + 1) & (capacity - 1);
  return &slots[at];
}

static void names_grow(void) {
  size_t capacity = names.capacity ? names.capacity * 2 : 1024;
  Name *slots = calloc(capacity, sizeof *slots);
  if (!slots) out_of_memory();
  for (size_t i = 0; i < names.capacity; i++) {
    const Name *old = &names.slots[i];
    if (old->text) *name_slot(slots, capacity, old->hash, old->text, old->length) = *old;
  }
  free(names.slots);
  names.slots = slots;
  names.capacity = capacity;
}

const char *intern_length(const char *text, size_t length) {
  uint64_t hash = hash_bytes(text, length);
  pthread_mutex_lock(&names.lock);
  if (!names.texts) names.texts = arena_new();
  if (names.count * 2 >= names.capacity) names_grow();
  Name *slot = name_slot(names.slots, names.capacity, hash, text, length);
  if (!slot->text) {
    char *copy = arena_alloc(names.texts, length + 1);
    if (length) memcpy(copy, text, length);
    *slot = (Name){hash, length, copy};
    names.count++;
  }
  const char *result = slot->text;
  pthread_mutex_unlock(&names.lock);
  return result;
}

const char *intern(const char *text) { return intern_length(text, strlen(text)); }

uint64_t hash_bytes(const void *bytes, size_t length) {
  const unsigned char *byte = bytes;
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < length; i++) hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
  return hash;
}

/* ---- text ---- */

static void text_reserve(Text *text, size_t more) {
  if (more > SIZE_MAX / 4 - text->length) out_of_memory();
  size_t needed = text->length + more + 1;
  if (needed <= text->capacity) return;
  size_t capacity = MAX(needed, text->capacity * 2);
  char *bytes = realloc(text->bytes, capacity);
  if (!bytes) out_of_memory();
  text->bytes = bytes;
  text->capacity = capacity;
}

void text_add_bytes(Text *text, const char *bytes, size_t length) {
  text_reserve(text, length);
  if (length) memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
  text->bytes[text->length] = 0;
}

void text_add_list(Text *text, const char *format, va_list list) {
  CHECK(format);
  va_list again;
  va_copy(again, list);
  char none[1];
  int length = vsnprintf(none, 0, format, list);
  if (length < 0) bug("a format that cannot be printed: %s", format);
  text_reserve(text, (size_t)length);
  vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
  text->length += (size_t)length;
  va_end(again);
}

void text_add(Text *text, const char *format, ...) {
  va_list list;
  va_start(list, format);
  text_add_list(text, format, list);
  va_end(list);
}

void text_clear(Text *text) {
  text->length = 0;
  if (text->bytes) text->bytes[0] = 0;
}

void text_free(Text *text) {
  free(text->bytes);
  *text = (Text){0};
}

size_t character_bytes(const char *text, size_t left) {
  unsigned char first = left ? (unsigned char)text[0] : 0xFF;
  if (first < 0x80) return 1;
  size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (!length || length > left) return 0;
  for (size_t i = 1; i < length; i++)
    if (((unsigned char)text[i] & 0xC0) != 0x80) return 0;
  /* No longer form than needed, no halves of UTF-16 pairs, nothing above U+10FFFF. */
  unsigned char second = (unsigned char)text[1];
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return 0;
  if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return 0;
  return length;
}

/* A decimal of at most DBL_DIG (15) digits survives the way to a double and back, so %.15g, which drops trailing zeros,
 * finds it if there is one; below the normal numbers that does not hold, and the search starts at 1 digit. */
void text_add_number(Text *text, double number, bool single) {
  if (isnan(number)) {
    text_add(text, "nan");
    return;
  }
  if (single) number = (double)(float)number;
  if (isinf(number)) {
    text_add(text, number < 0 ? "-inf" : "inf");
    return;
  }
  int digits = single ? FLT_DIG : DBL_DIG, most = single ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;
  if (fabs(number) < (single ? (double)FLT_MIN : DBL_MIN)) digits = 1;
  char written[40];
  for (;; digits++) {
    snprintf(written, sizeof written, "%.*g", digits, number);
    double back = single ? (double)strtof(written, NULL) : strtod(written, NULL);
    if (back == number || digits == most) break;
  }
  text_add(text, strpbrk(written, ".e") ? "%s" : "%s.0", written);
}

/* Edits (insert, drop, replace, swap neighbours) that lead from one name to the other; a difference in
 * case costs nothing. */
static int edit_distance(const char *a, const char *b, int limit) {
  enum { LONGEST = 48 };
  int rows = (int)strnlen(a, LONGEST + 1), columns = (int)strnlen(b, LONGEST + 1);
  if (rows > LONGEST || columns > LONGEST || abs(rows - columns) > limit) return limit + 1;
  int distance[3][LONGEST + 1];
  for (int j = 0; j <= columns; j++) distance[0][j] = j;
  for (int i = 1; i <= rows; i++) {
    int *row = distance[i % 3];
    const int *above = distance[(i - 1) % 3], *higher = distance[(i + 1) % 3];
    row[0] = i;
    for (int j = 1; j <= columns; j++) {
      int same = (a[i - 1] | 32) == (b[j - 1] | 32);
      int best = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + !same);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = MIN(best, higher[j - 2] + 1);
      row[j] = best;
    }
  }
  return distance[rows % 3][columns];
}

const char *nearest_name(const char *typed, const char *const *candidates, int count) {
  int length = (int)strnlen(typed, 100);
  int limit = length <= 2 ? 0 : length <= 5 ? 1 : length <= 8 ? 2 : 3;
  const char *nearest = NULL;
  for (int i = 0; i < count; i++) {
    int distance = edit_distance(typed, candidates[i], limit);
    if (distance > limit || strcmp(typed, candidates[i]) == 0) continue;
    nearest = candidates[i];
    if (distance == 0) break;
    limit = distance - 1; /* only a nearer one replaces it, so the first of equals stays */
  }
  return nearest;
}

/* ---- checked arithmetic ---- */

bool add_checked(int64_t a, int64_t b, int64_t *result) {
  if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) return false;
  *result = a + b;
  return true;
}

bool multiply_checked(int64_t a, int64_t b, int64_t *result) {
  bool fits = true;
  if (a > 0 && b > 0)
    fits = a <= INT64_MAX / b;
  else if (a > 0 && b < 0)
    fits = b >= INT64_MIN / a;
  else if (a < 0 && b > 0)
    fits = a >= INT64_MIN / b;
  else if (a < 0 && b < 0)
    fits = b >= INT64_MAX / a;
  if (fits) *result = a * b;
  return fits;
}

int64_t floor_divide(int64_t a, int64_t b) {
  CHECK(b != 0 && !(a == INT64_MIN && b == -1));
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t floor_modulo(int64_t a, int64_t b) {
  CHECK(b != 0);
  if (b == -1) return 0; /* INT64_MIN % -1 traps */
  int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t round_up(int64_t value, int64_t to) {
  int64_t sum;
  CHECK(to > 0 && add_checked(value, to - 1, &sum));
  return floor_divide(sum, to) * to;
}

/* ---- faults ---- */

bool fail(Failure *failure, int code, const char *format, ...) {
  if (!failure || failure->code) return false;
  failure->code = code;
  va_list list;
  va_start(list, format);
  vsnprintf(failure->message, sizeof failure->message, format, list);
  va_end(list);
  return false;
}

void bug_at(const char *file, int line, const char *format, ...) {
  fflush(stdout);
  fputs("error: this is a bug in nnc, not in your program: ", stderr);
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fprintf(stderr, " (%s:%d)\nhelp: please report it, with the command and the .nn file\n", file, line);
  _exit(EXIT_BUG);
}
