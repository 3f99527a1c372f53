/* A model's memory as a page that opens with no network: for each entry what its kernels share, and when. */
#include "command/compile.h"
#include "command/markup.h"
#include "command/memory_chart.h"

static void add_entry(const Plan *plan, Text *out) {
  text_add(out, "<h2>%s ", plan->graph->kind == GRAPH_STEP ? "step" : "fn");
  markup_text(out, plan->graph->name);
  text_add(
      out,
      "</h2>\n<p>%d kernel%s in %d launch%s. At the bounds of the dims the arena has %lld bytes, of which %lld are in use "
      "at one time at most; each worker has %lld of its own.</p>\n",
      plan->kernels.count, plan->kernels.count == 1 ? "" : "s", plan->launches.count, plan->launches.count == 1 ? "" : "es",
      (long long)plan->arena_bytes, (long long)plan->live_bytes, (long long)plan->local_bytes);
  if (plan->arena_bytes > 0) memory_draw(plan, out);
}

void memory_page(const Module *module, Plan *const *plans, Text *out) {
  text_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
  markup_text(out, module->name);
  text_add(
      out,
      "</title><style>body{font:15px sans-serif;max-width:760px;margin:2em auto;color:#222}</style></head><body>\n<h1>");
  markup_text(out, module->name);
  text_add(out,
           "</h1>\n<p>Memory over time: a box is a buffer, from the launch that first writes it to the one that last reads "
           "it.</p>\n");
  for (int k = 0; k < module->entries.count; k++) add_entry(plans[k], out);
  text_add(out, "</body></html>\n");
}
