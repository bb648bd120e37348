/* One real request to each service before any load, with proof of where it computed.
 *
 * A driver averages before it has a sample of short work, and a request of some milliseconds may
 * leave none: a service that is listed on the card and is still unproven is asked a second time,
 * where that can be decided within 3 s of its first answer. A request that is too long for that has
 * left samples if it ever leaves any; one whose CPU time contradicts them is asked for in any case,
 * since a first request may set up on the CPU what the next one finds ready.
 * Its own words (its log, an engine's status page) can only lower what was proven: a log that says
 * "10 of 31 layers" beats a card on which some work was seen, and no log proves anything.
 *
 * The environment of the process that computes is read back as the kernel kept it at its start: a
 * wrapper that sets CUDA_VISIBLE_DEVICES for its children is seen here and nowhere else.
 *
 * A service that computed in the wrong place is still asked a few times more: its latency is shown
 * beside the verdict, to explain what the fallback would have cost, and never as fitness. */
#include "trial/run.h"
#include "trial/watch.h"

#include "base/text.h"
#include "service/engine.h"
#include "service/engine_placement.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { PROBES_MAX = 2 };
static const int64_t DECIDED_WITHIN_NS = 3 * NS_PER_S;
static const int64_t STATUS_PAGE_NS = NS_PER_S;
static const int64_t LOOK_EVERY_NS = 50 * NS_PER_MS;
static const int64_t FALLBACK_WINDOW_NS = 10 * NS_PER_S;

static void plan_probe(struct attempt *attempt, size_t i, int probe, struct run *run)
{
    int64_t within_ns = attempt->study->measure.probe_within_ns;
    run_fill_stream(attempt, i, &run->plan.streams[0]);
    run->plan.stream_count = 1;
    run->plan.seed = attempt->study->seed;
    run->plan.salt =
        arena_printf(attempt->arena, probe ? "probe %" PRId64 " again" : "probe %" PRId64,
                     attempt->request->number);
    run->plan.probe = true;
    run->plan.window_ns = within_ns;
    run->plan.streams[0].arrivals = ARRIVALS_CLOSED;
    run->plan.streams[0].concurrency = 1;
    run->plan.streams[0].start_after_ns = 0;
    run->plan.streams[0].request_limit = 1;
    run->plan.streams[0].timeout_ns = within_ns;
    for (size_t s = 0; s < LOAD_STREAMS_MAX; s++)
        attempt->stream_service[s] = SIZE_MAX; /* a probe is no progress of the load */
}

/* What was seen of the service around one request. */
struct sight {
    struct device_usage before, after;
    struct device_proof proof;
    int rank; /* of a program's sighting; 0: it was never seen */
};

/* Where it computed was seen; it was on the device; it was there at all. */
static int rank_of(const struct device_usage *usage, const struct device_proof *proof)
{
    return proof->placement == PLACEMENT_GPU ? 3 : usage->listed == DEVICE_LISTED_YES ? 2 : 1;
}

static void read_back(struct attempt *attempt, size_t i, const struct device_usage *usage);

/* What is run for a request is gone once it has answered, so it is looked at while it runs. It
 * loads its model first and gives it back in the end: the moment that says most is kept. */
static enum wait_end wait_looking(struct attempt *attempt, size_t i, int64_t until_ns,
                                  struct sight *sight, size_t *ret_ended)
{
    const struct running *running = &attempt->runner->services[i];
    struct device *device = attempt_device(attempt, i);
    bool known = false; /* its environment */
    for (;;) {
        int64_t next_ns = clock_now_ns() + LOOK_EVERY_NS;
        enum wait_end end =
            attempt_wait(attempt, next_ns < until_ns ? next_ns : until_ns, ret_ended);
        if (end != WAIT_TIME || clock_now_ns() >= until_ns)
            return end;
        struct device_usage usage;
        struct device_proof proof;
        device_usage(device, running->root, &usage);
        if (usage.processes == 0)
            continue;
        device_prove(device, &sight->before, &usage, attempt->facts.services[i].on, &proof);
        int rank = rank_of(&usage, &proof);
        if (rank >= sight->rank) {
            sight->after = usage;
            sight->proof = proof;
            sight->rank = rank;
        }
        if (usage.holder_pid > 0 && !known)
            read_back(attempt, i, &usage);
        known = known || usage.holder_pid > 0;
    }
}

