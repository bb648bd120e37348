/* What nobody would see is unknown, and never said to be fine. */
#include "check.h"

#include "guard/alarms.h"
#include "judged.h"

#include <math.h>

#define ACT "  act: {notify: {per_hour: 20}}\n"
#define FRONTS                                                                                     \
    "  fronts: {llm: {port: 8079, keep: p95 < 1s, tiers: {a: {port: 8002}, "                       \
    "b: {port: 8005}}}, stt: {port: 8078, split: {arms: "                                          \
    "{now: {port: 8003, weight: 90}, next: {port: 8004, weight: 10}}}}}\n"

/* What is never known is never told, and never said to be fine. */
static void unknown(void **state)
{
    (void)state;
    struct judged *j = judged_new("  probe: 0\n" ACT);
    judged_steps(j, 50);
    assert_int_equal(j->total, 0);
    static const char *const none[] = {"not on its device",
                                       "down",
                                       "device full soon",
                                       "throttled",
                                       "driver lost",
                                       "fails",
                                       "hangs",
                                       "overloaded",
                                       "restarted",
                                       "restarts again and again"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        CHECK_ROW(i, none[i], judged_state(j, none[i], NULL) == STATE_NO_DATA);
    judged_free(j);
}

/* What only events tell is unknown where nobody would see them, and says why; an event is believed
 * all the same. Before: fine. */
static void unseen(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *figure; /* that is unknown; NULL: of the tick */
        double value;
        bool log, kernel, kills;
        const char *why;
        enum guard_event_kind event;
        int service;
    } cases[] = {
        {"hangs", "stt.probe.rate", NAN, .why = "stt: no probe of late", EVENT_HANGS, 0},
        {"overloaded", "stt.probe.rate", NAN, .why = "stt: no probe", EVENT_OVERLOADED, 0},
        {"no usable server", "proxy.up", 0, .why = "HAProxy does not answer", EVENT_UNSERVED, 1},
        {"HAProxy restarted", "proxy.up", NAN, .why = "HAProxy does not", EVENT_PROXY_RESTARTED,
         -1},
        {"restarted", "stt.up", NAN, .why = "stt: its process is not", EVENT_RESTARTED, 0},
        {"restarts again and again", "stt.up", NAN, .why = "process is not", EVENT_COUNT_, 0},
        {"out of device memory", .log = true, .why = "stt: its log is not seen", EVENT_OOM_DEVICE,
         0},
        {"killed for memory", .kernel = true, .kills = true, .why = "stt: the kernel's log",
         EVENT_OOM_KERNEL, 0},
        {"driver error", .kernel = true, .why = "gpu0: the kernel's log is not read", EVENT_XID,
         -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct judged *j = judged_new(ACT FRONTS);
        char text[240];
        judged_all_well(j);
        judged_steps(j, 70);
        CHECK_ROW(i, cases[i].rule, judged_state(j, cases[i].rule, NULL) == STATE_FINE);
        if (cases[i].figure)
            judged_set(j, cases[i].figure, cases[i].value);
        j->tick.no_log = cases[i].log;
        j->tick.no_kills = cases[i].kills;
        j->tick.no_kernel_log = cases[i].kernel;
        judged_steps(j, 61);
        CHECK_ROW(i, cases[i].rule, judged_state(j, cases[i].rule, text) == STATE_NO_DATA);
        CHECK_ROW(i, text, strstr(text, cases[i].why));
        judged_clear(j);
        if (cases[i].event != EVENT_COUNT_) {
            judged_event(j, cases[i].event, cases[i].service, "seen all the same: Xid 31");
            judged_step(j);
            CHECK_ROW(i, cases[i].rule, judged_only(j, cases[i].rule)->to == STATE_ALARM);
        }
        judged_free(j);
    }
    struct judged *j = judged_new(ACT); /* a group of its own counts a kill as well */
    judged_all_well(j);
    j->tick.no_kernel_log = true;
    judged_steps(j, 5);
    assert_int_equal(judged_state(j, "killed for memory", NULL), STATE_FINE);
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown),
        cmocka_unit_test(unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
