/* Open loop: arrivals are drawn one ahead and never wait for answers. When the in-flight limit is
 * reached they are simply not taken; that their intended time has passed is then seen when a place
 * becomes free, so that no queue of waiting requests has to be kept.
 *
 * Closed loop: a client's next request is intended for the moment it became free. After a failure
 * it rests a little: a dead server that refuses at once would otherwise be asked, and recorded, ten
 * thousand times a second. Clients that are ready and clients that rest are two queues, each in
 * order by itself, so the earliest is one of two heads and no heap is needed. */
#include "load/schedule.h"

#include "base/clock.h"

#include <stdlib.h>

static void push(struct load_times *times, int64_t at_ns)
{
    times->at_ns[(times->head + times->count) % times->cap] = at_ns;
    times->count++;
}

static int64_t first(const struct load_times *times)
{
    return times->count > 0 ? times->at_ns[times->head] : CLOCK_NEVER;
}

static void pop(struct load_times *times)
{
    times->head = (times->head + 1) % times->cap;
    times->count--;
}

/* Room for every client at once. */
static struct load_times make_times(int clients)
{
    struct load_times times = {.cap = (size_t)clients};
    times.at_ns = calloc(times.cap, sizeof *times.at_ns);
    if (!times.at_ns)
        abort();
    return times;
}

static bool is_closed(const struct load_schedule *s)
{
    return s->stream->arrivals == ARRIVALS_CLOSED;
}

struct load_share load_share_of(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    int limit = s->arrivals == ARRIVALS_CLOSED ? 1 : LOAD_IN_FLIGHT_MAX;
    if (s->concurrency > 0)
        limit = s->concurrency;
    int workers = plan->workers > 0 ? plan->workers : 1;
    struct load_share share = {.count = workers < limit ? workers : limit, .index = plan->worker};
    if (share.index < share.count)
        share.limit = limit / share.count + (share.index < limit % share.count);
    return share;
}

/* Past the arrivals of the other workers, to our own next one. */
static void pass_over(struct load_schedule *s, int requests)
{
    for (int i = 0; i < requests; i++)
        s->next_ns = s->start_ns + load_arrivals_next(&s->arrivals);
}

struct load_schedule load_schedule_init(const struct load_plan *plan, size_t stream,
                                        int64_t start_ns, int64_t end_ns)
{
    const struct load_stream *s = &plan->streams[stream];
    struct load_schedule schedule = {
        .stream = s,
        .start_ns = start_ns,
        .end_ns = end_ns,
        .next_ns = CLOCK_NEVER,
        .share = load_share_of(plan, stream),
        .freed_ns = INT64_MIN,
    };
    schedule.limit = schedule.share.limit;
    schedule.sequence = (uint64_t)schedule.share.index;
    if (schedule.limit == 0)
        return schedule; /* nothing of this stream is ours */
    if (is_closed(&schedule)) {
        schedule.ready = make_times(schedule.limit);
        schedule.resting = make_times(schedule.limit);
        for (int i = 0; i < schedule.limit; i++)
            push(&schedule.ready, start_ns);
    } else {
        schedule.arrivals = load_arrivals_init(plan, stream);
        pass_over(&schedule, schedule.share.index + 1);
    }
    return schedule;
}

void load_schedule_done(struct load_schedule *schedule)
{
    if (!schedule)
        return;
    free(schedule->ready.at_ns);
    free(schedule->resting.at_ns);
    schedule->ready = schedule->resting = (struct load_times){0};
}

static bool limit_reached(const struct load_schedule *s)
{
    return s->limit == 0 ||
           (s->stream->request_limit > 0 && s->sequence >= s->stream->request_limit);
}

int64_t load_schedule_next_ns(const struct load_schedule *s)
{
    if (limit_reached(s))
        return CLOCK_NEVER;
    int64_t next_ns = s->next_ns;
    if (is_closed(s)) {
        int64_t ready_ns = first(&s->ready), resting_ns = first(&s->resting);
        next_ns = ready_ns <= resting_ns ? ready_ns : resting_ns;
    }
    return next_ns < s->end_ns ? next_ns : CLOCK_NEVER;
}

int64_t load_schedule_due_ns(const struct load_schedule *s)
{
    return s->in_flight < s->limit ? load_schedule_next_ns(s) : CLOCK_NEVER;
}

struct load_turn load_schedule_drop(struct load_schedule *s)
{
    struct load_turn turn = {
        .sequence = s->sequence,
        .intended_ns = load_schedule_next_ns(s),
    };
    if (is_closed(s))
        pop(first(&s->ready) <= first(&s->resting) ? &s->ready : &s->resting);
    else
        pass_over(s, s->share.count);
    turn.held_back = s->freed_ns > turn.intended_ns;
    turn.due_ns = turn.held_back ? s->freed_ns : turn.intended_ns;
    s->sequence += (uint64_t)s->share.count;
    return turn;
}

struct load_turn load_schedule_take(struct load_schedule *s)
{
    struct load_turn turn = load_schedule_drop(s);
    s->in_flight++;
    return turn;
}

void load_schedule_ended(struct load_schedule *s, int64_t now_ns, bool failed)
{
    bool was_full = s->in_flight == s->limit;
    s->in_flight--;
    if (is_closed(s))
        push(failed ? &s->resting : &s->ready, failed ? now_ns + LOAD_REST_NS : now_ns);
    else if (was_full)
        s->freed_ns = now_ns;
}

bool load_schedule_over(const struct load_schedule *s, int64_t now_ns)
{
    if (s->in_flight > 0)
        return false;
    return limit_reached(s) || (now_ns >= s->end_ns && load_schedule_next_ns(s) == CLOCK_NEVER);
}
