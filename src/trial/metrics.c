/* Answers to metric rows and request rows. Pure but for the attempt's arena.
 *
 * A request belongs to the window when it was meant to leave within it, whenever its answer came:
 * else slow answers would leave the sample just because they are slow. Rates count what arrived
 * within the window: an answer that straddles its edge counts with the text events that fell
 * inside. */
#include "trial/attempt.h"

#include "base/clock.h"
#include "base/rng.h"
#include "stats/answers.h"
#include "stats/binomial.h"
#include "stats/quantile.h"
#include "stats/sessions.h"
#include "stats/summary.h"
#include "stats/wer.h"
#include "trial/finding.h"
#include "trial/ratio.h"
#include "trial/window.h"

#include <math.h>
#include <string.h>

static const double CONFIDENCE = 0.95;
enum { UTTERANCES_MOST = 5 };

struct series { /* plain heap, ended by metrics' caller */
    double *values;
    uint32_t *sessions; /* whose each is */
    size_t count, capacity;
};

static void series_add(struct series *series, uint32_t session, double value)
{
    if (isnan(value))
        return;
    if (series->count == series->capacity) {
        series->capacity = series->capacity ? 2 * series->capacity : 256;
        series->values = realloc(series->values, series->capacity * sizeof *series->values);
        series->sessions = realloc(series->sessions, series->capacity * sizeof *series->sessions);
        if (!series->values || !series->sessions)
            abort();
    }
    series->sessions[series->count] = session;
    series->values[series->count++] = value;
}

static void series_done_auto_(struct series *series)
{
    free(series->values);
    free(series->sessions);
}
#define AUTO_SERIES __attribute__((cleanup(series_done_auto_)))

static void add_row(struct attempt *attempt, const struct metrics_input *input, enum metric metric,
                    enum metric_stat stat, double value, struct stats_interval interval,
                    const char *method, size_t count)
{
    if (isnan(value))
        return; /* unknown is absent, not a row with a number in it */
    struct store_metric row = {
        .service = input->service,
        .mode = input->mode,
        .metric = metric_facts(metric)->name,
        .stat = metric_stat_name(stat),
        .value = value,
        .low = interval.low,
        .high = interval.high,
        .count = (int64_t)count,
        .method = method,
    };
    attempt_add_metric(attempt, &row);
}

/* The values in the order of their requests: whether neighbours, or turns of one session, are alike
 * decides the interval. */
static void add_distribution(struct attempt *attempt, const struct metrics_input *input,
                             enum metric metric, struct series *series)
{
    static const enum metric_stat quantiles[] = {STAT_P50, STAT_P90, STAT_P95, STAT_P99};
    const struct stats_interval none = {NAN, NAN};
    struct stats_series_interval found[ARRAY_LEN(quantiles)];
    const struct stats_series in_order = {.values = series->values, .n = series->count};
    if (series->count == 0)
        return;
    for (size_t k = 0; k < ARRAY_LEN(quantiles); k++)
        found[k] = stats_sessions_quantile(&in_order, series->sessions,
                                           metric_stat_quantile(quantiles[k]), CONFIDENCE);
    stats_sort(series->values, series->count);
    for (size_t k = 0; k < ARRAY_LEN(quantiles); k++) {
        const char *method = found[k].refusal ? stats_refusal_text(found[k].refusal)
                                              : stats_method_name(found[k].method);
        double q = metric_stat_quantile(quantiles[k]);
        add_row(attempt, input, metric, quantiles[k],
                stats_quantile(series->values, series->count, q), found[k].interval, method,
                series->count);
    }
    struct stats_summary summary = stats_summary_of(series->values, series->count);
    add_row(attempt, input, metric, STAT_MEAN, summary.mean, none, NULL, series->count);
    add_row(attempt, input, metric, STAT_MIN, summary.min, none, NULL, series->count);
    add_row(attempt, input, metric, STAT_MAX, summary.max, none, NULL, series->count);
}

