/* What others say while a plan is applied, verified or undone: output of commands, answers of
 * services, messages of systemd. */
#pragma once

#include "promote/plan.h"

/* `text` (of `size` bytes, cut to them) with the plan's secrets hidden: by name, and their values
 * wherever they stand. */
void promote_outside_hide(const struct promote_plan *plan, char *text, size_t size);
