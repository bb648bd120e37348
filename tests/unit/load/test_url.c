/* Which host a URL means, and what only looks like one. */
#include "load/url.h"

#include "check.h"

static void keys_are_not_shown(void **state)
{
    (void)state;
    static const struct {
        const char *url, *shown;
    } shown_rows[] = {
        {"http://h/x", "http://h/x"},
        {"http://h/x?a=1&b", "http://h/x?a=1&b"},
        {"http://h/x?api_key=hush&b=2", "http://h/x?api_key=...&b=2"},
        {"http://h/x?b=2&Access-Token=hush", "http://h/x?b=2&Access-Token=..."},
        {"http://h/x?key=hush=&secret", "http://h/x?key=...&secret"},
        {"http://h/x?key=#hush", "http://h/x?key=..."},
        {"http://h/x?", "http://h/x?"},
        {"http://h/x?&&", "http://h/x?&&"},
        {"http://h/key=1", "http://h/key=1"},
        {"program --key=1 ?key=2", "program --key=1 ?key=2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(shown_rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(256);
        load_url_add_shown(shown_rows[i].url, &text);
        CHECK_ROW_TEXT(i, shown_rows[i].url, buf_text(&text), shown_rows[i].shown);
    }
    struct load_url url;
    struct err err = ERR_INIT;
    assert_false(load_url_parse("http://h /x?key=hush", &url, &err));
    assert_null(strstr(err.text, "hush"));
}

static const struct {
    const char *url, *result; /* NULL: refused */
    const char *host;
    int port;
    bool tls, named, local;
} rows[] = {
    {"http://127.0.0.1:9002/v1/x", "http://127.0.0.1:9002/v1/x", "127.0.0.1", 9002, .local = true},
    {"http://localhost:80/x?y=1", "http://127.0.0.1:80/x?y=1", "127.0.0.1", 80, .local = true},
    {"HTTP://LocalHost/", "http://127.0.0.1/", "127.0.0.1", 80, .local = true},
    {"http://127.1.2.3:1", "http://127.1.2.3:1", "127.1.2.3", 1, .local = true},
    {"http://[::1]:9/x", "http://[::1]:9/x", "::1", 9, .local = true},
    {"http://[2001:db8::1]/", "http://[2001:db8::1]/", "2001:db8::1", 80},
    {"http://10.0.0.1/", "http://10.0.0.1/", "10.0.0.1", 80},
    {"https://127.0.0.1/", "https://127.0.0.1/", "127.0.0.1", 443, .tls = true, .local = true},
    {"https://localhost:8443/v1", "https://localhost:8443/v1", "localhost", 8443, true, true, true},
    {"HTTPS://api.example.com/v1", "https://api.example.com/v1", "api.example.com", 443, true,
     true},
    {"http://gpu-box:8000/v1", "http://gpu-box:8000/v1", "gpu-box", 8000, .named = true},
    {"http://4090box/", "http://4090box/", "4090box", 80, .named = true},
    {"http://127.0.0.1.example.com/", "http://127.0.0.1.example.com/", "127.0.0.1.example.com", 80,
     .named = true},
    {"ftp://127.0.0.1/", NULL},
    {"127.0.0.1:80", NULL},
    {"http://127.0.0.1@example.com/", NULL},
    {"https://user:secret@127.0.0.1/", NULL},
    {"http://127.1/", NULL},
    {"http://2130706433/", NULL},
    {"http://0x7f000001/", NULL},
    {"http://127.0.0.1:0/", NULL},
    {"http://127.0.0.1:65536/", NULL},
    {"http://127.0.0.1:8x/", NULL},
    {"http://127.0.0.1:/", NULL},
    {"http://127.0.0.1:123456789/", NULL},
    {"http://[::1/", NULL},
    {"http://[::1]x/", NULL},
    {"http://[example.com]/", NULL},
    {"http://exa%6dple.com/", NULL},
    {"http://ex_ample..com/", NULL},
    {"http://-x/", NULL},
    {"http://caf\xc3\xa9.example/", NULL},
    {"http://a,b/", NULL},
    {"http://a\\b/", NULL},
    {"http:///x", NULL},
    {"http://127.0.0.1/a b", NULL},
    {"http://127.0.0.1/a\r\nX: y", NULL},
    {"", NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_url url;
        struct err err = ERR_INIT;
        bool good = load_url_parse(rows[i].url, &url, &err);
        CHECK_ROW(i, rows[i].url, good == (rows[i].result != NULL));
        if (!good) {
            CHECK_ROW(i, rows[i].url, err.code == ERR_INPUT);
            CHECK_ROW(i, rows[i].url, !strstr(err.text, "secret"));
            continue;
        }
        CHECK_ROW_TEXT(i, rows[i].url, url.text, rows[i].result);
        CHECK_ROW_TEXT(i, rows[i].url, url.host, rows[i].host);
        CHECK_ROW(i, rows[i].url, url.port == rows[i].port);
        CHECK_ROW(i, rows[i].url, url.tls == rows[i].tls);
        CHECK_ROW(i, rows[i].url, url.named == rows[i].named);
        CHECK_ROW(i, rows[i].url, url.local == rows[i].local);
    }
}

static void test_resolve(void **state)
{
    (void)state;
    struct load_url url;
    char addresses[LOAD_ADDRESSES_MAX];
    struct err err = ERR_INIT;
    assert_true(load_url_parse("https://localhost/", &url, &err));
    assert_true(load_url_resolve(&url, addresses, sizeof addresses, &err));
    assert_string_equal(addresses, "127.0.0.1");
    /* A name that never exists (RFC 6761). */
    assert_true(load_url_parse("http://spica.invalid/", &url, &err));
    assert_false(load_url_resolve(&url, addresses, sizeof addresses, &err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_non_null(strstr(err.text, "spica.invalid"));
}

static void test_too_long(void **state)
{
    (void)state;
    char long_url[2 * LOAD_URL_MAX] = "http://127.0.0.1/", url[LOAD_URL_MAX];
    memset(long_url + strlen(long_url), 'x', sizeof long_url - strlen(long_url) - 1);
    assert_false(load_url_check(long_url, url, sizeof url, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_not_shown),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
