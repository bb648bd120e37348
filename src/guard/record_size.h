/* How much of a day a study's recording holds. */
#pragma once

#include "spec/study.h"

struct guard_record_size {
    double tick_bytes;
    uint64_t ticks; /* it was measured over so many of the recording's last; 0: nothing was recorded
                     * yet, this is a tick in which everything is known */
    /* What is there at the least (half of `record:`, when the older file has just gone) and at the
     * most; NaN: nothing is recorded. */
    double least_s, most_s;
};
/* `folder`: of the results, which need not exist. */
void guard_record_size(const struct spec_study *study, const char *folder,
                       struct guard_record_size *ret_size);
/* What `record:` must be for a day at any time. */
double guard_record_day_bytes(const struct spec_study *study, const struct guard_record_size *size);
