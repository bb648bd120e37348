/* Private to the worker's child process: a stream whose requests are made from another's answers,
 * as a voice assistant's are. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "load/schedule.h"

struct load_child;
struct load_flight;
struct load_prepared;
struct load_run;

struct load_step {              /* one request that waits to be sent, or is under way */
    struct load_prepared *next; /* owned until it is taken */
    int64_t turn_start_ns;      /* intended send of the first request of its chain */
};

struct load_steps {
    struct load_step *at; /* owned, by number of the schedule's client */
    size_t cap;
};

bool load_stream_follows(const struct load_stream *stream);
void load_steps_done(struct load_run *run);
/* The request of a turn, from now on the caller's; NULL: err says why not. */
struct load_prepared *load_steps_take(struct load_run *run, const struct load_turn *turn,
                                      struct err *err);
/* When the chain of a request began; -1 for one that follows nothing. */
int64_t load_steps_start_ns(const struct load_run *run, const struct load_turn *turn);
/* An answer was read and is good: the requests that follow are built and due now. */
void load_steps_begin(struct load_child *child, const struct load_flight *flight,
                      const struct buf *text);
