/* One service of `production:`: where it runs, and what is written there.
 *
 * The kind follows from the keys: each names the one thing that a person thinks of (a unit, a
 * file). Rejected: `kind: compose` beside them, a second way to say the same, which could disagree.
 *
 * Every knob of the service must reach production, else the winner there would be another one than
 * was measured and nobody would notice; `except` names those that production settles by itself.
 *
 * Secrets are taken literally: a brace in a password opens no placeholder, and no message that
 * quotes a text can show one. */
#include "spec/load_production.h"

#include "base/text.h"
#include "spec/template.h"

#include <ctype.h>
#include <string.h>

const char *const spec_production_names[PRODUCTION_COUNT_] = {
    [PRODUCTION_NONE] = "none",
    [PRODUCTION_UNIT] = "unit",
    [PRODUCTION_ENV_FILE] = "env_file",
    [PRODUCTION_COMPOSE] = "compose",
    [PRODUCTION_KUBERNETES] = "kubernetes",
    [PRODUCTION_COMMAND] = "command",
};

struct production_draft {
    const char *unit, *env_file, *compose, *service, *override, *kubernetes, *deployment,
        *container, *space;
    bool user;
    int port;
    int64_t within_ns;
    const struct yaml_node *exec, *environment, *command, *except;
};

#define FIELD(member) offsetof(struct production_draft, member)
static const struct spec_field production_fields[] = {
    {"unit", FIELD_TEXT, FIELD(unit),
     .help = "the systemd service that it is; a drop-in is written beside it, or with env_file it "
             "is restarted only"},
    {"user", FIELD_BOOL, FIELD(user), .fallback = "false",
     .help = "the unit is one of the user's own manager"},
    {"env_file", FIELD_TEXT, FIELD(env_file),
     .help = "a file of NAME=value lines that the unit reads; lines that are not spica's stay"},
    {"compose", FIELD_TEXT, FIELD(compose), .help = "a Docker Compose file"},
    {"service", FIELD_TEXT, FIELD(service), .help = "with compose: the service's name in it"},
    {"override", FIELD_TEXT, FIELD(override),
     .help = "with compose: the file that is written, in which nothing else may stand"},
    {"kubernetes", FIELD_TEXT, FIELD(kubernetes),
     .help = "the patch file that is written; it is never applied"},
    {"deployment", FIELD_TEXT, FIELD(deployment), .help = "with kubernetes: the deployment's name"},
    {"container", FIELD_TEXT, FIELD(container),
     .help = "with kubernetes: the container's name (default: the deployment's)"},
    {"namespace", FIELD_TEXT, FIELD(space), .help = "with kubernetes: its namespace"},
    {"command", FIELD_NODE, FIELD(command), .help = "any other way: commands of your own"},
    {"port", FIELD_INT, FIELD(port), .min = 1, .max = 65535,
     .help = "where it serves in production: {port} in what is written, and where it is asked "
             "when a promotion is verified"},
    {"exec", FIELD_NODE, FIELD(exec),
     .help = "its whole command line as a list, or, with unit, as-measured: what the study ran, "
             "with its variables and working folder (default: left as it is)"},
    {"environment", FIELD_NODE, FIELD(environment),
     .help = "names to text with placeholders, to {secret: TEXT}, which is never shown or stored "
             "and holds no placeholders, or to null: the variable is taken away"},
    {"except", FIELD_NODE, FIELD(except),
     .help = "a list of knobs that production settles by itself; every other one must be in what "
             "is written"},
    {"within", FIELD_DURATION, FIELD(within_ns), .min = 0.1, .max = 7200,
     .help = "to be ready again (default: ready.within of the service)"},
};
const struct spec_section spec_production_section = {"production.SERVICE", production_fields,
                                                     ARRAY_LEN(production_fields)};
#undef FIELD

