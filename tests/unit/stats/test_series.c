/* Correlation, blocks and worth against numpy, scipy and arch; coverage by simulation (in full:
 * bench/instrument_stats.c). */
#include "stats/series.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "stats/requirement.h"
#include "draw.h"
#include "reference_series.h"
#include "stats/binomial.h"

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static double quantile_of(const double *values, size_t n, double q)
{
    AUTO(free) double *sorted = calloc(n, sizeof *sorted);
    assert_non_null(sorted);
    memcpy(sorted, values, n * sizeof *sorted);
    stats_sort(sorted, n);
    return stats_quantile(sorted, n, q);
}

static void test_correlation_equals_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(correlation_cases); i++) {
        size_t n = correlation_cases[i].n;
        double q = correlation_cases[i].q;
        AUTO(free)
        double *values = draw_reference(correlation_cases[i].kind, correlation_cases[i].seed, n);
        struct stats_series series = {.values = values, .n = n};
        const char *name = "series";
        CHECK_ROW(i, name,
                  stats_series_correlated(&series) == (correlation_cases[i].correlated != 0));
        CHECK_ROW(i, name,
                  stats_series_clustered(&series, q) == (correlation_cases[i].clustered != 0));
        CHECK_ROW(i, name, near(stats_series_block(values, n), correlation_cases[i].block));
        CHECK_ROW(i, name,
                  near(stats_series_quantile(&series, q, 0.95).worth, correlation_cases[i].worth));
        CHECK_ROW(i, name,
                  stats_series_worth(&series, quantile_of(values, n, q)) <=
                      correlation_cases[i].worth * (1 + 1e-9));
    }
}

static void test_method_follows_the_series(void **state)
{
    (void)state;
    static const struct {
        enum series kind;
        size_t n;
        double q;
        enum stats_method method;
        enum stats_refusal refusal;
    } rows[] = {
        {SERIES_INDEPENDENT, 200, 0.5, STATS_METHOD_RANKS, STATS_REFUSAL_NONE},
        {SERIES_INDEPENDENT, 3, 0.5, STATS_METHOD_NONE, STATS_REFUSAL_SAMPLE},
        {SERIES_ROUND, 300, 0.5, STATS_METHOD_RANKS, STATS_REFUSAL_NONE},
        {SERIES_QUEUE, 999, 0.5, STATS_METHOD_NONE, STATS_REFUSAL_CORRELATED},
        {SERIES_QUEUE, 1000, 0.5, STATS_METHOD_BLOCKS, STATS_REFUSAL_NONE},
        {SERIES_FREEZE, 200, 0.95, STATS_METHOD_NONE, STATS_REFUSAL_CORRELATED},
        {SERIES_FREEZE, 1500, 0.99, STATS_METHOD_BLOCKS, STATS_REFUSAL_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) double *values = draw_reference(rows[i].kind, 9, rows[i].n);
        struct stats_series series = {.values = values, .n = rows[i].n};
        struct stats_series_interval found = stats_series_quantile(&series, rows[i].q, 0.95);
        CHECK_ROW(i, "method", found.method == rows[i].method);
        CHECK_ROW(i, "refusal", found.refusal == rows[i].refusal);
        bool given = !isnan(found.interval.low) || !isnan(found.interval.high);
        CHECK_ROW(i, "interval", given == (rows[i].method != STATS_METHOD_NONE));
        CHECK_ROW(i, "name", !stats_method_name(found.method) == !given);
        CHECK_ROW(i, "text", !stats_refusal_text(found.refusal) == given);
    }
}

static void test_unknown_and_empty(void **state)
{
    (void)state;
    double values[] = {1, 2, NAN, 4};
    struct stats_series series = {.values = values, .n = 4}, none = {.values = values};
    assert_int_equal(stats_series_quantile(&series, 0.5, 0.95).refusal, STATS_REFUSAL_UNKNOWN);
    assert_int_equal(stats_series_quantile(&none, 0.5, 0.95).refusal, STATS_REFUSAL_SAMPLE);
    assert_true(isnan(stats_series_worth(&series, 1)) && isnan(stats_series_worth(&none, 1)));
    double same[2000];
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        same[i] = 5;
    struct stats_series flat = {.values = same, .n = ARRAY_LEN(same)};
    struct stats_series_interval found = stats_series_quantile(&flat, 0.99, 0.95);
    assert_true(found.method == STATS_METHOD_RANKS && found.interval.low == 5 &&
                found.interval.high == 5);
    assert_true(stats_series_worth(&flat, 5) == 2000);
}

/* Alike, and how far from the limit: noise of some ms says nothing about 20 s. */
static void test_worth_far_below_the_limit(void **state)
{
    (void)state;
    AUTO(free) double *values = draw_reference(SERIES_QUEUE, 9, 300); /* 0 to 1 */
    struct stats_series series = {.values = values, .n = 300};
    assert_true(stats_series_worth(&series, 2) < 150);
    assert_true(stats_series_worth(&series, 20) == 300);
    for (size_t i = 0; i < 300; i++)
        values[i] += 1;
    assert_true(stats_series_worth(&series, 0.9) < 150);
    assert_true(stats_series_worth(&series, 0.09) == 300);
}

/* Two runs of different levels, each independent: neighbours across their border are no pair. */
static void test_runs_are_looked_at_apart(void **state)
{
    (void)state;
    AUTO(free) double *values = draw_reference(SERIES_INDEPENDENT, 5, 400);
    for (size_t i = 200; i < 400; i++)
        values[i] += 10;
    const size_t lengths[] = {200, 200};
    struct stats_series one = {.values = values, .n = 400};
    struct stats_series two = {.values = values, .n = 400, .run_lengths = lengths, .run_count = 2};
    assert_true(stats_series_correlated(&one));
    assert_false(stats_series_correlated(&two));
}

