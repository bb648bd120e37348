/* The check is the capacity search's: one rule for "certainly too much". Rejected: leaving on the
 * first requirement whose value is over its limit, as a p95 of ten requests is near their maximum;
 * and leaving finals early, whose runs have to be as long as each other.
 *
 * Invariant: a window that was left has failed; its numbers rank nobody, and its requests' times,
 * which are those of the quick ones, are told nowhere: what is told is how many were over. */
#include "trial/early.h"

#include "trial/finding.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ERROR = 0.01;
static const int64_t LOOK_EVERY_NS = NS_PER_S / 10;

struct early {
    struct run *run;
    struct level_check *check;        /* owned */
    const struct level_bound *bounds; /* of its plan; in the attempt's arena */
    size_t taken[LOAD_STREAMS_MAX];
    bool begun, failed; /* a request failed: the judge gets the whole window */
    int64_t last_ok_ns;
};

/* Bounds of all loaded services, by stream. */
static size_t gather(struct attempt *attempt, const struct run *run, struct level_bound *ret_bounds)
{
    size_t total = 0;
    for (size_t s = 0; s < run->plan.stream_count; s++) {
        size_t count = 0;
        const struct level_bound *bounds =
            finding_bounds(attempt->study, attempt->stream_service[s], attempt->arena, &count);
        for (size_t b = 0; b < count && total < LEVEL_BOUNDS_MAX; b++) {
            ret_bounds[total] = bounds[b];
            ret_bounds[total++].stream = s;
        }
    }
    return total;
}

struct early *early_new(struct attempt *attempt, struct run *run)
{
    struct level_bound *bounds = arena_array(attempt->arena, LEVEL_BOUNDS_MAX, sizeof *bounds);
    struct level_plan plan = {.bounds = bounds,
                              .metric = METRIC_LATENCY,
                              .window_ns = run->plan.window_ns,
                              .error = ERROR,
                              .lateness_s = INFINITY, /* the trial's judge looks at that */
                              .has_more = true};
    double window_s = (double)run->plan.window_ns / NS_PER_S;
    if (strcmp(attempt->request->purpose, "explore") != 0)
        return NULL;
    for (size_t s = 0; s < run->plan.stream_count; s++) {
        const struct load_stream *stream = &run->plan.streams[s];
        if (load_plan_moves(&run->plan))
            return NULL;
        plan.expected[s] = stream->rate_rps > 0 ? stream->rate_rps * window_s : NAN;
    }
    level_plan_turns(&plan, &run->plan);
    plan.bound_count = gather(attempt, run, bounds);
    if (plan.bound_count == 0)
        return NULL;
    struct early *early = calloc(1, sizeof *early);
    if (!early)
        abort();
    early->run = run;
    early->check = level_check_new(&plan);
    early->bounds = bounds;
    return early;
}

struct early *early_free(struct early *early)
{
    if (early)
        level_check_free(early->check);
    free(early);
    return NULL;
}

void early_settle(struct run *run)
{
    for (size_t s = 0; s < run->plan.stream_count; s++)
        for (size_t i = 0; i < run->answers[s].count; i++) {
            struct load_record *r = &run->answers[s].items[i].record;
            if (r->error == LOAD_UNFINISHED) /* dropped by us: no failure of the service */
                r->part = LOAD_WARMUP;
        }
    run->report.window_end_ns = run->left_ns;
    run->report.complete = true;
    run->report.failure[0] = '\0';
}

static bool is_missed(struct early *early, int64_t now_ns, int64_t window_start_ns)
{
    if (!early->begun)
        level_check_begin(early->check, window_start_ns);
    early->begun = true;
    for (size_t s = 0; s < early->run->plan.stream_count; s++)
        for (; early->taken[s] < early->run->answers[s].count; early->taken[s]++) {
            const struct load_record *r = &early->run->answers[s].items[early->taken[s]].record;
            level_check_add(early->check, r);
            early->failed = early->failed || (r->error != LOAD_OK && r->error != LOAD_RELOAD);
            if (r->error == LOAD_OK && r->done_ns > early->last_ok_ns)
                early->last_ok_ns = r->done_ns;
        }
    /* One that fails or falls silent is another case than a slow one, told by its whole window. */
    if (early->failed || now_ns - early->last_ok_ns > NS_PER_S)
        return false;
    return level_check_look(early->check, now_ns) == STATS_MISSED;
}

static void note_missed(struct early *early, struct attempt *attempt)
{
    size_t at = 0;
    struct store_requirement counts;
    struct run *run = early->run;
    run->left_why = level_check_missed(early->check, attempt->arena);
    if (!level_check_missed_counts(early->check, &at, &counts))
        return;
    run->missed_stream = early->bounds[at].stream;
    counts.service = attempt->study->services[attempt->stream_service[run->missed_stream]].name;
    run->missed = counts;
}

enum wait_end early_wait(struct early *early, struct attempt *attempt, int64_t until_ns,
                         size_t *ret_service, int64_t *ret_left_ns)
{
    *ret_left_ns = 0;
    if (!early)
        return attempt_wait(attempt, until_ns, ret_service);
    for (;;) {
        int64_t now_ns = clock_now_ns(), next_ns = now_ns + LOOK_EVERY_NS;
        bool last = next_ns >= until_ns;
        enum wait_end end = attempt_wait(attempt, last ? until_ns : next_ns, ret_service);
        if (end != WAIT_TIME || last)
            return end;
        now_ns = clock_now_ns();
        if (is_missed(early, now_ns, load_worker_report(attempt->worker)->window_start_ns)) {
            load_worker_stop(attempt->worker);
            *ret_left_ns = now_ns;
            note_missed(early, attempt);
            return WAIT_TIME;
        }
    }
}
