/* Counts and series of one window, filled record by record so that an answer's text need not stay.
 *
 * A request belongs to the window when it was meant to leave within it, whenever its answer came:
 * else slow answers would leave the sample just because they are slow. Rates count what arrived
 * within the window, the warm-up's late answers too: an answer that straddles an edge counts with
 * the share of its text events that fell inside. Where the window begins is known at its end only
 * (trial/window.h has the rule, the one of trials), so successful answers are kept without their
 * text. Word errors are of all answers: how a service hears does not warm up.
 *
 * Invariant: a failed request adds to no series. */
#include "bench/results.h"

#include "base/clock.h"
#include "base/text.h"
#include "load/ask.h"
#include "stats/wer.h"

#include <math.h>
#include <string.h>

/* Gaps are by far the most there is: 4 million take 250 MB, sorted and in their order. What comes
 * later is in no quantile of theirs, and that is said; its count and its time stay. */
enum { EXAMPLE_MAX = 200, GAPS_KEPT_MAX = 4 << 20 };

/* All that hold values of answers. */
enum { SERIES_COUNT = 6 };
static void series_of(struct bench_results *results, struct bench_series *ret_all[SERIES_COUNT])
{
    struct bench_series *const all[SERIES_COUNT] = {&results->latency, &results->service,
                                                    &results->ttft,    &results->content,
                                                    &results->itl,     &results->rtf};
    memcpy(ret_all, all, sizeof all);
}

struct bench_results *bench_results_new(const struct load_stream *stream)
{
    struct bench_results *results = calloc(1, sizeof *results);
    if (!results)
        abort();
    results->window_s = NAN;
    results->tokens_exact = true;
    results->limits = finding_limits_none();
    results->cut_off.settled = true;
    results->arena = arena_new();
    struct bench_series *all[SERIES_COUNT];
    series_of(results, all);
    for (size_t i = 0; i < SERIES_COUNT; i++)
        all[i]->of_sessions = load_stream_has_sessions(stream);
    const struct corpus *corpus = stream->corpus;
    if (!stream->protocol->sends_audio || !corpus || !corpus->all_transcribed ||
        corpus->clip_count == 0)
        return results;
    results->wer_count = corpus->clip_count;
    results->wer = calloc(corpus->clip_count, sizeof *results->wer);
    results->heard = calloc(corpus->clip_count, sizeof *results->heard);
    if (!results->wer || !results->heard)
        abort();
    return results;
}

struct bench_results *bench_results_free(struct bench_results *results)
{
    if (!results)
        return NULL;
    struct bench_series *all[SERIES_COUNT];
    series_of(results, all);
    for (size_t i = 0; i < SERIES_COUNT; i++)
        bench_series_done(all[i]);
    bench_series_done(&results->failed);
    for (size_t i = 0; i < ARRAY_LEN(results->examples); i++)
        free(results->examples[i]);
    for (size_t i = 0; results->heard && i < results->wer_count; i++)
        free(results->heard[i].text);
    free(results->heard);
    free(results->wer);
    free(results->answers);
    free(results->gaps_ns);
    arena_free(results->arena);
    free(results);
    return NULL;
}

/* Room for `more` items; what there is stays. */
static void *grow(void *items, size_t count, size_t more, size_t *capacity, size_t size)
{
    if (count + more <= *capacity)
        return items;
    size_t wanted = *capacity ? 2 * *capacity : 256;
    while (wanted < count + more)
        wanted *= 2;
    items = realloc(items, wanted * size);
    if (!items)
        abort();
    *capacity = wanted;
    return items;
}