/* One request; *ret_over: a service ended meanwhile, and that is noted. */
static bool ask(struct attempt *attempt, size_t i, int probe, struct run *run, struct sight *sight,
                bool *ret_over, struct err *err)
{
    const struct running *running = &attempt->runner->services[i];
    struct device *device = attempt_device(attempt, i);
    plan_probe(attempt, i, probe, run);
    if (!running->by_request)
        device_usage(device, running->root, &sight->before);
    AUTO(load_worker_free) struct load_worker *worker = NULL;
    if (!load_worker_start(&run->plan, &worker, err))
        return err_wrap(err, "probing %s", attempt->study->services[i].name);
    run_begin(attempt, run, worker);
    if (running->by_request) /* its root has just come to be */
        device_usage(device, running->root, &sight->before);
    size_t ended = 0;
    int64_t until_ns = clock_now_ns() + run->plan.window_ns + RUN_SLACK_NS;
    enum wait_end end = running->by_request ? wait_looking(attempt, i, until_ns, sight, &ended)
                                            : attempt_wait(attempt, until_ns, &ended);
    bool ok = run_finish(attempt, run, end, ended, err);
    run_end(attempt, run);
    if (!ok)
        return false;
    *ret_over = run->service_ended || run_died_with_service(attempt, &run->answers[0], &ended);
    if (*ret_over)
        attempt_note_end(attempt, ended, SERVICE_ENDED, PHASE_PROBE, NULL);
    if (*ret_over || running->by_request)
        return true;
    device_usage(device, running->root, &sight->after);
    device_prove(device, &sight->before, &sight->after, attempt->facts.services[i].on,
                 &sight->proof);
    return true;
}

/* False: no answer came, or a wrong one; that is noted. */
static bool note_answer(struct attempt *attempt, size_t i, const struct run *run)
{
    struct running *running = &attempt->runner->services[i];
    struct judge_service *facts = &attempt->facts.services[i];
    const struct answer_list *answers = &run->answers[0];
    if (answers->count == 0 || answers->items[0].record.error == LOAD_TIMEOUT ||
        answers->items[0].record.error == LOAD_UNFINISHED) {
        if (!run->report.complete)
            attempt->facts.worker_failure = arena_strdup(attempt->arena, run->report.failure);
        else
            attempt_note_end(attempt, i, SERVICE_SILENT, PHASE_PROBE, "no answer to one request");
        return false;
    }
    const struct load_record *record = &answers->items[0].record;
    if (isnan(running->first_request_s))
        running->first_request_s = load_latency_s(record);
    if (record->error == LOAD_OK)
        return true;
    facts->loaded = true; /* the judge looks at one request as it would at a window of one */
    facts->requests = 1;
    facts->errors[record->error] = 1;
    facts->first_http_status = record->http_status;
    facts->first_error = answers->items[0].text;
    attempt_note_log(attempt, i);
    return false;
}

/* What the service says of itself: on its status page if it has one, else in its log. */
static enum placement own_words(const struct attempt *attempt, size_t i, char *ret_words,
                                size_t size)
{
    const struct running *running = &attempt->runner->services[i];
    const struct service_launch *launch = &running->launch;
    const struct engine_ops *ops = launch->engine ? engine_find(launch->engine->name) : NULL;
    if (ops && ops->placement_path) {
        AUTO(buf_done) struct buf body = BUF_INIT(1 << 20);
        const struct load_site site = {launch->port, &attempt->study->services[i].tls};
        struct load_look look;
        load_http_fetch(&site, ops->placement_path, STATUS_PAGE_NS, &body, &look);
        enum placement said =
            look.status == 200
                ? engine_placement_loaded(buf_text(&body), body.len, launch->model, ret_words, size)
                : PLACEMENT_UNPROVEN;
        if (said != PLACEMENT_UNPROVEN)
            return said;
    }
    size_t len = 0;
    AUTO(free) char *log = attempt_log(running, &len);
    return log ? engine_placement(ops ? ops->spec->name : NULL, log, len, ret_words, size)
               : PLACEMENT_UNPROVEN;
}

/* Words can only lower a proof. */
static void apply_words(struct attempt *attempt, size_t i, struct device_proof *proof)
{
    char words[sizeof proof->evidence[1] - sizeof "its own words: "] = "";
    enum placement said = own_words(attempt, i, words, sizeof words);
    bool lowers = said == PLACEMENT_CPU || said == PLACEMENT_PARTIAL;
    if (!lowers || proof->placement == PLACEMENT_CPU)
        return;
    /* "No layer on the GPU" against work that was seen there: both can't be, so nothing is proven.
     */
    bool contradicts = said == PLACEMENT_CPU && proof->placement == PLACEMENT_GPU;
    proof->placement = contradicts ? PLACEMENT_UNPROVEN : said;
    memcpy(proof->evidence[1], proof->evidence[0], sizeof proof->evidence[1]);
    snprintf(proof->evidence[0], sizeof proof->evidence[0], "its own words: %s", words);
}

