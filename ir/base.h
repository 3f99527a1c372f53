/* What every part of nnc stands on: memory, text, interned names, checked arithmetic, and how faults are reported.
 *
 * Memory comes from an Arena and is given back all at once; nothing is freed singly, so no function here can fail for want
 * of memory: the program ends with exit code 3 and a message. A fault is one of three kinds. What a user typed or a file
 * holds goes to Diagnostics (a place, a caret, notes, help) or to a Failure (one sentence); what the machine lacks is a
 * Failure with code 3; what nnc did wrong goes to bug(). */
#ifndef NNC_BASE_H
#define NNC_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(string, first) __attribute__((__format__(__printf__, string, first)))
#define NORETURN __attribute__((noreturn))
#else
#define PRINTF_LIKE(string, first)
#define NORETURN
#endif

enum { EXIT_GOOD = 0, EXIT_DIFFERS = 1, EXIT_INPUT = 2, EXIT_ENVIRONMENT = 3, EXIT_NUMBERS = 4, EXIT_BUG = 70 };

/* ---- memory ---- */

typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t bytes); /* zeroed, aligned to 16; never NULL */
void *arena_copy(Arena *arena, const void *from, size_t bytes);
char *arena_format(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_format_list(Arena *arena, const char *format, va_list list);
/* What every want of memory ends in: a message, exit code 3; what was given to at_quick_exit() is run. */
NORETURN void out_of_memory(void);
size_t arena_bytes(const Arena *arena); /* all that was handed out, for --time */

/* A growable array: Vec(Node) nodes; PUSH(arena, &nodes, node) adds one at the end. Items move when the
 * array grows: keep indices, not pointers, across a PUSH. */
#define Vec(T)                                                                                                             \
  struct {                                                                                                                 \
    T *items;                                                                                                              \
    int count, capacity;                                                                                                   \
  }
#define PUSH(arena, vec, item)                                                                                             \
  (*(vec_grow((arena), (void **)&(vec)->items, &(vec)->count, &(vec)->capacity, sizeof *(vec)->items),                     \
     &(vec)->items[(vec)->count++]) = (item))
void vec_grow(Arena *arena, void **items, int *count, int *capacity, size_t item_bytes); /* room for one more */

#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, count) ((T *)arena_alloc_array((arena), (size_t)(count), sizeof(T)))
void *arena_alloc_array(Arena *arena, size_t count, size_t item_bytes); /* a product that wraps is a bug() */
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- names and text ---- */

/* Interned: equal names are equal pointers for the life of the process, so names are compared with ==. */
const char *intern(const char *text);
const char *intern_length(const char *text, size_t length);
uint64_t hash_bytes(const void *bytes, size_t length); /* FNV-1a; the same on every machine: random streams use it */

/* Text that grows in memory, kept zero-terminated. */
typedef struct Text {
  char *bytes;
  size_t length, capacity;
} Text;
void text_add(Text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_add_list(Text *text, const char *format, va_list list);
void text_add_bytes(Text *text, const char *bytes, size_t length);
void text_clear(Text *text);
void text_free(Text *text);
/* Bytes of the well-formed UTF-8 character that `text` begins with; 0 if the first of the bytes `left` begin none. */
size_t character_bytes(const char *text, size_t left);
/* The shortest decimal that reads back as the same double (as the same float, if single), always with a '.', an 'e', or
 * "inf"/"nan", so that a reader can tell it from an integer. */
void text_add_number(Text *text, double number, bool single);
/* The nearest of the names to what was typed, or NULL if none is near: "did you mean ...?". */
const char *nearest_name(const char *typed, const char *const *names, int count);

/* ---- checked arithmetic: false if the true result does not fit ---- */

bool add_checked(int64_t a, int64_t b, int64_t *result);
bool multiply_checked(int64_t a, int64_t b, int64_t *result);
int64_t floor_divide(int64_t a, int64_t b); /* b != 0 */
int64_t floor_modulo(int64_t a, int64_t b); /* b != 0; the sign of b */
int64_t round_up(int64_t value, int64_t to);

/* ---- places in source text ---- */

typedef struct Source {
  const char *name; /* as the user typed it; "prelude.nn" for the prelude */
  const char *text; /* zero-terminated */
  size_t length;
  bool users;        /* false for the prelude: a place in it becomes a note */
  int64_t first_dim; /* not 0: the first dim that it declares is read with this as its bound, to try a smaller one */
} Source;

/* Where something was written: a byte offset, and, inside a def, the call that led there. */
typedef struct Place {
  const Source *source;
  uint32_t offset;
  const struct Place *caller; /* where the def was called, or NULL */
  const char *inside;         /* what was called: "Basic(256)" */
} Place;
void place_position(const Place *place, int *line, int *column); /* both from 1; columns count characters */

/* ---- faults in source text: collected, so that one does not hide the next ---- */

typedef struct Diagnostics Diagnostics;
Diagnostics *diagnostics_new(Arena *arena);
void error_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) PRINTF_LIKE(3, 4);
void warning_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) PRINTF_LIKE(3, 4);
void note_at(Diagnostics *diagnostics, const Place *place, const char *format, ...) PRINTF_LIKE(3, 4); /* of the last */
void help_for(Diagnostics *diagnostics, const char *format, ...) PRINTF_LIKE(2, 3);                    /* of the last */
int diagnostics_errors(const Diagnostics *diagnostics);
/* All of them in source order, as language.md's "Errors" shows; notes through defs are made from Place.caller. */
void diagnostics_print(const Diagnostics *diagnostics, FILE *out);
void diagnostics_text(const Diagnostics *diagnostics, Text *out);

/* ---- faults of files, flags and machines: one sentence and an exit code ---- */

typedef struct Failure {
  int code;           /* 0: none; else EXIT_INPUT, EXIT_ENVIRONMENT, EXIT_NUMBERS */
  char message[1024]; /* "digits.csv:12: ...", without "error: " and newline */
} Failure;
/* Fills the failure (the first one is kept) and returns false, so that a function can `return fail(...)`. */
bool fail(Failure *failure, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* The whole file into the arena, with a 0 behind it; "-" is standard input. Reads with read(), never mmap. */
bool read_file(Arena *arena, const char *path, char **bytes, size_t *length, Failure *failure);
/* Writes to a temporary file beside path, syncs, renames: path is the old or the new one whole. "-" is standard output. */
bool write_file(const char *path, const void *bytes, size_t length, Failure *failure);

/* Several that belong together: all are written before the first takes its place. "-" is none of them. */
typedef struct FileBytes {
  const char *path;
  const void *bytes;
  size_t length;
} FileBytes;
bool write_files(const FileBytes *files, int count, Failure *failure);

/* A fault of nnc itself: says so, asks for a report, exits with 70. */
NORETURN void bug_at(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition)                                                                                                   \
  do {                                                                                                                     \
    if (!(condition)) bug("%s", #condition);                                                                               \
  } while (0)

#endif
