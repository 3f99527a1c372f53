/* nnc MODEL.nn -o OUT: what OUT ends in is a row of a table, which says how far the pipeline runs and what makes the bytes.
 *
 * All bytes are made before the first file is written, so a fault on the way leaves nothing. A header and its object are
 * both written or none: where the second cannot be, the first is taken back if it is new. */
#include "command/compile.h"

#include "codegen/cuda/cuda.h"
#include "command/bounded.h"
#include "command/commands.h"
#include "command/tensor.h"
#include "command/weights.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Compile {
  Arena *arena;
  const Settings *settings;
  Program program;
  CodegenOptions codegen;
  CudaCode cuda;    /* the kernels, where the target is cuda and the output holds code */
  const char *base; /* of OUT's name, for the archive's member */
} Compile;

enum { ANY = 0, CUDA = 1, HAS_CODE = 2 };
typedef bool (*Maker)(Compile *compile, Text *bytes, Failure *failure);
typedef struct Kind {
  const char *name;
  Pass until;  /* the last pass that is needed */
  bool header; /* written beside it */
  int needs;   /* CUDA: of --target; HAS_CODE: kernels are compiled */
  bool binary;
  Maker make;
} Kind;

/* ---- makers ---- */

static bool emit(Compile *compile, CodegenOutput output, Text *bytes, Failure *failure) {
  const Program *program = &compile->program;
  return codegen_emit(program->module, program->plans, program->module->entries.count, &compile->codegen, output, bytes,
                      failure);
}
static bool make_object(Compile *compile, Text *bytes, Failure *failure) {
  return emit(compile, OUTPUT_OBJECT, bytes, failure);
}
static bool make_assembly(Compile *compile, Text *bytes, Failure *failure) {
  return emit(compile, OUTPUT_ASSEMBLY, bytes, failure);
}
static bool make_llvm(Compile *compile, Text *bytes, Failure *failure) {
  return emit(compile, OUTPUT_LLVM, bytes, failure);
}

static bool make_shared(Compile *compile, Text *bytes, Failure *failure) {
  Text object = {0};
  compile->codegen.shared = true;
  char *linked;
  size_t length;
  bool good =
      emit(compile, OUTPUT_OBJECT, &object, failure) && link_shared(compile->arena, &object, &linked, &length, failure);
  if (good) text_add_bytes(bytes, linked, length);
  text_free(&object);
  return good;
}

static bool make_static(Compile *compile, Text *bytes, Failure *failure) {
  Text object = {0};
  char *archive;
  size_t length;
  const char *member = arena_format(compile->arena, "%s.o", compile->program.module->name);
  bool good = emit(compile, OUTPUT_OBJECT, &object, failure) &&
              make_archive(compile->arena, member, &object, &archive, &length, failure);
  if (good) text_add_bytes(bytes, archive, length);
  text_free(&object);
  return good;
}

static bool make_header(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  const Program *program = &compile->program;
  header_print(program->module, program->plans, program->module->entries.count, &compile->codegen, bytes);
  return true;
}

static bool make_graph(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  module_print(compile->program.module, bytes);
  return true;
}

static bool make_plan(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  plans_print(compile->program.module, compile->program.plans, compile->program.module->entries.count, bytes);
  return true;
}

static bool make_dot(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  dot_print(compile->program.module, bytes);
  return true;
}

static bool make_cuda(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  const Program *program = &compile->program;
  CudaSource source = cuda_print(program->module, program->plans, program->module->entries.count);
  text_add_bytes(bytes, source.text.bytes, source.text.length);
  cuda_source_free(&source);
  return true;
}

/* Nothing but PTX is compiled for it. */
static bool make_ptx(Compile *compile, Text *bytes, Failure *failure) {
  const Program *program = &compile->program;
  Text log = {0};
  bool good = cuda_compile_ptx(program->module, program->plans, program->module->entries.count, compile->settings->gpu,
                               &log, bytes, failure);
  if (good && compile->settings->verbose && log.bytes) fputs(log.bytes, stderr);
  text_free(&log);
  return good;
}

static bool make_svg(Compile *compile, Text *bytes, Failure *failure) {
  Text dot = {0};
  char *drawn;
  size_t length;
  dot_print(compile->program.module, &dot);
  bool good = draw_graph(compile->arena, &dot, &drawn, &length, failure);
  if (good) text_add_bytes(bytes, drawn, length);
  text_free(&dot);
  return good;
}

