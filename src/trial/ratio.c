/* "goodput_ratio > 95 %" says that at most 5 % of the requests may miss something, "wer < 10 %"
 * that at most 10 % of the words may be wrong: shares both, with exact bounds.
 *
 * Words are not independent: a clip that is hard for a service is wrong in many places, and wrong
 * again whenever it is heard. So a clip is one cluster, and the words are worth as many as would
 * make the ratio spread as the clips make it (linearised ratio; degrees of freedom as in Korn and
 * Graubard 1998). Where not one word is wrong, nothing shows how alike a clip's words are: then
 * each clip is worth one. Rejected: the bootstrap's interval that the report shows, which says
 * nothing of a ratio of 0. */
#include "trial/ratio.h"

#include "stats/requirement.h"
#include "stats/sessions.h"
#include "stats/summary.h"
#include "stats/wer.h"
#include "trial/finding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ONE_SIDE = 0.95;

static bool settle(struct metric_ref ref, const char *op, double limit, struct ratio_bound *ret)
{
    bool above = ref.metric == METRIC_GOODPUT_RATIO && op[0] == '>';
    bool below = ref.metric == METRIC_WER && op[0] == '<';
    ret->metric = ref.metric;
    ret->allowed = above ? 1 - limit : limit;
    return (above || below) && ret->allowed > 0 && ret->allowed < 1;
}

struct ratio_bound *ratio_bounds(const struct spec_study *study, size_t i, struct arena *arena,
                                 size_t *ret_count)
{
    struct ratio_bound *bounds = arena_array(arena, study->requirement_count + 1, sizeof *bounds);
    size_t count = 0;
    for (size_t k = 0; k < study->requirement_count; k++) {
        const struct expr *expr = study->requirements[k].expr;
        for (size_t id = 0; id < study->metric_ref_count; id++) {
            const char *op = NULL;
            double limit = NAN;
            struct ratio_bound bound = {.text = expr_text(expr)};
            if (!expr_uses(expr, id) || study->metric_refs[id].service != i ||
                !level_plain_limit(expr, id, &op, &limit) ||
                !settle(study->metric_refs[id], op, limit, &bound))
                continue;
            bounds[count++] = bound;
            break;
        }
    }
    *ret_count = count;
    return bounds;
}

/* ---- goodput ---- */

static int compare_intended(const void *a, const void *b)
{
    const struct load_record *x = &(*(const struct trial_answer *const *)a)->record;
    const struct load_record *y = &(*(const struct trial_answer *const *)b)->record;
    return (x->intended_ns > y->intended_ns) - (x->intended_ns < y->intended_ns);
}

static void count_requests(const struct metrics_input *input, struct arena *arena,
                           struct store_requirement *r)
{
    const struct answer_list *all = input->answers;
    const struct trial_answer **order = arena_array(arena, all->count + 1, sizeof *order);
    double *bad = arena_array(arena, all->count + 1, sizeof *bad);
    uint32_t *sessions = arena_array(arena, all->count + 1, sizeof *sessions);
    size_t count = 0;
    for (size_t i = 0; i < all->count && input->limits; i++)
        if (finding_counts(input, &all->items[i].record))
            order[count++] = &all->items[i];
    qsort(order, count, sizeof *order, compare_intended);
    for (size_t i = 0; i < count; i++) {
        sessions[i] = order[i]->record.session;
        bad[i] = finding_badness(input->limits, &order[i]->record);
        r->over += !finding_is_good(input->limits, &order[i]->record);
    }
    const struct stats_series series = {.values = bad, .n = count};
    r->requests = (int64_t)count;
    r->worth = count ? stats_sessions_worth(&series, sessions, 1) : 0;
    r->of = "requests";
}

/* ---- words ---- */

/* How many independent words those of `n` clips are worth; pooled[i] is all that was heard of one.
 */
static double words_worth(const struct stats_wer *pooled, size_t n, double words, double errors)
{
    double squares = 0, ratio = errors / words;
    if (n < 2 || errors <= 0 || ratio >= 1)
        return (double)n;
    for (size_t i = 0; i < n; i++) {
        double wrong =
            (double)(pooled[i].substitutions + pooled[i].deletions + pooled[i].insertions);
        double rest = wrong - ratio * (double)pooled[i].reference_words;
        squares += rest * rest;
    }
    double variance = squares * (double)n / (double)(n - 1) / (words * words);
    double stretch = stats_student_quantile(ONE_SIDE, (double)(n - 1)) /
                     stats_student_quantile(ONE_SIDE, words - 1);
    double worth = ratio * (1 - ratio) / (variance * stretch * stretch);
    return worth < words ? worth
                         : words; /* clips that are all alike are still no more than words */
}

static void count_words(const struct metrics_input *input, struct arena *arena,
                        struct store_requirement *r)
{
    size_t clips = input->corpus ? input->corpus->clip_count : 0, heard = 0;
    struct stats_wer *pooled = arena_array(arena, clips + 1, sizeof *pooled), total = {0};
    memset(pooled, 0, (clips + 1) * sizeof *pooled);
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct trial_answer *answer = &input->answers->items[k];
        const struct load_record *record = &answer->record;
        if (record->part != LOAD_WINDOW || record->error != LOAD_OK || record->item >= clips ||
            !input->corpus->clips[record->item].transcript)
            continue;
        const struct stats_wer one = stats_wer_count(
            input->normaliser, input->corpus->clips[record->item].transcript, answer->text);
        stats_wer_pool(&pooled[record->item], &one);
        stats_wer_pool(&total, &one);
    }
    for (size_t i = 0; i < clips; i++)
        if (pooled[i].reference_words > 0)
            pooled[heard++] = pooled[i];
    uint64_t errors = total.substitutions + total.deletions + total.insertions;
    r->requests = (int64_t)total.reference_words;
    /* Insertions have no end; a share has. */
    r->over = (int64_t)(errors < total.reference_words ? errors : total.reference_words);
    r->worth =
        heard ? words_worth(pooled, heard, (double)total.reference_words, (double)errors) : 0;
    r->of = "words";
}

struct store_requirement ratio_requirement(const struct metrics_input *input,
                                           const struct ratio_bound *bound, struct arena *arena)
{
    struct store_requirement r = {
        .service = input->service, .text = bound->text, .allowed = bound->allowed};
    if (bound->metric == METRIC_WER)
        count_words(input, arena, &r);
    else
        count_requests(input, arena, &r);
    r.answer =
        r.requests > 0 ? finding_answer(r.allowed, r.requests, r.over, r.worth) : "undecided";
    return r;
}
