/* run --show-contention: its options and its table. */
#pragma once

#include "cli/display.h"
#include "study/contention.h"

/* `copies`: the option's argument, NULL: as many as usual. Prints the table. */
NODISCARD bool cli_show_contention(const struct study_options *options, const char *copies,
                                   struct display *display, struct err *err);
