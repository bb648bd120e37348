/* A GPU through the interface that all devices have: names, memory, and whose a process is
 * (traps 3 and 9 of the driver, public reports 24 to 28). */
#include "fake_card.h"

#include <math.h>

#define MIB 1048576.0
#define INITIAL "pid:[4026531836]"
#define INNER "pid:[4026532201]"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script, *device;
        int generation;
        enum err_code code;
        const char *text;
    } rows[] = {
        {"no such card", H100, "gpu1", 4, ERR_MISSING, "device gpu1: the only GPU here is gpu0"},
        {"no card", "cuda 13000\n", "gpu0", 4, ERR_MISSING,
         "device gpu0: the driver knows no GPU; device: cpu works"},
        {"cut up", H100 "mig 1\ninstance MIG-cccc 0:0:0.0 9984 10 MIG 1g.10gb\n", "gpu0", 4,
         ERR_INPUT, "device gpu0: it is cut into MIG instances: name one of them: MIG-cccc"},
        {"prohibited", H100 "mode 2\n", "gpu0", 4, ERR_BUSY,
         "device gpu0: its compute mode is Prohibited: nothing may use it. Allow with: nvidia-smi "
         "-c DEFAULT"},
        {"27: driver upgraded", "fail nvmlInit 18\nlibrary 550.144\n", "gpu0", 4, ERR_STOPPED,
         "device gpu0: Driver/library version mismatch; NVML library version 550.144: the driver "
         "was upgraded while the machine ran. What runs on the GPU goes on, nothing new can start: "
         "reboot"},
        {"10: the toolkit's stub", "", "gpu0", 0, ERR_MISSING, NULL},
        {"no driver at all", "", "gpu0", 9, ERR_MISSING, NULL},
        {"kernel module not loaded", "fail nvmlInit 9\n", "gpu0", 4, ERR_MISSING,
         "device gpu0: the NVIDIA driver's library is here, its kernel module is not loaded (NVML "
         "code 9); device: cpu works"},
        {"27: found while the card is read", H100 "fail nvmlDeviceGetMemoryInfo_v2 18\n", "gpu0", 4,
         ERR_STOPPED,
         "device gpu0: the driver lost the card: Driver/library version mismatch (NVML code 18)"},
        {"28: lost", H100 "lost 15\n", "GPU-11111111-2222", 4, ERR_STOPPED,
         "device GPU-11111111-2222: GPU is lost: it fell off the bus or can't be reached"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        struct err err = ERR_INIT;
        struct device *device = NULL;
        fake_script(root, rows[i].script);
        setenv("SPICA_NVML_LIBRARY", fake_library(rows[i].generation), 1);
        CHECK_ROW(i, rows[i].name, !device_open(rows[i].device, root, &device, &err) && !device);
        /* With a path in it: one line, and what works all the same. */
        if (!rows[i].text)
            CHECK_ROW(i, err.text,
                      strstr(err.text, "; device: cpu works") && !strchr(err.text, '\n'));
        else
            CHECK_ROW_TEXT(i, rows[i].name, err.text, rows[i].text);
        CHECK_ROW(i, rows[i].name, err.code == rows[i].code);
        CHECK_ROW(i, rows[i].name, device_open("cpu", "/proc", &device, &err));
        device_close(device);
        check_remove_folder(root);
    }
}

