/* libcurl's multi interface driven by sd-event: curl says which sockets and what time it waits for,
 * the loop tells it what has happened. Its handles are kept and used again, since making one costs
 * more than sending a request.
 *
 * What is decided here so that measurements are what they say:
 * - Bytes are stamped in the write callback, copied, and nothing else.
 * - No proxy from the environment, no redirects, no Expect: 100-continue, no Nagle, no compression.
 * - Without reuse the client closes first. "Connection: close" would make the server close first
 * and leave its port in TIME_WAIT, where the next start of a service may fail to bind it.
 * - With reuse, a request that dies on a kept-alive connection before any byte of an answer was the
 *   victim of an idle connection being dropped: it is sent again. curl does so by itself on the
 *   connections it holds; what is left is sent once more on a new one. The caller's clock runs on.
 * Invariant: `done` is called exactly once per send, never from within load_http_send. */
#include "load/http.h"

#include "base/clock.h"
#include "load/url.h"
#include "load/worker.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    HEADERS_MAX = 256 << 10,
    FAILURE_BODY_MAX = 4096, /* of an answer with another status than 200 */
    CHUNKS_MAX = 1 << 18,
};

struct load_http_headers {
    struct curl_slist *list; /* owned */
};

struct load_http {
    CURLM *multi;
    sd_event *event;
    sd_event_source *timer, *wake; /* curl's time-outs; transfers that ended while sending */
    struct load_http_hooks hooks;
    bool reaping;
};

bool load_http_setup(struct err *err)
{
    /* Without SSL: only http:// is spoken, and the library's tables would cost some MB. */
    CURLcode code = curl_global_init(CURL_GLOBAL_NOTHING);
    return code == CURLE_OK || err_set(err, ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(code));
}

static int status_of(const struct load_http_call *call)
{
    long status = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool stamp(struct load_http_call *call, int64_t now_ns)
{
    if (call->answer.chunk_count == CHUNKS_MAX)
        return false;
    if (call->answer.chunk_count == call->chunk_cap) {
        size_t cap = call->chunk_cap ? 2 * call->chunk_cap : 64;
        struct load_chunk *chunks = realloc(call->chunks, cap * sizeof *chunks);
        if (!chunks)
            abort();
        call->chunks = chunks;
        call->chunk_cap = cap;
    }
    call->chunks[call->answer.chunk_count++] =
        (struct load_chunk){.end = call->body.len, .at_ns = now_ns};
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    int64_t now_ns = clock_now_ns();
    struct load_http_call *call = ctx;
    size_t len = size * count, take = len;
    if (call->answer.chunk_count == 0)
        call->answer.http_status = status_of(call);
    if (call->answer.http_status != 200) {
        size_t room = call->body.len < FAILURE_BODY_MAX ? FAILURE_BODY_MAX - call->body.len : 0;
        take = len < room ? len : room;
        call->dropped_bytes += (int64_t)(len - take);
        call->over = call->dropped_bytes > LOAD_ANSWER_MAX;
        if (call->over)
            return CURL_WRITEFUNC_ERROR;
        if (take == 0)
            return len;
    }
    if (!buf_append(&call->body, bytes, take) || !stamp(call, now_ns)) {
        call->over = true;
        return CURL_WRITEFUNC_ERROR;
    }
    call->answer.body = buf_text(&call->body);
    call->answer.len = call->body.len;
    call->answer.chunks = call->chunks;
    if (call->http->hooks.chunk)
        call->http->hooks.chunk(call);
    return len;
}

/* Headers are only counted: a server that sends them without end must not fill our memory. */
static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    (void)bytes;
    struct load_http_call *call = ctx;
    call->header_bytes += size * count;
    call->over |= call->header_bytes > HEADERS_MAX;
    return call->over ? 0 : size * count;
}

static void set_common(CURL *easy, char *why)
{
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "spica/" SPICA_VERSION);
}

static CURL *make_easy(struct load_http_call *call)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        abort();
    set_common(easy, call->why);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    return easy;
}

static void reset_call(struct load_http_call *call)
{
    buf_clear(&call->body);
    call->body.max = LOAD_ANSWER_MAX;
    call->answer = (struct load_answer){.body = "", .chunks = call->chunks};
    call->header_bytes = 0;
    call->dropped_bytes = 0;
    call->retried = call->over = false;
    call->why[0] = '\0';
}

