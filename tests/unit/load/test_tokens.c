/* Streams as servers really send them: what is a token, when it came, how it ended. In the rows a
 * '~' cuts the body into chunks, which come at 100, 200, 300 ... ns. */
#include "load/protocol.h"

#include "answer_row.h"

#define ROLE "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
#define TEXT(t)                                                                                    \
    "data: {\"choices\":[{\"delta\":{\"content\":\"" t "\"},\"finish_reason\":null}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}"
#define DONE "data: [DONE]\n\n"

/* Twenty events of one letter, in a body of some two thousand bytes. */
#define FIVE TEXT("a") TEXT("b") TEXT("c") TEXT("d") TEXT("e")
#define TWENTY FIVE FIVE FIVE FIVE
#define LETTERS "abcdeabcdeabcdeabcde"
#define THOUGHT(t) "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"" t "\"}}]}\n\n"
#define TOLD(prompt, tokens, hidden)                                                               \
    "data: {\"choices\":[],\"usage\":{" prompt "\"completion_tokens\":" tokens                     \
    ",\"completion_tokens_details\":{\"reasoning_tokens\":" hidden "}}}\n\n"

static const struct answer_row chat[] = {
    {"plain", ROLE "~" TEXT("a") "~" TEXT("b") "~" STOP "~" DONE, LOAD_OK, "ab", 2, false, 200, 200,
     300, 500, 1},
    {"two tokens in one chunk", TEXT("a") TEXT("b") "~" STOP DONE, LOAD_OK, "ab", 2, false, 100,
     100, 100, 200, 1},
    {"an event cut in two counts when it is whole",
     "data: {\"choices\":[{\"delta\":{\"con~tent\":\"a\"}}]}~\n\n~" STOP DONE, LOAD_OK, "a", 1,
     false, 200, 200, 200, 400, 0},
    {"usage with no choices", TEXT("a") STOP "~data: {\"choices\":[]," USAGE "}\n\n~" DONE, LOAD_OK,
     "a", 5, true, 100, 100, 100, 300, 0},
    {"usage beside choices",
     TEXT("a") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]," USAGE
               "}\n\n" DONE,
     LOAD_OK, "a", 5, true, 100, 100, 100, 100, 0},
    {"usage null",
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n" STOP DONE, LOAD_OK,
     "a", 1, false, 100, 100, 100, 100, 0},
    {"usage absurd", TEXT("a") STOP "data: {\"usage\":{\"completion_tokens\":-4}}\n\n" DONE,
     LOAD_OK, "a", 1, false, 100, 100, 100, 100, 0},
    {"more tokens than bytes",
     TEXT("a") STOP "data: {\"usage\":{\"completion_tokens\":2000000000}}\n\n" DONE, LOAD_OK, "a",
     1, false, 100, 100, 100, 100, 0},
    {"more tokens than the text has bytes", TWENTY STOP TOLD("", "1000", "0") DONE, LOAD_OK,
     LETTERS, 20, false, 100, 100, 100, 100, 19},
    {"some marks that show as nothing", TWENTY STOP TOLD("\"prompt_tokens\":7,", "28", "0") DONE,
     LOAD_OK, LETTERS, 28, true, 100, 100, 100, 100, 19},
    {"one mark too many", TWENTY STOP TOLD("", "29", "0") DONE, LOAD_OK, LETTERS, 20, false, 100,
     100, 100, 100, 19},
    {"thinking that was told and not sent is no output",
     TWENTY STOP TOLD("\"prompt_tokens\":7,", "1021", "1000") DONE, LOAD_OK, LETTERS, 21, true, 100,
     100, 100, 100, 19},
    {"thinking that was sent is output",
     THOUGHT("hmmmmmmm") TEXT("a") STOP TOLD("\"prompt_tokens\":7,", "9", "7") DONE, LOAD_OK, "a",
     9, true, 100, 100, 100, 100, 1},
    {"thinking within the text is output",
     TEXT("hm</think>") TEXT("a") STOP TOLD("\"prompt_tokens\":7,", "5", "3") DONE, LOAD_OK,
     "hm</think>a", 5, true, 100, 100, 100, 100, 1},
    {"all hidden, and yet it came as text", TEXT("hm") TEXT("m") STOP TOLD("", "5", "5") DONE,
     LOAD_OK, "hmm", 2, false, 100, 100, 100, 100, 1},
    {"more hidden than there is", TEXT("a") STOP TOLD("", "5", "9") DONE, LOAD_OK, "a", 1, false,
     100, 100, 100, 100, 0},
    {"a count with every event is held against the whole text",
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,"
     "\"completion_tokens\":12}}\n\n" TEXT("bcdefgh") STOP DONE,
     LOAD_OK, "abcdefgh", 12, true, 100, 100, 100, 100, 1},
    {"no [DONE]: finish is the end", TEXT("a") "~" STOP "~data: {\"choices\":[]," USAGE "}\n\n",
     LOAD_OK, "a", 5, true, 100, 100, 100, 200, 0},
    {"[DONE] without finish", TEXT("a") "~" DONE, LOAD_OK, "a", 1, false, 100, 100, 100, 200, 0},
    {"[DONE] without blank line", TEXT("a") "~data: [DONE]", LOAD_OK, "a", 1, false, 100, 100, 100,
     200, 0},
    {"neither", TEXT("a") "~" TEXT("b"), LOAD_TRUNCATED, "ab", 2, false, 100, 100, 200, -1, 1},
    {"half JSON at the end", TEXT("a") "~data: {\"choices\":[{\"del", LOAD_TRUNCATED, "a", 1, false,
     100, 100, 100, -1, 0},
    {"half JSON after the finish", TEXT("a") STOP "data: {\"usage\":{", LOAD_TRUNCATED, "a", 1,
     false, 100, 100, 100, -1, 0},
    {"broken JSON in the middle", TEXT("a") "data: {x}\n\n" TEXT("b") STOP DONE, LOAD_MALFORMED,
     "ab", 2, false, 100, 100, 100, -1, 1},
    {"broken JSON before [DONE]", "data: nonsense\n\n" DONE, LOAD_MALFORMED,
     "data: nonsense\n\n" DONE, 0, false, -1, -1, -1, -1, 0},
    {"reasoning first",
     "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n~" TEXT("a") STOP DONE, LOAD_OK,
     "a", 2, false, 100, 200, 200, 200, 1},
    {"reasoning_content only",
     "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n~" STOP DONE, LOAD_OK,
     "hm", 1, false, 100, -1, 100, 200, 0},
    {"both reasoning members",
     "data: {\"choices\":[{\"delta\":{\"reasoning\":\"h\",\"reasoning_content\":\"h\"}}]}\n\n" STOP
         DONE,
     LOAD_OK, "h", 1, false, 100, -1, 100, 100, 0},
    {"pings and empty data",
     ":\n\n: ping\n\nid: 1\n\ndata:\n\nevent: ping\ndata: {}\n\n~" TEXT("a") STOP DONE, LOAD_OK,
     "a", 1, false, 200, 200, 200, 200, 0},
    {"role and empty delta are no tokens", ROLE TEXT("") "~" TEXT("a") STOP DONE, LOAD_OK, "a", 1,
     false, 200, 200, 200, 200, 0},
    {"no text at all", ROLE STOP DONE, LOAD_EMPTY, "", 0, false, -1, -1, -1, 100, 0},
    {"only [DONE]", DONE, LOAD_EMPTY, "", 0, false, -1, -1, -1, 100, 0},
    {"error field", "error: {\"code\":400,\"message\":\"too long\"}\n\ndata: [DONE]\n\n",
     LOAD_SERVER_ERROR, "{\"code\":400,\"message\":\"too long\"}", 0, false, -1, -1, -1, -1, 0},
    {"error in data after text",
     TEXT("a") "data: {\"error\":{\"message\":\"CUDA\"}}\n\n" TEXT("b") DONE, LOAD_SERVER_ERROR,
     "CUDA", 1, false, 100, 100, 100, -1, 0},
    {"error event", "event: error\ndata: {\"detail\":\"x\"}\n\n" DONE, LOAD_SERVER_ERROR,
     "{\"detail\":\"x\"}", 0, false, -1, -1, -1, -1, 0},
    {"object error", "data: {\"object\":\"error\",\"message\":\"m\"}\n\n" DONE, LOAD_SERVER_ERROR,
     "m", 0, false, -1, -1, -1, -1, 0},
    {"finish reason error",
     TEXT("a") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n" DONE,
     LOAD_SERVER_ERROR, "a", 1, false, 100, 100, 100, -1, 0},
    {"JSON instead of a stream", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}",
     LOAD_MALFORMED, "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", -1, false, -1, -1, -1, -1,
     0},
    {"JSON error instead of a stream", "{\"error\":\"no\"}", LOAD_SERVER_ERROR, "no", -1, false, -1,
     -1, -1, -1, 0},
    {"HTML", "<html>It works</html>", LOAD_MALFORMED, "<html>It works</html>", 0, false, -1, -1, -1,
     -1, 0},
    {"nothing", "", LOAD_TRUNCATED, "", 0, false, -1, -1, -1, -1, 0},
    {"CRLF",
     "data:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n~"
     "data: {\"choices\":[{\"delta\":{},\ndata: \"finish_reason\":\"stop\"}]}\r\n\r\ndata: "
     "[DONE]\r\n\r\n",
     LOAD_OK, "a", 1, false, 100, 100, 100, 200, 0},
    {"choices of another type", "data: {\"choices\":5}\n\ndata: {\"choices\":[7]}\n\n" DONE,
     LOAD_EMPTY, "", 0, false, -1, -1, -1, 100, 0},
};

