/* --sanitize: accesses are told to AddressSanitizer or ThreadSanitizer, whose runtime the program that links the object has.
 *
 * In: a module whose functions are done. Out: in front of each load and store of theirs a call that tells the runtime where
 * it begins and how many bytes it takes. LLVM's own passes leave out what is wider than 16 bytes where they look for races,
 * which is most of what kernels do; so this is done here, for both in the same way. What a mask leaves out in front of the
 * first lane and behind the last is not told of; gathers and scatters are told lane by lane.
 *
 * An entry's scratch is filled with ones before each call: NaN as a number, far outside as an index. With AddressSanitizer
 * its arena is forbidden ground as well, but for buffers in their lives: see emit_lives. */
#include "codegen/cpu/glue.h"

#include <string.h>

typedef struct Sanitizing {
  Emitter *emitter;
  LLVMTargetDataRef data;
  LLVMTypeRef type; /* void (ptr, i64) */
  LLVMValueRef tell_read, tell_write;
  LLVMValueRef nowhere; /* of the function: a byte to name where no lane is active; NULL: not needed yet */
} Sanitizing;

static LLVMTypeRef teller_type(const Emitter *emitter) {
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64};
  return LLVMFunctionType(LLVMVoidTypeInContext(emitter->context), types, 2, 0);
}

static LLVMValueRef runtime_function(const Emitter *emitter, const char *name) {
  LLVMValueRef known = LLVMGetNamedFunction(emitter->module, name);
  return known ? known : LLVMAddFunction(emitter->module, name, teller_type(emitter));
}

static LLVMValueRef number(const Sanitizing *s, uint64_t value) { return LLVMConstInt(s->emitter->i64, value, 0); }

static void tell(const Sanitizing *s, bool write, LLVMValueRef pointer, LLVMValueRef bytes) {
  LLVMValueRef arguments[] = {pointer, bytes};
  LLVMBuildCall2(s->emitter->builder, s->type, write ? s->tell_write : s->tell_read, arguments, 2, "");
}

/* ---- masks ---- */

static LLVMValueRef some_byte(Sanitizing *s, LLVMValueRef function) {
  if (s->nowhere) return s->nowhere;
  LLVMBasicBlockRef entry = LLVMGetEntryBasicBlock(function);
  LLVMBuilderRef first = LLVMCreateBuilderInContext(s->emitter->context);
  LLVMPositionBuilderBefore(first, LLVMGetFirstInstruction(entry));
  s->nowhere = LLVMBuildAlloca(first, s->emitter->i8, "");
  LLVMDisposeBuilder(first);
  return s->nowhere;
}

static LLVMValueRef count_zeros(const Sanitizing *s, const char *name, LLVMTypeRef type, LLVMValueRef bits) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef function = LLVMGetIntrinsicDeclaration(s->emitter->module, id, &type, 1);
  LLVMTypeRef own = LLVMIntrinsicGetType(s->emitter->context, id, &type, 1);
  LLVMValueRef arguments[] = {bits, LLVMConstInt(s->emitter->i1, 0, 0)};
  LLVMValueRef zeros = LLVMBuildCall2(s->emitter->builder, own, function, arguments, 2, "");
  return LLVMBuildZExt(s->emitter->builder, zeros, s->emitter->i64, "");
}

