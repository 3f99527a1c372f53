/* Readers of files that nobody vouches for, as targets of libFuzzer: bytes in, and whatever they are, no crash, no bug(), no
 * unbounded time or memory.
 *
 * Compiled with FUZZ_TARGET="npy" and -fsanitize=fuzzer this is the target of that name (scripts/fuzz-targets); compiled
 * plainly it is a program that runs files which once were findings, `TARGET-anything` each. */
#include "command/picture.h"
#include "command/tensor.h"
#include "frontend/frontend.h"
#include "ir/plan.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef void Target(Arena *arena, char *bytes, size_t length);

/* ---- programs ---- */

enum { MOST_NODES = 400 };

/* What can be read goes through the passes, each of which verifies what it made. */
static void through_passes(Module *module) {
  PipelineOptions options = default_pipeline;
  Plan **plans = NULL;
  int nodes = 0;
  for (int k = 0; k < module->entries.count; k++) nodes += module->entries.items[k]->nodes.count;
  if (nodes > MOST_NODES) return;
  options.verify = true;
  pipeline_run(module, &options, &plans, NULL);
}

static Source *source_of(Arena *arena, const char *name, const char *bytes, size_t length) {
  Source *source = NEW(arena, Source);
  *source = (Source){.name = name, .text = bytes, .length = length, .users = true};
  return source;
}

/* Messages are printed too: they point into the text. */
static void end_of(Diagnostics *diagnostics) {
  Text text = {0};
  diagnostics_text(diagnostics, &text);
  text_free(&text);
}

static void target_nn(Arena *arena, char *bytes, size_t length) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  Module *module = build_source(arena, diagnostics, source_of(arena, "fuzz.nn", bytes, length), NULL);
  if (module && diagnostics_errors(diagnostics) == 0) through_passes(module);
  end_of(diagnostics);
}

static void target_graph(Arena *arena, char *bytes, size_t length) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  Module *module = module_read(arena, diagnostics, source_of(arena, "fuzz.graph", bytes, length));
  if (module && diagnostics_errors(diagnostics) == 0) through_passes(module);
  end_of(diagnostics);
}

static void target_plan(Arena *arena, char *bytes, size_t length) {
  Diagnostics *diagnostics = diagnostics_new(arena);
  Plan **plans = NULL;
  int count = 0;
  Module *module = plans_read(arena, diagnostics, source_of(arena, "fuzz.plan", bytes, length), &plans, &count);
  for (int k = 0; module && k < count; k++) plan_verify(plans[k], NULL);
  end_of(diagnostics);
}

/* ---- data ---- */

/* Every element is read, so that one outside of the file shows. */
static void read_tensor(Arena *arena, const Tensor *tensor) {
  Failure failure = {0};
  float *floats;
  tensor_floats(arena, tensor, &floats, &failure);
}

static void read_tensors(Arena *arena, const Tensors *tensors) {
  for (int k = 0; k < tensors->list.count; k++) read_tensor(arena, &tensors->list.items[k]);
}

static void target_npy(Arena *arena, char *bytes, size_t length) {
  Tensor tensor;
  Failure failure = {0};
  if (parse_npy(arena, "fuzz.npy", bytes, length, &tensor, &failure)) read_tensor(arena, &tensor);
}

static void target_npz(Arena *arena, char *bytes, size_t length) {
  Tensors tensors = {0};
  Failure failure = {0};
  if (parse_npz(arena, "fuzz.npz", bytes, length, NULL, &tensors, &failure)) read_tensors(arena, &tensors);
}

static void target_idx(Arena *arena, char *bytes, size_t length) {
  Tensor tensor;
  Failure failure = {0};
  if (parse_idx(arena, "fuzz.idx", bytes, length, &tensor, &failure)) read_tensor(arena, &tensor);
}

static void target_safetensors(Arena *arena, char *bytes, size_t length) {
  Tensors tensors = {0};
  Failure failure = {0};
  if (parse_safetensors(arena, "fuzz.safetensors", bytes, length, &tensors, &failure)) read_tensors(arena, &tensors);
}

