/* Inside the builder: an evaluator over the syntax tree that runs a program at compile time and leaves graphs behind.
 *
 * A Value is what an expression gives. Numbers, sizes, strings, lists and templates are known now; a tensor is a node in the
 * graph of the Level (an entry, or a scan's body in it) that made it, and one of an outer level is captured when it is
 * touched. A def is run anew for each call, in a Frame that says in which Part of which layer its weights live, so that
 * the only lasting things are the module's symbols, found by their dotted names.
 *
 * What fails is reported where it fails and gives VALUE_ERROR; whatever meets that stays silent, so one fault is told once
 * and the next independent one is found too. */
#ifndef NNC_BUILD_H
#define NNC_BUILD_H

#include "frontend/frontend.h"
#include "frontend/syntax.h"

enum { MAX_DEPTH = 100, MAX_ITEMS = 4096, MAX_ARGUMENTS = 16, MAX_UNROLL = 10000, MAX_NODES = 1 << 17 };

typedef struct Builder Builder;
typedef struct Part Part;
typedef struct Weight Weight;
typedef struct Template Template;
typedef struct Tree Tree;
typedef struct Level Level;
typedef struct FileScope FileScope;

/* ---- values ---- */

typedef enum ValueKind {
  VALUE_ERROR,  /* was reported; silences what meets it */
  VALUE_ABSENT, /* an argument that was not given */
  VALUE_NONE,   /* `none`, and what a statement gives */
  VALUE_NUMBER,
  VALUE_SIZE, /* a size that is not constant */
  VALUE_BOOL,
  VALUE_STRING,
  VALUE_LIST,
  VALUE_TUPLE,
  VALUE_TENSOR,
  VALUE_WEIGHT,   /* a param or state by name: read where a tensor is wanted */
  VALUE_LAYER,    /* a part of the model: applied, its weights are shared */
  VALUE_TEMPLATE, /* applied, its weights are fresh */
  VALUE_TREE,     /* tensors by dotted name: arithmetic on layers gives it */
  VALUE_INITIALISER,
} ValueKind;

typedef struct Value {
  ValueKind kind;
  bool infer, stop; /* of LAYER and TEMPLATE: in inference mode; no gradient into its params. stop of WEIGHT too */
  union {
    Number number;
    const Dim *size;
    bool truth;
    const char *string;
    struct {
      struct Value *items;
      int count;
    } list; /* LIST and TUPLE */
    struct {
      Id id;
      Level *level;
    } tensor;
    Weight *weight;
    Part *part;
    const Template *template;
    const Tree *tree;
    Initialiser initialiser;
  };
} Value;

struct Tree {
  int count;
  const char **names; /* relative to the layer: "dense1.w" */
  Value *leaves;      /* TENSORs, or WEIGHTs */
};

typedef struct Given {
  const char *name; /* NULL: by position */
  Value value;
  const Expression *expression;
} Given;
typedef struct Arguments {
  Given *items;
  int count, capacity;
} Arguments;

typedef struct Builtin Builtin;

/* What can be called: a def or a builtin, with the settings given so far; or several in a row. */
typedef enum TemplateKind { TEMPLATE_CALL, TEMPLATE_ROW, TEMPLATE_REPEAT } TemplateKind;
struct Template {
  TemplateKind kind;
  const Routine *routine; /* CALL: a def of `file`, */
  FileScope *file;
  const Builtin *builtin; /* or a builtin */
  Arguments arguments;
  const Expression *made; /* where it was written, for "in Basic(256), made here" */
  Value left, right;      /* ROW: left, then right. REPEAT: left, count times */
  int64_t count;
};

/* ---- the model's tree of layers ---- */

struct Weight {
  const char *name, *path;
  Part *part; /* NULL: at the top level */
  int symbol; /* of the module; -1: declared but not made yet */
  bool trainable;
};
struct Part {
  const char *name, *path;
  Part *parent;
  Vec(Part *) parts;
  Vec(Weight *) weights;
  Value template; /* of what a `layer` names */
  bool applied;
};
/* Where a running def's weights go, and how many of each kind of part it has made: one for each application. */
typedef struct Naming {
  Part *part; /* NULL: a fn or step, which makes no weights */
  Vec(struct PartCount {
    const char *name;
    int count;
  }) counts;
} Naming;

