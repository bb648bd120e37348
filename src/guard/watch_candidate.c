/* Which candidate runs in production: requests are made by its values (its model's name), and its
 * engine says where metrics are.
 *
 * The promotion's journal knows best. Without one somebody may have set things up by hand, and the
 * study's winner is the best guess, then what the study began with. A wrong guess costs a probe
 * that is refused, which is said, and nothing else. */
#include "guard/watch_candidate.h"

#include "base/file.h"
#include "base/json.h"
#include "guard/tier_study.h"
#include "promote/journal.h"
#include "stats/capacity.h"
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

/* ---- how much it can take ---- */

/* With its neighbours under load, and as a rate: what production has, and what is seen of it. A
 * search by itself is believed where there is no other; it knows nothing of neighbours. */
static int rank_of(const struct store_capacity *found)
{
    return 2 * found->beside + (strcmp(found->of, "rate") == 0);
}

/* Not even the smallest level was met: nothing fits, which is known. */
static double top_of(const struct store_capacity *found)
{
    const bool none = isnan(found->low) && found->end &&
                      stats_capacity_end_from_name(found->end) == CAPACITY_LEAST;
    return none ? 0 : found->low;
}

/* Searches of one setting differ by their luck and by who was disturbed unseen: a rule that asks
 * for spare capacity wants the careful answer, so the least of them. The last, which it was once,
 * is anybody's. */
struct guard_capacity guard_capacity_least(const struct spec_study *study, size_t service,
                                           const struct spec_candidate *wanted, bool others_too,
                                           const struct store_trial *trials, size_t count)
{
    struct guard_capacity least = {.top = NAN};
    int rank = -1;
    for (size_t t = 0; t < count; t++) {
        struct spec_candidate candidate;
        if (!tier_study_is_measured(&trials[t]) ||
            !spec_candidate_parse(study, trials[t].candidate, &candidate, NULL) ||
            !tier_study_agrees(study, service, wanted, &candidate, others_too))
            continue;
        for (size_t k = 0; k < trials[t].capacity_count; k++) {
            const struct store_capacity *found = &trials[t].capacities[k];
            const double top = top_of(found);
            if (strcmp(found->service, study->services[service].name) != 0 || isnan(top) ||
                rank_of(found) < rank || (rank_of(found) == rank && top >= least.top))
                continue;
            rank = rank_of(found);
            least = (struct guard_capacity){.top = top, .rate = strcmp(found->of, "rate") == 0};
        }
    }
    return least;
}

/* With what runs beside it, else with whatever ran beside it. */
static struct guard_capacity of_tier(const struct spec_study *study, const struct spec_front *front,
                                     size_t tier, const struct spec_candidate *candidate,
                                     const struct store_trial *trials, size_t count)
{
    const struct spec_candidate wanted =
        tier_study_candidate(study, &front->tiers[tier], front->service, candidate);
    struct guard_capacity found =
        guard_capacity_least(study, front->service, &wanted, true, trials, count);
    if (isnan(found.top))
        found = guard_capacity_least(study, front->service, &wanted, false, trials, count);
    return found;
}

void guard_capacities_find(const struct spec_study *study, const char *folder,
                           const struct spec_candidate *candidate,
                           struct guard_capacities *ret_found)
{
    struct err ignored = ERR_INIT;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *path = study_store_path(folder ? folder : "");
    AUTO(store_close) struct store *store = NULL;
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (study->capacity_count == 0 || !folder || !file_exists(path) ||
        !store_open(path, STORE_READ, &store, &ignored) ||
        !store_read_trials(store, arena, true, &trials, &count, &ignored))
        count = 0; /* then all are unknown */
    for (size_t i = 0; i < study->service_count; i++)
        ret_found->services[i] = guard_capacity_least(study, i, candidate, true, trials, count);
    for (size_t f = 0; f < study->guard->front_count; f++)
        for (size_t t = 0; t < study->guard->fronts[f].tier_count; t++)
            ret_found->tiers[f][t] =
                of_tier(study, &study->guard->fronts[f], t, candidate, trials, count);
}
