/* Capacity in a trial: one service's load is turned up, window by window, while the others keep
 * theirs.
 *
 * It comes after everything else was measured, and nothing of it enters the candidate's numbers:
 * being overloaded on purpose is no fault. A service that dies of it is another matter, and the
 * judge is told in which window. What the service held until then is kept apart from what it holds
 * here, for memory grows with the load.
 *
 * Many servers go on computing answers for clients that have left. After a level that was too much
 * one request is sent again and again, alone, until its answer is as quick as before; else the next
 * level would pay for the one before it.
 *
 * Rejected: the trial's own attempt_load() for each level. It notes contention, metrics and facts
 * of a window that counts, and always runs to its end. */
#include "trial/capacity.h"
#include "trial/capacity_rest.h"
#include "trial/contention.h"
#include "trial/finding.h"
#include "trial/level.h"
#include "trial/run.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WINDOWS_MAX = 60, STRETCH_MAX = 4 };
static const int64_t LOOK_EVERY_NS = 50 * NS_PER_MS;
static const int64_t SETTLE_WITHIN_NS = 60 * NS_PER_S;
/* "As quick as before": times the quickest median seen. */
static const double SETTLED_RATIO = 2;
/* How far below the first level it is looked for a rate that can be taken. */
static const double LEAST_RATIO = 1.0 / 128;
static const double ERROR = 0.05;

struct climb { /* one search */
    struct attempt *attempt;
    const struct spec_capacity *spec;
    struct level_bound bounds[LEVEL_BOUNDS_MAX]; /* stream: index of the service */
    size_t bound_count;
    struct spec_study rest;        /* the study with what can't be told from single requests only */
    const struct spec_study *all;  /* the study with all that is required here */
    struct finding_limits limits;  /* what a good answer of the service keeps of it */
    double rps[SPEC_SERVICES_MAX]; /* requests per second in the last window; NaN unknown */
    double best_rps;               /* the most answers per second in any window */
    double quickest_s; /* the smallest median in a window that was not too much; NaN none */
    int windows, workers;
    bool ended;         /* no more windows: somebody is down, or silent */
    const char *silent; /* who answers no more, and since when; NULL */
};

static const char *level_text(const struct climb *climb, double level)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    if (climb->spec->of == CAPACITY_OF_CONCURRENCY)
        buf_addf(&text, "concurrency %.0f", level);
    else
        metric_add_value(&text, UNIT_PER_SECOND, level);
    return arena_strdup(climb->attempt->arena, buf_text(&text));
}

/* ---- what is required ---- */

static bool add_bound(struct climb *climb, const struct spec_requirement *requirement)
{
    const struct spec_study *study = climb->attempt->study;
    size_t used = 0, at = 0;
    for (size_t id = 0; id < study->metric_ref_count; id++)
        if (expr_uses(requirement->expr, id)) {
            at = id;
            used++;
        }
    if (used != 1 || climb->bound_count == LEVEL_BOUNDS_MAX ||
        !level_bound_of(requirement->expr, at, study->metric_refs[at],
                        &climb->bounds[climb->bound_count]))
        return false;
    climb->bound_count++;
    return true;
}

static void split_requirements(struct climb *climb)
{
    const struct spec_capacity *spec = climb->spec;
    struct spec_study *all = arena_alloc(climb->attempt->arena, sizeof *all);
    *all = *climb->attempt->study;
    all->objective_count = 0;
    all->requirements = spec->requirements;
    all->requirement_count = spec->requirement_count;
    climb->all = all;
    climb->limits = finding_limits_of(all, spec->service);
    climb->rest = *all;
    climb->rest.requirement_count = 0;
    climb->rest.requirements = arena_array(climb->attempt->arena, spec->requirement_count,
                                           sizeof *climb->rest.requirements);
    for (size_t i = 0; i < spec->requirement_count; i++)
        if (!add_bound(climb, &spec->requirements[i]))
            climb->rest.requirements[climb->rest.requirement_count++] = spec->requirements[i];
}

