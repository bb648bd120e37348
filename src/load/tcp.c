/* Bytes over TCP, one connection for each request: connect, write all of it, read until the
 * protocol's own end mark, close. For protocols which frame themselves (Wyoming).
 *
 * Keeping connections was rejected: the servers that exist close after an answer, and one that does
 * not may still have the last request's state. What connecting costs is a part of the latency, as
 * it is for the programs which speak to such a server.
 *
 * The client closes first, as with HTTP and for the same reason: the side that closes first keeps
 * the port for a minute, which must not be the service's.
 *
 * Invariant: `done` is called exactly once per send, never from within it: what fails at once waits
 * in `ended` until the loop comes round. */
#include "load/tcp.h"

#include "load/inbox.h"
#include "load/plan.h"
#include "load/transport.h"
#include "load/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>

enum { READS_AT_ONCE = 16 }; /* of one connection, before the others have their turn */

struct tcp_call {
    struct load_call call;
    struct load_inbox inbox;
    struct tcp_client *client;
    int fd; /* -1: not active, or ended already */
    sd_event_source *io;
    bool connected;
    const char *body; /* borrowed */
    size_t len, sent;
    bool waiting; /* in the client's list `ended` */
    enum load_transport_end end;
    char why[256];
    TAILQ_ENTRY(tcp_call) link;
};
TAILQ_HEAD(tcp_calls, tcp_call);

struct tcp_client {
    sd_event *event;
    sd_event_source *wake;
    struct load_transport_hooks hooks;
    struct tcp_calls ended; /* what ended while it was sent */
};

static struct tcp_call *call_of(struct load_call *call)
{
    return (struct tcp_call *)(void *)call;
}

bool load_tcp_address(const char *url, struct sockaddr_storage *ret_address, socklen_t *ret_len,
                      struct err *err)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (void *)&address;
    struct sockaddr_in6 *v6 = (void *)&address;
    char as_http[LOAD_URL_MAX], addresses[LOAD_ADDRESSES_MAX];
    struct load_url parsed;
    const char *rest = strncasecmp(url, "tcp://", 6) == 0 ? url + 6 : NULL;
    size_t host_len = rest && rest[0] == '[' ? strcspn(rest, "]") : 0;
    if (!rest || strpbrk(rest, "/?#") || !strchr(rest + host_len, ':'))
        return err_set(err, ERR_INPUT, "%.200s: not tcp://HOST:PORT", url);
    /* What a host and a port are is decided in one place. */
    int len = snprintf(as_http, sizeof as_http, "http://%s", rest);
    if (len < 0 || (size_t)len >= sizeof as_http)
        return err_set(err, ERR_INPUT, "%.60s...: a URL too long", url);
    if (!load_url_parse(as_http, &parsed, err))
        return false;
    const char *host = parsed.host;
    if (parsed.named) {
        if (!load_url_resolve(&parsed, addresses, sizeof addresses, err))
            return false;
        addresses[strcspn(addresses, ",]")] = '\0'; /* the first, without its brackets */
        host = addresses[0] == '[' ? addresses + 1 : addresses;
    }
    bool is_v4 = inet_pton(AF_INET, host, &v4->sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return err_set(err, ERR_INPUT, "%.200s: not tcp://HOST:PORT", url);
    address.ss_family = is_v4 ? AF_INET : AF_INET6;
    *(is_v4 ? &v4->sin_port : &v6->sin6_port) = htons((uint16_t)parsed.port);
    *ret_address = address;
    *ret_len = is_v4 ? sizeof *v4 : sizeof *v6;
    return true;
}

/* The target has numbers only, so that no request looks a name up. */
static bool write_target(const struct sockaddr_storage *address, char *ret_target, size_t size)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    bool is_v4 = address->ss_family == AF_INET;
    char host[INET6_ADDRSTRLEN];
    if (!inet_ntop(address->ss_family,
                   is_v4 ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, host,
                   sizeof host))
        return false;
    int len = snprintf(ret_target, size, is_v4 ? "tcp://%s:%d" : "tcp://[%s]:%d", host,
                       ntohs(is_v4 ? v4->sin_port : v6->sin6_port));
    return len > 0 && (size_t)len < size;
}

