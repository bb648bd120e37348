/* The table, the requests that are built, and transcripts in canned answers. */
#include "load/protocol.h"

#include "check.h"
#include "plan_of.h"

#include <jansson.h>
#include <math.h>

static const struct corpus prompts = PROMPTS(
    {.prompt = "hi", .max_tokens = 9}, {.messages = "[{\"role\":\"user\",\"content\":\"x\"}]"},
    {.inputs = "[{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2]}]"},
    {.messages = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]"});

static struct corpus clips_with(const char *transcript)
{
    static struct corpus_clip clip;
    clip = (struct corpus_clip){
        .name = "a.wav", .data = "RIFF", .len = 4, .duration_s = 2, .transcript = transcript};
    return (struct corpus){.clips = &clip, .clip_count = 1};
}

static void test_table(void **state)
{
    (void)state;
    size_t count = 0;
    const struct spec_protocol *const *specs = load_protocol_specs(&count);
    assert_int_equal(count, load_protocol_count);
    for (size_t i = 0; i < count; i++) {
        const struct load_protocol *protocol = load_protocol_find(specs[i]->name);
        assert_ptr_equal(protocol, load_protocol_table[i]);
        assert_non_null(protocol->build);
        assert_non_null(protocol->read);
        const char *path = specs[i]->path; /* "": no HTTP */
        assert_int_equal(path[0], load_protocol_table[i]->transport ? '\0' : '/');
        for (size_t k = 0; k < specs[i]->option_count; k++)
            assert_non_null(specs[i]->options[k].help);
    }
    assert_null(load_protocol_find("gopher"));
    assert_null(load_protocol_find(NULL));
}

static char *build(struct load_plan *plan, size_t item)
{
    struct load_request request = {0};
    struct err err = ERR_INIT;
    struct load_input input = load_input_of(&plan->streams[0], item);
    assert_true(plan->streams[0].protocol->build(&plan->streams[0], &input, &request, &err));
    buf_done(&request.content_type);
    return buf_take(&request.body);
}

static const struct {
    const char *protocol;
    size_t item;
    struct spec_setting set[3];
    const char *model;
    int max_tokens;
    const char *body;
} builds[] = {
    {"openai-chat",
     0,
     {{0}},
     "m",
     0,
     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"model\":\"m\",\"max_tokens\":9,"
     "\"temperature\":0,\"stream\":true,\"stream_options\":{\"include_usage\":true}}"},
    {"openai-chat",
     1,
     {{"stream", "false"}, {"system", "be"}, {"seed", "4"}},
     NULL,
     5,
     "{\"messages\":[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"x\"}"
     "],"
     "\"max_tokens\":5,\"temperature\":0,\"seed\":4,\"stream\":false}"},
    {"openai-chat",
     0,
     {{"temperature", "0.5"}, {"include_usage", "false"}},
     NULL,
     0,
     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":9,\"temperature\":0.5,"
     "\"stream\":true}"},
    {"ollama-chat",
     0,
     {{"seed", "4"}, {"num_ctx", "512"}},
     "m",
     0,
     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"model\":\"m\",\"stream\":true,"
     "\"keep_alive\":-1,\"options\":{\"num_predict\":9,\"temperature\":0,\"seed\":4,"
     "\"num_ctx\":512}}"},
    {"ollama-chat",
     1,
     {{"keep_alive", "10m"}, {"system", "be"}, {"think", "false"}},
     "m",
     5,
     "{\"messages\":[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"x\"}"
     "],\"model\":\"m\",\"stream\":true,\"keep_alive\":\"10m\",\"think\":false,"
     "\"options\":{\"num_predict\":5,\"temperature\":0}}"},
    {"ollama-generate",
     0,
     {{"model", "other"}, {"raw", "true"}, {"keep_alive", NULL}},
     "m",
     0,
     "{\"prompt\":\"hi\",\"raw\":true,\"model\":\"other\",\"stream\":true,"
     "\"options\":{\"num_predict\":9,\"temperature\":0}}"},
    {"openai-speech",
     0,
     {{"voice", "af"}, {"speed", "1.5"}, {"stream_format", "audio"}},
     "m",
     0,
     "{\"input\":\"hi\",\"model\":\"m\",\"voice\":\"af\",\"response_format\":\"wav\","
     "\"stream_format\":\"audio\",\"speed\":1.5}"},
    {"openai-embeddings",
     0,
     {{0}},
     "m",
     0,
     "{\"input\":[\"hi\"],\"encoding_format\":\"float\",\"model\":\"m\"}"},
    {"kserve",
     0,
     {{"output", "y"}},
     "m",
     0,
     "{\"inputs\":[{\"name\":\"text_input\",\"shape\":[1,1],\"datatype\":\"BYTES\",\"data\":"
     "[\"hi\"]}],\"outputs\":[{\"name\":\"y\"}]}"},
    {"kserve",
     2,
     {{0}},
     "m",
     0,
     "{\"inputs\":[{\"name\":\"x\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2]}]}"},
    {"openai-completions",
     0,
     {{"temperature", NULL}, {"ignore_eos", "true"}},
     NULL,
     0,
     "{\"prompt\":\"hi\",\"max_tokens\":9,\"ignore_eos\":true,\"stream\":true,"
     "\"stream_options\":{\"include_usage\":true}}"},
};

static void test_builds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(builds); i++) {
        struct load_plan plan = plan_of(builds[i].protocol, &prompts, "http://127.0.0.1:1/");
        plan.streams[0].settings = builds[i].set;
        plan.streams[0].setting_count = 3;
        plan.streams[0].model = builds[i].model;
        plan.streams[0].max_tokens = builds[i].max_tokens;
        char *body = build(&plan, builds[i].item);
        CHECK_ROW_TEXT(i, builds[i].protocol, body, builds[i].body);
        free(body);
    }
}

