/* Ollama's answers: what its real server wrote, and what it or whoever stands in front of it might.
 * In the rows a '~' cuts the body into chunks. */
#include "load/protocol.h"

#include "answer_row.h"

#include "base/buf.h"

#define CHAT(t) "{\"message\":{\"role\":\"assistant\",\"content\":\"" t "\"},\"done\":false}\n"
#define THINK(t)                                                                                   \
    "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"" t                      \
    "\"},\"done\":false}\n"
#define COUNTS "\"prompt_eval_count\":7,\"eval_count\":5"
#define END(load)                                                                                  \
    "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"        \
    "\"stop\",\"load_duration\":" load "," COUNTS "}\n"
#define TIMED(load, count, took)                                                                   \
    "{\"done\":true,\"load_duration\":" load ",\"prompt_eval_count\":7,\"eval_count\":" count      \
    ",\"eval_duration\":" took "}\n"
#define WARM END("21375251")

static const struct answer_row chat[] = {
    {"plain", CHAT("a") "~" CHAT("b") "~" WARM, LOAD_OK, "ab", 5, true, 100, 100, 200, 300, 1},
    {"a line cut in two counts when it is whole",
     "{\"message\":{\"content\":\"a~\"},\"done\":false}~\n~" WARM, LOAD_OK, "a", 5, true, 200, 200,
     200, 400, 0},
    {"no line end at the end", CHAT("a") "~{\"message\":{},\"done\":true," COUNTS "}", LOAD_OK, "a",
     5, true, 100, 100, 100, 200, 0},
    {"CRLF and blank lines",
     "\r\n\n{\"message\":{\"content\":\"a\"}}\r\n~{\"done\":true," COUNTS "}\r\n", LOAD_OK, "a", 5,
     true, 100, 100, 100, 200, 0},
    {"no counts", CHAT("a") CHAT("b") "~{\"done\":true}\n", LOAD_OK, "ab", 2, false, 100, 100, 100,
     200, 1},
    {"more tokens than bytes", CHAT("a") "{\"done\":true,\"eval_count\":2000000000}\n", LOAD_OK,
     "a", 1, false, 100, 100, 100, 100, 0},
    {"more tokens than the text has bytes", CHAT("a") "{\"done\":true,\"eval_count\":10}\n",
     LOAD_OK, "a", 1, false, 100, 100, 100, 100, 0},
    {"absurd counts", CHAT("a") "{\"done\":true,\"eval_count\":-4}\n", LOAD_OK, "a", 1, false, 100,
     100, 100, 100, 0},
    {"text in the last line", "{\"message\":{\"content\":\"a\"},\"done\":true," COUNTS "}\n",
     LOAD_OK, "a", 5, true, 100, 100, 100, 100, 0},
    {"thinking first", THINK("hm") "~" CHAT("a") WARM, LOAD_OK, "a", 5, true, 100, 200, 200, 200,
     1},
    {"thinking only", THINK("hm") "~" WARM, LOAD_OK, "hm", 5, true, 100, -1, 100, 200, 0},
    /* O-NDJSON-ERR: an error is the answer, whatever text was before it. */
    {"an error line after text", CHAT("a") "~{\"error\":\"an error was encountered\"}\n",
     LOAD_SERVER_ERROR, "an error was encountered", 1, false, 100, 100, 100, -1, 0},
    {"an error line, then done", "{\"error\":\"no\"}\n" WARM, LOAD_SERVER_ERROR, "no", 0, false, -1,
     -1, -1, -1, 0},
    {"an error behind done", CHAT("a") WARM "{\"error\":\"late\"}\n", LOAD_SERVER_ERROR, "late", 5,
     true, 100, 100, 100, 100, 0},
    {"an error object", "{\"error\":{\"message\":\"m\"}}\n", LOAD_SERVER_ERROR, "m", 0, false, -1,
     -1, -1, -1, 0},
    {"never done", CHAT("a") "~" CHAT("b"), LOAD_TRUNCATED, "ab", 2, false, 100, 100, 200, -1, 1},
    {"half a line at the end", CHAT("a") "~{\"message\":{\"con", LOAD_TRUNCATED, "a", 1, false, 100,
     100, 100, -1, 0},
    {"done is not true", CHAT("a") "{\"done\":\"true\"}\n{\"done\":1}\n", LOAD_TRUNCATED, "a", 1,
     false, 100, 100, 100, -1, 0},
    {"nothing", "", LOAD_TRUNCATED, "", 0, false, -1, -1, -1, -1, 0},
    {"broken in the middle", CHAT("a") "{x}\n" CHAT("b") WARM, LOAD_MALFORMED, "ab", 5, true, 100,
     100, 100, 100, 1},
    {"broken behind done", CHAT("a") WARM "{\"x\n", LOAD_MALFORMED, "a", 5, true, 100, 100, 100,
     100, 0},
    {"HTML", "<html>It works</html>", LOAD_MALFORMED, "<html>It works</html>", 0, false, -1, -1, -1,
     -1, 0},
    {"an event stream", "data: {\"done\":true}\n\n", LOAD_MALFORMED, "data: {\"done\":true}\n\n", 0,
     false, -1, -1, -1, -1, 0},
    {"no text", WARM, LOAD_EMPTY, "", 5, true, -1, -1, -1, 100, 0},
    {"of another type", "{\"message\":5,\"done\":false}\n{\"message\":{\"content\":7}}\n" WARM,
     LOAD_EMPTY, "", 5, true, -1, -1, -1, 100, 0},
    /* O-LOADDUR: half a second and more is a load, less is not. */
    {"a model loaded anew", CHAT("a") "~" END("104000000000"), LOAD_RELOAD, "a", 5, true, 100, 100,
     100, 200, 0},
    {"just a load", CHAT("a") END("500000000"), LOAD_RELOAD, "a", 5, true, 100, 100, 100, 100, 0},
    {"just none", CHAT("a") END("499999999"), LOAD_OK, "a", 5, true, 100, 100, 100, 100, 0},
    /* In between what a token took tells: eight tokens' time is a load, on a busy machine or not.
     */
    {"a small load", CHAT("a") TIMED("200000000", "5", "125000000"), LOAD_RELOAD, "a", 5, true, 100,
     100, 100, 100, 0},
    {"smaller than any", CHAT("a") TIMED("199999999", "5", "1000000"), LOAD_OK, "a", 5, true, 100,
     100, 100, 100, 0},
    {"a resident model on a busy machine", CHAT("a") TIMED("499999999", "5", "312500000"), LOAD_OK,
     "a", 5, true, 100, 100, 100, 100, 0},
    {"too few tokens to tell", CHAT("a") TIMED("400000000", "3", "3"), LOAD_OK, "a", 3, true, 100,
     100, 100, 100, 0},
    {"tokens in no time", CHAT("a") TIMED("400000000", "5", "0"), LOAD_OK, "a", 5, true, 100, 100,
     100, 100, 0},
    {"a load of no number", CHAT("a") END("\"9000000000\""), LOAD_OK, "a", 5, true, 100, 100, 100,
     100, 0},
    {"a load, and nothing said", END("9000000000"), LOAD_EMPTY, "", 5, true, -1, -1, -1, 100, 0},
};

