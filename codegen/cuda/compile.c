/* From CUDA C to code for each kind of GPU that is asked for. NVRTC takes its time, so the source comes in parts, which are
 * compiled side by side; PTX, which costs less, stays whole. */
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
  const char *source;
  CudaImage image;
  Text log;
  Failure failure;
  bool good;
} Job;
typedef struct Work {
  Nvrtc *nvrtc;
  const char *name;
  Vec(Job) jobs;
  atomic_int next;
} Work;

/* ---- what is to be compiled ---- */

static void add_job(Arena *arena, Work *work, const char *architecture, int part, const Text *source) {
  Job job = {.source = source->bytes, .image = {.architecture = architecture, .part = part}};
  PUSH(arena, &work->jobs, job);
}

/* Machine code for each kind of GPU, part by part; then PTX of the highest, for GPUs that are not yet. */
static bool list_jobs(const Module *module, const CudaSource *source, const char *list, Work *work, Failure *failure) {
  int highest = 0;
  while (*list) {
    size_t length = strcspn(list, ",");
    const char *architecture = arena_format(module->arena, "%.*s", (int)length, list);
    bool exact;
    int capability = capability_of(architecture, &exact);
    if (capability == 0)
      return fail(failure, EXIT_INPUT, "--gpu: '%.100s' is no kind of GPU; such are sm_80, sm_90a, compute_90",
                  architecture);
    if (capability < OLDEST)
      return fail(failure, EXIT_INPUT, "--gpu: '%.100s' is too old: kernels copy as GPUs from sm_%d on can", architecture,
                  OLDEST);
    bool machine = strncmp(architecture, "sm_", 3) == 0;
    for (int k = 0; machine && k < source->parts.count; k++)
      add_job(module->arena, work, architecture, k, &source->parts.items[k]);
    if (!machine) add_job(module->arena, work, architecture, CUDA_ALL_PARTS, &source->text);
    highest = MAX(highest, capability);
    list += length + (list[length] == ',');
  }
  if (highest == 0) return fail(failure, EXIT_INPUT, "--gpu: no kind of GPU is named");
  add_job(module->arena, work, arena_format(module->arena, "compute_%d", highest), CUDA_ALL_PARTS, &source->text);
  return true;
}

/* ---- compiling side by side ---- */

static void *run_jobs(void *own) {
  Work *work = own;
  int taken;
  while ((taken = atomic_fetch_add(&work->next, 1)) < work->jobs.count) {
    Job *job = &work->jobs.items[work->jobs.count - 1 - taken]; /* the last one takes longest */
    job->good = nvrtc_compile(work->nvrtc, work->name, job->source, job->image.architecture, &job->image.bytes, &job->log,
                              &job->failure);
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

/* The first that failed tells why. */
static bool take_images(const Module *module, Work *work, Text *log, CudaCode *code, Failure *failure) {
  bool good = true;
  for (int k = 0; k < work->jobs.count; k++) {
    Job *job = &work->jobs.items[k];
    if (!job->good && good) good = fail(failure, job->failure.code, "%s", job->failure.message);
    if (log && job->log.bytes) text_add(log, "%s", job->log.bytes);
    text_free(&job->log);
    PUSH(module->arena, &code->images, job->image);
  }
  return good;
}

bool cuda_compile(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, CudaCode *code,
                  Failure *failure) {
  *code = (CudaCode){0};
  Arena *arena = arena_new();
  Work work = {.nvrtc = nvrtc_open(arena, failure), .name = arena_format(arena, "%s.cu", module->name)};
  bool good = work.nvrtc != NULL;
  if (good) {
    code->source = cuda_print(module, plans, count);
    good = list_jobs(module, &code->source, architectures ? architectures : cuda_default_architectures, &work, failure);
  }
  if (good) {
    run_work(&work);
    good = take_images(module, &work, log, code, failure);
  }
  nvrtc_close(work.nvrtc);
  arena_free(arena);
  if (!good) cuda_free(code);
  return good;
}

void cuda_free(CudaCode *code) {
  cuda_source_free(&code->source);
  for (int k = 0; k < code->images.count; k++) text_free(&code->images.items[k].bytes);
  *code = (CudaCode){0};
}
