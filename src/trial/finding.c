/* Requirements as counts, goodput, worst utterances.
 *
 * A p95 is one number and says nothing of how sure it is; the count of requests over the limit says
 * both. Counts of several runs add up, so the final can pool them. What the count is worth where
 * neighbours are alike comes from the window's own series (stats/series.h).
 *
 * Goodput asks each request for everything at once. A request has no p95: what a requirement names
 * for the largest share of requests is what a single one has to keep. */
#include "trial/finding.h"

#include "base/clock.h"
#include "stats/sessions.h"
#include "stats/wer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ERROR = 0.05;
enum { TEXT_MAX = 400 };

struct level_bound *finding_bounds(const struct spec_study *study, size_t i, struct arena *arena,
                                   size_t *ret_count)
{
    struct level_bound *bounds = arena_array(arena, study->requirement_count + 1, sizeof *bounds);
    size_t count = 0;
    for (size_t k = 0; k < study->requirement_count; k++) {
        const struct expr *expr = study->requirements[k].expr;
        for (size_t id = 0; id < study->metric_ref_count; id++) {
            struct level_bound bound;
            if (!expr_uses(expr, id) || study->metric_refs[id].service != i ||
                !level_bound_of(expr, id, study->metric_refs[id], &bound) || bound.allowed <= 0)
                continue;
            bounds[count++] = bound;
            break;
        }
    }
    *ret_count = count;
    return bounds;
}

struct finding_limits finding_limits_none(void)
{
    return (struct finding_limits){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, false};
}

static bool limit_of(struct finding_limits *limits, enum metric metric, double **ret_limit,
                     double **ret_share)
{
    switch (metric) {
    case METRIC_LATENCY:
        *ret_limit = &limits->latency_s;
        *ret_share = &limits->of_latency;
        return true;
    case METRIC_TTFT:
        *ret_limit = &limits->ttft_s;
        *ret_share = &limits->of_ttft;
        return true;
    case METRIC_CONTENT:
        *ret_limit = &limits->content_s;
        *ret_share = &limits->of_content;
        return true;
    case METRIC_ITL:
        *ret_limit = &limits->itl_s;
        *ret_share = &limits->of_itl;
        return true;
    case METRIC_RTF:
        *ret_limit = &limits->rtf;
        *ret_share = &limits->of_rtf;
        return true;
    default:
        return false;
    }
}

/* The share of requests that a statistic speaks of; NaN: of none in particular. */
static double strictness(enum metric_stat stat)
{
    return stat == STAT_MAX ? 1 : metric_stat_quantile(stat);
}

void finding_limits_add(struct finding_limits *limits, const struct expr *expr, size_t id,
                        struct metric_ref ref)
{
    double *limit = NULL, *share = NULL, wanted = strictness(ref.stat), value = NAN;
    if (!limit_of(limits, ref.metric, &limit, &share) || isnan(wanted) || !expr_uses(expr, id) ||
        !level_limit_of(expr, id, &value) || *share > wanted)
        return;
    *limit = *share == wanted ? fmin(*limit, value) : value;
    *share = wanted;
    limits->any = true;
}

struct finding_limits finding_limits_of(const struct spec_study *study, size_t i)
{
    struct finding_limits limits = finding_limits_none();
    for (size_t k = 0; k < study->requirement_count; k++)
        for (size_t id = 0; id < study->metric_ref_count; id++)
            if (study->metric_refs[id].service == i)
                finding_limits_add(&limits, study->requirements[k].expr, id,
                                   study->metric_refs[id]);
    return limits;
}

static bool keeps(double value, double limit)
{
    return isnan(limit) || value <= limit; /* an unknown value keeps nothing */
}

/* The mean gap between text events. One event has no gap, and so keeps every limit on gaps. */
static double mean_gap_s(const struct load_record *r)
{
    double gaps_s = (double)(r->last_token_ns - r->first_token_ns) / NS_PER_S;
    double gaps = (double)r->gap_count + (double)r->gaps_left_out;
    return gaps > 0 ? gaps_s / gaps : r->first_token_ns >= 0 ? 0 : NAN;
}

static double rtf_of(const struct load_record *r)
{
    return r->audio_s > 0 ? load_latency_s(r) / r->audio_s : NAN;
}

