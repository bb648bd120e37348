/* `capacity:`: of which services it is searched how much they can take, and what must hold then.
 *
 * What must hold is by default what the goal requires of the same service. What no window of load
 * can change (memory, the time to be ready) is left out there, and so is a rate: it grows with the
 * load and limits nothing. Written out, both are refused: they would be promises that nobody keeps.
 *
 * Rejected: one number "largest p95". What a service owes is said in one place, the requirements;
 * a second way to say it would disagree with the first one some day. */
#include "spec/loader.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

enum { CONCURRENCY_MOST = 10000, REQUIREMENTS_MAX = 64 };

static const char *const of_names[CAPACITY_OF_COUNT_] = {
    [CAPACITY_OF_CONCURRENCY] = "concurrency",
    [CAPACITY_OF_RATE] = "rate",
};

const char *spec_capacity_of_name(enum spec_capacity_of of)
{
    return of_names[of];
}

struct capacity_draft {
    struct spec_capacity capacity;
    int of; /* -1: not given */
    const char *from, *up_to;
    const struct yaml_node *require;
};

#define FIELD(member) offsetof(struct capacity_draft, member)
static const struct spec_field capacity_fields[] = {
    {"of", FIELD_CHOICE, FIELD(of), .choices = of_names, .choice_count = CAPACITY_OF_COUNT_,
     .help = "clients that wait for their answers, or requests per second whatever the answers do "
             "(default: as the service's load is)"},
    {"up_to", FIELD_TEXT, FIELD(up_to),
     .help = "the largest one that is tried, as in 64 or 50/s (default: 256, 10000/s)"},
    {"from", FIELD_TEXT, FIELD(from),
     .help = "the first one that is tried (default: what its load is)"},
    {"require", FIELD_NODE, FIELD(require),
     .help = "what must hold, as in goal.require (default: what the goal requires of the service)"},
    {"beside", FIELD_BOOL, FIELD(capacity.beside), .fallback = "true",
     .help = "true: all other services keep their load; false: this one alone is loaded"},
    {"resolution", FIELD_RATIO, FIELD(capacity.resolution_ratio), .min = 0.01, .max = 0.5,
     .help = "how near the answer's two ends are, as a share (default: 1 client, 5% of a rate)"},
    {"warmup", FIELD_DURATION, FIELD(capacity.warmup_ns), .min = 0, .max = 600, .fallback = "2s",
     .help = "load before each window, not counted"},
    {"window", FIELD_DURATION, FIELD(capacity.window_ns), .min = 0.5, .max = 3600,
     .fallback = "10s",
     .help = "how long one level is loaded at most; up to four times as long where that decides "
             "nothing"},
    {"within", FIELD_DURATION, FIELD(capacity.within_ns), .min = 1, .max = 1e6, .fallback = "10m",
     .help = "the whole search ends by then, with what is known"},
};
#undef FIELD
const struct spec_section spec_capacity_section = {"capacity.SERVICE", capacity_fields,
                                                   ARRAY_LEN(capacity_fields)};

/* Can a window of load say anything of it, and does more load make it worse? */
static const char *no_limit(enum metric metric)
{
    switch (metric) {
    case METRIC_MEMORY:
    case METRIC_CPU:
    case METRIC_READY:
    case METRIC_FIRST_REQUEST:
    case METRIC_MEMORY_IDLE:
    case METRIC_MEMORY_GROWTH:
    case METRIC_HOST_MEMORY:
        return "is not measured while the capacity is searched";
    default:
        return metric_facts(metric)->higher_is_better ? "grows with the load and limits nothing"
                                                      : NULL;
    }
}

/* Why this requirement can't limit that capacity; NULL: it can. */
static const char *misfit(struct spec_loader *l, const struct spec_capacity *c,
                          const struct spec_requirement *requirement)
{
    const struct spec_study *study = l->study;
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        const struct metric_ref ref = study->metric_refs[id];
        if (!expr_uses(requirement->expr, id))
            continue;
        const char *why = no_limit(ref.metric);
        if (!why && ref.service != c->service && !c->beside)
            why = "is of a service that is not loaded then (beside: false)";
        if (why)
            return arena_printf(l->arena, "%s %s", spec_metric_ref_name(study, ref), why);
    }
    return NULL;
}

