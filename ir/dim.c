/* Sizes: polynomials over the model's dims in a normal form.
 *
 * A size is a sum of terms, a term is a coefficient times atoms, an atom is a symbol or a floor division that could not be
 * resolved. Terms are sorted (higher degree first, the constant last), atoms within a term too, by structure alone, so that
 * the same size reads the same in every module. A normal form exists once in a module: equal sizes are equal pointers.
 *
 * Bounds follow by interval arithmetic, with two refinements. Mod and rounding need one: c*(a//b), where b divides c, lies
 * within (c/b)*(b - 1) of (c/b)*a. Sizes of what was flattened need the other: terms with an atom in common are also
 * bounded as one product with it. */
#include "ir/ir.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const int64_t FAR = (int64_t)1 << 62; /* where bounds saturate */

typedef struct Interned {
  const Dim **slots;
  size_t count, capacity; /* capacity is a power of two; at most half is used */
} Interned;

/* Terms in the making; `failed` once a coefficient left 64 bits. */
typedef struct Polynomial {
  Arena *arena;
  Vec(DimTerm) terms;
  bool failed;
} Polynomial;

/* ---- order ---- */

static int compare_dims(const Dim *a, const Dim *b);

static int compare_atoms(const DimTerm *a, const DimTerm *b) {
  if (a->natoms != b->natoms) return a->natoms > b->natoms ? -1 : 1;
  for (int k = 0; k < a->natoms; k++) {
    int order = compare_dims(a->atoms[k], b->atoms[k]);
    if (order) return order;
  }
  return 0;
}

static int compare_sums(const Dim *a, const Dim *b) {
  if (a->nterms != b->nterms) return a->nterms < b->nterms ? -1 : 1;
  for (int k = 0; k < a->nterms; k++) {
    int order = compare_atoms(&a->terms[k], &b->terms[k]);
    if (order) return order;
    if (a->terms[k].coefficient != b->terms[k].coefficient) {
      return a->terms[k].coefficient < b->terms[k].coefficient ? -1 : 1;
    }
  }
  return 0;
}

/* Any two sizes of a module; symbols come first, in the order of their declaration. */
static int compare_dims(const Dim *a, const Dim *b) {
  static const int rank[] = {[DIM_SYMBOL] = 0, [DIM_FLOORDIV] = 1, [DIM_SUM] = 2, [DIM_CONSTANT] = 3};
  if (a == b) return 0;
  if (a->kind != b->kind) return rank[a->kind] < rank[b->kind] ? -1 : 1;
  switch (a->kind) {
  case DIM_CONSTANT: return a->value < b->value ? -1 : a->value > b->value;
  case DIM_SYMBOL: return a->symbol < b->symbol ? -1 : a->symbol > b->symbol;
  case DIM_FLOORDIV: {
    int order = compare_dims(a->a, b->a);
    return order ? order : compare_dims(a->b, b->b);
  }
  case DIM_SUM: return compare_sums(a, b);
  }
  return 0;
}

/* ---- bounds ---- */

static int64_t saturate(int64_t value) { return value > FAR ? FAR : value < -FAR ? -FAR : value; }

static int64_t far_add(int64_t a, int64_t b) {
  int64_t sum;
  if (!add_checked(a, b, &sum)) return a > 0 ? FAR : -FAR;
  return saturate(sum);
}

static int64_t far_multiply(int64_t a, int64_t b) {
  int64_t product;
  if (!multiply_checked(a, b, &product)) return (a < 0) == (b < 0) ? FAR : -FAR;
  return saturate(product);
}

static void interval_multiply(int64_t *low, int64_t *high, int64_t other_low, int64_t other_high) {
  int64_t corners[4] = {far_multiply(*low, other_low), far_multiply(*low, other_high), far_multiply(*high, other_low),
                        far_multiply(*high, other_high)};
  *low = *high = corners[0];
  for (int k = 1; k < 4; k++) {
    *low = MIN(*low, corners[k]);
    *high = MAX(*high, corners[k]);
  }
}

