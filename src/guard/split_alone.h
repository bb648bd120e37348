/* Inside guard/: the second arm at 100 %. The first gets no requests then, so there is no test;
 * what is left is to hold the second to what the first was before: the line of its stored quantile,
 * and how often it failed. Pure. */
#pragma once

#include "guard/split_kept.h"

enum alone_answer {
    ALONE_UNTESTED, /* too little of the first arm was counted: nothing is judged */
    ALONE_FINE,     /* nothing speaks against it */
    ALONE_SLOWER,   /* it is over the line more often than the first was; the hour may be another */
    ALONE_HARM,     /* more than half of its requests are over the line, or it fails more often */
};

/* From the first arm's counts, before they are cleared. */
void guard_split_alone_begin(struct guard_split_alone *alone, const struct guard_split_arm *first,
                             const struct spec_split *split);
void guard_split_alone_count(struct guard_split_alone *alone, enum stats_anytime_fate fate,
                             double total_s);
enum alone_answer guard_split_alone_look(const struct guard_split_alone *alone,
                                         const struct spec_split *split);
/* What it says, with its numbers, in one line. */
void guard_split_alone_add(const struct guard_split_kept *kept, const struct spec_split *split,
                           struct buf *buf);
