/*
 * The service itself: which requests are served when, and how they end.
 *
 * The idea: a piece of work is a job with three moments: it arrives (the script says what happens
 * to it), it gets a slot (its latency begins), and it fires (its answer leaves, at once or token by
 * token). Every misbehaviour is a way to leave one of these moments.
 *
 * Invariant: a job is in the queue, or holds a slot, or is lost (hung service), and
 * its connection knows it until it ends.
 */
#include "service.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "job.h"

/* What Ollama says of a model that was there already: never zero. */
#define RESIDENT_LOAD_NS 21375251

static const struct {
    const char *path;
    enum job_route route;
    enum options_kind kind;
} routes[] = {
    {"/v1/chat/completions", ROUTE_CHAT, KIND_LLM},
    {"/chat/completions", ROUTE_CHAT, KIND_LLM},
    {"/v1/completions", ROUTE_COMPLETION, KIND_LLM},
    {"/completions", ROUTE_COMPLETION, KIND_LLM},
    {"/api/chat", ROUTE_OLLAMA_CHAT, KIND_LLM},
    {"/api/generate", ROUTE_OLLAMA_GENERATE, KIND_LLM},
    {"/v1/embeddings", ROUTE_EMBEDDINGS, KIND_EMBEDDINGS},
    {"/v1/audio/speech", ROUTE_SPOKEN, KIND_TTS},
    {"/v1/audio/transcriptions", ROUTE_SPEECH, KIND_STT},
    {"/inference", ROUTE_WHISPER_CPP, KIND_STT},
};

/* Up to this the service makes up for its own lateness: what is due goes by the plan. More is a
 * freeze, and counts. */
#define MADE_UP_NS (5 * NS_PER_MS)

static void start_waiting(struct service *service, int64_t free_ns);

void service_flush(struct service *service)
{
    arrivals_flush(&service->arrivals);
    arrivals_flush(&service->served);
}

void service_refuse(struct http_conn *conn, int status, const char *message)
{
    struct buf body = {0};
    buf_printf(&body, "{\"error\":{\"code\":%d,\"message\":\"", status);
    buf_add_json(&body, message, strlen(message));
    buf_printf(&body, "\",\"type\":\"%s\"}}",
               status == 503   ? "unavailable_error"
               : status >= 500 ? "server_error"
                               : "invalid_request_error");
    http_reply(conn, status, "application/json; charset=utf-8", body.data, body.len);
    buf_done(&body);
}

/* Takes the job out of wherever it is; its connection is no longer its own. */
void job_end(struct job *job)
{
    struct service *service = job->service;
    const bool served = job->place == JOB_IN_SLOT && job->fired && !job->burnt;
    const int64_t free_ns = served ? job->due_ns : loop_now_ns();
    loop_timer_stop(service->loop, &job->timer);
    if (job->place == JOB_QUEUED) {
        struct job **link = &service->queue_first;
        struct job *before = NULL;
        for (; *link != job; link = &(*link)->next)
            before = *link;
        *link = job->next;
        if (service->queue_last == job)
            service->queue_last = before;
        service->queued--;
    } else if (job->place == JOB_IN_SLOT) {
        service->busy--;
        share_end(&service->share);
        if (job->route != ROUTE_HEALTH)
            gpu_end(service->gpu);
    }
    if (job->conn != NULL)
        job->conn->work = NULL;
    buf_done(&job->pending);
    buf_done(&job->said);
    free(job);
    start_waiting(service, free_ns);
}

/* The client left. */
static void conn_gone(void *ctx, struct http_conn *conn)
{
    struct job *job = conn->work;
    (void)ctx;
    job->conn = NULL;
    job_end(job);
}

double job_slowdown(const struct job *job)
{
    const struct service *service = job->service;
    const double factor = service->options->share_factor;
    return factor != 1 && share_others_busy(&service->share) ? factor : 1;
}

static double draw(const struct service *service, long number, uint64_t which)
{
    const uint64_t hash =
        script_hash((uint64_t)service->options->seed * 8 + which, (uint64_t)number);
    return ((double)(hash >> 11) + 0.5) * 0x1p-53;
}

