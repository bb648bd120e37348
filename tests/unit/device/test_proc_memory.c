/* Memory lines are found where the kernel writes them and nowhere else; a real child's PSS is what
 * it touched. */
#include "device/proc.h"

#include "fake_proc.h"

#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bytes; /* NaN: unknown */
    } rows[] = {
        {"55-7f ---p 0 0:0 0 [rollup]\nRss:  1780 kB\nPss:   361 kB\nPss_Dirty: 9 kB\n",
         361 * 1024},
        {"Pss:\t361 kB\n", 361 * 1024},
        {"Pss: 0 kB\n", 0},
        {"SwapPss: 5 kB\nPss: 6 kB\n", 6 * 1024},
        {"Name:\tPss: 7 kB\nPss: 8 kB\n", 8 * 1024},
        {"", NAN},
        {"Pss:\n", NAN},
        {"Pss: kB\n", NAN},
        {"Pss: -1 kB\n", NAN},
        {"Pss: 361", NAN},
        {"Pss: 361 k", NAN},
        {"Pss: 361 MB\n", NAN},
        {"Pss: 36x1 kB\n", NAN},
        {"Pss: 99999999999999999999999999 kB\n", NAN},
        {"Rss: 1 kB\n", NAN},
        {"xPss: 1 kB\n", NAN},
    };
    char *root = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_text(root, "7/smaps_rollup", rows[i].text);
        struct reading pss = proc_pss(root, 7);
        CHECK_ROW(i, rows[i].text, isnan(rows[i].bytes) == (pss.state == READING_UNKNOWN));
        CHECK_ROW(i, rows[i].text, isnan(rows[i].bytes) || pss.value == rows[i].bytes);
        CHECK_ROW(i, rows[i].text, !isnan(rows[i].bytes) || isnan(reading_value(pss)));
    }
    fake_text(root, "7/status", "Name:\ta\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n");
    assert_true(proc_peak_rss(root, 7).value == 2048.0 * 1024);
    assert_true(proc_rss(root, 7).value == 1024.0 * 1024);
    assert_int_equal(proc_rss(root, 7).source, READING_FROM_PROC);
    assert_int_equal(proc_rss(root, 8).state, READING_UNKNOWN);
    assert_int_equal(proc_pss("/nonexistent", 7).state, READING_UNKNOWN);
    check_remove_folder(root);
}

static void test_machine(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double total, available, swap_used; /* KiB, NaN: unknown */
    } rows[] = {
        {"MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 60 kB\nSwapTotal: 9 kB\nSwapFree: 7 kB\n",
         100, 60, 2},
        {"MemTotal: 100 kB\nMemAvailable: 60 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n", 100, 60, 0},
        {"MemTotal: 100 kB\nMemFree: 60 kB\n", 100, NAN, NAN},
        {"MemTotal: 0 kB\nMemAvailable: 0 kB\nSwapTotal: 1 kB\nSwapFree: 2 kB\n", NAN, 0, NAN},
        {"", NAN, NAN, NAN},
    };
    char *root = check_make_folder();
    struct err err = ERR_INIT;
    struct proc_memory memory;
    assert_false(proc_read_memory(root, &memory, &err));
    err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_text(root, "meminfo", rows[i].text);
        CHECK_ROW(i, rows[i].text, proc_read_memory(root, &memory, &err));
        const double is[] = {reading_value(memory.total_bytes),
                             reading_value(memory.available_bytes),
                             reading_value(memory.swap_used_bytes)};
        const double expected[] = {rows[i].total, rows[i].available, rows[i].swap_used};
        for (size_t n = 0; n < ARRAY_LEN(is); n++)
            CHECK_ROW(i, rows[i].text,
                      isnan(expected[n]) ? isnan(is[n]) : is[n] == expected[n] * 1024);
    }
    check_remove_folder(root);
    assert_true(proc_read_memory("/proc", &memory, &err));
    assert_true(reading_value(memory.total_bytes) > reading_value(memory.available_bytes));
}

/* A child that maps `shared` (ours, touched before) and touches `size` bytes of its own. */
static pid_t start_toucher(size_t size)
{
    int fds[2];
    char ready = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        memset(memory, 1, size);
        if (write(fds[1], &ready, 1) == 1)
            pause();
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &ready, 1), 1);
    close(fds[0]);
    return child;
}

static void test_real_child(void **state)
{
    (void)state;
    const size_t size = 50 << 20;
    pid_t child = start_toucher(size);
    double pss = reading_value(proc_pss("/proc", child));
    double rss = reading_value(proc_rss("/proc", child));
    double peak = reading_value(proc_peak_rss("/proc", child));
    kill(child, SIGKILL);
    /* Dead but not reaped: no memory to read, and not 0 either. */
    assert_int_equal(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT), 0);
    assert_int_equal(proc_pss("/proc", child).state, READING_UNKNOWN);
    assert_int_equal(proc_rss("/proc", child).state, READING_UNKNOWN);
    waitpid(child, NULL, 0);
    /* Program and libraries come on top, shared with us; a sanitiser adds shadow memory. */
    assert_true(pss >= (double)size && pss < 1.5 * (double)size);
    assert_true(rss >= 0.95 * (double)size && peak >= 0.95 * (double)size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_real_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
