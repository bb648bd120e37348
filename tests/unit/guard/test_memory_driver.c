/* A driver that hangs: guard gives it up sooner than a study would, says so once, and finds it
 * again when it answers. */
#include "../device/fake_card.h"

#include "guard/memory.h"
#include "made_study.h"

#include "base/clock.h"

#include <math.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_driver_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
