/* Requests against what is up: the mixed load, then each service alone.
 *
 * At the window's first and last instant this process takes readings (trial/contention.h); their
 * differences are the window's CPU use and its contention. They are taken here, in the process that
 * does not send. */
#include "trial/contention.h"
#include "trial/early.h"
#include "trial/finding.h"
#include "trial/live.h"
#include "trial/ratio.h"
#include "trial/run.h"
#include "trial/scrape.h"
#include "trial/watch.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int64_t START_STEP_NS = 2 * NS_PER_MS;
/* How far from the window's ends our readings may be: at once is not possible on a busy machine. */
static const double READINGS_LATE_MIN_S = 0.5, READINGS_LATE_RATIO = 0.1;

/* Differences of the two readings into facts: contention is the worst of the trial's windows. */
static void note_window(struct attempt *attempt, const struct contention_readings *before,
                        const struct contention_readings *after, bool shared)
{
    const struct spec_study *study = attempt->study;
    for (size_t i = 0; i < study->service_count && shared; i++)
        attempt->window_cpu_s[i] =
            (double)(after->tree_cpu_ns[i] - before->tree_cpu_ns[i]) / NS_PER_S;
    if (shared) {
        attempt->own_cpu_s = (double)(after->own_cpu_ns - before->own_cpu_ns) / NS_PER_S;
        attempt->worker_cpu_s = (double)(after->worker_cpu_ns - before->worker_cpu_ns) / NS_PER_S;
    }
    const struct contention found = contention_between(attempt, before, after);
    if (isnan(attempt->facts.contention_ratio) || found.ratio > attempt->facts.contention_ratio) {
        attempt->facts.contention_ratio = found.ratio;
        attempt->facts.steal_ratio = found.steal_ratio;
        attempt->facts.contenders = found.ratio > study->measure.contention_ratio
                                        ? contention_names(attempt, before, after)
                                        : NULL;
    }
}

/* Readings say something about the window only if they were taken at its two ends: we may have been
 * stopped, or starved, while the worker went on. */
static void note_readings(struct attempt *attempt, const struct contention_readings *before,
                          const struct contention_readings *after, const struct load_report *report)
{
    double window_s = (double)(report->window_end_ns - report->window_start_ns) / NS_PER_S;
    double bound_s = fmax(READINGS_LATE_MIN_S, READINGS_LATE_RATIO * window_s);
    if (!before->activity || !after->activity) {
        attempt->facts.readings_failure =
            "our own readings of the window are missing: we were stopped";
        return;
    }
    double start_s = fabs((double)(before->machine.at_ns - report->window_start_ns)) / NS_PER_S;
    double end_s = fabs((double)(after->machine.at_ns - report->window_end_ns)) / NS_PER_S;
    double late_s = fmax(start_s, end_s);
    if (late_s > bound_s)
        attempt->facts.readings_failure =
            arena_printf(attempt->arena,
                         "our own readings of the window were %.1f s late: we were "
                         "stopped or starved",
                         late_s);
}

static void note_lateness(struct attempt *attempt, const struct load_report *report, bool shared)
{
    if (!report->complete) {
        attempt->facts.worker_failure = arena_strdup(
            attempt->arena, report->failure[0] ? report->failure : "it ended without a report");
        return;
    }
    struct judge_facts *facts = &attempt->facts;
    attempt->lateness_p99_s = fmax(attempt->lateness_p99_s, report->lateness_p99_s);
    attempt->stall_p99_s = fmax(attempt->stall_p99_s, report->stall_p99_s);
    attempt->stall_max_s = fmax(attempt->stall_max_s, report->stall_max_s);
    facts->stall_p99_s = fmax(facts->stall_p99_s, report->stall_p99_s);
    if (shared || report->lateness_p99_s > facts->lateness_p99_s)
        facts->lateness_p99_s = report->lateness_p99_s;
}

/* 1 % of the fastest service's median latency where that is more than the study's bound. */
static double lateness_bound_s(const struct attempt *attempt)
{
    double bound = (double)attempt->study->measure.lateness_ns / NS_PER_S, median = NAN;
    for (size_t i = 0; i < attempt->study->service_count; i++)
        median = fmin(median, attempt->facts.services[i].median_s); /* passes over the NaN */
    return median * 0.01 > bound ? median * 0.01 : bound;
}

/* Answers of the stream that began the chain which this one is a step of; NULL: it is none. */
static const struct answer_list *chain_begun(const struct run *run, size_t stream)
{
    size_t at = stream;
    while (run->plan.streams[at].arrivals == ARRIVALS_AFTER)
        at = run->plan.streams[at].after;
    return at != stream ? &run->answers[at] : NULL;
}

