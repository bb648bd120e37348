/* The rule: among the finalists that were ok in every undisturbed trial of the final (at least
 * three), the one with the highest mean fitness of its final trials. Exploring trials do not count:
 * their luck is what made them finalists. It is called the winner when it is certainly better than
 * the baseline: the 95 % interval of the paired differences, block by block, lies above 0.
 * Otherwise the baseline stays, for changing production needs a reason.
 *
 * The interval compares two; the winner was picked as the best of k. With Bonferroni's split over
 * the k comparisons the statement holds whichever of them had come first. */
#include "study/decide.h"

#include "study/counted.h"
#include "study/explore.h"

#include "stats/summary.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double CONFIDENCE = 0.95;
enum { REPEATS_MAX = 100 }; /* as measure.repeats */

struct racer {
    spec_code code;
    double fitness[REPEATS_MAX]; /* per block; NaN: not measured or disturbed */
    int ok, failed, disturbed;
    int unranked;           /* ok, but its tokens were counted by events and others' by servers */
    bool broken;            /* its surroundings are: an env_fault that stayed */
    const char *eliminated; /* why; NULL while in the race */
    json_t *trials;         /* owned by its JSON object */
};

static const char *candidate_text(const struct spec_study *study, spec_code code,
                                  struct arena *scratch)
{
    struct spec_candidate candidate = spec_candidate_decode(study, code);
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, study, &candidate);
    return arena_strdup(scratch, buf_text(&text));
}

/* One settled trial of the final. An ok whose fitness is unknown is no measurement to win with. */
static void add_trial(struct racer *racer, const struct history_trial *t, struct arena *scratch,
                      const char **last_disturbed)
{
    const struct verdict_facts *facts = verdict_facts(t->verdict);
    bool ok = t->verdict == VERDICT_OK, unknown = ok && isnan(t->fitness);
    json_array_append_new(racer->trials, json_integer(t->number));
    if (t->repeat >= 1 && t->repeat <= REPEATS_MAX && facts->has_fitness)
        racer->fitness[t->repeat - 1] = t->fitness;
    if (facts->retried) {
        racer->disturbed++;
        racer->broken = racer->broken || t->verdict == VERDICT_ENV_FAULT;
        *last_disturbed = arena_printf(scratch, ": %s in trial %" PRId64, facts->name, t->number);
    } else if (history_unranked(t)) {
        racer->unranked++;
        if (!racer->eliminated)
            racer->eliminated = STUDY_COUNTED_OTHERWISE;
    } else if (ok && !unknown) {
        racer->ok++;
    } else {
        racer->failed++;
        if (!racer->eliminated)
            racer->eliminated = arena_printf(scratch, "%s in trial %" PRId64,
                                             unknown ? "unknown fitness" : facts->name, t->number);
    }
}

static void fill_racer(const struct history *history, struct racer *racer, struct arena *scratch)
{
    const char *last_disturbed = "";
    for (int b = 0; b < REPEATS_MAX; b++)
        racer->fitness[b] = NAN;
    racer->trials = json_array();
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        if (t->purpose == HISTORY_FINAL && t->code == racer->code && history_settled(history, i))
            add_trial(racer, t, scratch, &last_disturbed);
    }
    if (!racer->eliminated && racer->ok < DECIDE_REPEATS_MIN)
        racer->eliminated = arena_printf(scratch, "only %d undisturbed trials, %d needed%s",
                                         racer->ok, DECIDE_REPEATS_MIN, last_disturbed);
}

/* The baseline's own trial, before everything else; NULL: none settled. Without finalists there is
 * no final, and where its programs can't run it is ruled out of it: then this is all there is of
 * it. */
static const struct history_trial *baseline_trial(const struct history *history)
{
    for (size_t i = history->count; i-- > 0;)
        if (history->trials[i].purpose == HISTORY_BASELINE && history_settled(history, i))
            return &history->trials[i];
    return NULL;
}

static void fill_baseline(const struct history *history, struct racer *racer, struct arena *scratch)
{
    const struct history_trial *first = baseline_trial(history);
    fill_racer(history, racer, scratch);
    if (racer->ok > 0 || racer->failed > 0 || !first || first->verdict != VERDICT_ENV_FAULT)
        return;
    racer->broken = true;
    racer->eliminated = arena_printf(scratch, "env_fault in trial %" PRId64, first->number);
}

