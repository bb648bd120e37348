/* Desirabilities and their mean. */
#include "stats/desirability.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"

static bool is_same(double found, double expected)
{
    return isnan(expected) ? isnan(found) : fabs(found - expected) < 1e-12;
}

static void test_ramps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double value, good, bad;
        enum stats_scale scale;
        double expected;
    } cases[] = {
        {"good", 0.1, 0.1, 1, SCALE_LOG, 1},
        {"better than good", 0.01, 0.1, 1, SCALE_LOG, 1},
        {"bad", 1, 0.1, 1, SCALE_LOG, 0},
        {"worse than bad", 7, 0.1, 1, SCALE_LOG, 0},
        {"geometric middle", 0.31622776601683794, 0.1, 1, SCALE_LOG, 0.5},
        {"zero time", 0, 0.1, 1, SCALE_LOG, 1},
        {"zero rate", 0, 100, 10, SCALE_LOG, 0},
        {"linear middle", 0.15, 0.05, 0.25, SCALE_LINEAR, 0.5},
        {"linear", 0.2, 0.05, 0.25, SCALE_LINEAR, 0.25},
        {"more is better", 40, 50, 10, SCALE_LINEAR, 0.75},
        {"more is better, over", 60, 50, 10, SCALE_LINEAR, 1},
        {"more is better, under", 5, 50, 10, SCALE_LINEAR, 0},
        {"negative ends", -5, -10, 0, SCALE_LINEAR, 0.5},
        {"infinite", INFINITY, 0.1, 1, SCALE_LOG, 0},
        {"unknown", NAN, 0.1, 1, SCALE_LOG, NAN},
        {"no pair", 1, 1, 1, SCALE_LINEAR, NAN},
        {"log of zero", 1, 0, 1, SCALE_LOG, NAN},
        {"unknown pair", 1, NAN, 1, SCALE_LINEAR, NAN},
        {"infinite pair", 1, 1, INFINITY, SCALE_LINEAR, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double found =
            stats_desirability(cases[i].value, cases[i].good, cases[i].bad, cases[i].scale);
        CHECK_ROW(i, cases[i].name, is_same(found, cases[i].expected));
    }
}

static void test_mean(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double d[3], weights[3];
        double expected;
    } cases[] = {
        {"equal weights", {0.25, 1, 1}, {1, 1, 0}, 0.5},
        {"weights", {0.5, 1, 1}, {2, 1, 1}, 0.70710678118654752},
        {"scaled weights", {0.5, 1, 1}, {200, 100, 100}, 0.70710678118654752},
        {"one zero", {0, 1, 1}, {1, 1, 1}, 0},
        {"unknown", {0.5, NAN, 1}, {1, 1, 1}, NAN},
        {"unknown beside zero", {NAN, 0, 1}, {1, 1, 1}, 0},
        {"unknown without weight", {0.25, NAN, 1}, {1, 0, 1}, 0.5},
        {"zero without weight", {0.25, 0, 1}, {1, 0, 1}, 0.5},
        {"no weight", {0.5, 0.5, 0.5}, {0, 0, 0}, NAN},
        {"unknown weight", {0.5, 0.5, 0.5}, {1, NAN, 1}, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double found = stats_desirability_mean(cases[i].d, cases[i].weights, 3);
        CHECK_ROW(i, cases[i].name, is_same(found, cases[i].expected));
    }
    assert_true(is_same(stats_desirability_mean((double[]){0.25, 1}, NULL, 2), 0.5));
    assert_true(isnan(stats_desirability_mean(NULL, NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ramps),
        cmocka_unit_test(test_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