/* Time to the answer, or to the first token of a stream. */
static int64_t first_latency_ns(const struct job *job)
{
    const struct service *service = job->service;
    const struct options *options = service->options;
    if (job->route == ROUTE_HEALTH)
        return 0;
    double ns = (double)options->latency_ns;
    if (options->jitter_sigma > 0) {
        /* A normal deviate by Box and Muller (1958). */
        const double normal = sqrt(-2 * log(draw(service, job->number, 1))) *
                              cos(2 * M_PI * draw(service, job->number, 2));
        ns *= exp(options->jitter_sigma * normal);
    }
    if (job->route >= ROUTE_SPEECH)
        ns += options->audio_ratio * speech_duration_s(&service->speech, &job->speech) * 1e9;
    else if (!job->llm.stream)
        ns += (double)options->per_token_ns * (double)job->stream.total;
    ns += (double)options->per_prompt_token_ns *
          (double)(job->llm.prompt_tokens - job->llm.cached_tokens);
    return (int64_t)((ns + (double)job->effect.slow_ns) * job_slowdown(job));
}

/* When its slot became its own, by plan: 16 slots of 20 ms serve 800 a second, not 790 because the
 * timer was late each time. */
static int64_t start_ns(const struct job *job, int64_t free_ns)
{
    const int64_t now_ns = loop_now_ns(), came_ns = job->served.complete_ns;
    const int64_t at_ns = came_ns > free_ns ? came_ns : free_ns;
    return now_ns - at_ns < MADE_UP_NS ? at_ns : now_ns;
}

static void job_start(struct job *job, int64_t free_ns)
{
    struct service *service = job->service;
    job->place = JOB_IN_SLOT;
    service->busy++;
    share_begin(&service->share);
    if (job->route != ROUTE_HEALTH)
        gpu_begin(service->gpu);
    job->served.started_ns = start_ns(job, free_ns);
    job->due_ns = job->served.started_ns + first_latency_ns(job);
    answer_open(job);
}

/* `free_ns`: since when, by plan, there is room. */
static void start_waiting(struct service *service, int64_t free_ns)
{
    const long slots = service->options->slots;
    while (service->queue_first != NULL && (slots == 0 || service->busy < slots)) {
        struct job *job = service->queue_first;
        service->queue_first = job->next;
        if (service->queue_first == NULL)
            service->queue_last = NULL;
        job->next = NULL;
        service->queued--;
        job_start(job, free_ns);
    }
}

static void job_queue(struct job *job)
{
    struct service *service = job->service;
    job->place = JOB_QUEUED;
    if (service->queue_last != NULL)
        service->queue_last->next = job;
    else
        service->queue_first = job;
    service->queue_last = job;
    service->queued++;
    start_waiting(service, 0);
}

void service_touch(const char *path)
{
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (file != NULL)
        fclose(file);
}

static void do_deed(void *ctx, enum script_deed deed, int64_t number, const char *text)
{
    struct service *service = ctx;
    switch (deed) {
    case DEED_PRINT:
        fprintf(stderr, "%s\n", text);
        return;
    case DEED_GROW:
        process_hold((uint64_t)number);
        return;
    case DEED_TOUCH:
        service_touch(text);
        return;
    case DEED_KILL_CHILD:
        process_signal_children(service->process, (int)number);
        return;
    case DEED_HANG:
        service->state = SERVICE_HUNG;
        service->hung_status = (int)number;
        return;
    case DEED_MUTE:
        service->state = SERVICE_MUTE;
        return;
    case DEED_FREEZE:
        service_flush(service);
        process_freeze(number);
        return;
    case DEED_DIE:
        service_flush(service);
        process_die((int)number);
    case DEED_SIGNAL:
        service_flush(service);
        process_die_by_signal((int)number);
    }
}

/* What the card has to say about it. */
static void ask_gpu(struct service *service, struct script_effect *effect)
{
    const char *text = NULL;
    int code = 1;
    switch (gpu_request(service->gpu, &text, &code)) {
    case GPU_GOES_ON:
        return;
    case GPU_ANSWERS_500:
        effect->status = 500;
        effect->text = text;
        return;
    case GPU_DIES:
        service_flush(service);
        if (code == 134)
            process_die_by_signal(SIGABRT);
        process_die(code);
    }
}