static double median_of(struct arena *arena, const struct series *series)
{
    double *sorted = arena_array(arena, series->count + 1, sizeof *sorted);
    if (series->count)
        memcpy(sorted, series->values, series->count * sizeof *sorted);
    stats_sort(sorted, series->count);
    return stats_quantile(sorted, series->count, 0.5);
}

static void add_rates(struct attempt *attempt, const struct metrics_input *input, int64_t from_ns)
{
    double window_s = (double)(input->window_end_ns - from_ns) / NS_PER_S;
    double tokens = 0;
    size_t answered = 0, completed = 0, with_tokens = 0, good = 0, by_events = 0;
    bool known = true;
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct trial_answer *answer = &input->answers->items[k];
        const struct load_record *r = &answer->record;
        if (r->error != LOAD_OK)
            continue;
        bool inside = r->done_ns >= from_ns && r->done_ns < input->window_end_ns;
        answered++;
        completed += inside;
        good += inside && input->limits && finding_is_good(input->limits, r);
        double share = load_share_inside(r, answer->gaps_ns, from_ns, input->window_end_ns);
        if (share <= 0)
            continue;
        known = known && r->tokens >= 0;
        tokens += share * (double)r->tokens;
        with_tokens++;
        by_events += !r->tokens_exact;
    }
    const struct stats_interval none = {NAN, NAN};
    add_row(attempt, input, METRIC_REQUESTS_PER_S, STAT_VALUE, (double)completed / window_s, none,
            NULL, completed);
    if (input->limits && input->limits->any)
        add_row(attempt, input, METRIC_GOODPUT, STAT_VALUE, (double)good / window_s, none, NULL,
                good);
    /* One answer in a hundred that its server did not count moves the rate by less than it is worth
     * knowing. Answers that all came outside the window are a rate of 0, seen; no answer at all is
     * unknown.
     */
    if (input->sources & SOURCE_TEXT)
        add_row(attempt, input, METRIC_TOKENS_PER_S, STAT_VALUE,
                known && answered ? tokens / window_s : NAN, none,
                100 * by_events > with_tokens ? METRIC_BY_EVENTS : NULL, with_tokens);
}

static const char *transcript_of(const struct metrics_input *input, uint32_t item)
{
    return input->corpus && item < input->corpus->clip_count ? input->corpus->clips[item].transcript
                                                             : NULL;
}

static void note_shape(const struct trial_answer *answer, const char *reference,
                       struct judge_service *facts)
{
    bool degenerate = stats_answer_degenerate(answer->text);
    bool repeats = !degenerate && reference && stats_answer_repeats(reference, answer->text, NULL);
    facts->degenerate += degenerate;
    facts->repeating += repeats;
    if ((degenerate || repeats) && !facts->bad_example)
        facts->bad_example = answer->text;
}

/* Word errors of the window's answers, pooled. The bootstrap takes clips, not answers: a clip that
 * was heard ten times repeats its errors ten times. `clips`: zeroes, one per clip. */
static void add_wer(struct attempt *attempt, const struct metrics_input *input,
                    struct judge_service *facts, struct stats_wer *clips)
{
    struct stats_wer total = {0};
    size_t count = 0, heard = 0;
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct trial_answer *answer = &input->answers->items[k];
        const char *reference = transcript_of(input, answer->record.item);
        if (answer->record.part != LOAD_WINDOW || answer->record.error != LOAD_OK || !reference)
            continue;
        struct stats_wer one = stats_wer_count(input->normaliser, reference, answer->text);
        stats_wer_pool(&clips[answer->record.item], &one);
        stats_wer_pool(&total, &one);
        count++;
    }
    for (size_t i = 0; count && i < input->corpus->clip_count; i++)
        if (clips[i].reference_words > 0 || clips[i].hypothesis_words > 0)
            clips[heard++] = clips[i];
    if (count == 0 || total.reference_words == 0)
        return;
    struct rng rng = rng_init(input->seed, "wer");
    double wer = stats_wer_ratio(&total);
    add_row(attempt, input, METRIC_WER, STAT_VALUE, wer,
            stats_wer_interval(clips, heard, CONFIDENCE, 1000, &rng), "bootstrap of clips", count);
    if (facts) {
        facts->wer = wer;
        facts->wer_words = total.reference_words;
    }
}