/* From the first active lane to the last. */
static void tell_masked(Sanitizing *s, LLVMValueRef function, bool write, LLVMTypeRef vector, LLVMValueRef pointer,
                        LLVMValueRef mask) {
  Emitter *emitter = s->emitter;
  LLVMBuilderRef builder = emitter->builder;
  unsigned lanes = LLVMGetVectorSize(vector);
  uint64_t each = LLVMStoreSizeOfType(s->data, LLVMGetElementType(vector));
  LLVMTypeRef type = LLVMIntTypeInContext(emitter->context, lanes);
  LLVMValueRef bits = LLVMBuildBitCast(builder, mask, type, "");
  LLVMValueRef any = LLVMBuildICmp(builder, LLVMIntNE, bits, LLVMConstInt(type, 0, 0), "");
  LLVMValueRef before = count_zeros(s, "llvm.cttz", type, bits), behind = count_zeros(s, "llvm.ctlz", type, bits);
  LLVMValueRef skipped = LLVMBuildMul(builder, before, number(s, each), "");
  LLVMValueRef start = LLVMBuildGEP2(builder, emitter->i8, pointer, &skipped, 1, "");
  LLVMValueRef count = LLVMBuildSub(builder, number(s, lanes), LLVMBuildAdd(builder, before, behind, ""), "");
  LLVMValueRef bytes = LLVMBuildMul(builder, count, number(s, each), "");
  tell(s, write, LLVMBuildSelect(builder, any, start, some_byte(s, function), ""),
       LLVMBuildSelect(builder, any, bytes, number(s, 1), ""));
}

static void tell_lanes(Sanitizing *s, LLVMValueRef function, bool write, LLVMTypeRef vector, LLVMValueRef pointers,
                       LLVMValueRef mask) {
  LLVMBuilderRef builder = s->emitter->builder;
  uint64_t each = LLVMStoreSizeOfType(s->data, LLVMGetElementType(vector));
  for (unsigned lane = 0; lane < LLVMGetVectorSize(vector); lane++) {
    LLVMValueRef index = LLVMConstInt(s->emitter->i32, lane, 0);
    LLVMValueRef active = LLVMBuildExtractElement(builder, mask, index, "");
    LLVMValueRef pointer = LLVMBuildExtractElement(builder, pointers, index, "");
    tell(s, write, LLVMBuildSelect(builder, active, pointer, some_byte(s, function), ""),
         LLVMBuildSelect(builder, active, number(s, each), number(s, 1), ""));
  }
}

/* ---- the walk ---- */