/* What the points show: what the first requirement on this service's own times is about. */
static enum metric metric_shown(const struct climb *climb)
{
    for (size_t b = 0; b < climb->bound_count; b++)
        if (climb->bounds[b].stream == climb->spec->service &&
            level_is_own_time(climb->bounds[b].metric))
            return climb->bounds[b].metric;
    return METRIC_LATENCY;
}

/* Seconds after which a request of the service is over whatever it answers; 0: none is. */
static double patience_s(const struct climb *climb)
{
    double longest_s = 0;
    for (size_t b = 0; b < climb->bound_count; b++)
        if (climb->bounds[b].stream == climb->spec->service &&
            level_is_own_time(climb->bounds[b].metric))
            longest_s = fmax(longest_s, climb->bounds[b].limit);
    return longest_s;
}

/* ---- one window ---- */

static struct run *plan_window(struct climb *climb, const struct stats_capacity_probe *probe)
{
    struct attempt *attempt = climb->attempt;
    const struct spec_capacity *spec = climb->spec;
    struct run *run = arena_alloc(attempt->arena, sizeof *run);
    struct load_plan *plan = &run->plan;
    plan->seed = attempt->study->seed;
    plan->salt = arena_printf(
        attempt->arena, "trial %" PRId64 " capacity %s %s %s %d", attempt->request->number,
        attempt->study->services[spec->service].name, spec->beside ? "beside" : "alone",
        level_text(climb, probe->level), climb->windows++);
    plan->warmup_ns = spec->warmup_ns;
    plan->window_ns = spec->window_ns * probe->stretch;
    plan->drain_ns = attempt->study->measure.drain_ns;
    plan->workers = climb->workers;
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        if (!attempt->study->services[i].load.given || (!spec->beside && i != spec->service))
            continue;
        struct load_stream *stream = &plan->streams[plan->stream_count];
        run_fill_stream(attempt, i, stream);
        if (i == spec->service)
            capacity_set_level(stream, spec->of, probe->level, patience_s(climb), climb->best_rps);
        attempt->stream_service[plan->stream_count++] = i;
    }
    run_link_chains(attempt, plan);
    return run;
}

static struct level_check *plan_check(const struct climb *climb, const struct run *run,
                                      struct level_bound *bounds)
{
    const struct attempt *attempt = climb->attempt;
    struct level_plan plan = {
        .bounds = bounds,
        .bound_count = climb->bound_count,
        .limits = &climb->limits,
        .metric = metric_shown(climb),
        .window_ns = run->plan.window_ns,
        .error = ERROR,
        .lateness_s = (double)attempt->study->measure.lateness_ns / NS_PER_S,
        .has_more = climb->rest.requirement_count > 0,
    };
    double window_s = (double)run->plan.window_ns / NS_PER_S;
    level_plan_turns(&plan, &run->plan);
    for (size_t s = 0; s < run->plan.stream_count; s++) {
        const struct load_stream *stream = &run->plan.streams[s];
        size_t service = attempt->stream_service[s];
        plan.stream = service == climb->spec->service ? s : plan.stream;
        plan.expected[s] =
            stream->rate_rps > 0 ? stream->rate_rps * window_s : climb->rps[service] * window_s;
        for (size_t b = 0; b < climb->bound_count; b++)
            if (climb->bounds[b].stream == service)
                bounds[b].stream = s;
    }
    return level_check_new(&plan);
}

struct window_end {
    enum wait_end wait;
    size_t service;   /* who ended */
    int64_t until_ns; /* when it was decided; CLOCK_NEVER: not before its end */
    struct contention_readings before, after; /* at the window's ends, or when it was decided */
};

