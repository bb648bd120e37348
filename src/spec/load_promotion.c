/* `production:` as a whole: its services, the order, hooks, and how it is verified.
 *
 * Four keys beside the services' names are its own, so a service of such a name can't be promoted:
 * said when somebody tries. Rejected: the services one level deeper, in every file, for the sake of
 * four names. */
#include "spec/load_production.h"

#include "base/clock.h"
#include "base/text.h"
#include "spec/template.h"

#include <string.h>

struct promotion_draft {
    const struct yaml_node *order, *verify, *before, *after;
};

#define FIELD(member) offsetof(struct promotion_draft, member)
static const struct spec_field promotion_fields[] = {
    {"order", FIELD_NODE, FIELD(order),
     .help = "a list of all its services, in the order in which they are changed (default: those "
             "that will need less memory than now first, none before one whose unit its own is "
             "started after)"},
    {"verify", FIELD_NODE, FIELD(verify), .help = "what is done to see that it works"},
    {"before", FIELD_NODE, FIELD(before),
     .help = "commands run before anything is changed: a list of at most 8 lists, or of {run: "
             "[...], undo: [...]}, whose undo is run when the promotion is undone; one that fails "
             "ends the promotion"},
    {"after", FIELD_NODE, FIELD(after),
     .help = "commands run once it was verified: a list as of before"},
};
#undef FIELD
const struct spec_section spec_promotion_section = {"production", promotion_fields,
                                                    ARRAY_LEN(promotion_fields)};

#define FIELD(member) offsetof(struct spec_promotion, member)
static const struct spec_field check_fields[] = {
    {"window", FIELD_DURATION, FIELD(window_ns), .min = 1, .max = 3600, .fallback = "30s",
     .help = "how long the services are asked, gently, against the goal's requirements"},
    {"rate", FIELD_RATE, FIELD(probe_rate_rps), .min = 0.01, .max = 1000, .fallback = "1/s",
     .help = "requests to each service in that time"},
    {"within", FIELD_DURATION, FIELD(within_ns), .min = 1, .max = 86400, .fallback = "10m",
     .help = "all of the verifying ends by then, else the promotion is undone"},
};
#undef FIELD
const struct spec_section spec_check_section = {"production.verify", check_fields,
                                                ARRAY_LEN(check_fields)};

/* Of the whole promotion: no service, so no knobs and no port. */
static bool check_hook(struct spec_loader *l, const char *where, const struct spec_setting *item)
{
    struct spec_piece piece;
    const char *at = item->text;
    while (spec_template_next(&at, &piece))
        if (piece.kind == PIECE_BAD ||
            (piece.kind == PIECE_NAME && strncmp(piece.text, "study}", 6) != 0))
            return spec_fail(l, item->place, where,
                             "\"%s\": of placeholders only {study} is known here; \"{{\" writes a "
                             "brace",
                             spec_quote(l, item->text));
    return true;
}

bool spec_load_argv(struct spec_loader *l, const struct yaml_node *node, const char *where,
                    struct spec_argv *ret_argv)
{
    struct spec_argv argv = {0};
    if (!spec_load_list(l, node, where, &argv.items, &argv.count))
        return false;
    if (argv.count == 0 || argv.items[0].text[0] == '\0')
        return spec_fail(l, spec_place_of(node), where, "needs a program");
    for (size_t i = 0; i < argv.count; i++)
        if (argv.items[i].text[strcspn(argv.items[i].text, "\n\r")])
            return spec_fail(l, argv.items[i].place, where, "an argument must be one line");
    *ret_argv = argv;
    return true;
}

static bool load_hook_argv(struct spec_loader *l, const struct yaml_node *node, const char *where,
                           struct spec_argv *ret_argv)
{
    if (!spec_load_argv(l, node, where, ret_argv))
        return false;
    for (size_t i = 0; i < ret_argv->count; i++)
        if (!check_hook(l, where, &ret_argv->items[i]))
            return false;
    return true;
}

/* A list is the command; {run: [...], undo: [...]} is the command and its way back. */
static bool load_hook(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      struct spec_argv *hook, struct spec_argv *undo)
{
    const struct yaml_node *run = spec_yaml_get(node, "run"), *back = spec_yaml_get(node, "undo");
    if (node->kind != YAML_MAP)
        return load_hook_argv(l, node, where, hook);
    if (!run || !back || node->count != 2)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a list, or have \"run\" and \"undo\", each a list");
    return load_hook_argv(l, run, where, hook) && load_hook_argv(l, back, where, undo);
}

static bool load_hooks(struct spec_loader *l, const struct yaml_node *node, const char *where,
                       struct spec_argv *hooks, struct spec_argv *undos, size_t *ret_count)
{
    size_t count = 0;
    if (!node)
        return true;
    if (node->kind != YAML_LIST || node->count > SPEC_HOOKS_MAX)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a list of at most %d commands, each a list, as in "
                         "[[./tell.sh, begins]]",
                         SPEC_HOOKS_MAX);
    for (const struct yaml_entry *e = node->first; e; e = e->next, count++)
        if (!load_hook(l, e->value, where, &hooks[count], &undos[count]))
            return false;
    *ret_count = count;
    return true;
}