static void bound_sum(Dim *sum) {
  sum->low = sum->high = 0;
  for (int k = 0; k < sum->nterms; k++) {
    const DimTerm *term = &sum->terms[k];
    int64_t low = saturate(term->coefficient), high = low;
    for (int j = 0; j < term->natoms; j++) interval_multiply(&low, &high, term->atoms[j]->low, term->atoms[j]->high);
    sum->low = far_add(sum->low, low);
    sum->high = far_add(sum->high, high);
  }
}

/* A term without one of its atoms; skip -1: with all. NULL beyond 64 bits. */
static const Dim *dim_of_term(Module *module, const DimTerm *term, int skip) {
  const Dim *product = dim_constant(module, term->coefficient);
  for (int k = 0; k < term->natoms && product; k++)
    if (k != skip) product = dim_multiply(module, product, term->atoms[k]);
  return product;
}

/* A refinement: with c = q*b, c*(a//b) = q*a - q*r where 0 <= r < b; the rest plus q*a often cancels. */
static void refine_bounds(Module *module, Dim *sum) {
  for (int k = 0; k < sum->nterms; k++) {
    const DimTerm *term = &sum->terms[k];
    int64_t divisor, slack;
    if (term->natoms != 1 || term->atoms[0]->kind != DIM_FLOORDIV) continue;
    if (!dim_is_constant(term->atoms[0]->b, &divisor) || term->coefficient % divisor != 0) continue;
    int64_t quotient = term->coefficient / divisor;
    if (!multiply_checked(quotient, divisor - 1, &slack)) continue;
    const Dim *other = dim_multiply(module, dim_constant(module, quotient), term->atoms[0]->a);
    for (int j = 0; j < sum->nterms && other; j++) {
      if (j == k) continue;
      const Dim *factor = dim_of_term(module, &sum->terms[j], -1);
      other = factor ? dim_add(module, other, factor) : NULL;
    }
    if (!other) continue;
    sum->low = MAX(sum->low, far_add(other->low, slack > 0 ? -slack : 0));
    sum->high = MIN(sum->high, far_add(other->high, slack < 0 ? -slack : 0));
  }
}

static int atom_of_term(const DimTerm *term, const Dim *atom) {
  for (int k = 0; k < term->natoms; k++)
    if (term->atoms[k] == atom) return k;
  return -1;
}

/* Another: what has an atom in common is bounded as their product, as one: (3*N - 2)*q is not below 0 if neither is. */
static void factor_bounds(Module *module, Dim *sum, const Dim *atom) {
  const Dim *factor = dim_constant(module, 0), *rest = factor;
  for (int k = 0; k < sum->nterms; k++) {
    int at = atom_of_term(&sum->terms[k], atom);
    const Dim *part = dim_of_term(module, &sum->terms[k], at), **to = at < 0 ? &rest : &factor;
    *to = part && *to ? dim_add(module, *to, part) : NULL;
  }
  if (!factor || !rest) return;
  int64_t low = atom->low, high = atom->high;
  interval_multiply(&low, &high, factor->low, factor->high);
  sum->low = MAX(sum->low, far_add(low, rest->low));
  sum->high = MIN(sum->high, far_add(high, rest->high));
}

/* Factors are sums too: of many terms there would be more of these than anyone can wait for. */
static void factor_sum(Module *module, Dim *sum) {
  enum { MOST_TERMS = 8, MOST_ATOMS = 4 };
  bool small = sum->nterms <= MOST_TERMS;
  for (int k = 0; k < sum->nterms && small; k++) small = sum->terms[k].natoms <= MOST_ATOMS;
  for (int k = 0; k < sum->nterms && small; k++) {
    const DimTerm *term = &sum->terms[k];
    for (int j = 0; j < term->natoms && term->natoms > 1; j++)
      if (j == 0 || term->atoms[j] != term->atoms[j - 1]) factor_bounds(module, sum, term->atoms[j]);
  }
}

