/* A level's records, handed to its check as a worker would. */
#pragma once

#include "check.h"
#include "trial/level.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

static const int64_t START_NS = 1000 * NS_PER_S;

static inline struct load_record record_of(uint32_t sequence, double intended_s, double latency_s)
{
    const int64_t intended_ns = START_NS + (int64_t)(intended_s * NS_PER_S);
    return (struct load_record){.sequence = sequence,
                                .part = intended_s < 0 ? LOAD_WARMUP : LOAD_WINDOW,
                                .error = LOAD_OK,
                                .intended_ns = intended_ns,
                                .sent_ns = intended_ns,
                                .session = sequence,
                                .first_byte_ns = intended_ns,
                                .first_token_ns = -1,
                                .done_ns = intended_ns + (int64_t)(latency_s * NS_PER_S)};
}

static const struct level_bound p95_bound = {.text = "llm.latency.p95 < 26ms",
                                             .metric = METRIC_LATENCY,
                                             .limit = 0.026,
                                             .allowed = 0.05,
                                             .at_limit_is_over = true};

static inline struct level_plan plan_of(const struct level_bound *bounds, size_t count)
{
    return (struct level_plan){.bounds = bounds,
                               .bound_count = count,
                               .metric = METRIC_LATENCY,
                               .window_ns = 2 * NS_PER_S,
                               .error = 0.05,
                               .lateness_s = 0.001,
                               .expected = {NAN},
                               .turns = {1}};
}

static inline int by_done(const void *a, const void *b)
{
    const struct load_record *x = a, *y = b;
    return (x->done_ns > y->done_ns) - (x->done_ns < y->done_ns);
}

static const struct load_report quiet = {.complete = true};

/* Hands them over in the order of their ends, looks after each, stops when told to. */
static inline enum stats_level play_by(const struct load_report *report, struct level_check *check,
                                       struct load_record *records, size_t count,
                                       struct arena *arena, struct store_capacity_point *ret_point)
{
    level_check_begin(check, START_NS);
    qsort(records, count, sizeof *records, by_done);
    for (size_t i = 0; i < count; i++) {
        level_check_add(check, &records[i]);
        if (level_check_look(check, records[i].done_ns) != STATS_OPEN)
            return level_check_close(check, records[i].done_ns, report, arena, ret_point);
    }
    return level_check_close(check, CLOCK_NEVER, report, arena, ret_point);
}

static inline enum stats_level play(struct level_check *check, struct load_record *records,
                                    size_t count, struct arena *arena,
                                    struct store_capacity_point *ret_point)
{
    return play_by(&quiet, check, records, count, arena, ret_point);
}
