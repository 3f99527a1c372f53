/* Whether this machine has what the code was compiled for, asked once, by init: CPUID costs tens of microseconds in a
 * virtual machine. What is asked are the features that code generation may make use of; others (that a list of a host's
 * features also names) do not matter. An extension with registers of its own also needs the system to save them (XCR0). */
#include "codegen/cpu/glue.h"

#include <string.h>

enum { LEAF1_C, LEAF7_B, LEAF7_C, LEAF7_D, LEAF7_1_A, EXTENDED_C, SAVED, WORDS };
enum { SAVES_256 = 0x6, SAVES_512 = 0xE6 };

typedef struct Feature {
  const char *name;
  int word, bit;
  uint32_t saved;
} Feature;
static const Feature features[] = {
    {"sse3", LEAF1_C, 0, 0},
    {"ssse3", LEAF1_C, 9, 0},
    {"fma", LEAF1_C, 12, SAVES_256},
    {"cx16", LEAF1_C, 13, 0},
    {"sse4.1", LEAF1_C, 19, 0},
    {"sse4.2", LEAF1_C, 20, 0},
    {"movbe", LEAF1_C, 22, 0},
    {"popcnt", LEAF1_C, 23, 0},
    {"avx", LEAF1_C, 28, SAVES_256},
    {"f16c", LEAF1_C, 29, SAVES_256},
    {"bmi", LEAF7_B, 3, 0},
    {"avx2", LEAF7_B, 5, SAVES_256},
    {"bmi2", LEAF7_B, 8, 0},
    {"avx512f", LEAF7_B, 16, SAVES_512},
    {"avx512dq", LEAF7_B, 17, SAVES_512},
    {"adx", LEAF7_B, 19, 0},
    {"avx512ifma", LEAF7_B, 21, SAVES_512},
    {"avx512cd", LEAF7_B, 28, SAVES_512},
    {"avx512bw", LEAF7_B, 30, SAVES_512},
    {"avx512vl", LEAF7_B, 31, SAVES_512},
    {"avx512vbmi", LEAF7_C, 1, SAVES_512},
    {"avx512vbmi2", LEAF7_C, 6, SAVES_512},
    {"gfni", LEAF7_C, 8, 0},
    {"vaes", LEAF7_C, 9, SAVES_256},
    {"vpclmulqdq", LEAF7_C, 10, SAVES_256},
    {"avx512vnni", LEAF7_C, 11, SAVES_512},
    {"avx512bitalg", LEAF7_C, 12, SAVES_512},
    {"avx512vpopcntdq", LEAF7_C, 14, SAVES_512},
    {"avx512fp16", LEAF7_D, 23, SAVES_512},
    {"avxvnni", LEAF7_1_A, 4, SAVES_256},
    {"avx512bf16", LEAF7_1_A, 5, SAVES_512},
    {"sahf", EXTENDED_C, 0, 0},
    {"lzcnt", EXTENDED_C, 5, 0},
};

static void find_needs(const char *list, uint32_t needs[WORDS]) {
  memset(needs, 0, WORDS * sizeof *needs);
  for (const char *item = list; *item;) {
    size_t length = strcspn(item, ",");
    for (int k = 0; *item == '+' && k < COUNT_OF(features); k++) {
      const Feature *feature = &features[k];
      if (strlen(feature->name) != length - 1 || strncmp(feature->name, item + 1, length - 1) != 0) continue;
      needs[feature->word] |= 1u << feature->bit;
      needs[SAVED] |= feature->saved;
    }
    item += length + (item[length] == ',');
  }
}

static LLVMValueRef inline_assembly(Object *object, LLVMTypeRef type, const char *text, const char *constraints,
                                    LLVMValueRef *arguments, int count) {
  LLVMValueRef code = LLVMGetInlineAsm(type, (char *)text, strlen(text), (char *)constraints, strlen(constraints), 1, 0,
                                       LLVMInlineAsmDialectATT, 0);
  return LLVMBuildCall2(object->emitter.builder, type, code, arguments, (unsigned)count, "");
}

