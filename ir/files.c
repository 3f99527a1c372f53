/* Whole files in, whole files out.
 *
 * A file is read with read(): a mapping of one that another process cuts short ends in SIGBUS. It is written beside its
 * place, synced and renamed, so that whoever looks, after a kill at any instant, finds the old file or the new one. What is
 * not a plain file (/dev/null, a pipe) cannot be replaced and is written straight. */
#include "ir/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whose fault it is: a path that is wrong is the user's, anything else the machine's. */
static int code_of(int error) {
  switch (error) {
  case ENOENT:
  case ENOTDIR:
  case EISDIR:
  case ELOOP:
  case ENAMETOOLONG: return EXIT_INPUT;
  default: return EXIT_ENVIRONMENT;
  }
}

static bool fail_at(Failure *failure, const char *deed, const char *path, int error) {
  return fail(failure, code_of(error), "cannot %s %s: %s", deed, path, strerror(error));
}

/* ---- reading ---- */

static bool read_all(Arena *arena, int file, size_t expected, char **bytes, size_t *length) {
  size_t capacity = expected + 1, used = 0; /* one more than expected, so that the end is seen without growing */
  char *buffer = arena_alloc(arena, capacity + 1);
  for (;;) {
    if (used == capacity) {
      char *larger = arena_alloc(arena, capacity * 2 + 1);
      memcpy(larger, buffer, used);
      buffer = larger;
      capacity *= 2;
    }
    ssize_t got = read(file, buffer + used, MIN(capacity - used, (size_t)1 << 30));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    used += (size_t)got;
  }
  buffer[used] = 0;
  *bytes = buffer;
  *length = used;
  return true;
}

bool read_file(Arena *arena, const char *path, char **bytes, size_t *length, Failure *failure) {
  bool standard = strcmp(path, "-") == 0;
  int file = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail_at(failure, "read", path, errno);
  struct stat status;
  int error = fstat(file, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
  if (!error) {
    size_t expected = S_ISREG(status.st_mode) && status.st_size > 0 ? (size_t)status.st_size : 64 << 10;
    if (!read_all(arena, file, expected, bytes, length)) error = errno;
  }
  if (!standard) close(file);
  return error ? fail_at(failure, "read", standard ? "standard input" : path, error) : true;
}

/* ---- writing ---- */

static int write_all(int file, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t put = write(file, bytes, MIN(length, (size_t)1 << 30));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    if (put == 0) return EIO; /* no progress and no reason: do not spin */
    bytes += put;
    length -= (size_t)put;
  }
  return 0;
}

/* A device or a pipe cannot be synced, and says so with EINVAL. */
static int sync_file(int file) {
  while (fsync(file) < 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOTSUP || errno == EROFS ? 0 : errno;
  }
  return 0;
}

static int write_straight(const char *path, const void *bytes, size_t length) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  int error = write_all(file, bytes, length);
  if (close(file) < 0 && !error && errno != EINTR) error = errno;
  return error;
}

/* The rename itself must reach the disk too, or a power cut could undo it. */
static void sync_folder_of(char *path) {
  char *slash = strrchr(path, '/');
  if (slash) slash[slash == path] = 0;
  int folder = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  sync_file(folder);
  close(folder);
}

static int open_beside(Arena *arena, const char *path, char **beside) {
  for (int attempt = 0; attempt < 100; attempt++) {
    *beside = arena_format(arena, "%s.%ld.%d.tmp", path, (long)getpid(), attempt);
    int file = open(*beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

static int replace(Arena *arena, char *path, const struct stat *old, const void *bytes, size_t length) {
  char *beside;
  int file = open_beside(arena, path, &beside);
  if (file < 0) return errno;
  int error = write_all(file, bytes, length);
  if (!error && old && fchmod(file, old->st_mode & 07777) < 0) error = errno;
  if (!error) error = sync_file(file);
  if (close(file) < 0 && !error && errno != EINTR) error = errno;
  if (!error && rename(beside, path) < 0) error = errno;
  if (error)
    unlink(beside);
  else
    sync_folder_of(path);
  return error;
}

bool write_file(const char *path, const void *bytes, size_t length, Failure *failure) {
  if (strcmp(path, "-") == 0) {
    int error = write_all(STDOUT_FILENO, bytes, length);
    return error ? fail(failure, EXIT_ENVIRONMENT, "cannot write standard output: %s", strerror(error)) : true;
  }
  Arena *arena = arena_new();
  struct stat old;
  bool exists = stat(path, &old) == 0;
  int error;
  if (exists && S_ISDIR(old.st_mode))
    error = EISDIR;
  else if (exists && !S_ISREG(old.st_mode))
    error = write_straight(path, bytes, length);
  else {
    /* A link stays a link: what it points at is replaced. */
    char *real = exists ? realpath(path, NULL) : NULL;
    error = replace(arena, arena_format(arena, "%s", real ? real : path), exists ? &old : NULL, bytes, length);
    free(real);
  }
  arena_free(arena);
  return error ? fail_at(failure, "write", path, error) : true;
}
