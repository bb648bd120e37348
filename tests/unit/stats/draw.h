/* The series of reference_series.py, drawn here by the same arithmetic, and an AR(1) for
 * simulations. */
#pragma once

#include "base/rng.h"
#include "stats/summary.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum series {
    SERIES_INDEPENDENT,
    SERIES_QUEUE,
    SERIES_FREEZE,
    SERIES_STALL,
    SERIES_COLD,
    SERIES_RISE,
    SERIES_LATE,
    SERIES_ROUND
};

static inline double *draw_reference(enum series kind, uint32_t seed, size_t n)
{
    double *values = calloc(n, sizeof *values), level = 0.5, clips[23];
    uint64_t clip = 99;
    for (size_t i = 0; i < 23; i++) {
        clip = clip * 48271 % 2147483647;
        clips[i] = (double)clip / 2147483647;
    }
    uint64_t state = seed;
    for (size_t i = 0; values && i < n; i++) {
        state = state * 48271 % 2147483647;
        double u = (double)state / 2147483647, at = (double)i;
        level = 0.6 * level + 0.4 * u;
        values[i] = kind == SERIES_INDEPENDENT ? 1 + u * u * u
                    : kind == SERIES_QUEUE     ? level
                    : kind == SERIES_ROUND     ? clips[i % 23] + 0.1 * u
                    : kind == SERIES_FREEZE    ? (i >= n / 2 && i < n / 2 + 12 ? 50 + u : 1 + u)
                    : kind == SERIES_STALL     ? (i >= n * 2 / 5 && i < n / 2 ? 50 + u : 1 + u)
                    : kind == SERIES_COLD      ? (i < n / 10 ? 3 * (1 + u) : 1 + u)
                    : kind == SERIES_LATE      ? (i < n * 2 / 3 ? 4 * (1 + u) : 1 + u)
                                               : (1 + u) * (1 + 0.5 * at / (double)n);
    }
    if (!values)
        abort();
    return values;
}

/* exp of a standard normal AR(1): its q-quantile is exp(stats_normal_quantile(q)). */
static inline void draw_ar1(struct rng *rng, double phi, double *values, size_t n)
{
    double level = 0;
    for (size_t i = 0; i < n; i++) {
        double u = rng_unit(rng), z = stats_normal_quantile(u > 0 ? u : 0x1p-54);
        level = i == 0 ? z : phi * level + sqrt(1 - phi * phi) * z;
        values[i] = exp(level);
    }
}
