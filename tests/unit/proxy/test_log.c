/* What HAProxy's lines say: the termination state counts, not the status. */
#include "check.h"
#include "made.h"

#include <math.h>

static const char folder[] = "/tmp/voice.spica.proxy";

/* front, server, status, end, then TR Tw Tc Tr Td Ta */
#define LINE(front, server, status, end, times)                                                    \
    LINE_FOR(front, front "." server, server, status, end, times)
#define LINE_FOR(front, chosen, server, status, end, times)                                        \
    "{\"spica\":\"0123456789abcdef\",\"t\":1700000000.042,\"front\":\"" front                      \
    "\",\"for\":\"" chosen "\",\"server\":\"" server "\",\"status\":" status ",\"end\":\"" end     \
    "\"," times ",\"in\":1234,\"out\":567,\"pin\":\"-\"}"
#define TIMES "\"TR\":1,\"Tw\":20,\"Tc\":0,\"Tr\":300,\"Td\":79,\"Ta\":400"

static const struct {
    const char *name, *line;
    int server;
    enum proxy_end end;
    int status;
} rows[] = {
    {"fine", LINE("spica.stt", "tiny", "200", "----", TIMES), 1, PROXY_OK, 200},
    /* haproxy#1441, #2749: cut, and logged with status 200. */
    {"HA-200-CUT", LINE("spica.stt", "base", "200", "SD--", TIMES), 0, PROXY_CUT, 200},
    {"time limit", LINE("spica.stt", "base", "200", "sD--", TIMES), 0, PROXY_CUT, 200},
    {"no head in time", LINE("spica.stt", "base", "504", "sH--", TIMES), 0, PROXY_CUT, 504},
    {"died before its head", LINE("spica.stt", "base", "502", "SH--", TIMES), 0, PROXY_CUT, 502},
    {"client left", LINE("spica.stt", "base", "200", "CD--", TIMES), 0, PROXY_CLIENT, 200},
    {"client stalled", LINE("spica.stt", "base", "200", "cD--", TIMES), 0, PROXY_CLIENT, 200},
    {"client left early", LINE("spica.stt", "base", "-1", "CH--", TIMES), 0, PROXY_CLIENT, 0},
    {"client left the queue", LINE("spica.stt", "<NOSRV>", "503", "CQ--", TIMES), -1, PROXY_CLIENT,
     503},
    {"queue's time limit", LINE("spica.stt", "<NOSRV>", "503", "sQ--", TIMES), -1, PROXY_UNSERVED,
     503},
    {"queue of a server", LINE("spica.llm", "next", "503", "sQ--", TIMES), 1, PROXY_UNSERVED, 503},
    {"none usable", LINE("spica.llm", "<NOSRV>", "503", "SC--", TIMES), -1, PROXY_UNSERVED, 503},
    {"refused connection", LINE("spica.llm", "now", "503", "SC--", TIMES), 0, PROXY_UNSERVED, 503},
    {"server's 500", LINE("spica.llm", "now", "500", "----", TIMES), 0, PROXY_SERVER_ERROR, 500},
    {"server's 404", LINE("spica.llm", "now", "404", "----", TIMES), 0, PROXY_REFUSED, 404},
    {"unknown pin", LINE("spica.llm", "<NOSRV>", "400", "LR--", TIMES), -1, PROXY_REFUSED, 400},
    {"denied", LINE("spica.llm", "<NOSRV>", "400", "PR--", TIMES), -1, PROXY_REFUSED, 400},
    {"no HTTP", LINE("spica.llm", "now", "502", "PH--", TIMES), 0, PROXY_SERVER_ERROR, 502},
    {"killed", LINE("spica.llm", "now", "200", "KD--", TIMES), 0, PROXY_CUT, 200},
    {"out of resources", LINE("spica.llm", "<NOSRV>", "503", "RC--", TIMES), -1, PROXY_UNSERVED,
     503},
    {"cookie letters", LINE("spica.llm", "now", "200", "--NI", TIMES), 0, PROXY_OK, 200},
    {"syslog's head",
     "<134>Nov 26 03:00:00 haproxy[7]: " LINE("spica.llm", "now", "200", "----", TIMES), 0,
     PROXY_OK, 200},
    {"name of no server", LINE("spica.llm", "other", "200", "----", TIMES), -1, PROXY_OK, 200},
};

static void ends(void **state)
{
    struct made made;
    (void)state;
    made_init(&made, folder);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_request request = {0};
        const char *line = rows[i].line;
        CHECK_ROW(i, rows[i].name, proxy_log_parse(&made.proxy, line, strlen(line), &request));
        CHECK_ROW(i, rows[i].name, request.end == rows[i].end);
        CHECK_ROW(i, rows[i].name, request.server == rows[i].server);
        CHECK_ROW(i, rows[i].name, request.status == rows[i].status);
    }
}

