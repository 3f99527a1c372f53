/* The plan: what the machine does. Launches of kernels over buffers; a kernel is task loops around ordered stages.
 *
 * A kernel's task loops are cut into tiles of fixed size; a task is one tile of each, and tasks are independent: any thread
 * may run any of them in any order, so the cut depends on shapes alone and the bits do not depend on threads. Within a
 * task, stages run one after another, each over the task's tile of the task loops and over loops of its own; they share
 * LOCAL buffers, which hold one task's tile. Kernels of one launch are independent of each other; between launches all
 * wait for all.
 *
 * A stage computes, at every point of its kept loops, a value folded over its folded loops (or none), then stores. What it
 * computes is a list of Scalars in SSA form. Reading goes through index maps as in the graph; what a map can't prove to be
 * inside is guarded. */
#ifndef NNC_PLAN_H
#define NNC_PLAN_H

#include "ir/ir.h"

typedef enum Memory {
  MEMORY_ARG,      /* the caller's array for parameter `index` (a scalar parameter: its value) */
  MEMORY_RESULT,   /* the caller's array for result `index`, which may be NULL: then the store is left out */
  MEMORY_STATE,    /* the param or state `index` in the state block */
  MEMORY_CONSTANT, /* `array`, in the object's read-only data */
  MEMORY_ARENA,    /* in the scratch block, at an offset that the memory pass finds */
  MEMORY_LOCAL     /* one task's tile, in a worker's part of the scratch block; belongs to kernel `index` */
} Memory;

/* Dense, row-major in its sizes. The storage of a LOCAL buffer has the tile's sizes in its first `ntasks` axes, which
 * stand for the kernel's task loops; accesses still name the whole index there, codegen subtracts the task's start. */
typedef struct Buffer {
  Memory memory;
  Type type;
  int index;
  const double *array; /* CONSTANT */
  const char *name;
  /* ARENA: found by the memory pass */
  int first, last;  /* launches between which it holds something; a loop's first is its LOOP, its last its END */
  const Dim *bytes; /* rounded up to 64; NULL: before the pass, or of no use to any launch */
  Vec(Id) below;    /* its offset is the largest end of these (0 without any), at any sizes */
  int64_t offset;   /* at the bounds; STATE: in the state block */
} Buffer;

/* One element of a buffer, at a point of a stage's loops. `as` are the sizes under which the map's axes are meant: the
 * buffer's own, or others with the same count of elements (a reshape). index[k] >= 0: axis k's index is the value of that
 * i32 scalar instead of the map's (gather); where it falls outside the axis the element is absent. */
typedef struct Access {
  Id buffer;
  Type as;
  Map map;
  int16_t index[MAX_RANK];
} Access;

/* A scalar's op is a row of ops.def (elementwise ones) or one of these. */
enum {
  SCALAR_LOAD = OP_COUNT, /* access; number if the element is absent */
  SCALAR_NUMBER,          /* number */
  SCALAR_SIZE,            /* dim, as i32 */
  SCALAR_INDEX,           /* axis 0 of access.map, as i32; anything, if it is not exact: then an INSIDE chooses other */
  SCALAR_INSIDE,          /* bool: all axes of access.map are exact and inside access.as */
  SCALAR_KEY,             /* random_key(a, b); a == -1: number is the stream to start from */
  SCALAR_RANDOM,          /* random_uniform(a, row-major index of access.map in access.as), f32; anything outside */
  SCALAR_FOLDED           /* the result of folder `index`; only in scalars from `after` on */
};
typedef struct Scalar {
  int16_t op;
  Dtype dtype;
  int16_t a, b, c; /* operands: earlier scalars of the stage, -1 for none */
  int16_t index;   /* FOLDED */
  double number;
  const Dim *dim;
  Access *access;
} Scalar;

typedef enum FoldOp { FOLDER_SUM, FOLDER_MAX, FOLDER_MIN, FOLDER_ARGMAX, FOLDER_ARGMIN } FoldOp;
/* ARGMAX and ARGMIN give the row-major index over the folded loops. Where `when` >= 0 and that bool scalar is false, the
 * point is skipped. */
typedef struct Folder {
  FoldOp op;
  Dtype dtype;         /* of value; the result of ARGMAX and ARGMIN is i32 */
  int16_t value, when; /* scalars before `after` */
} Folder;
typedef struct Store {
  Access access; /* always inside; each element is stored once by a stage */
  int16_t value;
} Store;

typedef enum StageKind {
  STAGE_EACH,     /* no folded loops */
  STAGE_FOLD,     /* folds over loops nkept.. */
  STAGE_CONTRACT, /* a FOLD with one folder, the sum of LOAD * LOAD, both f32, both always inside: a tile contraction. Its
                     condition, if it has one, is an INSIDE; what is outside adds 0, and may be skipped or not */
  STAGE_SCATTER,  /* folded loops run in row-major order; each point adds to the store's element, which a gather-like
                        index may choose; points outside are skipped. Stores do not meet between kept points */
  STAGE_SORT,     /* argsort of the last kept loop: scalar store[0].value is the key, the store gets the i32 index */
  STAGE_CUMSUM    /* running sum along the last kept loop of store[0].value */
} StageKind;

