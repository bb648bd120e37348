/* Knobs and what they are put into, checked against each other once both are known: every
 * placeholder names a knob of its service, every knob changes something, and every option gets only
 * values that it takes, whichever value the knob has.
 *
 * A knob that nothing uses would double the trials and explain nothing: a misspelt option name is
 * the usual cause, which is why the message looks for the nearest option. */
#include "spec/loader.h"

#include "base/text.h"
#include "spec/space.h"
#include "spec/template.h"

#include <string.h>

enum { BUILTINS_MAX = 8 };

struct uses {
    struct spec_loader *l;
    size_t service;
    uint64_t used; /* bit per knob */
};

static bool check_option(struct spec_loader *l, const struct spec_option *option,
                         struct spec_place place, const char *where, const char *text)
{
    size_t choices = 0;
    int64_t whole = 0;
    double number = 0;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
        return text[0] ? true : spec_fail(l, place, where, "is empty");
    case OPTION_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return true;
        return spec_fail(l, place, where, "\"%s\": must be true or false", spec_quote(l, text));
    case OPTION_CHOICE:
        while (option->choices[choices])
            choices++;
        if (text_index(option->choices, (int)choices, text) >= 0)
            return true;
        return spec_fail(l, place, where, "\"%s\": must be one of %s%s", spec_quote(l, text),
                         spec_list(l, option->choices, choices),
                         spec_did_you_mean(l, option->choices, choices, text));
    case OPTION_INT:
        if (!text_to_i64(text, &whole))
            return spec_fail(l, place, where, "\"%s\" is not a whole number", spec_quote(l, text));
        number = (double)whole;
        break;
    case OPTION_REAL:
        if (!text_to_double(text, &number))
            return spec_fail(l, place, where, "\"%s\" is not a number", spec_quote(l, text));
        break;
    }
    if ((option->min != 0 || option->max != 0) && (number < option->min || number > option->max))
        return spec_fail(l, place, where, "%s is out of range: %g to %g", spec_quote(l, text),
                         option->min, option->max);
    return true;
}

/* ---- placeholders ---- */

static int find_knob(const struct spec_study *study, size_t service, const char *name, size_t len)
{
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        if (knob->service == service && strlen(knob->name) == len &&
            strncmp(knob->name, name, len) == 0)
            return (int)i;
    }
    return -1;
}

/* Names that are no knob's. A service that is run for each request listens nowhere, and what the
 * request carries is known to its command alone. */
static size_t builtins(const struct uses *u, const struct spec_setting *setting,
                       const char *ret_names[BUILTINS_MAX])
{
    static const char *const of_server[] = {"port"};
    static const char *const of_any[] = {"dir", "study"};
    static const char *const of_run[] = {"audio", "prompt", "text_file"};
    const struct spec_service *s = &u->l->study->services[u->service];
    bool run = false;
    size_t count = 0;
    for (size_t i = 0; i < s->command_count; i++)
        run = run || setting == &s->command[i];
    for (size_t i = 0; i < ARRAY_LEN(of_server) && !s->by_request; i++)
        ret_names[count++] = of_server[i];
    for (size_t i = 0; i < ARRAY_LEN(of_any); i++)
        ret_names[count++] = of_any[i];
    for (size_t i = 0; i < ARRAY_LEN(of_run) && s->by_request && run; i++)
        ret_names[count++] = of_run[i];
    return count;
}

static bool is_builtin(const struct uses *u, const struct spec_setting *setting,
                       const struct spec_piece *piece)
{
    const char *names[BUILTINS_MAX];
    size_t count = builtins(u, setting, names);
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == piece->len && strncmp(names[i], piece->text, piece->len) == 0)
            return true;
    return false;
}

/* `NAME: "{NAME}"` of the environment: the variable as we have it. */
static bool hands_on(const struct uses *u, const struct spec_setting *setting)
{
    const struct spec_service *s = &u->l->study->services[u->service];
    bool found = false;
    for (size_t i = 0; i < s->environment_count; i++)
        found = found || setting == &s->environment[i];
    return found && spec_setting_hands_on(u->l->study, u->service, setting);
}

