/* Open loop: arrivals are drawn one ahead and never wait for answers. When the in-flight limit is
 * reached they are simply not taken; that their intended time has passed is then seen when a place
 * becomes free, so that no queue of waiting requests has to be kept.
 *
 * Closed loop: a client's next request is intended for the moment it became free, or had thought.
 * After a failure it rests a little: a dead server that refuses at once would otherwise be asked,
 * and recorded, ten thousand times a second. Who asks when is a heap of times.
 *
 * Sessions: an arrival (or a free client of a closed loop) begins one; each further turn is a time
 * in the same heap, known only once the answer before it was read. What comes next is the earlier
 * of the two, so that a session's turn waits for the limit like anybody's request. */
#include "load/schedule.h"

#include "base/clock.h"
#include "load/ask.h"

#include <stdlib.h>

/* ---- the heap ---- */

static bool is_before(const struct load_wake *a, const struct load_wake *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void *grow(void *items, size_t *cap, size_t size)
{
    *cap = *cap ? 2 * *cap : 64;
    void *grown = realloc(items, *cap * size);
    if (!grown)
        abort();
    return grown;
}

static void push(struct load_schedule *s, int64_t at_ns, uint32_t client)
{
    if (s->wake_count == s->wake_cap)
        s->wakes = grow(s->wakes, &s->wake_cap, sizeof *s->wakes);
    const struct load_wake wake = {.at_ns = at_ns, .order = s->wake_order++, .client = client};
    size_t i = s->wake_count++;
    for (; i > 0 && is_before(&wake, &s->wakes[(i - 1) / 2]); i = (i - 1) / 2)
        s->wakes[i] = s->wakes[(i - 1) / 2];
    s->wakes[i] = wake;
}

static struct load_wake pop(struct load_schedule *s)
{
    const struct load_wake top = s->wakes[0], last = s->wakes[--s->wake_count];
    size_t i = 0;
    for (size_t child = 1; child < s->wake_count; child = 2 * i + 1) {
        if (child + 1 < s->wake_count && is_before(&s->wakes[child + 1], &s->wakes[child]))
            child++;
        if (!is_before(&s->wakes[child], &last))
            break;
        s->wakes[i] = s->wakes[child];
        i = child;
    }
    if (s->wake_count > 0)
        s->wakes[i] = last;
    return top;
}

static int64_t first_wake_ns(const struct load_schedule *s)
{
    return s->wake_count > 0 ? s->wakes[0].at_ns : CLOCK_NEVER;
}

/* ---- clients ---- */

static bool is_closed(const struct load_schedule *s)
{
    return s->stream->arrivals == ARRIVALS_CLOSED;
}

static bool follows(const struct load_schedule *s)
{
    return s->stream->arrivals == ARRIVALS_AFTER;
}

static bool has_sessions(const struct load_schedule *s)
{
    return load_stream_has_sessions(s->stream);
}

static uint32_t add_client(struct load_schedule *s)
{
    if (s->unused_count > 0)
        return s->unused[--s->unused_count];
    if (s->client_count == s->client_cap) {
        s->clients = grow(s->clients, &s->client_cap, sizeof *s->clients);
        uint32_t *unused = realloc(s->unused, s->client_cap * sizeof *unused);
        if (!unused)
            abort();
        s->unused = unused;
    }
    s->clients[s->client_count] = (struct load_client){0};
    return (uint32_t)s->client_count++;
}

/* The clients of a closed loop: see load_first_wait_ns(). */
static void add_clients(struct load_schedule *s)
{
    for (int i = 0; i < s->limit; i++) {
        uint64_t number = (uint64_t)s->share.index + (uint64_t)i * (uint64_t)s->share.count;
        push(s, s->start_ns + load_first_wait_ns(s->plan, s->index, number), add_client(s));
    }
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
    struct load_schedule schedule = {
        .plan = plan,
        .index = stream,
        .stream = &plan->streams[stream],
        .start_ns = start_ns,
        .end_ns = end_ns,
        .next_ns = CLOCK_NEVER,
        .share = load_share_of(plan, stream),
        .freed_ns = INT64_MIN,
    };
    schedule.limit = schedule.share.limit;
    schedule.sequence = schedule.session = (uint64_t)schedule.share.index;
    if (schedule.limit == 0)
        return schedule; /* nothing of this stream is ours */
    if (is_closed(&schedule)) {
        add_clients(&schedule);
    } else if (!follows(&schedule)) {
        schedule.arrivals = load_arrivals_init(plan, stream);
        pass_over(&schedule, schedule.share.index + 1);
    }
    return schedule;
}

void load_schedule_done(struct load_schedule *schedule)
{
    if (!schedule)
        return;
    free(schedule->wakes);
    free(schedule->clients);
    free(schedule->unused);
    schedule->wakes = NULL;
    schedule->clients = NULL;
    schedule->unused = NULL;
    schedule->wake_count = schedule->wake_cap = schedule->client_count = schedule->client_cap = 0;
}

/* ---- turns ---- */

static bool limit_reached(const struct load_schedule *s)
{
    return s->limit == 0 ||
           (s->stream->request_limit > 0 && s->sequence >= s->stream->request_limit);
}

int64_t load_schedule_next_ns(const struct load_schedule *s)
{
    if (limit_reached(s))
        return CLOCK_NEVER;
    int64_t wake_ns = first_wake_ns(s);
    if (follows(s)) /* in the drain as well: what it follows was meant for the window */
        return s->end_ns != INT64_MIN ? wake_ns : CLOCK_NEVER;
    int64_t next_ns = wake_ns <= s->next_ns ? wake_ns : s->next_ns;
    return next_ns < s->end_ns ? next_ns : CLOCK_NEVER;
}

int64_t load_schedule_due_ns(const struct load_schedule *s)
{
    return s->in_flight + s->ahead < s->limit ? load_schedule_next_ns(s) : CLOCK_NEVER;
}

static void begin_session(struct load_schedule *s, uint32_t client)
{
    s->clients[client] = (struct load_client){
        .session = s->session,
        .turns = load_session_turns(s->plan, s->index, s->session),
    };
}

/* Whose turn it is; the arrival, or the time in the heap, is used up. */
static uint32_t take_client(struct load_schedule *s)
{
    uint32_t client = 0;
    if (first_wake_ns(s) <= s->next_ns) {
        client = pop(s).client;
        if (s->clients[client].turn > 0)
            return client;
    } else {
        pass_over(s, s->share.count);
        if (has_sessions(s))
            client = add_client(s);
    }
    if (has_sessions(s))
        begin_session(s, client);
    s->session += (uint64_t)s->share.count;
    return client;
}

static struct load_turn take_step(struct load_schedule *s)
{
    const struct load_wake wake = pop(s);
    const struct load_client *client = &s->clients[wake.client];
    int64_t due_ns = s->freed_ns > client->due_ns ? s->freed_ns : client->due_ns;
    return (struct load_turn){
        .sequence = client->session,
        .session = client->session,
        .client = wake.client,
        .intended_ns = wake.at_ns,
        .due_ns = due_ns,
        .held_back = due_ns > wake.at_ns,
    };
}

static struct load_turn take(struct load_schedule *s)
{
    if (follows(s))
        return take_step(s);
    struct load_turn turn = {
        .sequence = s->sequence,
        .session = s->session,
        .intended_ns = load_schedule_next_ns(s),
    };
    turn.client = take_client(s);
    if (has_sessions(s)) {
        turn.session = s->clients[turn.client].session;
        turn.turn = s->clients[turn.client].turn;
    }
    turn.held_back = s->freed_ns > turn.intended_ns;
    turn.due_ns = turn.held_back ? s->freed_ns : turn.intended_ns;
    s->sequence += (uint64_t)s->share.count;
    return turn;
}

/* Its session is over. */
static void end_session(struct load_schedule *s, uint32_t client)
{
    s->clients[client].turn = 0;
    if (!is_closed(s))
        s->unused[s->unused_count++] = client;
}

struct load_turn load_schedule_drop(struct load_schedule *s)
{
    struct load_turn turn = take(s);
    if (has_sessions(s) || follows(s))
        end_session(s, turn.client);
    return turn;
}

struct load_turn load_schedule_take(struct load_schedule *s)
{
    struct load_turn turn = take(s);
    s->in_flight++;
    return turn;
}

bool load_schedule_is_fixed(const struct load_schedule *s)
{
    return !is_closed(s) && !follows(s) && !has_sessions(s);
}

struct load_turn load_schedule_take_ahead(struct load_schedule *s)
{
    struct load_turn turn = take(s);
    s->ahead++;
    return turn;
}

void load_schedule_leave(struct load_schedule *s)
{
    s->ahead--;
    s->in_flight++;
}

void load_schedule_ended(struct load_schedule *s, const struct load_turn *turn, int64_t now_ns,
                         bool failed)
{
    bool was_full = s->in_flight == s->limit;
    s->in_flight--;
    if (!is_closed(s) && was_full)
        s->freed_ns = now_ns;
    if (follows(s))
        end_session(s, turn->client);
    if (has_sessions(s)) {
        s->unread++;
        return;
    }
    if (!is_closed(s))
        return;
    int64_t think_ns = load_think_ns(s->plan, s->index, turn->session, 0);
    push(s, now_ns + (failed && think_ns < LOAD_REST_NS ? LOAD_REST_NS : think_ns), turn->client);
}

bool load_schedule_go_on(struct load_schedule *s, const struct load_turn *turn, int64_t done_ns,
                         bool failed)
{
    struct load_client *client = &s->clients[turn->client];
    int64_t think_ns = load_think_ns(s->plan, s->index, turn->session, turn->turn);
    s->unread--;
    client->turn++;
    bool more = !failed && client->turn < client->turns;
    if (!more)
        end_session(s, turn->client);
    if (more || is_closed(s))
        push(s, done_ns + (failed && think_ns < LOAD_REST_NS ? LOAD_REST_NS : think_ns),
             turn->client);
    return more;
}

void load_schedule_follow(struct load_schedule *s, uint64_t sequence, int64_t at_ns, int64_t due_ns,
                          uint32_t *ret_client)
{
    uint32_t client = add_client(s);
    s->clients[client] = (struct load_client){.session = sequence, .due_ns = due_ns};
    push(s, at_ns, client);
    *ret_client = client;
}

bool load_schedule_over(const struct load_schedule *s, int64_t now_ns)
{
    if (s->in_flight > 0 || s->ahead > 0 || s->unread > 0)
        return false;
    return limit_reached(s) || (now_ns >= s->end_ns && load_schedule_next_ns(s) == CLOCK_NEVER);
}
