/* A trial without its start and its end. The attempt is the same struct that a trial fills, with
 * processes that are not ours: what is known of each is the root of its tree and its port. So the
 * probe, the proof, the metrics and the judge are the trial's own functions, and production can't
 * be measured by another yardstick than the winner was.
 *
 * What differs is said in one place, here: the load is a gentle one and never more than the
 * study's, since real users are on it as well; others may work beside the services, so contention
 * is no finding; and what only a start or a full load would show (a time to ready, tokens per
 * second) is not asked of it.
 *
 * Rejected: bench/, which loads one service and has no proof of placement. */
#include "trial/live.h"

#include "base/clock.h"
#include "service/engine.h"
#include "trial/finding.h"
#include "trial/run.h"
#include "trial/watch.h"

#include <math.h>
#include <string.h>

struct live {
    struct live_options options;
    struct trial_runner *runner; /* owned */
    struct trial_request request;
    struct attempt *attempt; /* in the arena */
    struct arena *arena;     /* borrowed */
};

/* What no gentle window on a running service shows. */
static const bool not_shown[METRIC_COUNT_] = {
    [METRIC_TOKENS_PER_S] = true, [METRIC_REQUESTS_PER_S] = true, [METRIC_GOODPUT] = true,
    [METRIC_READY] = true,        [METRIC_MEMORY_IDLE] = true,
};

bool live_is_here(const struct attempt *attempt, size_t i)
{
    return !attempt->live || attempt->live->services[i].here;
}

bool live_has_ended(const struct attempt *attempt, size_t *ret_service)
{
    const struct live_options *live = attempt->live;
    return live && live->fine && !live->fine(live->context, ret_service);
}

void live_soften(const struct attempt *attempt, size_t i, struct load_stream *stream)
{
    const struct live_options *live = attempt->live;
    const struct spec_load *load = &attempt->study->services[i].load;
    if (!live || (load->after && live->services[load->after_service].here))
        return;
    double rate_rps = live->rate_rps;
    if (stream->arrivals == ARRIVALS_CLOSED) {
        /* One client with pauses. At a fixed rate, answers that take longer than its gaps would
         * have more at once than the study ever had. */
        stream->concurrency = 1;
        stream->shape.think_ns =
            (struct spec_spread){.kind = SPREAD_FIXED, .low = NS_PER_S / rate_rps};
    } else {
        if (load->rate_rps > 0 && load->rate_rps < rate_rps)
            rate_rps = load->rate_rps;
        stream->arrivals = ARRIVALS_CONSTANT;
        stream->rate_rps = rate_rps;
    }
    stream->start_after_ns = 0;
    stream->shape.trace = NULL;
    stream->shape.on_ns = stream->shape.off_ns = 0;
}

/* The engine and the name of its model, for requests and pages. A program that is missing here is
 * no failure: production has its own. */
static void take_launch(struct live *live, size_t i)
{
    struct running *running = &live->runner->services[i];
    struct err ignored = ERR_INIT;
    struct service_launch launch = {0};
    int port = live->options.services[i].port;
    if (!service_launch_build(live->arena, live->options.study, live->options.candidate, i, port,
                              NULL, "", "", &launch, &ignored)) {
        const struct spec_engine_use *use =
            spec_candidate_engine(live->options.study, live->options.candidate, i);
        launch.engine = use ? use->engine : NULL;
    }
    running->launch = launch;
    running->launch.port = port;
    running->launch.scratch = NULL; /* no folder of ours: the runner's end would remove it */
    running->root = live->options.services[i].root;
    if (live->options.study->services[i].by_request) {
        running->root = 0; /* what is asked is run by us */
        attempt_take_program(live->options.study, running);
    }
}

