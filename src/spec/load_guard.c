/* `guard:` as a whole: how often is looked, where it is told, and what holds between its parts.
 *
 * Nothing of it changes what a study measures, so all of it is optional; refused is what could
 * never do what it says: a rule over a figure that nobody measures, a tier that is no candidate,
 * two servers at one port. Rejected: to begin and let such a rule be "no data" for ever. That looks
 * like a quiet night.
 *
 * The order is the order of need: where services run, fronts, the names that follow from both,
 * actions, rules.
 *
 * Invariant: what comes out can be watched; src/guard checks no name, port or range again. */
#include "spec/load_guard.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

const char *const spec_action_names[ACTION_COUNT_] = {
    [ACTION_NOTIFY] = "notify",   [ACTION_TIER_DOWN] = "tier-down", [ACTION_TIER_UP] = "tier-up",
    [ACTION_RESTART] = "restart", [ACTION_ROLLBACK] = "rollback",   [ACTION_RESTUDY] = "restudy",
};

struct guard_draft {
    struct spec_guard guard;
    double probe_rps;
    int64_t probe_within_ns;
    const char *listen;
    const struct yaml_node *probes, *watch, *rules, *act, *proxy, *fronts;
};

#define FIELD(member) offsetof(struct guard_draft, member)
static const struct spec_field guard_fields[] = {
    {"every", FIELD_DURATION, FIELD(guard.every_ns), .min = 0.1, .max = 60, .fallback = "1s",
     .help = "how often is looked and judged"},
    {"window", FIELD_DURATION, FIELD(guard.window_ns), .min = 1, .max = 3600, .fallback = "1m",
     .help = "how far back percentiles, rates and shares of errors reach"},
    {"probe", FIELD_RATE, FIELD(probe_rps), FIELD(probes), .min = 0, .max = 10, .fallback = "0.1/s",
     .help = "requests of guard's own to each service, so that silence is not taken for health; "
             "or of each service by its name; 0: none"},
    {"probe_within", FIELD_DURATION, FIELD(probe_within_ns), .min = 0.1, .max = 600,
     .fallback = "10s", .help = "a service that answers no probe by then hangs, or is full"},
    {"watch", FIELD_NODE, FIELD(watch),
     .help = "where each service runs, by its name (default: as production says)"},
    {"listen", FIELD_TEXT, FIELD(listen),
     .help = "address and port of /metrics and /status, as in 127.0.0.1:9469 (default: nothing is "
             "served)"},
    {"token_env", FIELD_TEXT, FIELD(guard.token_env),
     .help = "environment variable with the token that who asks must have; needed where \"listen\" "
             "is no loopback address"},
    {"record", FIELD_SIZE, FIELD(guard.record_bytes), .min = 0, .max = 0x1p40, .fallback = "64MiB",
     .help = "most that recordings of what was seen take on the disk, the oldest go first; 0B: "
             "none are made"},
    {"rules", FIELD_NODE, FIELD(rules), .help = "a list of what is wrong, and what is done then"},
    {"act", FIELD_NODE, FIELD(act),
     .help = "the actions that are allowed, with their limits: none that is not named here"},
    {"proxy", FIELD_NODE, FIELD(proxy), .help = "HAProxy, which carries the traffic of fronts"},
    {"fronts", FIELD_NODE, FIELD(fronts),
     .help = "services behind HAProxy, by name: their tiers, or a split between two servers"},
};
#undef FIELD
const struct spec_section spec_guard_section = {"guard", guard_fields, ARRAY_LEN(guard_fields)};

/* ---- what several parts need ---- */

int spec_find_service(struct spec_loader *l, const struct yaml_node *key, const char *where)
{
    const struct spec_study *study = l->study;
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    int service = spec_study_service(study, key->text);
    for (size_t i = 0; i < study->service_count; i++)
        names[i] = study->services[i].name;
    if (service < 0)
        spec_fail(l, spec_place_of(key), where, "there is no service \"%s\"%s (there are %s)",
                  spec_quote(l, key->text),
                  spec_did_you_mean(l, names, study->service_count, key->text),
                  spec_list(l, names, study->service_count));
    return service;
}

