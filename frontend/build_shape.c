/* Shapes of inputs. In a def, a name in an input's shape binds to the size that comes in; where it recurs, or is a setting
 * that was given or a constant of the file, the sizes must agree. In an entry, a param or a state all sizes are known. */
#include "frontend/build.h"

#include <string.h>

static Dtype written_dtype(WrittenType element) {
  static const Dtype dtypes[] = {[TYPE_NONE] = F32, [TYPE_F32] = F32, [TYPE_I32] = I32, [TYPE_BOOL] = BOOL};
  return dtypes[element];
}

/* An undeclared size in an entry's shape is the likeliest slip there. */
static bool all_declared(Builder *b, const Expression *shape) {
  if (shape->kind != EXPRESSION_LIST) return true;
  for (int k = 0; k < shape->items.count; k++) {
    const Expression *item = shape->items.items[k];
    if (item->kind == EXPRESSION_ELLIPSIS) {
      fault(b, item, "only an input of a def leaves axes open");
      return false;
    }
    if (item->kind != EXPRESSION_NAME || b->frame->def) continue;
    Value value = look_up(b, item->name, false);
    if (value.kind == VALUE_ABSENT) {
      fault(b, item, "there is no size '%s'", item->name);
      help_for(b->diagnostics, "declare it at the top of the file: dim %s <= 256, or %s = 256", item->name, item->name);
      return false;
    }
  }
  return true;
}

bool written_type(Builder *b, const TypeSyntax *syntax, Type *type) {
  *type = type_scalar(F32);
  if (syntax->shape) {
    if (!all_declared(b, syntax->shape)) return false;
    stand_at(b, syntax->shape);
    Value shape = evaluate(b, syntax->shape);
    b->at = syntax->shape;
    if (!want_shape(b, &shape, "the shape", type)) return false;
  }
  type->dtype = written_dtype(syntax->element);
  return true;
}

/* ---- inputs of defs ---- */

typedef struct Match {
  Builder *b;
  const ParameterSyntax *parameter;
  const Type *type;
} Match;

static bool differs(const Match *m, int axis, const char *name, const Value *bound) {
  Builder *b = m->b;
  const char *size = value_text(b, bound), *parameter = m->parameter->name, *shape = shape_text(b, m->type);
  if (strcmp(name, size) == 0) {
    fault(b, NULL, "'%s' is %s, but its axis %d should be %s", parameter, shape, axis, size);
  } else {
    fault(b, NULL, "'%s' is %s, but its axis %d, '%s', is %s here", parameter, shape, axis, name, size);
  }
  return false;
}

static bool match_size(const Match *m, int axis, const Value *wanted, const char *name) {
  Builder *b = m->b;
  if (is_error(wanted)) return false;
  if (!is_sizelike(wanted))
    return fault(b, NULL, "'%s' in the shape of '%s' is %s, not a size", name, m->parameter->name, value_text(b, wanted)),
           false;
  Value size = value_size(m->type->size[axis]);
  return values_equal(b, &size, wanted) || differs(m, axis, name, wanted);
}

static bool match_name(const Match *m, int axis, const Expression *item) {
  Builder *b = m->b;
  Variable *variable = local_variable(b->scope, item->name);
  if (variable && variable->value.kind != VALUE_ABSENT) return match_size(m, axis, &variable->value, item->name);
  Global *global = find_global(b->scope->file, item->name);
  if (global && global->statement->kind == STATEMENT_ASSIGN) {
    Value constant = global_value(b, b->scope->file, global);
    return match_size(m, axis, &constant, item->name);
  }
  set_variable(b, item->name, value_size(m->type->size[axis]));
  return true;
}

static bool match_many(const Match *m, int axis, int count, const Expression *item) {
  Builder *b = m->b;
  if (item->kind == EXPRESSION_ELLIPSIS) return true;
  Value sizes[MAX_RANK];
  for (int k = 0; k < count; k++) sizes[k] = value_size(m->type->size[axis + k]);
  Value list = value_list(b, sizes, count);
  Variable *variable = local_variable(b->scope, item->name);
  if (variable && variable->value.kind != VALUE_ABSENT) {
    return values_equal(b, &variable->value, &list) ||
           (fault(b, NULL, "'%s' is %s, but its axes '%s' are %s here", m->parameter->name, shape_text(b, m->type),
                  item->name, value_text(b, &variable->value)),
            false);
  }
  set_variable(b, item->name, list);
  return true;
}

static bool wrong_rank(const Match *m, const Expression *shape) {
  Builder *b = m->b;
  const Source *source = shape->source;
  int length = (int)(shape->end - shape->begin);
  fault(b, NULL, "'%s' is %s, which does not fit %.*s", m->parameter->name, shape_text(b, m->type), MIN(length, 80),
        source->text + shape->begin);
  return false;
}

static bool match_list(const Match *m, const Expression *shape) {
  int fixed = shape->items.count, open = -1;
  for (int k = 0; k < shape->items.count; k++) {
    ExpressionKind kind = shape->items.items[k]->kind;
    if (kind != EXPRESSION_ELLIPSIS && kind != EXPRESSION_SPREAD) continue;
    if (open >= 0) return fault(m->b, shape, "only one item of a shape stands for several axes"), false;
    open = k;
    fixed--;
  }
  if (open < 0 ? m->type->rank != fixed : m->type->rank < fixed) return wrong_rank(m, shape);
  for (int k = 0, axis = 0; k < shape->items.count; k++) {
    const Expression *item = shape->items.items[k];
    if (k == open) {
      if (!match_many(m, axis, m->type->rank - fixed, item)) return false;
      axis += m->type->rank - fixed;
      continue;
    }
    bool fits;
    if (item->kind == EXPRESSION_NAME) {
      fits = match_name(m, axis, item);
    } else {
      const Expression *at = m->b->at;
      Value wanted = evaluate(m->b, item);
      stand_at(m->b, at);
      const char *text =
          arena_format(m->b->arena, "%.*s", (int)MIN(item->end - item->begin, 40u), item->source->text + item->begin);
      fits = match_size(m, axis, &wanted, text);
    }
    if (!fits) return false;
    axis++;
  }
  return true;
}

bool bind_shape(Builder *b, const Routine *routine, const ParameterSyntax *parameter, const Value *value) {
  (void)routine;
  Type type;
  if (value->kind == VALUE_TENSOR) {
    type = *tensor_type(value);
  } else {
    return true; /* a number written where a tensor is taken fits any shape */
  }
  Dtype dtype = written_dtype(parameter->type->element);
  if (type.dtype != dtype) {
    fault(b, NULL, "'%s' is %s, not %s", parameter->name, type_text(b->module, &type), dtype_name(dtype));
    help_for(b->diagnostics, "convert it by %s(x)", dtype_name(dtype));
    return false;
  }
  const Expression *shape = parameter->type->shape;
  Match match = {b, parameter, &type};
  if (!shape) return true;
  if (shape->kind == EXPRESSION_LIST) return match_list(&match, shape);
  const Expression *at = b->at;
  Value wanted = evaluate(b, shape), actual = value_shape(b, &type);
  stand_at(b, at);
  if (is_error(&wanted)) return false;
  return values_equal(b, &wanted, &actual) ||
         (fault(b, NULL, "'%s' is %s, not %s", parameter->name, shape_text(b, &type), value_text(b, &wanted)), false);
}
