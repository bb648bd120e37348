/* Where each service really runs, and how often it is asked.
 *
 * What `production:` says already need not be said again; an entry here adds to it or replaces it.
 * A service that neither names is not watched, which is no error: a study may share its card with
 * one that somebody else looks after.
 *
 * Behind a front nothing follows from the front's own port: there listens HAProxy, whose process
 * computes nothing, and who watched that would find a service "on the CPU". */
#include "spec/load_guard.h"

#include "base/text.h"
#include "spec/load_production.h"
#include "spec/metric.h"

#include <string.h>

struct watch_draft {
    const char *unit, *container, *metrics;
    bool user;
    int64_t pid;
    int port;
};

#define FIELD(member) offsetof(struct watch_draft, member)
static const struct spec_field watch_fields[] = {
    {"unit", FIELD_TEXT, FIELD(unit), .help = "the systemd service that it is"},
    {"user", FIELD_BOOL, FIELD(user), .fallback = "false",
     .help = "the unit is one of the user's own manager"},
    {"pid", FIELD_INT64, FIELD(pid), .min = 2, .max = 4194304,
     .help = "or the process that it is, with its children"},
    {"container", FIELD_TEXT, FIELD(container),
     .help = "or the container: its id, or its name where that is not docker's"},
    {"port", FIELD_INT, FIELD(port), .min = 1, .max = 65535,
     .help = "where it answers on loopback; alone, it also says who the process is"},
    {"metrics", FIELD_TEXT, FIELD(metrics),
     .help = "path of the engine's own metrics (default: its engine's, if it has any)"},
};
#undef FIELD
const struct spec_section spec_watch_section = {"guard.watch.SERVICE", watch_fields,
                                                ARRAY_LEN(watch_fields)};

static struct spec_watch from_production(const struct spec_study *study, size_t service)
{
    const struct spec_production *p = study->production ? &study->production[service] : NULL;
    struct spec_watch w = {.kind = WATCH_NOTHING};
    if (!p || study->services[service].by_request)
        return w;
    w.kind = p->unit ? WATCH_UNIT : p->port > 0 ? WATCH_PORT : WATCH_NOTHING;
    w.unit = p->unit;
    w.user = p->user;
    w.port = p->port;
    w.place = p->place;
    return w;
}

static bool check_draft(struct spec_loader *l, const struct yaml_node *node, const char *where,
                        const struct watch_draft *draft)
{
    const char *c = draft->container;
    const size_t len = c ? strspn(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_.-")
                         : 0;
    if ((draft->unit != NULL) + (draft->pid > 0) + (draft->container != NULL) > 1)
        return spec_fail(l, spec_place_of(node), where,
                         "say one of unit, pid and container: they could be three processes");
    if (draft->user && !draft->unit)
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "user")), spec_join(l, where, "user"),
                         "goes with \"unit\"");
    if (c && (len == 0 || len > 128 || c[len] || c[0] == '-' || c[0] == '.'))
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "container")),
                         spec_join(l, where, "container"), "\"%s\" is no container's name or id",
                         spec_quote(l, c));
    if (draft->metrics && (draft->metrics[0] != '/' || strpbrk(draft->metrics, " \t\r\n")))
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "metrics")),
                         spec_join(l, where, "metrics"), "\"%s\" is no path, as in /metrics",
                         spec_quote(l, draft->metrics));
    return true;
}

