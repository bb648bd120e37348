/* Runs a plan to its end and keeps every record, texts shortened. */
#pragma once

#include "check.h"
#include "load/worker.h"

#include <poll.h>

enum { RECORDS_MAX = 4096 };

struct kept {
    struct load_record record;
    char text[128];
};

struct run {
    struct kept *kept; /* owned */
    size_t count;
    size_t by_error[LOAD_ERROR_COUNT_];
    struct load_report report;
};

/* Takes what there is; false once the worker has ended. */
static inline bool worker_take(struct load_worker *worker, struct run *run)
{
    struct load_result result;
    for (;;) {
        switch (load_worker_next(worker, &result)) {
        case LOAD_NEWS_NONE:
            return true;
        case LOAD_NEWS_END:
            run->report = *load_worker_report(worker);
            return false;
        case LOAD_NEWS_RESULT:
            assert_true(run->count < RECORDS_MAX);
            run->kept[run->count].record = result.record;
            snprintf(run->kept[run->count].text, sizeof run->kept->text, "%s", result.text);
            assert_int_equal(strlen(result.text), result.record.text_len);
            run->by_error[result.record.error]++;
            run->count++;
        }
    }
}

static inline void worker_wait(struct load_worker *worker, struct run *run)
{
    while (worker_take(worker, run)) {
        struct pollfd fd = {.fd = load_worker_fd(worker), .events = POLLIN};
        if (poll(&fd, 1, 60000) == 0)
            fail_msg("no news from the worker for a minute");
    }
}

static inline struct load_worker *worker_begin(const struct load_plan *plan, struct run *run)
{
    struct err err = ERR_INIT;
    struct load_worker *worker = NULL;
    *run = (struct run){.kept = calloc(RECORDS_MAX, sizeof *run->kept)};
    if (!load_worker_start(plan, &worker, &err))
        fail_msg("%s", err.text);
    return worker;
}

static inline struct run worker_run(const struct load_plan *plan)
{
    struct run run;
    struct load_worker *worker = worker_begin(plan, &run);
    worker_wait(worker, &run);
    for (size_t i = 0; i < plan->stream_count; i++) {
        struct load_progress p = load_worker_progress(worker, i);
        run.by_error[LOAD_OK] -= p.answered; /* put back below: they must agree */
        assert_true(p.failed <= run.count);
    }
    assert_int_equal(run.by_error[LOAD_OK], 0);
    for (size_t i = 0; i < run.count; i++)
        run.by_error[LOAD_OK] += run.kept[i].record.error == LOAD_OK;
    load_worker_free(worker);
    return run;
}
