/* The layout is NumPy's array2string with its defaults: precision 8, threshold 1000, edge items 3, 75 columns. Every
 * element that is shown is formatted twice: once to find how wide the parts before and behind the point become, once to
 * print. */
#include "command/print_array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 8, THRESHOLD = 1000, EDGE = 3, COLUMNS = 75 };

typedef struct Layout {
  const Tensor *tensor;
  Text *out;
  bool summarised, whole, exponent;
  int left, right;          /* characters before the point (or of a whole number), digits behind it */
  int special;              /* characters of inf and nan */
  size_t line;              /* where the current line began */
  double largest, smallest; /* of magnitudes, 0 left out */
} Layout;

/* The fewest digits behind the point (in exponent form or not) that give the number back, at most PRECISION; no zeros at
 * the end. */
static int digits_behind(const Layout *layout, double number) {
  char text[400];
  bool single = layout->tensor->type != ELEMENT_F64;
  int digits = 0;
  for (; digits < PRECISION; digits++) {
    snprintf(text, sizeof text, layout->exponent ? "%.*e" : "%.*f", digits, number);
    double back = strtod(text, NULL);
    if (single ? (float)back == (float)number : back == number) return digits;
  }
  snprintf(text, sizeof text, layout->exponent ? "%.*e" : "%.*f", digits, number);
  for (const char *end = strchr(text, '.') + digits; digits > 0 && *end == '0'; end--) digits--;
  return digits;
}

