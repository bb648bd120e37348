/* Turns of one session are alike, wherever they stand between those of others. */
#include "check.h"

#include "base/rng.h"
#include "stats/sessions.h"

#include <math.h>

enum { SESSIONS = 60, TURNS = 40, ALL = SESSIONS * TURNS };

/* Sessions take turns; each is faster or slower than others by a factor e^(spread times something
 * uniform). */
static void make(double spread, uint64_t seed, double *ret_values, uint32_t *ret_sessions)
{
    struct rng rng = rng_init(seed, "sessions");
    double own[SESSIONS];
    for (int s = 0; s < SESSIONS; s++)
        own[s] = exp(spread * 3.4641 * (rng_unit(&rng) - 0.5));
    for (int i = 0; i < ALL; i++) {
        ret_sessions[i] = (uint32_t)((i * 37 + i / SESSIONS * 11) % SESSIONS);
        ret_values[i] = own[ret_sessions[i]] * (0.1 + rng_exponential(&rng, 0.02));
    }
}

static struct stats_series_interval quantile(const double *values, const uint32_t *sessions,
                                             size_t n, double q, double confidence)
{
    const struct stats_series series = {.values = values, .n = n};
    return stats_sessions_quantile(&series, sessions, q, confidence);
}

static double worth(const double *values, const uint32_t *sessions, double limit)
{
    const struct stats_series series = {.values = values, .n = ALL};
    return stats_sessions_worth(&series, sessions, limit);
}

/* Two cold starts in each of which every request is a session of its own: nothing is grouped. */
static void test_sessions_of_two_runs(void **state)
{
    (void)state;
    static double values[ALL];
    static uint32_t sessions[ALL];
    make(0, 4, values, sessions);
    for (uint32_t i = 0; i < ALL; i++)
        sessions[i] = i % (ALL / 2);
    const size_t lengths[] = {ALL / 2, ALL / 2};
    const struct stats_series series = {values, ALL, lengths, 2};
    struct stats_series_interval plain = stats_series_quantile(&series, 0.9, 0.95);
    struct stats_series_interval same = stats_sessions_quantile(&series, sessions, 0.9, 0.95);
    assert_true(plain.interval.low == same.interval.low && plain.worth == same.worth);
}

static void test_what_sessions_cost(void **state)
{
    (void)state;
    static double values[ALL];
    static uint32_t sessions[ALL], alone[ALL];
    make(0.5, 1, values, sessions);
    for (uint32_t i = 0; i < ALL; i++)
        alone[i] = i;
    struct stats_series_interval plain = quantile(values, NULL, ALL, 0.5, 0.95);
    struct stats_series_interval same = quantile(values, alone, ALL, 0.5, 0.95);
    struct stats_series_interval turns = quantile(values, sessions, ALL, 0.5, 0.95);
    assert_true(plain.interval.low == same.interval.low &&
                plain.interval.high == same.interval.high);
    /* expected: an interval of some 60 sessions, not of 2,400 requests */
    assert_int_equal(turns.method, STATS_METHOD_BLOCKS);
    assert_true(turns.worth < 300 && turns.worth > 30 && plain.worth > 4 * turns.worth);
    assert_true(turns.interval.high - turns.interval.low >
                1.5 * (plain.interval.high - plain.interval.low));
    assert_true(worth(values, sessions, 0.12) < 300);
    assert_true(worth(values, NULL, 0.12) > worth(values, sessions, 0.12));
}

static void test_sessions_that_are_alike_cost_nothing(void **state)
{
    (void)state;
    static double values[ALL];
    static uint32_t sessions[ALL];
    make(0, 2, values, sessions);
    struct stats_series_interval turns = quantile(values, sessions, ALL, 0.95, 0.95);
    assert_int_equal(turns.method, STATS_METHOD_RANKS);
    assert_true(turns.worth == ALL);
    assert_true(worth(values, sessions, 0.15) == ALL);
}

static void test_few_of_them_have_no_interval(void **state)
{
    (void)state;
    static double values[ALL];
    static uint32_t sessions[ALL];
    make(0.5, 3, values, sessions);
    struct stats_series_interval few = quantile(values, sessions, 600, 0.5, 0.95);
    assert_int_equal(few.refusal, STATS_REFUSAL_CORRELATED);
    assert_true(isnan(few.interval.low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_sessions_cost),
        cmocka_unit_test(test_sessions_that_are_alike_cost_nothing),
        cmocka_unit_test(test_sessions_of_two_runs),
        cmocka_unit_test(test_few_of_them_have_no_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
