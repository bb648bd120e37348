/* The driver's words and numbers, each known trap by its number:
 *  1 process layouts     2 all-ones memory      4 MPS clients       5 "not found" is no sample
 *  6 accounting          7 memory v1 and v2     8 unified memory   10 the library and its symbols
 * (3 and 9 are in test_gpu.c.) */
#include "device/nvml.h"

#include "fake_card.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <time.h>

#define MIB 1048576.0

struct bench {
    char *root;
    struct nvml *nvml;
    struct nvml_card card;
};

static struct bench bench_open(int generation, const char *script)
{
    struct bench bench = {.root = check_make_folder()};
    struct err err = ERR_INIT;
    fake_script(bench.root, script);
    if (!nvml_open(fake_library(generation), &bench.nvml, &err) ||
        !nvml_find(bench.nvml, "gpu0", &bench.card, &err))
        fail_msg("%s", err.text);
    return bench;
}

static void bench_close(struct bench *bench)
{
    nvml_close(bench->nvml);
    check_remove_folder(bench->root);
}

static void test_1_process_layouts(void **state)
{
    (void)state;
    /* 16, 24, 32 and 24 bytes apart; one entry and several. */
    for (int generation = 1; generation <= 4; generation++) {
        for (int entries = 1; entries <= 3; entries++) {
            char script[512];
            snprintf(script, sizeof script, H100 "%s%s%s", "process c 4711 1310\n",
                     entries > 1 ? "process c 4712 0\n" : "",
                     entries > 2 ? "process c 4713 25744\n" : "");
            struct bench bench = bench_open(generation, script);
            struct nvml_process *list = NULL;
            size_t count = 0;
            assert_true(nvml_read_processes(&bench.card, &list, &count));
            assert_int_equal(count, entries);
            assert_int_equal(list[0].pid, 4711);
            assert_true(reading_value(list[0].memory_bytes) == 1310 * MIB);
            assert_true(list[0].gpu_instance == UINT_MAX);
            if (entries == 3) {
                assert_int_equal(list[2].pid, 4713);
                assert_true(reading_value(list[1].memory_bytes) == 0);
                assert_true(reading_value(list[2].memory_bytes) == 25744 * MIB);
            }
            free(list);
            bench_close(&bench);
        }
    }
}

/* More processes than the first buffer holds. */
static void test_1_many_processes(void **state)
{
    (void)state;
    char script[8192];
    size_t len = (size_t)snprintf(script, sizeof script, "%s", H100);
    for (int i = 0; i < 64; i++)
        len += (size_t)snprintf(script + len, sizeof script - len, "process cgm %d 10\n", 100 + i);
    struct bench bench = bench_open(4, script);
    struct nvml_process *list = NULL;
    size_t count = 0;
    assert_true(nvml_read_processes(&bench.card, &list, &count));
    assert_int_equal(count, 64);
    assert_int_equal(list[63].kinds, NVML_COMPUTE | NVML_GRAPHICS | NVML_MPS);
    assert_true(reading_value(list[63].memory_bytes) == 10 * MIB);
    free(list);
    bench_close(&bench);
}

static void test_2_all_ones_and_4_mps(void **state)
{
    (void)state;
    struct bench bench = bench_open(4, H100 "process c 50 none\nprocess g 50 none\n"
                                            "process c 51 27\nprocess m 52 512\nprocess cm 53 9\n");
    struct nvml_process *list = NULL;
    size_t count = 0;
    assert_true(nvml_read_processes(&bench.card, &list, &count));
    assert_int_equal(count, 4);
    assert_int_equal(list[0].pid, 50);
    assert_int_equal(list[0].kinds, NVML_COMPUTE | NVML_GRAPHICS);
    assert_true(isnan(reading_value(list[0].memory_bytes)));
    assert_int_equal(list[2].pid, 53); /* in two lists, counted once */
    assert_true(reading_value(list[2].memory_bytes) == 9 * MIB);
    assert_int_equal(list[3].pid, 52); /* only MPS knows it */
    assert_int_equal(list[3].kinds, NVML_MPS);
    free(list);
    bench_close(&bench);
    /* A driver that tells no list is not a driver that lists nobody. */
    bench = bench_open(4, H100 "fail nvmlDeviceGetComputeRunningProcesses 3\nprocess g 50 1\n");
    assert_false(nvml_read_processes(&bench.card, &list, &count));
    bench_close(&bench);
}

