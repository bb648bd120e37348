/* Requests made ready before they are due, so that between the timer's wake-up and the send there
 * is next to nothing. A core that has slept runs cold: the instructions of a send, from the
 * schedule through curl to the kernel, took six times as long right after a sleep as before it, and
 * that was most of what sends were late. So all of it is done before going to sleep, while it is
 * hot from the send or the answer before; records and lists follow after the send.
 *
 * What is taken ahead is only what nothing can come before any more: an open loop's own arrivals
 * without sessions, one after the other, within its limit. How far a request is made ready is the
 * transport's affair: HTTP hands it to the kernel, which holds it; others know no such thing, and
 * sending does the rest then.
 *
 * Calls that were used before are taken, and a held one whose connection ends before its time
 * changes places with another: none makes a connection that a later moment would not have needed.
 * Rejected: waking up a little earlier and looking at the clock until it is time, which costs the
 * core that the service wants.
 *
 * Invariant: nothing leaves before it is due, and all leave in the plan's order. */
#include "load/child.h"

#include "base/clock.h"

enum {
    NEAR_NS = 500000, /* requests that follow the first so soon are made ready with it */
    CALM_NS = 100000, /* until the first is due, to make another ready */
    AHEAD_MAX = 8,
};

static struct load_parcel parcel_of(const struct load_flight *flight)
{
    return (struct load_parcel){
        .stream = flight->run->stream,
        .target = flight->run->target,
        .request = &flight->prepared->request,
        .ready = flight->prepared->ready,
    };
}

void load_ahead_init(struct load_child *child)
{
    TAILQ_INIT(&child->ahead);
}

int64_t load_ahead_due_ns(const struct load_child *child)
{
    const struct load_flight *first = TAILQ_FIRST(&child->ahead);
    return first ? first->turn.due_ns : CLOCK_NEVER;
}

/* By time, and of two at one time the one that was taken first. */
static void insert(struct load_child *child, struct load_flight *flight)
{
    struct load_flight *after = TAILQ_LAST(&child->ahead, load_flights);
    while (after && after->turn.due_ns > flight->turn.due_ns)
        after = TAILQ_PREV(after, load_flights, link);
    if (after)
        TAILQ_INSERT_AFTER(&child->ahead, after, flight, link);
    else
        TAILQ_INSERT_HEAD(&child->ahead, flight, link);
    child->ahead_count++;
}

/* With the call of another flight, whose connection may still be open. */
static void swap_calls(struct load_flight *a, struct load_flight *b)
{
    struct load_call *call = a->call;
    a->call = b->call;
    b->call = call;
    a->call->owner = a;
    b->call->owner = b;
}

static void hold(struct load_flight *flight)
{
    struct load_run *run = flight->run;
    const struct load_parcel parcel = parcel_of(flight);
    if (!run->transport->hold || !run->stream->reuse_connection)
        return;
    flight->held = run->transport->hold(flight->call, &parcel);
    struct load_flight *other = flight->held ? NULL : TAILQ_FIRST(&run->unused);
    if (!other)
        return;
    swap_calls(flight, other);
    flight->held = run->transport->hold(flight->call, &parcel);
}

/* The next one whose time is near; NULL: none, or it has to wait for its moment. */
static struct load_run *next_run(struct load_child *child, int64_t now_ns)
{
    int64_t due_ns, first_ns = load_ahead_due_ns(child);
    struct load_run *run = load_child_earliest(child, &due_ns);
    bool first = first_ns == CLOCK_NEVER || due_ns < first_ns;
    bool near = first ? due_ns - now_ns < LOAD_LEAD_NS
                      : due_ns - first_ns < NEAR_NS && first_ns - now_ns > CALM_NS;
    bool fits = run && due_ns > now_ns && near && child->ahead_count < AHEAD_MAX;
    return fits && load_schedule_is_fixed(&run->schedule) && !TAILQ_EMPTY(&run->unused) ? run
                                                                                        : NULL;
}

bool load_ahead_fill(struct load_child *child, int64_t now_ns)
{
    struct load_flight *first = TAILQ_FIRST(&child->ahead);
    bool done = first && !first->held && first->turn.due_ns - now_ns > CALM_NS;
    if (done)
        hold(first);
    for (struct load_run *run = next_run(child, now_ns); run; run = next_run(child, now_ns)) {
        struct load_turn turn = load_schedule_take_ahead(&run->schedule);
        struct load_flight *flight = load_flight_make(child, run, &turn);
        insert(child, flight);
        done = true;
        if (!flight->prepared)
            return true; /* the run has failed */
        hold(flight);
        now_ns = clock_now_ns();
    }
    return done;
}

void load_ahead_leave(struct load_child *child)
{
    struct load_flight *flight = TAILQ_FIRST(&child->ahead);
    struct load_run *run = flight->run;
    if (flight->held) {
        run->transport->release(flight->call);
    } else if (flight->prepared) {
        const struct load_parcel parcel = parcel_of(flight);
        run->transport->send(flight->call, &parcel);
    }
    int64_t sent_ns = clock_now_ns();
    flight->held = false;
    TAILQ_REMOVE(&child->ahead, flight, link);
    child->ahead_count--;
    load_schedule_leave(&run->schedule);
    load_flight_left(child, flight, sent_ns);
}

void load_ahead_lost(struct load_call *call)
{
    struct load_flight *flight = call->owner;
    flight->held = false;
}

void load_ahead_end(struct load_child *child, int64_t now_ns)
{
    while (!TAILQ_EMPTY(&child->ahead)) {
        struct load_flight *flight = TAILQ_FIRST(&child->ahead);
        TAILQ_REMOVE(&child->ahead, flight, link);
        child->ahead_count--;
        flight->run->transport->cancel(flight->call);
        flight->held = false;
        load_schedule_leave(&flight->run->schedule);
        if (flight->turn.due_ns <= now_ns)
            load_flight_unsent(child, flight);
    }
}
