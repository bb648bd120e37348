/*
 * HTTP/1.1 as a server.
 *
 * The idea: as little HTTP as clients of inference servers speak (Content-Length and chunked
 * bodies, keep-alive, 100-continue), written by hand so that every byte and every close can be
 * chosen. A library was rejected: none lets one promise 400 bytes, send 200 and reset the
 * connection.
 *
 * Invariant: a connection serves one request at a time; while it is busy further bytes wait in
 * `in`. A closed connection has watch.fd -1 and is freed after the batch, so callbacks may close
 * any of them.
 */
#include "http.h"
#include "http_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX_BYTES (64u << 10)
#define CONN_IN_MAX_BYTES (HTTP_BODY_MAX_BYTES + (1u << 20))

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Payload Too Large"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Other";
}

static void shut(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (conn->watch.fd < 0)
        return;
    loop_close_fd(server->loop, &conn->watch);
    if (conn->work != NULL)
        server->gone(server->ctx, conn);
    conn->work = NULL;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    conn->prev = NULL;
    conn->next = server->closed;
    server->closed = conn;
}

static void free_closed(void *ctx)
{
    struct http_server *server = ctx;
    while (server->closed != NULL) {
        struct http_conn *conn = server->closed;
        server->closed = conn->next;
        buf_done(&conn->in);
        buf_done(&conn->out);
        free(conn);
    }
}

static void flush(struct http_conn *conn)
{
    while (conn->watch.fd >= 0 && conn->out.len > 0) {
        const ssize_t put = send(conn->watch.fd, conn->out.data, conn->out.len, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN) {
            shut(conn);
            return;
        }
        if (put < 0)
            break;
        buf_drop(&conn->out, (size_t)put);
    }
    const bool want_write = conn->out.len > 0;
    if (want_write != conn->want_write && conn->watch.fd >= 0) {
        conn->want_write = want_write;
        loop_change(conn->server->loop, &conn->watch,
                    EPOLLIN | EPOLLRDHUP | (want_write ? (uint32_t)EPOLLOUT : 0u));
    }
    if (!want_write && conn->close_after)
        shut(conn);
}

void http_send_raw(struct http_conn *conn, const char *bytes, size_t len)
{
    if (conn->watch.fd < 0)
        return;
    if (!buf_add(&conn->out, bytes, len)) {
        shut(conn);
        return;
    }
    flush(conn);
}

void http_close(struct http_conn *conn, enum http_close how)
{
    if (conn->watch.fd < 0)
        return;
    if (how == HTTP_CLOSE_RESET) {
        const struct linger hard = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        shut(conn);
        return;
    }
    conn->close_after = true;
    flush(conn);
}

static void refuse(struct http_conn *conn, int status)
{
    static const char body[] = "{\"error\":{\"code\":400,\"message\":\"not a request\"}}";
    conn->request.keep_alive = false;
    conn->busy = true;
    http_reply(conn, status, "application/json", body, sizeof(body) - 1);
}

