/* The model's tree of layers, and what its params and states hold while an entry is evaluated.
 *
 * A symbol of the module is made when a def that declares it first runs; later runs find it by its dotted name, and must
 * agree in shape. Within an entry a symbol has a current value, at first its state node. `:=` only renames: the new value
 * becomes current, behind a stop, and what is current in the end goes out as a Final. In a scan's body a symbol that the
 * body changes must be a carry; that is found out by evaluating the body, so the body is then evaluated again. */
#include "frontend/build.h"

#include <string.h>

/* ---- the tree ---- */

static const char *join(Builder *b, const char *path, const char *name) {
  return path && *path ? intern(arena_format(b->arena, "%s.%s", path, name)) : name;
}

Part *find_part(Builder *b, Part *parent, const char *name, bool make) {
  for (int k = 0; k < parent->parts.count; k++) {
    if (parent->parts.items[k]->name == name) return parent->parts.items[k];
  }
  if (!make) return NULL;
  Part *part = NEW(b->arena, Part);
  part->name = name;
  part->path = join(b, parent->path, name);
  part->parent = parent;
  PUSH(b->arena, &parent->parts, part);
  return part;
}

Weight *find_weight(Part *part, const char *name) {
  for (int k = 0; k < part->weights.count; k++) {
    if (part->weights.items[k]->name == name) return part->weights.items[k];
  }
  return NULL;
}

static bool is_constant_type(const Type *type) {
  for (int k = 0; k < type->rank; k++) {
    if (!dim_is_constant(type->size[k], NULL)) return false;
  }
  return true;
}

static Weight *agree_weight(Builder *b, Weight *weight, const Type *type, const Place *place) {
  const Symbol *symbol = &b->module->symbols.items[weight->symbol];
  if (type_equal(&symbol->type, type)) return weight;
  error_at(b->diagnostics, place, "'%s' is %s here, but %s where it was made first", weight->path, shape_text(b, type),
           shape_text(b, &symbol->type));
  const Place *first = symbol->place;
  while (first->caller) first = first->caller; /* the application, not the def: that is the same in both */
  note_at(b->diagnostics, first, "made first here");
  return NULL;
}

Weight *make_weight(Builder *b, Part *part, const char *name, const Type *type, bool trainable, Initialiser init,
                    const Place *place) {
  Weight *weight = find_weight(part, name);
  if (weight && weight->symbol >= 0) return agree_weight(b, weight, type, place);
  if (!is_constant_type(type)) {
    error_at(b->diagnostics, place, "the shape of '%s' is %s: shapes of params and states hold constants only", name,
             shape_text(b, type));
    return NULL;
  }
  if (!weight) {
    weight = NEW(b->arena, Weight);
    weight->name = name;
    weight->path = join(b, part->path, name);
    weight->part = part;
    PUSH(b->arena, &part->weights, weight);
  }
  weight->trainable = trainable;
  weight->symbol = module_add_symbol(b->module, weight->path, *type, trainable, init, place);
  while (b->weights.count <= weight->symbol) PUSH(b->arena, &b->weights, NULL);
  b->weights.items[weight->symbol] = weight;
  return weight;
}

static bool below(const Part *part, const Part *above) {
  while (part && part != above) part = part->parent;
  return part != NULL;
}

void collect_weights(Part *part, bool trainable_only, int *symbols, int *count, int capacity) {
  for (int k = 0; k < part->weights.count; k++) {
    const Weight *weight = part->weights.items[k];
    if (weight->symbol < 0 || (trainable_only && !weight->trainable)) continue;
    if (*count < capacity) symbols[(*count)++] = weight->symbol;
  }
  /* what an optimizer keeps lies in parts named after the param; it is no part of the layer */
  for (int k = 0; k < part->parts.count; k++) {
    if (!find_weight(part, part->parts.items[k]->name)) {
      collect_weights(part->parts.items[k], trainable_only, symbols, count, capacity);
    }
  }
}

