/* The table, the requests that are built, and transcripts in canned answers. */
#include "load/protocol.h"

#include "check.h"
#include "plan_of.h"

#include <jansson.h>
#include <math.h>

static const struct corpus prompts = PROMPTS(
    {.prompt = "hi", .max_tokens = 9}, {.messages = "[{\"role\":\"user\",\"content\":\"x\"}]"});

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
    struct load_plan plan = plan_of("openai-completions", &prompts, "http://127.0.0.1:1/");
    struct load_request request = {0};
    struct err err = ERR_INIT;
    struct load_input input = load_input_of(&plan.streams[0], 1);
    assert_false(plan.streams[0].protocol->build(&plan.streams[0], &input, &request, &err));
    assert_non_null(strstr(err.text, "use openai-chat"));
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
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_builds),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_transcripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
