/* The ready check: one GET with a deadline, and words for what happened. And whose fault an end of
 * libcurl's is. */
#include "load/worker.h"

#include "base/clock.h"
#include "fake.h"
#include "load/http_easy.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static void check(int port, const char *path, int status, const char *says)
{
    const struct load_site site = {.port = port};
    struct load_look look;
    load_http_get(&site, path, NS_PER_S / 4, &look);
    assert_int_equal(look.status, status);
    assert_false(look.untrusted);
    if (!strstr(look.why, says))
        fail_msg("says \"%s\", not \"%s\"", look.why, says);
}

static void test_ready(void **state)
{
    (void)state;
    /* A proxy in the environment must not be asked. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    struct fake fake = fake_start(NULL);
    check(fake.port, "/health", 200, "answered 200");
    check(fake.port, "/none", 404, "answered 404");
    check(fake.port, NULL, 200, "accepts");
    fake_stop(&fake);
    check(fake.port, "/health", 0, "connect");
    check(fake.port, NULL, 0, "connect");
    fake = fake_start((const char *const[]){"--never-ready", NULL});
    check(fake.port, "/health", 503, "answered 503");
    fake_stop(&fake);
    unsetenv("http_proxy");
}

/* Accepts (in the kernel) and never answers. */
static void test_silent(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    int64_t start_ns = clock_now_ns();
    check(ntohs(address.sin_port), "/health", 0, "timed out");
    assert_true(clock_now_ns() - start_ns < 30 * NS_PER_S);
    check(ntohs(address.sin_port), NULL, 200, "accepts");
    close(fd);
}

static void test_whose_fault(void **state)
{
    (void)state;
    static const struct {
        CURLcode code;
        const char *limit; /* that our own callback said before */
        enum load_http_end end;
    } rows[] = {
        {CURLE_OK, NULL, LOAD_HTTP_COMPLETE},
        {CURLE_WRITE_ERROR, "an answer over 8 MiB", LOAD_HTTP_LIMIT},
        {CURLE_GOT_NOTHING, NULL, LOAD_HTTP_CLOSED},
        {CURLE_WEIRD_SERVER_REPLY, NULL, LOAD_HTTP_NONSENSE},
        {CURLE_BAD_CONTENT_ENCODING, NULL, LOAD_HTTP_NONSENSE},
        {CURLE_FAILED_INIT, NULL, LOAD_HTTP_INTERNAL},
        {CURLE_BAD_FUNCTION_ARGUMENT, NULL, LOAD_HTTP_INTERNAL},
        {CURLE_RECURSIVE_API_CALL, NULL, LOAD_HTTP_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_http_call call = {.limit = rows[i].limit};
        CHECK_ROW(i, curl_easy_strerror(rows[i].code),
                  load_http_easy_end(&call, rows[i].code) == rows[i].end);
        CHECK_ROW_TEXT(i, "its words", call.why, rows[i].limit ? rows[i].limit : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_fault),
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
