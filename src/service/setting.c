/* From study and candidate to the texts an engine gets.
 *
 * Invariant: every option has an entry, in table order, so that equal candidates give equal command
 * lines. A null (in the file or as a knob's value) leaves an option out, its default too. */
#include "service/setting.h"

#include "base/file.h"

#include <string.h>

enum { SETTING_MAX = 64 * 1024 };

const char *service_expand(struct arena *arena, const struct spec_study *study,
                           const struct spec_candidate *candidate, size_t service, const char *text,
                           int port, const char *scratch)
{
    if (!text)
        return NULL;
    struct buf expanded = BUF_INIT(SETTING_MAX);
    const char *result = NULL;
    if (spec_setting_expand(study, candidate, service, text, port, scratch, &expanded))
        result = arena_strdup(arena, buf_text(&expanded));
    buf_done(&expanded);
    return result;
}

static const struct spec_setting *setting_in_file(const struct spec_engine_use *use,
                                                  const char *name)
{
    for (size_t i = 0; i < use->setting_count; i++)
        if (strcmp(use->settings[i].name, name) == 0)
            return &use->settings[i];
    return NULL;
}

/* The active value of the service's knob of that name; NULL when there is none. */
static const struct spec_value *setting_knob(const struct spec_study *study,
                                             const struct spec_candidate *candidate, size_t service,
                                             const char *name)
{
    for (size_t i = 0; i < study->knob_count; i++)
        if (study->knobs[i].service == service && strcmp(study->knobs[i].name, name) == 0)
            return spec_candidate_value(study, candidate, i);
    return NULL;
}

/* The default where the service is to compute. */
static const char *setting_default(const struct spec_option *option, enum spec_on on)
{
    const char *there = on == ON_GPU ? option->gpu_value : option->cpu_value;
    return there ? there : option->value;
}

/* A path from the study's folder on. A text option that names weights may also be a hub's name,
 * which stays as written unless such a file is there. */
static const char *setting_path(struct arena *arena, const struct spec_study *study,
                                const struct spec_option *option, const char *text)
{
    bool is_path = option->type == OPTION_PATH;
    if (!text || (!is_path && !(option->type == OPTION_TEXT && option->weights)))
        return text;
    AUTO(free) char *joined = file_join(study->folder, text);
    if (!is_path && text[0] != '.' && text[0] != '~' && !file_exists(joined))
        return text;
    return arena_strdup(arena, joined);
}

struct engine_setting *service_settings(struct arena *arena, const struct spec_study *study,
                                        const struct spec_candidate *candidate, size_t service,
                                        const struct spec_engine_use *use, int port,
                                        const char *scratch)
{
    const struct spec_engine *engine = use->engine;
    struct engine_setting *settings = arena_array(arena, engine->option_count, sizeof *settings);
    for (size_t i = 0; i < engine->option_count; i++) {
        const struct spec_option *option = &engine->options[i];
        const struct spec_setting *in_file = setting_in_file(use, option->name);
        const struct spec_value *knob =
            in_file ? NULL : setting_knob(study, candidate, service, option->name);
        const char *text = setting_default(option, study->services[service].on);
        if (in_file)
            text = service_expand(arena, study, candidate, service, in_file->text, port, scratch);
        else if (knob)
            text = knob->text;
        settings[i].option = option;
        settings[i].text = setting_path(arena, study, option, text);
    }
    return settings;
}
