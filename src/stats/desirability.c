/* Derringer and Suich's desirabilities with straight ramps (their exponents r, s = 1).
 *
 * A sum of weighted scores was rejected: it lets an excellent latency pay for useless transcripts.
 * Curved ramps were rejected too: nobody can explain an exponent in a study file, and the choice of
 * scale (linear or logarithmic) already says what a step is worth.
 * Invariant: within one pair the desirability is monotone in the value and reaches 0 and 1 exactly
 * at `bad` and `good`. */
#include "stats/desirability.h"

#include <math.h>

bool stats_desirability_valid(double good, double bad, enum stats_scale scale)
{
    if (!isfinite(good) || !isfinite(bad) || good == bad)
        return false;
    return scale == SCALE_LINEAR || (good > 0 && bad > 0);
}

double stats_desirability(double value, double good, double bad, enum stats_scale scale)
{
    if (isnan(value) || !stats_desirability_valid(good, bad, scale))
        return NAN;
    bool less_is_better = good < bad;
    if (less_is_better ? value <= good : value >= good)
        return 1;
    if (less_is_better ? value >= bad : value <= bad)
        return 0;
    /* From here on the value lies strictly between two finite numbers. */
    if (scale == SCALE_LOG)
        return log(value / bad) / log(good / bad);
    return (value - bad) / (good - bad);
}

double stats_desirability_mean(const double *desirabilities, const double *weights, size_t n)
{
    double sum = 0, weight_sum = 0;
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        double weight = weights ? weights[i] : 1;
        if (isnan(weight))
            return NAN;
        if (weight <= 0)
            continue;
        weight_sum += weight;
        if (desirabilities[i] <= 0)
            return 0;
        if (isnan(desirabilities[i]))
            unknown = true;
        else
            sum += weight * log(desirabilities[i]);
    }
    return unknown || weight_sum == 0 ? NAN : exp(sum / weight_sum);
}