/* ---- names ---- */

typedef struct Variable {
  const char *name;
  Value value;
} Variable;
typedef struct Scope {
  struct Scope *parent;
  FileScope *file;
  Vec(Variable) variables;
} Scope;

typedef enum GlobalState { GLOBAL_FRESH, GLOBAL_BUSY, GLOBAL_DONE } GlobalState;
typedef struct Global {
  const char *name;
  const Statement *statement;
  struct Global *given; /* of Builder.given: has the value in place of the statement */
  GlobalState state;
  Value value;
  bool used;
} Global;
struct FileScope {
  const Source *source;
  const char *path; /* as it was opened: what imports go by */
  File *file;
  Vec(Global *) globals;
  Vec(FileScope *) imports;
  bool busy; /* being loaded: an import that comes back here goes round */
};

/* ---- graphs in the making ---- */

typedef struct Read {
  int symbol;
  Id id;
} Read;
typedef struct ScanBuild ScanBuild;
struct Level {
  Level *outer; /* of a scan's body */
  Graph *graph;
  ScanBuild *scan;    /* NULL at an entry */
  Id turn;            /* of a scan's body: the parameter that counts */
  Vec(Read) captures; /* symbol: the outer level's Id; id: the parameter here */
  Vec(Id) current;    /* by symbol: what it holds now; 0: not read yet */
  Vec(bool) changed;  /* by symbol */
  Vec(Read) reads;    /* every value a symbol had here, for minimize to find its params */
  Vec(Value) yields;
  bool yielded;
};
typedef struct DrawCount {
  const char *path;
  int count;
} DrawCount;
/* One fn or step. */
typedef struct Entry {
  const Routine *routine;
  Graph *graph;
  Level *level;
  bool training;     /* a step */
  Id seed[2], calls; /* keys of random nodes at the entry's level; 0: no draw yet */
  Vec(DrawCount) draws;
} Entry;
/* One running call. */
typedef struct Frame {
  struct Frame *outer;
  const Place *caller; /* NULL for an entry and for the top level */
  const char *inside;
  Naming *naming;
  bool def;          /* a def's body: := in it is silent outside of training */
  bool infer, stop;  /* how the layer that led here was taken */
  bool initialising; /* evaluating what a param starts from */
  bool failed;       /* the rest of the def would only repeat what was reported */
  int depth;
} Frame;

/* What a first round of building found out: the params and states by dotted name. */
typedef struct Known {
  const char *path;
  Type type; /* its sizes are constants, by value: they belong to another module */
  bool trainable;
  Initialiser init;
} Known;

struct Builder {
  Arena *arena;
  Diagnostics *diagnostics;
  Module *module;
  const Source *constants;           /* NULL: none */
  FileScope *main, *prelude, *given; /* given: of `constants` */
  Vec(FileScope *) files;
  Part root;             /* the top-level layers, params and states */
  Vec(Weight *) weights; /* by symbol */
  Vec(Known) known;      /* of a model that does arithmetic on layers */
  Scope *scope;
  Frame *frame;
  Level *level;                        /* NULL outside of entries */
  Entry *entry;                        /* NULL outside of entries */
  Vec(const Statement *) open_asserts; /* at top level, about sizes that bounds leave open */
  bool top_asserts_run;                /* for an entry */
  const Expression *at;                /* what is evaluated: where faults are, and the nodes' place */
};

/* ---- build_value.c: making values, turning them into tensors, showing them ---- */

