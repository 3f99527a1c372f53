/* Code points are found again by halving their sorted list: a vocabulary is small, a text is read once. */
#include "command/characters.h"

#include <stdlib.h>
#include <string.h>

enum { CODE_POINTS = 0x110000 };

/* Of a character that is well formed. */
static uint32_t code_point(const char *at, size_t bytes) {
  static const unsigned char first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t code = (unsigned char)at[0] & first_bits[bytes];
  for (size_t i = 1; i < bytes; i++) code = code << 6 | ((unsigned char)at[i] & 0x3F);
  return code;
}

/* Byte by byte, UTF-8 sorts as its code points do. */
static int compare_characters(const char *a, const char *b) {
  size_t length = character_bytes(a, 4), other = character_bytes(b, 4);
  int order = memcmp(a, b, MIN(length, other));
  return order ? order : (length > other) - (length < other);
}

static int64_t line_of(const char *text, size_t at) {
  int64_t line = 1;
  for (size_t i = 0; i < at; i++) line += text[i] == '\n';
  return line;
}

static bool next_character(const char *name, const char *text, size_t length, size_t at, size_t *bytes, Failure *failure) {
  *bytes = character_bytes(text + at, length - at);
  if (*bytes && text[at]) return true;
  return fail(failure, EXIT_INPUT, "%.600s:%lld: byte %zu: %s", name, (long long)line_of(text, at), at,
              *bytes ? "a zero is no character of a text" : "this is not UTF-8");
}

bool characters_of(Arena *arena, const char *name, const char *text, size_t length, Characters *characters,
                   Failure *failure) {
  Arena *scratch = arena_new();
  const char **seen = NEW_ARRAY(scratch, const char *, CODE_POINTS);
  size_t bytes = 0, all = 0;
  int count = 0;
  bool good = true;
  for (size_t at = 0; good && at < length; at += bytes) {
    good = next_character(name, text, length, at, &bytes, failure);
    const char **place = good ? &seen[code_point(text + at, bytes)] : NULL;
    if (!good || *place) continue;
    *place = text + at;
    all += bytes;
    count++;
  }
  char *to = arena_alloc(arena, all + 1);
  *characters = (Characters){.text = to, .count = count, .of_index = NEW_ARRAY(arena, const char *, count + 1)};
  int index = 0;
  for (int code = 0; good && code < CODE_POINTS; code++) {
    if (!seen[code]) continue;
    bytes = character_bytes(seen[code], 4);
    characters->of_index[index++] = memcpy(to, seen[code], bytes);
    to += bytes;
  }
  characters->of_index[count] = to;
  arena_free(scratch);
  return good;
}

static int find_character(const Characters *characters, const char *at) {
  int low = 0, high = characters->count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (compare_characters(characters->of_index[middle], at) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low < characters->count && compare_characters(characters->of_index[low], at) == 0 ? low : -1;
}

bool characters_encode(Arena *arena, const Characters *characters, const char *name, const char *text, size_t length,
                       Tensor *indices, Failure *failure) {
  int64_t count = 0;
  size_t bytes;
  for (size_t at = 0; at < length; at += bytes, count++)
    if (!next_character(name, text, length, at, &bytes, failure)) return false;
  *indices = tensor_new(arena, name, ELEMENT_I32, 1, &count);
  int32_t *to = indices->data;
  for (size_t at = 0; at < length; at += bytes) {
    bytes = character_bytes(text + at, length - at);
    int index = find_character(characters, text + at);
    if (index < 0)
      return fail(failure, EXIT_INPUT, "%.600s:%lld: '%.*s' is none of the %d characters that the training met", name,
                  (long long)line_of(text, at), (int)bytes, text + at, characters->count);
    *to++ = index;
  }
  return true;
}

bool characters_decode(const Characters *characters, const Tensor *indices, Text *out) {
  const int32_t *index = indices->data;
  int64_t count = tensor_count(indices);
  if (indices->type != ELEMENT_I32) return false;
  for (int64_t i = 0; i < count; i++)
    if (index[i] < 0 || index[i] >= characters->count) return false;
  for (int64_t i = 0; i < count; i++) {
    const char *at = characters->of_index[index[i]];
    text_add_bytes(out, at, (size_t)(characters->of_index[index[i] + 1] - at));
  }
  return true;
}

bool read_text_dataset(Arena *arena, const char *path, int64_t length, const char *known, Dataset *dataset,
                       Failure *failure) {
  char *text;
  size_t bytes;
  Characters characters;
  Tensor all;
  *dataset = (Dataset){.path = path};
  if (!read_plain(arena, path, &text, &bytes, failure)) return false;
  if (!characters_of(arena, known ? "the checkpoint's characters" : path, known ? known : text,
                     known ? strlen(known) : bytes, &characters, failure) ||
      !characters_encode(arena, &characters, path, text, bytes, &all, failure))
    return false;
  int64_t rows = all.size[0] > 0 ? (all.size[0] - 1) / length : 0;
  if (rows == 0)
    return fail(failure, EXIT_INPUT, "%.300s: %lld characters are no window of %lld and the one behind it", path,
                (long long)all.size[0], (long long)length);
  Tensor x = {.name = "x", .type = ELEMENT_I32, .rank = 2, .size = {rows, length}, .data = all.data}, y = x;
  y.name = "y";
  y.data = (int32_t *)all.data + 1;
  tensors_add(arena, &dataset->train.columns, x);
  tensors_add(arena, &dataset->train.columns, y);
  dataset->train.rows = rows;
  dataset->class_count = characters.count;
  dataset->characters = characters.text;
  return true;
}
