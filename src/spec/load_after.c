/* `after`: services whose requests are made from another's answers. Checked once all loads are
 * known, since a chain may name its services in any order.
 *
 * Rejected: a section of its own for voice turns, which would say a third time what the services
 * and their loads say already. Invariant: from each service that follows, a chain of at most as
 * many steps as there are services comes to one that sends by itself. */
#include "spec/loader.h"

/* Does every candidate's answer hold a text? */
static bool answers_text(const struct spec_service *s)
{
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    size_t count = spec_service_protocols(s, all, SPEC_PROTOCOLS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!(all[i]->sources & (SOURCE_TEXT | SOURCE_AUDIO)))
            return false;
    return count > 0;
}

static bool resolve(struct spec_loader *l, struct spec_service *s, const char *where)
{
    struct spec_study *study = l->study;
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    int index = spec_study_service(study, s->load.after);
    for (size_t i = 0; i < study->service_count; i++)
        names[i] = study->services[i].name;
    if (index < 0)
        return spec_fail(l, s->load.place, where, "there is no service \"%s\"%s",
                         spec_quote(l, s->load.after),
                         spec_did_you_mean(l, names, study->service_count, s->load.after));
    if (!study->services[index].load.given)
        return spec_fail(l, s->load.place, where,
                         "%s has no load, so there are no answers to follow", s->load.after);
    if (!answers_text(&study->services[index]))
        return spec_fail(l, s->load.place, where, "the answers of %s are no text", s->load.after);
    s->load.after_service = (size_t)index;
    return true;
}

bool spec_check_chains(struct spec_loader *l)
{
    struct spec_study *study = l->study;
    for (size_t i = 0; i < study->service_count; i++) {
        struct spec_service *s = &study->services[i];
        if (s->load.after && !resolve(l, s, arena_printf(l->arena, "load.%s.after", s->name)))
            return false;
    }
    for (size_t i = 0; i < study->service_count; i++) {
        size_t at = i, steps = 0;
        for (; study->services[at].load.after && steps <= study->service_count; steps++)
            at = study->services[at].load.after_service;
        if (steps > study->service_count)
            return spec_fail(l, study->services[i].load.place,
                             arena_printf(l->arena, "load.%s.after", study->services[i].name),
                             "the services follow each other in a circle: one must send by itself");
    }
    return true;
}
