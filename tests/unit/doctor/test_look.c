/* The whole look over a made-up /proc and the fake driver: ports, owners, placement, what may not
 * be read, and both ways of showing it. */
#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/log.h"
#include "doctor/look.h"

#include "base/text.h"

#include "../device/fake_card.h"

#include <fcntl.h>
#include <math.h>
#include <time.h>

#define SOCKET SOCKET_AT("1F40")
#define SOCKET_AT(port)                                                                            \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode\n   0: 0100007F:" port                                                                  \
    " 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000   "                            \
    "     0 777 1 0 100 0 0 10 0\n"

static void fake_service(const char *root, int pid, const char *comm, const char *cmdline,
                         size_t len)
{
    char name[64];
    fake_stat(root, &(struct fake_process){.pid = pid, .ppid = 1, .comm = comm, .start = pid});
    snprintf(name, sizeof name, "%d/cmdline", pid);
    fake_file(root, name, cmdline, len);
    fake_children(root, pid, pid, "");
}
#define LINE(text) text, sizeof(text) - 1

static struct doctor_report *look(const char *root)
{
    struct doctor_options options = {.proc_root = root, .library = fake_library(4), .silent = true};
    struct doctor_report *report = NULL;
    struct err err = ERR_INIT;
    if (!doctor_look(&options, &report, &err))
        fail_msg("%s", err.text);
    return report;
}

static void test_on_the_card(void **state)
{
    (void)state;
    char *root = check_make_folder();
    fake_namespace(root, "pid:[4026531836]");
    fake_script(root, H100 "process c 50 33398\nprocess c 9 2260\nsm 50 20\n");
    fake_service(root, 50, "vllm",
                 LINE("python3\0/bin/vllm\0serve\0/m/llm-7b\0--gpu-memory-utilization\0000.40\0"));
    fake_service(root, 9, "ollama", LINE("ollama\0runner\0")); /* no server: a stranger */
    fake_text(root, "50/cgroup", "0::/system.slice/vllm.service\n");
    fake_text(root, "50/net/tcp", SOCKET);
    fake_descriptor(root, 50, "socket:[777]");
    struct doctor_report *report = look(root);
    assert_int_equal(report->service_count, 1);
    const struct doctor_service *service = &report->services[0];
    assert_int_equal(service->place, PLACE_GPU);
    assert_int_equal(service->port, 8000);
    assert_int_equal(service->listens, SEEN_YES);
    assert_string_equal(service->owner.unit, "vllm.service");
    assert_string_equal(service->model, "/m/llm-7b");
    assert_true(service->card_bytes[0] == 33398.0 * (1 << 20));
    assert_int_equal(doctor_problem_count(report), 0);
    assert_int_equal(report->cards[0].holders[0].pid, 50); /* most memory first */
    assert_int_equal(report->cards[0].holders[1].service, -1);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    doctor_add_text(&text, report, 80);
    assert_non_null(strstr(buf_text(&text), "vllm.service"));
    assert_non_null(strstr(buf_text(&text), "33,398 MiB"));
    for (const char *line = buf_text(&text); *line; line += strcspn(line, "\n") + 1) {
        AUTO(free) char *copy = strndup(line, strcspn(line, "\n"));
        if (text_columns(copy) > 80)
            fail_msg("too wide: %s", copy);
    }
    buf_clear(&text);
    doctor_add_text(&text, report, 300);
    assert_non_null(
        strstr(buf_text(&text), "vLLM, llm-7b, port 8000, share 0.40, pid 50, SMs 20 %"));
    AUTO_JSON json_t *json = doctor_json(report);
    const json_t *shown = json_array_get(json_object_get(json, "services"), 0);
    assert_string_equal(json_get_text(shown, "placement"), "gpu");
    assert_int_equal(json_get_int(shown, "port", 0), 8000);
    doctor_report_free(report);
    check_remove_folder(root);
}

/* CUDA_VISIBLE_DEVICES of the environ file, a log behind its output, a build by its mappings; and
 * none of it readable. */