static void kick(struct load_http *http)
{
    int running = 0;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

void load_http_send(struct load_http *http, struct load_http_call *call,
                    const struct load_http_request *request)
{
    if (!call->easy)
        call->easy = make_easy(call);
    call->http = http;
    reset_call(call);
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers->list);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->reuse ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->reuse ? 0L : 1L);
    call->active = true;
    curl_multi_add_handle(http->multi, easy);
    kick(http);
    /* If it has failed already (refused), the loop says so, not we. */
    if (!http->reaping)
        sd_event_source_set_enabled(http->wake, SD_EVENT_ONESHOT);
}

void load_http_cancel(struct load_http_call *call)
{
    if (!call->active)
        return;
    call->active = false;
    call->answer.http_status = status_of(call);
    curl_multi_remove_handle(call->http->multi, (CURL *)call->easy);
}

void load_http_call_done(struct load_http_call *call)
{
    if (!call)
        return;
    load_http_cancel(call);
    if (call->easy)
        curl_easy_cleanup((CURL *)call->easy);
    buf_done(&call->body);
    free(call->chunks);
    *call = (struct load_http_call){0};
}

static enum load_http_end end_of(const struct load_http_call *call, CURLcode code)
{
    long sys = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_OS_ERRNO, &sys);
    if (call->over)
        return LOAD_HTTP_LIMIT;
    switch (code) {
    case CURLE_OK:
        return LOAD_HTTP_COMPLETE;
    case CURLE_COULDNT_CONNECT:
        return sys == EADDRNOTAVAIL || sys == EMFILE || sys == ENFILE ? LOAD_HTTP_INTERNAL
                                                                      : LOAD_HTTP_CONNECT;
    case CURLE_RECV_ERROR: /* also curl's code for broken chunks, which no errno explains */
        return strstr(call->why, "chunk") ? LOAD_HTTP_NONSENSE : LOAD_HTTP_CLOSED;
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return LOAD_HTTP_CLOSED;
    case CURLE_OPERATION_TIMEDOUT: /* curl's own bound on connecting, 300 s */
        return LOAD_HTTP_CONNECT;
    case CURLE_FAILED_INIT:
        return LOAD_HTTP_INTERNAL;
    default:
        /* No status line, a header without end, and whatever else a server can think of: curl has a
         * code for each, and none of them may pass for a failure of ours. */
        return LOAD_HTTP_NONSENSE;
    }
}

/* Died on a connection that was open before, without a byte of an answer. */
static bool died_idle(const struct load_http_call *call, enum load_http_end end)
{
    long connects = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_NUM_CONNECTS, &connects);
    return end == LOAD_HTTP_CLOSED && connects == 0 && !call->retried && call->header_bytes == 0 &&
           call->body.len == 0;
}

static void finish(struct load_http *http, struct load_http_call *call, CURLcode code)
{
    enum load_http_end end = end_of(call, code);
    curl_multi_remove_handle(http->multi, (CURL *)call->easy);
    if (died_idle(call, end)) {
        call->retried = true;
        call->why[0] = '\0';
        curl_easy_setopt((CURL *)call->easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_multi_add_handle(http->multi, (CURL *)call->easy);
        kick(http);
        return;
    }
    call->active = false;
    call->answer.http_status = status_of(call);
    if (end != LOAD_HTTP_COMPLETE && !call->why[0])
        strncat(call->why, curl_easy_strerror(code), sizeof call->why - 1);
    http->hooks.done(call, end);
}

/* `done` may send anew, and what it sends may end at once: the loop below takes that too. */
static void reap(struct load_http *http)
{
    http->reaping = true;
    int left = 0;
    for (CURLMsg *news = curl_multi_info_read(http->multi, &left); news;
         news = curl_multi_info_read(http->multi, &left)) {
        struct load_http_call *call = NULL;
        curl_easy_getinfo(news->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (news->msg == CURLMSG_DONE)
            finish(http, call, news->data.result);
    }
    http->reaping = false;
}

static int on_wake(sd_event_source *source, void *ctx)
{
    (void)source;
    reap(ctx);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    kick(ctx);
    reap(ctx);
    return 0;
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    struct load_http *http = ctx;
    int running = 0, what = 0;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(http->multi, fd, what, &running);
    reap(http);
    return 0;
}

/* curl wants to watch a socket, for other events, or no longer. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    (void)easy;
    struct load_http *http = ctx;
    sd_event_source *source = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        sd_event_source_disable_unref(source);
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                      (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (source)
        return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
    if (sd_event_add_io(http->event, &source, fd, events, on_socket, http) < 0)
        return -1;
    sd_event_source_set_description(source, "answer");
    curl_multi_assign(http->multi, fd, source);
    return 0;
}

static int want_time(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct load_http *http = ctx;
    if (timeout_ms < 0)
        return sd_event_source_set_enabled(http->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
    int64_t at_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
    if (sd_event_source_set_time(http->timer, (uint64_t)(at_ns / NS_PER_US)) < 0)
        return -1;
    return sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static bool add_sources(struct load_http *http)
{
    if (sd_event_add_time(http->event, &http->timer, CLOCK_MONOTONIC, 0, 1, on_timer, http) < 0 ||
        sd_event_add_defer(http->event, &http->wake, on_wake, http) < 0)
        return false;
    sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
    sd_event_source_set_enabled(http->wake, SD_EVENT_OFF);
    sd_event_source_set_description(http->timer, "curl");
    sd_event_source_set_description(http->wake, "ended");
    return true;
}

bool load_http_new(sd_event *event, const struct load_http_hooks *hooks,
                   struct load_http **ret_http, struct err *err)
{
    struct load_http *http = calloc(1, sizeof *http);
    if (!http)
        abort();
    http->event = sd_event_ref(event);
    http->hooks = *hooks;
    http->multi = curl_multi_init();
    if (!http->multi || !add_sources(http)) {
        load_http_free(http);
        return err_set(err, ERR_INTERNAL, "setting up the HTTP client");
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, (void *)http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_time);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, (void *)http);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    /* Idle connections to keep; the default depends on how many requests happen to be in flight. */
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 1024L);
    *ret_http = http;
    return true;
}

