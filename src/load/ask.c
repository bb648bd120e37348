/* Every draw has a generator of its own, named by what it is for and by its number: the length of
 * request 7 is the same whether or not request 6 was ever sent, by whichever worker, and one
 * stream's draws say nothing about another's.
 *
 * A mix shows its exact shares in each pass of 100 requests, in shuffled order, and each of its
 * files is gone through in whole passes as a single file would be. Rejected: drawing the file by
 * its weight each time, which gives every window another mix.
 *
 * Lengths of a lognormal are exp(mu + sigma z), z by Box and Muller (1958); mu and sigma follow
 * from the median and the 95th percentile. */
#include "load/ask.h"

#include "load/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double Z95 = 1.6448536269514722; /* the normal distribution's 95th percentile */

/* ---- numbers ---- */

static double draw_normal(struct rng *rng)
{
    double radius = sqrt(rng_exponential(rng, 2)), angle = 2 * M_PI * rng_unit(rng);
    return radius * cos(angle);
}

static double draw_spread(const struct spec_spread *spread, const struct corpus_numbers *numbers,
                          struct rng *rng)
{
    double value = spread->low;
    switch (spread->kind) {
    case SPREAD_NONE:
        return 0;
    case SPREAD_FIXED:
        return value;
    case SPREAD_UNIFORM:
        return spread->low + rng_unit(rng) * (spread->high - spread->low);
    case SPREAD_EXPONENTIAL:
        value = rng_exponential(rng, spread->low);
        break;
    case SPREAD_LOGNORMAL:
        value = spread->low * exp(draw_normal(rng) * log(spread->high / spread->low) / Z95);
        break;
    case SPREAD_FILE:
        value = numbers && numbers->count ? numbers->values[rng_below(rng, numbers->count)] : 1;
        break;
    }
    return fmin(value, spread->max);
}

/* A whole number from 1 on. Uniform: every whole number of the range is equally likely. */
static int draw_length(const struct spec_spread *spread, const struct corpus_numbers *numbers,
                       struct rng *rng)
{
    if (spread->kind == SPREAD_NONE)
        return 0;
    if (spread->kind == SPREAD_UNIFORM)
        return (int)spread->low + (int)rng_below(rng, (uint64_t)(spread->high - spread->low) + 1);
    return (int)fmax(1, round(draw_spread(spread, numbers, rng)));
}

static const struct load_stream *stream_of(const struct load_picker *picker)
{
    return &picker->plan->streams[picker->stream];
}

/* ---- which stream is which ---- */

bool load_stream_has_sessions(const struct load_stream *stream)
{
    return stream->shape.turns.kind != SPREAD_NONE;
}

bool load_stream_makes(const struct load_stream *stream)
{
    const struct spec_shape *shape = &stream->shape;
    return !stream->protocol->sends_audio &&
           (load_stream_has_sessions(stream) || shape->prompt_tokens.kind != SPREAD_NONE ||
            shape->output_tokens.kind != SPREAD_NONE || shape->prefix_count > 0 ||
            (stream->corpus && stream->corpus->trace_count > 0));
}

/* ---- items ---- */

/* Requests of each class in a pass: largest remainders, so that they add up. */
static void share_out(const struct corpus *corpus, int *ret_shares)
{
    double rest[SPEC_MIX_MAX], sum = 0;
    int left = SPEC_MIX_PASS;
    for (size_t c = 0; c < corpus->class_count; c++)
        sum += corpus->classes[c].weight;
    for (size_t c = 0; c < corpus->class_count; c++) {
        double exact = corpus->classes[c].weight / sum * SPEC_MIX_PASS;
        ret_shares[c] = (int)exact;
        rest[c] = exact - ret_shares[c];
        left -= ret_shares[c];
    }
    for (; left > 0; left--) {
        size_t most = 0;
        for (size_t c = 1; c < corpus->class_count; c++)
            most = rest[c] > rest[most] ? c : most;
        ret_shares[most]++;
        rest[most] = -1;
    }
}

static struct load_pass make_pass(size_t count)
{
    struct load_pass pass = {.number = UINT64_MAX, .count = count};
    pass.items = calloc(count ? count : 1, sizeof *pass.items);
    if (!pass.items)
        abort();
    return pass;
}

static bool is_mix(const struct load_stream *stream)
{
    return !stream->protocol->sends_audio && stream->corpus && stream->corpus->class_count > 0;
}

