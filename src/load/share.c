/* Which process sends what. Streams to servers are divided among the plan's workers by number.
 *
 * A service's program is run by a worker of its own, which nobody else's requests pass through: the
 * programs are below that process and no other, so that their memory, their work on a device and
 * their CPU time are told from those of any other service by the same walk of the process tree as a
 * server's; and the fraction of a millisecond that a start takes delays no other stream's send.
 * What follows such a stream, or what it follows, goes with it, since an answer is known to one
 * process only.
 *
 * Rejected: telling the programs of several streams of one process apart by their environment,
 * which each reading would have to read again. */
#include "load/plan.h"
#include "load/schedule.h"

/* The stream that sends by itself, from which this one's requests come in the end. */
static size_t head_of(const struct load_plan *plan, size_t stream)
{
    size_t at = stream;
    for (size_t steps = 0; steps < plan->stream_count; steps++)
        if (plan->streams[at].arrivals == ARRIVALS_AFTER &&
            plan->streams[at].after < plan->stream_count)
            at = plan->streams[at].after;
    return at;
}

static bool is_apart(const struct load_plan *plan, size_t head)
{
    for (size_t s = 0; s < plan->stream_count; s++)
        if (plan->streams[s].program && head_of(plan, s) == head)
            return true;
    return false;
}

/* Workers of the streams that are not apart; `ret_apart`: chains that are. */
static int shared_workers(const struct load_plan *plan, int *ret_apart)
{
    bool shared = false;
    int apart = 0, workers = plan->workers > 0 ? plan->workers : 1;
    for (size_t s = 0; s < plan->stream_count; s++) {
        if (head_of(plan, s) != s)
            continue;
        if (is_apart(plan, s))
            apart++;
        else
            shared = true;
    }
    if (workers + apart > LOAD_WORKERS_MAX && apart > 0)
        workers = apart < LOAD_WORKERS_MAX ? LOAD_WORKERS_MAX - apart : 1;
    *ret_apart = apart;
    return shared ? workers : 0;
}

int load_plan_processes(const struct load_plan *plan)
{
    int apart = 0, workers = shared_workers(plan, &apart);
    return workers + apart;
}

/* The process of a chain that is apart; -1: it is shared. */
static int process_of_chain(const struct load_plan *plan, size_t stream)
{
    size_t head = head_of(plan, stream);
    int apart = 0, at = shared_workers(plan, &apart);
    if (!is_apart(plan, head))
        return -1;
    for (size_t s = 0; s < head; s++)
        at += head_of(plan, s) == s && is_apart(plan, s);
    return at;
}

int load_plan_process_of(const struct load_plan *plan, size_t stream)
{
    return plan->streams[stream].program ? process_of_chain(plan, stream) : -1;
}

struct load_share load_share_of(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    int limit = s->arrivals == ARRIVALS_CLOSED ? 1 : LOAD_IN_FLIGHT_MAX;
    if (s->concurrency > 0)
        limit = s->concurrency;
    int own = process_of_chain(plan, stream), apart = 0, workers = shared_workers(plan, &apart);
    if (own >= 0)
        return (struct load_share){
            .count = 1, .index = plan->worker != own, .limit = plan->worker == own ? limit : 0};
    struct load_share share = {.count = workers < limit ? workers : limit, .index = plan->worker};
    if (share.count > 0 && share.index < share.count)
        share.limit = limit / share.count + (share.index < limit % share.count);
    return share;
}
