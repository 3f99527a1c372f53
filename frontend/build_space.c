/* Index maps as text: contract("n c s*oh+kh-p s*ow+kw-p, o c kh kw -> n o oh ow", x, w), the folds and view of the same
 * form, and the matrix product.
 *
 * Axes are separated by blanks, operands by commas; the result's axes stand behind the arrow, and dims that are not among
 * them are folded. An axis is a sum of dims with whole coefficients and an offset, or (such a sum)/divisor. A name that a
 * local binds to a number or a size is that number; any other name is a dim.
 *
 * An axis with `...` behind it stands for as many as the operand has: "n c s*y+t-p ... -> n c y ..." is a window over any
 * number of spatial axes. Each has dims of its own, y[0], y[1]; a name that is bound to a list is the list's item there.
 *
 * A dim's extent is given by name (kh=3), or is the size of an axis where it stands alone, or is the largest for which every
 * index of an axis stays inside; there a negative offset -p is padding, and the same padding is taken to follow the end,
 * or, written -p|q, a padding of q. */
#include "frontend/build.h"

#include <ctype.h>
#include <string.h>

typedef struct Formula {
  int nterms, dim[2];
  int64_t coefficient[2], divisor;
  const Dim *offset, *behind; /* behind: the padding after the end, if it is told */
} Formula;

typedef struct Reader {
  Builder *b;
  const char *spec, *at;
  const Arguments *arguments;
  int item;    /* in an axis written for several: which of them; else -1 */
  int several; /* how many such an axis stands for in the first operand */
  int ndims;
  const char *name[MAX_LOOPS];
  bool given[MAX_LOOPS];
  const Dim *extent[MAX_LOOPS];
  int noperands, naxes[2];
  Formula axis[2][MAX_RANK];
  int nresult, result[MAX_RANK];
} Reader;

static bool broken(Reader *r, const char *why) {
  fault(r->b, NULL, "\"%s\": %s, at character %d", r->spec, why, (int)(r->at - r->spec) + 1);
  return false;
}

static void skip_blanks(Reader *r) {
  while (*r->at == ' ') r->at++;
}

/* ---- reading ---- */

/* In an axis written for several, what a list says of this one. */
static const Value *item_here(const Reader *r, const Value *value) {
  if (r->item < 0 || value->kind != VALUE_LIST) return value;
  return r->item < value->list.count ? &value->list.items[r->item] : NULL;
}

static const Given *find_given(const Reader *r, const char *name) {
  for (int k = 0; k < r->arguments->count; k++) {
    if (r->arguments->items[k].name == name) return &r->arguments->items[k];
  }
  return NULL;
}

/* What a local makes of the name; NULL: a dim. */
static const Dim *bound_name(Reader *r, const char *name) {
  if (find_given(r, name)) return NULL;
  for (Scope *scope = r->b->scope; scope; scope = scope->parent) {
    const Variable *variable = local_variable(scope, name);
    const Value *value = variable ? item_here(r, &variable->value) : NULL;
    if (!value || !is_sizelike(value)) continue;
    return value->kind == VALUE_SIZE ? value->size : dim_constant(r->b->module, value->number.value);
  }
  return NULL;
}

static int dim_named(Reader *r, const char *name) {
  const Given *given = find_given(r, name);
  if (r->item >= 0) name = intern(arena_format(r->b->arena, "%s[%d]", name, r->item));
  for (int k = 0; k < r->ndims; k++) {
    if (r->name[k] == name) return k;
  }
  if (r->ndims == MAX_LOOPS) return -1;
  const Value *extent = given ? item_here(r, &given->value) : NULL;
  r->extent[r->ndims] = NULL;
  if (given && (!extent || !want_size(r->b, extent, name, &r->extent[r->ndims]))) return -1;
  r->given[r->ndims] = given != NULL;
  r->name[r->ndims] = name;
  return r->ndims++;
}

