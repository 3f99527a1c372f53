/* The model's description (nn_model of runtime/nn.h) as constant data. Structs are written field by field in the order of
 * nn.h, with natural alignment, which is what a C compiler makes of them. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

#include <string.h>

static LLVMValueRef byte(Object *object, int value) { return LLVMConstInt(object->emitter.i8, (unsigned)value, 0); }

static int dtype_code(Dtype dtype) { return dtype == F32 ? NN_F32 : dtype == I32 ? NN_I32 : NN_BOOL; }

/* A table of structs, all of one type. */
static LLVMValueRef struct_table(Object *object, LLVMValueRef *items, int count, const char *name) {
  return glue_table(object, count ? LLVMTypeOf(items[0]) : NULL, items, count, name);
}

static LLVMValueRef text_string(Object *object, Text *text) {
  LLVMValueRef string = glue_string(object, text->bytes ? text->bytes : "");
  text_free(text);
  return string;
}

static LLVMValueRef dim_string(Object *object, const Dim *dim) {
  Text text = {0};
  if (dim) dim_print(object->module, dim, &text);
  return text_string(object, &text);
}

static LLVMValueRef shape_string(Object *object, const Type *type) {
  Text text = {0};
  type_print(object->module, type, &text);
  LLVMValueRef string = glue_string(object, strchr(text.bytes, '['));
  text_free(&text);
  return string;
}

/* ---- the model's tables ---- */

static LLVMValueRef describe_dims(Object *object, int count) {
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, count + 1);
  for (int k = 0; k < count; k++) {
    const DimSymbol *dim = &object->module->dims.items[k];
    LLVMValueRef fields[] = {glue_string(object, dim->name), glue_long(object, dim->low), glue_long(object, dim->high),
                             glue_long(object, MAX(dim->step, 1))};
    items[k] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return struct_table(object, items, count, "dims");
}

/* NULL and none where it lies in the canonical order. */
static LLVMValueRef describe_factors(Object *object, const Symbol *symbol, int *nfactors) {
  *nfactors = 0;
  if (!symbol->reordered && !symbol->panel) return glue_null(object);
  StoredFactor factors[MAX_FACTORS];
  LLVMValueRef items[MAX_FACTORS];
  int count = symbol_factors(symbol, factors);
  if (count == 1 && factors[0].stride == 1) return glue_null(object);
  *nfactors = count;
  for (int k = 0; k < count; k++) {
    LLVMValueRef fields[] = {glue_long(object, factors[k].modulus), glue_long(object, factors[k].divisor),
                             glue_long(object, factors[k].stride)};
    items[k] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return struct_table(object, items, count, "factors");
}

/* How a kernel sees it, for people: "2 3 1 0 panel 64". */
static LLVMValueRef describe_order(Object *object, const Symbol *symbol) {
  Text text = {0};
  for (int k = 0; symbol->reordered && k < symbol->type.rank; k++) text_add(&text, "%s%d", k ? " " : "", symbol->order[k]);
  if (symbol->panel) text_add(&text, "%spanel %d", symbol->reordered ? " " : "", symbol->panel);
  LLVMValueRef string = glue_string(object, text.bytes ? text.bytes : "");
  text_free(&text);
  return string;
}

void describe_symbols(Object *object) {
  const Module *module = object->module;
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, module->symbols.count + 1);
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    int64_t bytes = plan_element_bytes(symbol->type.dtype);
    LLVMValueRef size[NN_RANK];
    for (int axis = 0; axis < NN_RANK; axis++) {
      int64_t own = axis < symbol->type.rank ? symbol->type.size[axis]->value : 0;
      if (axis < symbol->type.rank) bytes *= own;
      size[axis] = glue_long(object, own);
    }
    int nfactors;
    LLVMValueRef factors = describe_factors(object, symbol, &nfactors);
    LLVMValueRef fields[] = {glue_string(object, symbol->name),
                             byte(object, dtype_code(symbol->type.dtype)),
                             byte(object, symbol->type.rank),
                             byte(object, symbol->trainable),
                             byte(object, 0),
                             LLVMConstArray2(object->emitter.i64, size, NN_RANK),
                             glue_long(object, object->layout.offset[k]),
                             glue_long(object, bytes),
                             describe_order(object, symbol),
                             factors,
                             glue_long(object, nfactors)};
    items[k] = glue_struct(object, fields, COUNT_OF(fields));
  }
  object->symbols = struct_table(object, items, module->symbols.count, "symbols");
}

/* ---- an entry's tables ---- */

static LLVMValueRef describe_value(Object *object, const char *name, const Type *type, bool has_default, double fallback) {
  LLVMTypeRef real = LLVMDoubleTypeInContext(object->emitter.context);
  LLVMValueRef fields[] = {glue_string(object, name),
                           shape_string(object, type),
                           byte(object, dtype_code(type->dtype)),
                           byte(object, type->rank),
                           byte(object, has_default),
                           byte(object, 0),
                           LLVMConstReal(real, has_default ? fallback : 0)};
  return glue_struct(object, fields, COUNT_OF(fields));
}

