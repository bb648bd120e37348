/* Private to the worker's child process: its state, and what its parts do for each other.
 * loop.c owns the process and its timers, flight.c a request from its send to its record. */
#pragma once

#include "base/buf.h"
#include "load/ask.h"
#include "load/delays.h"
#include "load/flight.h"
#include "load/follow.h"
#include "load/made.h"
#include "load/plan.h"
#include "load/schedule.h"
#include "load/transport.h"
#include "load/worker.h"

/* A request ready to be sent: made once per item and shared by all who send it, or for one send. */
struct load_prepared {
    bool built, once;
    struct load_request request; /* owned */
    void *ready;                 /* owned: what the transport made of it */
};

/* One stream while it runs. */
struct load_run {
    size_t index;
    const struct load_stream *stream;
    struct load_schedule schedule;
    const struct load_transport *transport;
    void *client;                /* the transport's, shared by its streams */
    struct load_flights flights; /* in flight, by intended time */
    struct load_flights unused;  /* with calls to be used again */
    char target[LOAD_TARGET_MAX];
    struct load_prepared *prepared; /* owned, per item */
    size_t item_count;
    struct load_picker picker;
    struct load_made made;
    struct load_steps steps; /* of a stream that follows another */
    bool followed;           /* another stream's requests are made from its answers */
};

struct load_child {
    const struct load_plan *plan; /* own: which of the plan's workers this is */
    struct load_run runs[LOAD_STREAMS_MAX];
    sd_event *event;
    sd_event_source *send_now, *keep_timer, *read_now, *read_timer, *tick_timer, *in, *out_ready;
    int64_t keep_at_ns;        /* what its timer is set to; CLOCK_NEVER: off */
    struct load_flights ahead; /* made ready, by due time */
    int ahead_count;
    struct load_flights finished;
    size_t finished_count;
    struct buf out;              /* frames that wait for the parent */
    size_t out_at;               /* of it, sent already */
    struct buf text, gaps;       /* scratch of the reader */
    struct load_delays lateness; /* of sends, owned */
    struct load_delays stalls;   /* of the loop itself: how late each tick came, owned */
    int64_t tick_ns;             /* the next tick's planned time */
    struct load_report report;
    int64_t last_ns; /* the drain's end */
    bool over;       /* no more sends */
    bool behind;     /* sends are due that have not left */
    int channel;
};

/* become.c: of a fork, the worker; the channel to its parent is LOAD_CHANNEL from then on. */
enum { LOAD_CHANNEL = 3 };
void load_child_become(int channel, pid_t parent);

/* loop.c: the child's whole life; never returns. */
_Noreturn void load_child_main(const struct load_plan *plan, int index, int channel, pid_t parent);
void load_child_fail(struct load_child *child, const char *why); /* ends the run, with the reason */
void load_child_keep_by(struct load_child *child, int64_t at_ns); /* look after things by then */
void load_child_plan_next(struct load_child *child);       /* arms the timers after a change */
int64_t load_child_due_ns(const struct load_child *child); /* of the next send */
/* Which run's it is, of those that are not made ready yet; NULL: none is to come. */
struct load_run *load_child_earliest(const struct load_child *child, int64_t *ret_due_ns);
/* Is reading an answer of `bytes` done before that? */
bool load_child_can_read(const struct load_child *child, size_t bytes, int64_t now_ns);
void load_child_emit(struct load_child *child, const struct load_record *record,
                     const struct buf *text, const struct buf *gaps);

/* prepare.c: requests built before they are due. */
bool load_run_init(struct load_child *child, size_t index, struct err *err);
void load_run_done(struct load_run *run);
size_t load_run_item(struct load_run *run, const struct load_turn *turn);
/* What a turn sends; NULL: err says why not. */
struct load_prepared *load_run_prepare(struct load_run *run, const struct load_turn *turn,
                                       struct err *err);
/* What the next one will send is built now, right after a send. */
bool load_run_prepare_next(struct load_run *run, struct err *err);
bool load_prepared_build(const struct load_run *run, const struct load_stream *stream,
                         const struct load_input *input, struct load_prepared *prepared,
                         struct err *err);
void load_prepared_clear(const struct load_run *run, struct load_prepared *prepared);
/* Builds what will be sent first, within a budget of memory. */
bool load_run_prepare_all(struct load_child *child, struct load_run *run, int64_t span_ns,
                          struct err *err);

/* made.c: its answer was read (text: what it says). The session goes on, what was sent is freed. */
void load_run_answered(struct load_child *child, struct load_flight *flight,
                       const struct buf *text);
