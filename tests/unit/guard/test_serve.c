/* The web server on a real socket, with clients that mean harm. */
#include "check.h"

#include "made_study.h"

#include "base/clock.h"
#include "guard/serve.h"
#include "guard/serve_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

static const int64_t NEVER_ENDS_NS = 60 * NS_PER_S;
static const char token[] = "a token of some length";

/* ---- pure ---- */

static const struct {
    const char *accept;
    enum guard_exposition form;
} accepts[] = {
    {NULL, EXPOSE_TEXT},
    {"", EXPOSE_TEXT},
    {"*/*", EXPOSE_TEXT},
    {"text/plain", EXPOSE_TEXT},
    {"application/openmetrics-text", EXPOSE_OPENMETRICS},
    {"application/openmetrics-text; version=1.0.0; charset=utf-8", EXPOSE_OPENMETRICS},
    {"application/openmetrics-text;version=0.0.1", EXPOSE_TEXT},
    {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     EXPOSE_OPENMETRICS},
    {"application/openmetrics-text;q=0.2, text/plain;q=0.5", EXPOSE_TEXT},
    {"application/openmetrics-text;q=0.5,text/plain;q=0.5", EXPOSE_OPENMETRICS},
    {"application/openmetrics-text;q=0", EXPOSE_TEXT},
    {"application/openmetrics-textual", EXPOSE_TEXT},
    {"APPLICATION/OpenMetrics-Text ; Q=1.0", EXPOSE_OPENMETRICS},
    {",;;=,q=,;q=0.,application/openmetrics-text;q=", EXPOSE_OPENMETRICS},
    {"application/openmetrics-text;version=", EXPOSE_TEXT},
};

static void test_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(accepts); i++)
        CHECK_ROW(i, accepts[i].accept ? accepts[i].accept : "(none)",
                  serve_form(accepts[i].accept) == accepts[i].form);
}

static const struct {
    const char *header;
    bool may;
} headers[] = {
    {NULL, false},
    {"", false},
    {"Bearer", false},
    {"Bearer ", false},
    {"Bearer a token of some length", true},
    {"bearer   a token of some length", true},
    {"Bearer a token of some lengt", false},
    {"Bearer a token of some length ", false},
    {"Basic a token of some length", false},
    {"a token of some length", false},
};

static void test_token(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        CHECK_ROW(i, headers[i].header ? headers[i].header : "(none)",
                  serve_may(headers[i].header, token) == headers[i].may);
}

static const struct {
    const char *listen, *env, *value;
    const char *problem; /* NULL: it opens */
} doors[] = {
    {"127.0.0.1", NULL, NULL, NULL},
    {"localhost", NULL, NULL, NULL},
    {"127.5.5.5", NULL, NULL, NULL},
    {"0.0.0.0", NULL, NULL, "not this machine alone"},
    {"::", NULL, NULL, "not this machine alone"},
    {"0.0.0.0", "SPICA_TEST_TOKEN", token, NULL},
    {"0.0.0.0", "SPICA_TEST_TOKEN", NULL, "is not set"},
    {"0.0.0.0", "SPICA_TEST_TOKEN", "", "is not set"},
    {"0.0.0.0", "SPICA_TEST_TOKEN", "short", "shorter than 16"},
    {"127.0.0.1", "SPICA_TEST_TOKEN", NULL, "is not set"},
    {"example.org", NULL, NULL, "an address"},
    {"300.0.0.1", NULL, NULL, "an address"},
    {"203.0.113.7", "SPICA_TEST_TOKEN", token, "listen: 203.0.113.7"}, /* nobody's address */
};

static void test_doors(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct made_study *made = made_study_new(folder);
    for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
        AUTO(guard_serve_close) struct guard_serve *serve = NULL;
        AUTO(guard_status_free)
        struct guard_status *status = guard_status_new(&made->study, NULL, false);
        sd_event *event = NULL;
        struct err err = ERR_INIT;
        assert_true(sd_event_new(&event) >= 0);
        made->guard.listen_address = doors[i].listen;
        made->guard.token_env = doors[i].env;
        unsetenv("SPICA_TEST_TOKEN");
        if (doors[i].value)
            setenv("SPICA_TEST_TOKEN", doors[i].value, 1);
        AUTO(free) char *token_now = guard_serve_take_token(&made->guard);
        CHECK_ROW(i, "children see it", !doors[i].env || !getenv(doors[i].env));
        bool open = guard_serve_open(&made->guard, event, status, token_now, &serve, &err);
        CHECK_ROW(i, doors[i].listen, open == !doors[i].problem);
        CHECK_ROW(i, err.text,
                  open || (err.code == ERR_INPUT && strstr(err.text, doors[i].problem)));
        CHECK_ROW(i, doors[i].listen, !open || guard_serve_port(serve) > 0);
        serve = guard_serve_close(serve);
        sd_event_unref(event);
    }
    made_study_free(made);
    check_remove_folder(folder);
}

