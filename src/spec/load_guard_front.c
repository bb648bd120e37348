/* `fronts:`: services behind HAProxy, each with its tiers or with a split between two servers.
 *
 * Tiers stand in the file's order, the most accurate first: that order is the policy's ladder and
 * needs no number. One of them is always there to fall back to. Tiers and a split exclude each
 * other: two that both decide where a request goes would make each other's figures mean nothing. */
#include "spec/load_guard.h"

#include "base/text.h"
#include "spec/load_production.h"
#include "spec/space.h"

#include <math.h>
#include <string.h>

struct front_draft {
    struct spec_front front;
    const char *keep;
    const struct yaml_node *tiers, *split;
};

#define FIELD(member) offsetof(struct front_draft, member)
static const struct spec_field front_fields[] = {
    {"port", FIELD_INT, FIELD(front.port), .min = 1, .max = 65535, .required = true,
     .help = "where clients come"},
    {"address", FIELD_TEXT, FIELD(front.address), .fallback = "127.0.0.1",
     .help = "where clients come, in digits"},
    {"keep", FIELD_TEXT, FIELD(keep),
     .help = "what must be kept by choosing the tier, as in p95 < 300ms (default: no tier is "
             "chosen)"},
    {"reserve", FIELD_SIZE, FIELD(front.reserve_bytes), .min = 0, .max = 0x1p50,
     .fallback = "256MiB",
     .help = "memory of the device that stays free beside all; of fronts "
             "that share one the largest counts"},
    {"switches_per_minute", FIELD_INT, FIELD(front.switches_per_minute), .min = 1, .max = 60,
     .fallback = "4", .help = "at most so many changes of the tier"},
    {"up_after", FIELD_DURATION, FIELD(front.up_after_ns), .min = 1, .max = 86400,
     .fallback = "30s", .help = "a better tier must have been possible so long"},
    {"tiers", FIELD_NODE, FIELD(tiers),
     .help = "servers of the same service by name, the most accurate first"},
    {"pin", FIELD_TEXT, FIELD(front.pin_header), .fallback = "X-Spica-Tier",
     .help = "header by which a client chooses a tier itself"},
    {"split", FIELD_NODE, FIELD(split), .help = "traffic shared out between servers"},
    {"timeout", FIELD_DURATION, FIELD(front.timeout_ns), .min = 1, .max = 86400, .fallback = "10m",
     .help = "the longest silence in a request; a tier that is stopped is drained for at most so "
             "long in all"},
    {"at_once", FIELD_INT, FIELD(front.queue_max), .min = 0, .max = 10000, .fallback = "0",
     .help = "requests at one server at once, others wait in HAProxy; 0: no bound"},
};
#undef FIELD
const struct spec_section spec_front_section = {"guard.fronts.SERVICE", front_fields,
                                                ARRAY_LEN(front_fields)};

struct tier_draft {
    struct spec_tier tier;
    const struct yaml_node *values;
};

#define FIELD(member) offsetof(struct tier_draft, member)
static const struct spec_field tier_fields[] = {
    {"port", FIELD_INT, FIELD(tier.port), .min = 1, .max = 65535, .required = true,
     .help = "where this server listens, on loopback"},
    {"unit", FIELD_TEXT, FIELD(tier.unit),
     .help = "the systemd service that it is (default: it always runs, and is never started or "
             "stopped)"},
    {"user", FIELD_BOOL, FIELD(tier.user), .fallback = "false",
     .help = "the unit is one of the user's own manager"},
    {"resident", FIELD_BOOL, FIELD(tier.resident), .fallback = "false",
     .help =
         "it always runs, kept so by systemd: never stopped, and started only where no tier of the "
         "front is usable; one of them must be"},
    {"values", FIELD_NODE, FIELD(values),
     .help = "which candidate of the study it is: knobs of the service with their values"},
    {"memory", FIELD_SIZE, FIELD(tier.memory_bytes), .min = 0, .max = 0x1p50,
     .help =
         "most that it takes on its device, where the study has not measured it beside what runs "
         "now"},
    {"wer", FIELD_RATIO, FIELD(tier.wer), .min = 0, .max = 1,
     .help = "its word error rate (default: what the study measured)"},
};
#undef FIELD
const struct spec_section spec_tier_section = {"guard.fronts.SERVICE.tiers.TIER", tier_fields,
                                               ARRAY_LEN(tier_fields)};

/* ---- one tier ---- */