extern const Value value_error, no_value, value_absent;
Value value_whole(int64_t value);
Value value_real(double value);
Value value_bool(bool truth);
Value value_string(const char *string);
Value value_size(const Dim *size); /* a NUMBER where it is constant */
Value value_tensor(Builder *b, Id id);
Value value_list(Builder *b, const Value *items, int count);
Value value_tuple(Builder *b, const Value *items, int count);
Value value_shape(Builder *b, const Type *type);
bool is_error(const Value *value);
bool is_known(const Value *value);                      /* at compile time */
bool is_data(const Value *value);                       /* a tensor, a weight */
bool is_sizelike(const Value *value);                   /* a whole number or a size */
const char *value_kind_name(const Value *value);        /* "a tensor" */
const char *value_text(Builder *b, const Value *value); /* "f32[N, 4]", "3", "[1, 2]" */
const char *shape_text(Builder *b, const Type *type);   /* "[N, 4]" */
const char *size_text(Builder *b, const Dim *size);
bool values_equal(Builder *b, const Value *x, const Value *y);

/* Faults at an expression (NULL: at b->at). */
Value fault(Builder *b, const Expression *at, const char *format, ...) PRINTF_LIKE(3, 4);
void fault_in(Builder *b, const Source *source, uint32_t offset, const char *format, ...) PRINTF_LIKE(4, 5);
const Place *place_of(Builder *b, const Source *source, uint32_t offset);
const Place *place_at(Builder *b, const Expression *at);
void stand_at(Builder *b, const Expression *at); /* b->at, and the graph's place */

/* These report and give false where the value is not of the kind. `what` names it: "the axis". */
bool want_tensor(Builder *b, const Value *value, Dtype dtype, Id *id); /* NONE: as it is; numbers take the dtype */
bool want_whole(Builder *b, const Value *value, const char *what, int64_t *whole);
bool want_real(Builder *b, const Value *value, const char *what, double *real);
bool want_size(Builder *b, const Value *value, const char *what, const Dim **size);
bool want_bool(Builder *b, const Value *value, const char *what, bool *truth);
bool want_shape(Builder *b, const Value *value, const char *what, Type *type); /* sizes alone; dtype F32 */
bool want_axis(Builder *b, const Value *value, int rank, int *axis);
bool want_axes(Builder *b, const Value *value, int rank, bool *folded); /* one, a list of them; absent: all */
Id import_tensor(Builder *b, Level *level, const Value *tensor); /* its Id at the level; captured where it is outer's */
const Type *tensor_type(const Value *tensor);                    /* of a TENSOR */
Dtype value_dtype(Builder *b, const Value *value);               /* NONE for numbers and lists */

/* ---- build_expression.c ---- */

Value evaluate(Builder *b, const Expression *expression);
Value evaluate_block(Builder *b, const Block *block, bool value_wanted);
Value operate(Builder *b, Operator operator, Value left, Value right);
Value elementwise(Builder *b, Op op, Value a);      /* exp, sqrt ...: tensors, trees, numbers */
Value combine(Builder *b, Op op, Value x, Value y); /* two tensors or numbers by one op, brought together */
bool condition(Builder *b, const Expression *expression, bool *truth);
bool condition_of(Builder *b, const Expression *expression, Value value, const char *help,
                  bool *truth); /* evaluated already */
Value evaluate_index(Builder *b, const Expression *expression);
/* Compares sizes by their bounds: -1 unknown, else 0 or 1. */
int compare_sizes(Builder *b, Operator operator, const Dim * left, const Dim *right);
/* Constants alone: VALUE_ABSENT where it is no operation on what is known. */
Value operate_known(Builder *b, Operator operator, const Value * left, const Value *right);

/* ---- build_name.c ---- */

Value look_up(Builder *b, const char *name, bool callable); /* VALUE_ABSENT if there is none */
Value name_value(Builder *b, const Expression *expression, bool callable);
Value member_value(Builder *b, const Expression *expression);
void set_variable(Builder *b, const char *name, Value value);
Variable *local_variable(Scope *scope, const char *name); /* in this scope alone */
Scope *push_scope(Builder *b, FileScope *file, Scope *parent);
Value global_value(Builder *b, FileScope *file, Global *global);
Global *find_global(const FileScope *file, const char *name);
FileScope *load_file(Builder *b, const Source *source, const char *path, const Place *importer);

/* ---- build_call.c ---- */