static void test_chat(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    for (size_t i = 0; i < ARRAY_LEN(chat); i++)
        answer_row_check(&plan.streams[0], i, &chat[i]);
}

static const struct answer_row completions[] = {
    {"plain",
     "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n~"
     "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]," USAGE "}\n\n" DONE,
     LOAD_OK, "a", 5, true, 100, 100, 100, 200, 0},
    {"a chat's stream has no text", TEXT("a") STOP DONE, LOAD_EMPTY, "", 0, false, -1, -1, -1, 100,
     0},
};

static const struct answer_row whole[] = {
    {"plain",
     "{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]," USAGE "}",
     LOAD_OK, "a", 5, true, -1, -1, -1, -1, 0},
    {"more tokens than bytes",
     "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"usage\":{\"completion_tokens\":90}}",
     LOAD_OK, "a", -1, false, -1, -1, -1, -1, 0},
    {"more tokens than the text has bytes",
     "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"usage\":{\"completion_tokens\":10}}",
     LOAD_OK, "a", -1, false, -1, -1, -1, -1, 0},
    {"thinking that was told and not sent is no output",
     "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,"
     "\"completion_tokens\":50,\"completion_tokens_details\":{\"reasoning_tokens\":48}}}",
     LOAD_OK, "a", 2, true, -1, -1, -1, -1, 0},
    {"no usage", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", LOAD_OK, "a", -1, false, -1,
     -1, -1, -1, 0},
    {"empty", "{\"choices\":[{\"message\":{\"content\":\"\"}}]}", LOAD_EMPTY, "", -1, false, -1, -1,
     -1, -1, 0},
    {"no choices", "{\"choices\":[]}", LOAD_MALFORMED, "{\"choices\":[]}", -1, false, -1, -1, -1,
     -1, 0},
    {"a stream", DONE, LOAD_MALFORMED, DONE, -1, false, -1, -1, -1, -1, 0},
};

