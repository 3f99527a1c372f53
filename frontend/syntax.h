/* The syntax of a .nn file as a tree: what parse_source() makes and the builder reads.
 *
 * The tree says what was written and nothing of what it means: a name is only a name, `Basic(64) * 2` is a product, and
 * `[N, 784]` is a list, whether it stands for a shape or a tensor. Every node knows its source and an offset, the point at
 * which an error about it shows its caret: the operator of an operation, the called name of a call, the name after the dot
 * of a dotted name, the declared name of a declaration, else the first character. All names are interned. All nodes live in
 * the arena and are never changed after the parse.
 *
 * Names end in Syntax where ir.h has the plain word (ScanSyntax, TypeSyntax, ParameterSyntax, ResultSyntax), since the
 * builder includes both.
 *
 * What the parser has checked: that targets of assignments are names (dotted ones only before :=), that positional
 * arguments come before named ones, that comparisons are not chained, that def, fn, step, model, dim and import stand at the
 * top level and yield, minimize and for do not, that no expression is higher than SYNTAX_HEIGHT and no blocks are nested
 * deeper. It does not check that names are distinct or known, nor that a value is used. */
#ifndef NNC_SYNTAX_H
#define NNC_SYNTAX_H

#include "ir/base.h"

enum {
  SYNTAX_HEIGHT = 500,     /* of an expression's tree, blocks inside it included: recursion over it needs no other guard */
  SYNTAX_NAME = 255,       /* characters of a name */
  SYNTAX_TOKENS = 1 << 20, /* of a file */
};

typedef struct Expression Expression;
typedef struct Statement Statement;

/* `{ ... }`. In a def, a scan without yield aside, the value of a block is its last statement, if that is an expression. */
typedef struct Block {
  Vec(Statement *) statements;
  uint32_t offset, end; /* of `{` and of `}` */
} Block;

/* ---- expressions ---- */

/*                 what       as written  binds (1 is loosest) */
#define SYNTAX_OPERATORS(X)                                                                                                \
  X(PIPE, "|", 1)                                                                                                          \
  X(OR, "or", 2)                                                                                                           \
  X(AND, "and", 3)                                                                                                         \
  X(NOT, "not", 4) /* unary */                                                                                             \
  X(EQUAL, "==", 5)                                                                                                        \
  X(NOT_EQUAL, "!=", 5)                                                                                                    \
  X(LESS, "<", 5)                                                                                                          \
  X(LESS_EQUAL, "<=", 5)                                                                                                   \
  X(GREATER, ">", 5)                                                                                                       \
  X(GREATER_EQUAL, ">=", 5)                                                                                                \
  X(ADD, "+", 6)                                                                                                           \
  X(SUBTRACT, "-", 6)                                                                                                      \
  X(MULTIPLY, "*", 7) /* also a template taken a number of times */                                                        \
  X(DIVIDE, "/", 7)                                                                                                        \
  X(FLOOR_DIVIDE, "//", 7)                                                                                                 \
  X(MODULO, "%", 7)                                                                                                        \
  X(MATMUL, "@", 7)                                                                                                        \
  X(NEGATE, "-", 8) /* unary */                                                                                            \
  X(POWER, "**", 9) /* from the right; its right side may begin with a unary minus */

typedef enum Operator {
#define X(name, text, binds) OPERATOR_##name,
  SYNTAX_OPERATORS(X)
#undef X
      OPERATOR_COUNT
} Operator;

const char *operator_text(Operator operator);

typedef enum ExpressionKind {
  EXPRESSION_NUMBER,   /* 3, 0.5, 1e-3              number */
  EXPRESSION_STRING,   /* "nearest"                 string */
  EXPRESSION_BOOL,     /* true, false               truth */
  EXPRESSION_NAME,     /* x                         name */
  EXPRESSION_MEMBER,   /* net.dense1                member */
  EXPRESSION_CALL,     /* conv(6, 5, pad=2)         call */
  EXPRESSION_INDEX,    /* x[1:, ::2, None, ..., 0]  index */
  EXPRESSION_LIST,     /* [N, 784], []              items; the only place of ELLIPSIS and SPREAD */
  EXPRESSION_TUPLE,    /* (a, b), and a, b = b, a   items */
  EXPRESSION_UNARY,    /* -x, not c                 operation, with left NULL */
  EXPRESSION_BINARY,   /* a + b, x | f(1)           operation */
  EXPRESSION_RANGE,    /* 0..n                      range; only after the `in` of a for or scan */
  EXPRESSION_IF,       /* if c { } else { }         branch */
  EXPRESSION_SCAN,     /* scan x in xs ... { }      scan */
  EXPRESSION_ELLIPSIS, /* [..., C]                  (nothing) */
  EXPRESSION_SPREAD,   /* [S..., C]                 name */
} ExpressionKind;

