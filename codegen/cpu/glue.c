/* Small pieces of IR for the code around kernels: see glue.h. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

#include <string.h>

LLVMValueRef glue_declare(Object *object, const char *name, LLVMTypeRef result, LLVMTypeRef *arguments, int count,
                          bool exported) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef type = LLVMFunctionType(result, arguments, (unsigned)count, 0);
  LLVMValueRef function = LLVMAddFunction(emitter->module, name, type);
  if (!exported) LLVMSetLinkage(function, LLVMInternalLinkage);
  unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
  LLVMAttributeRef attribute = LLVMCreateEnumAttribute(emitter->context, nounwind, 0);
  LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
  return function;
}

LLVMValueRef glue_once(Object *object, LLVMValueRef function) {
  static const char *const names[] = {"optnone", "noinline"};
  for (int k = 0; k < COUNT_OF(names); k++) {
    unsigned kind = LLVMGetEnumAttributeKindForName(names[k], strlen(names[k]));
    LLVMAttributeRef attribute = LLVMCreateEnumAttribute(object->emitter.context, kind, 0);
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
  }
  return function;
}

const char *glue_name(Object *object, const char *what) {
  return arena_format(object->arena, "%s.%s", object->module->name, what);
}

void glue_begin(Object *object, LLVMValueRef function) {
  object->emitter.function = function;
  object->emitter.frame = NULL;
  object->sizes.count = 0;
  LLVMPositionBuilderAtEnd(object->emitter.builder, glue_block(object));
}

LLVMValueRef glue_int(Object *object, int64_t value) {
  return LLVMConstInt(object->emitter.i32, (unsigned long long)value, 1);
}
LLVMValueRef glue_long(Object *object, int64_t value) {
  return LLVMConstInt(object->emitter.i64, (unsigned long long)value, 1);
}
LLVMValueRef glue_null(Object *object) { return LLVMConstNull(object->emitter.pointer); }

LLVMBasicBlockRef glue_block(Object *object) {
  return LLVMAppendBasicBlockInContext(object->emitter.context, object->emitter.function, "");
}

LLVMValueRef glue_at(Object *object, LLVMValueRef pointer, int64_t bytes) {
  LLVMValueRef index = glue_long(object, bytes);
  return bytes ? LLVMBuildGEP2(object->emitter.builder, object->emitter.i8, pointer, &index, 1, "") : pointer;
}

LLVMValueRef glue_element(Object *object, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef index) {
  return LLVMBuildGEP2(object->emitter.builder, type, pointer, &index, 1, "");
}

LLVMValueRef glue_load(Object *object, LLVMTypeRef type, LLVMValueRef pointer, int64_t bytes) {
  return LLVMBuildLoad2(object->emitter.builder, type, glue_at(object, pointer, bytes), "");
}

void glue_store(Object *object, LLVMValueRef value, LLVMValueRef pointer, int64_t bytes) {
  LLVMBuildStore(object->emitter.builder, value, glue_at(object, pointer, bytes));
}

LLVMValueRef glue_call(Object *object, LLVMValueRef function, LLVMValueRef *arguments, int count) {
  return LLVMBuildCall2(object->emitter.builder, LLVMGlobalGetValueType(function), function, arguments, (unsigned)count,
                        "");
}

LLVMValueRef glue_compare(Object *object, LLVMIntPredicate predicate, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(object->emitter.builder, predicate, a, b, "");
}

LLVMValueRef glue_array(Object *object, LLVMTypeRef element, int64_t count) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(builder), first = LLVMGetEntryBasicBlock(object->emitter.function);
  LLVMValueRef start = LLVMGetFirstInstruction(first);
  if (start) LLVMPositionBuilderBefore(builder, start);
  LLVMValueRef array = LLVMBuildAlloca(builder, LLVMArrayType2(element, (uint64_t)MAX(count, 1)), "");
  LLVMSetAlignment(array, 16);
  LLVMPositionBuilderAtEnd(builder, here);
  return array;
}

LLVMValueRef glue_size(Object *object, const Dim *dim) {
  for (int k = 0; k < object->sizes.count; k++) {
    if (object->sizes.items[k].dim == dim) return object->sizes.items[k].value;
  }
  LLVMValueRef value = emit_dim(&object->emitter, dim);
  PUSH(object->arena, &object->sizes, ((KnownSize){dim, value}));
  return value;
}

void glue_demand(Object *object, LLVMValueRef condition, int code) {
  LLVMBuilderRef builder = object->emitter.builder;
  if (LLVMIsConstant(condition) && LLVMConstIntGetZExtValue(condition)) return;
  LLVMBasicBlockRef refuse = glue_block(object), go_on = glue_block(object);
  LLVMBuildCondBr(builder, condition, go_on, refuse);
  LLVMPositionBuilderAtEnd(builder, refuse);
  LLVMBuildRet(builder, glue_int(object, code));
  LLVMPositionBuilderAtEnd(builder, go_on);
}

void glue_demand_memory(Object *object, LLVMValueRef pointer) {
  LLVMBuilderRef builder = object->emitter.builder;
  glue_demand(object, glue_compare(object, LLVMIntNE, pointer, glue_null(object)), NN_NO_STATE);
  LLVMValueRef address = LLVMBuildPtrToInt(builder, pointer, object->emitter.i64, "");
  LLVMValueRef low = LLVMBuildAnd(builder, address, glue_long(object, STATE_ALIGN - 1), "");
  glue_demand(object, glue_compare(object, LLVMIntEQ, low, glue_long(object, 0)), NN_BAD_ALIGNMENT);
}

LLVMBasicBlockRef glue_if(Object *object, LLVMValueRef condition) {
  LLVMBasicBlockRef then = glue_block(object), after = glue_block(object);
  LLVMBuildCondBr(object->emitter.builder, condition, then, after);
  LLVMPositionBuilderAtEnd(object->emitter.builder, then);
  return after;
}

void glue_end_if(Object *object, LLVMBasicBlockRef after) {
  LLVMBuildBr(object->emitter.builder, after);
  LLVMPositionBuilderAtEnd(object->emitter.builder, after);
}

void turns_open(Object *object, Turns *turns, LLVMValueRef count, LLVMValueRef carried) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), body = glue_block(object);
  LLVMValueRef zero = glue_long(object, 0);
  turns->head = glue_block(object);
  turns->after = glue_block(object);
  LLVMBuildBr(builder, turns->head);
  LLVMPositionBuilderAtEnd(builder, turns->head);
  turns->index = LLVMBuildPhi(builder, object->emitter.i64, "");
  LLVMAddIncoming(turns->index, &zero, &before, 1);
  turns->carried = carried ? LLVMBuildPhi(builder, LLVMTypeOf(carried), "") : NULL;
  if (carried) LLVMAddIncoming(turns->carried, &carried, &before, 1);
  LLVMBuildCondBr(builder, glue_compare(object, LLVMIntSLT, turns->index, count), body, turns->after);
  LLVMPositionBuilderAtEnd(builder, body);
}

void turns_close(Object *object, Turns *turns, LLVMValueRef carried) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(builder);
  LLVMValueRef next = LLVMBuildAdd(builder, turns->index, glue_long(object, 1), "");
  LLVMBuildBr(builder, turns->head);
  LLVMAddIncoming(turns->index, &next, &latch, 1);
  if (carried) LLVMAddIncoming(turns->carried, &carried, &latch, 1);
  LLVMPositionBuilderAtEnd(builder, turns->after);
}

/* ---- constants ---- */

LLVMValueRef glue_constant(Object *object, LLVMValueRef value, const char *name) {
  LLVMValueRef global = LLVMAddGlobal(object->emitter.module, LLVMTypeOf(value), name);
  LLVMSetInitializer(global, value);
  LLVMSetGlobalConstant(global, 1);
  LLVMSetLinkage(global, LLVMPrivateLinkage);
  LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
  return global;
}

LLVMValueRef glue_string(Object *object, const char *text) {
  LLVMValueRef bytes = LLVMConstStringInContext2(object->emitter.context, text, strlen(text), 0);
  LLVMValueRef global = glue_constant(object, bytes, "text");
  LLVMSetAlignment(global, 1);
  return global;
}

LLVMValueRef glue_struct(Object *object, LLVMValueRef *fields, int count) {
  return LLVMConstStructInContext(object->emitter.context, fields, (unsigned)count, 0);
}

LLVMValueRef glue_table(Object *object, LLVMTypeRef type, LLVMValueRef *items, int count, const char *name) {
  if (count == 0) return glue_null(object);
  return glue_constant(object, LLVMConstArray2(type, items, (uint64_t)count), name);
}
