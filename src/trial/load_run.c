/* Requests against what is up: one probe each, then the mixed load, then each service alone.
 *
 * Between the window's first and last instant this process takes two sets of readings (core time of
 * the machine, of our trees, of everybody else); their differences are the window's CPU use and its
 * contention. They are taken here, in the process that does not send. */
#include "device/machine.h"
#include "trial/attempt.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "service/stray.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int64_t WORKER_SLACK_NS = 10 * NS_PER_S; /* for its start and end */
static const int64_t DEATH_NOTICE_NS = NS_PER_S / 2;
static const int64_t START_STEP_NS = 2 * NS_PER_MS;
/* How far from the window's ends our readings may be: at once is not possible on a busy machine. */
static const double READINGS_LATE_MIN_S = 0.5, READINGS_LATE_RATIO = 0.1;

/* Protocol settings with their placeholders filled in. */
static const struct spec_setting *expand_settings(struct attempt *attempt, size_t i,
                                                  size_t *ret_count)
{
    const struct spec_load *load = &attempt->study->services[i].load;
    struct spec_setting *out = arena_array(attempt->arena, load->setting_count, sizeof *out);
    size_t count = 0;
    for (size_t k = 0; k < load->setting_count; k++) {
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        if (!spec_setting_expand(attempt->study, &attempt->request->candidate, i,
                                 load->settings[k].text, attempt->runner->services[i].launch.port,
                                 attempt->runner->services[i].launch.scratch, &text))
            continue;
        out[count] = load->settings[k];
        out[count++].text = arena_strdup(attempt->arena, buf_text(&text));
    }
    *ret_count = count;
    return out;
}

static void fill_stream(struct attempt *attempt, size_t i, struct load_stream *stream)
{
    const struct spec_service *spec = &attempt->study->services[i];
    const struct spec_protocol *protocol =
        spec_candidate_protocol(attempt->study, &attempt->request->candidate, i);
    const char *path = spec->protocol_path ? spec->protocol_path : protocol->path;
    size_t setting_count = 0;
    const struct spec_setting *settings = expand_settings(attempt, i, &setting_count);
    *stream = (struct load_stream){
        .name = spec->name,
        .protocol = load_protocol_find(protocol->name),
        .url = arena_printf(attempt->arena, "http://127.0.0.1:%d%s",
                            attempt->runner->services[i].launch.port, path),
        .settings = settings,
        .setting_count = setting_count,
        .corpus = &attempt->runner->options.corpora[i],
        .arrivals = spec->load.arrivals,
        .rate_rps = spec->load.rate_rps,
        .concurrency = spec->load.concurrency,
        .max_tokens = spec->load.max_tokens,
        .timeout_ns = spec->load.timeout_ns,
        .reuse_connection = spec->load.reuse_connection,
    };
}

/* Runs a plan to its end while waiting; the worker is freed on every path. */
struct run {
    struct load_plan plan;
    struct answer_list answers[LOAD_STREAMS_MAX];
    struct load_report report;
    pid_t pid; /* of its worker */
    bool service_ended;
    size_t ended;
};

static bool finish_run(struct attempt *attempt, struct run *run, enum wait_end end, size_t ended,
                       struct err *err)
{
    if (end == WAIT_CANCEL)
        return err_set(err, ERR_STOPPED, "stopped during trial %" PRId64, attempt->request->number);
    run->service_ended = end == WAIT_SERVICE;
    run->ended = ended;
    run->report = *load_worker_report(attempt->worker);
    if (end == WAIT_TIME && !run->report.complete && !run->report.failure[0])
        snprintf(run->report.failure, sizeof run->report.failure, "it did not end in time");
    return true;
}

static void begin_run(struct attempt *attempt, struct run *run, struct load_worker *worker)
{
    run->pid = load_worker_pid(worker);
    service_child_add(run->pid);
    attempt->worker = worker;
    attempt->answers = run->answers;
}

static void end_run(struct attempt *attempt, const struct run *run)
{
    service_child_remove(run->pid); /* the worker has forgotten it once it is reaped */
    attempt->worker = NULL;
    attempt->answers = NULL;
}

/* A dying server's connections end before its death is seen here: a connection that ended is looked
 * at again after a moment, or a crash would be called a failed request. */
