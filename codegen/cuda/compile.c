/* From CUDA C to code for each kind of GPU that is asked for. NVRTC takes its time, so the source comes in parts, which are
 * compiled side by side, and each of them once for a kind: machine code is made of PTX, which is kept for GPUs that are not
 * yet. That of sm_90a, with what Hopper alone can, would be of no use to them. */
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/nvrtc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OLDEST = 80, MOST_THREADS = 64 };

const char cuda_default_architectures[] = "sm_80,sm_90a";

/* The number of "sm_90a" or "compute_90"; 0: it is neither. */
static int capability_of(const char *architecture, bool *exact) {
  const char *digits = strncmp(architecture, "sm_", 3) == 0        ? architecture + 3
                       : strncmp(architecture, "compute_", 8) == 0 ? architecture + 8
                                                                   : "";
  char *end;
  long number = strtol(digits, &end, 10);
  *exact = strcmp(end, "a") == 0 || strcmp(end, "f") == 0;
  return end != digits && (*end == 0 || *exact) && number > 0 && number < 1000 ? (int)number : 0;
}

/* One program for NVRTC. */
typedef struct Job {
  const char *source, *architecture;
  int part;
  Text machine, ptx; /* the first is empty for "compute_90" */
  bool keeps_ptx;
  Text log;
  Failure failure;
  bool good;
} Job;
typedef struct Work {
  Nvrtc *nvrtc;
  const char *name;
  Vec(Job) jobs;
  Job **order; /* what takes longest first, so that no thread ends long after the others */
  atomic_int next;
} Work;

/* ---- what is to be compiled ---- */

typedef struct Kind {
  const char *architecture;
  int capability;
  bool machine, exact;
} Kind;
typedef Vec(Kind) Kinds;

static bool read_kinds(Arena *arena, const char *list, Kinds *kinds, Failure *failure) {
  for (; *list; list += *list == ',') {
    size_t length = strcspn(list, ",");
    Kind kind = {.architecture = arena_format(arena, "%.*s", (int)length, list)};
    kind.capability = capability_of(kind.architecture, &kind.exact);
    kind.machine = strncmp(kind.architecture, "sm_", 3) == 0;
    if (kind.capability == 0)
      return fail(failure, EXIT_INPUT, "--gpu: '%.100s' is no kind of GPU; such are sm_80, sm_90a, compute_90",
                  kind.architecture);
    if (kind.capability < OLDEST)
      return fail(failure, EXIT_INPUT, "--gpu: '%.100s' is too old: kernels copy as GPUs from sm_%d on can",
                  kind.architecture, OLDEST);
    PUSH(arena, kinds, kind);
    list += length;
  }
  return kinds->count > 0 || fail(failure, EXIT_INPUT, "--gpu: no kind of GPU is named");
}

/* The highest whose PTX suits later GPUs; -1: none. */
static int lasting_kind(const Kinds *kinds) {
  int best = -1;
  for (int k = 0; k < kinds->count; k++)
    if (!kinds->items[k].exact && (best < 0 || kinds->items[k].capability > kinds->items[best].capability)) best = k;
  return best;
}

/* Part by part for each kind. */
static void list_jobs(const Module *module, const CudaSource *source, const Kinds *kinds, Work *work) {
  int lasting = lasting_kind(kinds);
  for (int k = 0; k < kinds->count; k++) {
    for (int part = 0; part < source->parts.count; part++) {
      Job job = {.source = source->parts.items[part].bytes,
                 .architecture = kinds->items[k].architecture,
                 .part = part,
                 .keeps_ptx = k == lasting || !kinds->items[k].machine};
      PUSH(module->arena, &work->jobs, job);
    }
  }
}

/* ---- compiling side by side ---- */

static int by_length(const void *a, const void *b) {
  size_t own = strlen((*(Job *const *)a)->source), other = strlen((*(Job *const *)b)->source);
  return (own < other) - (own > other);
}

static void order_jobs(Arena *arena, Work *work) {
  work->order = NEW_ARRAY(arena, Job *, work->jobs.count);
  for (int k = 0; k < work->jobs.count; k++) work->order[k] = &work->jobs.items[k];
  qsort(work->order, (size_t)work->jobs.count, sizeof *work->order, by_length);
}