static bool check(const struct load_stream *stream, char *ret_target, size_t size, struct err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    if (!load_tcp_address(stream->url ? stream->url : "", &address, &len, err))
        return false;
    if (stream->reuse_connection)
        return err_set(err, ERR_INPUT, "%s has a connection for each request: none is reused",
                       stream->protocol->spec->name);
    return write_target(&address, ret_target, size) ||
           err_set(err, ERR_INTERNAL, "writing an address");
}

static void disconnect(struct tcp_call *call)
{
    call->io = sd_event_source_disable_unref(call->io);
    if (call->fd >= 0)
        close(fd_take(&call->fd));
}

static void end_call(struct tcp_call *call, enum load_transport_end end)
{
    disconnect(call);
    call->client->hooks.done(&call->call, end);
}

static void explain(struct tcp_call *call, const char *doing, int sys)
{
    snprintf(call->why, sizeof call->why, "%s: %s", doing, strerror(sys));
}

static enum load_transport_end end_of_connect(int sys)
{
    switch (sys) {
    case EADDRNOTAVAIL:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return LOAD_END_INTERNAL;
    default:
        return LOAD_END_CONNECT;
    }
}

/* What the socket takes now. False when it failed; the call's end is then set. */
static bool write_some(struct tcp_call *call)
{
    while (call->sent < call->len) {
        ssize_t n = send(call->fd, call->body + call->sent, call->len - call->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n < 0) {
            explain(call, call->connected ? "sending" : "connecting", errno);
            call->end = call->connected ? LOAD_END_CLOSED : end_of_connect(errno);
            return false;
        }
        call->connected = true;
        call->sent += (size_t)n;
    }
    return true;
}

/* Reads what has come; true when the call has ended by it. The peer may answer (and close) before
 * it has taken all that we want to send. */
static bool read_some(struct tcp_call *call, enum load_transport_end *ret_end)
{
    for (int i = 0; i < READS_AT_ONCE; i++) {
        switch (load_inbox_read(&call->inbox, call->fd)) {
        case LOAD_INBOX_TOOK:
            *ret_end = LOAD_END_COMPLETE;
            if (call->client->hooks.chunk(&call->call))
                return true;
            continue;
        case LOAD_INBOX_EMPTY:
            return false;
        case LOAD_INBOX_FULL:
            *ret_end = LOAD_END_LIMIT;
            return true;
        case LOAD_INBOX_END:
            snprintf(call->why, sizeof call->why, "the peer closed before a whole answer");
            *ret_end = LOAD_END_CLOSED;
            return true;
        case LOAD_INBOX_RESET:
            explain(call, "reading", errno);
            *ret_end = LOAD_END_CLOSED;
            return true;
        }
    }
    return false;
}

/* Has a connection attempt ended, and how? */
static bool settle_connect(struct tcp_call *call)
{
    int sys = 0;
    socklen_t len = sizeof sys;
    if (getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0)
        sys = errno;
    call->connected = sys == 0;
    if (call->connected)
        return true;
    explain(call, "connecting", sys);
    call->end = end_of_connect(sys);
    return false;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)fd;
    struct tcp_call *call = ctx;
    if (!call->connected && !settle_connect(call)) {
        end_call(call, call->end);
        return 0;
    }
    enum load_transport_end end = LOAD_END_CLOSED;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && read_some(call, &end)) {
        end_call(call, end);
        return 0;
    }
    if (!(events & EPOLLOUT) || call->sent == call->len)
        return 0;
    if (!write_some(call)) {
        end_call(call, call->end);
        return 0;
    }
    if (call->sent == call->len)
        sd_event_source_set_io_events(source, EPOLLIN);
    return 0;
}

