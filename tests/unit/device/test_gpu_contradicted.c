/* When CPU time speaks against work that was seen on the card: for a tree as a whole. */
#include "device/gpu_placement.h"

#include "check.h"

#define MS INT64_C(1000000)

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t listed; /* processes */
        double sm;
        int64_t cpu_ms, span_ms;
        enum placement placement;
        bool contradicted;
    } rows[] = {
        {"one that waits", 1, 0.02, 1050, 1000, PLACEMENT_GPU, false},
        {"one with all its threads", 1, 0.02, 1600, 1000, PLACEMENT_UNPROVEN, true},
        {"two that wait with a core each", 2, 0.02, 2100, 1000, PLACEMENT_GPU, false},
        {"four that wait with a core each", 4, 0.04, 4200, 1000, PLACEMENT_GPU, false},
        {"two with all their threads", 2, 0.02, 3100, 1000, PLACEMENT_UNPROVEN, true},
        {"the recorded fallback's CPU time", 1, 0.04, 2730, 557, PLACEMENT_UNPROVEN, true},
        {"of two processes as well", 2, 0.04, 2730, 557, PLACEMENT_UNPROVEN, true},
        {"plenty of work there", 2, 0.05, 3100, 1000, PLACEMENT_GPU, false},
        {"nothing seen, little CPU time: no sample", 1, 0, 40, 50, PLACEMENT_UNPROVEN, false},
        {"nothing seen, much CPU time", 2, 0, 3100, 1000, PLACEMENT_CPU, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct gpu_sight sight = {
            .card = "gpu0",
            .elsewhere = "",
            .processes = 4,
            .listed = DEVICE_LISTED_YES,
            .listed_count = rows[i].listed,
            .memory_bytes = reading_known(READING_FROM_NVML, 500 * 1048576.0),
            .others = 2,
            .hidden_growth = READING_NONE,
            .growth_bytes = READING_NONE,
            .sampled = true,
            .sm_ratio = rows[i].sm,
            .busy_before = READING_NONE,
            .busy_after = READING_NONE,
            .cpu_ns = rows[i].cpu_ms * MS,
            .span_ns = rows[i].span_ms * MS,
        };
        struct device_proof proof;
        gpu_placement_judge(&sight, &proof);
        CHECK_ROW_TEXT(i, rows[i].name, device_placement_names[proof.placement],
                       device_placement_names[rows[i].placement]);
        CHECK_ROW(i, rows[i].name, proof.contradicted == rows[i].contradicted);
        CHECK_ROW(i, rows[i].name,
                  (strstr(proof.evidence[1], "does not explain") != NULL) == rows[i].contradicted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