static void test_on_the_cpu(void **state)
{
    (void)state;
    static const struct {
        const char *name, *variables, *maps, *log;
        const char *cause;
    } rows[] = {
        {"empty", "A=1\0CUDA_VISIBLE_DEVICES=\0", "7f r-xp 0 0 1 /usr/lib/libcuda.so.1\n", "",
         "set and empty"},
        {"library", "A=1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         "7f r-xp 0 0 1 /usr/lib/libcuda.so.1\n",
         "libcudart.so.12: cannot open shared object file\n", "libcudart.so.12"},
        {"build", "A=1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         "7f r-xp 0 0 1 /usr/lib/libggml-cpu.so\n", "", "a CPU build"},
        {"nothing to be read", NULL, NULL, NULL, "could not be read"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder();
        fake_namespace(root, "pid:[4026531836]");
        fake_script(root, H100);
        fake_service(root, 50, "llama-server", LINE("llama-server\0-m\0x.gguf\0"));
        if (rows[i].variables)
            fake_file(root, "50/environ", rows[i].variables, 27);
        if (rows[i].maps)
            fake_text(root, "50/maps", rows[i].maps);
        if (rows[i].log) {
            char path[512], link[512];
            fake_text(root, "server.log", rows[i].log);
            fake_text(root, "50/fd/none", "");
            snprintf(path, sizeof path, "%s/server.log", root);
            snprintf(link, sizeof link, "%s/50/fd/2", root);
            assert_int_equal(symlink(path, link), 0);
            fake_text(root, "50/net/tcp", SOCKET);
            fake_descriptor(root, 50, "socket:[777]");
        }
        fake_text(root, "net/tcp", SOCKET_AT("1F90")); /* somebody listens where it should */
        struct doctor_report *report = look(root);
        CHECK_ROW(i, rows[i].name, report->services[0].place == PLACE_CPU);
        CHECK_ROW(i, rows[i].name, report->problem_count == 1);
        if (!strstr(report->problems[0].cause, rows[i].cause))
            CHECK_ROW_TEXT(i, rows[i].name, report->problems[0].cause, rows[i].cause);
        doctor_report_free(report);
        check_remove_folder(root);
    }
}

/* A file begun by the process is of its run, one that was there before it may hold earlier ones. */
static void test_log_of_run(void **state)
{
    (void)state;
    static const long long HOUR_TICKS = 360000;
    for (int old = 0; old < 2; old++) {
        struct timespec boot;
        clock_gettime(CLOCK_BOOTTIME, &boot);
        long long now = (boot.tv_sec + 1) * sysconf(_SC_CLK_TCK);
        char *root = check_make_folder(), path[512], link[512];
        fake_stat(root, &(struct fake_process){.pid = 50,
                                               .ppid = 1,
                                               .comm = "server",
                                               .start = old ? now + HOUR_TICKS : now - HOUR_TICKS});
        fake_text(root, "server.log", "Library libcublas.so.12 is not found or cannot be loaded\n");
        fake_text(root, "50/fd/none", "");
        snprintf(path, sizeof path, "%s/server.log", root);
        snprintf(link, sizeof link, "%s/50/fd/2", root);
        assert_int_equal(symlink(path, link), 0);
        struct statx birth;
        bool noted = statx(AT_FDCWD, path, 0, STATX_BTIME, &birth) == 0 &&
                     (birth.stx_mask & STATX_BTIME) != 0;
        struct doctor_service service = {.kind = &doctor_kinds[1], .pid = 50};
        doctor_log_read(root, &service, false);
        assert_int_equal(service.log_cause, CAUSE_MISSING_LIBRARY);
        assert_int_equal(service.log_of_run, noted && !old);
        check_remove_folder(root);
    }
}

/* What a service was told, by flag, variable and default. */
static void test_wishes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t kind;
        const char *argv[6];
        const char *variables;
        enum doctor_asks asks;
        int port;
    } rows[] = {
        {"-ngl 0", 1, {"x", "-ngl", "0"}, "", ASKS_CPU, 0},
        {"-ngl all", 1, {"x", "--gpu-layers=all", "--port", "81"}, "", ASKS_GPU, 81},
        {"-ngl auto", 1, {"x", "-ngl", "auto"}, "", ASKS_NOTHING, 0},
        {"variable", 1, {"x"}, "LLAMA_ARG_N_GPU_LAYERS=0", ASKS_CPU, 0},
        {"flag beats variable", 1, {"x", "-ngl", "9"}, "LLAMA_ARG_N_GPU_LAYERS=0", ASKS_GPU, 0},
        {"no gpu", 2, {"x", "-ng"}, "", ASKS_CPU, 0},
        {"speaches", 3, {"x"}, "WHISPER__INFERENCE_DEVICE=cpu", ASKS_CPU, 0},
        {"wyoming",
         4,
         {"x", "--uri", "tcp://0.0.0.0:10301", "--device", "cuda"},
         "",
         ASKS_GPU,
         10301},
        {"ollama's host", 5, {"x", "serve"}, "OLLAMA_HOST=0.0.0.0:11500", ASKS_NOTHING, 11500},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_service service = {.kind = &doctor_kinds[rows[i].kind],
                                         .argv = (char **)rows[i].argv};
        AUTO(buf_done) struct buf variables = BUF_INIT(4096);
        while (service.argv[service.argc])
            service.argc++;
        assert_true(buf_append(&variables, rows[i].variables, strlen(rows[i].variables) + 1));
        doctor_look_argv(&service);
        doctor_look_environ(&service, &variables);
        CHECK_ROW(i, rows[i].name, service.asks == rows[i].asks);
        CHECK_ROW(i, rows[i].name, service.port == rows[i].port);
    }
}

static void test_answers(void **state)
{
    (void)state;
    static const char half[] = "{\"models\":[{\"name\":\"qwen2.5:7b\",\"size\":100,"
                               "\"size_vram\":60}]}";
    /* Entirely on the CPU; before: unknown, and so idle. */
    static const char cpu[] = "{\"models\":[{\"name\":\"q\",\"size\":100}]}";
    static const char silent[] = "{\"models\":[{\"name\":\"q\"}]}";
    struct doctor_service service = {.kind = &doctor_kinds[5]};
    assert_true(doctor_look_loaded(&service, half, strlen(half)));
    assert_string_equal(service.model, "qwen2.5:7b");
    assert_true(service.size_bytes == 100 && service.vram_bytes == 60 && service.loaded == 1);
    assert_true(doctor_look_loaded(&service, cpu, strlen(cpu)));
    assert_true(service.vram_bytes == 0 && service.size_bytes == 100);
    assert_true(doctor_look_loaded(&service, silent, strlen(silent)));
    assert_true(isnan(service.vram_bytes)); /* not 0 */
    assert_true(doctor_look_loaded(&service, "{\"models\":[]}", 13) && service.loaded == 0);
    assert_false(doctor_look_loaded(&service, "not found", 9));
    assert_false(doctor_look_loaded(&service, "{}", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_the_card), cmocka_unit_test(test_on_the_cpu),
        cmocka_unit_test(test_wishes),      cmocka_unit_test(test_answers),
        cmocka_unit_test(test_log_of_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
