/* Boundaries against scipy's, the error actually spent, and wrong answers by simulation. */
#include "stats/requirement.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "draw.h"
#include "reference_series.h"
#include "stats/binomial.h"

static void test_boundaries_equal_scipy(void **state)
{
    (void)state;
    const struct stats_look *want = look_rows;
    for (size_t i = 0; i < ARRAY_LEN(boundary_cases); i++) {
        struct stats_requirement r = stats_requirement_init(
            boundary_cases[i].allowed, boundary_cases[i].error, boundary_cases[i].n_max);
        assert_int_equal(r.look_count, boundary_cases[i].looks);
        for (size_t j = 0; j < r.look_count; j++, want++) {
            assert_int_equal(r.looks[j].n, want->n);
            assert_int_equal(r.looks[j].met_to, want->met_to);
            if (r.looks[j].missed_from != want->missed_from) /* both beyond any likely count */
                assert_true(stats_binomial_log_sf(r.looks[j].missed_from - 1, want->n, r.allowed) <
                                log(1e-12) &&
                            want->missed_from > r.looks[j].missed_from);
        }
        assert_true(boundary_cases[i].spent_met <= boundary_cases[i].error);
        assert_true(boundary_cases[i].spent_missed <= boundary_cases[i].error);
    }
    assert_int_equal(want - look_rows, ARRAY_LEN(look_rows));
}

static void test_fixed_equals_binomtest(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fixed_cases); i++) {
        enum stats_answer found =
            stats_requirement_fixed(fixed_cases[i].allowed, fixed_cases[i].error, fixed_cases[i].n,
                                    fixed_cases[i].over, (double)fixed_cases[i].n);
        if (found != fixed_cases[i].answer)
            fail_msg("row %zu: %d instead of %d", i, found, fixed_cases[i].answer);
    }
}

static void test_what_a_sample_can_say(void **state)
{
    (void)state;
    assert_int_equal(stats_requirement_smallest(0.05, 0.05), 59);
    assert_int_equal(stats_requirement_smallest(0.05, 0.01), 90);
    assert_int_equal(stats_requirement_smallest(0.01, 0.05), 299);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 58, 0, 58), STATS_OPEN);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 59, 0, 59), STATS_MET);
    assert_int_equal(stats_requirement_fixed(0.05, 0.01, 89, 0, 89), STATS_OPEN);
    assert_int_equal(stats_requirement_fixed(0.05, 0.01, 90, 0, 90), STATS_MET);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 59, 59, 59), STATS_MISSED);
    /* Correlated requests are worth less, on either side. */
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 100, 0, 58.9), STATS_OPEN);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 100, 0, 59), STATS_MET);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 100, 12, 100), STATS_MISSED);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 100, 12, 20), STATS_OPEN);
    /* Nothing seen says nothing, and neither does what can't be. */
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 0, 0, 0), STATS_OPEN);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 10, 11, 10), STATS_OPEN);
    assert_int_equal(stats_requirement_fixed(0.05, 0.05, 100, 0, NAN), STATS_OPEN);
}

static void test_clear_cases_stop_early(void **state)
{
    (void)state;
    struct stats_requirement r = stats_requirement_init(0.05, 0.05, 1000);
    while (r.answer == STATS_OPEN)
        stats_requirement_add(&r, 0);
    assert_int_equal(r.answer, STATS_MET);
    assert_true(r.n >= 59 && r.n <= 100);
    /* Final: what comes later changes neither answer nor counts. */
    uint64_t n = r.n;
    assert_int_equal(stats_requirement_add(&r, 1), STATS_MET);
    assert_int_equal(r.n, n);
    r = stats_requirement_init(0.05, 0.05, 1000);
    while (r.answer == STATS_OPEN)
        stats_requirement_add(&r, 1);
    assert_int_equal(r.answer, STATS_MISSED);
    assert_true(r.n <= 10);
    /* A sample that can't carry it stays open, and beyond its end nothing is looked at. */
    r = stats_requirement_init(0.05, 0.05, 40);
    for (int i = 0; i < 100; i++)
        assert_int_equal(stats_requirement_add(&r, 0), STATS_OPEN);
    assert_int_equal(r.n, 40);
    r = stats_requirement_init(0.05, 0.05, 0);
    assert_int_equal(stats_requirement_add(&r, 1), STATS_OPEN);
    /* The largest sample there is has room for its looks. */
    r = stats_requirement_init(0.01, 0.05, UINT64_MAX);
    assert_int_equal(r.n_max, STATS_REQUESTS_MAX);
    assert_int_equal(r.looks[r.look_count - 1].n, STATS_REQUESTS_MAX);
}

/* At the boundary every decided answer is wrong. */
static void test_wrong_answers_by_simulation(void **state)
{
    (void)state;
    static const struct {
        double allowed, error;
        uint64_t n_max;
    } rows[] = {{0.05, 0.05, 400}, {0.05, 0.01, 400}, {0.01, 0.05, 1000}, {0.5, 0.1, 200}};
    enum { RUNS = 2000 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t answers[3] = {0};
        struct rng rng = rng_init(1, "boundary");
        const struct stats_requirement start =
            stats_requirement_init(rows[i].allowed, rows[i].error, rows[i].n_max);
        for (int k = 0; k < RUNS; k++) {
            struct stats_requirement r = start;
            while (r.n < r.n_max && r.answer == STATS_OPEN)
                stats_requirement_add(&r, rng_unit(&rng) < r.allowed);
            answers[r.answer]++;
        }
        const uint64_t wrong[] = {answers[STATS_MET], answers[STATS_MISSED]};
        for (size_t k = 0; k < 2; k++)
            if (stats_binomial_bound(wrong[k], RUNS, 0.99, SIDE_LOW) > rows[i].error)
                fail_msg("row %zu: %llu wrong of %d", i, (unsigned long long)wrong[k], RUNS);
        /* The error is used, not only kept: else each answer would cost more than it has to. */
        assert_true(answers[STATS_MET] > 0.4 * rows[i].error * RUNS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundaries_equal_scipy),
        cmocka_unit_test(test_fixed_equals_binomtest),
        cmocka_unit_test(test_what_a_sample_can_say),
        cmocka_unit_test(test_clear_cases_stop_early),
        cmocka_unit_test(test_wrong_answers_by_simulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
