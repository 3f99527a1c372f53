/* Maps put through each other: the transposition that is the gradient, and the composition of views.
 *
 * Both substitute dims by affine forms (sum of coefficients * variables + offset) / divisor. The transposition by an
 * operand takes each of its axes, divisor*i = c0*d0 + c1*d1 + offset, as an equation, introduces i as a dim of the new
 * result and eliminates one of the old dims: d0 = (divisor*i - c1*d1 - offset) / c0. What is eliminated must stay guarded:
 * no element may count where the form is inexact or leaves the dim's extent. The result's gradient guards its own dims, an
 * operand that reads the bare dim guards it too, and sometimes the bounds prove that nothing can leave. Every choice of
 * dims to eliminate is tried, the result's dims first, until one gives maps of at most two terms.
 *
 * A composition is exact only if no element that the outer map finds absent would be found by the composed one, so an outer
 * map that may leave its operand is refused. */
#include "ir/ir.h"

#include <string.h>

/* Variables: the new result's dims, then the old space's dims. */
enum { OLD = MAX_RANK, VARIABLES = MAX_RANK + MAX_LOOPS };

typedef struct Form {
  int64_t coefficient[VARIABLES];
  const Dim *offset; /* NULL once something left 64 bits */
  int64_t divisor;
} Form;

static Form form_of(Module *module, int variable) {
  Form form = {.offset = dim_constant(module, 0), .divisor = 1};
  form.coefficient[variable] = 1;
  return form;
}

static Form form_of_axis(const Axis *axis) {
  Form form = {.offset = axis->offset, .divisor = axis->divisor};
  for (int k = 0; k < axis->nterms; k++) form.coefficient[OLD + axis->dim[k]] += axis->coefficient[k];
  return form;
}

static void scale(Module *module, Form *form, int64_t factor) {
  for (int k = 0; k < VARIABLES; k++) {
    if (!multiply_checked(form->coefficient[k], factor, &form->coefficient[k])) form->offset = NULL;
  }
  form->offset = form->offset ? dim_multiply(module, form->offset, dim_constant(module, factor)) : NULL;
}

/* form with `variable` replaced by `by`: (c*(X/q) + rest)/r = (c*X + q*rest)/(q*r), where X/q is known to be exact. */
static void substitute(Module *module, Form *form, int variable, const Form *by) {
  int64_t coefficient = form->coefficient[variable];
  if (coefficient == 0 || !form->offset) return;
  Form inserted = *by;
  form->coefficient[variable] = 0;
  scale(module, &inserted, coefficient);
  scale(module, form, by->divisor);
  if (!multiply_checked(form->divisor, by->divisor, &form->divisor)) form->offset = NULL;
  for (int k = 0; k < VARIABLES; k++) {
    if (!add_checked(form->coefficient[k], inserted.coefficient[k], &form->coefficient[k])) form->offset = NULL;
  }
  form->offset = form->offset && inserted.offset ? dim_add(module, form->offset, inserted.offset) : NULL;
}

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

/* (g*X)/(g*q) = X/q, also in where it is exact. */
static void reduce(Module *module, Form *form) {
  int64_t common = form->divisor;
  for (int k = 0; k < VARIABLES; k++) common = common_divisor(common, form->coefficient[k]);
  const Dim *factor = dim_constant(module, common);
  const Dim *offset = dim_floordiv(module, form->offset, factor);
  if (common == 1 || !offset || dim_multiply(module, offset, factor) != form->offset) return;
  for (int k = 0; k < VARIABLES; k++) form->coefficient[k] /= common;
  form->divisor /= common;
  form->offset = offset;
}

/* The form as an axis of a space in which `place` gives each variable's dim; false if it has too many terms. */
static bool form_to_axis(Module *module, Form form, const int *place, Axis *axis) {
  if (!form.offset) return false;
  reduce(module, &form);
  *axis = (Axis){.offset = form.offset, .divisor = form.divisor};
  for (int k = 0; k < VARIABLES; k++) {
    if (form.coefficient[k] == 0) continue;
    if (axis->nterms == 2 || place[k] < 0) return false;
    axis->dim[axis->nterms] = place[k];
    axis->coefficient[axis->nterms++] = form.coefficient[k];
  }
  return true;
}

