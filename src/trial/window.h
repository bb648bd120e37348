/* A window's answers as a series: what of its beginning is warm-up after all, and whether the rest
 * stands still. Pure but for the arena. */
#pragma once

#include "trial/metrics.h"

struct window_series {
    const struct trial_answer **answers; /* as they were meant to leave; in the arena */
    size_t count;                        /* successful ones that count in the window */
    int64_t from_ns;                     /* the window's start, or where it begins after the cut */
    const char *warmup;                  /* what was cut, or that it never settled; NULL: nothing */
    const char *unsteady; /* which quantiles move, by how much; NULL: none that shows */
};

/* Answers that are cut get LOAD_WARMUP as their part, so that nobody counts them from here on;
 * failures stay where they are: a warm-up excuses no error. */
struct window_series window_settle(const struct metrics_input *input, struct arena *arena);
