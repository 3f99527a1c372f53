#ifndef NNC_TRAIN_TEXT_H
#define NNC_TRAIN_TEXT_H

#include "command/dataset.h"

/* Characters of a text file as a data set: x: i32 [rows, length], y: the same shifted by one. The characters that occur,
 * sorted by their bytes, are the classes. */
bool read_text_dataset(Arena *arena, const char *path, int64_t length, Dataset *dataset, Failure *failure);

#endif
