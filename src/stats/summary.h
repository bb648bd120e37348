/* A handful of numbers about a sample, and the comparison of two samples.
 *
 * Requests of one cold start share its luck (page cache, placement, CPU frequency): they are not
 * independent of each other. So a difference between two candidates is judged by resampling whole
 * runs (clustered bootstrap), or, where runs were interleaved in blocks, by the differences within
 * blocks. Units: any; results in the same unit, ratios plain. */
#pragma once

#include "base/rng.h"
#include "stats/quantile.h"

#include <stddef.h>

/* Refuses NaN: one unknown value makes every field but n NaN, for a mean that leaves values out is
 * another number. sd is the sample's (n - 1), NaN for n < 2. */
struct stats_summary {
    size_t n;
    double mean, sd, min, max;
};
struct stats_summary stats_summary_of(const double *values, size_t n);

/* The requests of one cold start (any order), borrowed. */
struct stats_run {
    const double *values;
    size_t n;
};
/* All measured cold starts of one candidate, borrowed. */
struct stats_runs {
    const struct stats_run *runs;
    size_t count;
};

enum stats_statistic { STATISTIC_MEAN, STATISTIC_QUANTILE };

struct stats_comparison {
    enum stats_statistic statistic;
    double q;          /* for STATISTIC_QUANTILE, over the requests of all runs pooled */
    double confidence; /* 0.95 */
    size_t draws;      /* 0: stats_comparison_draws() */
};

/* An estimate and its interval; everything NaN when unknown. `blocks` tells what it rests on: the
 * smaller count of runs, or the count of usable blocks. */
struct stats_effect {
    double estimate;
    struct stats_interval interval;
    size_t blocks;
};

/* a - b, and a / b ("0.63 [0.59, 0.68]" reads "37 % faster [32, 41]"). The interval is the
 * percentile interval (Efron and Tibshirani 1993, 13) of resamples of k - 1 of the k runs, taken
 * whole (Rao and Wu 1988), stretched about the estimate by Student's t over the normal quantile
 * with Welch's degrees of freedom; bootstrap.c says why. In simulations with 3 to 8 cold starts it
 * holds the truth in 95 to 97 % of cases. The ratio works on logarithms and needs positive values.
 * With one run on a side there is an estimate and no interval. Cost: draws x requests x some 10 ns.
 * Same rng state, same answer. */
struct stats_effect stats_bootstrap_difference(const struct stats_runs *a,
                                               const struct stats_runs *b,
                                               const struct stats_comparison *how, struct rng *rng);
struct stats_effect stats_bootstrap_ratio(const struct stats_runs *a, const struct stats_runs *b,
                                          const struct stats_comparison *how, struct rng *rng);
/* One candidate alone: the statistic with its between-runs interval. */
struct stats_effect stats_bootstrap_level(const struct stats_runs *a,
                                          const struct stats_comparison *how, struct rng *rng);
/* 2,000, fewer above 50,000 requests so that one comparison stays near a second, at least 200. */
size_t stats_comparison_draws(size_t requests);

/* Finalists in interleaved blocks: a[i] and b[i] are the two candidates' numbers in block i (one
 * round of cold starts). Student's interval of the mean difference, or of the mean log ratio (both
 * values > 0). A block with an unknown value on either side is left out as a whole. Needs two. */
struct stats_effect stats_paired_difference(const double *a, const double *b, size_t blocks,
                                            double confidence);
struct stats_effect stats_paired_ratio(const double *a, const double *b, size_t blocks,
                                       double confidence);

/* Two-sided test by the interval: does it lie on one side of `null` (0 for differences, 1 for
 * ratios)? -1 below, 1 above, 0 not certain or unknown. */
int stats_effect_certain(const struct stats_effect *effect, double null);

/* Quantiles of Student's t (df > 0, may be fractional) and of the standard normal. */
double stats_student_quantile(double probability, double df);
double stats_normal_quantile(double probability);
