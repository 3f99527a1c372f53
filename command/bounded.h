/* --mem, which bounds the scratch of each entry with one worker at the largest dims. */
#ifndef NNC_BOUNDED_H
#define NNC_BOUNDED_H

#include "command/program.h"

/* After the pipeline: a failure where plans do not keep to it, which names the largest bound of the first dim that would. */
bool bounded_check(const Program *program, const PipelineOptions *pipeline, Failure *failure);
/* What a plan pays for keeping to it; nothing where it had not to be changed. */
void bounded_tell(const Plan *plan, Text *out);

#endif