typedef struct Loop {
  const char *name;
  const Dim *extent;
  int tile; /* task loops: how many indices a task has; else 0 */
} Loop;

/* How an operand reaches the warpgroups of a GPU that multiply together: by copies of each thread, or by a tensor map, from
 * which the GPU copies squares by itself. NONE, of both: warps multiply by themselves. */
typedef enum OperandFeed { FEED_NONE, FEED_COPIES, FEED_MAP, FEED_COUNT } OperandFeed;
extern const char *const feed_names[FEED_COUNT];

/* How a CONTRACT is cut into register tiles; found by the schedule. The tile holds rows x columns vectors of 16 lanes as
 * accumulators. `vector` is the loop that lanes run along (in b alone: lanes of columns; in a and b and folded: lanes are
 * partial sums; in a, b and kept: lanes of both). Rows are consecutive indices of loop `row` (which b does not depend on);
 * columns are consecutive vectors of `vector`, or consecutive indices of loop `column` (which a does not depend on). -1:
 * none. Where the operand with lanes is large, the fold is cut into pieces of about `piece` points, each of which is run over
 * the task's rows before the next; the order of each sum stays. 0: it is whole. */
typedef struct Tile {
  int vector, row, column; /* loops of the stage */
  int rows, columns;       /* accumulators: rows * columns */
  int piece;
  Precision precision; /* PRECISION_F32, or what a GPU's tensor cores multiply */
  OperandFeed feed[2]; /* of the two operands */
} Tile;

typedef struct Stage {
  StageKind kind;
  int nloops, nkept; /* loops: the kernel's task loops, other kept loops, folded loops */
  Loop loops[MAX_LOOPS];
  Vec(Scalar) scalars; /* those before `after` are computed at every point, those from it on at every kept point */
  int after;
  Vec(Folder) folders;
  Vec(Store) stores;
  Tile tile;  /* CONTRACT */
  int vector; /* other kinds: the loop that is run in vectors of 16 lanes, -1: one by one */
  const Place *place;
} Stage;

typedef struct Kernel {
  const char *name; /* "train_3_dense": unique in the plan, made of the entry and the op or def */
  int ntasks;       /* how many task loops */
  Loop tasks[MAX_LOOPS];
  Vec(Stage) stages;
  const Dim *flops, *bytes;
  const Place *place;
  Vec(const Place *) places; /* of all that was fused into it */
  int region;                /* before it has a launch: the loop that it belongs to, an index into Plan.regions */
} Kernel;

/* The body of a scan while kernels are not yet launches; items[0] is the entry itself. */
typedef struct Region {
  int parent;
  int turn;
  const Dim *trips;
  bool reverse;
} Region;

typedef enum LaunchKind {
  LAUNCH_KERNELS, /* kernels first .. first+count-1, side by side */
  LAUNCH_LOOP,    /* what follows up to the matching END, `trips` times; dim symbol `turn` counts */
  LAUNCH_END
} LaunchKind;
typedef struct Launch {
  LaunchKind kind;
  int first, count;
  int turn; /* LOOP: a DimSymbol with `turn` set */
  const Dim *trips;
  bool reverse;
} Launch;

/* What is made again instead of being kept, since memory is bounded. */
typedef struct Again {
  int64_t before, needs; /* bytes of scratch without it and with it, at the bounds, with one worker */
  int64_t flops, bytes;
  int kernels;
  bool fits;
} Again;

/* One entry, planned. */
typedef struct Plan {
  Module *module;
  const Graph *graph;  /* parameters, results, checks come from it */
  Vec(Buffer) buffers; /* items[0] is none */
  Vec(Kernel) kernels;
  Vec(Launch) launches;
  Vec(Region) regions;
  int64_t arena_bytes;      /* at the bounds */
  int64_t live_bytes;       /* the largest sum of bytes alive at once, at the bounds */
  int64_t apart_bytes;      /* the sum of all arena buffers, before any took another's place; 0: not known */
  int64_t one_by_one_bytes; /* the same if kernels ran one by one, in the order of the program; 0: not known */
  int64_t zone;             /* bytes behind each buffer that are nobody's, where code is sanitized */
  int64_t local_bytes;      /* the largest sum of LOCAL bytes of a kernel: per worker */
  bool at_once;      /* a GPU does all launches as one, with barriers of all its blocks: each is too short for its own */
  Again again;       /* where scratch is bounded */
  const char *after; /* the last pass that ran, where others are still to come; NULL: it is complete */
} Plan;

