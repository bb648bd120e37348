/* Texts from outside, before they are shown or kept.
 *
 * Somebody's command that fails says "login as svc with hunter2 failed": no name stands before the
 * value, so that the scanner of files would show it. But what the plan would hide is known here,
 * so it is hidden by what it is, too; also its beginning where the text was cut off. Both are done
 * once, where such a text becomes a check's or a reason, and not where it is shown: there are
 * four such places (terminal, JSON, record, journal), and a fifth would forget it.
 *
 * Rejected: values gathered once with the plan. A journal that is read back has its files, not
 * them, and a second list of secrets would have to be kept from being written.
 *
 * A short value is hidden behind its name alone: "yes" would be cut out of every sentence. So would
 * "http" at the end of one, which begins a secret address: a text is taken to be cut off only where
 * it has the length at which any of them is, since who cuts is far from here. */
#include "promote/outside.h"

#include "promote/secret.h"

#include <string.h>

/* SHORTEST_CUT: below the room of each text that a command's or a service's words are put into. */
enum { VALUE_MIN = 6, VALUES_MAX = 1024, CUT_MIN = 4, SHORTEST_CUT = 120, TEXT_MAX = 1 << 16 };

struct known {
    struct arena *arena;
    const char *values[VALUES_MAX];
    size_t count;
};

static void note(void *context, const char *value)
{
    struct known *known = context;
    if (strlen(value) >= VALUE_MIN && known->count < VALUES_MAX)
        known->values[known->count++] = arena_strdup(known->arena, value);
}

static void gather_bytes(struct known *known, const struct promote_plan *plan,
                         const struct promote_bytes *bytes)
{
    if (bytes->there)
        promote_secrets_each(arena_strndup(known->arena, bytes->data, bytes->len),
                             plan->secret_names, note, known);
}

static void gather(struct known *known, const struct promote_plan *plan)
{
    const struct spec_study *study = plan->study;
    for (size_t i = 0; study && study->production && i < study->service_count; i++)
        for (size_t k = 0; k < study->production[i].environment_count; k++)
            if (study->production[i].secret[k])
                note(known, study->production[i].environment[k].text);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        gather_bytes(known, plan, &step->before);
        gather_bytes(known, plan, &step->after);
        promote_secrets_each_word(step->run, plan->secret_names, note, known);
        promote_secrets_each_word(step->undo, plan->secret_names, note, known);
        promote_secrets_each_word(step->verify, plan->secret_names, note, known);
    }
}

/* The longest known value that begins here; *ret_len: how much of it is here. */
static const char *known_at(const struct known *known, const char *at, bool cut, size_t *ret_len)
{
    const char *found = NULL;
    const size_t left = strlen(at);
    for (size_t i = 0; i < known->count; i++) {
        const size_t len = strlen(known->values[i]), here = len < left ? len : left;
        if (here < len && (!cut || here < CUT_MIN))
            continue;
        if (strncmp(at, known->values[i], here) == 0 && (!found || len > strlen(found))) {
            found = known->values[i];
            *ret_len = here;
        }
    }
    return found;
}

void promote_outside_hide(const struct promote_plan *plan, char *text, size_t size)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf by_value = BUF_INIT(TEXT_MAX), all = BUF_INIT(TEXT_MAX);
    struct known *known = arena_alloc(arena, sizeof *known);
    known->arena = arena;
    gather(known, plan);
    const bool cut = strlen(text) >= SHORTEST_CUT;
    for (const char *at = text; *at;) {
        size_t len = 0;
        const char *value = known_at(known, at, cut, &len);
        if (value)
            promote_hide_value(value, &by_value);
        else
            buf_addc(&by_value, *at);
        at += value ? len : 1;
    }
    promote_hide_secrets(buf_text(&by_value), plan->secret_names, &all);
    snprintf(text, size, "%s", all.over ? "(too long to be shown)" : buf_text(&all));
}
