/* The sections that are plain tables: neighbours, load, measure, search. */
#include "spec/load_draft.h"

#include "base/file.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

static const struct spec_extra no_extra = {0};

/* ---- neighbours ---- */

static const struct spec_field neighbour_fields[] = {
    {"unit", FIELD_TEXT, offsetof(struct spec_neighbour, unit), .help = "a systemd unit"},
    {"pid", FIELD_INT64, offsetof(struct spec_neighbour, pid), .min = 2, .max = 1 << 22,
     .help = "a process id"},
    {"command", FIELD_TEXT, offsetof(struct spec_neighbour, command),
     .help = "a program's name: its processes that run when the study begins"},
    {"unseen", FIELD_SIZE, offsetof(struct spec_neighbour, unseen_bytes), .min = 1 << 20,
     .max = 1e15,
     .help = "memory held on the device by what can't be seen from here (another container, "
             "another virtual machine)"},
};
const struct spec_section spec_neighbour_section = {"neighbours[]", neighbour_fields,
                                                    ARRAY_LEN(neighbour_fields)};

bool spec_load_neighbours(struct spec_loader *l, const struct yaml_node *neighbours)
{
    struct spec_study *study = l->study;
    if (!neighbours)
        return true;
    if (neighbours->kind != YAML_LIST || neighbours->count > 64)
        return spec_fail(l, spec_place_of(neighbours), "neighbours",
                         "must be a list of at most 64, as in [{unit: ollama.service}]");
    study->neighbours = arena_array(l->arena, neighbours->count, sizeof *study->neighbours);
    for (const struct yaml_entry *e = neighbours->first; e; e = e->next) {
        struct spec_neighbour *n = &study->neighbours[study->neighbour_count++];
        if (!spec_bind(l, e->value, "neighbours", &spec_neighbour_section, no_extra, n))
            return false;
        int forms =
            (n->unit != NULL) + (n->pid != 0) + (n->command != NULL) + (n->unseen_bytes != 0);
        if (forms != 1)
            return spec_fail(l, spec_place_of(e->value), "neighbours",
                             "each needs exactly one of unit, pid, command, unseen");
    }
    return true;
}

/* ---- load ---- */

const char *const spec_arrivals_names[ARRIVALS_COUNT_] = {
    [ARRIVALS_CLOSED] = "closed", [ARRIVALS_CONSTANT] = "constant", [ARRIVALS_POISSON] = "poisson",
    [ARRIVALS_BURSTS] = "bursts", [ARRIVALS_RAMP] = "ramp",         [ARRIVALS_TRACE] = "trace",
    [ARRIVALS_AFTER] = "after",
};

const char *const spec_words_names[WORDS_COUNT_] = {
    [WORDS_ENGLISH] = "english",
    [WORDS_PLAIN] = "plain",
};

