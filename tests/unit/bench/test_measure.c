/* Numbers of a window: which requests count, what a sample carries, what is unknown. */
#include "fixture.h"

#include "bench/measure.h"

static void only_the_window_counts(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    static const struct fixture_request requests[] = {
        {.at_s = -0.5, .latency_s = 9, .part = LOAD_WARMUP, .tokens = 10},
        {.at_s = 1, .latency_s = 0.2, .part = LOAD_WINDOW, .tokens = 10},
        {.at_s = 2, .late_s = 0.1, .latency_s = 0.4, .part = LOAD_WINDOW, .tokens = 10},
        {.at_s = 3, .latency_s = 0.3, .error = LOAD_TIMEOUT, .part = LOAD_WINDOW},
        {.at_s = 99.9, .latency_s = 0.6, .part = LOAD_WINDOW, .tokens = 10}, /* answered after it */
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        fixture_add(r, &stream, &requests[i]);
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    assert_int_equal(r->warmups, 1);
    assert_int_equal(r->requests, 4);
    assert_int_equal(r->ok, 3);
    assert_int_equal(r->errors[LOAD_TIMEOUT], 1);
    assert_string_equal(r->examples[LOAD_TIMEOUT], "words of the failure");
    assert_true(fabs(r->window_s - 100) < 1e-9);
    struct bench_number max = bench_measure(r, METRIC_LATENCY, STAT_MAX, BENCH_INTERVAL);
    assert_true(fabs(max.value - 0.6) < 1e-9 && max.exact && max.count == 3);
    /* From the real send the late one took 0.3 s. */
    assert_true(fabs(bench_series_sorted(&r->service)[1] - 0.3) < 1e-9);
    /* What arrived within it: the warm-up's answer too, the last one's not. */
    struct bench_number rate = bench_measure(r, METRIC_REQUESTS_PER_S, STAT_VALUE, BENCH_INTERVAL);
    assert_true(fabs(rate.value - 0.03) < 1e-9);
    struct bench_number errors = bench_measure(r, METRIC_ERROR_RATIO, STAT_VALUE, BENCH_INTERVAL);
    assert_true(fabs(errors.value - 0.25) < 1e-9 && errors.low > 0 && errors.high < 1);
}

static void small_samples_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        enum metric_stat stat;
        bool allowed;
        size_t needed;
    } rows[] = {
        {4, STAT_P50, false, 5}, {5, STAT_P50, true, 0},     {19, STAT_P95, false, 20},
        {20, STAT_P95, true, 0}, {99, STAT_P99, false, 100}, {100, STAT_P99, true, 0},
    };
    struct load_stream stream = fixture_stream("openai-chat");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(bench_results_free)
        struct bench_results *r = fixture_run(&stream, rows[i].n, 0.1, 0, 3);
        struct bench_number n = bench_measure(r, METRIC_LATENCY, rows[i].stat, BENCH_INTERVAL);
        CHECK_ROW(i, metric_stat_name(rows[i].stat), isnan(n.value) == !rows[i].allowed);
        CHECK_ROW(i, metric_stat_name(rows[i].stat), n.refused == !rows[i].allowed);
        CHECK_ROW(i, metric_stat_name(rows[i].stat), n.needed == rows[i].needed);
        CHECK_ROW(i, metric_stat_name(rows[i].stat), n.count == rows[i].n);
    }
}

static void nothing_is_unknown(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = fixture_run(&stream, 0, 0.1, 0, 1);
    for (int m = 0; m < METRIC_COUNT_; m++) {
        if (m == METRIC_ERRORS || m == METRIC_REQUESTS_PER_S)
            continue; /* none is none */
        struct bench_number n = bench_measure(r, (enum metric)m, STAT_P50, BENCH_INTERVAL);
        CHECK_ROW((size_t)m, metric_facts((enum metric)m)->name, isnan(n.value));
    }
    assert_int_equal(r->requests, 0);
}

