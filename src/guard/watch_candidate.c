/* Which candidate runs in production: requests are made by its values (its model's name), and its
 * engine says where metrics are.
 *
 * The promotion's journal knows best. Without one somebody may have set things up by hand, and the
 * study's winner is the best guess, then what the study began with. A wrong guess costs a probe
 * that is refused, which is said, and nothing else. */
#include "guard/watch.h"

#include "base/file.h"
#include "base/json.h"
#include "promote/journal.h"
#include "store/read.h"
#include "study/study.h"

#include <math.h>
#include <string.h>

static bool take_promoted(const struct spec_study *study, const char *folder,
                          struct spec_candidate *candidate)
{
    struct err ignored = ERR_INIT;
    AUTO(free) char *path = promote_journal_path(folder);
    AUTO(promote_journal_free) struct promote_journal *journal = NULL;
    return promote_journal_read(path, &journal, &ignored) && journal &&
           journal->state == PROMOTE_DONE && journal->plan && journal->plan->winner_text &&
           spec_candidate_parse(study, journal->plan->winner_text, candidate, &ignored);
}

static bool take_winner(const struct spec_study *study, const char *folder,
                        struct spec_candidate *candidate)
{
    struct err ignored = ERR_INIT;
    AUTO(free) char *path = study_store_path(folder);
    AUTO(free) char *text = NULL;
    AUTO(store_close) struct store *store = NULL;
    if (!file_exists(path) || !store_open(path, STORE_READ, &store, &ignored) ||
        !store_decision_get(store, &text, &ignored) || !text)
        return false;
    AUTO_JSON json_t *decision = json_loads(text, 0, NULL);
    const char *winner = decision ? json_get_text(decision, "winner") : NULL;
    return winner && spec_candidate_parse(study, winner, candidate, &ignored);
}

static bool take_first(void *context, spec_code code)
{
    *(spec_code *)context = code;
    return false;
}

void guard_candidate_find(const struct spec_study *study, const char *folder,
                          struct spec_candidate *ret_candidate, const char **ret_from)
{
    struct spec_candidate candidate;
    spec_code first = 0;
    if (folder && take_promoted(study, folder, &candidate)) {
        *ret_from = "what was promoted";
    } else if (folder && take_winner(study, folder, &candidate)) {
        *ret_from = "the study's winner";
    } else if (study->baseline) {
        for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
            candidate.index[i] = i < study->knob_count ? study->baseline[i] : -1;
        *ret_from = "the study's baseline";
    } else {
        spec_space_each(study, take_first, &first);
        candidate = spec_candidate_decode(study, first);
        *ret_from = "the study's first candidate";
    }
    *ret_candidate = candidate;
}

void guard_capacity_find(const struct spec_study *study, const char *folder,
                         const struct spec_candidate *candidate, struct guard_capacity *ret_tops)
{
    struct err ignored = ERR_INIT;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *path = study_store_path(folder ? folder : "");
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    AUTO(store_close) struct store *store = NULL;
    struct store_trial *trials = NULL;
    size_t count = 0;
    for (size_t i = 0; i < study->service_count; i++)
        ret_tops[i] = (struct guard_capacity){.top = NAN};
    spec_candidate_add_text(&text, study, candidate);
    if (study->capacity_count == 0 || !folder || !file_exists(path) ||
        !store_open(path, STORE_READ, &store, &ignored) ||
        !store_read_trials(store, arena, true, &trials, &count, &ignored))
        return;
    for (size_t t = 0; t < count; t++)
        for (size_t k = 0; k < trials[t].capacity_count; k++) {
            const struct store_capacity *capacity = &trials[t].capacities[k];
            int i = spec_study_service(study, capacity->service);
            if (i >= 0 && strcmp(trials[t].candidate, buf_text(&text)) == 0 &&
                !isnan(capacity->low))
                ret_tops[i] = (struct guard_capacity){.top = capacity->low,
                                                      .rate = strcmp(capacity->of, "rate") == 0};
        }
}

void guard_versions_compare(const struct spec_study *study, const char *folder,
                            const struct device *device, struct guard_events *events)
{
    struct err ignored = ERR_INIT;
    AUTO(free) char *path = study_store_path(folder ? folder : "");
    AUTO(store_close) struct store *store = NULL;
    struct store_study stored;
    bool found = false;
    if (!folder || !device || !file_exists(path) ||
        !store_open(path, STORE_READ, &store, &ignored) ||
        !store_study_get(store, &found, &stored, &ignored) || !found || !stored.device_versions)
        return;
    const char *now = device_facts(device)->versions;
    if (strcmp(stored.device_versions, now) != 0)
        guard_events_add(events, EVENT_VERSIONS, -1,
                         "%s: the study measured on %s, now it is %s: its numbers may not hold",
                         study->devices[0], stored.device_versions, now);
}
