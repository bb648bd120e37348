/* The shape of a service's load: from what the file says to arrivals, lengths, sessions and mixes.
 *
 * A number that is drawn anew each time is written as one number, or as a mapping whose keys say
 * which distribution it is: from and to, mean, median and p95, file. Rejected: a key that names the
 * distribution beside its parameters. It could contradict them, and people know two points of their
 * lengths rather than a sigma.
 *
 * What goes together is a table of rules, each with the one line it is refused with, so that no
 * combination is silently ignored. */
#include "spec/load_draft.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

static const struct spec_extra no_extra = {0};

/* ---- a rate with two ends ---- */

struct ramp_draft {
    double from_rps, to_rps;
};

static const struct spec_field rate_fields[] = {
    {"from", FIELD_RATE, offsetof(struct ramp_draft, from_rps), .max = 100000, .required = true,
     .help = "the rate until the window begins"},
    {"to", FIELD_RATE, offsetof(struct ramp_draft, to_rps), .max = 100000, .required = true,
     .help = "the rate at the window's end"},
};
const struct spec_section spec_rate_section = {"load.SERVICE.rate", rate_fields,
                                               ARRAY_LEN(rate_fields)};

static bool load_ramp(struct spec_loader *l, const struct spec_load_draft *draft, const char *where,
                      struct spec_load *load)
{
    struct ramp_draft ramp = {0};
    if (!draft->rate_map)
        return true;
    where = spec_join(l, where, "rate");
    if (!spec_bind(l, draft->rate_map, where, &spec_rate_section, no_extra, &ramp))
        return false;
    load->shape.ramp_from_rps = ramp.from_rps;
    load->shape.ramp_to_rps = ramp.to_rps;
    load->rate_rps = fmax(ramp.from_rps, ramp.to_rps);
    return load->rate_rps >= 0.001 || spec_fail(l, spec_place_of(draft->rate_map), where,
                                                "one of its ends must be at least 0.001/s");
}

/* ---- a number drawn anew each time ---- */

struct spread_draft { /* ns or tokens; -1: not given */
    int64_t from, to, mean, median, p95, max;
    const char *file;
};

#define FIELD(member) offsetof(struct spread_draft, member)
static const struct spec_field think_fields[] = {
    {"from", FIELD_DURATION, FIELD(from), .max = 3600, .help = "with to: anything between, alike"},
    {"to", FIELD_DURATION, FIELD(to), .max = 3600, .help = "see from"},
    {"mean", FIELD_DURATION, FIELD(mean), .min = 1e-6, .max = 3600,
     .help = "alone: exponential, as if nothing were remembered"},
    {"median", FIELD_DURATION, FIELD(median), .min = 1e-6, .max = 3600,
     .help = "with p95: lognormal, as people are"},
    {"p95", FIELD_DURATION, FIELD(p95), .min = 1e-6, .max = 3600, .help = "see median"},
    {"max", FIELD_DURATION, FIELD(max), .min = 1e-6, .max = 3600,
     .help = "longer ones are cut to it (default: 1 h)"},
};
static const struct spec_field length_fields[] = {
    {"from", FIELD_INT64, FIELD(from), .min = 1, .max = SPEC_TOKENS_MAX,
     .help = "with to: anything between, alike"},
    {"to", FIELD_INT64, FIELD(to), .min = 1, .max = SPEC_TOKENS_MAX, .help = "see from"},
    {"mean", FIELD_INT64, FIELD(mean), .min = 1, .max = SPEC_TOKENS_MAX,
     .help = "alone: exponential"},
    {"median", FIELD_INT64, FIELD(median), .min = 1, .max = SPEC_TOKENS_MAX,
     .help = "with p95: lognormal, as lengths mostly are"},
    {"p95", FIELD_INT64, FIELD(p95), .min = 1, .max = SPEC_TOKENS_MAX, .help = "see median"},
    {"max", FIELD_INT64, FIELD(max), .min = 1, .max = SPEC_TOKENS_MAX,
     .help = "larger ones are cut to it"},
    {"file", FIELD_TEXT, FIELD(file), .help = "alone: numbers, one a line, any of them alike"},
};
#undef FIELD
const struct spec_section spec_think_section = {"load.SERVICE.think", think_fields,
                                                ARRAY_LEN(think_fields)};
const struct spec_section spec_length_section = {"load.SERVICE.prompt_tokens", length_fields,
                                                 ARRAY_LEN(length_fields)};