static bool fail_placeholder(struct uses *u, const struct spec_setting *setting, const char *where,
                             const char *name)
{
    struct spec_loader *l = u->l;
    const char *names[SPEC_KNOBS_MAX + BUILTINS_MAX];
    size_t count = builtins(u, setting, names);
    if (l->study->services[u->service].by_request && strcmp(name, "port") == 0)
        return spec_fail(l, setting->place, where,
                         "{port}: it is run for each request and listens nowhere");
    for (size_t i = 0; i < l->study->knob_count; i++)
        if (l->study->knobs[i].service == u->service)
            names[count++] = l->study->knobs[i].name;
    const char *near = spec_did_you_mean(l, names, count, name);
    return spec_fail(l, setting->place, where, "{%s}: %s has no knob of this name%s%s",
                     spec_quote(l, name), l->study->services[u->service].name, near,
                     near[0] ? "" : " (\"{{\" writes a brace)");
}

/* Marks the knobs that a text names. *ret_knob: the only one, -1: none, -2: several. */
static bool check_text(struct uses *u, const struct spec_setting *setting, const char *where,
                       int *ret_knob)
{
    struct spec_piece piece;
    int only = -1;
    const char *at = setting->text ? setting->text : "";
    while (spec_template_next(&at, &piece)) {
        if (piece.kind == PIECE_BAD)
            return spec_fail(u->l, setting->place, where,
                             "\"%s\": a \"{\" opens no placeholder; \"{{\" writes a brace",
                             spec_quote(u->l, setting->text));
        if (piece.kind != PIECE_NAME || is_builtin(u, setting, &piece) || hands_on(u, setting))
            continue;
        int knob = find_knob(u->l->study, u->service, piece.text, piece.len);
        if (knob < 0)
            return fail_placeholder(u, setting, where,
                                    arena_strndup(u->l->arena, piece.text, piece.len));
        u->used |= UINT64_C(1) << knob;
        only = only == -1 || only == knob ? knob : -2;
    }
    *ret_knob = only;
    return true;
}

static bool check_texts(struct uses *u, const struct spec_setting *settings, size_t count,
                        const char *part)
{
    const char *service = u->l->study->services[u->service].name;
    for (size_t i = 0; i < count; i++) {
        int knob = 0;
        const char *where = settings[i].name ? arena_printf(u->l->arena, "%s.%s.%s", service, part,
                                                            settings[i].name)
                                             : arena_printf(u->l->arena, "%s.%s", service, part);
        if (!check_text(u, &settings[i], where, &knob))
            return false;
    }
    return true;
}

bool spec_check_texts(struct spec_loader *l, size_t service, const struct spec_setting *settings,
                      size_t count, const char *where, uint64_t *used)
{
    struct uses uses = {.l = l, .service = service, .used = *used};
    for (size_t i = 0; i < count; i++) {
        int knob = 0;
        const char *name = settings[i].name;
        if (!check_text(&uses, &settings[i], name ? spec_join(l, where, name) : where, &knob))
            return false;
    }
    *used = uses.used;
    return true;
}

/* ---- options ---- */

/* The option takes every text that the knob can make of the setting. */
static bool check_knob_values(struct uses *u, const struct spec_option *option,
                              const struct spec_setting *setting, int index)
{
    struct spec_study *study = u->l->study;
    const struct spec_knob *knob = &study->knobs[index];
    const char *where =
        arena_printf(u->l->arena, "%s.knobs.%s", study->services[u->service].name, knob->name);
    struct buf text = BUF_INIT(2 * SPEC_TEXT_MAX);
    bool ok = true;
    if (option->type == OPTION_TEXT || option->type == OPTION_PATH)
        return true;
    for (size_t i = 0; ok && i < knob->value_count; i++) {
        struct spec_candidate candidate = {0};
        candidate.index[index] = (int)i;
        buf_clear(&text);
        if (spec_setting_expand(study, &candidate, u->service, setting->text, 0, "", &text))
            ok = check_option(u->l, option, knob->values[i].place, where, buf_text(&text));
    }
    buf_done(&text);
    return ok;
}

static bool check_setting(struct uses *u, const struct spec_option *option,
                          const struct spec_setting *setting, const char *where)
{
    int knob = -1;
    if (!check_text(u, setting, where, &knob))
        return false;
    if (knob >= 0)
        return check_knob_values(u, option, setting, knob);
    if (knob == -2 || !setting->text || strchr(setting->text, '{'))
        return true;
    return check_option(u->l, option, setting->place, where, setting->text);
}