static void add_request(struct attempt *attempt, const struct metrics_input *input,
                        const struct trial_answer *answer)
{
    attempt->requests = attempt_grow(attempt->arena, attempt->requests, attempt->request_count,
                                     &attempt->request_capacity, sizeof *attempt->requests);
    const struct load_record *r = &answer->record;
    const char *reference = transcript_of(input, r->item);
    struct stats_wer wer = {0};
    bool graded = reference && r->error == LOAD_OK && r->part == LOAD_WINDOW;
    if (graded)
        wer = stats_wer_count(input->normaliser, reference, answer->text);
    int64_t zero = input->window_start_ns;
    /* Relative to the window's start, warm-up below zero; "never" has its own mark. */
    const int64_t never = STORE_NEVER;
    attempt->requests[attempt->request_count++] = (struct store_request){
        .service = input->service,
        .mode = input->mode,
        .part = r->part,
        .sequence = r->sequence,
        .session = r->session,
        .turn = r->turn,
        .item = r->item,
        .error = r->error == LOAD_OK ? NULL : load_error_name(r->error),
        .http_status = r->http_status,
        .intended_ns = r->intended_ns - zero,
        .sent_ns = r->sent_ns < 0 ? never : r->sent_ns - zero,
        .first_byte_ns = r->first_byte_ns < 0 ? never : r->first_byte_ns - zero,
        .first_token_ns = r->first_token_ns < 0 ? never : r->first_token_ns - zero,
        .last_token_ns = r->last_token_ns < 0 ? never : r->last_token_ns - zero,
        .first_content_ns = r->first_content_ns < 0 ? never : r->first_content_ns - zero,
        .done_ns = r->done_ns < 0 ? never : r->done_ns - zero,
        .turn_start_ns = r->turn_start_ns < 0 ? never : r->turn_start_ns - zero,
        .held_back = r->held_back,
        .tokens = r->tokens,
        .tokens_exact = r->tokens_exact,
        .audio_s = r->audio_s,
        .text = reference || r->error != LOAD_OK ? answer->text : NULL,
        .word_errors = graded ? (int64_t)(wer.substitutions + wer.deletions + wer.insertions) : -1,
        .words = graded ? (int64_t)wer.reference_words : -1,
    };
}

static void count_answer(const struct metrics_input *input, const struct trial_answer *answer,
                         struct judge_service *facts, int64_t *last_ok_ns)
{
    const struct load_record *r = &answer->record;
    facts->loaded = true;
    facts->requests++;
    if (r->error == LOAD_RELOAD) { /* an answer, and no sample of anything */
        facts->errors[r->error]++;
        if (r->done_ns > *last_ok_ns)
            *last_ok_ns = r->done_ns;
        return;
    }
    if (r->error == LOAD_OK) {
        facts->ok++;
        if (r->done_ns > *last_ok_ns)
            *last_ok_ns = r->done_ns;
        note_shape(answer, transcript_of(input, r->item), facts);
        return;
    }
    facts->errors[r->error]++;
    if (!facts->first_error && *answer->text)
        facts->first_error = answer->text;
    if (!facts->first_http_status)
        facts->first_http_status = r->http_status;
}

/* Failures are a share of all that was asked for in the window as planned: a warm-up excuses no
 * error, and without its successes it would count for more than one. What is asked of times is
 * asked of what is left after the cut. */
