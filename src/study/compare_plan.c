/* Which trial of a comparison comes next: a pure function of the comparison and its stored trials,
 * so that a killed one goes on where it was.
 *
 * Blocks of one cold start of each side, in an order drawn anew for each block: whatever drifts
 * hits all alike, and nobody is always first on a machine that is still warm from the last one. A
 * disturbed trial is tried again at once, as in a study; one that stays disturbed leaves its block
 * without that side. A side that failed is run to the end of no further block: once is enough to
 * know that it can fail, and how often is another question. */
#include "study/compare_inside.h"

#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>

static const struct history_trial *awaits_retry(const struct history *history)
{
    if (history->count == 0 || history_settled(history, history->count - 1))
        return NULL;
    return &history->trials[history->count - 1]; /* one at a time, so only the last one can */
}

static bool is_failure(const struct history_trial *trial)
{
    const struct verdict_facts *facts = verdict_facts(trial->verdict);
    return !facts->has_fitness && (!facts->retried || trial->ruled_out);
}

static size_t trial_count(const struct history *history)
{
    return history->trials ? history->count : 0;
}

static bool failed_before(const struct history *history, spec_code code, int block)
{
    for (size_t i = 0; i < trial_count(history); i++)
        if (history->trials[i].code == code && history->trials[i].repeat < block &&
            is_failure(&history->trials[i]))
            return true;
    return false;
}

static bool is_done(const struct history *history, spec_code code, int block)
{
    for (size_t i = 0; i < trial_count(history); i++)
        if (history->trials[i].code == code && history->trials[i].repeat == block)
            return true; /* the last one is settled, so all are */
    return false;
}

static size_t side_of(const struct study_comparison *comparison, spec_code code)
{
    size_t side = 0;
    while (side + 1 < comparison->side_count && comparison->sides[side].code != code)
        side++;
    return side;
}

static struct compare_step step_to(const struct spec_study *study,
                                   const struct study_comparison *comparison,
                                   const struct history *history, size_t side, int block,
                                   const struct history_trial *again)
{
    size_t count = trial_count(history);
    int64_t last = count ? history->trials[count - 1].number : 0;
    if (history->last_number > last)
        last = history->last_number;
    return (struct compare_step){
        .block = (size_t)block,
        .side = side,
        .request = {.number = last + 1,
                    .candidate = spec_candidate_decode(study, comparison->sides[side].code),
                    .purpose = "compare",
                    .round = (int)comparison->number,
                    .repeat = block,
                    .retry_of = again ? history_chain(again) : 0,
                    .window_ns = study->measure.window_ns,
                    .cold = true,
                    .workers = history_workers(history, again)},
    };
}

struct compare_step study_compare_next(const struct spec_study *study,
                                       const struct study_comparison *comparison,
                                       const struct history *history)
{
    const struct history_trial *again = awaits_retry(history);
    if (again)
        return step_to(study, comparison, history, side_of(comparison, again->code), again->repeat,
                       again);
    for (int block = 1; block <= (int)comparison->blocks_most; block++) {
        size_t order[COMPARE_SIDES_MAX];
        for (size_t i = 0; i < comparison->side_count; i++)
            order[i] = i;
        char stream[64];
        snprintf(stream, sizeof stream, "compare %" PRId64 " block %d", comparison->number, block);
        struct rng rng = rng_init(study->seed, stream);
        rng_shuffle(&rng, order, comparison->side_count);
        for (size_t i = 0; i < comparison->side_count; i++) {
            spec_code code = comparison->sides[order[i]].code;
            if (!is_done(history, code, block) && !failed_before(history, code, block))
                return step_to(study, comparison, history, order[i], block, NULL);
        }
    }
    return (struct compare_step){0};
}
