/* From what was seen to where it ran: every line of the table in gpu_placement.c. */
#include "device/gpu_placement.h"

#include "check.h"

#include <math.h>

#define MS INT64_C(1000000)

static struct reading known(double value)
{
    return isnan(value) ? READING_NONE : reading_known(READING_FROM_NVML, value);
}

static const struct {
    const char *name;
    enum device_listed listed;
    const char *elsewhere;
    int processes;
    size_t hidden;
    double mib, sm, busy_before, busy_after; /* sm < 0: the driver does not tell */
    int64_t cpu_ms, span_ms;
    enum placement placement;
    const char *evidence[2];
} rows[] = {
    {"works on the card",
     DEVICE_LISTED_YES,
     "",
     2,
     0,
     1310,
     0.09,
     0,
     0.4,
     120,
     300,
     PLACEMENT_GPU,
     {"1 of its 2 processes is listed on gpu0, holding 1,310 MiB",
      "it used up to 9 % of the SMs during the probe request; CPU time 120 of 300 ms"}},
    {"memory withheld",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     NAN,
     0.01,
     0,
     0,
     0,
     300,
     PLACEMENT_GPU,
     {"its process is listed on gpu0, holding memory that the driver does not tell",
      "it used up to 1 % of the SMs during the probe request; CPU time 0 of 300 ms"}},
    {"9: holds memory, computes on the CPU",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     0,
     0,
     0,
     4310,
     4402,
     PLACEMENT_CPU,
     {"its process is listed on gpu0, holding 500 MiB",
      "the driver saw no SM use by it during the probe request; CPU time 4310 of 4402 ms"}},
    {"too short for a sample",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     0,
     0,
     0,
     40,
     50,
     PLACEMENT_UNPROVEN,
     {"its process is listed on gpu0, holding 500 MiB",
      "the driver saw no SM use by it during the probe request; CPU time 40 of 50 ms"}},
    {"CPU much, but little of a long probe",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     0,
     0,
     0,
     600,
     6000,
     PLACEMENT_UNPROVEN,
     {"its process is listed on gpu0, holding 500 MiB",
      "the driver saw no SM use by it during the probe request; CPU time 600 of 6000 ms"}},
    {"by the card's rise",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     -1,
     0.02,
     0.45,
     0,
     300,
     PLACEMENT_GPU,
     {"its process is listed on gpu0, holding 500 MiB",
      "the card went from 2 to 45 % busy in the probe request (no figure per process); CPU time "
      "0 of 300 ms"}},
    {"no rise over a busy card",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     -1,
     0.87,
     0.9,
     0,
     300,
     PLACEMENT_UNPROVEN,
     {"its process is listed on gpu0, holding 500 MiB",
      "the card went from 87 to 90 % busy in the probe request (no figure per process); CPU time "
      "0 of 300 ms"}},
    {"neither figure (MIG)",
     DEVICE_LISTED_YES,
     "",
     1,
     0,
     500,
     -1,
     NAN,
     NAN,
     2000,
     2000,
     PLACEMENT_UNPROVEN,
     {"its process is listed on gpu0, holding 500 MiB",
      "the driver tells nothing about SM use; CPU time 2000 of 2000 ms"}},
    {"on the CPU",
     DEVICE_LISTED_NO,
     "",
     3,
     0,
     0,
     0,
     0,
     0,
     900,
     1000,
     PLACEMENT_CPU,
     {"none of its 3 processes is listed on gpu0 (2 others are)",
      "the driver saw no SM use by it during the probe request; CPU time 900 of 1000 ms"}},
    {"neither here nor there",
     DEVICE_LISTED_NO,
     "",
     1,
     0,
     0,
     0,
     0,
     0,
     0,
     1000,
     PLACEMENT_UNPROVEN,
     {"its process is not listed on gpu0 (2 others are)",
      "the driver saw no SM use by it during the probe request; CPU time 0 of 1000 ms"}},
    {"25: on another card",
     DEVICE_LISTED_NO,
     "gpu1 (GPU-bbbb)",
     1,
     0,
     0,
     0,
     0,
     0,
     100,
     1000,
     PLACEMENT_UNPROVEN,
     {"its process is not listed on gpu0, but on gpu1 (GPU-bbbb)",
      "the driver saw no SM use by it during the probe request; CPU time 100 of 1000 ms"}},
    {"26: host pids in a container",
     DEVICE_LISTED_UNKNOWN,
     "",
     1,
     1,
     NAN,
     0,
     0,
     0.5,
     100,
     1000,
     PLACEMENT_UNPROVEN,
     {"gpu0's process list can't be matched from here (1 of 2 entries hidden); its memory in use "
      "grew by 1,310 MiB, unattributed",
      "the driver saw no SM use by it during the probe request; CPU time 100 of 1000 ms"}},
    {"dead",
     DEVICE_LISTED_YES,
     "",
     0,
     0,
     500,
     0.5,
     0,
     0,
     0,
     300,
     PLACEMENT_UNPROVEN,
     {"none of its processes lives",
      "it used up to 50 % of the SMs during the probe request; CPU time 0 of 300 ms"}},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct gpu_sight sight = {
            .card = "gpu0",
            .elsewhere = rows[i].elsewhere,
            .processes = rows[i].processes,
            .listed = rows[i].listed,
            .listed_count = 1,
            .memory_bytes = known(rows[i].mib * 1048576),
            .others = 2,
            .hidden = rows[i].hidden,
            .hidden_growth = known(1310 * 1048576.0),
            .sampled = rows[i].sm >= 0,
            .sm_ratio = rows[i].sm,
            .busy_before = known(rows[i].busy_before),
            .busy_after = known(rows[i].busy_after),
            .cpu_ns = rows[i].cpu_ms * MS,
            .span_ns = rows[i].span_ms * MS,
        };
        struct device_proof proof;
        gpu_placement_judge(&sight, &proof);
        CHECK_ROW_TEXT(i, rows[i].name, device_placement_names[proof.placement],
                       device_placement_names[rows[i].placement]);
        CHECK_ROW_TEXT(i, rows[i].name, proof.evidence[0], rows[i].evidence[0]);
        CHECK_ROW_TEXT(i, rows[i].name, proof.evidence[1], rows[i].evidence[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
