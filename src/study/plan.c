/* Baseline, then exploration, then the final: blocks of cold starts in which the baseline and every
 * finalist run once, in an order drawn per block. Interleaving makes slow drifts of the machine hit
 * all of them alike; repeats make one lucky run worth no more than one run.
 *
 * A finalist that fails a trial of the final is out, and the next in the exploration's rank takes
 * its place: a setting which fails one start in four is no winner. A trial that was disturbed even
 * after its retries says nothing and only lacks. The number of replacements is bounded by the
 * number of finalists.
 *
 * With several lanes trials are under way while the next one is asked for. What does not depend on
 * them is run meanwhile (see explore.c; in the final, any repeat of any finalist); what does waits.
 * A block of the final may then begin before the one before it has ended. */
#include "study/plan.h"

#include "base/clock.h"
#include "base/rng.h"
#include "study/explore.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_retried_by(const struct study_beside *beside, int64_t chain)
{
    for (size_t i = 0; i < beside->count; i++)
        if (beside->pending[i].retry_of == chain)
            return true;
    return false;
}

/* The first request whose last try does not settle it, unless it is being tried again. */
static const struct history_trial *awaits_retry(const struct history *history,
                                                const struct study_beside *beside)
{
    for (size_t i = 0; i < history->count; i++) {
        if (history_settled(history, i))
            continue;
        int64_t chain = history_chain(&history->trials[i]);
        bool again = is_retried_by(beside, chain);
        for (size_t k = i + 1; k < history->count && !again; k++)
            again = history_chain(&history->trials[k]) == chain;
        if (!again)
            return &history->trials[i];
    }
    return NULL;
}

static double lanes(const struct study_plan *plan)
{
    return plan->lanes > 1 ? (double)plan->lanes : 1;
}

/* Lanes share the time: two that work for a minute each have taken one. */
static double elapsed_s(const struct study_plan *plan, const struct history *history)
{
    return history_elapsed_s(history) / lanes(plan);
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

/* A start of everything and the stop: what the baseline's own trial took beside its window, which
 * is a full one; before it, a guess. */
static double start_s(const struct study_plan *plan, const struct history *history)
{
    const struct spec_measure *m = &plan->study->measure;
    double windows_s = seconds(m->warmup_ns) + seconds(m->window_ns);
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_BASELINE && t->verdict == VERDICT_OK && t->cold &&
            t->duration_s > windows_s && plan->study->knob_count > 0)
            return t->duration_s - windows_s;
    }
    return study_start_guess_s(plan->study);
}

static double final_trial_guess_s(const struct study_plan *plan, const struct history *history)
{
    const struct spec_measure *m = &plan->study->measure;
    size_t loaded = 0;
    for (size_t i = 0; i < plan->study->service_count; i++)
        loaded += plan->study->services[i].load.given;
    double alone = loaded > 1 ? (double)loaded * (seconds(m->alone_ns) + 3) : 0;
    double capacity = study_capacity_guess_s(plan->study) / m->repeats;
    return seconds(m->warmup_ns) + seconds(m->window_ns) + alone + capacity +
           start_s(plan, history);
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
    double final_s = mean_duration_s(history, HISTORY_FINAL, final_trial_guess_s(plan, history));
    double reserve_s = final_s * (double)racers(plan) * plan->study->measure.repeats / lanes(plan);
    return elapsed_s(plan, history) + reserve_s >= plan->time_s;
}