static bool make_page(Compile *compile, Text *bytes, Failure *failure) {
  (void)failure;
  memory_page(compile->program.module, compile->program.plans, bytes);
  return true;
}

static const Kind kinds[] = {
    {"o", PASS_COUNT, true, HAS_CODE, true, make_object},  {"a", PASS_COUNT, true, HAS_CODE, true, make_static},
    {"so", PASS_COUNT, true, HAS_CODE, true, make_shared}, {"h", PASS_COUNT, false, ANY, false, make_header},
    {"ll", PASS_COUNT, false, HAS_CODE, false, make_llvm}, {"s", PASS_COUNT, false, HAS_CODE, false, make_assembly},
    {"cu", PASS_COUNT, false, CUDA, false, make_cuda},     {"ptx", PASS_COUNT, false, CUDA, false, make_ptx},
    {"graph", PASS_dead, false, ANY, false, make_graph},   {"plan", PASS_COUNT, false, ANY, false, make_plan},
    {"dot", PASS_dead, false, ANY, false, make_dot},       {"svg", PASS_dead, false, ANY, false, make_svg},
    {"html", PASS_COUNT, false, ANY, false, make_page},
};

/* ---- where to ---- */

static const Kind *kind_of(const char *name) {
  for (int k = 0; k < COUNT_OF(kinds); k++)
    if (strcmp(kinds[k].name, name) == 0) return &kinds[k];
  return NULL;
}

static bool find_kind(const Settings *settings, const Kind **kind, Failure *failure) {
  const char *output = settings->output, *name = settings->emit;
  if (!name) {
    const char *slash = strrchr(output, '/'), *dot = strrchr(slash ? slash : output, '.');
    if (!dot)
      return fail(failure, EXIT_INPUT, "-o %.200s: what should be written? End it in .o, .so, ..., or give --emit KIND",
                  output);
    name = dot + 1;
  }
  *kind = kind_of(name);
  if (*kind) return true;
  return fail(failure, EXIT_INPUT,
              "'%.100s' is nothing that nnc writes: o, a, so, h, ll, s, cu, ptx, graph, plan, dot, svg, html", name);
}

static bool same_file(const char *a, const char *b) {
  struct stat one, other;
  if (strcmp(a, b) == 0) return strcmp(a, "-") != 0;
  return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino &&
         S_ISREG(one.st_mode);
}

static bool check_output(const char *input, const char *output, Failure *failure) {
  struct stat status;
  if (same_file(input, output)) return fail(failure, EXIT_INPUT, "-o %.300s: that is the input", output);
  if (strcmp(output, "-") != 0 && stat(output, &status) == 0 && S_ISDIR(status.st_mode))
    return fail(failure, EXIT_INPUT, "-o %.300s: that is a folder", output);
  return true;
}

static bool find_pass(const char *flag, const char *name, Pass *pass, Failure *failure) {
  if (!name) return true;
  *pass = pass_by_name(name);
  if (*pass < PASS_COUNT) return true;
  const char *names[PASS_COUNT];
  for (int k = 0; k < PASS_COUNT; k++) names[k] = pass_info[k].name;
  const char *near = nearest_name(name, names, PASS_COUNT);
  Text list = {0};
  for (int k = 0; k < PASS_COUNT; k++) text_add(&list, "%s%s", k ? ", " : "", names[k]);
  fail(failure, EXIT_INPUT, "--%s=%.100s: there is no such pass%s%s%s; there are %s", flag, name,
       near ? ", did you mean " : "", near ? near : "", near ? "?" : "", list.bytes);
  text_free(&list);
  return false;
}

/* ---- writing ---- */

/* The header must not tell of another object than the one that is there: if the object can't take its place, the header that
 * was there comes back. */
static bool write_both(Compile *compile, const char *output, const Text *bytes, Failure *failure) {
  const char *dot = strrchr(output, '.');
  const char *header = arena_format(compile->arena, "%.*s.h", (int)(dot - output), output);
  Text text = {0};
  struct stat status;
  char *old = NULL;
  size_t old_length = 0;
  Failure none = {0};
  bool is_new = stat(header, &status) != 0;
  if (!is_new && S_ISREG(status.st_mode)) read_file(compile->arena, header, &old, &old_length, &none);
  bool good = check_output(compile->program.path, header, failure) && make_header(compile, &text, failure);
  if (good) {
    FileBytes files[] = {{header, text.bytes, text.length}, {output, bytes->bytes, bytes->length}};
    good = write_files(files, COUNT_OF(files), failure);
    if (!good && is_new) unlink(header);
    if (!good && old) write_file(header, old, old_length, &none);
  }
  /* A shared object is a program to the system: it may be run by whoever may read it. */
  if (good && text_ends(output, ".so") && stat(output, &status) == 0)
    (void)!chmod(output, (status.st_mode & 07777) | ((status.st_mode & 0444) >> 2));
  text_free(&text);
  return good;
}