static void add_errors(struct attempt *attempt, const struct metrics_input *input, size_t failed,
                       size_t requests)
{
    const struct stats_interval none = {NAN, NAN};
    add_row(attempt, input, METRIC_ERRORS, STAT_VALUE, (double)failed, none, NULL, requests);
    if (requests)
        add_row(attempt, input, METRIC_ERROR_RATIO, STAT_VALUE, (double)failed / (double)requests,
                stats_binomial_interval(failed, requests, CONFIDENCE), "Clopper-Pearson", requests);
    size_t good = 0, counted = 0;
    for (size_t k = 0; k < input->answers->count && input->limits && !input->left; k++) {
        const struct load_record *r = &input->answers->items[k].record;
        counted += finding_counts(input, r);
        good += finding_counts(input, r) && finding_is_good(input->limits, r);
    }
    if (counted && input->limits->any)
        add_row(attempt, input, METRIC_GOODPUT_RATIO, STAT_VALUE, (double)good / (double)counted,
                stats_binomial_interval(good, counted, CONFIDENCE), "Clopper-Pearson", counted);
}

static bool is_shared(const struct metrics_input *input)
{
    return strcmp(input->mode, "shared") == 0;
}

static void add_requirement(struct attempt *attempt, struct store_requirement requirement)
{
    attempt->requirements =
        attempt_grow(attempt->arena, attempt->requirements, attempt->requirement_count,
                     &attempt->requirement_capacity, sizeof *attempt->requirements);
    attempt->requirements[attempt->requirement_count++] = requirement;
}

static void add_findings(struct attempt *attempt, const struct metrics_input *input)
{
    struct arena *arena = attempt->arena;
    if (input->missed)
        add_requirement(attempt, *input->missed);
    for (size_t b = 0; b < input->bound_count && is_shared(input) && !input->left; b++)
        add_requirement(attempt, finding_requirement(input, &input->bounds[b], arena));
    for (size_t b = 0; b < input->ratio_count && is_shared(input); b++)
        if (!input->left || input->ratios[b].metric != METRIC_GOODPUT_RATIO) /* the quick ones */
            add_requirement(attempt, ratio_requirement(input, &input->ratios[b], arena));
    struct store_utterance *worst = NULL;
    size_t count = (input->sources & SOURCE_AUDIO) && is_shared(input)
                       ? finding_worst(input, arena, UTTERANCES_MOST, &worst)
                       : 0;
    for (size_t k = 0; k < count; k++) {
        attempt->utterances =
            attempt_grow(arena, attempt->utterances, attempt->utterance_count,
                         &attempt->utterance_capacity, sizeof *attempt->utterances);
        attempt->utterances[attempt->utterance_count++] = worst[k];
    }
}

/* Turns that began in the window against those that came to a first text or sound here. Counted by
 * when they began, whichever step failed, and whatever was cut as warm-up: an error is none the
 * less one. */
static void add_turn_errors(struct attempt *attempt, const struct metrics_input *input)
{
    const struct stats_interval none = {NAN, NAN};
    size_t begun = 0, whole = 0;
    for (size_t k = 0; k < input->begun->count; k++) {
        const struct load_record *r = &input->begun->items[k].record;
        begun += r->part != LOAD_PROBE && r->error != LOAD_RELOAD &&
                 r->intended_ns >= input->window_start_ns && r->intended_ns < input->window_end_ns;
    }
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct load_record *r = &input->answers->items[k].record;
        whole += !isnan(load_turn_s(r)) && r->turn_start_ns >= input->window_start_ns &&
                 r->turn_start_ns < input->window_end_ns;
    }
    add_row(attempt, input, METRIC_TURN_ERRORS, STAT_VALUE, (double)(begun - whole), none, NULL,
            begun);
}

