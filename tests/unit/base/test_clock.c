/* Monotonic time never goes back, and wall time is shown as a person writes it. */
#include "base/clock.h"

#include "base/auto.h"

#include "check.h"

#include <time.h>

static void test_now(void **state)
{
    (void)state;
    int64_t before = clock_now_ns(), cpu_before = clock_cpu_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_cpu_ns() >= cpu_before);
    assert_true(before > 0 && before < CLOCK_NEVER);
    assert_true(clock_now_wall_us() > INT64_C(1600000000) * 1000000);
}

static void test_format_wall(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_us;
        const char *text;
    } rows[] = {
        {0, "1970-01-01 00:00:00"},
        {INT64_C(1795624867999999), "2026-11-25 16:41:07"},
        {INT64_C(951782400000000), "2000-02-29 00:00:00"},
    };
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[20];
        CHECK_ROW_TEXT(i, rows[i].text, clock_format_wall(rows[i].wall_us, text, sizeof text),
                       rows[i].text);
    }
    char small[5];
    assert_string_equal(clock_format_wall(0, small, sizeof small), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_format_wall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
