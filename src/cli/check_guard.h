/* What guard would watch and may do, for `spica check`. */
#pragma once

#include "spec/study.h"

/* Nothing when the file has no `guard:`. */
void cli_print_guard(const struct spec_study *study);
