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

/* order.c: in which order services are changed: as the study file says; else none before one whose
 * unit its own is ordered after, and those that will need least, compared with now, first (unknown
 * is no change; equals as in the file). `ret_order` has room for every service. */
NODISCARD bool promote_order(struct promote_draft *draft, size_t *ret_order, size_t *ret_count,
                             struct err *err);
/* Of the steps from this one on: all files, one reload of each systemd, then the others in the
 * order in which they are. */
void promote_arrange(struct promote_plan *plan, size_t from);

/* differ.c: ERR_DECLINED names those that were not accepted. */
NODISCARD bool promote_differ(struct promote_draft *draft, struct err *err);