static bool died_with_it(struct attempt *attempt, const struct answer_list *answers,
                         size_t *ret_ended)
{
    if (answers->count == 0)
        return false;
    enum load_error error = answers->items[answers->count - 1].record.error;
    return (error == LOAD_CLOSED || error == LOAD_CONNECT || error == LOAD_TRUNCATED) &&
           attempt_wait(attempt, clock_now_ns() + DEATH_NOTICE_NS, ret_ended) == WAIT_SERVICE;
}

bool attempt_probe(struct attempt *attempt, size_t i, bool *ret_answered, struct err *err)
{
    struct running *running = &attempt->runner->services[i];
    struct device *device = attempt_device(attempt, i);
    pid_t keeper = service_process_status(running->process)->keeper;
    struct run *run = arena_alloc(attempt->arena, sizeof *run);
    fill_stream(attempt, i, &run->plan.streams[0]);
    run->plan.stream_count = 1;
    run->plan.seed = attempt->study->seed;
    run->plan.salt = arena_printf(attempt->arena, "probe %" PRId64, attempt->request->number);
    run->plan.probe = true;
    run->plan.window_ns = attempt->study->measure.probe_within_ns;
    run->plan.streams[0].arrivals = ARRIVALS_CLOSED;
    run->plan.streams[0].concurrency = 1;
    run->plan.streams[0].request_limit = 1;
    run->plan.streams[0].timeout_ns = attempt->study->measure.probe_within_ns;
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX; /* a probe is no progress of the load */

    attempt_progress(attempt, PHASE_PROBE, attempt->study->services[i].name, NAN);
    struct device_usage before, after;
    device_usage(device, keeper, &before);
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    if (!load_worker_start(&run->plan, &worker, err))
        return err_wrap(err, "probing %s", attempt->study->services[i].name);
    begin_run(attempt, run, worker);
    size_t ended = 0;
    enum wait_end end =
        attempt_wait(attempt, clock_now_ns() + run->plan.window_ns + WORKER_SLACK_NS, &ended);
    bool ok = finish_run(attempt, run, end, ended, err);
    end_run(attempt, run);
    if (!ok)
        return false;
    *ret_answered = false;
    if (run->service_ended || died_with_it(attempt, &run->answers[0], &ended)) {
        attempt_note_end(attempt, ended, SERVICE_ENDED, PHASE_PROBE, NULL);
        return true;
    }
    device_usage(device, keeper, &after);
    struct judge_service *facts = &attempt->facts.services[i];
    device_prove(device, &before, &after, attempt->study->services[i].on, &facts->proof);
    facts->probed = true;
    const struct answer_list *answers = &run->answers[0];
    if (answers->count == 0 || answers->items[0].record.error == LOAD_TIMEOUT ||
        answers->items[0].record.error == LOAD_UNFINISHED) {
        if (!run->report.complete)
            attempt->facts.worker_failure = arena_strdup(attempt->arena, run->report.failure);
        else
            attempt_note_end(attempt, i, SERVICE_SILENT, PHASE_PROBE, "no answer to one request");
        return true;
    }
    const struct load_record *record = &answers->items[0].record;
    if (isnan(running->first_request_s))
        running->first_request_s = load_latency_s(record);
    *ret_answered = record->error == LOAD_OK;
    if (!*ret_answered) { /* the judge looks at one request as it would at a window of one */
        facts->loaded = true;
        facts->requests = 1;
        facts->errors[record->error] = 1;
        facts->first_http_status = record->http_status;
        facts->first_error = answers->items[0].text;
        attempt_note_log(attempt, i);
    }
    return true;
}

struct window_readings {
    struct device_snapshot machine;
    struct device_activity *activity;
    int64_t tree_cpu_ns[SPEC_SERVICES_MAX];
    int64_t keepers_cpu_ns, worker_cpu_ns, own_cpu_ns;
};

static int64_t process_cpu_ns(pid_t pid)
{
    struct proc_stat stat;
    return proc_read_stat("/proc", pid, &stat) ? stat.cpu_ns : 0;
}

