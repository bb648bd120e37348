/* The daemon's own small web server: libmicrohttpd without threads, its epoll descriptor one more
 * source of our loop.
 *
 * One request for each connection: a scrape every 15 s needs no kept connection, and "since when is
 * it open" is then the whole question of slow clients. libmicrohttpd's own limit is on silence; who
 * sends a byte now and then would stay for ever. So each connection has a deadline as a whole, and
 * is shut down by us when it is over; libmicrohttpd sees the end and clears up.
 *
 * Rejected: a thread with a snapshot (a lock between the watching and whoever looks at it), and
 * answers kept until the next tick (a page costs less than a millisecond).
 *
 * The source has idle priority: whoever floods us with requests waits behind the watching.
 * Invariant: nothing that a client sends can change anything, and what one client can hold is
 * bounded: connections, bytes of a request, time. */
#include "guard/serve.h"

#include "base/clock.h"
#include "guard/serve_request.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

enum {
    CONNECTIONS_MAX = 16,
    REQUEST_MAX = 16 << 10, /* line and headers of one */
    SILENCE_S = 5,
    PAGE_MAX = 8 << 20,
};
static const int64_t CONNECTION_WITHIN_NS = 10 * NS_PER_S;
static const uint64_t SWEEP_EVERY_US = 1000 * 1000;

struct connection {
    int fd; /* borrowed from libmicrohttpd; -1: free */
    int64_t end_ns;
    bool ended; /* by us */
};

struct guard_serve {
    const struct guard_status *status; /* borrowed */
    const char *token;                 /* borrowed; NULL: none is wanted */
    struct MHD_Daemon *daemon;         /* owned */
    sd_event_source *io, *timer;       /* owned */
    struct connection connections[CONNECTIONS_MAX];
    int port;
};

/* ---- answers ---- */

static const char *const form_types[] = {
    [EXPOSE_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    [EXPOSE_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
};

static const struct {
    const char *name, *value;
} always[] = {
    {MHD_HTTP_HEADER_CONNECTION, "close"},
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
};

/* Takes the text of `page`. `extra`: one more header, or NULL. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              struct buf *page, const char *extra, const char *value)
{
    size_t len = page->len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(page), MHD_RESPMEM_MUST_FREE);
    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        MHD_add_response_header(response, always[i].name, always[i].value);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (extra)
        MHD_add_response_header(response, extra, value);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text,
                              const char *extra, const char *value)
{
    struct buf page = BUF_INIT(1024);
    buf_addf(&page, "%s\n", text);
    return answer(connection, status, "text/plain; charset=utf-8", &page, extra, value);
}

static enum MHD_Result show(const struct guard_serve *serve, struct MHD_Connection *connection,
                            enum serve_what what)
{
    struct buf page = BUF_INIT(PAGE_MAX);
    bool well = guard_status_well(serve->status, clock_now_ns());
    enum guard_exposition form = serve_form(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
    const char *type = "text/plain; charset=utf-8";
    if (what == SERVE_METRICS) {
        guard_openmetrics_write(serve->status, form, &page);
        type = form_types[form];
    } else if (what == SERVE_STATUS) {
        guard_status_write_json(serve->status, &page);
        type = "application/json";
    } else {
        buf_add(&page, well ? "ok\n" : "has not looked for too long\n");
    }
    if (page.over) {
        buf_done(&page);
        return refuse(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "too large", NULL, NULL);
    }
    return answer(connection,
                  what == SERVE_HEALTH && !well ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, type,
                  &page, what == SERVE_METRICS ? MHD_HTTP_HEADER_VARY : NULL, "Accept");
}

/* Called at the head of a request; answering at once, libmicrohttpd reads no body. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_len, void **request)
{
    const struct guard_serve *serve = context;
    int what = serve_find(path);
    (void)version;
    (void)body;
    (void)body_len;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "read only", MHD_HTTP_HEADER_ALLOW,
                      "GET, HEAD");
    bool open = what >= 0 && serve_is_open((enum serve_what)what);
    if (serve->token && !open &&
        !serve_may(
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION),
            serve->token))
        return refuse(connection, MHD_HTTP_UNAUTHORIZED, "a token is wanted",
                      MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"spica guard\"");
    if (what < 0)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "/metrics, /status and /healthz are here",
                      NULL, NULL);
    return show(serve, connection, (enum serve_what)what);
}

/* ---- time ---- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct guard_serve *serve = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct connection *slot = *socket_context;
        if (slot)
            slot->fd = -1;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (size_t i = 0; info && i < CONNECTIONS_MAX; i++)
        if (serve->connections[i].fd < 0) {
            serve->connections[i] = (struct connection){
                .fd = info->connect_fd, .end_ns = clock_now_ns() + CONNECTION_WITHIN_NS};
            *socket_context = &serve->connections[i];
            return;
        }
}

/* When libmicrohttpd is to be run though nobody speaks to it. At the latest after a second, always:
 * it stops listening while all places are taken, and listens again in the run after the one in
 * which they became free. */
static void arm(struct guard_serve *serve)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    uint64_t us = SWEEP_EVERY_US;
    if (MHD_get_timeout(serve->daemon, &ms) == MHD_YES && ms * 1000 < us)
        us = ms * 1000;
    sd_event_source_set_time_relative(serve->timer, us);
    sd_event_source_set_enabled(serve->timer, SD_EVENT_ONESHOT);
}

static void sweep(struct guard_serve *serve)
{
    int64_t now_ns = clock_now_ns();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *slot = &serve->connections[i];
        if (slot->fd >= 0 && !slot->ended && now_ns >= slot->end_ns) {
            shutdown(slot->fd, SHUT_RDWR);
            slot->ended = true;
        }
    }
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
    struct guard_serve *serve = context;
    (void)source;
    (void)usec;
    sweep(serve);
    MHD_run(serve->daemon);
    arm(serve);
    return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct guard_serve *serve = context;
    (void)source;
    (void)fd;
    (void)events;
    MHD_run(serve->daemon);
    arm(serve);
    return 0;
}