static void test_facts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script, *device;
        const char *id, *shown, *number, *notes;
        double mib;
    } rows[] = {
        {"whole", H100, "gpu0", "GPU-11111111-2222", "NVIDIA H100 80GB HBM3", "0", "", 81559},
        {"25: swapped", "card GPU-b 0:9A:00.0 1000 0 B\ncard GPU-a 0:1B:00.0 2000 0 A\n", "gpu0",
         "GPU-a", "A", "0", "", 2000},
        {"instance", H100 "mig 1\ninstance MIG-cccc 0:0:0.0 9984 10 MIG 1g.10gb\n", "MIG-cccc",
         "MIG-cccc", "MIG 1g.10gb", "", "", 9984},
        {"instance without any figure",
         H100 "mig 1\nmode 3\ninstance MIG-cccc 0:0:0.0 9984 10 MIG 1g.10gb\nmode 3\n"
              "process m 50 27\nfail nvmlDeviceGetProcessUtilization 3\n"
              "fail nvmlDeviceGetUtilizationRates 3\n",
         "MIG-cccc", "MIG-cccc", "MIG 1g.10gb", "",
         "compute mode Exclusive: only one process at a time can use it; MPS is on: one client's "
         "fatal fault ends every client; this driver tells no SM use of a MIG instance: where a "
         "service computes may stay unproven",
         9984},
        {"whole card without any figure",
         H100 "fail nvmlDeviceGetProcessUtilization 3\nfail nvmlDeviceGetUtilizationRates 3\n",
         "gpu0", "GPU-11111111-2222", "NVIDIA H100 80GB HBM3", "0", "", 81559},
        {"24: unified", "card GPU-g 0:01:00.0 0 0 NVIDIA GB10\n", "gpu0", "GPU-g",
         "NVIDIA GB10, unified memory", "0", "", 1000},
        {"modes", H100 "mode 3\nprocess m 50 27\n", "gpu0", "GPU-11111111-2222",
         "NVIDIA H100 80GB HBM3", "0",
         "compute mode Exclusive: only one process at a time can use it; MPS is on: one client's "
         "fatal fault ends every client",
         81559},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        fake_script(root, rows[i].script);
        fake_text(root, "meminfo", "MemTotal: 1024000 kB\nMemAvailable: 716800 kB\n");
        struct device *device = fake_open(rows[i].device, root, 4);
        const struct device_facts *facts = device_facts(device);
        CHECK_ROW_TEXT(i, rows[i].name, facts->id, rows[i].id);
        CHECK_ROW_TEXT(i, rows[i].name, facts->name, rows[i].shown);
        CHECK_ROW_TEXT(i, rows[i].name, facts->number, rows[i].number);
        CHECK_ROW_TEXT(i, rows[i].name, facts->notes, rows[i].notes);
        CHECK_ROW_TEXT(i, rows[i].name, facts->versions,
                       "driver 580.159.04, CUDA 13.0, NVML 13.580.159.04");
        CHECK_ROW(i, rows[i].name, facts->memory_bytes == rows[i].mib * MIB && facts->cores == 0);
        device_close(device);
        check_remove_folder(root);
    }
}

static void test_snapshot_and_loss(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct device_snapshot snapshot;
    fake_script(root, H100 "process c 5 1000\nbusy 45\n");
    struct device *device = fake_open("gpu0", root, 4);
    device_snapshot(device, &snapshot);
    assert_true(reading_value(snapshot.free_bytes) == 80079 * MIB);
    assert_true(reading_value(snapshot.used_bytes) == 1000 * MIB);
    assert_true(reading_value(snapshot.reserved_bytes) == 480 * MIB);
    assert_true(reading_value(snapshot.busy_ratio) == 0.45);
    assert_true(isnan(reading_value(snapshot.busy_ns)) && isnan(reading_value(snapshot.steal_ns)));
    assert_string_equal(snapshot.fault, "");
    /* 28: off the bus under load. It stays lost for this device, whatever is said later. */
    fake_script(root, H100 "process c 5 1000\nnow 30\nat 20 lost 15\n");
    device_snapshot(device, &snapshot);
    assert_true(isnan(reading_value(snapshot.free_bytes)));
    assert_string_equal(snapshot.fault,
                        "the driver lost the card: GPU is lost: it fell off the bus "
                        "or can't be reached (NVML code 15)");
    fake_script(root, H100);
    device_snapshot(device, &snapshot);
    assert_true(snapshot.fault[0] != '\0');
    device_close(device);
    check_remove_folder(root);
}