Value evaluate_call(Builder *b, const Expression *expression);
Value evaluate_pipe(Builder *b, const Expression *expression);
Value apply(Builder *b, Value callee, const Value *inputs, int count, const Expression *at);
Value call_template(Builder *b, const Template *template, const Arguments *arguments, const Expression *at);
Value repeat_template(Builder *b, Value template, Value count, const Expression *at);
bool collect_arguments(Builder *b, const Expression *call, Arguments *arguments); /* false: an error is among them */
void give_argument(Builder *b, Arguments *arguments, const char *name, Value value, const Expression *expression);
const char *call_text(Builder *b, const Template *template, const Expression *at);
/* Runs a def whose parameters are bound by these arguments in the given naming. */
Value run_def(Builder *b, const Template *def, const Arguments *arguments, Naming *naming, const Expression *at);
Naming *enter_part(Builder *b, const char *name); /* the next part of this name in the running def */

/* ---- build_shape.c: inputs' shapes ---- */

bool bind_shape(Builder *b, const Routine *routine, const ParameterSyntax *parameter, const Value *value);
bool written_type(Builder *b, const TypeSyntax *syntax, Type *type); /* all sizes known: of entries, params, states */

/* ---- build_statement.c ---- */

Value run_statement(Builder *b, const Statement *statement, bool value_wanted);

/* ---- build_assert.c ---- */

Value run_assert(Builder *b, const Statement *statement);
void check_top_asserts(Builder *b); /* those that bounds leave open, for the entry at work */

/* ---- build_weight.c ---- */

Part *find_part(Builder *b, Part *parent, const char *name, bool make);
Weight *find_weight(Part *part, const char *name);
Weight *make_weight(Builder *b, Part *part, const char *name, const Type *type, bool trainable, Initialiser init,
                    const Place *place);
Value declare_weight(Builder *b, const Statement *statement, Part *part);
Id read_weight(Builder *b, Level *level, Weight *weight);
bool update_weight(Builder *b, Weight *weight, Id value);
void set_current(Builder *b, Level *level, int symbol, Id id);
Value update(Builder *b, Value target, Value value);
const Tree *tree_of(Builder *b, const Value *value); /* of a LAYER or TREE */
Value map_trees(Builder *b, Value (*leaf)(Builder *b, void *user, Value x, Value y), void *user, Value x, Value y);
bool is_tree(const Value *value);
void collect_weights(Part *part, bool trainable_only, int *symbols, int *count, int capacity);
int count_weights(const Part *part);
void make_known(Builder *b, Part *part); /* its weights, as a first round of building found them */
bool in_training(const Builder *b);

/* ---- build_scan.c ---- */

struct ScanBuild {
  Frame *frame;     /* in which its body is written */
  Vec(int) carried; /* symbols that the body changes: carries behind the written ones */
  bool again;       /* the body must be built anew, knowing more */
};
Value evaluate_scan(Builder *b, const Expression *expression);

/* ---- build_train.c ---- */

Value run_minimize(Builder *b, const Statement *statement);
Value builtin_grad(Builder *b, Value *arguments);

/* ---- build_random.c ---- */

Id draw_uniform(Builder *b, const Type *type);
void finish_draws(Builder *b);

/* ---- builtins: each gets its arguments in the order of its signature, ABSENT where not given ---- */

struct Builtin {
  const char *name;
  const char *signature; /* "x axis? keep?": names by position; ? may be missing; a last "*": any number more */
  Value (*call)(Builder *b, Value *arguments);
  Value (*call_open)(Builder *b, const Arguments *arguments); /* instead, where names are free (contract's sizes) */
};
const Builtin *find_builtin(const char *name);
/* build_math.c: an op of one operand under its own name, which has neither call; NULL: no such op. */
const Builtin *elementwise_builtin(Op op);
Value call_elementwise(Builder *b, const Builtin *builtin, Value x);
extern const Builtin builtins_math[], builtins_array[], builtins_space[], builtins_model[]; /* ended by a NULL name */

/* build_space.c */
Value matrix_product(Builder *b, Value x, Value y);
/* build_array.c */
Id drop_axis(Builder *b, Id id, int axis, const Dim *index);
void check_size(Builder *b, const Dim *size, int64_t low, int64_t high, const char *what); /* an EntryCheck if open */

#endif
