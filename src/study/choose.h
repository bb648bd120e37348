/* Which of several equally urgent requests a lane runs: the one that restarts the least. Pure. */
#pragma once

#include "study/plan.h"

enum { STUDY_CHOICE_MAX = 64 }; /* a round may be huge; beyond these nothing is gained */

/* Index of the choice among `options` (>= 1). */
size_t study_choose(const struct spec_study *study, const struct search_request *options,
                    size_t count, const struct study_beside *beside);