static void hand_over(struct attempt *attempt, struct run *run, struct level_check *check,
                      size_t *taken)
{
    for (size_t s = 0; s < run->plan.stream_count; s++)
        for (; taken[s] < run->answers[s].count; taken[s]++)
            level_check_add(check, &run->answers[s].items[taken[s]].record);
    (void)attempt;
}

/* Until it is decided, over, or somebody has ended. */
static struct window_end watch_level(struct attempt *attempt, struct run *run,
                                     struct level_check *check)
{
    size_t taken[LOAD_STREAMS_MAX] = {0};
    struct window_end end = {.until_ns = CLOCK_NEVER};
    int64_t deadline_ns = clock_now_ns() + run->plan.warmup_ns + run->plan.window_ns +
                          run->plan.drain_ns + 2 * RUN_SLACK_NS;
    bool begun = false;
    do {
        int64_t now_ns = clock_now_ns();
        const struct load_report *report = load_worker_report(attempt->worker);
        end.wait = attempt_wait(attempt, now_ns + LOOK_EVERY_NS, &end.service);
        if (report->window_start_ns == 0)
            continue;
        if (!begun)
            level_check_begin(check, report->window_start_ns);
        begun = true;
        now_ns = clock_now_ns();
        if (!end.before.activity && now_ns >= report->window_start_ns)
            contention_take(attempt, &end.before);
        bool open = now_ns < report->window_start_ns + run->plan.window_ns;
        hand_over(attempt, run, check, taken);
        bool decided = open && level_check_look(check, now_ns) != STATS_OPEN;
        if ((decided || !open) && end.before.activity && !end.after.activity)
            contention_take(attempt, &end.after);
        if (decided) {
            end.until_ns = now_ns;
            break;
        }
    } while (end.wait == WAIT_TIME && clock_now_ns() < deadline_ns);
    return end;
}

/* What is in flight is dropped: how late the worker was itself is what its window is left with. */
static void hear_of_itself(struct attempt *attempt, struct window_end *end)
{
    load_worker_stop(attempt->worker);
    end->wait = attempt_wait(attempt, clock_now_ns() + RUN_SLACK_NS, &end->service);
}

/* Requirements on means, gaps and the like: by the window's own metrics, as the goal's are. */
static enum stats_level judge_rest(struct climb *climb, struct run *run, enum stats_level outcome,
                                   bool *ret_longer_helps, const char **ret_broke)
{
    struct attempt scratch = *climb->attempt;
    scratch.study = climb->all; /* a good request is one that keeps what is required here */
    scratch.metrics = NULL;
    scratch.metric_count = scratch.metric_capacity = 0;
    scratch.requests = NULL;
    scratch.request_count = scratch.request_capacity = 0;
    scratch.requirements = NULL;
    scratch.requirement_count = scratch.requirement_capacity = 0;
    scratch.utterances = NULL;
    scratch.utterance_count = scratch.utterance_capacity = 0;
    for (size_t s = 0; s < run->plan.stream_count; s++) {
        const struct metrics_input input = run_metrics_input(&scratch, run, s, "shared");
        attempt_add_metrics(&scratch, &input, NULL);
    }
    return capacity_judge_rest(&climb->rest, scratch.metrics, scratch.metric_count, outcome,
                               scratch.arena, ret_longer_helps, ret_broke);
}

/* Was somebody else at work, so that what was missed may be their doing? Readings lag by a clock
 * tick for each process: of a window left early some hundredths of a second are no evidence. */
static const char *disturbed_by(struct climb *climb, const struct window_end *end)
{
    static const double TICKS_S = 0.05;
    struct attempt *attempt = climb->attempt;
    if (!end->before.activity || !end->after.activity)
        return NULL;
    double span_s = (double)(end->after.machine.at_ns - end->before.machine.at_ns) / NS_PER_S;
    double bound = attempt->study->measure.contention_ratio +
                   TICKS_S / (span_s * (double)device_machine_cores());
    const struct contention found = contention_between(attempt, &end->before, &end->after);
    if (!(found.ratio > bound))
        return NULL;
    const char *names = contention_names(attempt, &end->before, &end->after);
    return arena_printf(attempt->arena, "others used %.0f %% of the cores%s%s", 100 * found.ratio,
                        names ? ": " : "", names ? names : "");
}

