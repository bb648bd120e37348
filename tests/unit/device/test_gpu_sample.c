/* Samples, strangers and state of a GPU, and its words for people. */
#include "device/sample.h"

#include "fake_card.h"

#include <math.h>

#define MIB 1048576.0

struct bench {
    char *root;
    struct device *device;
    struct device_ours ours;
    pid_t roots[1];
};

static void say(const struct bench *bench, const char *lines)
{
    char script[2048];
    snprintf(script, sizeof script, H100 "%s", lines);
    fake_script(bench->root, script);
}

/* Keeper 7 with server 8 and worker 9; a stranger 40, a neighbour 41. */
static void bench_open(struct bench *bench, const char *lines, int generation)
{
    static const struct spec_neighbour neighbours[] = {{.unit = "ollama.service"}};
    *bench = (struct bench){.root = check_make_folder(), .roots = {7}};
    bench->ours = (struct device_ours){bench->roots, 1, neighbours, 1};
    say(bench, lines);
    fake_server(bench->root, 0);
    fake_namespace(bench->root, "pid:[4026531836]");
    fake_stat(bench->root, &(struct fake_process){.pid = 40, .ppid = 1, .comm = "train.py"});
    fake_text(bench->root, "40/cgroup", "0::/user.slice/session-2.scope\n");
    fake_text(bench->root, "40/status", "Name:\tx\nUid:\t4242\t4242\t4242\t4242\n");
    fake_stat(bench->root, &(struct fake_process){.pid = 41, .ppid = 1, .comm = "ollama"});
    fake_text(bench->root, "41/cgroup", "0::/system.slice/ollama.service\n");
    unsetenv("SPICA_HOST_PROC");
    bench->device = fake_open("gpu0", bench->root, generation);
}

static void bench_close(struct bench *bench)
{
    device_close(bench->device);
    check_remove_folder(bench->root);
}

static double in_mib(struct reading reading)
{
    return reading_value(reading) / MIB;
}

static void test_sample(void **state)
{
    (void)state;
    struct bench bench;
    struct device_sample sample;
    bench_open(&bench,
               "process c 9 1310\nprocess c 40 500\nprocess g 41 2260\nbusy 45\nprocess m 8 90\n",
               4);
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.tree_bytes[0]) == 1400);
    assert_true(in_mib(sample.used_bytes) == 4160);
    assert_true(in_mib(sample.free_bytes) == 81559 - 480 - 4160);
    assert_true(in_mib(sample.neighbour_bytes) == 2260);
    assert_true(in_mib(sample.stranger_bytes) == 500);
    assert_true(reading_value(sample.busy_ratio) == 0.45);
    assert_true(isnan(sample.stranger_sm_ratio)); /* nothing to count from yet */
    assert_string_equal(sample.fault, "");
    assert_true(sample.cost_cpu_s > 0 && sample.at_ns > 0 && sample.at_wall_us > 0);
    /* The stranger grew: seen at once, nothing in /proc is read for it. */
    say(&bench, "process c 9 1310\nprocess c 40 9000\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 9000);
    assert_true(isnan(sample.stranger_sm_ratio)); /* at most once a second */
    /* Without a tree of ours. */
    device_sample(bench.device, &(struct device_ours){0}, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 10310);
    assert_true(isnan(in_mib(sample.tree_bytes[0])));
    bench_close(&bench);
}

/* A process in several lists is one, with the larger figure, whichever list told it; a compute
 * instance of its own is another entry. (What is in use is said to be less, so that the difference
 * is not seen as unlisted.) */
static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        double mib;
    } rows[] = {
        {"process c 40 500\nprocess g 40 900\nused 500\n", 900},
        {"process c 40 900\nprocess g 40 500\nprocess m 40 600\nused 900\n", 900},
        {"process c 40 none\nprocess g 40 500\nused 700\n", 500},
        {"process c 40 500 1 0\nprocess g 40 900 1 1\nused 500\n", 1400},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench;
        struct device_sample sample;
        bench_open(&bench, rows[i].lines, 4);
        device_sample(bench.device, &bench.ours, &sample);
        CHECK_ROW(i, rows[i].lines, in_mib(sample.stranger_bytes) == rows[i].mib);
        bench_close(&bench);
    }
}