int count_weights(const Part *part) {
  int count = part->weights.count;
  for (int k = 0; k < part->parts.count; k++) count += count_weights(part->parts.items[k]);
  return count;
}

/* ---- declaring ---- */

/* Does what is called take a shape first, as initialisers do? */
static bool is_initialiser(const Value *value) {
  if (value->kind != VALUE_TEMPLATE || value->template->kind != TEMPLATE_CALL) return false;
  const Template *template = value->template;
  if (template->builtin) return strncmp(template->builtin->signature, "shape", 5) == 0;
  return template->routine->parameters.count > 0 && strcmp(template->routine->parameters.items[0].name, "shape") == 0 &&
         !template->routine->parameters.items[0].type;
}

static Value initial_value(Builder *b, const Expression *expression, const Type *type) {
  const Expression *callee = expression->kind == EXPRESSION_CALL ? expression->call.callee : expression;
  if (callee->kind != EXPRESSION_NAME) return evaluate(b, expression);
  Value value = look_up(b, callee->name, true);
  if (!is_initialiser(&value)) return evaluate(b, expression);
  Arguments given = {0}, arguments = {0};
  if (expression->kind == EXPRESSION_CALL && !collect_arguments(b, expression, &given)) return value_error;
  give_argument(b, &arguments, NULL, value_shape(b, type), expression);
  for (int k = 0; k < given.count; k++) PUSH(b->arena, &arguments, given.items[k]);
  Frame frame = *b->frame;
  frame.initialising = true;
  Frame *outer = b->frame;
  b->frame = &frame;
  Value result = call_template(b, value.template, &arguments, expression);
  b->frame = outer;
  return result;
}

static int64_t element_count(const Type *type) {
  int64_t count = 1, size;
  for (int k = 0; k < type->rank; k++) {
    if (!dim_is_constant(type->size[k], &size) || !multiply_checked(count, size, &count)) return -1;
  }
  return count;
}

static bool fill_array(const Value *value, const Type *type, int axis, double *array, int64_t *at) {
  if (axis == type->rank) {
    if (value->kind != VALUE_NUMBER) return false;
    array[(*at)++] = value->number.real;
    return true;
  }
  if (value->kind != VALUE_LIST || !dim_is(type->size[axis], value->list.count)) return false;
  for (int k = 0; k < value->list.count; k++) {
    if (!fill_array(&value->list.items[k], type, axis + 1, array, at)) return false;
  }
  return true;
}

static bool as_initialiser(Builder *b, const Value *value, const Type *type, Initialiser *init) {
  int64_t at = 0, count = element_count(type);
  if (is_error(value)) return false;
  switch (value->kind) {
  case VALUE_NUMBER: *init = (Initialiser){.kind = INIT_NUMBER, .a = value->number.real}; return true;
  case VALUE_BOOL: *init = (Initialiser){.kind = INIT_NUMBER, .a = value->truth}; return true;
  case VALUE_INITIALISER: *init = value->initialiser; return true;
  case VALUE_LIST:
    if (count < 1 || count > MAX_ITEMS * 64) break;
    *init = (Initialiser){.kind = INIT_ARRAY, .array = NEW_ARRAY(b->arena, double, count)};
    if (fill_array(value, type, 0, (double *)(uintptr_t)init->array, &at)) return true;
    fault(b, NULL, "%s does not have the shape %s", value_text(b, value), shape_text(b, type));
    return false;
  default: break;
  }
  fault(b, NULL, "a param or state starts from a number, a list of numbers or an initialiser, not from %s",
        value_text(b, value));
  return false;
}

/* `state a: shape(net) = 0`: a state for every leaf of a layer. */
static Value declare_tree(Builder *b, const Statement *statement, Part *part, const Tree *tree, Initialiser init) {
  Part *whole = find_part(b, part, statement->weight.name, true);
  const Place *place = place_of(b, statement->source, statement->offset);
  for (int k = 0; k < tree->count; k++) {
    Part *at = whole;
    const char *name = tree->names[k], *dot;
    while ((dot = strchr(name, '.'))) {
      at = find_part(b, at, intern_length(name, (size_t)(dot - name)), true);
      name = dot + 1;
    }
    Type type;
    Value leaf = tree->leaves[k];
    if (leaf.kind == VALUE_LIST ? !want_shape(b, &leaf, "the shape", &type) : true) continue;
    if (!make_weight(b, at, intern(name), &type, statement->kind == STATEMENT_PARAM, init, place)) return value_error;
  }
  whole->applied = true;
  return (Value){.kind = VALUE_LAYER, .part = whole};
}