Plan *plan_new(const Graph *graph);
Id plan_buffer(Plan *plan, Memory memory, Type type, int index, const char *name);
const char *plan_kernel_name(const Plan *plan, const char *name); /* as it is, or made unique by "_2" */
/* Appended; the name is kept, or made unique by "_2"; pointers to kernels move. */
Kernel *plan_kernel(Plan *plan, const char *name, const Place *place);
/* Appended, its first loops are the kernel's task loops (set before), no vector, no tile; pointers to stages move. */
Stage *kernel_stage(Plan *plan, Kernel *kernel, StageKind kind, const Place *place);
int plan_loop_end(const Plan *plan, int loop);           /* the END of the LOOP at that launch */
Access access_of(Plan *plan, Id buffer, const Map *map); /* as the buffer's own sizes, no index */
/* Appends (or finds an equal one); fields that the op doesn't use are ignored. While stage->after is 0 that is for every
 * point; set stage->after = stage->scalars.count before adding those of kept points. EACH, SORT, CUMSUM leave it 0. */
int stage_scalar(Plan *plan, Stage *stage, Scalar scalar);
int scalar_operands(int op); /* of a, b, c; -1: no scalar has this op */
bool scalar_has_access(int op);
bool access_equal(const Access *a, const Access *b);
bool access_moves_along(const Access *access, int loop);     /* by its map: an index of its own may vary with any loop */
int64_t plan_element_bytes(Dtype dtype);                     /* in memory: f32, i32: 4; bool: 1 */
const Dim *buffer_bytes(const Plan *plan, const Type *type); /* rounded up to 64; NULL beyond 64 bits */
/* Bytes that one task of this kernel needs for its locals; each rounded up to 64. */
int64_t kernel_local_bytes(const Plan *plan, int kernel);
int64_t buffer_tile_bytes(const Plan *plan, Id local);
/* plan_locals.c: where in a worker's memory each local of a kernel lies, by buffer (NULL: not wanted); gives the end. */
int64_t kernel_place_locals(const Plan *plan, int kernel, int64_t *offsets);
const Dim *kernel_flops(const Plan *plan, const Kernel *kernel); /* NULL beyond 64 bits; so are the next two */
const Dim *kernel_bytes(const Plan *plan, const Kernel *kernel);
const Dim *kernel_effort(const Plan *plan, const Kernel *kernel); /* how long it takes, in flops of a contraction */
const Dim *kernel_task_count(const Plan *plan, int kernel);       /* product of ceil(extent / tile) */
bool access_always_inside(const Plan *plan, const Stage *stage, const Access *access);
/* The element offset of an access as base + sum over loops of stride * loop, when every axis has divisor 1 and no index;
 * false otherwise. Strides are constants or sizes: they are Dims. Those of a LOCAL are its storage's: there each task loop
 * counts from the task's start. */
bool access_strides(const Plan *plan, const Stage *stage, const Access *access, const Dim **base,
                    const Dim *strides[MAX_LOOPS]);

/* Every rest of a known count of rows or columns (-1: it is not) is a tile of its own, which costs as much code as the whole
 * one. Where a somewhat smaller tile leaves none, and still has accumulators enough to keep the multipliers busy and few
 * loads for each, it is that. */
void tile_avoid_rest(int64_t rows, int64_t columns, int *tile_rows, int *tile_columns);

/* An operand of a CONTRACT as an array whose squares a GPU copies by itself: an axis for each stride, the smallest first, 1;
 * an index along it is the sum of its loops. A square is `box` along each axis: lines of 32 neighbours, each of one row
 * (column) if in_fold, else of 32 rows (columns) of one fold. */
enum { MAP_RANK = 5, MAP_LINE = 32 };
typedef struct MapAxis {
  const Dim *stride, *size;
  int loops[MAX_LOOPS], nloops, box;
} MapAxis;
typedef struct OperandMap {
  const Dim *base;
  MapAxis axis[MAP_RANK];
  int rank, lines;
  bool in_fold;
} OperandMap;
/* Of operand 0 or 1, for squares of so many rows (columns); false where it cannot be one. plan_map.c */
bool plan_operand_map(const Plan *plan, const Stage *stage, int operand, int reach, OperandMap *map);

bool plan_verify(const Plan *plan, Text *why);
void plan_print(const Plan *plan, Text *out);
/* Reads plans back: the file holds the module's head (dims, params, states, entries' parameters and results, as
 * module_print writes them, without nodes) and plans. */
void plans_print(const Module *module, Plan *const *plans, int count, Text *out);
Module *plans_read(Arena *arena, Diagnostics *diagnostics, const Source *source, Plan ***plans, int *count);

/* Runs a plan plainly in C, point by point: slow, independent of codegen. Same arguments as interpret(). Scratch is filled
 * with NaN patterns first, so that a wrong memory plan shows; tasks run in a shuffled order. run->results may be NULL: then
 * no result is wanted. `values` and `interpreter` are ignored. Faults of the plan are Failures with EXIT_BUG. */
struct Run;
bool plan_run(const Plan *plan, struct Run *run, Failure *failure);

#endif
