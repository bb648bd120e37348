/* Draws are fixed for ever: a stored seed must replay. The expected numbers come from a second
 * implementation of the same published generator. */
#include "base/rng.h"

#include "base/auto.h"

#include "check.h"

#include <math.h>

static void test_known_draws(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        const char *stream;
        uint64_t draws[3];
    } rows[] = {
        {1, "arrivals/stt", {0xd17b1b16e95a446a, 0x5a7d6441532cabd0, 0x5bfa0612c9a43718}},
        {1, "arrivals/llm", {0xc7a7a0c8f2fcd7ac, 0x11849e2593d8b0a6, 0xce4b00be3d183043}},
        {2, "arrivals/stt", {0x1dae445aeaadb769, 0xe0b411ce71737eba, 0x712c0e3c3083db33}},
        {0, "", {0x0d7293fe83b1a2bc, 0x764ede80904bee69, 0xd63b152c4e5372cd}},
        {UINT64_MAX,
         "tournament/round 1",
         {0x9fd55791c7968de5, 0x3ee7ae336426f06b, 0xd0cd3c195c4495b9}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rng rng = rng_init(rows[i].seed, rows[i].stream);
        for (size_t n = 0; n < ARRAY_LEN(rows[i].draws); n++)
            CHECK_ROW(i, rows[i].stream, rng_u64(&rng) == rows[i].draws[n]);
    }
    /* The published first outputs for state 0. */
    struct rng reference = {.state = 0};
    assert_true(rng_u64(&reference) == 0xe220a8397b1dcdaf);
    assert_true(rng_u64(&reference) == 0x6e789e6aa1b965f4);
}

static void test_below_stays_below(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {
        1, 2, 3, 7, 1000, UINT64_C(1) << 32, UINT64_C(1) << 63, (UINT64_C(1) << 63) + 1, UINT64_MAX,
    };
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        struct rng rng = rng_init(i, "below");
        for (size_t n = 0; n < 1000; n++)
            CHECK_ROW(i, "below", rng_below(&rng, bounds[i]) < bounds[i]);
    }
}

/* A plain remainder would, for the bound 3/4 of 2^64, give the lowest third twice as often as each
 * of the others: a half of the draws instead of a third. */
static void test_below_is_unbiased(void **state)
{
    (void)state;
    enum { DRAWS = 30000 };
    const uint64_t quarter = UINT64_C(1) << 62;
    size_t counts[3] = {0};
    struct rng rng = rng_init(5, "thirds");
    for (size_t n = 0; n < DRAWS; n++)
        counts[rng_below(&rng, 3 * quarter) / quarter]++;
    for (size_t i = 0; i < 3; i++)
        CHECK_ROW(i, "a third", fabs((double)counts[i] / DRAWS - 1.0 / 3) < 0.02);
}

static void test_unit_and_exponential(void **state)
{
    (void)state;
    enum { DRAWS = 50000 };
    struct rng rng = rng_init(9, "unit");
    double unit_sum = 0, exponential_sum = 0;
    size_t over_mean = 0;
    for (size_t n = 0; n < DRAWS; n++) {
        double unit = rng_unit(&rng), exponential = rng_exponential(&rng, 4);
        assert_true(unit >= 0 && unit < 1);
        assert_true(exponential >= 0 && isfinite(exponential));
        unit_sum += unit;
        exponential_sum += exponential;
        over_mean += exponential > 4;
    }
    assert_true(fabs(unit_sum / DRAWS - 0.5) < 0.01);
    assert_true(fabs(exponential_sum / DRAWS - 4) < 0.1);
    assert_true(fabs((double)over_mean / DRAWS - exp(-1)) < 0.01);
}

static void test_shuffle_is_a_permutation(void **state)
{
    (void)state;
    size_t items[100], again[100], seen[100] = {0}, moved = 0;
    for (size_t i = 0; i < 100; i++)
        items[i] = again[i] = i;
    struct rng one = rng_init(3, "order"), two = rng_init(3, "order");
    rng_shuffle(&one, items, 100);
    rng_shuffle(&two, again, 100);
    assert_memory_equal(items, again, sizeof items);
    for (size_t i = 0; i < 100; i++) {
        seen[items[i]]++;
        moved += items[i] != i;
    }
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 50);
    rng_shuffle(&one, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_draws),
        cmocka_unit_test(test_below_stays_below),
        cmocka_unit_test(test_below_is_unbiased),
        cmocka_unit_test(test_unit_and_exponential),
        cmocka_unit_test(test_shuffle_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
