/* One way in for files of any format, told by the name's ending, else by the first bytes. */
#include "command/picture.h"

#include <string.h>

typedef enum Format {
  FORMAT_NONE,
  FORMAT_NPY,
  FORMAT_NPZ,
  FORMAT_CSV,
  FORMAT_SAFETENSORS,
  FORMAT_IDX,
  FORMAT_PNG,
  FORMAT_PNM
} Format;

static Format format_of_name(const char *path, size_t length) {
  static const struct {
    const char *end;
    Format format;
  } endings[] = {{".npy", FORMAT_NPY},
                 {".npz", FORMAT_NPZ},
                 {".csv", FORMAT_CSV},
                 {".tsv", FORMAT_CSV},
                 {".safetensors", FORMAT_SAFETENSORS},
                 {"-ubyte", FORMAT_IDX},
                 {".idx", FORMAT_IDX},
                 {".png", FORMAT_PNG},
                 {".ppm", FORMAT_PNM},
                 {".pgm", FORMAT_PNM},
                 {".pnm", FORMAT_PNM}};
  if (length > 3 && !memcmp(path + length - 3, ".gz", 3)) length -= 3;
  for (int i = 0; i < COUNT_OF(endings); i++) {
    size_t end = strlen(endings[i].end);
    if (length >= end && !memcmp(path + length - end, endings[i].end, end)) return endings[i].format;
  }
  return FORMAT_NONE;
}

static Format format_of_bytes(const char *bytes, size_t length) {
  if (length >= 6 && !memcmp(bytes, "\x93NUMPY", 6)) return FORMAT_NPY;
  if (length >= 4 && (!memcmp(bytes, "PK\3\4", 4) || !memcmp(bytes, "PK\5\6", 4))) return FORMAT_NPZ;
  if (length >= 4 && !bytes[0] && !bytes[1] && bytes[2] >= 8 && bytes[2] <= 14) return FORMAT_IDX;
  if (length >= 9 && bytes[8] == '{' && !bytes[7]) return FORMAT_SAFETENSORS;
  if (length && !memchr(bytes, 0, MIN(length, (size_t)4096))) return FORMAT_CSV;
  return FORMAT_NONE;
}

/* "x.npz:key": the file's name ends before a ':' that follows a known ending. */
static const char *split_key(Arena *arena, const char *path, const char **key) {
  *key = NULL;
  const char *colon = strrchr(path, ':');
  if (!colon || !colon[1] || format_of_name(path, strlen(path)) != FORMAT_NONE) return path;
  if (format_of_name(path, (size_t)(colon - path)) == FORMAT_NONE) return path;
  *key = colon + 1;
  return arena_format(arena, "%.*s", (int)(colon - path), path);
}

static bool read_format(Arena *arena, const char *path, char **bytes, size_t *length, Format *format, Failure *failure) {
  if (!read_plain(arena, path, bytes, length, failure)) return false;
  *format = format_of_name(path, strlen(path));
  if (*format == FORMAT_NONE) *format = format_of_bytes(*bytes, *length);
  return *format != FORMAT_NONE ||
         fail(failure, EXIT_INPUT,
              "%.600s: byte 0: this is none of npy, npz, csv, safetensors, IDX, png, ppm (each may be .gz)", path);
}

static Tensor table_tensor(Arena *arena, const Table *table, int first, int columns, int rank) {
  Tensor tensor = tensor_new(arena, table->path, ELEMENT_F64, rank, (int64_t[]){table->rows, columns});
  for (int c = 0; c < columns; c++)
    for (int64_t row = 0; row < table->rows; row++)
      ((double *)tensor.data)[row * columns + c] = table->column[first + c].numbers[row];
  return tensor;
}

static bool no_text(const Table *table, int column, Failure *failure) {
  const TableColumn *c = &table->column[column];
  return !c->text || fail(failure, EXIT_INPUT, "%.600s:%lld: column %d%s%.100s has text where a number is wanted",
                          table->path, (long long)c->first_line, column, c->name ? ", " : "", c->name ? c->name : "");
}

