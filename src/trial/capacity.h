/* How much a service can take: levels of load, one window each, until the search is over. The same
 * loop serves a trial, whose windows run on a candidate's services, and `spica bench`. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "load/plan.h"
#include "stats/capacity.h"
#include "store/capacity.h"

#include <stdint.h>

struct capacity_plan {
    struct stats_capacity_limits limits;
    int64_t within_ns; /* no window begins after that */
    void *context;
    /* One window at this level. False: our own failure, or a stop; the search ends with it.
     * search, level and outcome of the point are filled by the caller. *ret_longer_helps is true
     * before: false where what leans can't be decided by a longer window. */
    bool (*window)(void *context, const struct stats_capacity_probe *probe, struct arena *arena,
                   enum stats_level *ret_outcome, bool *ret_longer_helps,
                   struct store_capacity_point *ret_point, struct err *err);
};

/* Makes a stream's load that level. `patience_s`: older than that a request is over, 0: never;
 * `best_rps`: the most answers per second seen so far, 0: none. */
void capacity_set_level(struct load_stream *stream, enum spec_capacity_of of, double level,
                        double patience_s, double best_rps);

/* After a level at which we were late ourselves (LEVEL_OWN_LIMIT): more workers, up to four, and
 * LEVEL_DISTURBED, so that it is looked at again. Any other outcome, or no more workers: as it is.
 */
enum stats_level capacity_add_workers(int *workers, enum stats_level outcome,
                                      struct store_capacity_point *point, struct arena *arena);

struct capacity_points { /* in the arena; doubled when full */
    struct store_capacity_point *items;
    size_t count, capacity;
};

/* Adds its points and fills end, low, high, unsure, broke and seconds of *ret_found; `search` is
 * the number that the points carry. */
NODISCARD bool capacity_find(const struct capacity_plan *plan, int search, struct arena *arena,
                             struct capacity_points *points, struct store_capacity *ret_found,
                             struct err *err);
