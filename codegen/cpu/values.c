/* Small pieces of IR that all emitters use: constants, splats, masked memory, the float operations that not every processor
 * has as an instruction. Nothing here may end as a call: an object references memcpy, memset and memmove alone. */
#include "codegen/cpu/nest.h"

#include <llvm-c/Core.h>
#include <llvm/Config/llvm-config.h>
#include <string.h>

LLVMValueRef const_i64(const Emitter *emitter, int64_t value) {
  return LLVMConstInt(emitter->i64, (unsigned long long)value, 1);
}
LLVMValueRef const_i32(const Emitter *emitter, int64_t value) {
  return LLVMConstInt(emitter->i32, (unsigned long long)value, 1);
}
LLVMValueRef const_f32(const Emitter *emitter, double value) { return LLVMConstReal(emitter->f32, value); }

LLVMTypeRef type_of_dtype(const Emitter *emitter, Dtype dtype) {
  return dtype == F32 ? emitter->f32 : dtype == I32 ? emitter->i32 : emitter->i1;
}
LLVMTypeRef lanes_of(LLVMTypeRef type) { return LLVMVectorType(type, LANES); }
bool is_vector(LLVMValueRef value) { return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind; }
LLVMTypeRef like(LLVMValueRef value, LLVMTypeRef element) { return is_vector(value) ? lanes_of(element) : element; }

static LLVMValueRef const_splat(LLVMValueRef scalar) {
  LLVMValueRef all[LANES];
  for (int k = 0; k < LANES; k++) all[k] = scalar;
  return LLVMConstVector(all, LANES);
}

LLVMValueRef splat(Emitter *emitter, LLVMValueRef scalar) {
  if (LLVMIsConstant(scalar) && !LLVMIsUndef(scalar)) return const_splat(scalar);
  LLVMTypeRef type = lanes_of(LLVMTypeOf(scalar));
  LLVMValueRef first = LLVMBuildInsertElement(emitter->builder, LLVMGetPoison(type), scalar, const_i32(emitter, 0), "");
  LLVMValueRef zeros = LLVMConstNull(lanes_of(emitter->i32));
  return LLVMBuildShuffleVector(emitter->builder, first, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef widen(Emitter *emitter, LLVMValueRef value) { return is_vector(value) ? value : splat(emitter, value); }

LLVMValueRef const_like(LLVMValueRef value, LLVMValueRef constant) {
  return is_vector(value) ? const_splat(constant) : constant;
}

LLVMValueRef lane_numbers(Emitter *emitter, LLVMTypeRef element, int64_t step) {
  (void)emitter;
  LLVMValueRef lanes[LANES];
  for (int k = 0; k < LANES; k++) lanes[k] = LLVMConstInt(element, (unsigned long long)(k * step), 1);
  return LLVMConstVector(lanes, LANES);
}

LLVMValueRef call_intrinsic(Emitter *emitter, const char *name, LLVMTypeRef *types, int ntypes, LLVMValueRef *arguments,
                            int count) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id) bug("LLVM has no %s", name);
  LLVMValueRef function = LLVMGetIntrinsicDeclaration(emitter->module, id, types, (size_t)ntypes);
  LLVMTypeRef type = LLVMIntrinsicGetType(emitter->context, id, types, (size_t)ntypes);
  return LLVMBuildCall2(emitter->builder, type, function, arguments, (unsigned)count, "");
}

LLVMValueRef call_unary(Emitter *emitter, const char *name, LLVMValueRef a) {
  LLVMTypeRef type = LLVMTypeOf(a);
  return call_intrinsic(emitter, name, &type, 1, &a, 1);
}