static void bound_floordiv(Dim *dim) {
  /* b's interval is above 0, so the quotient is monotone in a, and in b for a fixed sign of a */
  int64_t corners[4] = {floor_divide(dim->a->low, dim->b->low), floor_divide(dim->a->low, dim->b->high),
                        floor_divide(dim->a->high, dim->b->low), floor_divide(dim->a->high, dim->b->high)};
  dim->low = MIN(corners[0], corners[1]);
  dim->high = MAX(corners[2], corners[3]);
}

/* ---- interning ---- */

static uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x9E3779B97F4A7C15u + (hash >> 29); }

static uint64_t hash_dim(const Dim *dim) {
  uint64_t hash = mix(17, (uint64_t)dim->kind);
  switch (dim->kind) {
  case DIM_CONSTANT: return mix(hash, (uint64_t)dim->value);
  case DIM_SYMBOL: return mix(hash, (uint64_t)dim->symbol);
  case DIM_FLOORDIV: return mix(mix(hash, hash_dim(dim->a)), hash_dim(dim->b));
  case DIM_SUM:
    for (int k = 0; k < dim->nterms; k++) {
      hash = mix(hash, (uint64_t)dim->terms[k].coefficient);
      for (int j = 0; j < dim->terms[k].natoms; j++) hash = mix(hash, hash_dim(dim->terms[k].atoms[j]));
    }
    return hash;
  }
  return hash;
}

static const Dim **find_slot(const Interned *table, const Dim *dim) {
  size_t mask = table->capacity - 1, at = (size_t)(hash_dim(dim) >> 7) & mask;
  while (table->slots[at] && compare_dims(table->slots[at], dim) != 0) at = (at + 1) & mask;
  return &table->slots[at];
}

static void grow_table(Module *module, Interned *table) {
  Interned larger = {.count = table->count, .capacity = table->capacity ? table->capacity * 2 : 64};
  larger.slots = NEW_ARRAY(module->arena, const Dim *, larger.capacity);
  for (size_t k = 0; k < table->capacity; k++) {
    if (table->slots[k]) *find_slot(&larger, table->slots[k]) = table->slots[k];
  }
  *table = larger;
}

/* The one of the module that equals `dim`, whose atoms and parts are interned already. */
static const Dim *intern_dim(Module *module, const Dim *dim) {
  if (!module->interned_dims) module->interned_dims = NEW(module->arena, Interned);
  Interned *table = module->interned_dims;
  if (table->count * 2 >= table->capacity) grow_table(module, table);
  const Dim **slot = find_slot(table, dim);
  if (*slot) return *slot;
  Dim *own = arena_copy(module->arena, dim, sizeof *dim);
  switch (own->kind) {
  case DIM_CONSTANT: own->low = own->high = saturate(own->value); break;
  case DIM_SYMBOL: {
    const DimSymbol *symbol = &module->dims.items[own->symbol];
    own->low = saturate(symbol->low);
    own->high = saturate(symbol->high);
    break;
  }
  case DIM_FLOORDIV: bound_floordiv(own); break;
  case DIM_SUM: bound_sum(own); break;
  }
  *slot = own;
  table->count++;
  /* afterwards, since it makes other sizes: the table may move, and this one must be in it */
  if (own->kind == DIM_SUM) {
    refine_bounds(module, own);
    factor_sum(module, own);
  }
  return own;
}

const Dim *dim_constant(Module *module, int64_t value) {
  Dim dim = {.kind = DIM_CONSTANT, .value = value};
  return intern_dim(module, &dim);
}

const Dim *dim_symbol(Module *module, int symbol) {
  if (symbol < 0 || symbol >= module->dims.count) bug("no dim %d", symbol);
  Dim dim = {.kind = DIM_SYMBOL, .symbol = symbol};
  return intern_dim(module, &dim);
}

/* ---- sums of terms ---- */

static void add_term(Polynomial *sum, DimTerm term) { PUSH(sum->arena, &sum->terms, term); }

