/* Pictures: PNG read and written by libpng, PGM and PPM read here, and the forms in which tensors hold them.
 *
 * A picture that was read is u8 of [channels, height, width], its channels gray, red green blue, or either with alpha. */
#ifndef NNC_PICTURE_H
#define NNC_PICTURE_H

#include "command/tensor.h"

bool parse_png(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure);
bool parse_pnm(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure);
bool is_picture_name(const char *path); /* by its ending: .png, .ppm, .pgm, .pnm, each also with .gz */

/* The same picture in so many channels: alpha is dropped (or full), gray becomes a color, a color its brightness. */
Tensor picture_channels(Arena *arena, const Tensor *picture, int channels);

/* Rows of pixels as a PNG holds them: channels of a pixel side by side. */
typedef struct Pixels {
  int channels, height, width;
  uint8_t *bytes;
} Pixels;
/* Of [H, W], [C, H, W] with 1, 3 or 4 channels, [N, H, W] or [N, C, H, W]: several pictures become a sheet, row by row, as
 * near to a square as can be. Floats go from 0 to 1 (what is outside is cut), bool is black and white, integers are 0 to
 * 255. False if the shape is none of these. */
bool pixels_of(Arena *arena, const Tensor *tensor, Pixels *pixels);
bool encode_png(const Pixels *pixels, const char *name, Text *out, Failure *failure);
bool write_png(const char *path, const Tensors *tensors, Failure *failure); /* the only one that is a picture */

#endif
