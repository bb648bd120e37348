/* What a study asks of its cards before the first trial and at the end, without any card: the room
 * of lanes, a first clean state that is days old, and room beside neighbours. */
#include "check.h"

#include "spec/verdict.h"
#include "study/beside.h"
#include "study/clean.h"

#include <math.h>

#define GIB (1024.0 * 1024 * 1024)
#define MIB (1024.0 * 1024)

static void test_lanes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double rooms[3];
        bool differ;
        size_t least, most;
    } rows[] = {
        {"equal", {70 * GIB, 70 * GIB, 70 * GIB}, false, 0, 0},
        {"one has less", {70 * GIB, 30 * GIB, 70 * GIB}, true, 1, 0},
        {"behind an unknown one", {NAN, 70 * GIB, 30 * GIB}, true, 2, 1},
        {"around an unknown one", {30 * GIB, NAN, 70 * GIB}, true, 0, 2},
        {"only one is known", {NAN, NAN, 70 * GIB}, false, 0, 0},
        {"nothing is known", {NAN, NAN, NAN}, false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t least = 0, most = 0;
        bool differ = study_loop_rooms_differ(rows[i].rooms, 3, &least, &most);
        CHECK_ROW(i, rows[i].name, differ == rows[i].differ);
        CHECK_ROW(i, rows[i].name, least == rows[i].least && most == rows[i].most);
    }
}

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum verdict last;
        enum study_clean_when when;
        bool hides;
        double bound_bytes;
        bool unlisted_counts;
    } rows[] = {
        {"days later", VERDICT_OK, CLEAN_RESUMED, false, 256 * MIB, true},
        {"days later, in a container", VERDICT_OK, CLEAN_RESUMED, true, 256 * MIB, false},
        {"a leak is known", VERDICT_LEAK, CLEAN_RESUMED, false, 64 * MIB, true},
        {"a leak is known, in a container", VERDICT_LEAK, CLEAN_RESUMED, true, 64 * MIB, true},
        {"at the end of a run", VERDICT_OK, CLEAN_STOPPED, true, 64 * MIB, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct store_trial trials[] = {{.verdict = verdict_facts(VERDICT_OK)->name},
                                             {.verdict = verdict_facts(rows[i].last)->name}};
        struct study_clean_rule rule = study_clean_rule(trials, 2, rows[i].when, rows[i].hides);
        CHECK_ROW(i, rows[i].name, rule.bound_bytes == rows[i].bound_bytes);
        CHECK_ROW(i, rows[i].name, rule.unlisted_counts == rows[i].unlisted_counts);
    }
}

static struct store_reading reading(const char *name, double bytes)
{
    return (struct store_reading){
        .phase = "before", .device = "gpu0", .name = name, .value = bytes};
}

/* Then and now are of one measure: a small stranger that stays is no leak, nor one that goes. */
static void test_one_measure(void **state)
{
    (void)state;
    struct store_reading readings[] = {reading("used", 5 * GIB), reading("neighbours", 4 * GIB),
                                       reading("strangers", 48 * MIB)};
    struct store_trial trial = {.readings = readings, .reading_count = ARRAY_LEN(readings)};
    assert_true(study_clean_stored(&trial, 1, "gpu0") == 1 * GIB - 48 * MIB);
    readings[2].value = 2 * GIB; /* that trial was refused: part of it may be listed to nobody */
    assert_true(study_clean_stored(&trial, 1, "gpu0") == 1 * GIB);
    assert_true(isnan(study_clean_stored(&trial, 1, "gpu1")));

    const struct device_sample sample = {.used_bytes = reading_known(READING_FROM_NVML, 5 * GIB),
                                         .neighbour_bytes =
                                             reading_known(READING_FROM_NVML, 1 * GIB)};
    const struct device_holder strangers[] = {
        {.pid = 7, .memory_bytes = reading_known(READING_FROM_NVML, 1 * GIB)},
        {.memory_bytes = reading_known(READING_FROM_NVML, 2 * GIB)}};
    assert_true(study_clean_unexplained(&sample, strangers, 2, true) == 3 * GIB);
    assert_true(study_clean_unexplained(&sample, strangers, 2, false) == 1 * GIB);
}

static void test_room_beside(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double most_bytes;
        bool lacks;
    } rows[] = {
        {"as much", 10 * GIB, false},
        {"some MiB more", 10 * GIB + 200 * MIB, false},
        {"another situation", 10 * GIB + 300 * MIB, true},
    };
    AUTO_JSON json_t *decision = json_pack("{s:s}", "winner", "llm.share=60G");
    const char *devices[] = {"gpu0"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct store_reading first = reading("left to neighbours", 10 * GIB);
        struct store_reading later = reading("neighbours, most", rows[i].most_bytes);
        const struct store_trial trials[] = {{.purpose = "final",
                                              .verdict = verdict_facts(VERDICT_OK)->name,
                                              .candidate = "llm.share=60G",
                                              .readings = &first,
                                              .reading_count = 1},
                                             {.purpose = "final",
                                              .verdict = verdict_facts(VERDICT_OK)->name,
                                              .candidate = "llm.share=2G",
                                              .readings = &later,
                                              .reading_count = 1}};
        const char *words = study_beside_lacks(decision, trials, 2, devices, 1, arena);
        CHECK_ROW(i, rows[i].name, (words != NULL) == rows[i].lacks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lanes), cmocka_unit_test(test_rule),
                                       cmocka_unit_test(test_one_measure),
                                       cmocka_unit_test(test_room_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
