/* Desirability (Derringer and Suich 1980): each metric becomes a number between 0 (bad or worse)
 * and 1 (good or better); their weighted geometric mean is the fitness. A geometric mean, because
 * one useless metric makes a candidate useless whatever the others are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum stats_scale {
    SCALE_LINEAR, /* ratios, bytes, counts */
    SCALE_LOG,    /* times: from 1 s to 500 ms is worth as much as from 200 ms to 100 ms */
};

/* Can this pair be used? Finite, good != bad, both > 0 on SCALE_LOG. good < bad: less is better. */
bool stats_desirability_valid(double good, double bad, enum stats_scale scale);

/* NaN for an unknown value or a pair that is not valid. On SCALE_LOG a value <= 0 is beyond the
 * pair's lower end. `value`, `good` and `bad` share a unit. */
double stats_desirability(double value, double good, double bad, enum stats_scale scale);

/* exp(sum w ln d / sum w). 0 when any d with a weight is 0, even beside an unknown one (whatever it
 * is, the product is 0); else NaN when any with a weight is NaN. Weights >= 0; NULL means all 1.
 * NaN when no weight is above 0. */
double stats_desirability_mean(const double *desirabilities, const double *weights, size_t n);