/* A product of numbers and at most one dim: -1 as the dim if there is none. */
static bool read_term(Reader *r, const Dim **factor, int *dim) {
  *factor = dim_constant(r->b->module, 1);
  *dim = -1;
  for (;;) {
    const Dim *bound;
    if (isdigit((unsigned char)*r->at)) {
      int64_t number = 0;
      while (isdigit((unsigned char)*r->at) && number < 1000000000) number = number * 10 + (*r->at++ - '0');
      bound = dim_constant(r->b->module, number);
    } else if (isalpha((unsigned char)*r->at) || *r->at == '_') {
      const char *start = r->at;
      while (isalnum((unsigned char)*r->at) || *r->at == '_') r->at++;
      const char *name = intern_length(start, (size_t)(r->at - start));
      bound = bound_name(r, name);
      if (!bound && *dim >= 0) return broken(r, "a product of two dims");
      if (!bound && (*dim = dim_named(r, name)) < 0) return broken(r, "too many dims, or one whose extent is not known");
    } else {
      return broken(r, "a name or a number is wanted");
    }
    if (bound) *factor = dim_multiply(r->b->module, *factor, bound);
    if (!*factor) return broken(r, "a number too large");
    if (*r->at != '*') return true;
    r->at++;
  }
}

static bool read_sum(Reader *r, Formula *axis) {
  Module *module = r->b->module;
  *axis = (Formula){.divisor = 1, .offset = dim_constant(module, 0)};
  for (;;) {
    const Dim *factor;
    int dim;
    bool negative = *r->at == '-';
    if (*r->at == '-' || *r->at == '+') r->at++;
    if (!read_term(r, &factor, &dim)) return false;
    if (negative) factor = dim_subtract(module, dim_constant(module, 0), factor);
    if (!factor) return broken(r, "a number too large");
    if (dim < 0) {
      axis->offset = dim_add(module, axis->offset, factor);
      if (!axis->offset) return broken(r, "an offset too large");
    } else {
      if (axis->nterms == 2) return broken(r, "an axis of more than two dims");
      axis->dim[axis->nterms] = dim;
      if (!dim_is_constant(factor, &axis->coefficient[axis->nterms]) || dim_is(factor, 0)) {
        return broken(r, "a coefficient that is not a constant, or 0");
      }
      axis->nterms++;
    }
    if (*r->at == '+' || *r->at == '-') continue;
    if (*r->at != '|') return true;
    r->at++;
    if (!read_term(r, &axis->behind, &dim)) return false;
    return dim < 0 || broken(r, "the padding behind is a number");
  }
}

static bool read_axis(Reader *r, Formula *axis) {
  if (*r->at != '(') return read_sum(r, axis);
  r->at++;
  if (!read_sum(r, axis)) return false;
  if (r->at[0] != ')' || r->at[1] != '/') return broken(r, "')/' and a divisor are wanted");
  r->at += 2;
  const Dim *divisor;
  int dim;
  if (!read_term(r, &divisor, &dim)) return false;
  if (dim >= 0 || !dim_is_constant(divisor, &axis->divisor) || axis->divisor < 1) {
    return broken(r, "the divisor is no constant above 0");
  }
  return true;
}

static bool at_end(const Reader *r) { return !*r->at || *r->at == ',' || strncmp(r->at, "->", 2) == 0; }

static void skip_axis(Reader *r) {
  while (*r->at && *r->at != ' ' && *r->at != ',') r->at++;
  skip_blanks(r);
}

/* How often the axis that begins here stands there: once, or, where `...` follows, as often as fills `rank` axes of which
 * `before` have been read; in the result (rank 0) as often as in the first operand. */
static int repeats(Reader *r, int rank, int before) {
  const char *start = r->at;
  int count = 1;
  skip_axis(r);
  if (strncmp(r->at, "...", 3) == 0) {
    r->item = 0;
    count = r->several;
    if (rank > 0) {
      skip_axis(r);
      for (count = rank - before; !at_end(r); count--) skip_axis(r);
      if (r->noperands == 0) r->several = count;
    }
  }
  r->at = start;
  return count;
}

/* Reads one axis, or all that it stands for, by `read`, which gets `index` of the next. */
static bool read_axes(Reader *r, int rank, int *index, bool (*read)(Reader *r, int index)) {
  const char *start = r->at;
  int count = repeats(r, rank, *index);
  if (*index + count > MAX_RANK) return broken(r, "too many axes");
  if (count < 1) return broken(r, "no axis is left for '...'");
  for (int k = 0; k < count; k++) {
    r->at = start;
    if (!read(r, (*index)++)) return false;
    if (r->item >= 0) r->item++;
  }
  skip_blanks(r);
  if (r->item >= 0) skip_axis(r);
  r->item = -1;
  return true;
}

static bool read_operand_axis(Reader *r, int index) { return read_axis(r, &r->axis[r->noperands][index]); }

