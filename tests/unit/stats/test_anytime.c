/* The sequential test: its factors are e-values (summed out by hand), it says nothing without
 * evidence, finds what is there, and goes on from what was kept. Error rates over many runs stand
 * in bench/guard_stats.c. */
#include "stats/anytime.h"

#include "base/rng.h"
#include "stats/binomial.h"
#include "stats/summary.h"

#include "check.h"

#include <math.h>

static const struct stats_anytime_options usual = {
    .harm_ratio = 0.1, .error = 0.05, .quantile = 0.95};

static double latency(struct rng *rng, double times)
{
    double u = rng_unit(rng);
    return 0.1 * times * exp(0.5 * stats_normal_quantile(u > 0 ? u : 0x1p-54));
}

/* Sends `n` requests, every second one to B; returns the verdict. */
static enum stats_anytime_verdict feed(struct stats_anytime *test, struct rng *rng, uint64_t n,
                                       double slowdown, double failing)
{
    for (uint64_t i = 0; i < n; i++) {
        enum stats_anytime_arm arm = i % 2 ? ANYTIME_B : ANYTIME_A;
        bool failed = arm == ANYTIME_B && rng_unit(rng) < failing;
        stats_anytime_add(test, arm, failed ? ANYTIME_FAILED : ANYTIME_ANSWERED,
                          latency(rng, arm == ANYTIME_B ? slowdown : 1));
    }
    return stats_anytime_look(test).verdict;
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double slowdown, failing;
        uint64_t requests;
        enum stats_anytime_verdict verdict;
        bool by_errors;
    } rows[] = {
        {"nothing yet", 1, 0, 40, ANYTIME_UNDECIDED, false},
        {"equal, early", 1, 0, 400, ANYTIME_UNDECIDED, false},
        {"equal", 1, 0, 20000, ANYTIME_NO_HARM, false},
        {"twice as slow", 2, 0, 3000, ANYTIME_HARM, false},
        {"20 % slower", 1.2, 0, 20000, ANYTIME_HARM, false},
        {"much faster", 0.5, 0, 3000, ANYTIME_NO_HARM, false},
        {"as fast, and every tenth fails", 1, 0.1, 3000, ANYTIME_HARM, true},
        {"fails always", 1, 1, 200, ANYTIME_HARM, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
        struct rng rng = rng_init(7, rows[i].name);
        enum stats_anytime_verdict verdict =
            feed(test, &rng, rows[i].requests, rows[i].slowdown, rows[i].failing);
        CHECK_ROW_TEXT(i, rows[i].name, stats_anytime_verdict_names[verdict],
                       stats_anytime_verdict_names[rows[i].verdict]);
        if (verdict == ANYTIME_HARM)
            CHECK_ROW(i, rows[i].name, stats_anytime_look(test).by_errors == rows[i].by_errors);
    }
}

static void test_harm_that_begins_late_is_found(void **state)
{
    (void)state;
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
    struct rng rng = rng_init(7, "late");
    assert_int_equal(feed(test, &rng, 20000, 1, 0), ANYTIME_NO_HARM);
    assert_int_equal(feed(test, &rng, 3000, 2, 0), ANYTIME_HARM);
    /* and stays said, whatever comes after */
    assert_int_equal(feed(test, &rng, 3000, 0.5, 0), ANYTIME_HARM);
    stats_anytime_step(test);
    assert_int_equal(stats_anytime_look(test).verdict, ANYTIME_HARM);
}

static void test_a_step_begins_no_harm_anew(void **state)
{
    (void)state;
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
    struct rng rng = rng_init(7, "step");
    assert_int_equal(feed(test, &rng, 20000, 1, 0), ANYTIME_NO_HARM);
    stats_anytime_step(test);
    assert_int_equal(stats_anytime_look(test).verdict, ANYTIME_UNDECIDED);
    assert_int_equal(stats_anytime_sums(test)->requests[ANYTIME_B], 0);
    assert_int_equal(feed(test, &rng, 20000, 1, 0), ANYTIME_NO_HARM);
}