#define FIELD(member) offsetof(struct spec_load_draft, member)
static const struct spec_field load_fields[] = {
    {"corpus", FIELD_TEXT, FIELD(load.corpus), .help = "folder of audio with transcripts"},
    {"prompts", FIELD_TEXT, FIELD(load.prompts), .map_offset = FIELD(mix_map),
     .help = "JSONL file of prompts; or a mix: files with their weights, as in {chat.jsonl: 3, "
             "code.jsonl: 1}"},
    {"prompt_tokens", FIELD_INT, FIELD(prompt_tokens), .map_offset = FIELD(prompt_map), .min = 1,
     .max = SPEC_TOKENS_MAX, .help = "instead of prompts: made-up text of about so many tokens"},
    {"output_tokens", FIELD_INT, FIELD(output_tokens), .map_offset = FIELD(output_map), .min = 1,
     .max = SPEC_TOKENS_MAX, .help = "longest answer, for each request anew (max_tokens)"},
    {"prefixes", FIELD_NODE, FIELD(prefixes),
     .help = "made-up beginnings that prompts share: {count: 4, tokens: 512}"},
    {"turns", FIELD_INT, FIELD(turns), .map_offset = FIELD(turns_map), .min = 1,
     .max = SPEC_TURNS_MAX,
     .help = "of a session: each sends the whole conversation so far, answers included; the rate "
             "is of sessions"},
    {"rate", FIELD_RATE, FIELD(load.rate_rps), .map_offset = FIELD(rate_map), .min = 0.001,
     .max = 100000,
     .help = "requests per second, whatever the answers do; without it the clients wait for their "
             "answers. A ramp has two ends: {from: 1/s, to: 20/s}"},
    {"arrivals", FIELD_CHOICE, FIELD(arrivals), .choices = spec_arrivals_names,
     .choice_count = ARRIVALS_AFTER, /* which the key `after` says */
     .help = "with a rate: poisson, constant, bursts (with on and off), ramp; trace; closed: each "
             "client waits for its answer"},
    {"after", FIELD_TEXT, FIELD(load.after),
     .help = "service whose answers its requests are made from, each as soon as one has come: a "
             "voice turn is stt, then llm after: stt, then tts after: llm"},
    {"api_key_env", FIELD_TEXT, FIELD(load.api_key_env),
     .help = "environment variable with the key that requests carry (Authorization: Bearer); the "
             "key itself is never stored or shown"},
    {"on", FIELD_DURATION, FIELD(load.shape.on_ns), .min = 0.001, .max = 86400,
     .help = "bursts: how long one lasts; one begins with the window"},
    {"off", FIELD_DURATION, FIELD(load.shape.off_ns), .min = 0.001, .max = 86400,
     .help = "bursts: the silence after one"},
    {"trace", FIELD_TEXT, FIELD(load.shape.trace),
     .help = "JSONL or CSV file of times and sizes to replay; from its start again where it ends"},
    {"speed", FIELD_REAL, FIELD(load.shape.speed), .min = 0.001, .max = 100000,
     .help = "of the trace: 2 is twice as fast (default: as recorded)"},
    {"start", FIELD_DURATION, FIELD(load.shape.start_ns), .min = 0, .max = 86400,
     .help = "begins so long after the other services' load"},
    {"think", FIELD_DURATION, FIELD(think_ns), .map_offset = FIELD(think_map), .min = 0,
     .max = 3600, .help = "from an answer to the same client's next request"},
    {"concurrency", FIELD_INT, FIELD(concurrency), .min = 1, .max = 10000,
     .help = "closed: clients (default 1); with a rate: most requests in flight (default 256)"},
    {"timeout", FIELD_DURATION, FIELD(load.timeout_ns), .min = 0.01, .max = 3600, .fallback = "60s",
     .help = "of one request, from its intended send"},
    {"reuse_connection", FIELD_BOOL, FIELD(load.reuse_connection), .fallback = "false",
     .help = "false: a new connection for each request"},
    {"max_tokens", FIELD_INT, FIELD(load.max_tokens), .min = 1, .max = 1000000,
     .help = "longest answer (default: as the prompt says)"},
    {"max_wer", FIELD_RATIO, FIELD(load.max_wer), .min = 0, .max = 10,
     .help = "over this word error rate the answers are bad (default: no limit)"},
    {"normalise", FIELD_CHOICE, FIELD(normalise), .choices = spec_words_names,
     .choice_count = WORDS_COUNT_,
     .help = "what words are compared after, for the word error rate: english (case, punctuation, "
             "fillers, numbers, spellings) or plain (case and punctuation: any language). Default: "
             "plain where \"language\" (here or of the engine) is given and is not English, else "
             "english"},
};
#undef FIELD
const struct spec_section spec_load_section = {"load.SERVICE", load_fields, ARRAY_LEN(load_fields)};

size_t spec_service_protocols(const struct spec_service *s, const struct spec_protocol **ret_all,
                              size_t max)
{
    size_t n = 0;
    if (s->engine_use_count == 0 && s->protocol && max > 0)
        ret_all[n++] = s->protocol;
    for (size_t i = 0; i < s->engine_use_count && n < max; i++) {
        const struct spec_protocol *p = s->engine_uses[i].protocol;
        size_t seen = 0;
        while (seen < n && ret_all[seen] != p)
            seen++;
        if (p && seen == n)
            ret_all[n++] = p;
    }
    return n;
}

static const struct spec_option *find_option(const struct spec_protocol *const *all, size_t count,
                                             const char *name)
{
    const struct spec_option *found = NULL;
    for (size_t i = 0; i < count && !found; i++)
        found = spec_option_find(all[i]->options, all[i]->option_count, name);
    return found;
}

