/* Numbers are printed with one digit behind the point, so that equal data give equal bytes on every machine. */
#include "command/chart.h"

#include "command/markup.h"

#include <math.h>

enum { WIDTH = 720, HEIGHT = 300, LEFT = 76, RIGHT = 20, TOP = 34, BOTTOM = 48, MOST_TICKS = 12 };

static const char *const colors[CHART_COLORS] = {"#2458b8", "#d1495b", "#2e8b57", "#8a5cc2", "#c77d0a", "#4a4a4a"};

typedef struct Scale {
  double low, high;  /* logarithms where `logarithmic` */
  double begin, end; /* in the picture */
  bool logarithmic;
  double tick[MOST_TICKS];
  int ticks;
} Scale;

static double place(const Scale *scale, double value) {
  double at = scale->logarithmic ? log10(value) : value;
  return scale->begin + (at - scale->low) / (scale->high - scale->low) * (scale->end - scale->begin);
}

static void range_of(const Chart *chart, bool of_y, double *low, double *high) {
  *low = INFINITY;
  *high = -INFINITY;
  for (int s = 0; s < chart->count; s++)
    for (int k = 0; k < chart->series[s].count; k++) {
      if (!isfinite(chart->series[s].y[k])) continue;
      double value = of_y ? chart->series[s].y[k] : chart->series[s].x[k];
      *low = fmin(*low, value);
      *high = fmax(*high, value);
    }
  if (*low > *high) *low = 0, *high = 1;
  if (!of_y && *low > 0 && *low < 0.1 * *high) *low = 0; /* what begins near 0 begins there */
}

/* 1, 2 or 5 times a power of ten, so that about five of them make the range. */
static double nice_step(double range) {
  double rough = range / 5, power = pow(10, floor(log10(rough)));
  return power * (rough / power <= 1.5 ? 1 : rough / power <= 3.5 ? 2 : rough / power <= 7.5 ? 5 : 10);
}

static Scale linear_scale(double low, double high, bool widen) {
  if (high - low <= 1e-9 * fmax(fabs(low), fabs(high))) {
    double around = fmax(fabs(low) * 0.1, 1e-6);
    low -= around;
    high += around;
  }
  double step = nice_step(high - low);
  Scale scale = {.low = widen ? floor(low / step) * step : low, .high = widen ? ceil(high / step) * step : high};
  for (double k = ceil(scale.low / step - 1e-9); k * step <= scale.high + 1e-9 * step && scale.ticks < MOST_TICKS; k++)
    scale.tick[scale.ticks++] = k == 0 ? 0 : k * step;
  return scale;
}

/* Ticks at 1, 2 and 5 times the powers of ten, or the powers alone where these would be too many. */
static Scale logarithmic_scale(double low, double high) {
  static const double within[] = {1, 2, 5};
  Scale scale = {.low = log10(low) - 0.05, .high = log10(high) + 0.05, .logarithmic = true};
  double decades = scale.high - scale.low, stride = ceil(decades / MOST_TICKS);
  for (double power = floor(scale.low); power <= scale.high; power += stride)
    for (int k = 0; k < (decades < 3.5 ? 3 : 1); k++) {
      double tick = within[k] * pow(10, power);
      if (log10(tick) >= scale.low && log10(tick) <= scale.high && scale.ticks < MOST_TICKS)
        scale.tick[scale.ticks++] = tick;
    }
  return scale;
}

static Scale scale_of(const Chart *chart, bool of_y) {
  double low, high;
  range_of(chart, of_y, &low, &high);
  return of_y && chart->may_be_logarithmic && low > 0 && high / low > LOG_RANGE ? logarithmic_scale(low, high)
                                                                                : linear_scale(low, high, of_y);
}

/* ---- drawing ---- */

