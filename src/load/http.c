/* libcurl's multi interface driven by sd-event: curl says which sockets and what time it waits for,
 * the loop tells it what has happened. Its handles are kept and used again, since making one costs
 * more than sending a request.
 *
 * What is decided here so that measurements are what they say:
 * - Bytes are stamped in the write callback, copied, and nothing else.
 * - Without reuse the client closes first. "Connection: close" would make the server close first
 * and leave its port in TIME_WAIT, where the next start of a service may fail to bind it.
 * - With reuse, a request that dies on a kept-alive connection before any byte of an answer was the
 *   victim of an idle connection being dropped: it is sent again. curl does so by itself on the
 *   connections it holds; what is left is sent once more on a new one. The caller's clock runs on.
 * - What comes is bounded for each answer and for all of them: a server that sends without end
 * fails its own requests and takes neither memory nor time from the others'.
 * - Each call has a connection of its own, and calls are spread over several multi handles (hubs):
 *   curl finds a free connection by walking over all that are in use, and looks for dead ones by
 *   walking over all again for each that it finds. A server that froze for a second at 5,000/s left
 *   thousands; each send then took half a millisecond, and the load never came down again.
 * Invariant: `done` is called exactly once per send, never from within load_http_send. */
#include "load/http.h"

#include "base/clock.h"
#include "load/http_easy.h"
#include "load/http_inside.h"
#include "load/http_sockets.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    HEADERS_MAX = 256 << 10,
    FAILURE_BODY_MAX = 4096, /* of an answer with another status than 200 */
    CHUNKS_MAX = 1 << 18,
    HELD_MAX = 256 << 20,  /* by all answers together, while in flight or waiting to be read */
    HELD_SHARE = 64 << 10, /* of one answer, whatever the others hold */
    KEPT_BYTES = 16 << 10, /* of a body's memory, from one request to the next */
    KEPT_CHUNKS = 4096,
    TURN_MAX_NS = 500000,
    BATCH_NS = 100000, /* of answers, before sends and timers are looked at again */
    HUB_CALLS = 128,   /* times the hubs is more than is ever in flight; else the last has more */
};
static_assert(LOAD_ANSWER_MAX == 8 << 20, "the words below say so");

static int status_of(const struct load_http_call *call)
{
    long status = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Keeps the sum of what all calls hold. A call may grow over its small share only while the sum is
 * within the budget: then the ones that grow are those which fail, and short answers go on. */
static bool account(struct load_http_call *call)
{
    size_t held = call->body.cap + call->chunk_cap * sizeof *call->chunks;
    if (held == call->held)
        return true;
    call->http->held_bytes += held - call->held;
    call->held = held;
    return call->http->held_bytes <= HELD_MAX || held <= HELD_SHARE;
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
    call->answer.chunks = call->chunks; /* moved, perhaps: whatever ends this call reads them */
    return true;
}

/* libcurl reads a socket up to a hundred times in one go: a flood of one-byte chunks would hold the
 * loop for 80 ms. A turn that took long is broken off; what is due elsewhere comes first. */
static bool is_long_turn(struct load_http *http, int64_t now_ns)
{
    if (http->turn_ns == 0)
        http->turn_ns = now_ns;
    return now_ns - http->turn_ns > TURN_MAX_NS;
}

static size_t pause_call(struct load_http_call *call)
{
    struct load_http *http = call->http;
    if (!call->paused) {
        call->paused = true;
        call->next_paused = http->paused;
        http->paused = call;
    }
    sd_event_source_set_enabled(http->resume, SD_EVENT_ONESHOT);
    return CURL_WRITEFUNC_PAUSE;
}

static void forget_paused(struct load_http_call *call)
{
    struct load_http_call **at = &call->http->paused;
    while (*at && *at != call)
        at = &(*at)->next_paused;
    if (*at)
        *at = call->next_paused;
    call->paused = false;
}

static size_t stop(struct load_http_call *call, const char *limit)
{
    call->limit = limit;
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    int64_t now_ns = clock_now_ns();
    struct load_http_call *call = ctx;
    size_t len = size * count, take = len;
    if (is_long_turn(call->http, now_ns))
        return pause_call(call);
    if (call->answer.chunk_count == 0)
        call->answer.http_status = status_of(call);
    if (call->answer.http_status != 200) {
        size_t room = call->body.len < FAILURE_BODY_MAX ? FAILURE_BODY_MAX - call->body.len : 0;
        take = len < room ? len : room;
        call->dropped_bytes += (int64_t)(len - take);
        if (call->dropped_bytes > LOAD_ANSWER_MAX)
            return stop(call, "a failure's answer over 8 MiB");
        if (take == 0)
            return len;
    }
    if (!buf_append(&call->body, bytes, take))
        return stop(call, "an answer over 8 MiB");
    /* The old bytes may be gone: an answer that a limit ends is read too. */
    call->answer.body = buf_text(&call->body);
    call->answer.len = call->body.len;
    if (!stamp(call, now_ns))
        return stop(call, "an answer in more than 262,144 pieces");
    if (!account(call))
        return stop(call, "all answers in flight together over 256 MiB");
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
    if (call->header_bytes > HEADERS_MAX)
        call->limit = "headers over 256 KiB";
    return call->limit ? 0 : size * count;
}

static int on_opened(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct load_http_call *call = ctx;
    call->fd = fd;
    load_http_sockets_opened(call->http->sockets, fd, call);
    return CURL_SOCKOPT_OK;
}

static int on_close(void *ctx, curl_socket_t fd)
{
    return load_http_sockets_close(ctx, fd);
}

static CURL *make_easy(struct load_http_call *call)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        abort();
    load_http_easy_common(easy, call->why);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_opened);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, load_http_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, (void *)call);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, (void *)call->http->sockets);
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
    call->retried = false;
    call->limit = NULL;
    call->why[0] = '\0';
}

