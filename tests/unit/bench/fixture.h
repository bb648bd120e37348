/* Records as a worker would send them, made into results. */
#pragma once

#include "check.h"

#include "base/clock.h"
#include "bench/results.h"
#include "bench/setup.h"

#include <math.h>

/* A stream of a protocol whose corpus is the built-in prompts. */
static inline struct load_stream fixture_stream(const char *protocol)
{
    static struct corpus corpus;
    corpus.prompts = (struct corpus_prompt *)(uintptr_t)bench_prompts;
    corpus.prompt_count = bench_prompt_count;
    struct load_stream stream = {
        .name = "x", .protocol = load_protocol_find(protocol), .corpus = &corpus, .concurrency = 1};
    assert_non_null(stream.protocol);
    return stream;
}

/* A window of 100 s from 1 s on the clock. */
static const struct load_report fixture_report = {
    .complete = true,
    .start_ns = NS_PER_S,
    .window_start_ns = NS_PER_S,
    .window_end_ns = 101 * NS_PER_S,
    .stall_p99_s = 0,
};

struct fixture_request {
    double at_s, late_s, latency_s; /* from the window's start; latency from the intended send */
    enum load_error error;
    enum load_part part;
    int tokens;
    bool silent; /* an answer without a first token */
};

static inline void fixture_add(struct bench_results *results, const struct load_stream *stream,
                               const struct fixture_request *r)
{
    int64_t intended_ns = NS_PER_S + llround(r->at_s * 1e9);
    struct load_result result = {
        .record = {.sequence = (uint32_t)results->requests,
                   .part = r->part,
                   .error = r->error,
                   .http_status = r->error == LOAD_HTTP_STATUS ? 503 : 200,
                   .intended_ns = intended_ns,
                   .sent_ns = intended_ns + llround(r->late_s * 1e9),
                   .first_byte_ns = intended_ns + llround(r->latency_s * 5e8),
                   .first_token_ns = r->silent ? -1 : intended_ns + llround(r->latency_s * 5e8),
                   .done_ns = intended_ns + llround(r->latency_s * 1e9),
                   .bytes = 100,
                   .tokens = r->tokens,
                   .tokens_exact = true,
                   .prompt_tokens = 7,
                   .audio_s = NAN},
        .text = r->error == LOAD_OK ? "fine" : "words of the failure",
    };
    result.record.text_len = (uint32_t)strlen(result.text);
    bench_results_add(results, stream, &fixture_report, &result, false);
}

/* By a worker that says it sent everything that late. */
static inline void fixture_close_late(struct bench_results *results, double late_s)
{
    struct load_report report = fixture_report;
    report.lateness_p50_s = report.lateness_p99_s = report.lateness_max_s = late_s;
    bench_results_close(results, &report, CLOCK_NEVER);
}

/* `n` requests, one each 0.1 s, latencies drawn from an exponential of that mean, failures from
 * every `fail_every`-th on (0: none). */
static inline struct bench_results *fixture_run(const struct load_stream *stream, size_t n,
                                                double mean_s, size_t fail_every, uint64_t seed)
{
    struct rng rng = rng_init(seed, "fixture");
    struct bench_results *results = bench_results_new(stream);
    for (size_t i = 0; i < n; i++) {
        struct fixture_request r = {.at_s = 0.1 * (double)i,
                                    .latency_s = 0.001 + rng_exponential(&rng, mean_s),
                                    .part = LOAD_WINDOW,
                                    .tokens = 10};
        if (fail_every && i % fail_every == 0)
            r.error = LOAD_HTTP_STATUS;
        fixture_add(results, stream, &r);
    }
    bench_results_close(results, &fixture_report, CLOCK_NEVER);
    return results;
}