/* ---- transposition ---- */

typedef struct Transposition {
  Module *module;
  const Space *space;
  int by, other; /* other: the operand that is read along, or -1 */
  const Type *types;
  int eliminated[MAX_RANK]; /* for each axis: which dim goes; -1 for an axis without terms */
  Form forms[MAX_LOOPS];    /* for each old dim: what it is now */
  bool gone[MAX_LOOPS];
  int place[VARIABLES]; /* each variable's dim in the new space, -1 for those that are gone */
} Transposition;

/* d_e = (divisor*i - the other term - offset) / c_e, the sign of c_e moved into the numerator. */
static bool solve_axis(Transposition *work, int axis_index) {
  const Axis *axis = &work->space->map[work->by].axis[axis_index];
  int dim = work->eliminated[axis_index];
  if (dim < 0) return true;
  if (work->gone[dim]) return false;
  work->gone[dim] = true;
  int64_t own = axis->coefficient[axis->dim[0] == dim ? 0 : 1];
  Form form = form_of_axis(axis);
  if (own == INT64_MIN) return false;
  form.coefficient[OLD + dim] = 0;
  scale(work->module, &form, own > 0 ? -1 : 1);
  form.coefficient[axis_index] = own > 0 ? axis->divisor : -axis->divisor;
  form.divisor = own > 0 ? own : -own;
  work->forms[dim] = form;
  return form.offset != NULL;
}

/* Puts the forms into each other until they speak of nothing that is gone; false if they go in a circle. */
static bool resolve_forms(Transposition *work) {
  for (int round = 0; round <= work->space->ndims; round++) {
    bool changed = false;
    for (int dim = 0; dim < work->space->ndims; dim++) {
      if (!work->gone[dim]) continue;
      for (int inner = 0; inner < work->space->ndims; inner++) {
        if (!work->gone[inner] || work->forms[dim].coefficient[OLD + inner] == 0) continue;
        if (inner == dim) return false;
        substitute(work->module, &work->forms[dim], OLD + inner, &work->forms[inner]);
        changed = true;
      }
      if (!work->forms[dim].offset) return false;
    }
    if (!changed) return true;
  }
  return false;
}

/* The new space's dims: the operand's axes, then what is left of the old space, in its order. */
static bool lay_out(Transposition *work, Space *to) {
  const Type *type = &work->types[work->by];
  *to = (Space){.ndims = type->rank, .nresult = type->rank};
  for (int k = 0; k < VARIABLES; k++) work->place[k] = -1;
  for (int k = 0; k < type->rank; k++) {
    work->place[k] = k;
    to->extent[k] = type->size[k];
  }
  for (int dim = 0; dim < work->space->ndims; dim++) {
    if (work->gone[dim]) continue;
    if (to->ndims == MAX_LOOPS) return false;
    work->place[OLD + dim] = to->ndims;
    to->extent[to->ndims++] = work->space->extent[dim];
  }
  return true;
}

static bool at_most(Module *module, const Dim *a, const Dim *b) {
  const Dim *room = dim_subtract(module, b, a);
  return room && room->low >= 0;
}

/* True if no element counts where the eliminated dim's form is inexact or outside the dim's extent. */
static bool is_guarded(const Transposition *work, const Space *to, int dim) {
  if (dim < work->space->nresult) return true;
  const Dim *extent = work->space->extent[dim];
  if (work->other >= 0) {
    const Map *map = &work->space->map[work->other];
    for (int k = 0; k < map->naxes; k++) {
      if (axis_is_bare(&map->axis[k], dim) && at_most(work->module, work->types[work->other].size[k], extent)) return true;
    }
  }
  Axis axis;
  return form_to_axis(work->module, work->forms[dim], work->place, &axis) &&
         axis_always_inside(work->module, to, &axis, extent);
}

