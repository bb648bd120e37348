/* One worker from start to end, and its records on their way into results.
 *
 * The worker sends by itself; here somebody only reads, shows and looks whether to stop, so that a
 * slow terminal or a slow hook delays no send. A worker that does not end when it should is killed
 * and the window is broken: there is no state in which one is left behind. */
#include "bench/window.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "bench/results.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

enum { TICK_MS = 50 };
static const int64_t PREPARE_NS = 60 * NS_PER_S, SLACK_NS = 10 * NS_PER_S;

struct window {
    const struct load_plan *plan;
    const struct bench_hooks *hooks;
    struct load_worker *worker;
    struct bench_results *results;
    int64_t stopped_ns; /* when we asked it to end; CLOCK_NEVER: not */
    int64_t last_ns;    /* the last request's end */
    int64_t deadline_ns, tick_ns;
};

static void stop(struct window *w, enum bench_end why)
{
    if (w->stopped_ns != CLOCK_NEVER)
        return;
    w->stopped_ns = clock_now_ns();
    w->results->end = why;
    w->deadline_ns = w->stopped_ns + SLACK_NS;
    load_worker_stop(w->worker);
}

/* What the worker has told until now; true when it has ended. */
static bool take_news(struct window *w)
{
    struct load_result result;
    const struct load_report *report = load_worker_report(w->worker);
    for (;;) {
        enum load_news news = load_worker_next(w->worker, &result);
        if (news != LOAD_NEWS_RESULT)
            return news == LOAD_NEWS_END;
        if (result.record.done_ns > w->last_ns)
            w->last_ns = result.record.done_ns;
        bench_results_add(w->results, &w->plan->streams[0], report, &result,
                          w->stopped_ns != CLOCK_NEVER);
        w->results->report = *report; /* a hook may want to know when the window is */
        if (w->hooks->result && !w->hooks->result(w->hooks->context, &result, w->results))
            stop(w, BENCH_DECIDED);
    }
}

static int64_t span_ns(const struct load_plan *plan)
{
    if (plan->probe)
        return plan->streams[0].timeout_ns * (int64_t)plan->streams[0].request_limit;
    return plan->warmup_ns + plan->window_ns + plan->drain_ns;
}

static void keep(struct window *w)
{
    int64_t now_ns = clock_now_ns();
    const struct load_report *report = load_worker_report(w->worker);
    if (cancel_level() != CANCEL_NONE)
        stop(w, BENCH_STOPPED);
    if (report->start_ns != 0 && w->stopped_ns == CLOCK_NEVER)
        w->deadline_ns = report->start_ns + span_ns(w->plan) + SLACK_NS;
    if (w->hooks->tick && now_ns >= w->tick_ns) {
        w->tick_ns = now_ns + w->hooks->tick_ns;
        w->hooks->tick(w->hooks->context, w->results);
    }
}

/* False: it did not end in time. */
static bool follow(struct window *w)
{
    while (!take_news(w)) {
        keep(w);
        if (clock_now_ns() >= w->deadline_ns)
            return false;
        struct pollfd poll_fd = {.fd = load_worker_fd(w->worker), .events = POLLIN};
        if (poll(&poll_fd, 1, TICK_MS) < 0 && errno != EINTR)
            return false;
    }
    return true;
}

static void close_window(struct window *w, bool ended)
{
    struct load_report report = *load_worker_report(w->worker);
    int64_t until_ns = w->stopped_ns;
    /* A limit on requests ends the window with the last of them. */
    if (until_ns == CLOCK_NEVER && w->plan->streams[0].request_limit > 0)
        until_ns = w->last_ns;
    bench_results_close(w->results, &report, until_ns);
    if (w->results->end == BENCH_WHOLE && !(ended && report.complete))
        w->results->end = BENCH_BROKEN;
    if (!ended && !w->results->report.failure[0])
        snprintf(w->results->report.failure, sizeof w->results->report.failure,
                 "the load worker did not end in time");
}

bool bench_window(const struct load_plan *plan, const struct bench_hooks *hooks,
                  struct bench_results **ret_results, struct err *err)
{
    static const struct bench_hooks none = {0};
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    if (!load_worker_start(plan, &worker, err))
        return false;
    struct window w = {
        .plan = plan,
        .hooks = hooks ? hooks : &none,
        .worker = worker,
        .results = bench_results_new(&plan->streams[0]),
        .stopped_ns = CLOCK_NEVER,
        .last_ns = 0,
        .deadline_ns = clock_now_ns() + PREPARE_NS,
    };
    w.results->moving = load_plan_moves(plan);
    bool ended = follow(&w);
    close_window(&w, ended);
    *ret_results = w.results;
    return true;
}