const struct spec_front *spec_guard_front(const struct spec_guard *g, size_t service)
{
    for (size_t i = 0; i < g->front_count; i++)
        if (g->fronts[i].service == service)
            return &g->fronts[i];
    return NULL;
}

bool spec_is_address(const char *text)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1;
}

bool spec_is_loopback(const char *text)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, text, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool spec_check_token(struct spec_loader *l, const struct yaml_node *map, const char *where,
                      const char *key, const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = text ? strspn(text, allowed) : 0;
    if (!text || (len > 0 && len <= 64 && text[len] == '\0'))
        return true;
    return spec_fail(l, spec_place_of(spec_yaml_get(map, key)), spec_join(l, where, key),
                     "\"%s\" is no name: at most 64 letters, digits, \"-\" and \"_\"",
                     spec_quote(l, text));
}

/* ---- /metrics and /status ---- */

/* "127.0.0.1:9469", "[::1]:9469", "9469". */
static bool read_listen(struct spec_loader *l, const char *text, const char **ret_address,
                        int *ret_port)
{
    int64_t port = 0;
    const char *colon = strrchr(text, ':');
    const char *address = colon ? arena_strndup(l->arena, text, (size_t)(colon - text)) : "";
    size_t len = strlen(address);
    if (colon && len > 2 && address[0] == '[' && address[len - 1] == ']')
        address = arena_strndup(l->arena, address + 1, len - 2);
    else if (strchr(address, ':'))
        return false;
    if (!colon)
        address = "127.0.0.1";
    if (!spec_is_address(address) || !text_to_i64(colon ? colon + 1 : text, &port) || port < 1 ||
        port > 65535)
        return false;
    *ret_address = address;
    *ret_port = (int)port;
    return true;
}

static bool load_listen(struct spec_loader *l, const struct yaml_node *guard, const char *listen,
                        struct spec_guard *g)
{
    const struct yaml_node *token = spec_yaml_get(guard, "token_env");
    if (token && !spec_is_variable(g->token_env))
        return spec_fail(l, spec_place_of(token), "guard.token_env",
                         "\"%s\" is no variable's name: letters, digits and \"_\"",
                         spec_quote(l, g->token_env));
    if (token && !listen)
        return spec_fail(l, spec_place_of(token), "guard.token_env",
                         "goes with \"listen\": nothing is served");
    if (!listen)
        return true;
    const struct spec_place place = spec_place_of(spec_yaml_get(guard, "listen"));
    if (!read_listen(l, listen, &g->listen_address, &g->listen_port))
        return spec_fail(l, place, "guard.listen",
                         "\"%s\" is no address in digits with a port, as in 127.0.0.1:9469 or "
                         "[::1]:9469",
                         spec_quote(l, listen));
    if (!token && !spec_is_loopback(g->listen_address))
        return spec_fail(l, place, "guard.listen",
                         "%s is no loopback address: others could read it; name with \"token_env\" "
                         "the environment variable that holds a token",
                         g->listen_address);
    return true;
}

/* ---- between the parts ---- */

struct ports {
    int port[SPEC_FRONTS_MAX * (1 + SPEC_TIERS_MAX + SPEC_ARMS_MAX) + 1];
    const char *what[SPEC_FRONTS_MAX * (1 + SPEC_TIERS_MAX + SPEC_ARMS_MAX) + 1];
    size_t count;
};

static bool take_port(struct spec_loader *l, struct ports *ports, struct spec_place place,
                      const char *where, int port)
{
    for (size_t i = 0; i < ports->count; i++)
        if (ports->port[i] == port)
            return spec_fail(l, place, where, "port %d is that of %s already", port,
                             ports->what[i]);
    ports->port[ports->count] = port;
    ports->what[ports->count++] = where;
    return true;
}

