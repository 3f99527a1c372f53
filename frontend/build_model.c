/* Builtins about layers, gradients and what is known at compile time; and the search through all builtins. */
#include "frontend/build.h"

#include <string.h>

static Value stop_leaf(Builder *b, void *user, Value x, Value y) {
  Id id;
  (void)user;
  (void)y;
  return want_tensor(b, &x, NONE, &id) ? value_tensor(b, graph_stop(b->level->graph, id)) : value_error;
}

/* No gradient through a value, or into a layer's params. */
static Value builtin_stop(Builder *b, Value *arguments) {
  Value x = arguments[0];
  if (x.kind == VALUE_LAYER || x.kind == VALUE_TEMPLATE) {
    x.stop = true;
    return x;
  }
  if (x.kind == VALUE_TREE) return map_trees(b, stop_leaf, NULL, x, x);
  if (!is_data(&x)) return x;
  return stop_leaf(b, NULL, x, x);
}

static Value builtin_infer(Builder *b, Value *arguments) {
  Value x = arguments[0];
  if (x.kind != VALUE_LAYER && x.kind != VALUE_TEMPLATE)
    return fault(b, NULL, "'infer' takes a layer, not %s", value_text(b, &x));
  x.infer = true;
  return x;
}

static Value builtin_frozen(Builder *b, Value *arguments) {
  Value x = builtin_infer(b, arguments);
  x.stop = true;
  return x;
}

static Value builtin_known(Builder *b, Value *arguments) {
  (void)b;
  return value_bool(is_known(&arguments[0]));
}

/* dtype(x): "f32", "i32", "bool"; of a number "number" */
static Value builtin_dtype(Builder *b, Value *arguments) {
  Dtype dtype = value_dtype(b, &arguments[0]);
  return value_string(dtype == NONE ? intern("number") : intern(dtype_name(dtype)));
}

/* is_list(x) */
static Value builtin_is_list(Builder *b, Value *arguments) {
  (void)b;
  return value_bool(arguments[0].kind == VALUE_LIST);
}

/* along(v, k): v by axis, if it is a list, else v: of strides, paddings and the like */
static Value builtin_along(Builder *b, Value *arguments) {
  int64_t axis;
  if (!want_whole(b, &arguments[1], "the axis", &axis)) return value_error;
  if (arguments[0].kind != VALUE_LIST) return arguments[0];
  if (axis < 0 || axis >= arguments[0].list.count) {
    return fault(b, NULL, "%s has no item for spatial axis %lld", value_text(b, &arguments[0]), (long long)axis);
  }
  return arguments[0].list.items[axis];
}

static Value builtin_like(Builder *b, Value *arguments);

static Value like_leaf(Builder *b, void *user, Value x, Value number) {
  (void)user;
  return builtin_like(b, (Value[]){x, number});
}

/* like(x, n): the number n in x's dtype */
static Value builtin_like(Builder *b, Value *arguments) {
  Id id;
  if (is_tree(&arguments[0])) return map_trees(b, like_leaf, NULL, arguments[0], arguments[1]);
  Dtype dtype = value_dtype(b, &arguments[0]);
  if (dtype == NONE) return arguments[1];
  return want_tensor(b, &arguments[1], dtype, &id) ? value_tensor(b, id) : value_error;
}

const Builtin builtins_model[] = {
    {"grad", "loss x", builtin_grad, NULL},   {"stop", "x", builtin_stop, NULL},
    {"infer", "layer", builtin_infer, NULL},  {"frozen", "layer", builtin_frozen, NULL},
    {"known", "x", builtin_known, NULL},      {"dtype", "x", builtin_dtype, NULL},
    {"is_list", "x", builtin_is_list, NULL},  {"along", "v axis", builtin_along, NULL},
    {"like", "x number", builtin_like, NULL}, {NULL, NULL, NULL, NULL},
};

const Builtin *find_builtin(const char *name) {
  static const Builtin *const tables[] = {builtins_math, builtins_array, builtins_space, builtins_model};
  for (int k = 0; k < COUNT_OF(tables); k++) {
    for (const Builtin *row = tables[k]; row->name; row++) {
      if (strcmp(row->name, name) == 0) return row;
    }
  }
  for (int op = 0; op < OP_COUNT; op++) {
    if (strcmp(op_info[op].name, name) == 0) return elementwise_builtin((Op)op);
  }
  return NULL;
}
