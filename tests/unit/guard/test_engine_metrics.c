/* Pages of metrics as servers write them, and what is made of two of them. */
#include "guard/engine_metrics.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/rng.h"

#include "check.h"

#include <math.h>

static const char vllm[] =
    "# HELP vllm:e2e_request_latency_seconds x\n"
    "# TYPE vllm:e2e_request_latency_seconds histogram\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",le=\"0.3\",model_name=\"a,b\\\"}\"} 5.0\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",le=\"0.5\",model_name=\"m\"} 9.0\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",le=\"+Inf\",model_name=\"m\"} 10.0\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"1\",le=\"0.3\",model_name=\"m\"} 1.0\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"1\",le=\"0.5\",model_name=\"m\"} 1.0\n"
    "vllm:e2e_request_latency_seconds_bucket{engine=\"1\",le=\"+Inf\",model_name=\"m\"} 1.0\n"
    "vllm:e2e_request_latency_seconds_created{engine=\"0\"} 1.75e+09\n"
    "vllm:e2e_request_latency_seconds_count{engine=\"0\"} 10.0\n"
    "\n\t\n"
    "vllm:time_to_first_token_seconds_bucket{le=\"0.001\"} 9.75e-06\n"
    "vllm:time_to_first_token_seconds_bucket{le=\"0.02\"} 4 # {trace_id=\"abc\"} 0.0013 1.66e+09\n"
    "vllm:time_to_first_token_seconds_bucket { le = \"+Inf\" }\t4\t1700000000000\n"
    "vllm:num_requests_running{engine=\"0\"} 2.0\n"
    "vllm:num_requests_running{engine=\"1\"} 3.0\n"
    "vllm:num_requests_waiting{engine=\"0\"} NaN\n"
    "vllm:request_success_total{finished_reason=\"stop\"} 7.0\n"
    "vllm:request_success_total{finished_reason=\"length\"} 4.0\n"
    "vllm:request_success_created{finished_reason=\"length\"} 1.75e+09\n"
    "# EOF";

static void test_vllm(void **state)
{
    (void)state;
    struct guard_engine_page page;
    guard_engine_parse(vllm, sizeof vllm - 1, &page);
    const struct guard_engine_histogram *latency = &page.histograms[ENGINE_LATENCY];
    assert_int_equal(latency->count, 3);
    assert_true(latency->bounds[0] == 0.3 && latency->bounds[1] == 0.5 &&
                isinf(latency->bounds[2]));
    assert_true(latency->totals[0] == 6 && latency->totals[1] == 10 && latency->totals[2] == 11);
    const struct guard_engine_histogram *first = &page.histograms[ENGINE_FIRST];
    assert_int_equal(first->count, 3);
    assert_true(first->totals[1] == 4 && first->totals[2] == 4);
    assert_int_equal(page.histograms[ENGINE_QUEUE].count, 0);
    assert_true(page.running == 5 && isnan(page.waiting) && page.requests == 11);
    assert_true(isnan(page.errors));
}