/* curl changes its mind about the time some six times a request, mostly back to none: the loop is
 * told once, after curl was called. */
static void set_timer(struct load_http_hub *hub)
{
    if (hub->at_ns == hub->timer_ns)
        return;
    hub->timer_ns = hub->at_ns;
    bool on = hub->at_ns != CLOCK_NEVER;
    if (on)
        sd_event_source_set_time(hub->timer, (uint64_t)(hub->at_ns / NS_PER_US));
    sd_event_source_set_enabled(hub->timer, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* To curl this is its timer having fired: it asks for another or for none. */
static void kick(struct load_http_hub *hub)
{
    hub->http->turn_ns = 0;
    hub->at_ns = CLOCK_NEVER;
    curl_multi_socket_action(hub->multi, CURL_SOCKET_TIMEOUT, 0, &hub->running);
    set_timer(hub);
}

static struct load_http_hub *hub_for_next(struct load_http *http);

/* curl looks for a connection among those to the same host, port and scope. A scope is an
 * interface, which means something for link-local addresses and nothing for all others. */
static void keep_apart(struct load_http *http, struct load_http_call *call,
                       const struct load_http_request *request)
{
    const char *where = request->addresses ? request->addresses : request->url;
    call->apart = !strcasestr(where, "fe80:");
    if (call->apart)
        curl_easy_setopt((CURL *)call->easy, CURLOPT_ADDRESS_SCOPE, ++http->calls);
}

void load_http_send(struct load_http *http, struct load_http_call *call,
                    const struct load_http_request *request)
{
    call->http = http;
    if (!call->easy) {
        call->easy = make_easy(call);
        load_http_easy_site(call, request);
        call->hub = hub_for_next(http);
        keep_apart(http, call, request);
    }
    reset_call(call);
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers->list);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    if (request->get)
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->reuse ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->reuse ? 0L : 1L);
    call->active = true;
    int before = call->hub->running;
    curl_multi_add_handle(call->hub->multi, easy);
    kick(call->hub);
    /* If it has failed already (refused), the loop says so, not we. */
    if (!http->reaping && call->hub->running <= before)
        sd_event_source_set_enabled(http->wake, SD_EVENT_ONESHOT);
}

void load_http_cancel(struct load_http_call *call)
{
    if (!call->active)
        return;
    call->active = false;
    if (call->paused)
        forget_paused(call);
    call->answer.http_status = status_of(call);
    curl_multi_remove_handle(call->hub->multi, (CURL *)call->easy);
    call->corked = false; /* only now: what is held is dropped by the close */
    set_timer(call->hub);
}