static bool read_head_when_there(struct http_conn *conn)
{
    /* Clients may send empty lines before a request (RFC 9112, 2.2). */
    while (conn->in.len > 0 && (conn->in.data[0] == '\r' || conn->in.data[0] == '\n'))
        buf_drop(&conn->in, 1);
    const char *blank =
        conn->in.len > 0 ? memmem(conn->in.data, conn->in.len, "\r\n\r\n", 4) : NULL;
    bool expects = false;
    if (blank == NULL && conn->in.len > HEAD_MAX_BYTES)
        refuse(conn, 400);
    if (blank == NULL)
        return false;
    if (!http_parse_head(conn, (size_t)(blank - conn->in.data) + 4, &expects)) {
        refuse(conn, 400);
        return false;
    }
    if (expects && conn->in.len < conn->head_len + conn->content_len + conn->chunked_in)
        http_send_raw(conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

/* Takes one request out of `in` and hands it over; false when none is complete. */
static bool take_request(struct http_conn *conn, int64_t now_ns)
{
    bool bad = false;
    if (conn->head_len == 0 && !read_head_when_there(conn))
        return false;
    if (conn->chunked_in && !http_parse_chunks(conn, &bad)) {
        if (bad)
            refuse(conn, 400);
        return false;
    }
    if (conn->in.len < conn->head_len + conn->content_len)
        return false;
    conn->request.complete_ns = now_ns;
    conn->request.body = conn->in.data + conn->head_len;
    conn->request.body_len = conn->content_len;
    conn->busy = true;
    if (conn->server->drop_reused && conn->served > 0)
        http_close(conn, HTTP_CLOSE_FIN);
    else
        conn->server->request(conn->server->ctx, conn);
    return true;
}

static void take_requests(struct http_conn *conn, int64_t now_ns)
{
    if (conn->parsing)
        return;
    conn->parsing = true;
    while (conn->watch.fd >= 0 && !conn->busy && !conn->close_after && conn->in.len > 0)
        if (!take_request(conn, now_ns))
            break;
    conn->parsing = false;
}

/* The answer is complete: makes room for the next request. */
static void finish(struct http_conn *conn)
{
    if (conn->watch.fd < 0)
        return;
    conn->busy = false;
    conn->served++;
    conn->idle_from_ns = loop_now_ns();
    buf_drop(&conn->in, conn->head_len + conn->content_len);
    conn->head_len = conn->content_len = 0;
    conn->first_byte_ns = conn->in.len > 0 ? conn->idle_from_ns : 0;
    if (!conn->request.keep_alive || conn->server->drop_idle)
        http_close(conn, HTTP_CLOSE_FIN);
    else if (conn->in.len > 0)
        take_requests(conn, conn->idle_from_ns);
}

static const char *connection_line(const struct http_request *request)
{
    if (!request->keep_alive)
        return "Connection: close\r\n";
    return request->http10 ? "Connection: keep-alive\r\n" : "";
}

void http_reply_part(struct http_conn *conn, int status, const char *type, const char *body,
                     size_t len, size_t claimed_len)
{
    if (conn->watch.fd < 0)
        return;
    buf_printf(&conn->out,
               "HTTP/1.1 %d %s\r\nServer: fake-service\r\nContent-Type: %s\r\n"
               "Content-Length: %zu\r\n%s\r\n",
               status, reason(status), type, claimed_len, connection_line(&conn->request));
    http_send_raw(conn, body, len);
}

void http_reply(struct http_conn *conn, int status, const char *type, const char *body, size_t len)
{
    http_reply_part(conn, status, type, body, len, len);
    finish(conn);
}

void http_stream_begin(struct http_conn *conn, const char *type)
{
    struct http_request *request = &conn->request;
    if (request->http10)
        request->keep_alive = false;
    buf_printf(&conn->out,
               "HTTP/1.1 200 OK\r\nServer: fake-service\r\nContent-Type: %s\r\n%s%s\r\n", type,
               request->http10 ? "" : "Transfer-Encoding: chunked\r\n", connection_line(request));
}

void http_stream_send(struct http_conn *conn, const char *bytes, size_t len)
{
    if (conn->watch.fd < 0 || (len == 0 && conn->out.len == 0))
        return;
    if (len > 0 && !conn->request.http10)
        buf_printf(&conn->out, "%zx\r\n", len);
    buf_add(&conn->out, bytes, len);
    if (len > 0 && !conn->request.http10)
        buf_add_text(&conn->out, "\r\n");
    flush(conn);
}

void http_stream_end(struct http_conn *conn)
{
    if (!conn->request.http10)
        http_send_raw(conn, "0\r\n\r\n", 5);
    finish(conn);
}

static void read_some(struct http_conn *conn)
{
    static char chunk[256 << 10];
    const ssize_t got = recv(conn->watch.fd, chunk, sizeof(chunk), 0);
    const int64_t now_ns = loop_now_ns();
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || !buf_add(&conn->in, chunk, (size_t)got)) {
        shut(conn);
        return;
    }
    if (conn->first_byte_ns == 0)
        conn->first_byte_ns = now_ns;
    take_requests(conn, now_ns);
}

static void conn_ready(void *ctx, uint32_t events)
{
    struct http_conn *conn = ctx;
    if ((events & EPOLLOUT) != 0)
        flush(conn);
    if (conn->watch.fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        read_some(conn);
}

static void take_conn(struct http_server *server, int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct http_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        abort();
    conn->server = server;
    conn->watch = (struct loop_fd){.fd = fd, .ready = conn_ready, .ctx = conn};
    conn->in.max_bytes = CONN_IN_MAX_BYTES;
    conn->out.max_bytes = CONN_IN_MAX_BYTES;
    conn->idle_from_ns = loop_now_ns();
    conn->next = server->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    server->conns = conn;
    if (!loop_watch(server->loop, &conn->watch, EPOLLIN | EPOLLRDHUP))
        shut(conn);
    else
        read_some(conn); /* mostly the request is there already: saves a round */
}

static void accept_all(void *ctx, uint32_t events)
{
    struct http_server *server = ctx;
    (void)events;
    for (int i = 0; i < 64; i++) {
        const int fd = accept4(server->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_conn(server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE) {
            loop_change(server->loop, &server->listener, 0);
            loop_timer_set(server->loop, &server->accept_again, loop_now_ns() + 20 * NS_PER_MS);
        }
        return;
    }
}

static void accept_again(void *ctx, int64_t now_ns)
{
    struct http_server *server = ctx;
    (void)now_ns;
    loop_change(server->loop, &server->listener, EPOLLIN);
}

static void close_idle(void *ctx, int64_t now_ns)
{
    struct http_server *server = ctx;
    for (struct http_conn *conn = server->conns; conn != NULL;) {
        struct http_conn *next = conn->next;
        if (!conn->busy && conn->in.len == 0 &&
            now_ns - conn->idle_from_ns > server->idle_timeout_ns)
            shut(conn);
        conn = next;
    }
    loop_timer_set(server->loop, &server->idle, now_ns + server->idle_timeout_ns / 4 + NS_PER_MS);
}

bool http_listen(struct http_server *server, const char *host, long *io_port, bool reuse_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*io_port)};
    socklen_t len = sizeof(address);
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (reuse_address)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                  &address.sin_addr) != 1)
        errno = EADDRNOTAVAIL;
    else if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4096) == 0 &&
             getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        *io_port = ntohs(address.sin_port);
        server->listener = (struct loop_fd){.fd = fd, .ready = accept_all, .ctx = server};
        server->accept_again = (struct loop_timer){.fire = accept_again, .ctx = server};
        server->idle = (struct loop_timer){.fire = close_idle, .ctx = server};
        server->loop->after_batch = free_closed;
        server->loop->after_ctx = server;
        if (server->idle_timeout_ns > 0)
            loop_timer_set(server->loop, &server->idle, loop_now_ns() + server->idle_timeout_ns);
        return loop_watch(server->loop, &server->listener, EPOLLIN);
    }
    const int why = errno;
    close(fd);
    errno = why;
    return false;
}

void http_stop(struct http_server *server)
{
    if (server == NULL || server->loop == NULL)
        return;
    loop_close_fd(server->loop, &server->listener);
    while (server->conns != NULL)
        shut(server->conns);
    free_closed(server);
}
