/* The C header beside an object: what a C programmer would have written by hand.
 *
 * In: the module and its plans, as codegen_emit takes them. Out: C99 that is C++ too, and needs stddef.h and stdint.h
 * alone. Names that C or C++ keeps for itself, or that stand twice in one prototype, get a trailing underscore; a macro
 * whose name was given already is left out for the first. */
#include "codegen/interface.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 110 }; /* a prototype longer than this is broken */

typedef struct Header {
  Text *out;
  const Module *module;
  bool cuda;
  Arena *arena;
  const char *upper; /* "LENET" */
  Vec(const char *) macros;
  Vec(const char *) names; /* in the prototype that is being written */
} Header;

/* Text goes out through one pointer, so that calls stay short. */
#define PRINT(header, ...) text_add((header)->out, __VA_ARGS__)

/* ---- names ---- */

/* Words of C and C++, and types and macros that the header or the compiler brings; each stands between blanks. */
static const char reserved[] =
    " NULL alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t "
    "char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export extern "
    "false float for friend goto if inline int int32_t int64_t linux long mutable namespace new nn_run "
    "noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast "
    "requires restrict return short signed size_t sizeof static static_assert static_cast struct switch "
    "template this thread_local throw true try typedef typeid typename typeof typeof_unqual uint64_t "
    "uint8_t union unix unsigned using virtual void volatile wchar_t while xor xor_eq ";

static bool is_reserved(const char *name) {
  size_t length = strlen(name);
  for (const char *at = strstr(reserved, name); at; at = strstr(at + 1, name)) {
    if (at[-1] == ' ' && at[length] == ' ') return true;
  }
  return false;
}

static bool is_taken(const Header *header, const char *name) {
  for (int k = 0; k < header->names.count; k++) {
    if (strcmp(header->names.items[k], name) == 0) return true;
  }
  return false;
}

/* A name of its own in this prototype. */
static const char *take(Header *header, const char *name) {
  while (is_reserved(name) || is_taken(header, name)) name = arena_format(header->arena, "%s_", name);
  PUSH(header->arena, &header->names, name);
  return name;
}

static const char *upper(Header *header, const char *name) {
  char *own = arena_copy(header->arena, name, strlen(name) + 1);
  for (char *at = own; *at; at++) *at = (char)(isalnum((unsigned char)*at) ? toupper((unsigned char)*at) : '_');
  return own;
}

/* ---- macros ---- */

/* "#define LENET_name ", to be followed by its value; false if it is there already. */
static bool begin_macro(Header *header, const char *name) {
  for (int k = 0; k < header->macros.count; k++) {
    if (strcmp(header->macros.items[k], name) == 0) return false;
  }
  PUSH(header->arena, &header->macros, name);
  PRINT(header, "#define %s_%s ", header->upper, name);
  return true;
}

static void print_macro(Header *header, const char *name, int64_t value, const char *comment) {
  if (!begin_macro(header, name)) return;
  PRINT(header, value > INT32_MAX ? "INT64_C(%lld)" : "%lld", (long long)value);
  PRINT(header, "%s%s%s\n", *comment ? "   /* " : "", comment, *comment ? " */" : "");
}

static void print_dims(Header *header) {
  const Module *module = header->module;
  for (int k = 0; k < module_declared_dims(module); k++) {
    const DimSymbol *dim = &module->dims.items[k];
    const char *by = dim->step > 1 ? arena_format(header->arena, "a multiple of %lld", (long long)dim->step) : "";
    if (dim->low > 1) print_macro(header, arena_format(header->arena, "MIN_%s", dim->name), dim->low, "");
    print_macro(header, arena_format(header->arena, "MAX_%s", dim->name), dim->high, by);
  }
}

/* A whole f32 needs its point in C; what is no finite number has no macro. */
static void print_default(Header *header, const Graph *graph, const Parameter *parameter) {
  if (!parameter->has_default || !isfinite(parameter->fallback)) return;
  const char *entry = upper(header, graph->name), *name = upper(header, parameter->name);
  if (!begin_macro(header, arena_format(header->arena, "%s_%s", entry, name))) return;
  bool negative = parameter->fallback < 0;
  if (negative) PRINT(header, "(");
  if (parameter->type.dtype == F32) {
    text_add_number(header->out, parameter->fallback, true);
    PRINT(header, "f");
  } else {
    PRINT(header, "%lld", (long long)parameter->fallback);
  }
  PRINT(header, "%s\n", negative ? ")" : "");
}

/* ---- prototypes ---- */

static const char *const own_names[] = {"run", "state", "scratch"};

static const char *c_type(Dtype dtype) { return dtype == F32 ? "float" : dtype == I32 ? "int32_t" : "uint8_t"; }