static void test_odd_pages(void **state)
{
    (void)state;
    static const struct {
        const char *name, *page;
        size_t buckets;
        double running;
    } rows[] = {
        {"empty", "", 0, NAN},
        {"no last bucket", "vllm:e2e_request_latency_seconds_bucket{le=\"1\"} 3\n", 0, NAN},
        {"one bucket", "vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} 3\n", 0, NAN},
        {"labels without an end", "vllm:e2e_request_latency_seconds_bucket{le=\"1 3\n", 0, NAN},
        {"a longer name", "vllm:num_requests_running_total 3\n", 0, NAN},
        {"negative", "vllm:num_requests_running -3\n", 0, NAN},
        {"no number", "vllm:num_requests_running x\n", 0, NAN},
        {"hexadecimal", "vllm:num_requests_running 0x10\n", 0, NAN},
        {"llama-server", "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n", 0, 2},
        {"carriage returns", "llamacpp:requests_processing 2\r\n", 0, 2},
        {"totals that fall are raised",
         "vllm:e2e_request_latency_seconds_bucket{le=\"1\"} 9\n"
         "vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} 3\n",
         2, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_engine_page page;
        guard_engine_parse(rows[i].page, strlen(rows[i].page), &page);
        const struct guard_engine_histogram *latency = &page.histograms[ENGINE_LATENCY];
        CHECK_ROW(i, rows[i].name, latency->count == rows[i].buckets);
        CHECK_ROW(i, rows[i].name,
                  page.running == rows[i].running ||
                      (isnan(page.running) && isnan(rows[i].running)));
        CHECK_ROW(i, rows[i].name, latency->count == 0 || latency->totals[0] <= latency->totals[1]);
    }
}

/* More buckets than there is room for: some are left out, nothing is written elsewhere. */
static void test_many_buckets(void **state)
{
    (void)state;
    char *page = calloc(1, 200 * 80);
    struct guard_engine_page found;
    size_t len = 0;
    assert_non_null(page);
    for (int i = 200; i-- > 0;)
        len += (size_t)snprintf(page + len, 80,
                                "vllm:e2e_request_latency_seconds_bucket{le=\"%d\"} %d\n", i, i);
    guard_engine_parse(page, len, &found);
    assert_true(found.histograms[ENGINE_LATENCY].count <= GUARD_BUCKETS_MAX);
    free(page);
}

static struct guard_engine_page page_of(double low, double middle, double all)
{
    struct guard_engine_page page = {.running = 1, .waiting = 0, .requests = all, .errors = NAN};
    page.histograms[ENGINE_LATENCY] = (struct guard_engine_histogram){
        .count = 3, .bounds = {0.1, 0.2, INFINITY}, .totals = {low, middle, all}};
    return page;
}

static void test_window(void **state)
{
    (void)state;
    struct guard_engine_window *window = guard_engine_window_new(60 * NS_PER_S, 0);
    struct guard_engine_view view;
    struct guard_engine_page page = page_of(1000, 1000, 1000);
    guard_engine_window_read(window, 0, 20 * NS_PER_S, &view);
    assert_true(isnan(view.running) && isnan(view.rate_rps));
    /* What was before the first page says nothing. */
    guard_engine_window_add(window, NS_PER_S, &page);
    guard_engine_window_read(window, NS_PER_S, 20 * NS_PER_S, &view);
    assert_int_equal(view.readings[ENGINE_LATENCY].values, 0);
    page = page_of(1050, 1100, 1100);
    guard_engine_window_add(window, 6 * NS_PER_S, &page);
    guard_engine_window_read(window, 6 * NS_PER_S, 20 * NS_PER_S, &view);
    assert_int_equal(view.readings[ENGINE_LATENCY].values, 100);
    assert_true(fabs(view.readings[ENGINE_LATENCY].p95 - 0.19) < 0.01);
    assert_true(fabs(view.bucket_s[ENGINE_LATENCY][1] - 0.1) < 1e-9);
    assert_int_equal(view.requests, 100);
    assert_true(view.running == 1 && isnan(view.error_ratio));
    /* Old pages are no news. */
    guard_engine_window_read(window, 40 * NS_PER_S, 20 * NS_PER_S, &view);
    assert_true(isnan(view.running));
    assert_int_equal(view.readings[ENGINE_LATENCY].values, 0);
    /* Another server: its counts begin anew. */
    page = page_of(3, 3, 3);
    guard_engine_window_add(window, 41 * NS_PER_S, &page);
    guard_engine_window_read(window, 41 * NS_PER_S, 20 * NS_PER_S, &view);
    assert_int_equal(view.readings[ENGINE_LATENCY].values, 0);
    page = page_of(3, 3, 23);
    guard_engine_window_add(window, 46 * NS_PER_S, &page);
    guard_engine_window_read(window, 46 * NS_PER_S, 20 * NS_PER_S, &view);
    assert_int_equal(view.readings[ENGINE_LATENCY].values, 20);
    assert_true(fabs(view.readings[ENGINE_LATENCY].p50 - 0.2) < 0.01); /* at least the last bound */
    guard_engine_window_free(window);
}

/* How requests ended, by vLLM's own words. Before: all of them had gone well. */
static void test_how_they_ended(void **state)
{
    (void)state;
    static const struct {
        const char *name, *before, *after;
        double error_ratio;
        uint64_t requests, ended;
    } rows[] = {
        {"stop and length are well",
         "vllm:request_success_total{finished_reason=\"stop\"} 7\n"
         "vllm:request_success_total{finished_reason=\"error\"} 0\n",
         "vllm:request_success_total{finished_reason=\"stop\"} 17\n"
         "vllm:request_success_total{finished_reason=\"length\"} 10\n"
         "vllm:request_success_total{finished_reason=\"error\"} 0\n",
         0, 20, 20},
        {"error is the server's",
         "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"m\"} 7\n"
         "vllm:request_success_total{engine=\"0\",finished_reason=\"error\",model_name=\"m\"} 2\n",
         "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"m\"} 10\n"
         "vllm:request_success_total{engine=\"0\",finished_reason=\"error\",model_name=\"m\"} 3\n",
         0.25, 4, 4},
        {"abort is the client's",
         "vllm:request_success_total{finished_reason=\"stop\"} 7\n"
         "vllm:request_success_total{finished_reason=\"abort\"} 0\n"
         "vllm:request_success_total{finished_reason=\"error\"} 0\n",
         "vllm:request_success_total{finished_reason=\"stop\"} 8\n"
         "vllm:request_success_total{finished_reason=\"abort\"} 8\n"
         "vllm:request_success_total{finished_reason=\"error\"} 1\n",
         0.5, 10, 2},
        {"a series that begins", "vllm:request_success_total{finished_reason=\"stop\"} 7\n",
         "vllm:request_success_total{finished_reason=\"stop\"} 8\n"
         "vllm:request_success_total{finished_reason=\"error\"} 1\n",
         0.5, 2, 2},
        {"a version that does not say", "vllm:request_success_total{finished_reason=\"stop\"} 7\n",
         "vllm:request_success_total{finished_reason=\"stop\"} 8\n", NAN, 1, 1},
        {"no label", "vllm:request_success_total 7\n", "vllm:request_success_total 8\n", NAN, 1, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_engine_window *window = guard_engine_window_new(60 * NS_PER_S, 0);
        struct guard_engine_page page;
        struct guard_engine_view view;
        guard_engine_parse(rows[i].before, strlen(rows[i].before), &page);
        guard_engine_window_add(window, NS_PER_S, &page);
        guard_engine_parse(rows[i].after, strlen(rows[i].after), &page);
        guard_engine_window_add(window, 6 * NS_PER_S, &page);
        guard_engine_window_read(window, 6 * NS_PER_S, 20 * NS_PER_S, &view);
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].error_ratio) ? isnan(view.error_ratio)
                                             : fabs(view.error_ratio - rows[i].error_ratio) < 1e-9);
        CHECK_ROW(i, rows[i].name, view.requests == rows[i].requests);
        CHECK_ROW(i, rows[i].name, view.ended == rows[i].ended);
        guard_engine_window_free(window);
    }
}

