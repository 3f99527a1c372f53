/* A cache file: what it is, the key's length, the key, the code, and a sum of all of these. */
#include "command/cache.h"

#include "codegen/cuda/cuda.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "nnc code";

/* ---- the folder ---- */

/* Makes it where it is missing, for the user alone. */
static const char *folder_of_cache(Arena *arena) {
  const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (!base || base[0] != '/') { /* the standard: a relative path is to be ignored */
    if (!home || home[0] != '/') return NULL;
    base = arena_format(arena, "%s/.cache", home);
  }
  const char *folder = arena_format(arena, "%s/nnc", base);
  mkdir(base, 0700);
  mkdir(folder, 0700);
  return access(folder, R_OK | W_OK | X_OK) == 0 ? folder : NULL;
}

/* ---- the key ---- */

/* Which nnc this is: the file that runs, as it lies on the disk. A new build is another, and keeps nothing of the old. */
static bool add_program(Text *key) {
  struct stat status;
  if (stat("/proc/self/exe", &status) != 0) return false;
  text_add(key, "nnc %s %llu %llu %lld %lld.%09ld\n", NNC_VERSION, (unsigned long long)status.st_dev,
           (unsigned long long)status.st_ino, (long long)status.st_size, (long long)status.st_mtim.tv_sec,
           status.st_mtim.tv_nsec);
  return true;
}

/* Names count too, since kernels tell them. */
static void add_sources(const Module *module, Text *key) {
  for (int k = 0; k < module->sources.count; k++) {
    const Source *source = module->sources.items[k];
    const char *slash = strrchr(source->name, '/');
    text_add(key, "%s %zu\n", slash ? slash + 1 : source->name, source->length);
    text_add_bytes(key, source->text, source->length);
  }
}

Cached cache_find(Arena *arena, const Program *program, const Settings *settings) {
  Cached cached = {0};
  CodegenOptions codegen = program_codegen(program, settings);
  bool cuda = target_is_cuda(settings); /* by a compiler of the user's own, nobody can tell what its code depends on */
  bool none = settings->no_cache || (cuda && getenv("NNC_NVRTC"));
  const char *folder = none ? NULL : folder_of_cache(arena);
  if (!folder || !add_program(&cached.key) || !codegen_circumstances(&codegen, &cached.key)) return cached;
  text_add(&cached.key, "no-fuse %d, fast-conv %d, passed %d, memory %lld, sanitize %d, entries", settings->no_fuse,
           settings->fast_conv, program->passed, (long long)settings->memory, settings_sanitizer(settings));
  for (int k = 0; k < program->module->entries.count; k++)
    text_add(&cached.key, " %s", program->module->entries.items[k]->name);
  text_add(&cached.key, "\n");
  if (cuda)
    text_add(&cached.key, "cuda %s %s\n", settings->gpu ? settings->gpu : cuda_default_architectures,
             precision_info[settings_precision(settings)].name);
  add_sources(program->module, &cached.key);
  uint64_t hash = hash_bytes(cached.key.bytes, cached.key.length);
  cached.path = arena_format(arena, "%s/%s.%016llx", folder, program->module->name, (unsigned long long)hash);
  return cached;
}

void cache_forget(Cached *cached) { text_free(&cached->key); }

/* ---- reading ---- */

bool cache_read(Arena *arena, const Cached *cached, const char **code, size_t *length) {
  enum { HEAD = sizeof magic + sizeof(uint64_t) };
  Failure ignored = {0};
  char *bytes;
  size_t all;
  uint64_t key, sum;
  if (!cached->path || !read_file(arena, cached->path, &bytes, &all, &ignored)) return false;
  if (all < HEAD + sizeof sum || memcmp(bytes, magic, sizeof magic) != 0) return false;
  size_t end = all - sizeof sum;
  memcpy(&key, bytes + sizeof magic, sizeof key);
  memcpy(&sum, bytes + end, sizeof sum);
  if (key != cached->key.length || key > end - HEAD || memcmp(bytes + HEAD, cached->key.bytes, key) != 0) return false;
  if (hash_bytes(bytes, end) != sum) return false;
  *code = bytes + HEAD + key;
  *length = end - HEAD - key;
  utimensat(AT_FDCWD, cached->path, NULL, 0); /* it was used now */
  return true;
}

/* ---- writing ---- */

typedef struct Kept {
  const char *path;
  struct timespec used;
  int64_t bytes;
} Kept;

static int by_use(const void *a, const void *b) {
  const Kept *one = a, *other = b;
  if (one->used.tv_sec != other->used.tv_sec) return one->used.tv_sec < other->used.tv_sec ? -1 : 1;
  return (one->used.tv_nsec > other->used.tv_nsec) - (one->used.tv_nsec < other->used.tv_nsec);
}

/* Removes what was not used for longest until the rest is small enough; what a killed write left goes the same way. */
static void make_room(const char *file) {
  Arena *arena = arena_new();
  Vec(Kept) kept = {0};
  int64_t total = 0;
  const char *folder = arena_format(arena, "%.*s", (int)(strrchr(file, '/') - file), file);
  DIR *open = opendir(folder);
  for (struct dirent *item; open && (item = readdir(open));) {
    struct stat status;
    const char *path = arena_format(arena, "%s/%s", folder, item->d_name);
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode)) continue;
    PUSH(arena, &kept, ((Kept){path, status.st_mtim, status.st_size}));
    total += status.st_size;
  }
  if (open) closedir(open);
  if (kept.count > 0) qsort(kept.items, (size_t)kept.count, sizeof *kept.items, by_use);
  for (int k = 0; k < kept.count && total > CACHE_BYTES; k++)
    if (unlink(kept.items[k].path) == 0) total -= kept.items[k].bytes;
  arena_free(arena);
}

void cache_write(const Cached *cached, const Text *code) {
  Failure ignored = {0};
  Text file = {0};
  uint64_t key = cached->key.length;
  if (!cached->path) return;
  text_add_bytes(&file, magic, sizeof magic);
  text_add_bytes(&file, (const char *)&key, sizeof key);
  text_add_bytes(&file, cached->key.bytes, cached->key.length);
  text_add_bytes(&file, code->bytes, code->length);
  uint64_t sum = hash_bytes(file.bytes, file.length);
  text_add_bytes(&file, (const char *)&sum, sizeof sum);
  if (file.length < CACHE_BYTES / 2 && write_file(cached->path, file.bytes, file.length, &ignored)) make_room(cached->path);
  text_free(&file);
}
