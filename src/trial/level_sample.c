/* Values by the time at which their requests were meant to leave, for near its limit a service's
 * requests wait behind one another: the interval is the one of stats/sessions.h, as that of any
 * other window is. Rejected: ranks as of independent requests, which are too narrow just there. */
#include "trial/level_sample.h"

#include "stats/quantile.h"
#include "stats/sessions.h"
#include "trial/level.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double CONFIDENCE = 0.95;

void level_sample_add(struct level_sample *sample, const struct load_record *record,
                      enum metric metric)
{
    if (sample->count == sample->capacity) {
        sample->capacity = sample->capacity ? 2 * sample->capacity : 256;
        sample->items = reallocarray(sample->items, sample->capacity, sizeof *sample->items);
        if (!sample->items)
            abort();
    }
    sample->items[sample->count++] =
        (struct level_answered){.intended_ns = record->intended_ns,
                                .metric = level_value_of(metric, record),
                                .latency_s = load_latency_s(record),
                                .session = record->session};
}

void level_sample_done(struct level_sample *sample)
{
    if (!sample)
        return;
    free(sample->items);
    *sample = (struct level_sample){0};
}

double level_sample_median_s(const struct level_sample *sample, struct arena *arena)
{
    double *latency = arena_array(arena, sample->count + 1, sizeof *latency);
    for (size_t i = 0; i < sample->count; i++)
        latency[i] = sample->items[i].latency_s;
    stats_sort(latency, sample->count);
    return stats_quantile(latency, sample->count, 0.5);
}

static int compare_intended(const void *a, const void *b)
{
    const struct level_answered *x = a, *y = b;
    return (x->intended_ns > y->intended_ns) - (x->intended_ns < y->intended_ns);
}

struct ordered {
    double *values, *sorted; /* in the arena */
    uint32_t *sessions;
    size_t count;
};

static void set_quantile(const struct ordered *o, double q, double *ret_value, double *ret_low,
                         double *ret_high)
{
    const struct stats_series in_order = {.values = o->values, .n = o->count};
    struct stats_interval interval = {NAN, NAN};
    if (o->count)
        interval = stats_sessions_quantile(&in_order, o->sessions, q, CONFIDENCE).interval;
    bool allowed = stats_quantile_allowed(o->count, q);
    *ret_value = allowed ? stats_quantile(o->sorted, o->count, q) : NAN;
    *ret_low = interval.low;
    *ret_high = interval.high;
}

void level_sample_tell(struct level_sample *sample, int64_t until_ns, struct arena *arena,
                       struct store_capacity_point *point)
{
    struct ordered o = {.values = arena_array(arena, sample->count + 1, sizeof *o.values),
                        .sorted = arena_array(arena, sample->count + 1, sizeof *o.sorted),
                        .sessions = arena_array(arena, sample->count + 1, sizeof *o.sessions)};
    if (sample->count)
        qsort(sample->items, sample->count, sizeof *sample->items, compare_intended);
    for (size_t i = 0; i < sample->count; i++) {
        const struct level_answered *item = &sample->items[i];
        if (isnan(item->metric) || item->intended_ns >= until_ns)
            continue;
        o.values[o.count] = o.sorted[o.count] = item->metric;
        o.sessions[o.count++] = item->session;
    }
    stats_sort(o.sorted, o.count);
    set_quantile(&o, 0.50, &point->p50, &point->p50_low, &point->p50_high);
    set_quantile(&o, 0.95, &point->p95, &point->p95_low, &point->p95_high);
}
