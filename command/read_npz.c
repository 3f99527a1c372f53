/* npz: a zip of npy files.
 *
 *     members: [local header, name, extra, data] ...   directory: [entry, name, extra] ...   end record
 *
 * The directory at the end is believed, the local headers only where they say how long they are. Sizes of 64 bits (zip64)
 * are read, as NumPy writes them for large arrays. Members are stored or deflated; the sum of what all of them claim is
 * bounded before any is inflated, so that members which overlap cannot multiply. */
#include "command/tensor.h"

#include <string.h>
#include <zlib.h>

enum { END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };

typedef struct Zip {
  const char *name;
  char *bytes;
  size_t length;
  uint64_t entries, directory, directory_bytes;
  Failure *failure;
} Zip;

typedef struct Member {
  const char *name;
  int flags, method;
  uint32_t crc;
  uint64_t packed, plain, local; /* bytes in the zip, bytes when inflated, where its local header is */
} Member;

static uint64_t number_at(const Zip *zip, uint64_t at, int bytes) {
  uint64_t number = 0;
  for (int i = 0; i < bytes; i++) number |= (uint64_t)(unsigned char)zip->bytes[at + (uint64_t)i] << 8 * i;
  return number;
}

static bool zip_fault(const Zip *zip, uint64_t at, const char *wrong) {
  return fail(zip->failure, EXIT_INPUT, "%.600s: byte %llu: %s", zip->name, (unsigned long long)at, wrong);
}

/* The end record: the last one whose comment reaches to the end of the file. */
static bool find_directory(Zip *zip) {
  if (zip->length < END_BYTES) return zip_fault(zip, 0, "this is no zip: it is too short");
  uint64_t at = zip->length - END_BYTES, last = at > 65535 ? at - 65535 : 0;
  while (number_at(zip, at, 4) != 0x06054b50 || at + END_BYTES + number_at(zip, at + 20, 2) != zip->length) {
    if (at == last) return zip_fault(zip, zip->length, "this is no zip, or its end is missing: there is no end record");
    at--;
  }
  if (number_at(zip, at + 4, 2) || number_at(zip, at + 6, 2))
    return zip_fault(zip, at, "a zip in several parts is not read");
  zip->entries = number_at(zip, at + 10, 2);
  zip->directory_bytes = number_at(zip, at + 12, 4);
  zip->directory = number_at(zip, at + 16, 4);
  uint64_t end = at;
  if (zip->entries == 0xffff || zip->directory == 0xffffffff || zip->directory_bytes == 0xffffffff) {
    if (at < LOCATOR_BYTES || number_at(zip, at - LOCATOR_BYTES, 4) != 0x07064b50)
      return zip_fault(zip, at, "the zip64 locator is missing");
    end = number_at(zip, at - LOCATOR_BYTES + 8, 8);
    if (at < END64_BYTES || end > at - END64_BYTES || number_at(zip, end, 4) != 0x06064b50)
      return zip_fault(zip, at - LOCATOR_BYTES, "the zip64 end record is not where the locator says");
    zip->entries = number_at(zip, end + 32, 8);
    zip->directory_bytes = number_at(zip, end + 40, 8);
    zip->directory = number_at(zip, end + 48, 8);
  }
  if (zip->directory > end || zip->directory_bytes != end - zip->directory)
    return zip_fault(zip, end, "the directory does not end where the end record starts");
  if (zip->entries > zip->directory_bytes / ENTRY_BYTES)
    return zip_fault(zip, end, "more members are claimed than the directory has room for");
  return true;
}

/* In the extra field 1, the 64-bit forms of those of the three numbers that are all ones, in this order. */
static bool wide_numbers(const Zip *zip, Member *member, uint64_t at, uint64_t end) {
  uint64_t *numbers[] = {&member->plain, &member->packed, &member->local};
  bool wanted = false;
  for (int i = 0; i < COUNT_OF(numbers); i++) wanted |= *numbers[i] == 0xffffffff;
  if (!wanted) return true;
  while (end - at >= 4) {
    uint64_t id = number_at(zip, at, 2), bytes = number_at(zip, at + 2, 2);
    at += 4;
    if (bytes > end - at) break;
    if (id == 1) {
      for (int i = 0; i < COUNT_OF(numbers); i++) {
        if (*numbers[i] != 0xffffffff) continue;
        if (bytes < 8) return zip_fault(zip, at, "the zip64 field is too short");
        *numbers[i] = number_at(zip, at, 8);
        at += 8;
        bytes -= 8;
      }
      return true;
    }
    at += bytes;
  }
  return zip_fault(zip, at, "the zip64 sizes of this member are missing");
}

