/* HTTP/1.1 as a client, on an event loop: many requests in flight, each byte of an answer stamped
 * as it comes. The only place that knows libcurl. */
#pragma once

#include "base/err.h"
#include "load/protocol.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct load_http;         /* opaque */
struct load_http_headers; /* opaque: ready made, shared by many requests */

enum load_http_end {
    LOAD_HTTP_COMPLETE, /* the answer is whole, whatever its status */
    LOAD_HTTP_CONNECT,  /* no connection */
    LOAD_HTTP_CLOSED,   /* closed or reset before the answer was whole */
    LOAD_HTTP_TLS,      /* no secure connection: not trusted, another name, no handshake */
    LOAD_HTTP_NONSENSE, /* what came is not HTTP */
    LOAD_HTTP_LIMIT,    /* over our limits on headers, body or pieces */
    LOAD_HTTP_INTERNAL, /* our side: no descriptors, no ports, no memory */
};

/* A request in flight and its answer. Embedded in its owner, zeroed before first use; buffers and
 * the curl handle are kept from one use to the next. */
struct load_http_call {
    struct load_answer answer; /* as far as it has come; borrows from below */
    struct buf body;
    struct load_chunk *chunks; /* owned */
    size_t chunk_cap;
    size_t header_bytes;
    int64_t dropped_bytes;     /* of the body of a failure, which is kept only at its start */
    int fd;                    /* of the connection that it made last */
    bool apart;                /* none but this call uses its connections */
    bool corked;               /* its request waits in the kernel */
    void *easy;                /* owned */
    struct load_http_hub *hub; /* whose connections it shares */
    struct load_http *http;
    void *pin;         /* owned: the host's addresses, for curl */
    void *parsed;      /* owned: the URL, taken apart; NULL: curl does so each time */
    size_t held;       /* bytes of memory that the client counts for it */
    const char *limit; /* which bound the answer went over; NULL: none */
    struct load_http_call *next_paused;
    int resumed; /* why it could not go on after its pause: libcurl's code */
    bool active, retried, paused;
    bool last;     /* when it was done, no other answer had bytes waiting */
    char why[256]; /* curl's words for a failure */
};

struct load_http_hooks {
    void (*chunk)(struct load_http_call *call); /* a piece of the body has come; must not send */
    void (*done)(struct load_http_call *call, enum load_http_end end); /* may send anew */
    /* A held request can't be released any more: its connection is gone. As if it had never been
     * held. Must not send. NULL: nothing is held. */
    void (*lost)(struct load_http_call *call);
};

struct load_http_request {
    /* Where requests go and as whom: the same for all requests of a call. */
    const char *url;       /* checked by load_url_check */
    const char *addresses; /* of its host, from load_url_resolve; NULL: it is a number */
    const char *ca;        /* file of the authorities to trust, in place of the system's; or NULL */
    const char *api_key;   /* sent as "Authorization: Bearer"; or NULL */
    const struct load_http_headers *headers;
    const void *body; /* borrowed until done or cancelled */
    size_t len;
    bool reuse; /* may use a kept-alive connection, and leaves one */
    bool get;   /* a GET: nothing of a body is sent */
};

/* Call once per process, before any other. */
NODISCARD bool load_http_setup(struct err *err);

NODISCARD bool load_http_new(sd_event *event, const struct load_http_hooks *hooks,
                             struct load_http **ret_http, struct err *err);
struct load_http *load_http_free(struct load_http *http); /* calls must have ended */

/* Hands the request to the socket layer before it returns; `done` comes later, from the loop. */
void load_http_send(struct load_http *http, struct load_http_call *call,
                    const struct load_http_request *request);
/* The same up to the last step, on a connection that is open and idle: the request is with the
 * kernel, and leaves when it is released, for at most 100 ms. False: this one can't be held (a new
 * connection would be needed, it is too long, or goes over TLS), and nothing has happened. */
bool load_http_hold(struct load_http *http, struct load_http_call *call,
                    const struct load_http_request *request);
void load_http_release(struct load_http_call *call);   /* of one that is held and was not lost */
void load_http_cancel(struct load_http_call *call);    /* `done` is not called */
void load_http_call_trim(struct load_http_call *call); /* its answer was read: frees much memory */
void load_http_call_done(struct load_http_call *call); /* frees what the call owns */

struct load_http_headers *load_http_headers_new(const char *content_type, size_t body_len);
/* One more header, "NAME: N". */
void load_http_headers_add(struct load_http_headers *headers, const char *name, size_t number);
struct load_http_headers *load_http_headers_free(struct load_http_headers *headers);
