/* Comparisons by looks: the looks and their shares, the interval against a known one, and a short
 * form of bench/compare_stats.c: how often equals are called different. */
#include "stats/compare.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "draw.h"
#include "stats/binomial.h"

static void test_looks(void **state)
{
    (void)state;
    static const size_t want[] = {3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
    double spent = 0;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(stats_compare_look(want[i]), want[i]);
        assert_int_equal(stats_compare_look(want[i] - 1), i ? want[i - 1] : 0);
        assert_true(stats_compare_share(want[i]) > 0);
        spent += stats_compare_share(want[i]);
    }
    assert_true(spent < 1);
    for (size_t look = 192; look < 1000000; look = look % 3 ? look / 2 * 3 : look / 3 * 4) {
        assert_int_equal(stats_compare_look(look), look);
        spent += stats_compare_share(look);
    }
    assert_true(spent < 1 && spent > 0.999);
    assert_int_equal(stats_compare_look(0), 0);
}

/* Student's interval at the confidence that the look may spend. */
static void test_interval(void **state)
{
    (void)state;
    const double d[] = {0.11, 0.09, NAN, 0.12, 0.10, 0.14, 9.0};
    const double known[] = {0.11, 0.09, 0.12, 0.10, 0.14}, zero[5] = {0};
    struct stats_effect e = stats_compare_mean(d, 7, 0.05); /* the look after 6 */
    struct stats_effect want =
        stats_paired_difference(known, zero, 5, 1 - 0.05 * stats_compare_share(6));
    assert_int_equal(e.blocks, 5);
    assert_float_equal(e.estimate, want.estimate, 1e-12);
    assert_float_equal(e.interval.low, want.interval.low, 1e-9);
    assert_float_equal(e.interval.high, want.interval.high, 1e-9);
    struct stats_effect ratio = stats_compare_ratio(d, 7, 0.05);
    assert_float_equal(ratio.interval.low, exp(want.interval.low), 1e-9);
    assert_float_equal(ratio.estimate, exp(want.estimate), 1e-9);
}

static void test_too_few(void **state)
{
    (void)state;
    const double d[] = {0.1, 0.1, NAN, NAN, 0.1};
    assert_true(isnan(stats_compare_mean(d, 2, 0.05).estimate));
    assert_true(isnan(stats_compare_mean(d, 4, 0.05).interval.low));
    assert_int_equal(stats_compare_mean(d, 4, 0.05).blocks, 2);
    assert_true(isnan(stats_compare_mean(d, 5, 0).interval.low));
    const double same[] = {0.1, 0.1, 0.1};
    struct stats_effect e = stats_compare_mean(same, 3, 0.05);
    assert_float_equal(e.interval.low, 0.1, 1e-12);
    assert_float_equal(e.interval.high, 0.1, 1e-12);
}

static void test_standing(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        enum stats_standing want;
    } cases[] = {
        {-0.02, 0.02, STATS_STANDING_WITHIN}, {-0.03, 0.03, STATS_STANDING_WITHIN},
        {0.031, 0.05, STATS_STANDING_ABOVE},  {-0.09, -0.04, STATS_STANDING_BELOW},
        {0.03, 0.05, STATS_STANDING_OPEN},    {0.01, 0.05, STATS_STANDING_OPEN},
        {-0.5, 0.5, STATS_STANDING_OPEN},     {NAN, NAN, STATS_STANDING_OPEN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stats_effect e = {0, {cases[i].low, cases[i].high}, 3};
        assert_int_equal(stats_compare_standing(&e, -0.03, 0.03), cases[i].want);
    }
}

/* The p95 of a cold start with its own luck and a drift that both sides share. */
static double draw_p95(struct rng *rng, double level)
{
    enum { N = 40 };
    double values[N], u = rng_unit(rng);
    draw_ar1(rng, 0.3, values, N);
    level *= exp(0.03 * stats_normal_quantile(u > 0 ? u : 0x1p-54));
    for (size_t i = 0; i < N; i++)
        values[i] = level * (1 + 0.3 * values[i]);
    stats_sort(values, N);
    return stats_quantile(values, N, 0.95);
}