static const struct {
    const char *protocol;
    size_t item;
    const char *model, *says;
} refused[] = {
    {"openai-completions", 1, NULL, "use openai-chat"},
    {"ollama-generate", 1, "m", "use ollama-chat"},
    {"ollama-generate", 0, NULL, "ollama-generate needs a model"},
    {"ollama-chat", 0, NULL, "ollama-chat needs a model"},
    {"ollama-chat", 3, "m", "prompt 4: ollama-chat wants messages whose \"content\" is a text"},
    {"openai-speech", 1, NULL, "no text to be spoken"},
    {"openai-embeddings", 1, NULL, "messages only"},
    {"kserve", 0, NULL, "kserve needs a model"},
    {"kserve", 1, "m", "messages only"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct load_plan plan = plan_of(refused[i].protocol, &prompts, "http://127.0.0.1:1/");
        struct load_request request = {0};
        struct err err = ERR_INIT;
        plan.streams[0].model = refused[i].model;
        struct load_input input = load_input_of(&plan.streams[0], refused[i].item);
        CHECK_ROW(i, refused[i].protocol,
                  !plan.streams[0].protocol->build(&plan.streams[0], &input, &request, &err));
        CHECK_ROW(i, err.text, strstr(err.text, refused[i].says) != NULL);
    }
}

static const struct corpus three = PROMPTS({.prompt = "a"}, {.prompt = "b"}, {.prompt = "c"});

/* A batch goes on around the corpus's end, and takes no item without a text. */
static void test_batch(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-embeddings", &three, "http://127.0.0.1:1/");
    struct spec_setting set = {.name = "batch", .text = "2"};
    plan.streams[0].settings = &set;
    plan.streams[0].setting_count = 1;
    char *body = build(&plan, 2);
    assert_string_equal(body, "{\"input\":[\"c\",\"a\"],\"encoding_format\":\"float\"}");
    free(body);
}

