/* A window's answers as a series: what of its beginning is warm-up after all, and whether the rest
 * stands still. Pure but for the arena. */
#pragma once

#include "base/buf.h"
#include "spec/metric.h"
#include "trial/metrics.h"

/* How much of a series' beginning is warm-up after all: the rule that trials and benches share. */
struct window_cut {
    size_t count;      /* leave out so many at the beginning */
    double seconds;    /* into the window until the first that stays */
    bool settled;      /* false: it went on changing into the second half, nothing is cut */
    const char *words; /* what was cut, or that it never settled; NULL: nothing; in the arena */
};
/* Latencies in the order in which the requests were meant to leave, each with its time in the
 * window. */
struct window_cut window_cut_find(const double *latency, const double *at_s, size_t count,
                                  struct arena *arena);
/* "latency.p50 rose from 20 ms to 31 ms within the window (+55 %, ...)" for its median and its p95,
 * where they moved; "; " before it when there is text already. */
void window_add_drift(struct buf *text, enum metric metric, const double *values,
                      const double *at_s, size_t count);

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
