/* The loop around the search: ask it, run a window, tell it. Budgets are here because the search
 * has no clock. A window that is under way is never cut by the budget: half a measurement would say
 * something else than a whole one. */
#include "trial/capacity.h"

#include "base/clock.h"
#include "load/schedule.h"

#include <math.h>
#include <string.h>

enum { IN_FLIGHT_LEAST = 256 };

/* The in-flight limit must not be what limits: whoever waits for it is over anyway. */
static int in_flight_limit(double rate_rps, double patience_s)
{
    double wanted = patience_s > 0 ? 4 * rate_rps * patience_s : LOAD_IN_FLIGHT_MAX;
    return (int)fmin(fmax(wanted, IN_FLIGHT_LEAST), LOAD_IN_FLIGHT_MAX);
}

void capacity_set_level(struct load_stream *stream, enum spec_capacity_of of, double level,
                        double patience_s, double best_rps)
{
    if (of == CAPACITY_OF_CONCURRENCY) {
        stream->arrivals = ARRIVALS_CLOSED;
        stream->rate_rps = 0;
        stream->concurrency = (int)level;
        /* Clients who all begin at once stay in step with each other. */
        stream->client_gap_ns = best_rps > 0 ? (int64_t)((double)NS_PER_S / best_rps) : 0;
        return;
    }
    if (stream->arrivals != ARRIVALS_CONSTANT)
        stream->arrivals = ARRIVALS_POISSON;
    stream->rate_rps = level;
    stream->concurrency = in_flight_limit(level, patience_s);
    /* More programs can't be run at once; what waits for one is charged for it. */
    if (stream->protocol && stream->protocol->spec->runs_program)
        stream->concurrency = IN_FLIGHT_LEAST;
}

static struct store_capacity_point *add_point(struct arena *arena, struct capacity_points *points)
{
    if (points->count == points->capacity) {
        size_t capacity = points->capacity ? 2 * points->capacity : 32;
        struct store_capacity_point *items = arena_array(arena, capacity, sizeof *items);
        if (points->count)
            memcpy(items, points->items, points->count * sizeof *items);
        points->items = items;
        points->capacity = capacity;
    }
    return &points->items[points->count++];
}

/* What broke first is what broke at the smallest level that failed; of its windows the last. */
static const char *broke_at(const struct capacity_points *points, size_t from, double level)
{
    const char *broke = NULL;
    for (size_t i = from; i < points->count; i++)
        if (points->items[i].level == level && points->items[i].broke &&
            strcmp(points->items[i].outcome, stats_level_name(LEVEL_DISTURBED)) != 0)
            broke = points->items[i].broke;
    return broke;
}

enum stats_level capacity_add_workers(int *workers, enum stats_level outcome,
                                      struct store_capacity_point *point, struct arena *arena)
{
    enum { WORKERS_MOST = 4 };
    int now = *workers > 1 ? *workers : 1;
    if (outcome != LEVEL_OWN_LIMIT || 2 * now > WORKERS_MOST)
        return outcome;
    *workers = 2 * now;
    point->broke =
        arena_printf(arena, "we were late ourselves: again, sent by %d workers", 2 * now);
    return LEVEL_DISTURBED;
}

bool capacity_find(const struct capacity_plan *plan, int search, struct arena *arena,
                   struct capacity_points *points, struct store_capacity *ret_found,
                   struct err *err)
{
    const int64_t started_ns = clock_now_ns();
    const size_t from = points->count;
    struct stats_capacity capacity = stats_capacity_init(&plan->limits);
    struct stats_capacity_probe probe;
    bool in_time = true;
    while (in_time && stats_capacity_next(&capacity, &probe)) {
        struct store_capacity_point point = {.search = search};
        enum stats_level outcome = LEVEL_DISTURBED;
        bool longer_helps = true;
        if (!plan->window(plan->context, &probe, arena, &outcome, &longer_helps, &point, err))
            return false;
        point.search = search;
        point.level = probe.level;
        point.outcome = stats_level_name(outcome);
        *add_point(arena, points) = point;
        stats_capacity_tell(&capacity, outcome, longer_helps);
        in_time = clock_now_ns() - started_ns < plan->within_ns;
    }
    struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
    /* Out of time is out of budget, unless the last window was also the last one needed. */
    if (answer.end == CAPACITY_OPEN)
        answer.end = stats_capacity_next(&capacity, &probe) ? CAPACITY_BUDGET : capacity.end;
    ret_found->end = stats_capacity_end_name(answer.end);
    ret_found->low = answer.low;
    ret_found->high = answer.high;
    ret_found->unsure = answer.unsure;
    ret_found->broke = isnan(answer.high) ? NULL : broke_at(points, from, answer.high);
    if (answer.end == CAPACITY_DISTURBED && points->count > from)
        ret_found->broke = points->items[points->count - 1].broke;
    ret_found->seconds = (double)(clock_now_ns() - started_ns) / NS_PER_S;
    return true;
}
