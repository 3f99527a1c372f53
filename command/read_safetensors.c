/* safetensors.
 *
 *     length of the header (8 bytes, little-endian)  header (JSON)  elements
 *
 *     {"__metadata__": {"epoch": "3"}, "conv.weight": {"dtype": "F32", "shape": [6, 1, 5, 5], "data_offsets": [0, 600]}}
 *
 * The offsets must tile the bytes behind the header: no gap, no overlap, nothing left over. cJSON builds a tree of many
 * times the text's size, so the text is first looked over for what no good header holds: lists of more than 8 items and
 * braces three deep. */
#include "command/tensor.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000, MAX_DEPTH = 3 };

typedef struct Reader {
  Arena *arena;
  const char *name;
  const char *header;
  size_t header_length;
  Failure *failure;
} Reader;

/* Where a tensor's bytes are, to see that all of them tile the file. */
typedef struct Extent {
  int64_t begin, end;
  const char *name;
} Extent;

static bool header_fault(const Reader *r, size_t at, const char *wrong) {
  return fail(r->failure, EXIT_INPUT, "%.600s: byte %zu: %s", r->name, LENGTH_BYTES + at, wrong);
}

static bool tensor_fault(const Reader *r, const char *tensor, const char *wrong) {
  return fail(r->failure, EXIT_INPUT, "%.500s: tensor '%.200s': %s", r->name, tensor, wrong);
}

/* The bound on what cJSON will build. */
static bool modest(const Reader *r) {
  int depth = 0, items = 0;
  bool quoted = false, list = false;
  for (size_t i = 0; i < r->header_length; i++) {
    char c = r->header[i];
    if (quoted) {
      if (c == '\\') {
        if (r->header_length - i > 5 && !memcmp(r->header + i, "\\u0000", 6))
          return header_fault(r, i, "a name holds a zero character");
        i++;
      }
      quoted = c != '"';
      continue;
    }
    if (c == 0) return header_fault(r, i, "the header holds a zero byte");
    if (c == '"') quoted = true;
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c == '[') list = true, items = 0;
    if (c == ']') list = false;
    if (c == ',' && list) items++;
    if (depth > MAX_DEPTH) return header_fault(r, i, "the header is nested too deeply");
    if (items >= MAX_TENSOR_RANK) return header_fault(r, i, "a shape of more than 8 sizes is not read");
  }
  return true;
}

static bool whole_number(const cJSON *item, int64_t *number) {
  if (!cJSON_IsNumber(item)) return false;
  double value = item->valuedouble;
  if (!(value >= 0 && value <= 9007199254740992.0)) return false;
  *number = (int64_t)value;
  return (double)*number == value;
}

static bool read_shape(const Reader *r, const cJSON *list, Tensor *tensor) {
  if (!cJSON_IsArray(list)) return tensor_fault(r, tensor->name, "its shape is missing or no list");
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (tensor->rank == MAX_TENSOR_RANK) return tensor_fault(r, tensor->name, "more than 8 sizes are not read");
    if (!whole_number(item, &tensor->size[tensor->rank++]))
      return tensor_fault(r, tensor->name, "a size is not an integer from 0 to 2^53");
  }
  return true;
}

static bool read_type(const Reader *r, const cJSON *dtype, Tensor *tensor) {
  if (!cJSON_IsString(dtype)) return tensor_fault(r, tensor->name, "its dtype is missing or no string");
  for (int type = 0; type < ELEMENT_TYPE_COUNT; type++) {
    if (strcmp(element_safetensors((ElementType)type), dtype->valuestring)) continue;
    tensor->type = (ElementType)type;
    return true;
  }
  return fail(r->failure, EXIT_INPUT,
              "%.500s: tensor '%.200s': dtype '%.40s' is not known (F16 to F64, BF16, I8 to U64 and "
              "BOOL are)",
              r->name, tensor->name, dtype->valuestring);
}

static bool read_tensor(const Reader *r, const cJSON *entry, int64_t data, Tensor *tensor, Extent *extent) {
  *tensor = (Tensor){.name = arena_copy(r->arena, entry->string, strlen(entry->string) + 1)};
  if (!cJSON_IsObject(entry)) return tensor_fault(r, tensor->name, "it should be {\"dtype\", \"shape\", \"data_offsets\"}");
  if (cJSON_GetArraySize(entry) != 3)
    return tensor_fault(r, tensor->name, "it should have dtype, shape and data_offsets, each once, and nothing else");
  const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
  if (!read_type(r, cJSON_GetObjectItemCaseSensitive(entry, "dtype"), tensor) ||
      !read_shape(r, cJSON_GetObjectItemCaseSensitive(entry, "shape"), tensor))
    return false;
  if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole_number(offsets->child, &extent->begin) ||
      !whole_number(offsets->child->next, &extent->end))
    return tensor_fault(r, tensor->name, "its data_offsets should be two integers");
  extent->name = tensor->name;
  int64_t count, bytes;
  if (!shape_bytes(tensor->type, tensor->rank, tensor->size, &count, &bytes))
    return tensor_fault(r, tensor->name, "the product of its sizes does not fit 63 bits");
  if (extent->begin > extent->end) return tensor_fault(r, tensor->name, "its data_offsets are reversed");
  if (extent->end > data)
    return fail(r->failure, EXIT_INPUT, "%.500s: tensor '%.200s': it ends at byte %lld of the data, which has %lld",
                r->name, tensor->name, (long long)extent->end, (long long)data);
  if (extent->end - extent->begin != bytes)
    return fail(r->failure, EXIT_INPUT, "%.500s: tensor '%.200s': %s of %s are %lld bytes, but its data_offsets span %lld",
                r->name, tensor->name, tensor_shape(r->arena, tensor), element_name(tensor->type), (long long)bytes,
                (long long)(extent->end - extent->begin));
  return true;
}