/* Which distribution the keys say; NONE: no single one. */
static enum spec_spread_kind kind_of(const struct spread_draft *d)
{
    const struct {
        bool any, all;
        enum spec_spread_kind kind;
    } forms[] = {
        {d->from >= 0 || d->to >= 0, d->from >= 0 && d->to >= 0, SPREAD_UNIFORM},
        {d->mean >= 0, true, SPREAD_EXPONENTIAL},
        {d->median >= 0 || d->p95 >= 0, d->median >= 0 && d->p95 >= 0, SPREAD_LOGNORMAL},
        {d->file != NULL, true, SPREAD_FILE},
    };
    enum spec_spread_kind kind = SPREAD_NONE;
    int found = 0;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (!forms[i].any)
            continue;
        found++;
        kind = forms[i].all ? forms[i].kind : SPREAD_NONE;
    }
    return found == 1 ? kind : SPREAD_NONE;
}

static bool load_spread(struct spec_loader *l, const struct yaml_node *map, const char *where,
                        const struct spec_section *section, double most,
                        struct spec_spread *ret_spread)
{
    struct spread_draft d = {.from = -1, .to = -1, .mean = -1, .median = -1, .p95 = -1, .max = -1};
    if (!spec_bind(l, map, where, section, no_extra, &d))
        return false;
    enum spec_spread_kind kind = kind_of(&d);
    if (kind == SPREAD_NONE)
        return spec_fail(l, spec_place_of(map), where,
                         "needs one of: from and to, mean, median and p95%s",
                         section == &spec_length_section ? ", file" : "");
    struct spec_spread spread = {.kind = kind, .max = d.max >= 0 ? (double)d.max : most};
    bool uniform = kind == SPREAD_UNIFORM, lognormal = kind == SPREAD_LOGNORMAL;
    if (uniform && d.from >= d.to)
        return spec_fail(l, spec_place_of(map), where, "from must be below to");
    if (lognormal && d.median >= d.p95)
        return spec_fail(l, spec_place_of(map), where, "median must be below p95");
    spread.low = (double)(uniform ? d.from : lognormal ? d.median : d.mean);
    spread.high = (double)(uniform ? d.to : d.p95);
    spread.file = d.file;
    spec_make_absolute(l, &spread.file);
    *ret_spread = spread;
    return true;
}

static struct spec_spread fixed(double value)
{
    return (struct spec_spread){.kind = SPREAD_FIXED, .low = value, .high = value, .max = value};
}

static bool load_spreads(struct spec_loader *l, const struct spec_load_draft *draft,
                         const char *where, struct spec_shape *shape)
{
    const struct {
        const char *key;
        const struct yaml_node *map;
        int number;
        double most;
        struct spec_spread *spread;
    } lengths[] = {
        {"turns", draft->turns_map, draft->turns, SPEC_TURNS_MAX, &shape->turns},
        {"prompt_tokens", draft->prompt_map, draft->prompt_tokens, SPEC_TOKENS_MAX,
         &shape->prompt_tokens},
        {"output_tokens", draft->output_map, draft->output_tokens, SPEC_TOKENS_MAX,
         &shape->output_tokens},
    };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        const char *key = spec_join(l, where, lengths[i].key);
        if (lengths[i].map && !load_spread(l, lengths[i].map, key, &spec_length_section,
                                           lengths[i].most, lengths[i].spread))
            return false;
        if (lengths[i].number > 0)
            *lengths[i].spread = fixed(lengths[i].number);
    }
    if (shape->turns.kind != SPREAD_NONE && shape->turns.high > SPEC_TURNS_MAX)
        return spec_fail(l, spec_place_of(draft->turns_map), spec_join(l, where, "turns"),
                         "at most %d turns", SPEC_TURNS_MAX);
    if (draft->think_ns >= 0)
        shape->think_ns = fixed((double)draft->think_ns);
    return !draft->think_map || load_spread(l, draft->think_map, spec_join(l, where, "think"),
                                            &spec_think_section, 3600e9, &shape->think_ns);
}

/* ---- prefixes and mixes ---- */

struct prefix_draft {
    int count, tokens;
};

static const struct spec_field prefix_fields[] = {
    {"count", FIELD_INT, offsetof(struct prefix_draft, count), .min = 1, .max = 10000,
     .fallback = "1", .help = "how many different ones; each request draws one"},
    {"tokens", FIELD_INT, offsetof(struct prefix_draft, tokens), .min = 1, .max = SPEC_TOKENS_MAX,
     .required = true, .help = "about how long each is"},
};
const struct spec_section spec_prefix_section = {"load.SERVICE.prefixes", prefix_fields,
                                                 ARRAY_LEN(prefix_fields)};

static bool load_prefixes(struct spec_loader *l, const struct yaml_node *prefixes,
                          const char *where, struct spec_shape *shape)
{
    struct prefix_draft draft = {0};
    if (!prefixes)
        return true;
    where = spec_join(l, where, "prefixes");
    if (!spec_bind(l, prefixes, where, &spec_prefix_section, no_extra, &draft))
        return false;
    shape->prefix_count = draft.count;
    shape->prefix_tokens = draft.tokens;
    return true;
}

