/* Baseline, then exploration, then the final: blocks of cold starts in which the baseline and every
 * finalist run once, in an order drawn per block. Interleaving makes slow drifts of the machine hit
 * all of them alike; repeats make one lucky run worth no more than one run.
 *
 * A finalist that fails a trial of the final is out, and the next in the exploration's rank takes
 * its place: a setting which fails one start in four is no winner. A trial that was disturbed even
 * after its retries says nothing and only lacks. The number of replacements is bounded by the
 * number of finalists. */
#include "study/plan.h"

#include "base/clock.h"
#include "base/rng.h"
#include "study/bounds.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A start of all services, a probe each and the stop, when nothing has been measured yet. */
static const double START_GUESS_S = 8;

/* Parts of candidates that trials have ruled out, each followed by a blank. */
struct rulings {
    const char **parts;
    size_t count;
    const struct history_trial **bounds; /* settled failures that say something of others */
    size_t bound_count;
};

static struct rulings collect_rulings(const struct history *history, struct arena *scratch)
{
    struct rulings rulings = {0};
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

static bool ruled_out(const struct study_plan *plan, const struct rulings *rulings, spec_code code)
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
static size_t explore_results(const struct history *history, struct search_result *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_EXPLORE && history_settled(history, i))
            ret[count++] = (struct search_result){t->code, t->round, t->verdict, t->fitness};
    }
    return count;
}

static const struct history_trial *awaits_retry(const struct history *history)
{
    if (history->count == 0)
        return NULL;
    size_t last = history->count - 1;
    return history_settled(history, last) ? NULL : &history->trials[last];
}

static double mean_duration_s(const struct history *history, int purpose, double otherwise)
{
    double sum = 0;
    int count = 0;
    for (size_t i = 0; i < history->count; i++)
        if ((int)history->trials[i].purpose == purpose) {
            sum += history->trials[i].duration_s;
            count++;
        }
    return count ? sum / count : otherwise;
}

static double seconds(int64_t ns)
{
    return (double)ns / NS_PER_S;
}

static double final_trial_guess_s(const struct study_plan *plan)
{
    const struct spec_measure *m = &plan->study->measure;
    size_t loaded = 0;
    for (size_t i = 0; i < plan->study->service_count; i++)
        loaded += plan->study->services[i].load.given;
    double alone = loaded > 1 ? (double)loaded * (seconds(m->alone_ns) + 3) : 0;
    return seconds(m->warmup_ns) + seconds(m->window_ns) + alone + START_GUESS_S;
}

static size_t racers(const struct study_plan *plan)
{
    return (size_t)plan->study->search.finalists + plan->has_baseline;
}

/* Exploration ends when what is left of the time is needed for the final. The history carries the
 * durations, so a resumed study comes to the same end. */
static bool time_is_up(const struct study_plan *plan, const struct history *history)
{
    if (plan->time_s <= 0 || history->count == 0)
        return false; /* nothing at all measured is no answer, however short the time */
    double final_s = mean_duration_s(history, HISTORY_FINAL, final_trial_guess_s(plan));
    double reserve_s = final_s * (double)racers(plan) * plan->study->measure.repeats;
    return history_elapsed_s(history) + reserve_s >= plan->time_s;
}

/* The final, once begun, is not interrupted: what more time would have explored is not explored. */
static bool explore_is_over(const struct study_plan *plan, const struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->trials[i].purpose == HISTORY_FINAL)
            return true;
    return time_is_up(plan, history);
}

static struct search_input input_of(const struct study_plan *plan)
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

/* Replays the strategy from the start: what it asks for next is either the next stored result, or
 * known without a run (ruled out, or the baseline), or to be run. */
static bool next_explore(const struct study_plan *plan, const struct history *history,
                         struct arena *scratch, struct search_request *ret)
{
    const struct search_strategy *strategy = search_strategy_find(plan->study->search.strategy);
    const struct search_input input = input_of(plan);
    const struct rulings rulings = collect_rulings(history, scratch);
    struct search_result *run = arena_array(scratch, history->count, sizeof *run);
    size_t run_count = explore_results(history, run), taken = 0;
    const struct history_trial *baseline = baseline_trial(history);
    void *session = strategy->begin(&input, scratch);
    struct search_request request;
    while (strategy->ask(session, &request)) {
        if (taken < run_count && run[taken].code == request.code &&
            run[taken].round == request.round) {
            strategy->tell(session, &run[taken++]);
        } else if (plan->has_baseline && request.code == plan->baseline && baseline) {
            const struct search_result known = {request.code, request.round, baseline->verdict,
                                                baseline->fitness};
            strategy->tell(session, &known);
        } else if (ruled_out(plan, &rulings, request.code)) {
            const struct search_result missing = {request.code, request.round, VERDICT_ENV_FAULT,
                                                  NAN};
            strategy->tell(session, &missing);
        } else {
            *ret = request;
            return true;
        }
    }
    return false;
}

