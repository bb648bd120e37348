/* Inside trial/: one load worker's run, from plan to report. */
#pragma once

#include "base/clock.h"
#include "trial/attempt.h"

#define RUN_SLACK_NS (10 * NS_PER_S) /* for a worker's start and end */

/* Runs a plan to its end while waiting; the worker is freed on every path. */
struct run {
    struct load_plan plan;
    struct answer_list answers[LOAD_STREAMS_MAX];
    struct load_report report;
    pid_t pids[LOAD_WORKERS_MAX]; /* of its workers */
    size_t pid_count;
    bool service_ended;
    int64_t left_ns;      /* when the window was left early; 0: it was not */
    const char *left_why; /* which requirement was missed by then; NULL: it was not left */
    size_t missed_stream; /* whose it is, and its counts; when left */
    struct store_requirement missed;
    size_t ended;
};

/* What the candidate asks of service `i`, on the port where it is. */
void run_fill_stream(struct attempt *attempt, size_t i, struct load_stream *stream);
/* Which of the plan's streams the one is that another follows; attempt->stream_service is filled.
 */
void run_link_chains(const struct attempt *attempt, struct load_plan *plan);
/* All that is asked of the answers of a stream, once its run is over. Limits and bounds are in the
 * arena; the answers are borrowed. */
struct metrics_input run_metrics_input(const struct attempt *attempt, const struct run *run,
                                       size_t stream, const char *mode);
void run_begin(struct attempt *attempt, struct run *run, struct load_worker *worker);
/* Takes the worker's report; false (ERR_STOPPED) when we were asked to stop. */
NODISCARD bool run_finish(struct attempt *attempt, struct run *run, enum wait_end end, size_t ended,
                          struct err *err);
void run_end(struct attempt *attempt, const struct run *run);
/* A dying server's connections end before its death is seen here: a connection that ended is looked
 * at again after a moment, or a crash would be called a failed request. */
bool run_died_with_service(struct attempt *attempt, const struct answer_list *answers,
                           size_t *ret_ended);
/* The first probe was answered at `answered_ns` and proves nothing yet. Could a second one, as long
 * as the first was, be answered and looked at within 3 s of that? Whatever it takes where the
 * proof is contradicted: one request alone contradicts nothing. */
bool run_may_probe_again(const struct device_proof *proof, int64_t answered_ns, int64_t now_ns,
                         int64_t request_ns);