static bool find_route(const struct service *service, const char *path, enum job_route *ret_route)
{
    const struct options *options = service->options;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].path, path) == 0 && (routes[i].kind & options->kind) != 0) {
            *ret_route = routes[i].route;
            return true;
        }
    }
    /* KServe's path names the model: /v2/models/NAME/infer. */
    const size_t len = strlen(path);
    if ((options->kind & KIND_KSERVE) != 0 && strncmp(path, "/v2/models/", 11) == 0 && len > 17 &&
        strcmp(path + len - 6, "/infer") == 0) {
        *ret_route = ROUTE_INFER;
        return true;
    }
    *ret_route = ROUTE_SPEECH;
    return options->inference_path != NULL && strcmp(options->inference_path, path) == 0;
}

/* A transcript that leaves in pieces is words to be said. */
static bool plan_transcript(struct job *job)
{
    const struct service *service = job->service;
    const struct options *options = service->options;
    if (!job->speech.stream)
        return true;
    speech_add_text(&service->speech, &job->speech, options->wer, (uint64_t)options->seed,
                    &job->said);
    const bool own = job->effect.words != WORDS_RIGHT;
    job->llm = (struct llm_ask){
        .dialect = DIALECT_TRANSCRIPT,
        .stream = true,
        .model = options->model,
        .sse = options->sse | job->effect.sse,
        .words = own ? job->effect.words : WORDS_SAY,
        .text = own              ? job->effect.text
                : options->say   ? options->say
                : job->said.data ? job->said.data
                                 : "",
        .count = job->effect.count,
    };
    llm_stream_init(&job->stream, &job->llm, job->number);
    return true;
}

/* Reads the request into the job; false with the reason. */
static bool job_read(struct job *job, const char **ret_why)
{
    static const enum llm_dialect dialects[] = {
        [ROUTE_CHAT] = DIALECT_OPENAI,
        [ROUTE_COMPLETION] = DIALECT_OPENAI,
        [ROUTE_OLLAMA_CHAT] = DIALECT_OLLAMA_CHAT,
        [ROUTE_OLLAMA_GENERATE] = DIALECT_OLLAMA_GENERATE,
        [ROUTE_SPOKEN] = DIALECT_SPOKEN,
    };
    const struct http_request *request = &job->conn->request;
    const struct options *options = job->service->options;
    if (job->route == ROUTE_HEALTH)
        return true;
    if (job->route >= ROUTE_SPEECH) {
        job->speech.required = options->require_field;
        return speech_parse(&job->speech, request->content_type, request->body, request->body_len,
                            ret_why) &&
               plan_transcript(job);
    }
    if (job->route == ROUTE_EMBEDDINGS)
        return tensor_parse_embeddings(&job->tensor, request->body, request->body_len, ret_why);
    if (job->route == ROUTE_INFER)
        return tensor_parse_infer(&job->tensor, request->body, request->body_len,
                                  request->tensor_head_len, ret_why);
    const bool own = job->effect.words != WORDS_RIGHT;
    job->llm = (struct llm_ask){
        .dialect = dialects[job->route],
        .chat = job->route == ROUTE_CHAT || job->route == ROUTE_OLLAMA_CHAT,
        .load_ns = job->effect.load_ns > 0 ? job->effect.load_ns : RESIDENT_LOAD_NS,
        .tokens = options->tokens,
        .model = options->model,
        .only_model = options->only_model,
        .prefixes = options->prefix_cache ? &job->service->prefixes : NULL,
        .sse = options->sse | job->effect.sse,
        .words = own                    ? job->effect.words
                 : options->say != NULL ? WORDS_SAY
                                        : WORDS_RIGHT,
        .text = own ? job->effect.text : options->say,
        .count = job->effect.count,
    };
    const bool spoken = job->route == ROUTE_SPOKEN;
    const bool good =
        spoken ? dialect_parse_spoken(&job->llm, request->body, request->body_len, ret_why)
               : llm_parse(&job->llm, request->body, request->body_len, ret_why);
    if (!good)
        return false;
    job->service->prompt_tokens += job->llm.prompt_tokens;
    llm_stream_init(&job->stream, &job->llm, job->number);
    return true;
}