struct load_http *load_http_free(struct load_http *http)
{
    if (!http)
        return NULL;
    /* curl says goodbye to its sockets and timer through the callbacks: the sources go after it. */
    curl_multi_cleanup(http->multi);
    sd_event_source_disable_unref(http->timer);
    sd_event_source_disable_unref(http->wake);
    sd_event_unref(http->event);
    free(http);
    return NULL;
}

struct load_http_headers *load_http_headers_new(const char *content_type)
{
    struct load_http_headers *headers = calloc(1, sizeof *headers);
    struct buf line = BUF_INIT(1024);
    buf_addf(&line, "Content-Type: %s", content_type);
    struct curl_slist *list = curl_slist_append(NULL, buf_text(&line));
    struct curl_slist *both = list ? curl_slist_append(list, "Expect:") : NULL;
    buf_done(&line);
    if (!headers || !both)
        abort();
    headers->list = both;
    return headers;
}

struct load_http_headers *load_http_headers_free(struct load_http_headers *headers)
{
    if (!headers)
        return NULL;
    curl_slist_free_all(headers->list);
    free(headers);
    return NULL;
}

/* --- one GET, blocking --- */

struct got {
    size_t bytes;
    struct buf *body; /* NULL: dropped */
};

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct got *got = ctx;
    got->bytes += size * count;
    if (got->body)
        (void)!buf_append(got->body, bytes, size * count); /* a full buffer says "over" */
    return got->bytes > (size_t)LOAD_ANSWER_MAX ? CURL_WRITEFUNC_ERROR : size * count;
}

static CURLcode get(CURL *easy, int port, const char *path, int64_t timeout_ns, struct buf *body)
{
    struct buf url = BUF_INIT(LOAD_URL_MAX);
    struct got got = {.body = body};
    long timeout_ms = (long)(timeout_ns / NS_PER_MS);
    buf_addf(&url, "http://127.0.0.1:%d%s", port, path ? path : "");
    curl_easy_setopt(easy, CURLOPT_URL, buf_text(&url));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, path ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)&got);
    CURLcode code = url.over ? CURLE_URL_MALFORMAT : curl_easy_perform(easy);
    buf_done(&url);
    return code;
}

void load_http_get(int port, const char *path, int64_t timeout_ns, int *ret_status, char *ret_why,
                   size_t size)
{
    load_http_fetch(port, path, timeout_ns, NULL, ret_status, ret_why, size);
}

void load_http_fetch(int port, const char *path, int64_t timeout_ns, struct buf *ret_body,
                     int *ret_status, char *ret_why, size_t size)
{
    char why[CURL_ERROR_SIZE] = "";
    struct err err = ERR_INIT;
    CURL *easy = load_http_setup(&err) ? curl_easy_init() : NULL;
    *ret_status = 0;
    if (!easy) {
        snprintf(ret_why, size, "libcurl could not be set up");
        return;
    }
    set_common(easy, why);
    CURLcode code = get(easy, port, path, timeout_ns, ret_body);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && !path)
        snprintf(ret_why, size, "the port accepts connections");
    else if (code == CURLE_OK)
        snprintf(ret_why, size, "answered %ld", status);
    else
        snprintf(ret_why, size, "%s", why[0] ? why : curl_easy_strerror(code));
    if (code == CURLE_OK)
        *ret_status = path ? (int)status : 200;
    curl_easy_cleanup(easy);
}