struct live *live_new(const struct live_options *options, struct arena *arena)
{
    struct live *live = calloc(1, sizeof *live);
    if (!live)
        abort();
    const struct trial_options trial = {.study = options->study,
                                        .folder = options->study->folder,
                                        .devices = options->devices,
                                        .any_neighbours = true,
                                        .corpora = options->corpora};
    live->options = *options;
    live->arena = arena;
    live->runner = trial_runner_new(&trial);
    live->request = (struct trial_request){
        .candidate = *options->candidate, .purpose = "production", .window_ns = options->window_ns};
    for (size_t i = 0; i < options->study->service_count; i++) {
        struct running *running = &live->runner->services[i];
        running->ready_s = running->first_request_s = running->idle_memory_bytes = NAN;
        running->peak_memory_bytes = running->peak_host_bytes = NAN;
        if (options->services[i].here)
            take_launch(live, i);
    }
    live->attempt = arena_alloc(arena, sizeof *live->attempt);
    attempt_init(live->attempt, live->runner, &live->request, arena);
    live->attempt->live = &live->options;
    if (options->devices)
        watch_begin(live->attempt);
    for (size_t i = 0; i < options->study->service_count; i++)
        if (!options->services[i].here || !options->study->services[i].load.given)
            live->attempt->facts.services[i].on = ON_CPU; /* nothing is asked of it, so nothing
                                                           * can be proven */
    return live;
}

struct live *live_free(struct live *live)
{
    if (live)
        trial_runner_free(live->runner);
    free(live);
    return NULL;
}

bool live_is_ready(const struct live *live, size_t i, bool *ret_untrusted, char *why, size_t size)
{
    return attempt_says_ready(live->attempt, i, ret_untrusted, why, size);
}

/* ---- one request ---- */

void live_stream(struct live *live, size_t i, struct load_stream *ret_stream)
{
    struct load_stream stream;
    run_fill_stream(live->attempt, i, &stream);
    stream.arrivals = ARRIVALS_CLOSED;
    stream.concurrency = 1;
    stream.start_after_ns = 0;
    stream.request_limit = 1;
    stream.timeout_ns = live->options.study->measure.probe_within_ns;
    *ret_stream = stream;
}

static enum load_error error_of(const struct judge_service *facts)
{
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++)
        if (facts->loaded && facts->errors[e])
            return (enum load_error)e;
    return LOAD_OK;
}

bool live_probe(struct live *live, size_t i, struct live_probe *ret_probe, struct err *err)
{
    struct attempt *attempt = live->attempt;
    struct judge_service *facts = &attempt->facts.services[i];
    struct live_probe probe = {.latency_s = NAN};
    live->runner->services[i].first_request_s = NAN;
    facts->loaded = false;
    facts->first_error = NULL;
    facts->first_http_status = 0;
    facts->end = SERVICE_UP;
    memset(facts->errors, 0, sizeof facts->errors);
    if (!attempt_probe(attempt, i, &probe.answered, err))
        return false;
    for (size_t k = 0; k < live->options.study->service_count && !probe.ended; k++) {
        probe.ended = attempt->facts.services[k].end == SERVICE_ENDED;
        probe.ended_service = k;
    }
    probe.proof = facts->proof;
    probe.latency_s = live->runner->services[i].first_request_s;
    probe.error = error_of(facts);
    probe.http_status = facts->first_http_status;
    if (facts->end == SERVICE_SILENT)
        probe.words = facts->detail;
    else
        probe.words =
            attempt->facts.worker_failure ? attempt->facts.worker_failure : facts->first_error;
    *ret_probe = probe;
    return true;
}

/* ---- a window ---- */

/* Of an earlier window nothing may remain. */
static void forget_window(struct attempt *attempt)
{
    attempt->metric_count = attempt->request_count = 0;
    attempt->requirement_count = attempt->utterance_count = 0;
    attempt->facts.measured = false;
    attempt->facts.worker_failure = NULL;
    attempt->facts.stall_p99_s = attempt->facts.lateness_p99_s = NAN;
    attempt->stall_max_s = NAN;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        struct judge_service *facts = &attempt->facts.services[i];
        memset(facts->errors, 0, sizeof facts->errors);
        facts->requests = facts->ok = 0;
        facts->first_error = facts->bad_example = NULL;
        facts->first_http_status = 0;
        facts->wer = NAN;
        facts->wer_words = 0;
    }
}