static void target_csv(Arena *arena, char *bytes, size_t length) {
  Table table;
  Failure failure = {0};
  if (!parse_csv(arena, "fuzz.csv", bytes, length, &table, &failure)) return;
  for (int k = 0; k < table.columns; k++) table_find(&table, table_column_name(arena, &table, k));
}

static void target_gzip(Arena *arena, char *bytes, size_t length) {
  Inflate job = {.name = "fuzz.gz", .source = bytes, .source_length = length, .window_bits = 31};
  Failure failure = {0};
  size_t inflated;
  if (!inflate_bytes(&job, NULL, &inflated, &failure)) return;
  char *out = arena_alloc(arena, inflated + 1);
  inflate_bytes(&job, out, &inflated, &failure);
}

static uint32_t big_endian(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Every chunk gets the checksum that its bytes make: else nearly no change gets past the first of them. */
static void mend_checksums(uint8_t *bytes, size_t length) {
  size_t at = 8;
  while (length >= 12 && at <= length - 12) {
    size_t content = big_endian(bytes + at);
    if (content > length - 12 - at) return;
    uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, (uInt)content + 4);
    for (int k = 0; k < 4; k++) bytes[at + 8 + content + (size_t)k] = (uint8_t)(sum >> (24 - 8 * k));
    at += content + 12;
  }
}

static void target_png(Arena *arena, char *bytes, size_t length) {
  Tensor tensor;
  Failure failure = {0};
  bool checked = length && bytes[length - 1] == '!'; /* some are left as they are, wrong sums too */
  if (!checked) mend_checksums((uint8_t *)bytes, length);
  if (parse_png(arena, "fuzz.png", bytes, length, &tensor, &failure)) read_tensor(arena, &tensor);
}

static void target_pnm(Arena *arena, char *bytes, size_t length) {
  Tensor tensor;
  Failure failure = {0};
  if (parse_pnm(arena, "fuzz.pnm", bytes, length, &tensor, &failure)) read_tensor(arena, &tensor);
}

/* ---- the table ---- */

static const struct {
  const char *name;
  Target *run;
} targets[] = {
    {"nn", target_nn},   {"graph", target_graph}, {"plan", target_plan},
    {"npy", target_npy}, {"npz", target_npz},     {"idx", target_idx},
    {"csv", target_csv}, {"gzip", target_gzip},   {"safetensors", target_safetensors},
    {"png", target_png}, {"pnm", target_pnm},
};

/* Memory of its very size, with the 0 behind it that readers of files give: what reads on is seen. */
static bool run_target(const char *name, size_t name_length, const void *data, size_t length) {
  for (int k = 0; k < COUNT_OF(targets); k++) {
    if (strlen(targets[k].name) != name_length || memcmp(targets[k].name, name, name_length) != 0) continue;
    Arena *arena = arena_new();
    char *bytes = malloc(length + 1);
    if (!bytes) out_of_memory();
    if (length) memcpy(bytes, data, length);
    bytes[length] = 0;
    targets[k].run(arena, bytes, length);
    free(bytes);
    arena_free(arena);
    return true;
  }
  return false;
}

#ifdef FUZZ_TARGET

/* A bug ends the process quietly, which libFuzzer would not take for a finding. */
NORETURN void __wrap_bug_at(const char *file, int line, const char *format, ...);
NORETURN void __wrap_bug_at(const char *file, int line, const char *format, ...) {
  fprintf(stderr, "bug: %s (%s:%d)\n", format, file, line);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  run_target(FUZZ_TARGET, strlen(FUZZ_TARGET), data, size);
  return 0;
}

#else

int main(int count, char **words) {
  for (int k = 1; k < count; k++) {
    Arena *arena = arena_new();
    Failure failure = {0};
    char *bytes;
    size_t length;
    const char *slash = strrchr(words[k], '/'), *name = slash ? slash + 1 : words[k];
    bool good = read_file(arena, words[k], &bytes, &length, &failure);
    if (good && !run_target(name, strcspn(name, "-"), bytes, length))
      good = fail(&failure, EXIT_INPUT, "%s: no target", name);
    if (!good) fprintf(stderr, "error: %s\n", failure.message);
    arena_free(arena);
    if (!good) return failure.code;
  }
  return EXIT_GOOD;
}

#endif
