/* What of one trial's value may be told to a person. The search ranks by a p95 of 14 requests, for
 * all that are ranked together have as many; told as a number it would look like the others. */
#pragma once

#include "base/buf.h"
#include "spec/study.h"
#include "store/store.h"

#include <stdint.h>

struct report_told {
    double value;  /* NaN: unknown, or nothing that its sample carries */
    int64_t count; /* the sample that does not carry it; 0: the value is not a sample's, or told */
    double over;   /* of a window that was left early: the limit that it certainly missed; NaN */
};

/* Of the metric "shared" with the others. */
struct report_told report_told_of(const struct spec_study *study, const struct store_trial *trial,
                                  struct metric_ref ref);
/* Is the metric one that a trial does not tell, since its window was left? */
bool report_told_hides(const struct store_trial *trial, enum metric metric);
/* Just a value. */
struct report_told report_told_value(double value);
/* "118 ms", "- (n=14)", "over 300 ms", "-". */
void report_add_told(struct buf *buf, enum metric_unit unit, const struct report_told *told);
