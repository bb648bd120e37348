/* A driver that hangs: guard gives it up sooner than a study would, says so once, and finds it
 * again when it answers. */
#include "../device/fake_card.h"

#include "guard/changed.h"
#include "made_study.h"

#include "base/clock.h"

#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

/* Before: guard stood still for 30 s, which is as long as systemd lets it. */
static void test_a_driver_that_hangs(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    const struct guard_memory_subject subjects[2] = {{0}, {0}};
    struct guard_events events = {0};
    unsetenv("SPICA_NVML_WITHIN");
    setenv("SPICA_NVML_LIBRARY", fake_library(4), 1);
    fake_script(folder, H100);
    struct made_study *made = made_study_new(folder);
    struct guard_memory *memory = guard_memory_new(&made->study, "/proc");
    const struct guard_device_view *view = guard_memory_device(memory, 0);
    int64_t now_ns = clock_now_ns();
    guard_memory_step(memory, now_ns, subjects, &events);
    assert_int_equal(view->fault, FAULT_NONE);
    assert_true(view->free_bytes > 0);
    assert_int_equal(events.count, 0);

    fake_script(folder, "hang *\n" H100);
    for (int s = 20; s < 24; s++)
        guard_memory_step(memory, now_ns + s * NS_PER_S, subjects, &events);
    assert_int_equal(view->fault, FAULT_LOST);
    assert_non_null(strstr(view->fault_text, "did not come back within 5 s"));
    assert_true(isnan(view->free_bytes));
    assert_int_equal(events.count, 1);
    assert_int_equal(events.items[0].kind, EVENT_DRIVER_LOST);

    fake_script(folder, H100);
    guard_memory_step(memory, now_ns + 60 * NS_PER_S, subjects, &events);
    assert_int_equal(view->fault, FAULT_NONE);
    assert_true(view->free_bytes > 0);
    guard_memory_free(memory);
    made_study_free(made);
    check_remove_folder(folder);
}

#define MIB (1024.0 * 1024)
#define GIB (1024 * MIB)

static void look_for(struct guard_memory *memory, int seconds, int64_t *now_ns,
                     struct guard_events *events)
{
    const struct guard_memory_subject subjects[2] = {{0}, {0}};
    for (int i = 0; i < seconds; i++) {
        *now_ns += NS_PER_S;
        guard_memory_step(memory, *now_ns, subjects, events);
        usleep(20 * 1000);
    }
}

/* Until what others hold is known, in a bounded number of steps. */
static void look(struct guard_memory *memory, int64_t *now_ns, struct guard_events *events)
{
    look_for(memory, 40, now_ns, events);
}

/* So many seconds, in which guard sees that others hold so much: its answers come from a process of
 * their own, which a busy machine lets wait. */
static void see(struct guard_memory *memory, double others_bytes, int seconds, int64_t *now_ns,
                struct guard_events *events)
{
    const struct guard_memory_subject subjects[2] = {{0}, {0}};
    const struct guard_device_view *view = guard_memory_device(memory, 0);
    const int64_t end_ns = *now_ns + seconds * NS_PER_S;
    while (*now_ns < end_ns && !(fabs(view->stranger_bytes - others_bytes) < 1)) {
        *now_ns += 10 * NS_PER_MS;
        guard_memory_step(memory, *now_ns, subjects, events);
        usleep(10 * 1000);
    }
    assert_true(fabs(view->stranger_bytes - others_bytes) < 1);
    look_for(memory, (int)((end_ns - *now_ns) / NS_PER_S), now_ns, events);
    *now_ns = end_ns;
}

/* A leak of somebody else's, two GiB in a minute. Expected: a word after one minute, after two
 * more, and at once when it is given back. Before: a word every four seconds. */
