/* Orthogonal initial weights in objects: the twin of ir/random.c's initialise_orthogonal, operation for operation. The
 * vectors lie where the param does, which is all the memory there is: so both keep them in f32, and take out of each what it
 * has of those before it twice, after which nothing but rounding is left.
 *
 * Element i of vector v is element v * across + i * along of the canonical order. */
#include "codegen/cpu/glue.h"

typedef struct Basis {
  Object *object;
  LLVMBuilderRef builder;
  LLVMTypeRef real; /* double */
  LLVMValueRef to, symbol, place;
  LLVMValueRef vectors, length, across, along;
} Basis;

static LLVMValueRef index_of(Basis *b, LLVMValueRef vector, LLVMValueRef i) {
  LLVMValueRef start = LLVMBuildMul(b->builder, vector, b->across, "");
  return LLVMBuildAdd(b->builder, start, LLVMBuildMul(b->builder, i, b->along, ""), "");
}

static LLVMValueRef element_at(Basis *b, LLVMValueRef vector, LLVMValueRef i) {
  LLVMValueRef at = glue_call(b->object, b->place, (LLVMValueRef[]){b->symbol, index_of(b, vector, i)}, 2);
  return glue_element(b->object, b->object->emitter.f32, b->to, at);
}

static LLVMValueRef load_wide(Basis *b, LLVMValueRef element) {
  return LLVMBuildFPExt(b->builder, glue_load(b->object, b->object->emitter.f32, element, 0), b->real, "");
}

static void store_narrow(Basis *b, LLVMValueRef value, LLVMValueRef element) {
  glue_store(b->object, LLVMBuildFPTrunc(b->builder, value, b->object->emitter.f32, ""), element, 0);
}

static LLVMValueRef emit_dot(Basis *b, LLVMValueRef one, LLVMValueRef other) {
  Turns turns;
  turns_open(b->object, &turns, b->length, LLVMConstReal(b->real, 0));
  LLVMValueRef x = load_wide(b, element_at(b, one, turns.index)), y = load_wide(b, element_at(b, other, turns.index));
  turns_close(b->object, &turns, LLVMBuildFAdd(b->builder, turns.carried, LLVMBuildFMul(b->builder, x, y, ""), ""));
  return turns.carried;
}

/* Takes out of `vector` what it has of each one before it. */
static void emit_reduce(Basis *b, LLVMValueRef vector) {
  Turns twice, others, turns;
  turns_open(b->object, &twice, glue_long(b->object, 2), NULL);
  turns_open(b->object, &others, vector, NULL);
  LLVMValueRef share = emit_dot(b, others.index, vector);
  turns_open(b->object, &turns, b->length, NULL);
  LLVMValueRef from = load_wide(b, element_at(b, others.index, turns.index)), element = element_at(b, vector, turns.index);
  LLVMValueRef part = LLVMBuildFMul(b->builder, share, from, "");
  store_narrow(b, LLVMBuildFSub(b->builder, load_wide(b, element), part, ""), element);
  turns_close(b->object, &turns, NULL);
  turns_close(b->object, &others, NULL);
  turns_close(b->object, &twice, NULL);
}

static void emit_vector(Basis *b, LLVMValueRef vector) {
  Turns turns;
  emit_reduce(b, vector);
  LLVMValueRef norm = emit_square_root(b->object, emit_dot(b, vector, vector)), zero = LLVMConstReal(b->real, 0);
  LLVMValueRef some = LLVMBuildFCmp(b->builder, LLVMRealOGT, norm, zero, "");
  turns_open(b->object, &turns, b->length, NULL);
  LLVMValueRef element = element_at(b, vector, turns.index);
  LLVMValueRef unit = LLVMBuildFDiv(b->builder, load_wide(b, element), norm, "");
  store_narrow(b, LLVMBuildSelect(b->builder, some, unit, zero, ""), element);
  turns_close(b->object, &turns, NULL);
}

/* void orthogonal(ptr to, ptr symbol, i64 rows, i64 columns, double gain), of normal numbers */
LLVMValueRef emit_orthogonal(Object *object, LLVMValueRef place) {
  Emitter *emitter = &object->emitter;
  Basis b = {.object = object, .builder = emitter->builder, .place = place};
  b.real = LLVMDoubleTypeInContext(emitter->context);
  LLVMTypeRef types[] = {emitter->pointer, emitter->pointer, emitter->i64, emitter->i64, b.real};
  LLVMTypeRef nothing = LLVMVoidTypeInContext(emitter->context);
  LLVMValueRef function = glue_declare(object, glue_name(object, "orthogonal"), nothing, types, COUNT_OF(types), false);
  LLVMValueRef arguments[COUNT_OF(types)], one = glue_long(object, 1);
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  LLVMValueRef rows = arguments[2], columns = arguments[3];
  LLVMValueRef high = glue_compare(object, LLVMIntSGT, rows, columns); /* then the columns become orthonormal */
  b.to = arguments[0];
  b.symbol = arguments[1];
  b.vectors = LLVMBuildSelect(b.builder, high, columns, rows, "");
  b.length = LLVMBuildSelect(b.builder, high, rows, columns, "");
  b.across = LLVMBuildSelect(b.builder, high, one, columns, "");
  b.along = LLVMBuildSelect(b.builder, high, columns, one, "");
  Turns vectors, turns;
  turns_open(object, &vectors, b.vectors, NULL);
  emit_vector(&b, vectors.index);
  turns_close(object, &vectors, NULL);
  turns_open(object, &turns, LLVMBuildMul(b.builder, rows, columns, ""), NULL);
  LLVMValueRef element = glue_element(object, emitter->f32, b.to, turns.index);
  store_narrow(&b, LLVMBuildFMul(b.builder, arguments[4], load_wide(&b, element), ""), element);
  turns_close(object, &turns, NULL);
  LLVMBuildRetVoid(b.builder);
  return function;
}