static bool is_called_different(struct rng *rng, double ratio, size_t blocks)
{
    double logs[12];
    bool different = false;
    for (size_t b = 0; b < blocks; b++) {
        double drift = exp(0.3 * rng_unit(rng));
        logs[b] = log(draw_p95(rng, drift * ratio) / draw_p95(rng, drift));
        struct stats_effect e = stats_compare_ratio(logs, b + 1, 0.05);
        different = different || stats_effect_certain(&e, 1) != 0;
    }
    return different;
}

static void test_equals_are_seldom_called_different(void **state)
{
    (void)state;
    enum { COMPARISONS = 200 };
    struct rng rng = rng_init(5, "equals");
    uint64_t wrong = 0, found = 0;
    for (int i = 0; i < COMPARISONS; i++)
        wrong += is_called_different(&rng, 1, 12);
    assert_true(stats_binomial_bound(wrong, COMPARISONS, 0.99, SIDE_LOW) <= 0.05);
    for (int i = 0; i < 50; i++)
        found += is_called_different(&rng, 2, 12);
    assert_int_equal(found, 50); /* twice as slow is never missed */
}

/* Nothing failed in any block: alike to the last digit, and yet so few requests leave much open. */
static void test_shares_are_as_wide_as_their_counts(void **state)
{
    (void)state;
    const double none[6] = {0};
    struct stats_effect e = stats_compare_mean(none, 6, 0.05);
    stats_compare_widen(&e, (uint64_t[]){0, 0}, (uint64_t[]){60, 60}, 6, 0.05);
    double bound = stats_binomial_bound(0, 60, 1 - 0.05 * stats_compare_share(6) / 4, SIDE_HIGH);
    assert_float_equal(e.interval.high, bound, 1e-9);
    assert_float_equal(e.interval.low, -bound, 1e-9);
    e = stats_compare_mean(none, 6, 0.05);
    stats_compare_widen(&e, (uint64_t[]){0, 0}, (uint64_t[]){60, 0}, 6, 0.05);
    assert_true(isnan(e.interval.low));
    const double apart[6] = {0.9, -0.9, 0.8, -0.8, 0.9, -0.9}; /* wider than any counts */
    struct stats_effect wide = stats_compare_mean(apart, 6, 0.05);
    e = wide;
    stats_compare_widen(&e, (uint64_t[]){300, 290}, (uint64_t[]){6000, 6000}, 6, 0.05);
    assert_float_equal(e.interval.low, wide.interval.low, 1e-12);
    assert_float_equal(e.interval.high, wide.interval.high, 1e-12);
}

/* 10 requests a window, none against three in a hundred fail: a difference as large as what is
 * tolerated, which most blocks do not show. */
static void test_rare_failures_are_not_called_none(void **state)
{
    (void)state;
    enum { COMPARISONS = 300, BLOCKS = 24, ASKED = 10 };
    struct rng rng = rng_init(6, "rare");
    uint64_t wrong = 0;
    for (int i = 0; i < COMPARISONS; i++) {
        double d[BLOCKS];
        uint64_t hits[2] = {0}, asked[2] = {0};
        bool ever = false;
        for (size_t b = 0; b < BLOCKS; b++) {
            uint64_t failed = 0;
            for (int k = 0; k < ASKED; k++)
                failed += rng_unit(&rng) < 0.03;
            d[b] = (double)failed / ASKED;
            hits[1] += failed;
            asked[0] += ASKED, asked[1] += ASKED;
            if (stats_compare_look(b + 1) != b + 1)
                continue; /* the counts are those of the look before */
            struct stats_effect e = stats_compare_mean(d, b + 1, 0.05);
            stats_compare_widen(&e, hits, asked, b + 1, 0.05);
            ever = ever || stats_compare_standing(&e, -0.03, 0.03) != STATS_STANDING_OPEN;
        }
        wrong += ever;
    }
    assert_true(stats_binomial_bound(wrong, COMPARISONS, 0.99, SIDE_LOW) <= 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_standing),
        cmocka_unit_test(test_equals_are_seldom_called_different),
        cmocka_unit_test(test_shares_are_as_wide_as_their_counts),
        cmocka_unit_test(test_rare_failures_are_not_called_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
