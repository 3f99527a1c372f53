/* PGM and PPM, the plain formats of the Netpbm programs:
 *
 *     P5 (gray) or P6 (color), width, height, largest value, one blank, then a byte or two for each value
 *     P2 or P3: the same with values as decimals; # begins a comment
 */
#include "command/picture.h"

#include <ctype.h>
#include <string.h>

typedef struct Scanner {
  const char *name, *bytes;
  size_t at, length;
  Failure *failure;
} Scanner;

static bool pnm_fault(const Scanner *s, const char *wrong) {
  return fail(s->failure, EXIT_INPUT, "%.600s: byte %zu: %s", s->name, s->at, wrong);
}

static bool next_number(Scanner *s, int64_t high, int64_t *number) {
  while (s->at < s->length && (isspace((unsigned char)s->bytes[s->at]) || s->bytes[s->at] == '#')) {
    bool comment = s->bytes[s->at] == '#';
    while (comment && s->at < s->length && s->bytes[s->at] != '\n') s->at++;
    if (!comment) s->at++;
  }
  if (s->at == s->length) return pnm_fault(s, "the file ends where a number is wanted");
  if (!isdigit((unsigned char)s->bytes[s->at])) return pnm_fault(s, "a number is wanted");
  *number = 0;
  for (; s->at < s->length && isdigit((unsigned char)s->bytes[s->at]); s->at++) {
    *number = *number * 10 + (s->bytes[s->at] - '0');
    if (*number > high) return pnm_fault(s, "this number is too large");
  }
  return true;
}

static bool next_value(Scanner *s, bool plain, int64_t largest, int64_t *value) {
  if (plain) return next_number(s, largest, value);
  *value = (unsigned char)s->bytes[s->at++];
  if (largest > 255) *value = *value << 8 | (unsigned char)s->bytes[s->at++];
  return *value <= largest || (s->at--, pnm_fault(s, "a value is beyond the largest that the header names"));
}

bool parse_pnm(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure) {
  Scanner s = {name, bytes, 0, length, failure};
  int kind = length >= 2 && bytes[0] == 'P' ? bytes[1] - '0' : 0;
  if (kind != 2 && kind != 3 && kind != 5 && kind != 6)
    return pnm_fault(&s, "a PGM or PPM file starts with P2, P3, P5 or P6");
  s.at = 2;
  bool plain = kind < 5;
  int64_t width, height, largest, channels = kind % 3 == 0 ? 3 : 1, size[3], count, all;
  if (!next_number(&s, INT32_MAX, &width) || !next_number(&s, INT32_MAX, &height) || !next_number(&s, 65535, &largest))
    return false;
  if (width == 0 || height == 0 || largest == 0) return pnm_fault(&s, "width, height and largest value are 1 or more");
  s.at++; /* the one blank */
  size[0] = channels, size[1] = height, size[2] = width;
  bool fits = shape_bytes(ELEMENT_U8, 3, size, &count, &all);
  size_t left = s.at < length ? length - s.at : 0;
  size_t wanted = fits ? (size_t)count * (plain || largest > 255 ? 2 : 1) - (plain ? 1 : 0) : SIZE_MAX;
  if (plain ? left < wanted : left != wanted)
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: %lld by %lld pixels want %s%zu bytes, but %zu are left", name, s.at,
                (long long)width, (long long)height, plain ? "at least " : "", wanted, left);
  *tensor = tensor_new(arena, name, ELEMENT_U8, 3, size);
  uint8_t *to = tensor->data;
  for (int64_t i = 0; i < count; i++) {
    int64_t value;
    if (!next_value(&s, plain, largest, &value)) return false;
    to[i % channels * height * width + i / channels] = (uint8_t)((value * 255 + largest / 2) / largest);
  }
  return true;
}
