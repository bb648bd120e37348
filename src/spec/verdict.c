/* One table says everything about a verdict: its stored name, its legend, whether it carries a
 * fitness and whether it is believed at once. Reports, help and the retry rule read it from here.
 *
 * Rejected: a fitness of 0 for failed trials. A failure has no place on the scale of speeds, and a
 * search that averages over it would learn a wrong number instead of a reason. */
#include "spec/verdict.h"

#include "base/auto.h"

#include <assert.h>
#include <string.h>

static const struct verdict_facts table[] = {
    [VERDICT_OK] = {.name = "ok",
                    .meaning = "measured, every requirement met",
                    .has_fitness = true},
    [VERDICT_SLOW] = {.name = "slow",
                      .meaning = "measured, a requirement failed",
                      .has_fitness = true},
    [VERDICT_OOM_START] = {.name = "oom_start", .meaning = "out of memory before it was ready"},
    [VERDICT_OOM_LOAD] = {.name = "oom_load",
                          .meaning = "out of memory at the first request or under load"},
    [VERDICT_OOM_HOST] = {.name = "oom_host",
                          .meaning = "killed for host memory, by the kernel or a memory limit"},
    [VERDICT_NEIGHBOUR_HARMED] = {.name = "neighbour_harmed",
                                  .meaning = "a declared neighbour died or changed through it"},
    [VERDICT_NO_ROOM] = {.name = "no_room",
                         .meaning = "has no room beside the most that neighbours have held"},
    [VERDICT_CPU_FALLBACK] = {.name = "cpu_fallback",
                              .meaning = "should compute on the GPU, computed on the CPU"},
    [VERDICT_PARTIAL_OFFLOAD] = {.name = "partial_offload",
                                 .meaning = "a part of the model computed on the CPU"},
    [VERDICT_PLACEMENT_UNPROVEN] = {.name = "placement_unproven",
                                    .meaning = "where it computed could not be proven"},
    [VERDICT_CRASHED_START] = {.name = "crashed_start",
                               .meaning = "ended by itself before it was ready"},
    [VERDICT_CRASHED_LOAD] = {.name = "crashed_load",
                              .meaning = "ended by itself at the first request or under load"},
    [VERDICT_HUNG] = {.name = "hung", .meaning = "alive, answers nothing"},
    [VERDICT_NOT_READY] = {.name = "not_ready", .meaning = "not ready before its deadline"},
    [VERDICT_REFUSED] = {.name = "refused",
                         .meaning = "the engine rejected or silently changed the setting"},
    [VERDICT_BAD_ANSWERS] = {.name = "bad_answers",
                             .meaning = "wrong or empty output, or word errors over the limit"},
    [VERDICT_ERRORS] = {.name = "errors", .meaning = "requests failed"},
    [VERDICT_CONTENDED] = {.name = "contended",
                           .meaning = "something outside the trial used the device",
                           .retried = true},
    [VERDICT_DEVICE_DIRTY] = {.name = "device_dirty",
                              .meaning = "the device was not clean before the start",
                              .retried = true},
    [VERDICT_LEAK] = {.name = "leak", .meaning = "processes or memory did not come back"},
    [VERDICT_INSTRUMENT] = {.name = "instrument",
                            .meaning =
                                "the load was sent too late: our own lateness over the bound",
                            .retried = true},
    [VERDICT_ENV_FAULT] = {.name = "env_fault",
                           .meaning = "driver, library or surroundings broken",
                           .retried = true},
    [VERDICT_STOPPED] = {.name = "stopped", .meaning = "asked to stop before it was measured"},
};
static_assert(ARRAY_LEN(table) == VERDICT_COUNT_, "one row per verdict");

const struct verdict_facts *verdict_facts(enum verdict verdict)
{
    static const struct verdict_facts none = {.name = "unknown", .meaning = "no such verdict"};
    return (int)verdict >= 0 && verdict < VERDICT_COUNT_ ? &table[verdict] : &none;
}

int verdict_from_name(const char *name)
{
    for (int i = 0; name && i < VERDICT_COUNT_; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return -1;
}