static void learn(struct climb *climb, const struct run *run, const struct level_check *check,
                  const struct store_capacity_point *point, enum stats_level outcome)
{
    for (size_t s = 0; s < run->plan.stream_count; s++)
        if (point->window_s > 0)
            climb->rps[climb->attempt->stream_service[s]] =
                (double)level_check_count(check, s) / point->window_s;
    if (outcome == LEVEL_OWN_LIMIT || outcome == LEVEL_DISTURBED)
        return;
    climb->best_rps = fmax(climb->best_rps, isnan(point->answered_rps) ? 0 : point->answered_rps);
    /* The median of a level that was too much is its queue's. */
    if (outcome == LEVEL_MET || outcome == LEVEL_LEANS_MET)
        climb->quickest_s = fmin(climb->quickest_s, point->p50); /* passes over a NaN */
}

/* A service that has gone says so by its process, or by its last answer. */
static bool has_ended(struct climb *climb, struct run *run, const struct window_end *end,
                      double level)
{
    struct attempt *attempt = climb->attempt;
    size_t ended = end->service;
    bool is = end->wait == WAIT_SERVICE;
    for (size_t s = 0; s < run->plan.stream_count && !is; s++)
        is = run_died_with_service(attempt, &run->answers[s], &ended);
    if (!is)
        return false;
    climb->ended = true;
    attempt_note_end(attempt, ended, SERVICE_ENDED, PHASE_CAPACITY,
                     arena_printf(attempt->arena, "at %s%s%s", level_text(climb, level),
                                  ended == climb->spec->service ? "" : " of ",
                                  ended == climb->spec->service
                                      ? ""
                                      : attempt->study->services[climb->spec->service].name));
    return true;
}

/* ---- back to rest ---- */

/* Two requests alone, one after the other: like those of a level the second has no connection to
 * make. Its time, of the kind that levels are looked at by; NaN: not answered in time. */
static bool ask_alone(struct climb *climb, int64_t within_ns, double *ret_time_s, size_t *ret_ended,
                      enum wait_end *ret_wait, struct err *err)
{
    struct attempt *attempt = climb->attempt;
    struct run *run = arena_alloc(attempt->arena, sizeof *run);
    struct load_stream *stream = &run->plan.streams[0];
    run->plan.seed = attempt->study->seed;
    run->plan.salt = "capacity, settling";
    run->plan.probe = true;
    run->plan.window_ns = within_ns;
    run->plan.stream_count = 1;
    run_fill_stream(attempt, climb->spec->service, stream);
    stream->arrivals = ARRIVALS_CLOSED;
    stream->concurrency = 1;
    stream->request_limit = 2;
    stream->start_after_ns = 0;
    stream->timeout_ns = within_ns;
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX;
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    if (!load_worker_start(&run->plan, &worker, err))
        return err_wrap(err, "asking %s whether it has settled", stream->name);
    run_begin(attempt, run, worker);
    *ret_wait = attempt_wait(attempt, clock_now_ns() + within_ns + RUN_SLACK_NS, ret_ended);
    run_end(attempt, run);
    const struct answer_list *answers = &run->answers[0];
    *ret_time_s = NAN;
    if (answers->count > 0 && answers->items[answers->count - 1].record.error == LOAD_OK)
        *ret_time_s =
            level_value_of(metric_shown(climb), &answers->items[answers->count - 1].record);
    return true;
}