/* With so many digits behind the point; the point itself always stands, but in a scalar's exponent form. */
static int format_number(const Layout *layout, double number, int digits, char *text, size_t length) {
  if (layout->tensor->type == ELEMENT_BOOL) return snprintf(text, length, "%s", number != 0 ? "True" : "False");
  if (layout->whole) return snprintf(text, length, "%.0f", number);
  if (!isfinite(number)) return snprintf(text, length, "%s", isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
  int used = snprintf(text, length, layout->exponent ? "%.*e" : "%.*f", digits, number);
  if (digits > 0 || (layout->exponent && layout->tensor->rank == 0)) return used;
  char *point = text + strcspn(text, "e");
  memmove(point + 1, point, strlen(point) + 1);
  *point = '.';
  return used + 1;
}

static int64_t shown(const Layout *layout, int axis, int64_t turn) {
  int64_t size = layout->tensor->size[axis];
  return layout->summarised && size > 2 * EDGE && turn >= EDGE ? size - 2 * EDGE + turn : turn;
}
static int64_t turns(const Layout *layout, int axis) {
  int64_t size = layout->tensor->size[axis];
  return layout->summarised && size > 2 * EDGE ? 2 * EDGE : size;
}

typedef void (*Visit)(Layout *layout, double number);
static void each_shown(Layout *layout, int axis, int64_t index, Visit visit) {
  if (axis == layout->tensor->rank) {
    visit(layout, tensor_number(layout->tensor, index));
    return;
  }
  for (int64_t turn = 0; turn < turns(layout, axis); turn++)
    each_shown(layout, axis + 1, index * layout->tensor->size[axis] + shown(layout, axis, turn), visit);
}

static void find_range(Layout *layout, double number) {
  double size = fabs(number);
  if (!isfinite(number) || size == 0) return;
  layout->largest = MAX(layout->largest, size);
  layout->smallest = layout->smallest == 0 ? size : MIN(layout->smallest, size);
}

static void find_widths(Layout *layout, double number) {
  char text[400];
  bool finite = layout->whole || isfinite(number);
  int digits = layout->whole || !finite ? 0 : digits_behind(layout, number);
  int length = format_number(layout, number, digits, text, sizeof text);
  if (!finite)
    layout->special = MAX(layout->special, length);
  else
    layout->left = MAX(layout->left, layout->whole ? length : (int)strcspn(text, ".e"));
  layout->right = MAX(layout->right, digits);
}

/* Points stand below points: what a number lacks behind it are zeros in exponent form, else blanks. */
static void print_number(Layout *layout, int64_t index) {
  char text[400];
  double number = tensor_number(layout->tensor, index);
  bool finite = layout->whole || isfinite(number);
  int digits = layout->exponent || layout->whole || !finite ? layout->right : digits_behind(layout, number);
  int length = format_number(layout, number, digits, text, sizeof text);
  if (layout->tensor->rank == 0) {
    text_add(layout->out, "%s", text);
    return;
  }
  int before = finite && !layout->whole ? (int)strcspn(text, ".") : length;
  int room = finite || layout->exponent ? layout->left : layout->left + 1 + layout->right;
  if (!finite && layout->exponent) room = layout->left + 1 + layout->right + 4;
  text_add(layout->out, "%*s%s", MAX(room - before, 0), "", text);
  if (finite && !layout->whole && !layout->exponent) text_add(layout->out, "%*s", layout->right - digits, "");
}

static void new_line(Layout *layout, int depth) {
  Text *out = layout->out;
  while (out->length > layout->line && out->bytes[out->length - 1] == ' ') out->bytes[--out->length] = 0;
  text_add(layout->out, "\n");
  layout->line = layout->out->length;
  text_add(layout->out, "%*s", depth, "");
}

static void print_row(Layout *layout, int axis, int64_t index) {
  int width = layout->left + (layout->whole ? 0 : 1 + layout->right + (layout->exponent ? 4 : 0));
  int64_t count = turns(layout, axis);
  for (int64_t turn = 0; turn < count; turn++) {
    bool gap = turn == EDGE && count < layout->tensor->size[axis];
    if (turn > 0) {
      if (layout->out->length - layout->line + (size_t)width + 2 > COLUMNS)
        new_line(layout, axis + 1);
      else
        text_add(layout->out, " ");
    }
    if (gap) text_add(layout->out, "... ");
    print_number(layout, index * layout->tensor->size[axis] + shown(layout, axis, turn));
  }
}

static void print_axis(Layout *layout, int axis, int64_t index) {
  int rank = layout->tensor->rank;
  if (axis == rank) {
    print_number(layout, index);
    return;
  }
  text_add(layout->out, "[");
  if (axis == rank - 1) {
    print_row(layout, axis, index);
  } else {
    int64_t count = turns(layout, axis);
    for (int64_t turn = 0; turn < count; turn++) {
      for (int line = axis + 1; turn > 0 && line < rank - 1; line++) text_add(layout->out, "\n");
      if (turn > 0) new_line(layout, axis + 1);
      if (turn == EDGE && count < layout->tensor->size[axis]) {
        text_add(layout->out, "...");
        for (int line = axis + 1; line < rank - 1; line++) text_add(layout->out, "\n");
        new_line(layout, axis + 1);
      }
      print_axis(layout, axis + 1, index * layout->tensor->size[axis] + shown(layout, axis, turn));
    }
  }
  text_add(layout->out, "]");
}

void print_array(const Tensor *tensor, Text *out) {
  bool floats = tensor->type >= ELEMENT_F16;
  Layout layout = {.tensor = tensor, .out = out, .whole = !floats, .line = out->length};
  layout.summarised = tensor_count(tensor) > THRESHOLD;
  each_shown(&layout, 0, 0, find_range);
  layout.exponent = floats && layout.largest > 0 &&
                    (layout.largest >= 1e8 || layout.smallest < 1e-4 || layout.largest / layout.smallest > 1e3);
  if (tensor->rank == 0 && floats)
    layout.exponent = layout.largest >= 1e16 || (layout.largest > 0 && layout.largest < 1e-4);
  each_shown(&layout, 0, 0, find_widths);
  int behind = layout.whole ? 0 : 1 + layout.right + (layout.exponent ? 4 : 0);
  layout.left = MAX(layout.left, layout.special - behind);
  print_axis(&layout, 0, 0);
}