static struct spec_extra protocol_keys(struct spec_loader *l,
                                       const struct spec_protocol *const *all, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += all[i]->option_count;
    const char **names = arena_array(l->arena, n, sizeof *names);
    n = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < all[i]->option_count; o++)
            names[n++] = all[i]->options[o].name;
    return (struct spec_extra){names, n};
}

static bool load_options(struct spec_loader *l, const struct yaml_node *node, const char *where,
                         const struct spec_protocol *const *all, size_t count,
                         struct spec_load *load)
{
    load->settings = arena_array(l->arena, node->count, sizeof *load->settings);
    for (const struct yaml_entry *e = node->first; e; e = e->next) {
        if (!find_option(all, count, e->key->text))
            continue;
        struct spec_setting *setting = &load->settings[load->setting_count++];
        *setting = (struct spec_setting){.name = e->key->text, .place = spec_place_of(e->value)};
        if (!spec_load_text(l, e->value, spec_join(l, where, e->key->text), &setting->text))
            return false;
    }
    return true;
}

void spec_make_absolute(struct spec_loader *l, const char **path)
{
    if (!*path)
        return;
    AUTO(free) char *joined = file_join(l->study->folder, *path);
    *path = arena_strdup(l->arena, joined);
}

/* What a protocol of text can send: a file's prompts, made-up ones, or what a trace says. */
static bool has_text(const struct spec_load *load)
{
    const struct spec_shape *shape = &load->shape;
    return load->prompts || shape->mix_count > 0 || shape->trace ||
           shape->prompt_tokens.kind != SPREAD_NONE;
}

static bool check_material(struct spec_loader *l, const struct spec_protocol *const *all,
                           size_t count, const char *where, const struct spec_load *load)
{
    for (size_t i = 0; i < count && load->arrivals != ARRIVALS_AFTER; i++) {
        if ((all[i]->sources & SOURCE_AUDIO) && !load->corpus)
            return spec_fail(l, load->place, where, "%s needs \"corpus\", a folder of audio",
                             all[i]->name);
        if (((all[i]->sources & SOURCE_TEXT) || all[i]->needs_text) && !has_text(load))
            return spec_fail(l, load->place, where,
                             "%s needs \"prompts\", a JSONL file (or \"prompt_tokens\", how long "
                             "made-up ones are)",
                             all[i]->name);
    }
    return true;
}

static bool is_variable(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return text[0] && strchr(letters, text[0]) && text[strspn(text, all)] == '\0' &&
           strlen(text) <= 64;
}

static bool is_english(const char *language)
{
    static const char *const names[] = {"", "auto", "en", "english"};
    bool found = strncasecmp(language, "en-", 3) == 0 || strncasecmp(language, "en_", 3) == 0;
    for (size_t i = 0; i < ARRAY_LEN(names) && !found; i++)
        found = strcasecmp(language, names[i]) == 0;
    return found;
}

static enum spec_words words_by(const struct spec_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, "language") == 0 && settings[i].text &&
            !is_english(settings[i].text))
            return WORDS_PLAIN;
    return WORDS_ENGLISH;
}

/* Rules for English take "um" out of German and make "fur" of its "für": they are for speech that
 * is English, or that nobody said is not. A language that is a knob's may be any. */
static enum spec_words words_of(const struct spec_service *service, const struct spec_load *load)
{
    enum spec_words words = words_by(load->settings, load->setting_count);
    for (size_t i = 0; i < service->engine_use_count && words == WORDS_ENGLISH; i++)
        words = words_by(service->engine_uses[i].settings, service->engine_uses[i].setting_count);
    return words;
}

/* A load that stands alone has nobody whose answers it could follow, so the key that names one is
 * none of its keys. */
static const struct spec_section *section_for(struct spec_loader *l)
{
    if (l->study->service_count > 0)
        return &spec_load_section;
    struct spec_section *alone = arena_alloc(l->arena, sizeof *alone);
    struct spec_field *fields = arena_array(l->arena, ARRAY_LEN(load_fields), sizeof *fields);
    *alone = (struct spec_section){spec_load_section.title, fields, 0};
    for (size_t i = 0; i < ARRAY_LEN(load_fields); i++)
        if (strcmp(load_fields[i].name, "after") != 0)
            fields[alone->count++] = load_fields[i];
    return alone;
}