struct hand_draft {
    const struct yaml_node *apply, *verify, *rollback;
};
static const struct spec_field hand_fields[] = {
    {"apply", FIELD_NODE, offsetof(struct hand_draft, apply), .required = true,
     .help = "puts the winner into production: a list, the program first; never run by a shell"},
    {"verify", FIELD_NODE, offsetof(struct hand_draft, verify),
     .help = "exit status 0: it is there and well (default: only what spica itself sees)"},
    {"rollback", FIELD_NODE, offsetof(struct hand_draft, rollback), .required = true,
     .help = "puts back what was there before; it may be run twice, and without an apply"},
};
const struct spec_section spec_hand_section = {"production.SERVICE.command", hand_fields,
                                               ARRAY_LEN(hand_fields)};

/* ---- which keys go together ---- */

enum {
    IN_UNIT = 1 << PRODUCTION_UNIT,
    IN_FILE = 1 << PRODUCTION_ENV_FILE,
    IN_COMPOSE = 1 << PRODUCTION_COMPOSE,
    IN_KUBE = 1 << PRODUCTION_KUBERNETES,
    IN_COMMAND = 1 << PRODUCTION_COMMAND,
    IN_ALL = IN_UNIT | IN_FILE | IN_COMPOSE | IN_KUBE | IN_COMMAND,
};
static const struct {
    const char *key;
    unsigned goes_with, needed_by; /* bits of kinds */
} keys[] = {
    {"unit", IN_UNIT | IN_FILE, IN_UNIT | IN_FILE},
    {"user", IN_UNIT | IN_FILE, 0},
    {"env_file", IN_FILE, IN_FILE},
    {"compose", IN_COMPOSE, IN_COMPOSE},
    {"service", IN_COMPOSE, IN_COMPOSE},
    {"override", IN_COMPOSE, IN_COMPOSE},
    {"kubernetes", IN_KUBE, IN_KUBE},
    {"deployment", IN_KUBE, IN_KUBE},
    {"container", IN_KUBE, 0},
    {"namespace", IN_KUBE, 0},
    {"command", IN_COMMAND, IN_COMMAND},
    {"exec", IN_UNIT | IN_COMPOSE | IN_KUBE, 0},
    {"environment", IN_ALL & ~IN_COMMAND, IN_FILE},
};

static bool find_kind(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      enum production_kind *ret_kind)
{
    static const struct {
        const char *key;
        enum production_kind kind;
    } signs[] = {
        {"command", PRODUCTION_COMMAND},
        {"compose", PRODUCTION_COMPOSE},
        {"kubernetes", PRODUCTION_KUBERNETES},
        {"env_file", PRODUCTION_ENV_FILE},
        {"unit", PRODUCTION_UNIT},
    };
    size_t first = 0;
    while (first < ARRAY_LEN(signs) && !spec_yaml_get(node, signs[first].key))
        first++;
    if (first == ARRAY_LEN(signs))
        return spec_fail(l, spec_place_of(node), where,
                         "needs one of unit, env_file, compose, kubernetes, command");
    *ret_kind = signs[first].kind;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct yaml_node *value = spec_yaml_get(node, keys[i].key);
        if (value && !(keys[i].goes_with >> *ret_kind & 1))
            return spec_fail(l, spec_place_of(value), spec_join(l, where, keys[i].key),
                             "does not go with \"%s\"%s", signs[first].key,
                             strcmp(keys[i].key, "exec") == 0 && *ret_kind == PRODUCTION_ENV_FILE
                                 ? ": a file of variables holds no command; use unit alone"
                                 : "");
        if (!value && keys[i].needed_by >> *ret_kind & 1)
            return spec_fail(l, spec_place_of(node), where, "\"%s\" needs \"%s\"", signs[first].key,
                             keys[i].key);
    }
    return true;
}

/* ---- names ---- */