struct metrics_input run_metrics_input(const struct attempt *attempt, const struct run *run,
                                       size_t s, const char *mode)
{
    size_t i = attempt->stream_service[s];
    const struct spec_service *service = &attempt->study->services[i];
    const struct spec_protocol *protocol =
        spec_candidate_protocol(attempt->study, &attempt->request->candidate, i);
    struct finding_limits *limits = arena_alloc(attempt->arena, sizeof *limits);
    *limits = finding_limits_of(attempt->study, i);
    struct metrics_input input = {
        .service = service->name,
        .mode = mode,
        .answers = &run->answers[s],
        .window_start_ns = run->report.window_start_ns,
        .window_end_ns = run->report.window_end_ns,
        .corpus = &attempt->runner->options.corpora[i],
        .normaliser = run->plan.streams[s].normaliser,
        .sources = spec_load_sources(protocol, &service->load),
        .seed = attempt->study->seed,
        .begun = chain_begun(run, s),
        .limits = limits,
        .left = run->left_ns != 0,
        .missed = run->missed.answer && run->missed_stream == s ? &run->missed : NULL,
        .moving = load_plan_moves(&run->plan),
    };
    input.bounds = finding_bounds(attempt->study, i, attempt->arena, &input.bound_count);
    input.ratios = ratio_bounds(attempt->study, i, attempt->arena, &input.ratio_count);
    return input;
}

static void note_left(struct attempt *attempt, const struct run *run,
                      const struct load_window *window)
{
    double of_s = (double)window->window_ns / NS_PER_S;
    attempt->facts.left_early =
        arena_printf(attempt->arena, "left after %.1f s of %.0f s: certainly missed: %s",
                     attempt->facts.window_s, of_s, run->left_why);
    attempt->facts.left_goal = (struct goal_result){
        .failed = arena_printf(attempt->arena, "%s after %.1f s of %.0f s, certainly missed",
                               run->left_why, attempt->facts.window_s, of_s),
        .failed_service = (int)attempt->stream_service[run->missed_stream],
    };
}

/* A worker that did not come to its report has told only a part, and maybe not even when its window
 * began: no number is made of that. */
static void collect(struct attempt *attempt, struct run *run, const struct load_window *window)
{
    bool shared = window->only < 0;
    note_lateness(attempt, &run->report, shared);
    if (!run->report.complete)
        return;
    for (size_t s = 0; s < run->plan.stream_count; s++) {
        size_t i = attempt->stream_service[s];
        const struct metrics_input input = run_metrics_input(attempt, run, s, window->mode);
        attempt_add_metrics(attempt, &input, shared ? &attempt->facts.services[i] : NULL);
        if (shared)
            attempt_note_log(attempt, i);
    }
    if (shared) {
        attempt->facts.measured = true;
        attempt->facts.window_s =
            (double)(run->report.window_end_ns - run->report.window_start_ns) / NS_PER_S;
        if (run->left_why)
            note_left(attempt, run, window);
        attempt->facts.lateness_bound_s = lateness_bound_s(attempt);
    }
}

void run_link_chains(const struct attempt *attempt, struct load_plan *plan)
{
    for (size_t s = 0; s < plan->stream_count; s++) {
        const struct spec_load *load = &attempt->study->services[attempt->stream_service[s]].load;
        for (size_t k = 0; load->after && k < plan->stream_count; k++)
            if (attempt->stream_service[k] == load->after_service)
                plan->streams[s].after = k;
    }
}

/* Is the service loaded in this window? What follows another has no load of its own. */
static bool is_loaded(const struct attempt *attempt, const struct load_window *window, size_t i)
{
    const struct spec_load *load = &attempt->study->services[i].load;
    if (!load->given || !live_is_here(attempt, i))
        return false;
    return window->only < 0 || (window->only == (int)i && !load->after);
}

static void plan_load(struct attempt *attempt, struct run *run, const struct load_window *window)
{
    struct load_plan *plan = &run->plan;
    plan->seed = attempt->study->seed;
    plan->salt = arena_printf(attempt->arena, "trial %" PRId64 " %s", attempt->request->number,
                              window->mode);
    plan->warmup_ns = window->warmup_ns;
    plan->window_ns = window->window_ns;
    plan->drain_ns = attempt->study->measure.drain_ns;
    plan->workers = attempt->request->workers;
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        if (!is_loaded(attempt, window, i))
            continue;
        attempt->stream_service[plan->stream_count] = i;
        run_fill_stream(attempt, i, &plan->streams[plan->stream_count++]);
    }
    run_link_chains(attempt, plan);
}

