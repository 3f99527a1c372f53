/* From a path to graphs and plans: what every command that takes a MODEL begins with. */
#ifndef NNC_PROGRAM_H
#define NNC_PROGRAM_H

#include "codegen/codegen.h"
#include "command/options.h"
#include "passes/passes.h"

#define NNC_VERSION "0.1.0"

typedef struct Program {
  const char *path;
  Module *module;
  uint64_t hash;       /* of the source's bytes */
  Graph **interpreted; /* one for each entry: what the interpreter runs; NULL where the model came as a plan */
  Symbol *symbols;     /* as they were before any pass, which `interpreted` goes by */
  Plan **plans;        /* one for each entry; NULL if the pipeline stopped before */
  Pass passed;         /* plans were read for which all passes before this one had run; else 0 */
} Program;

/* Reads a .nn, .graph or .plan file ("-": .nn text from standard input) and runs the pipeline over it. Faults in the text
 * are printed to standard error, and the failure then has a code and no message. */
bool program_read(Arena *arena, const char *path, const PipelineOptions *pipeline, Program *program, Failure *failure);
CodegenOptions program_codegen(const Program *program, const Settings *settings);
PipelineOptions program_pipeline(const Settings *settings);

#endif
