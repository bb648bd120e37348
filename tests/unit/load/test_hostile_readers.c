/* Answers that no decent server gives, to every reader over HTTP, in a real worker:
 * bounded, named, and never taken for a failure of ours. */
#include "load/worker.h"

#include "plan_of.h"
#include "raw_server.h"
#include "worker_run.h"

static struct corpus_clip clip = {.name = "a.wav", .data = "RIFF", .len = 4, .duration_s = 2};
/* A prompt for some, a clip for others. */
static const struct corpus both = {.prompts = &(struct corpus_prompt){.prompt = "one"},
                                   .prompt_count = 1,
                                   .clips = &clip,
                                   .clip_count = 1};
static const struct spec_setting streamed = {.name = "stream", .text = "true"};

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"

/* The same bytes to each. */
static const struct {
    const char *name, *head, *again;
    enum load_error error;
} alike[] = {
    {"endless body", OK_HEAD "\r\n", "{\"a\": 1}\n", LOAD_LIMIT},
    {"one endless line", OK_HEAD "\r\n{\"a\": \"", "aaaaaaaaaaaaaaaa", LOAD_LIMIT},
    {"endless lists in lists", OK_HEAD "\r\n", "[[[[[[[[[[[[[[[[", LOAD_LIMIT},
    {"broken chunk", OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", NULL,
     LOAD_MALFORMED},
    {"shorter than said", OK_HEAD "Content-Length: 100\r\n\r\n{}", NULL, LOAD_CLOSED},
    {"refused", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", NULL, LOAD_HTTP_STATUS},
};

/* Ollama's lines. */
static const struct {
    const char *name, *head, *again;
    enum load_error error;
} lines[] = {
    {"a line and no end",
     OK_HEAD "Content-Length: 40\r\n\r\n{\"message\":{\"content\":\"a\"},\"done\":false}", NULL,
     LOAD_TRUNCATED},
    {"text without an end", OK_HEAD "\r\n", "{\"message\":{\"content\":\"a\"},\"done\":false}\n",
     LOAD_LIMIT},
    {"an error among text",
     OK_HEAD "\r\n{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"no\"}\n", NULL,
     LOAD_SERVER_ERROR},
    {"no JSON", OK_HEAD "\r\n<html>It works</html>\n", NULL, LOAD_MALFORMED},
    {"a count of anything",
     OK_HEAD "\r\n{\"message\":{\"content\":\"a\"}}\n{\"done\":true,\"eval_count\":1e300,"
             "\"load_duration\":-9223372036854775808,\"eval_duration\":\"x\"}\n",
     NULL, LOAD_OK},
};

/* A protocol's name with a '+' behind it: answers token by token. */
static void check_one(const char *called, size_t i, const char *name, const char *head,
                      const char *again, enum load_error error)
{
    char protocol[64];
    snprintf(protocol, sizeof protocol, "%.*s", (int)strcspn(called, "+"), called);
    struct raw_server server = raw_start(head, again);
    char url[64], what[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    snprintf(what, sizeof what, "%s: %s", called, name);
    struct load_plan plan = plan_of_one(protocol, &both, url);
    plan.streams[0].model = "m";
    plan.streams[0].settings = &streamed;
    plan.streams[0].setting_count = strchr(called, '+') != NULL;
    plan.streams[0].timeout_ns = 30 * NS_PER_S;
    struct run run = worker_run(&plan);
    CHECK_ROW_TEXT(i, what, run.report.failure, "");
    CHECK_ROW(i, what, run.count == 1);
    CHECK_ROW_TEXT(i, what, load_error_name(run.kept[0].record.error), load_error_name(error));
    free(run.kept);
    raw_stop(&server);
}

static void test_alike(void **state)
{
    (void)state;
    static const char *const protocols[] = {
        "ollama-chat",   "ollama-generate",       "openai-completions",     "openai-embeddings",
        "openai-speech", "openai-transcriptions", "openai-transcriptions+", "whisper-inference",
        "kserve"};
    for (size_t p = 0; p < ARRAY_LEN(protocols); p++)
        for (size_t i = 0; i < ARRAY_LEN(alike); i++)
            check_one(protocols[p], i, alike[i].name, alike[i].head, alike[i].again,
                      alike[i].error);
}

/* The transcript in pieces. */
static const struct {
    const char *name, *head, *again;
    enum load_error error;
} pieces[] = {
    {"pieces without an end", OK_HEAD "\r\n",
     "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\n", LOAD_LIMIT},
    {"pieces and no end mark",
     OK_HEAD "\r\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\n", NULL,
     LOAD_TRUNCATED},
    {"an error among them",
     OK_HEAD "\r\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\n"
             "data: {\"error\":{\"message\":\"no\"}}\n\n",
     NULL, LOAD_SERVER_ERROR},
    {"one piece in one go", OK_HEAD "\r\n{\"text\":\"hello\"}", NULL, LOAD_MALFORMED},
    {"no text", OK_HEAD "\r\ndata: [DONE]\n\n", NULL, LOAD_EMPTY},
};

static void test_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        check_one("openai-transcriptions+", i, pieces[i].name, pieces[i].head, pieces[i].again,
                  pieces[i].error);
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        check_one("ollama-chat", i, lines[i].name, lines[i].head, lines[i].again, lines[i].error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alike), cmocka_unit_test(test_lines),
                                       cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