static void take_work(struct service *service, struct http_conn *conn, enum job_route route)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        abort();
    *job = (struct job){.service = service, .conn = conn, .place = JOB_LOST, .route = route};
    job->timer = (struct loop_timer){.fire = answer_fire, .ctx = job};
    job->served.first_byte_ns = conn->request.first_byte_ns;
    job->served.complete_ns = conn->request.complete_ns;
    conn->work = job;
    if (route != ROUTE_HEALTH) {
        job->number = ++service->count;
        arrivals_note(&service->arrivals, &conn->request, job->number);
        job->effect = script_apply(&service->options->script, job->number, do_deed, service);
        if (job->effect.echo_key) {
            snprintf(job->quoted, sizeof(job->quoted), "you sent %s",
                     conn->request.authorization[0] ? conn->request.authorization : "no key");
            job->effect.text = job->quoted;
        }
        process_hold(service->options->grow_bytes);
        ask_gpu(service, &job->effect);
    }
    if (service->options->log_requests)
        fprintf(stderr, "INFO:     127.0.0.1 - \"%s %s HTTP/1.1\" %ld\n", conn->request.method,
                conn->request.path, job->number);
    if (service->state >= SERVICE_HUNG)
        return; /* lost until the client leaves */
    const char *why = "";
    if (!job_read(job, &why)) {
        service->failed++;
        conn->work = NULL;
        job->conn = NULL;
        service_refuse(conn, job->speech.file_given ? 422 : 400, why);
        job_end(job);
        return;
    }
    job_queue(job);
}

static void take_request(void *ctx, struct http_conn *conn)
{
    struct service *service = ctx;
    enum job_route route;
    if (service->state == SERVICE_MUTE)
        return;
    if (service->options->health_blocks && service->state == SERVICE_READY &&
        control_is_health(conn)) {
        take_work(service, conn, ROUTE_HEALTH);
        return;
    }
    const bool work = find_route(service, conn->request.path, &route);
    if (!work || service->state == SERVICE_LOADING)
        arrivals_note(&service->arrivals, &conn->request, 0);
    if (!work && !control_answer(service, conn))
        service_refuse(conn, 404, "File Not Found");
    if (!work)
        return;
    if (strcmp(conn->request.method, "POST") != 0)
        service_refuse(conn, 405, "Method Not Allowed");
    else if (service->state == SERVICE_LOADING)
        service_refuse(conn, 503, "Loading model");
    else
        take_work(service, conn, route);
}

bool service_open(struct service *service, struct loop *loop, struct process *process,
                  struct gpu *gpu, const struct options *options)
{
    *service = (struct service){.options = options, .loop = loop, .process = process, .gpu = gpu};
    service->http = (struct http_server){
        .loop = loop,
        .listener = {.fd = -1},
        .idle_timeout_ns = options->idle_timeout_ns,
        .drop_idle = options->drop_idle,
        .drop_reused = options->drop_reused,
        .ctx = service,
        .request = take_request,
        .gone = conn_gone,
    };
    const char *name = options->name != NULL ? options->name : options_kind_name(options->kind);
    service->arrivals.fd = service->served.fd = -1;
    return speech_load(&service->speech, options->transcripts) &&
           share_open(&service->share, options->share_dir, name, options->interfere_file) &&
           arrivals_open(&service->arrivals, loop, options->arrivals) &&
           arrivals_open(&service->served, loop, options->served);
}

void service_ready(struct service *service)
{
    service->state = SERVICE_READY;
}

void service_close(struct service *service)
{
    if (service == NULL)
        return;
    http_stop(&service->http);
    arrivals_close(&service->arrivals);
    arrivals_close(&service->served);
    share_close(&service->share);
    speech_done(&service->speech);
    prefixes_done(&service->prefixes);
}
