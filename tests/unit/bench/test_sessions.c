/* Turns of one session are alike though others lie between: intervals and requirements know it. */
#include "fixture.h"

#include "bench/measure.h"
#include "bench/require.h"

enum { SESSIONS = 60, TURNS = 40 };

/* Sessions take turns, each faster or slower than others for all of its own. */
static struct bench_results *talks(const struct load_stream *stream)
{
    struct bench_results *results = bench_results_new(stream);
    struct rng rng = rng_init(1, "talks");
    double own[SESSIONS];
    for (int s = 0; s < SESSIONS; s++)
        own[s] = exp(1.7 * (rng_unit(&rng) - 0.5));
    for (int i = 0; i < SESSIONS * TURNS; i++) {
        const uint32_t session = (uint32_t)((i * 37 + i / SESSIONS * 11) % SESSIONS);
        const int64_t intended_ns = NS_PER_S + i * 10 * NS_PER_MS;
        const double latency_s = own[session] * (0.1 + rng_exponential(&rng, 0.02));
        const struct load_result result = {
            .record = {.sequence = (uint32_t)i,
                       .session = session,
                       .turn = (uint32_t)(i / SESSIONS),
                       .part = LOAD_WINDOW,
                       .error = LOAD_OK,
                       .http_status = 200,
                       .intended_ns = intended_ns,
                       .sent_ns = intended_ns,
                       .first_byte_ns = intended_ns + llround(latency_s * 5e8),
                       .first_token_ns = intended_ns + llround(latency_s * 5e8),
                       .done_ns = intended_ns + llround(latency_s * 1e9),
                       .tokens = 1,
                       .prompt_tokens = 1,
                       .audio_s = NAN},
            .text = ""};
        bench_results_add(results, stream, &fixture_report, &result, false);
    }
    bench_results_close(results, &fixture_report, CLOCK_NEVER);
    return results;
}

static double width(struct bench_results *results, enum metric metric)
{
    struct bench_number n = bench_measure(results, metric, STAT_P50, BENCH_INTERVAL);
    assert_int_equal(n.count, SESSIONS * TURNS);
    return n.high - n.low;
}

static struct bench_judgement judge(const struct load_stream *stream, struct bench_results *results,
                                    const char *text, struct arena *arena)
{
    struct bench_requirement requirement;
    struct err err = ERR_INIT;
    assert_true(bench_require_parse(text, stream->protocol->spec, stream->protocol->spec->sources,
                                    arena, &requirement, &err));
    return bench_require_judge(&requirement, results, arena);
}

/* expected: of 60 sessions; before: of 2,400 requests that nothing has in common */
static void sessions_cost(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *alone = talks(&stream);
    stream.shape.turns = (struct spec_spread){.kind = SPREAD_FIXED, .low = TURNS, .high = TURNS};
    AUTO(bench_results_free) struct bench_results *turns = talks(&stream);
    assert_true(width(turns, METRIC_LATENCY) > 1.5 * width(alone, METRIC_LATENCY));
    assert_true(width(turns, METRIC_TTFT) > 1.5 * width(alone, METRIC_TTFT));
    /* Some half of the requests lie below the median, but not of the sessions for certain. */
    double p50 = bench_measure(alone, METRIC_LATENCY, STAT_P50, BENCH_INTERVAL).value;
    const char *text = arena_printf(arena, "latency.p50 < %.6fs", 1.04 * p50);
    struct bench_judgement surely = judge(&stream, alone, text, arena);
    struct bench_judgement unsure = judge(&stream, turns, text, arena);
    assert_int_equal(surely.answer, BENCH_MET);
    assert_int_equal(unsure.answer, BENCH_UNTOLD);
    assert_non_null(strstr(unsure.why, "worth"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sessions_cost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