bool spec_load_one(struct spec_loader *l, const struct yaml_node *node, struct spec_place place,
                   const char *where, struct spec_service *service)
{
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    size_t count = spec_service_protocols(service, all, SPEC_PROTOCOLS_MAX);
    struct spec_load_draft draft = {
        .load = {.max_wer = NAN}, .arrivals = -1, .think_ns = -1, .normalise = -1};
    if (count == 0)
        return spec_fail(l, place, where, "%s has no protocol: give its service one",
                         service->name);
    if (!spec_bind(l, node, where, section_for(l), protocol_keys(l, all, count), &draft))
        return false;
    struct spec_load *load = &draft.load;
    load->given = true;
    load->place = place;
    if (load->api_key_env && !is_variable(load->api_key_env))
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "api_key_env")),
                         spec_join(l, where, "api_key_env"),
                         "must be the name of an environment variable, as in OPENAI_API_KEY; the "
                         "key itself does not belong into a file");
    if (!spec_load_shape(l, &draft, node, where, all, count) ||
        !load_options(l, node, where, all, count, load))
        return false;
    load->words = draft.normalise < 0 ? words_of(service, load) : (enum spec_words)draft.normalise;
    spec_make_absolute(l, &load->corpus);
    spec_make_absolute(l, &load->prompts);
    if (service->answers_unchecked && !isnan(load->max_wer))
        return spec_fail(
            l, spec_place_of(spec_yaml_get(node, "max_wer")), spec_join(l, where, "max_wer"),
            "the answers of %s are unchecked, so there is no word error rate", service->name);
    service->load = *load;
    return true;
}

/* An engine may give it by an option of its own: that is seen when its command is built. */
static bool check_model(struct spec_loader *l, const char *where,
                        const struct spec_service *service)
{
    const struct spec_load *load = &service->load;
    if (service->engine_use_count > 0 || !service->protocol->needs_model || spec_load_model(load))
        return true;
    return spec_fail(l, load->place, where, "%s needs \"model\", the name to ask for",
                     service->protocol->name);
}

static bool load_entry(struct spec_loader *l, const struct yaml_entry *entry,
                       struct spec_service *service)
{
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    size_t count = spec_service_protocols(service, all, SPEC_PROTOCOLS_MAX);
    const char *where = arena_printf(l->arena, "load.%s", service->name);
    return spec_load_one(l, entry->value, spec_place_of(entry->key), where, service) &&
           check_material(l, all, count, where, &service->load) && check_model(l, where, service);
}

const char *spec_load_model(const struct spec_load *load)
{
    const char *model = NULL;
    for (size_t i = 0; i < load->setting_count; i++)
        if (strcmp(load->settings[i].name, "model") == 0)
            model = load->settings[i].text;
    return model;
}

bool spec_load_loads(struct spec_loader *l, const struct yaml_node *load)
{
    struct spec_study *study = l->study;
    if (!load)
        return true;
    if (load->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(load), "load",
                         "must be a mapping of services, this is %s", spec_yaml_kind_name(load));
    for (const struct yaml_entry *e = load->first; e; e = e->next) {
        const char *names[SPEC_SERVICES_MAX] = {NULL};
        int index = spec_study_service(study, e->key->text);
        for (size_t i = 0; i < study->service_count; i++)
            names[i] = study->services[i].name;
        if (index < 0)
            return spec_fail(l, spec_place_of(e->key), "load", "there is no service \"%s\"%s",
                             spec_quote(l, e->key->text),
                             spec_did_you_mean(l, names, study->service_count, e->key->text));
        if (!load_entry(l, e, &study->services[index]))
            return false;
    }
    return spec_check_chains(l);
}

/* ---- measure ---- */

