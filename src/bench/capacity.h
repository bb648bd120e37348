/* How much a running service can take: the search of a trial (trial/capacity.h), with the windows
 * of a bench. */
#pragma once

#include "bench/require.h"
#include "bench/setup.h"
#include "load/record.h"
#include "report/report.h"
#include "stats/capacity.h"
#include "store/capacity.h"

struct bench_capacity_options { /* borrowed */
    enum spec_capacity_of of;
    double most; /* the largest level that is tried; 0: 256 clients, 10,000 /s */
    const struct bench_requirement *requirements; /* at least one */
    size_t requirement_count;
    struct load_record first_request; /* one alone, answered */
    /* Before each window; may be NULL. */
    void (*tell)(void *context, const char *level);
    void *context;
};

struct bench_capacity { /* in the arena */
    struct store_capacity found;
    const struct store_capacity_point *points;
    size_t point_count;
    bool stopped;          /* by the user: what was known until then */
    const char *text_salt; /* of made-up text, at every level; beside the seed and the level */
    uint64_t made;         /* requests with words that were made up */
};

/* The setup's window is that of each level; its plan is not changed. */
NODISCARD bool bench_capacity_find(const struct bench_setup *setup,
                                   const struct bench_capacity_options *options,
                                   struct arena *arena, struct bench_capacity *ret,
                                   struct err *err);
/* What a whole window says of a requirement that no request by itself can break: LEVEL_MET or
 * LEVEL_MISSED where it is certain, else leaning as its value does (trial/capacity_rest.h).
 * *ret_longer_helps: could a longer window decide what leans? */
enum stats_level bench_capacity_judge(const struct bench_requirement *requirement,
                                      struct bench_results *results, struct arena *arena,
                                      bool *ret_longer_helps, const char **ret_why);
void bench_capacity_print(const struct bench_capacity *capacity, FILE *out,
                          struct report_terminal terminal);
/* New reference. */
json_t *bench_capacity_json(const struct bench_capacity *capacity);
