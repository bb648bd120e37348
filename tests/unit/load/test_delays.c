/* Delays: quantiles of the values themselves, bands by decade. */
#include "load/delays.h"

#include "base/clock.h"
#include "base/auto.h"
#include "check.h"

#include <math.h>

static void test_quantiles(void **state)
{
    (void)state;
    struct load_delays delays = {0};
    load_delays_sort(&delays);
    assert_true(isnan(load_delays_quantile_s(&delays, 0.99)));
    int64_t ns[100];
    for (int64_t i = 0; i < 100; i++)
        ns[i] = (100 - i) * NS_PER_MS;
    load_delays_add(&delays, ns, 60);
    load_delays_add(&delays, ns + 60, 40);
    load_delays_add(&delays, ns, 0);
    load_delays_sort(&delays);
    static const struct {
        double q, s;
    } rows[] = {{0, 0.001}, {0.5, 0.050}, {0.99, 0.099}, {0.991, 0.100}, {1, 0.100}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, "quantile",
                  fabs(load_delays_quantile_s(&delays, rows[i].q) - rows[i].s) < 1e-9);
    uint64_t bands[LOAD_DELAY_BANDS];
    load_delays_count(&delays, bands);
    static const uint64_t expected[LOAD_DELAY_BANDS] = {0, 0, 0, 9, 90, 1, 0, 0};
    for (size_t b = 0; b < LOAD_DELAY_BANDS; b++)
        CHECK_ROW(b, "band", bands[b] == expected[b]);
    load_delays_done(&delays);
    load_delays_done(&delays);
    load_delays_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quantiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