/* What the fake shows by a process's name, and what services tell it of themselves. */
static void test_living_processes(void **state)
{
    (void)state;
    struct bench bench = bench_open(4, H100);
    char script[512], part[64];
    snprintf(script, sizeof script, H100 "process c @test_device_nvm 7\ninclude %s/card/*\n",
             bench.root);
    snprintf(part, sizeof part, "process c %d 9\nprocess c 999999999 9\n", (int)getppid());
    fake_text(bench.root, "card/one", part);
    fake_script(bench.root, script);
    struct nvml_process *list = NULL;
    size_t count = 0;
    assert_true(nvml_read_processes(&bench.card, &list, &count));
    assert_int_equal(count, 2);
    assert_int_equal(list[0].pid, getpid());
    assert_int_equal(list[1].pid, getppid());
    free(list);
    bench_close(&bench);
}

static void test_5_samples(void **state)
{
    (void)state;
    static const struct {
        const char *name, *lines;
        int generation;
        enum nvml_samples answer;
        size_t count;
    } rows[] = {
        {"not found", "", 4, NVML_SAMPLES_NONE, 0},
        {"one", "sm 50 11\n", 4, NVML_SAMPLES_SOME, 1},
        {"too old", "sm 50 11 30\n", 4, NVML_SAMPLES_NONE, 0},
        {"too old, told all the same", "any-age 1\nsm 50 11 30\n", 4, NVML_SAMPLES_NONE, 0},
        {"padding and nonsense", "sm 0 0\nsm 50 4000\nsm 51 7\n", 4, NVML_SAMPLES_SOME, 1},
        {"only nonsense", "sm 50 101\n", 4, NVML_SAMPLES_NONE, 0},
        {"refused", "fail nvmlDeviceGetProcessUtilization 3\n", 4, NVML_SAMPLES_REFUSED, 0},
        {"no such function", "sm 50 11\n", 1, NVML_SAMPLES_REFUSED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char script[256];
        snprintf(script, sizeof script, H100 "%s", rows[i].lines);
        struct bench bench = bench_open(rows[i].generation, script);
        struct nvml_activity *list = NULL;
        size_t count = 0;
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        enum nvml_samples answer =
            nvml_read_activity(&bench.card, (int64_t)t.tv_sec * 1000000 - 10000000, &list, &count);
        CHECK_ROW(i, rows[i].name, answer == rows[i].answer && count == rows[i].count);
        CHECK_ROW(i, rows[i].name, count == 0 || list[0].sm_ratio > 0);
        free(list);
        bench_close(&bench);
    }
}

static void test_7_8_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        int generation;
        double total, free, used, reserved; /* MiB; -1: unknown */
        bool unified;
    } rows[] = {
        {"v2", H100 "process c 5 1000\n", 4, 81559, 80079, 1000, 480, false},
        {"7: v1 folds reserved into used", H100 "process c 5 1000\n", 2, 81559, 80079, -1, -1,
         false},
        {"7: v2 is not known to the driver", H100 "fail nvmlDeviceGetMemoryInfo_v2 25\n", 4, 81559,
         81079, -1, -1, false},
        {"8: GB10, not supported",
         "card GPU-1 0000000F:01:00.0 0 0 NVIDIA GB10\nfail nvmlDeviceGetMemoryInfo_v2 3\n"
         "fail nvmlDeviceGetMemoryInfo 3\n",
         4, 1000, 700, -1, -1, true},
        {"8: success with zeros", "card GPU-1 0000000F:01:00.0 0 0 NVIDIA GB10\n", 4, 1000, 700, -1,
         -1, true},
        {"8: by address translation", "card GPU-1 0:01:00.0 0 0 NVIDIA Next\naddressing 2\n", 4,
         1000, 700, -1, -1, true},
        {"8: a discrete card stays unknown",
         H100 "fail nvmlDeviceGetMemoryInfo_v2 3\nfail nvmlDeviceGetMemoryInfo 3\n", 4, -1, -1, -1,
         -1, false},
        {"zeros of a discrete card", "card GPU-1 0:01:00.0 0 0 NVIDIA L4\n", 2, -1, -1, -1, -1,
         false},
        {"lost", H100 "fail nvmlDeviceGetMemoryInfo_v2 15\n", 4, -1, -1, -1, -1, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench = bench_open(rows[i].generation, rows[i].script);
        fake_text(bench.root, "meminfo", "MemTotal: 1024000 kB\nMemAvailable: 716800 kB\n");
        struct nvml_memory memory;
        nvml_read_memory(&bench.card, bench.root, &memory);
        const double is[] = {reading_value(memory.total_bytes), reading_value(memory.free_bytes),
                             reading_value(memory.used_bytes),
                             reading_value(memory.reserved_bytes)};
        const double expected[] = {rows[i].total, rows[i].free, rows[i].used, rows[i].reserved};
        for (size_t r = 0; r < 4; r++)
            CHECK_ROW(i, rows[i].name, expected[r] < 0 ? isnan(is[r]) : is[r] == expected[r] * MIB);
        CHECK_ROW(i, rows[i].name, memory.unified == rows[i].unified);
        CHECK_ROW(i, rows[i].name, (bench.card.fault != 0) == (i == ARRAY_LEN(rows) - 1));
        bench_close(&bench);
    }
}