static Value no_weights_here(Builder *b, const Statement *statement) {
  const char *kind = statement->kind == STATEMENT_PARAM ? "param" : "state";
  const char *routine = !b->entry                               ? "an expression at the top level"
                        : b->entry->routine->kind == ROUTINE_FN ? "a fn"
                                                                : "a step";
  if (b->frame->def) {
    b->frame->failed = true;
    fault_in(b, statement->source, statement->offset, "this makes the %s '%s', and %s makes none of its own", kind,
             statement->weight.name, routine);
    help_for(b->diagnostics, "name it at the top level, as in: layer f = ..., and apply that: f(x)");
  } else {
    fault_in(b, statement->source, statement->offset, "%s makes no %s of its own", routine, kind);
    help_for(b->diagnostics, "declare it at the top level of the file");
  }
  return value_error;
}

Value declare_weight(Builder *b, const Statement *statement, Part *part) {
  Type type;
  Initialiser init = {.kind = INIT_NUMBER};
  Value value = no_value;
  if (!part) return no_weights_here(b, statement);
  const Expression *shape = statement->weight.type.shape, *initial = statement->weight.initialiser;
  if (initial) stand_at(b, initial);
  Value sizes = shape ? evaluate(b, shape) : value_absent;
  if (sizes.kind == VALUE_TREE) {
    if (initial) value = evaluate(b, initial);
    if (value.kind != VALUE_NONE && !as_initialiser(b, &value, &(Type){0}, &init)) return value_error;
    return declare_tree(b, statement, part, sizes.tree, init);
  }
  if (!written_type(b, &statement->weight.type, &type)) return value_error;
  if (!is_constant_type(&type)) {
    make_weight(b, part, statement->weight.name, &type, false, init, place_of(b, statement->source, statement->offset));
    return value_error;
  }
  bool trainable = statement->kind == STATEMENT_PARAM;
  if (trainable && type.dtype != F32) {
    fault_in(b, statement->source, statement->offset, "a param is f32: only that can be trained");
    help_for(b->diagnostics, "make it a state");
    return value_error;
  }
  if (initial) {
    value = initial_value(b, initial, &type);
    b->at = initial;
    if (!as_initialiser(b, &value, &type, &init)) return value_error;
  }
  const Place *place = place_of(b, statement->source, statement->offset);
  Weight *weight = make_weight(b, part, statement->weight.name, &type, trainable, init, place);
  return weight ? (Value){.kind = VALUE_WEIGHT, .weight = weight} : value_error;
}

/* ---- reading and renaming ---- */

bool in_training(const Builder *b) { return b->entry && b->entry->training && b->frame && !b->frame->infer; }

void set_current(Builder *b, Level *level, int symbol, Id id) {
  while (level->current.count <= symbol) PUSH(b->arena, &level->current, 0);
  while (level->changed.count <= symbol) PUSH(b->arena, &level->changed, false);
  level->current.items[symbol] = id;
  PUSH(b->arena, &level->reads, ((Read){symbol, id}));
}

Id read_weight(Builder *b, Level *level, Weight *weight) {
  int symbol = weight->symbol;
  if (symbol < level->current.count && level->current.items[symbol]) return level->current.items[symbol];
  Id id;
  if (level->outer) {
    Value outer = {.kind = VALUE_TENSOR, .tensor = {read_weight(b, level->outer, weight), level->outer}};
    id = import_tensor(b, level, &outer);
  } else {
    id = graph_state(level->graph, symbol);
  }
  set_current(b, level, symbol, id);
  return id;
}