/* The tree: keeper 7, server 8, worker 9. */
static const struct {
    const char *name, *lines, *namespace;
    int opens; /* which process holds the driver's files open; 0: none */
    bool host; /* the host's /proc is mounted */
    enum device_listed listed;
    double mib; /* of the tree; -1: unknown */
} owners[] = {
    {"own and foreign", "process c 9 1310\nprocess c 4000 500\n", INITIAL, 0, false,
     DEVICE_LISTED_YES, 1310},
    {"two members", "process c 8 100\nprocess cm 9 1310\n", INITIAL, 0, false, DEVICE_LISTED_YES,
     1410},
    {"2: memory withheld", "process c 8 100\nprocess c 9 none\n", INITIAL, 0, false,
     DEVICE_LISTED_YES, -1},
    {"only others", "process c 4000 500\n", INITIAL, 0, false, DEVICE_LISTED_NO, 0},
    {"the keeper is not a member", "process c 7 500\n", INITIAL, 0, false, DEVICE_LISTED_NO, 0},
    {"nobody", "", INITIAL, 0, false, DEVICE_LISTED_NO, 0},
    {"26: nobody is listed, yet it is full", "used 9000\n", INITIAL, 0, false,
     DEVICE_LISTED_UNKNOWN, -1},
    {"list refused", "fail nvmlDeviceGetComputeRunningProcesses 4\n", INITIAL, 0, false,
     DEVICE_LISTED_UNKNOWN, -1},
    {"left the tree, in its cgroup", "process c 30 700\n", INITIAL, 0, false, DEVICE_LISTED_YES,
     700},
    {"beside us in our own cgroup", "process c 31 700\n", INITIAL, 0, false, DEVICE_LISTED_NO, 0},
    {"container: translated number", "process c 9 1310\n", INNER, 9, false, DEVICE_LISTED_YES,
     1310},
    {"container: the same number, another process", "process c 9 1310\n", INNER, 0, false,
     DEVICE_LISTED_UNKNOWN, -1},
    {"container: host's number", "process c 41009 1310\n", INNER, 9, false, DEVICE_LISTED_UNKNOWN,
     -1},
    {"container: host's number, host seen", "process c 41009 1310\nprocess c 41010 5\n", INNER, 9,
     true, DEVICE_LISTED_YES, 1310},
    {"container: host seen, other start", "process c 41010 5\n", INNER, 9, true,
     DEVICE_LISTED_UNKNOWN, -1},
    {"container: a neighbour that we see", "process c 40 5\n", INNER, 40, false, DEVICE_LISTED_NO,
     0},
};

/* The tree, one that left it (30), one beside us (31), one of others (40), and in the host's /proc
 * the worker under another number. */
static void write_world(const char *root, const char *host, const char *namespace, int opens)
{
    fake_server(root, 0);
    fake_namespace(root, namespace);
    fake_text(root, "self/cgroup", "0::/user/session\n");
    fake_text(root, "7/cgroup", "0::/user/session\n");
    fake_text(root, "8/cgroup", "0::/user/session\n");
    fake_text(root, "9/cgroup", "0::/user/session/trial\n");
    fake_stat(root, &(struct fake_process){.pid = 30, .ppid = 1, .start = 300});
    fake_text(root, "30/cgroup", "0::/user/session/trial/inner\n");
    fake_stat(root, &(struct fake_process){.pid = 31, .ppid = 1, .start = 310});
    fake_text(root, "31/cgroup", "0::/user/session\n");
    fake_stat(root, &(struct fake_process){.pid = 40, .ppid = 1, .start = 400});
    if (opens)
        fake_descriptor(root, opens, "/dev/nvidiactl");
    mkdir(host, 0755);
    fake_text(host, "41009/status", "Name:\tx\nNSpid:\t41009\t9\nThreads: 1\n");
    fake_stat(host, &(struct fake_process){.pid = 41009, .start = 90});
    fake_text(host, "41010/status", "Name:\tx\nNSpid:\t41010\t8\n");
    fake_stat(host, &(struct fake_process){.pid = 41010, .start = 91});
}

static void test_3_whose_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        char *root = check_make_folder(), script[512], host[512];
        snprintf(script, sizeof script, H100 "%s", owners[i].lines);
        snprintf(host, sizeof host, "%s/host", root);
        fake_script(root, script);
        write_world(root, host, owners[i].namespace, owners[i].opens);
        unsetenv("SPICA_HOST_PROC");
        if (owners[i].host)
            setenv("SPICA_HOST_PROC", host, 1);
        struct device *device = fake_open("gpu0", root, 4);
        struct device_usage usage;
        device_usage(device, 7, &usage);
        CHECK_ROW(i, owners[i].name, usage.listed == owners[i].listed);
        double bytes = reading_value(usage.memory_bytes);
        CHECK_ROW(i, owners[i].name,
                  owners[i].mib < 0 ? isnan(bytes) : bytes == owners[i].mib * MIB);
        CHECK_ROW(i, owners[i].name, usage.processes == 2 && usage.root == 7);
        CHECK_ROW(i, owners[i].name,
                  (usage.holder_pid != 0) == (usage.listed == DEVICE_LISTED_YES));
        /* Its environment is read by our number for it, not by the host's. */
        CHECK_ROW(i, owners[i].name, usage.holder_pid <= 30);
        device_usage(device, 77, &usage); /* no such tree */
        CHECK_ROW(i, owners[i].name, isnan(reading_value(usage.memory_bytes)) && !usage.processes);
        device_close(device);
        check_remove_folder(root);
    }
    unsetenv("SPICA_HOST_PROC");
}

