/* https:// is verified, says why it refuses, and carries a key that nothing shows. */
#include "load/worker.h"

#include "plan_of.h"
#include "raw_server.h"
#include "tls_server.h"
#include "worker_run.h"

#define KEY "sk-test-0123456789abcdef"

static const struct corpus prompts = PROMPTS({.prompt = "one"});
static const struct spec_setting unstreamed[] = {{.name = "stream", .text = "false"}};

static const struct {
    const char *name, *names, *host;
    bool trusted, reuse;
    long seconds; /* until the certificate ends */
    const char *key;
    enum load_error error;
    const char *says; /* in the record's text */
} rows[] = {
    {"trusted", "IP:127.0.0.1", "127.0.0.1", true, false, 3600, KEY, LOAD_OK, "you sent ****"},
    {"trusted, kept open", "IP:127.0.0.1", "127.0.0.1", true, true, 3600, KEY, LOAD_OK, "you sent"},
    {"by name", "DNS:localhost", "localhost", true, false, 3600, KEY, LOAD_OK, "you sent ****"},
    {"self-signed", "IP:127.0.0.1", "127.0.0.1", false, false, 3600, KEY, LOAD_TLS, "self-signed"},
    {"another host", "DNS:localhost", "127.0.0.1", true, false, 3600, KEY, LOAD_TLS,
     "another host name"},
    {"another name", "DNS:example.com", "localhost", true, false, 3600, KEY, LOAD_TLS,
     "another host name"},
    {"expired", "IP:127.0.0.1", "127.0.0.1", true, false, -3600, KEY, LOAD_TLS, "has expired"},
    {"wrong key", "IP:127.0.0.1", "127.0.0.1", true, false, 3600, "sk-other-key", LOAD_HTTP_STATUS,
     "Incorrect API key: ****"},
    {"no key", "IP:127.0.0.1", "127.0.0.1", true, false, 3600, NULL, LOAD_HTTP_STATUS,
     "Incorrect API key: "},
};

static struct run ask(const char *url, const char *ca, const char *key, bool reuse)
{
    struct load_plan plan = plan_of("openai-chat", &prompts, url);
    plan.probe = true;
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].request_limit = 3;
    plan.streams[0].settings = unstreamed;
    plan.streams[0].setting_count = 1;
    plan.streams[0].ca = ca;
    plan.streams[0].api_key = key;
    plan.streams[0].reuse_connection = reuse;
    return worker_run(&plan);
}

static void test_rows(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_server server = tls_start(folder, rows[i].names, rows[i].seconds, KEY);
        char url[64];
        snprintf(url, sizeof url, "https://%s:%d/", rows[i].host, server.port);
        struct run run = ask(url, rows[i].trusted ? server.ca : NULL, rows[i].key, rows[i].reuse);
        CHECK_ROW_TEXT(i, rows[i].name, run.report.failure, "");
        CHECK_ROW(i, rows[i].name, run.count == 3);
        for (size_t k = 0; k < run.count; k++) {
            const struct kept *kept = &run.kept[k];
            CHECK_ROW_TEXT(i, rows[i].name, load_error_name(kept->record.error),
                           load_error_name(rows[i].error));
            if (!strstr(kept->text, rows[i].says))
                fail_msg("%s: says \"%s\"", rows[i].name, kept->text);
            CHECK_ROW(i, rows[i].name, !strstr(kept->text, "sk-"));
        }
        free(run.kept);
        tls_stop(&server);
    }
    check_remove_folder(folder);
}

/* A server without TLS behind https://, and a redirect, which the key must not follow. */
static void test_elsewhere(void **state)
{
    (void)state;
    struct raw_server server = raw_start("HTTP/1.1 200 OK\r\n\r\n", NULL);
    char url[64], head[256];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", server.port);
    struct run run = ask(url, NULL, KEY, false);
    assert_int_equal(run.by_error[LOAD_TLS], 3);
    assert_non_null(strstr(run.kept[0].text, "does not speak TLS"));
    free(run.kept);
    raw_stop(&server);

    char *folder = check_make_folder();
    struct tls_server other = tls_start(folder, "IP:127.0.0.1", 3600, KEY);
    snprintf(head, sizeof head,
             "HTTP/1.1 307 Go\r\nLocation: https://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n",
             other.port);
    server = raw_start(head, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.port);
    run = ask(url, NULL, KEY, false);
    assert_int_equal(run.by_error[LOAD_HTTP_STATUS], 3);
    assert_int_equal(run.kept[0].record.http_status, 307);
    free(run.kept);
    raw_stop(&server);
    tls_stop(&other);
    check_remove_folder(folder);
}

static const struct {
    const char *names, *name;
    long seconds;
    bool trusted, untrusted;
    int status;
    const char *says;
} looks[] = {
    {"DNS:localhost", "localhost", 3600, true, false, 200, "answered 200"},
    /* A name that no look-up would find here. */
    {"DNS:stt.example.org", "stt.example.org", 3600, true, false, 200, "answered 200"},
    {"IP:127.0.0.1", "127.0.0.1", 3600, true, false, 200, "answered 200"},
    {"DNS:localhost", "localhost", 3600, false, true, 0, "self-signed"},
    {"DNS:stt.example.org", "localhost", 3600, true, true, 0, "another host name"},
    {"DNS:localhost", "localhost", -3600, true, true, 0, "has expired"},
};

/* The look for "ready": by a page, and by the connection alone. */
static void test_looks(void **state)
{
    (void)state;
    static const char *const paths[] = {"/\"messages\"", NULL};
    char *folder = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        struct tls_server server = tls_start(folder, looks[i].names, looks[i].seconds, "");
        const struct spec_tls tls = {true, looks[i].trusted ? server.ca : NULL, looks[i].name};
        const struct load_site site = {server.port, &tls};
        for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
            struct load_look look;
            load_http_get(&site, paths[k], 10 * NS_PER_S, &look);
            CHECK_ROW(i, look.why, look.status == looks[i].status);
            CHECK_ROW(i, look.why, look.untrusted == looks[i].untrusted);
            CHECK_ROW(i, look.why,
                      strstr(look.why, paths[k] || !look.status ? looks[i].says : "accepts"));
        }
        tls_stop(&server);
    }
    check_remove_folder(folder);
}

/* In clear text behind "tls: true": said at once. Nobody at all: worth waiting for. */
static void test_look_elsewhere(void **state)
{
    (void)state;
    struct raw_server server = raw_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL);
    const struct spec_tls tls = {.given = true, .name = "localhost"};
    const struct load_site site = {server.port, &tls};
    struct load_look look;
    load_http_get(&site, "/", 10 * NS_PER_S, &look);
    assert_true(look.untrusted && look.status == 0);
    assert_non_null(strstr(look.why, "does not speak TLS"));
    raw_stop(&server);
    load_http_get(&site, "/", 10 * NS_PER_S, &look);
    assert_true(!look.untrusted && look.status == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_look_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
