/* From the columns of a data set to the parameters of an entry, batch by batch.
 *
 * A column meets the parameter of its name; what is left meets what is left, by position. Each row of a column must have as
 * many elements as the parameter has for one row. Which axis counts rows: the first one, where it is a dim; a parameter
 * whose first axis is a number takes so many rows at once, or one row, by the count of elements. */
#ifndef NNC_FEED_H
#define NNC_FEED_H

#include "command/arguments.h"
#include "command/dataset.h"

typedef enum FeedKind { FEED_PICTURE, FEED_FLOATS, FEED_INTS, FEED_TRUTH, FEED_ONE_HOT } FeedKind;
typedef struct FeedColumn {
  int parameter;
  FeedKind kind;
  const void *data; /* uint8_t, float, int32_t, uint8_t, int32_t by kind */
  int64_t per_row;  /* elements of the parameter for one row */
} FeedColumn;

typedef struct Feed {
  Machine *machine;
  Call call;
  int batch_dim;          /* -1: there is none */
  int64_t batch;          /* rows of a full batch */
  int64_t smallest, step; /* a last batch must have so many rows or more, and a multiple of step */
  Vec(FeedColumn) columns;
} Feed;

/* bound: names of scalars that are given otherwise. wanted: rows of a batch, 0 for the usual. */
bool feed_new(Arena *arena, Machine *machine, int entry, const Dataset *data, const DataPart *part,
              const char *const *bound, int nbound, int64_t wanted, Feed *feed, Failure *failure);
/* How many batches there are in so many rows: a last one that is not full counts if the dim allows it. */
int64_t feed_batches(const Feed *feed, int64_t rows);
/* Gathers rows into the parameters; sets the batch's dim. */
void feed_rows(Feed *feed, const int64_t *rows, int64_t count);
void feed_scalar(Feed *feed, int parameter, double value);
double feed_result(const Feed *feed, int result); /* a scalar result after the call */

/* Which of the data's columns the first tensor parameter meets: what --standardize is about. NULL: none. */
const char *feed_first_column(const Machine *machine, int entry, const Dataset *data);

#endif
