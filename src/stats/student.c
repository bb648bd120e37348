/* Quantiles of the normal and of Student's distribution, by halving their distribution functions.
 *
 * Rational approximations were rejected: an interval asks for one quantile, so speed is nothing and
 * having no table of magic coefficients is something. Student's function comes from the incomplete
 * beta function's continued fraction (Abramowitz and Stegun 26.5.8, modified Lentz), which also
 * takes the fractional degrees of freedom of Welch's formula. Right to about 1e-12. */
#include "stats/summary.h"

#include <math.h>

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / M_SQRT2);
}

/* 1 + d1 x / (1 + d2 x / (1 + ...)), Lentz; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double result = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double coefficient = half ? odd : even;
            d = 1 + coefficient * d;
            c = 1 + coefficient / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            result *= step;
        }
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return result;
}

static double incomplete_beta(double x, double a, double b)
{
    if (x <= 0)
        return 0;
    if (x >= 1)
        return 1;
    int sign;
    double log_front = lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) +
                       a * log(x) + b * log1p(-x);
    if (x < (a + 1) / (a + b + 2))
        return exp(log_front) * beta_fraction(x, a, b) / a;
    return 1 - exp(log_front) * beta_fraction(1 - x, b, a) / b;
}

static double student_cdf(double t, double df)
{
    double tail = 0.5 * incomplete_beta(df / (df + t * t), df / 2, 0.5);
    return t > 0 ? 1 - tail : tail;
}

double stats_normal_quantile(double probability)
{
    if (!(probability > 0 && probability < 1))
        return NAN;
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (normal_cdf(middle) < probability)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

double stats_student_quantile(double probability, double df)
{
    if (!(probability > 0 && probability < 1) || !(df > 0))
        return NAN;
    if (probability == 0.5) /* the function is flat in doubles around its middle */
        return 0;
    if (df > 1e7) /* the two differ by less than 1e-7 there */
        return stats_normal_quantile(probability);
    /* The lower half only, where the function keeps its digits; the other by symmetry. */
    if (probability > 0.5)
        return -stats_student_quantile(1 - probability, df);
    double low = -1, high = 0;
    while (low > -1e150 && student_cdf(low, df) > probability)
        low *= 2;
    for (int i = 0; i < 200; i++) {
        double middle = (low + high) / 2;
        if (student_cdf(middle, df) < probability)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}
