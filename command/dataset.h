/* What a model is trained on: named columns with the same number of rows and, where there is one, a part for tests. */
#ifndef NNC_DATASET_H
#define NNC_DATASET_H

#include "command/tensor.h"

typedef struct DataPart {
  Tensors columns; /* of each the first size is the number of rows */
  int64_t rows;    /* 0: there is no such part */
} DataPart;

typedef struct Dataset {
  const char *path;
  DataPart train, test;
  /* Class labels: i32, from 0 to class_count - 1, in column "y" of IDX, CIFAR, pictures and csv. class_count is 0 if the labels are
   * no classes (a csv's column with fractions or negative numbers) or where nobody says which array holds them (npz). */
  int class_count;
  const char **class_names;   /* of labels that were texts: sorted; NULL if the source has no names */
  const char *characters;     /* of a text: what its indices mean; else NULL */
  const char **feature_names; /* of a csv with a header: of the columns of "x"; else NULL */
} Dataset;

/* DATA of the command line:
 *
 *   a folder of IDX files    x: u8 of [rows, height, width] as they are; y: i32; parts train and t10k; each may be .gz
 *   a folder of CIFAR-10     data_batch_1.bin ...: x: u8 of [rows, 3, 32, 32]; y: i32; test_batch.bin is the test part;
 *                            each may be .gz
 *   a folder of pictures     FOLDER/CLASS/FILE.png (or .ppm, .pgm), or FOLDER/train/CLASS/... and FOLDER/test/...: x: u8 of
 *                            [rows, channels, height, width]; y: i32, the index of the class among the folders' names
 *   a .csv                   x: f64 of [rows, all columns but the label]; y: i32 (integers from 0, or the index of a text
 *                            in class_names) or f64; `label` names the column or gives its number, NULL is the last one
 *   .npz or .safetensors     the arrays under their names; x_train or train_x, x_test or test_x make two parts of x
 */
bool read_dataset(Arena *arena, const char *path, const char *label, Dataset *dataset, Failure *failure);

#endif
