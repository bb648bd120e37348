/* Which candidate runs in production: requests are made by its values (its model's name), and its
 * engine says where metrics are.
 *
 * The promotion's journal knows best: what it promoted, or that it was undone, and then what ran
 * before is what was promoted before that, by the records of all promotions, else the baseline:
 * never the winner, which is just what was undone. Without a journal somebody may have set things
 * up by hand, and the study's winner is the best guess, then what the study began with. A wrong
 * guess costs a probe that is refused, which is said, and nothing else. */
#include "guard/watch_candidate.h"

#include "base/file.h"
#include "base/json.h"
#include "guard/tier_study.h"
#include "promote/audit.h"
#include "promote/journal.h"
#include "stats/capacity.h"
#include "store/read.h"
#include "study/study.h"

#include <math.h>
#include <string.h>

/* ---- by promotions ---- */

/* Each record takes the one before it as it left it: who is undone was the last that had come. In
 * the order of the list, so that a stack of those that are in production is its last. Borrowed from
 * `records`; NULL: none. */
static const char *standing(const json_t *records, const char *but)
{
    AUTO_JSON json_t *stack = json_array();
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *record = json_array_get(records, i);
        const json_t *plan = json_object_get(record, "plan");
        const char *outcome = json_get_text(record, "outcome");
        const char *id = plan ? json_get_text(plan, "id") : NULL;
        const size_t count = json_array_size(stack);
        const char *last = count ? json_get_text(json_array_get(stack, count - 1), "id") : NULL;
        if (!outcome || !id)
            continue;
        if (strcmp(outcome, "promoted") == 0 && strcmp(id, but) != 0)
            json_array_append(stack, (json_t *)plan);
        else if (last && strcmp(last, id) == 0) /* rolled back, or as far as that went */
            json_array_remove(stack, count - 1);
    }
    const size_t count = json_array_size(stack);
    return count ? json_get_text(json_array_get(stack, count - 1), "winner") : NULL;
}

static bool take_earlier(const struct spec_study *study, const char *folder, const char *but,
                         struct spec_candidate *candidate)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON json_t *records = NULL;
    const char *winner =
        promote_audit_read(folder, &records, &ignored) ? standing(records, but) : NULL;
    return winner && spec_candidate_parse(study, winner, candidate, &ignored);
}

struct first {
    spec_code code;
    const struct spec_study *study;
    const struct spec_candidate *but; /* NULL: any */
};

static bool take_first(void *context, spec_code code)
{
    struct first *first = context;
    const struct spec_candidate candidate = spec_candidate_decode(first->study, code);
    first->code = code;
    return first->but && guard_candidate_is(first->study, &candidate, first->but);
}

/* `but`: is not in production, since it was undone; NULL: nothing is known not to be. */
static void take_beginning(const struct spec_study *study, const struct spec_candidate *but,
                           struct guard_candidate *found)
{
    if (study->baseline) {
        for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
            found->candidate.index[i] = i < study->knob_count ? study->baseline[i] : -1;
        found->from = "the study's baseline";
        return;
    }
    struct first first = {.study = study, .but = but};
    spec_space_each(study, take_first, &first);
    found->candidate = spec_candidate_decode(study, first.code);
    found->from = "the study's first candidate";
}

/* False: no promotion says anything of what runs. */
static bool take_promoted(const struct spec_study *study, const char *folder,
                          struct guard_candidate *found)
{
    struct err err = ERR_INIT;
    struct spec_candidate winner;
    AUTO(free) char *path = promote_journal_path(folder);
    AUTO(promote_journal_free) struct promote_journal *journal = NULL;
    if (!promote_journal_read(path, &journal, &err)) {
        found->journal_unread = true;
        return false;
    }
    if (!journal)
        return false;
    const char *text = journal->plan ? journal->plan->winner_text : NULL;
    const bool known = text && spec_candidate_parse(study, text, &winner, &err);
    const bool is_there =
        journal->state == PROMOTE_DONE || journal->state == PROMOTE_VERIFYING; /* it is asked */
    found->under_way = journal->state == PROMOTE_APPLYING || journal->state == PROMOTE_UNDOING;
    if (is_there && known) {
        found->candidate = winner;
        found->from = "what was promoted";
    } else if (!is_there && take_earlier(study, folder, journal->plan_id, &found->candidate)) {
        found->from = "what was promoted before";
    } else if (!is_there) {
        take_beginning(study, known ? &winner : NULL, found);
    }
    return !is_there || known;
}

/* ---- by the study ---- */

/* The decision as it is kept; NULL: there is none. Owned by the caller. */
static char *read_decision(const char *folder, bool *ret_unread)
{
    struct err ignored = ERR_INIT;
    AUTO(free) char *path = study_store_path(folder);
    AUTO(free) char *text = NULL;
    AUTO(store_close) struct store *store = NULL;
    if (!file_exists(path))
        return NULL;
    *ret_unread =
        !store_open_soon(path, &store, &ignored) || !store_decision_get(store, &text, &ignored);
    return *ret_unread ? NULL : TAKE(text);
}

static bool take_winner(const struct spec_study *study, const char *text,
                        struct guard_candidate *found)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON json_t *decision = text ? json_loads(text, 0, NULL) : NULL;
    const char *winner = decision ? json_get_text(decision, "winner") : NULL;
    if (!winner || !spec_candidate_parse(study, winner, &found->candidate, &ignored))
        return false;
    found->from = found->journal_unread
                      ? "the study's winner; the promotion's journal can't be read"
                      : "the study's winner";
    return true;
}

bool guard_candidate_is(const struct spec_study *study, const struct spec_candidate *a,
                        const struct spec_candidate *b)
{
    return memcmp(a->index, b->index, study->knob_count * sizeof *a->index) == 0;
}

void guard_candidate_find(const struct spec_study *study, const char *folder,
                          struct guard_candidate *ret_found)
{
    struct guard_candidate found = {.from = ""};
    AUTO(free) char *decision = folder ? read_decision(folder, &found.store_unread) : NULL;
    if (decision)
        digest_bytes(decision, strlen(decision), found.decision);
    found.promoted = folder && take_promoted(study, folder, &found);
    if (!found.promoted && !take_winner(study, decision, &found))
        take_beginning(study, NULL, &found);
    *ret_found = found;
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

/* With what runs beside it, else with whatever ran beside it. A tier's curve is never the latter
 * (tier_study.c), since guard goes up by it and nobody looks; this is of a tier that takes the
 * requests already, for a person or a rule of theirs, and roughly is better than not at all. */
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

bool guard_capacities_find(const struct spec_study *study, const char *folder,
                           const struct spec_candidate *candidate,
                           struct guard_capacities *ret_found)
{
    struct err err = ERR_INIT;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *path = study_store_path(folder ? folder : "");
    AUTO(store_close) struct store *store = NULL;
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (study->capacity_count == 0 || !folder || !file_exists(path) ||
        !store_open_soon(path, &store, &err) ||
        !store_read_trials(store, arena, true, &trials, &count, &err))
        count = 0; /* then all are unknown */
    for (size_t i = 0; i < study->service_count; i++)
        ret_found->services[i] = guard_capacity_least(study, i, candidate, true, trials, count);
    for (size_t f = 0; f < study->guard->front_count; f++)
        for (size_t t = 0; t < study->guard->fronts[f].tier_count; t++)
            ret_found->tiers[f][t] =
                of_tier(study, &study->guard->fronts[f], t, candidate, trials, count);
    return err.code != ERR_BUSY;
}