LLVMValueRef emit_fma(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  if (!emitter->processor->fma) {
    return LLVMBuildFAdd(emitter->builder, LLVMBuildFMul(emitter->builder, a, b, ""), c, "");
  }
  LLVMTypeRef type = LLVMTypeOf(a);
  return call_intrinsic(emitter, "llvm.fma", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

/* ---- whole numbers ---- */

/* Without SSE4.1 there is no rounding instruction, and LLVM would call libm. */
static bool has_rounding(const Emitter *emitter) {
  return emitter->processor->vector_bits >= 256 || strstr(emitter->processor->features, "+sse4.1") != NULL;
}

/* Nearest whole number, halves to even, for |x| < 2^22 or so and by selection for all: adding and taking away 1.5 * 2^23
 * rounds as the processor does; numbers from 2^22 on take 2^23 with their sign, those from 2^23 on are whole. */
static LLVMValueRef round_by_adding(Emitter *emitter, LLVMValueRef x) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef type = LLVMTypeOf(x);
  LLVMValueRef large = const_like(x, const_f32(emitter, 8388608.0));
  LLVMValueRef shift = call_intrinsic(emitter, "llvm.copysign", &type, 1, (LLVMValueRef[]){large, x}, 2);
  LLVMValueRef near = LLVMBuildFSub(builder, LLVMBuildFAdd(builder, x, shift, ""), shift, "");
  near = call_intrinsic(emitter, "llvm.copysign", &type, 1, (LLVMValueRef[]){near, x}, 2);
  LLVMValueRef small = LLVMBuildFCmp(builder, LLVMRealOLT, call_unary(emitter, "llvm.fabs", x), large, "");
  return LLVMBuildSelect(builder, small, near, x, "");
}

LLVMValueRef emit_round(Emitter *emitter, LLVMValueRef x) {
  return has_rounding(emitter) ? call_unary(emitter, "llvm.roundeven", x) : round_by_adding(emitter, x);
}

LLVMValueRef emit_floor(Emitter *emitter, LLVMValueRef x) {
  if (has_rounding(emitter)) return call_unary(emitter, "llvm.floor", x);
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef type = LLVMTypeOf(x);
  LLVMValueRef near = round_by_adding(emitter, x);
  LLVMValueRef above = LLVMBuildFCmp(builder, LLVMRealOGT, near, x, "");
  LLVMValueRef one = const_like(x, const_f32(emitter, 1)), zero = const_like(x, const_f32(emitter, 0));
  LLVMValueRef whole = LLVMBuildFSub(builder, near, LLVMBuildSelect(builder, above, one, zero, ""), "");
  return call_intrinsic(emitter, "llvm.copysign", &type, 1, (LLVMValueRef[]){whole, x}, 2);
}

/* The larger (smaller) one, b at ties, a NaN on either side wins: the first select is one max instruction. */
LLVMValueRef select_max(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, Dtype dtype, bool min) {
  LLVMBuilderRef builder = emitter->builder;
  if (dtype == BOOL) return min ? LLVMBuildAnd(builder, a, b, "") : LLVMBuildOr(builder, a, b, "");
  if (dtype == I32) {
    LLVMValueRef first = LLVMBuildICmp(builder, min ? LLVMIntSLT : LLVMIntSGT, a, b, "");
    return LLVMBuildSelect(builder, first, a, b, "");
  }
  LLVMValueRef first = LLVMBuildFCmp(builder, min ? LLVMRealOLT : LLVMRealOGT, a, b, "");
  LLVMValueRef chosen = LLVMBuildSelect(builder, first, a, b, "");
  return LLVMBuildSelect(builder, LLVMBuildFCmp(builder, LLVMRealUNO, a, a, ""), a, chosen, "");
}

/* ---- masked memory ---- */

/* A condition for all lanes, by way of a comparison: LLVM 19 splits a masked load in two for AVX2, and where the mask is a
 * splat of one bit with a constant whose half is 0, it loads that half without any mask (seed 772 of the fuzzer). */
static LLVMValueRef widen_mask(Emitter *emitter, LLVMValueRef mask) {
  if (is_vector(mask)) return mask;
  LLVMValueRef wide = splat(emitter, LLVMBuildSExt(emitter->builder, mask, emitter->i32, ""));
  return LLVMBuildICmp(emitter->builder, LLVMIntNE, wide, LLVMConstNull(LLVMTypeOf(wide)), "");
}

LLVMValueRef both_masks(Emitter *emitter, LLVMValueRef a, LLVMValueRef b) {
  if (!a || !b) return a ? a : b;
  if (is_vector(a) != is_vector(b)) a = widen_mask(emitter, a), b = widen_mask(emitter, b);
  return LLVMBuildAnd(emitter->builder, a, b, "");
}

LLVMValueRef tail_mask(Emitter *emitter, LLVMValueRef left) {
  LLVMValueRef count = splat(emitter, LLVMBuildTrunc(emitter->builder, left, emitter->i32, ""));
  return LLVMBuildICmp(emitter->builder, LLVMIntSLT, lane_numbers(emitter, emitter->i32, 1), count, "");
}

/* The alignment, one element's, is an argument up to LLVM 21 and an attribute of the address from 22 on. */
static LLVMValueRef call_masked(Emitter *emitter, const char *name, LLVMTypeRef *types, LLVMValueRef *arguments, int count,
                                int address, unsigned align) {
#if LLVM_VERSION_MAJOR < 22
  for (int k = count; k > address + 1; k--) arguments[k] = arguments[k - 1];
  arguments[address + 1] = const_i32(emitter, align);
  return call_intrinsic(emitter, name, types, 2, arguments, count + 1);
#else
  LLVMValueRef call = call_intrinsic(emitter, name, types, 2, arguments, count);
  unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
  LLVMAddCallSiteAttribute(call, (unsigned)address + 1, LLVMCreateEnumAttribute(emitter->context, kind, align));
  return call;
#endif
}

static unsigned element_align(const Emitter *emitter, LLVMTypeRef vector) {
  return LLVMGetElementType(vector) == emitter->i8 ? 1 : 4;
}

LLVMValueRef masked_load(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef mask, LLVMValueRef other) {
  LLVMTypeRef types[] = {type, emitter->pointer};
  LLVMValueRef arguments[5] = {pointer, mask, other};
  return call_masked(emitter, "llvm.masked.load", types, arguments, 3, 0, element_align(emitter, type));
}

void masked_store(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef mask) {
  LLVMTypeRef types[] = {LLVMTypeOf(value), emitter->pointer};
  LLVMValueRef arguments[5] = {value, pointer, mask};
  call_masked(emitter, "llvm.masked.store", types, arguments, 3, 1, element_align(emitter, types[0]));
}

static LLVMValueRef all_lanes(Emitter *emitter) { return LLVMConstAllOnes(lanes_of(emitter->i1)); }

LLVMValueRef masked_gather(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointers, LLVMValueRef mask,
                           LLVMValueRef other) {
  LLVMTypeRef types[] = {type, LLVMTypeOf(pointers)};
  LLVMValueRef arguments[5] = {pointers, mask ? mask : all_lanes(emitter), other};
  return call_masked(emitter, "llvm.masked.gather", types, arguments, 3, 0, element_align(emitter, type));
}

void masked_scatter(Emitter *emitter, LLVMValueRef value, LLVMValueRef pointers, LLVMValueRef mask) {
  LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(pointers)};
  LLVMValueRef arguments[5] = {value, pointers, mask ? mask : all_lanes(emitter)};
  call_masked(emitter, "llvm.masked.scatter", types, arguments, 3, 1, element_align(emitter, types[0]));
}

