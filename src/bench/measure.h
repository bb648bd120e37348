/* Numbers of a window, by the names of spec/metric.h: table, JSON, requirements and comparison all
 * ask here, so that no two of them can disagree. */
#pragma once

#include "bench/window.h"
#include "spec/metric.h"
#include "stats/quantile.h"
#include "stats/steady.h"

/* Base units. value is NaN where it is unknown or the sample can't carry it; then low and high may
 * still hold a bound ("over 8.4 s"). A side that is unknown is NaN. */
struct bench_number {
    double value, low, high;
    bool exact;   /* it describes this window and nothing else (a count, a maximum): no interval */
    bool refused; /* the sample is too small for it: `needed` would be enough */
    bool alike;   /* requests beside each other are alike, and too few for an interval then */
    size_t count, needed;
};

enum bench_sides {
    BENCH_INTERVAL, /* both sides together hold with 95 % */
    BENCH_BOUNDS,   /* each side holds with 95 % */
};

struct bench_number bench_measure(struct bench_results *results, enum metric metric,
                                  enum metric_stat stat, enum bench_sides sides);
/* Of any series: the uncorrected latency. */
struct bench_number bench_series_number(struct bench_series *series, enum metric_stat stat,
                                        enum bench_sides sides);
/* The window's values of a metric that has one per request (or gap); NULL: it has not. */
struct bench_series *bench_series_of(struct bench_results *results, enum metric metric);
/* Is this something that a window tells whose answers carry these sources (enum metric_source)? */
bool bench_measures(unsigned sources, enum metric metric);

/* The window's latency median in its first and last third, for programs; the words are in
 * results->unsteady. */
struct stats_drift bench_drift(struct bench_results *results);

/* Our own lateness p99 as the worker tells it, or that of its loop, over the larger of 1 ms and 1 %
 * of the median latency; both in seconds. */
bool bench_is_late(struct bench_results *results, double *ret_p99_s, double *ret_bound_s);