static bool load_value(struct spec_loader *l, const struct yaml_entry *e, const char *where,
                       size_t service, struct spec_setting *ret)
{
    const struct spec_study *study = l->study;
    const char *known[64] = {NULL};
    const struct spec_knob *knob = NULL;
    size_t count = 0;
    for (size_t i = 0; i < study->knob_count && count < ARRAY_LEN(known); i++) {
        if (study->knobs[i].service != service)
            continue;
        known[count++] = study->knobs[i].name;
        if (strcmp(study->knobs[i].name, e->key->text) == 0)
            knob = &study->knobs[i];
    }
    if (!knob)
        return spec_fail(l, spec_place_of(e->key), where, "%s has no knob \"%s\"%s",
                         study->services[service].name, spec_quote(l, e->key->text),
                         spec_did_you_mean(l, known, count, e->key->text));
    where = spec_join(l, where, knob->name);
    int value = e->value->kind == YAML_SCALAR ? spec_knob_find_value(knob, e->value->text) : -1;
    const char **labels = arena_array(l->arena, knob->value_count, sizeof *labels);
    for (size_t i = 0; i < knob->value_count; i++)
        labels[i] = knob->values[i].label;
    if (value < 0)
        return spec_fail(l, spec_place_of(e->value), where, "has no value \"%s\"; it has %s",
                         spec_quote(l, e->value->text ? e->value->text : ""),
                         spec_list(l, labels, knob->value_count));
    *ret = (struct spec_setting){
        .name = knob->name, .text = labels[value], .place = spec_place_of(e->value)};
    return true;
}

static bool load_values(struct spec_loader *l, const struct yaml_node *node, const char *where,
                        size_t service, struct spec_tier *tier)
{
    if (!node)
        return true;
    if (node->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a mapping of knobs to values, as in {model: base}");
    tier->values = arena_array(l->arena, node->count, sizeof *tier->values);
    for (const struct yaml_entry *e = node->first; e; e = e->next)
        if (!load_value(l, e, where, service, &tier->values[tier->value_count++]))
            return false;
    return true;
}

static bool load_tier(struct spec_loader *l, const struct yaml_entry *e, const char *where,
                      struct spec_front *front)
{
    struct tier_draft draft = {.tier = {.wer = NAN}};
    const char *name = e->key->text;
    if (!spec_is_name(name))
        return spec_fail(l, spec_place_of(e->key), where,
                         "\"%s\" is no tier's name: small letters, digits and \"_\", a letter "
                         "first, at most 32",
                         spec_quote(l, name));
    where = spec_join(l, where, name);
    if (!spec_bind(l, e->value, where, &spec_tier_section, (struct spec_extra){0}, &draft) ||
        !spec_settle_unit(l, e->value, where, &draft.tier.unit) ||
        !load_values(l, draft.values, spec_join(l, where, "values"), front->service, &draft.tier))
        return false;
    struct spec_tier *tier = &front->tiers[front->tier_count];
    *tier = draft.tier;
    tier->name = name;
    tier->place = spec_place_of(e->key);
    if (tier->user && !tier->unit)
        return spec_fail(l, spec_place_of(spec_yaml_get(e->value, "user")),
                         spec_join(l, where, "user"), "goes with \"unit\"");
    if (!tier->unit && spec_yaml_get(e->value, "resident") && !tier->resident)
        return spec_fail(l, spec_place_of(spec_yaml_get(e->value, "resident")),
                         spec_join(l, where, "resident"),
                         "without \"unit\" nobody could start it: it always runs");
    tier->resident |= !tier->unit;
    for (size_t i = 0; i < front->tier_count && tier->unit; i++)
        if (front->tiers[i].unit && front->tiers[i].user == tier->user &&
            strcmp(front->tiers[i].unit, tier->unit) == 0)
            return spec_fail(l, tier->place, where, "is the same unit as %s", front->tiers[i].name);
    front->tier_count++;
    return true;
}

static bool load_tiers(struct spec_loader *l, const struct yaml_node *node, const char *where,
                       struct spec_front *front)
{
    bool resident = false;
    if (!node)
        return true;
    if (node->kind != YAML_MAP || node->count == 0 || node->count > SPEC_TIERS_MAX)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a mapping of 1 to %d servers, as in {base: {port: 8101}}",
                         SPEC_TIERS_MAX);
    front->tiers = arena_array(l->arena, node->count, sizeof *front->tiers);
    for (const struct yaml_entry *e = node->first; e; e = e->next)
        if (!load_tier(l, e, where, front))
            return false;
    for (size_t i = 0; i < front->tier_count; i++)
        resident |= front->tiers[i].resident;
    return resident || spec_fail(l, spec_place_of(node), where,
                                 "one of them must be resident: there is always one that can "
                                 "answer at once");
}