static struct stats_summary racer_summary(const struct racer *racer)
{
    double values[REPEATS_MAX];
    size_t n = 0;
    for (int b = 0; b < REPEATS_MAX; b++)
        if (!isnan(racer->fitness[b]))
            values[n++] = racer->fitness[b];
    return stats_summary_of(values, n);
}

static json_t *racer_json(const struct spec_study *study, const struct racer *racer,
                          struct arena *scratch)
{
    struct stats_summary summary = racer_summary(racer);
    json_t *object = json_object();
    json_object_set_new(object, "candidate",
                        json_text_or_null(candidate_text(study, racer->code, scratch)));
    json_object_set_new(object, "trials", racer->trials);
    json_object_set_new(object, "ok", json_integer(racer->ok));
    json_object_set_new(object, "failed", json_integer(racer->failed));
    json_object_set_new(object, "disturbed", json_integer(racer->disturbed));
    json_object_set_new(object, "fitness_mean", json_real_or_null(summary.mean));
    json_object_set_new(object, "fitness_low", json_real_or_null(summary.min));
    json_object_set_new(object, "fitness_high", json_real_or_null(summary.max));
    json_object_set_new(object, "eliminated", json_text_or_null(racer->eliminated));
    return object;
}

struct verdict_words {
    enum study_outcome outcome;
    const char *reason;
    struct stats_effect effect;
    bool certain;
};

/* A baseline that was only disturbed has not failed: it stays unless what was measured of it
 * suffices to be certain. */
static struct verdict_words weigh(const struct racer *best, const struct racer *baseline,
                                  bool baseline_explored_ok, size_t rivals, struct arena *scratch)
{
    struct verdict_words words = {.effect = {NAN, {NAN, NAN}, 0}};
    if (!best) {
        bool met = baseline && (!baseline->eliminated || baseline->unranked >= DECIDE_REPEATS_MIN);
        bool ok = baseline && (rivals ? met : baseline_explored_ok);
        words.outcome = ok ? OUTCOME_BASELINE_BEST : OUTCOME_INFEASIBLE;
        words.reason = !ok && rivals ? "no candidate met every requirement in the final"
                       : !ok         ? "no candidate met every requirement"
                       : rivals      ? "no other candidate met every requirement in the final"
                                     : "no other candidate met every requirement while exploring";
        return words;
    }
    words.outcome = OUTCOME_WINNER;
    if (!baseline) {
        words.reason = "best of the finalists; no baseline was given to compare it with";
        return words;
    }
    double confidence = 1 - (1 - CONFIDENCE) / (double)rivals;
    words.effect =
        stats_paired_difference(best->fitness, baseline->fitness, REPEATS_MAX, confidence);
    words.certain = stats_effect_certain(&words.effect, 0) > 0;
    if (baseline->failed > 0 || (baseline->broken && baseline->ok == 0)) {
        words.reason =
            arena_printf(scratch, "the baseline itself failed: %s", baseline->eliminated);
    } else if (baseline->unranked > 0) {
        words.outcome = OUTCOME_BASELINE_BEST;
        words.reason =
            arena_printf(scratch, "the baseline can't be compared: %s", baseline->eliminated);
    } else if (!words.certain) {
        words.outcome = OUTCOME_BASELINE_BEST;
        words.reason = baseline->eliminated
                           ? arena_printf(scratch,
                                          "no finalist is certainly better than the baseline, "
                                          "of which there are %s",
                                          baseline->eliminated)
                           : "no finalist is certainly better than the baseline";
    } else {
        words.reason = "certainly better than the baseline in the final's blocks";
    }
    return words;
}

static int compare_codes(const void *a, const void *b)
{
    const spec_code *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static size_t candidates_explored(const struct history *history, struct arena *scratch)
{
    spec_code *seen = arena_array(scratch, history->count, sizeof *seen);
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++)
        seen[i] = history->trials[i].code;
    qsort(seen, history->count, sizeof *seen, compare_codes);
    for (size_t i = 0; i < history->count; i++)
        count += i == 0 || seen[i] != seen[i - 1];
    return count;
}

/* Those that the exploration would let into a final. */
static size_t candidates_met(const struct study_plan *plan, const struct history *history,
                             struct arena *scratch)
{
    struct search_result *results = arena_array(scratch, history->count, sizeof *results);
    size_t count = study_explore_results(history, results);
    spec_code *codes = arena_array(scratch, count, sizeof *codes);
    return search_finalists(results, count, plan->baseline, plan->has_baseline, codes, count,
                            scratch);
}

