/* Counts and series of one window, filled record by record so that an answer's text need not stay.
 *
 * A request belongs to the window when it was meant to leave within it, whenever its answer came:
 * else slow answers would leave the sample just because they are slow. Rates count what arrived
 * within the window, the warm-up's late answers too: an answer that straddles an edge counts with
 * the share of its text events that fell inside.
 *
 * Invariant: a failed request adds to no series. */
#include "bench/results.h"

#include "base/clock.h"
#include "base/text.h"
#include "stats/wer.h"

#include <math.h>
#include <string.h>

enum { EXAMPLE_MAX = 200 };

struct bench_results *bench_results_new(const struct load_stream *stream)
{
    struct bench_results *results = calloc(1, sizeof *results);
    if (!results)
        abort();
    results->window_s = NAN;
    results->tokens_exact = true;
    const struct corpus *corpus = stream->corpus;
    if (!stream->protocol->sends_audio || !corpus || !corpus->all_transcribed ||
        corpus->clip_count == 0)
        return results;
    results->wer_count = corpus->clip_count;
    results->wer = calloc(corpus->clip_count, sizeof *results->wer);
    if (!results->wer)
        abort();
    return results;
}

struct bench_results *bench_results_free(struct bench_results *results)
{
    if (!results)
        return NULL;
    struct bench_series *all[] = {&results->latency, &results->service, &results->ttft,
                                  &results->itl,     &results->rtf,     &results->lateness};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        bench_series_done(all[i]);
    for (size_t i = 0; i < ARRAY_LEN(results->examples); i++)
        free(results->examples[i]);
    free(results->wer);
    free(results);
    return NULL;
}

/* Share of an answer's text events that came within the window, 0 to 1. */
static double share_inside(const struct load_result *result, int64_t start_ns, int64_t end_ns)
{
    const struct load_record *r = &result->record;
    if (r->first_token_ns < 0)
        return r->done_ns >= start_ns && r->done_ns < end_ns;
    int64_t at_ns = r->first_token_ns;
    size_t inside = at_ns >= start_ns && at_ns < end_ns;
    for (uint32_t g = 0; g < r->gap_count; g++) {
        at_ns += result->gaps_ns[g];
        inside += at_ns >= start_ns && at_ns < end_ns;
    }
    return (double)inside / (double)(r->gap_count + 1);
}

static void add_rates(struct bench_results *results, const struct load_report *report,
                      const struct load_result *result)
{
    const struct load_record *r = &result->record;
    int64_t start_ns = report->window_start_ns, end_ns = report->window_end_ns;
    if (r->done_ns >= start_ns && r->done_ns < end_ns) {
        results->completed++;
        results->bytes += r->bytes > 0 ? (uint64_t)r->bytes : 0;
        if (r->prompt_tokens < 0)
            results->prompt_tokens = NAN;
        results->prompt_tokens += r->prompt_tokens;
    }
    double share = share_inside(result, start_ns, end_ns);
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

static void add_wer(struct bench_results *results, const struct corpus *corpus,
                    const struct load_result *result)
{
    uint32_t item = result->record.item;
    if (!results->wer || item >= results->wer_count || !corpus->clips[item].transcript)
        return;
    struct stats_wer one =
        stats_wer_count(NORMALISER_ENGLISH, corpus->clips[item].transcript, result->text);
    stats_wer_pool(&results->wer[item], &one);
}

static void add_times(struct bench_results *results, const struct load_result *result)
{
    const struct load_record *r = &result->record;
    double latency_s = load_latency_s(r);
    bench_series_add(&results->latency, r->intended_ns, latency_s);
    bench_series_add(&results->service, r->intended_ns, load_service_s(r));
    bench_series_add(&results->ttft, r->intended_ns, load_ttft_s(r));
    bench_series_add(&results->rtf, r->intended_ns, r->audio_s > 0 ? latency_s / r->audio_s : NAN);
    /* Gaps of one answer stand together, in their order. */
    for (uint32_t g = 0; g < r->gap_count; g++)
        bench_series_add(&results->itl, r->intended_ns + g, (double)result->gaps_ns[g] / NS_PER_S);
}

void bench_results_add(struct bench_results *results, const struct load_stream *stream,
                       const struct load_report *report, const struct load_result *result,
                       bool stopping)
{
    const struct load_record *r = &result->record;
    if (stopping && r->error == LOAD_UNFINISHED) {
        results->cut++; /* our doing, not the service's */
        return;
    }
    if (r->error == LOAD_OK)
        add_rates(results, report, result);
    if (r->part == LOAD_WARMUP) {
        results->warmups++;
        return;
    }
    results->requests++;
    results->held_back += r->held_back;
    bench_series_add(&results->lateness, r->intended_ns, load_lateness_s(r));
    if (r->error != LOAD_OK) {
        add_failure(results, result);
        return;
    }
    results->ok++;
    add_times(results, result);
    add_wer(results, stream->corpus, result);
}

void bench_results_close(struct bench_results *results, const struct load_report *report,
                         int64_t until_ns)
{
    results->report = *report;
    if (until_ns > report->window_end_ns)
        until_ns = report->window_end_ns;
    if (report->window_start_ns > 0 && until_ns > report->window_start_ns)
        results->window_s = (double)(until_ns - report->window_start_ns) / NS_PER_S;
}