/* Memory of nobody: once may be a process that just ended, twice is there. */
static void test_unlisted(void **state)
{
    (void)state;
    struct bench bench;
    struct device_sample sample;
    bench_open(&bench, "process c 9 1310\nused 1400\n", 4);
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 0);
    say(&bench, "process c 9 1310\nused 4400\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 0);
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 3090);
    say(&bench, "process c 9 1310\nused 1400\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 0);
    /* What is in use can't be told: nor can strangers. */
    say(&bench,
        "process c 9 1310\nfail nvmlDeviceGetMemoryInfo_v2 3\nfail nvmlDeviceGetMemoryInfo 3\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(isnan(in_mib(sample.stranger_bytes)));
    bench_close(&bench);
    /* There from the beginning: told at once. */
    bench_open(&bench, "used 4400\n", 4);
    device_sample(bench.device, &(struct device_ours){0}, &sample);
    assert_true(in_mib(sample.stranger_bytes) == 4400);
    bench_close(&bench);
}

/* A process of ours that died leaves the list long before tens of GiB are given back: that is no
 * stranger's growth, however many samples agree. What rises beside it is. */
static void test_unlisted_of_ours(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        double mib; /* strangers; they hold 500 listed all the time */
    } rows[] = {
        {"process c 9 40000\nprocess c 40 500\nused 40500\n", 500},
        {"process c 40 500\nused 40500\n", 500},
        {"process c 40 500\nused 40500\n", 500},
        {"process c 40 500\nused 20500\n", 500},
        {"process c 40 500\nused 20500\n", 500},
        {"process c 40 500\nused 500\n", 500},
        /* All is back: what rises now is another's. */
        {"process c 40 500\nused 9500\n", 500},
        {"process c 40 500\nused 9500\n", 9500},
        /* Ours gives some back while it lives: theirs stays theirs. */
        {"process c 9 8000\nprocess c 40 500\nused 17500\n", 9500},
        {"process c 9 3000\nprocess c 40 500\nused 12500\n", 9500},
        /* It ends, and others take more at that moment. */
        {"process c 40 500\nused 16500\n", 9500},
        {"process c 40 500\nused 16500\n", 13500},
    };
    struct bench bench;
    bench_open(&bench, rows[0].lines, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct device_sample sample;
        say(&bench, rows[i].lines);
        device_sample(bench.device, &bench.ours, &sample);
        if (in_mib(sample.stranger_bytes) != rows[i].mib)
            fail_msg("row %zu: %g MiB are strangers', expected %g", i,
                     in_mib(sample.stranger_bytes), rows[i].mib);
    }
    bench_close(&bench);
}

/* SM use since the last time: of strangers alone. Slow on purpose: it is told once a second. */
static void test_shares(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        int generation;
        double expected;
    } rows[] = {
        {"process c 9 10\nprocess c 40 5\nprocess c 41 5\nsm 9 90\nsm 40 30\nsm 40 12\nsm 41 80\n",
         4, 0.21},
        {"process c 40 5\nprocess c 42 5\nsm 40 25\nsm 42 30\nsm 42 20\nsm 40 25\n", 4, 0.50},
        {"process c 40 5\nprocess c 42 5\nsm 40 70\nsm 42 60\n", 4, 1},
        {"process c 9 10\nprocess c 40 5\nsm 9 90\n", 4, 0},
        {"process c 40 5\n", 4, 0},
        {"process c 40 5\nsm 40 30\nfail nvmlDeviceGetProcessUtilization 3\n", 4, NAN},
        {"process c 40 5\nsm 40 30\n", 1, NAN},
    };
    struct bench benches[ARRAY_LEN(rows)];
    struct device_sample sample;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bench_open(&benches[i], rows[i].lines, rows[i].generation);
        device_sample(benches[i].device, &benches[i].ours, &sample);
    }
    usleep(1100000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        say(&benches[i], rows[i].lines);
        device_sample(benches[i].device, &benches[i].ours, &sample);
        CHECK_ROW(i, rows[i].lines,
                  isnan(rows[i].expected)
                      ? isnan(sample.stranger_sm_ratio)
                      : fabs(sample.stranger_sm_ratio - rows[i].expected) < 1e-9);
        bench_close(&benches[i]);
    }
}

/* Strangers' work in a window too short for a sample: the mean of one's own samples, asked for
 * whatever the pace says, of who is gone as well. */
