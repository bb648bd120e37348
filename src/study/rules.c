/* The rules are kept as an event of the study, since they are one fact of its beginning.
 *
 * Rejected: to compare versions of the program, which change without the rules and are alike
 * between releases; and to warn and go on, since the ranking and the final would pool rates of two
 * kinds, and a report can't take them apart again.
 *
 * Invariant: what is not stored was compared after "english". */
#include "study/rules.h"

#include "base/json.h"

#include <string.h>

/* Only where audio is sent are there words to compare. */
static bool has_words(const struct spec_service *service)
{
    return service->load.given && service->load.corpus;
}

const char *study_rules_text(const struct spec_study *study, struct arena *arena)
{
    AUTO_JSON json_t *rules = json_object();
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        if (has_words(s) && s->load.words != WORDS_ENGLISH)
            json_object_set_new(rules, s->name, json_string(spec_words_names[s->load.words]));
    }
    if (json_object_size(rules) == 0)
        return NULL;
    AUTO(free) char *text = json_dumps(rules, JSON_COMPACT | JSON_SORT_KEYS);
    return text ? arena_strdup(arena, text) : NULL;
}

bool study_rules_same(const struct spec_study *study, const char *stored, struct buf *ret_changed)
{
    AUTO_JSON json_t *rules = stored ? json_loads(stored, 0, NULL) : NULL;
    size_t changed = 0;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        const char *was = rules ? json_get_text(rules, s->name) : NULL;
        const char *now = spec_words_names[s->load.words];
        was = was ? was : spec_words_names[WORDS_ENGLISH];
        if (has_words(s) && strcmp(was, now) != 0)
            buf_addf(ret_changed, "%s%s after \"%s\", now \"%s\"", changed++ ? "; " : "", s->name,
                     was, now);
    }
    return changed == 0;
}