/* Adds factor * dim. */
static void add_scaled(Polynomial *sum, const Dim *dim, int64_t factor) {
  if (dim->kind == DIM_CONSTANT) {
    DimTerm term = {0};
    if (!multiply_checked(dim->value, factor, &term.coefficient)) sum->failed = true;
    add_term(sum, term);
  } else if (dim->kind == DIM_SUM) {
    for (int k = 0; k < dim->nterms; k++) {
      DimTerm term = dim->terms[k];
      if (!multiply_checked(term.coefficient, factor, &term.coefficient)) sum->failed = true;
      add_term(sum, term);
    }
  } else {
    DimTerm term = {.coefficient = factor, .natoms = 1, .atoms = NEW(sum->arena, const Dim *)};
    term.atoms[0] = dim;
    add_term(sum, term);
  }
}

/* ---- symbols with a step ----
 *
 * H that goes by 4 is 4*h, where h is the atom H//4. Whatever is merged or divided speaks of h, so that 4 cancels as any
 * factor does; what is kept speaks of H again wherever a coefficient allows it, symbol by symbol in their order. */

static int64_t symbol_step(const Module *module, const Dim *atom) {
  return atom->kind == DIM_SYMBOL ? module->dims.items[atom->symbol].step : 1;
}

/* Is it the h of some H? */
static bool is_step_atom(const Module *module, const Dim *atom) {
  return atom->kind == DIM_FLOORDIV && symbol_step(module, atom->a) > 1 && dim_is(atom->b, symbol_step(module, atom->a));
}

static void sort_atoms(DimTerm *term) {
  for (int k = 1; k < term->natoms; k++) {
    for (int j = k; j > 0 && compare_dims(term->atoms[j - 1], term->atoms[j]) > 0; j--) {
      const Dim *atom = term->atoms[j];
      term->atoms[j] = term->atoms[j - 1];
      term->atoms[j - 1] = atom;
    }
  }
}

static void own_atoms(Polynomial *sum, DimTerm *term) {
  if (term->natoms > 0) term->atoms = arena_copy(sum->arena, term->atoms, (size_t)term->natoms * sizeof *term->atoms);
}

static void expand_steps(Module *module, Polynomial *sum) {
  for (int k = 0; k < sum->terms.count; k++) {
    DimTerm *term = &sum->terms.items[k];
    bool owned = false;
    for (int j = 0; j < term->natoms; j++) {
      int64_t step = symbol_step(module, term->atoms[j]);
      if (step <= 1) continue;
      if (!owned) own_atoms(sum, term);
      owned = true;
      Dim quotient = {.kind = DIM_FLOORDIV, .a = term->atoms[j], .b = dim_constant(module, step)};
      term->atoms[j] = intern_dim(module, &quotient);
      if (!multiply_checked(term->coefficient, step, &term->coefficient)) sum->failed = true;
    }
    if (owned) sort_atoms(term);
  }
}

static bool contract_steps(Module *module, Polynomial *sum) {
  bool changed = false;
  for (int k = 0; k < sum->terms.count; k++) {
    DimTerm *term = &sum->terms.items[k];
    bool owned = false;
    for (int j = 0; j < term->natoms; j++) {
      if (!is_step_atom(module, term->atoms[j])) continue;
      int64_t step = symbol_step(module, term->atoms[j]->a);
      if (term->coefficient % step != 0) continue;
      if (!owned) own_atoms(sum, term);
      owned = changed = true;
      term->atoms[j] = term->atoms[j]->a;
      term->coefficient /= step;
    }
    if (owned) sort_atoms(term);
  }
  return changed;
}

static int compare_terms(const void *a, const void *b) { return compare_atoms(a, b); }

/* Equal atoms stand side by side. */
static void merge_terms(Polynomial *sum) {
  DimTerm *terms = sum->terms.items;
  int kept = 0;
  for (int k = 0; k < sum->terms.count;) {
    DimTerm merged = terms[k++];
    while (k < sum->terms.count && compare_atoms(&merged, &terms[k]) == 0) {
      if (!add_checked(merged.coefficient, terms[k++].coefficient, &merged.coefficient)) sum->failed = true;
    }
    if (merged.coefficient != 0) terms[kept++] = merged;
  }
  sum->terms.count = kept;
}

