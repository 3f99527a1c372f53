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

/* Data in the file may lie at any offset, so it goes through aligned memory, room for the largest symbol. */
static void *room_for_one(const nn_model *model) {
  size_t most = 1;
  for (int k = 0; k < model->nsymbols; k++)
    most = bytes_of(&model->symbols[k]) > most ? bytes_of(&model->symbols[k]) : most;
  return malloc(most);
}

/* The state is changed once nothing can fail any more. */
static int set_all(const nn_model *model, void *state, const cJSON *header, const Bytes *bytes, size_t data,
                   const char *path, Message *message) {
  const unsigned char **found = calloc((size_t)model->nsymbols + 1, sizeof *found);
  void *aligned = room_for_one(model);
  int result = found && aligned ? 0 : refuse(message, "%s: out of memory", path);
  for (int k = 0; result == 0 && k < model->nsymbols; k++) {
    const nn_symbol *symbol = &model->symbols[k];
    if (is_counter(symbol) && !cJSON_GetObjectItemCaseSensitive(header, symbol->name)) continue;
    found[k] = find(symbol, header, bytes, data, path, message);
    if (!found[k]) result = -1;
  }
  for (int k = 0; result == 0 && k < model->nsymbols; k++) {
    if (!found[k]) continue;
    memcpy(aligned, found[k], bytes_of(&model->symbols[k]));
    model->set(state, model->symbols[k].name, aligned);
  }
  free(aligned);
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

static int add_range(cJSON *entry, double from, double to) {
  const double ends[] = {from, to};
  return cJSON_AddItemToObject(entry, "data_offsets", cJSON_CreateDoubleArray(ends, 2));
}

static int add_symbol(cJSON *header, const nn_symbol *symbol, double offset) {
  cJSON *entry = cJSON_AddObjectToObject(header, symbol->name);
  cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
  int good = shape && cJSON_AddStringToObject(entry, "dtype", dtype_of(symbol));
  for (int k = 0; good && k < symbol->rank; k++) {
    good = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)symbol->size[k]));
  }
  return good && add_range(entry, offset, offset + (double)bytes_of(symbol));
}

/* NULL: there is no memory. */
static char *header_of(const nn_model *model) {
  cJSON *header = cJSON_CreateObject();
  int good = header != NULL;
  double offset = 0;
  for (int k = 0; good && k < model->nsymbols; k++) {
    good = add_symbol(header, &model->symbols[k], offset);
    offset += (double)bytes_of(&model->symbols[k]);
  }
  char *text = good ? cJSON_PrintUnformatted(header) : NULL;
  cJSON_Delete(header);
  return text;
}

static int write_data(FILE *file, const nn_model *model, const void *state, const char *header, void *values) {
  size_t length = strlen(header), padded = (length + 7) / 8 * 8;
  for (int k = 0; k < 8; k++) fputc((int)(padded >> (8 * k) & 255), file);
  fputs(header, file);
  for (; length < padded; length++) fputc(' ', file);
  for (int k = 0; k < model->nsymbols; k++) {
    model->get(state, model->symbols[k].name, values);
    fwrite(values, 1, bytes_of(&model->symbols[k]), file);
  }
  if (ferror(file) || fflush(file)) return -1;
  int result;
  do result = fsync(fileno(file));
  while (result < 0 && errno == EINTR);
  return result;
}

/* The rename itself must reach the disk too, or a power cut could undo it. Where that can't be had, the file is whole. */
static void sync_folder_of(char *path) {
  char *slash = strrchr(path, '/');
  if (slash) slash[slash == path] = 0;
  int folder = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

/* Into a new file beside the path, which then takes its name. */
static int write_beside(char *beside, const char *path, const nn_model *model, const void *state, const char *header,
                        void *values) {
  int descriptor = mkstemp(beside);
  if (descriptor < 0) return -1;
  FILE *file = fdopen(descriptor, "wb");
  int result = file ? write_data(file, model, state, header, values) : -1, error = errno;
  if (!file) close(descriptor);
  if (file && fclose(file) != 0 && result == 0) result = -1, error = errno;
  if (result == 0 && rename(beside, path) != 0) result = -1, error = errno;
  if (result != 0) unlink(beside);
  errno = error;
  return result;
}

int nn_checkpoint_save(const nn_model *model, const void *state, const char *path, char *text, size_t size) {
  Message message = {text, size};
  size_t length = strlen(path) + 8;
  char *beside = malloc(length), *header = header_of(model);
  void *values = room_for_one(model);
  int result = -1, error = ENOMEM;
  if (beside && header && values) {
    snprintf(beside, length, "%s.XXXXXX", path);
    result = write_beside(beside, path, model, state, header, values);
    error = errno;
  }
  if (result == 0) sync_folder_of(beside);
  if (result != 0) refuse(&message, "%s: %s", path, strerror(error));
  free(beside);
  free(values);
  cJSON_free(header);
  return result;
}
