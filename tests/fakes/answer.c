/*
 * How an answer leaves: at once or token by token, whole or broken.
 *
 * The idea: the answer's text is made by llm.c or speech.c; here it only meets the connection, by
 * one function per way out. Tokens leave on a plan (start + latency + i times the time per token),
 * so that lateness does not add up over a stream.
 *
 * Invariant: any sending may find that the client is gone, which ends and frees the job; behind a
 * send only the connection (which lives until the batch's end) is looked at before the job is.
 */
#include "job.h"

#include "dialect.h"
#include "sse.h"

#include <stdio.h>

#define ENDLESS_PIECE (64 << 10)
#define ENDLESS_AHEAD (256 << 10)
#define ENDLESS_PAUSE_NS (1000 * 1000)

static bool streams(const struct job *job)
{
    return job->llm.stream;
}

/* Just before the next thing leaves. */
static void note_piece(struct job *job)
{
    struct served *served = &job->served;
    served->last_ns = loop_now_ns();
    if (served->sent_ns == 0)
        served->sent_ns = served->last_ns;
    if (served->last_ns - job->due_ns > served->late_ns)
        served->late_ns = served->last_ns - job->due_ns;
    served->pieces++;
}

/* The whole answer with its content type; half of it, or nothing, when the script says so. */
static void reply(struct job *job, const char *type, const char *body, size_t len)
{
    struct http_conn *conn = job->conn;
    const enum script_ending ending = job->effect.ending;
    if (ending == ENDING_CLOSE_MID || ending == ENDING_STALL_MID ||
        ending == ENDING_STALL_HEADERS) {
        http_reply_part(conn, 200, type, body, ending == ENDING_STALL_HEADERS ? 0 : len / 2, len);
        if (ending == ENDING_CLOSE_MID)
            http_close(conn, HTTP_CLOSE_FIN);
        return;
    }
    job->service->done++;
    note_piece(job);
    /* Ended first: the reply may let the connection's next request in at once. */
    conn->work = NULL;
    job->conn = NULL;
    http_reply(conn, 200, type, body, len);
    arrivals_note_served(&job->service->served, &job->served, job->number);
    job_end(job);
}

static void answer_speech(struct job *job)
{
    const struct service *service = job->service;
    const struct options *options = service->options;
    const bool own = job->effect.words != WORDS_RIGHT;
    const struct speech_words words = {
        .words = own                    ? job->effect.words
                 : options->say != NULL ? WORDS_SAY
                                        : WORDS_RIGHT,
        .text = own ? job->effect.text : options->say,
        .count = job->effect.count,
        .wer = options->wer,
        .seed = (uint64_t)options->seed,
    };
    struct buf body = {0};
    const bool whisper_cpp =
        job->route == ROUTE_WHISPER_CPP || options->disguise == DISGUISE_WHISPER;
    const char *type =
        speech_add_answer(&service->speech, &job->speech, &words, whisper_cpp, &body);
    reply(job, type, body.data, body.len);
    buf_done(&body);
}

static void answer_whole(struct job *job)
{
    struct buf body = {0};
    job->service->tokens += job->stream.total;
    llm_add_whole(&job->stream, &body);
    reply(job, "application/json; charset=utf-8", body.data, body.len);
    buf_done(&body);
}

static void answer_numbers(struct job *job)
{
    const char *model = job->service->options->model;
    struct buf body = {0};
    char type[128] = "application/json";
    if (job->route == ROUTE_EMBEDDINGS)
        tensor_add_embeddings(&job->tensor, job->effect.words, model, &body);
    else if (job->tensor.binary)
        snprintf(type, sizeof type,
                 "application/octet-stream\r\nInference-Header-Content-Length: %zu",
                 tensor_add_binary(&job->tensor, job->effect.words, model, &body));
    else
        tensor_add_infer(&job->tensor, job->effect.words, model, &body);
    reply(job, type, body.data, body.len);
    buf_done(&body);
}

static void stream_headers(struct job *job)
{
    if (job->begun)
        return;
    job->begun = true;
    http_stream_begin(job->conn, dialect_type(&job->llm));
}

static const uint32_t noisy = SSE_BIT(SSE_PING) | SSE_BIT(SSE_EVENT_PING) | SSE_BIT(SSE_EMPTY_DATA);