static void numbers(void **state)
{
    static const char line[] = LINE("spica.llm", "next", "200", "----", TIMES);
    static const char early[] = LINE("spica.llm", "<NOSRV>", "503", "sQ--",
                                     "\"TR\":1,\"Tw\":-1,\"Tc\":-1,\"Tr\":-1,\"Td\":-1,\"Ta\":70");
    struct made made;
    struct proxy_request request = {0};
    (void)state;
    made_init(&made, folder);
    assert_true(proxy_log_parse(&made.proxy, line, sizeof line - 1, &request));
    assert_int_equal(request.wall_us, INT64_C(1700000000042000));
    assert_int_equal(request.front, 1);
    assert_true(request.total_s == 0.4 && request.queue_s == 0.02);
    assert_true(fabs(request.first_s - 0.321) < 1e-12);
    assert_int_equal(request.bytes_in, 1234);
    assert_int_equal(request.bytes_out, 567);
    assert_false(request.pinned);
    assert_true(proxy_log_parse(&made.proxy, early, sizeof early - 1, &request));
    assert_true(request.total_s == 0.07 && isnan(request.first_s) && isnan(request.queue_s));
    char pinned[sizeof line];
    memcpy(pinned, line, sizeof line);
    pinned[sizeof line - 4] = '1';
    assert_true(proxy_log_parse(&made.proxy, pinned, sizeof line - 1, &request));
    assert_true(request.pinned);
}

/* None of ours: notices, another token (anybody on the machine can send to loopback), fragments. */
static void others(void **state)
{
    static const char line[] = LINE("spica.llm", "next", "200", "----", TIMES);
    static const char *const wrong[] = {
        "",
        "Server spica.stt.base/base is DOWN, reason: Layer4 connection problem",
        "{}",
        "{\"spica\":\"\",\"t\":1.1}",
        "{\"spica\":\"fedcba9876543210\",\"t\":1700000000.042,\"front\":\"spica.llm\","
        "\"for\":\"spica.llm.now\",\"server\":"
        "\"now\","
        "\"status\":200,\"end\":\"----\"," TIMES ",\"in\":1,\"out\":1,\"pin\":\"-\"}",
        LINE("spica.tts", "now", "200", "----", TIMES),
        LINE("spica.llm", "now", "2000", "----", TIMES),
        LINE("spica.llm", "now", "200", "---", TIMES),
        LINE("spica.llm", "now", "99999999999999999999", "----", TIMES),
        LINE("spica.llm", "now", "", "----", TIMES),
    };
    struct made made;
    struct proxy_request request = {0};
    (void)state;
    made_init(&made, folder);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK_ROW(i, wrong[i], !proxy_log_parse(&made.proxy, wrong[i], strlen(wrong[i]), &request));
    for (size_t len = 0; len < sizeof line - 1; len++)
        CHECK_ROW(len, "cut short", !proxy_log_parse(&made.proxy, line, len, &request));
    made.proxy.state.token[0] = '\0'; /* not applied yet: nothing is ours */
    assert_false(proxy_log_parse(&made.proxy, line, sizeof line - 1, &request));
}

/* Whose it was to be: the backend that was chosen, whoever stood in. */
static void assigned(void **state)
{
    static const struct {
        const char *name, *line;
        bool drained, missed;
        int assigned;
    } cases[] = {
        {"its own", LINE("spica.llm", "next", "200", "----", TIMES), false, false, 0},
        {"stood in for", LINE_FOR("spica.llm", "spica.llm.next", "now", "200", "----", TIMES),
         false, true, 1},
        {"none took it", LINE_FOR("spica.llm", "spica.llm.next", "<NOSRV>", "503", "SC--", TIMES),
         false, true, 1},
        {"drained", LINE_FOR("spica.llm", "spica.llm.next", "now", "200", "----", TIMES), true,
         false, 0},
        {"pinned", LINE_FOR("spica.llm", "spica.llm.next.pin", "<NOSRV>", "503", "SC--", TIMES),
         false, false, 0},
        {"never chosen", LINE_FOR("spica.llm", "spica.llm", "<NOSRV>", "400", "LR--", TIMES), false,
         false, 0},
        {"a tier", LINE_FOR("spica.stt", "spica.stt.base", "tiny", "200", "----", TIMES), false,
         true, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made made;
        struct proxy_request request = {0};
        made_init(&made, folder);
        made.proxy.drained[1][1] = cases[i].drained;
        const char *line = cases[i].line;
        CHECK_ROW(i, cases[i].name, proxy_log_parse(&made.proxy, line, strlen(line), &request));
        CHECK_ROW(i, cases[i].name, request.missed == cases[i].missed);
        CHECK_ROW(i, cases[i].name, request.assigned == cases[i].assigned);
    }
}

static void end_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROXY_END_COUNT_; i++)
        assert_non_null(proxy_end_names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),     cmocka_unit_test(numbers),   cmocka_unit_test(others),
        cmocka_unit_test(assigned), cmocka_unit_test(end_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