static void take_readings(struct attempt *attempt, struct window_readings *r)
{
    struct trial_runner *runner = attempt->runner;
    r->keepers_cpu_ns = 0;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        if (!runner->services[i].process)
            continue;
        pid_t keeper = service_process_status(runner->services[i].process)->keeper;
        struct device_usage usage;
        device_usage(attempt_device(attempt, i), keeper, &usage);
        r->tree_cpu_ns[i] = usage.cpu_ns;
        r->keepers_cpu_ns += process_cpu_ns(keeper);
    }
    pid_t worker = load_worker_pid(attempt->worker); /* 0: over already, its report has the total */
    r->worker_cpu_ns =
        worker > 0 ? process_cpu_ns(worker) : load_worker_report(attempt->worker)->cpu_ns;
    r->own_cpu_ns = clock_cpu_ns();
    r->activity = device_activity_take("/proc");
    device_machine_snapshot("/proc", &r->machine);
}

static const char *name_contenders(struct attempt *attempt, const struct window_readings *before,
                                   const struct window_readings *after)
{
    pid_t roots[SPEC_SERVICES_MAX + 1];
    size_t root_count = 0;
    roots[root_count++] = getpid();
    struct device_holder top[3];
    const struct spec_study *study = attempt->study;
    size_t count =
        device_activity_strangers(before->activity, after->activity, roots, root_count,
                                  study->neighbours, study->neighbour_count, top, ARRAY_LEN(top));
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    for (size_t k = 0; k < count; k++)
        buf_addf(&text, "%s%s (pid %d, %.2f cores)", text.len ? ", " : "", top[k].comm,
                 (int)top[k].pid, top[k].cpu_ratio);
    return text.len ? arena_strdup(attempt->arena, buf_text(&text)) : NULL;
}

/* Differences of the two readings into facts: contention is the worst of the trial's windows. */
static void note_window(struct attempt *attempt, const struct window_readings *before,
                        const struct window_readings *after, bool shared)
{
    const struct spec_study *study = attempt->study;
    int64_t own_ns = after->keepers_cpu_ns - before->keepers_cpu_ns + after->worker_cpu_ns -
                     before->worker_cpu_ns + after->own_cpu_ns - before->own_cpu_ns;
    for (size_t i = 0; i < study->service_count; i++) {
        int64_t tree_ns = after->tree_cpu_ns[i] - before->tree_cpu_ns[i];
        own_ns += tree_ns;
        if (shared)
            attempt->window_cpu_s[i] = (double)tree_ns / NS_PER_S;
    }
    own_ns += device_activity_neighbours_ns(before->activity, after->activity, study->neighbours,
                                            study->neighbour_count);
    int cores = device_machine_cores();
    double ratio = device_contention_ratio(&before->machine, &after->machine, own_ns, cores);
    if (shared) {
        attempt->own_cpu_s = (double)(after->own_cpu_ns - before->own_cpu_ns) / NS_PER_S;
        attempt->worker_cpu_s = (double)(after->worker_cpu_ns - before->worker_cpu_ns) / NS_PER_S;
    }
    if (isnan(attempt->facts.contention_ratio) || ratio > attempt->facts.contention_ratio) {
        attempt->facts.contention_ratio = ratio;
        double steal_ns =
            reading_value(after->machine.steal_ns) - reading_value(before->machine.steal_ns);
        double span_ns = (double)(after->machine.at_ns - before->machine.at_ns) * cores;
        attempt->facts.steal_ratio = steal_ns / span_ns;
        attempt->facts.contenders = ratio > study->measure.contention_ratio
                                        ? name_contenders(attempt, before, after)
                                        : NULL;
    }
}

/* Readings say something about the window only if they were taken at its two ends: we may have been
 * stopped, or starved, while the worker went on. */
static void note_readings(struct attempt *attempt, const struct window_readings *before,
                          const struct window_readings *after, const struct load_report *report)
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
    double p99 = report->lateness_p99_s;
    if (isnan(attempt->lateness_p99_s) || p99 > attempt->lateness_p99_s)
        attempt->lateness_p99_s = p99;
    if (shared || p99 > attempt->facts.lateness_p99_s)
        attempt->facts.lateness_p99_s = p99;
}