static bool load_order(struct spec_loader *l, const struct yaml_node *node)
{
    struct spec_study *study = l->study;
    struct spec_promotion *p = &study->promotion;
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    size_t promoted = 0;
    if (!node)
        return true;
    for (size_t i = 0; i < study->service_count; i++)
        if (study->production[i].kind != PRODUCTION_NONE)
            names[promoted++] = study->services[i].name;
    if (node->kind != YAML_LIST)
        return spec_fail(l, spec_place_of(node), "production.order", "must be a list of services");
    p->order = arena_array(l->arena, promoted, sizeof *p->order);
    for (const struct yaml_entry *e = node->first; e; e = e->next) {
        const struct spec_place place = spec_place_of(e->value);
        int service = spec_study_service(study, e->value->text);
        if (service < 0 || study->production[service].kind == PRODUCTION_NONE)
            return spec_fail(l, place, "production.order",
                             "\"%s\" is not in \"production\"%s (there are %s)",
                             spec_quote(l, e->value->text),
                             spec_did_you_mean(l, names, promoted, e->value->text),
                             spec_list(l, names, promoted));
        for (size_t i = 0; i < p->order_count; i++)
            if (p->order[i] == (size_t)service)
                return spec_fail(l, place, "production.order", "%s is named twice",
                                 study->services[service].name);
        p->order[p->order_count++] = (size_t)service;
    }
    if (p->order_count != promoted)
        return spec_fail(l, spec_place_of(node), "production.order", "must name all of them: %s",
                         spec_list(l, names, promoted));
    return true;
}

/* Two services that write the same file, or change the same unit, would undo each other. */
static bool check_apart(struct spec_loader *l)
{
    const struct spec_study *study = l->study;
    for (size_t i = 0; i < study->service_count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct spec_production *a = &study->production[i], *b = &study->production[k];
            const char *where = arena_printf(l->arena, "production.%s", study->services[i].name);
            if (a->file && b->file && strcmp(a->file, b->file) == 0)
                return spec_fail(l, a->place, where, "writes the same file as %s",
                                 study->services[k].name);
            if (a->kind == PRODUCTION_UNIT && b->kind == PRODUCTION_UNIT && a->user == b->user &&
                strcmp(a->unit, b->unit) == 0)
                return spec_fail(l, a->place, where, "is the same unit as %s",
                                 study->services[k].name);
        }
    return true;
}

static bool load_services(struct spec_loader *l, const struct yaml_node *production,
                          struct spec_extra names)
{
    struct spec_study *study = l->study;
    size_t promoted = 0;
    for (const struct yaml_entry *e = production->first; e; e = e->next) {
        int service = text_index(names.names, (int)names.count, e->key->text);
        bool own = text_index((const char *const[]){"order", "verify", "before", "after"}, 4,
                              e->key->text) >= 0;
        if (own && (spec_yaml_get(e->value, "unit") || spec_yaml_get(e->value, "compose") ||
                    spec_yaml_get(e->value, "kubernetes") || spec_yaml_get(e->value, "command")))
            return spec_fail(l, spec_place_of(e->key), "production",
                             "a service named \"%s\" can't be promoted: the word has a meaning "
                             "here",
                             e->key->text);
        if (service < 0 || own)
            continue;
        if (!spec_load_production_of(l, e->value, (size_t)service, &study->production[service]))
            return false;
        promoted++;
    }
    if (promoted == 0)
        return spec_fail(l, spec_place_of(production), "production",
                         "names no service: say where they run, as in {%s: {unit: %s.service}}",
                         names.names[0], names.names[0]);
    return true;
}

static bool check_time(struct spec_loader *l, const struct yaml_node *node)
{
    const struct spec_promotion *p = &l->study->promotion;
    const int64_t warmup_ns = l->study->measure.warmup_ns;
    const struct yaml_node *within = spec_yaml_get(node, "within");
    return p->within_ns >= warmup_ns + p->window_ns ||
           spec_fail(l, spec_place_of(within ? within : node), "production.verify.within",
                     "%.0f s is less than measure's warm-up (%.0f s) and verify's window (%.0f s): "
                     "nothing could be verified",
                     (double)p->within_ns / NS_PER_S, (double)warmup_ns / NS_PER_S,
                     (double)p->window_ns / NS_PER_S);
}

bool spec_load_production(struct spec_loader *l, const struct yaml_node *production)
{
    struct spec_study *study = l->study;
    struct spec_promotion *p = &study->promotion;
    struct promotion_draft draft = {0};
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    const struct spec_extra extra = {names, study->service_count};
    if (!production)
        return true;
    for (size_t i = 0; i < study->service_count; i++)
        names[i] = study->services[i].name;
    if (!spec_bind(l, production, "production", &spec_promotion_section, extra, &draft))
        return false;
    study->production = arena_array(l->arena, study->service_count, sizeof *study->production);
    if (!load_services(l, production, extra) || !check_apart(l) ||
        !spec_bind(l, draft.verify, "production.verify", &spec_check_section,
                   (struct spec_extra){0}, p) ||
        !check_time(l, draft.verify ? draft.verify : production) || !load_order(l, draft.order) ||
        !load_hooks(l, draft.before, "production.before", p->before, p->before_undo,
                    &p->before_count) ||
        !load_hooks(l, draft.after, "production.after", p->after, p->after_undo, &p->after_count))
        return false;
    p->given = true;
    return true;
}