void load_http_call_trim(struct load_http_call *call)
{
    if (call->body.cap > KEPT_BYTES)
        buf_done(&call->body);
    if (call->chunk_cap > KEPT_CHUNKS) {
        free(call->chunks);
        call->chunks = NULL;
        call->chunk_cap = 0;
    }
    call->answer = (struct load_answer){.body = ""};
    account(call);
}

void load_http_call_done(struct load_http_call *call)
{
    if (!call)
        return;
    load_http_cancel(call);
    if (call->easy)
        curl_easy_cleanup((CURL *)call->easy);
    curl_slist_free_all((struct curl_slist *)call->pin);
    curl_url_cleanup((CURLU *)call->parsed);
    if (call->http)
        call->http->held_bytes -= call->held;
    buf_done(&call->body);
    free(call->chunks);
    *call = (struct load_http_call){0};
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
    if (call->corked) {
        load_http_lose(call);
        return;
    }
    enum load_http_end end = load_http_easy_end(call, code);
    curl_multi_remove_handle(call->hub->multi, (CURL *)call->easy);
    if (call->paused)
        forget_paused(call);
    if (died_idle(call, end)) {
        call->retried = true;
        call->why[0] = '\0';
        curl_easy_setopt((CURL *)call->easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_multi_add_handle(call->hub->multi, (CURL *)call->easy);
        kick(call->hub);
        return;
    }
    call->active = false;
    call->last = http->last;
    call->answer.http_status = status_of(call);
    if (end != LOAD_HTTP_COMPLETE && !call->why[0])
        strncat(call->why, curl_easy_strerror(code), sizeof call->why - 1);
    http->hooks.done(call, end);
}

/* `done` may send anew, and what it sends may end at once: the loop below takes that too. */
static void reap(struct load_http_hub *hub)
{
    struct load_http *http = hub->http;
    http->reaping = true;
    int left = 0;
    for (CURLMsg *news = curl_multi_info_read(hub->multi, &left); news;
         news = curl_multi_info_read(hub->multi, &left)) {
        struct load_http_call *call = NULL;
        curl_easy_getinfo(news->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (news->msg == CURLMSG_DONE)
            finish(http, call, news->data.result);
    }
    http->reaping = false;
    set_timer(hub);
}

static int on_wake(sd_event_source *source, void *ctx)
{
    (void)source;
    struct load_http *http = ctx;
    for (size_t i = 0; i < http->hub_count; i++)
        reap(&http->hubs[i]);
    return 0;
}

/* Bytes that were kept back are handed over within curl_easy_pause(). What goes wrong then, a limit
 * that they exceed or something of curl's own, is its result and no news of the multi handle's:
 * curl would neither end the transfer nor look at its socket again. */
static void resume_all(struct load_http *http)
{
    struct load_http_call *call = http->paused, *over = NULL;
    http->paused = NULL;
    while (call) {
        struct load_http_call *next = call->next_paused;
        call->paused = false;
        http->turn_ns = 0;
        CURLcode code = curl_easy_pause((CURL *)call->easy, CURLPAUSE_CONT);
        if (code != CURLE_OK) {
            call->resumed = (int)code;
            call->next_paused = over;
            over = call;
        }
        call = next;
    }
    http->reaping = true;
    while (over) {
        struct load_http_call *next = over->next_paused;
        if (over->active)
            finish(http, over, (CURLcode)over->resumed);
        over = next;
    }
    http->reaping = false;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    struct load_http *http = ctx;
    resume_all(http);
    for (size_t i = 0; i < http->hub_count; i++) {
        kick(&http->hubs[i]);
        reap(&http->hubs[i]);
    }
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    struct load_http_hub *hub = ctx;
    hub->timer_ns = CLOCK_NEVER; /* it was for once */
    kick(hub);
    reap(hub);
    return 0;
}

static void act(struct load_http_hub *hub, int fd, uint32_t events)
{
    int what = 0;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    hub->http->turn_ns = 0;
    struct load_http_call *held = load_http_sockets_holder(hub->http->sockets, fd);
    if (held) {
        load_http_lose(held);
        return;
    }
    curl_multi_socket_action(hub->multi, fd, what, &hub->running);
    hub->http->last = !load_http_sockets_more(hub->http->sockets);
    reap(hub);
    hub->http->last = false;
}

static int on_ready(sd_event_source *source, int epoll_fd, uint32_t epoll_events, void *ctx)
{
    (void)source;
    (void)epoll_fd;
    (void)epoll_events;
    struct load_http *http = ctx;
    int64_t end_ns = clock_now_ns() + BATCH_NS;
    int fd = -1;
    uint32_t hub = 0, events = 0;
    do {
        if (!load_http_sockets_next(http->sockets, &fd, &hub, &events))
            break;
        act(&http->hubs[hub], fd, events);
    } while (clock_now_ns() < end_ns);
    return 0;
}

/* curl wants to watch a socket, for other events, or no longer. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    (void)easy;
    (void)socket_ctx;
    struct load_http_hub *hub = ctx;
    struct load_http *http = hub->http;
    if (what == CURL_POLL_REMOVE) {
        load_http_sockets_forget(http->sockets, fd);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                      (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    uint32_t tag = (uint32_t)(hub - http->hubs);
    return load_http_sockets_watch(http->sockets, fd, tag, events) ? 0 : -1;
}

static int want_time(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct load_http_hub *hub = ctx;
    hub->at_ns = timeout_ms < 0 ? CLOCK_NEVER : clock_now_ns() + timeout_ms * NS_PER_MS;
    return 0;
}

static bool open_hub(struct load_http *http)
{
    struct load_http_hub *hub = &http->hubs[http->hub_count];
    *hub = (struct load_http_hub){
        .http = http, .multi = curl_multi_init(), .timer_ns = CLOCK_NEVER, .at_ns = CLOCK_NEVER};
    http->hub_count++; /* so that what there is of it is freed */
    if (!hub->multi ||
        sd_event_add_time(http->event, &hub->timer, CLOCK_MONOTONIC, 0, 1, on_timer, hub) < 0)
        return false;
    sd_event_source_set_enabled(hub->timer, SD_EVENT_OFF);
    sd_event_source_set_description(hub->timer, "curl");
    curl_multi_setopt(hub->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(hub->multi, CURLMOPT_SOCKETDATA, (void *)hub);
    curl_multi_setopt(hub->multi, CURLMOPT_TIMERFUNCTION, want_time);
    curl_multi_setopt(hub->multi, CURLMOPT_TIMERDATA, (void *)hub);
    curl_multi_setopt(hub->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    /* Idle connections to keep; the default depends on how many requests happen to be in flight. */
    curl_multi_setopt(hub->multi, CURLMOPT_MAXCONNECTS, (long)HUB_CALLS * LOAD_HTTP_HUBS_MAX);
    return true;
}

/* The hub of a call that is new: so many to each. */
static struct load_http_hub *hub_for_next(struct load_http *http)
{
    size_t index = (size_t)http->calls / HUB_CALLS;
    if (index >= http->hub_count && http->hub_count < LOAD_HTTP_HUBS_MAX && !open_hub(http))
        abort(); /* memory: nothing else can be missing */
    return &http->hubs[http->hub_count - 1];
}

static bool add_sources(struct load_http *http)
{
    http->sockets = load_http_sockets_new(http->event, on_ready, http);
    if (!http->sockets || sd_event_add_defer(http->event, &http->wake, on_wake, http) < 0 ||
        sd_event_add_time(http->event, &http->resume, CLOCK_MONOTONIC, 0, 1, on_resume, http) < 0)
        return false;
    sd_event_source_set_enabled(http->wake, SD_EVENT_OFF);
    sd_event_source_set_enabled(http->resume, SD_EVENT_OFF);
    sd_event_source_set_description(http->wake, "ended");
    sd_event_source_set_description(http->resume, "paused");
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
    if (!add_sources(http) || !open_hub(http)) {
        load_http_free(http);
        return err_set(err, ERR_INTERNAL, "setting up the HTTP client");
    }
    *ret_http = http;
    return true;
}

struct load_http *load_http_free(struct load_http *http)
{
    if (!http)
        return NULL;
    /* curl says goodbye to its sockets and timer through the callbacks: the sources go after it. */
    for (size_t i = 0; i < http->hub_count; i++) {
        curl_multi_cleanup(http->hubs[i].multi);
        sd_event_source_disable_unref(http->hubs[i].timer);
    }
    load_http_sockets_free(http->sockets);
    sd_event_source_disable_unref(http->wake);
    sd_event_source_disable_unref(http->resume);
    sd_event_unref(http->event);
    free(http);
    return NULL;
}
