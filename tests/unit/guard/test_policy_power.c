/* What is stopped while HAProxy does not answer, and who is started that others keep running. The
 * rest of policy_power.c is in test_policy.c. */
#include "guard/policy.h"

#include "check.h"

#include "base/clock.h"

#include <math.h>

#define MIB 1048576.0

struct world {
    struct policy_front front;
    struct policy_state state;
    struct policy_input input;
};

static struct world make_world(bool base_resident)
{
    struct world w = {.state = policy_init()};
    w.front = (struct policy_front){.count = 2, .limit_s = 1, .quantile = 0.95};
    w.front.reserve_bytes = 256 * MIB;
    w.front.tiers[0] = (struct policy_tier){
        .name = "base", .managed = true, .resident = base_resident, .peak_bytes = 800 * MIB};
    w.front.tiers[1] = (struct policy_tier){
        .name = "tiny", .managed = true, .resident = true, .peak_bytes = 200 * MIB};
    w.input.tiers[0].held_bytes = w.input.tiers[1].held_bytes = NAN;
    return w;
}

/* HAProxy does not answer: others get their memory all the same, from tiers that take nothing. */
static void test_memory_is_given_back_without_haproxy(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int current;
        double free_mib;
        enum policy_power base, tiny;
        bool resident;
        int stop;
    } rows[] = {
        {"pressed", 1, 100, POWER_ON, POWER_ON, false, 0},
        {"enough", 1, 1000, POWER_ON, POWER_ON, false, -1},
        {"unknown is no evidence", 1, NAN, POWER_ON, POWER_ON, false, -1},
        {"the current one stays", 0, 100, POWER_ON, POWER_ON, false, -1},
        {"nobody knows which is current", -1, 100, POWER_ON, POWER_ON, false, -1},
        {"the last one stays", 1, 100, POWER_ON, POWER_OFF, false, -1},
        {"on its way already", 1, 100, POWER_GOING, POWER_ON, false, -1},
        {"one that comes", 1, 100, POWER_COMING, POWER_ON, false, 0},
        {"resident", 1, 100, POWER_ON, POWER_ON, true, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = make_world(rows[i].resident);
        w.state.current = w.input.current = rows[i].current;
        w.input.free_bytes = rows[i].free_mib * MIB;
        w.input.tiers[0].power = rows[i].base;
        w.input.tiers[1].power = rows[i].tiny;
        struct policy_choice choice = policy_step_blind(&w.state, &w.front, &w.input);
        CHECK_ROW(i, rows[i].name, choice.stop == rows[i].stop);
        CHECK_ROW(i, rows[i].name, choice.start == -1 && !choice.switched);
        CHECK_ROW(i, rows[i].name, choice.tier == rows[i].current);
        CHECK_ROW(i, rows[i].name, choice.for_memory == (rows[i].stop >= 0));
        CHECK_ROW(i, rows[i].name,
                  rows[i].stop < 0
                      ? choice.reason[0] == '\0'
                      : strstr(choice.reason, "stopping base (800 MiB) for memory") != NULL);
    }
}

/* What is stopped while the driver is lost does not come back: unused, pressed or not wanted, it
 * stays; and nothing is started. Requests are moved all the same. */