static void *run_jobs(void *own) {
  Work *work = own;
  int taken;
  while ((taken = atomic_fetch_add(&work->next, 1)) < work->jobs.count) {
    Job *job = work->order[taken];
    job->good = nvrtc_compile(work->nvrtc, work->name, job->source, job->architecture, &job->machine,
                              job->keeps_ptx ? &job->ptx : NULL, &job->log, &job->failure);
  }
  return NULL;
}

/* One thread for each processor, this one among them; where no other is to be had, it does all. */
static void run_work(Work *work) {
  pthread_t threads[MOST_THREADS];
  int count = 0, most = MIN(MIN((int)sysconf(_SC_NPROCESSORS_ONLN), MOST_THREADS), work->jobs.count) - 1;
  while (count < most && pthread_create(&threads[count], NULL, run_jobs, work) == 0) count++;
  run_jobs(work);
  for (int k = 0; k < count; k++) pthread_join(threads[k], NULL);
}

static void add_image(const Module *module, CudaCode *code, const char *architecture, const Job *job, Text bytes) {
  CudaImage image = {.architecture = architecture, .part = job->part, .bytes = bytes};
  if (bytes.length > 0) PUSH(module->arena, &code->images, image);
}

/* The first that failed tells why. */
static bool take_images(const Module *module, Work *work, Text *log, CudaCode *code, Failure *failure) {
  bool good = true;
  for (int k = 0; k < work->jobs.count; k++) {
    Job *job = &work->jobs.items[k];
    bool exact;
    const char *compute = arena_format(module->arena, "compute_%d", capability_of(job->architecture, &exact));
    if (!job->good && good) good = fail(failure, job->failure.code, "%s", job->failure.message);
    if (log && job->log.bytes) text_add(log, "%s", job->log.bytes);
    text_free(&job->log);
    add_image(module, code, job->architecture, job, job->machine);
    add_image(module, code, compute, job, job->ptx);
  }
  return good;
}

/* ---- what others call ---- */

static const char *kinds_named(const char *architectures) {
  return architectures ? architectures : cuda_default_architectures;
}

static Nvrtc *open_nvrtc(const char *architectures, Arena *arena, Kinds *kinds, Failure *failure) {
  return read_kinds(arena, kinds_named(architectures), kinds, failure) ? nvrtc_open(arena, failure) : NULL;
}

bool cuda_compile(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, CudaCode *code,
                  Failure *failure) {
  *code = (CudaCode){0};
  Arena *arena = module->arena;
  Kinds kinds = {0};
  Work work = {.nvrtc = open_nvrtc(architectures, arena, &kinds, failure)};
  if (!work.nvrtc) return false;
  work.name = arena_format(arena, "%s.cu", module->name);
  code->source = cuda_print(module, plans, count);
  list_jobs(module, &code->source, &kinds, &work);
  order_jobs(arena, &work);
  run_work(&work);
  bool good = take_images(module, &work, log, code, failure);
  nvrtc_close(work.nvrtc);
  if (!good) cuda_free(code);
  return good;
}

bool cuda_compile_ptx(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, Text *ptx,
                      Failure *failure) {
  Kinds kinds = {0};
  Nvrtc *nvrtc = open_nvrtc(architectures, module->arena, &kinds, failure);
  if (!nvrtc) return false;
  int lasting = lasting_kind(&kinds);
  const Kind *kind = &kinds.items[MAX(lasting, 0)];
  CudaSource source = cuda_print(module, plans, count);
  bool good = nvrtc_compile(nvrtc, arena_format(module->arena, "%s.cu", module->name), source.text.bytes,
                            kind->architecture, NULL, ptx, log, failure);
  cuda_source_free(&source);
  nvrtc_close(nvrtc);
  return good;
}

void cuda_free(CudaCode *code) {
  cuda_source_free(&code->source);
  for (int k = 0; k < code->images.count; k++) text_free(&code->images.items[k].bytes);
  *code = (CudaCode){0};
}