static void test_10_library(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        int generation; /* -1: there is none */
        enum err_code code;
        const char *says;
    } rows[] = {
        {"no driver", H100, -1, ERR_MISSING, "no NVIDIA driver on this machine ("},
        {"the toolkit's stub", H100, 0, ERR_MISSING, "(it has no nvmlDeviceGetCount)"},
        {"module not loaded", "fail nvmlInit 9\n", 4, ERR_MISSING, "kernel module is not loaded"},
        {"27: mismatch", "fail nvmlInit 18\nlibrary 550.144\n", 4, ERR_STOPPED,
         "Driver/library version mismatch; NVML library version 550.144: the driver was upgraded"},
        {"other", "fail nvmlInit 999\n", 4, ERR_STOPPED,
         "the NVIDIA driver does not start: unknown error of the driver (NVML code 999)"},
        {"unheard of", "fail nvmlInit 77\n", 4, ERR_STOPPED, "an error without a name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        struct nvml *nvml = NULL;
        struct err err = ERR_INIT;
        fake_script(root, rows[i].script);
        const char *library =
            rows[i].generation < 0 ? "/nonexistent.so" : fake_library(rows[i].generation);
        CHECK_ROW(i, rows[i].name, !nvml_open(library, &nvml, &err) && !nvml);
        CHECK_ROW(i, rows[i].name, err.code == rows[i].code);
        if (!strstr(err.text, rows[i].says))
            fail_msg("row %zu: \"%s\" does not say \"%s\"", i, err.text, rows[i].says);
        check_remove_folder(root);
    }
    assert_null(nvml_close(NULL));
}