/* The ranks near the sample's limit are exact and no wider than they have to be. */
static void test_ranks_hold_what_they_say(void **state)
{
    (void)state;
    static const double quantiles[] = {0.5, 0.9, 0.95, 0.99};
    for (size_t n = 500; n <= 1500; n += 125) {
        AUTO(free) double *values = calloc(n, sizeof *values);
        assert_non_null(values);
        for (size_t i = 0; i < n; i++)
            values[i] = (double)(i * 7919 % n); /* no order to speak of, each value once */
        for (size_t k = 0; k < ARRAY_LEN(quantiles); k++) {
            struct stats_series series = {.values = values, .n = n};
            struct stats_series_interval found = stats_series_quantile(&series, quantiles[k], 0.95);
            if (found.method != STATS_METHOD_RANKS)
                continue;
            double held = stats_binomial_cdf((uint64_t)found.interval.high, n, quantiles[k]) -
                          stats_binomial_cdf((uint64_t)found.interval.low, n, quantiles[k]);
            assert_true(held >= 0.95 && held <= 0.975);
        }
    }
}

static void test_coverage(void **state)
{
    (void)state;
    static const struct {
        double phi;
        size_t n;
        double q, low, high;
    } rows[] = {
        {0, 500, 0.5, 0.94, 0.975}, {0, 500, 0.95, 0.94, 0.975}, {0, 500, 0.99, 0.94, 0.975},
        {0.5, 1000, 0.5, 0.92, 1},  {0.5, 1000, 0.95, 0.92, 1},  {0.5, 1000, 0.99, 0.92, 1},
    };
    enum { WINDOWS = 400 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rng rng = rng_init(3, "coverage");
        AUTO(free) double *values = calloc(rows[i].n, sizeof *values);
        assert_non_null(values);
        double truth = exp(stats_normal_quantile(rows[i].q));
        uint64_t given = 0, held = 0;
        for (int w = 0; w < WINDOWS; w++) {
            draw_ar1(&rng, rows[i].phi, values, rows[i].n);
            struct stats_series series = {.values = values, .n = rows[i].n};
            struct stats_series_interval found = stats_series_quantile(&series, rows[i].q, 0.95);
            given += found.method != STATS_METHOD_NONE;
            held += found.interval.low <= truth && found.interval.high >= truth;
        }
        assert_true(given > 0.95 * WINDOWS);
        /* 400 windows: the bar has to lie within the count's own 99 % bounds. */
        assert_true(stats_binomial_bound(held, given, 0.99, SIDE_HIGH) >= rows[i].low);
        assert_true(stats_binomial_bound(held, given, 0.99, SIDE_LOW) <= rows[i].high);
    }
}

/* M/D/1, served in the order of arrival: what they all take from their arrival on. Empty at first
 * and then left alone for long enough to forget it. */
static void draw_queue(struct rng *rng, double load, double *values, size_t n)
{
    double wait_s = 0;
    for (int i = 0; i < 1000; i++)
        wait_s = fmax(0, wait_s + 1 - rng_exponential(rng, 1 / load));
    for (size_t i = 0; i < n; i++) {
        values[i] = wait_s + 1;
        wait_s = fmax(0, wait_s + 1 - rng_exponential(rng, 1 / load));
    }
}

/* Exactly at the limit of a p95, so that "met" and "missed" are both wrong: the stated 5 % holds
 * for requests that wait behind one another too. In full: bench/instrument_stats.c. */
static void test_wrong_answers_at_the_limit(void **state)
{
    (void)state;
    static const struct {
        double phi, load, limit; /* load > 0: a queue; its p95 from 20 million requests */
        size_t n;
    } rows[] = {
        {0, 0, 0, 59},    {0.5, 0, 0, 59},    {0.7, 0, 0, 59},     {0.9, 0, 0, 59},
        {0.9, 0, 0, 200}, {0, 0.8, 7.61, 59}, {0, 0.8, 7.61, 300},
    };
    enum { WINDOWS = 300 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rng rng = rng_init(8, "limit");
        AUTO(free) double *values = calloc(rows[i].n, sizeof *values);
        assert_non_null(values);
        double limit = rows[i].load > 0 ? rows[i].limit : exp(stats_normal_quantile(0.95));
        uint64_t answers[3] = {0};
        for (int w = 0; w < WINDOWS; w++) {
            if (rows[i].load > 0)
                draw_queue(&rng, rows[i].load, values, rows[i].n);
            else
                draw_ar1(&rng, rows[i].phi, values, rows[i].n);
            struct stats_series series = {.values = values, .n = rows[i].n};
            uint64_t over = 0;
            for (size_t k = 0; k < rows[i].n; k++)
                over += values[k] > limit;
            answers[stats_requirement_fixed(0.05, 0.05, rows[i].n, over,
                                            stats_series_worth(&series, limit))]++;
        }
        for (int a = STATS_MET; a <= STATS_MISSED; a++)
            CHECK_ROW(i, a == STATS_MET ? "wrong met" : "wrong missed",
                      stats_binomial_bound(answers[a], WINDOWS, 0.99, SIDE_LOW) <= 0.05);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_correlation_equals_reference),
        cmocka_unit_test(test_method_follows_the_series),
        cmocka_unit_test(test_unknown_and_empty),
        cmocka_unit_test(test_worth_far_below_the_limit),
        cmocka_unit_test(test_runs_are_looked_at_apart),
        cmocka_unit_test(test_ranks_hold_what_they_say),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_wrong_answers_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