/* The new value of a symbol; false after an error. */
bool update_weight(Builder *b, Weight *weight, Id value) {
  Level *level = b->level;
  Graph *graph = level->graph;
  Type type = b->module->symbols.items[weight->symbol].type, both, from = *graph_type(graph, value);
  if (from.dtype != type.dtype) {
    fault(b, NULL, "':=': '%s' is %s, the new value %s", weight->path, dtype_name(type.dtype), dtype_name(from.dtype));
    return false;
  }
  if (!shapes_broadcast(b->module, &from, &type, &both) || !type_same_sizes(&both, &type)) {
    fault(b, NULL, "':=': '%s' is %s, the new value %s", weight->path, shape_text(b, &type), shape_text(b, &from));
    return false;
  }
  read_weight(b, level, weight);
  value = graph_stop(graph, graph_broadcast(graph, value, type.rank, type.size));
  set_current(b, level, weight->symbol, value);
  level->changed.items[weight->symbol] = true;
  if (level->scan) {
    ScanBuild *scan = level->scan;
    for (int k = 0; k < scan->carried.count; k++) {
      if (scan->carried.items[k] == weight->symbol) return true;
    }
    PUSH(b->arena, &scan->carried, weight->symbol);
    scan->again = true;
  }
  return true;
}

/* ---- trees ---- */

/* Makes the weight at a dotted path below a part. */
static Weight *make_leaf(Builder *b, Part *part, const char *name, const Type *type, bool trainable, Initialiser init) {
  const char *dot;
  while ((dot = strchr(name, '.'))) {
    part = find_part(b, part, intern_length(name, (size_t)(dot - name)), true);
    name = dot + 1;
  }
  return make_weight(b, part, intern(name), type, trainable, init, b->level ? b->level->graph->here : place_at(b, b->at));
}

/* A layer that was not applied yet, but will be: its weights are made now, as the first round found them. */
void make_known(Builder *b, Part *part) {
  if (count_weights(part) > 0) return;
  size_t length = strlen(part->path);
  for (int k = 0; k < b->known.count; k++) {
    const Known *known = &b->known.items[k];
    if (strncmp(known->path, part->path, length) != 0 || known->path[length] != '.') continue;
    Type type = {.dtype = known->type.dtype, .rank = known->type.rank};
    for (int axis = 0; axis < type.rank; axis++) type.size[axis] = dim_constant(b->module, known->type.size[axis]->value);
    make_leaf(b, part, known->path + length + 1, &type, known->trainable, known->init);
  }
}

/* A layer that nothing applies takes its tensors from what it is set beside. */
static void make_like(Builder *b, Part *part, const Tree *tree) {
  for (int k = 0; k < tree->count; k++) {
    const Value *leaf = &tree->leaves[k];
    if (leaf->kind == VALUE_WEIGHT) {
      Symbol symbol = b->module->symbols.items[leaf->weight->symbol];
      make_leaf(b, part, tree->names[k], &symbol.type, symbol.trainable, symbol.init);
    } else if (leaf->kind == VALUE_TENSOR) {
      make_leaf(b, part, tree->names[k], tensor_type(leaf), false, (Initialiser){.kind = INIT_NUMBER});
    }
  }
}

bool is_tree(const Value *value) { return value->kind == VALUE_TREE || value->kind == VALUE_LAYER; }

const Tree *tree_of(Builder *b, const Value *value) {
  if (value->kind == VALUE_TREE) return value->tree;
  Part *part = value->part;
  make_known(b, part);
  int capacity = b->module->symbols.count, count = 0;
  int *symbols = NEW_ARRAY(b->arena, int, capacity + 1);
  collect_weights(part, false, symbols, &count, capacity);
  Tree *tree = NEW(b->arena, Tree);
  tree->names = NEW_ARRAY(b->arena, const char *, count + 1);
  tree->leaves = NEW_ARRAY(b->arena, Value, count + 1);
  for (int k = 0; k < count; k++) {
    Weight *weight = b->weights.items[symbols[k]];
    if (!below(weight->part, part)) continue;
    tree->names[tree->count] = weight->path + strlen(part->path) + 1;
    tree->leaves[tree->count++] = (Value){.kind = VALUE_WEIGHT, .weight = weight, .stop = value->stop};
  }
  return tree;
}