static void test_stranger_work(void **state)
{
    (void)state;
    static const char refused[] = "process c 40 5\nsm 40 30\n";
    static const struct {
        const char *name, *before, *lines;
        int generation;
        int64_t since_s;
        double expected; /* NAN: can't be told */
    } rows[] = {
        {"its mean", "",
         "process c 9 1\nprocess c 40 5\nprocess c 41 5\nsm 9 90\nsm 40 30\nsm 40 10\nsm 41 80\n",
         4, 60, 0.20},
        {"two strangers add up", "",
         "process c 40 5\nprocess c 42 5\nsm 40 25\nsm 42 30\nsm 42 20\n", 4, 60, 0.50},
        {"only since then", "", "process c 40 5\nany-age 1\nsm 40 90 50\nsm 40 10 2\n", 4, 10,
         0.10},
        {"ours alone", "", "process c 9 1\nsm 9 90\n", 4, 60, 0},
        {"no sample", "", "process c 40 5\n", 4, 60, 0},
        {"gone since", "process c 40 5\n", "sm 40 30\n", 4, 60, 0.30},
        {"one of ours, gone since", "process c 9 5\n", "sm 9 30\n", 4, 60, 0},
        {"never listed", "", "sm 40 30\n", 4, 60, 0},
        {"refused", refused, "process c 40 5\nfail nvmlDeviceGetProcessUtilization 3\n", 4, 60,
         NAN},
        {"no list", refused, "sm 40 30\nfail nvmlDeviceGetComputeRunningProcesses 3\n", 4, 60, NAN},
        {"no shares in this driver", refused, refused, 1, 60, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench;
        struct device_sample sample;
        double ratio = NAN;
        bench_open(&bench, rows[i].before, rows[i].generation);
        device_sample(bench.device, &bench.ours, &sample);
        say(&bench, rows[i].lines);
        bool told = device_stranger_work(bench.device, &bench.ours,
                                         sample.at_wall_us - rows[i].since_s * 1000000, &ratio);
        CHECK_ROW(i, rows[i].name, told == !isnan(rows[i].expected));
        CHECK_ROW(i, rows[i].name, !told || fabs(ratio - rows[i].expected) < 1e-9);
        bench_close(&bench);
    }
}

/* In a container: hidden work may be our own while something of ours lives unlisted. */
static void test_stranger_work_26(void **state)
{
    (void)state;
    struct bench bench;
    double ratio = NAN;
    bench_open(&bench, "process c 41010 500\nsm 41010 30\n", 4);
    device_close(bench.device);
    fake_namespace(bench.root, "pid:[4026532201]");
    bench.device = fake_open("gpu0", bench.root, 4);
    assert_false(device_stranger_work(bench.device, &bench.ours, 0, &ratio));
    assert_true(device_stranger_work(bench.device, &(struct device_ours){0}, 0, &ratio));
    assert_true(ratio == 0.30);
    bench_close(&bench);
}

/* 28, and a driver that tells no list. */
static void test_faults(void **state)
{
    (void)state;
    struct bench bench;
    struct device_sample sample;
    bench_open(&bench, "process c 9 1310\nprocess c 40 10\n", 4);
    say(&bench, "process c 9 1310\nfail nvmlDeviceGetComputeRunningProcesses 3\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(isnan(in_mib(sample.tree_bytes[0])) && isnan(in_mib(sample.stranger_bytes)));
    assert_true(in_mib(sample.used_bytes) == 1310);
    assert_string_equal(sample.fault, "");
    say(&bench, "lost 15\n");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(isnan(in_mib(sample.used_bytes)) && isnan(in_mib(sample.stranger_bytes)));
    assert_string_equal(sample.fault, "the driver lost the card: GPU is lost: it fell off the bus "
                                      "or can't be reached (NVML code 15)");
    say(&bench, "");
    device_sample(bench.device, &bench.ours, &sample);
    assert_true(sample.fault[0] != '\0');
    bench_close(&bench);
}

static void test_strangers(void **state)
{
    (void)state;
    struct bench bench;
    struct device_holder holders[DEVICE_STRANGERS_MAX];
    bench_open(&bench,
               "process c 9 1310\nprocess c 40 25694\nprocess c 41 2260\nprocess c 77 30\n"
               "sm 40 55\nused 40000\n",
               4);
    size_t count = device_strangers(bench.device, &bench.ours, 0, holders, ARRAY_LEN(holders));
    assert_int_equal(count, 3);
    static const char *const texts[] = {
        "train.py (pid 40, session-2.scope, user uid 4242, 25,694 MiB)",
        "a process that can't be seen from here (pid 77, 30 MiB)",
        "processes that can't be seen from here (10,706 MiB)",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(512);
        device_holder_add_text(&text, &holders[i]);
        CHECK_ROW_TEXT(i, texts[i], buf_text(&text), texts[i]);
    }
    assert_true(holders[0].sm_ratio == 0.55 && holders[1].sm_ratio == 0);
    assert_true(isnan(holders[2].sm_ratio));
    assert_int_equal(device_strangers(bench.device, &bench.ours, 0, holders, 1), 1);
    assert_int_equal(holders[0].pid, 0);
    assert_int_equal(device_strangers(bench.device, &bench.ours, 0, holders, 0), 0);
    bench_close(&bench);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        struct device_holder holder;
        const char *text;
    } rows[] = {
        {{.pid = 4711,
          .comm = "python3",
          .memory_bytes = {READING_KNOWN, READING_FROM_NVML, 2260 * MIB},
          .owner = {"vllm.service", "0123456789ab", "www"}},
         "python3 (pid 4711, vllm.service, container 0123456789ab, user www, 2,260 MiB)"},
        {{.pid = 4711, .comm = "a\x1b[2Jb", .memory_bytes = {.value = NAN}},
         "a\\x1b[2Jb (pid 4711, memory unknown)"},
        {{.pid = 4711, .memory_bytes = {READING_STALE, READING_FROM_NVML, 5}},
         "a process that can't be seen from here (pid 4711, memory unknown)"},
        {{.memory_bytes = {READING_KNOWN, READING_FROM_NVML, 1234567 * MIB}},
         "processes that can't be seen from here (1,234,567 MiB)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(512);
        device_holder_add_text(&text, &rows[i].holder);
        CHECK_ROW_TEXT(i, rows[i].text, buf_text(&text), rows[i].text);
    }
}

static void test_state(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
        double value, refused;
    } rows[] = {
        {"temperature", "", 71, NAN},           {"power", "", 650.5, 650.5},
        {"power_limit", "", 700, 700},          {"sm_clock", "", 1.98e9, 1.98e9},
        {"memory_clock", "", 2.619e9, 2.619e9}, {"throttle", "power cap, too hot", 0x24, 0x24},
        {"ecc_uncorrected", "", 2, 2},          {"busy", "", 0.97, 0.97},
    };
    static const char lines[] =
        "temperature 71\npower 650500 700000\nthrottle 0x24\necc 9 2\nbusy 97\n";
    struct bench bench;
    struct device_state_reading readings[16];
    char script[512];
    bench_open(&bench, lines, 4);
    for (int refused = 0; refused < 2; refused++) {
        snprintf(script, sizeof script, "%s%s", lines,
                 refused ? "fail nvmlDeviceGetTemperature 3\n" : "");
        say(&bench, script);
        assert_int_equal(device_state(bench.device, readings, ARRAY_LEN(readings)),
                         ARRAY_LEN(rows));
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            double expected = refused ? rows[i].refused : rows[i].value;
            double is = reading_value(readings[i].reading);
            CHECK_ROW_TEXT(i, rows[i].name, readings[i].name, rows[i].name);
            CHECK_ROW_TEXT(i, rows[i].name, readings[i].words, rows[i].words);
            CHECK_ROW(i, rows[i].name,
                      isnan(expected) ? isnan(is) : fabs(is - expected) <= 1e-9 * expected);
        }
    }
    assert_int_equal(device_state(bench.device, readings, 2), 2);
    bench_close(&bench);
}

