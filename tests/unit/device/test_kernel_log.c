/* A pid is named when the kernel killed just it. */
#include "device/kernel_log.h"

#include "check.h"

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *log;
        pid_t pid;
        bool named;
    } rows[] = {
        {"<3>[1.0] Out of memory: Killed process 4711 (llama) total-vm:1kB\n", 4711, true},
        {"x\n<3>[1.0] Memory cgroup out of memory: Killed process 4711 (a)\n", 4711, true},
        {"Out of memory: Killed process 4711 (llama)\n", 471, false},
        {"Out of memory: Killed process 4711 (llama)\n", 711, false},
        {"Out of memory: Killed process 47110 (llama)\n", 4711, false},
        {"Killed process 4711", 4711, false},
        {"", 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_ROW(i, rows[i].log,
                  device_kernel_log_names(rows[i].log, strlen(rows[i].log), rows[i].pid) ==
                      rows[i].named);
    /* May be refused here; must not claim that we were killed. */
    assert_false(device_kernel_killed(getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