bool finding_is_good(const struct finding_limits *limits, const struct load_record *r)
{
    if (r->error != LOAD_OK)
        return false;
    return keeps(load_latency_s(r), limits->latency_s) && keeps(load_ttft_s(r), limits->ttft_s) &&
           keeps(load_content_s(r), limits->content_s) && keeps(mean_gap_s(r), limits->itl_s) &&
           keeps(rtf_of(r), limits->rtf);
}

double finding_badness(const struct finding_limits *limits, const struct load_record *r)
{
    const double pairs[][2] = {{load_latency_s(r), limits->latency_s},
                               {load_ttft_s(r), limits->ttft_s},
                               {load_content_s(r), limits->content_s},
                               {mean_gap_s(r), limits->itl_s},
                               {rtf_of(r), limits->rtf}};
    double worst = 0;
    for (size_t i = 0; i < ARRAY_LEN(pairs) && r->error == LOAD_OK; i++) {
        if (isnan(pairs[i][1]))
            continue;
        double part = pairs[i][0] / pairs[i][1];
        worst = part < FINDING_WORST ? fmax(worst, part) : FINDING_WORST; /* NaN as well */
    }
    return r->error == LOAD_OK ? worst : FINDING_WORST;
}

const char *finding_answer(double allowed, int64_t requests, int64_t over, double worth)
{
    static const char *const answers[] = {
        [STATS_OPEN] = "undecided", [STATS_MET] = "met", [STATS_MISSED] = "missed"};
    return answers[stats_requirement_fixed(allowed, ERROR, (uint64_t)requests, (uint64_t)over,
                                           worth)];
}

static int compare_intended(const void *a, const void *b)
{
    const struct load_record *x = &(*(const struct trial_answer *const *)a)->record;
    const struct load_record *y = &(*(const struct trial_answer *const *)b)->record;
    return (x->intended_ns > y->intended_ns) - (x->intended_ns < y->intended_ns);
}

bool finding_counts(const struct metrics_input *input, const struct load_record *r)
{
    return r->part == LOAD_WINDOW && r->error != LOAD_RELOAD && r->intended_ns >= input->settled_ns;
}

/* When it counts from: of a turn its first step's send. */
static int64_t begun_ns(const struct load_record *r)
{
    return r->turn_start_ns >= 0 ? r->turn_start_ns : r->intended_ns;
}

static int compare_begun(const void *a, const void *b)
{
    const struct load_record *x = &(*(const struct trial_answer *const *)a)->record;
    const struct load_record *y = &(*(const struct trial_answer *const *)b)->record;
    return (begun_ns(x) > begun_ns(y)) - (begun_ns(x) < begun_ns(y));
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool turn_counts(const struct metrics_input *input, const struct load_record *r)
{
    return r->part == LOAD_WINDOW && r->error != LOAD_RELOAD && begun_ns(r) >= input->settled_ns;
}

/* The turns of the window: those that came to this service, and of those that broke before it the
 * first step, which has no time of a turn. In the arena. */
static size_t gather_turns(const struct metrics_input *input, struct arena *arena,
                           const struct trial_answer ***ret_order)
{
    const struct answer_list none = {0}, *begun = input->begun ? input->begun : &none;
    const struct answer_list *own = input->answers;
    const struct trial_answer **order =
        arena_array(arena, own->count + begun->count + 1, sizeof *order);
    uint32_t *numbers = arena_array(arena, own->count + 1, sizeof *numbers);
    size_t count = 0;
    for (size_t i = 0; i < own->count; i++) {
        numbers[i] = own->items[i].record.sequence;
        if (turn_counts(input, &own->items[i].record))
            order[count++] = &own->items[i];
    }
    qsort(numbers, own->count, sizeof *numbers, compare_numbers);
    for (size_t i = 0; i < begun->count; i++) {
        const struct load_record *r = &begun->items[i].record;
        if (turn_counts(input, r) &&
            !bsearch(&r->sequence, numbers, own->count, sizeof *numbers, compare_numbers))
            order[count++] = &begun->items[i];
    }
    qsort(order, count, sizeof *order, compare_begun);
    *ret_order = order;
    return count;
}

static size_t gather_requests(const struct metrics_input *input, struct arena *arena,
                              const struct trial_answer ***ret_order)
{
    const struct answer_list *all = input->answers;
    const struct trial_answer **order = arena_array(arena, all->count + 1, sizeof *order);
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (finding_counts(input, &all->items[i].record))
            order[count++] = &all->items[i];
    qsort(order, count, sizeof *order, compare_intended);
    *ret_order = order;
    return count;
}

/* In parts of the limit. Values and not only who is over: where none is, nothing else shows whether
 * neighbours are alike. */
static double part_of_limit(const struct level_bound *bound, const struct load_record *r)
{
    double part =
        bound->metric == METRIC_ERRORS ? 0 : level_value_of(bound->metric, r) / bound->limit;
    if (r->error != LOAD_OK || !(part < FINDING_WORST)) /* unknown as well */
        return FINDING_WORST;
    /* "<": at the limit is over. */
    return part >= 1 && level_bound_over(bound, r) ? fmax(part, 1 + 1e-9) : part;
}

struct store_requirement finding_requirement(const struct metrics_input *input,
                                             const struct level_bound *bound, struct arena *arena)
{
    const bool turns = bound->metric == METRIC_TURN;
    const struct trial_answer **order = NULL;
    size_t count =
        turns ? gather_turns(input, arena, &order) : gather_requests(input, arena, &order);
    double *parts = arena_array(arena, count + 1, sizeof *parts);
    uint32_t *sessions = arena_array(arena, count + 1, sizeof *sessions);
    int64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        parts[i] = part_of_limit(bound, &order[i]->record);
        sessions[i] = order[i]->record.session;
        total += level_bound_over(bound, &order[i]->record);
    }
    const struct stats_series series = {.values = parts, .n = count};
    double worth = count ? stats_sessions_worth(&series, sessions, 1) : 0;
    return (struct store_requirement){
        .service = input->service,
        .text = bound->text,
        .allowed = bound->allowed,
        .requests = (int64_t)count,
        .over = total,
        .of = turns ? "turns" : "requests",
        .worth = worth,
        .answer = finding_answer(bound->allowed, (int64_t)count, total, worth),
    };
}

