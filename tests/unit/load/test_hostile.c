/* Answers that no decent server gives: bounded, named, and never taken for a failure of ours. */
#include "load/worker.h"

#include "plan_of.h"
#include "raw_server.h"
#include "worker_run.h"

static const struct corpus prompts = PROMPTS({.prompt = "one"});

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *name, *head, *again;
    enum load_error error;
} rows[] = {
    {"endless body", OK_HEAD "\r\n", "data: {\"x\": 1}\n\n", LOAD_LIMIT},
    {"endless body of a failure", "HTTP/1.1 500 No\r\n\r\n", "no no no ", LOAD_LIMIT},
    {"endless header fields", OK_HEAD, "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", LOAD_LIMIT},
    {"one endless header field", OK_HEAD "X-A: ", "bbbbbbbbbb", LOAD_LIMIT},
    {"endless interim answers", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
     LOAD_LIMIT},
    {"endless status line", "HTTP/1.1 200 ", "OKOKOKOKOK", LOAD_LIMIT},
    {"broken chunk", CHUNKED "zz\r\nabc\r\n", NULL, LOAD_MALFORMED},
    {"chunk cut", CHUNKED "ff\r\nabc", NULL, LOAD_CLOSED},
    {"body shorter than said", OK_HEAD "Content-Length: 100\r\n\r\ndata: x\n\n", NULL, LOAD_CLOSED},
    {"negative length", OK_HEAD "Content-Length: -5\r\n\r\n", NULL, LOAD_MALFORMED},
    {"redirect", "HTTP/1.1 302 Go\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n",
     NULL, LOAD_HTTP_STATUS},
    {"no content", "HTTP/1.1 204 No\r\n\r\n", NULL, LOAD_HTTP_STATUS},
    {"another protocol", "RTSP/1.0 200 OK\r\n\r\n", NULL, LOAD_MALFORMED},
    {"wanted compression", OK_HEAD "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08", NULL,
     LOAD_MALFORMED},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw_server server = raw_start(rows[i].head, rows[i].again);
        char url[64];
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
        struct load_plan plan = plan_of_one("openai-chat", &prompts, url);
        struct run run = worker_run(&plan);
        CHECK_ROW_TEXT(i, rows[i].name, run.report.failure, "");
        CHECK_ROW(i, rows[i].name, run.count == 1);
        CHECK_ROW_TEXT(i, rows[i].name, load_error_name(run.kept[0].record.error),
                       load_error_name(rows[i].error));
        free(run.kept);
        raw_stop(&server);
    }
}

/* An answer that is text to the last byte of the limit is read in time. */
static void test_large_answer(void **state)
{
    (void)state;
    static char head[LOAD_ANSWER_MAX + 4096];
    size_t at = (size_t)snprintf(head, sizeof head, OK_HEAD "\r\n");
    static const char event[] = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    while (at < LOAD_ANSWER_MAX - 100)
        at += (size_t)snprintf(head + at, sizeof head - at, "%s", event);
    snprintf(head + at, sizeof head - at, "data: [DONE]\n\n");
    struct raw_server server = raw_start(head, NULL);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    struct load_plan plan = plan_of_one("openai-chat", &prompts, url);
    plan.streams[0].timeout_ns = 60 * NS_PER_S;
    struct run run = worker_run(&plan);
    assert_string_equal(load_error_name(run.kept[0].record.error), "ok");
    assert_int_equal(run.kept[0].record.gap_count, LOAD_GAPS_MAX);
    assert_true(run.kept[0].record.tokens > 100000);
    assert_true(run.kept[0].record.text_len == LOAD_TEXT_MAX);
    free(run.kept);
    raw_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_large_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
