/* Checkpoints for programs that link a model. A safetensors file is 8 bytes of header length (little-endian), a JSON object
 * that names each tensor's dtype, shape and place, then the data. The file is not trusted: every length and offset is held
 * against what was read before it is used. */
#include "checkpoint.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_LIMIT = 100 << 20 };

typedef struct Message {
  char *text;
  size_t size;
} Message;

#if defined(__GNUC__)
__attribute__((__format__(__printf__, 2, 3)))
#endif
static int
refuse(Message *message, const char *format, ...) {
  va_list list;
  va_start(list, format);
  if (message->size > 0) vsnprintf(message->text, message->size, format, list);
  va_end(list);
  return -1;
}

typedef struct Bytes {
  unsigned char *data;
  size_t length;
} Bytes;

static int read_whole(const char *path, Bytes *bytes, Message *message) {
  size_t capacity = 0;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return refuse(message, "%s: %s", path, strerror(errno));
  for (;;) {
    if (bytes->length == capacity) {
      capacity = capacity ? 2 * capacity : 1 << 16;
      unsigned char *larger = realloc(bytes->data, capacity);
      if (!larger) {
        close(file);
        return refuse(message, "%s: out of memory", path);
      }
      bytes->data = larger;
    }
    ssize_t got = read(file, bytes->data + bytes->length, capacity - bytes->length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      int error = errno;
      close(file);
      return got == 0 ? 0 : refuse(message, "%s: %s", path, strerror(error));
    }
    bytes->length += (size_t)got;
  }
}

static uint64_t little_endian(const unsigned char *bytes) {
  uint64_t value = 0;
  for (int k = 7; k >= 0; k--) value = value << 8 | bytes[k];
  return value;
}

static const char *dtype_of(const nn_symbol *symbol) {
  return symbol->dtype == NN_F32 ? "F32" : symbol->dtype == NN_I32 ? "I32" : "BOOL";
}

static size_t bytes_of(const nn_symbol *symbol) {
  size_t bytes = symbol->dtype == NN_BOOL ? 1 : 4;
  for (int k = 0; k < symbol->rank; k++) bytes *= (size_t)symbol->size[k];
  return bytes;
}

static int same_shape(const nn_symbol *symbol, const cJSON *shape) {
  if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) != symbol->rank) return 0;
  for (int k = 0; k < symbol->rank; k++) {
    const cJSON *size = cJSON_GetArrayItem(shape, k);
    if (!cJSON_IsNumber(size) || size->valuedouble != (double)symbol->size[k]) return 0;
  }
  return 1;
}

/* Where the symbol's data lies in the file; NULL, with a message, if it is not there as it should be. */
static const unsigned char *find(const nn_symbol *symbol, const cJSON *header, const Bytes *bytes, size_t data,
                                 const char *path, Message *message) {
  const cJSON *entry = cJSON_GetObjectItemCaseSensitive(header, symbol->name);
  const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
  const cJSON *begin = cJSON_GetArrayItem(range, 0), *end = cJSON_GetArrayItem(range, 1);
  if (!entry) {
    refuse(message, "%s: no tensor '%s'", path, symbol->name);
    return NULL;
  }
  if (!cJSON_IsString(dtype) || strcmp(dtype->valuestring, dtype_of(symbol)) != 0 ||
      !same_shape(symbol, cJSON_GetObjectItemCaseSensitive(entry, "shape"))) {
    refuse(message, "%s: '%s' has another dtype or shape than the model's", path, symbol->name);
    return NULL;
  }
  double from = cJSON_IsNumber(begin) ? begin->valuedouble : -1, to = cJSON_IsNumber(end) ? end->valuedouble : -1;
  if (!(from >= 0 && to <= (double)(bytes->length - data) && to - from == (double)bytes_of(symbol))) {
    refuse(message, "%s: the place of '%s' is not inside the file", path, symbol->name);
    return NULL;
  }
  return bytes->data + data + (size_t)from;
}

static int is_counter(const nn_symbol *symbol) { return strncmp(symbol->name, "nn.", 3) == 0; }

