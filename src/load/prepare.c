/* Requests are built before the run, in the order in which they will be sent, until a budget of
 * memory is used; the rest one ahead, right after a send, when the loop has time. A body is built
 * once per item and shared: a corpus of 100 MB is held once more, however many requests there are.
 * What only one request carries is in made.c. Rejected: building when due, where a megabyte of
 * audio copied would make the send late. */
#include "load/child.h"

#include "base/clock.h"

#include <string.h>

enum { BUDGET_BYTES = 256 << 20 }; /* of all workers together */

/* One client for all streams of a transport. */
static bool open_client(struct load_child *child, struct load_run *run, struct err *err)
{
    for (size_t i = 0; i < run->index && !run->client; i++)
        if (child->runs[i].transport == run->transport)
            run->client = child->runs[i].client;
    return run->client || run->transport->open(child->event, &load_flight_hooks, &run->client, err);
}

bool load_run_init(struct load_child *child, size_t index, struct err *err)
{
    struct load_run *run = &child->runs[index];
    const struct load_stream *stream = &child->plan->streams[index];
    *run = (struct load_run){
        .index = index,
        .stream = stream,
        .transport = load_stream_transport(stream),
        .item_count = load_stream_items(stream),
    };
    TAILQ_INIT(&run->flights);
    TAILQ_INIT(&run->unused);
    run->prepared = calloc(run->item_count, sizeof *run->prepared);
    if (!run->prepared)
        abort();
    if (!load_stream_follows(stream))
        run->picker = load_picker_init(child->plan, index);
    load_made_init(&run->made);
    for (size_t i = 0; i < child->plan->stream_count; i++)
        if (load_stream_follows(&child->plan->streams[i]) && child->plan->streams[i].after == index)
            run->followed = true;
    /* What runs programs has a minder beside it, which is not wanted where none is run. */
    const struct load_share share = load_share_of(child->plan, index);
    bool ours = share.index < share.count || !stream->program;
    return run->transport->check(stream, run->target, sizeof run->target, err) &&
           (!ours || open_client(child, run, err));
}

void load_prepared_clear(const struct load_run *run, struct load_prepared *prepared)
{
    if (run->transport->free_ready)
        run->transport->free_ready(prepared->ready);
    buf_done(&prepared->request.body);
    buf_done(&prepared->request.content_type);
    buf_done(&prepared->request.words);
    *prepared = (struct load_prepared){0};
}

void load_run_done(struct load_run *run)
{
    for (size_t i = 0; run->prepared && i < run->item_count; i++)
        load_prepared_clear(run, &run->prepared[i]);
    free(run->prepared);
    load_made_done(run);
    load_steps_done(run);
    load_picker_done(&run->picker);
    load_schedule_done(&run->schedule);
    *run = (struct load_run){0};
}

size_t load_run_item(struct load_run *run, const struct load_turn *turn)
{
    return load_ask_draw(&run->picker, turn->session, turn->turn).item;
}

bool load_prepared_build(const struct load_run *run, const struct load_stream *stream,
                         const struct load_input *input, struct load_prepared *prepared,
                         struct err *err)
{
    if (!stream->protocol->build(stream, input, &prepared->request, err))
        return false;
    if (run->transport->make_ready)
        prepared->ready = run->transport->make_ready(run->client, stream, &prepared->request);
    prepared->built = true;
    return true;
}

/* The one of an item, for all who send it. */
static struct load_prepared *prepare_item(struct load_run *run, size_t item, struct err *err)
{
    struct load_prepared *prepared = &run->prepared[item];
    struct load_input input = load_input_of(run->stream, item);
    bool good = prepared->built || load_prepared_build(run, run->stream, &input, prepared, err);
    return good ? prepared : NULL;
}

struct load_prepared *load_run_prepare(struct load_run *run, const struct load_turn *turn,
                                       struct err *err)
{
    if (load_stream_follows(run->stream))
        return load_steps_take(run, turn, err);
    if (load_stream_makes(run->stream))
        return load_made_take(run, turn, err);
    return prepare_item(run, load_run_item(run, turn), err);
}

bool load_run_prepare_next(struct load_run *run, struct err *err)
{
    const struct load_schedule *s = &run->schedule;
    uint64_t limit = run->stream->request_limit;
    if (load_stream_follows(run->stream) || (limit > 0 && s->sequence >= limit))
        return true;
    if (load_stream_makes(run->stream))
        return load_made_ahead(run, s->session, s->share.count, 1, err) > 0;
    const struct load_turn next = {.session = s->session};
    return prepare_item(run, load_run_item(run, &next), err) != NULL;
}

/* How many new requests (or sessions) this worker's part may begin within the span; where it is
 * unknown, one of each item or two of each client. */
static uint64_t expected(const struct load_child *child, const struct load_run *run,
                         const struct load_share *share, int64_t span_ns)
{
    const struct load_stream *stream = run->stream;
    bool makes = load_stream_makes(stream);
    double rate_rps = load_stream_rate_rps(child->plan, run->index);
    double most = makes ? 4096 : (double)run->item_count;
    double sends = rate_rps * (double)span_ns / (double)NS_PER_S * 1.5 / share->count + 16;
    if (stream->arrivals == ARRIVALS_CLOSED)
        sends = makes ? 2 * share->limit : (double)run->item_count;
    if (stream->request_limit > 0 && (double)stream->request_limit < sends)
        sends = (double)stream->request_limit;
    return (uint64_t)(sends < most ? sends : most);
}

bool load_run_prepare_all(struct load_child *child, struct load_run *run, int64_t span_ns,
                          struct err *err)
{
    const struct load_share share = load_share_of(child->plan, run->index);
    if (share.limit == 0 || load_stream_follows(run->stream))
        return true;
    size_t used = 0;
    const size_t budget =
        BUDGET_BYTES / (size_t)(child->plan->workers > 1 ? child->plan->workers : 1);
    uint64_t count = expected(child, run, &share, span_ns);
    struct load_turn turn = {.session = (uint64_t)share.index};
    for (uint64_t i = 0; i < count && used < budget; i++) {
        size_t len = 0;
        if (load_stream_makes(run->stream)) {
            len = load_made_ahead(run, turn.session, share.count, i + 1, err);
        } else {
            const struct load_prepared *prepared =
                prepare_item(run, load_run_item(run, &turn), err);
            len = prepared ? prepared->request.body.len + 1 : 0;
        }
        if (len == 0)
            return false;
        used += len;
        turn.session += load_stream_makes(run->stream) ? 0 : (uint64_t)share.count;
    }
    return true;
}
