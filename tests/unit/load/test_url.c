/* Only this machine is loaded, by number. */
#include "load/url.h"

#include "check.h"

static const struct {
    const char *url, *result; /* NULL: refused */
} rows[] = {
    {"http://127.0.0.1:9002/v1/chat/completions", "http://127.0.0.1:9002/v1/chat/completions"},
    {"http://localhost:80/x?y=1", "http://127.0.0.1:80/x?y=1"},
    {"HTTP://LocalHost/", "http://127.0.0.1/"},
    {"http://127.1.2.3:1", "http://127.1.2.3:1"},
    {"http://[::1]:9/x", "http://[::1]:9/x"},
    {"https://127.0.0.1/", NULL},
    {"ftp://127.0.0.1/", NULL},
    {"127.0.0.1:80", NULL},
    {"http://example.com/", NULL},
    {"http://10.0.0.1/", NULL},
    {"http://127.0.0.1.example.com/", NULL},
    {"http://127.0.0.1@example.com/", NULL},
    {"http://user@127.0.0.1/", NULL},
    {"http://127.0.0.1:0/", NULL},
    {"http://127.0.0.1:65536/", NULL},
    {"http://127.0.0.1:8x/", NULL},
    {"http://127.0.0.1:/", NULL},
    {"http://127.0.0.1:123456789/", NULL},
    {"http://[::1/", NULL},
    {"http://[2001:db8::1]/", NULL},
    {"http:///x", NULL},
    {"http://127.0.0.1/a b", NULL},
    {"http://127.0.0.1/a\r\nX: y", NULL},
    {"", NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char url[LOAD_URL_MAX] = "";
        struct err err = ERR_INIT;
        bool good = load_url_check(rows[i].url, url, sizeof url, &err);
        CHECK_ROW(i, rows[i].url, good == (rows[i].result != NULL));
        if (good)
            CHECK_ROW_TEXT(i, rows[i].url, url, rows[i].result);
        else
            CHECK_ROW(i, rows[i].url, err.code == ERR_INPUT);
    }
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
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
