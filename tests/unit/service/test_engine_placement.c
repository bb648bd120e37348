/* What servers say of where they compute: recorded logs, public reports, and words that say
 * nothing. */
#include "check.h"

#include "base/buf.h"
#include "service/engine_placement.h"

static void check(size_t row, const char *name, enum placement found, const char *words,
                  enum placement expected, const char *expected_words)
{
    if (found != expected)
        fail_msg("row %zu (%s): %s, not %s (\"%s\")", row, name, device_placement_names[found],
                 device_placement_names[expected], words);
    CHECK_ROW_TEXT(row, name, words, expected_words);
}

static void test_recordings(void **state)
{
    (void)state;
    static const struct {
        const char *file, *engine;
        enum placement placement;
        const char *words;
    } rows[] = {
        {"llama-server/gpu-partial", "llama-server", PLACEMENT_PARTIAL,
         "10 of 31 layers on the GPU (32 %)"},
        {"llama-server/gpu-partial", NULL, PLACEMENT_PARTIAL, "10 of 31 layers on the GPU (32 %)"},
        {"llama-server/gpu-whole", "llama-server", PLACEMENT_UNPROVEN, ""},
        {"llama-server/gpu-quantised-cache", "llama-server", PLACEMENT_UNPROVEN, ""},
        {"llama-server/gpu-healthy", "llama-server", PLACEMENT_UNPROVEN, ""},
        {"llama-server/gpu-none", "llama-server", PLACEMENT_CPU, "it found no GPU it could use"},
        {"llama-server/gpu-none", NULL, PLACEMENT_CPU, "it found no GPU it could use"},
        {"whisper-server/healthy", "whisper-server", PLACEMENT_CPU, "it found no GPU"},
        {"openai-whisper/cpu", NULL, PLACEMENT_CPU, "it loaded its model on the CPU"},
        {"openai-whisper/gpu", NULL, PLACEMENT_UNPROVEN, ""},
        {"vllm/healthy", "vllm", PLACEMENT_UNPROVEN, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[4096], words[160] = "?";
        snprintf(path, sizeof path, "%s/%s.log", RECORDINGS, rows[i].file);
        AUTO(buf_done) struct buf log = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].file, buf_read_file(&log, path, &err));
        enum placement found =
            engine_placement(rows[i].engine, buf_text(&log), log.len, words, sizeof words);
        check(i, rows[i].file, found, words, rows[i].placement, rows[i].words);
    }
}

static void test_reports(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *log;
        enum placement placement;
        const char *words;
    } rows[] = {
        {"ollama", "msg=offload library=cuda layers.model=63 layers.offload=49 layers.split=\n",
         PLACEMENT_PARTIAL, "49 of 63 layers on the GPU (78 %)"},
        {"ollama", "layers.model=63 layers.offload=63\n", PLACEMENT_UNPROVEN, ""},
        {"ollama", "layers.model=33 layers.offload=0\n", PLACEMENT_CPU,
         "0 of 33 layers on the GPU (0 %)"},
        {"llama-server", "layers.model=33 layers.offload=0\n", PLACEMENT_UNPROVEN, ""},
        {NULL, "x\nload_tensors: offloaded 47/49 layers to GPU", PLACEMENT_PARTIAL,
         "47 of 49 layers on the GPU (96 %)"},
        {NULL, "offloaded 0/33 layers to GPU\n", PLACEMENT_CPU, "0 of 33 layers on the GPU (0 %)"},
        /* The last load counts. */
        {NULL, "offloaded 10/33 layers to GPU\noffloaded 33/33 layers to GPU\n", PLACEMENT_UNPROVEN,
         ""},
        /* The context that finds speech is on the CPU, the model is not. */
        {"whisper-server",
         "whisper_model_load:        CUDA0 total size =   147.37 MB\n"
         "whisper_backend_init_gpu: no GPU found\n",
         PLACEMENT_UNPROVEN, ""},
        {"whisper-server",
         "whisper_model_load:          CPU total size =   147.37 MB\n"
         "whisper_backend_init_gpu: no GPU found\n",
         PLACEMENT_CPU, "it found no GPU"},
        {"llama-server",
         "offloaded 31/31 layers to GPU\nllama_kv_cache:        CPU KV buffer size =    90.00 MiB\n"
         "sched_reserve:      CUDA0 compute buffer size =    17.51 MiB\n",
         PLACEMENT_PARTIAL, "its cache lies in memory of the host"},
        {"llama-server",
         "llama_kv_cache: CPU KV buffer size = 90.00 MiB\n"
         "llama_context:  CUDA_Host  output buffer size =     0.75 MiB\n",
         PLACEMENT_UNPROVEN, ""},
        {"ollama", "msg=\"inference compute\" id=cpu library=cpu compute=\"\"\n", PLACEMENT_CPU,
         "it computes with library=cpu"},
        {"ollama",
         "msg=\"inference compute\" id=GPU-1 library=CUDA\nmsg=\"inference compute\" id=cpu "
         "library=cpu\n",
         PLACEMENT_UNPROVEN, ""},
        {NULL, "Failed to create CUDAExecutionProvider. Require cuDNN 9.*\n", PLACEMENT_CPU,
         "it could not create its CUDAExecutionProvider"},
        {NULL, "offloaded layers to GPU\noffloaded 3/ layers to GPU\noffloaded /3 layers to GPU\n",
         PLACEMENT_UNPROVEN, ""},
        {NULL, "offloaded 3/0 layers to GPU\nlayers.model=0 layers.offload=0\n", PLACEMENT_UNPROVEN,
         ""},
        {NULL, "offloaded 99999999999999999999/3 layers to GPU\n", PLACEMENT_UNPROVEN, ""},
        {NULL, "", PLACEMENT_UNPROVEN, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char words[160] = "?";
        enum placement found =
            engine_placement(rows[i].engine, rows[i].log, strlen(rows[i].log), words, sizeof words);
        check(i, rows[i].log, found, words, rows[i].placement, rows[i].words);
    }
}