static void test_a_neighbour_that_grows(void **state)
{
    (void)state;
    char *folder = check_make_folder(), script[1024];
    struct guard_events events = {0};
    setenv("SPICA_NVML_LIBRARY", fake_library(4), 1);
    fake_script(folder, H100);
    struct made_study *made = made_study_new(folder);
    struct guard_memory *memory = guard_memory_new(&made->study, "/proc");
    int64_t now_ns = clock_now_ns();
    size_t told[14] = {0};
    look(memory, &now_ns, &events);
    assert_int_equal(events.count, 0);
    for (int i = 0; i < 14; i++) {
        snprintf(script, sizeof script, "%sprocess c %d %d\n", H100, (int)getpid() + 100000,
                 1000 * (i + 1));
        fake_script(folder, script);
        see(memory, 1000.0 * (i + 1) * MIB, 20, &now_ns, &events);
        told[i] = events.count;
    }
    static const size_t expected[14] = {1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3};
    for (size_t i = 0; i < 14; i++)
        CHECK_ROW(i, "words", told[i] == expected[i]);
    assert_non_null(strstr(events.items[2].text, "have grown from"));
    fake_script(folder, H100);
    see(memory, 0, 40, &now_ns, &events);
    assert_int_equal(events.count, 4);
    assert_non_null(strstr(events.items[3].text, "have given memory back, from"));
    guard_memory_free(memory);
    made_study_free(made);
    check_remove_folder(folder);
}

/* Before: who was there before guard was nobody's news, whatever the study had seen. */
static void test_neighbours_are_compared_with_the_study(void **state)
{
    (void)state;
    static char sleeper[] = "/bin/sleep", long_enough[] = "600";
    static const struct {
        const char *name;
        double low, high;
        int expected;
    } rows[] = {{"nobody was there", 0, 0, 1},
                {"they were there", 9000.0 * 1048576, 9000.0 * 1048576, 0},
                {"once", 0, 9 * GIB, 0},
                {"more was there", 20 * GIB, 21 * GIB, 1}};
    char *folder = check_make_folder(), script[1024];
    struct guard_events events = {0};
    pid_t pid = -1;
    assert_int_equal(posix_spawn(&pid, sleeper, NULL, NULL, (char *[]){sleeper, long_enough, NULL},
                                 (char *[]){NULL}),
                     0);
    setenv("SPICA_NVML_LIBRARY", fake_library(4), 1);
    snprintf(script, sizeof script, "%sprocess c %d 9000\n", H100, (int)pid);
    fake_script(folder, script);
    struct made_study *made = made_study_new(folder);
    struct guard_memory *memory = guard_memory_new(&made->study, "/proc");
    const struct guard_device_view *view = guard_memory_device(memory, 0);
    int64_t now_ns = clock_now_ns();
    look(memory, &now_ns, &events);
    assert_int_equal(events.count, 0); /* it was there when guard began */
    assert_true(view->stranger_bytes >= 9000.0 * 1048576);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_studied studied = {.found = true, .strangers = {{rows[i].low, rows[i].high}}};
        struct guard_others others[SPEC_DEVICES_MAX] = {{view->stranger_bytes, NAN}};
        struct guard_answer answer = guard_changed_neighbours(&made->study, &studied, others, "");
        CHECK_ROW(i, rows[i].name, answer.truth == rows[i].expected);
    }
    fake_script(folder, H100);
    look(memory, &now_ns, &events);
    assert_true(view->stranger_bytes < GIB);
    assert_int_equal(events.count, 1);
    assert_int_equal(events.items[0].kind, EVENT_NEIGHBOUR);
    assert_non_null(strstr(events.items[0].text, "have given memory back"));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    guard_memory_free(memory);
    made_study_free(made);
    check_remove_folder(folder);
}

