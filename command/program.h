/* From a path to graphs and plans: what every command that takes a MODEL begins with. */
#ifndef NNC_PROGRAM_H
#define NNC_PROGRAM_H

#include "codegen/codegen.h"
#include "command/options.h"
#include "passes/passes.h"

#define NNC_VERSION "0.1.0"

typedef struct Program {
  const char *path;
  const Source *source;  /* of the path itself */
  const char *constants; /* of --set, or NULL */
  Module *module;
  uint64_t hash;       /* of the sources' bytes, imports and prelude included */
  Graph **interpreted; /* one for each entry: what the interpreter runs; NULL where the model came as a plan */
  Symbol *symbols;     /* as they were before any pass, which `interpreted` goes by */
  Plan **plans;        /* one for each entry; NULL if the pipeline stopped before */
  Pass passed;         /* plans were read for which all passes before this one had run; else 0 */
  Pass next;           /* the first pass that has not run */
  bool reported;       /* diagnostics were printed */
} Program;

/* Reads a .nn, .graph or .plan file, or such text from standard input ("-"), and runs the pipeline over it. `constants` are
 * those of --set, or NULL. Faults in the text are printed to standard error, and the failure then has a code and no message. */
bool program_read(Arena *arena, const char *path, const char *constants, const PipelineOptions *pipeline, Program *program,
                  Failure *failure);
/* Its two halves. The pipeline goes on from where it stopped the last time. */
bool program_open(Arena *arena, const char *path, const char *constants, Program *program, Failure *failure);
bool program_run(Program *program, const PipelineOptions *pipeline, Failure *failure);
/* The module of a text, be it a program, a graph or a plan (whose plans go into `program`); NULL with errors in the
 * diagnostics or a failure. */
Module *program_parse(Arena *arena, Diagnostics *diagnostics, const Source *source, Program *program, Failure *failure);
/* Prints diagnostics, once; for who does without program_run. */
void program_report(Program *program);
CodegenOptions program_codegen(const Program *program, const Settings *settings);
PipelineOptions program_pipeline(const Settings *settings);
bool target_known(const Settings *settings, Failure *failure); /* --target cpu (default) or cuda */
bool target_is_cuda(const Settings *settings);
Sanitizer settings_sanitizer(const Settings *settings); /* likewise */
Precision settings_precision(const Settings *settings); /* one that target_known accepted */

#endif