/* ---- real sockets ---- */

struct stage {
    char *folder;
    struct made_study *made;
    sd_event *event;
    struct guard_status *status;
    struct guard_serve *serve;
    char *token;
};

static struct stage *stage_new(bool with_token)
{
    struct stage *stage = calloc(1, sizeof *stage);
    struct err err = ERR_INIT;
    assert_non_null(stage);
    stage->folder = check_make_folder();
    stage->made = made_study_new(stage->folder);
    stage->made->guard.token_env = with_token ? "SPICA_TEST_TOKEN" : NULL;
    setenv("SPICA_TEST_TOKEN", token, 1);
    assert_true(sd_event_new(&stage->event) >= 0);
    stage->token = guard_serve_take_token(&stage->made->guard);
    stage->status = guard_status_new(&stage->made->study, NULL, false);
    struct guard_tick tick = made_tick(stage->made);
    guard_status_tick(stage->status, &tick);
    if (!guard_serve_open(&stage->made->guard, stage->event, stage->status, stage->token,
                          &stage->serve, &err))
        fail_msg("%s", err.text);
    return stage;
}

static void stage_free(struct stage *stage)
{
    guard_serve_close(stage->serve);
    free(stage->token);
    guard_status_free(stage->status);
    sd_event_unref(stage->event);
    made_study_free(stage->made);
    check_remove_folder(stage->folder);
    free(stage);
}

static int dial(const struct stage *stage)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)guard_serve_port(stage->serve)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void turn(struct stage *stage, int ms)
{
    assert_true(sd_event_run(stage->event, (uint64_t)ms * 1000) >= 0);
}

/* All that comes until the other side closes, while our loop runs. */
static void hear(struct stage *stage, int fd, struct buf *text)
{
    int64_t end_ns = clock_now_ns() + NEVER_ENDS_NS;
    for (;;) {
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n > 0)
            assert_true(buf_append(text, chunk, (size_t)n));
        else if (n == 0 || errno == ECONNRESET)
            return;
        else
            turn(stage, 10);
        assert_true(clock_now_ns() < end_ns);
    }
}

