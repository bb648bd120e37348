/* How a request travels and its answer comes back: HTTP (http.c), bytes over TCP (tcp.c), a program
 * that is run (exec.c). Each is one file and one constant; a protocol names the one it uses.
 *
 * All of this lives in the load worker's process, on its event loop: nothing blocks, whatever comes
 * from the other side is bounded, and each piece of an answer is stamped as it comes. */
#pragma once

#include "base/err.h"
#include "load/protocol.h"

#include <systemd/sd-event.h>

enum load_transport_end {
    LOAD_END_COMPLETE, /* the answer is whole, whatever its status */
    LOAD_END_CONNECT,  /* no connection; the program could not be started */
    LOAD_END_CLOSED,   /* closed or reset before the answer was whole */
    LOAD_END_TLS,      /* no secure connection */
    LOAD_END_NONSENSE, /* what came is not what this transport speaks */
    LOAD_END_LIMIT,    /* over our limits on headers, body or pieces */
    LOAD_END_FAILED,   /* the other side says that it failed: `why` has its words */
    LOAD_END_INTERNAL, /* our side: no descriptors, no ports, no memory; ends the run */
    LOAD_END_COUNT_
};

/* A request in flight and its answer. Made by its transport, which may keep it within something
 * larger, and used for one request after another. */
struct load_call {
    const struct load_answer *answer; /* as far as it has come; never NULL */
    const char *why;                  /* words for a failure, "" if there are none; never NULL */
    int64_t dropped_bytes;            /* of the answer, counted but not kept */
    void *owner;                      /* whoever sends; borrowed */
    bool last; /* set when done: nothing else is known to wait to be stamped */
};

struct load_transport_hooks {
    /* A piece of the answer has come; must not send. True: by its own mark the answer is whole. A
     * transport with `mark_ends` then ends it. */
    bool (*chunk)(struct load_call *call);
    /* It has ended. May send anew. Once per send, and never from within it. */
    void (*done)(struct load_call *call, enum load_transport_end end);
    /* What is held can't be released any more, as if it had never been held. Must not send. NULL:
     * nothing is ever held. */
    void (*lost)(struct load_call *call);
};

/* One request. All borrowed until it is done or cancelled. */
struct load_parcel {
    const struct load_stream *stream;
    const char *target; /* as check() wrote it */
    const struct load_request *request;
    const void *ready; /* what make_ready() made of the request */
};

enum { LOAD_TARGET_MAX = 1600 };

struct load_transport {
    const char *name;
    const char *scheme; /* of the URL of a service on this machine; NULL: it has none */
    bool has_status;    /* an answer with another status than 200 is a failure */
    bool mark_ends;     /* the protocol's end mark ends the transfer at once, without a grace */
    bool ends_apart;    /* an answer's end is an event of its own (an exit), not its last byte */
    /* Can this stream's requests be sent at all? Before the fork. ret_target: where they go. */
    bool (*check)(const struct load_stream *stream, char *ret_target, size_t size, struct err *err);
    /* Once per process. The client is the caller's until close, when all calls are freed. */
    bool (*open)(sd_event *event, const struct load_transport_hooks *hooks, void **ret_client,
                 struct err *err);
    void (*close)(void *client); /* accepts NULL, as the frees below */
    /* Optional: the process is about to end, and nothing of the client's may stay behind. */
    void (*quit)(void *client);
    /* What else can be made of a request before it is due. Both NULL: nothing. */
    void *(*make_ready)(void *client, const struct load_stream *stream,
                        const struct load_request *request);
    void (*free_ready)(void *ready);
    struct load_call *(*call_new)(void *client);
    void (*call_free)(struct load_call *call); /* cancels it */
    /* Hands the request to the kernel before it returns, as far as that takes it. */
    void (*send)(struct load_call *call, const struct load_parcel *parcel);
    /* Optional, both: the same up to the last step, within 100 ms of its time, and that step, which
     * is short. False: this call can't hold this one now, and nothing has happened. */
    bool (*hold)(struct load_call *call, const struct load_parcel *parcel);
    void (*release)(struct load_call *call);
    void (*cancel)(struct load_call *call); /* `done` is not called; the answer stays readable */
    void (*trim)(struct load_call *call);   /* the answer was read: a huge one's memory goes */
};

extern const struct load_transport load_transport_http, load_transport_tcp, load_transport_exec;

/* The protocol's; HTTP when it names none. */
const struct load_transport *load_stream_transport(const struct load_stream *stream);