/* 1 % of the fastest service's median latency where that is more than the study's bound. */
static double lateness_bound_s(const struct attempt *attempt)
{
    double bound = (double)attempt->study->measure.lateness_ns / NS_PER_S, median = NAN;
    for (size_t k = 0; k < attempt->metric_count; k++) {
        const struct store_metric *m = &attempt->metrics[k];
        if (strcmp(m->mode, "shared") == 0 && strcmp(m->metric, "latency") == 0 &&
            strcmp(m->stat, "p50") == 0 && !(median < m->value))
            median = m->value;
    }
    return median * 0.01 > bound ? median * 0.01 : bound;
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
        const struct spec_protocol *protocol =
            spec_candidate_protocol(attempt->study, &attempt->request->candidate, i);
        struct metrics_input input = {
            .service = attempt->study->services[i].name,
            .mode = window->mode,
            .answers = &run->answers[s],
            .window_start_ns = run->report.window_start_ns,
            .window_end_ns = run->report.window_end_ns,
            .corpus = &attempt->runner->options.corpora[i],
            .sources = protocol->sources,
            .seed = attempt->study->seed,
        };
        attempt_add_metrics(attempt, &input, shared ? &attempt->facts.services[i] : NULL);
        if (shared)
            attempt_note_log(attempt, i);
    }
    if (shared) {
        attempt->facts.measured = true;
        attempt->facts.window_s = (double)window->window_ns / NS_PER_S;
        attempt->facts.lateness_bound_s = lateness_bound_s(attempt);
    }
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
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        if (!attempt->study->services[i].load.given ||
            (window->only >= 0 && window->only != (int)i))
            continue;
        attempt->stream_service[plan->stream_count] = i;
        fill_stream(attempt, i, &plan->streams[plan->stream_count++]);
    }
}

/* Until the worker has prepared its requests and says when its window is; WAIT_TIME when it has. */
static enum wait_end await_start(struct attempt *attempt, size_t *ret_ended)
{
    int64_t deadline_ns = clock_now_ns() + WORKER_SLACK_NS;
    for (;;) {
        int64_t now_ns = clock_now_ns();
        enum wait_end end = attempt_wait(attempt, now_ns + START_STEP_NS, ret_ended);
        if (end != WAIT_TIME || load_worker_report(attempt->worker)->start_ns != 0 ||
            now_ns >= deadline_ns)
            return end;
    }
}

/* Warm-up, window and drain, one wait each; readings at the window's two ends. */
static enum wait_end run_window(struct attempt *attempt, const struct run *run,
                                const struct load_window *window, struct window_readings *before,
                                struct window_readings *after, size_t *ret_ended)
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
    take_readings(attempt, before);
    attempt_progress(attempt, measure, who, (double)window->window_ns / NS_PER_S);
    end = attempt_wait(attempt, window_at_ns + window->window_ns, ret_ended);
    take_readings(attempt, after);
    attempt_phase(attempt, measure, window_at_ns, who);
    if (end != WAIT_TIME)
        return end;
    int64_t drain_at_ns = clock_now_ns();
    attempt_progress(attempt, PHASE_DRAIN, who, NAN);
    end = attempt_wait(attempt, drain_at_ns + run->plan.drain_ns + WORKER_SLACK_NS, ret_ended);
    if (shared)
        attempt_phase(attempt, PHASE_DRAIN, drain_at_ns, NULL);
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
    begin_run(attempt, run, worker);
    struct window_readings before = {0}, after = {0};
    size_t ended = 0;
    enum wait_end end = run_window(attempt, run, window, &before, &after, &ended);
    bool ok = finish_run(attempt, run, end, ended, err);
    bool whole = load_worker_pid(worker) > 0 || run->report.complete;
    if (ok && whole && before.activity && after.activity)
        note_window(attempt, &before, &after, window->only < 0);
    if (ok && run->report.complete)
        note_readings(attempt, &before, &after, &run->report);
    end_run(attempt, run);
    device_activity_free(before.activity);
    device_activity_free(after.activity);
    if (!ok)
        return false;
    for (size_t s = 0; s < run->plan.stream_count && !run->service_ended; s++)
        run->service_ended = died_with_it(attempt, &run->answers[s], &ended);
    if (run->service_ended) {
        attempt_note_end(attempt, ended, SERVICE_ENDED, PHASE_MEASURE, NULL);
        *ret_end = LOAD_SERVICE_ENDED;
        return true;
    }
    collect(attempt, run, window);
    return true;
}