/* How far the answer reaches: what it was compared with, and what was never looked at. */
static const char *statement(const struct verdict_words *words, const struct racer *baseline,
                             size_t finalists, const struct study_plan *plan,
                             const struct history *history, struct arena *scratch)
{
    size_t explored = candidates_explored(history, scratch);
    size_t finals = finalists + (baseline != NULL);
    size_t beyond = plan->code_count > finals ? plan->code_count - finals : 0;
    size_t untried = plan->code_count > explored ? plan->code_count - explored : 0;
    if (words->outcome == OUTCOME_INFEASIBLE && finalists > 0)
        return arena_printf(scratch,
                            "%zu of %zu candidates were tried; %zu met every requirement while "
                            "exploring, %zu of them ran in the final and none came through it.",
                            explored, plan->code_count, candidates_met(plan, history, scratch),
                            finalists);
    if (words->outcome == OUTCOME_INFEASIBLE)
        return arena_printf(scratch, "%zu of %zu candidates were tried; none met the requirements.",
                            explored, plan->code_count);
    bool wins = words->outcome == OUTCOME_WINNER;
    const char *what = !wins ? "no candidate was shown to be better than the baseline at 95 %"
                       : words->certain ? "better than the baseline at 95 %"
                                        : "the best of the final";
    size_t others = finalists - wins;
    return arena_printf(scratch,
                        "%s, compared with %s%zu %sfinalist%s only. %zu of %zu candidates "
                        "never reached the final, %zu of them were never tried.",
                        what, wins && words->certain ? "it and " : "", others, wins ? "other " : "",
                        others == 1 ? "" : "s", beyond, plan->code_count, untried);
}

const char *study_outcome_name(enum study_outcome outcome)
{
    static const char *const names[OUTCOME_COUNT_] = {
        [OUTCOME_WINNER] = "winner",
        [OUTCOME_BASELINE_BEST] = "baseline_best",
        [OUTCOME_INFEASIBLE] = "infeasible",
    };
    return names[outcome];
}

json_t *study_decide(const struct study_plan *plan, const struct history *history,
                     struct arena *scratch, enum study_outcome *ret_outcome)
{
    const struct spec_study *study = plan->study;
    spec_code codes[STUDY_FINALISTS_MAX];
    size_t count = study_finalists(plan, history, scratch, codes);
    struct racer *racers = arena_array(scratch, count + 1, sizeof *racers);
    const struct racer *best = NULL, *baseline = NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count + plan->has_baseline; i++) {
        racers[i].code = i < count ? codes[i] : plan->baseline;
        (i < count ? fill_racer : fill_baseline)(history, &racers[i], scratch);
        json_array_append_new(list, racer_json(study, &racers[i], scratch));
        if (i == count)
            baseline = &racers[i];
        else if (!racers[i].eliminated &&
                 (!best || racer_summary(&racers[i]).mean > racer_summary(best).mean))
            best = &racers[i];
    }
    const struct history_trial *first = baseline_trial(history);
    bool explored_ok = first && first->verdict == VERDICT_OK;
    struct verdict_words words = weigh(best, baseline, explored_ok, count, scratch);
    size_t explored = candidates_explored(history, scratch);
    bool wins = best && words.outcome == OUTCOME_WINNER;
    json_t *decision = json_object();
    json_object_set_new(decision, "outcome", json_string(study_outcome_name(words.outcome)));
    json_object_set_new(decision, "winner",
                        wins ? json_text_or_null(candidate_text(study, best->code, scratch))
                             : json_null());
    json_object_set_new(decision, "baseline",
                        plan->has_baseline
                            ? json_text_or_null(candidate_text(study, plan->baseline, scratch))
                            : json_null());
    json_object_set_new(decision, "confidence", json_real(CONFIDENCE));
    json_object_set_new(decision, "finalists", list);
    json_object_set_new(decision, "comparison",
                        json_pack("{s:{s:o, s:o, s:o}}", "fitness_difference", "value",
                                  json_real_or_null(words.effect.estimate), "low",
                                  json_real_or_null(words.effect.interval.low), "high",
                                  json_real_or_null(words.effect.interval.high)));
    json_object_set_new(decision, "explored", json_integer((json_int_t)explored));
    json_object_set_new(decision, "feasible", json_integer((json_int_t)plan->code_count));
    json_object_set_new(decision, "reason", json_text_or_null(words.reason));
    json_object_set_new(
        decision, "statement",
        json_text_or_null(statement(&words, baseline, count, plan, history, scratch)));
    *ret_outcome = words.outcome;
    return decision;
}
