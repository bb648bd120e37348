/* Values with the times they belong to, in whatever order they come in; asked for sorted by value,
 * or in the order of their requests, with whose each is where they are turns of sessions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_point {
    int64_t at_ns;
    double value;
    uint32_t session; /* whose turn; 0 where there are none */
};

struct bench_series { /* zeroed before first use; all owned */
    struct bench_point *points;
    size_t count, capacity;
    double *sorted, *ordered, *at_s; /* made when asked for, of the first `made` points */
    uint32_t *sessions;              /* beside `ordered` */
    size_t sorted_made, ordered_made;
    bool of_sessions; /* what is alike within one counts: set before the first value */
};

/* NaN is not added: an unknown value is none. */
void bench_series_add(struct bench_series *series, int64_t at_ns, double value);
/* One of a request of that session's. */
void bench_series_add_turn(struct bench_series *series, int64_t at_ns, uint32_t session,
                           double value);
/* Forgets what is older. */
void bench_series_drop_before(struct bench_series *series, int64_t at_ns);
void bench_series_done(struct bench_series *series);

/* `count` values each, borrowed until the next addition. */
const double *bench_series_sorted(struct bench_series *series);
/* *ret_at_s (may be NULL): seconds since the first. */
const double *bench_series_ordered(struct bench_series *series, const double **ret_at_s);
/* In the same order; NULL: they are no turns of sessions. */
const uint32_t *bench_series_sessions(struct bench_series *series);
