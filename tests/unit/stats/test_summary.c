/* Summaries, Student's and the normal quantiles, comparisons; the coverage of the clustered
 * bootstrap by simulation, with few cold starts and a spread between them. */
#include "stats/summary.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "reference_student.h"

static void assert_near(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected) + 1e-12))
        fail_msg("%.17g instead of %.17g", found, expected);
}

static void test_summary(void **state)
{
    (void)state;
    const double values[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
    struct stats_summary summary = stats_summary_of(values, 4);
    assert_int_equal(summary.n, 4);
    assert_near(summary.mean, 1e9 + 10, 0);
    assert_near(summary.sd, sqrt(30), 1e-12);
    assert_near(summary.min, 1e9 + 4, 0);
    assert_near(summary.max, 1e9 + 16, 0);
    summary = stats_summary_of(values, 1);
    assert_true(summary.mean == values[0] && isnan(summary.sd));
    summary = stats_summary_of(values, 0);
    assert_true(isnan(summary.mean) && isnan(summary.min));
    const double unknown[] = {1, NAN, 3};
    summary = stats_summary_of(unknown, 3);
    assert_true(summary.n == 3 && isnan(summary.mean) && isnan(summary.max) && isnan(summary.sd));
}

static void test_quantiles_equal_scipy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(student_cases); i++)
        assert_near(stats_student_quantile(student_cases[i].probability, student_cases[i].df),
                    student_cases[i].value, 1e-9);
    for (size_t i = 0; i < ARRAY_LEN(normal_cases); i++)
        assert_near(stats_normal_quantile(normal_cases[i].probability), normal_cases[i].value,
                    1e-10);
    assert_true(isnan(stats_student_quantile(0.5, 0)));
    assert_true(isnan(stats_student_quantile(1, 3)));
    assert_true(isnan(stats_normal_quantile(0)));
}

static void test_paired_equals_scipy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paired_cases); i++) {
        const double *a = paired_cases[i].a, *b = paired_cases[i].b;
        struct stats_effect effect = stats_paired_difference(a, b, paired_cases[i].n, 0.95);
        assert_near(effect.interval.low, paired_cases[i].low, 1e-9);
        assert_near(effect.interval.high, paired_cases[i].high, 1e-9);
        assert_int_equal(effect.blocks, paired_cases[i].n);
        effect = stats_paired_ratio(a, b, paired_cases[i].n, 0.95);
        assert_near(effect.interval.low, paired_cases[i].ratio_low, 1e-9);
        assert_near(effect.interval.high, paired_cases[i].ratio_high, 1e-9);
    }
}

static void test_paired_unknown(void **state)
{
    (void)state;
    const double a[] = {2, NAN, 4, 3}, b[] = {1, 1, NAN, 1};
    struct stats_effect effect = stats_paired_difference(a, b, 4, 0.95);
    assert_int_equal(effect.blocks, 2);
    assert_near(effect.estimate, 1.5, 1e-12);
    effect = stats_paired_difference(a, b, 2, 0.95);
    assert_true(effect.estimate == 1 && isnan(effect.interval.low));
    assert_int_equal(stats_effect_certain(&effect, 0), 0);
    effect = stats_paired_ratio((double[]){0, 1}, (double[]){1, 1}, 2, 0.95);
    assert_int_equal(effect.blocks, 1);
    effect = (struct stats_effect){.interval = {0.6, 0.9}};
    assert_int_equal(stats_effect_certain(&effect, 1), -1);
    assert_int_equal(stats_effect_certain(&effect, 0), 1);
    assert_int_equal(stats_effect_certain(&effect, 0.7), 0);
}

static void test_bootstrap_is_replayable(void **state)
{
    (void)state;
    double values[4][50];
    struct rng rng = rng_init(3, "values");
    struct stats_run runs[4];
    for (size_t r = 0; r < 4; r++) {
        for (size_t i = 0; i < 50; i++)
            values[r][i] = (r < 2 ? 1 : 2) * rng_exponential(&rng, 1);
        runs[r] = (struct stats_run){values[r], 50};
    }
    struct stats_runs fast = {runs, 2}, slow = {runs + 2, 2};
    struct stats_comparison how = {STATISTIC_QUANTILE, 0.5, 0.95, 500};
    struct rng first = rng_init(9, "compare"), second = rng_init(9, "compare");
    struct stats_effect one = stats_bootstrap_ratio(&fast, &slow, &how, &first);
    struct stats_effect two = stats_bootstrap_ratio(&fast, &slow, &how, &second);
    assert_memory_equal(&one, &two, sizeof one);
    assert_true(one.interval.low < one.estimate && one.estimate < one.interval.high);
    assert_true(one.estimate < 0.8);
    assert_int_equal(one.blocks, 2);

    /* The estimate is the plain statistic over all requests. */
    double pooled[100];
    memcpy(pooled, values, sizeof pooled);
    stats_sort(pooled, 100);
    struct stats_effect level = stats_bootstrap_level(&fast, &how, &first);
    assert_near(level.estimate, stats_quantile(pooled, 100, 0.5), 1e-15);
}

