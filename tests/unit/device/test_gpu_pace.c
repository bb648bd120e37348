/* Calls keep to their share of a core, whatever they cost. */
#include "device/gpu_pace.h"

#include "base/clock.h"
#include "check.h"

static void test_share(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct gpu_pace_rule rule;
        int64_t cost_us, wall_us; /* CPU time of a call; how long it took, 0: the same */
        int least, most;          /* calls among 600 chances, ten a second */
    } rows[] = {
        {"cheap: each time", {.share = 0.002}, 100, 0, 600, 600},
        {"dear: 50 ms at first, then its share", {.share = 0.002}, 1000, 0, 169, 172},
        {"very dear", {.share = 0.001}, 40000, 0, 3, 4},
        {"once a second", {.share = 0.0015, .least_ns = NS_PER_S}, 1500, 0, 60, 60},
        {"blocks: its share of the time", {.share = 0.002}, 1, 1000, 169, 172},
        {"blocks for seconds: once a minute", {.share = 0.002}, 1, 9000000, 1, 1},
        {"stood still for an hour", {.share = 0.01}, 1, INT64_C(3600000000), 1, 1},
        {"blocks, and due each second", {.share = 0.002, .most_ns = NS_PER_S}, 1, 800000, 8, 9},
        {"not longer than 2 s", {.share = 0.0001, .most_ns = 2 * NS_PER_S}, 60000, 0, 30, 31},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gpu_pace pace = {0};
        int calls = 0;
        for (int64_t n = 0; n < 600; n++) {
            const int64_t now_ns = NS_PER_S + n * 100 * NS_PER_MS;
            if (!gpu_pace_due(&pace, &rows[i].rule, now_ns))
                continue;
            const int64_t cpu_ns = rows[i].cost_us * NS_PER_US;
            gpu_pace_paid(&pace, &rows[i].rule, now_ns, cpu_ns,
                          rows[i].wall_us ? rows[i].wall_us * NS_PER_US : cpu_ns);
            calls++;
        }
        if (calls < rows[i].least || calls > rows[i].most)
            fail_msg("row %zu (%s): %d calls", i, rows[i].name, calls);
    }
}

/* Two readings right behind each other are both made; time standing still gives nothing back. */
static void test_burst(void **state)
{
    (void)state;
    const struct gpu_pace_rule rule = {.share = 0.002};
    struct gpu_pace pace = {0};
    int calls = 0;
    for (; gpu_pace_due(&pace, &rule, NS_PER_S) && calls < 1000; calls++)
        gpu_pace_paid(&pace, &rule, NS_PER_S, NS_PER_MS, NS_PER_MS);
    assert_int_equal(calls, 50);
    assert_false(gpu_pace_due(&pace, &rule, NS_PER_S - 1));
    assert_true(gpu_pace_due(&pace, &rule, 2 * NS_PER_S));
}

/* Asleep for an hour in the middle of a call: a minute later it is asked again. */
static void test_asleep(void **state)
{
    (void)state;
    const struct gpu_pace_rule rule = {.share = 0.001};
    struct gpu_pace pace = {0};
    assert_true(gpu_pace_due(&pace, &rule, NS_PER_S));
    gpu_pace_paid(&pace, &rule, NS_PER_S, NS_PER_US, 3600 * NS_PER_S);
    assert_false(gpu_pace_due(&pace, &rule, 31 * NS_PER_S));
    assert_true(gpu_pace_due(&pace, &rule, 62 * NS_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share), cmocka_unit_test(test_burst),
                                       cmocka_unit_test(test_asleep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