static int set_all(const nn_model *model, void *state, const cJSON *header, const Bytes *bytes, size_t data,
                   const char *path, Message *message) {
  const unsigned char **found = calloc((size_t)model->nsymbols + 1, sizeof *found);
  int result = found ? 0 : refuse(message, "%s: out of memory", path);
  for (int k = 0; result == 0 && k < model->nsymbols; k++) {
    const nn_symbol *symbol = &model->symbols[k];
    if (is_counter(symbol) && !cJSON_GetObjectItemCaseSensitive(header, symbol->name)) continue;
    found[k] = find(symbol, header, bytes, data, path, message);
    if (!found[k]) result = -1;
  }
  for (int k = 0; result == 0 && k < model->nsymbols; k++) {
    if (!found[k]) continue;
    /* through aligned memory: data in the file may lie at any offset */
    void *aligned = malloc(bytes_of(&model->symbols[k]));
    if (!aligned) {
      result = refuse(message, "%s: out of memory", path);
      break;
    }
    memcpy(aligned, found[k], bytes_of(&model->symbols[k]));
    model->set(state, model->symbols[k].name, aligned);
    free(aligned);
  }
  free(found);
  return result;
}

int nn_checkpoint_load(const nn_model *model, void *state, const char *path, char *text, size_t size) {
  Message message = {text, size};
  Bytes bytes = {0};
  int result = read_whole(path, &bytes, &message);
  uint64_t length = bytes.length >= 8 ? little_endian(bytes.data) : 0;
  if (result == 0 && (bytes.length < 8 || length > HEADER_LIMIT || length > bytes.length - 8)) {
    result = refuse(&message, "%s: no safetensors file", path);
  }
  if (result == 0) {
    cJSON *header = cJSON_ParseWithLength((const char *)bytes.data + 8, (size_t)length);
    result = header ? set_all(model, state, header, &bytes, 8 + (size_t)length, path, &message)
                    : refuse(&message, "%s: the header is no JSON", path);
    cJSON_Delete(header);
  }
  free(bytes.data);
  return result;
}

/* ---- saving ---- */

static char *header_of(const nn_model *model) {
  cJSON *header = cJSON_CreateObject();
  double offset = 0;
  for (int k = 0; k < model->nsymbols; k++) {
    const nn_symbol *symbol = &model->symbols[k];
    cJSON *entry = cJSON_AddObjectToObject(header, symbol->name);
    cJSON_AddStringToObject(entry, "dtype", dtype_of(symbol));
    cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
    for (int a = 0; a < symbol->rank; a++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)symbol->size[a]));
    cJSON *range = cJSON_AddArrayToObject(entry, "data_offsets");
    cJSON_AddItemToArray(range, cJSON_CreateNumber(offset));
    offset += (double)bytes_of(symbol);
    cJSON_AddItemToArray(range, cJSON_CreateNumber(offset));
  }
  char *text = cJSON_PrintUnformatted(header);
  cJSON_Delete(header);
  return text;
}

static int write_data(FILE *file, const nn_model *model, const void *state, const char *header) {
  size_t length = strlen(header), padded = (length + 7) / 8 * 8;
  for (int k = 0; k < 8; k++) fputc((int)(padded >> (8 * k) & 255), file);
  fputs(header, file);
  for (; length < padded; length++) fputc(' ', file);
  for (int k = 0; k < model->nsymbols; k++) {
    size_t bytes = bytes_of(&model->symbols[k]);
    void *values = malloc(bytes);
    if (!values) return -1;
    model->get(state, model->symbols[k].name, values);
    fwrite(values, 1, bytes, file);
    free(values);
  }
  return ferror(file) || fflush(file) || fsync(fileno(file)) ? -1 : 0;
}

int nn_checkpoint_save(const nn_model *model, const void *state, const char *path, char *text, size_t size) {
  Message message = {text, size};
  size_t length = strlen(path) + 8;
  char *beside = malloc(length), *header = header_of(model);
  int result = -1;
  if (beside && header) {
    snprintf(beside, length, "%s.XXXXXX", path);
    int descriptor = mkstemp(beside);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "wb") : NULL;
    if (file) {
      result = write_data(file, model, state, header);
      if (fclose(file) != 0) result = -1;
      if (result == 0) result = rename(beside, path);
      if (result != 0) unlink(beside);
    }
  }
  if (result != 0) refuse(&message, "%s: %s", path, strerror(errno));
  free(beside);
  cJSON_free(header);
  return result;
}