static void test_bootstrap_unknown(void **state)
{
    (void)state;
    double good[] = {1, 2, 3}, bad[] = {1, NAN, 3}, zero[] = {0, 1, 2};
    struct stats_run one[] = {{good, 3}}, two[] = {{good, 3}, {good, 3}};
    struct stats_run hole[] = {{good, 3}, {bad, 3}}, empty[] = {{good, 3}, {good, 0}};
    struct stats_run zeros[] = {{good, 3}, {zero, 3}};
    struct stats_comparison how = {STATISTIC_QUANTILE, 0.5, 0.95, 200};
    struct rng rng = rng_init(1, "unknown");
    struct stats_runs a = {one, 1}, b = {two, 2}, c = {hole, 2}, d = {empty, 2}, e = {zeros, 2};
    struct stats_runs none = {NULL, 0};
    struct stats_effect effect = stats_bootstrap_difference(&a, &b, &how, &rng);
    assert_true(effect.estimate == 0 && isnan(effect.interval.low) && effect.blocks == 1);
    assert_true(isnan(stats_bootstrap_difference(&b, &c, &how, &rng).estimate));
    assert_true(isnan(stats_bootstrap_difference(&d, &b, &how, &rng).estimate));
    assert_true(isnan(stats_bootstrap_difference(&b, &none, &how, &rng).estimate));
    assert_true(isnan(stats_bootstrap_ratio(&b, &e, &how, &rng).estimate));
    effect = stats_bootstrap_difference(&b, &b, &how, &rng);
    assert_true(effect.estimate == 0 && effect.interval.low <= 0 && effect.interval.high >= 0);
    how.q = 2;
    assert_true(isnan(stats_bootstrap_difference(&b, &b, &how, &rng).estimate));
    assert_int_equal(stats_comparison_draws(0), 2000);
    assert_int_equal(stats_comparison_draws(100000), 1000);
    assert_int_equal(stats_comparison_draws(100000000), 200);
}

/* Latencies of one cold start: log-normal requests around a log-normal luck of the run. */
static void draw_runs(struct rng *rng, struct stats_run *runs, double *values, size_t count,
                      size_t n, double luck)
{
    for (size_t r = 0; r < count; r++) {
        double own = luck * stats_normal_quantile(0.5 * 0x1p-53 + rng_unit(rng));
        for (size_t i = 0; i < n; i++)
            values[r * n + i] = exp(own) * (0.1 + rng_exponential(rng, 0.05));
        runs[r] = (struct stats_run){values + r * n, n};
    }
}

/* How often does the 95 % interval of the ratio of two equal candidates' p95 hold 1? The simulation
 * itself errs by 0.007, and the method is an approximation: 0.94 is asked for. */
static void test_bootstrap_coverage(void **state)
{
    (void)state;
    static const struct {
        size_t runs;
        double luck;
    } cases[] = {{3, 0}, {3, 0.1}, {4, 0.02}, {4, 0.1}, {8, 0.1}};
    enum { ROUNDS = 1000, REQUESTS = 40 };
    struct rng rng = rng_init(20, "bootstrap coverage");
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        double values_a[8 * REQUESTS], values_b[8 * REQUESTS];
        struct stats_run a[8], b[8];
        int inside = 0;
        for (int round = 0; round < ROUNDS; round++) {
            draw_runs(&rng, a, values_a, cases[c].runs, REQUESTS, cases[c].luck);
            draw_runs(&rng, b, values_b, cases[c].runs, REQUESTS, cases[c].luck);
            struct stats_comparison how = {STATISTIC_QUANTILE, 0.95, 0.95, 200};
            struct stats_effect effect =
                stats_bootstrap_ratio(&(struct stats_runs){a, cases[c].runs},
                                      &(struct stats_runs){b, cases[c].runs}, &how, &rng);
            inside += stats_effect_certain(&effect, 1) == 0;
        }
        print_message("coverage with %zu runs, luck %g: %.4f\n", cases[c].runs, cases[c].luck,
                      inside / (double)ROUNDS);
        assert_true(inside >= 0.94 * ROUNDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_quantiles_equal_scipy),
        cmocka_unit_test(test_paired_equals_scipy),
        cmocka_unit_test(test_paired_unknown),
        cmocka_unit_test(test_bootstrap_is_replayable),
        cmocka_unit_test(test_bootstrap_unknown),
        cmocka_unit_test(test_bootstrap_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