/* It moves while requests end well or tokens come; errors are no movement. */
static void test_it_moves(void **state)
{
    (void)state;
    static const struct {
        int s;
        const char *page;
        int moved_s; /* 0: never */
    } rows[] = {
        {1, "vllm:generation_tokens_total 5\nvllm:request_success_total{x=\"\"} 1\n", 0},
        {6, "vllm:generation_tokens_total 5\nvllm:request_success_total{x=\"\"} 1\n", 0},
        {11, "vllm:generation_tokens_total 6\nvllm:request_success_total{x=\"\"} 1\n", 6},
        {16, "vllm:generation_tokens_total 6\nvllm:request_success_total{x=\"\"} 2\n", 11},
        {21,
         "vllm:generation_tokens_total 6\nvllm:request_success_total{x=\"\"} 2\n"
         "vllm:request_success_total{finished_reason=\"error\"} 4\n",
         11},
        {26, "vllm:generation_tokens_total 0\nvllm:request_success_total{x=\"\"} 0\n", 0},
    };
    struct guard_engine_window *window = guard_engine_window_new(60 * NS_PER_S, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_engine_page page;
        struct guard_engine_view view;
        guard_engine_parse(rows[i].page, strlen(rows[i].page), &page);
        guard_engine_window_add(window, rows[i].s * NS_PER_S, &page);
        guard_engine_window_read(window, rows[i].s * NS_PER_S, 20 * NS_PER_S, &view);
        CHECK_ROW(i, "moved", view.moved_ns == rows[i].moved_s * NS_PER_S);
    }
    guard_engine_window_free(window);
}

