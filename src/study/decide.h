/* Who won, with what confidence. Pure: history in, decision out. */
#pragma once

#include "base/json.h"
#include "study/plan.h"

enum { DECIDE_REPEATS_MIN = 3 }; /* undisturbed cold starts without which nobody wins */

/* A decision as JSON (docs/REPORT.md); new reference. *ret_outcome says the same as its "outcome".
 */
json_t *study_decide(const struct study_plan *plan, const struct history *history,
                     struct arena *scratch, enum study_outcome *ret_outcome);