struct load_picker load_picker_init(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    struct load_picker picker = {.plan = plan, .stream = stream};
    bool mix = is_mix(s);
    picker.whole = make_pass(mix ? SPEC_MIX_PASS : load_stream_items(s));
    if (!mix)
        return picker;
    share_out(s->corpus, picker.shares);
    for (size_t c = 0; c < s->corpus->class_count; c++)
        picker.classes[c] = make_pass(s->corpus->classes[c].count);
    return picker;
}

void load_picker_done(struct load_picker *picker)
{
    if (!picker)
        return;
    free(picker->whole.items);
    for (size_t c = 0; c < SPEC_MIX_MAX; c++)
        free(picker->classes[c].items);
    *picker = (struct load_picker){0};
}

/* The n-th of a class's items. */
static size_t pick_of_class(struct load_picker *picker, size_t c, uint64_t n)
{
    struct load_pass *pass = &picker->classes[c];
    if (n / pass->count != pass->number) {
        char use[32];
        snprintf(use, sizeof use, "items of %zu", c);
        pass->number = n / pass->count;
        struct rng rng = load_plan_draw(picker->plan, picker->stream, use, pass->number);
        for (size_t i = 0; i < pass->count; i++)
            pass->items[i] = i;
        rng_shuffle(&rng, pass->items, pass->count);
    }
    return stream_of(picker)->corpus->classes[c].first + pass->items[n % pass->count];
}

static size_t pick_of_mix(struct load_picker *picker, uint64_t n)
{
    struct load_pass *pass = &picker->whole;
    if (n / pass->count != pass->number) {
        pass->number = n / pass->count;
        struct rng rng = load_plan_draw(picker->plan, picker->stream, "mix", pass->number);
        for (size_t c = 0, at = 0; c < stream_of(picker)->corpus->class_count; c++)
            for (int k = 0; k < picker->shares[c]; k++)
                pass->items[at++] = c;
        rng_shuffle(&rng, pass->items, pass->count);
    }
    size_t at = n % pass->count, c = pass->items[at];
    uint64_t before = 0;
    for (size_t i = 0; i < at; i++)
        before += pass->items[i] == c;
    return pick_of_class(picker, c, pass->number * (uint64_t)picker->shares[c] + before);
}

static size_t pick(struct load_picker *picker, uint64_t n)
{
    struct load_pass *pass = &picker->whole;
    if (pass->count <= 1)
        return 0;
    if (is_mix(stream_of(picker)))
        return pick_of_mix(picker, n);
    if (n / pass->count != pass->number) {
        pass->number = n / pass->count;
        load_item_pass(picker->plan, picker->stream, pass->number, pass->items, pass->count);
    }
    return pass->items[n % pass->count];
}

/* ---- one request ---- */

/* Numbers the turns of all sessions through, each session with room for the longest. */
static uint64_t number_of(const struct load_stream *stream, uint64_t session, unsigned turn)
{
    const struct spec_spread *turns = &stream->shape.turns;
    bool bounded = turns->kind == SPREAD_FIXED || turns->kind == SPREAD_UNIFORM;
    uint64_t most = bounded ? (uint64_t)turns->high : (uint64_t)turns->max;
    return load_stream_has_sessions(stream) ? session * most + turn : session;
}

static void apply_trace(const struct load_stream *stream, uint64_t n, struct load_ask *ask)
{
    const struct corpus *corpus = stream->corpus;
    if (!corpus || corpus->trace_count == 0)
        return;
    const struct corpus_request *entry = &corpus->trace[n % corpus->trace_count];
    uint32_t item = stream->protocol->sends_audio ? entry->clip : entry->prompt;
    if (entry->prompt_tokens > 0 && !stream->protocol->sends_audio) {
        ask->made = true;
        ask->prompt_tokens = entry->prompt_tokens;
    }
    if (item != CORPUS_NO_ITEM) {
        ask->made = false;
        ask->item = item;
    }
    if (entry->output_tokens > 0)
        ask->output_tokens = entry->output_tokens;
}