static void keep_answer(struct bench_results *results, const struct load_result *result)
{
    const struct load_record *r = &result->record;
    results->answers = grow(results->answers, results->answer_count, 1, &results->answer_capacity,
                            sizeof *results->answers);
    struct load_record *kept = &results->answers[results->answer_count++];
    *kept = *r;
    if (results->gap_count + r->gap_count > GAPS_KEPT_MAX) {
        kept->gaps_left_out += r->gap_count;
        kept->gap_count = 0;
        return;
    }
    results->gaps_ns = grow(results->gaps_ns, results->gap_count, r->gap_count,
                            &results->gap_capacity, sizeof *results->gaps_ns);
    if (r->gap_count)
        memcpy(results->gaps_ns + results->gap_count, result->gaps_ns,
               r->gap_count * sizeof *results->gaps_ns);
    results->gap_count += r->gap_count;
}

static void add_rates(struct bench_results *results, const struct load_record *r,
                      const int64_t *gaps_ns, int64_t start_ns, int64_t end_ns)
{
    if (r->done_ns >= start_ns && r->done_ns < end_ns) {
        results->completed++;
        results->bytes += r->bytes > 0 ? (uint64_t)r->bytes : 0;
        if (r->prompt_tokens < 0)
            results->prompt_tokens = NAN;
        results->prompt_tokens += r->prompt_tokens;
    }
    double share = load_share_inside(r, gaps_ns, start_ns, end_ns);
    if (share <= 0)
        return;
    results->tokens += r->tokens < 0 ? NAN : share * (double)r->tokens;
    results->tokens_exact = results->tokens_exact && r->tokens_exact;
}

static void add_failure(struct bench_results *results, const struct load_result *result)
{
    enum load_error error = result->record.error;
    if (results->errors[error]++ == 0)
        results->http_status[error] = result->record.http_status;
    if (!results->examples[error] && result->text && *result->text)
        results->examples[error] = strndup(result->text, EXAMPLE_MAX);
}

static void add_wer(struct bench_results *results, const struct load_stream *stream,
                    const struct load_result *result)
{
    const struct corpus *corpus = stream->corpus;
    uint32_t item = result->record.item;
    if (!results->wer || item >= results->wer_count || !corpus->clips[item].transcript)
        return;
    struct stats_wer one =
        stats_wer_count(stream->normaliser, corpus->clips[item].transcript, result->text);
    stats_wer_pool(&results->wer[item], &one);
    bench_heard_add(&results->heard[item], &one, result->text);
}

static void add_times(struct bench_results *results, const struct load_result *result)
{
    const struct load_record *r = &result->record;
    double latency_s = load_latency_s(r);
    bench_series_add_turn(&results->latency, r->intended_ns, r->session, latency_s);
    bench_series_add_turn(&results->service, r->intended_ns, r->session, load_service_s(r));
    bench_series_add_turn(&results->ttft, r->intended_ns, r->session, load_ttft_s(r));
    bench_series_add_turn(&results->content, r->intended_ns, r->session, load_content_s(r));
    bench_series_add_turn(&results->rtf, r->intended_ns, r->session,
                          r->audio_s > 0 ? latency_s / r->audio_s : NAN);
    if (results->itl.count + r->gap_count > GAPS_KEPT_MAX) {
        results->gaps_left_out += r->gap_count;
        return;
    }
    /* Gaps of one answer stand together, in their order. */
    for (uint32_t g = 0; g < r->gap_count; g++)
        bench_series_add_turn(&results->itl, r->intended_ns + g, r->session,
                              (double)result->gaps_ns[g] / NS_PER_S);
}

void bench_results_add(struct bench_results *results, const struct load_stream *stream,
                       const struct load_report *report, const struct load_result *result,
                       bool stopping)
{
    const struct load_record *r = &result->record;
    results->made += r->made || stream->shape.prefix_count > 0;
    if (stopping && r->error == LOAD_UNFINISHED) {
        results->cut++; /* our doing, not the service's */
        return;
    }
    if (r->error == LOAD_OK) {
        add_rates(results, r, result->gaps_ns, report->window_start_ns, report->window_end_ns);
        keep_answer(results, result);
    }
    if (r->part == LOAD_WARMUP) {
        results->warmups++;
        return;
    }
    if (r->error == LOAD_RELOAD) {
        results->reloads++;
        return;
    }
    results->requests++;
    results->held_back += r->held_back;
    if (r->error != LOAD_OK) {
        bench_series_add_turn(&results->failed, r->intended_ns, r->session, 1);
        add_failure(results, result);
        return;
    }
    results->ok++;
    add_times(results, result);
    add_wer(results, stream, result);
}