static bool from_table(Arena *arena, const Table *table, const char *key, Tensor *tensor, Failure *failure) {
  if (table->rows == 0) return fail(failure, EXIT_INPUT, "%.600s: there is a header, but no row", table->path);
  int first = 0, columns = table->columns;
  if (key) {
    first = table_find(table, key);
    if (first < 0)
      return fail(failure, EXIT_INPUT, "%.600s: there is no column '%.200s'; its %d columns are %s%s%.200s", table->path,
                  key, columns, columns > 1 ? "0 and on" : "0", table->header ? ", the first one named " : "",
                  table->header ? table->column[0].name : "");
    columns = 1;
  }
  for (int c = first; c < first + columns; c++)
    if (!no_text(table, c, failure)) return false;
  *tensor = table_tensor(arena, table, first, columns, key ? 1 : 2);
  return true;
}

static bool choose(const Tensors *tensors, const char *path, const char *key, Tensor *tensor, Failure *failure) {
  const Tensor *found = key ? tensors_find(tensors, key) : tensors->list.count == 1 ? tensors->list.items : NULL;
  if (found) return *tensor = *found, true;
  Text names = {0};
  for (int i = 0; i < tensors->list.count && names.length < 300; i++)
    text_add(&names, "%s%s", i ? ", " : "", tensors->list.items[i].name);
  if (key)
    fail(failure, EXIT_INPUT, "%.500s: there is no tensor '%.100s' in it; there are: %.300s", path, key,
         names.length ? names.bytes : "none");
  else
    fail(failure, EXIT_INPUT, "%.500s: it holds %d tensors; say which, as in %.100s:NAME; there are: %.300s", path,
         tensors->list.count, path, names.length ? names.bytes : "none");
  text_free(&names);
  return false;
}

/* Of a format that holds one tensor. */
static bool parse_one(Arena *arena, Format format, const char *path, char *bytes, size_t length, Tensor *tensor,
                      Failure *failure) {
  switch (format) {
  case FORMAT_NPY: return parse_npy(arena, path, bytes, length, tensor, failure);
  case FORMAT_PNG: return parse_png(arena, path, bytes, length, tensor, failure);
  case FORMAT_PNM: return parse_pnm(arena, path, bytes, length, tensor, failure);
  default: return parse_idx(arena, path, bytes, length, tensor, failure);
  }
}

bool read_any(Arena *arena, const char *path, Tensor *tensor, Failure *failure) {
  char *bytes;
  const char *key, *file = split_key(arena, path, &key);
  size_t length;
  Format format;
  if (!read_format(arena, file, &bytes, &length, &format, failure)) return false;
  Tensors tensors = {0};
  Table table;
  switch (format) {
  case FORMAT_NPZ:
    return parse_npz(arena, file, bytes, length, key, &tensors, failure) && choose(&tensors, file, key, tensor, failure);
  case FORMAT_SAFETENSORS:
    return parse_safetensors(arena, file, bytes, length, &tensors, failure) && choose(&tensors, file, key, tensor, failure);
  case FORMAT_CSV:
    return parse_csv(arena, file, bytes, length, &table, failure) && from_table(arena, &table, key, tensor, failure);
  default: break;
  }
  if (key) return fail(failure, EXIT_INPUT, "%.600s: it holds one array; leave out ':%.200s'", file, key);
  return parse_one(arena, format, file, bytes, length, tensor, failure);
}

bool read_all(Arena *arena, const char *path, Tensors *tensors, Failure *failure) {
  char *bytes;
  size_t length;
  Format format;
  if (!read_format(arena, path, &bytes, &length, &format, failure)) return false;
  if (format == FORMAT_NPZ) return parse_npz(arena, path, bytes, length, NULL, tensors, failure);
  if (format == FORMAT_SAFETENSORS) return parse_safetensors(arena, path, bytes, length, tensors, failure);
  Tensor tensor;
  if (format == FORMAT_CSV) {
    Table table;
    if (!parse_csv(arena, path, bytes, length, &table, failure)) return false;
    for (int c = 0; c < table.columns; c++) {
      if (!no_text(&table, c, failure)) return false;
      tensor = table_tensor(arena, &table, c, 1, 1);
      tensor.name = table_column_name(arena, &table, c);
      tensors_add(arena, tensors, tensor);
    }
    return true;
  }
  if (!parse_one(arena, format, path, bytes, length, &tensor, failure)) return false;
  tensors_add(arena, tensors, tensor);
  return true;
}