static void test_state(void **state)
{
    (void)state;
    struct bench bench = bench_open(4, H100 "busy 45\nclock 1755 2619\ntemperature 61\nmode 3\n"
                                            "power 412500 700000\nthrottle 0x25\necc 2 1\n");
    struct nvml_state s;
    char text[128];
    nvml_read_state(&bench.card, &s);
    assert_true(fabs(reading_value(s.busy_ratio) - 0.45) < 1e-9);
    assert_true(reading_value(s.sm_clock_hz) == 1755e6);
    assert_true(reading_value(s.memory_clock_hz) == 2619e6);
    assert_true(reading_value(s.temperature_celsius) == 61);
    assert_true(fabs(reading_value(s.power_watt) - 412.5) < 1e-9);
    assert_true(reading_value(s.power_limit_watt) == 700);
    assert_true(reading_value(s.ecc_corrected) == 2 && reading_value(s.ecc_uncorrected) == 1);
    assert_true(reading_value(s.compute_mode) == 3 && reading_value(s.mig_enabled) == 0);
    assert_true(reading_value(s.accounting_enabled) == 0); /* 6: off by default */
    nvml_throttle_words(&s.throttle_reasons, text, sizeof text);
    assert_string_equal(text, "power cap, too hot");
    nvml_versions(bench.nvml, text, sizeof text);
    assert_string_equal(text, "driver 580.159.04, CUDA 13.0, NVML 13.580.159.04");
    bench_close(&bench);
    /* All that may be withheld is withheld: nothing is 0. */
    bench = bench_open(1, H100 "busy 4000\npower 4294967295 4294967295\n"
                               "fail nvmlDeviceGetTotalEccErrors 3\nfail nvmlDeviceGetClockInfo 3\n"
                               "fail nvmlDeviceGetAccountingMode 3\n"
                               "fail nvmlDeviceGetCurrentClocksThrottleReasons 3\n");
    nvml_read_state(&bench.card, &s);
    assert_true(isnan(reading_value(s.busy_ratio)) && isnan(reading_value(s.power_watt)));
    assert_true(isnan(reading_value(s.ecc_uncorrected)) && isnan(reading_value(s.sm_clock_hz)));
    assert_true(isnan(reading_value(s.mig_enabled)) && isnan(reading_value(s.throttle_reasons)));
    assert_true(isnan(reading_value(s.accounting_enabled)));
    nvml_throttle_words(&s.throttle_reasons, text, sizeof text);
    assert_string_equal(text, "");
    bench_close(&bench);
}

#define SWAPPED                                                                                    \
    "card GPU-bbbbbbbb 00000000:9A:00.0 24576 300 NVIDIA L4\n"                                     \
    "card GPU-aaaaaaaa 00000000:1B:00.0 81559 480 NVIDIA H100\nmig 1\n"                            \
    "instance MIG-cccccccc 0:0:0.0 9984 10 NVIDIA H100 MIG 1g.10gb\nprocess c 60 300 7 0\n"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *uuid, *pci;
        int index;
        bool instance;
    } rows[] = {
        /* 25: gpu0 is the lowest PCI address, which the driver gave the index 1 */
        {"gpu0", "GPU-aaaaaaaa", "00000000:1B:00.0", 0, false},
        {"gpu1", "GPU-bbbbbbbb", "00000000:9A:00.0", 1, false},
        {"GPU-bbbbbbbb", "GPU-bbbbbbbb", "00000000:9A:00.0", 1, false},
        {"MIG-cccccccc", "MIG-cccccccc", "00000000:1B:00.0", 0, true},
        {"gpu2", NULL, "the GPUs here are gpu0 to gpu1", 0, false},
        {"GPU-dddd", NULL, "there is no such GPU here: not found", 0, false},
    };
    struct bench bench = bench_open(4, SWAPPED);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct nvml_card card;
        struct nvml_identity identity;
        struct err err = ERR_INIT;
        bool found = nvml_find(bench.nvml, rows[i].name, &card, &err);
        CHECK_ROW(i, rows[i].name, found == (rows[i].uuid != NULL));
        if (!found) {
            CHECK_ROW_TEXT(i, rows[i].name, err.text, rows[i].pci);
            continue;
        }
        nvml_read_identity(&card, &identity);
        CHECK_ROW_TEXT(i, rows[i].name, identity.uuid, rows[i].uuid);
        CHECK_ROW_TEXT(i, rows[i].name, identity.pci, rows[i].pci);
        CHECK_ROW(i, rows[i].name, identity.index == rows[i].index);
        CHECK_ROW(i, rows[i].name, identity.instance == rows[i].instance);
    }
    struct nvml_card instance;
    assert_int_equal(nvml_instances(&bench.card, &instance, 1), 1);
    bench_close(&bench);
}