static const struct {
    const char *path, *model, *set, *expected;
} paths[] = {
    {"/v2/models/{model}/infer", "m-1.5_x~", NULL, "/v2/models/m-1.5_x~/infer"},
    {"/v2/models/{model}/infer", "m", "other", "/v2/models/other/infer"},
    {"/v2/models/{model}/versions/3/infer", "a/b c%?#\xc3\xa4", NULL,
     "/v2/models/a%2Fb%20c%25%3F%23%C3%A4/versions/3/infer"},
    {"/v2/models/{model}/infer", NULL, NULL, "/v2/models/{model}/infer"},
    {"/infer", "m", NULL, "/infer"},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct load_plan plan = plan_of("kserve", &prompts, "http://127.0.0.1:1/");
        struct spec_setting set = {.name = "model", .text = paths[i].set};
        plan.streams[0].model = paths[i].model;
        plan.streams[0].settings = &set;
        plan.streams[0].setting_count = paths[i].set ? 1 : 0;
        struct buf path = BUF_INIT(1024);
        load_stream_add_path(&plan.streams[0], paths[i].path, &path);
        CHECK_ROW_TEXT(i, paths[i].path, buf_text(&path), paths[i].expected);
        buf_done(&path);
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const struct spec_setting set[] = {
        {"model_field", "model_name"}, {"language", "en"}, {"file_field", "audio"}};
    struct corpus corpus = clips_with("a");
    struct load_plan plan = plan_of("openai-transcriptions", &corpus, "http://127.0.0.1:1/");
    plan.streams[0].settings = set;
    plan.streams[0].setting_count = ARRAY_LEN(set);
    plan.streams[0].model = "tiny";
    char *body = build(&plan, 0);
    static const char *const wanted[] = {
        "name=\"audio\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n",
        "name=\"model_name\"\r\n\r\ntiny\r\n", "name=\"language\"\r\n\r\nen\r\n",
        "name=\"response_format\"\r\n\r\njson\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        CHECK_ROW(i, wanted[i], strstr(body, wanted[i]) != NULL);
    CHECK_ROW(0, "fields about the form", !strstr(body, "model_field"));
    free(body);
}

static const struct {
    const char *protocol, *format, *transcript, *body;
    enum load_error error;
    const char *text;
} transcripts[] = {
    {"openai-transcriptions", NULL, "hi", "{\"text\":\" Hello. \"}", LOAD_OK, "Hello."},
    {"openai-transcriptions", "verbose_json", "hi",
     "{\"text\":\"a\",\"segments\":[{\"text\":\"b\"}]}", LOAD_OK, "a"},
    {"openai-transcriptions", "verbose_json", "hi",
     "{\"segments\":[{\"text\":\" a\"},{\"text\":\" b\"}]}", LOAD_OK, "a b"},
    {"openai-transcriptions", "verbose_json", "hi", "{\"segments\":[{\"id\":0}]}", LOAD_MALFORMED,
     "{\"segments\":[{\"id\":0}]}"},
    {"openai-transcriptions", "verbose_json", "hi", "{\"segments\":[]}", LOAD_EMPTY, ""},
    {"openai-transcriptions", "text", "hi", "plain words\n", LOAD_OK, "plain words"},
    {"openai-transcriptions", "text", "hi", "{\"error\":\"no\"}", LOAD_SERVER_ERROR, "no"},
    {"openai-transcriptions", NULL, "hi", "{\"text\":\"\"}", LOAD_EMPTY, ""},
    {"openai-transcriptions", NULL, NULL, "{\"text\":\"  \"}", LOAD_EMPTY, ""},
    {"openai-transcriptions", NULL, "", "{\"text\":\"\"}", LOAD_OK, ""},
    {"openai-transcriptions", "text", " ", "\n", LOAD_OK, ""},
    {"openai-transcriptions", NULL, "hi", "{\"txt\":\"a\"}", LOAD_MALFORMED, "{\"txt\":\"a\"}"},
    {"openai-transcriptions", NULL, "hi", "{\"text\":5}", LOAD_MALFORMED, "{\"text\":5}"},
    {"openai-transcriptions", NULL, "hi", "[]", LOAD_MALFORMED, "[]"},
    {"openai-transcriptions", NULL, "hi", "", LOAD_MALFORMED, ""},
    {"openai-transcriptions", NULL, "hi", "{\"text\":\"a", LOAD_MALFORMED, "{\"text\":\"a"},
    {"openai-transcriptions", NULL, "hi", "{\"text\":\"\xff\"}", LOAD_MALFORMED,
     "{\"text\":\"\xff\"}"},
    {"openai-transcriptions", NULL, "hi", "{\"text\":\"a\\u0000b\"}", LOAD_OK, "a b"},
    {"whisper-inference", NULL, "hi", "{\"text\":\" six six six\\n\"}", LOAD_OK, "six six six"},
    {"whisper-inference", NULL, "hi", "{\"error\":\"no 'file' field in the request\"}",
     LOAD_SERVER_ERROR, "no 'file' field in the request"},
    {"whisper-inference", NULL, "hi", "{\"error\":{\"message\":\"m\",\"code\":1},\"text\":\"x\"}",
     LOAD_SERVER_ERROR, "m"},
    {"whisper-inference", NULL, "hi", "{\"error\":{\"code\":1}}", LOAD_SERVER_ERROR,
     "{\"code\":1}"},
    {"whisper-inference", NULL, "hi", "{\"error\":null,\"text\":\"x\"}", LOAD_OK, "x"},
};

static void test_transcripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(transcripts); i++) {
        struct corpus corpus = clips_with(transcripts[i].transcript);
        struct load_plan plan = plan_of(transcripts[i].protocol, &corpus, "http://127.0.0.1:1/");
        struct spec_setting set = {.name = "response_format", .text = transcripts[i].format};
        plan.streams[0].settings = &set;
        plan.streams[0].setting_count = transcripts[i].format ? 1 : 0;
        struct load_answer answer = {
            .http_status = 200, .body = transcripts[i].body, .len = strlen(transcripts[i].body)};
        struct load_record record = {.tokens = -1};
        struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(64);
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &record, &text, &gaps);
        CHECK_ROW_TEXT(i, transcripts[i].body, load_error_name(record.error),
                       load_error_name(transcripts[i].error));
        CHECK_ROW_TEXT(i, transcripts[i].body, buf_text(&text), transcripts[i].text);
        buf_done(&text);
        buf_done(&gaps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_builds),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_batch),
        cmocka_unit_test(test_paths),       cmocka_unit_test(test_forms),
        cmocka_unit_test(test_transcripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
