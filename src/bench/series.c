/* Answers end in another order than they were asked for, and what a sample is worth depends on the
 * order of its requests: so each value keeps its time, and both orders are made once they are
 * wanted, which is at the end, and once a second for the live line. */
#include "bench/series.h"

#include "base/clock.h"
#include "stats/quantile.h"

#include <math.h>
#include <stdlib.h>

void bench_series_add_turn(struct bench_series *series, int64_t at_ns, uint32_t session,
                           double value)
{
    if (isnan(value))
        return;
    if (series->count == series->capacity) {
        series->capacity = series->capacity ? 2 * series->capacity : 256;
        series->points = reallocarray(series->points, series->capacity, sizeof *series->points);
        if (!series->points)
            abort();
    }
    series->points[series->count++] = (struct bench_point){at_ns, value, session};
}

void bench_series_add(struct bench_series *series, int64_t at_ns, double value)
{
    bench_series_add_turn(series, at_ns, 0, value);
}

void bench_series_drop_before(struct bench_series *series, int64_t at_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < series->count; i++)
        if (series->points[i].at_ns >= at_ns)
            series->points[kept++] = series->points[i];
    series->count = kept;
    series->sorted_made = series->ordered_made = 0;
}

void bench_series_done(struct bench_series *series)
{
    free(series->points);
    free(series->sorted);
    free(series->ordered);
    free(series->at_s);
    free(series->sessions);
    *series = (struct bench_series){0};
}

static void make(double **array, size_t count)
{
    *array = reallocarray(*array, count + 1, sizeof **array);
    if (!*array)
        abort();
}

static void make_sessions(struct bench_series *series)
{
    if (!series->of_sessions)
        return;
    series->sessions = reallocarray(series->sessions, series->count + 1, sizeof *series->sessions);
    if (!series->sessions)
        abort();
}

const double *bench_series_sorted(struct bench_series *series)
{
    if (series->sorted && series->sorted_made == series->count)
        return series->sorted;
    make(&series->sorted, series->count);
    for (size_t i = 0; i < series->count; i++)
        series->sorted[i] = series->points[i].value;
    stats_sort(series->sorted, series->count);
    series->sorted_made = series->count;
    return series->sorted;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = ((const struct bench_point *)a)->at_ns, y = ((const struct bench_point *)b)->at_ns;
    return (x > y) - (x < y);
}

const double *bench_series_ordered(struct bench_series *series, const double **ret_at_s)
{
    if (!series->ordered || series->ordered_made != series->count) {
        make(&series->ordered, series->count);
        make(&series->at_s, series->count);
        make_sessions(series);
        if (series->count)
            qsort(series->points, series->count, sizeof *series->points, compare_times);
        for (size_t i = 0; i < series->count; i++) {
            series->ordered[i] = series->points[i].value;
            series->at_s[i] =
                (double)(series->points[i].at_ns - series->points[0].at_ns) / NS_PER_S;
        }
        for (size_t i = 0; series->of_sessions && i < series->count; i++)
            series->sessions[i] = series->points[i].session;
        series->ordered_made = series->count;
    }
    if (ret_at_s)
        *ret_at_s = series->at_s;
    return series->ordered;
}

const uint32_t *bench_series_sessions(struct bench_series *series)
{
    if (!series->of_sessions)
        return NULL;
    bench_series_ordered(series, NULL);
    return series->sessions;
}