void attempt_add_metrics(struct attempt *attempt, const struct metrics_input *input,
                         struct judge_service *facts)
{
    AUTO_SERIES struct series latency = {0}, ttft = {0}, itl = {0}, rtf = {0}, turn = {0};
    AUTO_SERIES struct series content = {0};
    struct judge_service dropped = {0};
    struct judge_service *into = facts ? facts : &dropped;
    size_t requests = 0, failed = 0;
    uint64_t left_out = 0;
    int64_t last_ok_ns = -1, last_ns = input->window_end_ns;
    /* The probe has left its mark there when it failed; a window starts counting anew. */
    into->requests = into->ok = into->degenerate = into->repeating = 0;
    memset(into->errors, 0, sizeof into->errors);
    for (size_t k = 0; k < input->answers->count; k++) {
        const struct trial_answer *answer = &input->answers->items[k];
        const struct load_record *r = &answer->record;
        if (r->part != LOAD_WINDOW)
            continue;
        requests += r->error != LOAD_RELOAD;
        failed += r->error != LOAD_OK && r->error != LOAD_RELOAD;
        if (r->done_ns > last_ns)
            last_ns = r->done_ns;
        count_answer(input, answer, into, &last_ok_ns);
    }
    const struct window_series window = window_settle(input, attempt->arena);
    struct metrics_input settled = *input;
    settled.settled_ns = window.from_ns;
    for (size_t k = 0; k < input->answers->count; k++)
        add_request(attempt, input, &input->answers->items[k]);
    /* A failure has no time to first token either, though one may have come. */
    for (size_t k = 0; k < window.count; k++) {
        const struct trial_answer *answer = window.answers[k];
        const struct load_record *r = &answer->record;
        series_add(&latency, r->session, load_latency_s(r));
        series_add(&ttft, r->session, load_ttft_s(r));
        series_add(&content, r->session, load_content_s(r));
        series_add(&turn, r->session, load_turn_s(r));
        series_add(&rtf, r->session, r->audio_s > 0 ? load_latency_s(r) / r->audio_s : NAN);
        for (uint32_t g = 0; g < r->gap_count; g++)
            series_add(&itl, r->session, (double)answer->gaps_ns[g] / NS_PER_S);
        left_out += r->gaps_left_out;
    }
    into->silent_s = last_ok_ns < 0 ? NAN : (double)(last_ns - last_ok_ns) / NS_PER_S;
    into->median_s = median_of(attempt->arena, &latency);
    const struct {
        enum metric metric;
        unsigned source;
        struct series *series;
    } times[] = {
        {METRIC_LATENCY, SOURCE_ANY, &latency}, {METRIC_TTFT, SOURCE_TEXT | SOURCE_SPEECH, &ttft},
        {METRIC_TURN, SOURCE_TURN, &turn},      {METRIC_CONTENT, SOURCE_TEXT, &content},
        {METRIC_ITL, SOURCE_TEXT, &itl},        {METRIC_RTF, SOURCE_AUDIO | SOURCE_SPEECH, &rtf}};
    /* None of a window that was left: slow answers were still on their way, their gaps too. */
    for (size_t m = 0; m < ARRAY_LEN(times) && !input->left; m++)
        if (times[m].metric == METRIC_LATENCY || (input->sources & times[m].source))
            add_distribution(attempt, input, times[m].metric, times[m].series);
    if (input->sources & SOURCE_AUDIO) {
        size_t clips = input->corpus ? input->corpus->clip_count : 0;
        struct stats_wer *heard = arena_array(attempt->arena, clips + 1, sizeof *heard);
        memset(heard, 0, (clips + 1) * sizeof *heard);
        add_wer(attempt, input, facts, heard);
    }
    into->warmup = window.warmup;
    into->gaps_left_out = (input->sources & SOURCE_TEXT) ? left_out : 0;
    into->unsteady = input->left ? NULL : window.unsteady; /* it speaks of quantiles */
    add_findings(attempt, &settled);
    add_rates(attempt, input, window.from_ns);
    add_errors(attempt, &settled, failed, requests);
    if ((input->sources & SOURCE_TURN) && input->begun)
        add_turn_errors(attempt, input);
}
