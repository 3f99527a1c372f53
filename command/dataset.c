/* Where data for training comes from. Each source gives columns; that they have as many rows is checked here for all. */
#include "command/dataset.h"

#include "command/dataset_pictures.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
  CIFAR_SIDE = 32,
  CIFAR_PIXELS = 3 * CIFAR_SIDE * CIFAR_SIDE,
  CIFAR_RECORD = 1 + CIFAR_PIXELS,
  MAX_CLASSES = 1 << 20
};

static bool check_rows(const Dataset *dataset, DataPart *part, const char *which, Failure *failure) {
  const Tensor *first = part->columns.list.items;
  for (int i = 0; i < part->columns.list.count; i++) {
    const Tensor *column = &part->columns.list.items[i];
    if (column->rank == 0 || column->size[0] == 0)
      return fail(failure, EXIT_INPUT, "%.600s: '%.200s' has no rows", dataset->path, column->name);
    if (column->size[0] != first->size[0])
      return fail(failure, EXIT_INPUT, "%.400s: the %s part has %lld rows of '%.200s', but %lld of '%.200s'", dataset->path,
                  which, (long long)first->size[0], first->name, (long long)column->size[0], column->name);
    part->rows = column->size[0];
  }
  return true;
}

/* Labels from 0 on become classes; `source` names the file they came from. */
static bool count_classes(Dataset *dataset, const Tensor *labels, const char *source, Failure *failure) {
  const int32_t *label = labels->data;
  for (int64_t i = 0; i < labels->size[0]; i++) {
    if (label[i] < 0 || label[i] >= MAX_CLASSES)
      return fail(failure, EXIT_INPUT, "%.600s: label %lld is %d, outside of the classes 0 to %d", source, (long long)i,
                  (int)label[i], MAX_CLASSES - 1);
    dataset->class_count = MAX(dataset->class_count, label[i] + 1);
  }
  return true;
}

/* ---- folders ---- */

