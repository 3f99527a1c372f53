#include "command/flops.h"

static double count_flops(const Graph *graph, const int64_t *dims) {
  double flops = 0;
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_scan) flops += (double)dim_value(node->scan->trips, dims) * count_flops(node->scan->body, dims);
    if (node->op != OP_contract) continue;
    double points = 2;
    for (int d = 0; d < node->space->ndims; d++) points *= (double)dim_value(node->space->extent[d], dims);
    flops += points;
  }
  return flops;
}

double flops_asked(Program *program, const Settings *settings, int entry, const int64_t *dims) {
  PipelineOptions pipeline = program_pipeline(settings);
  Failure ignored = {0};
  pipeline.stop_after = PASS_trim; /* code from the cache needed no passes */
  bool trimmed = program->next > PASS_trim || program_run(program, &pipeline, &ignored);
  if (settings->fast_conv && program->next > PASS_winograd) trimmed = false; /* what was asked, not what it takes */
  if (!program->interpreted) return 0;
  double plain = count_flops(program->interpreted[entry], dims);
  return trimmed ? MIN(plain, count_flops(program->module->entries.items[entry], dims)) : plain;
}
