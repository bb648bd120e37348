/* What a real H100 told while real servers ran on it, replayed: the same words must come out. */
#include "fake_card.h"

#include <math.h>

#define MIB 1048576.0

static void at(const char *root, const char *trace, double seconds)
{
    char script[1024];
    snprintf(script, sizeof script, "now %.2f\n" H100 "trace %s/%s.txt\n", seconds, RECORDINGS,
             trace);
    fake_script(root, script);
}

/* Our tree below keeper 7 is one process with the number of the recorded one. */
static void one_server(const char *root, int pid, long long ticks)
{
    char child[16];
    snprintf(child, sizeof child, "%d ", pid);
    fake_stat(root, &(struct fake_process){.pid = 7, .ppid = 1, .start = 70});
    fake_stat(root, &(struct fake_process){.pid = pid, .ppid = 7, .start = 80, .user = ticks});
    fake_children(root, 7, 7, child);
    fake_children(root, pid, pid, "");
}

static void test_placement(void **state)
{
    (void)state;
    static const struct {
        const char *trace;
        int pid;
        double before_s, after_s;
        long long ticks;
        enum placement placement;
        const char *listed;
    } rows[] = {
        {"llama-ok", 8927, 2.07, 2.48, 4, PLACEMENT_GPU,
         "its process is listed on gpu0, holding 586 MiB"},
        {"whisper-ok", 8512, 8.5, 9.6, 90, PLACEMENT_GPU,
         "its process is listed on gpu0, holding 1,046 MiB"},
        {"vllm-ok", 3578, 239.2, 245.1, 300, PLACEMENT_GPU,
         "its process is listed on gpu0, holding 25.1 GiB"},
        /* A vLLM works beside it: not a proof for Whisper. */
        {"whisper-cpu", 8600, 0.5, 2.7, 220, PLACEMENT_CPU,
         "its process is not listed on gpu0 (1 other is)"},
        {"llama-no-gpu", 8700, 0, 3, 100, PLACEMENT_CPU,
         "its process is not listed on gpu0 (0 others are)"},
        {"vllm-busy-card", 6976, 53.45, 53.65, 20, PLACEMENT_GPU,
         "its process is listed on gpu0, holding 518 MiB"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        struct device_usage before, after;
        struct device_proof proof;
        at(root, rows[i].trace, rows[i].before_s);
        one_server(root, rows[i].pid, 0);
        struct device *device = fake_open("gpu0", root, 4);
        device_usage(device, 7, &before);
        usleep(2000);
        at(root, rows[i].trace, rows[i].after_s);
        one_server(root, rows[i].pid, rows[i].ticks);
        device_usage(device, 7, &after);
        before.at_ns = after.at_ns - (int64_t)((rows[i].after_s - rows[i].before_s) * 1e9);
        device_prove(device, &before, &after, ON_GPU, &proof);
        CHECK_ROW_TEXT(i, rows[i].trace, device_placement_names[proof.placement],
                       device_placement_names[rows[i].placement]);
        CHECK_ROW_TEXT(i, rows[i].trace, proof.evidence[0], rows[i].listed);
        device_close(device);
        check_remove_folder(root);
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *trace;
        double at_s, used_mib, free_mib;
        int holder; /* the first; 0: nobody */
        double holder_mib;
    } rows[] = {
        {"llama-ok", 0, 0, 81079, 0, 0},
        {"llama-oom-start", 10.83, 80896, 182, 9226, 80864},
        {"vllm-busy-card", 5, 51172, 29906, 6880, 51164},
        {"vllm-orphan", 100, 24424, 56654, 7210, 24416}, /* what SIGKILL of its front left */
        {"whisper-ok", 3.7, 80626, 452, 8481, 54870},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        struct device_snapshot snapshot;
        struct device_holder holder = {0};
        at(root, rows[i].trace, rows[i].at_s);
        struct device *device = fake_open("gpu0", root, 4);
        device_snapshot(device, &snapshot);
        CHECK_ROW(i, rows[i].trace, reading_value(snapshot.used_bytes) == rows[i].used_mib * MIB);
        CHECK_ROW(i, rows[i].trace, reading_value(snapshot.free_bytes) == rows[i].free_mib * MIB);
        size_t count = device_holders(device, NULL, 0, 0, &holder, 1);
        CHECK_ROW(i, rows[i].trace, count == (rows[i].holder != 0) && holder.pid == rows[i].holder);
        CHECK_ROW(i, rows[i].trace,
                  !count || reading_value(holder.memory_bytes) == rows[i].holder_mib * MIB);
        device_close(device);
        check_remove_folder(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_placement),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