static void sort_terms(Polynomial *sum) {
  if (sum->terms.count > 1) qsort(sum->terms.items, (size_t)sum->terms.count, sizeof(DimTerm), compare_terms);
}

static const Dim *finish(Module *module, Polynomial *sum) {
  expand_steps(module, sum);
  sort_terms(sum);
  merge_terms(sum);
  if (sum->failed) return NULL;
  if (contract_steps(module, sum)) sort_terms(sum);
  int count = sum->terms.count;
  const DimTerm *first = sum->terms.items;
  if (count == 0) return dim_constant(module, 0);
  if (count == 1 && first->natoms == 0) return dim_constant(module, first->coefficient);
  if (count == 1 && first->natoms == 1 && first->coefficient == 1) return first->atoms[0];
  Dim dim = {.kind = DIM_SUM, .nterms = count, .terms = sum->terms.items};
  return intern_dim(module, &dim);
}

const Dim *dim_add(Module *module, const Dim *a, const Dim *b) {
  Polynomial sum = {.arena = module->arena};
  if (!a || !b) return NULL;
  add_scaled(&sum, a, 1);
  add_scaled(&sum, b, 1);
  return finish(module, &sum);
}

const Dim *dim_subtract(Module *module, const Dim *a, const Dim *b) {
  Polynomial sum = {.arena = module->arena};
  if (!a || !b) return NULL;
  if (a == b) return dim_constant(module, 0);
  add_scaled(&sum, a, 1);
  add_scaled(&sum, b, -1);
  return finish(module, &sum);
}

const Dim *dim_offset(Module *module, const Dim *a, int64_t plus) {
  return plus == 0 ? a : dim_add(module, a, dim_constant(module, plus));
}

static DimTerm multiply_terms(Polynomial *sum, const DimTerm *a, const DimTerm *b) {
  DimTerm term = {.natoms = a->natoms + b->natoms};
  if (!multiply_checked(a->coefficient, b->coefficient, &term.coefficient)) sum->failed = true;
  term.atoms = NEW_ARRAY(sum->arena, const Dim *, term.natoms);
  for (int k = 0, from_a = 0, from_b = 0; k < term.natoms; k++) {
    bool take_a = from_b == b->natoms || (from_a < a->natoms && compare_dims(a->atoms[from_a], b->atoms[from_b]) <= 0);
    term.atoms[k] = take_a ? a->atoms[from_a++] : b->atoms[from_b++];
  }
  return term;
}

const Dim *dim_multiply(Module *module, const Dim *a, const Dim *b) {
  Polynomial left = {.arena = module->arena}, right = left, sum = left;
  if (!a || !b) return NULL;
  add_scaled(&left, a, 1);
  add_scaled(&right, b, 1);
  for (int k = 0; k < left.terms.count; k++) {
    for (int j = 0; j < right.terms.count; j++) {
      add_term(&sum, multiply_terms(&sum, &left.terms.items[k], &right.terms.items[j]));
    }
  }
  return finish(module, &sum);
}

/* ---- division ---- */

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

static const Dim *make_floordiv(Module *module, const Dim *a, const Dim *b) {
  Dim dim = {.kind = DIM_FLOORDIV, .a = a, .b = b};
  if (dim_is(b, 1)) return a;
  return intern_dim(module, &dim);
}

/* (a//m + c) // n = (a + c*m) // (m*n): a chain of poolings is one division. */
static const Dim *divide_quotient(Module *module, const Dim *rest, int64_t divisor) {
  const Dim *atom = NULL;
  int64_t plus = 0, inner, product;
  if (rest->kind == DIM_FLOORDIV) atom = rest;
  if (rest->kind == DIM_SUM && rest->nterms == 2 && rest->terms[1].natoms == 0 && rest->terms[0].natoms == 1 &&
      rest->terms[0].coefficient == 1) {
    atom = rest->terms[0].atoms[0];
    plus = rest->terms[1].coefficient;
  }
  if (!atom || atom->kind != DIM_FLOORDIV || is_step_atom(module, atom)) return NULL;
  if (!dim_is_constant(atom->b, &inner)) return NULL;
  if (!multiply_checked(inner, divisor, &product) || !multiply_checked(plus, inner, &plus)) return NULL;
  const Dim *whole = dim_offset(module, atom->a, plus);
  return whole ? dim_floordiv(module, whole, dim_constant(module, product)) : NULL;
}

