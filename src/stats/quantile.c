/* Quantiles and their distribution-free intervals.
 *
 * The count of requests below the true q-quantile is binomial (n, q) whatever the distribution of
 * latencies is, so two order statistics bracket the quantile with a confidence that can be computed
 * exactly. The rejected alternatives: the normal approximation of the ranks (wrong for p99 of some
 * hundred requests, exactly where it matters) and bootstrap intervals (they never reach beyond the
 * largest value, so they cannot say "the sample is too small"). A rank outside the sample means
 * that the side is unknown, and NaN says so; it is never replaced by the extreme value.
 *
 * Invariant: with continuous values the stated confidence is a lower bound of the real one. */
#include "stats/quantile.h"

#include "stats/binomial.h"

#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return !!isnan(x) - !!isnan(y);
    return (x > y) - (x < y);
}

void stats_sort(double *values, size_t n)
{
    if (n > 1)
        qsort(values, n, sizeof *values, compare_doubles);
}

/* NaN sorts to the end, so that one look tells whether the sample is complete. */
static bool is_usable(const double *sorted, size_t n)
{
    return n > 0 && !isnan(sorted[n - 1]);
}

double stats_quantile(const double *sorted, size_t n, double q)
{
    if (!is_usable(sorted, n) || !(q >= 0 && q <= 1))
        return NAN;
    double position = (double)(n - 1) * q;
    size_t below = (size_t)position;
    if (below >= n - 1)
        return sorted[n - 1];
    double part = position - (double)below;
    if (part == 0) /* also keeps an infinite neighbour out of 0 * inf */
        return sorted[below];
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

static bool is_confidence(double confidence)
{
    return confidence > 0 && confidence < 1;
}

/* The rank for a bound that errs with probability `alpha` at most, or -1. Low: the largest r with
 * P(at most r values below the quantile) <= alpha. High: the least r with P(more than r values
 * below it) <= alpha. scipy takes "<" for the low one; they differ only where alpha is met exactly,
 * which needs round numbers such as n = 1, q = 0.9, alpha = 0.1. */
static long bound_index(size_t n, double q, double alpha, enum stats_side side)
{
    if (n == 0 || !(q > 0 && q < 1))
        return -1;
    if (side == SIDE_LOW)
        return (long)stats_binomial_ppf(alpha, n, q) - 1;
    uint64_t rank = stats_binomial_isf(alpha, n, q);
    return rank < n ? (long)rank : -1;
}

static double bound_value(const double *sorted, size_t n, double q, double alpha,
                          enum stats_side side)
{
    if (!is_usable(sorted, n))
        return NAN;
    long index = bound_index(n, q, alpha, side);
    return index < 0 ? NAN : sorted[index];
}

struct stats_interval stats_quantile_interval(const double *sorted, size_t n, double q,
                                              double confidence)
{
    if (!is_confidence(confidence))
        return (struct stats_interval){NAN, NAN};
    double alpha = (1 - confidence) / 2;
    return (struct stats_interval){
        .low = bound_value(sorted, n, q, alpha, SIDE_LOW),
        .high = bound_value(sorted, n, q, alpha, SIDE_HIGH),
    };
}

double stats_quantile_bound(const double *sorted, size_t n, double q, double confidence,
                            enum stats_side side)
{
    return is_confidence(confidence) ? bound_value(sorted, n, q, 1 - confidence, side) : NAN;
}

long stats_quantile_bound_index(size_t n, double q, double confidence, enum stats_side side)
{
    return is_confidence(confidence) ? bound_index(n, q, 1 - confidence, side) : -1;
}

size_t stats_quantile_needed(double q, double confidence, enum stats_side side)
{
    if (!(q > 0 && q < 1) || !is_confidence(confidence))
        return 0;
    /* An upper bound exists when all n values can hardly be below the quantile: q^n <= alpha. */
    double share = side == SIDE_HIGH ? q : 1 - q;
    double needed = ceil(log(1 - confidence) / log(share));
    if (!(needed < 1e15))
        return 0;
    size_t n = needed < 1 ? 1 : (size_t)needed;
    /* The logarithms may be off by one where the equation holds exactly; the exact ranks decide. */
    while (n > 1 && stats_quantile_bound_index(n - 1, q, confidence, side) >= 0)
        n--;
    while (stats_quantile_bound_index(n, q, confidence, side) < 0)
        n++;
    return n;
}

bool stats_quantile_allowed(size_t n, double q)
{
    if (!(q > 0 && q < 1))
        return false;
    double beyond = (double)n * fmin(q, 1 - q);
    /* 10 * (1 - 0.9) is a little under 1 in binary. */
    return n >= 5 && beyond >= 1 - 1e-9;
}
