/* `split:`, the traffic of one front shared out between servers, and `proxy:`, the HAProxy that
 * does it.
 *
 * The first arm is what runs today: every verdict of a split is a comparison with it.
 *
 * "shadow" is a key so that whoever asks for one reads here, and not in the night, why HAProxy
 * can't. Rejected: to leave the key out, which would say that it is unknown, and not why. */
#include "spec/load_guard.h"

#include "spec/load_production.h"

#include <string.h>

struct split_draft {
    struct spec_split split;
    const struct yaml_node *arms, *stick;
};

const char spec_no_shadow[] =
    "HAProxy can't send copies of requests by itself: its mirror (SPOE) wants an agent that no "
    "package of this system has, and copies only bodies of up to 16 KiB, which no recording is; "
    "give the arm a weight, or send it recorded requests with `spica bench`";

#define FIELD(member) offsetof(struct split_draft, member)
static const struct spec_field split_fields[] = {
    {"arms", FIELD_NODE, FIELD(arms), .required = true,
     .help = "two servers by name, first the one that runs today; their weights sum up to 100"},
    {"stick", FIELD_NODE, FIELD(stick),
     .help = "a client stays with its arm, by a header or cookie (default: each request for "
             "itself)"},
    {"harm", FIELD_RATIO, FIELD(split.harm_ratio), .min = 0.001, .max = 10, .fallback = "10%",
     .help = "an arm is stopped once it is certain to be slower than the first by more than this"},
    {"error", FIELD_RATIO, FIELD(split.error), .min = 0.0001, .max = 0.5, .fallback = "5%",
     .help = "the risk that this is wrong, however often is looked"},
    {"quantile", FIELD_RATIO, FIELD(split.quantile), .min = 0.1, .max = 0.999, .fallback = "95%",
     .help = "of the latency that is compared"},
};
#undef FIELD
const struct spec_section spec_split_section = {"guard.fronts.SERVICE.split", split_fields,
                                                ARRAY_LEN(split_fields)};

#define FIELD(member) offsetof(struct spec_arm, member)
static const struct spec_field arm_fields[] = {
    {"port", FIELD_INT, FIELD(port), .min = 1, .max = 65535, .required = true,
     .help = "where this server listens, on loopback"},
    {"weight", FIELD_INT, FIELD(weight), .min = 0, .max = 100, .fallback = "0",
     .help = "its share of the requests, in percent"},
    {"shadow", FIELD_BOOL, FIELD(shadow), .fallback = "false",
     .help = "refused where true: HAProxy can't send copies of requests by itself"},
};
#undef FIELD
const struct spec_section spec_arm_section = {"guard.fronts.SERVICE.split.arms.ARM", arm_fields,
                                              ARRAY_LEN(arm_fields)};

struct stick_draft {
    const char *header, *cookie;
};
static const struct spec_field stick_fields[] = {
    {"header", FIELD_TEXT, offsetof(struct stick_draft, header),
     .help = "requests with the same text in this header go to the same arm"},
    {"cookie", FIELD_TEXT, offsetof(struct stick_draft, cookie),
     .help = "or a cookie of this name, which HAProxy sets"},
};
const struct spec_section spec_stick_section = {"guard.fronts.SERVICE.split.stick", stick_fields,
                                                ARRAY_LEN(stick_fields)};

static bool load_arm(struct spec_loader *l, const struct yaml_entry *e, const char *where,
                     struct spec_split *split)
{
    struct spec_arm *arm = &split->arms[split->count];
    const char *name = e->key->text;
    if (!spec_is_name(name))
        return spec_fail(l, spec_place_of(e->key), where,
                         "\"%s\" is no arm's name: small letters, digits and \"_\", a letter "
                         "first, at most 32",
                         spec_quote(l, name));
    where = spec_join(l, where, name);
    if (!spec_bind(l, e->value, where, &spec_arm_section, (struct spec_extra){0}, arm))
        return false;
    arm->name = name;
    if (arm->shadow)
        return spec_fail(l, spec_place_of(spec_yaml_get(e->value, "shadow")),
                         spec_join(l, where, "shadow"), "%s", spec_no_shadow);
    if (split->count >= 2)
        return spec_fail(l, spec_place_of(e->value), where,
                         "a third arm: only the second is tested against the first, and one that "
                         "nobody tests could do harm for ever; one after the other");
    split->count++;
    return true;
}