void split_lanes(Emitter *emitter, LLVMValueRef vector, int half, LLVMValueRef *low, LLVMValueRef *high) {
  LLVMValueRef first[LANES], second[LANES], poison = LLVMGetPoison(LLVMTypeOf(vector));
  for (int k = 0; k < half; k++) first[k] = const_i32(emitter, k), second[k] = const_i32(emitter, k + half);
  *low = LLVMBuildShuffleVector(emitter->builder, vector, poison, LLVMConstVector(first, (unsigned)half), "");
  *high = LLVMBuildShuffleVector(emitter->builder, vector, poison, LLVMConstVector(second, (unsigned)half), "");
}

LLVMValueRef sum_lanes(Emitter *emitter, LLVMValueRef vector) {
  for (int half = LANES / 2; half >= 1; half /= 2) {
    LLVMValueRef low, high;
    split_lanes(emitter, vector, half, &low, &high);
    vector = LLVMBuildFAdd(emitter->builder, low, high, "");
  }
  return LLVMBuildExtractElement(emitter->builder, vector, const_i32(emitter, 0), "");
}

LLVMValueRef constant_mask(Emitter *emitter, int64_t lanes) {
  LLVMValueRef all[LANES];
  for (int k = 0; k < LANES; k++) all[k] = LLVMConstInt(emitter->i1, k < lanes, 0);
  return LLVMConstVector(all, LANES);
}

LLVMBasicBlockRef new_block(Emitter *emitter, const char *name) {
  return LLVMAppendBasicBlockInContext(emitter->context, emitter->function, name);
}
