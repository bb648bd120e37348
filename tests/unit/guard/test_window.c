/* Windows slide by the steady clock: what is old is forgotten, rates know how long was looked. */
#include "guard/window.h"

#include "base/clock.h"

#include "check.h"

#include <math.h>

static const int64_t SPAN = 60 * NS_PER_S;

static void add_values(struct guard_window *window, int64_t now_ns, double value, int count)
{
    for (int i = 0; i < count; i++) {
        guard_window_add(window, now_ns, value, 1);
        guard_window_count(window, now_ns, 0, 1);
    }
}

static void test_empty_is_unknown(void **state)
{
    (void)state;
    struct guard_window *window = guard_window_new(SPAN, 100 * NS_PER_S);
    struct guard_window_reading reading;
    guard_window_read(window, 100 * NS_PER_S, &reading);
    assert_int_equal(reading.values, 0);
    assert_true(isnan(reading.p50) && isnan(reading.p95) && isnan(reading.p99));
    assert_true(reading.covered_s == 0);
    assert_true(isnan(guard_window_quantile(window, 0.9)));
    guard_window_free(window);
}

static void test_a_quantile_needs_its_values(void **state)
{
    (void)state;
    static const struct {
        int values;
        bool p50, p95, p99;
    } rows[] = {{4, false, false, false}, {5, true, false, false}, {19, true, false, false},
                {20, true, true, false},  {99, true, true, false}, {100, true, true, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guard_window *window = guard_window_new(SPAN, 0);
        add_values(window, NS_PER_S, 0.2, rows[i].values);
        struct guard_window_reading reading;
        guard_window_read(window, NS_PER_S, &reading);
        CHECK_ROW(i, "count", reading.values == (uint64_t)rows[i].values);
        CHECK_ROW(i, "p50", !isnan(reading.p50) == rows[i].p50);
        CHECK_ROW(i, "p95", !isnan(reading.p95) == rows[i].p95);
        CHECK_ROW(i, "p99", !isnan(reading.p99) == rows[i].p99);
        guard_window_free(window);
    }
}

static void test_what_is_old_is_forgotten(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t at_s;
        uint64_t count;
    } rows[] = {
        {"the same moment", 3, 30}, {"within the span", 54, 30}, {"its last slot", 59, 30},
        {"one slot over", 60, 0},   {"long after", 4000, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guard_window *window = guard_window_new(SPAN, 0);
        add_values(window, 3 * NS_PER_S, 0.5, 30);
        struct guard_window_reading reading;
        guard_window_read(window, rows[i].at_s * NS_PER_S, &reading);
        CHECK_ROW(i, rows[i].name, reading.values == rows[i].count);
        CHECK_ROW(i, rows[i].name, reading.counts[0] == rows[i].count);
        CHECK_ROW(i, rows[i].name, isnan(reading.p50) == (rows[i].count == 0));
        guard_window_free(window);
    }
}

/* A steady stream for many turns of the ring: always between 11 and 12 slots' worth. */
static void test_a_steady_stream_is_steady(void **state)
{
    (void)state;
    struct guard_window *window = guard_window_new(SPAN, 0);
    for (int64_t s = 0; s < 1000; s++) {
        add_values(window, s * NS_PER_S, s % 100 < 50 ? 0.1 : 0.3, 4);
        struct guard_window_reading reading;
        guard_window_read(window, s * NS_PER_S + NS_PER_S / 2, &reading);
        if (s < 60)
            continue;
        assert_in_range(reading.values, 4 * 55, 4 * 60);
        assert_true(reading.covered_s >= 55 && reading.covered_s <= 60);
        double rate = (double)reading.counts[0] / reading.covered_s;
        assert_true(rate > 3.9 && rate < 4.1);
    }
    guard_window_free(window);
}

static void test_odd_clocks(void **state)
{
    (void)state;
    struct guard_window *window = guard_window_new(SPAN, -90 * NS_PER_S);
    add_values(window, -61 * NS_PER_S, 0.1, 10);
    add_values(window, -1 * NS_PER_S, 0.1, 20);
    add_values(window, -500 * NS_PER_S, 0.1, 3); /* late: into the newest */
    struct guard_window_reading reading;
    guard_window_read(window, -1, &reading);
    assert_int_equal(reading.values, 23);
    guard_window_restart(window, 7 * NS_PER_S);
    guard_window_read(window, 9 * NS_PER_S, &reading);
    assert_int_equal(reading.values, 0);
    assert_true(fabs(reading.covered_s - 2) < 1e-9);
    guard_window_free(window);

    window = guard_window_new(1, 0); /* a span of less than a nanosecond a slot */
    add_values(window, 5, 0.1, 2);
    guard_window_read(window, 5, &reading);
    assert_int_equal(reading.values, 2);
    guard_window_free(window);
    assert_null(guard_window_free(NULL));
}

/* 8 services, 3 sources, 3 kinds, all of them full. */
static void test_it_is_small(void **state)
{
    (void)state;
    assert_true(8 * 3 * 3 * guard_window_bytes_max() < 10 * 1000 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_is_unknown),
        cmocka_unit_test(test_a_quantile_needs_its_values),
        cmocka_unit_test(test_what_is_old_is_forgotten),
        cmocka_unit_test(test_a_steady_stream_is_steady),
        cmocka_unit_test(test_odd_clocks),
        cmocka_unit_test(test_it_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