typedef struct Number {
  bool whole;    /* written without a point and an exponent */
  int64_t value; /* if whole; never negative */
  double real;   /* the value in any case; finite */
} Number;

typedef struct Argument {
  const char *name; /* of `pad=2`, else NULL */
  uint32_t offset;  /* of the name, or where the value starts */
  Expression *value;
} Argument;

typedef enum IndexKind {
  INDEX_AT,       /* x[0], x[i]: the axis goes */
  INDEX_SLICE,    /* x[1:], x[::2], x[a:b:c] */
  INDEX_NEW_AXIS, /* x[None] */
  INDEX_ELLIPSIS, /* x[..., 0] */
} IndexKind;

typedef struct IndexItem {
  IndexKind kind;
  uint32_t offset;
  Expression *at;                  /* INDEX_AT */
  Expression *start, *stop, *step; /* INDEX_SLICE; each may be NULL */
} IndexItem;

/* `x in xs` or `i in 0..n`. */
typedef struct Binding {
  const char *name;
  uint32_t offset;
  Expression *over; /* a RANGE or a sequence */
} Binding;

/* `s = e` after `carry`. */
typedef struct Carry {
  const char *name;
  uint32_t offset;
  Expression *start;
} Carry;

typedef struct ScanSyntax {
  Vec(Binding) bindings; /* at least one */
  Expression *axis;      /* or NULL: 0 */
  Vec(Carry) carries;    /* may be empty */
  Block body;
} ScanSyntax;

typedef struct Branch {
  Expression *condition;
  Block then;
  Block *otherwise; /* NULL without else; `else if` is a block of one IF */
} Branch;

struct Expression {
  ExpressionKind kind;
  uint16_t height;     /* of the tree under it; 1 for a leaf */
  uint32_t offset;     /* where an error about it points */
  uint32_t begin, end; /* its text in the source, for "in Basic(256), made here"; parentheses around it not counted */
  const Source *source;
  union {
    Number number;
    const char *string; /* escapes resolved, interned */
    bool truth;
    const char *name;
    struct {
      Expression *object;
      const char *name;
    } member;
    struct {
      Expression *callee;
      Vec(Argument) arguments;
    } call;
    struct {
      Expression *object;
      Vec(IndexItem) items;
    } index;
    Vec(Expression *) items;
    struct {
      Operator operator;
      Expression *left, *right; /* a unary operator has only a right */
    } operation;
    struct {
      Expression *low, *high; /* high is not in the range */
    } range;
    Branch branch;
    ScanSyntax *scan;
  };
};

/* ---- types and parameters ---- */

typedef enum WrittenType { TYPE_NONE, TYPE_F32, TYPE_I32, TYPE_BOOL } WrittenType; /* NONE: `x: [N]`, which is f32 */

/* `[N, 784]`, `i32[N]`, `[S..., C]`, `shape(p)`, `[2] + shape(x)`. */
typedef struct TypeSyntax {
  WrittenType element;
  uint32_t offset;
  Expression *shape; /* a LIST, or what gives one; never NULL where the Type is not */
} TypeSyntax;

/* Of a def, fn or step. With a type it is an input, without a setting (in a fn or step: a run-time f32). */
typedef struct ParameterSyntax {
  const char *name;
  uint32_t offset;
  TypeSyntax *type;       /* or NULL */
  Expression *by_default; /* or NULL */
} ParameterSyntax;

typedef struct ResultSyntax {
  const char *name;
  uint32_t offset;
} ResultSyntax;

typedef enum RoutineKind { ROUTINE_DEF, ROUTINE_FN, ROUTINE_STEP } RoutineKind;

