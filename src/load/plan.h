/* What the load worker does, complete before it starts: the same plan and seed give the same sends.
 */
#pragma once

#include "base/rng.h"
#include "load/corpus.h"
#include "load/program.h"
#include "load/protocol.h"
#include "spec/study.h"
#include "stats/wer.h"

enum { LOAD_STREAMS_MAX = 32, LOAD_WORKERS_MAX = 16, LOAD_TEXT_SALT_MAX = 120 };

/* The load on one service. */
struct load_stream {
    const char *name; /* service name; seeds its random draws */
    const struct load_protocol *protocol;
    const char *url;     /* full URL, e.g. http://127.0.0.1:9002/v1/chat/completions */
    const char *ca;      /* https: file of the authorities to trust; NULL: the system's */
    const char *address; /* where the URL's host is, in place of looking its name up; or NULL */
    const char *api_key; /* secret, in memory only; NULL: none. See load/upstream.h */
    /* Protocols that run a program: the service's, which then has a worker of its own. NULL: what
     * the protocol's option "command" says. */
    const struct load_program *program;
    const char *model; /* model name to put into requests, or NULL */
    bool unchecked;    /* texts mean nothing: tokens without any text are an answer too */
    const struct spec_setting *settings; /* protocol options (already without placeholders) */
    size_t setting_count;
    const struct corpus *corpus;
    enum arrivals arrivals;
    size_t
        after; /* ARRIVALS_AFTER: the stream of the plan whose answers its requests are made from */
    double rate_rps;
    int concurrency; /* closed: clients; open: in-flight limit (over it a send waits
                      * and its lateness is not ours: counted apart) */
    int max_tokens;
    int64_t timeout_ns;
    bool reuse_connection;
    enum stats_normaliser normaliser; /* of transcripts, for whoever counts their words */
    int64_t client_gap_ns;            /* closed: each client joins that long after the one before */
    int64_t start_after_ns;           /* offset of this stream from the run's start */
    uint64_t request_limit;           /* 0: none; 1 for a probe */
    struct spec_shape shape;
};

/* A stream as the study file's `load:` says it; url, model, corpus and the like are the caller's to
 * add. Borrows from `load`. The settings are as in the file, with their placeholders. */
struct load_stream load_stream_of(const char *name, const struct spec_load *load);

struct load_plan {
    struct load_stream streams[LOAD_STREAMS_MAX];
    size_t stream_count;
    uint64_t seed;
    const char *salt; /* names the run ("trial 7 shared"): other runs draw other arrivals */
    /* Beside the salt, for the words of made-up text alone: the same times, items and lengths with
     * other words, which no server has seen before. NULL: the salt's. */
    const char *text_salt;
    int64_t warmup_ns; /* records of it are marked LOAD_WARMUP */
    int64_t window_ns;
    int64_t drain_ns; /* after the window requests in flight may end; then LOAD_UNFINISHED */
    bool probe;       /* every record is LOAD_PROBE; ends when request_limits are reached */
    /* Processes that share the sending: 0 is 1, at most LOAD_WORKERS_MAX. What leaves when is the
     * same for any number; see load_share. */
    int workers;
    int worker; /* which of them this is; set by the worker itself */
};

/* This worker's part of one stream: requests number index, index + count, index + 2 count, ... An
 * open loop's times are drawn by each and the others' passed over; clients of a closed loop and
 * the in-flight limit are divided. A stream with fewer places than workers uses as many workers as
 * it has places: the others have index >= count and send nothing. */
struct load_share {
    int count, index;
    int limit; /* requests in flight at once; 0 for a worker without a part */
};
struct load_share load_share_of(const struct load_plan *plan, size_t stream);
/* Processes that the plan takes: its workers, and one for each chain with a service's program. */
int load_plan_processes(const struct load_plan *plan);
/* Which of them runs this stream's programs; -1: it is no service's program. */
int load_plan_process_of(const struct load_plan *plan, size_t stream);

/* Intended sends of an open-loop stream, one after the other, ns after the stream's start. The same
 * (seed, salt, stream name) gives the same times; tests and the worker share this. */
struct load_arrivals {
    struct rng rng;
    enum arrivals kind;
    double gap_ns;                    /* mean gap */
    double next_ns;                   /* kept as a double: no rounding drift over a long run */
    const struct load_stream *stream; /* borrowed */
    double window_ns, end_ns;         /* of the window, since the stream's start */
    double passed;  /* bursts: time within bursts so far, ns; ramp: requests meant so far */
    uint64_t count; /* trace: entries so far */
};
struct load_arrivals load_arrivals_init(const struct load_plan *plan, size_t stream);
/* CLOCK_NEVER / 2 or more: there is none. */
int64_t load_arrivals_next(struct load_arrivals *arrivals);
/* Requests (or sessions) per second, over a window; NaN for a closed loop. */
double load_stream_rate_rps(const struct load_plan *plan, size_t stream);
/* Does the load of any stream change within the window by itself (bursts, ramp, trace)? What is
 * beside a burst feels it. */
bool load_plan_moves(const struct load_plan *plan);
/* The generator for draw number n of one use, of this plan's salt and this stream's name. */
struct rng load_plan_draw(const struct load_plan *plan, size_t stream, const char *use, uint64_t n);
/* The plan as lines of JSON: for each stream its requests by their times, the intended time
 * (ns since the run's start), item, lengths, prefix; of sessions their first turns and how many
 * there are. What depends on answers can't be known before: of a closed loop only what its first
 * requests carry. At most `max` requests of each stream. The same plan gives the same bytes. */
void load_plan_write(const struct load_plan *plan, size_t max, struct buf *ret_text);
/* Which corpus item the n-th request of a stream takes: whole passes over the corpus, each in its
 * own shuffled order, so that every window sees the same mix. */
size_t load_item(const struct load_plan *plan, size_t stream, uint64_t sequence, size_t item_count);
/* One whole pass at once: item_count indices. The worker keeps it, load_item draws it anew. */
void load_item_pass(const struct load_plan *plan, size_t stream, uint64_t pass, size_t *ret_items,
                    size_t item_count);
/* Items the stream's protocol can send: clips or prompts of its corpus. */
size_t load_stream_items(const struct load_stream *stream);
/* Text of a protocol option: as set in the study, else the option's default. NULL: not to be sent
 * (explicitly left out, or without a default). */
const char *load_stream_setting(const struct load_stream *stream, const char *name);
