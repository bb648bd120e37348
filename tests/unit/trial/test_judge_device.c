/* What devices add: who holds them before the start, strangers during it, proof of placement, a
 * card that is lost; and what beats what there. */
#include "trial/judge_rows.h"

SIGNATURE(oom, CAUSE_OOM, "less memory is free than its share of the device");
SIGNATURE(race, CAUSE_START_RACE, "a neighbour gave memory back while it sized itself");
SIGNATURE(cpu, CAUSE_CPU_FALLBACK, "no usable GPU found");

#define ENDED(c) .end = SERVICE_ENDED, .phase = PHASE_START, .exit_code = 1, MATCH(c)
#define PROVEN(p, first, second)                                                                   \
    .on = ON_GPU, .probed = true, .proof = {.placement = (p), .evidence = {first, second}}

static const struct row rows[] = {
    {"held before the start: nothing else is said",
     {.not_measured = true, .dirty = "gpu0 is held by python3 (pid 77, 9,000 MiB)"},
     VERDICT_DEVICE_DIRTY,
     -1,
     "gpu0 is held by python3 (pid 77",
     "pid 77",
     false},
    {"the card is lost: services that died of it are not to blame",
     {.device_fault = "gpu0: the driver lost it; kernel: Xid 79",
      .b = {.end = SERVICE_ENDED, .phase = PHASE_MEASURE, .exit_code = 1}},
     VERDICT_ENV_FAULT,
     -1,
     "gpu0: the driver lost it; kernel: Xid 79",
     "Xid 79",
     false},
    {"lost beats dirty",
     {.not_measured = true, .device_fault = "gpu0: lost", .dirty = "gpu0 is held by x"},
     VERDICT_ENV_FAULT,
     -1,
     "gpu0: lost",
     NULL,
     false},
    {"out of memory beside ours and declared neighbours",
     {.b = {ENDED(oom)}},
     VERDICT_OOM_START,
     1,
     "llm: less memory is free",
     "the line",
     false},
    {"out of memory while a stranger grew",
     {.strangers_grew = "strangers on gpu0 took 4,000 MiB meanwhile: game (pid 9)",
      .b = {ENDED(oom)}},
     VERDICT_CONTENDED,
     -1,
     "strangers on gpu0 took 4,000 MiB meanwhile: game (pid 9); llm: less memory",
     "pid 9",
     false},
    {"a stranger that grew explains no other end",
     {.strangers_grew = "strangers on gpu0 took 4,000 MiB meanwhile",
      .b = {.end = SERVICE_ENDED, .phase = PHASE_START, .exit_code = 3}},
     VERDICT_CRASHED_START,
     1,
     "exit status 3",
     NULL,
     false},
    {"a race lost twice, named",
     {.b = {ENDED(race), .start_race = "started twice: a neighbour gave memory back"}},
     VERDICT_CRASHED_START,
     1,
     "a neighbour gave memory back",
     "started twice",
     false},
    {"a race lost once is told beside a good result",
     {.b = {.start_race = "started twice: a neighbour gave memory back"}},
     VERDICT_OK,
     -1,
     "",
     "started twice",
     false},
    {"strangers in the window",
     {.device_contention = "strangers on gpu0 kept 40 % of it busy, 10 % allowed: x (pid 9)",
      .contention = 0.5},
     VERDICT_CONTENDED,
     -1,
     "kept 40 % of it busy",
     "pid 9",
     false},
    {"a stranger turns no crash into a healthy run",
     {.device_contention = "strangers on gpu0 kept 40 % of it busy",
      .a = {.end = SERVICE_ENDED, .phase = PHASE_MEASURE, .exit_code = 3}},
     VERDICT_CRASHED_LOAD,
     0,
     "exit status 3",
     NULL,
     false},
    {"on the CPU, and why: its process has another environment",
     {.not_measured = true,
      .a = {PROVEN(PLACEMENT_CPU, "none of its 2 processes is listed on gpu0", "4.1 s of CPU time"),
            .overridden = "its process 77 has CUDA_VISIBLE_DEVICES=, not GPU-1 as set",
            MATCH(cpu)}},
     VERDICT_CPU_FALLBACK,
     0,
     "asked for the GPU; none of its 2 processes is listed",
     "not GPU-1 as set",
     false},
    {"another environment harms nobody who is proven on the card",
     {.a = {PROVEN(PLACEMENT_GPU, "listed on gpu0 with 762 MiB", "SM use 11 %"),
            .overridden = "its process 77 has CUDA_VISIBLE_DEVICES=0, not GPU-1 as set"}},
     VERDICT_OK,
     -1,
     "",
     NULL,
     false},
    {"a part of it",
     {.not_measured = true,
      .b = {PROVEN(PLACEMENT_PARTIAL, "its own words: 10 of 31 layers", "listed on gpu0")}},
     VERDICT_PARTIAL_OFFLOAD,
     1,
     "its own words: 10 of 31 layers",
     "listed on gpu0",
     false},
    {"not proven",
     {.not_measured = true, .b = {PROVEN(PLACEMENT_UNPROVEN, "listed on gpu0, no work seen", "")}},
     VERDICT_PLACEMENT_UNPROVEN,
     1,
     "no work seen",
     NULL,
     false},
};

static void test_devices(void **state)
{
    (void)state;
    bool reached[VERDICT_COUNT_] = {false};
    judge_rows(rows, ARRAY_LEN(rows), reached);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_devices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
