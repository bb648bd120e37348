/* Quantiles and their intervals against scipy and numpy, and the promised coverage by simulation.
 * */
#include "stats/quantile.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "base/rng.h"
#include "reference_quantile.h"

static double *count_up(size_t n)
{
    double *values = calloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (double)i;
    return values;
}

/* One value bounds a quantile q from below with error 1 - q exactly: rounding decides in scipy, and
 * it says nan there, while in the like case n = 2, q = 0.9, error 0.01 it gives the bound. We
 * always give it. */
static bool is_known_difference(size_t n, double q, double alpha)
{
    return n == 1 && fabs(1 - q - alpha) < 1e-12;
}

static void assert_bound(double bound, long index, size_t row)
{
    bool same = index < 0 ? isnan(bound) : bound == (double)index;
    if (!same)
        fail_msg("row %zu: %g instead of %ld", row, bound, index);
}

static void test_intervals_equal_scipy(void **state)
{
    (void)state;
    assert_true(ARRAY_LEN(quantile_cases) >= 200);
    AUTO(free) double *values = count_up(100000);
    for (size_t i = 0; i < ARRAY_LEN(quantile_cases); i++) {
        size_t n = quantile_cases[i].n;
        double q = quantile_cases[i].q, confidence = quantile_cases[i].confidence;
        struct stats_interval found = stats_quantile_interval(values, n, q, confidence);
        bool tie = is_known_difference(n, q, (1 - confidence) / 2);
        assert_bound(found.low, tie ? 0 : quantile_cases[i].low, i);
        assert_bound(found.high, quantile_cases[i].high, i);
        tie = is_known_difference(n, q, 1 - confidence);
        assert_bound(stats_quantile_bound(values, n, q, confidence, SIDE_LOW),
                     tie ? 0 : quantile_cases[i].bound_low, i);
        assert_bound(stats_quantile_bound(values, n, q, confidence, SIDE_HIGH),
                     quantile_cases[i].bound_high, i);
        assert_int_equal(stats_quantile_bound_index(n, q, confidence, SIDE_HIGH),
                         quantile_cases[i].bound_high);
    }
}

static void test_points_equal_numpy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(quantile_points); i++) {
        double found = stats_quantile(quantile_samples[quantile_points[i].sample],
                                      quantile_points[i].n, quantile_points[i].q);
        assert_true(fabs(found - quantile_points[i].value) <= 1e-14 * fabs(found));
    }
}

static void test_ties_do_not_depend_on_rounding(void **state)
{
    (void)state;
    /* P(X <= 0) is exactly 1/4 for n = 2, q = 1/2: both order statistics at 50 %. A known
     * difference: scipy has nan for the low one, although its error is no more than the 1/4
     * allowed. */
    double values[] = {1, 2};
    struct stats_interval found = stats_quantile_interval(values, 2, 0.5, 0.5);
    assert_true(found.low == 1 && found.high == 2);
    /* 0.9^1 = 1 - 0.1: one value bounds p90 from above with 10 %, not with more. */
    assert_int_equal(stats_quantile_bound_index(1, 0.9, 0.1, SIDE_HIGH), 0);
    assert_int_equal(stats_quantile_bound_index(1, 0.9, 0.11, SIDE_HIGH), -1);
}

static void test_unknown_stays_unknown(void **state)
{
    (void)state;
    double values[] = {3, NAN, 1, 2};
    stats_sort(values, 4);
    assert_true(values[0] == 1 && values[2] == 3 && isnan(values[3]));
    assert_true(isnan(stats_quantile(values, 4, 0.5)));
    assert_true(isnan(stats_quantile_bound(values, 4, 0.5, 0.9, SIDE_HIGH)));
    assert_true(stats_quantile(values, 3, 0.5) == 2);
    const double bad[] = {-0.1, 1.1, NAN};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(isnan(stats_quantile(values, 3, bad[i])));
        assert_true(isnan(stats_quantile_interval(values, 3, bad[i], 0.95).high));
        assert_true(isnan(stats_quantile_interval(values, 3, 0.5, bad[i]).high));
        assert_false(stats_quantile_allowed(1000, bad[i]));
        assert_int_equal(stats_quantile_needed(bad[i], 0.95, SIDE_HIGH), 0);
    }
    assert_true(isnan(stats_quantile(values, 0, 0.5)));
    assert_true(isnan(stats_quantile_interval(NULL, 0, 0.5, 0.95).low));
    double infinite[] = {1, INFINITY};
    assert_true(stats_quantile(infinite, 2, 0) == 1);
    assert_true(isinf(stats_quantile(infinite, 2, 1)));
}

static void test_allowed_and_needed(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        double q;
        bool allowed;
    } cases[] = {
        {4, 0.5, false},   {5, 0.5, true},   {9, 0.9, false},   {10, 0.9, true},
        {19, 0.95, false}, {20, 0.95, true}, {99, 0.99, false}, {100, 0.99, true},
        {19, 0.05, false}, {20, 0.05, true}, {1000, 1, false},  {1000, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(stats_quantile_allowed(cases[i].n, cases[i].q), cases[i].allowed);
    assert_int_equal(stats_quantile_needed(0.95, 0.95, SIDE_HIGH), 59);
    assert_int_equal(stats_quantile_needed(0.95, 0.99, SIDE_HIGH), 90);
    assert_int_equal(stats_quantile_needed(0.99, 0.95, SIDE_HIGH), 299);
    assert_int_equal(stats_quantile_needed(0.99, 0.99, SIDE_HIGH), 459);
    assert_int_equal(stats_quantile_needed(0.05, 0.95, SIDE_LOW), 59);
    assert_int_equal(stats_quantile_needed(0.5, 0.5, SIDE_HIGH), 1);
}

/* 2,000 samples of exponential latencies: how often does the 95 % interval hold the true value? */
static void test_coverage(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        double q;
    } cases[] = {{20, 0.5}, {100, 0.9}, {200, 0.95}, {600, 0.99}};
    enum { DRAWS = 2000 };
    struct rng rng = rng_init(95, "coverage");
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        double values[600];
        double truth = -log1p(-cases[c].q);
        int inside = 0;
        for (int d = 0; d < DRAWS; d++) {
            for (size_t i = 0; i < cases[c].n; i++)
                values[i] = rng_exponential(&rng, 1);
            stats_sort(values, cases[c].n);
            struct stats_interval found =
                stats_quantile_interval(values, cases[c].n, cases[c].q, 0.95);
            inside += found.low <= truth && truth <= found.high;
        }
        printf("coverage of p%g, n %zu: %.4f\n", 100 * cases[c].q, cases[c].n,
               inside / (double)DRAWS);
        assert_true(inside >= 0.95 * DRAWS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_equal_scipy),
        cmocka_unit_test(test_points_equal_numpy),
        cmocka_unit_test(test_ties_do_not_depend_on_rounding),
        cmocka_unit_test(test_unknown_stays_unknown),
        cmocka_unit_test(test_allowed_and_needed),
        cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
