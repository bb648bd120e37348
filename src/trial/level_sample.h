/* Answered requests of a level's window, and the quantiles that its point shows. */
#pragma once

#include "base/arena.h"
#include "load/record.h"
#include "spec/metric.h"
#include "store/capacity.h"

#include <stddef.h>
#include <stdint.h>

struct level_sample {
    struct level_answered {
        int64_t intended_ns;
        double metric, latency_s; /* metric: NaN, it has none */
        uint32_t session;
    } * items; /* owned */
    size_t count, capacity;
};

void level_sample_add(struct level_sample *sample, const struct load_record *record,
                      enum metric metric);
void level_sample_done(struct level_sample *sample);
/* Median of the latency, whatever the metric is; NaN: none. Scratch is in the arena. */
double level_sample_median_s(const struct level_sample *sample, struct arena *arena);
/* Fills the point's p50 and p95 with their intervals, of the requests that were meant to leave
 * before until_ns. NaN: too few, or neighbours too much alike for an interval. */
void level_sample_tell(struct level_sample *sample, int64_t until_ns, struct arena *arena,
                       struct store_capacity_point *point);
