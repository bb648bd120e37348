/* Quantiles of raw values and what a sample can say about them.
 *
 * Point values are type 7 (Hyndman and Fan 1996; the default of R and NumPy): linear between the
 * two order statistics around (n - 1) q. Always from raw values, never from a histogram.
 * Intervals are distribution-free: two order statistics whose ranks come from the exact binomial
 * (n, q), Conover 1999, 3.2; they suppose independent requests and nothing else. Their real
 * confidence is at least the nominal one. Equal to scipy.stats.quantile_test()
 * .confidence_interval(), but for exact ties (quantile.c). Values may have any unit; results have
 * the same. NaN means unknown, everywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* NaN on a side that is unknown. */
struct stats_interval {
    double low, high;
};

enum stats_side { SIDE_LOW, SIDE_HIGH };

/* Ascending, in place; NaN goes to the end. */
void stats_sort(double *values, size_t n);

/* All of the following take `sorted` values. They answer NaN when n is 0, when a value is NaN (an
 * unknown latency makes the quantile unknown) or when q is not within [0, 1]. */
double stats_quantile(const double *sorted, size_t n, double q);

/* Two-sided: (1 - confidence) / 2 is left out on each side. 0 < q < 1, 0 < confidence < 1. */
struct stats_interval stats_quantile_interval(const double *sorted, size_t n, double q,
                                              double confidence);

/* One-sided: the quantile is above (SIDE_LOW) or below (SIDE_HIGH) the bound with `confidence`. */
double stats_quantile_bound(const double *sorted, size_t n, double q, double confidence,
                            enum stats_side side);

/* The index of that bound in a sorted sample of n, or -1 when n can't carry it: for planning a
 * window ("p95 needs 59 requests for an upper bound at 95 %"). */
long stats_quantile_bound_index(size_t n, double q, double confidence, enum stats_side side);
/* The least n that carries a one-sided bound, e.g. 59 for the upper bound of p95 at 95 %, 299 for
 * p99; 0 when there is none (q or confidence out of range). */
size_t stats_quantile_needed(double q, double confidence, enum stats_side side);

/* May a point value be printed? Where less than one request is expected beyond the quantile, type 7
 * only interpolates towards the largest value: the sample knows nothing there. The rule is
 * n >= 5 and n * min(q, 1 - q) >= 1: p50 from 5 requests on, p90 from 10, p95 from 20, p99 from
 * 100. False for q = 0 and 1: the extremes of a sample describe the sample only. */
bool stats_quantile_allowed(size_t n, double q);