struct load_ask load_ask_draw(struct load_picker *picker, uint64_t session, unsigned turn)
{
    const struct load_stream *stream = stream_of(picker);
    const struct spec_shape *shape = &stream->shape;
    uint64_t n = number_of(stream, session, turn);
    struct load_ask ask = {.prefix = -1};
    if (load_stream_makes(stream)) {
        struct rng rng = load_plan_draw(picker->plan, picker->stream, "lengths", n);
        ask.prompt_tokens =
            draw_length(&shape->prompt_tokens, &stream->corpus->prompt_lengths, &rng);
        ask.output_tokens =
            draw_length(&shape->output_tokens, &stream->corpus->output_lengths, &rng);
        ask.made = ask.prompt_tokens > 0;
    }
    if (shape->prefix_count > 0 && turn == 0) {
        struct rng rng = load_plan_draw(picker->plan, picker->stream, "prefix", session);
        ask.prefix = (int)rng_below(&rng, (uint64_t)shape->prefix_count);
    }
    ask.item = ask.made ? 0 : pick(picker, n);
    apply_trace(stream, n, &ask);
    if (ask.made)
        ask.item = 0;
    return ask;
}

/* What is sent may have to be new to a server where all else is to be as it was. */
static struct rng draw_words(const struct load_picker *picker, const char *use, uint64_t n)
{
    const char *salt = picker->plan->text_salt;
    char named[LOAD_TEXT_SALT_MAX + 32];
    if (!salt)
        return load_plan_draw(picker->plan, picker->stream, use, n);
    snprintf(named, sizeof named, "%s of %.*s", use, LOAD_TEXT_SALT_MAX, salt);
    return load_plan_draw(picker->plan, picker->stream, named, n);
}

void load_ask_add_prefix(const struct load_picker *picker, const struct load_ask *ask,
                         struct buf *ret_text)
{
    struct rng rng = draw_words(picker, "prefix text", (uint64_t)ask->prefix);
    load_words_add(ret_text, &rng, stream_of(picker)->shape.prefix_tokens);
}

void load_ask_add_text(const struct load_picker *picker, const struct load_ask *ask,
                       uint64_t session, unsigned turn, struct buf *ret_text)
{
    struct rng rng = draw_words(picker, "text", number_of(stream_of(picker), session, turn));
    load_words_add(ret_text, &rng, ask->prompt_tokens);
}

/* ---- sessions and clients ---- */

unsigned load_session_turns(const struct load_plan *plan, size_t stream, uint64_t session)
{
    const struct load_stream *s = &plan->streams[stream];
    if (!load_stream_has_sessions(s))
        return 1;
    struct rng rng = load_plan_draw(plan, stream, "turns", session);
    const struct corpus_numbers none = {0};
    int turns = draw_length(&s->shape.turns, s->corpus ? &s->corpus->turn_counts : &none, &rng);
    return (unsigned)(turns < SPEC_TURNS_MAX ? turns : SPEC_TURNS_MAX);
}

int64_t load_think_ns(const struct load_plan *plan, size_t stream, uint64_t session, unsigned turn)
{
    const struct load_stream *s = &plan->streams[stream];
    if (s->shape.think_ns.kind == SPREAD_NONE || plan->probe)
        return 0;
    struct rng rng = load_plan_draw(plan, stream, "think", number_of(s, session, turn));
    return (int64_t)draw_spread(&s->shape.think_ns, NULL, &rng);
}

/* Rejected: equal gaps, since an answer that takes a whole number of them brings clients together
 * again; and a measured answer's time as the span, since the plan would depend on it. */
static int64_t join_ns(const struct load_plan *plan, size_t stream, uint64_t client)
{
    const struct load_stream *s = &plan->streams[stream];
    const int64_t span_ns = (plan->warmup_ns - s->start_after_ns) / 2;
    if (s->client_gap_ns > 0)
        return (int64_t)client * s->client_gap_ns;
    if (client == 0 || s->concurrency < 2 || span_ns <= 0)
        return 0;
    struct rng rng = load_plan_draw(plan, stream, "join", client);
    return (int64_t)((double)span_ns * ((double)client + rng_unit(&rng)) / s->concurrency);
}

int64_t load_first_wait_ns(const struct load_plan *plan, size_t stream, uint64_t client)
{
    const struct load_stream *s = &plan->streams[stream];
    if (plan->probe)
        return 0;
    const int64_t joins_ns = join_ns(plan, stream, client);
    if (s->shape.think_ns.kind == SPREAD_NONE)
        return joins_ns;
    struct rng rng = load_plan_draw(plan, stream, "first", client);
    double whole_ns = draw_spread(&s->shape.think_ns, NULL, &rng);
    return joins_ns + (int64_t)(rng_unit(&rng) * whole_ns);
}