/* Items of a prototype, then its text, broken where a line would be too long. */
typedef struct Prototype {
  const char *head; /* "int lenet_train(" */
  Vec(const char *) items;
} Prototype;

static void print_prototype(Header *header, const Prototype *prototype) {
  int indent = (int)strlen(prototype->head), column = indent;
  PRINT(header, "%s", prototype->head);
  for (int k = 0; k < prototype->items.count; k++) {
    const char *item = prototype->items.items[k];
    int length = (int)strlen(item) + 2;
    bool broken = k > 0 && column + length > WIDTH;
    if (broken)
      PRINT(header, ",\n%*s", indent, "");
    else if (k > 0)
      PRINT(header, ", ");
    column = broken ? indent + length : column + length;
    PRINT(header, "%s", item);
  }
  PRINT(header, ");\n");
}

static void add_dims(Header *header, const Plan *plan, Prototype *prototype) {
  bool *mentioned = NEW_ARRAY(header->arena, bool, header->module->dims.count + 1);
  entry_dims(plan, mentioned);
  for (int k = 0; k < module_declared_dims(header->module); k++) {
    if (!mentioned[k]) continue;
    const char *name = take(header, header->module->dims.items[k].name);
    PUSH(header->arena, &prototype->items, arena_format(header->arena, "int64_t %s", name));
  }
}

static void add_parameters(Header *header, const Graph *graph, Prototype *prototype) {
  for (int k = 0; k < entry_parameters(graph); k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    const char *type = c_type(parameter->type.dtype), *name = take(header, parameter->name);
    const char *item = parameter->type.rank ? arena_format(header->arena, "const %s *%s", type, name)
                                            : arena_format(header->arena, "%s %s", type, name);
    PUSH(header->arena, &prototype->items, item);
  }
}

static bool is_parameter(const Graph *graph, const char *name) {
  for (int k = 0; k < entry_parameters(graph); k++) {
    if (strcmp(graph->parameters.items[k].name, name) == 0) return true;
  }
  return false;
}

static void add_results(Header *header, const Graph *graph, Prototype *prototype) {
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    const char *name = result->name;
    if (is_parameter(graph, name)) name = arena_format(header->arena, "%s_out", name);
    const char *type = c_type(graph_type(graph, result->value)->dtype);
    PUSH(header->arena, &prototype->items, arena_format(header->arena, "%s *%s", type, take(header, name)));
  }
}

static void print_entry_function(Header *header, const Plan *plan) {
  const Graph *graph = plan->graph;
  Prototype prototype = {arena_format(header->arena, "int %s_%s(", header->module->name, graph->name), {0}};
  header->names.count = 0;
  for (int k = 0; k < COUNT_OF(own_names); k++) take(header, own_names[k]);
  PUSH(header->arena, &prototype.items, "const nn_run *run");
  PUSH(header->arena, &prototype.items, graph->kind == GRAPH_STEP ? "void *state" : "const void *state");
  PUSH(header->arena, &prototype.items, "void *scratch");
  add_dims(header, plan, &prototype);
  add_parameters(header, graph, &prototype);
  add_results(header, graph, &prototype);
  if (graph->draws) {
    PUSH(header->arena, &prototype.items, arena_format(header->arena, "uint64_t %s", take(header, "seed")));
  }
  print_prototype(header, &prototype);
}

static void print_scratch_function(Header *header, const Plan *plan) {
  Prototype prototype = {arena_format(header->arena, "size_t %s_%s_scratch(", header->module->name, plan->graph->name),
                         {0}};
  header->names.count = 0;
  take(header, "workers");
  add_dims(header, plan, &prototype);
  PUSH(header->arena, &prototype.items, "int workers");
  print_prototype(header, &prototype);
}

/* ---- entries ---- */

static void print_value(Header *header, const char *name, const Type *type) {
  PRINT(header, "%s: ", name);
  type_print(header->module, type, header->out);
}

static void print_checks(Header *header, const Graph *graph) {
  for (int k = 0; k < graph->checks.count; k++) {
    const EntryCheck *check = &graph->checks.items[k];
    PRINT(header, "\n * Checked: %s (", check->what ? check->what : "sizes");
    if (check->low > INT64_MIN) PRINT(header, "%lld <= ", (long long)check->low);
    dim_print(header->module, check->dim, header->out);
    if (check->high < INT64_MAX) PRINT(header, " <= %lld", (long long)check->high);
    PRINT(header, ")");
  }
}