static bool check_ports_of(struct spec_loader *l, struct ports *ports, const struct spec_front *f)
{
    const char *name = l->study->services[f->service].name;
    const char *where = arena_printf(l->arena, "guard.fronts.%s", name);
    if (!take_port(l, ports, f->place, spec_join(l, where, "port"), f->port))
        return false;
    for (size_t i = 0; i < f->tier_count; i++)
        if (!take_port(l, ports, f->tiers[i].place,
                       arena_printf(l->arena, "%s.tiers.%s.port", where, f->tiers[i].name),
                       f->tiers[i].port))
            return false;
    for (size_t i = 0; i < f->split.count; i++)
        if (!take_port(
                l, ports, f->place,
                arena_printf(l->arena, "%s.split.arms.%s.port", where, f->split.arms[i].name),
                f->split.arms[i].port))
            return false;
    return true;
}

static bool check_ports(struct spec_loader *l, const struct yaml_node *guard,
                        const struct spec_guard *g)
{
    struct ports ports = {.count = 0};
    for (size_t i = 0; i < g->front_count; i++)
        if (!check_ports_of(l, &ports, &g->fronts[i]))
            return false;
    return !g->listen_address || take_port(l, &ports, spec_place_of(spec_yaml_get(guard, "listen")),
                                           "guard.listen", g->listen_port);
}

/* A service called "proxy" would have figures of HAProxy's names. */
static bool load_names(struct spec_loader *l, const struct yaml_node *guard, struct spec_guard *g)
{
    g->metrics = guard_metric_refs(l->study, l->arena, &g->metric_count);
    const char **names = arena_array(l->arena, g->metric_count, sizeof *names);
    for (size_t i = 0; i < g->metric_count; i++)
        names[i] = g->metrics[i].name;
    int twice = spec_names_duplicate(names, g->metric_count);
    return twice < 0 ||
           spec_fail(l, spec_place_of(guard), "guard",
                     "\"%s\" would be the name of two figures: give the service another name",
                     names[twice]);
}

static bool check_something(struct spec_loader *l, const struct yaml_node *guard,
                            const struct spec_guard *g)
{
    size_t watched = g->front_count;
    for (size_t i = 0; i < l->study->service_count; i++)
        watched += g->watches[i].kind != WATCH_NOTHING;
    return watched > 0 || spec_fail(l, spec_place_of(guard), "guard",
                                    "has nothing to watch: say where services run, as in {watch: "
                                    "{%s: {unit: %s.service, port: 8000}}}",
                                    l->study->services[0].name, l->study->services[0].name);
}

bool spec_load_guard(struct spec_loader *l, const struct yaml_node *guard)
{
    struct guard_draft draft = {.guard = {.given = true}};
    if (!guard)
        return true;
    if (!spec_bind(l, guard, "guard", &spec_guard_section, (struct spec_extra){0}, &draft))
        return false;
    struct spec_guard *g = arena_alloc(l->arena, sizeof *g);
    *g = draft.guard;
    if (g->window_ns < g->every_ns)
        return spec_fail(l, spec_place_of(guard), "guard.window",
                         "is shorter than \"every\": most of what happens would be in no window");
    if (!load_listen(l, guard, draft.listen, g) ||
        !spec_load_guard_watches(l, draft.watch, draft.probes, draft.probe_rps,
                                 draft.probe_within_ns, g) ||
        !spec_load_guard_fronts(l, draft.fronts, g) || !check_something(l, guard, g) ||
        !spec_load_guard_proxy(l, draft.proxy, g) || !check_ports(l, guard, g))
        return false;
    l->study->guard = g; /* the names of tiers are words of its figures */
    return load_names(l, guard, g) && spec_load_guard_act(l, draft.act, g) &&
           spec_load_guard_rules(l, draft.rules, g);
}