static bool read_metadata(const Reader *r, const cJSON *entries, Tensors *tensors) {
  if (!cJSON_IsObject(entries)) return header_fault(r, 0, "__metadata__ should be an object of strings");
  const cJSON *entry;
  Vec(const char *) keys = {0};
  cJSON_ArrayForEach(entry, entries) {
    if (!cJSON_IsString(entry))
      return fail(r->failure, EXIT_INPUT, "%.600s: __metadata__ '%.200s' is no string", r->name, entry->string);
    Metadata item = {arena_copy(r->arena, entry->string, strlen(entry->string) + 1),
                     arena_copy(r->arena, entry->valuestring, strlen(entry->valuestring) + 1)};
    PUSH(r->arena, &tensors->metadata, item);
    PUSH(r->arena, &keys, item.key);
  }
  const char *twice = name_twice(r->arena, keys.items, keys.count);
  return !twice || fail(r->failure, EXIT_INPUT, "%.600s: __metadata__ has '%.200s' twice", r->name, twice);
}

static int by_begin(const void *a, const void *b) {
  const Extent *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

static bool check_tiling(const Reader *r, Extent *extents, int count, int64_t data) {
  if (count) qsort(extents, (size_t)count, sizeof *extents, by_begin);
  int64_t end = 0;
  for (int i = 0; i < count; i++) {
    if (extents[i].begin != end)
      return fail(r->failure, EXIT_INPUT,
                  "%.500s: tensor '%.200s': it starts at byte %lld of the data, %s byte %lld, where "
                  "the one before it ends",
                  r->name, extents[i].name, (long long)extents[i].begin,
                  extents[i].begin < end ? "overlapping" : "after a gap from", (long long)end);
    end = extents[i].end;
  }
  return end == data || fail(r->failure, EXIT_INPUT, "%.600s: byte %lld: %lld bytes follow the last tensor", r->name,
                             (long long)(LENGTH_BYTES + (int64_t)r->header_length + end), (long long)(data - end));
}

static bool read_header(const Reader *r, const cJSON *tree, char *elements, int64_t data, Tensors *tensors) {
  const cJSON *entry;
  Vec(Extent) extents = {0};
  Vec(const char *) names = {0};
  int metadata = 0;
  cJSON_ArrayForEach(entry, tree) {
    if (!strcmp(entry->string, "__metadata__")) {
      if (metadata++) return header_fault(r, 0, "__metadata__ comes twice");
      if (!read_metadata(r, entry, tensors)) return false;
      continue;
    }
    Tensor tensor;
    Extent extent;
    if (!read_tensor(r, entry, data, &tensor, &extent)) return false;
    int64_t bytes = extent.end - extent.begin;
    tensor.data = aligned_elements(r->arena, elements + extent.begin, bytes, tensor.type);
    tensors_add(r->arena, tensors, tensor);
    PUSH(r->arena, &extents, extent);
    PUSH(r->arena, &names, tensor.name);
  }
  const char *twice = name_twice(r->arena, names.items, names.count);
  if (twice) return fail(r->failure, EXIT_INPUT, "%.600s: two tensors are named '%.300s'", r->name, twice);
  return check_tiling(r, extents.items, extents.count, data);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (!memory) out_of_memory();
  return memory;
}

bool parse_safetensors(Arena *arena, const char *name, char *bytes, size_t length, Tensors *tensors, Failure *failure) {
  if (length < LENGTH_BYTES)
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: a safetensors file starts with 8 bytes", name, length);
  uint64_t header = 0;
  for (int i = 0; i < LENGTH_BYTES; i++) header |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
  if (header > MAX_HEADER_BYTES)
    return fail(failure, EXIT_INPUT, "%.600s: byte 0: a header of %llu bytes is claimed; 100 MB is the most", name,
                (unsigned long long)header);
  if (header > length - LENGTH_BYTES)
    return fail(failure, EXIT_INPUT, "%.600s: byte 0: a header of %llu bytes is claimed, but %zu are there", name,
                (unsigned long long)header, length - LENGTH_BYTES);
  Reader r = {arena, name, bytes + LENGTH_BYTES, header, failure};
  if (header == 0 || *r.header != '{') return header_fault(&r, 0, "the header should start with '{'");
  if (!modest(&r)) return false;
  const char *end = NULL;
  cJSON_InitHooks(&(cJSON_Hooks){allocate, free}); /* else a want of memory would look like a bad header */
  cJSON *tree = cJSON_ParseWithLengthOpts(r.header, header, &end, 0);
  bool good = cJSON_IsObject(tree);
  if (!good) header_fault(&r, end ? (size_t)(end - r.header) : 0, "the header is no JSON object");
  while (good && end < r.header + header) {
    good = *end == ' ' || *end == '\n' || *end == '\t' || *end == '\r';
    if (!good) header_fault(&r, (size_t)(end - r.header), "only spaces may follow the header's '}'");
    end++;
  }
  int64_t data = (int64_t)(length - LENGTH_BYTES - header);
  good = good && read_header(&r, tree, bytes + LENGTH_BYTES + header, data, tensors);
  cJSON_Delete(tree);
  return good;
}

bool read_safetensors(Arena *arena, const char *path, Tensors *tensors, Failure *failure) {
  char *bytes;
  size_t length;
  return read_plain(arena, path, &bytes, &length, failure) &&
         parse_safetensors(arena, path, bytes, length, tensors, failure);
}