/* rest // divisor, where no term of rest but perhaps the constant one stays whole when divided. */
static const Dim *divide_rest(Module *module, const Dim *rest, int64_t divisor) {
  int64_t low = floor_divide(rest->low, divisor), common = divisor;
  if (rest->low > -FAR && rest->high < FAR && low == floor_divide(rest->high, divisor)) return dim_constant(module, low);
  const Dim *chained = divide_quotient(module, rest, divisor);
  if (chained) return chained;
  /* (g*x + r) // (g*m) = (x + r//g) // m */
  Polynomial smaller = {.arena = module->arena};
  add_scaled(&smaller, rest, 1);
  expand_steps(module, &smaller);
  if (smaller.failed) return NULL;
  for (int k = 0; k < smaller.terms.count; k++) {
    DimTerm *term = &smaller.terms.items[k];
    if (term->natoms > 0) common = greatest_common_divisor(common, term->coefficient);
  }
  if (common == 1) return make_floordiv(module, rest, dim_constant(module, divisor));
  for (int k = 0; k < smaller.terms.count; k++) {
    DimTerm *term = &smaller.terms.items[k];
    term->coefficient = floor_divide(term->coefficient, common);
  }
  const Dim *numerator = finish(module, &smaller);
  return numerator ? dim_floordiv(module, numerator, dim_constant(module, divisor / common)) : NULL;
}

/* (c*a + r) // c = a + r//c for every term that c divides. */
static const Dim *divide_by_constant(Module *module, const Dim *a, int64_t divisor) {
  Polynomial all = {.arena = module->arena}, whole = all, rest = all;
  add_scaled(&all, a, 1);
  expand_steps(module, &all);
  if (all.failed) return NULL;
  for (int k = 0; k < all.terms.count; k++) {
    DimTerm term = all.terms.items[k], part = term;
    part.coefficient = term.natoms == 0 ? floor_modulo(term.coefficient, divisor) : term.coefficient % divisor;
    if (term.natoms > 0 && part.coefficient != 0) {
      add_term(&rest, term);
      continue;
    }
    term.coefficient = (term.coefficient - part.coefficient) / divisor;
    add_term(&whole, term);
    add_term(&rest, part);
  }
  const Dim *left = finish(module, &whole), *right = finish(module, &rest);
  if (!left || !right) return NULL;
  return dim_add(module, left, divide_rest(module, right, divisor));
}

/* term / by, if by's atoms are among term's and its coefficient divides. */
static bool divide_term(Arena *arena, const DimTerm *term, const DimTerm *by, DimTerm *quotient) {
  if (term->coefficient == INT64_MIN || term->coefficient % by->coefficient != 0) return false;
  *quotient = (DimTerm){.coefficient = term->coefficient / by->coefficient};
  if (term->natoms < by->natoms) return false;
  quotient->atoms = NEW_ARRAY(arena, const Dim *, term->natoms);
  int used = 0;
  for (int k = 0; k < term->natoms; k++) {
    if (used < by->natoms && term->atoms[k] == by->atoms[used]) {
      used++;
    } else {
      quotient->atoms[quotient->natoms++] = term->atoms[k];
    }
  }
  return used == by->natoms;
}

