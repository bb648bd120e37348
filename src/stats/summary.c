/* Mean, spread and extremes in one pass, and comparisons of finalists within blocks.
 *
 * Welford's recurrence instead of sums of squares: latencies with a large common part would lose
 * their spread to cancellation. Blocks instead of pooled values: what a block's minutes did to both
 * candidates (another process woke up, the room got warm) cancels in their difference, and what is
 * left is compared by Student's t, which is honest with 3 or 4 blocks where a bootstrap of so few
 * values is not. Ratios are compared as logarithms, so that "a over b" and "b over a" agree. */
#include "stats/summary.h"

#include <math.h>

struct stats_summary stats_summary_of(const double *values, size_t n)
{
    struct stats_summary summary = {n, NAN, NAN, NAN, NAN};
    double mean = 0, squares = 0, min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            return summary;
        double delta = values[i] - mean;
        mean += delta / (double)(i + 1);
        squares += delta * (values[i] - mean);
        min = fmin(min, values[i]);
        max = fmax(max, values[i]);
    }
    if (n == 0)
        return summary;
    summary.mean = mean;
    summary.min = min;
    summary.max = max;
    if (n > 1)
        summary.sd = sqrt(squares / (double)(n - 1));
    return summary;
}

enum pairing { PAIRING_DIFFERENCE, PAIRING_RATIO };

static double paired_value(double a, double b, enum pairing pairing)
{
    if (pairing == PAIRING_DIFFERENCE)
        return a - b;
    return a > 0 && b > 0 ? log(a / b) : NAN;
}

static struct stats_effect paired_effect(const double *a, const double *b, size_t blocks,
                                         double confidence, enum pairing pairing)
{
    struct stats_effect effect = {NAN, {NAN, NAN}, 0};
    double mean = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < blocks; i++) {
        double value = paired_value(a[i], b[i], pairing);
        if (isnan(value))
            continue;
        n++;
        double delta = value - mean;
        mean += delta / (double)n;
        squares += delta * (value - mean);
    }
    effect.blocks = n;
    if (n == 0)
        return effect;
    effect.estimate = mean;
    if (n > 1 && confidence > 0 && confidence < 1) {
        double t = stats_student_quantile(0.5 + confidence / 2, (double)(n - 1));
        double half = t * sqrt(squares / (double)(n - 1) / (double)n);
        effect.interval = (struct stats_interval){mean - half, mean + half};
    }
    return effect;
}

struct stats_effect stats_paired_difference(const double *a, const double *b, size_t blocks,
                                            double confidence)
{
    return paired_effect(a, b, blocks, confidence, PAIRING_DIFFERENCE);
}

struct stats_effect stats_paired_ratio(const double *a, const double *b, size_t blocks,
                                       double confidence)
{
    struct stats_effect effect = paired_effect(a, b, blocks, confidence, PAIRING_RATIO);
    effect.estimate = exp(effect.estimate);
    effect.interval.low = exp(effect.interval.low);
    effect.interval.high = exp(effect.interval.high);
    return effect;
}

int stats_effect_certain(const struct stats_effect *effect, double null)
{
    /* Comparisons with NaN are false: unknown is never certain. */
    if (!(effect->interval.low <= effect->interval.high))
        return 0;
    if (effect->interval.high < null)
        return -1;
    return effect->interval.low > null ? 1 : 0;
}