/* Rates anew, for a window that begins later. */
static void count_rates(struct bench_results *results, int64_t end_ns)
{
    const int64_t *gaps_ns = results->gaps_ns;
    results->completed = results->bytes = 0;
    results->tokens = results->prompt_tokens = 0;
    results->tokens_exact = true;
    for (size_t i = 0; i < results->answer_count; i++) {
        add_rates(results, &results->answers[i], gaps_ns, results->from_ns, end_ns);
        if (gaps_ns) /* NULL where no answer has a gap */
            gaps_ns += results->answers[i].gap_count;
    }
}

static void cut_off(struct bench_results *results, int64_t end_ns)
{
    struct bench_series *all[SERIES_COUNT];
    series_of(results, all);
    const double *at_s = NULL, *latency = bench_series_ordered(&results->latency, &at_s);
    size_t count = results->latency.count;
    if (count == 0)
        return;
    /* Times in a series count from its first. */
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (results->latency.points[i].at_ns < first_ns)
            first_ns = results->latency.points[i].at_ns;
    double *into_s = arena_array(results->arena, count, sizeof *into_s);
    for (size_t i = 0; i < count; i++)
        into_s[i] = at_s[i] + (double)(first_ns - results->from_ns) / NS_PER_S;
    results->cut_off = window_cut_find(latency, into_s, count, results->arena);
    if (results->cut_off.count == 0)
        return;
    results->from_ns += llround(results->cut_off.seconds * (double)NS_PER_S);
    for (size_t i = 0; i < SERIES_COUNT; i++)
        bench_series_drop_before(all[i], results->from_ns);
    results->settled = results->latency.count;
    for (size_t i = 0; i < results->failed.count; i++)
        results->settled += results->failed.points[i].at_ns >= results->from_ns;
    count_rates(results, end_ns);
}

static const char *unsteady(struct bench_results *results)
{
    static const enum metric metrics[] = {METRIC_LATENCY, METRIC_TTFT};
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    for (size_t m = 0; m < ARRAY_LEN(metrics); m++) {
        struct bench_series *series = m ? &results->ttft : &results->latency;
        const double *at_s = NULL, *values = bench_series_ordered(series, &at_s);
        window_add_drift(&text, metrics[m], values, at_s, series->count);
    }
    return text.len ? arena_strdup(results->arena, buf_text(&text)) : NULL;
}

void bench_results_close(struct bench_results *results, const struct load_report *report,
                         int64_t until_ns)
{
    results->report = *report;
    results->from_ns = report->window_start_ns;
    results->settled = results->requests;
    if (until_ns > report->window_end_ns)
        until_ns = report->window_end_ns;
    if (!results->moving && report->window_start_ns > 0) {
        cut_off(results, report->window_end_ns);
        results->unsteady = unsteady(results);
    }
    if (report->window_start_ns > 0 && until_ns > results->from_ns)
        results->window_s = (double)(until_ns - results->from_ns) / NS_PER_S;
}

void bench_results_grade(struct bench_results *results, const struct finding_limits *limits)
{
    int64_t end_ns = results->report.window_end_ns;
    results->limits = *limits;
    results->good = results->good_completed = 0;
    for (size_t i = 0; i < results->answer_count; i++) {
        const struct load_record *r = &results->answers[i];
        bool good = finding_is_good(limits, r);
        results->good += good && r->part == LOAD_WINDOW && r->intended_ns >= results->from_ns;
        results->good_completed += good && r->done_ns >= results->from_ns && r->done_ns < end_ns;
    }
}
