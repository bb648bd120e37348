/* Exact binomial probabilities.
 *
 * Point probabilities in Loader's form ("Fast and accurate computation of binomial probabilities",
 * 2000): the large terms of the factorials cancel on paper instead of in the computer. A tail is
 * the sum of its terms from k outwards, each got from its neighbour by one multiplication; beyond
 * the mode they fall at least geometrically, so a few sqrt(n p q) terms suffice. On the near side
 * of the mode the other tail is summed and complemented.
 *
 * Rejected: the incomplete beta function's continued fraction (same cost, loses digits through
 * lgamma at n = 1e6) and the normal approximation (not exact where it is wanted).
 *
 * Invariant: every log-probability is right to about 1e-12 relative, for n up to some millions. */
#include "stats/binomial.h"

#include <assert.h>
#include <math.h>

/* ln n! - ln(sqrt(2 pi n) (n / e)^n). The series' next term is below 1e-15 from n = 16 on. */
static double stirling_error(double n)
{
    if (n < 16) {
        int sign;
        return lgamma_r(n + 1, &sign) - (n + 0.5) * log(n) + n - 0.5 * log(2 * M_PI);
    }
    double nn = n * n;
    return (1 / 12.0 - (1 / 360.0 - (1 / 1260.0 - (1 / 1680.0 - 1 / 1188.0 / nn) / nn) / nn) / nn) /
           n;
}

/* x ln(x / m) + m - x without cancellation when x is near m. */
static double deviance(double x, double m)
{
    if (fabs(x - m) >= 0.1 * (x + m))
        return x * log(x / m) + m - x;
    double v = (x - m) / (x + m);
    double sum = (x - m) * v, term = 2 * x * v;
    for (int j = 1; j < 1000; j++) {
        term *= v * v;
        double next = sum + term / (2 * j + 1);
        if (next == sum)
            break;
        sum = next;
    }
    return sum;
}

static double log_pmf(double x, double n, double p)
{
    double q = 1 - p;
    if (p == 0)
        return x == 0 ? 0 : -INFINITY;
    if (q == 0)
        return x == n ? 0 : -INFINITY;
    if (x == 0)
        return n * log1p(-p);
    if (x == n)
        return n * log(p);
    double core = stirling_error(n) - stirling_error(x) - stirling_error(n - x) -
                  deviance(x, n * p) - deviance(n - x, n * q);
    return core - 0.5 * (log(2 * M_PI) + log(x) + log1p(-x / n));
}

/* ln of the sum of terms k, k - 1, ..., 0; wants k at or below the mode. */
static double log_sum_down(uint64_t k, uint64_t n, double p)
{
    double odds = (1 - p) / p;
    double sum = 1, term = 1;
    for (uint64_t i = k; i > 0; i--) {
        term *= (double)i / (double)(n - i + 1) * odds;
        sum += term;
        if (term < sum * 1e-17)
            break;
    }
    return log_pmf((double)k, (double)n, p) + log(sum);
}

/* ln of the sum of terms k, k + 1, ..., n; wants k at or above the mode. */
static double log_sum_up(uint64_t k, uint64_t n, double p)
{
    double odds = p / (1 - p);
    double sum = 1, term = 1;
    for (uint64_t i = k; i < n; i++) {
        term *= (double)(n - i) / (double)(i + 1) * odds;
        sum += term;
        if (term < sum * 1e-17)
            break;
    }
    return log_pmf((double)k, (double)n, p) + log(sum);
}

/* ln(1 - e^x) for x <= 0, from the form that keeps the digits (Maechler 2012). */
static double log_complement(double x)
{
    return x > -M_LN2 ? log(-expm1(x)) : log1p(-exp(x));
}

double stats_binomial_log_pmf(uint64_t k, uint64_t n, double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    return k > n ? -INFINITY : log_pmf((double)k, (double)n, p);
}

double stats_binomial_log_cdf(uint64_t k, uint64_t n, double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    if (k >= n || p == 0)
        return 0;
    if (p == 1)
        return -INFINITY;
    if ((double)k < ((double)n + 1) * p)
        return log_sum_down(k, n, p);
    return log_complement(log_sum_up(k + 1, n, p));
}

double stats_binomial_log_sf(uint64_t k, uint64_t n, double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    if (k >= n || p == 0)
        return -INFINITY;
    if (p == 1)
        return 0;
    if ((double)k < ((double)n + 1) * p)
        return log_complement(log_sum_down(k, n, p));
    return log_sum_up(k + 1, n, p);
}

double stats_binomial_cdf(uint64_t k, uint64_t n, double p)
{
    return exp(stats_binomial_log_cdf(k, n, p));
}

/* Where a probability is met exactly (n = 2, p = 0.9, probability 0.01) rounding must not decide:
 * met is enough, on both sides. */
static const double tie = 1e-12;

uint64_t stats_binomial_ppf(double probability, uint64_t n, double p)
{
    assert(probability > 0 && probability < 1 && p > 0 && p < 1);
    uint64_t low = 0, high = n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (stats_binomial_log_cdf(middle, n, p) > log(probability) + tie)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint64_t stats_binomial_isf(double probability, uint64_t n, double p)
{
    assert(probability > 0 && probability < 1 && p > 0 && p < 1);
    uint64_t low = 0, high = n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (stats_binomial_log_sf(middle, n, p) <= log(probability) + tie)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The share p at which seeing k or fewer (SIDE_HIGH), or k or more (SIDE_LOW), has probability
 * alpha. Both probabilities are monotone in p, so halving finds it to the last bit. */
static double share_bound(uint64_t k, uint64_t n, double alpha, enum stats_side side)
{
    if (n == 0 || k > n)
        return NAN;
    if (side == SIDE_LOW && k == 0)
        return 0;
    if (side == SIDE_HIGH && k == n)
        return 1;
    double low = 0, high = 1, log_alpha = log(alpha);
    for (int i = 0; i < 200; i++) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        bool above = side == SIDE_LOW ? stats_binomial_log_sf(k - 1, n, middle) > log_alpha
                                      : stats_binomial_log_cdf(k, n, middle) < log_alpha;
        if (above)
            high = middle;
        else
            low = middle;
    }
    return low + (high - low) / 2;
}

struct stats_interval stats_binomial_interval(uint64_t k, uint64_t n, double confidence)
{
    if (!(confidence > 0 && confidence < 1))
        return (struct stats_interval){NAN, NAN};
    double alpha = (1 - confidence) / 2;
    return (struct stats_interval){share_bound(k, n, alpha, SIDE_LOW),
                                   share_bound(k, n, alpha, SIDE_HIGH)};
}

double stats_binomial_bound(uint64_t k, uint64_t n, double confidence, enum stats_side side)
{
    return confidence > 0 && confidence < 1 ? share_bound(k, n, 1 - confidence, side) : NAN;
}