static bool load_mix(struct spec_loader *l, const struct yaml_node *map, const char *where,
                     struct spec_shape *shape)
{
    if (!map)
        return true;
    where = spec_join(l, where, "prompts");
    if (map->count < 1 || map->count > SPEC_MIX_MAX)
        return spec_fail(l, spec_place_of(map), where,
                         "a mix has 1 to %d files with their weights, as in {chat.jsonl: 3, "
                         "code.jsonl: 1}",
                         SPEC_MIX_MAX);
    shape->mix = arena_array(l->arena, map->count, sizeof *shape->mix);
    double sum = 0;
    for (const struct yaml_entry *e = map->first; e; e = e->next) {
        struct spec_mix *mix = &shape->mix[shape->mix_count++];
        mix->path = e->key->text;
        if (e->value->kind != YAML_SCALAR || !text_to_double(e->value->text, &mix->weight) ||
            !(mix->weight > 0 && mix->weight <= 1e6))
            return spec_fail(l, spec_place_of(e->value), where,
                             "the weight of a file is a number over 0, at most 1,000,000");
        spec_make_absolute(l, &mix->path);
        sum += mix->weight;
    }
    for (size_t i = 0; i < shape->mix_count; i++)
        if (shape->mix[i].weight / sum * SPEC_MIX_PASS < 1)
            return spec_fail(l, spec_place_of(map), where, "a share of less than 1 %% of the mix");
    return true;
}

/* ---- what goes together ---- */

struct shape_use {
    const struct spec_load *load;
    const struct yaml_node *node;
    const struct spec_protocol *const *protocols;
    size_t protocol_count;
};

static bool has(const struct shape_use *u, const char *key)
{
    return spec_yaml_get(u->node, key) != NULL;
}

static bool speaks(const struct shape_use *u, enum metric_source source)
{
    for (size_t i = 0; i < u->protocol_count; i++)
        if (u->protocols[i]->sources & source)
            return true;
    return false;
}

static bool is(const struct shape_use *u, enum arrivals arrivals)
{
    return u->load->arrivals == arrivals;
}

static bool rate_beside_trace(const struct shape_use *u)
{
    return is(u, ARRIVALS_TRACE) && has(u, "rate");
}
static bool ends_without_ramp(const struct shape_use *u)
{
    const struct yaml_node *rate = spec_yaml_get(u->node, "rate");
    return !is(u, ARRIVALS_RAMP) && rate && rate->kind == YAML_MAP;
}
static bool ramp_without_ends(const struct shape_use *u)
{
    const struct yaml_node *rate = spec_yaml_get(u->node, "rate");
    return is(u, ARRIVALS_RAMP) && rate && rate->kind != YAML_MAP;
}
static bool other_than_bursts(const struct shape_use *u)
{
    return !is(u, ARRIVALS_BURSTS);
}
static bool other_than_trace(const struct shape_use *u)
{
    return !is(u, ARRIVALS_TRACE);
}
static bool nobody_thinks(const struct shape_use *u)
{
    return !is(u, ARRIVALS_CLOSED) && !has(u, "turns");
}
static bool in_a_trace(const struct shape_use *u)
{
    return is(u, ARRIVALS_TRACE);
}
static bool no_text(const struct shape_use *u)
{
    return speaks(u, SOURCE_AUDIO);
}
static bool no_answer_text(const struct shape_use *u)
{
    for (size_t i = 0; i < u->protocol_count; i++)
        if (!(u->protocols[i]->sources & SOURCE_TEXT))
            return true;
    return false;
}
static bool sends_itself(const struct shape_use *u)
{
    static const char *const keys[] = {"rate",          "arrivals", "concurrency", "corpus",
                                       "prompts",       "trace",    "turns",       "think",
                                       "prompt_tokens", "prefixes", "start",       "speed"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (has(u, keys[i]))
            return true;
    return false;
}
static bool prompts_too(const struct shape_use *u)
{
    return has(u, "prompts");
}
static bool max_tokens_too(const struct shape_use *u)
{
    return has(u, "max_tokens");
}

/* In this order; `key` must stand in the file for its rule to apply. */
static const struct {
    const char *key;
    bool (*wrong)(const struct shape_use *use);
    const char *text;
} rules[] = {
    {"after", no_text, "the protocol sends audio, and no answer gives that"},
    {"after", sends_itself,
     "what its requests say and when they leave comes from the other's answers: no rate, arrivals, "
     "concurrency, start, prompts or corpus beside it"},
    {"rate", rate_beside_trace,
     "a trace has its own times: leave the rate out (\"speed\" plays it "
     "faster or slower)"},
    {"rate", ends_without_ramp, "a rate with two ends is a ramp: arrivals: ramp"},
    {"rate", ramp_without_ends, "a ramp needs both ends, as in rate: {from: 1/s, to: 20/s}"},
    {"on", other_than_bursts, "goes with arrivals: bursts"},
    {"off", other_than_bursts, "goes with arrivals: bursts"},
    {"trace", other_than_trace, "goes with arrivals: trace"},
    {"speed", other_than_trace, "goes with a trace"},
    {"turns", in_a_trace, "a trace says itself when each request leaves: no sessions"},
    {"turns", no_answer_text,
     "a session goes on from the answers' text, and the protocol has none"},
    {"think", nobody_thinks, "goes with closed arrivals (without a rate) or with turns"},
    {"prompt_tokens", no_text, "the protocol sends audio"},
    {"prompt_tokens", prompts_too, "stands beside \"prompts\": one of them"},
    {"output_tokens", no_answer_text, "the protocol's answers have no tokens"},
    {"output_tokens", max_tokens_too, "stands beside \"max_tokens\": one of them"},
    {"prefixes", no_text, "the protocol sends audio"},
};

static bool check_rules(struct spec_loader *l, const struct shape_use *use, const char *where)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct yaml_node *value = spec_yaml_get(use->node, rules[i].key);
        if (value && rules[i].wrong(use))
            return spec_fail(l, spec_place_of(value), spec_join(l, where, rules[i].key), "%s",
                             rules[i].text);
    }
    return true;
}