/* ---- the front ---- */

/* "p95 < 300ms" */
static bool read_keep(const char *text, double *ret_quantile, double *ret_limit_s)
{
    int64_t percent = 0, ns = 0;
    char digits[3] = "";
    const size_t len = text[0] == 'p' ? strspn(text + 1, "0123456789") : 0;
    if (len < 1 || len > 2)
        return false;
    memcpy(digits, text + 1, len);
    text += 1 + len;
    text += strspn(text, " ");
    if (*text != '<')
        return false;
    text++;
    text += strspn(text, " ");
    if (!text_to_i64(digits, &percent) || percent < 1 || !text_to_duration_ns(text, &ns) || ns <= 0)
        return false;
    *ret_quantile = (double)percent / 100;
    *ret_limit_s = (double)ns / 1e9;
    return true;
}

static bool load_keep(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      const char *keep, struct spec_front *front)
{
    front->limit_s = front->quantile = NAN;
    if (!keep)
        return true;
    const struct spec_place place = spec_place_of(spec_yaml_get(node, "keep"));
    where = spec_join(l, where, "keep");
    if (front->tier_count < 2)
        return spec_fail(l, place, where, "needs several tiers: there is nothing to choose");
    if (!read_keep(keep, &front->quantile, &front->limit_s))
        return spec_fail(l, place, where, "\"%s\" is no limit, as in p95 < 300ms",
                         spec_quote(l, keep));
    return true;
}

/* Clients come in clear text; it is the servers behind that are asked over TLS. */
static bool check_tls(struct spec_loader *l, const char *where, const struct spec_front *front,
                      const struct spec_guard *g)
{
    const struct spec_service *service = &l->study->services[front->service];
    if (!service->tls.given)
        return true;
    if (strcmp(service->tls.name, "127.0.0.1") == 0)
        return spec_fail(l, front->place, where,
                         "HAProxy holds a certificate against a host's name, not an address: that "
                         "of %s must be for one, and its tls.name say which (now %s)",
                         service->name, service->tls.name);
    return g->watches[front->service].port != front->port ||
           spec_fail(l, front->place, where,
                     "%s is watched at port %d and asked over TLS, but there HAProxy takes clear "
                     "text: let guard.watch.%s name the port of a server behind it",
                     service->name, front->port, service->name);
}

static bool load_front(struct spec_loader *l, const struct yaml_entry *e, struct spec_guard *g)
{
    struct front_draft draft = {0};
    int service = spec_find_service(l, e->key, "guard.fronts");
    if (service < 0)
        return false;
    const char *name = l->study->services[service].name;
    const char *where = arena_printf(l->arena, "guard.fronts.%s", name);
    if (!spec_bind(l, e->value, where, &spec_front_section, (struct spec_extra){0}, &draft))
        return false;
    struct spec_front *front = &g->fronts[g->front_count];
    *front = draft.front;
    front->service = (size_t)service;
    front->place = spec_place_of(e->value);
    if (!check_tls(l, where, front, g))
        return false;
    if (!spec_is_address(front->address))
        return spec_fail(l, spec_place_of(spec_yaml_get(e->value, "address")),
                         spec_join(l, where, "address"), "\"%s\" is no address in digits",
                         spec_quote(l, front->address));
    if (!draft.tiers == !draft.split)
        return spec_fail(l, front->place, where,
                         draft.split ? "has tiers and a split: both would decide where a request "
                                       "goes"
                                     : "needs \"tiers\", or a \"split\"");
    if (!load_tiers(l, draft.tiers, spec_join(l, where, "tiers"), front) ||
        !load_keep(l, e->value, where, draft.keep, front) ||
        !spec_check_token(l, e->value, where, "pin", front->pin_header) ||
        !spec_load_guard_split(l, draft.split, spec_join(l, where, "split"), &front->split))
        return false;
    g->front_count++;
    return true;
}

bool spec_load_guard_fronts(struct spec_loader *l, const struct yaml_node *fronts,
                            struct spec_guard *g)
{
    if (!fronts || spec_yaml_is_null(fronts))
        return true;
    if (fronts->kind != YAML_MAP || fronts->count > SPEC_FRONTS_MAX)
        return spec_fail(l, spec_place_of(fronts), "guard.fronts",
                         "must be a mapping of at most %d services", SPEC_FRONTS_MAX);
    g->fronts = arena_array(l->arena, fronts->count, sizeof *g->fronts);
    for (const struct yaml_entry *e = fronts->first; e; e = e->next)
        if (!load_front(l, e, g))
            return false;
    return true;
}
