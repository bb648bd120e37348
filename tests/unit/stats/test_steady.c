/* Warm-up cut and drift against numpy and scipy; what they find and what they leave alone. */
#include "stats/steady.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "stats/requirement.h"
#include "draw.h"
#include "reference_series.h"

static bool same(double a, double b)
{
    return isnan(b) ? isnan(a) : fabs(a - b) <= 1e-9 * fabs(b);
}

static void test_warmup_equals_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(warmup_cases); i++) {
        AUTO(free)
        double *values =
            draw_reference(warmup_cases[i].kind, warmup_cases[i].seed, warmup_cases[i].n);
        struct stats_warmup found = stats_warmup_find(values, warmup_cases[i].n);
        CHECK_ROW(i, "known", found.known);
        CHECK_ROW(i, "settled", found.settled == (warmup_cases[i].settled != 0));
        CHECK_ROW(i, "cut", found.cut == warmup_cases[i].cut);
        CHECK_ROW(i, "before", same(found.before, warmup_cases[i].before));
    }
}

static double *steps(size_t n, double s)
{
    double *at_s = calloc(n, sizeof *at_s);
    assert_non_null(at_s);
    for (size_t i = 0; i < n; i++)
        at_s[i] = (double)i * s;
    return at_s;
}

static void test_drift_equals_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(drift_cases); i++) {
        size_t n = drift_cases[i].n;
        AUTO(free) double *values = draw_reference(drift_cases[i].kind, drift_cases[i].seed, n);
        AUTO(free) double *at_s = steps(n, 0.25);
        struct stats_drift found = stats_drift_find(values, at_s, n, drift_cases[i].q);
        CHECK_ROW(i, "known", found.known == (drift_cases[i].known != 0));
        CHECK_ROW(i, "drifting", found.drifting == (drift_cases[i].drifting != 0));
        CHECK_ROW(i, "first", same(found.first, drift_cases[i].first));
        CHECK_ROW(i, "last", same(found.last, drift_cases[i].last));
        CHECK_ROW(i, "per minute", same(found.per_minute, drift_cases[i].per_minute));
    }
}

static void test_a_cold_start_is_cut(void **state)
{
    (void)state;
    AUTO(free) double *values = draw_reference(SERIES_COLD, 3, 600);
    struct stats_warmup found = stats_warmup_find(values, 600);
    assert_true(found.known && found.settled);
    assert_int_equal(found.cut, 60);
    assert_true(found.before > 2.5 && found.before < 3.5);
    /* One cold request is enough when it is cold enough, and the cut is a batch of five. */
    AUTO(free) double *one = draw_reference(SERIES_INDEPENDENT, 3, 600);
    one[0] *= 100;
    assert_int_equal(stats_warmup_find(one, 600).cut, 5);
}

/* Answers that hardly vary: a difference of half a percent is certain, and no warm-up. */
static void test_certain_and_small_is_no_warmup(void **state)
{
    (void)state;
    enum { N = 600 };
    double values[N];
    for (size_t i = 0; i < N; i++)
        values[i] = (i < 200 ? 0.251 : 0.250) + 1e-5 * (double)(i % 7);
    struct stats_warmup found = stats_warmup_find(values, N);
    assert_true(found.known && found.settled && found.cut == 0);
    for (size_t i = 0; i < 200; i++)
        values[i] *= 1.05;
    assert_int_equal(stats_warmup_find(values, N).cut, 200);
}

static void test_what_never_settles_is_not_cut(void **state)
{
    (void)state;
    AUTO(free) double *values = draw_reference(SERIES_INDEPENDENT, 3, 600);
    for (size_t i = 0; i < 400; i++)
        values[i] *= 4;
    struct stats_warmup found = stats_warmup_find(values, 600);
    assert_true(found.known && !found.settled && found.cut == 0);
}

static void test_too_little_is_unknown(void **state)
{
    (void)state;
    double values[STATS_WARMUP_LEAST] = {9, 9, 9}, at_s[STATS_WARMUP_LEAST] = {0};
    assert_false(stats_warmup_find(values, STATS_WARMUP_LEAST - 1).known);
    assert_false(stats_warmup_find(values, 0).known);
    values[4] = NAN;
    assert_false(stats_warmup_find(values, STATS_WARMUP_LEAST).known);
    assert_false(stats_drift_find(values, at_s, STATS_WARMUP_LEAST, 0.5).known);
    assert_false(stats_drift_find(values, at_s, 0, 0.5).known);
    assert_false(stats_drift_find(values, at_s, 10, 1.5).known);
    /* All requests at one instant: no rate of change, and no division by nothing. */
    AUTO(free) double *rise = draw_reference(SERIES_RISE, 3, 200);
    AUTO(free) double *still = steps(200, 0);
    assert_true(isnan(stats_drift_find(rise, still, 200, 0.5).per_minute));
    /* Values of 0 have no logarithm. */
    double zeros[100] = {0};
    assert_int_equal(stats_warmup_find(zeros, 100).cut, 0);
}

static void test_false_alarms(void **state)
{
    (void)state;
    enum { RUNS = 400, N = 300 };
    static const double phis[] = {0, 0.5};
    double values[N];
    AUTO(free) double *at_s = steps(N, 0.1);
    for (size_t k = 0; k < ARRAY_LEN(phis); k++) {
        struct rng rng = rng_init(8, "steady");
        int cut = 0, drifting = 0;
        for (int i = 0; i < RUNS; i++) {
            draw_ar1(&rng, phis[k], values, N);
            struct stats_warmup warmup = stats_warmup_find(values, N);
            cut += warmup.cut > 0 || !warmup.settled;
            drifting += stats_drift_find(values, at_s, N, 0.5).drifting ||
                        stats_drift_find(values, at_s, N, 0.95).drifting;
        }
        assert_true(cut <= RUNS / 40);
        assert_true(drifting <= RUNS / 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warmup_equals_reference),
        cmocka_unit_test(test_drift_equals_reference),
        cmocka_unit_test(test_a_cold_start_is_cut),
        cmocka_unit_test(test_certain_and_small_is_no_warmup),
        cmocka_unit_test(test_what_never_settles_is_not_cut),
        cmocka_unit_test(test_too_little_is_unknown),
        cmocka_unit_test(test_false_alarms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