static bool is_file(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

/* The path, or with .gz behind it; NULL if there is neither. */
static const char *find_file(Arena *arena, const char *path) {
  if (is_file(path)) return path;
  const char *packed = arena_format(arena, "%s.gz", path);
  return is_file(packed) ? packed : NULL;
}

/* "train-images-idx3-ubyte", or with a '.' for the second '-'; NULL if there is none. */
static const char *find_idx(Arena *arena, const char *folder, const char *part, const char *what, int rank) {
  const char *dashed = find_file(arena, arena_format(arena, "%s/%s-%s-idx%d-ubyte", folder, part, what, rank));
  return dashed ? dashed : find_file(arena, arena_format(arena, "%s/%s-%s.idx%d-ubyte", folder, part, what, rank));
}

static bool idx_part(Arena *arena, Dataset *dataset, const char *name, DataPart *part, Failure *failure) {
  const char *images = find_idx(arena, dataset->path, name, "images", 3);
  const char *labels = find_idx(arena, dataset->path, name, "labels", 1);
  if (!images && !labels) return true;
  if (!images || !labels)
    return fail(failure, EXIT_INPUT, "%.500s: there is %s-%s, but no %s-%s", dataset->path, name,
                images ? "images-idx3-ubyte" : "labels-idx1-ubyte", name,
                images ? "labels-idx1-ubyte" : "images-idx3-ubyte");
  Tensor x, y;
  if (!read_idx(arena, images, &x, failure) || !read_idx(arena, labels, &y, failure)) return false;
  if (x.rank < 2) return fail(failure, EXIT_INPUT, "%.600s: byte 3: pictures should have rank 3, not %d", images, x.rank);
  if (y.rank != 1) return fail(failure, EXIT_INPUT, "%.600s: byte 3: labels should have rank 1, not %d", labels, y.rank);
  if (x.size[0] != y.size[0])
    return fail(failure, EXIT_INPUT, "%.400s has %lld pictures, but %.400s has %lld labels", images, (long long)x.size[0],
                labels, (long long)y.size[0]);
  int32_t *classes;
  if (!tensor_ints(arena, &y, &classes, failure)) return false;
  y.type = ELEMENT_I32;
  y.data = classes;
  x.name = "x";
  y.name = "y";
  if (!count_classes(dataset, &y, labels, failure)) return false;
  tensors_add(arena, &part->columns, x);
  tensors_add(arena, &part->columns, y);
  return true;
}

/* A record is a label and the red, green and blue planes of one picture. */
static bool cifar_part(Arena *arena, Dataset *dataset, const char *const *paths, int count, DataPart *part,
                       Failure *failure) {
  char **bytes = NEW_ARRAY(arena, char *, MAX(count, 1));
  size_t *length = NEW_ARRAY(arena, size_t, MAX(count, 1));
  int64_t rows = 0;
  for (int i = 0; i < count; i++) {
    if (!read_plain(arena, paths[i], &bytes[i], &length[i], failure)) return false;
    if (length[i] % CIFAR_RECORD)
      return fail(failure, EXIT_INPUT, "%.600s: %zu bytes are no multiple of the %d of a CIFAR-10 record", paths[i],
                  length[i], CIFAR_RECORD);
    rows += (int64_t)(length[i] / CIFAR_RECORD);
  }
  if (!count) return true;
  Tensor x = tensor_new(arena, "x", ELEMENT_U8, 4, (int64_t[]){rows, 3, CIFAR_SIDE, CIFAR_SIDE});
  Tensor y = tensor_new(arena, "y", ELEMENT_I32, 1, &rows);
  int64_t row = 0;
  for (int i = 0; i < count; i++)
    for (size_t at = 0; at < length[i]; at += CIFAR_RECORD, row++) {
      int label = (unsigned char)bytes[i][at];
      if (label > 9) return fail(failure, EXIT_INPUT, "%.600s: byte %zu: label %d is not from 0 to 9", paths[i], at, label);
      ((int32_t *)y.data)[row] = label;
      memcpy((char *)x.data + row * CIFAR_PIXELS, bytes[i] + at + 1, CIFAR_PIXELS);
    }
  dataset->class_count = 10;
  tensors_add(arena, &part->columns, x);
  tensors_add(arena, &part->columns, y);
  return true;
}

static bool read_folder(Arena *arena, Dataset *dataset, Failure *failure) {
  if (!idx_part(arena, dataset, "train", &dataset->train, failure) ||
      !idx_part(arena, dataset, "t10k", &dataset->test, failure))
    return false;
  if (dataset->train.columns.list.count) return true;
  const char *paths[5], *test = find_file(arena, arena_format(arena, "%s/test_batch.bin", dataset->path));
  int count = 0;
  for (int i = 1; i <= COUNT_OF(paths); i++) {
    paths[count] = find_file(arena, arena_format(arena, "%s/data_batch_%d.bin", dataset->path, i));
    count += paths[count] != NULL;
  }
  if (!count && has_folders(dataset->path)) return read_picture_folder(arena, dataset, failure);
  if (!count)
    return fail(failure, EXIT_INPUT,
                "%.600s: there are neither train-images-idx3-ubyte and train-labels-idx1-ubyte in it (or "
                "with .gz), nor data_batch_1.bin, nor folders of pictures",
                dataset->path);
  return cifar_part(arena, dataset, paths, count, &dataset->train, failure) &&
         cifar_part(arena, dataset, &test, test != NULL, &dataset->test, failure);
}

/* ---- csv ---- */

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Texts become indices into their sorted list, so that the order of rows does not matter. */
static bool text_labels(Arena *arena, Dataset *dataset, const TableColumn *column, Tensor *y, Failure *failure) {
  int64_t rows = y->size[0];
  const char **names = arena_copy(arena, column->texts, (size_t)rows * sizeof *names);
  qsort(names, (size_t)rows, sizeof *names, compare_texts);
  int64_t count = 0;
  for (int64_t i = 0; i < rows; i++)
    if (!count || strcmp(names[count - 1], names[i])) names[count++] = names[i];
  if (count > MAX_CLASSES)
    return fail(failure, EXIT_INPUT, "%.600s: the label has %lld different texts; %d classes are the most", dataset->path,
                (long long)count, MAX_CLASSES);
  for (int64_t i = 0; i < rows; i++) {
    const char **found = bsearch(&column->texts[i], names, (size_t)count, sizeof *names, compare_texts);
    ((int32_t *)y->data)[i] = (int32_t)(found - names);
  }
  dataset->class_names = names;
  dataset->class_count = (int)count;
  return true;
}

static bool are_classes(const TableColumn *column, int64_t rows) {
  for (int64_t i = 0; i < rows; i++)
    if (!(column->numbers[i] >= 0 && column->numbers[i] < MAX_CLASSES && column->numbers[i] == floor(column->numbers[i])))
      return false;
  return true;
}

static bool table_label(Arena *arena, Dataset *dataset, const Table *table, int label, Failure *failure) {
  const TableColumn *column = &table->column[label];
  bool classes = column->text || are_classes(column, table->rows);
  Tensor y = tensor_new(arena, "y", classes ? ELEMENT_I32 : ELEMENT_F64, 1, &table->rows);
  if (column->text) {
    if (!text_labels(arena, dataset, column, &y, failure)) return false;
  } else if (classes) {
    for (int64_t i = 0; i < table->rows; i++) ((int32_t *)y.data)[i] = (int32_t)column->numbers[i];
    if (!count_classes(dataset, &y, dataset->path, failure)) return false;
    if (table->class_count >= dataset->class_count && label == table->columns - 1) {
      dataset->class_names = table->classes;
      dataset->class_count = table->class_count;
    }
  } else {
    memcpy(y.data, column->numbers, (size_t)table->rows * sizeof(double));
  }
  tensors_add(arena, &dataset->train.columns, y);
  return true;
}

static bool read_table(Arena *arena, Dataset *dataset, const char *label_name, Failure *failure) {
  Table table;
  if (!read_csv(arena, dataset->path, &table, failure)) return false;
  if (table.rows == 0) return fail(failure, EXIT_INPUT, "%.600s: there is a header, but no row", dataset->path);
  if (table.columns < 2)
    return fail(failure, EXIT_INPUT, "%.600s: there is one column; data and a label need two", dataset->path);
  int label = label_name ? table_find(&table, label_name) : table.columns - 1;
  if (label < 0)
    return fail(failure, EXIT_INPUT,
                "%.600s: there is no column '%.200s'; give a name of the header or a number from 0 to %d", dataset->path,
                label_name, table.columns - 1);
  Tensor x = tensor_new(arena, "x", ELEMENT_F64, 2, (int64_t[]){table.rows, table.columns - 1});
  dataset->feature_names = table.header ? NEW_ARRAY(arena, const char *, table.columns) : NULL;
  for (int c = 0, feature = 0; c < table.columns; c++) {
    if (c == label) continue;
    const TableColumn *column = &table.column[c];
    if (column->text)
      return fail(failure, EXIT_INPUT,
                  "%.500s:%lld: column %d%s%.100s has text; only the label may (--label says which column "
                  "that is)",
                  dataset->path, (long long)column->first_line, c, column->name ? ", " : "",
                  column->name ? column->name : "");
    for (int64_t row = 0; row < table.rows; row++)
      ((double *)x.data)[row * (table.columns - 1) + feature] = column->numbers[row];
    if (table.header) dataset->feature_names[feature] = column->name;
    feature++;
  }
  tensors_add(arena, &dataset->train.columns, x);
  return table_label(arena, dataset, &table, label, failure);
}

/* ---- named arrays ---- */

/* "x" of "x_train", "train_x"; NULL if `part` is neither at its end nor its beginning. */
static const char *without_part(Arena *arena, const char *name, const char *part) {
  size_t length = strlen(name), word = strlen(part);
  if (length <= word + 1) return NULL;
  if (!strcmp(name + length - word, part) && name[length - word - 1] == '_')
    return arena_format(arena, "%.*s", (int)(length - word - 1), name);
  if (!strncmp(name, part, word) && name[word] == '_') return name + word + 1;
  return NULL;
}

/* "x_train" beside "train_x" or "x". */
static bool check_names(Arena *arena, const Dataset *dataset, const DataPart *part, Failure *failure) {
  int count = part->columns.list.count;
  const char **names = NEW_ARRAY(arena, const char *, count + 1);
  for (int i = 0; i < count; i++) names[i] = part->columns.list.items[i].name;
  const char *twice = name_twice(arena, names, count);
  return !twice || fail(failure, EXIT_INPUT, "%.600s: two arrays would be '%.200s' of the same part", dataset->path, twice);
}

static bool read_arrays(Arena *arena, Dataset *dataset, Failure *failure) {
  Tensors all = {0};
  if (!read_all(arena, dataset->path, &all, failure)) return false;
  if (all.list.count == 0) return fail(failure, EXIT_INPUT, "%.600s: there are no arrays in it", dataset->path);
  for (int i = 0; i < all.list.count; i++) {
    Tensor tensor = all.list.items[i];
    const char *test = without_part(arena, tensor.name, "test"), *train = without_part(arena, tensor.name, "train");
    tensor.name = test ? test : train ? train : tensor.name;
    Tensors *to = test ? &dataset->test.columns : &dataset->train.columns;
    tensors_add(arena, to, tensor);
  }
  if (!check_names(arena, dataset, &dataset->train, failure) || !check_names(arena, dataset, &dataset->test, failure))
    return false;
  if (dataset->train.columns.list.count) return true;
  dataset->train = dataset->test;
  dataset->test = (DataPart){0};
  return true;
}

bool read_dataset(Arena *arena, const char *path, const char *label, Dataset *dataset, Failure *failure) {
  *dataset = (Dataset){.path = path};
  struct stat status;
  bool there = stat(path, &status) == 0;
  if (!there && strcmp(path, "-"))
    return fail(failure, errno == EACCES ? EXIT_ENVIRONMENT : EXIT_INPUT, "%.600s: %s", path, strerror(errno));
  bool csv = text_ends(path, ".csv") || text_ends(path, ".csv.gz") || text_ends(path, ".tsv") || text_ends(path, ".tsv.gz");
  bool folder = there && S_ISDIR(status.st_mode);
  if (label && !csv) return fail(failure, EXIT_INPUT, "%.600s: --label names a column of a .csv, and this is none", path);
  bool good = folder ? read_folder(arena, dataset, failure)
              : csv  ? read_table(arena, dataset, label, failure)
                     : read_arrays(arena, dataset, failure);
  return good && check_rows(dataset, &dataset->train, "training", failure) &&
         check_rows(dataset, &dataset->test, "test", failure);
}