/* When the job is to be looked at again: at its plan's next moment, or for a ping before that. */
static void arm(struct job *job)
{
    const int64_t every_ns = job->service->options->ping_every_ns;
    const bool pings = every_ns > 0 && job->begun && (job->llm.sse & noisy) != 0;
    const bool stalls = job->fired && job->effect.ending == ENDING_STALL_HEADERS;
    const int64_t ping_ns = loop_now_ns() + every_ns;
    if (pings && (stalls || ping_ns < job->due_ns))
        loop_timer_set(job->service->loop, &job->timer, ping_ns);
    else if (!stalls)
        loop_timer_set(job->service->loop, &job->timer, job->due_ns);
}

/* A sign of life that is not a token. */
static void stream_ping(struct job *job)
{
    struct buf noise = {0};
    struct http_conn *conn = job->conn;
    sse_add_noise(&noise, job->llm.sse, job->stream.noise++);
    http_stream_send(conn, noise.data, noise.len);
    buf_done(&noise);
    if (conn->watch.fd >= 0 && conn->work == job)
        arm(job);
}

/* Sends what is pending, or a piece of it; returns true when all is out. */
static bool stream_out(struct job *job)
{
    const size_t piece = (size_t)job->service->options->sse_split;
    const size_t len = piece > 0 && piece < job->pending.len ? piece : job->pending.len;
    struct http_conn *conn = job->conn;
    /* A failing send ends the job by way of conn_gone: look at the connection, not at the job. */
    struct buf bytes = {0};
    buf_add(&bytes, job->pending.data, len);
    buf_drop(&job->pending, len);
    http_stream_send(conn, bytes.data, bytes.len);
    buf_done(&bytes);
    return conn->watch.fd >= 0 && conn->work != NULL && job->pending.len == 0;
}

static void stream_finish(struct job *job)
{
    struct http_conn *conn = job->conn;
    if (job->cut) {
        if (job->effect.ending == ENDING_CLOSE_MID)
            http_close(conn, HTTP_CLOSE_FIN);
        return;
    }
    if (job->state == LLM_SILENT)
        return;
    job->service->done++;
    conn->work = NULL;
    job->conn = NULL;
    http_stream_end(conn);
    arrivals_note_served(&job->service->served, &job->served, job->number);
    job_end(job);
}

static void plan_next_token(struct job *job)
{
    const double step_ns = (double)job->service->options->per_token_ns * job_slowdown(job);
    job->due_ns += (int64_t)step_ns;
    loop_timer_set(job->service->loop, &job->timer, job->due_ns);
}

static void make_events(struct job *job)
{
    const enum script_ending ending = job->effect.ending;
    const bool halves = ending == ENDING_CLOSE_MID || ending == ENDING_STALL_MID;
    job->state = LLM_MORE;
    /* Without a pause between tokens all of them leave in one piece. */
    const long before = job->stream.next;
    do {
        if (halves && job->stream.next >= job->stream.total / 2) {
            job->cut = true;
            llm_add_opening(&job->stream, &job->pending);
            return;
        }
        job->state = llm_add_next(&job->stream, &job->pending);
    } while (job->state == LLM_MORE && job->service->options->per_token_ns == 0);
    job->service->tokens += job->stream.next - before;
}

static void stream_step(struct job *job)
{
    stream_headers(job);
    if (job->pending.len == 0 && !job->cut && job->effect.ending != ENDING_STALL_HEADERS)
        make_events(job);
    struct http_conn *conn = job->conn;
    note_piece(job);
    if (!stream_out(job)) {
        if (conn->watch.fd >= 0 && conn->work != NULL)
            loop_timer_set(job->service->loop, &job->timer,
                           loop_now_ns() + job->service->options->sse_split_ns);
        return;
    }
    if (job->effect.ending == ENDING_STALL_HEADERS) {
        arm(job);
        return;
    }
    if (job->cut || job->state != LLM_MORE)
        stream_finish(job);
    else
        plan_next_token(job);
}

/* The bytes of a file as an answer of the kind's own type; what can't be read is a mistake of the
 * test's, and said. */
static void answer_file(struct job *job)
{
    struct buf body = {0};
    char piece[65536];
    FILE *file = fopen(job->effect.body, "re");
    if (file == NULL) {
        fprintf(stderr, "%s: can't be read\n", job->effect.body);
        process_die(2);
    }
    for (size_t got; (got = fread(piece, 1, sizeof(piece), file)) > 0;)
        buf_add(&body, piece, got);
    fclose(file);
    reply(job, streams(job) ? dialect_type(&job->llm) : "application/json", body.data, body.len);
    buf_done(&body);
}

