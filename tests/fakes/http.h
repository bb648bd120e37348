/* HTTP/1.1 as a server: requests in, bytes out, with full control over both. */
#ifndef FAKES_HTTP_H
#define FAKES_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "loop.h"

struct http_request {
    char method[8];
    char path[256]; /* without the query */
    char content_type[256];
    char authorization[256]; /* as it came; empty: not given */
    size_t tensor_head_len;  /* Inference-Header-Content-Length; 0: not given */
    const char *body;        /* borrowed, only until `request` returns; no NUL behind it */
    size_t body_len;
    int64_t first_byte_ns; /* when its first byte was read */
    int64_t complete_ns;   /* when its last byte was read */
    bool keep_alive, http10;
};

struct http_server;

struct http_conn {
    struct http_server *server; /* borrowed */
    struct loop_fd watch;
    struct buf in, out;
    struct http_request request;
    int64_t first_byte_ns; /* of the request that is being read; 0 when none began */
    int64_t idle_from_ns;
    size_t head_len,
        content_len; /* of the request that is being read; head_len 0: head incomplete */
    bool chunked_in, busy, parsing, close_after, want_write;
    long served;
    void *work; /* of whoever answers; its owner is told by `gone` */
    struct http_conn *prev, *next;
};

struct http_server {
    struct loop *loop; /* borrowed */
    struct loop_fd listener;
    struct http_conn *conns, *closed; /* owned lists */
    struct loop_timer accept_again, idle;
    int64_t idle_timeout_ns;
    bool drop_idle, drop_reused;
    void *ctx; /* for both calls below; borrowed */
    /* A complete request: answer it now or later by http_reply or http_stream_*. */
    void (*request)(void *ctx, struct http_conn *conn);
    /* The client left, or the connection is closed, while conn->work was set. */
    void (*gone)(void *ctx, struct http_conn *conn);
};

/* Listens; false with errno when the address can't be had. `*io_port` 0 becomes the port taken. */
bool http_listen(struct http_server *server, const char *host, long *io_port, bool reuse_address);
/* A whole answer. `claimed_len` is what Content-Length says, `len` what is sent: when less is sent,
 * the connection is left as it is, for the caller to close or to leave hanging. */
void http_reply_part(struct http_conn *conn, int status, const char *type, const char *body,
                     size_t len, size_t claimed_len);
void http_reply(struct http_conn *conn, int status, const char *type, const char *body, size_t len);
/* A chunked answer, piece by piece. */
void http_stream_begin(struct http_conn *conn, const char *type);
void http_stream_send(struct http_conn *conn, const char *bytes, size_t len);
void http_stream_end(struct http_conn *conn);
/* Bytes as they are. */
void http_send_raw(struct http_conn *conn, const char *bytes, size_t len);
enum http_close { HTTP_CLOSE_FIN, HTTP_CLOSE_RESET };
/* Closes once what was sent has left (FIN), or at once (RESET). */
void http_close(struct http_conn *conn, enum http_close how);
void http_stop(struct http_server *server);

#endif