static const Value *find_leaf(const Tree *tree, const char *name) {
  for (int k = 0; k < tree->count; k++) {
    if (strcmp(tree->names[k], name) == 0) return &tree->leaves[k];
  }
  return NULL;
}

Value map_trees(Builder *b, Value (*leaf)(Builder *b, void *user, Value x, Value y), void *user, Value x, Value y) {
  const Tree *left = is_tree(&x) ? tree_of(b, &x) : NULL, *right = is_tree(&y) ? tree_of(b, &y) : NULL;
  if (left && right && (left->count == 0) != (right->count == 0)) {
    const Value *empty = left->count == 0 ? &x : &y;
    if (empty->kind == VALUE_LAYER) make_like(b, empty->part, left->count == 0 ? right : left);
    left = tree_of(b, &x);
    right = tree_of(b, &y);
  }
  const Tree *shape = left ? left : right;
  if (left && right && left->count != right->count) {
    return fault(b, NULL, "the layers differ: one has %d tensors, the other %d", left->count, right->count);
  }
  if (shape->count == 0) {
    fault(b, NULL, "the layer has no tensors yet");
    help_for(b->diagnostics, "its parts are made when it is first applied");
    return value_error;
  }
  Tree *tree = NEW(b->arena, Tree);
  tree->count = shape->count;
  tree->names = shape->names;
  tree->leaves = NEW_ARRAY(b->arena, Value, shape->count);
  for (int k = 0; k < shape->count; k++) {
    const Value *other = left && right ? find_leaf(right, shape->names[k]) : NULL;
    if (left && right && !other) return fault(b, NULL, "the layers differ: one has no '%s'", shape->names[k]);
    tree->leaves[k] = leaf(b, user, left ? left->leaves[k] : x, other ? *other : right ? right->leaves[k] : y);
    if (is_error(&tree->leaves[k])) return value_error;
  }
  return (Value){.kind = VALUE_TREE, .tree = tree};
}

/* ---- := ---- */

static bool update_tree(Builder *b, Value target, Value value) {
  const Tree *tree = is_tree(&value) ? tree_of(b, &value) : NULL;
  if (!tree) {
    if (!is_error(&value))
      fault(b, NULL, "':=': the layer '%s' takes a like layer, not %s", target.part->path, value_text(b, &value));
    return false;
  }
  make_known(b, target.part);
  if (count_weights(target.part) == 0) make_like(b, target.part, tree);
  for (int k = 0; k < tree->count; k++) {
    Part *at = target.part;
    const char *name = tree->names[k], *dot;
    Id id;
    while (at && (dot = strchr(name, '.'))) {
      at = find_part(b, at, intern_length(name, (size_t)(dot - name)), false);
      name = dot + 1;
    }
    Weight *weight = at ? find_weight(at, intern(name)) : NULL;
    if (!weight) {
      fault(b, NULL, "':=': the layer '%s' has no '%s'", target.part->path, tree->names[k]);
      return false;
    }
    if (!want_tensor(b, &tree->leaves[k], NONE, &id) || !update_weight(b, weight, id)) return false;
  }
  return true;
}

Value update(Builder *b, Value target, Value value) {
  Id id;
  if (is_error(&target) || is_error(&value)) return value_error;
  if (target.kind == VALUE_LAYER) return update_tree(b, target, value) ? no_value : value_error;
  if (target.kind != VALUE_WEIGHT) {
    fault(b, NULL, "':=' sets a param or a state, not %s", value_text(b, &target));
    help_for(b->diagnostics, "a local is set by '='");
    return value_error;
  }
  if (!want_tensor(b, &value, is_data(&value) ? NONE : value_dtype(b, &target), &id)) return value_error;
  return update_weight(b, target.weight, id) ? no_value : value_error;
}
