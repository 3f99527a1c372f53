#ifndef NNC_DATASET_PICTURES_H
#define NNC_DATASET_PICTURES_H

#include "command/dataset.h"

bool has_folders(const char *path);
/* Reads dataset->path as a folder of pictures by class: x: u8 of [rows, channels, height, width], y: i32. */
bool read_picture_folder(Arena *arena, Dataset *dataset, Failure *failure);

#endif