static struct judgement judge(struct live *live)
{
    struct judge_facts facts = live->attempt->facts;
    facts.dirty = facts.harmed = facts.neighbour_left = facts.device_contention =
        facts.readings_failure = NULL;
    facts.contention_ratio = NAN;
    facts.lateness_bound_s = INFINITY;
    facts.goal = (struct goal_result){.met = true, .failed_service = -1};
    return judge_trial(&facts, live->arena);
}

/* The worst delay that is ours, in a window in which we were late by a trial's bound; else 0. */
static double own_delay_s(const struct attempt *attempt)
{
    const struct judge_facts *facts = &attempt->facts;
    double worst_s = fmax(attempt->stall_max_s, 0); /* a NaN counts for nothing */
    if (!(fmax(facts->lateness_p99_s, facts->stall_p99_s) > facts->lateness_bound_s))
        return 0;
    for (size_t k = 0; k < attempt->request_count; k++) {
        const struct store_request *r = &attempt->requests[k];
        if (!r->held_back && r->sent_ns != STORE_NEVER)
            worst_s = fmax(worst_s, (double)(r->sent_ns - r->intended_ns) / NS_PER_S);
    }
    return worst_s;
}

/* Would it be kept with that taken off every time? */
static bool is_kept_without(const struct live *live, size_t k, double delay_s)
{
    const struct attempt *attempt = live->attempt;
    struct store_metric *rows = arena_array(live->arena, attempt->metric_count + 1, sizeof *rows);
    for (size_t m = 0; m < attempt->metric_count; m++) {
        rows[m] = attempt->metrics[m];
        int metric = metric_from_name(rows[m].metric);
        if (metric == METRIC_RTF)
            rows[m].value = 0; /* the delay over an audio's length, which is not known here */
        else if (metric >= 0 && metric_facts((enum metric)metric)->unit == UNIT_SECONDS)
            rows[m].value -= delay_s;
    }
    return goal_requirement(live->options.study, rows, attempt->metric_count, k, live->arena)
               .truth == EXPR_TRUE;
}

static struct live_requirement look_at(const struct live *live, size_t k, double delay_s)
{
    const struct spec_study *study = live->options.study;
    const struct attempt *attempt = live->attempt;
    struct live_requirement found = {
        .answer = goal_requirement(study, attempt->metrics, attempt->metric_count, k, live->arena),
        .here = true,
        .shown = true,
    };
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        const struct metric_ref ref = study->metric_refs[id];
        if (!expr_uses(study->requirements[k].expr, id))
            continue;
        found.here = found.here && live->options.services[ref.service].here;
        found.shown = found.shown && !not_shown[ref.metric];
    }
    found.doubtful =
        found.answer.truth == EXPR_FALSE && delay_s > 0 && is_kept_without(live, k, delay_s);
    return found;
}

bool live_load(struct live *live, struct live_load *ret_load, struct err *err)
{
    struct attempt *attempt = live->attempt;
    const struct spec_study *study = live->options.study;
    struct live_load load = {.requirement_count = study->requirement_count};
    const struct load_window window = {.warmup_ns = live->options.warmup_ns,
                                       .window_ns = live->options.window_ns,
                                       .mode = "shared",
                                       .only = -1};
    enum load_end end = LOAD_RAN;
    forget_window(attempt);
    live->request.number++; /* another window draws other arrivals */
    if (!attempt_load(attempt, &window, &end, err))
        return false;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct judge_service *facts = &attempt->facts.services[i];
        load.requests += facts->requests;
        load.failed += facts->requests - facts->ok - facts->errors[LOAD_RELOAD];
        if (facts->end == SERVICE_ENDED && !load.ended) {
            load.ended = true;
            load.ended_service = i;
        }
    }
    if (attempt->facts.measured)
        attempt_add_service_metrics(attempt);
    load.judgement = judge(live);
    load.late_s = own_delay_s(attempt);
    load.requirements =
        arena_array(live->arena, study->requirement_count + 1, sizeof *load.requirements);
    for (size_t k = 0; k < study->requirement_count; k++)
        load.requirements[k] = look_at(live, k, load.late_s);
    *ret_load = load;
    return true;
}