/* A MIG instance from its name to its samples: its own memory, and its own entries of a list that
 * shows the whole card, or of the card's list where instances get none. */
static void test_instance(void **state)
{
    (void)state;
    static const struct {
        const char *card, *instance;
    } rows[] = {
        {"", "process c 9 700 2 0\nprocess c 40 90 1 0\nprocess c 41 80 2 1\n"},
        {"", "process c 9 700\n"},
        {"process c 9 700 2 0\nprocess c 40 90 1 0\n", "no-list 1\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder(), script[1024];
        struct device_sample sample;
        struct device_usage usage;
        const pid_t roots[] = {7};
        const struct device_ours ours = {.roots = roots, .root_count = 1};
        snprintf(script, sizeof script,
                 H100 "mig 1\n%sinstance MIG-aa 0:0:0.0 9984 10 MIG 1g.10gb\n"
                      "instance MIG-bb 0:0:0.0 19968 20 MIG 2g.20gb\nused 700\n%s",
                 rows[i].card, rows[i].instance);
        fake_script(root, script);
        fake_server(root, 0);
        fake_namespace(root, "pid:[4026531836]");
        struct device *device = fake_open("MIG-bb", root, 4);
        assert_string_equal(device_facts(device)->id, "MIG-bb");
        assert_string_equal(device_facts(device)->parent_id, "GPU-11111111-2222");
        assert_true(device_facts(device)->memory_bytes == 19968 * MIB);
        device_sample(device, &ours, &sample);
        CHECK_ROW(i, "tree", in_mib(sample.tree_bytes[0]) == 700);
        CHECK_ROW(i, "strangers", in_mib(sample.stranger_bytes) == 0);
        CHECK_ROW(i, "free", in_mib(sample.free_bytes) == 19968 - 20 - 700);
        device_usage(device, 7, &usage);
        CHECK_ROW(i, "usage",
                  usage.listed == DEVICE_LISTED_YES && in_mib(usage.memory_bytes) == 700);
        device_close(device);
        /* A whole card is no part of anything. */
        snprintf(script, sizeof script, H100);
        fake_script(root, script);
        device = fake_open("gpu0", root, 4);
        assert_string_equal(device_facts(device)->parent_id, "");
        device_close(device);
        check_remove_folder(root);
    }
}

/* 26: in a container whose numbers are not the driver's, what is hidden is a stranger's only while
 * nothing of ours lives unlisted. */
static void test_26_container(void **state)
{
    (void)state;
    static const struct {
        const char *name, *lines;
        int opens;              /* which process is known to use the driver */
        double tree, strangers; /* MiB; -1 unknown */
        double alone;           /* strangers, when nothing is ours */
    } rows[] = {
        {"host's numbers, all hidden", "process c 41009 1310\nprocess c 41010 500\n", 0, -1, -1,
         1810},
        {"ours is seen", "process c 9 1310\nprocess c 41010 500\n", 9, 1310, 500, 1810},
        {"a stranger that we see", "process c 9 1310\nprocess c 40 500\n", 9, 1310, 500, 1810},
        {"empty list of a full card", "used 9000\n", 0, -1, -1, 9000},
        {"empty list of an idle card", "used 8\n", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench;
        struct device_sample sample;
        bench_open(&bench, rows[i].lines, 4);
        device_close(bench.device);
        fake_namespace(bench.root, "pid:[4026532201]");
        if (rows[i].opens)
            fake_descriptor(bench.root, rows[i].opens, "/dev/nvidiactl");
        if (strstr(rows[i].lines, "process c 40 "))
            fake_descriptor(bench.root, 40, "/dev/nvidia0");
        bench.device = fake_open("gpu0", bench.root, 4);
        device_sample(bench.device, &bench.ours, &sample);
        double tree = in_mib(sample.tree_bytes[0]), strangers = in_mib(sample.stranger_bytes);
        CHECK_ROW(i, rows[i].name, rows[i].tree < 0 ? isnan(tree) : tree == rows[i].tree);
        CHECK_ROW(i, rows[i].name,
                  rows[i].strangers < 0 ? isnan(strangers) : strangers == rows[i].strangers);
        device_sample(bench.device, &(struct device_ours){0}, &sample);
        CHECK_ROW(i, rows[i].name, in_mib(sample.stranger_bytes) == rows[i].alone);
        bench_close(&bench);
    }
}

/* On a CPU box: trees, and nobody else by name. */
static void test_cpu(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device *device = NULL;
    struct device_sample sample;
    const pid_t roots[] = {getpid()};
    const struct device_ours ours = {.roots = roots, .root_count = 1};
    struct device_holder holder;
    struct device_state_reading reading;
    assert_true(device_open("cpu", "/proc", &device, &err));
    device_sample(device, &ours, &sample);
    assert_true(sample.cost_cpu_s > 0 && sample.free_bytes.state == READING_KNOWN);
    assert_true(isnan(reading_value(sample.stranger_bytes)) && isnan(sample.stranger_sm_ratio));
    assert_int_equal(device_strangers(device, &ours, 0, &holder, 1), 0);
    assert_false(device_stranger_work(device, &ours, 0, &sample.stranger_sm_ratio));
    assert_int_equal(device_state(device, &reading, 1), 0);
    device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_unlisted),
        cmocka_unit_test(test_unlisted_of_ours),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_instance),
        cmocka_unit_test(test_26_container),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_stranger_work),
        cmocka_unit_test(test_stranger_work_26),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