static const char *set_value(const struct service_launch *launch, const char *name)
{
    size_t len = strlen(name);
    for (size_t k = 0; launch->env && launch->env[k]; k++)
        if (strncmp(launch->env[k], name, len) == 0 && launch->env[k][len] == '=')
            return launch->env[k] + len + 1;
    return NULL;
}

/* What the computing process was started with, as the kernel kept it. */
static void read_back(struct attempt *attempt, size_t i, const struct device_usage *usage)
{
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"};
    const struct running *running = &attempt->runner->services[i];
    struct judge_service *facts = &attempt->facts.services[i];
    pid_t pid = usage->holder_pid;
    if (!running->process && !running->by_request)
        return; /* nothing was set by us */
    if (pid <= 0)
        pid = service_process_status(running->process)->pid;
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        const char *set = set_value(&running->launch, names[n]);
        AUTO(free) char *seen = proc_environ("/proc", pid, names[n]);
        AUTO(buf_done) struct buf shown = BUF_INIT(256);
        if (!set && !seen)
            continue;
        if (seen)
            text_add_escaped(&shown, TEXT_TERMINAL, seen, strlen(seen), 100);
        watch_note_words(attempt, "probe", i, names[n], seen ? buf_text(&shown) : "unset");
        if (!facts->overridden && set && (!seen || strcmp(set, seen) != 0))
            facts->overridden =
                arena_printf(attempt->arena, "its process %d has %s%s%s%s, not %s as set", (int)pid,
                             seen ? "" : "no ", names[n], seen ? "=" : "", buf_text(&shown),
                             set[0] ? set : "(empty)");
    }
}

bool run_may_probe_again(const struct device_proof *proof, int64_t answered_ns, int64_t now_ns,
                         int64_t request_ns)
{
    return proof->contradicted || now_ns + request_ns + DEVICE_PROVE_WITHIN_MS * NS_PER_MS <=
                                      answered_ns + DECIDED_WITHIN_NS;
}

static bool needs_another(const struct judge_service *facts, const struct sight *sight,
                          int64_t answered_ns, int64_t request_ns)
{
    return facts->on == ON_GPU && facts->proof.placement == PLACEMENT_UNPROVEN &&
           sight->after.listed == DEVICE_LISTED_YES &&
           run_may_probe_again(&facts->proof, answered_ns, clock_now_ns(), request_ns);
}

bool attempt_probe(struct attempt *attempt, size_t i, bool *ret_answered, struct err *err)
{
    const struct running *running = &attempt->runner->services[i];
    struct judge_service *facts = &attempt->facts.services[i];
    attempt_progress(attempt, PHASE_PROBE, attempt->study->services[i].name, NAN);
    *ret_answered = false;
    for (int probe = 0; probe < PROBES_MAX; probe++) {
        struct run *run = arena_alloc(attempt->arena, sizeof *run);
        struct sight sight = {.proof = {.evidence = {"its run was over before it could be seen"}}};
        bool over = false;
        int64_t asked_ns = clock_now_ns();
        if (!ask(attempt, i, probe, run, &sight, &over, err))
            return false;
        if (over)
            return true;
        int64_t answered_ns = running->by_request ? clock_now_ns() : sight.after.at_ns;
        facts->proof = sight.proof;
        facts->probed = true;
        if (!note_answer(attempt, i, run))
            return true;
        if (probe + 1 < PROBES_MAX &&
            needs_another(facts, &sight, answered_ns, answered_ns - asked_ns))
            continue;
        if (!running->by_request)
            read_back(attempt, i, &sight.after);
        break;
    }
    apply_words(attempt, i, &facts->proof);
    *ret_answered = true;
    return true;
}

bool attempt_measure_fallback(struct attempt *attempt, size_t i, struct err *err)
{
    struct load_window window = {
        .window_ns = attempt->request->window_ns < FALLBACK_WINDOW_NS ? attempt->request->window_ns
                                                                      : FALLBACK_WINDOW_NS,
        .mode = "fallback",
        .only = (int)i,
    };
    enum load_end end;
    return attempt_load(attempt, &window, &end, err);
}
