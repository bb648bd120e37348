/* The exploration as a pure function of what is stored: the strategy is begun anew each time and
 * told what is known, in the order in which it asks.
 *
 * With several lanes a round of the search is open to all of them at once: its requests do not
 * depend on each other's results. Results are matched by candidate and round, so that neither who
 * ran what nor the order in which lanes finished changes what is asked for.
 *
 * Invariant: what follows from a placeholder is never believed: beyond the round of the first
 * request without a result, the answer is to wait. */
#include "study/explore.h"

#include "study/bounds.h"
#include "study/choose.h"

#include <math.h>
#include <string.h>

struct study_rulings study_collect_rulings(const struct history *history, struct arena *scratch)
{
    struct study_rulings rulings = {0};
    size_t most = 0, most_bounds = 0;
    for (size_t i = 0; i < history->count; i++) {
        most += history->trials[i].ruled_out != NULL;
        most_bounds += history->trials[i].bound != BOUND_NOTHING;
    }
    rulings.parts = arena_array(scratch, most, sizeof *rulings.parts);
    rulings.bounds = arena_array(scratch, most_bounds, sizeof(struct history_trial *));
    for (size_t i = 0; i < history->count; i++) {
        if (history->trials[i].bound != BOUND_NOTHING && history_settled(history, i))
            rulings.bounds[rulings.bound_count++] = &history->trials[i];
        const char *part = history->trials[i].ruled_out;
        if (!part || !*part || !history_settled(history, i))
            continue;
        const char *spaced = arena_printf(scratch, "%s ", part);
        bool known = false;
        for (size_t k = 0; k < rulings.count && !known; k++)
            known = strcmp(rulings.parts[k], spaced) == 0;
        if (!known)
            rulings.parts[rulings.count++] = spaced;
    }
    return rulings;
}

bool study_ruled_out(const struct study_plan *plan, const struct study_rulings *rulings,
                     spec_code code)
{
    for (size_t i = 0; i < rulings->bound_count; i++)
        if (study_bound_covers(plan->study, rulings->bounds[i], code))
            return true;
    if (rulings->count == 0)
        return false;
    struct spec_candidate candidate = spec_candidate_decode(plan->study, code);
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, plan->study, &candidate);
    buf_addc(&text, ' ');
    for (size_t i = 0; i < rulings->count; i++) {
        const char *at = strstr(buf_text(&text), rulings->parts[i]);
        while (at && at != buf_text(&text) && at[-1] != ' ')
            at = strstr(at + 1, rulings->parts[i]);
        if (at)
            return true;
    }
    return false;
}

/* Exploring results in order, retries folded. */
size_t study_explore_results(const struct history *history, struct search_result *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_EXPLORE && history_settled(history, i))
            ret[count++] = (struct search_result){t->code, t->round, t->verdict, t->fitness};
    }
    return count;
}

bool study_is_pending(const struct study_plan *plan, const struct study_beside *beside,
                      const char *purpose, spec_code code, int turn)
{
    for (size_t i = 0; i < beside->count; i++) {
        const struct trial_request *r = &beside->pending[i];
        if (strcmp(r->purpose, purpose) == 0 && r->round + r->repeat == turn &&
            spec_candidate_code(plan->study, &r->candidate) == code)
            return true;
    }
    return false;
}

struct search_input study_search_input(const struct study_plan *plan)
{
    return (struct search_input){
        .study = plan->study,
        .codes = plan->codes,
        .code_count = plan->code_count,
        .trials = plan->trials > 0 ? (size_t)plan->trials : 0,
    };
}

/* The baseline's own first trial: whatever round asks for it, it has been measured at full length.
 */
static const struct history_trial *baseline_trial(const struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->trials[i].purpose == HISTORY_BASELINE && history_settled(history, i))
            return &history->trials[i];
    return NULL;
}

/* Stored results, each taken once. Nearly always they come in the order in which they are asked
 * for: the first that is free is looked at first. */