/* What the keys imply where `arrivals` is not given. */
static enum arrivals implied(const struct spec_load_draft *draft)
{
    const struct spec_shape *shape = &draft->load.shape;
    if (draft->load.after)
        return ARRIVALS_AFTER;
    if (shape->trace)
        return ARRIVALS_TRACE;
    if (draft->rate_map)
        return ARRIVALS_RAMP;
    if (shape->on_ns > 0 || shape->off_ns > 0)
        return ARRIVALS_BURSTS;
    return draft->load.rate_rps > 0 ? ARRIVALS_POISSON : ARRIVALS_CLOSED;
}

/* What each kind of arrivals can't be without; the rest is a table of rules above. */
static bool check_arrivals(struct spec_loader *l, const struct spec_load *load, const char *where)
{
    static const char *const examples[ARRIVALS_COUNT_] = {
        [ARRIVALS_CONSTANT] = "rate: 2/s",
        [ARRIVALS_POISSON] = "rate: 2/s",
        [ARRIVALS_BURSTS] = "rate: 20/s",
        [ARRIVALS_RAMP] = "rate: {from: 1/s, to: 20/s}",
    };
    bool has_rate = load->rate_rps > 0;
    const char *example = examples[load->arrivals];
    if (has_rate && load->arrivals == ARRIVALS_CLOSED)
        return spec_fail(l, load->place, where,
                         "closed arrivals have no rate: each client waits for its "
                         "answer");
    if (!has_rate && example)
        return spec_fail(l, load->place, where, "%s arrivals need a rate, as in %s",
                         spec_arrivals_names[load->arrivals], example);
    if (load->arrivals == ARRIVALS_BURSTS && !(load->shape.on_ns > 0 && load->shape.off_ns > 0))
        return spec_fail(l, load->place, where, "bursts need both times, as in on: 2s, off: 8s");
    if (load->arrivals == ARRIVALS_TRACE && !load->shape.trace)
        return spec_fail(l, load->place, where,
                         "trace arrivals need \"trace\", a file of times and sizes");
    return true;
}

bool spec_load_shape(struct spec_loader *l, struct spec_load_draft *draft,
                     const struct yaml_node *node, const char *where,
                     const struct spec_protocol *const *protocols, size_t count)
{
    struct spec_load *load = &draft->load;
    const struct shape_use use = {load, node, protocols, count};
    if (!load_ramp(l, draft, where, load))
        return false;
    load->arrivals = draft->arrivals < 0 ? implied(draft) : (enum arrivals)draft->arrivals;
    bool open = load->arrivals != ARRIVALS_CLOSED;
    load->concurrency = draft->concurrency ? draft->concurrency : open ? 256 : 1;
    if (load->after)
        load->concurrency = 0; /* whoever has been answered may ask */
    spec_make_absolute(l, &load->shape.trace);
    return check_arrivals(l, load, where) && check_rules(l, &use, where) &&
           load_spreads(l, draft, where, &load->shape) &&
           load_prefixes(l, draft->prefixes, where, &load->shape) &&
           load_mix(l, draft->mix_map, where, &load->shape);
}
