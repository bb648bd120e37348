/* One level of load, looked at while its answers come in: is what is required met there?
 *
 * A requirement on single requests ("p95 of ttft < 300 ms", "no errors") is held against each
 * request in the order in which they were meant to leave, so that slow ones are not overlooked just
 * because they are slow: one that is older than its limit and has not answered is over. A failed
 * request is over every limit. Quantiles are tested sequentially (stats/requirement.h), so a level
 * that is clearly too much is left early.
 *
 * Pure but for memory: records in, an outcome out. The clock is the caller's. */
#pragma once

#include "base/arena.h"
#include "load/plan.h"
#include "load/record.h"
#include "load/worker.h"
#include "spec/expr.h"
#include "spec/study.h"
#include "stats/capacity.h"
#include "stats/requirement.h"
#include "store/capacity.h"
#include "store/row.h"

enum { LEVEL_BOUNDS_MAX = 64 };

struct level_bound {
    const char *text;   /* as written, for people; borrowed */
    size_t stream;      /* whose requests */
    enum metric metric; /* METRIC_LATENCY, _TTFT, _CONTENT, _TURN, _RTF; METRIC_ERRORS: only failing
                         * is */
    double limit;       /* base units */
    bool at_limit_is_over; /* "<" */
    double allowed;        /* ratio of requests that may be over; 0: not one */
};

struct finding_limits;

struct level_plan { /* borrowed until the check is freed */
    const struct level_bound *bounds;
    size_t bound_count;
    const struct finding_limits *limits; /* what a good answer keeps; NULL: to be one is enough */
    size_t stream;      /* the one whose level is searched: the point is about its requests */
    enum metric metric; /* of the point's quantiles */
    int64_t window_ns;
    double error;      /* of a wrong answer on each requirement */
    double lateness_s; /* our own p99, or our loop's, beyond it (or beyond 1 % of the median
                        * latency, if more) is LEVEL_OWN_LIMIT */
    double expected[LOAD_STREAMS_MAX]; /* requests of the whole window; NaN unknown */
    /* Numbers n, n + turns, n + 2 turns, ... of a stream leave in that order; 0: they leave in
     * none, so that what is not there yet may leave at any time. */
    int turns[LOAD_STREAMS_MAX];
    /* One more than the stream that began the turns which this one is a step of; 0: it is none. */
    size_t begun[LOAD_STREAMS_MAX];
    bool has_more; /* requirements that are looked at elsewhere, at the end: no early "met" */
};

/* Of a comparison of a metric with a number that can be told from single requests. False: it is of
 * another kind. `name` is how the metric of `id` is written. */
bool level_bound_of(const struct expr *expr, size_t id, struct metric_ref ref,
                    struct level_bound *ret_bound);

/* "METRIC OP number": its operator and its number. */
bool level_plain_limit(const struct expr *expr, size_t id, const char **ret_op, double *ret_limit);
/* The limit of "METRIC < number" (or "<="), whatever the metric is; false: it is no such
 * comparison. */
bool level_limit_of(const struct expr *expr, size_t id, double *ret_limit);
/* Is it a time that is counted from the request's own send (latency, ttft, content)? */
bool level_is_own_time(enum metric metric);
/* A request's value of that metric: latency, ttft, content, turn or rtf; NaN: it has none. */
double level_value_of(enum metric metric, const struct load_record *record);
/* Is this request over? A failed one is. */
bool level_bound_over(const struct level_bound *bound, const struct load_record *record);

/* Fills `turns` and `begun` as the streams of `load` send. */
void level_plan_turns(struct level_plan *plan, const struct load_plan *load);

struct level_check; /* opaque */
struct level_check *level_check_new(const struct level_plan *plan);
struct level_check *level_check_free(struct level_check *check);
AUTO_FN(struct level_check, level_check_free)

/* When the window begins, once that is known; before the first record. */
void level_check_begin(struct level_check *check, int64_t window_start_ns);
/* Any record of the run; those outside the window only keep the order. */
void level_check_add(struct level_check *check, const struct load_record *record);
/* STATS_OPEN: go on. */
enum stats_answer level_check_look(struct level_check *check, int64_t now_ns);
/* All records that will come have come. `until_ns`: when the window was left, if before its end;
 * else CLOCK_NEVER. `report`: the worker's last word about itself. Texts are in the arena. */
enum stats_level level_check_close(struct level_check *check, int64_t until_ns,
                                   const struct load_report *report, struct arena *arena,
                                   struct store_capacity_point *ret_point);
/* The requirement that was certainly missed, and how, in the arena; NULL: none was. */
const char *level_check_missed(const struct level_check *check, struct arena *arena);
/* The same as numbers: which of the plan's bounds, and what was counted of it (all but `service`);
 * false: none was. */
bool level_check_missed_counts(const struct level_check *check, size_t *ret_bound,
                               struct store_requirement *ret_counts);
/* Requests of a stream so far, within the window. */
uint64_t level_check_count(const struct level_check *check, size_t stream);