static bool read_result_axis(Reader *r, int index) {
  const Dim *factor;
  if (!read_term(r, &factor, &r->result[index])) return false;
  if (r->result[index] < 0 || !dim_is(factor, 1)) return broken(r, "an axis of the result is a dim");
  for (int k = 0; k < index; k++) {
    if (r->result[k] == r->result[index]) return broken(r, "a dim twice in the result");
  }
  return true;
}

static bool read_spec(Reader *r, const Type *types) {
  r->at = r->spec;
  r->item = -1;
  for (r->noperands = 0; r->noperands < 2; r->noperands++) {
    skip_blanks(r);
    while (!at_end(r))
      if (!read_axes(r, types[r->noperands].rank, &r->naxes[r->noperands], read_operand_axis)) return false;
    if (*r->at != ',') {
      r->noperands++;
      break;
    }
    r->at++;
  }
  if (strncmp(r->at, "->", 2) != 0) return broken(r, "'->' is wanted");
  r->at += 2;
  skip_blanks(r);
  while (*r->at)
    if (!read_axes(r, 0, &r->nresult, read_result_axis)) return false;
  return true;
}

/* ---- extents ---- */

static bool is_alone(const Formula *axis) {
  return axis->nterms == 1 && axis->coefficient[0] == 1 && axis->divisor == 1 && dim_is(axis->offset, 0);
}

static bool take_bare_extents(Reader *r, const Type *types) {
  Builder *b = r->b;
  for (int j = 0; j < r->noperands; j++) {
    for (int k = 0; k < r->naxes[j]; k++) {
      if (!is_alone(&r->axis[j][k])) continue;
      int dim = r->axis[j][k].dim[0];
      if (!r->extent[dim]) r->extent[dim] = types[j].size[k];
      if (r->extent[dim] == types[j].size[k] || r->given[dim]) continue;
      fault(b, NULL, "%s does not match %s (axis %d: %s is wanted)", shape_text(b, &types[0]), shape_text(b, &types[j]), k,
            size_text(b, r->extent[dim]));
      return false;
    }
  }
  return true;
}

/* s*o + d*k + offset <= v*(size - 1) + padding, for all of k: the largest o, plus 1. */
static const Dim *largest_extent(Reader *r, const Formula *axis, int term, const Dim *size) {
  Module *module = r->b->module;
  const Dim *room = dim_multiply(module, dim_constant(module, axis->divisor), dim_offset(module, size, -1));
  if (axis->behind) {
    room = dim_add(module, room, axis->behind);
  } else if (axis->offset->high <= 0) {
    room = dim_subtract(module, room, axis->offset);
  }
  room = dim_subtract(module, room, axis->offset);
  for (int k = 0; k < axis->nterms; k++) {
    if (k == term) continue;
    if (axis->coefficient[k] < 0) continue;
    const Dim *reach = dim_offset(module, r->extent[axis->dim[k]], -1);
    room = dim_subtract(module, room, dim_multiply(module, dim_constant(module, axis->coefficient[k]), reach));
  }
  if (!room) return NULL;
  const Dim *steps = dim_floordiv(module, room, dim_constant(module, axis->coefficient[term]));
  return steps ? dim_offset(module, steps, 1) : NULL;
}

static bool infer_axis(Reader *r, const Formula *axis, const Type *type, int k, bool *progress) {
  int unknown = -1;
  for (int t = 0; t < axis->nterms; t++) {
    if (r->extent[axis->dim[t]]) continue;
    if (unknown >= 0) return true;
    unknown = t;
  }
  if (unknown < 0 || axis->coefficient[unknown] < 1) return true;
  const Dim *extent = largest_extent(r, axis, unknown, type->size[k]);
  if (!extent || extent->high < 1) {
    fault(r->b, NULL, "the window is larger than axis %d of %s", k, shape_text(r->b, type));
    return false;
  }
  if (extent->low < 1) check_size(r->b, extent, 1, extent->high, "a window fits in its axis");
  r->extent[axis->dim[unknown]] = extent;
  *progress = true;
  return true;
}