static bool write_kind(Compile *compile, const Kind *kind, Failure *failure) {
  const char *output = compile->settings->output ? compile->settings->output : "-";
  Text bytes = {0};
  bool good = kind->make(compile, &bytes, failure);
  if (good && kind->header && strcmp(output, "-") != 0 && strrchr(output, '.'))
    good = write_both(compile, output, &bytes, failure);
  else if (good)
    good = write_file(output, bytes.bytes, bytes.length, failure);
  text_free(&bytes);
  return good;
}

/* ---- the command ---- */

static bool check_settings(const Settings *settings, const Kind **kind, PipelineOptions *pipeline, Failure *failure) {
  bool inspects = settings->dump || settings->stop_after || settings->time;
  if (settings->words.count != 1) return fail(failure, EXIT_INPUT, "wanted is one model: nnc MODEL.nn -o OUT");
  if (!target_known(settings, failure)) return false;
  const char *compiler = getenv("CC");
  if (settings->triple && (!compiler || !*compiler) && settings->output && text_ends(settings->output, ".so"))
    return fail(failure, EXIT_INPUT,
                "--triple %.100s: a .so wants that machine's linker, as CC=aarch64-linux-gnu-gcc; -o x.o needs none",
                settings->triple);
  if (!settings->output && !settings->emit && !inspects)
    return fail(failure, EXIT_INPUT, "where to? -o OUT, or --emit KIND for standard output; 'nnc --help' tells more");
  bool dumps = settings->output && strcmp(settings->output, "-") == 0 && (settings->dump || settings->stop_after);
  if (settings->emit || (settings->output && !dumps)) {
    if (!find_kind(settings, kind, failure)) return false;
    if (((*kind)->needs & CUDA) && !target_is_cuda(settings))
      return fail(failure, EXIT_INPUT, ".%s is for GPUs: give --target cuda", (*kind)->name);
    if (settings->output && !check_output(settings->words.items[0], settings->output, failure)) return false;
    if ((*kind)->binary && (!settings->output || strcmp(settings->output, "-") == 0) && isatty(STDOUT_FILENO))
      return fail(failure, EXIT_INPUT, "--emit %s: that is not for a terminal; give -o FILE", (*kind)->name);
    pipeline->stop_after = (*kind)->until;
  }
  if (!find_pass("dump", settings->dump, &pipeline->dump, failure)) return false;
  if (!find_pass("stop-after", settings->stop_after, &pipeline->stop_after, failure)) return false;
  if (settings->stop_after && *kind && (*kind)->until > pipeline->stop_after)
    return fail(failure, EXIT_INPUT, "--stop-after=%s: .%s needs all passes", settings->stop_after, (*kind)->name);
  /* Where to stop without a word on what to write: what was reached is printed. */
  if (settings->stop_after && !*kind && !settings->dump) pipeline->dump = pipeline->stop_after;
  return true;
}

/* A plan that was read has neither graphs nor passes before it. */
static bool program_fits(const Program *program, const Kind *kind, const Settings *settings, Failure *failure) {
  if (program->interpreted || !program->plans) return true;
  if (kind && kind->until < PASS_lower)
    return fail(failure, EXIT_INPUT, "%.300s is a plan, from which no .%s can be made", program->path, kind->name);
  const char *wanted[] = {settings->dump, settings->stop_after};
  for (int k = 0; k < COUNT_OF(wanted); k++)
    if (wanted[k] && pass_by_name(wanted[k]) < program->passed)
      return fail(failure, EXIT_INPUT, "%.300s is a plan for which %s has run", program->path, wanted[k]);
  return true;
}