#define FIELD(member) offsetof(struct spec_measure, member)
static const struct spec_field measure_fields[] = {
    {"warmup", FIELD_DURATION, FIELD(warmup_ns), .min = 0, .max = 3600, .fallback = "5s",
     .help = "load before the window, not counted"},
    {"window", FIELD_DURATION, FIELD(window_ns), .min = 1, .max = 86400, .fallback = "30s",
     .help = "what is measured; earlier rounds of a tournament may be shorter"},
    {"alone", FIELD_DURATION, FIELD(alone_ns), .min = 0, .max = 86400,
     .help = "each service alone, for finalists and baseline (default: as window; 0s: not)"},
    {"drain", FIELD_DURATION, FIELD(drain_ns), .min = 0, .max = 3600, .fallback = "30s",
     .help = "how long requests in flight at the window's end may take"},
    {"probe_within", FIELD_DURATION, FIELD(probe_within_ns), .min = 0.1, .max = 7200,
     .fallback = "60s", .help = "deadline of the first real request"},
    {"contention", FIELD_RATIO, FIELD(contention_ratio), .min = 0.001, .max = 1, .fallback = "10%",
     .help = "most of the device's time that others may use"},
    {"lateness", FIELD_DURATION, FIELD(lateness_ns), .min = 1e-5, .max = 10, .fallback = "1ms",
     .help = "how late the load may be sent, or 1 % of the median latency if that is more"},
    {"repeats", FIELD_INT, FIELD(repeats), .min = 3, .max = 100, .fallback = "4",
     .help = "cold starts of each finalist and the baseline"},
};
#undef FIELD
const struct spec_section spec_measure_section = {"measure", measure_fields,
                                                  ARRAY_LEN(measure_fields)};

/* The shortest window of an exploration is a quarter of the full one: every load must have begun.
 */
static bool check_starts(struct spec_loader *l)
{
    const struct spec_measure *m = &l->study->measure;
    for (size_t i = 0; i < l->study->service_count; i++) {
        const struct spec_service *s = &l->study->services[i];
        if (s->load.shape.start_ns >= m->warmup_ns + m->window_ns / 4)
            return spec_fail(l, s->load.place, arena_printf(l->arena, "load.%s.start", s->name),
                             "must be less than the warm-up and a quarter of the window: shorter "
                             "windows explore");
    }
    return true;
}

bool spec_load_measure(struct spec_loader *l, const struct yaml_node *measure)
{
    struct spec_measure *m = &l->study->measure;
    m->alone_ns = -1;
    if (!spec_bind(l, measure, "measure", &spec_measure_section, no_extra, m))
        return false;
    if (m->alone_ns < 0)
        m->alone_ns = m->window_ns;
    if (m->alone_ns > 0 && m->alone_ns < 1000000000)
        return spec_fail(l, spec_place_of(spec_yaml_get(measure, "alone")), "measure.alone",
                         "must be 0s (not measured) or at least 1s");
    return check_starts(l);
}

/* ---- search ---- */

#define FIELD(member) offsetof(struct spec_search, member)
static const struct spec_field search_fields[] = {
    {"strategy", FIELD_TEXT, FIELD(strategy), .fallback = "tournament",
     .help = "how candidates are chosen"},
    {"trials", FIELD_INT, FIELD(trials), .min = 0, .max = 1000000, .fallback = "0",
     .help = "exploring trials at most; 0: no limit"},
    {"time", FIELD_DURATION, FIELD(time_ns), .min = 0, .max = 3e7, .fallback = "0s",
     .help = "budget of the whole study; 0s: no limit"},
    {"finalists", FIELD_INT, FIELD(finalists), .min = 1, .max = 100, .fallback = "3",
     .help = "measured again from cold starts, besides the baseline"},
};
#undef FIELD
const struct spec_section spec_search_section = {"search", search_fields, ARRAY_LEN(search_fields)};

bool spec_load_search(struct spec_loader *l, const struct yaml_node *search)
{
    struct spec_search *s = &l->study->search;
    const char *const *names = l->catalog->strategies;
    size_t count = l->catalog->strategy_count;
    if (!spec_bind(l, search, "search", &spec_search_section, no_extra, s))
        return false;
    if (text_index(names, (int)count, s->strategy) >= 0)
        return true;
    const struct yaml_node *node = spec_yaml_get(search, "strategy");
    return spec_fail(l, node ? spec_place_of(node) : (struct spec_place){1, 1}, "search.strategy",
                     "there is no strategy \"%s\"%s (there are %s)", spec_quote(l, s->strategy),
                     spec_did_you_mean(l, names, count, s->strategy), spec_list(l, names, count));
}