static void test_others(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-completions", NULL, "http://127.0.0.1:1/");
    for (size_t i = 0; i < ARRAY_LEN(completions); i++)
        answer_row_check(&plan.streams[0], i, &completions[i]);
    plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    struct spec_setting set = {.name = "stream", .text = "false"};
    plan.streams[0].settings = &set;
    plan.streams[0].setting_count = 1;
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        answer_row_check(&plan.streams[0], i, &whole[i]);
}

#define COUNTED(n) "data: {\"choices\":[],\"usage\":{\"completion_tokens\":" #n "}}\n\n"
static const struct {
    const char *body;
    bool unchecked;
    enum load_error error;
} textless[] = {
    {STOP COUNTED(8) DONE, false, LOAD_EMPTY},
    {STOP COUNTED(8) DONE, true, LOAD_OK},
    {STOP COUNTED(0) DONE, true, LOAD_EMPTY},
    {STOP DONE, true, LOAD_EMPTY}, /* nothing says that there were any */
    {COUNTED(8), true, LOAD_TRUNCATED},
};

/* Of random weights: tokens that show as nothing are an answer, an end that is missing is none. */
static void test_textless(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    for (size_t i = 0; i < ARRAY_LEN(textless); i++) {
        char body[4096];
        struct load_chunk chunks[64];
        struct load_answer answer = answer_of(textless[i].body, body, chunks);
        struct load_record record = {.http_status = 200};
        struct buf text = BUF_INIT(1024), gaps = BUF_INIT(1024);
        plan.streams[0].unchecked = textless[i].unchecked;
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &record, &text, &gaps);
        CHECK_ROW(i, textless[i].body, record.error == textless[i].error);
        buf_done(&text);
        buf_done(&gaps);
    }
}

