/* `services:`: first every service's plain keys, then all knobs in file order (conditions name
 * earlier ones, of other services too), then what may hold placeholders. */
#include "spec/loader.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "spec/template.h"

#include <ctype.h>
#include <string.h>

#define FIELD(member) offsetof(struct spec_service_draft, member)
static const struct spec_field service_fields[] = {
    {"role", FIELD_CHOICE, FIELD(role), .choices = spec_role_names, .choice_count = ROLE_COUNT_,
     .help = "what it is for: stt, llm, other (default: the engine's)"},
    {"engine", FIELD_TEXT, FIELD(engine),
     .help = "the server program by name, or \"{knob}\" to let a knob choose one of `engines`"},
    {"engines", FIELD_NODE, FIELD(engines),
     .help = "with engine: \"{knob}\": the options of each engine, by its name"},
    {"program", FIELD_TEXT, FIELD(program),
     .help = "path of the engine's program (default: found on PATH)"},
    {"command", FIELD_NODE, FIELD(command),
     .help = "any other program: a list, the program first; never run by a shell"},
    {"container", FIELD_NODE, FIELD(container),
     .help = "a container: its podman or docker command line as a list, [podman, run, ...]"},
    {"args", FIELD_NODE, FIELD(arguments), .help = "further arguments for the engine: a list"},
    {"environment", FIELD_NODE, FIELD(environment),
     .help = "names to text, or null to leave a variable out; NAME: \"{NAME}\" hands on what spica "
             "was given, which a variable of api_key_env needs"},
    {"folder", FIELD_TEXT, FIELD(service.folder),
     .help = "working folder (default: the study file's)"},
    {"protocol", FIELD_TEXT, FIELD(protocol), .help = "how it is asked (default: the engine's)"},
    {"path", FIELD_TEXT, FIELD(path), .help = "HTTP path of requests (default: the protocol's)"},
    {"on", FIELD_CHOICE, FIELD(on), .choices = (const char *const[]){"cpu", "gpu"},
     .choice_count = 2, .help = "where it must compute: cpu, gpu (default: as its device)"},
    {"device", FIELD_TEXT, FIELD(device),
     .help = "a device of its own (default: the study's), or a knob of this name"},
    {"answers", FIELD_CHOICE, FIELD(answers),
     .choices = (const char *const[]){"checked", "unchecked"}, .choice_count = 2,
     .fallback = "checked",
     .help = "unchecked: texts mean nothing (random weights); transport, tokens and the reason to "
             "finish are still checked"},
    {"tls", FIELD_BOOL, FIELD(tls), .map_offset = FIELD(tls_map), .fallback = "false",
     .help = "it speaks https: true, or how its certificate is checked"},
    {"ready", FIELD_NODE, FIELD(ready), .help = "when it counts as ready"},
    {"knobs", FIELD_NODE, FIELD(knobs), .help = "the settings to try, by name"},
    {"memory_limit", FIELD_SIZE, FIELD(service.memory_limit_bytes), .min = 1 << 20, .max = 1e15,
     .help = "a limit on its process tree"},
    {"stop_grace", FIELD_DURATION, FIELD(service.stop_grace_ns), .min = 0, .max = 600,
     .fallback = "10s", .help = "from asking it to end to killing it"},
    {"allow_download", FIELD_BOOL, FIELD(service.allow_download), .fallback = "false",
     .help = "whether a trial may fetch weights from the network"},
    {"fresh", FIELD_BOOL, FIELD(service.fresh), .fallback = "false",
     .help = "restart it for every trial, even when nothing changed"},
};
#undef FIELD
const struct spec_section spec_service_section = {"services.NAME", service_fields,
                                                  ARRAY_LEN(service_fields)};

struct ready_draft {
    const char *http;
    int64_t within_ns;
};
static const struct spec_field ready_fields[] = {
    {"http", FIELD_TEXT, offsetof(struct ready_draft, http),
     .help = "path that answers 200 when ready (default: the engine's, else the open port)"},
    {"within", FIELD_DURATION, offsetof(struct ready_draft, within_ns), .min = 0.1, .max = 7200,
     .fallback = "60s", .help = "deadline (default: the engine's, where it has one)"},
};
const struct spec_section spec_ready_section = {"services.NAME.ready", ready_fields,
                                                ARRAY_LEN(ready_fields)};

/* Engine options may stand directly under a service with one engine, so the engine comes first. */
static bool engine_keys(struct spec_loader *l, const struct yaml_node *node, const char *service,
                        struct spec_extra *ret_keys)
{
    const struct yaml_node *name = spec_yaml_get(node, "engine");
    struct spec_piece piece;
    *ret_keys = (struct spec_extra){0};
    if (!name || name->kind != YAML_SCALAR || spec_yaml_is_null(name) ||
        spec_template_is_name(name->text, &piece))
        return true;
    const struct spec_engine *engine = spec_find_engine(
        l, spec_place_of(name), arena_printf(l->arena, "%s.engine", service), name->text);
    if (!engine)
        return false;
    const char **names = arena_array(l->arena, engine->option_count, sizeof *names);
    for (size_t i = 0; i < engine->option_count; i++)
        names[i] = engine->options[i].name;
    *ret_keys = (struct spec_extra){names, engine->option_count};
    return true;
}