/* As fast as the client takes it, but no more than a little ahead of it. */
static void answer_endlessly(struct job *job)
{
    struct http_conn *conn = job->conn;
    struct buf piece = {0};
    if (!job->begun)
        http_stream_begin(conn, streams(job) ? dialect_type(&job->llm) : "application/json");
    job->begun = true;
    while (conn->out.len < ENDLESS_AHEAD && piece.len < ENDLESS_PIECE)
        buf_add_text(&piece, job->effect.body);
    http_stream_send(conn, piece.data, piece.len);
    buf_done(&piece);
    if (conn->watch.fd >= 0 && conn->work == job)
        loop_timer_set(job->service->loop, &job->timer, loop_now_ns() + ENDLESS_PAUSE_NS);
}

/* Ends that are the same for all kinds of work; true when the job is dealt with. */
static bool end_oddly(struct job *job)
{
    struct http_conn *conn = job->conn;
    static const char garbage[] =
        "<html><body><h1>It works!</h1> \x00\xff\xfe {\"text\": </body></html>";
    static const char not_http[] = "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";
    switch (job->effect.ending) {
    case ENDING_CLOSE:
        http_close(conn, HTTP_CLOSE_FIN);
        return true;
    case ENDING_RESET:
        http_close(conn, HTTP_CLOSE_RESET);
        return true;
    case ENDING_STALL:
        return true;
    case ENDING_NOT_HTTP:
        conn->close_after = true;
        http_send_raw(conn, not_http, sizeof(not_http) - 1);
        return true;
    case ENDING_GARBAGE:
        reply(job, "text/html", garbage, sizeof(garbage) - 1);
        return true;
    case ENDING_EMPTY_BODY:
        reply(job, "application/json", "", 0);
        return true;
    case ENDING_BODY:
        answer_file(job);
        return true;
    case ENDING_ENDLESS:
        answer_endlessly(job);
        return true;
    case ENDING_NORMAL:
    case ENDING_STALL_HEADERS:
    case ENDING_STALL_MID:
    case ENDING_CLOSE_MID:
        break;
    }
    if (job->effect.status == 0)
        return false;
    job->service->failed++;
    conn->work = NULL;
    job->conn = NULL;
    service_refuse(conn, job->effect.status,
                   job->effect.text != NULL ? job->effect.text : "fake error, as asked");
    job_end(job);
    return true;
}

void answer_fire(void *ctx, int64_t now_ns)
{
    struct job *job = ctx;
    if (job->route == ROUTE_HEALTH) {
        struct service *service = job->service;
        struct http_conn *conn = job->conn;
        conn->work = NULL;
        job->conn = NULL;
        control_answer(service, conn);
        job_end(job);
        return;
    }
    const bool stalls = job->fired && job->effect.ending == ENDING_STALL_HEADERS;
    if (now_ns < job->due_ns || stalls) {
        stream_ping(job);
        return;
    }
    if (job->fired && job->effect.ending == ENDING_ENDLESS) {
        answer_endlessly(job);
        return;
    }
    if (!job->fired) {
        job->fired = true;
        const int64_t burn_ns =
            job->service->options->spin_request_ns + gpu_cpu_ns(job->service->gpu);
        if (burn_ns > 0)
            process_burn(burn_ns);
        job->burnt = burn_ns > 0;
        if (end_oddly(job))
            return;
    }
    if (streams(job))
        stream_step(job);
    else if (job->route <= ROUTE_SPOKEN)
        answer_whole(job);
    else if (job->route <= ROUTE_INFER)
        answer_numbers(job);
    else
        answer_speech(job);
}

/* What a stream shows before its first token: nothing, or what is to fool a naive clock. */
static void stream_early(struct job *job)
{
    const bool role = job->service->options->role_early;
    const enum script_ending ending = job->effect.ending;
    const bool opens = ending == ENDING_NORMAL || ending == ENDING_STALL_HEADERS ||
                       ending == ENDING_STALL_MID || ending == ENDING_CLOSE_MID;
    if (!streams(job) || !opens || job->effect.status != 0 ||
        !(role || (job->llm.sse & noisy) != 0))
        return;
    struct buf early = {0};
    struct http_conn *conn = job->conn;
    stream_headers(job);
    if (role)
        llm_add_opening(&job->stream, &early);
    else
        sse_add_noise(&early, job->llm.sse, job->stream.noise++);
    http_stream_send(conn, early.data, early.len);
    buf_done(&early);
}

void answer_open(struct job *job)
{
    struct http_conn *conn = job->conn;
    stream_early(job);
    if (conn->watch.fd >= 0 && conn->work == job)
        arm(job);
}