static void print_entry(Header *header, const Plan *plan) {
  const Graph *graph = plan->graph;
  PRINT(header, "\n/* %s %s(", graph->kind == GRAPH_STEP ? "step" : "fn", graph->name);
  for (int k = 0; k < entry_parameters(graph); k++) {
    PRINT(header, "%s", k ? ", " : "");
    print_value(header, graph->parameters.items[k].name, &graph->parameters.items[k].type);
  }
  PRINT(header, ")%s", graph->results.count ? " -> " : "");
  for (int k = 0; k < graph->results.count; k++) {
    PRINT(header, "%s", k ? ", " : "");
    print_value(header, graph->results.items[k].name, graph_type(graph, graph->results.items[k].value));
  }
  print_checks(header, graph);
  PRINT(header, " */\n");
  for (int k = 0; k < entry_parameters(graph); k++) print_default(header, graph, &graph->parameters.items[k]);
  const char *bytes = arena_format(header->arena, "%s_SCRATCH_BYTES", upper(header, graph->name));
  print_macro(header, bytes, entry_scratch_bytes(plan, header->cuda), "at the largest sizes, one worker");
  print_scratch_function(header, plan);
  print_entry_function(header, plan);
}

/* ---- the model ---- */

static const char *const run_text =
    "/* How an entry is run. NULL in place of it: on the caller's own thread, one worker. */\n"
    "#ifndef NN_RUN_DEFINED\n"
    "#define NN_RUN_DEFINED\n"
    "typedef struct nn_run {\n"
    "  /* Calls body(arg, index, worker) once for each index in 0..count-1, in any order, on any threads; no two calls at "
    "one\n"
    "   * time share a worker number; returns when all are done. */\n"
    "  void (*parallel_for)(void *user, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg);\n"
    "  void *user;\n"
    "  int workers;              /* worker numbers are 0..workers-1 */\n"
    "  void (*trace)(void *trace_user, int launch, int done);   /* or NULL: before (0) and after (1) each launch */\n"
    "  void *trace_user;\n"
    "} nn_run;\n"
    "#endif\n";

static void print_symbols(Header *header) {
  const Module *module = header->module;
  if (module->symbols.count == 0) return;
  PRINT(header, "\n/* Params (*) and states, by name:\n");
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    PRINT(header, " *   %s ", symbol->trainable ? "*" : " ");
    print_value(header, symbol->name, &symbol->type);
    PRINT(header, "\n");
  }
  PRINT(header, " */\n");
}

static void print_state(Header *header) {
  StateLayout layout = state_layout(header->module);
  const char *name = header->module->name;
  PRINT(header, "\n");
  print_dims(header);
  print_macro(header, "ALIGN", STATE_ALIGN, "of state and scratch");
  print_macro(header, "STATE_BYTES", layout.bytes, "params, optimizers' states, statistics, counters");
  print_macro(header, "INFERENCE_BYTES", layout.inference_bytes, "the first bytes of it: all that the fns read");
  print_symbols(header);
  PRINT(header,
        "\n/* All functions but the sizes of scratch return 0, or a code that %s_error names; then nothing was changed.\n"
        " * The state is written by init, before all else, and by steps; fns may share it between threads, each with its "
        "own\n"
        " * scratch. get and set copy one param or state, dense and row-major: float, int32_t, or uint8_t for bool. */\n",
        name);
  PRINT(header, "int %s_init(void *state, uint64_t seed);\n", name);
  PRINT(header, "int %s_get(const void *state, const char *name, void *out);\n", name);
  PRINT(header, "int %s_set(void *state, const char *name, const void *in);\n", name);
  PRINT(header, "const char *%s_error(int code);\n", name);
}

void header_print(const Module *module, Plan *const *plans, int count, const CodegenOptions *options, Text *out) {
  Header header = {.out = out, .module = module, .cuda = options->cuda != NULL, .arena = arena_new()};
  header.upper = upper(&header, module->name);
  const char *compiler = options->compiler ? options->compiler : "nnc";
  PRINT(&header, "/* The model %s, compiled by %s. Link its object or library with any C or C++ program.\n", module->name,
        compiler);
  PRINT(&header,
        " *\n * In order, an entry takes: run, state, scratch, sizes, parameters, results (NULL: not computed).\n");
  PRINT(&header, " * Tensors are dense and row-major; bool is uint8_t, 0 or 1.%s */\n",
        header.cuda ? "\n * It runs on NVIDIA GPUs: state and scratch are memory from nn_cuda_allocate of libnn's cuda.h."
                    : "");
  PRINT(&header, "#ifndef %s_MODEL_H\n#define %s_MODEL_H\n\n", header.upper, header.upper);
  PRINT(&header, "#include <stddef.h>\n#include <stdint.h>\n\n");
  PRINT(&header, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n%s", run_text);
  print_state(&header);
  for (int k = 0; k < count; k++) print_entry(&header, plans[k]);
  PRINT(&header, "\n/* All of this as data, for programs that drive any model: see nn.h. */\n");
  PRINT(&header, "extern const struct nn_model %s_model;\n", module->name);
  PRINT(&header, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
  arena_free(header.arena);
}