bool study_failed_final(const struct history *history, spec_code code)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_FINAL && t->code == code && t->verdict != VERDICT_OK &&
            !verdict_facts(t->verdict)->retried)
            return true;
    }
    return false;
}

static bool in_final(const struct history *history, spec_code code)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->trials[i].purpose == HISTORY_FINAL && history->trials[i].code == code)
            return true;
    return false;
}

size_t study_finalists(const struct study_plan *plan, const struct history *history,
                       struct arena *scratch, spec_code ret_codes[STUDY_FINALISTS_MAX])
{
    size_t wanted = (size_t)plan->study->search.finalists;
    if (wanted > STUDY_FINALISTS_MAX / 2)
        wanted = STUDY_FINALISTS_MAX / 2;
    struct search_result *results = arena_array(scratch, history->count, sizeof *results);
    size_t result_count = explore_results(history, results);
    spec_code *ranked = arena_array(scratch, result_count, sizeof *ranked);
    size_t count = search_finalists(results, result_count, plan->baseline, plan->has_baseline,
                                    ranked, result_count, scratch);
    const struct rulings rulings = collect_rulings(history, scratch);
    size_t alive = 0, total = 0;
    for (size_t i = 0; i < count && alive < wanted && total < 2 * wanted; i++) {
        bool out = ruled_out(plan, &rulings, ranked[i]);
        if (out && !in_final(history, ranked[i]))
            continue;
        ret_codes[total++] = ranked[i];
        alive += !out && !study_failed_final(history, ranked[i]);
    }
    return total;
}

static bool final_done(const struct history *history, spec_code code, int repeat)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_FINAL && t->code == code && t->repeat == repeat &&
            history_settled(history, i))
            return true;
    }
    return false;
}

/* The baseline is measured to the end even when it fails: it is what the winner is compared with,
 * and its failures are news too. */
static bool next_final(const struct study_plan *plan, const struct history *history,
                       struct arena *scratch, spec_code *ret_code, int *ret_repeat)
{
    spec_code codes[STUDY_FINALISTS_MAX + 1];
    size_t count = study_finalists(plan, history, scratch, codes);
    if (count == 0)
        return false; /* nothing to compare the baseline with */
    if (plan->has_baseline)
        codes[count++] = plan->baseline;
    const struct rulings rulings = collect_rulings(history, scratch);
    for (int repeat = 1; repeat <= plan->study->measure.repeats; repeat++) {
        size_t order[STUDY_FINALISTS_MAX + 1];
        for (size_t i = 0; i < count; i++)
            order[i] = i;
        char stream[32];
        snprintf(stream, sizeof stream, "final block %d", repeat);
        struct rng rng = rng_init(plan->study->seed, stream);
        rng_shuffle(&rng, order, count);
        for (size_t i = 0; i < count; i++) {
            spec_code code = codes[order[i]];
            bool is_baseline = plan->has_baseline && code == plan->baseline;
            if (final_done(history, code, repeat) ||
                (!is_baseline && study_failed_final(history, code)) ||
                ruled_out(plan, &rulings, code))
                continue;
            *ret_code = code;
            *ret_repeat = repeat;
            return true;
        }
    }
    return false;
}

static int64_t next_number(const struct history *history)
{
    return history->count ? history->trials[history->count - 1].number + 1 : 1;
}

