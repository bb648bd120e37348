/* Numbers of a window, by the names of spec/metric.h: table, JSON, requirements and comparison all
 * ask here, so that no two of them can disagree. */
#pragma once

#include "bench/window.h"
#include "spec/metric.h"
#include "stats/quantile.h"

/* Base units. value is NaN where it is unknown or the sample can't carry it; then low and high may
 * still hold a bound ("over 8.4 s"). A side that is unknown is NaN. */
struct bench_number {
    double value, low, high;
    bool exact;   /* it describes this window and nothing else (a count, a maximum): no interval */
    bool refused; /* the sample is too small for it: `needed` would be enough */
    size_t count, needed;
};

/* `tail` is left out at each side: 0.025 makes an interval of 95 %, 0.05 one-sided bounds of 95 %.
 */
struct bench_number bench_measure(struct bench_results *results, enum metric metric,
                                  enum metric_stat stat, double tail);
/* Of any series: the uncorrected latency, our own lateness. */
struct bench_number bench_series_number(struct bench_series *series, enum metric_stat stat,
                                        double tail);
/* Is this something that a window of this protocol tells? */
bool bench_measures(const struct spec_protocol *protocol, enum metric metric);
/* Our own lateness p99 over the larger of 1 ms and 1 % of the median latency; both in seconds. */
bool bench_is_late(struct bench_results *results, double *ret_p99_s, double *ret_bound_s);