/* Whose card was it? */
static void test_xids_of_cards(void **state)
{
    (void)state;
    static const struct {
        const char *pci;
        bool open; /* the study's card could be */
        int code;
        const char *words, *begins;
        bool nobodys;
        enum guard_event_kind kind;
    } rows[] = {
        {"0000:1b:00", true, 79, "off", "gpu0 (0000:1b:00): Xid 79: off", false, EVENT_XID},
        {"0000:55:00", true, 79, "off", "a card of no service here (0000:55:00): Xid 79: off", true,
         EVENT_XID},
        {"0000:55:00", false, 79, "off", "gpu0 or a card of no service (0000:55:00): Xid 79: off",
         false, EVENT_XID},
        /* Expected: no error. Before: it was one, and somebody was called. */
        {"0000:1b:00", true, 154,
         "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
         "gpu0 (0000:1b:00): Xid 154: GPU recovery action changed from 0x1 (GPU Reset Required) to "
         "0x0 (None)",
         false, EVENT_XID_OVER},
        {"0000:1b:00", true, 154, "GPU recovery action changed from 0x0 (None) to 0x2 (Reboot)",
         "gpu0 (0000:1b:00): Xid 154: GPU recovery action changed from 0x0 (None) to 0x2 (Reboot)",
         false, EVENT_XID},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder();
        struct guard_events events = {0};
        setenv("SPICA_NVML_LIBRARY", rows[i].open ? fake_library(4) : "/nowhere/libnvml.so", 1);
        fake_script(folder, H100);
        struct made_study *made = made_study_new(folder);
        struct guard_memory *memory = guard_memory_new(&made->study, "/proc");
        guard_memory_note_xid(memory, rows[i].pci, rows[i].code, rows[i].words, &events);
        CHECK_ROW(i, events.items[0].text, events.count == 1);
        CHECK_ROW(i, events.items[0].text, events.items[0].kind == rows[i].kind);
        CHECK_ROW(i, events.items[0].text, strcmp(events.items[0].text, rows[i].begins) == 0);
        CHECK_ROW(i, rows[i].begins,
                  guard_memory_xid_is_nobodys(events.items[0].text) == rows[i].nobodys);
        guard_memory_free(memory);
        made_study_free(made);
        check_remove_folder(folder);
    }
}

/* Whether the card is slowed down, and by what, as the driver says it. */
static void test_a_card_that_is_slowed_down(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        double throttled; /* NaN: unknown */
        const char *words;
    } rows[] = {
        {"nothing slows it", H100 "throttle 0x0\n", 0, ""},
        {"by heat and power", H100 "throttle 0x24\n", 1, "power cap, too hot"},
        {"idle, a clock that somebody set", H100 "throttle 0x3\n", 0, ""},
        {"the brake", H100 "throttle 0x80\n", 1, "power brake"},
        {"it is not told any more",
         "fail nvmlDeviceGetCurrentClocksThrottleReasons 3\n" H100 "throttle 0x80\n", NAN, NULL},
        {"told again", H100 "throttle 0x8\n", 1, "slowed by the hardware"},
        {"over", H100 "throttle 0x1\n", 0, ""},
    };
    char *folder = check_make_folder();
    struct guard_events events = {0};
    setenv("SPICA_NVML_LIBRARY", fake_library(4), 1);
    fake_script(folder, H100);
    struct made_study *made = made_study_new(folder);
    struct guard_memory *memory = guard_memory_new(&made->study, "/proc");
    const struct guard_device_view *view = guard_memory_device(memory, 0);
    int64_t now_ns = clock_now_ns();
    assert_true(isnan(view->throttled));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const bool unknown = isnan(rows[i].throttled);
        fake_script(folder, rows[i].script);
        for (int s = 0;
             s < 60 && (unknown ? !isnan(view->throttled) : view->throttled != rows[i].throttled);
             s++)
            look_for(memory, 1, &now_ns, &events);
        CHECK_ROW(i, rows[i].name, view->fault == FAULT_NONE);
        CHECK_ROW(i, rows[i].name,
                  unknown ? isnan(view->throttled) : view->throttled == rows[i].throttled);
        CHECK_ROW(i, rows[i].name, unknown || strcmp(view->throttle_words, rows[i].words) == 0);
    }
    guard_memory_free(memory);
    made_study_free(made);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_driver_that_hangs),
        cmocka_unit_test(test_xids_of_cards),
        cmocka_unit_test(test_a_card_that_is_slowed_down),
        cmocka_unit_test(test_a_neighbour_that_grows),
        cmocka_unit_test(test_neighbours_are_compared_with_the_study),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