/* Exactly one of body and value is there; only a damaged routine (an error was reported) has neither. */
typedef struct Routine {
  RoutineKind kind;
  const char *name;
  uint32_t offset; /* of the name */
  const Source *source;
  Vec(ParameterSyntax) parameters;
  bool has_results; /* `->` was written; never in a def */
  Vec(ResultSyntax) results;
  Block *body;       /* `{ ... }` */
  Expression *value; /* `= e` */
} Routine;

/* ---- statements ---- */

typedef enum StatementKind {
  /* only at the top level */
  STATEMENT_MODEL,   /* model lenet                           name */
  STATEMENT_DIM,     /* dim 5 <= T <= 200 by 8                dim */
  STATEMENT_IMPORT,  /* import "blocks.nn"                    import */
  STATEMENT_ROUTINE, /* def, fn, step                         routine */
  /* at the top level and in blocks */
  STATEMENT_LAYER,  /* layer net = LeNet                     layer */
  STATEMENT_PARAM,  /* param w: [I, O] = xavier              weight */
  STATEMENT_STATE,  /* state mu: [C] = 0                     weight */
  STATEMENT_ASSIGN, /* a, b = e; a constant at the top       assign */
  STATEMENT_ASSERT, /* assert C % 2 == 0, "text"             assertion */
  /* only in blocks */
  STATEMENT_EXPRESSION, /* an IF, a SCAN, or a value             expression */
  STATEMENT_UPDATE,     /* mu := 0.9 * mu; net.w := e            assign */
  STATEMENT_MINIMIZE,   /* minimize loss over D clip 1 by sgd()  minimize */
  STATEMENT_FOR,        /* for i in 0..n { }                     loop */
  STATEMENT_YIELD,      /* yield a, b                            values */
} StatementKind;

struct Statement {
  StatementKind kind;
  bool last;       /* of its block: a value here is the block's value, anywhere else it is unused */
  uint32_t offset; /* of the name that it declares; of `=` or `:=`; else of its first word; of an expression as its own */
  const Source *source;
  union {
    const char *name;
    struct {
      const char *name;
      Expression *low; /* or NULL: 1 */
      Expression *high;
      Expression *by; /* or NULL: 1 */
    } dim;
    struct {
      const char *path; /* as written, relative to this file; offset is at the string */
    } import;
    Routine *routine;
    struct {
      const char *name;
      Expression *value;
    } layer;
    struct {
      const char *name;
      TypeSyntax type;
      Expression *initialiser; /* or NULL: none was given */
    } weight;
    struct {
      Vec(Expression *) targets; /* NAMEs; for := also MEMBERs. More than one takes a tuple apart. */
      Expression *value;         /* one expression: `a, b = b, a` has a TUPLE */
    } assign;
    struct {
      Expression *condition;
      const char *text; /* or NULL */
    } assertion;
    Expression *expression;
    struct {
      Expression *loss;
      Vec(Expression *) over; /* NAMEs and MEMBERs; empty: all that the loss reaches */
      Expression *clip;       /* or NULL */
      Expression *optimizer;  /* a CALL, or a NAME without settings; its offset is the optimizer's name */
    } minimize;
    struct {
      Binding binding;
      Block body;
    } loop;
    Vec(Expression *) values;
  };
};

typedef struct File {
  const Source *source;
  const char *model; /* the name after `model`, or NULL: the file is for import */
  Vec(Statement *) statements;
} File;

/* Reads a source. Faults go to diagnostics, each with its place; what could be understood is in the file nonetheless, so
 * go on only if diagnostics_errors() is 0. Never NULL. */
File *parse_source(Arena *arena, Diagnostics *diagnostics, const Source *source);

/* The tree in a form of its own, one statement a line, fully bracketed: (x + (y * 2)). For tests and --stop-after=parse. */
void syntax_print(const File *file, Text *out);
void expression_print(const Expression *expression, Text *out);

/* "net.dense1.w" of a NAME or a chain of MEMBERs on one, interned; NULL for anything else. */
const char *dotted_name(Arena *arena, const Expression *expression);

static inline Place expression_place(const Expression *expression, const Place *caller, const char *inside) {
  return (Place){expression->source, expression->offset, caller, inside};
}
static inline Place statement_place(const Statement *statement, const Place *caller, const char *inside) {
  return (Place){statement->source, statement->offset, caller, inside};
}

#endif