static void draw_axes(const Chart *chart, const Scale *x, const Scale *y, Text *out) {
  for (int k = 0; k < y->ticks; k++) {
    double at = place(y, y->tick[k]);
    text_add(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, at, WIDTH - RIGHT);
    text_add(out, "<text class=\"end\" x=\"%d\" y=\"%.1f\">%.4g</text>\n", LEFT - 8, at + 4, y->tick[k]);
  }
  for (int k = 0; k < x->ticks; k++) {
    double at = place(x, x->tick[k]);
    text_add(out, "<path class=\"axis\" d=\"M%.1f %dv5\"/>", at, HEIGHT - BOTTOM);
    text_add(out, "<text class=\"middle\" x=\"%.1f\" y=\"%d\">%.4g</text>\n", at, HEIGHT - BOTTOM + 19, x->tick[k]);
  }
  text_add(out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
  text_add(out, "<text class=\"middle\" x=\"%d\" y=\"%d\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
  markup_text(out, chart->x_label);
  text_add(out, "</text>\n<text class=\"middle\" transform=\"translate(18 %d) rotate(-90)\">", (TOP + HEIGHT - BOTTOM) / 2);
  markup_text(out, chart->y_label);
  text_add(out, "%s</text>\n", y->logarithmic ? " (logarithmic)" : "");
}

static const char *color_of(const Series *series) { return colors[series->color % CHART_COLORS]; }

static void draw_series(const Series *series, const Scale *x, const Scale *y, Text *out) {
  bool drawing = false;
  const char *color = color_of(series);
  text_add(out, "<path class=\"curve%s\" stroke=\"%s\" d=\"", series->dashed ? " dashed" : "", color);
  for (int k = 0; k < series->count; k++) {
    bool there = isfinite(series->y[k]);
    if (there) text_add(out, "%s%.1f %.1f", drawing ? " " : "M", place(x, series->x[k]), place(y, series->y[k]));
    drawing = there;
  }
  text_add(out, "\"/>\n");
  for (int k = 0; k < series->count && (series->marks || series->count == 1); k++)
    if (isfinite(series->y[k]))
      text_add(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>", place(x, series->x[k]),
               place(y, series->y[k]), color);
}

/* In a row above the curves, where it hides nothing. A letter is taken for 7 wide. */
static void draw_legend(const Chart *chart, Text *out) {
  double at = LEFT;
  for (int s = 0; s < chart->count; s++) {
    const char *color = color_of(&chart->series[s]);
    if (!chart->series[s].name) continue;
    text_add(out, "<path class=\"curve\" stroke=\"%s\" d=\"M%.1f %dh18\"/><text x=\"%.1f\" y=\"%d\">", color, at, TOP - 16,
             at + 24, TOP - 12);
    size_t before = out->length;
    markup_text(out, chart->series[s].name);
    at += 24 + 7 * (double)(out->length - before) + 18;
    text_add(out, "</text>\n");
  }
}

void charts_draw(const Chart *charts, int count, Text *out) {
  text_add(out,
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
           "<style>text{font:12px sans-serif;fill:#333}.end{text-anchor:end}.middle{text-anchor:middle}"
           ".axis{stroke:#333;fill:none}.grid{stroke:#e3e3e3}.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}."
           "dashed{stroke-dasharray:5 4}"
           "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
           WIDTH, HEIGHT * count, WIDTH, HEIGHT * count);
  for (int c = 0; c < count; c++) {
    const Chart *chart = &charts[c];
    Scale x = scale_of(chart, false), y = scale_of(chart, true);
    x.begin = LEFT, x.end = WIDTH - RIGHT;
    y.begin = HEIGHT - BOTTOM, y.end = TOP;
    text_add(out, "<g transform=\"translate(0 %d)\">\n", HEIGHT * c);
    draw_axes(chart, &x, &y, out);
    for (int s = 0; s < chart->count; s++) draw_series(&chart->series[s], &x, &y, out);
    draw_legend(chart, out);
    text_add(out, "</g>\n");
  }
  text_add(out, "</svg>\n");
}
