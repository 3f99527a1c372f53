/* Arrays that come from files or go to them, and the readers and writers of every format.
 *
 * A Tensor is plain: an element type, sizes, elements in C order in the machine's byte order. All that a reader gives
 * lives in the arena; elements may lie inside the bytes of the file that was read. Files are not to be trusted: a reader
 * compares each size that a file claims with the bytes that are there before it allocates, and a fault is one sentence that
 * names the file and the line or byte offset. Sizes of 0 are read (an array may be empty); who needs a row says so. */
#ifndef NNC_TENSOR_H
#define NNC_TENSOR_H

#include "ir/base.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the readers and writers take the machine for little-endian, as all targets of nnc are"
#endif

enum { MAX_TENSOR_RANK = 8 };

/*             name   bytes  npy    safetensors */
#define ELEMENT_TYPES(X)                                                                                                   \
  X(ELEMENT_BOOL, "bool", 1, "|b1", "BOOL")                                                                                \
  X(ELEMENT_U8, "u8", 1, "|u1", "U8")                                                                                      \
  X(ELEMENT_I8, "i8", 1, "|i1", "I8")                                                                                      \
  X(ELEMENT_U16, "u16", 2, "<u2", "U16")                                                                                   \
  X(ELEMENT_I16, "i16", 2, "<i2", "I16")                                                                                   \
  X(ELEMENT_U32, "u32", 4, "<u4", "U32")                                                                                   \
  X(ELEMENT_I32, "i32", 4, "<i4", "I32")                                                                                   \
  X(ELEMENT_U64, "u64", 8, "<u8", "U64")                                                                                   \
  X(ELEMENT_I64, "i64", 8, "<i8", "I64")                                                                                   \
  X(ELEMENT_F16, "f16", 2, "<f2", "F16")                                                                                   \
  X(ELEMENT_BF16, "bf16", 2, NULL, "BF16")                                                                                 \
  X(ELEMENT_F32, "f32", 4, "<f4", "F32")                                                                                   \
  X(ELEMENT_F64, "f64", 8, "<f8", "F64")

#define ELEMENT_ENUM(id, name, bytes, npy, safetensors) id,
typedef enum ElementType { ELEMENT_TYPES(ELEMENT_ENUM) ELEMENT_TYPE_COUNT } ElementType;
#undef ELEMENT_ENUM

typedef struct Tensor {
  const char *name;
  ElementType type;
  int rank;
  int64_t size[MAX_TENSOR_RANK];
  void *data;
} Tensor;

typedef struct Metadata {
  const char *key, *value;
} Metadata;

/* Named tensors in the order of the file, and what safetensors keeps beside them. */
typedef struct Tensors {
  Vec(Tensor) list;
  Vec(Metadata) metadata;
} Tensors;

/* ---- tensors ---- */

const char *element_name(ElementType type); /* "f32" */
int element_bytes(ElementType type);
const char *element_npy(ElementType type);         /* "<f4"; NULL if npy has none */
const char *element_safetensors(ElementType type); /* "F32" */
/* The product of the sizes and its bytes; false if one is negative or a product does not fit. */
bool shape_bytes(ElementType type, int rank, const int64_t *size, int64_t *count, int64_t *bytes);
int64_t tensor_count(const Tensor *tensor);
Tensor tensor_new(Arena *arena, const char *name, ElementType type, int rank, const int64_t *size); /* zeroed */
char *tensor_shape(Arena *arena, const Tensor *tensor);                                             /* "[60000, 28, 28]" */
double tensor_number(const Tensor *tensor, int64_t index); /* i64 and u64 beyond 2^53 are rounded */
/* The elements as floats or ints. A number that is too large for f32, or, for ints, one with a fraction, outside of i32 or
 * not finite, is a fault that names the element. No copy is made of what already has the type. */
bool tensor_floats(Arena *arena, const Tensor *tensor, float **floats, Failure *failure);
bool tensor_ints(Arena *arena, const Tensor *tensor, int32_t **ints, Failure *failure);

void tensors_add(Arena *arena, Tensors *tensors, Tensor tensor);
const Tensor *tensors_find(const Tensors *tensors, const char *name);                 /* NULL if there is none */
void tensors_set(Arena *arena, Tensors *tensors, const char *key, const char *value); /* metadata; replaces */
const char *tensors_get(const Tensors *tensors, const char *key);                     /* NULL if there is none */

/* ---- reading ---- */

