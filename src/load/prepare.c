/* Requests are built before the run, in the order in which they will be sent, until a budget of
 * memory is used; the rest one ahead, right after a send, when the loop has time. A body is built
 * once per item and shared: a corpus of 100 MB is held once more, however many requests there are.
 * Rejected: building when due, where a megabyte of audio copied would make the send late. */
#include "load/child.h"

#include "base/clock.h"

#include <string.h>

enum { BUDGET_BYTES = 256 << 20 };

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
        .pass_number = UINT64_MAX,
    };
    TAILQ_INIT(&run->flights);
    TAILQ_INIT(&run->unused);
    run->prepared = calloc(run->item_count, sizeof *run->prepared);
    run->pass = calloc(run->item_count, sizeof *run->pass);
    if (!run->prepared || !run->pass)
        abort();
    return run->transport->check(stream, run->target, sizeof run->target, err) &&
           open_client(child, run, err);
}

void load_run_done(struct load_run *run)
{
    for (size_t i = 0; run->prepared && i < run->item_count; i++) {
        if (run->transport->free_ready)
            run->transport->free_ready(run->prepared[i].ready);
        buf_done(&run->prepared[i].request.body);
        buf_done(&run->prepared[i].request.content_type);
    }
    free(run->prepared);
    free(run->pass);
    load_schedule_done(&run->schedule);
    *run = (struct load_run){0};
}

size_t load_run_item(struct load_child *child, struct load_run *run, uint64_t sequence)
{
    uint64_t pass = sequence / run->item_count;
    if (pass != run->pass_number) {
        load_item_pass(child->plan, run->index, pass, run->pass, run->item_count);
        run->pass_number = pass;
    }
    return run->pass[sequence % run->item_count];
}

const struct load_prepared *load_run_prepare(struct load_run *run, size_t item, struct err *err)
{
    struct load_prepared *prepared = &run->prepared[item];
    if (prepared->built)
        return prepared;
    struct load_input input = load_input_of(run->stream, item);
    if (!run->stream->protocol->build(run->stream, &input, &prepared->request, err))
        return NULL;
    if (run->transport->make_ready)
        prepared->ready = run->transport->make_ready(run->stream, &prepared->request);
    prepared->built = true;
    return prepared;
}

/* How many requests the stream may send within the span; where it is unknown, one of each item. */
static uint64_t expected(const struct load_run *run, int64_t span_ns)
{
    const struct load_stream *stream = run->stream;
    if (stream->request_limit > 0 && stream->request_limit < run->item_count)
        return stream->request_limit;
    double sends = stream->arrivals == ARRIVALS_CLOSED
                       ? (double)run->item_count
                       : stream->rate_rps * (double)span_ns / (double)NS_PER_S * 1.5 + 16;
    return sends < (double)run->item_count ? (uint64_t)sends : run->item_count;
}

bool load_run_prepare_all(struct load_child *child, struct load_run *run, int64_t span_ns,
                          struct err *err)
{
    size_t used = 0;
    uint64_t count = expected(run, span_ns);
    for (uint64_t i = 0; i < count && used < BUDGET_BYTES; i++) {
        const struct load_prepared *prepared =
            load_run_prepare(run, load_run_item(child, run, i), err);
        if (!prepared)
            return false;
        used += prepared->request.body.len;
    }
    return true;
}
