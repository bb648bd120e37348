/* What came within the last while, by the steady clock: values as a sketch (latency, first token,
 * queue) and counts (requests, errors by kind), in GUARD_WINDOW_SLOTS slots of equal length which
 * are emptied one after the other. A reading covers the whole slots that are over and the one under
 * way: between span - span / GUARD_WINDOW_SLOTS and span.
 *
 * A slot has a sketch only once a value came into it, so a window nobody fills is some hundred
 * bytes, a full one guard_window_bytes_max(). Times are CLOCK_MONOTONIC ns; one that is before the
 * newest slot's counts into that slot. */
#pragma once

#include "stats/sketch.h"

#include <stddef.h>
#include <stdint.h>

enum {
    GUARD_WINDOW_SLOTS = 12,
    GUARD_WINDOW_COUNTS = 16, /* counters of one window; what each means is the caller's */
};

struct guard_window; /* opaque */

/* span_ns > 0; began_ns: from when on it could have seen something. */
struct guard_window *guard_window_new(int64_t span_ns, int64_t began_ns);
struct guard_window *guard_window_free(struct guard_window *window); /* returns NULL */
size_t guard_window_bytes_max(void);                                 /* of one that is full */

/* Values > 0 (seconds); `times`: as often as an engine's histogram says. */
void guard_window_add(struct guard_window *window, int64_t now_ns, double value, uint64_t times);
void guard_window_count(struct guard_window *window, int64_t now_ns, size_t which, uint64_t more);
/* Empty, and begins now: another process has taken the place of the one that was watched. */
void guard_window_restart(struct guard_window *window, int64_t now_ns);

struct guard_window_reading {
    uint64_t values;      /* how many the sketch holds */
    double p50, p95, p99; /* NaN: none, or too few to say (stats_quantile_allowed) */
    uint64_t counts[GUARD_WINDOW_COUNTS];
    double covered_s; /* that long it has looked: a rate is counts / covered_s; 0: not yet */
};
/* Forgets what is older than the span. */
void guard_window_read(struct guard_window *window, int64_t now_ns,
                       struct guard_window_reading *ret_reading);
/* Any other quantile, by the same rule; NaN. As of the last reading or add. */
double guard_window_quantile(const struct guard_window *window, double q);
