/* What a trial leaves for the store: one place that turns live state into rows. */
#include "trial/attempt.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"
#include "service/version.h"

#include <math.h>
#include <string.h>

static const char *const phase_names[PHASE_COUNT_] = {
    [PHASE_START] = "start",       [PHASE_PROBE] = "probe", [PHASE_WARMUP] = "warmup",
    [PHASE_MEASURE] = "measure",   [PHASE_DRAIN] = "drain", [PHASE_ALONE] = "alone",
    [PHASE_CAPACITY] = "capacity", [PHASE_STOP] = "stop",
};

const char *trial_phase_name(enum trial_phase phase)
{
    return phase_names[phase];
}

void *attempt_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = arena_array(arena, wanted, size);
    if (count)
        memcpy(grown, items, count * size);
    *capacity = wanted;
    return grown;
}

void attempt_phase(struct attempt *attempt, enum trial_phase phase, int64_t started_ns,
                   const char *outcome)
{
    attempt->phases = attempt_grow(attempt->arena, attempt->phases, attempt->phase_count,
                                   &attempt->phase_capacity, sizeof *attempt->phases);
    attempt->phases[attempt->phase_count++] = (struct store_phase){
        .name = trial_phase_name(phase),
        .start_s = (double)(started_ns - attempt->started_ns) / NS_PER_S,
        .duration_s = (double)(clock_now_ns() - started_ns) / NS_PER_S,
        .outcome = outcome,
    };
}

void attempt_add_metric(struct attempt *attempt, const struct store_metric *metric)
{
    attempt->metrics = attempt_grow(attempt->arena, attempt->metrics, attempt->metric_count,
                                    &attempt->metric_capacity, sizeof *attempt->metrics);
    attempt->metrics[attempt->metric_count++] = *metric;
}

/* Keys and passwords reach a service through its environment or arguments, and must not be spread
 * from there: names that say so keep a digest, enough to tell whether two trials had the same. (The
 * study file is stored as it is: what must not be in it comes from spica's own environment.) */
static bool is_secret(const char *name, size_t len)
{
    static const char *const words[] = {"token",  "secret",    "password",   "passwd",
                                        "apikey", "api_key",   "access_key", "private_key",
                                        "auth",   "credential"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (text_find_nocase(name, len, words[i]))
            return true;
    return false;
}

static const char *digest_of(struct arena *arena, const char *secret)
{
    char digest[DIGEST_HEX_SIZE];
    digest_bytes(secret, strlen(secret), digest);
    return arena_printf(arena, "sha256:%.16s", digest);
}

static const char **shown_environment(struct arena *arena, const char **env)
{
    size_t count = 0;
    while (env && env[count])
        count++;
    const char **shown = arena_array(arena, count + 1, sizeof *shown);
    for (size_t i = 0; i < count; i++) {
        size_t name = strcspn(env[i], "=");
        shown[i] = env[i];
        if (!env[i][name] || !env[i][name + 1] || !is_secret(env[i], name))
            continue;
        shown[i] =
            arena_printf(arena, "%.*s=%s", (int)name, env[i], digest_of(arena, env[i] + name + 1));
    }
    return shown;
}

/* "--api-key", "--hf-token"; not "--max-tokens". */
static bool is_secret_flag(const char *flag, size_t len)
{
    static const char *const ends[] = {"api-key", "api_key",  "apikey",  "-token",
                                       "_token",  "password", "-secret", "_secret"};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(ends) && flag[0] == '-' && !found; i++) {
        size_t end = strlen(ends[i]);
        found = len > end && text_find_nocase(flag + len - end, end, ends[i]);
    }
    return found;
}

static const char **shown_arguments(struct arena *arena, const char **argv)
{
    size_t count = 0;
    while (argv[count])
        count++;
    const char **shown = arena_array(arena, count + 1, sizeof *shown);
    for (size_t i = 0; i < count; i++) {
        size_t name = strcspn(argv[i], "=");
        shown[i] = argv[i];
        if (!is_secret_flag(argv[i], name))
            continue;
        if (argv[i][name]) {
            shown[i] = arena_printf(arena, "%.*s=%s", (int)name, argv[i],
                                    digest_of(arena, argv[i] + name + 1));
        } else if (i + 1 < count) {
            shown[i + 1] = digest_of(arena, argv[i + 1]);
            i++;
        }
    }
    return shown;
}