static bool read_entry(Arena *arena, const Zip *zip, uint64_t *at, Member *member) {
  uint64_t end = zip->directory + zip->directory_bytes, entry = *at;
  if (end - entry < ENTRY_BYTES || number_at(zip, entry, 4) != 0x02014b50)
    return zip_fault(zip, entry, "an entry of the directory should start here");
  uint64_t name = number_at(zip, entry + 28, 2), extra = number_at(zip, entry + 30, 2);
  uint64_t comment = number_at(zip, entry + 32, 2);
  if (name + extra + comment > end - entry - ENTRY_BYTES)
    return zip_fault(zip, entry, "this entry reaches beyond the directory");
  char *text = arena_copy(arena, zip->bytes + entry + ENTRY_BYTES, name + 1);
  text[name] = 0;
  if (strlen(text) != name || !name)
    return zip_fault(zip, entry + ENTRY_BYTES, "the member's name is empty or has a zero byte");
  if (text_ends(text, ".npy")) text[name - 4] = 0;
  *member = (Member){.name = text,
                     .flags = (int)number_at(zip, entry + 8, 2),
                     .method = (int)number_at(zip, entry + 10, 2),
                     .crc = (uint32_t)number_at(zip, entry + 16, 4),
                     .packed = number_at(zip, entry + 20, 4),
                     .plain = number_at(zip, entry + 24, 4),
                     .local = number_at(zip, entry + 42, 4)};
  uint64_t extras = entry + ENTRY_BYTES + name;
  if (!wide_numbers(zip, member, extras, extras + extra)) return false;
  *at = extras + extra + comment;
  return true;
}

static bool read_member(Arena *arena, const Zip *zip, const Member *member, Tensor *tensor) {
  uint64_t local = member->local;
  if (member->flags & 1) return zip_fault(zip, local, "this member is encrypted");
  if (local > zip->directory || zip->directory - local < LOCAL_BYTES || number_at(zip, local, 4) != 0x04034b50)
    return zip_fault(zip, local, "the directory names this place for a member, but there is none");
  uint64_t start = local + LOCAL_BYTES + number_at(zip, local + 26, 2) + number_at(zip, local + 28, 2);
  if (start > zip->directory || member->packed > zip->directory - start)
    return zip_fault(zip, local, "this member reaches into the directory");
  const char *name = arena_format(arena, "%s:%s", zip->name, member->name);
  char *bytes = zip->bytes + start;
  if (member->method == 0) {
    if (member->plain != member->packed) return zip_fault(zip, local, "a stored member has two different sizes");
  } else if (member->method == 8) {
    Inflate job = {name, bytes, member->packed, start, -15};
    size_t length;
    if (!inflate_bytes(&job, NULL, &length, zip->failure)) return false;
    if (length != member->plain)
      return fail(zip->failure, EXIT_INPUT, "%.600s: byte %llu: inflates to %zu bytes, but the directory says %llu", name,
                  (unsigned long long)start, length, (unsigned long long)member->plain);
    bytes = arena_alloc(arena, length + 1);
    if (!inflate_bytes(&job, bytes, &length, zip->failure)) return false;
  } else {
    return fail(zip->failure, EXIT_INPUT, "%.600s: byte %llu: compression method %d is not read (0 and 8 are)", name,
                (unsigned long long)local, member->method);
  }
  if (crc32_z(crc32_z(0, NULL, 0), (const Bytef *)bytes, member->plain) != member->crc)
    return fail(zip->failure, EXIT_INPUT, "%.600s: byte %llu: the checksum is wrong: the data is damaged", name,
                (unsigned long long)start);
  if (!parse_npy(arena, name, bytes, member->plain, tensor, zip->failure)) return false;
  tensor->name = member->name;
  return true;
}

bool parse_npz(Arena *arena, const char *name, char *bytes, size_t length, const char *key, Tensors *tensors,
               Failure *failure) {
  Zip zip = {.name = name, .bytes = bytes, .length = length, .failure = failure};
  if (!find_directory(&zip)) return false;
  Vec(Member) members = {0};
  uint64_t at = zip.directory, claimed = 0;
  for (uint64_t i = 0; i < zip.entries; i++) {
    Member member = {0};
    uint64_t entry = at;
    if (!read_entry(arena, &zip, &at, &member)) return false;
    if (member.plain > UINT64_MAX - claimed || !inflate_allowed(claimed += member.plain, length))
      return zip_fault(&zip, entry,
                       "the members claim more than 200 times the size of the file; if that is meant, unpack it");
    PUSH(arena, &members, member);
  }
  if (at != zip.directory + zip.directory_bytes) return zip_fault(&zip, at, "bytes follow the last entry of the directory");
  const char **names = NEW_ARRAY(arena, const char *, members.count + 1);
  for (int i = 0; i < members.count; i++) names[i] = members.items[i].name;
  const char *twice = name_twice(arena, names, members.count);
  if (twice) return fail(failure, EXIT_INPUT, "%.600s: two members are named '%.300s'", name, twice);
  for (int i = 0; i < members.count; i++) {
    if (key && strcmp(members.items[i].name, key)) continue;
    Tensor tensor;
    if (!read_member(arena, &zip, &members.items[i], &tensor)) return false;
    tensors_add(arena, tensors, tensor);
  }
  if (!key || tensors_find(tensors, key)) return true;
  const char *near = nearest_name(key, names, members.count);
  return fail(failure, EXIT_INPUT, "%.600s: there is no array '%.200s' in it%s%.100s%s", name, key,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

bool read_npz(Arena *arena, const char *path, const char *key, Tensors *tensors, Failure *failure) {
  char *bytes;
  size_t length;
  return read_plain(arena, path, &bytes, &length, failure) && parse_npz(arena, path, bytes, length, key, tensors, failure);
}
