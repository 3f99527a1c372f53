/* The commands, a file each. */
#ifndef NNC_COMMANDS_H
#define NNC_COMMANDS_H

#include "command/options.h"

extern const Command command_compile, command_train, command_run, command_bench, command_diff, command_show, command_plot,
    command_format;

#endif