static const char *environment_json(struct arena *arena, const char **env)
{
    AUTO_JSON json_t *object = json_object();
    for (const char **entry = env; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals)
            continue;
        char *name = arena_strndup(arena, *entry, (size_t)(equals - *entry));
        json_object_set_new(object, name, json_text_or_null(equals + 1));
    }
    AUTO(free) char *text = json_dump_text(object);
    return arena_strdup(arena, text);
}

void attempt_forget_versions(struct trial_runner *runner)
{
    for (size_t i = 0; i < ARRAY_LEN(runner->versions); i++) {
        free(runner->versions[i].program);
        free(runner->versions[i].version);
        runner->versions[i] = (struct program_version){0};
    }
}

/* Read once per program, after the measurement, where it disturbs nothing. */
static const char *version_of(struct trial_runner *runner, const struct service_launch *launch)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct program_version *at = runner->versions;
    if (!launch->program)
        return NULL;
    /* One interpreter runs many servers. */
    const char *key = arena_printf(arena, "%s\n%s", service_version_subject(arena, launch),
                                   launch->engine ? launch->engine->name : "");
    for (; at < runner->versions + ARRAY_LEN(runner->versions) && at->program; at++)
        if (strcmp(at->program, key) == 0)
            return at->version;
    if (at == runner->versions + ARRAY_LEN(runner->versions))
        return NULL;
    at->program = strdup(key);
    at->version = service_version_read(launch);
    return at->version;
}

static void fill_service(struct attempt *attempt, size_t i, struct store_service *row)
{
    struct arena *arena = attempt->arena;
    const struct running *running = &attempt->runner->services[i];
    const struct judge_service *facts = &attempt->facts.services[i];
    *row = (struct store_service){
        .name = attempt->study->services[i].name,
        .ready_s = NAN,
        .first_request_s = NAN,
        .idle_memory_bytes = NAN,
        .peak_memory_bytes = NAN,
        .host_memory_bytes = NAN,
        .device =
            attempt->study
                ->devices[spec_candidate_device(attempt->study, &attempt->request->candidate, i)],
        .cpu_s = attempt->window_cpu_s[i],
        .exit_code = facts->exit_code,
        .signal = facts->term_signal,
        .started_in_trial = running->started_in_trial,
    };
    if (facts->probed) {
        row->placement = device_placement_names[facts->proof.placement];
        row->placement_evidence =
            arena_printf(arena, "%s%s%s", facts->proof.evidence[0],
                         *facts->proof.evidence[1] ? "; " : "", facts->proof.evidence[1]);
    }
    if (!running->arena)
        return;                 /* never launched in this trial */
    if (running->launch.argv) { /* NULL: the launch could not be built, its program is missing */
        AUTO(buf_done) struct buf command = BUF_INIT(65536);
        struct service_launch shown = running->launch;
        shown.env = shown_environment(arena, shown.env);
        shown.argv = shown_arguments(arena, shown.argv);
        service_launch_add_text(&command, &shown);
        row->command = arena_strdup(arena, buf_text(&command));
        row->environment = environment_json(arena, shown.env);
    }
    row->idle_memory_bytes = running->idle_memory_bytes;
    row->peak_memory_bytes = running->peak_memory_bytes;
    row->host_memory_bytes = running->peak_host_bytes;
    row->engine = running->launch.engine ? running->launch.engine->name : NULL;
    row->version = arena_strdup(arena, version_of(attempt->runner, &running->launch));
    row->settings = arena_strdup(arena, running->settings);
    if (running->started_in_trial == attempt->request->number) {
        row->ready_s = running->ready_s;
        row->first_request_s = running->first_request_s;
    }
    size_t len = 0;
    AUTO(free) char *log = attempt_log(running, &len);
    row->log = log ? arena_strndup(arena, log, len) : NULL;
}

