/* One candidate: its code, its text, its check, and what follows from it for a service.
 *
 * The text holds active knobs only, in file order. It is the key in the store and the reason why a
 * service stays up between two trials, so two candidates that start the same processes must have
 * the same text: a knob that is not there may not leave a trace. */
#include "spec/space.h"

#include "base/text.h"
#include "spec/loader.h"
#include "spec/space_walk.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct expr_operand spec_view_lookup(const void *context, size_t id)
{
    const struct spec_view *view = context;
    int index = view->candidate->index[id];
    if (index < 0)
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    const struct spec_value *value = &view->study->knobs[id].values[index];
    return (struct expr_operand){
        .kind = isnan(value->number) ? EXPR_TEXT : EXPR_NUMBER,
        .number = value->number,
        .text = value->label,
    };
}

spec_code spec_candidate_code(const struct spec_study *study,
                              const struct spec_candidate *candidate)
{
    spec_code code = 0;
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        code = code * spec_knob_radix(knob) + spec_knob_digit(knob, candidate->index[i]);
    }
    return code;
}

struct spec_candidate spec_candidate_decode(const struct spec_study *study, spec_code code)
{
    struct spec_candidate candidate;
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        candidate.index[i] = -1;
    for (size_t i = study->knob_count; i-- > 0;) {
        const struct spec_knob *knob = &study->knobs[i];
        uint64_t radix = spec_knob_radix(knob);
        candidate.index[i] = (int)(code % radix) - (knob->when ? 1 : 0);
        code /= radix;
    }
    return candidate;
}

bool spec_candidate_check(const struct spec_study *study, struct spec_candidate *candidate,
                          struct err *err)
{
    const struct spec_view view = {.study = study, .candidate = candidate};
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        if (!spec_knob_active(&view, i))
            candidate->index[i] = -1;
        else if (candidate->index[i] < 0)
            return err_set(err, ERR_INPUT, "%s is not given", knob->full_name);
        else if ((size_t)candidate->index[i] >= knob->value_count)
            return err_set(err, ERR_INPUT, "%s has no value number %d", knob->full_name,
                           candidate->index[i]);
    }
    for (size_t i = 0; i < study->constraint_count; i++) {
        const struct expr *expr = study->constraints[i].expr;
        char shown[SPEC_SHOWN_SIZE];
        if (expr_eval(expr, spec_view_lookup, &view) == EXPR_FALSE)
            return err_set(err, ERR_INPUT, "violates the constraint \"%s\"",
                           spec_shown(expr_text(expr), shown));
    }
    return true;
}

const struct spec_value *spec_candidate_value(const struct spec_study *study,
                                              const struct spec_candidate *candidate, size_t knob)
{
    int index = candidate->index[knob];
    return index < 0 ? NULL : &study->knobs[knob].values[index];
}

/* ---- text ---- */

static void add_text(struct buf *buf, const struct spec_study *study,
                     const struct spec_candidate *candidate, size_t service)
{
    const char *between = "";
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_value *value = spec_candidate_value(study, candidate, i);
        if (!value || (service != SIZE_MAX && study->knobs[i].service != service))
            continue;
        buf_addf(buf, "%s%s=%s", between, study->knobs[i].full_name, value->label);
        between = " ";
    }
}

void spec_candidate_add_text(struct buf *buf, const struct spec_study *study,
                             const struct spec_candidate *candidate)
{
    add_text(buf, study, candidate, SIZE_MAX);
}

void spec_candidate_add_service_text(struct buf *buf, const struct spec_study *study,
                                     const struct spec_candidate *candidate, size_t service)
{
    add_text(buf, study, candidate, service);
}

