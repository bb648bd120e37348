/* The plan, written down. A person can look at what will be sent, and a test can compare two runs
 * of the same seed byte by byte without sending anything.
 *
 * Invariant: uses the functions that the worker uses, and nothing else. */
#include "load/ask.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

static void add_request(const struct load_plan *plan, struct load_picker *picker, uint64_t session,
                        int64_t at_ns, struct buf *text)
{
    const struct load_stream *stream = &plan->streams[picker->stream];
    const struct load_ask ask = load_ask_draw(picker, session, 0);
    buf_addf(text, "{\"stream\":\"%s\",\"n\":%" PRIu64, stream->name, session);
    if (at_ns >= 0)
        buf_addf(text, ",\"intended_ns\":%" PRId64, at_ns);
    if (ask.made)
        buf_addf(text, ",\"prompt_tokens\":%d", ask.prompt_tokens);
    else
        buf_addf(text, ",\"item\":%zu", ask.item);
    if (ask.output_tokens > 0)
        buf_addf(text, ",\"output_tokens\":%d", ask.output_tokens);
    if (ask.prefix >= 0)
        buf_addf(text, ",\"prefix\":%d", ask.prefix);
    if (load_stream_has_sessions(stream))
        buf_addf(text, ",\"turns\":%u", load_session_turns(plan, picker->stream, session));
    if (stream->shape.think_ns.kind != SPREAD_NONE)
        buf_addf(text, ",\"think_ns\":%" PRId64, load_think_ns(plan, picker->stream, session, 0));
    buf_add(text, "}\n");
}

static void write_stream(const struct load_plan *plan, size_t stream, size_t max, struct buf *text)
{
    const struct load_stream *s = &plan->streams[stream];
    const int64_t end_ns = plan->warmup_ns + plan->window_ns;
    if (s->arrivals == ARRIVALS_AFTER)
        return; /* it is made from answers */
    struct load_picker picker = load_picker_init(plan, stream);
    if (s->arrivals == ARRIVALS_CLOSED) {
        int clients = s->concurrency > 0 ? s->concurrency : 1;
        for (int c = 0; c < clients && (size_t)c < max; c++)
            add_request(plan, &picker, (uint64_t)c, -1, text);
    } else {
        struct load_arrivals arrivals = load_arrivals_init(plan, stream);
        int64_t at_ns = s->start_after_ns + load_arrivals_next(&arrivals);
        for (uint64_t n = 0; n < max && at_ns < end_ns && !text->over; n++) {
            add_request(plan, &picker, n, at_ns, text);
            at_ns = s->start_after_ns + load_arrivals_next(&arrivals);
        }
    }
    load_picker_done(&picker);
}

void load_plan_write(const struct load_plan *plan, size_t max, struct buf *ret_text)
{
    for (size_t i = 0; i < plan->stream_count; i++)
        write_stream(plan, i, max, ret_text);
}
