/* The binomial distribution, exact, for counts up to some millions, and intervals for a share (the
 * error ratio: k failed of n requests).
 *
 * Point probabilities by Loader's saddle-point form (2000), which loses no digits for large n;
 * tails by summing from k away from the mode, in log space, so that tails of 1e-300 stay distinct
 * from 0. Arguments out of range (k > n apart, p or confidence not within their bounds, n = 0 for a
 * share) answer NaN. */
#pragma once

#include "stats/quantile.h"

#include <stdint.h>

/* ln P(X = k), ln P(X <= k) and ln P(X > k) for X ~ binomial(n, p), 0 <= p <= 1; -INFINITY for an
 * impossible event. k > n counts as n (for P(X = k): impossible). */
double stats_binomial_log_pmf(uint64_t k, uint64_t n, double p);
double stats_binomial_log_cdf(uint64_t k, uint64_t n, double p);
double stats_binomial_log_sf(uint64_t k, uint64_t n, double p);
double stats_binomial_cdf(uint64_t k, uint64_t n, double p);

/* Smallest k with P(X <= k) > probability, and smallest k with P(X > k) <= probability, equal up to
 * rounding counting as equal; 0 < probability < 1, 0 < p < 1, asserted. */
uint64_t stats_binomial_ppf(double probability, uint64_t n, double p);
uint64_t stats_binomial_isf(double probability, uint64_t n, double p);

/* Clopper-Pearson 1934: exact interval of the share when k of n were seen. [0, ...] for k = 0 and
 * [..., 1] for k = n. Ratios, 0 to 1. */
struct stats_interval stats_binomial_interval(uint64_t k, uint64_t n, double confidence);
/* One side only, e.g. "the error ratio is under this with 95 %". */
double stats_binomial_bound(uint64_t k, uint64_t n, double confidence, enum stats_side side);