static void test_a_lost_driver_freezes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double free_mib;
        enum policy_power base;
        int steps, stop, start; /* without the fault; -1 */
    } rows[] = {
        {"unused for ten minutes", 3000, POWER_ON, 700, 0, -1},
        {"pressed", 100, POWER_ON, 1, 0, -1},
        {"there is room", 3000, POWER_OFF, 60, -1, 0},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const size_t row = i / 2;
        const bool frozen = i % 2;
        struct world w = make_world(false);
        int stop = -1, start = -1;
        w.front.switches_per_minute = 4;
        w.front.up_after_ns = NS_PER_S;
        policy_curve_add(&w.front.tiers[0].curve, 5, 0.1);
        policy_curve_add(&w.front.tiers[1].curve, 50, 0.1);
        w.state.current = w.input.current = 1;
        w.input.free_bytes = rows[row].free_mib * MIB;
        w.input.frozen = frozen;
        /* More than base can take keeps it unused; calm lets it be wanted. */
        w.input.rate_rps = w.input.rate_low_rps = w.input.rate_high_rps =
            rows[row].base == POWER_ON ? 20 : 1;
        for (int t = 0; t < 2; t++)
            w.input.tiers[t] = (struct policy_seen){.power = t ? POWER_ON : rows[row].base,
                                                    .usable = t || rows[row].base == POWER_ON,
                                                    .held_bytes = NAN,
                                                    .latency_s = NAN};
        for (int k = 0; k < rows[row].steps; k++) {
            w.input.now_ns += NS_PER_S;
            struct policy_choice choice = policy_step(&w.state, &w.front, &w.input);
            stop = choice.stop >= 0 ? choice.stop : stop;
            start = choice.start >= 0 ? choice.start : start;
        }
        CHECK_ROW(i, rows[row].name, stop == (frozen ? -1 : rows[row].stop));
        CHECK_ROW(i, rows[row].name, start == (frozen ? -1 : rows[row].start));
        w.input.frozen = true;
        CHECK_ROW(i, rows[row].name, policy_step_blind(&w.state, &w.front, &w.input).stop == -1);
    }
    struct world w = make_world(true);
    w.input.frozen = true;
    w.input.now_ns = NS_PER_S;
    w.state.current = w.input.current = 0;
    w.input.tiers[1].power = POWER_ON;
    w.input.tiers[1].usable = true;
    assert_int_equal(policy_step(&w.state, &w.front, &w.input).tier, 1);
}

/* A resident tier that is down is somebody's doing, or systemd's: it is started where no tier of
 * the front is usable, and else for nothing. Before: like any other, though "never started by us".
 */
static void test_a_resident_one_is_started_where_none_is_usable(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool resident, usable, resting;
        double rate_rps, free_mib, peak_mib;
        bool asked; /* by a rule's tier-up */
        bool started;
    } rows[] = {
        {"calm, another answers", true, true, false, 1, 3000, 800, false, false},
        {"the other is too slow", true, true, false, 20, 3000, 800, false, false},
        {"a rule asks for it", true, true, false, 1, 3000, 800, true, false},
        {"one that is not resident, in calm", false, true, false, 1, 3000, 800, false, true},
        {"none is usable", true, false, false, 1, 3000, 800, false, true},
        {"none is usable, whatever the rate", true, false, false, 20, 3000, 800, false, true},
        {"its last start failed just now", true, false, true, 1, 3000, 800, false, false},
        {"it does not fit", true, false, false, 1, 1000, 800, false, false},
        {"its memory is unknown", true, false, false, 1, 3000, NAN, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = make_world(rows[i].resident);
        int start = -1;
        w.front.switches_per_minute = 4;
        w.front.up_after_ns = NS_PER_S;
        w.front.tiers[0].peak_bytes = rows[i].peak_mib * MIB;
        w.front.tiers[1].managed = false; /* nobody's to start */
        policy_curve_add(&w.front.tiers[0].curve, 50, 0.1);
        policy_curve_add(&w.front.tiers[1].curve, 5, 0.1);
        w.state.current = w.input.current = 1;
        w.input.free_bytes = rows[i].free_mib * MIB;
        w.input.rate_rps = w.input.rate_low_rps = w.input.rate_high_rps = rows[i].rate_rps;
        for (int t = 0; t < 2; t++)
            w.input.tiers[t] = (struct policy_seen){
                .power = t ? POWER_ON : POWER_OFF, .held_bytes = NAN, .latency_s = NAN};
        w.input.tiers[1].usable = rows[i].usable;
        w.input.tiers[0].resting = rows[i].resting;
        w.input.wish = rows[i].asked;
        for (int k = 0; k < 60; k++) {
            w.input.now_ns += NS_PER_S;
            struct policy_choice choice = policy_step(&w.state, &w.front, &w.input);
            start = choice.start >= 0 ? choice.start : start;
        }
        CHECK_ROW(i, rows[i].name, start == (rows[i].started ? 0 : -1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_given_back_without_haproxy),
        cmocka_unit_test(test_a_lost_driver_freezes),
        cmocka_unit_test(test_a_resident_one_is_started_where_none_is_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
