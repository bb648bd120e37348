/* The search against curves whose answer is known: tables, and simulated queues. */
#include "stats/capacity.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "base/rng.h"
#include "stats/quantile.h"

/* A service that meets up to `truth` clients; the windows named by `lies` (the n-th, from 1) come
 * out the other way. */
static enum stats_level step_curve(double level, double truth, int window, const int *lies)
{
    bool met = level <= truth;
    for (size_t i = 0; lies && i < 4; i++)
        met = lies[i] == window ? !met : met;
    return met ? LEVEL_MET : LEVEL_MISSED;
}

static struct stats_capacity_answer play(const struct stats_capacity_limits *limits, double truth,
                                         const int *lies, int *ret_windows)
{
    struct stats_capacity capacity = stats_capacity_init(limits);
    struct stats_capacity_probe probe;
    int windows = 0;
    while (stats_capacity_next(&capacity, &probe)) {
        assert_true(probe.level >= limits->least && probe.level <= limits->most);
        assert_true(!limits->whole || probe.level == floor(probe.level));
        stats_capacity_tell(&capacity, step_curve(probe.level, truth, ++windows, lies), true);
    }
    if (ret_windows)
        *ret_windows = windows;
    return stats_capacity_answer(&capacity);
}

static bool is_same(double found, double expected)
{
    return isnan(expected) ? isnan(found) : found == expected;
}

static void test_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double truth, start, most;
        int lies[4];
        enum stats_capacity_end end;
        double low, high;
        int windows; /* at most */
    } cases[] = {
        {"20 clients", 20, 1, 64, {0}, CAPACITY_FOUND, 20, 21, 12},
        {"from where it runs", 20, 16, 64, {0}, CAPACITY_FOUND, 20, 21, 9},
        {"from above", 3, 16, 64, {0}, CAPACITY_FOUND, 3, 4, 8},
        {"one client only", 1, 1, 64, {0}, CAPACITY_FOUND, 1, 2, 5},
        {"not even one", 0, 1, 64, {0}, CAPACITY_LEAST, NAN, 1, 2},
        {"not even one, from above", 0, 8, 64, {0}, CAPACITY_LEAST, NAN, 1, 6},
        {"more than allowed", 1000, 1, 64, {0}, CAPACITY_MOST, 64, NAN, 8},
        {"just what is allowed", 50, 1, 50, {0}, CAPACITY_MOST, 50, NAN, 8},
        {"the first window lies", 20, 16, 64, {1}, CAPACITY_FOUND, 20, 21, 18},
        {"a low level lies", 20, 1, 64, {3}, CAPACITY_FOUND, 20, 21, 18},
        {"a high level lies", 20, 1, 64, {6}, CAPACITY_FOUND, 20, 21, 20},
        {"the last cut lies", 20, 1, 64, {9}, CAPACITY_FOUND, 20, 21, 20},
        {"two lie", 20, 1, 64, {4, 14}, CAPACITY_FOUND, 20, 21, 24},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct stats_capacity_limits limits = {.whole = true,
                                                     .start = cases[i].start,
                                                     .least = 1,
                                                     .most = cases[i].most,
                                                     .stretch = 4,
                                                     .windows = 60};
        int windows = 0;
        struct stats_capacity_answer answer =
            play(&limits, cases[i].truth, cases[i].lies, &windows);
        CHECK_ROW_TEXT(i, cases[i].name, stats_capacity_end_name(answer.end),
                       stats_capacity_end_name(cases[i].end));
        CHECK_ROW(i, cases[i].name, is_same(answer.low, cases[i].low));
        CHECK_ROW(i, cases[i].name, is_same(answer.high, cases[i].high));
        CHECK_ROW(i, cases[i].name, windows <= cases[i].windows);
        CHECK_ROW(i, cases[i].name, !answer.unsure);
    }
}