/* ---- its life ---- */

static bool listen_on(const struct serve_address *address, const struct spec_guard *guard,
                      int *ret_fd, struct err *err)
{
    const struct sockaddr *socket_address = (const struct sockaddr *)&address->socket;
    AUTO(fd)
    int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return err_sys(err, "making a socket for listen: %s", guard->listen_address);
    if (address->socket.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, socket_address, address->len) != 0 || listen(fd, CONNECTIONS_MAX) != 0)
        return err_set(err, errno == EADDRINUSE ? ERR_BUSY : ERR_INPUT, "listen: %s port %d: %s",
                       guard->listen_address, guard->listen_port, strerror(errno));
    *ret_fd = fd_take(&fd);
    return true;
}

static int port_of(int fd)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    memcpy(&v4, &address, sizeof v4);
    memcpy(&v6, &address, sizeof v6);
    return ntohs(address.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

/* libmicrohttpd's own complaints are about clients; ours to keep quiet about. */
static void say_nothing(void *context, const char *fmt, va_list args)
{
    (void)context;
    (void)fmt;
    (void)args;
}

/* Takes `fd`, also on failure. */
static bool start(struct guard_serve *serve, int fd, struct err *err)
{
    serve->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, serve,
        MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MAX,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, serve,
        MHD_OPTION_END);
    if (serve->daemon)
        return true;
    close(fd);
    return err_set(err, ERR_INTERNAL, "libmicrohttpd does not start");
}

static bool follow(struct guard_serve *serve, struct sd_event *event, struct err *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(serve->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r =
        info ? sd_event_add_io(event, &serve->io, info->epoll_fd, EPOLLIN, on_io, serve) : -EINVAL;
    if (r >= 0)
        r = sd_event_source_set_priority(serve->io, SD_EVENT_PRIORITY_IDLE);
    if (r >= 0)
        r = sd_event_source_set_description(serve->io, "/metrics and /status");
    if (r >= 0)
        r = sd_event_add_time_relative(event, &serve->timer, CLOCK_MONOTONIC, SWEEP_EVERY_US, 0,
                                       on_time, serve);
    if (r >= 0)
        r = sd_event_source_set_priority(serve->timer, SD_EVENT_PRIORITY_IDLE);
    return r >= 0 || err_set(err, ERR_INTERNAL, "following the web server: %s", strerror(-r));
}

char *guard_serve_take_token(const struct spec_guard *guard)
{
    const char *value = guard->token_env ? getenv(guard->token_env) : NULL;
    char *token = value ? strdup(value) : NULL;
    if (value && !token)
        abort();
    if (value)
        unsetenv(guard->token_env);
    return token;
}

bool guard_serve_open(const struct spec_guard *guard, struct sd_event *event,
                      const struct guard_status *status, const char *token,
                      struct guard_serve **ret_serve, struct err *err)
{
    struct serve_address address;
    int fd = -1;
    if (!guard->listen_address) {
        *ret_serve = NULL;
        return true;
    }
    if (!serve_address(guard->listen_address, guard->listen_port, &address, err) ||
        !serve_check_token(guard, address.loopback, token, err) ||
        !listen_on(&address, guard, &fd, err))
        return false;
    struct guard_serve *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_serve_close) struct guard_serve *serve = made;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        serve->connections[i].fd = -1;
    serve->status = status;
    serve->token = guard->token_env ? token : NULL;
    serve->port = port_of(fd);
    if (!start(serve, fd, err) || !follow(serve, event, err))
        return false;
    *ret_serve = TAKE(serve);
    return true;
}

struct guard_serve *guard_serve_close(struct guard_serve *serve)
{
    if (serve) {
        sd_event_source_disable_unref(serve->io);
        sd_event_source_disable_unref(serve->timer);
        if (serve->daemon)
            MHD_stop_daemon(serve->daemon);
        free(serve);
    }
    return NULL;
}

int guard_serve_port(const struct guard_serve *serve)
{
    return serve ? serve->port : 0;
}
