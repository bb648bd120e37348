/* One piece of work between its arrival and its end. */
#ifndef FAKES_JOB_H
#define FAKES_JOB_H

#include "llm.h"
#include "service.h"
#include "tensor.h"

enum job_route {
    ROUTE_CHAT, /* first what has tokens */
    ROUTE_COMPLETION,
    ROUTE_OLLAMA_CHAT,
    ROUTE_OLLAMA_GENERATE,
    ROUTE_SPOKEN,
    ROUTE_EMBEDDINGS, /* then what has numbers */
    ROUTE_INFER,
    ROUTE_SPEECH, /* then what hears */
    ROUTE_WHISPER_CPP,
    ROUTE_HEALTH,
};
enum job_place { JOB_QUEUED, JOB_IN_SLOT, JOB_LOST };

struct job {
    struct service *service; /* borrowed */
    struct http_conn *conn;  /* borrowed; it knows the job as conn->work */
    struct job *next;        /* in the queue */
    enum job_place place;
    enum job_route route;
    long number;
    struct script_effect effect;
    char quoted[300]; /* the key, for effect.text */
    struct loop_timer timer;
    int64_t due_ns;       /* when the next thing is to leave by plan */
    struct served served; /* its true times, for --served */
    bool burnt;           /* it took the CPU: its slot is free when it really ended */
    bool begun;           /* headers of a stream are out */
    bool fired;           /* its latency is over */
    enum llm_state state; /* what follows when `pending` is out */
    bool cut;             /* the stream breaks off once `pending` is out */
    struct llm_ask llm;
    struct llm_stream stream;
    struct speech_ask speech;
    struct tensor_ask tensor;
    struct buf said;    /* a transcript that is streamed */
    struct buf pending; /* made, but not yet sent (--sse-split) */
};

/* Takes it out of wherever it is, frees it, and lets the next one in. */
void job_end(struct job *job);
/* How many times as slow others make the service just now. */
double job_slowdown(const struct job *job);

/* It got its slot: what leaves before its latency is over, and the timer for the rest. */
void answer_open(struct job *job);
/* For its timer. */
void answer_fire(void *ctx, int64_t now_ns);

#endif
