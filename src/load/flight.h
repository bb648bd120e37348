/* Private to the worker's child process: one request, made ready ahead of its time (ahead.c), from
 * its send to its record (flight.c). */
#pragma once

#include "load/record.h"
#include "load/schedule.h"
#include "load/transport.h"

#include <sys/queue.h>

struct load_child;
struct load_prepared;
struct load_run;

/* One request. In exactly one list: `ahead` (not due yet), its run's flights, `finished` (its
 * answer is to be read) or its run's `unused`. */
struct load_flight {
    struct load_call *call; /* owned; its owner is the flight */
    struct load_run *run;
    struct load_turn turn;
    struct load_prepared *prepared; /* what is sent: owned where it is for this send alone */
    struct load_record record;
    int64_t grace_end_ns; /* end mark seen, transfer still open: closed then; or CLOCK_NEVER */
    bool held;            /* ahead: the transport holds it ready */
    bool complete;        /* end mark seen */
    bool cut;             /* we ended it, the server did not */
    int64_t finished_ns;
    TAILQ_ENTRY(load_flight) link;
};
TAILQ_HEAD(load_flights, load_flight);

enum { LOAD_LEAD_NS = 4000000 }; /* nothing is made ready earlier */

/* ahead.c: what is made ready before it is due. */
void load_ahead_init(struct load_child *child);
/* While there is nothing to do. True: a transport was called, or a request was made. */
bool load_ahead_fill(struct load_child *child, int64_t now_ns);
int64_t load_ahead_due_ns(const struct load_child *child);     /* of the first; or CLOCK_NEVER */
void load_ahead_leave(struct load_child *child);               /* the first, which is due */
void load_ahead_lost(struct load_call *call);                  /* as the transport's hook says */
void load_ahead_end(struct load_child *child, int64_t now_ns); /* none leaves any more */

/* flight.c */
extern const struct load_transport_hooks load_flight_hooks;
/* A request of this turn that has not been sent; its `prepared` is NULL when the run has failed. */
struct load_flight *load_flight_make(struct load_child *child, struct load_run *run,
                                     const struct load_turn *turn);
void load_flight_left(struct load_child *child, struct load_flight *flight, int64_t sent_ns);
void load_flight_unsent(struct load_child *child, struct load_flight *flight); /* the run ends */
void load_flight_launch(struct load_child *child, struct load_run *run);
void load_flight_drop(struct load_child *child, struct load_run *run, enum load_error error);
/* Ends a request in flight from our side: its time is over, or its grace. */
void load_flight_end(struct load_child *child, struct load_flight *flight, enum load_error error);
void load_flight_read_one(struct load_child *child); /* the oldest finished answer */
void load_flight_quit(struct load_child *child);     /* no request will follow */