/* The file's bytes with a 0 behind them; a .gz is inflated (any name will do, by its first bytes, but for safetensors). */
bool read_plain(Arena *arena, const char *path, char **bytes, size_t *length, Failure *failure);
/* One tensor of any file: x.npy, x.npz:key, x.safetensors:key, x.csv, x.csv:column, an IDX file, x.png, x.ppm, each also
 * with .gz. A key
 * may be left out where there is one tensor. A csv gives f64 of [rows, columns], one column of it [rows]. */
bool read_any(Arena *arena, const char *path, Tensor *tensor, Failure *failure);
/* All tensors of a file of any of these formats; a csv gives one for each column, under its name or "0", "1", ... */
bool read_all(Arena *arena, const char *path, Tensors *tensors, Failure *failure);

bool read_npy(Arena *arena, const char *path, Tensor *tensor, Failure *failure);
bool read_npz(Arena *arena, const char *path, const char *key, Tensors *tensors, Failure *failure); /* NULL: all */
bool read_idx(Arena *arena, const char *path, Tensor *tensor, Failure *failure);
bool read_safetensors(Arena *arena, const char *path, Tensors *tensors, Failure *failure);

/* The same from bytes that are already here; name stands for the file in messages. */
bool parse_npy(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure);
bool parse_npz(Arena *arena, const char *name, char *bytes, size_t length, const char *key, Tensors *tensors,
               Failure *failure);
bool parse_idx(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure);
bool parse_safetensors(Arena *arena, const char *name, char *bytes, size_t length, Tensors *tensors, Failure *failure);

/* One column of a csv. A column is text if one of its fields is no number. */
typedef struct TableColumn {
  const char *name; /* from the header, or NULL */
  bool text;
  double *numbers;    /* rows of them, or NULL if text */
  const char **texts; /* rows of them, or NULL if not text */
  int64_t first_line; /* the line of the first field that is text, for messages */
} TableColumn;

/* Fields are separated by ',' (by ';' or tab if the first line has no comma), may be quoted as "a ""word""", and every line
 * has as many as the first. Lines that are empty or start with # are skipped. The first line is a header if it has text
 * above a column of numbers, or nothing but text that does not come again below it. A first line
 * "150,4,setosa,versicolor,virginica", as scikit-learn's tables have it (rows, columns before the label, classes), is taken
 * for that if the counts agree. */
typedef struct Table {
  const char *path;
  int64_t rows;
  int columns;
  bool header;
  TableColumn *column;
  const char **classes; /* of scikit-learn's first line, or NULL */
  int class_count;
} Table;
bool read_csv(Arena *arena, const char *path, Table *table, Failure *failure);
bool parse_csv(Arena *arena, const char *name, char *bytes, size_t length, Table *table, Failure *failure);
/* The column named so, or with that number from 0; -1 if there is none. */
int table_find(const Table *table, const char *name);
const char *table_column_name(Arena *arena, const Table *table, int column);

/* For the readers: inflates what `source` holds into `out`, or, with `out` NULL, only counts. window_bits as zlib's. */
typedef struct Inflate {
  const char *name; /* of the file, for messages */
  const char *source;
  size_t source_length;
  size_t source_offset; /* where source begins in the file, for messages */
  int window_bits;      /* 31: gzip, one or several members; -15: bare deflate */
} Inflate;
bool inflate_bytes(const Inflate *job, char *out, size_t *length, Failure *failure);
/* What inflates to so much from so little is refused: legal data does not, and memory would be gone. */
bool inflate_allowed(uint64_t inflated, uint64_t deflated);
void reverse_bytes(void *data, int64_t count, int bytes); /* of each element: the other byte order */
/* The elements where they are, if that is aligned, or a copy. */
void *aligned_elements(Arena *arena, char *at, int64_t bytes, ElementType type);
bool text_ends(const char *text, const char *end);
const char *name_twice(Arena *arena, const char *const *names, int count); /* one that comes twice, or NULL */

/* ---- writing: the file is the old or the new one whole, and equal input gives equal bytes ---- */

bool write_npy(const char *path, const Tensor *tensor, Failure *failure);
bool write_npz(const char *path, const Tensors *tensors, Failure *failure); /* stored, dated 1980-01-01 */
/* Columns side by side under a header: tensors of rank 0 to 2 whose rows agree; a matrix "p" becomes p.0, p.1, ... */
bool write_csv(const char *path, const Tensors *tensors, Failure *failure);
bool write_safetensors(const char *path, const Tensors *tensors, Failure *failure);
bool write_all(const char *path, const Tensors *tensors, Failure *failure); /* by the name's ending */

#endif