static bool infer_extents(Reader *r, const Type *types) {
  bool progress = true;
  if (!take_bare_extents(r, types)) return false;
  while (progress) {
    progress = false;
    for (int j = 0; j < r->noperands; j++) {
      for (int k = 0; k < r->naxes[j]; k++) {
        if (!infer_axis(r, &r->axis[j][k], &types[j], k, &progress)) return false;
      }
    }
  }
  for (int k = 0; k < r->ndims; k++) {
    if (r->extent[k]) continue;
    fault(r->b, NULL, "\"%s\": the extent of '%s' is not known", r->spec, r->name[k]);
    help_for(r->b->diagnostics, "give it by name: %s=3", r->name[k]);
    return false;
  }
  return true;
}

/* ---- the space ---- */

static void make_space(Reader *r, Space *space) {
  int place[MAX_LOOPS];
  *space = (Space){.nresult = r->nresult, .nmaps = r->noperands};
  for (int k = 0; k < r->ndims; k++) place[k] = -1;
  for (int k = 0; k < r->nresult; k++) place[r->result[k]] = space->ndims++;
  for (int k = 0; k < r->ndims; k++) {
    if (place[k] < 0) place[k] = space->ndims++;
    space->extent[place[k]] = r->extent[k];
  }
  for (int j = 0; j < r->noperands; j++) {
    space->map[j].naxes = r->naxes[j];
    for (int k = 0; k < r->naxes[j]; k++) {
      const Formula *from = &r->axis[j][k];
      Axis *axis = &space->map[j].axis[k];
      *axis = (Axis){.nterms = from->nterms, .offset = from->offset, .divisor = from->divisor};
      for (int t = 0; t < from->nterms; t++) {
        axis->dim[t] = place[from->dim[t]];
        axis->coefficient[t] = from->coefficient[t];
      }
    }
  }
}

/* Reads the call's spec and operands; the rest of the named arguments are extents. */
static bool space_of_call(Builder *b, const Arguments *arguments, int noperands, Id *operands, Space *space, Dtype dtype) {
  Type types[2] = {{0}};
  Value given[3];
  int count = 0;
  for (int k = 0; k < arguments->count; k++) {
    if (arguments->items[k].name) continue;
    if (count == 3) return fault(b, NULL, "too many operands"), false;
    given[count++] = arguments->items[k].value;
  }
  if (count != noperands + 1 || given[0].kind != VALUE_STRING) {
    return fault(b, NULL, "a string of index maps and %d operand%s are wanted", noperands, noperands > 1 ? "s" : ""), false;
  }
  Reader reader = {.b = b, .spec = given[0].string, .arguments = arguments};
  for (int k = 0; k < noperands; k++) {
    if (!want_tensor(b, &given[k + 1], dtype, &operands[k])) return false;
    types[k] = *graph_type(b->level->graph, operands[k]);
  }
  if (!read_spec(&reader, types)) return false;
  if (reader.noperands != noperands)
    return fault(b, NULL, "\"%s\": %d operands, not %d", reader.spec, reader.noperands, noperands), false;
  for (int k = 0; k < noperands; k++) {
    if (reader.naxes[k] == types[k].rank) continue;
    return fault(b, NULL, "\"%s\" does not fit %s: it has %d axes", reader.spec, shape_text(b, &types[k]), types[k].rank),
           false;
  }
  if (!infer_extents(&reader, types)) return false;
  make_space(&reader, space);
  return true;
}

static Value open_contract(Builder *b, const Arguments *arguments) {
  Id operands[2];
  Space space;
  if (!space_of_call(b, arguments, 2, operands, &space, F32)) return value_error;
  return value_tensor(b, graph_contract(b->level->graph, operands[0], operands[1], &space));
}

static Value open_fold(Builder *b, const Arguments *arguments, Op op) {
  Id operand;
  Space space;
  if (!space_of_call(b, arguments, 1, &operand, &space, op == OP_fold_sum ? F32 : NONE)) return value_error;
  return value_tensor(b, graph_fold(b->level->graph, op, operand, &space));
}

static Value open_fold_sum(Builder *b, const Arguments *arguments) { return open_fold(b, arguments, OP_fold_sum); }
static Value open_fold_max(Builder *b, const Arguments *arguments) { return open_fold(b, arguments, OP_fold_max); }
static Value open_fold_min(Builder *b, const Arguments *arguments) { return open_fold(b, arguments, OP_fold_min); }

