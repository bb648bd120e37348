/* The machine's CPU time: guest is not counted twice, waiting is not work, a cut file is refused.
 */
#include "device/proc.h"

#include "fake_proc.h"

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t busy_ticks, steal_ticks;
        int cores;
    } rows[] = {
        {"cpu  1 2 3 400 50 6 7 8 1 0\ncpu0 1 2 3 400 50 6 7 8 1 0\nintr 5 6\n", true, 19, 8, 1},
        {"cpu  1 2 3 400 50 6 7 8 1 0\ncpu0 0 0\ncpu17 0\ncpufreq 1\n", true, 19, 8, 2},
        {"cpu  1 2 3 400 50 6 7 8\ncpu0 0\n", true, 19, 8, 1},
        {"cpu  1 2 3 400 50 6 7\ncpu0 0\n", false, 0, 0, 0},
        {"cpu  1 2 3 400 50 6 7 8 1 0\n", false, 0, 0, 0},
        {"cpu0 1 2 3 400 50 6 7 8 1 0\n", false, 0, 0, 0},
        {"cpu  1 2 3 400 50 6 7 8", false, 0, 0, 0},
        {"cpu  1 2 -3 400 50 6 7 8 1 0\ncpu0 0\n", false, 0, 0, 0},
        {"cpu  1 2 99999999999999999999 400 50 6 7 8 1 0\ncpu0 0\n", false, 0, 0, 0},
        {"cpu  1 2 9223372036854775807 400 50 6 7 8 1 0\ncpu0 0\n", false, 0, 0, 0},
        {"", false, 0, 0, 0},
        {"cpu", false, 0, 0, 0},
    };
    char *root = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proc_cpu cpu = {0};
        struct err err = ERR_INIT;
        fake_text(root, "stat", rows[i].text);
        CHECK_ROW(i, rows[i].text, proc_read_cpu(root, &cpu, &err) == rows[i].good);
        CHECK_ROW(i, rows[i].text, err_is_set(&err) != rows[i].good);
        CHECK_ROW(i, rows[i].text, cpu.busy_ns == rows[i].busy_ticks * 10000000);
        CHECK_ROW(i, rows[i].text, cpu.steal_ns == rows[i].steal_ticks * 10000000);
        CHECK_ROW(i, rows[i].text, cpu.cores == rows[i].cores);
    }
    check_remove_folder(root);
}

static void test_real(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct proc_cpu cpu;
    assert_true(proc_read_cpu("/proc", &cpu, &err));
    assert_int_equal(cpu.cores, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(cpu.busy_ns > 0 && cpu.at_ns > 0);
    err = ERR_INIT;
    assert_false(proc_read_cpu("/nonexistent", &cpu, &err));
    assert_true(err_is_set(&err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
