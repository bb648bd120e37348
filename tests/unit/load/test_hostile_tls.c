/* Answers that no decent server gives, over TLS: bounded and named as in clear text, and what only
 * a connection of TLS can do wrong. The worker that reads them is a real one. */
#include "load/worker.h"

#include "plan_of.h"
#include "tls_hostile.h"
#include "worker_run.h"

static const struct corpus prompts = PROMPTS({.prompt = "one"});

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define TEXT "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct {
    const char *name;
    struct tls_hostile hostile;
    enum load_error error;
} rows[] = {
    {"a whole stream", {.head = OK_HEAD "\r\n" TEXT DONE}, LOAD_OK},
    {"endless body", {.head = OK_HEAD "\r\n", .again = "data: {\"x\": 1}\n\n"}, LOAD_LIMIT},
    {"endless header fields", {.head = OK_HEAD, .again = "X-A: bbbbbbbbbbbbbb\r\n"}, LOAD_LIMIT},
    {"endless interim answers",
     {.head = "HTTP/1.1 100 Continue\r\n\r\n", .again = "HTTP/1.1 100 Continue\r\n\r\n"},
     LOAD_LIMIT},
    {"broken chunk", {.head = CHUNKED "zz\r\nabc\r\n"}, LOAD_MALFORMED},
    {"body shorter than said", {.head = OK_HEAD "Content-Length: 100\r\n\r\n" TEXT}, LOAD_CLOSED},
    {"cut within a stream", {.head = OK_HEAD "\r\n" TEXT, .end = TLS_CUT}, LOAD_TRUNCATED},
    {"ended within a stream", {.head = OK_HEAD "\r\n" TEXT}, LOAD_TRUNCATED},
    {"reset within a stream", {.head = OK_HEAD "\r\n" TEXT, .end = TLS_RESET}, LOAD_CLOSED},
    {"cut behind the end mark", {.head = OK_HEAD "\r\n" TEXT DONE, .end = TLS_CUT}, LOAD_OK},
    {"clear text between records",
     {.head = OK_HEAD "\r\n" TEXT, .behind = TEXT DONE, .end = TLS_SILENT},
     LOAD_CLOSED},
    {"silent within a stream", {.head = OK_HEAD "\r\n" TEXT, .end = TLS_SILENT}, LOAD_TIMEOUT},
};

static void test_rows(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_server server = tls_start_hostile(folder, &rows[i].hostile);
        char url[64];
        snprintf(url, sizeof url, "https://127.0.0.1:%d/", server.port);
        struct load_plan plan = plan_of_one("openai-chat", &prompts, url);
        plan.streams[0].ca = server.ca;
        plan.streams[0].timeout_ns = (rows[i].error == LOAD_TIMEOUT ? 1 : 30) * NS_PER_S;
        struct run run = worker_run(&plan);
        CHECK_ROW_TEXT(i, rows[i].name, run.report.failure, "");
        CHECK_ROW(i, rows[i].name, run.count == 1);
        CHECK_ROW_TEXT(i, rows[i].name, load_error_name(run.kept[0].record.error),
                       load_error_name(rows[i].error));
        free(run.kept);
        tls_stop(&server);
    }
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