/* Before: of the p95 alone, and beyond the last bound that of the bucket before. */
static void test_each_quantile_has_its_bucket(void **state)
{
    (void)state;
    struct guard_engine_window *window = guard_engine_window_new(60 * NS_PER_S, 0);
    struct guard_engine_view view;
    struct guard_engine_page page = page_of(0, 0, 0);
    guard_engine_window_add(window, NS_PER_S, &page);
    page = page_of(0, 0, 0);
    page.histograms[ENGINE_LATENCY].totals[0] = 120; /* up to 0.1 s */
    page.histograms[ENGINE_LATENCY].totals[1] = 196;
    page.histograms[ENGINE_LATENCY].totals[2] = 200; /* beyond 0.2 s */
    guard_engine_window_add(window, 2 * NS_PER_S, &page);
    guard_engine_window_read(window, 2 * NS_PER_S, NS_PER_S, &view);
    assert_true(fabs(view.bucket_s[ENGINE_LATENCY][0] - 0.1) < 1e-9);
    assert_true(fabs(view.bucket_s[ENGINE_LATENCY][1] - 0.1) < 1e-9);
    assert_true(isinf(view.bucket_s[ENGINE_LATENCY][2]));
    assert_true(isnan(view.bucket_s[ENGINE_QUEUE][1]));
    guard_engine_window_free(window);
}

/* Truth from values that are known, through a histogram: within the bucket that it says. */
static void test_within_its_bucket(void **state)
{
    (void)state;
    static const double bounds[] = {0.05, 0.1, 0.2, 0.4, 0.8, 1.6, INFINITY};
    struct guard_engine_window *window = guard_engine_window_new(60 * NS_PER_S, 0);
    struct guard_engine_page before = {.requests = 0, .errors = NAN}, after = before;
    struct guard_engine_view view;
    struct rng rng = rng_init(5, "buckets");
    double values[2000];
    before.histograms[ENGINE_LATENCY].count = after.histograms[ENGINE_LATENCY].count =
        ARRAY_LEN(bounds);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        values[i] = rng_exponential(&rng, 0.2);
        for (size_t b = 0; b < ARRAY_LEN(bounds); b++) {
            before.histograms[ENGINE_LATENCY].bounds[b] = bounds[b];
            after.histograms[ENGINE_LATENCY].bounds[b] = bounds[b];
            after.histograms[ENGINE_LATENCY].totals[b] += values[i] <= bounds[b];
        }
    }
    after.requests = ARRAY_LEN(values);
    guard_engine_window_add(window, NS_PER_S, &before);
    guard_engine_window_add(window, 2 * NS_PER_S, &after);
    guard_engine_window_read(window, 2 * NS_PER_S, NS_PER_S, &view);
    double p95 = 0.2 * log(20);
    assert_true(fabs(view.readings[ENGINE_LATENCY].p95 - p95) < view.bucket_s[ENGINE_LATENCY][1]);
    guard_engine_window_free(window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vllm),
        cmocka_unit_test(test_odd_pages),
        cmocka_unit_test(test_many_buckets),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_how_they_ended),
        cmocka_unit_test(test_it_moves),
        cmocka_unit_test(test_each_quantile_has_its_bucket),
        cmocka_unit_test(test_within_its_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