/* view(spec, x, fill=0, extents...) */
static Value open_view(Builder *b, const Arguments *arguments) {
  Id operand;
  Space space;
  double fill = 0;
  for (int k = 0; k < arguments->count; k++) {
    const Given *given = &arguments->items[k];
    if (given->name && strcmp(given->name, "fill") == 0 && !want_real(b, &given->value, "the fill", &fill))
      return value_error;
  }
  if (!space_of_call(b, arguments, 1, &operand, &space, NONE)) return value_error;
  if (space.ndims != space.nresult) return fault(b, NULL, "a view folds nothing: every dim stands in the result");
  return value_tensor(b, graph_view(b->level->graph, operand, &space, fill));
}

/* ---- x @ y ---- */

/* The batch axes of both, brought together from the last: false if they do not fit. */
static bool place_batch(Builder *b, Space *space, const Type *x, const Type *y, int batch) {
  const Type *types[2] = {x, y};
  for (int k = 0; k < batch; k++) {
    const Dim *size = NULL;
    for (int j = 0; j < 2; j++) {
      int axis = k - (batch - (types[j]->rank - 2));
      if (axis < 0 || (size && dim_is(types[j]->size[axis], 1))) continue;
      if (size && size != types[j]->size[axis] && !dim_is(size, 1)) return false;
      size = types[j]->size[axis];
    }
    space->extent[k] = size;
    for (int j = 0; j < 2; j++) {
      int axis = k - (batch - (types[j]->rank - 2));
      if (axis < 0) continue;
      bool whole = types[j]->size[axis] == size;
      space->map[j].axis[axis] = whole ? axis_of(b->module, k) : axis_at(dim_constant(b->module, 0));
    }
  }
  return true;
}

static Id with_axis(Builder *b, Id id, int axis) { return graph_insert_axis(b->level->graph, id, axis); }

Value matrix_product(Builder *b, Value left, Value right) {
  Id x, y;
  if (!want_tensor(b, &left, F32, &x) || !want_tensor(b, &right, F32, &y)) return value_error;
  Graph *graph = b->level->graph;
  Type tx = *graph_type(graph, x), ty = *graph_type(graph, y);
  if (tx.rank == 0 || ty.rank == 0) return fault(b, NULL, "'@' of a scalar; '*' is the product with a number");
  bool row = tx.rank == 1, column = ty.rank == 1;
  const Dim *inner = ty.size[column ? 0 : ty.rank - 2];
  if (tx.size[tx.rank - 1] != inner) {
    return fault(b, NULL, "'@': %s does not match %s (%s columns and %s rows)", shape_text(b, &tx), shape_text(b, &ty),
                 size_text(b, tx.size[tx.rank - 1]), size_text(b, inner));
  }
  if (row) tx = *graph_type(graph, x = with_axis(b, x, 0));
  if (column) ty = *graph_type(graph, y = with_axis(b, y, 1));
  int batch = MAX(tx.rank, ty.rank) - 2;
  Space space = {.ndims = batch + 3, .nresult = batch + 2, .nmaps = 2};
  space.map[0].naxes = tx.rank;
  space.map[1].naxes = ty.rank;
  if (!place_batch(b, &space, &tx, &ty, batch)) {
    return fault(b, NULL, "'@': %s does not match %s", shape_text(b, &tx), shape_text(b, &ty));
  }
  space.extent[batch] = tx.size[tx.rank - 2];
  space.extent[batch + 1] = ty.size[ty.rank - 1];
  space.extent[batch + 2] = inner;
  space.map[0].axis[tx.rank - 2] = axis_of(b->module, batch);
  space.map[0].axis[tx.rank - 1] = axis_of(b->module, batch + 2);
  space.map[1].axis[ty.rank - 2] = axis_of(b->module, batch + 2);
  space.map[1].axis[ty.rank - 1] = axis_of(b->module, batch + 1);
  Id id = graph_contract(graph, x, y, &space);
  if (row || column) {
    const Dim *size[MAX_RANK];
    int rank = 0;
    for (int k = 0; k < batch + 2; k++) {
      if ((k == batch && row) || (k == batch + 1 && column)) continue;
      size[rank++] = space.extent[k];
    }
    id = graph_reshape(graph, id, rank, size);
  }
  return value_tensor(b, id);
}

const Builtin builtins_space[] = {
    {"contract", "spec x y", NULL, open_contract}, {"fold_sum", "spec x", NULL, open_fold_sum},
    {"fold_max", "spec x", NULL, open_fold_max},   {"fold_min", "spec x", NULL, open_fold_min},
    {"view", "spec x", NULL, open_view},           {NULL, NULL, NULL, NULL}};