/* `w` holds what production says. */
static bool settle(struct spec_loader *l, const struct yaml_node *node, const char *where,
                   struct watch_draft *draft, struct spec_watch *w)
{
    if (!check_draft(l, node, where, draft) || !spec_settle_unit(l, node, where, &draft->unit))
        return false;
    w->place = spec_place_of(node);
    w->metrics_path = draft->metrics;
    if (draft->port)
        w->port = draft->port;
    if (draft->unit || draft->pid || draft->container) {
        w->kind = draft->unit ? WATCH_UNIT : draft->pid ? WATCH_PID : WATCH_CONTAINER;
        w->unit = draft->unit;
        w->user = draft->user;
        w->pid = draft->pid;
        w->container = draft->container;
    } else if (w->kind == WATCH_NOTHING && w->port > 0) {
        w->kind = WATCH_PORT;
    }
    if (w->kind == WATCH_NOTHING)
        return spec_fail(l, w->place, where, "needs one of unit, pid, container and port");
    if (w->metrics_path && w->port == 0)
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "metrics")),
                         spec_join(l, where, "metrics"), "needs \"port\"");
    return true;
}

static bool load_one(struct spec_loader *l, const struct yaml_entry *e, struct spec_guard *g)
{
    struct watch_draft draft = {0};
    int service = spec_find_service(l, e->key, "guard.watch");
    if (service < 0)
        return false;
    const struct spec_service *s = &l->study->services[service];
    const char *where = arena_printf(l->arena, "guard.watch.%s", s->name);
    struct spec_watch *w = &g->watches[service];
    if (e->value->kind == YAML_SCALAR && strcmp(e->value->text, "none") == 0) {
        *w = (struct spec_watch){.kind = WATCH_NOTHING, .place = spec_place_of(e->value)};
        return true;
    }
    if (s->by_request)
        return spec_fail(l, spec_place_of(e->key), where,
                         "%s is run for each request: there is no server to watch", s->name);
    return spec_bind(l, e->value, where, &spec_watch_section, (struct spec_extra){0}, &draft) &&
           settle(l, e->value, where, &draft, w);
}

/* ---- probes ---- */

static bool load_probe(struct spec_loader *l, const struct yaml_entry *e, struct spec_guard *g)
{
    double rate_rps = 0;
    int service = spec_find_service(l, e->key, "guard.probe");
    if (service < 0)
        return false;
    const struct spec_place place = spec_place_of(e->value);
    const char *name = l->study->services[service].name;
    const char *where = arena_printf(l->arena, "guard.probe.%s", name);
    if (e->value->kind != YAML_SCALAR ||
        !metric_parse_quantity(UNIT_PER_SECOND, e->value->text, &rate_rps, NULL))
        return spec_fail(l, place, where, "must be a rate, as in 0.1/s");
    if (!(rate_rps >= 0 && rate_rps <= SPEC_PROBE_MOST_RPS))
        return spec_fail(l, place, where, "%s is out of range: 0 /s to 10 /s",
                         spec_quote(l, e->value->text));
    if (rate_rps > 0 && g->watches[service].port == 0)
        return spec_fail(l, place, where,
                         "nobody says at which port %s answers: name it under "
                         "guard.watch.%s",
                         name, name);
    g->watches[service].probe_rps = rate_rps;
    return true;
}

bool spec_load_guard_watches(struct spec_loader *l, const struct yaml_node *watch,
                             const struct yaml_node *probes, double probe_rps, int64_t within_ns,
                             struct spec_guard *g)
{
    const size_t count = l->study->service_count;
    g->watches = arena_array(l->arena, count, sizeof *g->watches);
    for (size_t i = 0; i < count; i++)
        g->watches[i] = from_production(l->study, i);
    if (watch && watch->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(watch), "guard.watch",
                         "must be a mapping of services, as in {%s: {unit: %s.service, port: "
                         "8000}}",
                         l->study->services[0].name, l->study->services[0].name);
    for (const struct yaml_entry *e = watch ? watch->first : NULL; e; e = e->next)
        if (!load_one(l, e, g))
            return false;
    for (size_t i = 0; i < count; i++) {
        g->watches[i].probe_within_ns = within_ns;
        g->watches[i].probe_rps = g->watches[i].port > 0 ? probe_rps : 0;
    }
    for (const struct yaml_entry *e = probes ? probes->first : NULL; e; e = e->next)
        if (!load_probe(l, e, g))
            return false;
    return true;
}
