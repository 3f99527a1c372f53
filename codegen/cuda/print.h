/* What the files of the printer share. A Print is one kernel being printed; expressions are strings in its arena, lines go
 * to `out`.
 *
 * Every value of the plan has one name in CUDA C: scalar k of a stage is s<k>; loop k is <its name>_<k>; a buffer is
 * p<k>, the k-th that the kernel mentions, so that kernels which do alike are alike as text. Index arithmetic is in int
 * where the bounds of all sizes allow it, else in long long. Sizes that are not constant are computed once, at the
 * kernel's head. */
#ifndef NNC_CUDA_PRINT_H
#define NNC_CUDA_PRINT_H

#include "codegen/cuda/cuda.h"

typedef struct Print {
  const Plan *plan;
  Module *module;
  const Kernel *kernel;
  const Stage *stage; /* being printed */
  Arena *arena;
  Text *out;
  int depth;                    /* of indentation */
  const char *index;            /* the type of indices: "int" or "long long" */
  const char *loops[MAX_LOOPS]; /* of the stage */
  Vec(Id) buffers;              /* p<k>, or local_<k>: in the order in which they are first mentioned */
  Vec(const Dim *) sizes;       /* size_<k>: what the kernel's head must compute */
  int64_t shared_bytes;         /* of locals */
  int64_t stage_bytes;          /* the most that a stage needs beside them */
  int64_t wide_bytes;           /* the same where warpgroups multiply; 0: they do nowhere */
  Vec(CudaMap) maps;            /* map_<k> */
  int64_t *local_offset;        /* by buffer */
} Print;

/* ---- source.c ---- */
typedef struct KernelText {
  CudaKernel kernel; /* without name and part */
  Text parameters;   /* "const float *p0, long long N_0" */
  Text names;        /* of these: "p0, N_0" */
  Text body;         /* where `block` is the number of the block's first task */
  Text legend;       /* a remark: where it comes from */
} KernelText;
/* shared_align: of shared memory, the same in all kernels of a file. */
KernelText print_kernel(const Plan *plan, const Kernel *kernel, int shared_align);
void kernel_text_free(KernelText *own);
void print_constants(const Plan *plan, Text *out);
char *identifier(Arena *arena, const char *name);              /* a name of ours as C has them */
const char *dim_name(const Print *print, int symbol);          /* a size's, as an argument */
void print_dim(const Print *print, const Dim *dim, Text *out); /* by such names, as long long */
void mention(const Dim *dim, bool *mentioned);                 /* marks the symbols in it */
void print_line(Print *print, const char *format, ...) PRINTF_LIKE(2, 3);
void print_open(Print *print, const char *format, ...) PRINTF_LIKE(2, 3); /* the line, " {", deeper */
/* A remark: the loop that follows, of so many turns at most and loads in each, is unrolled a little, not wholly. */
void print_some(Print *print, double turns, int loads);
void print_block(Print *print); /* "{", deeper */
void print_close(Print *print);
void print_barrier(Print *print);
const char *type_text_of(Dtype dtype); /* in a register */
const char *type_in_memory_of(Dtype dtype);
const char *buffer_text(Print *print, Id buffer); /* its name */
/* Shared memory of this stage alone, behind the locals; gives the offset. All of a stage's begins anew with each stage. */
int64_t stage_shared(Print *print, int64_t bytes);

/* ---- index.c: sizes, loops, addresses ---- */
const char *dim_text(Print *print, const Dim *dim); /* an expression of the index type; not negative ones in brackets */
const char *quotient_text(Print *print, const char *value, const char *divisor);
const char *dims_product(Print *print, const char *a, const char *b);
bool task_is_whole(const Loop *task); /* its tiles divide it: none is cut short at the end */
/* How many indices a loop has in this task. */
const char *loop_span(Print *print, int loop);
const char *span_product(Print *print, const int *loops, int count);
double most_points(const Print *print, const int *loops, int count); /* of a task, at the bounds */
/* Declares the loops, the last one running fastest, from a number: `value` is an expression. */
void print_loops(Print *print, const char *value, const int *loops, int count);
/* The loops from..to-1 in order, but `last` behind all others where it is one of them. Gives their number. */
int loops_in_order(int from, int to, int last, int *order);
const char *access_text(Print *print, const Access *access);   /* "x_1[28*i_1 + j_2]", or the value of a scalar */
const char *access_guard(Print *print, const Access *access);  /* a condition, NULL: it is always inside */
const char *access_number(Print *print, const Access *access); /* the row-major index, as unsigned long long */
const char *axis_index(Print *print, const Access *access, int axis);
/* Whether an access's neighbours along `dense` lie side by side in groups of WIDE, 16 bytes, that all begin at a multiple of
 * it. Every buffer does. */
enum { WIDE = 4 };
bool lies_wide(const Print *print, const Access *access, int dense);
bool indices_fit_int(const Plan *plan, const Kernel *kernel);

/* ---- scalars.c ---- */
const char *number_text(Print *print, Dtype dtype, double number);
/* Declares scalars from..to-1. */
void print_scalars(Print *print, int from, int to);
void print_scalar(Print *print, int scalar, const char *text); /* one, as this expression */
int count_loads(const Stage *stage, int from, int to);         /* among scalars from..to-1 */
void print_stores(Print *print);
const char *store_open(Print *print, const Store *store); /* "if (wanted) " before a store into a result, or "" */

/* ---- loops.c ---- */
void print_each(Print *print);
void print_fold(Print *print);
void print_scatter(Print *print);
void print_sort(Print *print);
void print_cumsum(Print *print);

/* ---- contract.c, warpgroup.c ---- */
void print_contract(Print *print);
bool plan_has_warpgroups(const Plan *plan);

#endif
