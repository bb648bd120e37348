/* Answers that no decent server gives: bounded, named, and never taken for a failure of ours. */
#include "load/http.h"
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

/* Turns near the limit are long, so that libcurl keeps back what comes next. */
static void burn(struct load_http_call *call)
{
    const int64_t end_ns = clock_now_ns() + 600 * NS_PER_US;
    while (call->body.len > LOAD_ANSWER_MAX - (256 << 10) && clock_now_ns() < end_ns)
        continue;
}

static sd_event *flood_event;
static enum load_http_end flood_end;

static void note_end(struct load_http_call *call, enum load_http_end end)
{
    (void)call;
    flood_end = end;
    sd_event_exit(flood_event, 0);
}

/* expected: each flood ends at its limit
 * before: where the bytes beyond it had been kept back for a moment nobody looked at that socket
 * again, and the request's time had to run out */
static void test_floods(void **state)
{
    (void)state;
    enum { FLOODS = 16 };
    static const struct load_http_hooks hooks = {.chunk = burn, .done = note_end};
    static char chunk[8192];
    memset(chunk, ' ', sizeof chunk - 1);
    memcpy(chunk, "1000\r\n", 6);
    memcpy(chunk + 6 + 0x1000, "\r\n", 3);
    struct raw_server server = raw_start(CHUNKED, chunk);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    struct load_http_headers *headers = load_http_headers_new("text/plain", 1);
    const struct load_http_request request = {
        .url = url, .headers = headers, .body = "x", .len = 1};
    for (int i = 0; i < FLOODS; i++) {
        struct load_http *http = NULL;
        struct load_http_call call = {0};
        struct err err = ERR_INIT;
        assert_true(sd_event_new(&flood_event) >= 0);
        assert_true(load_http_setup(&err) && load_http_new(flood_event, &hooks, &http, &err));
        uint64_t deadline_us = (uint64_t)(clock_now_ns() / NS_PER_US) + 60000000;
        /* Without a handler its time ends the loop. */
        assert_true(
            sd_event_add_time(flood_event, NULL, CLOCK_MONOTONIC, deadline_us, 1, NULL, NULL) >= 0);
        flood_end = LOAD_HTTP_COMPLETE;
        load_http_send(http, &call, &request);
        sd_event_loop(flood_event);
        assert_int_equal(flood_end, LOAD_HTTP_LIMIT);
        load_http_call_done(&call);
        load_http_free(http);
        flood_event = sd_event_unref(flood_event);
    }
    load_http_headers_free(headers);
    raw_stop(&server);
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
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_large_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
