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

/* A file on its way. */
typedef struct Writing {
  const FileBytes *file;
  char *path;   /* what is replaced: a link stays a link, and what it points at gets a new file */
  char *beside; /* room for the name of the file beside it; NULL: it is no plain file, and written straight at the end */
  bool exists, made;
  mode_t mode;
} Writing;

enum { BESIDE_ROOM = 64 };

/* All that needs memory: a want of it ends the program, when no file may lie about yet. */
static int prepare(Arena *arena, Writing *writing) {
  struct stat old;
  const char *path = writing->file->path;
  writing->exists = stat(path, &old) == 0;
  writing->path = arena_format(arena, "%s", path);
  if (!writing->exists) {
    writing->beside = arena_alloc(arena, strlen(path) + BESIDE_ROOM);
    return 0;
  }
  writing->mode = old.st_mode;
  if (S_ISDIR(old.st_mode)) return EISDIR;
  if (!S_ISREG(old.st_mode)) return 0;
  char *real = realpath(path, NULL);
  if (!real) return errno;
  writing->path = arena_format(arena, "%s", real);
  writing->beside = arena_alloc(arena, strlen(real) + BESIDE_ROOM);
  free(real);
  return 0;
}

static int open_beside(Writing *writing) {
  for (int attempt = 0; attempt < 100; attempt++) {
    snprintf(writing->beside, strlen(writing->path) + BESIDE_ROOM, "%s.%ld.%d.tmp", writing->path, (long)getpid(), attempt);
    int file = open(writing->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

static int write_beside(Writing *writing) {
  if (!writing->beside) return 0;
  int file = open_beside(writing);
  if (file < 0) return errno;
  writing->made = true;
  int error = write_all(file, writing->file->bytes, writing->file->length);
  if (!error && writing->exists && fchmod(file, writing->mode & 07777) < 0) error = errno;
  if (!error) error = sync_file(file);
  if (close(file) < 0 && !error && errno != EINTR) error = errno;
  return error;
}

static int take_place(Writing *writing) {
  if (!writing->beside) return write_straight(writing->path, writing->file->bytes, writing->file->length);
  if (rename(writing->beside, writing->path) < 0) return errno;
  writing->made = false;
  sync_folder_of(writing->path);
  return 0;
}

static bool write_standard(const FileBytes *file, Failure *failure) {
  int error = write_all(STDOUT_FILENO, file->bytes, file->length);
  return error ? fail(failure, EXIT_ENVIRONMENT, "cannot write standard output: %s", strerror(error)) : true;
}

bool write_files(const FileBytes *files, int count, Failure *failure) {
  if (count == 1 && strcmp(files->path, "-") == 0) return write_standard(files, failure);
  static int (*const deeds[])(Writing *) = {write_beside, take_place};
  Arena *arena = arena_new();
  Writing *writings = NEW_ARRAY(arena, Writing, count);
  int error = 0;
  const char *path = "";
  for (int k = 0; k < count && !error; k++) {
    path = files[k].path;
    writings[k].file = &files[k];
    error = prepare(arena, &writings[k]);
  }
  for (int deed = 0; deed < COUNT_OF(deeds); deed++) {
    for (int k = 0; k < count && !error; k++) {
      path = files[k].path;
      error = deeds[deed](&writings[k]);
    }
  }
  for (int k = 0; k < count; k++) {
    if (writings[k].made) unlink(writings[k].beside);
  }
  arena_free(arena);
  return error ? fail_at(failure, "write", path, error) : true;
}

bool write_file(const char *path, const void *bytes, size_t length, Failure *failure) {
  return write_files(&(FileBytes){path, bytes, length}, 1, failure);
}