/* After an overload: until one request is answered as quickly as before. */
static bool settle(struct climb *climb, double level, struct err *err)
{
    struct attempt *attempt = climb->attempt;
    int64_t until_ns = clock_now_ns() + SETTLE_WITHIN_NS;
    double target_s = SETTLED_RATIO * climb->quickest_s, time_s = NAN;
    bool answered = false;
    for (int64_t now_ns = clock_now_ns(); now_ns < until_ns; now_ns = clock_now_ns()) {
        enum wait_end wait = WAIT_TIME;
        size_t ended = 0;
        if (!ask_alone(climb, until_ns - now_ns, &time_s, &ended, &wait, err))
            return false;
        if (wait == WAIT_CANCEL)
            return err_set(err, ERR_STOPPED, "stopped during trial %" PRId64,
                           attempt->request->number);
        answered = answered || !isnan(time_s);
        if (wait == WAIT_SERVICE) {
            const struct window_end end = {.wait = wait, .service = ended};
            struct run none = {0};
            has_ended(climb, &none, &end, level);
            return true;
        }
        if (time_s <= target_s || (isnan(target_s) && answered))
            return true;
    }
    if (!answered) {
        climb->ended = true;
        climb->silent = arena_printf(attempt->arena, "%s answered nothing for %.0f s after %s",
                                     attempt->study->services[climb->spec->service].name,
                                     (double)SETTLE_WITHIN_NS / NS_PER_S, level_text(climb, level));
    }
    return true;
}

static bool run_level(void *context, const struct stats_capacity_probe *probe, struct arena *arena,
                      enum stats_level *ret_outcome, bool *ret_longer_helps,
                      struct store_capacity_point *ret_point, struct err *err)
{
    struct climb *climb = context;
    struct attempt *attempt = climb->attempt;
    struct run *run = plan_window(climb, probe);
    struct level_bound bounds[LEVEL_BOUNDS_MAX];
    memcpy(bounds, climb->bounds, sizeof bounds);
    AUTO(level_check_free) struct level_check *check = plan_check(climb, run, bounds);
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    attempt_progress(attempt, PHASE_CAPACITY,
                     arena_printf(arena, "%s, %s",
                                  attempt->study->services[climb->spec->service].name,
                                  level_text(climb, probe->level)),
                     (double)(run->plan.warmup_ns + run->plan.window_ns) / NS_PER_S);
    if (!load_worker_start(&run->plan, &worker, err))
        return err_wrap(err, "loading for the capacity");
    run_begin(attempt, run, worker);
    struct window_end end = watch_level(attempt, run, check);
    bool decided = end.until_ns != CLOCK_NEVER;
    if (decided && end.wait == WAIT_TIME)
        hear_of_itself(attempt, &end);
    bool ok = run_finish(attempt, run, end.wait, end.service, err);
    const char *disturbed = disturbed_by(climb, &end);
    contention_done(&end.before);
    contention_done(&end.after);
    run_end(attempt, run);
    if (!ok)
        return false;
    worker = load_worker_free(worker); /* whoever is still in flight is not waited for */
    *ret_outcome = level_check_close(check, end.until_ns, &run->report, arena, ret_point);
    if (!decided && !run->report.complete)
        *ret_outcome = LEVEL_DISTURBED;
    if (!decided && *ret_outcome <= LEVEL_LEANS_MET && climb->rest.requirement_count)
        *ret_outcome = judge_rest(climb, run, *ret_outcome, ret_longer_helps, &ret_point->broke);
    bool overloaded = *ret_outcome == LEVEL_MISSED || *ret_outcome == LEVEL_LEANS_MISSED;
    if (overloaded && disturbed) { /* what is met in spite of others is met */
        *ret_outcome = LEVEL_DISTURBED;
        ret_point->broke = disturbed;
    }
    *ret_outcome = capacity_add_workers(&climb->workers, *ret_outcome, ret_point, arena);
    learn(climb, run, check, ret_point, *ret_outcome);
    if (!has_ended(climb, run, &end, probe->level) && overloaded &&
        !settle(climb, probe->level, err))
        return false;
    if (climb->ended) {
        *ret_outcome = LEVEL_ENDED;
        ret_point->broke = climb->silent ? climb->silent : "the service ended";
    }
    return true;
}

