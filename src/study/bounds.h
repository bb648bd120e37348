/* What a failure for memory says about candidates that were not run. Pure.
 *
 * A service that found too little free memory finds too little again when it, or anybody beside it,
 * takes more ("above"); one whose own share was too small for its weights and cache fails again
 * with a smaller share or more to put into it ("below"). Only knobs whose effect on memory is known
 * are compared so; every other knob has to be equal. */
#pragma once

#include "study/history.h"

/* Does the failure of `fact` (bound != BOUND_NOTHING) mean that `code` fails as well? Never for the
 * candidate of `fact` itself: that one has been run. */
bool study_bound_covers(const struct spec_study *study, const struct history_trial *fact,
                        spec_code code);