static bool is_about(const struct spec_study *study, const struct spec_requirement *requirement,
                     size_t service)
{
    for (size_t id = 0; id < study->metric_ref_count; id++)
        if (expr_uses(requirement->expr, id) && study->metric_refs[id].service != service)
            return false;
    return true;
}

static void inherit_requirements(struct spec_loader *l, struct spec_capacity *c)
{
    const struct spec_study *study = l->study;
    c->requirements = arena_array(l->arena, study->requirement_count, sizeof *c->requirements);
    for (size_t i = 0; i < study->requirement_count; i++)
        if (is_about(study, &study->requirements[i], c->service) &&
            !misfit(l, c, &study->requirements[i]))
            c->requirements[c->requirement_count++] = study->requirements[i];
}

static bool load_requirements(struct spec_loader *l, const struct yaml_node *require,
                              const char *where, struct spec_capacity *c)
{
    where = arena_printf(l->arena, "%s.require", where);
    if (require->kind != YAML_LIST || require->count == 0 || require->count > REQUIREMENTS_MAX)
        return spec_fail(l, spec_place_of(require), where,
                         "must be a list of 1 to %d, as in [\"%s.latency.p95 < 500ms\"]",
                         REQUIREMENTS_MAX, l->study->services[c->service].name);
    c->requirements = arena_array(l->arena, require->count, sizeof *c->requirements);
    for (const struct yaml_entry *e = require->first; e; e = e->next) {
        struct spec_requirement *r = &c->requirements[c->requirement_count++];
        if (!spec_load_requirement(l, e->value, where, r))
            return false;
        const char *why = misfit(l, c, r);
        if (why)
            return spec_fail(l, spec_place_of(e->value), where, "%s", why);
    }
    return true;
}

/* A whole number of clients, or a rate. */
static bool read_level(struct spec_loader *l, const struct yaml_node *map, const char *where,
                       const char *key, const char *text, enum spec_capacity_of of,
                       double *ret_level)
{
    int64_t whole = 0;
    struct spec_place place = spec_place_of(spec_yaml_get(map, key));
    where = arena_printf(l->arena, "%s.%s", where, key);
    if (of == CAPACITY_OF_RATE) {
        if (!metric_parse_quantity(UNIT_PER_SECOND, text, ret_level, NULL))
            return spec_fail(l, place, where, "\"%s\" is not a rate, as in 50/s",
                             spec_quote(l, text));
        if (!(*ret_level >= 0.001 && *ret_level <= 100000))
            return spec_fail(l, place, where, "%s is out of range: 0.001 /s to 100,000 /s",
                             spec_quote(l, text));
        return true;
    }
    if (!text_to_i64(text, &whole))
        return spec_fail(l, place, where, "\"%s\" is not a whole number of clients",
                         spec_quote(l, text));
    if (whole < 1 || whole > CONCURRENCY_MOST)
        return spec_fail(l, place, where, "%s is out of range: 1 to %d", spec_quote(l, text),
                         CONCURRENCY_MOST);
    *ret_level = (double)whole;
    return true;
}

static bool settle_levels(struct spec_loader *l, const struct yaml_node *map, const char *where,
                          const struct capacity_draft *draft, struct spec_capacity *c)
{
    const struct spec_load *load = &l->study->services[c->service].load;
    bool closed = load->arrivals == ARRIVALS_CLOSED;
    if (load->after)
        return spec_fail(l, spec_place_of(map), where,
                         "%s follows %s: look for how much %s can take",
                         l->study->services[c->service].name, load->after, load->after);
    c->of = draft->of >= 0 ? (enum spec_capacity_of)draft->of
            : closed       ? CAPACITY_OF_CONCURRENCY
                           : CAPACITY_OF_RATE;
    bool by_rate = c->of == CAPACITY_OF_RATE;
    c->most = by_rate ? 10000 : 256;
    if (draft->up_to && !read_level(l, map, where, "up_to", draft->up_to, c->of, &c->most))
        return false;
    if (l->study->services[c->service].by_request && !by_rate && c->most > SPEC_PROGRAMS_MAX)
        return spec_fail(l, spec_place_of(spec_yaml_get(map, "up_to")),
                         spec_join(l, where, "up_to"), "a concurrency of %.0f programs; at most %d",
                         c->most, SPEC_PROGRAMS_MAX);
    double now = by_rate ? load->rate_rps : load->concurrency;
    c->start = closed != by_rate && now > 0 ? fmin(now, c->most) : 1;
    c->start = fmin(c->start, c->most);
    if (draft->from && !read_level(l, map, where, "from", draft->from, c->of, &c->start))
        return false;
    if (c->start > c->most)
        return spec_fail(l, spec_place_of(spec_yaml_get(map, "from")),
                         arena_printf(l->arena, "%s.from", where),
                         "is above what \"up_to\" allows");
    if (c->resolution_ratio == 0 && by_rate)
        c->resolution_ratio = 0.05;
    return true;
}