/* Tokens behind an end that is ignored show as nothing, each in an event of its own. */
static void test_no_end(void **state)
{
    (void)state;
    static const struct answer_row row = {"all were asked for",
                                          TWENTY STOP TOLD("\"prompt_tokens\":7,", "64", "0") DONE,
                                          LOAD_OK,
                                          LETTERS,
                                          64,
                                          true,
                                          100,
                                          100,
                                          100,
                                          100,
                                          19};
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    struct spec_setting set = {.name = "ignore_eos", .text = "true"};
    plan.streams[0].settings = &set;
    plan.streams[0].setting_count = 1;
    answer_row_check(&plan.streams[0], 0, &row);
}

/* Ten more than are kept: the last one still ends the answer, and the ten are counted. */
static void test_gaps_over_the_most(void **state)
{
    (void)state;
    enum { EVENTS = LOAD_GAPS_MAX + 11 };
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    struct load_chunk *chunks = calloc(EVENTS, sizeof *chunks);
    struct buf body = BUF_INIT(4 << 20), text = BUF_INIT(LOAD_TEXT_MAX),
               gaps = BUF_INIT(LOAD_GAPS_MAX * 8);
    assert_non_null(chunks);
    for (size_t i = 0; i < EVENTS; i++) {
        buf_add(&body, TEXT("a"));
        buf_add(&body, i + 1 == EVENTS ? STOP DONE : "");
        chunks[i] = (struct load_chunk){body.len, 100 * (int64_t)(i + 1)};
    }
    struct load_answer answer = {.http_status = 200,
                                 .body = buf_text(&body),
                                 .len = body.len,
                                 .chunks = chunks,
                                 .chunk_count = EVENTS};
    struct load_record r = {.first_token_ns = -1, .last_token_ns = -1, .tokens = -1};
    plan.streams[0].protocol->read(&plan.streams[0], &answer, &r, &text, &gaps);
    assert_int_equal(r.error, LOAD_OK);
    assert_int_equal(gaps.len / sizeof(int64_t), LOAD_GAPS_MAX);
    assert_int_equal(r.gaps_left_out, 10);
    assert_int_equal(r.last_token_ns, 100 * EVENTS);
    buf_done(&body);
    buf_done(&text);
    buf_done(&gaps);
    free(chunks);
}

static const struct {
    const char *body;
    bool complete;
} ends[] = {
    {TEXT("a"), false},
    {TEXT("a") STOP, true},
    {TEXT("a") "~data: {\"choices\":[{\"finish_rea~son\" : \"stop\"", true},
    {TEXT("a") "~data: [DO~NE]", true},
    {"data: [DONE]", true},
    {"data:[DONE]\r\n", true},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]\"}}]}\n\n", false},
    {"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\"\"}}]}\n\n",
     false},
    {"data: {\"choices\":[{\"finish_reason\": null}]}\n\n", false},
};

/* Asked with every chunk, as the loop does: true at the last one or never. */
static void test_complete(void **state)
{
    (void)state;
    const struct load_protocol *protocol = load_protocol_find("openai-chat");
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char body[4096];
        struct load_chunk chunks[64];
        struct load_answer answer = answer_of(ends[i].body, body, chunks);
        size_t count = answer.chunk_count;
        bool complete = false;
        for (size_t k = 1; k <= count; k++) {
            answer.chunk_count = k;
            answer.len = chunks[k - 1].end;
            complete |= protocol->complete(&answer);
        }
        CHECK_ROW(i, ends[i].body, complete == ends[i].complete);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_textless),
        cmocka_unit_test(test_no_end),
        cmocka_unit_test(test_gaps_over_the_most),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
