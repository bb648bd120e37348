/* Inside guard/, and for `spica split`: what may be done with a split, and what is said of it.
 * Pure: no clock, no file, no HAProxy. */
#pragma once

#include "guard/split_kept.h"

enum guard_split_order {
    SPLIT_ADVANCE, /* the next of 10, 25, 50 and 100 percent to the second arm */
    SPLIT_STOP,    /* it does harm: all to the first */
    SPLIT_ABORT,   /* likewise, by a person */
};

/* Changes weights and state, counts the revision on, begins the counts of the new weights.
 * ERR_DECLINED: it is over already, or (`anyway` false) there is no verdict that bears it. */
NODISCARD bool guard_split_order(struct guard_split_kept *kept, const struct spec_split *split,
                                 enum guard_split_order order, bool anyway, const char *why,
                                 int64_t wall_us, struct err *err);

struct guard_split_figures {    /* of one arm, since the weights changed */
    double p50_s, p95_s, p99_s; /* NaN: unknown */
    struct stats_interval p50_interval, p95_interval, p99_interval; /* hold at all times, 95 % */
    double error_ratio;                                             /* NaN: no requests */
    struct stats_interval error_interval;
    double wer_ratio; /* NaN: no clips */
};
struct guard_split_figures guard_split_figures(const struct guard_split_arm *arm);

struct stats_anytime_answer guard_split_answer(const struct guard_split_kept *kept,
                                               const struct spec_split *split);
/* Of what the state stands on: at 100 % there is no test, and no harm is never said. */
enum stats_anytime_verdict guard_split_verdict(const struct guard_split_kept *kept,
                                               const struct spec_split *split);
/* The verdict with its numbers in one line: what it stands on, what it needs. */
void guard_split_add_verdict(const struct guard_split_kept *kept, const struct spec_split *split,
                             struct buf *buf);
/* What can be done now. */
void guard_split_add_next(const struct guard_split_kept *kept, const struct spec_split *split,
                          const char *study, struct buf *buf);
