/* How much better or worse, with an interval.
 *
 * Quantiles and per-run values are compared as ratios by a bootstrap that resamples whole cold
 * starts (stats/summary.h). Word error rates are compared as a difference by resampling clips, both
 * sides together: the clips are the same on both sides, so their difficulty cancels. A difference
 * is called certain only when the whole interval lies on one side.
 *
 * Only the key measures are compared: 40 comparisons at 95 % would find two "certain" differences
 * between a thing and itself. Failed requests are shown, not compared: a requirement judges them.
 */
#include "report/build.h"

#include "study/counted.h"

#include <math.h>
#include <string.h>

enum { DRAWS = 1000 };

static const struct report_change none = {.given = false};

static struct report_change unknown_change(bool is_ratio)
{
    return (struct report_change){
        .given = true, .is_ratio = is_ratio, .value = NAN, .low = NAN, .high = NAN};
}

static struct report_change change_of(const struct report_measure *m, bool is_ratio,
                                      struct stats_effect effect)
{
    int side = stats_effect_certain(&effect, is_ratio ? 1 : 0);
    return (struct report_change){
        .given = true,
        .is_ratio = is_ratio,
        .value = effect.estimate,
        .low = effect.interval.low,
        .high = effect.interval.high,
        .certain = m->higher_is_better ? side : -side,
    };
}

static struct rng rng_of(const struct report_builder *b, const struct report_measure *m,
                         const char *what)
{
    char stream[160];
    snprintf(stream, sizeof stream, "report/%s/%s", what, m->name);
    return rng_init(b->view->study->seed, stream);
}

/* One side's numbers of one mode. */
struct half {
    const struct report_side *side;
    const char *mode;
    const struct report_number *number;
};

static bool compare_samples(struct report_builder *b, const struct report_measure *m,
                            struct half left, struct half right, const char *what,
                            struct report_change *ret, struct err *err)
{
    struct stats_runs a = {0}, base = {0};
    if (!report_read_runs(b, left.side, m, left.mode, &a, err) ||
        !report_read_runs(b, right.side, m, right.mode, &base, err))
        return false;
    struct stats_comparison how = {.statistic = STATISTIC_QUANTILE,
                                   .q = metric_stat_quantile(m->stat),
                                   .confidence = b->view->confidence,
                                   .draws = DRAWS};
    struct rng rng = rng_of(b, m, what);
    *ret = change_of(m, true, stats_bootstrap_ratio(&a, &base, &how, &rng));
    return true;
}

/* Each run is one value. */
static struct stats_runs runs_of_values(struct report_builder *b, const struct report_measure *m,
                                        struct half half)
{
    size_t n = half.side->run_count;
    struct stats_run *runs = arena_array(b->arena, n + 1, sizeof *runs);
    double *values = arena_array(b->arena, n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = report_trial_value(b->view, half.side->runs[i], m, half.mode);
        runs[i] = (struct stats_run){&values[i], 1};
    }
    return (struct stats_runs){runs, n};
}

static void compare_values(struct report_builder *b, const struct report_measure *m,
                           struct half left, struct half right, const char *what,
                           struct report_change *ret)
{
    struct stats_runs a = runs_of_values(b, m, left), base = runs_of_values(b, m, right);
    struct stats_comparison how = {
        .statistic = STATISTIC_MEAN, .confidence = b->view->confidence, .draws = DRAWS};
    struct rng rng = rng_of(b, m, what);
    *ret = change_of(m, true, stats_bootstrap_ratio(&a, &base, &how, &rng));
}

struct clip_pair {
    double errors_a, words_a, errors_b, words_b;
};

static double rate_difference(const struct clip_pair *pairs, size_t n, struct rng *rng)
{
    struct clip_pair sum = {0};
    for (size_t i = 0; i < n; i++) {
        const struct clip_pair *pair = &pairs[rng ? rng_below(rng, n) : i];
        sum.errors_a += pair->errors_a;
        sum.words_a += pair->words_a;
        sum.errors_b += pair->errors_b;
        sum.words_b += pair->words_b;
    }
    return sum.errors_a / sum.words_a - sum.errors_b / sum.words_b;
}

/* Percentile interval over clips that both sides have heard. */
static struct stats_effect compare_clips(const struct clip_pair *pairs, size_t n, double confidence,
                                         struct rng *rng)
{
    struct stats_effect effect = {NAN, {NAN, NAN}, n};
    if (n == 0)
        return effect;
    effect.estimate = rate_difference(pairs, n, NULL);
    if (n < 2)
        return effect;
    double draws[2 * DRAWS];
    for (size_t i = 0; i < ARRAY_LEN(draws); i++)
        draws[i] = rate_difference(pairs, n, rng);
    stats_sort(draws, ARRAY_LEN(draws));
    effect.interval.low = stats_quantile(draws, ARRAY_LEN(draws), (1 - confidence) / 2);
    effect.interval.high = stats_quantile(draws, ARRAY_LEN(draws), (1 + confidence) / 2);
    return effect;
}