/* Until the worker has prepared its requests and says when its window is; WAIT_TIME when it has. */
static enum wait_end await_start(struct attempt *attempt, size_t *ret_ended)
{
    int64_t deadline_ns = clock_now_ns() + RUN_SLACK_NS;
    for (;;) {
        int64_t now_ns = clock_now_ns();
        enum wait_end end = attempt_wait(attempt, now_ns + START_STEP_NS, ret_ended);
        if (end != WAIT_TIME || load_worker_report(attempt->worker)->start_ns != 0 ||
            now_ns >= deadline_ns)
            return end;
    }
}

/* Warm-up, window and drain, one wait each; readings at the window's two ends. */
static enum wait_end run_window(struct attempt *attempt, struct run *run,
                                const struct load_window *window,
                                struct contention_readings *before,
                                struct contention_readings *after, size_t *ret_ended)
{
    bool shared = window->only < 0;
    enum trial_phase measure = shared ? PHASE_MEASURE : PHASE_ALONE;
    const char *who = shared ? NULL : attempt->study->services[window->only].name;
    int64_t start_ns = clock_now_ns();
    attempt_progress(attempt, shared ? PHASE_WARMUP : PHASE_ALONE, who,
                     (double)window->warmup_ns / NS_PER_S);
    enum wait_end end = await_start(attempt, ret_ended);
    int64_t window_at_ns = load_worker_report(attempt->worker)->window_start_ns;
    if (end == WAIT_TIME)
        end = attempt_wait(attempt, window_at_ns, ret_ended);
    if (shared)
        attempt_phase(attempt, PHASE_WARMUP, start_ns, NULL);
    if (end != WAIT_TIME)
        return end;
    contention_take(attempt, before);
    if (shared)
        scrape_window_begin(attempt);
    watch_window_begin(attempt, shared);
    attempt_progress(attempt, measure, who, (double)window->window_ns / NS_PER_S);
    AUTO(early_free) struct early *early = shared ? early_new(attempt, run) : NULL;
    end = early_wait(early, attempt, window_at_ns + window->window_ns, ret_ended, &run->left_ns);
    contention_take(attempt, after);
    watch_window_end(attempt);
    if (shared)
        scrape_window_end(attempt);
    attempt_phase(attempt, measure, window_at_ns, run->left_ns ? "left early" : who);
    if (end != WAIT_TIME)
        return end;
    int64_t drain_at_ns = clock_now_ns();
    attempt_progress(attempt, PHASE_DRAIN, who, NAN);
    end = attempt_wait(attempt, drain_at_ns + run->plan.drain_ns + RUN_SLACK_NS, ret_ended);
    if (shared) {
        attempt_phase(attempt, PHASE_DRAIN, drain_at_ns, NULL);
        watch_note_state(attempt);
    }
    return end;
}

bool attempt_load(struct attempt *attempt, const struct load_window *window, enum load_end *ret_end,
                  struct err *err)
{
    struct run *run = arena_alloc(attempt->arena, sizeof *run);
    plan_load(attempt, run, window);
    *ret_end = LOAD_RAN;
    if (run->plan.stream_count == 0)
        return true;
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    if (!load_worker_start(&run->plan, &worker, err))
        return err_wrap(err, "loading %s", window->mode);
    run_begin(attempt, run, worker);
    struct contention_readings before = {0}, after = {0};
    size_t ended = 0;
    enum wait_end end = run_window(attempt, run, window, &before, &after, &ended);
    bool ok = run_finish(attempt, run, end, ended, err);
    if (run->left_ns)
        early_settle(run);
    bool whole = load_worker_pid(worker) > 0 || run->report.complete;
    if (ok && whole && before.activity && after.activity)
        note_window(attempt, &before, &after, window->only < 0);
    if (ok && run->report.complete)
        note_readings(attempt, &before, &after, &run->report);
    run_end(attempt, run);
    contention_done(&before);
    contention_done(&after);
    if (!ok)
        return false;
    for (size_t s = 0; s < run->plan.stream_count && !run->service_ended; s++)
        run->service_ended = run_died_with_service(attempt, &run->answers[s], &ended);
    if (run->service_ended) {
        attempt_note_end(attempt, ended, SERVICE_ENDED, PHASE_MEASURE, NULL);
        *ret_end = LOAD_SERVICE_ENDED;
        return true;
    }
    collect(attempt, run, window);
    return true;
}