static bool compile_cuda(Compile *compile, Failure *failure) {
  const Program *program = &compile->program;
  Text log = {0};
  bool good = cuda_compile(program->module, program->plans, program->module->entries.count, compile->settings->gpu, &log,
                           &compile->cuda, failure);
  if (good && compile->settings->verbose && log.bytes) fputs(log.bytes, stderr);
  text_free(&log);
  return good;
}

static void tell_memory(const Program *program) {
  for (int k = 0; program->plans && k < program->module->entries.count; k++) {
    Text text = {0};
    bounded_tell(program->plans[k], &text);
    if (text.length) fprintf(stderr, "%s: %s\n", program->module->entries.items[k]->name, text.bytes);
    text_free(&text);
  }
}

static int run_compile(Arena *arena, Settings *settings, Failure *failure) {
  Compile compile = {.arena = arena, .settings = settings};
  const Kind *kind = NULL;
  PipelineOptions pipeline = program_pipeline(settings);
  pipeline.time = settings->time || settings->verbose;
  pipeline.out = stdout;
  pipeline.verify = true;
  if (!check_settings(settings, &kind, &pipeline, failure)) return failure->code;
  if (kind && (!settings->output || strcmp(settings->output, "-") == 0)) pipeline.out = stderr; /* stdout has the bytes */
  Program *program = &compile.program;
  if (!program_open(arena, settings->words.items[0], settings->set, program, failure)) return failure->code;
  if (settings->weights && !weights_build(arena, program->module, settings->weights, failure)) return failure->code;
  if (!program_run(program, &pipeline, failure)) return failure->code;
  if (!program_fits(&compile.program, kind, settings, failure)) return failure->code;
  if (!settings->quiet) tell_memory(&compile.program);
  compile.codegen = program_codegen(&compile.program, settings);
  bool good = true;
  if (target_is_cuda(settings)) compile.codegen.cuda = &compile.cuda;
  if (kind && (kind->needs & HAS_CODE) && target_is_cuda(settings)) good = compile_cuda(&compile, failure);
  if (good && kind) write_kind(&compile, kind, failure);
  cuda_free(&compile.cuda);
  return failure->code;
}

static const Option options[] = {
    TEXT("output", 'o', output, "OUT",
         "what to write: .o .a .so (with a C header beside it), .h, .ll, .s,\n"
         ".cu, .ptx (--target cuda), .graph, .plan (nnc reads these two back); the graph as .dot or .svg\n"
         "(which wants Graphviz), the memory over time as .html"),
    TEXT("emit", 0, emit, "KIND", "the kind (o, so, ...) where OUT has no ending; alone: to standard output"),
    TEXT("cpu", 0, cpu, "NAME,...",
         "native (default), a name that LLVM knows (x86-64-v3, znver4), or several:\n"
         "the object then holds a version for each and takes the best that will run"),
    TEXT("triple", 0, triple, "TRIPLE",
         "compiles for another machine, aarch64-linux-gnu; --cpu is then one of it\n"
         "(default generic); for a .so, CC names its compiler"),
    OPTION_SET,
    OPTIONS_OF_TARGETS,
    FLAG("no-fuse", 0, no_fuse, "compiles each op to a kernel of its own"),
    OPTION_MEMORY,
    OPTION_FAST_CONV,
    TEXT("weights", 0, weights, "FILE", "builds a checkpoint's numbers (.safetensors) in: init then gives them"),
    OPTION_SANITIZE,
    FLAG("debug", 'g', debug_lines, "puts the .nn lines into the object's debug information"),
    TEXT("dump", 0, dump, "PASS", "prints the graphs or plans after this pass"),
    TEXT("stop-after", 0, stop_after, "PASS", "stops there, and prints what was reached"),
    FLAG("time", 0, time, "prints the time of each pass"),
    FLAG("no-cache", 0, no_cache, "taken and without effect: what is written is always compiled anew"),
    OPTIONS_OF_ALL,
};

const Command command_compile = {
    .name = "",
    .usage = "nnc MODEL.nn -o OUT [options]",
    .summary = "compiles",
    .about = "What OUT ends in decides what is written. Nothing half-written is left behind by a fault. Without a linker,\n"
             "-o x.so fails; -o x.o needs none.",
    .options = options,
    .count = COUNT_OF(options),
    .after = "examples:\n"
             "  nnc lenet.nn -o lenet.o            lenet.o and lenet.h\n"
             "  nnc lenet.nn --stop-after=fuse     what is fused with what\n"
             "  nnc lenet.nn --emit ll | less",
    .run = run_compile,
};
