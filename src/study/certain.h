/* How sure the requirements of a decision's candidate are, over all its runs of the final together.
 * Pure. */
#pragma once

#include "base/json.h"
#include "spec/study.h"
#include "store/row.h"

#include <stddef.h>

/* Adds "requirements" to the decision: of its winner, or of the baseline that stays, each
 * requirement on a share of requests with its pooled counts and "met", "missed" or "undecided" at
 * 95 %. What is not met with certainty is named at the end of its "statement": a winner on a
 * requirement that its sample can't decide is named with that beside it, never without. What has no
 * count (gaps, means, memory, several metrics at once) is named there too, as not asked how sure.
 * `trials` with their detail, in order of number. */
void study_add_requirements(json_t *decision, const struct spec_study *study,
                            const struct store_trial *trials, size_t count);
