/* Copies of services in memory: what the study file would say if somebody had written every service
 * down several times.
 *
 * The candidate's values are put into the texts and the knobs are left out. Copying the knobs as
 * well was rejected: eleven times six knobs are more than a study may have, and none of them is
 * varied here.
 *
 * Invariant: the launch of a frozen service is that of the original with this candidate, its name,
 * port and private folder apart. */
#include "study/crowd.h"

#include "spec/template.h"

#include <string.h>

struct freezer {
    const struct spec_study *study;
    const struct spec_candidate *candidate;
    struct arena *arena;
};

static void add_literal(struct buf *buf, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_add(buf, text[i] == '{' ? "{{" : (char[]){text[i], 0});
}

static bool is_later(const struct spec_piece *piece)
{
    static const char *const names[] = {"port", "dir", "study"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i]) == piece->len && memcmp(names[i], piece->text, piece->len) == 0)
            return true;
    return false;
}

/* The text with its knobs filled in; NULL when that leaves it out. */
static const char *freeze_text(const struct freezer *f, size_t service, const char *text)
{
    AUTO(buf_done) struct buf out = BUF_INIT(1 << 20);
    struct spec_piece piece;
    while (text && spec_template_next(&text, &piece)) {
        if (piece.kind != PIECE_NAME) {
            add_literal(&out, piece.text, piece.len);
        } else if (is_later(&piece)) {
            buf_addf(&out, "{%.*s}", (int)piece.len, piece.text);
        } else {
            AUTO(buf_done) struct buf value = BUF_INIT(1 << 16);
            const char *one = arena_printf(f->arena, "{%.*s}", (int)piece.len, piece.text);
            if (!spec_setting_expand(f->study, f->candidate, service, one, 0, NULL, &value))
                return NULL;
            add_literal(&out, buf_text(&value), value.len);
        }
    }
    return text ? arena_strdup(f->arena, buf_text(&out)) : NULL;
}

static struct spec_setting *freeze_list(const struct freezer *f, size_t service,
                                        const struct spec_setting *list, size_t count)
{
    struct spec_setting *out = arena_array(f->arena, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = list[i];
        /* Not one of the study's values: the frozen one hands on as well. */
        if (!spec_setting_hands_on(f->study, service, &list[i]))
            out[i].text = freeze_text(f, service, list[i].text);
    }
    return out;
}

static struct spec_service freeze_service(const struct freezer *f, size_t i)
{
    struct spec_service s = f->study->services[i];
    const struct spec_engine_use *use = spec_candidate_engine(f->study, f->candidate, i);
    if (use) {
        struct spec_engine_use *own = arena_alloc(f->arena, sizeof *own);
        *own = *use;
        own->program = freeze_text(f, i, use->program);
        own->settings = freeze_list(f, i, use->settings, use->setting_count);
        s.engine_uses = own;
        s.engine_use_count = 1;
    }
    s.device = spec_candidate_device(f->study, f->candidate, i);
    s.engine_knob = s.device_knob = -1;
    s.command = freeze_list(f, i, s.command, s.command_count);
    s.arguments = freeze_list(f, i, s.arguments, s.argument_count);
    s.environment = freeze_list(f, i, s.environment, s.environment_count);
    s.load.settings = freeze_list(f, i, s.load.settings, s.load.setting_count);
    return s;
}

void study_crowd_build(const struct spec_study *study, const struct spec_candidate *candidate,
                       const size_t *copies, struct arena *arena, struct spec_study *ret_study,
                       size_t ret_origin[SPEC_SERVICES_MAX])
{
    const struct freezer freezer = {study, candidate, arena};
    const size_t n = study->service_count;
    struct spec_service *services = arena_array(arena, SPEC_SERVICES_MAX, sizeof *services);
    size_t count = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        services[count] = freeze_service(&freezer, i);
        ret_origin[count++] = i;
        most = copies[i] > most ? copies[i] : most;
    }
    for (size_t c = 0; c < most; c++)
        for (size_t i = 0; i < n && count < SPEC_SERVICES_MAX; i++) {
            if (c >= copies[i])
                continue;
            services[count] = services[i];
            services[count].name = arena_printf(arena, "%s~%zu", services[i].name, c + 2);
            ret_origin[count++] = i;
        }
    *ret_study = *study;
    ret_study->services = services;
    ret_study->service_count = count;
    ret_study->knobs = NULL;
    ret_study->knob_count = 0;
    ret_study->constraint_count = 0;
    ret_study->baseline = NULL;
}
