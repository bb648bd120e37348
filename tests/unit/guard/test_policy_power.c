/* What is stopped while HAProxy does not answer. The rest of policy_power.c is in test_policy.c. */
#include "guard/policy.h"

#include "check.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_given_back_without_haproxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
