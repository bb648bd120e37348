/* The CPU box through the interface that all kinds have. */
#include "device/device.h"

#include "fake_proc.h"

#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"cuda:0", "there is no device \"cuda:0\"; a GPU is named gpu0, gpu1, ... or by its UUID "
                   "(GPU-..., MIG-...)"},
        {"gpu", "there is no device \"gpu\"; a GPU is named gpu0, gpu1, ... or by its UUID "
                "(GPU-..., MIG-...)"},
        {"", "there is no device \"\"; device: cpu works"},
        {"cpu0", "there is no device \"cpu0\"; device: cpu works"},
        {"a\nb", "there is no device \"a b\"; device: cpu works"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct device *device = NULL;
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].name, !device_open(rows[i].name, "/proc", &device, &err));
        CHECK_ROW(i, rows[i].name, err.code == ERR_INPUT && !device);
        CHECK_ROW_TEXT(i, rows[i].name, err.text, rows[i].text);
    }
    assert_null(device_close(NULL));
    for (int i = 0; i < PLACEMENT_COUNT_; i++)
        assert_non_null(device_placement_names[i]);
    for (int i = 0; i < READING_SOURCE_COUNT_; i++)
        assert_non_null(reading_source_name((enum reading_source)i));
    assert_string_equal(reading_source_name((enum reading_source)77), "nothing");
}

static void write_machine(const char *root)
{
    fake_text(root, "stat", "cpu  100 0 100 5 5 0 0 50 0 0\ncpu0 1\ncpu1 1\ncpu2 1\n");
    fake_text(root, "meminfo", "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 700 kB\n");
    fake_text(root, "cpuinfo", "processor\t: 0\nmodel name\t: Test\x1b[1m CPU\nflags: x\n");
    fake_text(root, "sys/kernel/random/boot_id", "aaaa-bbbb\n");
}

static void test_machine(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct err err = ERR_INIT;
    AUTO(device_close) struct device *device = NULL;
    assert_false(device_open("cpu", root, &device, &err));
    assert_null(device);
    err = ERR_INIT;
    write_machine(root);
    assert_true(device_open("cpu", root, &device, &err));
    const struct device_facts *facts = device_facts(device);
    assert_int_equal(strncmp(facts->id, "cpu-", 4), 0);
    assert_int_equal(strlen(facts->id), 4 + 16);
    assert_string_equal(facts->name, "Test\\x1b[1m CPU, 3 cores");
    assert_int_equal(facts->cores, 3);
    assert_true(facts->memory_bytes == 1000 * 1024);
    assert_non_null(strstr(facts->versions, "Linux"));
    struct device_snapshot snapshot;
    device_snapshot(device, &snapshot);
    assert_true(reading_value(snapshot.free_bytes) == 700 * 1024);
    assert_true(reading_value(snapshot.total_bytes) == 1000 * 1024);
    assert_true(reading_value(snapshot.busy_ns) == 2e9);
    assert_true(reading_value(snapshot.steal_ns) == 0.5e9);
    assert_true(snapshot.at_ns > 0);
    /* A machine that stops telling is unknown, not idle. */
    fake_text(root, "stat", "");
    fake_text(root, "meminfo", "");
    device_snapshot(device, &snapshot);
    assert_true(isnan(reading_value(snapshot.busy_ns)) && isnan(reading_value(snapshot.steal_ns)));
    assert_true(isnan(reading_value(snapshot.free_bytes)) && snapshot.at_ns > 0);
    /* An ARM machine says no model name. */
    write_machine(root);
    fake_text(root, "cpuinfo", "processor : 0\n");
    device = device_close(device);
    assert_true(device_open("cpu", root, &device, &err));
    assert_non_null(strstr(device_facts(device)->name, ", 3 cores"));
    check_remove_folder(root);
}