static void test_rates(void **state)
{
    (void)state;
    const struct stats_capacity_limits limits = {.start = 1,
                                                 .least = 0.01,
                                                 .most = 10000,
                                                 .resolution_ratio = 0.05,
                                                 .stretch = 4,
                                                 .windows = 60};
    for (double truth = 0.02; truth < 9000; truth *= 1.37) {
        struct stats_capacity_answer answer = play(&limits, truth, NULL, NULL);
        assert_int_equal(answer.end, CAPACITY_FOUND);
        assert_true(answer.low <= truth && truth < answer.high);
        assert_true(answer.high - answer.low <= 0.05 * answer.low * 1.0000001);
    }
}

static void test_resolution_of_whole_levels(void **state)
{
    (void)state;
    const struct stats_capacity_limits limits = {.whole = true,
                                                 .start = 1,
                                                 .least = 1,
                                                 .most = 10000,
                                                 .resolution_ratio = 0.05,
                                                 .stretch = 1,
                                                 .windows = 60};
    struct stats_capacity_answer answer = play(&limits, 1000, NULL, NULL);
    assert_true(answer.low <= 1000 && answer.high > 1000 && answer.high - answer.low <= 50);
}

/* A script of outcomes, whatever is asked. */
static const struct {
    const char *name;
    enum stats_level outcomes[16];
    int count;
    enum stats_capacity_end end;
    double low, high;
    bool unsure;
} scripts[] = {
    {"it dies at 8",
     {LEVEL_MET, LEVEL_MET, LEVEL_MET, LEVEL_ENDED},
     4,
     CAPACITY_ENDED,
     4,
     8,
     false},
    {"it dies at once", {LEVEL_ENDED}, 1, CAPACITY_ENDED, NAN, 1, false},
    {"it dies at the second look",
     {LEVEL_MET, LEVEL_MISSED, LEVEL_ENDED},
     3,
     CAPACITY_ENDED,
     NAN,
     1,
     false},
    {"we can't follow", /* 1, 2, 4 4, 3 3, then 2 again */
     {LEVEL_MET, LEVEL_MET, LEVEL_OWN_LIMIT, LEVEL_OWN_LIMIT, LEVEL_OWN_LIMIT, LEVEL_OWN_LIMIT,
      LEVEL_MET},
     7,
     CAPACITY_OWN_LIMIT,
     2,
     3,
     false},
    {"we can't follow once", /* 1, 2 2, 4, 3, then 3 and 4 again */
     {LEVEL_MET, LEVEL_OWN_LIMIT, LEVEL_MET, LEVEL_MISSED, LEVEL_MET, LEVEL_MET, LEVEL_MISSED},
     7,
     CAPACITY_FOUND,
     3,
     4,
     false},
    {"disturbed once",
     {LEVEL_DISTURBED, LEVEL_MISSED, LEVEL_MISSED},
     3,
     CAPACITY_LEAST,
     NAN,
     1,
     false},
    {"disturbed",
     {LEVEL_MET, LEVEL_DISTURBED, LEVEL_DISTURBED, LEVEL_DISTURBED},
     4,
     CAPACITY_DISTURBED,
     1,
     NAN,
     false},
    {"too few requests to tell", /* 1, 2 at 1, 2 and 4 windows; then both again */
     {LEVEL_MET, LEVEL_LEANS_MISSED, LEVEL_LEANS_MET, LEVEL_LEANS_MISSED, LEVEL_MET,
      LEVEL_LEANS_MISSED, LEVEL_LEANS_MISSED, LEVEL_LEANS_MISSED},
     8,
     CAPACITY_FOUND,
     1,
     2,
     true},
    {"a longer window tells", /* 1, 1 twice as long; then again */
     {LEVEL_LEANS_MISSED, LEVEL_MISSED, LEVEL_MISSED},
     3,
     CAPACITY_LEAST,
     NAN,
     1,
     false},
};