/* "whisper" is "whisper.service"; an instance of a template is fine, the template alone is none. */
bool spec_settle_unit(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      const char **unit)
{
    enum { UNIT_NAME_MAX = 255 };
    if (!*unit)
        return true;
    const char *dot = strrchr(*unit, '.');
    const struct spec_place place = spec_place_of(spec_yaml_get(node, "unit"));
    where = spec_join(l, where, "unit");
    for (const char *c = *unit; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(":-_.\\@", *c))
            return spec_fail(l, place, where, "\"%s\" is no unit's name", spec_quote(l, *unit));
    static const char *const others[] = {".socket", ".target", ".timer", ".slice",
                                         ".scope",  ".mount",  ".path",  ".device"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (text_ends_with(*unit, others[i]))
            return spec_fail(l, place, where, "\"%s\": only a service has a command and variables",
                             spec_quote(l, *unit));
    if (!dot || strcmp(dot, ".service") != 0)
        *unit = arena_printf(l->arena, "%s.service", *unit);
    if (**unit == '@' || **unit == '.' || strlen(*unit) > UNIT_NAME_MAX)
        return spec_fail(l, place, where, "\"%s\" is no unit's name", spec_quote(l, *unit));
    if (text_ends_with(*unit, "@.service"))
        return spec_fail(l, place, where, "\"%s\" is a template: name an instance of it",
                         spec_quote(l, *unit));
    return true;
}

/* Names that are written into YAML and given to other programs. */
static bool check_name(struct spec_loader *l, const struct yaml_node *node, const char *where,
                       const char *key, const char *name)
{
    if (!name)
        return true;
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (len > 0 && len <= 253 && name[len] == '\0' && isalnum((unsigned char)name[0]))
        return true;
    return spec_fail(l, spec_place_of(spec_yaml_get(node, key)), spec_join(l, where, key),
                     "\"%s\" is no name: letters, digits, \".\", \"_\" and \"-\"",
                     spec_quote(l, name));
}

/* ---- what is written ---- */

static const char *literal(struct spec_loader *l, const char *text)
{
    struct buf buf = BUF_INIT(2 * SPEC_TEXT_MAX);
    for (; *text; text++)
        buf_add(&buf, *text == '{' ? "{{" : (const char[]){*text, '\0'});
    const char *result = arena_strdup(l->arena, buf_text(&buf));
    buf_done(&buf);
    return result;
}

static bool load_variable(struct spec_loader *l, const struct yaml_entry *e, const char *where,
                          struct spec_setting *ret_setting, bool *ret_secret)
{
    const char *name = e->key->text;
    const struct yaml_node *value = e->value;
    if (!spec_is_variable(name))
        return spec_fail(l, spec_place_of(e->key), where,
                         "\"%s\" is no variable's name: letters, digits and \"_\"",
                         spec_quote(l, name));
    where = spec_join(l, where, name);
    *ret_secret = value->kind == YAML_MAP;
    if (value->kind == YAML_MAP) {
        const struct yaml_node *secret = spec_yaml_get(value, "secret");
        if (!secret || value->count != 1 || secret->kind != YAML_SCALAR ||
            spec_yaml_is_null(secret))
            return spec_fail(l, spec_place_of(value), where,
                             "must be text, null, or {secret: TEXT}");
        value = secret;
    }
    *ret_setting = (struct spec_setting){.name = name, .place = spec_place_of(value)};
    if (!spec_load_text(l, value, where, &ret_setting->text))
        return false;
    if (ret_setting->text && ret_setting->text[strcspn(ret_setting->text, "\n\r")])
        return spec_fail(l, ret_setting->place, where, "must be one line");
    if (*ret_secret && ret_setting->text)
        ret_setting->text = literal(l, ret_setting->text);
    return true;
}

static bool load_environment(struct spec_loader *l, const struct yaml_node *node, const char *where,
                             struct spec_production *p)
{
    if (!node)
        return true;
    if (node->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a mapping of names to text, this is %s",
                         spec_yaml_kind_name(node));
    if (node->count > 1000)
        return spec_fail(l, spec_place_of(node), where, "at most 1,000 variables");
    p->environment = arena_array(l->arena, node->count, sizeof *p->environment);
    p->secret = arena_array(l->arena, node->count, sizeof *p->secret);
    for (const struct yaml_entry *e = node->first; e; e = e->next, p->environment_count++)
        if (!load_variable(l, e, where, &p->environment[p->environment_count],
                           &p->secret[p->environment_count]))
            return false;
    return true;
}

static bool load_exec(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      struct spec_production *p)
{
    if (!node)
        return true;
    if (node->kind == YAML_SCALAR && strcmp(node->text, "as-measured") == 0) {
        p->exec_as_measured = true;
        return p->kind == PRODUCTION_UNIT ||
               spec_fail(l, spec_place_of(node), where,
                         "as-measured goes with unit: a container has paths of its own; write the "
                         "command as a list");
    }
    return spec_load_argv(l, node, where, &p->exec);
}

static bool load_hand(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      struct spec_production *p)
{
    struct hand_draft draft = {0};
    if (p->kind != PRODUCTION_COMMAND)
        return true;
    if (!spec_bind(l, node, where, &spec_hand_section, (struct spec_extra){0}, &draft))
        return false;
    return spec_load_argv(l, draft.apply, spec_join(l, where, "apply"), &p->apply) &&
           (!draft.verify ||
            spec_load_argv(l, draft.verify, spec_join(l, where, "verify"), &p->verify)) &&
           spec_load_argv(l, draft.rollback, spec_join(l, where, "rollback"), &p->rollback);
}

/* ---- placeholders ---- */

struct texts {
    const struct spec_setting *items;
    size_t count;
    const char *part;
};

static bool names(const struct spec_piece *piece, const char *name)
{
    return piece->kind == PIECE_NAME && strlen(name) == piece->len &&
           strncmp(name, piece->text, piece->len) == 0;
}

/* {dir} is a trial's, {port} must be known. */
static bool check_builtins(struct spec_loader *l, const struct spec_production *p,
                           const struct texts *texts, const char *where)
{
    for (size_t i = 0; i < texts->count; i++) {
        const char *at = texts->items[i].text ? texts->items[i].text : "";
        struct spec_piece piece;
        while (spec_template_next(&at, &piece)) {
            if (names(&piece, "dir"))
                return spec_fail(l, texts->items[i].place, where,
                                 "{dir} is a trial's own folder; production has none");
            if (names(&piece, "port") && p->port == 0)
                return spec_fail(l, texts->items[i].place, where,
                                 "{port}: say with \"port\" where it serves in production");
        }
    }
    return true;
}

static bool check_texts(struct spec_loader *l, size_t service, const struct spec_production *p,
                        const char *where, uint64_t *used)
{
    const struct texts all[] = {
        {p->environment, p->environment_count, "environment"},
        {p->exec.items, p->exec.count, "exec"},
        {p->apply.items, p->apply.count, "command.apply"},
        {p->verify.items, p->verify.count, "command.verify"},
        {p->rollback.items, p->rollback.count, "command.rollback"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const char *part = spec_join(l, where, all[i].part);
        if (!check_builtins(l, p, &all[i], part) ||
            !spec_check_texts(l, service, all[i].items, all[i].count, part, used))
            return false;
    }
    return true;
}

static bool load_except(struct spec_loader *l, const struct yaml_node *node, const char *where,
                        size_t service, uint64_t *ret_bits)
{
    const struct spec_study *study = l->study;
    if (node && node->kind != YAML_LIST)
        return spec_fail(l, spec_place_of(node), where, "must be a list of knobs");
    for (const struct yaml_entry *e = node ? node->first : NULL; e; e = e->next) {
        const char *known[64] = {NULL};
        size_t count = 0, found = study->knob_count;
        for (size_t i = 0; i < study->knob_count && count < ARRAY_LEN(known); i++)
            if (study->knobs[i].service == service) {
                known[count++] = study->knobs[i].name;
                if (strcmp(study->knobs[i].name, e->value->text) == 0)
                    found = i;
            }
        if (found == study->knob_count)
            return spec_fail(l, spec_place_of(e->value), where, "%s has no knob \"%s\"%s",
                             study->services[service].name, spec_quote(l, e->value->text),
                             spec_did_you_mean(l, known, count, e->value->text));
        *ret_bits |= UINT64_C(1) << found;
    }
    return true;
}

static bool check_knobs(struct spec_loader *l, size_t service, const struct spec_production *p,
                        const char *where, uint64_t used)
{
    for (size_t i = 0; i < l->study->knob_count && !p->exec_as_measured; i++) {
        const struct spec_knob *knob = &l->study->knobs[i];
        if (knob->service != service || (used | p->except) >> i & 1)
            continue;
        return spec_fail(l, p->place, where,
                         "nothing takes %s to production: put {%s} into %s, or name it in "
                         "\"except\"",
                         knob->full_name, knob->name,
                         p->kind == PRODUCTION_COMMAND    ? "apply"
                         : p->kind == PRODUCTION_ENV_FILE ? "environment"
                                                          : "environment or exec");
    }
    return true;
}

/* Without "./", so that equal files have equal paths: systemd's among them. */
static void make_absolute(struct spec_loader *l, const char **path)
{
    while (*path && text_starts_with(*path, "./"))
        *path += 2;
    spec_make_absolute(l, path);
}

static bool settle_files(struct spec_loader *l, const struct yaml_node *node, const char *where,
                         const struct production_draft *draft, struct spec_production *p)
{
    p->file = draft->env_file     ? draft->env_file
              : draft->override   ? draft->override
              : draft->kubernetes ? draft->kubernetes
                                  : NULL;
    p->compose_file = draft->compose;
    make_absolute(l, &p->file);
    make_absolute(l, &p->compose_file);
    if (p->compose_file && strcmp(p->file, p->compose_file) == 0)
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "override")),
                         spec_join(l, where, "override"),
                         "is the Compose file itself: a file of its own is written");
    p->name = draft->service ? draft->service : draft->deployment;
    p->container = draft->container;
    p->space = draft->space;
    return check_name(l, node, where, "service", draft->service) &&
           check_name(l, node, where, "deployment", draft->deployment) &&
           check_name(l, node, where, "container", draft->container) &&
           check_name(l, node, where, "namespace", draft->space);
}