/* Keeper 7; below it 8 (with a dead child 9) and 10. */
static void write_tree(const char *root)
{
    static const struct fake_process tree[] = {
        {.pid = 7, .ppid = 1, .user = 1000, .child_user = 3},
        {.pid = 8, .ppid = 7, .user = 10, .system = 5, .child_user = 20, .child_system = 1},
        {.pid = 9, .ppid = 8, .state = 'Z', .user = 100},
        {.pid = 10, .ppid = 7, .user = 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(tree); i++)
        fake_stat(root, &tree[i]);
    fake_children(root, 7, 7, "8 10 ");
    fake_children(root, 8, 8, "9 ");
    fake_children(root, 9, 9, "");
    fake_children(root, 10, 10, "");
    fake_text(root, "7/smaps_rollup", "Pss: 99999 kB\n");
    fake_text(root, "8/smaps_rollup", "Pss: 30 kB\n");
    fake_text(root, "10/smaps_rollup", "Pss: 12 kB\n");
}

static void test_usage(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct err err = ERR_INIT;
    struct device_usage usage;
    AUTO(device_close) struct device *device = NULL;
    write_machine(root);
    write_tree(root);
    assert_true(device_open("cpu", root, &device, &err));
    device_usage(device, 7, &usage);
    assert_int_equal(usage.processes, 2);
    assert_int_equal(usage.cpu_ns, (3 + 36 + 100 + 200) * INT64_C(10000000));
    assert_true(reading_value(usage.memory_bytes) == 42 * 1024);
    /* One living member whose memory is refused: the sum is unknown, the time is not. */
    fake_text(root, "10/smaps_rollup", "");
    device_usage(device, 7, &usage);
    assert_true(isnan(reading_value(usage.memory_bytes)));
    assert_int_equal(usage.cpu_ns, (3 + 36 + 100 + 200) * INT64_C(10000000));
    /* A keeper alone holds nothing; no keeper at all is unknown. */
    fake_children(root, 7, 7, "");
    device_usage(device, 7, &usage);
    assert_true(reading_value(usage.memory_bytes) == 0);
    assert_int_equal(usage.cpu_ns, 3 * INT64_C(10000000));
    device_usage(device, 77, &usage);
    assert_true(isnan(reading_value(usage.memory_bytes)));
    assert_int_equal(usage.processes, 0);
    check_remove_folder(root);
}

static void test_prove(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t before_ns, after_ns;
        double memory_bytes;
        int processes;
        enum placement placement;
        const char *evidence[2];
    } rows[] = {
        {"works",
         0,
         412000000,
         431 << 20,
         2,
         PLACEMENT_CPU,
         {"its processes used 412 ms of CPU time during the probe request",
          "its 2 processes hold 431 MiB of this machine's RAM (PSS)"}},
        {"under a tick",
         5,
         5,
         3 << 20,
         1,
         PLACEMENT_CPU,
         {"its processes used less CPU time than a clock tick (10 ms) during the probe request",
          "its 1 process holds 3,072 KiB of this machine's RAM (PSS)"}},
        {"memory refused",
         0,
         20000000,
         NAN,
         1,
         PLACEMENT_CPU,
         {"its processes used 20 ms of CPU time during the probe request",
          "1 process of it lives on this machine (memory can't be read)"}},
        {"dead",
         0,
         20000000,
         0,
         0,
         PLACEMENT_UNPROVEN,
         {"its processes used 20 ms of CPU time during the probe request", ""}},
        {"time fell",
         30000000,
         20000000,
         3 << 20,
         1,
         PLACEMENT_UNPROVEN,
         {"", "its 1 process holds 3,072 KiB of this machine's RAM (PSS)"}},
    };
    struct err err = ERR_INIT;
    AUTO(device_close) struct device *device = NULL;
    assert_true(device_open("cpu", "/proc", &device, &err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct device_usage before = {.cpu_ns = rows[i].before_ns};
        struct device_usage after = {.cpu_ns = rows[i].after_ns, .processes = rows[i].processes};
        after.memory_bytes = isnan(rows[i].memory_bytes)
                                 ? READING_NONE
                                 : reading_known(READING_FROM_PROC, rows[i].memory_bytes);
        /* Where it ran does not depend on where it was asked to. */
        for (int on = ON_CPU; on <= ON_GPU; on++) {
            struct device_proof proof;
            device_prove(device, &before, &after, (enum spec_on)on, &proof);
            CHECK_ROW(i, rows[i].name, proof.placement == rows[i].placement);
            CHECK_ROW_TEXT(i, rows[i].name, proof.evidence[0], rows[i].evidence[0]);
            CHECK_ROW_TEXT(i, rows[i].name, proof.evidence[1], rows[i].evidence[1]);
        }
    }
}

/* A keeper whose child used CPU time and was reaped: the time is still there, and counted once. */
static void test_dead_count_once(void **state)
{
    (void)state;
    int fds[2];
    char done = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t keeper = fork();
    assert_true(keeper >= 0);
    if (keeper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fork() == 0) {
            while (clock() < CLOCKS_PER_SEC / 10)
                ;
            _exit(0);
        }
        wait(NULL);
        if (write(fds[1], &done, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(fds[0], &done, 1), 1);
    struct err err = ERR_INIT;
    struct device_usage usage;
    AUTO(device_close) struct device *device = NULL;
    assert_true(device_open("cpu", "/proc", &device, &err));
    device_usage(device, keeper, &usage);
    kill(keeper, SIGKILL);
    waitpid(keeper, NULL, 0);
    assert_int_equal(usage.processes, 0);
    assert_true(usage.cpu_ns >= 70000000 && usage.cpu_ns <= 130000000);
    assert_true(reading_value(usage.memory_bytes) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_machine),
        cmocka_unit_test(test_usage),           cmocka_unit_test(test_prove),
        cmocka_unit_test(test_dead_count_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