/* A struct of eax, ebx, ecx, edx. */
static LLVMValueRef emit_cpuid(Object *object, uint32_t leaf, uint32_t part) {
  LLVMTypeRef i32 = object->emitter.i32, all[] = {i32, i32, i32, i32}, taken[] = {i32, i32};
  LLVMTypeRef type = LLVMFunctionType(LLVMStructTypeInContext(object->emitter.context, all, 4, 0), taken, 2, 0);
  LLVMValueRef arguments[] = {LLVMConstInt(i32, leaf, 0), LLVMConstInt(i32, part, 0)};
  return inline_assembly(object, type, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}", arguments,
                         2);
}

/* XCR0's low word; 0 if the system does not use it (bit 27 of leaf 1). */
static LLVMValueRef emit_saved(Object *object, LLVMValueRef leaf1_c) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMTypeRef i32 = object->emitter.i32, both[] = {i32, i32};
  LLVMValueRef used = LLVMBuildAnd(builder, leaf1_c, glue_int(object, 1 << 27), ""), zero = glue_int(object, 0);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder);
  LLVMBasicBlockRef after = glue_if(object, glue_compare(object, LLVMIntNE, used, zero));
  LLVMTypeRef type = LLVMFunctionType(LLVMStructTypeInContext(object->emitter.context, both, 2, 0), &i32, 1, 0);
  LLVMValueRef pair = inline_assembly(object, type, "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}", &zero, 1);
  LLVMValueRef low = LLVMBuildExtractValue(builder, pair, 0, "");
  LLVMBasicBlockRef inside = LLVMGetInsertBlock(builder);
  glue_end_if(object, after);
  LLVMValueRef saved = LLVMBuildPhi(builder, i32, "");
  LLVMAddIncoming(saved, (LLVMValueRef[]){zero, low}, (LLVMBasicBlockRef[]){before, inside}, 2);
  return saved;
}

static void emit_words(Object *object, LLVMValueRef have[WORDS]) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMValueRef zero = glue_int(object, 0);
  LLVMValueRef highest = LLVMBuildExtractValue(builder, emit_cpuid(object, 0, 0), 0, "");
  LLVMValueRef seven = glue_compare(object, LLVMIntUGE, highest, glue_int(object, 7));
  LLVMValueRef leaf7 = emit_cpuid(object, 7, 0), leaf7_1 = emit_cpuid(object, 7, 1);
  have[LEAF1_C] = LLVMBuildExtractValue(builder, emit_cpuid(object, 1, 0), 2, "");
  for (unsigned k = 1; k < 4; k++) {
    LLVMValueRef value = LLVMBuildExtractValue(builder, leaf7, k, "");
    have[LEAF7_B + k - 1] = LLVMBuildSelect(builder, seven, value, zero, "");
  }
  LLVMValueRef parts = LLVMBuildExtractValue(builder, leaf7, 0, "");
  LLVMValueRef more = LLVMBuildAnd(builder, seven, glue_compare(object, LLVMIntUGE, parts, glue_int(object, 1)), "");
  have[LEAF7_1_A] = LLVMBuildSelect(builder, more, LLVMBuildExtractValue(builder, leaf7_1, 0, ""), zero, "");
  have[EXTENDED_C] = LLVMBuildExtractValue(builder, emit_cpuid(object, 0x80000001u, 0), 2, "");
  have[SAVED] = emit_saved(object, have[LEAF1_C]);
}

LLVMValueRef emit_choose_version(Object *object) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMValueRef have[WORDS], chosen = glue_int(object, -1);
  if (!object->architecture->has_cpuid) return glue_int(object, 0); /* there every processor runs every version */
  emit_words(object, have);
  for (int k = object->nversions - 1; k >= 0; k--) {
    uint32_t needs[WORDS];
    LLVMValueRef able = LLVMConstInt(object->emitter.i1, 1, 0);
    find_needs(object->versions[k]->features, needs);
    for (int j = 0; j < WORDS; j++) {
      if (!needs[j]) continue;
      LLVMValueRef mask = LLVMConstInt(object->emitter.i32, needs[j], 0);
      LLVMValueRef there = glue_compare(object, LLVMIntEQ, LLVMBuildAnd(builder, have[j], mask, ""), mask);
      able = LLVMBuildAnd(builder, able, there, "");
    }
    chosen = LLVMBuildSelect(builder, able, glue_int(object, k), chosen, "");
  }
  return chosen;
}
