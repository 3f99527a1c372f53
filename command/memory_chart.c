#include "command/memory_chart.h"

#include "command/markup.h"

enum { WIDTH = 720, HEIGHT = 260, LEFT = 76, RIGHT = 20, TOP = 16, BOTTOM = 44 };

static void draw_buffer(const Plan *plan, Id id, Text *out) {
  const Buffer *buffer = &plan->buffers.items[id];
  double wide = (double)(WIDTH - LEFT - RIGHT) / (double)MAX(plan->launches.count, 1);
  double high = (double)(HEIGHT - TOP - BOTTOM) / (double)MAX(plan->arena_bytes, 1);
  double x = LEFT + wide * buffer->first, width = wide * (buffer->last - buffer->first + 1);
  double height = high * (double)buffer->bytes->high, y = HEIGHT - BOTTOM - high * (double)buffer->offset - height;
  int hue = (int)(id * 137 % 360); /* nearly the golden angle: neighbours differ */
  text_add(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"hsl(%d 45%% 68%%)\"><title>", x, y,
           width, height, hue);
  markup_text(out, buffer->name ? buffer->name : "");
  text_add(out, ": %lld bytes, launches %d to %d</title></rect>\n", (long long)buffer->bytes->high, buffer->first,
           buffer->last);
}

void memory_draw(const Plan *plan, Text *out) {
  static const struct {
    double bytes;
    const char *name;
  } units[] = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}};
  int unit = 0;
  while (unit < COUNT_OF(units) - 1 && (double)plan->arena_bytes < units[unit].bytes) unit++;
  text_add(out,
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
           "<style>text{font:12px sans-serif;fill:#333}.end{text-anchor:end}.middle{text-anchor:middle}"
           ".axis{stroke:#333;fill:none}rect{stroke:#fff;stroke-width:.5}</style>\n",
           WIDTH, HEIGHT, WIDTH, HEIGHT);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_ARENA && buffer->bytes) draw_buffer(plan, id, out);
  }
  for (int k = 0; k <= 4; k++) {
    int y = HEIGHT - BOTTOM - k * (HEIGHT - TOP - BOTTOM) / 4;
    text_add(out, "<text class=\"end\" x=\"%d\" y=\"%d\">%.4g %s</text>\n", LEFT - 8, y + 4,
             (double)plan->arena_bytes * k / 4 / units[unit].bytes, units[unit].name);
  }
  text_add(out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
  int count = plan->launches.count;
  for (int k = 0; k < count; k += (count + 9) / 10)
    text_add(out, "<text class=\"middle\" x=\"%.1f\" y=\"%d\">%d</text>\n",
             LEFT + (k + 0.5) * (WIDTH - LEFT - RIGHT) / count, HEIGHT - BOTTOM + 18, k);
  text_add(out, "<text class=\"middle\" x=\"%d\" y=\"%d\">launch</text>\n</svg>\n", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
}