/* Clients that leave after a while hide the slow answers of an arm: only that it was slow is seen.
 */
static void test_clients_that_leave_hide_nothing(void **state)
{
    (void)state;
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
    struct rng rng = rng_init(7, "leave");
    for (int i = 0; i < 6000; i++) {
        enum stats_anytime_arm arm = i % 2 ? ANYTIME_B : ANYTIME_A;
        double s = latency(&rng, arm == ANYTIME_B ? 2 : 1);
        bool left = s > 0.3;
        stats_anytime_add(test, arm, left ? ANYTIME_LEFT : ANYTIME_ANSWERED, left ? 0.3 : s);
    }
    assert_int_equal(stats_anytime_look(test).verdict, ANYTIME_HARM);
    assert_false(stats_anytime_look(test).by_errors);
}

static void test_without_one_arm_nothing_is_said(void **state)
{
    (void)state;
    for (int arm = 0; arm < 2; arm++) {
        AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
        struct rng rng = rng_init(7, "one");
        for (int i = 0; i < 5000; i++)
            stats_anytime_add(test, arm ? ANYTIME_B : ANYTIME_A,
                              arm ? ANYTIME_FAILED : ANYTIME_ANSWERED, latency(&rng, 1));
        assert_int_equal(stats_anytime_look(test).verdict, ANYTIME_UNDECIDED);
        assert_int_equal(stats_anytime_sums(test)->blocks, 0);
    }
}

static void test_it_goes_on_from_what_was_kept(void **state)
{
    (void)state;
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
    struct rng rng = rng_init(7, "kept");
    feed(test, &rng, 1000, 1.5, 0); /* whole blocks: nothing is under way */
    AUTO(stats_anytime_free) struct stats_anytime *again = stats_anytime_new(&usual);
    stats_anytime_resume(again, stats_anytime_sums(test));
    struct stats_anytime_answer a = stats_anytime_look(test), b = stats_anytime_look(again);
    assert_true(a.harm == b.harm && a.no_harm == b.no_harm && a.verdict == b.verdict);
    assert_true(a.harm > 0);
    assert_int_equal(feed(again, &rng, 3000, 1.5, 0), ANYTIME_HARM);
}

static void test_the_same_requests_give_the_same_evidence(void **state)
{
    (void)state;
    double harm[2];
    for (int i = 0; i < 2; i++) {
        AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
        struct rng rng = rng_init(7, "same");
        feed(test, &rng, 2500, 1.1, 0.01);
        harm[i] = stats_anytime_look(test).harm;
    }
    assert_true(harm[0] == harm[1]);
}

/* The mean evidence of harm under the null's edge is at most 1, at any one moment: what makes the
 * error hold. Over 2,000 short runs. */
static void test_evidence_is_worth_at_most_one_on_the_mean(void **state)
{
    (void)state;
    const struct stats_anytime_options edge = {.harm_ratio = 0, .error = 0.05, .quantile = 0.9};
    enum { RUNS = 2000 };
    double sum = 0, squares = 0;
    struct rng rng = rng_init(7, "worth");
    for (int run = 0; run < RUNS; run++) {
        AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&edge);
        feed(test, &rng, 400, 1, 0);
        struct stats_anytime_answer answer = stats_anytime_look(test);
        sum += answer.harm;
        squares += answer.harm * answer.harm;
    }
    double mean = sum / RUNS, error = sqrt((squares / RUNS - mean * mean) / RUNS);
    assert_true(mean - 4 * error <= 1);
    assert_true(mean > 0.1); /* and it is not simply nothing */
}

