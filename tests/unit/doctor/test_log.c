/* The line that says why, among all the others. */
#include "doctor/log.h"

#include "check.h"

static void test_scan(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum signature_cause cause;
        const char *line;
    } rows[] = {
        {"nothing", "all is well\n", CAUSE_NONE, ""},
        {"ctranslate2",
         "start\nRuntimeError: Library libcublas.so.12 is not found or cannot be "
         "loaded\n",
         CAUSE_MISSING_LIBRARY,
         "RuntimeError: Library libcublas.so.12 is not found or cannot be loaded"},
        {"llama",
         "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected\n"
         "no usable GPU found, --gpu-layers option will be ignored\n",
         CAUSE_CPU_FALLBACK,
         "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected"},
        /* What else went wrong once does not hide it. */
        {"behind another",
         "[Errno 98] Address already in use\nwhisper_backend_init_gpu: no GPU "
         "found\n",
         CAUSE_CPU_FALLBACK, "whisper_backend_init_gpu: no GPU found"},
        {"escaped", "\x1b[31mno usable GPU found\n", CAUSE_CPU_FALLBACK,
         "\\x1b[31mno usable GPU found"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_service service = {.kind = &doctor_kinds[1]};
        doctor_log_scan(&service, rows[i].text, strlen(rows[i].text));
        CHECK_ROW(i, rows[i].name, service.log_cause == rows[i].cause);
        CHECK_ROW_TEXT(i, rows[i].name, service.log_line, rows[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
