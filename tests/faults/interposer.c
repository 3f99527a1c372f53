/* Makes one call of the C library fail: loaded before a program by LD_PRELOAD, told by the environment which.
 *
 *   NNC_FAULT=CLASS:WHEN:ERROR    the WHEN-th call (from 1) of this class fails with ERROR; "short" moves half of the bytes,
 *                                 "KILL" ends the process before it
 *   NNC_FAULT_COUNTS=FILE         at the program's end: how often each class was called, "CLASS COUNT" a line
 *
 * Calls count from main() on, and those of the program itself and of what it links, by the address that they return to:
 * allocations of LLVM and of the C++ library are a class of their own, their I/O is left alone. Programs that are started
 * from here are not touched. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum Class { ALLOCATE, COMPILER, READ, WRITE, OPEN, CLOSE, SYNC, RENAME, STATUS, CLASSES } Class;
static const char *const class_names[CLASSES] = {"allocate", "compiler", "read",   "write", "open",
                                                 "close",    "sync",     "rename", "status"};
static const struct {
  const char *name;
  int number;
} errors[] = {{"ENOMEM", ENOMEM}, {"EIO", EIO},       {"ENOSPC", ENOSPC},
              {"EINTR", EINTR},   {"EMFILE", EMFILE}, {"EACCES", EACCES}};
enum { SHORT = -1, KILL = -2 };

static atomic_long counts[CLASSES];
static bool armed;
static Class fault_class = CLASSES;
static long fault_when;
static int fault_error;
static const char *counts_path;

/* ---- who calls ---- */

enum { MOST_RANGES = 256 };
static struct {
  uintptr_t from, to;
} compiler[MOST_RANGES];
static int ncompiler;

static int note_object(struct dl_phdr_info *object, size_t size, void *user) {
  (void)size, (void)user;
  const char *name = object->dlpi_name;
  if (!strstr(name, "libLLVM") && !strstr(name, "libstdc++")) return 0;
  for (int k = 0; k < object->dlpi_phnum && ncompiler < MOST_RANGES; k++) {
    if (object->dlpi_phdr[k].p_type != PT_LOAD) continue;
    compiler[ncompiler].from = object->dlpi_addr + object->dlpi_phdr[k].p_vaddr;
    compiler[ncompiler].to = compiler[ncompiler].from + object->dlpi_phdr[k].p_memsz;
    ncompiler++;
  }
  return 0;
}

static bool of_compiler(const void *caller) {
  for (int k = 0; k < ncompiler; k++) {
    if ((uintptr_t)caller >= compiler[k].from && (uintptr_t)caller < compiler[k].to) return true;
  }
  return false;
}

/* ---- whether this call fails ---- */

/* 0: it does not; else an errno, or SHORT. */
static int fault_of(Class class, const void *caller) {
  if (!armed) return 0;
  if (of_compiler(caller)) {
    if (class != ALLOCATE) return 0;
    class = COMPILER;
  }
  long count = atomic_fetch_add(&counts[class], 1) + 1;
  if (class != fault_class || count != fault_when) return 0;
  if (fault_error == KILL) kill(getpid(), SIGKILL);
  return fault_error;
}

#define CALLER __builtin_return_address(0)
#define FAIL_IF(class, result)                                                                                             \
  do {                                                                                                                     \
    int error = fault_of((class), CALLER);                                                                                 \
    if (error > 0) {                                                                                                       \
      errno = error;                                                                                                       \
      return (result);                                                                                                     \
    }                                                                                                                      \
  } while (0)

/* What stands behind this library under the same name: the C library's function, or a sanitizer's. */
#define NEXT(name)                                                                                                         \
  static __typeof__(&name) next;                                                                                           \
  if (!next) next = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name)

/* ---- memory ---- */

void *malloc(size_t bytes) {
  NEXT(malloc);
  FAIL_IF(ALLOCATE, NULL);
  return next(bytes);
}

void *realloc(void *old, size_t bytes) {
  NEXT(realloc);
  FAIL_IF(ALLOCATE, NULL);
  return next(old, bytes);
}

