/* Text for SVG and HTML. */
#ifndef NNC_MARKUP_H
#define NNC_MARKUP_H

#include "ir/base.h"

void markup_text(Text *out, const char *text); /* with & < > " written as what stands for them */
void markup_base64(Text *out, const char *bytes, size_t length);

#endif
