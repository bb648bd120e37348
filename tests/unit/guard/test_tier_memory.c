/* Memory that only looks free: by hand, and on a driver's card, one step at a time. */
#include "../device/fake_card.h"

#include "guard/tier_memory.h"

#include "base/clock.h"

#include <math.h>

#define GIB 1073741824.0

static void test_memory(void **state)
{
    (void)state;
    struct tier_memory memory = {0};
    int64_t now_ns = NS_PER_S;
    for (int i = 0; i < 20; i++, now_ns += NS_PER_S)
        tier_memory_note(&memory, 40 * GIB, now_ns);
    assert_true(memory.owed_bytes == 0);
    /* A neighbour restarts: what it gave back is still its own, for five minutes. */
    tier_memory_note(&memory, 10 * GIB, now_ns += NS_PER_S);
    assert_true(memory.owed_bytes == 30 * GIB);
    for (int i = 0; i < 280; i++)
        tier_memory_note(&memory, 10 * GIB, now_ns += NS_PER_S);
    assert_true(memory.owed_bytes == 30 * GIB);
    for (int i = 0; i < 40; i++)
        tier_memory_note(&memory, 10 * GIB, now_ns += NS_PER_S);
    assert_true(memory.owed_bytes == 0);
    /* One that grows goes on for as long as it was looked at. */
    for (int i = 1; i <= 10; i++)
        tier_memory_note(&memory, (10 + i) * GIB, now_ns += NS_PER_S);
    assert_true(memory.owed_bytes == 4 * GIB);
    tier_memory_note(&memory, NAN, now_ns + NS_PER_S);
    assert_true(memory.owed_bytes == 4 * GIB);
}

enum { STEPS = 6, MIB_PER_GIB = 1024 };
struct row {
    const char *name;
    struct {
        int used;    /* GiB, in each step */
        double ours; /* NaN: it moves */
        int least;   /* of ours, while that moves */
        int owed;
    } steps[STEPS];
};

/* The first step's memory stands for a while, then the rows' steps. */
static void play(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *folder = check_make_folder(), script[256];
        struct tier_memory memory = {0};
        struct device *device = NULL;
        int64_t now_ns = NS_PER_S;
        for (size_t k = 0; k < 10 + STEPS; k++, now_ns += NS_PER_S) {
            const size_t s = k < 10 ? 0 : k - 10;
            const double ours = rows[i].steps[s].ours, least = rows[i].steps[s].least;
            snprintf(script, sizeof script, "%sused %d\nfree %d\n", H100,
                     rows[i].steps[s].used * MIB_PER_GIB,
                     81559 - 480 - rows[i].steps[s].used * MIB_PER_GIB);
            fake_script(folder, script);
            if (!device)
                device = fake_open("gpu0", folder, 4);
            tier_memory_step(
                &memory, device,
                (struct tier_memory_ours){.bytes = ours * GIB,
                                          .least_bytes = (isnan(ours) ? least : ours) * GIB},
                now_ns);
            if (memory.owed_bytes != rows[i].steps[s].owed * GIB ||
                memory.free_bytes !=
                    (81559 - 480 - rows[i].steps[s].used * MIB_PER_GIB) * 1048576.0)
                fail_msg("row %zu (%s), step %zu: free %g GiB, owed %g GiB", i, rows[i].name, s,
                         memory.free_bytes / GIB, memory.owed_bytes / GIB);
        }
        device_close(device);
        check_remove_folder(folder);
    }
}

/* Expected: what our own tiers take and give back is never others'. Before: 20 GiB that a tier took
 * between two looks at it were "about to be taken by others", for five minutes. */
static void test_memory_of_ours(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"taken one step before it is seen",
         {{30, 25}, {50, 25}, {50, 45}, {50, 45}, {50, 45}, {50, 45}}},
        {"taken in three steps", {{30, 25}, {40, 25}, {48, 43}, {50, 45}, {50, 45}, {50, 45}}},
        {"gone two steps after its process",
         {{50, 45}, {50, NAN, 25}, {50, NAN, 25}, {30, NAN, 25}, {30, 25}, {30, 25}}},
        {"comes up", {{30, 25}, {35, NAN, 25}, {45, NAN, 30}, {50, NAN, 40}, {50, 45}, {50, 45}}},
        {"others take it",
         {{30, 25}, {30, 25}, {34, 25}, {34, 25, 0, 4}, {34, 25, 0, 4}, {34, 25, 0, 4}}},
    };
    play(rows, ARRAY_LEN(rows));
}

/* Expected: owed from the step on in which it was given back, whatever else moves. Before: nothing
 * was owed in that step, nor while a tier came up, and one was started into a neighbour's room. */
static void test_memory_given_back(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"at once",
         {{34, 10},
          {14, 10, 0, 20},
          {14, 10, 0, 20},
          {14, 10, 0, 20},
          {14, 10, 0, 20},
          {14, 10, 0, 20}}},
        {"in parts",
         {{34, 10},
          {30, 10, 0, 4},
          {25, 10, 0, 9},
          {25, 10, 0, 9},
          {14, 10, 0, 20},
          {14, 10, 0, 20}}},
        {"before a tier comes up",
         {{34, 10},
          {14, 10, 0, 20},
          {14, NAN, 10, 20},
          {17, NAN, 13, 20},
          {17, 13, 0, 20},
          {17, 13, 0, 20}}},
        {"while a tier comes up, which has more than was seen of it",
         {{34, 10},
          {35, NAN, 11, 0},
          {16, NAN, 11, 19},
          {16, NAN, 12, 20},
          {16, 12, 0, 20},
          {16, 12, 0, 20}}},
        {"while a tier ends",
         {{34, 10},
          {14, NAN, 4, 14},
          {8, NAN, 4, 20},
          {8, NAN, 4, 20},
          {8, 4, 0, 20},
          {8, 4, 0, 20}}},
        {"and taken again",
         {{34, 10}, {14, 10, 0, 20}, {14, 10, 0, 20}, {34, 10}, {34, 10}, {34, 10}}},
    };
    play(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_ours),
        cmocka_unit_test(test_memory_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