static bool load_path(struct spec_loader *l, const struct yaml_node *node, const char *where,
                      const char *path)
{
    if (!path || path[0] == '/')
        return true;
    return spec_fail(l, spec_place_of(node), where, "\"%s\": an HTTP path starts with \"/\"",
                     spec_quote(l, path));
}

static bool load_ready(struct spec_loader *l, struct spec_service_draft *draft)
{
    struct spec_service *s = &draft->service;
    struct ready_draft ready = {0};
    const char *where = arena_printf(l->arena, "%s.ready", s->name);
    if (!spec_bind(l, draft->ready, where, &spec_ready_section, (struct spec_extra){0}, &ready))
        return false;
    s->ready_path = ready.http;
    s->ready_within_ns = ready.within_ns;
    return load_path(l, draft->ready, where, ready.http);
}

static bool load_protocol(struct spec_loader *l, struct spec_service_draft *draft)
{
    const char *name = draft->protocol;
    if (!name)
        return true;
    draft->service.protocol = spec_catalog_protocol(l->catalog, name);
    if (draft->service.protocol)
        return true;
    size_t count = l->catalog->protocol_count;
    const char **names = arena_array(l->arena, count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = l->catalog->protocols[i]->name;
    return spec_fail(l, spec_place_of(spec_yaml_get(draft->node, "protocol")),
                     arena_printf(l->arena, "%s.protocol", draft->service.name),
                     "there is no protocol \"%s\"%s (there are %s)", spec_quote(l, name),
                     spec_did_you_mean(l, names, count, name), spec_list(l, names, count));
}

static bool load_plain(struct spec_loader *l, const struct yaml_entry *entry,
                       struct spec_service_draft *draft)
{
    const char *name = entry->key->text;
    if (!spec_is_name(name))
        return spec_fail(l, spec_place_of(entry->key), "services",
                         "\"%s\" is no name: a small letter, then small letters, digits and \"_\", "
                         "at most 32",
                         spec_quote(l, name));
    *draft = (struct spec_service_draft){.role = -1, .on = -1, .node = entry->value};
    struct spec_service *s = &draft->service;
    s->name = name;
    s->engine_knob = s->device_knob = -1;
    s->place = spec_place_of(entry->key);
    s->folder = l->study->folder;
    struct spec_extra keys;
    if (!engine_keys(l, entry->value, name, &keys) ||
        !spec_bind(l, entry->value, name, &spec_service_section, keys, draft))
        return false;
    if (!draft->engine && !draft->command && !draft->container)
        return spec_fail(l, s->place, name,
                         "needs \"engine\" (a known server) or \"command\" "
                         "(any other program, as a list)");
    if (draft->engine && draft->command)
        return spec_fail(l, s->place, name, "has both \"engine\" and \"command\": one of them");
    if (draft->container && (draft->engine || draft->command))
        return spec_fail(l, s->place, name, "has both \"container\" and \"%s\": one of them",
                         draft->engine ? "engine" : "command");
    if (s->folder != l->study->folder) {
        char *joined = file_join(l->study->folder, s->folder);
        s->folder = arena_strdup(l->arena, joined);
        free(joined);
    }
    s->answers_unchecked = draft->answers == 1;
    s->protocol_path = draft->path;
    return load_path(l, spec_yaml_get(entry->value, "path"), name, draft->path) &&
           load_ready(l, draft) && spec_load_tls(l, draft, s) && load_protocol(l, draft) &&
           spec_check_by_request(l, draft);
}

/* Where the file sets no deadline, the slowest of the service's engines does. */
static void wait_for_engines(struct spec_service *s, const struct spec_service_draft *draft)
{
    if (draft->ready && spec_yaml_get(draft->ready, "within"))
        return;
    for (size_t i = 0; i < s->engine_use_count; i++)
        if (s->engine_uses[i].engine->ready_within_ns > s->ready_within_ns)
            s->ready_within_ns = s->engine_uses[i].engine->ready_within_ns;
}

static bool load_parts(struct spec_loader *l, const struct spec_service_draft *drafts)
{
    struct spec_study *study = l->study;
    if (!spec_load_knobs(l, drafts) || !spec_place_services(l, drafts))
        return false;
    for (size_t i = 0; i < study->service_count; i++) {
        struct spec_service *s = &study->services[i];
        if (!spec_load_engines(l, &drafts[i], i) || !spec_load_commands(l, &drafts[i], i) ||
            !spec_check_tls(l, &drafts[i], s))
            return false;
        wait_for_engines(s, &drafts[i]);
        s->role = drafts[i].role >= 0       ? (enum spec_role)drafts[i].role
                  : s->engine_use_count > 0 ? s->engine_uses[0].engine->role
                                            : ROLE_OTHER;
        s->load.max_wer = __builtin_nan(""); /* until `load:` says more */
    }
    return true;
}

bool spec_load_services(struct spec_loader *l, const struct yaml_node *services)
{
    struct spec_study *study = l->study;
    size_t n = 0;
    if (services->kind != YAML_MAP || services->count == 0)
        return spec_fail(l, spec_place_of(services), "services",
                         "must be a mapping of at least one service by its name");
    if (services->count > SPEC_SERVICES_MAX)
        return spec_fail(l, spec_place_of(services), "services", "at most 32 services");
    struct spec_service_draft *drafts = arena_array(l->arena, services->count, sizeof *drafts);
    study->services = arena_array(l->arena, services->count, sizeof *study->services);
    for (const struct yaml_entry *e = services->first; e; e = e->next, n++) {
        if (!load_plain(l, e, &drafts[n]))
            return false;
        study->services[n] = drafts[n].service;
    }
    study->service_count = n;
    return load_parts(l, drafts);
}

/* ---- command, args, environment ---- */

bool spec_load_list(struct spec_loader *l, const struct yaml_node *node, const char *where,
                    struct spec_setting **ret_items, size_t *ret_count)
{
    if (node->kind == YAML_SCALAR && !spec_yaml_is_null(node))
        return spec_fail(l, spec_place_of(node), where,
                         "must be a list, as in [python3, server.py, \"{port}\"]: no shell splits "
                         "one text into words");
    if (node->kind != YAML_LIST)
        return spec_fail(l, spec_place_of(node), where, "must be a list, this is %s",
                         spec_yaml_kind_name(node));
    if (node->count > 1000)
        return spec_fail(l, spec_place_of(node), where, "at most 1,000 arguments");
    size_t n = 0;
    struct spec_setting *items = arena_array(l->arena, node->count, sizeof *items);
    for (const struct yaml_entry *e = node->first; e; e = e->next, n++) {
        items[n].place = spec_place_of(e->value);
        if (!spec_load_text(l, e->value, where, &items[n].text))
            return false;
        if (!items[n].text)
            return spec_fail(l, items[n].place, where,
                             "an argument is empty: quote it (\"\") if "
                             "that is meant");
    }
    *ret_items = items;
    *ret_count = n;
    return true;
}

bool spec_is_variable(const char *name)
{
    size_t i = 0;
    while (isalnum((unsigned char)name[i]) || name[i] == '_')
        i++;
    return i > 0 && i <= 128 && name[i] == '\0' && !isdigit((unsigned char)name[0]);
}

static bool load_environment(struct spec_loader *l, const struct yaml_node *node,
                             struct spec_service *s)
{
    const char *where = arena_printf(l->arena, "%s.environment", s->name);
    size_t n = 0;
    if (node->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a mapping of names to text, this is %s",
                         spec_yaml_kind_name(node));
    if (node->count > 1000)
        return spec_fail(l, spec_place_of(node), where, "at most 1,000 variables");
    s->environment = arena_array(l->arena, node->count, sizeof *s->environment);
    for (const struct yaml_entry *e = node->first; e; e = e->next, n++) {
        const char *name = e->key->text;
        if (!spec_is_variable(name))
            return spec_fail(l, spec_place_of(e->key), where,
                             "\"%s\" is no variable's name: letters, digits and \"_\"",
                             spec_quote(l, name));
        s->environment[n] = (struct spec_setting){.name = name, .place = spec_place_of(e->value)};
        if (!spec_load_text(l, e->value, arena_printf(l->arena, "%s.%s", where, name),
                            &s->environment[n].text))
            return false;
    }
    s->environment_count = n;
    return true;
}

bool spec_load_commands(struct spec_loader *l, const struct spec_service_draft *draft,
                        size_t service)
{
    struct spec_service *s = &l->study->services[service];
    if (draft->environment && !load_environment(l, draft->environment, s))
        return false;
    if (draft->arguments &&
        !spec_load_list(l, draft->arguments, arena_printf(l->arena, "%s.args", s->name),
                        &s->arguments, &s->argument_count))
        return false;
    if (draft->container)
        return spec_load_container(l, draft, s);
    if (!draft->command)
        return true;
    static const char *const engine_only[] = {"args", "program", "engines"};
    for (size_t i = 0; i < ARRAY_LEN(engine_only); i++) {
        const struct yaml_node *node = spec_yaml_get(draft->node, engine_only[i]);
        if (node)
            return spec_fail(l, spec_place_of(node), s->name,
                             "\"%s\" goes with \"engine\"; here everything is in \"command\"",
                             engine_only[i]);
    }
    const char *where = arena_printf(l->arena, "%s.command", s->name);
    if (!spec_load_list(l, draft->command, where, &s->command, &s->command_count))
        return false;
    if (s->command_count == 0 || s->command[0].text[0] == '\0')
        return spec_fail(l, spec_place_of(draft->command), where, "needs a program");
    return true;
}