/* The final, once begun, is not interrupted: what more time would have explored is not explored. */
static bool explore_is_over(const struct study_plan *plan, const struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->trials[i].purpose == HISTORY_FINAL)
            return true;
    return time_is_up(plan, history);
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
    size_t result_count = study_explore_results(history, results);
    spec_code *ranked = arena_array(scratch, result_count, sizeof *ranked);
    size_t count = search_finalists(results, result_count, plan->baseline, plan->has_baseline,
                                    ranked, result_count, scratch);
    const struct study_rulings rulings = study_collect_rulings(history, scratch);
    bool late = plan->time_s > 0 && elapsed_s(plan, history) >= plan->time_s;
    size_t alive = 0, total = 0;
    for (size_t i = 0; i < count && alive < wanted && total < STUDY_FINALISTS_MAX; i++) {
        bool out = study_ruled_out(plan, &rulings, ranked[i]);
        if ((out || (late && total >= 2 * wanted)) && !in_final(history, ranked[i]))
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
                       const struct study_beside *beside, struct arena *scratch,
                       spec_code *ret_code, int *ret_repeat)
{
    spec_code codes[STUDY_FINALISTS_MAX + 1];
    size_t count = study_finalists(plan, history, scratch, codes);
    if (count == 0)
        return false; /* nothing to compare the baseline with */
    if (plan->has_baseline)
        codes[count++] = plan->baseline;
    const struct study_rulings rulings = study_collect_rulings(history, scratch);
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
                study_is_pending(plan, beside, "final", code, repeat) ||
                (!is_baseline && study_failed_final(history, code)) ||
                study_ruled_out(plan, &rulings, code))
                continue;
            *ret_code = code;
            *ret_repeat = repeat;
            return true;
        }
    }
    return false;
}

static int64_t next_number(const struct history *history, const struct study_beside *beside)
{
    int64_t last = history->count ? history->trials[history->count - 1].number : 0;
    if (history->last_number > last)
        last = history->last_number; /* that of a comparison */
    for (size_t i = 0; i < beside->count; i++)
        last = beside->pending[i].number > last ? beside->pending[i].number : last;
    return last + 1;
}

/* Once for each finalist and for the baseline; without knobs there is no final, and the baseline's
 * own trial has to do. */
static bool wants_capacity(const struct study_plan *plan, bool is_final, int repeat)
{
    bool only_baseline = plan->study->knob_count == 0;
    return plan->study->capacity_count > 0 && (only_baseline ? !is_final : repeat == 1);
}

static struct study_step retry(const struct study_plan *plan, const struct history_trial *last,
                               int64_t number)
{
    static const char *const purposes[] = {"baseline", "explore", "final"};
    static const enum study_stage stages[] = {STAGE_BASELINE, STAGE_EXPLORE, STAGE_FINAL};
    return (struct study_step){
        .stage = stages[last->purpose],
        .request = {.number = number,
                    .candidate = spec_candidate_decode(plan->study, last->code),
                    .purpose = purposes[last->purpose],
                    .round = last->round,
                    .repeat = last->repeat,
                    .retry_of = last->retry_of ? last->retry_of : last->number,
                    .window_ns = plan->study->measure.window_ns,
                    .cold = last->purpose == HISTORY_FINAL || last->verdict == VERDICT_OOM_START,
                    .capacity = wants_capacity(plan, last->purpose == HISTORY_FINAL, last->repeat),
                    .alone = last->purpose == HISTORY_FINAL},
    };
}

static int64_t window_ns(const struct study_plan *plan, double ratio)
{
    int64_t full_ns = plan->study->measure.window_ns;
    int64_t ns = (int64_t)((double)full_ns * ratio);
    return ns < NS_PER_S ? (full_ns < NS_PER_S ? full_ns : NS_PER_S) : ns;
}

static bool is_exploring(const struct study_beside *beside)
{
    for (size_t i = 0; i < beside->count; i++)
        if (strcmp(beside->pending[i].purpose, "final") != 0)
            return true;
    return false;
}

static bool wants_baseline(const struct study_plan *plan, const struct history *history,
                           const struct study_beside *beside)
{
    bool done =
        !plan->has_baseline || study_is_pending(plan, beside, "baseline", plan->baseline, 0);
    for (size_t i = 0; i < history->count && !done; i++)
        done = history->trials[i].purpose == HISTORY_BASELINE;
    return !done;
}