static bool fail_knob(const struct spec_study *study, const char *name, struct err *err)
{
    const char *names[SPEC_KNOBS_MAX] = {NULL};
    for (size_t i = 0; i < study->knob_count; i++)
        names[i] = study->knobs[i].full_name;
    const char *near = text_nearest(names, study->knob_count, name);
    char shown[SPEC_SHOWN_SIZE];
    return err_set(err, ERR_INPUT, "there is no knob \"%s\"%s%s%s", spec_shown(name, shown),
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool parse_part(const struct spec_study *study, const char *name, const char *label,
                       struct spec_candidate *candidate, struct err *err)
{
    int knob = spec_study_knob(study, name);
    if (knob < 0)
        return fail_knob(study, name, err);
    if (candidate->index[knob] >= 0)
        return err_set(err, ERR_INPUT, "%s is given twice", name);
    const struct spec_knob *k = &study->knobs[knob];
    for (size_t i = 0; i < k->value_count; i++) {
        if (strcmp(k->values[i].label, label) != 0)
            continue;
        candidate->index[knob] = (int)i;
        return true;
    }
    assert(k->value_count > 0); /* a knob without values is refused in the file */
    const char **labels = calloc(k->value_count, sizeof *labels);
    if (!labels)
        abort();
    for (size_t i = 0; i < k->value_count; i++)
        labels[i] = k->values[i].label;
    const char *near = text_nearest(labels, k->value_count, label);
    char shown[SPEC_SHOWN_SIZE];
    err_set(err, ERR_INPUT, "%s has no value \"%s\"%s%s%s", name, spec_shown(label, shown),
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    free(labels);
    return false;
}

static bool parse_parts(const struct spec_study *study, char *copy,
                        struct spec_candidate *candidate, struct err *err)
{
    char *rest = copy;
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        candidate->index[i] = -1;
    while (rest) {
        const char *part = strsep(&rest, " ");
        char *equals = strchr(part, '=');
        if (!*part)
            continue;
        char shown[SPEC_SHOWN_SIZE];
        if (!equals)
            return err_set(err, ERR_INPUT, "\"%s\": expected KNOB=VALUE", spec_shown(part, shown));
        *equals = '\0';
        if (!parse_part(study, part, equals + 1, candidate, err))
            return false;
    }
    return true;
}

bool spec_candidate_parse(const struct spec_study *study, const char *text,
                          struct spec_candidate *ret_candidate, struct err *err)
{
    struct spec_candidate candidate;
    char *copy = strdup(text);
    if (!copy)
        abort();
    bool ok = parse_parts(study, copy, &candidate, err);
    free(copy);
    const struct spec_candidate given = candidate;
    char shown[SPEC_SHOWN_SIZE];
    if (!ok || !spec_candidate_check(study, &candidate, err))
        return false;
    for (size_t i = 0; i < study->knob_count; i++)
        if (given.index[i] >= 0 && candidate.index[i] < 0)
            return err_set(err, ERR_INPUT, "%s does nothing here (its condition is: %s)",
                           study->knobs[i].full_name,
                           spec_shown(expr_text(study->knobs[i].when), shown));
    *ret_candidate = candidate;
    return true;
}

/* ---- what follows for a service ---- */

const struct spec_engine_use *spec_candidate_engine(const struct spec_study *study,
                                                    const struct spec_candidate *candidate,
                                                    size_t service)
{
    const struct spec_service *s = &study->services[service];
    if (s->engine_use_count == 0)
        return NULL;
    if (s->engine_knob < 0)
        return &s->engine_uses[0];
    int index = candidate->index[s->engine_knob]; /* one use per value, in order */
    return index < 0 ? NULL : &s->engine_uses[index];
}

size_t spec_candidate_device(const struct spec_study *study, const struct spec_candidate *candidate,
                             size_t service)
{
    const struct spec_service *spec = &study->services[service];
    if (spec->device_knob < 0)
        return spec->device;
    const struct spec_value *value =
        spec_candidate_value(study, candidate, (size_t)spec->device_knob);
    for (size_t i = 0; value && i < study->device_count; i++)
        if (strcmp(study->devices[i], value->label) == 0)
            return i;
    return spec->device;
}

const struct spec_protocol *spec_candidate_protocol(const struct spec_study *study,
                                                    const struct spec_candidate *candidate,
                                                    size_t service)
{
    const struct spec_engine_use *use = spec_candidate_engine(study, candidate, service);
    return use ? use->protocol : study->services[service].protocol;
}
