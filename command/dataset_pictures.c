/* A folder of pictures by class:
 *
 *     FOLDER/cat/1.png FOLDER/cat/2.ppm ... FOLDER/dog/1.png ...                    all to train on
 *     FOLDER/train/cat/1.png ... FOLDER/test/cat/7.png ...                           two parts
 *
 * A class is the name of its folder; classes and files are taken in the order of their names' bytes, so that the data do not
 * depend on the file system. All pictures have one size; if one of them has colors, all get them. Other files are left
 * alone, as pictures often lie beside notes. */
#include "command/dataset_pictures.h"

#include "command/picture.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef Vec(const char *) Names;

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_folder(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The names in a folder, sorted: of folders, or of pictures. */
static bool list_names(Arena *arena, const char *folder, bool folders, Names *names, Failure *failure) {
  *names = (Names){0};
  DIR *directory = opendir(folder);
  if (!directory)
    return fail(failure, errno == EACCES ? EXIT_ENVIRONMENT : EXIT_INPUT, "%.600s: %s", folder, strerror(errno));
  struct dirent *item;
  while ((errno = 0, item = readdir(directory))) {
    if (item->d_name[0] == '.' || (!folders && !is_picture_name(item->d_name))) continue;
    const char *name = arena_format(arena, "%s", item->d_name);
    if (!folders || is_folder(arena_format(arena, "%s/%s", folder, name))) PUSH(arena, names, name);
  }
  bool good = errno == 0 || fail(failure, EXIT_ENVIRONMENT, "%.600s: %s", folder, strerror(errno));
  closedir(directory);
  if (names->count) qsort(names->items, (size_t)names->count, sizeof *names->items, compare_texts);
  return good;
}

/* ---- one part ---- */

typedef struct Pictures {
  Arena *arena;
  Vec(const char *) paths;
  Vec(int32_t) labels;
  int64_t channels, height, width;
  Failure *failure;
} Pictures;

static bool list_pictures(Pictures *pictures, const char *folder, const Names *classes) {
  for (int c = 0; c < classes->count; c++) {
    Names files;
    const char *of_class = arena_format(pictures->arena, "%s/%s", folder, classes->items[c]);
    if (!is_folder(of_class)) continue; /* a part need not have all classes */
    if (!list_names(pictures->arena, of_class, false, &files, pictures->failure)) return false;
    for (int k = 0; k < files.count; k++) {
      PUSH(pictures->arena, &pictures->paths, arena_format(pictures->arena, "%s/%s", of_class, files.items[k]));
      PUSH(pictures->arena, &pictures->labels, c);
    }
  }
  return true;
}

/* The first picture tells the size of all; its channels may grow. */
static bool check_size(Pictures *pictures, const char *path, const Tensor *picture) {
  if (pictures->height == 0) {
    pictures->height = picture->size[1];
    pictures->width = picture->size[2];
  }
  if (picture->size[1] == pictures->height && picture->size[2] == pictures->width) return true;
  return fail(pictures->failure, EXIT_INPUT, "%.400s is %lld pixels wide and %lld high, but %.400s %lld and %lld", path,
              (long long)picture->size[2], (long long)picture->size[1], pictures->paths.items[0],
              (long long)pictures->width, (long long)pictures->height);
}

static bool read_one(Arena *scratch, Pictures *pictures, int index, Tensor *picture) {
  const char *path = pictures->paths.items[index];
  return read_any(scratch, path, picture, pictures->failure) && check_size(pictures, path, picture);
}

/* Twice the files: first for sizes and channels, so that memory is asked for once. */
static bool read_pixels(Pictures *pictures, Tensor *x) {
  int count = pictures->paths.count;
  Tensor picture;
  bool good = true;
  pictures->channels = 1;
  for (int turn = 0; turn < 2 && good; turn++) {
    if (turn == 1)
      *x = tensor_new(pictures->arena, "x", ELEMENT_U8, 4,
                      (int64_t[]){count, pictures->channels, pictures->height, pictures->width});
    int64_t bytes = pictures->channels * pictures->height * pictures->width;
    for (int k = 0; k < count && good; k++) {
      Arena *scratch = arena_new();
      good = read_one(scratch, pictures, k, &picture);
      if (good && turn == 0 && picture.size[0] >= 3) pictures->channels = 3;
      if (good && turn == 1)
        memcpy((char *)x->data + k * bytes, picture_channels(scratch, &picture, (int)pictures->channels).data,
               (size_t)bytes);
      arena_free(scratch);
    }
  }
  return good;
}

static bool read_part(Pictures *pictures, const char *folder, const Names *classes, DataPart *part) {
  pictures->paths.count = pictures->labels.count = 0;
  if (!list_pictures(pictures, folder, classes)) return false;
  if (pictures->paths.count == 0)
    return fail(pictures->failure, EXIT_INPUT, "%.600s: there are no pictures in the folders in it", folder);
  Tensor x = {0}, y = tensor_new(pictures->arena, "y", ELEMENT_I32, 1, (int64_t[]){pictures->labels.count});
  if (!read_pixels(pictures, &x)) return false;
  memcpy(y.data, pictures->labels.items, (size_t)pictures->labels.count * sizeof(int32_t));
  tensors_add(pictures->arena, &part->columns, x);
  tensors_add(pictures->arena, &part->columns, y);
  return true;
}

/* ---- both ---- */

bool has_folders(const char *path) {
  Arena *arena = arena_new();
  Failure failure = {0};
  Names names;
  bool found = list_names(arena, path, true, &names, &failure) && names.count > 0;
  arena_free(arena);
  return found;
}

bool read_picture_folder(Arena *arena, Dataset *dataset, Failure *failure) {
  const char *train = arena_format(arena, "%s/train", dataset->path), *test = arena_format(arena, "%s/test", dataset->path);
  bool parts = is_folder(train);
  Names classes;
  Pictures pictures = {.arena = arena, .failure = failure};
  if (!parts) train = dataset->path;
  if (!list_names(arena, train, true, &classes, failure)) return false;
  dataset->class_names = classes.items;
  dataset->class_count = classes.count;
  if (!read_part(&pictures, train, &classes, &dataset->train)) return false;
  if (!parts || !is_folder(test)) return true;
  Names others;
  if (!list_names(arena, test, true, &others, failure)) return false;
  for (int k = 0; k < others.count; k++)
    if (!bsearch(&others.items[k], classes.items, (size_t)classes.count, sizeof *classes.items, compare_texts))
      return fail(failure, EXIT_INPUT, "%.400s has a class '%.200s', which %.400s has not", test, others.items[k], train);
  return read_part(&pictures, test, &classes, &dataset->test);
}
