/* Which services stay up: of a finished trial its row says so; of the one under way nobody tells,
 * and it is inferred: the settings are those of the trial before, in which the service did not end
 * or fail, no restart was asked for, and it was not seen starting.
 *
 * Lanes run several trials at once, each with services of its own: "before" is within a lane, so
 * there is one of these for each. */
#include "cli/display_kept.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void display_kept_note_trial(struct display_kept *kept, const struct spec_study *study,
                             const struct store_trial *trial)
{
    int v = verdict_from_name(trial->verdict);
    bool measured = v >= 0 && verdict_facts((enum verdict)v)->has_fitness;
    kept->known = spec_candidate_parse(study, trial->candidate, &kept->candidate, NULL);
    for (size_t i = 0; i < study->service_count && i < trial->service_count; i++) {
        const struct store_service *row = &trial->services[i];
        struct kept_service *service = &kept->services[i];
        bool blamed = trial->service && strcmp(trial->service, row->name) == 0;
        if (row->started_in_trial != service->since || !isnan(row->ready_s))
            service->ready_s = row->ready_s;
        service->since = row->started_in_trial;
        service->up = row->exit_code < 0 && row->signal == 0 && (measured || !blamed) &&
                      row->started_in_trial > 0;
    }
}

void display_kept_note_progress(struct display_kept *kept, const struct spec_study *study,
                                const struct trial_progress *progress)
{
    if (kept->seen_trial != progress->number) {
        kept->seen_trial = progress->number;
        kept->seen_starting = 0;
    }
    if (progress->phase != PHASE_START || !progress->service)
        return;
    int i = spec_study_service(study, progress->service);
    if (i >= 0)
        kept->seen_starting |= UINT32_C(1) << i;
}

static void add_service(struct buf *buf, const char *name, const char *verb,
                        const struct kept_service *service)
{
    buf_addf(buf, "%s%s %s up since #%" PRId64, buf->len ? ", " : "", name, verb, service->since);
    if (isnan(service->ready_s))
        return;
    buf_add(buf, " (saved ");
    text_add_duration(buf, service->ready_s);
    buf_addc(buf, ')');
}

static bool same_settings(const struct spec_study *study, const struct spec_candidate *a,
                          const struct spec_candidate *b, size_t service)
{
    AUTO(buf_done) struct buf left = BUF_INIT(65536), right = BUF_INIT(65536);
    spec_candidate_add_service_text(&left, study, a, service);
    spec_candidate_add_service_text(&right, study, b, service);
    return strcmp(buf_text(&left), buf_text(&right)) == 0;
}

void display_kept_add_live(struct buf *buf, const struct display_kept *kept,
                           const struct spec_study *study, const struct trial_request *request,
                           const struct trial_progress *progress)
{
    if (!kept->known || request->cold || progress->phase == PHASE_START ||
        kept->seen_trial != request->number)
        return;
    for (size_t i = 0; i < study->service_count; i++)
        if (kept->services[i].up && !study->services[i].fresh &&
            !(kept->seen_starting & UINT32_C(1) << i) &&
            same_settings(study, &kept->candidate, &request->candidate, i))
            add_service(buf, study->services[i].name, "stays", &kept->services[i]);
}

void display_kept_add_finished(struct buf *buf, const struct display_kept *kept,
                               const struct store_trial *trial)
{
    for (size_t i = 0; i < trial->service_count && i < SPEC_SERVICES_MAX; i++)
        if (trial->services[i].started_in_trial > 0 &&
            trial->services[i].started_in_trial < trial->number)
            add_service(buf, trial->services[i].name, "stayed", &kept->services[i]);
}
