/* The parts of a plan while it is made; nobody outside promote/ includes this. */
#pragma once

#include "promote/target.h"
#include "report/view.h"

struct promote_draft {
    struct promote_context context;
    const struct promote_options *options;
    struct report_view *view; /* what the study found; borrowed while the plan is made */
    const struct report_side *then,
        *now; /* the candidate that is promoted; the baseline, or NULL */
};

/* expect.c: from the report's numbers. */
void promote_expect(struct promote_draft *draft);
/* The largest device memory that a service took in a side's measured runs; NaN unknown. */
double promote_peak_bytes(const struct report_side *side, const char *service);

/* In which order services are changed: as the study file says, else those that will need least,
 * compared with now, first (unknown is no change; equals as in the file). Returns how many. */
size_t promote_order(const struct promote_draft *draft, size_t *ret_order);

/* differ.c: ERR_DECLINED names those that were not accepted. */
NODISCARD bool promote_differ(struct promote_draft *draft, struct err *err);
