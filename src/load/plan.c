/* What each request carries, and every other draw, as pure functions of (seed, salt, stream name,
 * n). So the test of the worker knows the plan it must find reproduced, and a resumed study repeats
 * the load of the trial that was cut short. When requests leave is in arrivals.c.
 *
 * Items go in whole passes over the corpus, each shuffled on its own: drawing with replacement
 * would give every window another mix of long and short clips, which is noise we can do without. */
#include "load/plan.h"

#include <stdio.h>

struct rng load_plan_draw(const struct load_plan *plan, size_t stream, const char *use, uint64_t n)
{
    char name[512];
    snprintf(name, sizeof name, "load/%s/%llu/%s/%s", use, (unsigned long long)n,
             plan->streams[stream].name ? plan->streams[stream].name : "",
             plan->salt ? plan->salt : "");
    return rng_init(plan->seed, name);
}

void load_item_pass(const struct load_plan *plan, size_t stream, uint64_t pass, size_t *ret_items,
                    size_t item_count)
{
    for (size_t i = 0; i < item_count; i++)
        ret_items[i] = i;
    struct rng rng = load_plan_draw(plan, stream, "items", pass);
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
    static const enum stats_normaliser normalisers[WORDS_COUNT_] = {
        [WORDS_ENGLISH] = NORMALISER_ENGLISH, [WORDS_PLAIN] = NORMALISER_PLAIN};
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
        .normaliser = normalisers[load->words],
        .start_after_ns = load->shape.start_ns,
        .shape = load->shape,
    };
}

size_t load_stream_items(const struct load_stream *stream)
{
    const struct corpus *corpus = stream->corpus;
    if (stream->arrivals == ARRIVALS_AFTER)
        return 1; /* an answer at a time */
    if (!corpus)
        return 0;
    if (stream->protocol->sends_audio)
        return corpus->clip_count;
    /* Made-up prompts are no items; but there is something to send. */
    bool made = stream->shape.prompt_tokens.kind != SPREAD_NONE || corpus->trace_count > 0;
    return made && corpus->prompt_count == 0 ? 1 : corpus->prompt_count;
}

bool load_plan_moves(const struct load_plan *plan)
{
    bool moves = false;
    for (size_t s = 0; s < plan->stream_count; s++) {
        enum arrivals arrivals = plan->streams[s].arrivals;
        moves = moves || arrivals == ARRIVALS_BURSTS || arrivals == ARRIVALS_RAMP ||
                arrivals == ARRIVALS_TRACE;
    }
    return moves;
}