struct results {
    struct search_result *list;
    bool *taken;
    size_t count, first;
};

static struct results collect_results(const struct history *history, struct arena *scratch)
{
    struct results results = {
        .list = arena_array(scratch, history->count, sizeof(struct search_result))};
    results.count = study_explore_results(history, results.list);
    results.taken = arena_array(scratch, results.count, sizeof *results.taken);
    return results;
}

static const struct search_result *take_result(struct results *results,
                                               const struct search_request *request)
{
    while (results->first < results->count && results->taken[results->first])
        results->first++;
    for (size_t i = results->first; i < results->count; i++) {
        const struct search_result *r = &results->list[i];
        if (results->taken[i] || r->code != request->code || r->round != request->round)
            continue;
        results->taken[i] = true;
        return r;
    }
    return NULL;
}

/* What is known of a request without running it: stored, the baseline's own trial, under way (then
 * without a result, and *ret_open is set), or ruled out. */
struct replay {
    const struct study_plan *plan;
    const struct study_beside *beside;
    struct results results;
    struct study_rulings rulings;
    const struct history_trial *baseline;
};

static bool is_known(struct replay *replay, const struct search_request *request,
                     struct search_result *ret, bool *ret_open)
{
    const struct study_plan *plan = replay->plan;
    const struct search_result *stored = take_result(&replay->results, request);
    bool is_baseline = plan->has_baseline && request->code == plan->baseline;
    *ret = (struct search_result){request->code, request->round, VERDICT_ENV_FAULT, NAN};
    if (stored) {
        *ret = *stored;
    } else if (is_baseline && replay->baseline) {
        ret->verdict = replay->baseline->verdict;
        ret->fitness = replay->baseline->fitness;
    } else if ((is_baseline &&
                study_is_pending(plan, replay->beside, "baseline", request->code, 0)) ||
               study_is_pending(plan, replay->beside, "explore", request->code, request->round)) {
        *ret_open = true;
    } else {
        return study_ruled_out(plan, &replay->rulings, request->code);
    }
    return true;
}

/* Replays the strategy from the start: what it asks for next is either the next stored result, or
 * known without a run, or to be run. From the first request of which nothing is known on, the
 * strategy is told nothing true, so that only what it asks for in the same round counts. `seek`:
 * the request of a trial that is to be tried again, else NULL. */
enum study_explored study_explore_next(const struct study_plan *plan, const struct history *history,
                                       const struct study_beside *beside,
                                       const struct history_trial *seek, struct arena *scratch,
                                       struct search_request *ret)
{
    const struct search_strategy *strategy = search_strategy_find(plan->study->search.strategy);
    const struct search_input input = study_search_input(plan);
    struct replay replay = {.plan = plan,
                            .beside = beside,
                            .results = collect_results(history, scratch),
                            .rulings = study_collect_rulings(history, scratch),
                            .baseline = baseline_trial(history)};
    void *session = strategy->begin(&input, scratch);
    struct search_request request, options[STUDY_CHOICE_MAX];
    size_t option_count = 0, option_max = plan->lanes > 1 && !seek ? ARRAY_LEN(options) : 1;
    int open_round = 0; /* of the requests without a result */
    while (option_count < option_max && strategy->ask(session, &request)) {
        struct search_result result;
        bool open = false;
        if (open_round && request.round != open_round)
            break;
        if (seek && request.code == seek->code && request.round == seek->round) {
            *ret = request;
            return EXPLORE_RUN;
        }
        if (!is_known(&replay, &request, &result, &open)) {
            options[option_count++] = request;
            open = true;
        }
        open_round = open ? request.round : open_round;
        strategy->tell(session, &result);
    }
    if (option_count == 0)
        return open_round ? EXPLORE_WAIT : EXPLORE_OVER;
    *ret = options[study_choose(plan->study, options, option_count, beside)];
    return EXPLORE_RUN;
}