static bool read_again(Transposition *work, const Map *from, Map *to) {
  to->naxes = from->naxes;
  for (int k = 0; k < from->naxes; k++) {
    Form form = form_of_axis(&from->axis[k]);
    for (int dim = 0; dim < work->space->ndims; dim++) {
      if (work->gone[dim]) substitute(work->module, &form, OLD + dim, &work->forms[dim]);
    }
    if (!form_to_axis(work->module, form, work->place, &to->axis[k])) return false;
  }
  return true;
}

static bool transpose_by_choice(Transposition *work, Space *to) {
  const Space *space = work->space;
  memset(work->gone, 0, sizeof work->gone);
  for (int dim = 0; dim < space->ndims; dim++) work->forms[dim] = form_of(work->module, OLD + dim);
  for (int k = 0; k < space->map[work->by].naxes; k++) {
    if (!solve_axis(work, k)) return false;
  }
  if (!resolve_forms(work) || !lay_out(work, to)) return false;
  for (int dim = 0; dim < space->ndims; dim++) {
    if (work->gone[dim] && !is_guarded(work, to, dim)) return false;
  }
  Map gradient = {.naxes = space->nresult};
  for (int k = 0; k < space->nresult; k++) gradient.axis[k] = axis_of(work->module, k);
  to->nmaps = work->other >= 0 ? 2 : 1;
  return read_again(work, &gradient, &to->map[0]) &&
         (work->other < 0 || read_again(work, &space->map[work->other], &to->map[1]));
}

/* Tries every choice from axis `at` on; in a two-term axis the result's dim goes first. */
static bool choose(Transposition *work, int at, Space *to) {
  const Map *map = &work->space->map[work->by];
  if (at == map->naxes) return transpose_by_choice(work, to);
  const Axis *axis = &map->axis[at];
  if (axis->nterms == 0) {
    /* a broadcast axis: its only element takes all; another index would need a guard that no operand gives */
    work->eliminated[at] = -1;
    if (!dim_is(axis->offset, 0) || !dim_is(work->types[work->by].size[at], 1)) return false;
    return choose(work, at + 1, to);
  }
  bool second_first = axis->nterms == 2 && axis->dim[0] >= work->space->nresult && axis->dim[1] < work->space->nresult;
  for (int k = 0; k < axis->nterms; k++) {
    work->eliminated[at] = axis->dim[second_first ? 1 - k : k];
    if (choose(work, at + 1, to)) return true;
  }
  return false;
}

bool space_transpose(Module *module, const Space *space, int by, const Type *operand_types, Space *transposed) {
  Transposition work = {
      .module = module, .space = space, .by = by, .other = space->nmaps == 2 ? 1 - by : -1, .types = operand_types};
  if (by < 0 || by >= space->nmaps) bug("a space has no operand %d", by);
  return choose(&work, 0, transposed);
}

/* ---- composition ---- */

bool space_compose(Module *module, const Space *outer, int operand, const Type *operand_type, const Space *inner,
                   Space *composed) {
  const Map *through = &outer->map[operand];
  int place[VARIABLES];
  if (inner->ndims != inner->nresult || inner->nmaps != 1 || inner->nresult != through->naxes) return false;
  if (!map_always_inside(module, outer, operand, operand_type)) return false;
  for (int k = 0; k < VARIABLES; k++) place[k] = k - OLD;
  *composed = *outer;
  Map *map = &composed->map[operand];
  *map = (Map){.naxes = inner->map[0].naxes};
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &inner->map[0].axis[k];
    Form form = {.offset = axis->offset, .divisor = axis->divisor};
    /* inner's dims stand, for the time of this substitution, where the new result's would: they never meet outer's */
    for (int j = 0; j < axis->nterms; j++) form.coefficient[axis->dim[j]] += axis->coefficient[j];
    for (int j = 0; j < inner->nresult; j++) {
      Form by = form_of_axis(&through->axis[j]);
      substitute(module, &form, j, &by);
    }
    if (!form_to_axis(module, form, place, &map->axis[k])) return false;
  }
  return true;
}