/* ---- the phase ---- */

static struct stats_capacity_limits limits_of(const struct spec_capacity *spec)
{
    bool whole = spec->of == CAPACITY_OF_CONCURRENCY;
    return (struct stats_capacity_limits){
        .whole = whole,
        .start = spec->start,
        .least = whole ? 1 : spec->start * LEAST_RATIO,
        .most = spec->most,
        .resolution_ratio = spec->resolution_ratio,
        .stretch = STRETCH_MAX,
        .windows = WINDOWS_MAX,
    };
}

/* Before any level was met: what the service took under the study's own load. */
static double measured_median(const struct climb *climb)
{
    const struct attempt *attempt = climb->attempt;
    const char *service = attempt->study->services[climb->spec->service].name;
    const char *metric = metric_facts(metric_shown(climb))->name;
    double least = NAN;
    for (size_t k = 0; k < attempt->metric_count; k++) {
        const struct store_metric *row = &attempt->metrics[k];
        if (row->service && strcmp(row->service, service) == 0 &&
            strcmp(row->metric, metric) == 0 && strcmp(row->stat, "p50") == 0)
            least = fmin(least, row->value);
    }
    return least;
}

static bool climb_one(struct attempt *attempt, size_t index, struct capacity_points *points,
                      struct store_capacity *ret, bool *ret_ended, struct err *err)
{
    const struct spec_capacity *spec = &attempt->study->capacities[index];
    struct running *running = &attempt->runner->services[spec->service];
    struct climb climb = {.attempt = attempt, .spec = spec, .workers = attempt->request->workers};
    for (size_t i = 0; i < ARRAY_LEN(climb.rps); i++)
        climb.rps[i] = NAN;
    split_requirements(&climb);
    climb.quickest_s = measured_median(&climb);
    *ret = (struct store_capacity){
        .service = attempt->study->services[spec->service].name,
        .of = spec_capacity_of_name(spec->of),
        .metric = metric_facts(metric_shown(&climb))->name,
        .beside = spec->beside,
    };
    const struct capacity_plan plan = {.limits = limits_of(spec),
                                       .within_ns = spec->within_ns,
                                       .context = &climb,
                                       .window = run_level};
    running->peak_memory_bytes = NAN;
    bool ok = capacity_find(&plan, (int)index, attempt->arena, points, ret, err);
    ret->memory_bytes = running->peak_memory_bytes;
    *ret_ended = climb.ended;
    return ok;
}

bool attempt_capacities(struct attempt *attempt, struct err *err)
{
    const struct spec_study *study = attempt->study;
    const int64_t started_ns = clock_now_ns();
    struct capacity_points points = {0};
    double peaks[SPEC_SERVICES_MAX], host_peaks[SPEC_SERVICES_MAX];
    bool ended = false, ok = true;
    for (size_t i = 0; i < study->service_count; i++) {
        peaks[i] = attempt->runner->services[i].peak_memory_bytes;
        host_peaks[i] = attempt->runner->services[i].peak_host_bytes;
    }
    struct store_capacity *found =
        arena_array(attempt->arena, study->capacity_count, sizeof *found);
    size_t count = 0;
    for (; count < study->capacity_count && ok && !ended; count++)
        ok = climb_one(attempt, count, &points, &found[count], &ended, err);
    for (size_t i = 0; i < study->service_count; i++) {
        attempt->runner->services[i].peak_memory_bytes = peaks[i];
        attempt->runner->services[i].peak_host_bytes = host_peaks[i];
    }
    if (!ok)
        return false;
    attempt->capacities = found;
    attempt->capacity_count = count;
    attempt->capacity_points = points.items;
    attempt->capacity_point_count = points.count;
    attempt_phase(attempt, PHASE_CAPACITY, started_ns, ended ? "failed" : NULL);
    return true;
}