static void tokens_unknown_stay_unknown(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    static const struct fixture_request requests[] = {
        {.at_s = 1, .latency_s = 0.2, .part = LOAD_WINDOW, .tokens = 10},
        {.at_s = 2, .latency_s = 0.2, .part = LOAD_WINDOW, .tokens = -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        fixture_add(r, &stream, &requests[i]);
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    assert_true(isnan(bench_measure(r, METRIC_TOKENS_PER_S, STAT_VALUE, BENCH_INTERVAL).value));
}

static void lateness_has_a_bound(void **state)
{
    (void)state;
    static const struct {
        double late_s, latency_s;
        bool late;
    } rows[] = {{0.0005, 0.01, false}, {0.002, 0.01, true}, {0.002, 1, false}, {0.02, 1, true}};
    struct load_stream stream = fixture_stream("openai-chat");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
        for (int k = 0; k < 20; k++) {
            struct fixture_request one = {
                .at_s = k, .latency_s = rows[i].latency_s, .part = LOAD_WINDOW};
            fixture_add(r, &stream, &one);
        }
        fixture_close_late(r, rows[i].late_s);
        double p99_s, bound_s;
        CHECK_ROW(i, "late", bench_is_late(r, &p99_s, &bound_s) == rows[i].late);
        CHECK_ROW(i, "p99", fabs(p99_s - rows[i].late_s) < 1e-9);
    }
}

static void drift_is_named(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    for (int k = 0; k < 300; k++) {
        struct fixture_request one = {
            .at_s = 0.1 * k, .latency_s = 0.1 + 0.01 * k, .part = LOAD_WINDOW};
        fixture_add(r, &stream, &one);
    }
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    assert_non_null(r->unsteady);
    assert_non_null(strstr(r->unsteady, "latency.p50 rose from "));
    struct stats_drift drift = bench_drift(r);
    assert_true(drift.drifting && drift.last > drift.first);
    AUTO(bench_results_free) struct bench_results *steady = fixture_run(&stream, 300, 0.1, 0, 5);
    assert_null(steady->unsteady);
}

static void reloads_are_no_requests(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("ollama-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    for (int k = 0; k < 20; k++) {
        struct fixture_request one = {.at_s = k,
                                      .latency_s = k == 7 ? 3 : 0.01,
                                      .error = k == 7 ? LOAD_RELOAD : LOAD_OK,
                                      .part = LOAD_WINDOW};
        fixture_add(r, &stream, &one);
    }
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    assert_int_equal(r->reloads, 1); /* expected: neither; before: a failure of 20 requests */
    assert_int_equal(r->requests, 19);
    assert_int_equal(r->ok, 19);
    assert_int_equal(r->errors[LOAD_RELOAD], 0);
    struct bench_number max = bench_measure(r, METRIC_LATENCY, STAT_MAX, BENCH_INTERVAL);
    assert_true(max.value < 0.02);
}

/* A hundred slow ones at first, a failure among them: the slow ones are warm-up, the failure stays
 * one, and rates begin where the window then does. */
static void a_cold_beginning_is_cut(void **state)
{
    (void)state;
    enum { COLD = 100, ALL = 900 };
    struct load_stream stream = fixture_stream("openai-chat");
    struct rng rng = rng_init(3, "cold");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    for (int k = 0; k < ALL; k++) {
        double factor = k < COLD ? 4 : 1;
        struct fixture_request one = {.at_s = 0.1 * k,
                                      .latency_s = factor * (0.1 + rng_exponential(&rng, 0.01)),
                                      .error = k == 10 ? LOAD_TIMEOUT : LOAD_OK,
                                      .tokens = 10,
                                      .part = LOAD_WINDOW};
        fixture_add(r, &stream, &one);
    }
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    assert_true(r->cut_off.count >= 90 && r->cut_off.count <= 110);
    assert_non_null(strstr(r->cut_off.words, "count as warm-up"));
    /* The failure is one of all that were asked for, not of what is left. */
    assert_int_equal(r->warmups, 0);
    assert_int_equal(r->requests, ALL);
    assert_int_equal(r->requests - r->ok, 1);
    assert_int_equal(bench_measure(r, METRIC_ERROR_RATIO, STAT_VALUE, BENCH_INTERVAL).count, ALL);
    assert_int_equal(r->latency.count, r->ok - r->cut_off.count);
    assert_int_equal(r->settled, r->latency.count); /* the failure was before */
    struct bench_number max = bench_measure(r, METRIC_LATENCY, STAT_MAX, BENCH_INTERVAL);
    assert_true(max.value < 0.3);
    double from_s = (double)(r->from_ns - fixture_report.window_start_ns) / NS_PER_S;
    assert_true(fabs(r->window_s - (100 - from_s)) < 1e-6);
    uint64_t left = r->latency.count;
    assert_true(r->completed <= left + 5 && r->completed >= left);
    AUTO(bench_results_free) struct bench_results *moves = bench_results_new(&stream);
    moves->moving = true;
    bench_results_close(moves, &fixture_report, CLOCK_NEVER);
    assert_null(moves->cut_off.words);
}

static void goodput_is_all_at_once(void **state)
{
    (void)state;
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = fixture_run(&stream, 200, 0.1, 10, 4);
    assert_true(isnan(bench_measure(r, METRIC_GOODPUT, STAT_VALUE, BENCH_INTERVAL).value));
    struct finding_limits limits = finding_limits_none();
    limits.latency_s = 0.1;
    limits.any = true;
    size_t good = 0;
    for (size_t i = 0; i < r->latency.count; i++)
        good += r->latency.points[i].value <= 0.1;
    bench_results_grade(r, &limits);
    struct bench_number n = bench_measure(r, METRIC_GOODPUT_RATIO, STAT_VALUE, BENCH_INTERVAL);
    assert_true(good > 50 && fabs(n.value - (double)good / 200) < 1e-9); /* failed ones count */
    assert_true(n.low < n.value && n.high > n.value && n.count == 200);
    n = bench_measure(r, METRIC_GOODPUT, STAT_VALUE, BENCH_INTERVAL);
    assert_true(fabs(n.value - (double)good / 100) < 1e-9);
}

static struct load_result answer_of(double first_s, double last_s, int tokens)
{
    const int64_t start_ns = NS_PER_S;
    return (struct load_result){.record = {.part = LOAD_WINDOW,
                                           .intended_ns = start_ns,
                                           .sent_ns = start_ns,
                                           .first_token_ns = start_ns + llround(first_s * 1e9),
                                           .last_token_ns = start_ns + llround(last_s * 1e9),
                                           .done_ns = start_ns + llround(last_s * 1e9),
                                           .tokens = tokens,
                                           .tokens_exact = true,
                                           .audio_s = NAN},
                                .text = ""};
}

/* What they take is bounded, their count and the answers stay, and what an answer keeps as well. */
static void gaps_are_kept_up_to_a_number(void **state)
{
    (void)state;
    enum { ANSWERS = 520, KEPT = 512 };
    static int64_t gaps_ns[LOAD_GAPS_MAX];
    for (size_t g = 0; g < LOAD_GAPS_MAX; g++)
        gaps_ns[g] = NS_PER_MS;
    const struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    for (int i = 0; i < ANSWERS; i++) {
        struct load_result result = answer_of(1, 1 + LOAD_GAPS_MAX * 0.001, LOAD_GAPS_MAX + 1);
        result.record.gap_count = LOAD_GAPS_MAX;
        result.gaps_ns = gaps_ns;
        bench_results_add(r, &stream, &fixture_report, &result, false);
    }
    assert_int_equal(r->itl.count, KEPT * LOAD_GAPS_MAX);
    assert_int_equal(r->gap_count, KEPT * LOAD_GAPS_MAX);
    assert_int_equal(r->gaps_left_out, (ANSWERS - KEPT) * LOAD_GAPS_MAX);
    assert_int_equal(r->answer_count, ANSWERS);
    assert_true(r->tokens == (double)ANSWERS * (LOAD_GAPS_MAX + 1));
    bench_results_close(r, &fixture_report, CLOCK_NEVER);
    struct finding_limits limits = finding_limits_none();
    limits.any = true;
    limits.itl_s = 0.0015;
    bench_results_grade(r, &limits);
    assert_int_equal(r->good, ANSWERS);
}

/* Where gaps are not known, what lies between the first and the last lies evenly. */
static void a_share_without_gaps_is_even(void **state)
{
    (void)state;
    const struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = bench_results_new(&stream);
    struct load_result result = answer_of(99, 101, 100); /* the window ends at 100 */
    result.record.gaps_left_out = 9;
    bench_results_add(r, &stream, &fixture_report, &result, false);
    assert_true(fabs(r->tokens - 55) < 1e-9); /* the first, and half of nine */
}

static void order_of_ends_does_not_matter(void **state)
{
    (void)state;
    struct bench_series series = {0};
    static const int64_t times[] = {3, 1, 2};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        bench_series_add(&series, times[i] * NS_PER_S, (double)(10 - times[i]));
    bench_series_add(&series, 9, NAN);
    const double *at_s = NULL, *ordered = bench_series_ordered(&series, &at_s);
    assert_int_equal(series.count, 3);
    assert_true(ordered[0] == 9 && ordered[1] == 8 && ordered[2] == 7);
    assert_true(at_s[0] == 0 && at_s[2] == 2);
    assert_true(bench_series_sorted(&series)[0] == 7);
    bench_series_add(&series, 4 * NS_PER_S, 1); /* both are made anew */
    assert_true(bench_series_sorted(&series)[0] == 1);
    assert_true(bench_series_ordered(&series, NULL)[3] == 1);
    bench_series_done(&series);
}

/* "um" is a word of German and a filler of English, "für" is not "fur". */
static void words_of_another_language(void **state)
{
    (void)state;
    static struct corpus_clip german[] = {
        {.name = "a", .duration_s = 2, .transcript = "Nicht für dich, um acht."}};
    static const struct corpus spoken = {.clips = german, .clip_count = 1, .all_transcribed = true};
    static const struct {
        enum stats_normaliser normaliser;
        uint64_t words, hits;
    } rows[] = {{NORMALISER_ENGLISH, 4, 4}, {NORMALISER_PLAIN, 5, 3}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_stream stream = fixture_stream("openai-transcriptions");
        stream.corpus = &spoken;
        stream.normaliser = rows[i].normaliser;
        struct bench_results *results = bench_results_new(&stream);
        struct load_result result = {
            .record = {.part = LOAD_WINDOW, .error = LOAD_OK, .intended_ns = 2 * NS_PER_S},
            .text = "nicht fur dich acht"};
        bench_results_add(results, &stream, &fixture_report, &result, false);
        assert_int_equal(results->wer[0].reference_words, rows[i].words);
        assert_int_equal(results->wer[0].hits, rows[i].hits);
        bench_results_free(results);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_window_counts),
        cmocka_unit_test(small_samples_are_refused),
        cmocka_unit_test(nothing_is_unknown),
        cmocka_unit_test(tokens_unknown_stay_unknown),
        cmocka_unit_test(lateness_has_a_bound),
        cmocka_unit_test(drift_is_named),
        cmocka_unit_test(reloads_are_no_requests),
        cmocka_unit_test(a_cold_beginning_is_cut),
        cmocka_unit_test(gaps_are_kept_up_to_a_number),
        cmocka_unit_test(a_share_without_gaps_is_even),
        cmocka_unit_test(goodput_is_all_at_once),
        cmocka_unit_test(order_of_ends_does_not_matter),
        cmocka_unit_test(words_of_another_language),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