bool spec_load_production_of(struct spec_loader *l, const struct yaml_node *node, size_t service,
                             struct spec_production *ret)
{
    struct production_draft draft = {0};
    const struct spec_service *s = &l->study->services[service];
    const char *where = arena_printf(l->arena, "production.%s", s->name);
    struct spec_production p = {.place = spec_place_of(node)};
    uint64_t used = 0;
    if (!spec_bind(l, node, where, &spec_production_section, (struct spec_extra){0}, &draft) ||
        !find_kind(l, node, where, &p.kind))
        return false;
    p.unit = draft.unit;
    p.user = draft.user;
    p.port = draft.port;
    p.within_ns = draft.within_ns ? draft.within_ns : s->ready_within_ns;
    if (!spec_settle_unit(l, node, where, &p.unit) || !settle_files(l, node, where, &draft, &p) ||
        !load_environment(l, draft.environment, spec_join(l, where, "environment"), &p) ||
        !load_exec(l, draft.exec, spec_join(l, where, "exec"), &p) ||
        !load_hand(l, draft.command, spec_join(l, where, "command"), &p) ||
        !load_except(l, draft.except, spec_join(l, where, "except"), service, &p.except))
        return false;
    if (p.kind != PRODUCTION_COMMAND && !p.environment_count && !p.exec.count &&
        !p.exec_as_measured)
        return spec_fail(l, p.place, where,
                         "needs \"environment\" or \"exec\": nothing would be written");
    if (p.exec_as_measured && p.port == 0)
        return spec_fail(l, p.place, where, "exec: as-measured needs \"port\"");
    if (!check_texts(l, service, &p, where, &used) || !check_knobs(l, service, &p, where, used))
        return false;
    *ret = p;
    return true;
}