static void test_loaded_models(void **state)
{
    (void)state;
    static const struct {
        const char *json, *model;
        enum placement placement;
        const char *words;
    } rows[] = {
        {"{\"models\":[{\"name\":\"m:7b\",\"size\":4294967296,\"size_vram\":3221225472}]}", "m:7b",
         PLACEMENT_PARTIAL, "3,072 MiB of 4,096 MiB in device memory (75 %): m:7b"},
        {"{\"models\":[{\"name\":\"m:7b\",\"size\":4294967296,\"size_vram\":4294967296}]}", "m:7b",
         PLACEMENT_UNPROVEN, ""},
        {"{\"models\":[{\"name\":\"m:latest\",\"size\":4294967296}]}", "m", PLACEMENT_CPU,
         "0 B of 4,096 MiB in device memory (0 %): m:latest"},
        {"{\"models\":[{\"name\":\"a\",\"size\":8,\"size_vram\":8},{\"name\":\"b\",\"size\":"
         "1048576,"
         "\"size_vram\":524288}]}",
         NULL, PLACEMENT_PARTIAL, "512 KiB of 1,024 KiB in device memory (50 %): b"},
        {"{\"models\":[{\"name\":\"a\",\"size\":8,\"size_vram\":4},{\"name\":\"b\",\"size\":8,"
         "\"size_vram\":8}]}",
         "b", PLACEMENT_UNPROVEN, ""},
        {"{\"models\":[{\"name\":\"a\",\"size\":0,\"size_vram\":0}]}", NULL, PLACEMENT_UNPROVEN,
         ""},
        {"{\"models\":[{\"name\":\"a\",\"size\":\"8\",\"size_vram\":-1}]}", NULL,
         PLACEMENT_UNPROVEN, ""},
        {"{\"models\":[]}", NULL, PLACEMENT_UNPROVEN, ""},
        {"{\"models\":[{\"name\":\"a\"", NULL, PLACEMENT_UNPROVEN, ""},
        {"", "m", PLACEMENT_UNPROVEN, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char words[160] = "?";
        enum placement found = engine_placement_loaded(rows[i].json, strlen(rows[i].json),
                                                       rows[i].model, words, sizeof words);
        check(i, rows[i].json, found, words, rows[i].placement, rows[i].words);
    }
}

static void test_words_are_cut(void **state)
{
    (void)state;
    static const char log[] = "offloaded 10/31 layers to GPU";
    char words[12];
    assert_int_equal(engine_placement(NULL, log, sizeof log - 1, words, sizeof words),
                     PLACEMENT_PARTIAL);
    assert_string_equal(words, "10 of 31 la");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recordings),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_loaded_models),
        cmocka_unit_test(test_words_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