static bool begins_with(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

static void sanitize_call(Sanitizing *s, LLVMValueRef function, LLVMValueRef call) {
  size_t length;
  const char *name = LLVMGetValueName2(LLVMGetCalledValue(call), &length);
  LLVMValueRef first = LLVMGetNumOperands(call) > 1 ? LLVMGetOperand(call, 0) : NULL;
  if (begins_with(name, "llvm.masked.load"))
    tell_masked(s, function, false, LLVMTypeOf(call), first, LLVMGetOperand(call, 2));
  if (begins_with(name, "llvm.masked.gather"))
    tell_lanes(s, function, false, LLVMTypeOf(call), first, LLVMGetOperand(call, 2));
  if (begins_with(name, "llvm.masked.store"))
    tell_masked(s, function, true, LLVMTypeOf(first), LLVMGetOperand(call, 1), LLVMGetOperand(call, 3));
  if (begins_with(name, "llvm.masked.scatter"))
    tell_lanes(s, function, true, LLVMTypeOf(first), LLVMGetOperand(call, 1), LLVMGetOperand(call, 3));
}

static void sanitize_instruction(Sanitizing *s, LLVMValueRef function, LLVMValueRef instruction) {
  LLVMOpcode opcode = LLVMGetInstructionOpcode(instruction);
  if (opcode != LLVMLoad && opcode != LLVMStore && opcode != LLVMCall) return;
  LLVMPositionBuilderBefore(s->emitter->builder, instruction);
  if (opcode == LLVMCall) {
    sanitize_call(s, function, instruction);
    return;
  }
  LLVMValueRef pointer = LLVMGetOperand(instruction, opcode == LLVMStore ? 1 : 0);
  LLVMValueRef value = opcode == LLVMStore ? LLVMGetOperand(instruction, 0) : instruction;
  if (LLVMIsAAllocaInst(pointer)) return; /* a thread's own */
  tell(s, opcode == LLVMStore, pointer, number(s, LLVMStoreSizeOfType(s->data, LLVMTypeOf(value))));
}

void sanitize_module(Emitter *emitter, Sanitizer sanitizer) {
  bool address = sanitizer == SANITIZE_ADDRESS;
  if (sanitizer == SANITIZE_NONE) return;
  Sanitizing s = {.emitter = emitter, .data = LLVMGetModuleDataLayout(emitter->module), .type = teller_type(emitter)};
  s.tell_read = runtime_function(emitter, address ? "__asan_loadN" : "__tsan_read_range");
  s.tell_write = runtime_function(emitter, address ? "__asan_storeN" : "__tsan_write_range");
  for (LLVMValueRef function = LLVMGetFirstFunction(emitter->module); function; function = LLVMGetNextFunction(function)) {
    s.nowhere = NULL;
    LLVMBasicBlockRef block = LLVMIsDeclaration(function) ? NULL : LLVMGetFirstBasicBlock(function);
    for (; block; block = LLVMGetNextBasicBlock(block)) {
      for (LLVMValueRef at = LLVMGetFirstInstruction(block), next; at; at = next) {
        next = LLVMGetNextInstruction(at);
        sanitize_instruction(&s, function, at);
      }
    }
  }
}

/* ---- an entry's scratch ---- */

static void call_runtime(Object *object, const char *name, LLVMValueRef pointer, LLVMValueRef bytes) {
  Emitter *emitter = &object->emitter;
  LLVMValueRef arguments[] = {pointer, bytes};
  LLVMBuildCall2(emitter->builder, teller_type(emitter), runtime_function(emitter, name), arguments, 2, "");
}

void sanitize_forbid(Object *object, LLVMValueRef scratch, LLVMValueRef locals, LLVMValueRef all) {
  Emitter *emitter = &object->emitter;
  LLVMValueRef arena = LLVMBuildPtrDiff2(emitter->builder, emitter->i8, locals, scratch, "");
  bool address = object->options->sanitize == SANITIZE_ADDRESS;
  if (address) call_runtime(object, "__asan_unpoison_memory_region", scratch, all);
  LLVMBuildMemSet(emitter->builder, scratch, LLVMConstInt(emitter->i8, 0xFF, 0), all, 1);
  if (address) call_runtime(object, "__asan_poison_memory_region", scratch, arena);
}

void sanitize_allow(Object *object, LLVMValueRef scratch, LLVMValueRef all) {
  if (object->options->sanitize == SANITIZE_ADDRESS) call_runtime(object, "__asan_unpoison_memory_region", scratch, all);
}

/* void lives(frame, launch, done): before launch `launch`, and after it, what lives from then on, or till then. A buffer's
 * slot ends in bytes that are its own but never allowed (Plan.zone). */
LLVMValueRef sanitize_lives(Object *object, const Plan *plan, const char *name) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64, emitter->i64};
  LLVMTypeRef nothing = LLVMVoidTypeInContext(emitter->context);
  LLVMValueRef function = glue_once(object, glue_declare(object, name, nothing, types, COUNT_OF(types), false));
  glue_begin(object, function);
  LLVMValueRef frame = emitter->frame = LLVMGetParam(function, 0), launch = LLVMGetParam(function, 1);
  LLVMValueRef done = glue_compare(object, LLVMIntNE, LLVMGetParam(function, 2), glue_long(object, 0));
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || !buffer->bytes) continue;
    LLVMValueRef bytes = glue_size(object, buffer_bytes(plan, &buffer->type));
    LLVMValueRef pointer = glue_load(object, emitter->pointer, frame, 8 * (int64_t)frame_pointer(plan, id));
    for (int end = 0; end < 2; end++) {
      LLVMValueRef here = glue_compare(object, LLVMIntEQ, launch, glue_long(object, end ? buffer->last : buffer->first));
      LLVMValueRef when = end ? done : LLVMBuildNot(emitter->builder, done, "");
      LLVMBasicBlockRef after = glue_if(object, LLVMBuildAnd(emitter->builder, here, when, ""));
      call_runtime(object, end ? "__asan_poison_memory_region" : "__asan_unpoison_memory_region", pointer, bytes);
      glue_end_if(object, after);
    }
  }
  LLVMBuildRetVoid(emitter->builder);
  return function;
}