static void test_9_prove(void **state)
{
    (void)state;
    static const struct {
        const char *name, *lines, *during;
        long long ticks; /* of 10 ms, during the probe */
        enum placement placement;
        const char *evidence;
    } rows[] = {
        {"computes", "process c 9 1310\n", "process c 9 1310\nsm 9 11\nsm 4000 90\n", 12,
         PLACEMENT_GPU, "it used up to 11 % of the SMs during the probe request; CPU time 120 of"},
        {"9: listed, and on the CPU", "process c 9 500\n", "process c 9 500\nsm 4000 90\n", 400,
         PLACEMENT_CPU,
         "the driver saw no SM use by it during the probe request; CPU time 4000 of"},
        {"two that each work a little: as much as their CPU time together",
         "process c 8 500\nprocess c 9 500\n",
         "process c 8 500\nprocess c 9 500\nsm 8 3\nsm 9 2\nsm 9 4\n", 400, PLACEMENT_GPU,
         "it used up to 7 % of the SMs during the probe request; CPU time 4000 of"},
        {"not listed", "", "process c 4000 9\nsm 4000 9\n", 80, PLACEMENT_CPU,
         "the driver saw no SM use by it during the probe request; CPU time 800 of"},
        {"no figure per process, a rise", "process c 9 500\nbusy 2\n",
         "process c 9 500\nbusy 45\nfail nvmlDeviceGetProcessUtilization 3\n", 3, PLACEMENT_GPU,
         "the card went from 2 to 45 % busy in the probe request (no figure per process); CPU time "
         "30 of"},
        {"26: unattributed", "used 100\n", "used 1410\n", 5, PLACEMENT_UNPROVEN,
         "the driver saw no SM use by it during the probe request; CPU time 50 of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder(), script[512];
        struct device_usage before, after;
        struct device_proof proof;
        snprintf(script, sizeof script, H100 "%s", rows[i].lines);
        fake_script(root, script);
        fake_server(root, 0);
        fake_namespace(root, INITIAL);
        struct device *device = fake_open("gpu0", root, 4);
        device_usage(device, 7, &before);
        usleep(2000); /* a sample has to be newer than the moment before */
        snprintf(script, sizeof script, H100 "%s", rows[i].during);
        fake_script(root, script);
        fake_server(root, rows[i].ticks);
        device_usage(device, 7, &after);
        device_prove(device, &before, &after, ON_GPU, &proof);
        CHECK_ROW_TEXT(i, rows[i].name, device_placement_names[proof.placement],
                       device_placement_names[rows[i].placement]);
        if (strncmp(proof.evidence[1], rows[i].evidence, strlen(rows[i].evidence)) != 0)
            fail_msg("row %zu: \"%s\" does not begin \"%s\"", i, proof.evidence[1],
                     rows[i].evidence);
        device_close(device);
        check_remove_folder(root);
    }
}

/* An instance of which the driver tells no SM use: its own memory is the second witness. */
static void test_prove_instance(void **state)
{
    (void)state;
    static const char silent[] = "fail nvmlDeviceGetProcessUtilization 3\n"
                                 "fail nvmlDeviceGetUtilizationRates 3\n";
    static const struct {
        const char *before, *after;
        enum placement placement;
        const char *evidence;
    } rows[] = {
        {"process c 9 500\n", "process c 9 620\n", PLACEMENT_GPU,
         "this driver tells no SM use of a MIG instance; its memory there grew by 120 MiB in the "
         "probe request; CPU time 0 of"},
        {"process c 9 500\n", "process c 9 500\n", PLACEMENT_UNPROVEN,
         "this driver tells no SM use of a MIG instance; CPU time 0 of"},
        {"", "process c 9 500\n", PLACEMENT_UNPROVEN,
         "this driver tells no SM use of a MIG instance; CPU time 0 of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder(), script[512];
        struct device_usage before, after;
        struct device_proof proof;
        static const char card[] = H100 "mig 1\ninstance MIG-cc 0:0:0.0 9984 10 MIG 1g.10gb\n";
        snprintf(script, sizeof script, "%s%s%s", card, rows[i].before, silent);
        fake_script(root, script);
        fake_server(root, 0);
        fake_namespace(root, INITIAL);
        struct device *device = fake_open("MIG-cc", root, 4);
        device_usage(device, 7, &before);
        snprintf(script, sizeof script, "%s%s%s", card, rows[i].after, silent);
        fake_script(root, script);
        device_usage(device, 7, &after);
        device_prove(device, &before, &after, ON_GPU, &proof);
        CHECK_ROW_TEXT(i, rows[i].evidence, device_placement_names[proof.placement],
                       device_placement_names[rows[i].placement]);
        if (strncmp(proof.evidence[1], rows[i].evidence, strlen(rows[i].evidence)) != 0)
            fail_msg("row %zu: \"%s\" does not begin \"%s\"", i, proof.evidence[1],
                     rows[i].evidence);
        device_close(device);
        check_remove_folder(root);
    }
}

/* 25: the service took the other card. */
static void test_25_other_card(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct device_usage before, after;
    struct device_proof proof;
    fake_script(root, "card GPU-b 0:9A:00.0 9000 0 B\nprocess c 9 500\nsm 9 40\n"
                      "card GPU-a 0:1B:00.0 9000 0 A\n");
    fake_server(root, 0);
    struct device *device = fake_open("gpu0", root, 4);
    device_usage(device, 7, &before);
    device_usage(device, 7, &after);
    device_prove(device, &before, &after, ON_GPU, &proof);
    assert_int_equal(proof.placement, PLACEMENT_UNPROVEN);
    assert_string_equal(proof.evidence[0],
                        "none of its 2 processes is listed on gpu0, but on gpu1 (GPU-b)");
    device_close(device);
    check_remove_folder(root);
}

static void test_holders(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct device_holder holders[4];
    const pid_t own[] = {7};
    fake_script(root, H100 "process c 40 500\nprocess c 41 9000\nprocess c 42 none\n"
                           "process c 9 2000\nprocess g 43 10\nsm 41 30\nsm 41 55\nsm 9 80\n");
    fake_server(root, 0);
    fake_stat(root, &(struct fake_process){.pid = 41, .ppid = 1, .comm = "vllm"});
    fake_text(root, "41/cgroup", "0::/system.slice/vllm.service\n");
    fake_text(root, "41/status", "Name:\tvllm\nUid:\t0\t0\t0\t0\n");
    struct device *device = fake_open("gpu0", root, 4);
    assert_int_equal(device_holders(device, own, 1, 0, holders, 4), 4);
    assert_int_equal(holders[0].pid, 42); /* nobody knows how much: it may be the most */
    assert_true(isnan(reading_value(holders[0].memory_bytes)));
    assert_int_equal(holders[1].pid, 41);
    assert_string_equal(holders[1].comm, "vllm");
    assert_string_equal(holders[1].owner.unit, "vllm.service");
    assert_string_equal(holders[1].owner.user, "root");
    assert_true(holders[1].sm_ratio == 0.55);
    assert_int_equal(holders[2].pid, 40);
    assert_string_equal(holders[2].comm, "");
    assert_true(holders[2].sm_ratio == 0 && isnan(holders[2].cpu_ratio));
    assert_int_equal(device_holders(device, NULL, 0, 0, holders, 3), 3);
    assert_int_equal(holders[2].pid, 9); /* ours, when nothing is said to be ours */
    device_close(device);
    /* A driver that tells no shares: not 0. */
    device = fake_open("gpu0", root, 1);
    assert_int_equal(device_holders(device, NULL, 0, 0, holders, 2), 2);
    assert_true(isnan(holders[1].sm_ratio));
    device_close(device);
    struct err err = ERR_INIT;
    assert_true(device_open("cpu", "/proc", &device, &err));
    assert_int_equal(device_holders(device, NULL, 0, 0, holders, 3), 0);
    device_close(device);
    check_remove_folder(root);
}

/* 4: MPS noticed by its server, when no client is there yet. */
static void test_4_mps_server(void **state)
{
    (void)state;
    char *root = check_make_folder();
    fake_script(root, H100 "process c 50 27\n");
    fake_stat(root, &(struct fake_process){.pid = 50, .ppid = 1, .comm = "nvidia-cuda-mps"});
    fake_namespace(root, INITIAL);
    struct device *device = fake_open("gpu0", root, 4);
    assert_string_equal(device_facts(device)->notes,
                        "MPS is on: one client's fatal fault ends every client");
    device_close(device);
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_facts),
        cmocka_unit_test(test_snapshot_and_loss), cmocka_unit_test(test_3_whose_process),
        cmocka_unit_test(test_9_prove),           cmocka_unit_test(test_prove_instance),
        cmocka_unit_test(test_25_other_card),     cmocka_unit_test(test_holders),
        cmocka_unit_test(test_4_mps_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
