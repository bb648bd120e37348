/* A series of values in the order of their requests: are neighbours alike, and what is the sample
 * worth then? Waiting behind one another makes latencies of neighbours alike; n of them say less
 * about a quantile than n independent ones, and an interval that ignores it is too short.
 *
 * A series may consist of several runs one after the other (cold starts): pairs of neighbours are
 * looked for within a run only. Values may have any unit. NaN among them makes everything unknown.
 */
#pragma once

#include "stats/quantile.h"

#include <stdint.h>

/* Borrowed. */
struct stats_series {
    const double *values; /* all runs, one after the other, each in the order of the requests */
    size_t n;
    const size_t *run_lengths; /* sum n; NULL: one run */
    size_t run_count;
};

enum stats_method {
    STATS_METHOD_NONE,   /* no interval: `refusal` says why */
    STATS_METHOD_RANKS,  /* order statistics, requests independent */
    STATS_METHOD_BLOCKS, /* order statistics of the sample's worth by block bootstrap */
};
enum stats_refusal {
    STATS_REFUSAL_NONE,
    STATS_REFUSAL_SAMPLE,     /* too few requests for this quantile */
    STATS_REFUSAL_CORRELATED, /* correlated, and fewer than STATS_CORRELATED_LEAST */
    STATS_REFUSAL_UNKNOWN,    /* a value is unknown */
};
enum { STATS_CORRELATED_LEAST = 1000 };

/* Names for stores and JSON: "order statistics", "block bootstrap"; NULL for NONE. */
const char *stats_method_name(enum stats_method method);
/* "too few requests", "correlated requests, fewer than 1,000"; NULL for NONE. */
const char *stats_refusal_text(enum stats_refusal refusal);

struct stats_series_interval {
    struct stats_interval interval; /* NaN on a side that the sample can't carry */
    enum stats_method method;
    enum stats_refusal refusal;
    double worth; /* independent requests that the sample is worth; n where independent */
    double block; /* length of the bootstrap's blocks; NaN */
};

/* Two-sided interval of the q-quantile, by the method that the series calls for. Independent: the
 * narrowest ranks around the middle whose exact confidence is `confidence` at least (the two sides
 * need not share the error equally: near the sample's limit equal sides would be 98 % or more).
 * Correlated, n >= STATS_CORRELATED_LEAST: the circular block bootstrap (Politis and Romano 1992)
 * of the share below the quantile, whose variance is computed exactly rather than by draws, gives
 * the design effect; ranks come from the binomial distribution of the count that is left
 * (Woodruff 1952; Korn and Graubard 1998). Correlated and fewer: refused. */
struct stats_series_interval stats_series_quantile(const struct stats_series *series, double q,
                                                   double confidence);

/* Are neighbours alike, so that the sample is worth less? Ljung and Box 1978 on the ranks, 10 lags,
 * at 1 %, and a sum of the correlations (Bartlett's weights, 50 lags) over 0.1: clips that come
 * round in the same order are correlated too and cost nothing. */
bool stats_series_correlated(const struct stats_series *series);
/* Do those beyond the q-quantile (q >= 0.9 or <= 0.1; else false) stand together? Pairs of them
 * within 10 requests, against the Poisson distribution, at 0.5 %. A freeze is seen here first. */
bool stats_series_clustered(const struct stats_series *series, double q);

/* The mean length of blocks that suits this series: Politis and White 2004, corrected by Patton,
 * Politis and White 2009, for the circular bootstrap; 1 where no correlation shows. Lags beyond 300
 * are not looked at. */
double stats_series_block(const double *values, size_t n);

/* How many independent requests the n are surely worth for the share of values over `limit`: n
 * where no correlation shows (here the test of lag 1 alone, one-sided at 1 %, is asked too), else n
 * over the greatest design effect at the limit, the median, p75 and p90, each with what its
 * estimate may be too small by. At the limit alone it can't be seen where few are over: no request
 * over is no pair of them. All values below a tenth of the limit, or all above ten times: n.
 * NaN for an empty or unknown series. Values, not only who is over. */
double stats_series_worth(const struct stats_series *series, double limit);