static void test_other_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        const struct stats_capacity_limits limits = {
            .whole = true, .start = 1, .least = 1, .most = 64, .stretch = 4, .windows = 60};
        struct stats_capacity capacity = stats_capacity_init(&limits);
        struct stats_capacity_probe probe;
        int at = 0;
        while (stats_capacity_next(&capacity, &probe)) {
            CHECK_ROW(i, scripts[i].name, at < scripts[i].count);
            stats_capacity_tell(&capacity, scripts[i].outcomes[at++], true);
        }
        struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
        CHECK_ROW(i, scripts[i].name, at == scripts[i].count);
        CHECK_ROW_TEXT(i, scripts[i].name, stats_capacity_end_name(answer.end),
                       stats_capacity_end_name(scripts[i].end));
        CHECK_ROW(i, scripts[i].name, is_same(answer.low, scripts[i].low));
        CHECK_ROW(i, scripts[i].name, is_same(answer.high, scripts[i].high));
        CHECK_ROW(i, scripts[i].name, answer.unsure == scripts[i].unsure);
    }
}

/* Outcomes by coin: it ends in every case, within its budget, and what it says is consistent. */
static void test_ends_whatever_is_told(void **state)
{
    (void)state;
    struct rng rng = rng_init(7, "capacity");
    for (int n = 0; n < 2000; n++) {
        const struct stats_capacity_limits limits = {.whole = n % 2 == 0,
                                                     .start = 8,
                                                     .least = 1,
                                                     .most = 512,
                                                     .resolution_ratio = 0.02,
                                                     .stretch = 4,
                                                     .windows = 40};
        struct stats_capacity capacity = stats_capacity_init(&limits);
        struct stats_capacity_probe probe;
        int windows = 0;
        while (stats_capacity_next(&capacity, &probe)) {
            assert_true(++windows <= limits.windows);
            enum stats_level outcome = (enum stats_level)rng_below(&rng, LEVEL_COUNT_);
            if (outcome == LEVEL_ENDED && rng_below(&rng, 8))
                outcome = LEVEL_MET;
            stats_capacity_tell(&capacity, outcome, rng_below(&rng, 2));
        }
        struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
        assert_true(answer.end != CAPACITY_OPEN);
        assert_true(isnan(answer.low) || isnan(answer.high) || answer.low < answer.high);
    }
}

/* ---- simulated queues: 16 slots of 20 ms, first come first served ---- */

enum { SLOTS = 16 };
static const double SERVICE_S = 0.020;

static double p95(double *latencies, size_t n)
{
    stats_sort(latencies, n);
    return stats_quantile(latencies, n, 0.95);
}

/* The slot that is free first. */
static size_t earliest(const double *free_at, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = free_at[i] < free_at[best] ? i : best;
    return best;
}

/* Clients that wait for their answers, and joined one after the other at the pace of the service.
 */
static double closed_p95(int clients)
{
    double free_at[SLOTS] = {0}, ready[64];
    static double latencies[8192];
    for (int c = 0; c < clients; c++)
        ready[c] = c * SERVICE_S / SLOTS;
    for (size_t n = 0; n < ARRAY_LEN(latencies) + 1024; n++) {
        size_t c = earliest(ready, (size_t)clients), slot = earliest(free_at, SLOTS);
        double done = fmax(ready[c], free_at[slot]) + SERVICE_S;
        if (n >= 1024)
            latencies[n - 1024] = done - ready[c];
        free_at[slot] = ready[c] = done;
    }
    return p95(latencies, ARRAY_LEN(latencies));
}

static double poisson_p95(double rate, uint64_t seed, size_t n)
{
    struct rng rng = rng_init(seed, "arrivals");
    double free_at[SLOTS] = {0}, at = 0;
    double *latencies = calloc(n, sizeof *latencies);
    assert_non_null(latencies);
    for (size_t i = 0; i < n; i++) {
        at += rng_exponential(&rng, 1 / rate);
        size_t slot = earliest(free_at, SLOTS);
        double done = fmax(at, free_at[slot]) + SERVICE_S;
        free_at[slot] = done;
        latencies[i] = done - at;
    }
    double value = p95(latencies, n);
    free(latencies);
    return value;
}