/* Requests of an arm that resemble the one before are worth less than independent ones. */
static void test_evidence_of_requests_that_are_alike_is_divided(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double phi, least, most;
    } rows[] = {{"independent", 0, 1, 1}, {"somewhat alike", 0.7, 2, 8}, {"alike", 0.95, 4, 16}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&usual);
        struct rng rng = rng_init(7, "alike");
        double level[2] = {0, 0}, phi = rows[i].phi;
        assert_true(stats_anytime_look(test).divided == 8); /* nothing is known yet */
        for (int n = 0; n < 40000; n++) {
            double u = rng_unit(&rng);
            level[n % 2] = phi * level[n % 2] +
                           sqrt(1 - phi * phi) * stats_normal_quantile(u > 0 ? u : 0x1p-54);
            stats_anytime_add(test, n % 2 ? ANYTIME_B : ANYTIME_A, ANYTIME_ANSWERED,
                              0.1 * exp(0.5 * level[n % 2]));
        }
        double divided = stats_anytime_look(test).divided;
        CHECK_ROW(i, rows[i].name, divided >= rows[i].least && divided <= rows[i].most);
    }
}

static void test_shares_hold_and_are_wider_than_at_one_look(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t k, n;
    } rows[] = {{"none", 0, 0},      {"0 of 300", 0, 300}, {"3 of 300", 3, 300}, {"all", 50, 50},
                {"half", 500, 1000}, {"rare", 7, 100000},  {"one of one", 1, 1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stats_interval always = stats_anytime_share(rows[i].k, rows[i].n, 0.95);
        if (rows[i].n == 0) {
            assert_true(always.low == 0 && always.high == 1);
            continue;
        }
        struct stats_interval once = stats_binomial_interval(rows[i].k, rows[i].n, 0.95);
        CHECK_ROW(i, rows[i].name, always.low <= once.low + 1e-12);
        CHECK_ROW(i, rows[i].name, always.high >= once.high - 1e-12);
        double width = once.high - once.low;
        CHECK_ROW(i, rows[i].name, rows[i].n == 1 || always.high - always.low < 2.2 * width);
    }
}

/* Streams looked at after every 25 values: seldom does the interval ever miss. */
static void test_quantiles_hold_at_every_look(void **state)
{
    (void)state;
    enum { STREAMS = 200, VALUES = 1500, LOOK = 25 };
    static const double quantiles[] = {0.5, 0.95, 0.99};
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        struct rng rng = rng_init(7, "quantiles");
        double truth = 0.1 * exp(0.5 * stats_normal_quantile(quantiles[q]));
        int missed = 0;
        double last_width = NAN;
        for (int s = 0; s < STREAMS; s++) {
            AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
            bool ever = false;
            for (int i = 1; i <= VALUES; i++) {
                stats_sketch_add(sketch, latency(&rng, 1));
                if (i % LOOK != 0)
                    continue;
                struct stats_interval found = stats_anytime_quantile(sketch, quantiles[q], 0.95);
                ever = ever || found.low > truth || found.high < truth;
                last_width = (found.high - found.low) / truth;
            }
            missed += ever;
        }
        CHECK_ROW(q, "missed", missed <= STREAMS / 20);
        CHECK_ROW(q, "width", last_width < 0.6);
    }
}

static void test_intervals_of_nothing(void **state)
{
    (void)state;
    AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
    struct stats_interval found = stats_anytime_quantile(sketch, 0.95, 0.95);
    assert_true(isnan(found.low) && isnan(found.high));
    stats_sketch_add(sketch, 0.1);
    found = stats_anytime_quantile(sketch, 0.95, 0.95);
    assert_true(isnan(found.high));
    found = stats_anytime_share(3, 2, 0.95);
    assert_true(isnan(found.low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_harm_that_begins_late_is_found),
        cmocka_unit_test(test_a_step_begins_no_harm_anew),
        cmocka_unit_test(test_clients_that_leave_hide_nothing),
        cmocka_unit_test(test_without_one_arm_nothing_is_said),
        cmocka_unit_test(test_it_goes_on_from_what_was_kept),
        cmocka_unit_test(test_the_same_requests_give_the_same_evidence),
        cmocka_unit_test(test_evidence_is_worth_at_most_one_on_the_mean),
        cmocka_unit_test(test_evidence_of_requests_that_are_alike_is_divided),
        cmocka_unit_test(test_shares_hold_and_are_wider_than_at_one_look),
        cmocka_unit_test(test_quantiles_hold_at_every_look),
        cmocka_unit_test(test_intervals_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
