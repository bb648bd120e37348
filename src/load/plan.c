/* When each request leaves and what it carries, as pure functions of (seed, salt, stream name, n).
 * So the test of the worker knows the plan it must find reproduced, and a resumed study repeats the
 * load of the trial that was cut short.
 *
 * Constant arrivals start at a drawn phase of their gap instead of zero: two streams of one rate
 * would otherwise send in step all the time, and the overlap of the services would be an artefact.
 * Poisson arrivals are the sum of exponential gaps (Knuth, TAOCP 2, 3.4.1).
 *
 * Items go in whole passes over the corpus, each shuffled on its own: drawing with replacement
 * would give every window another mix of long and short clips, which is noise we can do without. */
#include "load/plan.h"

#include "base/clock.h"

#include <stdio.h>

static struct rng draw(const struct load_plan *plan, size_t stream, const char *use, uint64_t n)
{
    char name[512];
    snprintf(name, sizeof name, "load/%s/%llu/%s/%s", use, (unsigned long long)n,
             plan->streams[stream].name ? plan->streams[stream].name : "",
             plan->salt ? plan->salt : "");
    return rng_init(plan->seed, name);
}

struct load_arrivals load_arrivals_init(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    struct load_arrivals arrivals = {
        .rng = draw(plan, stream, "arrivals", 0),
        .kind = s->arrivals,
        .gap_ns = s->rate_rps > 0 ? (double)NS_PER_S / s->rate_rps : 0,
    };
    arrivals.next_ns = s->arrivals == ARRIVALS_CONSTANT
                           ? rng_unit(&arrivals.rng) * arrivals.gap_ns
                           : rng_exponential(&arrivals.rng, arrivals.gap_ns);
    return arrivals;
}

int64_t load_arrivals_next(struct load_arrivals *arrivals)
{
    double now_ns = arrivals->next_ns;
    arrivals->next_ns += arrivals->kind == ARRIVALS_CONSTANT
                             ? arrivals->gap_ns
                             : rng_exponential(&arrivals->rng, arrivals->gap_ns);
    return (int64_t)now_ns;
}

void load_item_pass(const struct load_plan *plan, size_t stream, uint64_t pass, size_t *ret_items,
                    size_t item_count)
{
    for (size_t i = 0; i < item_count; i++)
        ret_items[i] = i;
    struct rng rng = draw(plan, stream, "items", pass);
    rng_shuffle(&rng, ret_items, item_count);
}

size_t load_item(const struct load_plan *plan, size_t stream, uint64_t sequence, size_t item_count)
{
    if (item_count <= 1)
        return 0;
    AUTO(free) size_t *items = calloc(item_count, sizeof *items);
    if (!items)
        abort();
    load_item_pass(plan, stream, sequence / item_count, items, item_count);
    return items[sequence % item_count];
}

struct load_stream load_stream_of(const char *name, const struct spec_load *load)
{
    return (struct load_stream){
        .name = name,
        .settings = load->settings,
        .setting_count = load->setting_count,
        .arrivals = load->arrivals,
        .rate_rps = load->rate_rps,
        .concurrency = load->concurrency,
        .max_tokens = load->max_tokens,
        .timeout_ns = load->timeout_ns,
        .reuse_connection = load->reuse_connection,
    };
}

size_t load_stream_items(const struct load_stream *stream)
{
    if (!stream->corpus)
        return 0;
    return stream->protocol->sends_audio ? stream->corpus->clip_count
                                         : stream->corpus->prompt_count;
}