struct study_step study_next_beside(const struct study_plan *plan, const struct history *history,
                                    const struct study_beside *beside, struct arena *scratch)
{
    struct search_request explore = {0};
    assert(history->trials || history->count == 0);
    const int64_t number = next_number(history, beside);
    const struct history_trial *last = awaits_retry(history, beside);
    if (last) {
        struct study_step step = retry(plan, last, number);
        step.request.workers = history_workers(history, last);
        /* The strategy still asks for the same round: it says how long the window is. */
        if (last->purpose == HISTORY_EXPLORE &&
            study_explore_next(plan, history, beside, last, scratch, &explore) == EXPLORE_RUN)
            step.request.window_ns = window_ns(plan, explore.window_ratio);
        return step;
    }
    struct study_step step = {.request = {.number = number,
                                          .window_ns = plan->study->measure.window_ns,
                                          .workers = history_workers(history, NULL)}};
    if (wants_baseline(plan, history, beside)) {
        step.stage = STAGE_BASELINE;
        step.request.purpose = "baseline";
        step.request.candidate = spec_candidate_decode(plan->study, plan->baseline);
        step.request.capacity = wants_capacity(plan, false, 0);
        return step;
    }
    enum study_explored explored =
        explore_is_over(plan, history)
            ? EXPLORE_OVER
            : study_explore_next(plan, history, beside, NULL, scratch, &explore);
    if (explored == EXPLORE_RUN) {
        step.stage = STAGE_EXPLORE;
        step.request.purpose = "explore";
        step.request.round = explore.round;
        step.request.candidate = spec_candidate_decode(plan->study, explore.code);
        step.request.window_ns = window_ns(plan, explore.window_ratio);
        return step;
    }
    spec_code code;
    int repeat;
    if (explored == EXPLORE_WAIT || is_exploring(beside)) {
        step.stage = STAGE_WAIT; /* finalists are chosen from all results */
    } else if (next_final(plan, history, beside, scratch, &code, &repeat)) {
        step.stage = STAGE_FINAL;
        step.request.purpose = "final";
        step.request.repeat = repeat;
        step.request.candidate = spec_candidate_decode(plan->study, code);
        step.request.cold = step.request.alone = true;
        step.request.capacity = wants_capacity(plan, true, repeat);
    } else {
        step.stage = beside->count ? STAGE_WAIT : STAGE_DONE;
    }
    return step;
}

struct study_step study_next(const struct study_plan *plan, const struct history *history,
                             struct arena *scratch)
{
    const struct study_beside nothing = {0};
    return study_next_beside(plan, history, &nothing, scratch);
}

struct study_progress_counts study_count(const struct study_plan *plan,
                                         const struct history *history, struct arena *scratch)
{
    struct study_progress_counts counts = {0};
    const struct search_input input = study_search_input(plan);
    counts.explored = study_explore_results(
        history, arena_array(scratch, history->count, sizeof(struct search_result)));
    counts.explore_planned = search_strategy_find(plan->study->search.strategy)->planned(&input);
    counts.finals_planned = racers(plan) * (size_t)plan->study->measure.repeats;
    for (size_t i = 0; i < history->count; i++)
        counts.finals_done +=
            history->trials[i].purpose == HISTORY_FINAL && history_settled(history, i);
    const struct spec_measure *m = &plan->study->measure;
    double explore_s =
        mean_duration_s(history, HISTORY_EXPLORE,
                        seconds(m->warmup_ns) + seconds(m->window_ns) / 2 + start_s(plan, history));
    double final_s = mean_duration_s(history, HISTORY_FINAL, final_trial_guess_s(plan, history));
    bool final_begun = counts.finals_done > 0;
    size_t explore_left = final_begun || counts.explored >= counts.explore_planned
                              ? 0
                              : counts.explore_planned - counts.explored;
    size_t finals_left =
        counts.finals_planned > counts.finals_done ? counts.finals_planned - counts.finals_done : 0;
    double finals_left_s = final_s * (double)finals_left / lanes(plan);
    counts.left_s = explore_s * (double)explore_left / lanes(plan) + finals_left_s;
    double budget_left = plan->time_s > 0 ? plan->time_s - elapsed_s(plan, history) : INFINITY;
    if (counts.left_s > budget_left && !final_begun)
        counts.left_s = budget_left > 0 ? budget_left : finals_left_s;
    return counts;
}