/* With one card gone, numbers would mean other cards than before. */
static void test_28_lost_among_two(void **state)
{
    (void)state;
    struct bench bench = bench_open(4, H100);
    fake_script(bench.root, "card GPU-aaaa 0:1B:00.0 1000 0 A\nlost 15\n"
                            "card GPU-bbbb 0:9A:00.0 1000 0 B\n");
    struct nvml_card card;
    struct err err = ERR_INIT;
    assert_false(nvml_find(bench.nvml, "gpu0", &card, &err));
    assert_int_equal(err.code, ERR_STOPPED);
    assert_string_equal(err.text,
                        "1 of 2 GPUs can't be reached: name the one you mean by its UUID");
    err = ERR_INIT;
    assert_true(nvml_find(bench.nvml, "GPU-bbbb", &card, &err));
    assert_false(nvml_find(bench.nvml, "GPU-aaaa", &card, &err));
    assert_int_equal(err.code, ERR_STOPPED);
    bench_close(&bench);
}

/* Ours that live; each is sent `sig`, 0 none. */
static int children(int sig)
{
    char path[64];
    int count = 0, pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    for (; fscanf(file, "%d", &pid) == 1; count++)
        kill((pid_t)pid, sig);
    fclose(file);
    return count;
}

/* A driver whose calls never come back, one whose library crashes, one that is killed with the
 * process that asks it: each is lost at once and for good, and nobody is left to wait for. Before:
 * the caller hung with it, or crashed with it. */
static void test_hangs(void **state)
{
    (void)state;
    static const struct {
        const char *name, *then, *says;
        int signal;
    } rows[] = {
        {"one function", H100 "hang nvmlDeviceGetMemoryInfo_v2\n",
         "the driver does not answer: a call did not come back within 0.3 s", 0},
        {"every one", "hang *\n" H100,
         "the driver does not answer: a call did not come back within 0.3 s", 0},
        {"crash", "nonsense\n", "the driver's library ended the process that asks it: SIGABRT", 0},
        {"killed", H100, "the driver's library ended the process that asks it: SIGKILL", SIGKILL},
    };
    const int before = children(0);
    setenv("SPICA_NVML_WITHIN", "0.3", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench = bench_open(4, H100);
        struct nvml_memory memory;
        struct nvml_process *list = NULL;
        size_t count = 0;
        char text[160];
        CHECK_ROW(i, rows[i].name, children(0) == before + 1);
        nvml_read_memory(&bench.card, "/proc", &memory);
        CHECK_ROW(i, rows[i].name, memory.free_bytes.state == READING_KNOWN);
        fake_script(bench.root, rows[i].then);
        if (rows[i].signal)
            children(rows[i].signal);
        nvml_read_memory(&bench.card, "/proc", &memory);
        CHECK_ROW(i, rows[i].name, memory.free_bytes.state == READING_UNKNOWN);
        nvml_fault_text(&bench.card, text, sizeof text);
        CHECK_ROW_TEXT(i, rows[i].name, text, rows[i].says);
        fake_script(bench.root, H100);
        CHECK_ROW(i, rows[i].name, !nvml_read_processes(&bench.card, &list, &count));
        CHECK_ROW(i, rows[i].name, nvml_count(bench.nvml) == -1);
        CHECK_ROW(i, rows[i].name, children(0) == before);
        bench_close(&bench);
    }
    char *root = check_make_folder();
    struct nvml *nvml = NULL;
    struct err err = ERR_INIT;
    fake_script(root, "hang nvmlInit\n");
    assert_false(nvml_open(fake_library(4), &nvml, &err));
    assert_int_equal(err.code, ERR_STOPPED);
    assert_string_equal(err.text,
                        "the NVIDIA driver does not answer: it did not start within 0.3 s");
    assert_int_equal(children(0), before);
    unsetenv("SPICA_NVML_WITHIN");
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_process_layouts),
        cmocka_unit_test(test_1_many_processes),
        cmocka_unit_test(test_2_all_ones_and_4_mps),
        cmocka_unit_test(test_living_processes),
        cmocka_unit_test(test_5_samples),
        cmocka_unit_test(test_7_8_memory),
        cmocka_unit_test(test_10_library),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_28_lost_among_two),
        cmocka_unit_test(test_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
