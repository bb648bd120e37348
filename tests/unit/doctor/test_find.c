/* Which command lines are servers, and which only name one. */
#include "doctor/doctor.h"
#include "doctor/find.h"
#include "doctor/process.h"

#include "../device/fake_proc.h"

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *exe, *kind; /* NULL: none */
        const char *argv[8];
    } rows[] = {
        {"vllm serve", "", "vLLM", {"/venv/bin/python3", "/venv/bin/vllm", "serve", "m"}},
        {"vllm module", "", "vLLM", {"python3", "-m", "vllm.entrypoints.openai.api_server"}},
        {"options before the module",
         "",
         "vLLM",
         {"python3.11", "-u", "-X", "dev", "-m", "vllm.entrypoints.openai.api_server"}},
        {"llama", "/opt/llama.cpp/llama-server", "llama-server", {"./llama-server", "-m", "x"}},
        {"renamed argv[0]", "/opt/llama-server", "llama-server", {"llm", "-m", "x"}},
        {"llama-cpp-python", "", "llama-server", {"python", "-m", "llama_cpp.server"}},
        {"whisper.cpp", "", "whisper-server", {"whisper-server", "-m", "ggml-base.bin"}},
        {"faster-whisper-server", "", "faster-whisper-server", {"faster-whisper-server"}},
        {"speaches",
         "",
         "faster-whisper-server",
         {"python", "/bin/uvicorn", "--factory", "speaches.main:create_app"}},
        {"uvicorn", "", "faster-whisper-server", {"uvicorn", "faster_whisper_server.main:app"}},
        {"wyoming", "", "wyoming-faster-whisper", {"python3", "-m", "wyoming_faster_whisper"}},
        {"ollama", "", "Ollama", {"/usr/local/bin/ollama", "serve"}},
        {"triton", "", "Triton", {"tritonserver", "--model-repository=/m"}},
        {"own script", "", "Whisper server", {"python3", "whisper_server.py", "tiny.pt", "9000"}},
        {"webservice", "", "Whisper server", {"python3", "/bin/whisper-asr-webservice"}},
        {"ollama's client", "", NULL, {"ollama", "run", "qwen"}},
        {"a shell", "/bin/bash", NULL, {"bash", "-c", "vllm serve m"}},
        {"an editor", "/usr/bin/vim", NULL, {"vim", "llama-server.service"}},
        {"python's text", "", NULL, {"python3", "-c", "import vllm"}},
        {"a helper of python", "", NULL, {"python3"}},
        {"whisper, the program", "", NULL, {"whisper", "a.wav"}},
        {"asked for its version", "", NULL, {"llama-server", "--version"}},
        {"nothing", "", NULL, {NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct doctor_kind *kind = doctor_find_kind((char *const *)rows[i].argv, rows[i].exe);
        if (!rows[i].kind)
            CHECK_ROW(i, rows[i].name, kind == NULL);
        else
            CHECK_ROW_TEXT(i, rows[i].name, kind ? kind->name : "(none)", rows[i].kind);
    }
}

static void fake_one(const char *root, int pid, int ppid, const char *comm, const char *cmdline,
                     size_t len)
{
    char name[64];
    fake_stat(root, &(struct fake_process){.pid = pid, .ppid = ppid, .comm = comm, .start = pid});
    snprintf(name, sizeof name, "%d/cmdline", pid);
    fake_file(root, name, cmdline, len);
    fake_children(root, pid, pid, "");
}
#define LINE(text) text, sizeof(text) - 1

/* A worker is its server's, whatever its own name; a zombie is nobody. */
static void test_trees(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct doctor_report *report = calloc(1, sizeof *report);
    struct err err = ERR_INIT;
    fake_one(root, 40, 1, "ollama", LINE("/usr/bin/ollama\0serve\0"));
    fake_one(root, 30, 40, "llama-server", LINE("/usr/lib/ollama/llama-server\0--port\0001\0"));
    fake_one(root, 50, 1, "llama-server", LINE("llama-server\0-m\0x.gguf\0"));
    fake_one(root, 60, 1, "vllm", LINE(""));
    fake_children(root, 40, 40, "30 ");
    assert_true(doctor_find(root, report, &err));
    assert_int_equal(report->service_count, 2);
    assert_string_equal(report->services[0].kind->name, "Ollama");
    assert_int_equal(report->services[0].member_count, 2);
    assert_int_equal(report->services[1].pid, 50);
    assert_int_equal(report->services[1].argc, 3);
    assert_string_equal(report->services[1].argv[2], "x.gguf");
    doctor_report_free(report);
    check_remove_folder(root);
}

static void test_flags(void **state)
{
    (void)state;
    char *const argv[] = {(char *)"-m", (char *)"--port=81", (char *)"-ngl",
                          (char *)"0",  (char *)"-m",        NULL};
    assert_string_equal(doctor_argv_value(argv, "--port -p"), "81");
    assert_string_equal(doctor_argv_value(argv, "--gpu-layers -ngl"), "0");
    assert_string_equal(doctor_argv_value(argv, "-m"), ""); /* the program's name is no flag */
    assert_null(doctor_argv_value(argv, "--por"));
    assert_null(doctor_argv_value(argv, "ngl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