static void say(struct stage *stage, int fd, const char *text, size_t len)
{
    int64_t end_ns = clock_now_ns() + NEVER_ENDS_NS;
    while (len > 0 && clock_now_ns() < end_ns) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* they have closed */
        if (n < 0)
            turn(stage, 1);
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

static const struct {
    const char *name, *request, *answer, *also;
} requests[] = {
    {"health", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", "\r\n\r\nok\n"},
    {"metrics", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", "version=0.0.4"},
    {"open metrics",
     "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n",
     "HTTP/1.1 200", "# EOF\n"},
    {"a query", "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200",
     "spica_guard_info{"},
    {"status", "GET /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200",
     "\"format\":\"spica guard status\""},
    {"closes", "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200",
     "Connection: close"},
    {"old", "GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1", "ok"},
    {"head", "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", "Content-Length: "},
    {"nothing here", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404", NULL},
    {"up and away", "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404", NULL},
    {"a NUL", "GET /metrics%00 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 ", NULL},
    {"post", "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 405",
     "Allow: GET, HEAD"},
    {"a large body", "PUT /status HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n",
     "HTTP/1.1 405", NULL},
    {"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
     "HTTP/1.1 405", NULL},
    {"an odd method", "DELETE /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405", NULL},
    {"nonsense", "\x16\x03\x01\x02\r\n\r\n", "", NULL},
    {"a second request in one go",
     "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /status HTTP/1.1\r\nHost: a\r\n\r\n",
     "HTTP/1.1 200", "Connection: close"},
};

static void test_requests(void **state)
{
    (void)state;
    struct stage *stage = stage_new(false);
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
        int fd = dial(stage);
        say(stage, fd, requests[i].request, strlen(requests[i].request));
        hear(stage, fd, &text);
        close(fd);
        CHECK_ROW(i, requests[i].name,
                  strncmp(buf_text(&text), requests[i].answer, strlen(requests[i].answer)) == 0);
        CHECK_ROW(i, requests[i].name,
                  !requests[i].also || strstr(buf_text(&text), requests[i].also) != NULL);
    }
    stage_free(stage);
}

static const struct {
    const char *name, *request, *answer;
} guarded[] = {
    {"none", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 401"},
    {"wrong", "GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n", "HTTP/1.1 401"},
    {"right",
     "GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a token of some length\r\n\r\n",
     "HTTP/1.1 200"},
    {"in the address", "GET /status?token=a+token+of+some+length HTTP/1.1\r\nHost: a\r\n\r\n",
     "HTTP/1.1 401"},
    {"what is there is not told", "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 401"},
    {"health alone is open", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200"},
};

static void test_guarded(void **state)
{
    (void)state;
    struct stage *stage = stage_new(true);
    for (size_t i = 0; i < ARRAY_LEN(guarded); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
        int fd = dial(stage);
        say(stage, fd, guarded[i].request, strlen(guarded[i].request));
        hear(stage, fd, &text);
        close(fd);
        CHECK_ROW(i, guarded[i].name,
                  strncmp(buf_text(&text), guarded[i].answer, strlen(guarded[i].answer)) == 0);
        CHECK_ROW(i, guarded[i].name, !strstr(buf_text(&text), token));
    }
    stage_free(stage);
}

/* A head without an end is refused once it is too long. */
static void test_endless_head(void **state)
{
    (void)state;
    static const char line[] =
        "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    struct stage *stage = stage_new(false);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20), request = BUF_INIT(1 << 20);
    int fd = dial(stage);
    buf_add(&request, "GET /metrics HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 4000; i++)
        buf_add(&request, line);
    say(stage, fd, buf_text(&request), request.len);
    hear(stage, fd, &text);
    close(fd);
    assert_true(text.len == 0 || strncmp(buf_text(&text), "HTTP/1.1 4", 10) == 0);
    stage_free(stage);
}

/* Clients that never finish take all places, each for a while and no longer; who comes after them
 * is served. They send a byte now and then: silence is not what ends them. */
static void test_slow_clients(void **state)
{
    (void)state;
    enum { SLOW = 20 };
    struct stage *stage = stage_new(false);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    int slow[SLOW];
    for (size_t i = 0; i < SLOW; i++) {
        slow[i] = dial(stage);
        say(stage, slow[i], "GET /met", 8);
        turn(stage, 0);
    }
    int fd = dial(stage);
    say(stage, fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 34);
    int64_t end_ns = clock_now_ns() + NEVER_ENDS_NS, byte_ns = 0;
    for (bool heard = false; !heard;) {
        char c;
        heard = recv(fd, &c, 1, MSG_PEEK) == 1;
        turn(stage, 20);
        if (clock_now_ns() > byte_ns) {
            byte_ns = clock_now_ns() + NS_PER_S;
            for (size_t i = 0; i < SLOW; i++)
                (void)!send(slow[i], "r", 1, MSG_NOSIGNAL);
        }
        assert_true(clock_now_ns() < end_ns);
    }
    hear(stage, fd, &text);
    assert_int_equal(strncmp(buf_text(&text), "HTTP/1.1 200", 12), 0);
    for (size_t i = 0; i < SLOW; i++)
        close(slow[i]);
    close(fd);
    stage_free(stage);
}

/* Whoever does not read his answer is let go of as well. */
static void test_deaf_client(void **state)
{
    (void)state;
    struct stage *stage = stage_new(false);
    int fd = dial(stage);
    int small = 1024;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    say(stage, fd, "GET /status HTTP/1.1\r\nHost: a\r\n\r\n", 33);
    for (int64_t end_ns = clock_now_ns() + 300 * NS_PER_MS; clock_now_ns() < end_ns;)
        turn(stage, 10);
    stage->serve = guard_serve_close(stage->serve); /* in the middle of it */
    close(fd);
    stage_free(stage);
}

static void test_health(void **state)
{
    (void)state;
    struct stage *stage = stage_new(false);
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    struct guard_tick tick = made_tick(stage->made);
    tick.mono_ns -= 60 * NS_PER_S;
    guard_status_tick(stage->status, &tick);
    int fd = dial(stage);
    say(stage, fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 34);
    hear(stage, fd, &text);
    close(fd);
    assert_int_equal(strncmp(buf_text(&text), "HTTP/1.1 503", 12), 0);
    stage_free(stage);
}

static void test_taken(void **state)
{
    (void)state;
    struct stage *stage = stage_new(false);
    struct guard_serve *second = NULL;
    struct err err = ERR_INIT;
    stage->made->guard.listen_port = guard_serve_port(stage->serve);
    assert_false(
        guard_serve_open(&stage->made->guard, stage->event, stage->status, NULL, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    stage->made->guard.listen_address = NULL;
    assert_true(
        guard_serve_open(&stage->made->guard, stage->event, stage->status, NULL, &second, &err));
    assert_null(second);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),       cmocka_unit_test(test_token),
        cmocka_unit_test(test_doors),        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_guarded),      cmocka_unit_test(test_endless_head),
        cmocka_unit_test(test_slow_clients), cmocka_unit_test(test_deaf_client),
        cmocka_unit_test(test_health),       cmocka_unit_test(test_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
