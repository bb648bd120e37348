/* What a promotion would write to, for `spica check`. */
#pragma once

#include "spec/study.h"

/* Nothing when the file has no `production:`. Names of variables only, never their texts. */
void cli_print_production(const struct spec_study *study);