/* An env_fault of one service's binary, library or weights lies in its settings: every candidate
 * with this part meets it again. Where the service has no knobs nothing can be ruled out. */
static const char *ruled_out_part(struct attempt *attempt, const struct judgement *judgement)
{
    if (!judgement->rules_out || judgement->service < 0)
        return NULL;
    AUTO(buf_done) struct buf part = BUF_INIT(65536);
    spec_candidate_add_service_text(&part, attempt->study, &attempt->request->candidate,
                                    (size_t)judgement->service);
    return part.len ? arena_strdup(attempt->arena, buf_text(&part)) : NULL;
}

void attempt_finish_rows(struct attempt *attempt, const struct judgement *judgement,
                         struct store_trial *ret_trial)
{
    static const char *const bounds[] = {
        [BOUND_NONE] = NULL, [BOUND_ABOVE] = "above", [BOUND_BELOW] = "below"};
    struct arena *arena = attempt->arena;
    const struct trial_request *request = attempt->request;
    size_t n = attempt->study->service_count;
    struct store_service *services = arena_array(arena, n, sizeof *services);
    bool cold = true;
    for (size_t i = 0; i < n; i++) {
        fill_service(attempt, i, &services[i]);
        /* One that was never launched was not kept either. */
        cold = cold && (services[i].started_in_trial == request->number ||
                        services[i].started_in_trial == 0);
    }
    struct store_evidence *evidence =
        arena_array(arena, judgement->evidence_count + 4, sizeof *evidence);
    memcpy(evidence, judgement->evidence, judgement->evidence_count * sizeof *evidence);
    AUTO(buf_done) struct buf candidate = BUF_INIT(65536);
    spec_candidate_add_text(&candidate, attempt->study, &request->candidate);
    *ret_trial = (struct store_trial){
        .number = request->number,
        .candidate = arena_strdup(arena, buf_text(&candidate)),
        .purpose = request->purpose,
        .round = request->round,
        .repeat = request->repeat,
        .retry_of = request->retry_of,
        .verdict = verdict_facts(judgement->verdict)->name,
        .service =
            judgement->service >= 0 ? attempt->study->services[judgement->service].name : NULL,
        .summary = judgement->summary,
        .ruled_out = ruled_out_part(attempt, judgement),
        /* Beside services that stayed up and may have grown, less was free than from the start. */
        .bound = cold ? bounds[judgement->bound] : NULL,
        .fitness = judgement->fitness,
        .started_wall_us = clock_now_wall_us() - (clock_now_ns() - attempt->started_ns) / NS_PER_US,
        .duration_s = (double)(clock_now_ns() - attempt->started_ns) / NS_PER_S,
        .window_s = attempt->facts.measured ? attempt->facts.window_s : 0,
        .contention_ratio = attempt->facts.contention_ratio,
        .lateness_p99_s = attempt->lateness_p99_s,
        .workers = request->workers > 1 ? request->workers : 1,
        .stall_p99_s = attempt->stall_p99_s,
        .stall_max_s = attempt->stall_max_s,
        .worker_cpu_s = attempt->worker_cpu_s,
        .own_cpu_s = attempt->own_cpu_s,
        .cold = cold,
        .phases = attempt->phases,
        .phase_count = attempt->phase_count,
        .evidence = evidence,
        .evidence_count = judgement->evidence_count,
        .readings = attempt->readings,
        .reading_count = attempt->reading_count,
        .services = services,
        .service_count = n,
        .metrics = attempt->metrics,
        .metric_count = attempt->metric_count,
        .requests = attempt->requests,
        .request_count = attempt->request_count,
        .requirements = attempt->requirements,
        .requirement_count = attempt->requirement_count,
        .utterances = attempt->utterances,
        .utterance_count = attempt->utterance_count,
        .capacities = attempt->capacities,
        .capacity_count = attempt->capacity_count,
        .capacity_points = attempt->capacity_points,
        .capacity_point_count = attempt->capacity_point_count,
    };
}
