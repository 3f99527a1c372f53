/* Inflating: .gz files, and the deflated members of a zip.
 *
 * Two passes: the first one only counts, under a bound, so that memory is asked for once and never for what a header merely
 * claims. A stream of 1,000 zeros for each byte is legal deflate; beyond 64 MiB we take it for an attack unless it is
 * denser than 200 to 1, and say how to go on by hand. */
#include "command/tensor.h"

#include <string.h>
#include <zlib.h>

enum { CHUNK = 1 << 16, BOMB_RATIO = 200 };
static const uint64_t free_bytes = 64u << 20;

bool inflate_allowed(uint64_t inflated, uint64_t deflated) {
  return inflated <= free_bytes || inflated / BOMB_RATIO <= deflated;
}

/* One inflate() call from `taken` on; counts what was taken and given. */
static int inflate_some(z_stream *stream, const Inflate *job, char *out, size_t room, size_t *taken, size_t *given) {
  size_t left = job->source_length - *taken;
  uInt ask = (uInt)MIN(left, (size_t)1 << 30), offer = (uInt)MIN(room, (size_t)1 << 30);
  stream->next_in = (Bytef *)(uintptr_t)(job->source + *taken);
  stream->avail_in = ask;
  stream->next_out = (Bytef *)out;
  stream->avail_out = offer;
  int status = inflate(stream, Z_NO_FLUSH);
  *taken += ask - stream->avail_in;
  *given = offer - stream->avail_out;
  return status;
}

static bool inflate_fault(const Inflate *job, const z_stream *stream, int status, size_t taken, Failure *failure) {
  size_t at = job->source_offset + taken;
  if (status == Z_MEM_ERROR) return fail(failure, EXIT_ENVIRONMENT, "%.600s: no memory to inflate it", job->name);
  if (status == Z_BUF_ERROR || status == Z_OK)
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: the compressed data ends too early", job->name, at);
  return fail(failure, EXIT_INPUT, "%.600s: byte %zu: the compressed data is damaged (%s)", job->name, at,
              stream->msg ? stream->msg : "not deflate");
}

static bool inflate_loop(z_stream *stream, const Inflate *job, char *out, size_t *length, Failure *failure) {
  char scratch[CHUNK];
  size_t taken = 0, total = 0;
  for (;;) {
    size_t given, before = taken, room = out ? *length - total : CHUNK;
    char *to = out && room ? out + total : scratch;
    int status = inflate_some(stream, job, to, out && room ? room : CHUNK, &taken, &given);
    if (out && given > room) return fail(failure, EXIT_INPUT, "%.600s: inflates to more than it did before", job->name);
    total += given;
    if (!inflate_allowed(total, job->source_length))
      return fail(failure, EXIT_INPUT, "%.600s: inflates to more than %d times its size; if that is meant, unpack it first",
                  job->name, BOMB_RATIO);
    if (status == Z_STREAM_END) {
      if (taken == job->source_length) break;
      if (job->window_bits < 0)
        return fail(failure, EXIT_INPUT, "%.600s: byte %zu: bytes follow the end of the compressed data", job->name,
                    job->source_offset + taken);
      if ((status = inflateReset(stream)) != Z_OK) return inflate_fault(job, stream, status, taken, failure);
      continue;
    }
    if (status != Z_OK || (taken == before && !given)) return inflate_fault(job, stream, status, taken, failure);
  }
  if (out && total != *length) return fail(failure, EXIT_INPUT, "%.600s: inflates to less than it did before", job->name);
  *length = total;
  return true;
}

bool inflate_bytes(const Inflate *job, char *out, size_t *length, Failure *failure) {
  z_stream stream = {0};
  int status = inflateInit2(&stream, job->window_bits);
  if (status != Z_OK) return inflate_fault(job, &stream, status, 0, failure);
  bool good = inflate_loop(&stream, job, out, length, failure);
  inflateEnd(&stream);
  return good;
}

bool read_plain(Arena *arena, const char *path, char **bytes, size_t *length, Failure *failure) {
  char *file;
  size_t file_length;
  if (!read_file(arena, path, &file, &file_length, failure)) return false;
  bool magic = file_length >= 3 && !memcmp(file, "\x1f\x8b\x08", 3);
  *bytes = file;
  *length = file_length;
  if (!text_ends(path, ".gz") && (!magic || text_ends(path, ".safetensors"))) return true;
  if (!magic) return fail(failure, EXIT_INPUT, "%.600s: byte 0: this is no gzip file, though its name ends in .gz", path);
  Inflate job = {.name = path, .source = file, .source_length = file_length, .window_bits = 31};
  if (!inflate_bytes(&job, NULL, length, failure)) return false;
  *bytes = arena_alloc(arena, *length + 1);
  return inflate_bytes(&job, *bytes, length, failure);
}
