/* `engine:` and `engines:`: which server programs a service may be, and their options.
 *
 * However it was written, one shape comes out: a list of uses, each with every option that the file
 * or a knob sets. A knob with an option's name becomes the setting "{knob}", so that nobody after
 * this file needs to know that there were two ways to say it. */
#include "spec/loader.h"

#include "base/text.h"
#include "spec/template.h"

#include <string.h>

const struct spec_engine *spec_find_engine(struct spec_loader *l, struct spec_place place,
                                           const char *where, const char *name)
{
    const struct spec_engine *engine = spec_catalog_engine(l->catalog, name);
    size_t count = l->catalog->engine_count;
    if (engine)
        return engine;
    const char **names = arena_array(l->arena, count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = l->catalog->engines[i]->name;
    spec_fail(l, place, where,
              "there is no engine \"%s\"%s (there are %s; \"command\" runs any other program)",
              spec_quote(l, name), spec_did_you_mean(l, names, count, name),
              spec_list(l, names, count));
    return NULL;
}

static bool fail_option(struct spec_loader *l, const struct yaml_node *key, const char *where,
                        const struct spec_engine *engine)
{
    size_t count = engine->option_count;
    const char **names = arena_array(l->arena, count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = engine->options[i].name;
    const char *near = spec_did_you_mean(l, names, count, key->text);
    if (near[0])
        return spec_fail(l, spec_place_of(key), where, "%s has no such option%s", engine->name,
                         near);
    return spec_fail(l, spec_place_of(key), where, "%s has no such option; it has %s", engine->name,
                     spec_list(l, names, count));
}

/* Reads options from a mapping; keys that are no option are an error where `strict`. */
static bool load_settings(struct spec_loader *l, const struct yaml_node *map, const char *where,
                          bool strict, struct spec_engine_use *use)
{
    const struct spec_engine *engine = use->engine;
    for (const struct yaml_entry *e = map->first; e; e = e->next) {
        const char *key = e->key->text;
        const char *path = arena_printf(l->arena, "%s.%s", where, spec_quote(l, key));
        if (strict && strcmp(key, "program") == 0) {
            if (!spec_load_text(l, e->value, path, &use->program))
                return false;
            continue;
        }
        if (!strict && strcmp(key, "device") == 0)
            continue; /* the service's own, whatever the engine calls so */
        if (!spec_option_find(engine->options, engine->option_count, key)) {
            if (strict)
                return fail_option(l, e->key, path, engine);
            continue;
        }
        struct spec_setting *setting = &use->settings[use->setting_count++];
        *setting = (struct spec_setting){.name = key, .place = spec_place_of(e->value)};
        if (!spec_load_text(l, e->value, path, &setting->text))
            return false;
    }
    return true;
}

static const struct spec_setting *find_setting(const struct spec_engine_use *use, const char *name)
{
    for (size_t i = 0; i < use->setting_count; i++)
        if (strcmp(use->settings[i].name, name) == 0)
            return &use->settings[i];
    return NULL;
}

static const struct spec_knob *find_knob(const struct spec_study *study, size_t service,
                                         const char *name)
{
    for (size_t i = 0; i < study->knob_count; i++)
        if (study->knobs[i].service == service && strcmp(study->knobs[i].name, name) == 0)
            return &study->knobs[i];
    return NULL;
}

/* A knob that the file says nothing about takes after the option that it alone makes up; where the
 * engines of a service disagree, nothing is known. */
static void inherit_memory(struct spec_loader *l, const struct spec_service *s, size_t service)
{
    for (size_t i = 0; i < l->study->knob_count; i++) {
        struct spec_knob *knob = &l->study->knobs[i];
        unsigned found = 0; /* a bit per enum option_memory */
        if (knob->service != service || !knob->ordered || knob->memory != MEMORY_NONE)
            continue;
        const char *whole = arena_printf(l->arena, "{%s}", knob->name);
        for (size_t u = 0; u < s->engine_use_count; u++) {
            const struct spec_engine_use *use = &s->engine_uses[u];
            for (size_t n = 0; n < use->setting_count; n++)
                if (use->settings[n].text && strcmp(use->settings[n].text, whole) == 0)
                    found |= 1U << spec_option_find(use->engine->options, use->engine->option_count,
                                                    use->settings[n].name)
                                       ->memory;
        }
        for (int memory = MEMORY_NONE; memory < MEMORY_COUNT_; memory++)
            if (found == 1U << memory)
                knob->memory = (enum option_memory)memory;
    }
}

/* Knobs with an option's name set it. */
static void complete_use(struct spec_loader *l, const struct spec_service *s, size_t service,
                         struct spec_engine_use *use)
{
    const struct spec_engine *engine = use->engine;
    for (size_t i = 0; i < engine->option_count; i++) {
        const char *name = engine->options[i].name;
        const struct spec_knob *knob = find_knob(l->study, service, name);
        int index = knob ? (int)(knob - l->study->knobs) : -1;
        if (knob && index != s->engine_knob && index != s->device_knob && !find_setting(use, name))
            use->settings[use->setting_count++] = (struct spec_setting){
                .name = name, .place = knob->place, .text = arena_printf(l->arena, "{%s}", name)};
    }
    use->protocol = s->protocol ? s->protocol : spec_catalog_protocol(l->catalog, engine->protocol);
}

static struct spec_engine_use new_use(struct spec_loader *l, const struct spec_engine *engine,
                                      const char *program)
{
    return (struct spec_engine_use){
        .engine = engine,
        .program = program,
        .settings = arena_array(l->arena, engine->option_count, sizeof(struct spec_setting))};
}

static bool load_fixed(struct spec_loader *l, const struct spec_service_draft *draft,
                       size_t service)
{
    struct spec_service *s = &l->study->services[service];
    const struct spec_engine *engine = spec_catalog_engine(l->catalog, draft->engine);
    if (draft->engines)
        return spec_fail(l, spec_place_of(draft->engines), s->name,
                         "\"engines\" needs a knob that chooses one, as in engine: \"{server}\"");
    s->engine_uses = arena_array(l->arena, 1, sizeof *s->engine_uses);
    s->engine_use_count = 1;
    s->engine_uses[0] = new_use(l, engine, draft->program);
    if (!load_settings(l, draft->node, s->name, false, &s->engine_uses[0]))
        return false;
    complete_use(l, s, service, &s->engine_uses[0]);
    inherit_memory(l, s, service);
    return true;
}

/* One use per value of the knob; `engines` may give each its options. */
static bool load_chosen_use(struct spec_loader *l, const struct spec_service_draft *draft,
                            size_t service, const struct spec_value *value)
{
    struct spec_service *s = &l->study->services[service];
    const char *knob = l->study->knobs[s->engine_knob].full_name;
    if (!value->text)
        return spec_fail(l, value->place, knob, "null is no engine");
    const struct spec_engine *engine = spec_find_engine(l, value->place, knob, value->text);
    if (!engine)
        return false;
    struct spec_engine_use *use = &s->engine_uses[s->engine_use_count++];
    *use = new_use(l, engine, NULL);
    const struct yaml_node *options = spec_yaml_get(draft->engines, value->text);
    const char *where = arena_printf(l->arena, "%s.engines.%s", s->name, value->text);
    if (options && options->kind != YAML_MAP && !spec_yaml_is_null(options))
        return spec_fail(l, spec_place_of(options), where, "must be a mapping of options");
    if (options && !load_settings(l, options, where, true, use))
        return false;
    complete_use(l, s, service, use);
    return true;
}

static bool check_engines_map(struct spec_loader *l, const struct spec_service_draft *draft,
                              const struct spec_knob *knob)
{
    const char *where = arena_printf(l->arena, "%s.engines", draft->service.name);
    const char **engines = arena_array(l->arena, knob->value_count, sizeof *engines);
    for (size_t i = 0; i < knob->value_count; i++)
        engines[i] = knob->values[i].text;
    if (draft->program)
        return spec_fail(l, spec_place_of(spec_yaml_get(draft->node, "program")),
                         draft->service.name,
                         "\"program\" belongs to each engine here: put it under \"engines\"");
    if (draft->engines && draft->engines->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(draft->engines), where,
                         "must be a mapping of engines by name");
    for (const struct yaml_entry *e = draft->engines ? draft->engines->first : NULL; e; e = e->next)
        if (text_index(engines, (int)knob->value_count, e->key->text) < 0)
            return spec_fail(l, spec_place_of(e->key), where, "%s has no value \"%s\"%s",
                             knob->full_name, spec_quote(l, e->key->text),
                             spec_did_you_mean(l, engines, knob->value_count, e->key->text));
    return true;
}

static bool load_chosen(struct spec_loader *l, const struct spec_service_draft *draft,
                        size_t service, const char *name)
{
    struct spec_service *s = &l->study->services[service];
    struct spec_place place = spec_place_of(spec_yaml_get(draft->node, "engine"));
    const char *where = arena_printf(l->arena, "%s.engine", s->name);
    const struct spec_knob *knob = find_knob(l->study, service, name);
    if (!knob)
        return spec_fail(l, place, where, "%s has no knob \"%s\"", s->name, spec_quote(l, name));
    if (knob->when)
        return spec_fail(l, knob->place, knob->full_name,
                         "chooses the engine, so it can have no \"when\"");
    s->engine_knob = (int)(knob - l->study->knobs);
    s->engine_uses = arena_array(l->arena, knob->value_count, sizeof *s->engine_uses);
    if (!check_engines_map(l, draft, knob))
        return false;
    for (size_t i = 0; i < knob->value_count; i++)
        if (!load_chosen_use(l, draft, service, &knob->values[i]))
            return false;
    inherit_memory(l, s, service);
    return true;
}

bool spec_load_engines(struct spec_loader *l, const struct spec_service_draft *draft,
                       size_t service)
{
    struct spec_piece piece;
    if (!draft->engine)
        return true;
    if (!spec_template_is_name(draft->engine, &piece))
        return load_fixed(l, draft, service);
    return load_chosen(l, draft, service, arena_strndup(l->arena, piece.text, piece.len));
}
