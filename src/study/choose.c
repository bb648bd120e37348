/* A lane keeps up what the next trial does not change, and a large server takes a minute to start.
 * In one lane the strategy's own order sees to that; dealt out in turn to two lanes, the same order
 * makes each of them restart nearly everything nearly every time (A1 and B1 here, A2 and B2 there).
 *
 * So a lane takes what changes the fewest of the services that are up in it. Among equals it keeps
 * away from what the other lanes have up, since those can go on from there more cheaply; then the
 * strategy's order decides. Planning whole routes was rejected: lanes finish when they finish.
 *
 * Invariant: all options are run in the end, whoever takes which. */
#include "study/choose.h"

#include <limits.h>

/* Services whose settings differ; all of them when nothing is up. */
static int services_changed(const struct spec_study *study, const struct spec_candidate *up,
                            const struct spec_candidate *wanted)
{
    bool changed[SPEC_SERVICES_MAX] = {false};
    int count = 0;
    for (size_t k = 0; k < study->knob_count; k++)
        if (up && up->index[k] != wanted->index[k])
            changed[study->knobs[k].service] = true;
    for (size_t i = 0; i < study->service_count; i++)
        count += !up || changed[i] || study->services[i].fresh;
    return count;
}

size_t study_choose(const struct spec_study *study, const struct search_request *options,
                    size_t count, const struct study_beside *beside)
{
    size_t best = 0;
    int best_changed = INT_MAX, best_away = 0;
    for (size_t i = 0; i < count && count > 1; i++) {
        struct spec_candidate wanted = spec_candidate_decode(study, options[i].code);
        int changed = services_changed(study, beside->up, &wanted), away = INT_MAX;
        for (size_t k = 0; k < beside->count; k++) {
            int from = services_changed(study, &beside->pending[k].candidate, &wanted);
            away = from < away ? from : away;
        }
        if (changed < best_changed || (changed == best_changed && away > best_away)) {
            best = i;
            best_changed = changed;
            best_away = away;
        }
    }
    return best;
}