static LLVMValueRef describe_parameters(Object *object, const Graph *graph, int count) {
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, count + 1);
  for (int k = 0; k < count; k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    items[k] = describe_value(object, parameter->name, &parameter->type, parameter->has_default, parameter->fallback);
  }
  return struct_table(object, items, count, "parameters");
}

static LLVMValueRef describe_results(Object *object, const Graph *graph) {
  int count = graph->results.count;
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, count + 1);
  for (int k = 0; k < count; k++) {
    const Result *result = &graph->results.items[k];
    items[k] = describe_value(object, result->name, graph_type(graph, result->value), false, 0);
  }
  return struct_table(object, items, count, "results");
}

static LLVMValueRef describe_kernels(Object *object, const Plan *plan) {
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, plan->kernels.count + 1);
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    Text lines = {0};
    kernel_lines(kernel, &lines);
    LLVMValueRef fields[] = {glue_string(object, kernel->name), text_string(object, &lines),
                             dim_string(object, kernel_flops(plan, kernel)),
                             dim_string(object, kernel_bytes(plan, kernel))};
    items[k] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return struct_table(object, items, plan->kernels.count, "kernels");
}

/* Loops are no launches here: what is traced are launches of kernels, numbered as they stand in the plan. */
static LLVMValueRef describe_launches(Object *object, const Plan *plan, int *count) {
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, plan->launches.count + 1);
  *count = 0;
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    if (launch->kind != LAUNCH_KERNELS) continue;
    LLVMValueRef fields[] = {glue_int(object, launch->first), glue_int(object, launch->count)};
    items[(*count)++] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return struct_table(object, items, *count, "launches");
}

static LLVMValueRef describe_entry_dims(Object *object, const Plan *plan, int *count) {
  int all = module_declared_dims(object->module);
  bool *mentioned = NEW_ARRAY(object->arena, bool, object->module->dims.count + 1);
  LLVMValueRef *items = NEW_ARRAY(object->arena, LLVMValueRef, all + 1);
  entry_dims(plan, mentioned);
  *count = 0;
  for (int k = 0; k < all; k++) {
    if (mentioned[k]) items[(*count)++] = glue_int(object, k);
  }
  return glue_table(object, object->emitter.i32, items, *count, "entry_dims");
}

static LLVMValueRef describe_entry(Object *object, int entry) {
  const Plan *plan = object->plans[entry];
  const Graph *graph = plan->graph;
  const EntryCode *code = &object->entries[entry];
  int ndims, nlaunches, nparameters = entry_parameters(graph);
  LLVMValueRef dims = describe_entry_dims(object, plan, &ndims);
  LLVMValueRef launches = describe_launches(object, plan, &nlaunches);
  LLVMValueRef fields[] = {glue_string(object, graph->name),
                           glue_int(object, graph->kind == GRAPH_STEP ? NN_STEP : NN_FN),
                           glue_int(object, graph->draws),
                           glue_int(object, ndims),
                           dims,
                           glue_int(object, nparameters),
                           glue_int(object, graph->results.count),
                           describe_parameters(object, graph, nparameters),
                           describe_results(object, graph),
                           glue_int(object, plan->kernels.count),
                           glue_int(object, nlaunches),
                           describe_kernels(object, plan),
                           launches,
                           code->call,
                           code->scratch_at,
                           code->sizes};
  return glue_struct(object, fields, COUNT_OF(fields));
}

/* ---- the model ---- */

void describe_model(Object *object) {
  const Module *module = object->module;
  int ndims = module_declared_dims(module);
  LLVMValueRef *entries = NEW_ARRAY(object->arena, LLVMValueRef, object->count + 1);
  for (int k = 0; k < object->count; k++) entries[k] = describe_entry(object, k);
  LLVMValueRef fields[] = {glue_int(object, NN_ABI),
                           glue_int(object, STATE_ALIGN),
                           glue_string(object, module->name),
                           glue_string(object, object->options->compiler ? object->options->compiler : "nnc"),
                           LLVMConstInt(object->emitter.i64, object->options->source_hash, 0),
                           glue_int(object, ndims),
                           glue_int(object, module->symbols.count),
                           glue_int(object, object->count),
                           describe_dims(object, ndims),
                           object->symbols,
                           struct_table(object, entries, object->count, "entries"),
                           glue_long(object, object->layout.bytes),
                           glue_long(object, object->layout.inference_bytes),
                           object->init,
                           object->get,
                           object->set,
                           object->error,
                           glue_int(object, object->options->cuda ? NN_CUDA : NN_HOST)};
  LLVMValueRef value = glue_struct(object, fields, COUNT_OF(fields));
  object->model = glue_constant(object, value, arena_format(object->arena, "%s_model", module->name));
  LLVMSetLinkage(object->model, LLVMExternalLinkage);
  LLVMSetUnnamedAddress(object->model, LLVMNoUnnamedAddr);
  LLVMSetAlignment(object->model, 16);
  if (object->options->shared) LLVMAddAlias2(object->emitter.module, LLVMTypeOf(value), 0, object->model, "nn_model");
}