static void test_closed_loop(void **state)
{
    (void)state;
    const struct stats_capacity_limits limits = {
        .whole = true, .start = 1, .least = 1, .most = 64, .stretch = 2, .windows = 40};
    struct stats_capacity capacity = stats_capacity_init(&limits);
    struct stats_capacity_probe probe;
    while (stats_capacity_next(&capacity, &probe))
        stats_capacity_tell(&capacity,
                            closed_p95((int)probe.level) <= 0.026 ? LEVEL_MET : LEVEL_MISSED, true);
    struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
    assert_int_equal(answer.end, CAPACITY_FOUND);
    assert_true(answer.low == 20 && answer.high == 21); /* 20 ms x c / 16 <= 26 ms */
}

/* The same queue asked for a mean, which no window decides: as many windows, of the same lengths,
 * as where each is certain. Before: every level in windows of 1, 2 and 4, about six times the time.
 */
static void test_what_no_window_decides(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double truth;
        bool leans, longer_helps;
        int least_s, most_s; /* in base windows, all told */
    } rows[] = {
        {"certain", 20, false, true, 13, 13},
        {"no longer one helps", 20, true, false, 13, 13},
        {"a longer one may", 20, true, true, 60, 90},
        {"49, certain", 49, false, true, 15, 15},
        {"49, none helps", 49, true, false, 15, 15},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct stats_capacity_limits limits = {
            .whole = true, .start = 1, .least = 1, .most = 256, .stretch = 4, .windows = 60};
        struct stats_capacity capacity = stats_capacity_init(&limits);
        struct stats_capacity_probe probe;
        int length = 0;
        while (stats_capacity_next(&capacity, &probe)) {
            bool met = probe.level <= rows[i].truth;
            length += probe.stretch;
            stats_capacity_tell(&capacity,
                                rows[i].leans ? met ? LEVEL_LEANS_MET : LEVEL_LEANS_MISSED
                                : met         ? LEVEL_MET
                                              : LEVEL_MISSED,
                                rows[i].longer_helps);
        }
        struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
        CHECK_ROW(i, rows[i].name, answer.end == CAPACITY_FOUND);
        CHECK_ROW(i, rows[i].name, answer.low == rows[i].truth);
        CHECK_ROW(i, rows[i].name, answer.high == rows[i].truth + 1);
        CHECK_ROW(i, rows[i].name, answer.unsure == rows[i].leans);
        CHECK_ROW(i, rows[i].name, length >= rows[i].least_s && length <= rows[i].most_s);
    }
}

/* Windows of 2 s, as noisy as they are, find what a run of 200,000 requests says. */
static void test_poisson(void **state)
{
    (void)state;
    double truth = 400;
    while (poisson_p95(truth + 5, 99, 200000) <= 0.026)
        truth += 5;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct stats_capacity_limits limits = {.start = 50,
                                                     .least = 1,
                                                     .most = 10000,
                                                     .resolution_ratio = 0.05,
                                                     .stretch = 4,
                                                     .windows = 60};
        struct stats_capacity capacity = stats_capacity_init(&limits);
        struct stats_capacity_probe probe;
        uint64_t window = 0;
        while (stats_capacity_next(&capacity, &probe)) {
            size_t n = (size_t)(probe.level * 2 * probe.stretch);
            double value = poisson_p95(probe.level, 1000 * seed + window++, n);
            stats_capacity_tell(&capacity, value <= 0.026 ? LEVEL_MET : LEVEL_MISSED, true);
        }
        struct stats_capacity_answer answer = stats_capacity_answer(&capacity);
        assert_int_equal(answer.end, CAPACITY_FOUND);
        assert_true(fabs(answer.low / truth - 1) < 0.10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_resolution_of_whole_levels),
        cmocka_unit_test(test_other_ends),
        cmocka_unit_test(test_ends_whatever_is_told),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_what_no_window_decides),
        cmocka_unit_test(test_poisson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