/* Long division by a size that is not constant: all of it or as many leading terms as go. */
static const Dim *divide_by_dim(Module *module, const Dim *a, const Dim *b) {
  Polynomial divisor = {.arena = module->arena};
  add_scaled(&divisor, b, 1);
  expand_steps(module, &divisor);
  const Dim *quotient = dim_constant(module, 0), *rest = a;
  for (int round = 0; round < 64 && !dim_is(rest, 0); round++) {
    Polynomial numerator = {.arena = module->arena}, part = numerator;
    DimTerm term;
    bool found = false;
    add_scaled(&numerator, rest, 1);
    expand_steps(module, &numerator);
    if (divisor.failed || numerator.failed) return NULL;
    for (int k = 0; k < numerator.terms.count && !found; k++) {
      found = divide_term(module->arena, &numerator.terms.items[k], &divisor.terms.items[0], &term);
    }
    if (!found) break;
    add_term(&part, term);
    const Dim *step = finish(module, &part);
    quotient = dim_add(module, quotient, step);
    rest = dim_subtract(module, rest, dim_multiply(module, step, b));
    if (!quotient || !rest) return make_floordiv(module, a, b);
  }
  if (dim_is(rest, 0)) return quotient;
  const Dim *room = dim_subtract(module, b, rest);
  if (rest->low >= 0 && room && room->low > 0) return quotient;
  /* a sum as the divisor may leave a rest that is no simpler than a */
  if (b->kind == DIM_SUM && b->nterms > 1) return make_floordiv(module, a, b);
  return dim_add(module, quotient, make_floordiv(module, rest, b));
}

const Dim *dim_floordiv(Module *module, const Dim *a, const Dim *b) {
  int64_t divisor;
  if (!a || !b || b->low <= 0) return NULL;
  if (a == b) return dim_constant(module, 1);
  if (dim_is_constant(b, &divisor)) return divisor == 1 ? a : divide_by_constant(module, a, divisor);
  return divide_by_dim(module, a, b);
}

const Dim *dim_mod(Module *module, const Dim *a, const Dim *b) {
  const Dim *quotient = dim_floordiv(module, a, b);
  return quotient ? dim_subtract(module, a, dim_multiply(module, b, quotient)) : NULL;
}

/* ---- values ---- */

bool dim_is_constant(const Dim *dim, int64_t *value) {
  if (dim->kind != DIM_CONSTANT) return false;
  if (value) *value = dim->value;
  return true;
}

bool dim_is(const Dim *dim, int64_t value) { return dim->kind == DIM_CONSTANT && dim->value == value; }

int64_t dim_value(const Dim *dim, const int64_t *symbols) {
  int64_t sum = 0;
  switch (dim->kind) {
  case DIM_CONSTANT: return dim->value;
  case DIM_SYMBOL: return symbols[dim->symbol];
  case DIM_FLOORDIV: return floor_divide(dim_value(dim->a, symbols), dim_value(dim->b, symbols));
  case DIM_SUM: break;
  }
  for (int k = 0; k < dim->nterms; k++) {
    int64_t product = dim->terms[k].coefficient;
    for (int j = 0; j < dim->terms[k].natoms; j++) {
      if (!multiply_checked(product, dim_value(dim->terms[k].atoms[j], symbols), &product)) bug("a size leaves 64 bits");
    }
    if (!add_checked(sum, product, &sum)) bug("a size leaves 64 bits");
  }
  return sum;
}

/* ---- text ---- */

static bool is_name(const Dim *dim) { return dim->kind == DIM_SYMBOL || (dim->kind == DIM_CONSTANT && dim->value >= 0); }

static void print_in_brackets(const Module *module, const Dim *dim, Text *out) {
  text_add(out, "(");
  dim_print(module, dim, out);
  text_add(out, ")");
}

static void print_term(const Module *module, const DimTerm *term, bool first, Text *out) {
  bool negative = term->coefficient < 0;
  uint64_t size = negative ? 0 - (uint64_t)term->coefficient : (uint64_t)term->coefficient;
  text_add(out, "%s", first ? (negative ? "-" : "") : (negative ? " - " : " + "));
  bool shown = size != 1 || term->natoms == 0;
  if (shown) text_add(out, "%llu", (unsigned long long)size);
  for (int k = 0; k < term->natoms; k++) {
    bool alone = !shown && term->natoms == 1 && !negative;
    if (shown || k > 0) text_add(out, "*");
    if (is_name(term->atoms[k]) || alone) {
      dim_print(module, term->atoms[k], out);
    } else {
      print_in_brackets(module, term->atoms[k], out);
    }
  }
}

