/* Where the fields of a frame lie (see emit.h), and sizes computed from its dims. */
#include "codegen/cpu/emit.h"

int frame_dim(const Plan *plan, int symbol) {
  (void)plan;
  return symbol;
}
int frame_argument(const Plan *plan, int parameter) { return plan->module->dims.count + parameter; }
int frame_result(const Plan *plan, int result) { return frame_argument(plan, plan->graph->parameters.count) + result; }
int frame_state(const Plan *plan) { return frame_result(plan, plan->graph->results.count); }
int frame_scratch(const Plan *plan) { return frame_state(plan) + 1; }
int frame_locals(const Plan *plan) { return frame_state(plan) + 2; }
int frame_local_bytes(const Plan *plan) { return frame_state(plan) + 3; }
int frame_pointer(const Plan *plan, Id buffer) { return frame_state(plan) + 4 + buffer; }
int frame_measure(const Plan *plan, int measure) { return frame_pointer(plan, plan->buffers.count) + measure; }
int frame_fields(const Plan *plan, const Program *program) { return frame_measure(plan, program->measures.count); }

static LLVMValueRef emit_symbol(Emitter *emitter, int symbol) {
  LLVMValueRef index = LLVMConstInt(emitter->i64, (unsigned)frame_dim(emitter->plan, symbol), 0);
  LLVMValueRef field = LLVMBuildGEP2(emitter->builder, emitter->i64, emitter->frame, &index, 1, "");
  return LLVMBuildLoad2(emitter->builder, emitter->i64, field, "");
}

/* Floor for a positive divisor; sizes that are never negative divide plainly. */
static LLVMValueRef emit_floordiv(Emitter *emitter, const Dim *dim) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef a = emit_dim(emitter, dim->a), b = emit_dim(emitter, dim->b), zero = LLVMConstInt(emitter->i64, 0, 0);
  if (dim->a->low >= 0) return LLVMBuildUDiv(builder, a, b, "");
  LLVMValueRef quotient = LLVMBuildSDiv(builder, a, b, "");
  LLVMValueRef rest = LLVMBuildSub(builder, a, LLVMBuildMul(builder, quotient, b, ""), "");
  LLVMValueRef below = LLVMBuildICmp(builder, LLVMIntSLT, rest, zero, "");
  return LLVMBuildAdd(builder, quotient, LLVMBuildSExt(builder, below, emitter->i64, ""), "");
}

LLVMValueRef emit_dim(Emitter *emitter, const Dim *dim) {
  switch (dim->kind) {
  case DIM_CONSTANT: return LLVMConstInt(emitter->i64, (unsigned long long)dim->value, 1);
  case DIM_SYMBOL: return emit_symbol(emitter, dim->symbol);
  case DIM_FLOORDIV: return emit_floordiv(emitter, dim);
  case DIM_SUM: break;
  }
  LLVMValueRef sum = NULL;
  for (int k = 0; k < dim->nterms; k++) {
    const DimTerm *term = &dim->terms[k];
    LLVMValueRef product = LLVMConstInt(emitter->i64, (unsigned long long)term->coefficient, 1);
    for (int j = 0; j < term->natoms; j++) {
      LLVMValueRef atom = emit_dim(emitter, term->atoms[j]);
      product = j == 0 && term->coefficient == 1 ? atom : LLVMBuildMul(emitter->builder, product, atom, "");
    }
    sum = sum ? LLVMBuildAdd(emitter->builder, sum, product, "") : product;
  }
  return sum;
}