/* dlsym itself may want this one. */
void *calloc(size_t count, size_t bytes) {
  static bool searching;
  static char early[4096];
  static size_t used;
  static __typeof__(&calloc) next;
  if (searching) {
    void *result = early + used;
    used += (count * bytes + 15) / 16 * 16;
    return used <= sizeof early ? result : NULL;
  }
  searching = !next;
  if (!next) next = (__typeof__(&calloc))(uintptr_t)dlsym(RTLD_NEXT, "calloc");
  searching = false;
  FAIL_IF(ALLOCATE, NULL);
  return next(count, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  NEXT(aligned_alloc);
  FAIL_IF(ALLOCATE, NULL);
  return next(alignment, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t bytes) {
  NEXT(posix_memalign);
  FAIL_IF(ALLOCATE, ENOMEM);
  return next(result, alignment, bytes);
}

/* ---- files ---- */

ssize_t read(int file, void *bytes, size_t count) {
  NEXT(read);
  int error = fault_of(READ, CALLER);
  if (error > 0) {
    errno = error;
    return -1;
  }
  return next(file, bytes, error == SHORT && count > 1 ? count / 2 : count);
}

ssize_t write(int file, const void *bytes, size_t count) {
  NEXT(write);
  int error = fault_of(WRITE, CALLER);
  if (error > 0) {
    errno = error;
    return -1;
  }
  return next(file, bytes, error == SHORT && count > 1 ? count / 2 : count);
}

int open(const char *path, int flags, ...) {
  NEXT(open);
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  FAIL_IF(OPEN, -1);
  return next(path, flags, mode);
}

/* The file is closed all the same, as Linux does it. */
int close(int file) {
  NEXT(close);
  int result = next(file);
  FAIL_IF(CLOSE, -1);
  return result;
}

int fsync(int file) {
  NEXT(fsync);
  FAIL_IF(SYNC, -1);
  return next(file);
}

int rename(const char *from, const char *to) {
  NEXT(rename);
  FAIL_IF(RENAME, -1);
  return next(from, to);
}

int fstat(int file, struct stat *status) {
  NEXT(fstat);
  FAIL_IF(STATUS, -1);
  return next(file, status);
}

/* ---- the program's start and end ---- */

static void read_fault(const char *text) {
  char class[16], error[16];
  if (!text || sscanf(text, "%15[^:]:%ld:%15s", class, &fault_when, error) != 3) return;
  for (int k = 0; k < CLASSES; k++) {
    if (strcmp(class, class_names[k]) == 0) fault_class = (Class)k;
  }
  fault_error = strcmp(error, "KILL") == 0 ? KILL : SHORT;
  for (size_t k = 0; k < sizeof errors / sizeof *errors; k++) {
    if (strcmp(error, errors[k].name) == 0) fault_error = errors[k].number;
  }
}

__attribute__((destructor)) static void write_counts(void) {
  armed = false;
  FILE *file = counts_path ? fopen(counts_path, "w") : NULL;
  for (int k = 0; file && k < CLASSES; k++) fprintf(file, "%s %ld\n", class_names[k], atomic_load(&counts[k]));
  if (file) fclose(file);
}

typedef int Main(int, char **, char **);
static Main *program;

static int armed_main(int count, char **words, char **environment) {
  read_fault(getenv("NNC_FAULT"));
  counts_path = getenv("NNC_FAULT_COUNTS");
  unsetenv("LD_PRELOAD");
  dl_iterate_phdr(note_object, NULL);
  armed = true;
  return program(count, words, environment);
}

int __libc_start_main(Main *main, int count, char **words, void (*begin)(void), void (*end)(void), void (*last)(void),
                      void *stack);
int __libc_start_main(Main *main, int count, char **words, void (*begin)(void), void (*end)(void), void (*last)(void),
                      void *stack) {
  NEXT(__libc_start_main);
  program = main;
  return next(armed_main, count, words, begin, end, last, stack);
}
