/* Intervals that hold at every sample size at once.
 *
 * The mixture of binomial likelihoods over a beta prior, divided by the likelihood at p, is a
 * martingale when p is true: it exceeds 1 / (1 - confidence) ever with chance 1 - confidence at
 * most. So the p that it does not rule out are an interval that may be looked at any time. For a
 * quantile the roles are turned: p = q is known, and the counts of values below the unknown
 * quantile that are not ruled out are ranks. Ties do no harm: with ties broken by lot the values
 * are as if continuous, and the rank's value is the same.
 *
 * Rejected: the closed forms with iterated logarithms; they are wider at every n one meets.
 *
 * Invariant: an interval holds the observed share, or the sample's quantile. */
#include "stats/anytime.h"

#include <math.h>

enum { STEPS = 60 };            /* of bisection: to 1e-18 */
static const double WEIGHT = 8; /* the prior of a quantile's rank is worth so many values beyond
                                 * the quantile: narrowest at about ten times as many */

struct prior {
    double a, b;
};

static double log_beta(double a, double b)
{
    int sign;
    return lgamma_r(a, &sign) + lgamma_r(b, &sign) - lgamma_r(a + b, &sign);
}

/* ln of the martingale against p after k of n. */
static double log_against(double k, double n, double p, const struct prior *prior)
{
    double at_p = (k > 0 ? k * log(p) : 0) + (n - k > 0 ? (n - k) * log1p(-p) : 0);
    return log_beta(prior->a + k, prior->b + n - k) - log_beta(prior->a, prior->b) - at_p;
}

/* The p between `in`, which is not ruled out, and `out`, where that changes. */
static double edge(double k, double n, double in, double out, double limit)
{
    const struct prior prior = {0.5, 0.5};
    for (int i = 0; i < STEPS; i++) {
        double middle = (in + out) / 2;
        if (log_against(k, n, middle, &prior) < limit)
            in = middle;
        else
            out = middle;
    }
    return out;
}

struct stats_interval stats_anytime_share(uint64_t k, uint64_t n, double confidence)
{
    struct stats_interval interval = {0, 1};
    if (k > n || !(confidence > 0 && confidence < 1))
        return (struct stats_interval){NAN, NAN};
    double limit = -log1p(-confidence), share = n > 0 ? (double)k / (double)n : 0;
    if (n == 0)
        return interval;
    if (k > 0)
        interval.low = edge((double)k, (double)n, share, 0, limit);
    if (k < n)
        interval.high = edge((double)k, (double)n, share, 1, limit);
    return interval;
}

/* The last count from `in` towards `out` that is not ruled out; `out` when none is. */
static uint64_t last_in(uint64_t in, uint64_t out, uint64_t n, double q, double limit)
{
    double beyond = fmin(q, 1 - q);
    const struct prior prior = {q * WEIGHT / beyond, (1 - q) * WEIGHT / beyond};
    if (log_against((double)out, (double)n, q, &prior) < limit)
        return out;
    while (in > out ? in - out > 1 : out - in > 1) {
        uint64_t middle = in > out ? out + (in - out) / 2 : in + (out - in) / 2;
        if (log_against((double)middle, (double)n, q, &prior) < limit)
            in = middle;
        else
            out = middle;
    }
    return in;
}

struct stats_interval stats_anytime_quantile(const struct stats_sketch *sketch, double q,
                                             double confidence)
{
    struct stats_interval interval = {NAN, NAN};
    uint64_t n = stats_sketch_count(sketch);
    if (n == 0 || !(q > 0 && q < 1) || !(confidence > 0 && confidence < 1))
        return interval;
    double limit = -log1p(-confidence);
    uint64_t middle = (uint64_t)(q * (double)n);
    uint64_t low = last_in(middle, 0, n, q, limit), high = last_in(middle, n, n, q, limit);
    if (low > 0)
        interval.low = stats_sketch_rank(sketch, low - 1) / (1 + STATS_SKETCH_ERROR);
    if (high < n)
        interval.high = stats_sketch_rank(sketch, high) / (1 - STATS_SKETCH_ERROR);
    return interval;
}
