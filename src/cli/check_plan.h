/* What a trial would send, for `spica check --plan`. */
#pragma once

#include "spec/space.h"

/* On stdout, one line of JSON a request: the first trial's shared window, full length, with this
 * candidate's protocols. Loads what the study names; sends nothing. */
NODISCARD bool cli_print_plan(const struct spec_study *study,
                              const struct spec_candidate *candidate, struct err *err);