static bool compare_words(struct report_builder *b, const struct report_measure *m,
                          const struct report_side *left, const struct report_side *right,
                          struct report_change *ret, struct err *err)
{
    const char *service = b->view->study->services[m->service].name;
    struct report_clip *a = NULL, *base = NULL;
    size_t a_count = 0, base_count = 0, n = 0;
    if (!report_read_clips(b, left, service, &a, &a_count, err) ||
        !report_read_clips(b, right, service, &base, &base_count, err))
        return false;
    struct clip_pair *pairs = arena_array(b->arena, a_count + 1, sizeof *pairs);
    for (size_t i = 0; i < a_count; i++)
        for (size_t k = 0; k < base_count; k++)
            if (a[i].item == base[k].item && a[i].words > 0 && base[k].words > 0)
                pairs[n++] = (struct clip_pair){(double)a[i].errors, (double)a[i].words,
                                                (double)base[k].errors, (double)base[k].words};
    struct rng rng = rng_of(b, m, "words");
    *ret = change_of(m, false, compare_clips(pairs, n, b->view->confidence, &rng));
    return true;
}

/* Tokens counted by events are another quantity than those a server counted. */
static bool counted_alike(const struct report_builder *b, const struct report_measure *m,
                          const struct report_side *left, const struct report_side *right)
{
    const struct report_side *const sides[] = {left, right};
    uint32_t by_events[ARRAY_LEN(sides)] = {0};
    for (size_t s = 0; s < ARRAY_LEN(sides); s++)
        for (size_t i = 0; i < sides[s]->run_count; i++)
            by_events[s] |= study_counted_by_events(b->view->study, sides[s]->runs[i]);
    uint32_t differ = by_events[0] ^ by_events[1];
    return m->metric != METRIC_TOKENS_PER_S ||
           (m->service == REPORT_ALL_SERVICES ? differ == 0 : !(differ >> m->service & 1));
}

static bool compare(struct report_builder *b, const struct report_measure *m, struct half left,
                    struct half right, const char *what, struct report_change *ret, struct err *err)
{
    *ret = none;
    if (m->metric == METRIC_ERRORS || m->metric == METRIC_ERROR_RATIO)
        return true;
    if (m->metric == METRIC_WER) {
        *ret = unknown_change(false);
        return strcmp(left.mode, right.mode) != 0 ||
               compare_words(b, m, left.side, right.side, ret, err);
    }
    *ret = unknown_change(true);
    if (isnan(left.number->value) || isnan(right.number->value))
        return true; /* what can't be printed can't be compared */
    if (!counted_alike(b, m, left.side, right.side))
        return true;
    if (report_has_samples(m))
        return compare_samples(b, m, left, right, what, ret, err);
    compare_values(b, m, left, right, what, ret);
    return true;
}

static bool against_baseline(struct report_builder *b, struct report_side *side, struct err *err)
{
    const struct report_side *baseline = b->view->baseline;
    for (size_t i = 0; i < b->view->measure_count; i++) {
        const struct report_measure *m = &b->view->measures[i];
        struct half left = {side, "shared", &side->shared[i]};
        struct half right = {baseline, "shared", &baseline->shared[i]};
        if (m->key && !compare(b, m, left, right, side->candidate->text, &side->against[i], err))
            return false;
    }
    return true;
}

/* What can differ between a service alone and the same service beside the others. */
static bool is_shared_out(const struct report_measure *m)
{
    bool is_time =
        m->metric == METRIC_LATENCY || m->metric == METRIC_TTFT || m->metric == METRIC_ITL;
    return m->metric == METRIC_TOKENS_PER_S ||
           (is_time && (m->stat == STAT_P50 || m->stat == STAT_P95 || m->objective));
}

static bool shared_against_alone(struct report_builder *b, struct report_side *side,
                                 struct err *err)
{
    for (size_t i = 0; i < b->view->measure_count; i++) {
        const struct report_measure *m = &b->view->measures[i];
        struct half left = {side, "shared", &side->shared[i]};
        struct half right = {side, "alone", &side->alone[i]};
        if (is_shared_out(m) && !compare(b, m, left, right, "sharing", &side->sharing[i], err))
            return false;
    }
    return true;
}

bool report_build_changes(struct report_builder *b, struct err *err)
{
    struct report_view *view = b->view;
    for (size_t i = 0; i < view->side_count; i++) {
        struct report_side *side = &view->sides[i];
        side->against = arena_array(b->arena, view->measure_count, sizeof *side->against);
        side->sharing = arena_array(b->arena, view->measure_count, sizeof *side->sharing);
        bool compared = view->baseline && view->baseline->run_count > 0 && side->run_count > 0;
        if (compared && !side->is_baseline && !against_baseline(b, side, err))
            return false;
        if ((side->is_winner || side->is_baseline) && !shared_against_alone(b, side, err))
            return false;
    }
    return true;
}
