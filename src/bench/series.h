/* Values with the times they belong to, in whatever order they come in; asked for sorted by value,
 * or in the order of their requests. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bench_point {
    int64_t at_ns;
    double value;
};

struct bench_series { /* zeroed before first use; all owned */
    struct bench_point *points;
    size_t count, capacity;
    double *sorted, *ordered, *at_s; /* made when asked for, of the first `made` points */
    size_t sorted_made, ordered_made;
};

/* NaN is not added: an unknown value is none. */
void bench_series_add(struct bench_series *series, int64_t at_ns, double value);
/* Forgets what is older. */
void bench_series_drop_before(struct bench_series *series, int64_t at_ns);
void bench_series_done(struct bench_series *series);

/* `count` values each, borrowed until the next addition. */
const double *bench_series_sorted(struct bench_series *series);
/* *ret_at_s (may be NULL): seconds since the first. */
const double *bench_series_ordered(struct bench_series *series, const double **ret_at_s);