static void test_chat(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("ollama-chat", NULL, "http://127.0.0.1:1/");
    for (size_t i = 0; i < ARRAY_LEN(chat); i++)
        answer_row_check(&plan.streams[0], i, &chat[i]);
}

static const struct answer_row generate[] = {
    {"plain",
     "{\"response\":\"a\",\"done\":false}\n~{\"response\":\"\",\"done\":true," COUNTS "}\n",
     LOAD_OK, "a", 5, true, 100, 100, 100, 200, 0},
    {"thinking", "{\"response\":\"\",\"thinking\":\"hm\"}\n~{\"done\":true," COUNTS "}\n", LOAD_OK,
     "hm", 5, true, 100, -1, 100, 200, 0},
    {"a chat's lines have no text", CHAT("a") WARM, LOAD_EMPTY, "", 5, true, -1, -1, -1, 100, 0},
    {"an answer to an empty prompt", "{\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}\n",
     LOAD_EMPTY, "", 0, false, -1, -1, -1, 100, 0},
};
static const struct answer_row whole[] = {
    {"plain", "{\"message\":{\"content\":\"a b\"},\"done\":true," COUNTS "}", LOAD_OK, "a b", 5,
     true, -1, -1, -1, 100, 0},
    {"not done", "{\"message\":{\"content\":\"a b\"},\"done\":false}", LOAD_TRUNCATED, "a b", -1,
     false, -1, -1, -1, -1, 0},
};

static void test_others(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("ollama-generate", NULL, "http://127.0.0.1:1/");
    for (size_t i = 0; i < ARRAY_LEN(generate); i++)
        answer_row_check(&plan.streams[0], i, &generate[i]);
    plan = plan_of("ollama-chat", NULL, "http://127.0.0.1:1/");
    struct spec_setting set = {.name = "stream", .text = "false"};
    plan.streams[0].settings = &set;
    plan.streams[0].setting_count = 1;
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        answer_row_check(&plan.streams[0], i, &whole[i]);
}

