/* Whose turn it is on one stream: the plan's arrivals, the in-flight limit, the clients of a closed
 * loop. No clock and no I/O: time is passed in, so a test can play a run in microseconds. */
#pragma once

#include "load/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct load_wake { /* when a client asks next */
    int64_t at_ns;
    uint64_t order; /* of two at the same time, the one that was set first */
    uint32_t client;
};

struct load_client {      /* one conversation partner: of a closed loop, or of one session */
    uint64_t session;     /* of a stream that follows another: the sequence of what it follows */
    unsigned turn, turns; /* the next turn, of how many */
    int64_t due_ns;       /* of a stream that follows another */
};

enum {
    LOAD_IN_FLIGHT_MAX = 10000, /* open loop without a stated limit; clients of a closed one */
    LOAD_REST_NS = 100000000,   /* a closed loop's client rests so long after a failure */
};

struct load_schedule {
    const struct load_plan *plan; /* borrowed */
    size_t index;                 /* of the stream in it */
    const struct load_stream *stream;
    struct load_arrivals arrivals;
    int64_t start_ns, end_ns; /* intended sends lie in [start, end) */
    int64_t next_ns;          /* open loop: the next intended send */
    uint64_t sequence;        /* of the next request */
    struct load_share share;  /* which requests are this worker's */
    int limit, in_flight;
    int ahead;        /* taken before they are due; each takes a place that is free by then */
    int64_t freed_ns; /* open loop: when the limit last let one through */
    uint64_t session; /* the next new one's number; without sessions: the sequence's */
    struct load_wake *wakes; /* owned heap, the earliest first */
    size_t wake_count, wake_cap;
    uint64_t wake_order;
    struct load_client *clients; /* owned; with sessions, or of a closed loop */
    size_t client_count, client_cap;
    uint32_t *unused; /* owned stack of clients whose session is over (open loop) */
    size_t unused_count;
    size_t unread; /* turns that have ended and whose answer decides how it goes on */
};

struct load_turn {
    uint64_t sequence;
    uint64_t session; /* without sessions: the sequence */
    unsigned turn;    /* of the session, from 0 on */
    uint32_t client;  /* whose, in a closed loop or with sessions */
    int64_t intended_ns;
    int64_t due_ns; /* when it could leave: later than intended when it was held back */
    bool held_back;
};

struct load_schedule load_schedule_init(const struct load_plan *plan, size_t stream,
                                        int64_t start_ns, int64_t end_ns);
void load_schedule_done(struct load_schedule *schedule);

/* The intended time of the next request, sent or waiting; CLOCK_NEVER when there is none. */
int64_t load_schedule_next_ns(const struct load_schedule *schedule);
/* When the next request may leave; CLOCK_NEVER while the limit is reached or there is none. */
int64_t load_schedule_due_ns(const struct load_schedule *schedule);
/* Takes the next request, which is now in flight. Only when one is due. */
struct load_turn load_schedule_take(struct load_schedule *schedule);
/* May the next request be taken before it is due, since nothing can come before it any more? With
 * sessions, in a closed loop or after another stream an answer may bring an earlier one. */
bool load_schedule_is_fixed(const struct load_schedule *schedule);
/* Takes it, to be sent when it is due; load_schedule_leave() then says that it is in flight. */
struct load_turn load_schedule_take_ahead(struct load_schedule *schedule);
void load_schedule_leave(struct load_schedule *schedule);
/* Takes the next request of an open loop, which will never be sent (it waited too long). */
struct load_turn load_schedule_drop(struct load_schedule *schedule);
/* One has ended. */
void load_schedule_ended(struct load_schedule *schedule, const struct load_turn *turn,
                         int64_t now_ns, bool failed);
/* With sessions, after that: its answer, complete at done_ns, was read. Says whether the session
 * goes on; its next turn is then meant to leave after the think time, counted from done_ns. A
 * session ends with a turn that failed. */
bool load_schedule_go_on(struct load_schedule *schedule, const struct load_turn *turn,
                         int64_t done_ns, bool failed);
/* A stream that follows another: a request that is meant to leave at at_ns and could at due_ns, as
 * number `sequence`. Says which client's turn it will be. */
void load_schedule_follow(struct load_schedule *schedule, uint64_t sequence, int64_t at_ns,
                          int64_t due_ns, uint32_t *ret_client);
/* Will it never send again? Unless a stream that it follows still does. */
bool load_schedule_over(const struct load_schedule *schedule, int64_t now_ns);