static bool begin(struct tcp_call *call, const char *target)
{
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    struct err err = ERR_INIT;
    int on = 1;
    call->end = LOAD_END_INTERNAL;
    if (!load_tcp_address(target, &address, &len, &err)) {
        snprintf(call->why, sizeof call->why, "%.200s", err.text);
        return false;
    }
    call->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (call->fd < 0) {
        explain(call, "making a socket", errno);
        return false;
    }
    setsockopt(call->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    call->connected = connect(call->fd, (struct sockaddr *)&address, len) == 0;
    if (!call->connected && errno != EINPROGRESS) {
        explain(call, "connecting", errno);
        call->end = end_of_connect(errno);
        return false;
    }
    if (call->connected && !write_some(call))
        return false;
    uint32_t events = (uint32_t)EPOLLIN | (call->sent < call->len ? (uint32_t)EPOLLOUT : 0);
    if (sd_event_add_io(call->client->event, &call->io, call->fd, events, on_io, call) < 0) {
        explain(call, "watching a socket", ENOMEM);
        call->end = LOAD_END_INTERNAL;
        return false;
    }
    sd_event_source_set_description(call->io, "tcp");
    return true;
}

static void tcp_send(struct load_call *base, const struct load_parcel *parcel)
{
    struct tcp_call *call = call_of(base);
    load_inbox_reset(&call->inbox);
    call->why[0] = '\0';
    call->body = parcel->request->body.data;
    call->len = parcel->request->body.len;
    call->sent = 0;
    if (begin(call, parcel->target))
        return;
    disconnect(call);
    call->waiting = true;
    TAILQ_INSERT_TAIL(&call->client->ended, call, link);
    sd_event_source_set_enabled(call->client->wake, SD_EVENT_ONESHOT);
}

static void tcp_cancel(struct load_call *base)
{
    struct tcp_call *call = call_of(base);
    disconnect(call);
    if (call->waiting)
        TAILQ_REMOVE(&call->client->ended, call, link);
    call->waiting = false;
}

/* Only those that are there now: `done` may send anew, and fail at once again. */
static int on_wake(sd_event_source *source, void *ctx)
{
    struct tcp_client *client = ctx;
    const struct tcp_call *last = TAILQ_LAST(&client->ended, tcp_calls);
    bool more = last != NULL;
    while (more && !TAILQ_EMPTY(&client->ended)) {
        struct tcp_call *call = TAILQ_FIRST(&client->ended);
        more = call != last;
        TAILQ_REMOVE(&client->ended, call, link);
        call->waiting = false;
        client->hooks.done(&call->call, call->end);
    }
    if (!TAILQ_EMPTY(&client->ended))
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static void tcp_close(void *opaque)
{
    struct tcp_client *client = opaque;
    if (!client)
        return;
    sd_event_source_disable_unref(client->wake);
    sd_event_unref(client->event);
    free(client);
}

static bool tcp_open(sd_event *event, const struct load_transport_hooks *hooks, void **ret_client,
                     struct err *err)
{
    struct tcp_client *client = calloc(1, sizeof *client);
    if (!client)
        abort();
    client->event = sd_event_ref(event);
    client->hooks = *hooks;
    TAILQ_INIT(&client->ended);
    if (sd_event_add_defer(event, &client->wake, on_wake, client) < 0) {
        tcp_close(client);
        return err_set(err, ERR_INTERNAL, "setting up the TCP client");
    }
    sd_event_source_set_enabled(client->wake, SD_EVENT_OFF);
    sd_event_source_set_description(client->wake, "tcp ended");
    *ret_client = client;
    return true;
}

static struct load_call *call_new(void *client)
{
    struct tcp_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->client = client;
    call->fd = -1;
    load_inbox_reset(&call->inbox);
    call->call.answer = &call->inbox.answer;
    call->call.why = call->why;
    return &call->call;
}

static void call_free(struct load_call *base)
{
    if (!base)
        return;
    struct tcp_call *call = call_of(base);
    tcp_cancel(base);
    load_inbox_done(&call->inbox);
    free(call);
}

static void trim(struct load_call *call)
{
    load_inbox_trim(&call_of(call)->inbox);
}

const struct load_transport load_transport_tcp = {
    .name = "tcp",
    .scheme = "tcp",
    .mark_ends = true,
    .check = check,
    .open = tcp_open,
    .close = tcp_close,
    .call_new = call_new,
    .call_free = call_free,
    .send = tcp_send,
    .cancel = tcp_cancel,
    .trim = trim,
};