static bool load_arms(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      struct spec_split *split)
{
    int sum = 0;
    if (node->kind != YAML_MAP || node->count < 2)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a mapping of two servers, as in {now: {port: 8001, weight: 90}, "
                         "next: {port: 8002, weight: 10}}");
    split->arms = arena_array(l->arena, node->count, sizeof *split->arms);
    for (const struct yaml_entry *e = node->first; e; e = e->next)
        if (!load_arm(l, e, where, split))
            return false;
    for (size_t i = 0; i < split->count; i++)
        sum += split->arms[i].weight;
    return sum == 100 ||
           spec_fail(l, spec_place_of(node), where,
                     "the weights sum up to %d: they are percents of all requests", sum);
}

bool spec_load_guard_split(struct spec_loader *l, const struct yaml_node *split, const char *where,
                           struct spec_split *ret)
{
    struct split_draft draft = {0};
    struct stick_draft stick = {0};
    const char *stick_where = spec_join(l, where, "stick");
    if (!split)
        return true;
    if (!spec_bind(l, split, where, &spec_split_section, (struct spec_extra){0}, &draft) ||
        !load_arms(l, draft.arms, spec_join(l, where, "arms"), &draft.split) ||
        !spec_bind(l, draft.stick, stick_where, &spec_stick_section, (struct spec_extra){0},
                   &stick))
        return false;
    if (draft.stick && !stick.header == !stick.cookie)
        return spec_fail(l, spec_place_of(draft.stick), stick_where,
                         "needs one of header and cookie");
    draft.split.sticky_header = stick.header;
    draft.split.sticky_cookie = stick.cookie;
    if (!spec_check_token(l, draft.stick, stick_where, "header", stick.header) ||
        !spec_check_token(l, draft.stick, stick_where, "cookie", stick.cookie))
        return false;
    *ret = draft.split;
    return true;
}

/* ---- proxy ---- */

struct proxy_draft {
    struct spec_proxy proxy;
    const struct yaml_node *attach;
};

#define FIELD(member) offsetof(struct proxy_draft, member)
static const struct spec_field proxy_fields[] = {
    {"folder", FIELD_TEXT, FIELD(proxy.folder),
     .help = "for its configuration, maps and sockets (default: NAME.spica.proxy)"},
    {"unit", FIELD_TEXT, FIELD(proxy.unit),
     .help = "the systemd service that runs it, and is reloaded (default: guard starts it, and it "
             "outlives guard)"},
    {"user", FIELD_BOOL, FIELD(proxy.user), .fallback = "false",
     .help = "the unit is one of the user's own manager"},
    {"attach", FIELD_NODE, FIELD(attach),
     .help = "an HAProxy that exists, into which only sections of spica's own are written"},
};
#undef FIELD
const struct spec_section spec_proxy_section = {"guard.proxy", proxy_fields,
                                                ARRAY_LEN(proxy_fields)};

static const struct spec_field attach_fields[] = {
    {"socket", FIELD_TEXT, offsetof(struct spec_proxy, attach_socket), .required = true,
     .help = "its stats socket, with level admin"},
    {"file", FIELD_TEXT, offsetof(struct spec_proxy, attach_file), .required = true,
     .help = "the file with spica's sections, which it reads beside its own"},
};
const struct spec_section spec_attach_section = {"guard.proxy.attach", attach_fields,
                                                 ARRAY_LEN(attach_fields)};

bool spec_load_guard_proxy(struct spec_loader *l, const struct yaml_node *proxy,
                           struct spec_guard *g)
{
    struct proxy_draft draft = {.proxy = {.given = g->front_count > 0}};
    if (!spec_bind(l, proxy, "guard.proxy", &spec_proxy_section, (struct spec_extra){0}, &draft) ||
        !spec_settle_unit(l, proxy, "guard.proxy", &draft.proxy.unit) ||
        (draft.attach && !spec_bind(l, draft.attach, "guard.proxy.attach", &spec_attach_section,
                                    (struct spec_extra){0}, &draft.proxy)))
        return false;
    struct spec_proxy *p = &draft.proxy;
    if (proxy && g->front_count == 0)
        return spec_fail(l, spec_place_of(proxy), "guard.proxy",
                         "has nothing to carry: name a service under \"fronts\"");
    if (p->user && !p->unit)
        return spec_fail(l, spec_place_of(spec_yaml_get(proxy, "user")), "guard.proxy.user",
                         "goes with \"unit\"");
    if (!p->folder)
        p->folder = arena_printf(l->arena, "%s.spica.proxy", l->study->name);
    spec_make_absolute(l, &p->folder);
    spec_make_absolute(l, &p->attach_socket);
    spec_make_absolute(l, &p->attach_file);
    g->proxy = *p;
    return true;
}