static bool load_one(struct spec_loader *l, const struct yaml_node *map, const char *where,
                     size_t service)
{
    struct spec_study *study = l->study;
    struct capacity_draft draft = {.of = -1, .capacity = {.service = service}};
    if (!spec_bind(l, map, where, &spec_capacity_section, (struct spec_extra){0}, &draft))
        return false;
    struct spec_capacity *c = &study->capacities[study->capacity_count];
    *c = draft.capacity;
    c->place = spec_place_of(map);
    if (!settle_levels(l, map, where, &draft, c))
        return false;
    for (size_t i = 0; i < study->capacity_count; i++)
        if (study->capacities[i].service == service && study->capacities[i].of == c->of &&
            study->capacities[i].beside == c->beside)
            return spec_fail(l, c->place, where, "its %s is asked for twice", of_names[c->of]);
    if (draft.require && !load_requirements(l, draft.require, where, c))
        return false;
    if (!draft.require)
        inherit_requirements(l, c);
    if (c->requirement_count == 0)
        return spec_fail(l, c->place, where,
                         "needs \"require\": the goal requires nothing of %s that load could break",
                         study->services[service].name);
    study->capacity_count++;
    return true;
}

static bool load_entry(struct spec_loader *l, const struct yaml_entry *entry)
{
    struct spec_study *study = l->study;
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    int service = spec_study_service(study, entry->key->text);
    for (size_t i = 0; i < study->service_count; i++)
        names[i] = study->services[i].name;
    if (service < 0)
        return spec_fail(l, spec_place_of(entry->key), "capacity", "there is no service \"%s\"%s",
                         spec_quote(l, entry->key->text),
                         spec_did_you_mean(l, names, study->service_count, entry->key->text));
    const char *where = arena_printf(l->arena, "capacity.%s", names[service]);
    if (!study->services[service].load.given)
        return spec_fail(l, spec_place_of(entry->key), where,
                         "%s has no load: say under \"load\" what it is asked", names[service]);
    if (entry->value->kind != YAML_LIST)
        return load_one(l, entry->value, where, (size_t)service);
    for (const struct yaml_entry *e = entry->value->first; e; e = e->next) {
        if (study->capacity_count == SPEC_CAPACITIES_MAX)
            return spec_fail(l, spec_place_of(e->value), where, "at most %d in a study",
                             SPEC_CAPACITIES_MAX);
        if (!load_one(l, e->value, where, (size_t)service))
            return false;
    }
    return true;
}

bool spec_load_capacity(struct spec_loader *l, const struct yaml_node *capacity)
{
    struct spec_study *study = l->study;
    if (!capacity)
        return true;
    if (capacity->kind != YAML_MAP || capacity->count == 0)
        return spec_fail(l, spec_place_of(capacity), "capacity",
                         "must be a mapping of services, as in {llm: {up_to: 64}}");
    study->capacities = arena_array(l->arena, SPEC_CAPACITIES_MAX, sizeof *study->capacities);
    for (const struct yaml_entry *e = capacity->first; e; e = e->next) {
        if (study->capacity_count == SPEC_CAPACITIES_MAX)
            return spec_fail(l, spec_place_of(e->key), "capacity", "at most %d in a study",
                             SPEC_CAPACITIES_MAX);
        if (!load_entry(l, e))
            return false;
    }
    return true;
}
