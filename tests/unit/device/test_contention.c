/* Contention's arithmetic, and that what can't be known is NaN and never 0. */
#include "device/machine.h"

#include "check.h"

#include <math.h>

#define S INT64_C(1000000000)

static struct device_snapshot snapshot(int64_t at_ns, double busy_ns, double steal_ns)
{
    return (struct device_snapshot){
        .at_ns = at_ns,
        .busy_ns = isnan(busy_ns) ? READING_NONE : reading_known(READING_FROM_PROC, busy_ns),
        .steal_ns = isnan(steal_ns) ? READING_NONE : reading_known(READING_FROM_PROC, steal_ns),
    };
}

static void test_ratio(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t window_ns;
        double busy_s, steal_s, own_s;
        int cores;
        double ratio;
    } rows[] = {
        {"idle", 10 * S, 0, 0, 0, 2, 0},
        {"only ours", 10 * S, 15, 0, 15, 2, 0},
        {"a tenth others", 10 * S, 12, 0, 10, 2, 0.1},
        {"steal alone", 10 * S, 10, 5, 10, 2, 0.25},
        {"both", 10 * S, 12, 2, 10, 2, 0.2},
        {"all others", 10 * S, 20, 0, 0, 2, 1},
        {"our ticks ran ahead", 10 * S, 10, 0, 10.01, 2, 0},
        {"our ticks ran ahead of steal", 10 * S, 10, 1, 10.5, 2, 0.05},
        {"a tick too much", 10 * S, 20.2, 0, 0, 2, 1},
        {"more than there is", 10 * S, 22, 0, 0, 2, NAN},
        {"busy fell", 10 * S, -1, 0, 0, 2, NAN},
        {"steal fell", 10 * S, 1, -0.01, 0, 2, NAN},
        {"no window", 0, 1, 0, 0, 2, NAN},
        {"window backwards", -S, 1, 0, 0, 2, NAN},
        {"no cores", 10 * S, 1, 0, 0, 0, NAN},
        {"negative cores", -10 * S, 1, 0, 0, -2, NAN},
        {"negative own", 10 * S, 1, 0, -1, 2, NAN},
        {"busy unknown", 10 * S, NAN, 0, 0, 2, NAN},
        {"steal unknown", 10 * S, 1, NAN, 0, 2, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct device_snapshot before = snapshot(5 * S, 100e9, 10e9);
        struct device_snapshot after = snapshot(
            5 * S + rows[i].window_ns, 100e9 + rows[i].busy_s * 1e9, 10e9 + rows[i].steal_s * 1e9);
        double ratio =
            device_contention_ratio(&before, &after, (int64_t)(rows[i].own_s * 1e9), rows[i].cores);
        CHECK_ROW(i, rows[i].name, isnan(ratio) == isnan(rows[i].ratio));
        CHECK_ROW(i, rows[i].name, isnan(ratio) || fabs(ratio - rows[i].ratio) < 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ratio)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