static struct study_step retry(const struct study_plan *plan, const struct history *history,
                               const struct history_trial *last)
{
    static const char *const purposes[] = {"baseline", "explore", "final"};
    static const enum study_stage stages[] = {STAGE_BASELINE, STAGE_EXPLORE, STAGE_FINAL};
    return (struct study_step){
        .stage = stages[last->purpose],
        .request = {.number = next_number(history),
                    .candidate = spec_candidate_decode(plan->study, last->code),
                    .purpose = purposes[last->purpose],
                    .round = last->round,
                    .repeat = last->repeat,
                    .retry_of = last->retry_of ? last->retry_of : last->number,
                    .window_ns = plan->study->measure.window_ns,
                    .cold = last->purpose == HISTORY_FINAL,
                    .alone = last->purpose == HISTORY_FINAL},
    };
}

static int64_t window_ns(const struct study_plan *plan, double ratio)
{
    int64_t full_ns = plan->study->measure.window_ns;
    int64_t ns = (int64_t)((double)full_ns * ratio);
    return ns < NS_PER_S ? (full_ns < NS_PER_S ? full_ns : NS_PER_S) : ns;
}

struct study_step study_next(const struct study_plan *plan, const struct history *history,
                             struct arena *scratch)
{
    struct search_request explore = {0};
    const struct history_trial *last = awaits_retry(history);
    if (last) {
        struct study_step step = retry(plan, history, last);
        /* The strategy still asks for the same round: it says how long the window is. */
        if (last->purpose == HISTORY_EXPLORE && next_explore(plan, history, scratch, &explore))
            step.request.window_ns = window_ns(plan, explore.window_ratio);
        return step;
    }
    assert(history->trials || history->count == 0);
    bool baseline_done = false;
    for (size_t i = 0; i < history->count; i++)
        baseline_done = baseline_done || history->trials[i].purpose == HISTORY_BASELINE;
    struct study_step step = {
        .request = {.number = next_number(history), .window_ns = plan->study->measure.window_ns}};
    if (plan->has_baseline && !baseline_done) {
        step.stage = STAGE_BASELINE;
        step.request.purpose = "baseline";
        step.request.candidate = spec_candidate_decode(plan->study, plan->baseline);
        return step;
    }
    if (!explore_is_over(plan, history) && next_explore(plan, history, scratch, &explore)) {
        step.stage = STAGE_EXPLORE;
        step.request.purpose = "explore";
        step.request.round = explore.round;
        step.request.candidate = spec_candidate_decode(plan->study, explore.code);
        step.request.window_ns = window_ns(plan, explore.window_ratio);
        return step;
    }
    spec_code code;
    int repeat;
    if (next_final(plan, history, scratch, &code, &repeat)) {
        step.stage = STAGE_FINAL;
        step.request.purpose = "final";
        step.request.repeat = repeat;
        step.request.candidate = spec_candidate_decode(plan->study, code);
        step.request.cold = step.request.alone = true;
        return step;
    }
    step.stage = STAGE_DONE;
    return step;
}

struct study_progress_counts study_count(const struct study_plan *plan,
                                         const struct history *history, struct arena *scratch)
{
    struct study_progress_counts counts = {0};
    const struct search_input input = input_of(plan);
    counts.explored = explore_results(
        history, arena_array(scratch, history->count, sizeof(struct search_result)));
    counts.explore_planned = search_strategy_find(plan->study->search.strategy)->planned(&input);
    counts.finals_planned = racers(plan) * (size_t)plan->study->measure.repeats;
    for (size_t i = 0; i < history->count; i++)
        counts.finals_done +=
            history->trials[i].purpose == HISTORY_FINAL && history_settled(history, i);
    const struct spec_measure *m = &plan->study->measure;
    double explore_s =
        mean_duration_s(history, HISTORY_EXPLORE,
                        seconds(m->warmup_ns) + seconds(m->window_ns) / 2 + START_GUESS_S);
    double final_s = mean_duration_s(history, HISTORY_FINAL, final_trial_guess_s(plan));
    bool final_begun = counts.finals_done > 0;
    size_t explore_left = final_begun || counts.explored >= counts.explore_planned
                              ? 0
                              : counts.explore_planned - counts.explored;
    size_t finals_left =
        counts.finals_planned > counts.finals_done ? counts.finals_planned - counts.finals_done : 0;
    counts.left_s = explore_s * (double)explore_left + final_s * (double)finals_left;
    double budget_left = plan->time_s > 0 ? plan->time_s - history_elapsed_s(history) : INFINITY;
    if (counts.left_s > budget_left && !final_begun)
        counts.left_s = budget_left > 0 ? budget_left : final_s * (double)finals_left;
    return counts;
}