static int compare_worst(const void *a, const void *b)
{
    const struct store_utterance *x = a, *y = b;
    if (store_utterance_worse(x, y) != store_utterance_worse(y, x))
        return store_utterance_worse(x, y) ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* Adds what one answer got wrong of its clip; the worst time's text is kept. */
static void add_heard(struct store_utterance *u, const struct stats_wer *wer, const char *text,
                      int64_t *worst)
{
    int64_t errors = (int64_t)(wer->substitutions + wer->deletions + wer->insertions);
    u->heard++;
    u->words += (int64_t)wer->reference_words;
    u->substitutions += (int64_t)wer->substitutions;
    u->deletions += (int64_t)wer->deletions;
    u->insertions += (int64_t)wer->insertions;
    if (errors > *worst) {
        *worst = errors;
        u->hypothesis = text;
    }
}

size_t finding_worst(const struct metrics_input *input, struct arena *arena, size_t most,
                     struct store_utterance **ret_list)
{
    size_t clips = input->corpus ? input->corpus->clip_count : 0, count = 0;
    struct store_utterance *list = arena_array(arena, clips + 1, sizeof *list);
    int64_t *worst = arena_array(arena, clips + 1, sizeof *worst);
    for (size_t i = 0; i < clips; i++) {
        list[i] = (struct store_utterance){.service = input->service, .item = (int64_t)i};
        worst[i] = 0;
    }
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct trial_answer *answer = &input->answers->items[k];
        const struct load_record *r = &answer->record;
        if (r->part != LOAD_WINDOW || r->error != LOAD_OK || r->item >= clips ||
            !input->corpus->clips[r->item].transcript)
            continue;
        struct stats_wer wer = stats_wer_count(
            input->normaliser, input->corpus->clips[r->item].transcript, answer->text);
        add_heard(&list[r->item], &wer, answer->text, &worst[r->item]);
    }
    qsort(list, clips, sizeof *list, compare_worst);
    while (count < clips && count < most && store_utterance_errors(&list[count]) > 0) {
        struct store_utterance *u = &list[count++];
        const char *said = input->corpus->clips[u->item].transcript;
        u->reference = arena_strndup(arena, said, strnlen(said, TEXT_MAX));
        u->hypothesis = arena_strndup(arena, u->hypothesis, strnlen(u->hypothesis, TEXT_MAX));
    }
    *ret_list = list;
    return count;
}
