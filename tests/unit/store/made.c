/* Half of the requests belong to "stt", half to "llm"; every tenth has failed; sequences are handed
 * over in reverse, as answers may come. */
#include "made.h"

#include "check.h"

#include "load/record.h"

#include <math.h>

char *made_path(const char *folder)
{
    char *path = NULL;
    if (asprintf(&path, "%s/study.db", folder) < 0)
        abort();
    return path;
}

struct store *made_store(const char *folder)
{
    AUTO(free) char *path = made_path(folder);
    struct store *store = NULL;
    struct err err = ERR_INIT;
    struct store_study study = made_study();
    if (!store_open(path, STORE_CREATE, &store, &err) || !store_study_put(store, &study, &err))
        fail_msg("%s", err.text);
    return store;
}

struct store_study made_study(void)
{
    return (struct store_study){
        .name = "night",
        .path = "/studies/night.yaml",
        .digest = "0123",
        .text = "study: night\n",
        .device_id = "cpu",
        .device_name = "CPU",
        .device_versions = NULL,
        .spica_version = "0.1.0",
        .seed = UINT64_MAX - 1,
        .created_wall_us = 1764000000000000,
        .cores = 2,
        .memory_bytes = NAN,
    };
}

static struct store_request made_request(size_t i, size_t count)
{
    size_t sequence = count - 1 - i / 2;
    bool stt = i % 2 == 0, failed = sequence % 10 == 9;
    int64_t at = (int64_t)sequence * 1000000;
    return (struct store_request){
        .service = stt ? "stt" : "llm",
        .mode = "shared",
        .part = sequence == 0 ? LOAD_WARMUP : LOAD_WINDOW,
        .sequence = (int64_t)sequence,
        /* The llm is asked in sessions of two turns. */
        .session = (int64_t)(stt ? sequence : sequence / 2),
        .turn = stt ? 0 : (int64_t)(sequence % 2),
        .item = (int64_t)(sequence % 3),
        .error = failed ? "timeout" : NULL,
        .http_status = failed ? 0 : 200,
        .intended_ns = at - 500,
        .sent_ns = at,
        .first_byte_ns = at + 100,
        .first_token_ns = stt ? STORE_NEVER : at + 200,
        .last_token_ns = stt ? STORE_NEVER : at + 300,
        .done_ns = failed ? STORE_NEVER : at + 1500,
        .turn_start_ns = stt ? STORE_NEVER : at - 900,
        .held_back = sequence == 7,
        .tokens = stt ? -1 : 12,
        .tokens_exact = true,
        .audio_s = stt ? 2.0 : NAN,
        .text = stt && !failed ? (sequence % 3 ? "good morning" : "good evening") : NULL,
        .word_errors = stt && !failed ? 1 : -1,
        .words = stt && !failed ? 4 : -1,
    };
}

static const struct store_capacity capacities[] = {
    {"llm", "concurrency", "ttft", true, "found", 18, 19, false, "llm.ttft.p95 is 0.31 s", 2e9,
     71.5},
    {"stt", "rate", "latency", false, "most", 50, NAN, true, NULL, NAN, 3},
};
static const struct store_capacity_point points[] = {
    {0, 18, "met", 10, false, 400, 0, 0.1, 0.09, 0.11, 0.25, 0.2, 0.29, 40, 40, NULL},
    {0, 19, "missed", 1.5, true, 60, 4, 0.2, 0.19, NAN, 0.31, NAN, NAN, 40, 33, "it broke"},
    {1, 50, "leans met", 10, false, 7, 0, 0.1, NAN, NAN, NAN, NAN, NAN, NAN, 0.7, NULL},
};