static bool check_use(struct uses *u, const struct spec_engine_use *use)
{
    const struct spec_service *s = &u->l->study->services[u->service];
    const struct spec_setting program = {.text = use->program, .place = s->place};
    if (!check_texts(u, &program, 1, "program"))
        return false;
    for (size_t i = 0; i < use->setting_count; i++) {
        const char *name = use->settings[i].name;
        const struct spec_option *option =
            spec_option_find(use->engine->options, use->engine->option_count, name);
        const char *where = arena_printf(u->l->arena, "%s.%s", s->name, name);
        if (!check_setting(u, option, &use->settings[i], where))
            return false;
    }
    return true;
}

static bool check_required(struct uses *u, const struct spec_engine_use *use)
{
    const struct spec_service *s = &u->l->study->services[u->service];
    for (size_t i = 0; i < use->engine->option_count; i++) {
        const struct spec_option *option = &use->engine->options[i];
        bool set = !option->required;
        for (size_t n = 0; n < use->setting_count && !set; n++)
            set = strcmp(use->settings[n].name, option->name) == 0 && use->settings[n].text;
        if (!set)
            return spec_fail(u->l, s->place, s->name, "%s needs \"%s\": %s", use->engine->name,
                             option->name, option->help);
    }
    return true;
}

static bool check_load(struct uses *u)
{
    const struct spec_service *s = &u->l->study->services[u->service];
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    size_t count = spec_service_protocols(s, all, SPEC_PROTOCOLS_MAX);
    for (size_t i = 0; i < s->load.setting_count; i++) {
        const struct spec_setting *setting = &s->load.settings[i];
        const char *where = arena_printf(u->l->arena, "load.%s.%s", s->name, setting->name);
        for (size_t p = 0; p < count; p++) {
            const struct spec_option *option =
                spec_option_find(all[p]->options, all[p]->option_count, setting->name);
            if (option && !check_setting(u, option, setting, where))
                return false;
        }
    }
    return true;
}

/* ---- knobs ---- */

static bool fail_unused(struct uses *u, const struct spec_knob *knob)
{
    struct spec_loader *l = u->l;
    const struct spec_service *s = &l->study->services[u->service];
    const char *where = arena_printf(l->arena, "%s.knobs.%s", s->name, knob->name);
    if (s->engine_use_count == 0)
        return spec_fail(l, knob->place, where,
                         "nothing uses it: put {%s} into command or environment", knob->name);
    for (size_t i = 0; i < s->engine_use_count; i++) {
        const struct spec_engine *engine = s->engine_uses[i].engine;
        const char **names = arena_array(l->arena, engine->option_count, sizeof *names);
        if (spec_option_find(engine->options, engine->option_count, knob->name))
            return spec_fail(l, knob->place, where,
                             "%s is also fixed for %s: leave one of them out, or write \"{%s}\" "
                             "there",
                             knob->name, engine->name, knob->name);
        for (size_t o = 0; o < engine->option_count; o++)
            names[o] = engine->options[o].name;
        const char *near = spec_did_you_mean(l, names, engine->option_count, knob->name);
        if (near[0])
            return spec_fail(l, knob->place, where, "%s has no such knob%s", engine->name, near);
    }
    return spec_fail(l, knob->place, where,
                     "%s has no such option, and no {%s} uses it (in args or environment)",
                     s->engine_uses[0].engine->name, knob->name);
}

static bool check_service(struct uses *u)
{
    const struct spec_study *study = u->l->study;
    const struct spec_service *s = &study->services[u->service];
    for (size_t i = 0; i < s->engine_use_count; i++)
        if (!check_use(u, &s->engine_uses[i]))
            return false;
    if (s->engine_knob >= 0)
        u->used |= UINT64_C(1) << s->engine_knob;
    if (s->device_knob >= 0)
        u->used |= UINT64_C(1) << s->device_knob;
    if (!check_texts(u, s->command, s->command_count, s->container ? "container" : "command") ||
        !check_texts(u, s->arguments, s->argument_count, "args") ||
        !check_texts(u, s->environment, s->environment_count, "environment") || !check_load(u))
        return false;
    for (size_t i = 0; i < study->knob_count; i++)
        if (study->knobs[i].service == u->service && !(u->used >> i & 1))
            return fail_unused(u, &study->knobs[i]);
    for (size_t i = 0; i < s->engine_use_count; i++)
        if (!check_required(u, &s->engine_uses[i]))
            return false;
    return true;
}

bool spec_check_uses(struct spec_loader *l)
{
    for (size_t i = 0; i < l->study->service_count; i++) {
        struct uses uses = {.l = l, .service = i};
        if (!check_service(&uses))
            return false;
    }
    return true;
}