static const struct {
    const char *file, *protocol, *stream, *reload_s;
    enum load_part part;
    enum load_error error;
    int tokens, prompt_tokens;
    size_t gaps;
    const char *text;
} recordings[] = {
    {"chat-warm", "ollama-chat", NULL, NULL, LOAD_WINDOW, LOAD_OK, 12, 15, 11,
     "The ocean is a vast and mysterious realm,"},
    /* The smallest model there is needed 0.37 s to load, which was a sample by default. */
    {"chat-cold", "ollama-chat", NULL, NULL, LOAD_WINDOW, LOAD_RELOAD, 12, 15, 11, "The ocean"},
    {"chat-cold", "ollama-chat", NULL, "1", LOAD_WINDOW, LOAD_OK, 12, 15, 11, "The ocean"},
    {"chat-warm", "ollama-chat", NULL, "0.05", LOAD_WINDOW, LOAD_OK, 12, 15, 11, "The ocean"},
    {"chat-warm", "ollama-chat", NULL, "0.02", LOAD_WINDOW, LOAD_RELOAD, 12, 15, 11, "The ocean"},
    {"chat-cold", "ollama-chat", NULL, NULL, LOAD_PROBE, LOAD_OK, 12, 15, 11, "The ocean"},
    {"chat-whole", "ollama-chat", "false", NULL, LOAD_WINDOW, LOAD_OK, 6, 10, 0,
     "I'm glad to hear that"},
    {"generate-warm", "ollama-generate", NULL, NULL, LOAD_WINDOW, LOAD_OK, 8, 14, 7, ""},
    {"runner-killed", "ollama-generate", NULL, NULL, LOAD_WINDOW, LOAD_SERVER_ERROR, 25, -1, 24,
     "an error was encountered while running the model: unexpected EOF"},
};

static void test_recordings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(recordings); i++) {
        struct buf body = BUF_INIT(1 << 20), text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(4096);
        struct err err = ERR_INIT;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", RECORDINGS, recordings[i].file);
        if (!buf_read_file(&body, path, &err))
            fail_msg("%s", err.text);
        struct load_plan plan = plan_of(recordings[i].protocol, NULL, "http://127.0.0.1:1/");
        struct spec_setting set[2] = {{0}};
        size_t count = 0;
        if (recordings[i].stream)
            set[count++] = (struct spec_setting){.name = "stream", .text = recordings[i].stream};
        if (recordings[i].reload_s)
            set[count++] =
                (struct spec_setting){.name = "reload_s", .text = recordings[i].reload_s};
        plan.streams[0].settings = set;
        plan.streams[0].setting_count = count;
        struct load_chunk chunk = {.end = body.len, .at_ns = 5};
        struct load_answer answer = {.http_status = 200,
                                     .body = body.data,
                                     .len = body.len,
                                     .chunks = &chunk,
                                     .chunk_count = 1};
        struct load_record r = {.part = recordings[i].part,
                                .first_token_ns = -1,
                                .last_token_ns = -1,
                                .tokens = -1,
                                .prompt_tokens = -1};
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &r, &text, &gaps);
        CHECK_ROW_TEXT(i, recordings[i].file, load_error_name(r.error),
                       load_error_name(recordings[i].error));
        CHECK_ROW(i, recordings[i].file, r.tokens == recordings[i].tokens);
        CHECK_ROW(i, recordings[i].file, r.prompt_tokens == recordings[i].prompt_tokens);
        CHECK_ROW(i, recordings[i].file, gaps.len / sizeof(int64_t) == recordings[i].gaps);
        CHECK_ROW(i, recordings[i].file,
                  strncmp(buf_text(&text), recordings[i].text, strlen(recordings[i].text)) == 0);
        CHECK_ROW(i, recordings[i].file, text.len > 0);
        /* A line less is an answer without its end. */
        answer.len = strrchr(body.data, '{') - body.data;
        while (answer.len > 0 && body.data[answer.len - 1] != '\n')
            answer.len--;
        struct load_record cut = {.tokens = -1};
        buf_clear(&text);
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &cut, &text, &gaps);
        CHECK_ROW(i, recordings[i].file, cut.error == LOAD_TRUNCATED);
        buf_done(&body);
        buf_done(&text);
        buf_done(&gaps);
    }
}

static const struct {
    const char *body;
    bool complete;
} ends[] = {
    {CHAT("a"), false},
    {CHAT("a") "~" WARM, true},
    {CHAT("a") "~{\"done\"~:true}", true},
    {"{\"done\": true}", true},
    {CHAT("\\\"done\\\":true"), false},
    {"{\"done\":false}", false},
};

static void test_complete(void **state)
{
    (void)state;
    const struct load_protocol *protocol = load_protocol_find("ollama-chat");
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char body[4096];
        struct load_chunk chunks[64];
        struct load_answer answer = answer_of(ends[i].body, body, chunks);
        CHECK_ROW(i, ends[i].body, protocol->complete(&answer) == ends[i].complete);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_recordings),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
