/* Whose turn it is on one stream: the plan's arrivals, the in-flight limit, the clients of a closed
 * loop. No clock and no I/O: time is passed in, so a test can play a run in microseconds. */
#pragma once

#include "load/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct load_times { /* a queue of times that only grow */
    int64_t *at_ns; /* owned ring */
    size_t head, count, cap;
};

enum {
    LOAD_IN_FLIGHT_MAX = 10000, /* open loop without a stated limit; clients of a closed one */
    LOAD_REST_NS = 100000000,   /* a closed loop's client rests so long after a failure */
};

struct load_schedule {
    const struct load_stream *stream; /* borrowed */
    struct load_arrivals arrivals;
    int64_t start_ns, end_ns; /* intended sends lie in [start, end) */
    int64_t next_ns;          /* open loop: the next intended send */
    uint64_t sequence;        /* of the next request */
    struct load_share share;  /* which requests are this worker's */
    int limit, in_flight;
    int64_t freed_ns;                 /* open loop: when the limit last let one through */
    struct load_times ready, resting; /* closed loop: since when (or from when) clients are free */
};

struct load_turn {
    uint64_t sequence;
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
/* Takes the next request of an open loop, which will never be sent (it waited too long). */
struct load_turn load_schedule_drop(struct load_schedule *schedule);
/* One has ended. */
void load_schedule_ended(struct load_schedule *schedule, int64_t now_ns, bool failed);
/* Will it never send again? */
bool load_schedule_over(const struct load_schedule *schedule, int64_t now_ns);
