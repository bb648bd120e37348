/* An event may hold one token or twenty, so a rate counted by events is another quantity than one
 * from the server's own count, and says nothing against it. Where the trials of a study have both,
 * and the goal asks for that rate, those by events are not ranked: their fitness is unknown.
 *
 * Rejected: no fitness for events at all. Candidates that are all counted by events, by servers
 * which send no usage, compare fairly. Rejected too: deciding it in the trial, which knows no other
 * one; so the stored fitness is each trial's own, and who ranks asks here.
 *
 * Invariant: a trial more can only take ranks away, never give one back, so that what is asked for
 * next settles. */
#include "study/counted.h"

#include <string.h>

uint32_t study_counted_asked(const struct spec_study *study)
{
    uint32_t asked = 0;
    for (size_t i = 0; i < study->objective_count; i++)
        if (study->objectives[i].metric.metric == METRIC_TOKENS_PER_S)
            asked |= (uint32_t)1 << study->objectives[i].metric.service;
    return asked;
}

static uint32_t bit_of(const struct spec_study *study, const char *name)
{
    int service = spec_study_service(study, name);
    return service < 0 ? 0 : (uint32_t)1 << service;
}

uint32_t study_counted_by_events(const struct spec_study *study, const struct store_trial *trial)
{
    uint32_t by_events = 0;
    for (size_t i = 0; i < trial->metric_count; i++) {
        const struct store_metric *m = &trial->metrics[i];
        if (m->method && strcmp(m->method, METRIC_BY_EVENTS) == 0 && strcmp(m->mode, "shared") == 0)
            by_events |= bit_of(study, m->service);
    }
    return by_events;
}

uint32_t study_counted_names(const struct spec_study *study, const char *names)
{
    uint32_t by_events = 0;
    char name[128];
    while (names && *names) {
        size_t len = strcspn(names, " ");
        if (len < sizeof name) {
            memcpy(name, names, len);
            name[len] = '\0';
            by_events |= bit_of(study, name);
        }
        names += len + strspn(names + len, " ");
    }
    return by_events;
}

uint32_t study_counted_mixed(const struct spec_study *study, const struct study_counted *trials,
                             size_t count)
{
    uint32_t exact = 0, by_events = 0;
    for (size_t i = 0; i < count; i++) {
        if (!trials[i].ranked)
            continue;
        exact |= ~trials[i].by_events;
        by_events |= trials[i].by_events;
    }
    return study_counted_asked(study) & exact & by_events;
}
