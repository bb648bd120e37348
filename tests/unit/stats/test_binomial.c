/* Binomial probabilities and exact intervals of a share against scipy. */
#include "stats/binomial.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "reference_binomial.h"

static void assert_near(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("%.17g instead of %.17g", found, expected);
}

static void test_tails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(binomial_cases); i++) {
        uint64_t k = binomial_cases[i].k, n = binomial_cases[i].n;
        double p = binomial_cases[i].p;
        assert_near(exp(stats_binomial_log_cdf(k, n, p)), binomial_cases[i].cdf, 1e-9);
        assert_near(exp(stats_binomial_log_sf(k, n, p)), binomial_cases[i].sf, 1e-9);
    }
}

static void test_probabilities_sum_to_one(void **state)
{
    (void)state;
    static const double shares[] = {0, 1e-9, 0.1, 0.5, 0.99, 1};
    for (size_t s = 0; s < ARRAY_LEN(shares); s++) {
        for (uint64_t n = 0; n <= 40; n++) {
            double sum = 0;
            for (uint64_t k = 0; k <= n; k++) {
                sum += exp(stats_binomial_log_pmf(k, n, shares[s]));
                assert_near(stats_binomial_cdf(k, n, shares[s]), sum, 1e-12);
            }
            assert_near(sum, 1, 1e-12);
        }
    }
    assert_true(stats_binomial_log_pmf(4, 3, 0.5) == -INFINITY);
    assert_true(isnan(stats_binomial_log_cdf(1, 3, 1.5)));
    assert_true(isnan(stats_binomial_log_sf(1, 3, NAN)));
}

static void test_far_tails_stay_distinct_from_zero(void **state)
{
    (void)state;
    double log_cdf = stats_binomial_log_cdf(100, 1000000, 0.5);
    assert_true(isfinite(log_cdf) && log_cdf < -600000);
    assert_true(stats_binomial_cdf(100, 1000000, 0.5) == 0);
}

static void test_shares(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(share_cases); i++) {
        struct stats_interval found = stats_binomial_interval(share_cases[i].k, share_cases[i].n,
                                                              share_cases[i].confidence);
        assert_near(found.low, share_cases[i].low, 1e-8);
        assert_near(found.high, share_cases[i].high, 1e-8);
    }
    /* The rule of three: no failure in n requests. */
    assert_near(stats_binomial_bound(0, 300, 0.95, SIDE_HIGH), 1 - pow(0.05, 1 / 300.0), 1e-12);
    assert_true(stats_binomial_bound(0, 300, 0.95, SIDE_LOW) == 0);
    assert_true(isnan(stats_binomial_interval(0, 0, 0.95).high));
    assert_true(isnan(stats_binomial_interval(4, 3, 0.95).low));
    assert_true(isnan(stats_binomial_interval(1, 3, 1).low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_probabilities_sum_to_one),
        cmocka_unit_test(test_far_tails_stay_distinct_from_zero),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