void dim_print(const Module *module, const Dim *dim, Text *out) {
  switch (dim->kind) {
  case DIM_CONSTANT: text_add(out, "%lld", (long long)dim->value); break;
  case DIM_SYMBOL: text_add(out, "%s", module->dims.items[dim->symbol].name); break;
  case DIM_FLOORDIV:
    if (is_name(dim->a)) {
      dim_print(module, dim->a, out);
    } else {
      print_in_brackets(module, dim->a, out);
    }
    text_add(out, "//");
    if (is_name(dim->b)) {
      dim_print(module, dim->b, out);
    } else {
      print_in_brackets(module, dim->b, out);
    }
    break;
  case DIM_SUM:
    for (int k = 0; k < dim->nterms; k++) print_term(module, &dim->terms[k], k == 0, out);
    break;
  }
}

enum { MAX_NESTING = 200 }; /* of brackets and signs, so that a hostile text cannot exhaust the stack */

static const Dim *read_sum(Module *module, const char **text, int depth);

static void skip_blanks(const char **text) {
  while (**text == ' ') (*text)++;
}

static const Dim *read_name(Module *module, const char **text) {
  const char *start = *text;
  size_t length = 0;
  while (isalnum((unsigned char)start[length]) || start[length] == '_' || start[length] == '.') length++;
  for (int k = 0; k < module->dims.count; k++) {
    const char *name = module->dims.items[k].name;
    if (strlen(name) == length && memcmp(name, start, length) == 0) {
      *text += length;
      return dim_symbol(module, k);
    }
  }
  return NULL;
}

static const Dim *read_number(Module *module, const char **text) {
  int64_t value = 0;
  for (; isdigit((unsigned char)**text); (*text)++) {
    if (!multiply_checked(value, 10, &value) || !add_checked(value, **text - '0', &value)) return NULL;
  }
  return dim_constant(module, value);
}

static const Dim *read_factor(Module *module, const char **text, int depth) {
  if (depth > MAX_NESTING) return NULL;
  skip_blanks(text);
  if (**text == '-') {
    ++*text;
    return dim_subtract(module, dim_constant(module, 0), read_factor(module, text, depth + 1));
  }
  if (**text == '(') {
    ++*text;
    const Dim *inside = read_sum(module, text, depth + 1);
    skip_blanks(text);
    if (!inside || **text != ')') return NULL;
    ++*text;
    return inside;
  }
  if (isdigit((unsigned char)**text)) return read_number(module, text);
  return read_name(module, text);
}

static const Dim *read_product(Module *module, const char **text, int depth) {
  const Dim *product = read_factor(module, text, depth);
  while (product) {
    skip_blanks(text);
    bool divides = (*text)[0] == '/' && (*text)[1] == '/';
    char op = **text;
    if (op != '*' && op != '%' && !divides) break;
    *text += divides ? 2 : 1;
    const Dim *factor = read_factor(module, text, depth);
    product = op == '*' ? dim_multiply(module, product, factor)
              : divides ? dim_floordiv(module, product, factor)
                        : dim_mod(module, product, factor);
  }
  return product;
}

static const Dim *read_sum(Module *module, const char **text, int depth) {
  const Dim *sum = read_product(module, text, depth);
  while (sum) {
    skip_blanks(text);
    char op = **text;
    if ((op != '+' && op != '-') || (op == '-' && (*text)[1] == '>')) break;
    ++*text;
    const Dim *term = read_product(module, text, depth);
    sum = op == '+' ? dim_add(module, sum, term) : dim_subtract(module, sum, term);
  }
  return sum;
}

const Dim *dim_read(Module *module, const char **text) {
  const char *at = *text;
  const Dim *dim = read_sum(module, &at, 0);
  if (dim) *text = at;
  return dim;
}