static const struct store_requirement requirements[] = {
    {"stt", "stt.latency.p95 < 500ms", 0.05, 40, 1, 31.5, "undecided", "requests"},
    {"llm", "llm.goodput_ratio >= 90%", 0.1, 400, 3, 400, "met", "requests"},
    {"stt", "stt.wer < 10%", 0.1, 900, 80, 120, "undecided", "words"},
};
static const struct store_utterance utterances[] = {
    {"stt", 3, 2, 20, 1, 2, 3, "good morning", "could \"mourning\""},
    {"stt", 0, 1, 9, 0, 1, 0, "good evening", NULL},
};

static struct store_service *made_services(struct arena *arena, int64_t number)
{
    struct store_service *services = arena_array(arena, 2, sizeof *services);
    services[0] = (struct store_service){
        .name = "stt",
        .engine = "whisper-server",
        .version = "1.7",
        .command = "whisper-server -t 2",
        .environment = "{}",
        .settings = "stt.threads=2",
        .started_in_trial = number,
        .ready_s = 1.5,
        .first_request_s = NAN,
        .idle_memory_bytes = 1e8,
        .peak_memory_bytes = 2e8,
        .cpu_s = NAN,
        .exit_code = 1,
        .signal = 0,
        .placement = "cpu",
        .placement_evidence = "as asked",
        .log = arena_printf(arena, "log of trial %lld\nsecond line", (long long)number)};
    services[1] = (struct store_service){.name = "llm",
                                         .ready_s = NAN,
                                         .first_request_s = NAN,
                                         .idle_memory_bytes = NAN,
                                         .peak_memory_bytes = NAN,
                                         .cpu_s = 3,
                                         .exit_code = -1,
                                         .signal = 9};
    return services;
}

struct store_trial made_trial(struct arena *arena, int64_t number, size_t requests)
{
    struct store_phase *phases = arena_array(arena, 2, sizeof *phases);
    struct store_evidence *evidence = arena_array(arena, 1, sizeof *evidence);
    struct store_service *services = made_services(arena, number);
    struct store_metric *metrics = arena_array(arena, 2, sizeof *metrics);
    struct store_request *rows = arena_array(arena, 2 * requests + 1, sizeof *rows);
    phases[0] = (struct store_phase){"start", 0, 2.5, NULL};
    phases[1] = (struct store_phase){"measure", 2.5, 30, "cut short"};
    evidence[0] = (struct store_evidence){"stt", "log", "failed to allocate"};
    metrics[0] = (struct store_metric){"stt", "shared", "latency",         "p95", 0.118, 0.1,
                                       NAN,   40,       "order statistics"};
    metrics[1] = (struct store_metric){"llm", "alone", "tokens_per_s", "", NAN, NAN, NAN, 0, NULL};
    for (size_t i = 0; i < 2 * requests; i++)
        rows[i] = made_request(i, requests);
    return (struct store_trial){
        .number = number,
        .candidate = arena_printf(arena, "stt.threads=%lld", (long long)number % 3),
        .purpose = "explore",
        .round = 1,
        .verdict = "ok",
        .summary = "fine",
        .fitness = 0.5,
        .started_wall_us = 1764000000000000 + number,
        .duration_s = 40,
        .window_s = 30,
        .contention_ratio = NAN,
        .lateness_p99_s = 0.0001,
        .workers = 2,
        .stall_p99_s = 0.0003,
        .stall_max_s = NAN,
        .worker_cpu_s = 0.5,
        .own_cpu_s = 0.1,
        .cold = true,
        .phases = phases,
        .phase_count = 2,
        .evidence = evidence,
        .evidence_count = 1,
        .services = services,
        .service_count = 2,
        .metrics = metrics,
        .metric_count = 2,
        .requirements = requirements,
        .requirement_count = ARRAY_LEN(requirements),
        .utterances = utterances,
        .utterance_count = ARRAY_LEN(utterances),
        .capacities = capacities,
        .capacity_count = ARRAY_LEN(capacities),
        .capacity_points = points,
        .capacity_point_count = ARRAY_LEN(points),
        .requests = rows,
        .request_count = 2 * requests,
    };
}
