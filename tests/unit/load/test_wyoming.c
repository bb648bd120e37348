/* Wyoming: its events from bytes of any kind, what is sent, and peers good and bad over TCP. */
#include "load/protocols/wyoming_event.h"
#include "load/tcp.h"
#include "load/transport.h"

#include "plan_of.h"
#include "worker_run.h"
#include "wyoming_server.h"

#include <stddef.h>

/* A second of silence at 16 kHz, mono, 16 bit: 44 bytes of header and 32,000 of sound. */
static unsigned char wav[44 + 32000] = {
    'R', 'I', 'F', 'F', 0x24, 0x7d, 0,   0,   'W', 'A',  'V',  'E',  'f', 'm', 't',
    ' ', 16,  0,   0,   0,    1,    0,   1,   0,   0x80, 0x3e, 0,    0,   0,   0x7d,
    0,   0,   2,   0,   16,   0,    'd', 'a', 't', 'a',  0,    0x7d, 0,   0,
};
static struct corpus_clip clip = {
    .name = "a.wav", .data = wav, .len = sizeof wav, .duration_s = 1, .transcript = "hello"};
static const struct corpus clips = {.clips = &clip, .clip_count = 1, .all_transcribed = true};

#define E(text) text, sizeof(text) - 1

static const struct {
    const char *name, *bytes;
    size_t len;
    enum load_wyoming_news news;
    const char *type, *text;
    size_t payload_len, rest; /* rest: bytes behind the event */
} events[] = {
    {"inline data", E("{\"type\":\"transcript\",\"data\":{\"text\":\"hi\"}}\n"), LOAD_WYOMING_EVENT,
     "transcript", "hi", 0, 0},
    {"data behind the line", E("{\"type\":\"transcript\",\"data_length\":13}\n{\"text\":\"hi\"}x"),
     LOAD_WYOMING_EVENT, "transcript", "hi", 0, 1},
    {"both: what is behind wins",
     E("{\"type\":\"t\",\"data\":{\"text\":\"a\",\"b\":1},\"data_length\":12}\n{\"text\":\"b\"}"),
     LOAD_WYOMING_EVENT, "t", "b", 0, 0},
    {"payload", E("{\"type\":\"audio-chunk\",\"data_length\":2,\"payload_length\":3}\n{}a\nb{"),
     LOAD_WYOMING_EVENT, "audio-chunk", NULL, 3, 1},
    {"null lengths",
     E("{\"type\":\"t\",\"data\":null,\"data_length\":null,\"payload_length\":null}\n"),
     LOAD_WYOMING_EVENT, "t", NULL, 0, 0},
    {"no line end yet", E("{\"type\":\"t\"}"), LOAD_WYOMING_MORE, NULL, NULL, 0, 0},
    {"half of the data", E("{\"type\":\"t\",\"data_length\":20}\n{\"te"), LOAD_WYOMING_MORE, NULL,
     NULL, 0, 0},
    {"half of the payload", E("{\"type\":\"t\",\"payload_length\":20}\nabc"), LOAD_WYOMING_MORE,
     NULL, NULL, 0, 0},
    {"no JSON", E("HTTP/1.1 400 Bad Request\r\n\r\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"an empty line", E("\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"no object", E("[1]\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"no type", E("{\"data\":{}}\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"a type that is a number", E("{\"type\":5}\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"data that is a text", E("{\"type\":\"t\",\"data\":\"hi\"}\n"), LOAD_WYOMING_MALFORMED, NULL,
     NULL, 0, 0},
    {"negative length", E("{\"type\":\"t\",\"data_length\":-1}\n"), LOAD_WYOMING_MALFORMED, NULL,
     NULL, 0, 0},
    {"length as text", E("{\"type\":\"t\",\"payload_length\":\"9\"}\n"), LOAD_WYOMING_MALFORMED,
     NULL, NULL, 0, 0},
    {"length as a real", E("{\"type\":\"t\",\"payload_length\":9.0}\n"), LOAD_WYOMING_MALFORMED,
     NULL, NULL, 0, 0},
    {"huge data", E("{\"type\":\"t\",\"data_length\":9223372036854775807}\n"), LOAD_WYOMING_LIMIT,
     NULL, NULL, 0, 0},
    {"a length beyond 64 bits", E("{\"type\":\"t\",\"data_length\":99999999999999999999}\n"),
     LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
    {"huge payload", E("{\"type\":\"t\",\"payload_length\":99999999}\n"), LOAD_WYOMING_LIMIT, NULL,
     NULL, 0, 0},
    {"data that is no JSON", E("{\"type\":\"t\",\"data_length\":3}\nabc"), LOAD_WYOMING_MALFORMED,
     NULL, NULL, 0, 0},
    {"data that is a list", E("{\"type\":\"t\",\"data_length\":2}\n[]"), LOAD_WYOMING_MALFORMED,
     NULL, NULL, 0, 0},
    {"invalid UTF-8", E("{\"type\":\"\xff\xfe\"}\n"), LOAD_WYOMING_MALFORMED, NULL, NULL, 0, 0},
};

static void test_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct load_wyoming_event event = {0};
        size_t need = 0;
        enum load_wyoming_news news =
            load_wyoming_next(events[i].bytes, events[i].len, &event, &need);
        CHECK_ROW(i, events[i].name, news == events[i].news);
        if (news == LOAD_WYOMING_MORE)
            CHECK_ROW(i, events[i].name, need > events[i].len);
        if (news != LOAD_WYOMING_EVENT)
            continue;
        CHECK_ROW_TEXT(i, events[i].name, event.type, events[i].type);
        const char *text = json_string_value(json_object_get(event.data, "text"));
        CHECK_ROW_TEXT(i, events[i].name, text ? text : "-", events[i].text ? events[i].text : "-");
        CHECK_ROW(i, events[i].name, event.payload_len == events[i].payload_len);
        CHECK_ROW(i, events[i].name, event.size + events[i].rest == events[i].len);
        load_wyoming_event_done(&event);
    }
}

static void test_endless_line(void **state)
{
    (void)state;
    static char line[LOAD_WYOMING_HEADER_MAX];
    memset(line, ' ', sizeof line);
    struct load_wyoming_event event;
    size_t need = 0;
    assert_int_equal(load_wyoming_next(line, sizeof line - 1, &event, &need), LOAD_WYOMING_MORE);
    assert_int_equal(load_wyoming_next(line, sizeof line, &event, &need), LOAD_WYOMING_LIMIT);
}

/* The library's form: data behind the line, a length only where something follows. */
static void test_request(void **state)
{
    (void)state;
    const struct load_protocol *protocol = load_protocol_find("wyoming");
    struct spec_setting settings[] = {{.name = "language", .text = "en"}};
    struct load_stream stream = {.protocol = protocol,
                                 .corpus = &clips,
                                 .model = "tiny",
                                 .settings = settings,
                                 .setting_count = 1};
    struct load_input input = load_input_of(&stream, 0);
    struct load_request request = {0};
    struct err err = ERR_INIT;
    assert_true(protocol->build(&stream, &input, &request, &err));
    static const char head[] =
        "{\"type\": \"transcribe\", \"version\": \"1.10.2\", \"data_length\": 31}\n"
        "{\"name\":\"tiny\",\"language\":\"en\"}";
    assert_memory_equal(request.body.data, head, sizeof head - 1);
    size_t at = 0, sound = 0, chunks = 0;
    char last[64] = "";
    while (at < request.body.len) {
        struct load_wyoming_event event;
        size_t need = 0;
        assert_int_equal(
            load_wyoming_next(request.body.data + at, request.body.len - at, &event, &need),
            LOAD_WYOMING_EVENT);
        if (strcmp(event.type, "audio-start") == 0 || strcmp(event.type, "audio-chunk") == 0) {
            assert_int_equal(json_integer_value(json_object_get(event.data, "rate")), 16000);
            assert_int_equal(json_integer_value(json_object_get(event.data, "width")), 2);
            assert_int_equal(json_integer_value(json_object_get(event.data, "channels")), 1);
        }
        chunks += event.payload_len > 0;
        sound += event.payload_len;
        at += event.size;
        snprintf(last, sizeof last, "%s", event.type);
        load_wyoming_event_done(&event);
    }
    assert_int_equal(sound, 32000);
    assert_int_equal(chunks, 16);
    assert_string_equal(last, "audio-stop");
    buf_done(&request.body);
    clip.len = 40; /* cut before its sound */
    assert_false(protocol->build(&stream, &input, &request, &err));
    clip.len = sizeof wav;
    assert_non_null(strstr(err.text, "a.wav"));
}

#define T(text) "{\"type\":\"transcript\",\"data\":{\"text\":\"" text "\"}}\n"

/* 4,097 events and a transcript; made by test_peers(). */
#define EVENT "{\"type\":\"ping\"}\n"
enum { EVENT_LEN = sizeof EVENT - 1, EVENTS = 4097 };
static char many_events[EVENTS * EVENT_LEN + 64];

static const struct {
    const char *name;
    struct wyoming_script script;
    enum load_error error;
    const char *text;
} peers[] = {
    {"inline", {T(" hello there ")}, LOAD_OK, "hello there"},
    {"as the library writes it",
     {"{\"type\": \"transcript\", \"version\": \"1.10.2\", \"data_length\": 17}\n"
      "{\"text\": \"hello\"}"},
     LOAD_OK,
     "hello"},
    {"in single bytes", {T("hello"), .singly = true}, LOAD_OK, "hello"},
    {"other events first",
     {"{\"type\":\"info\",\"data_length\":2}\n{}" T("hello")},
     LOAD_OK,
     "hello"},
    {"closes after it", {T("hello"), .then = THEN_CLOSE}, LOAD_OK, "hello"},
    {"an empty transcript", {T("")}, LOAD_EMPTY, ""},
    {"an error",
     {"{\"type\":\"error\",\"data\":{\"text\":\"no model\"}}\n"},
     LOAD_SERVER_ERROR,
     "no model"},
    {"a transcript without text",
     {"{\"type\":\"transcript\"}\n"},
     LOAD_MALFORMED,
     "a transcript without text"},
    {"no Wyoming",
     {"HTTP/1.1 400 Bad Request\r\n\r\n", .early = true},
     LOAD_MALFORMED,
     "HTTP/1.1 400 Bad Request\r\n\r\n"},
    {"a length over the bound",
     {"{\"type\":\"transcript\",\"data_length\":99999999}\n"},
     LOAD_LIMIT,
     "events over our size limits"},
    {"an endless line",
     {"{\"type\":      ", .then = THEN_AGAIN},
     LOAD_LIMIT,
     "events over our size limits"},
    {"events without end",
     {"{\"type\":\"ping\"}\n", .then = THEN_AGAIN},
     LOAD_LIMIT,
     "events over our size limits"},
    /* expected: what a peer says in tiny events costs no more than 4,096 of them
     * before: 1 MiB of them, 60 ms in which nothing was sent */
    {"the last event that is one too many",
     {many_events},
     LOAD_LIMIT,
     "events over our size limits"},
    {"as many as there may be", {many_events + EVENT_LEN}, LOAD_OK, "hello"},
    {"never answers", {""}, LOAD_TIMEOUT, "no byte of an answer came"},
    {"never more than half",
     {"{\"type\":\"transcript\",\"data_length\":17}\n{\"text\":"},
     LOAD_TIMEOUT,
     NULL},
    {"half of the data, then closed",
     {"{\"type\":\"transcript\",\"data_length\":17}\n{\"text\":", .then = THEN_CLOSE},
     LOAD_CLOSED,
     "the peer closed before a whole answer"},
    {"closes without a word",
     {"", .then = THEN_CLOSE},
     LOAD_CLOSED,
     "the peer closed before a whole answer"},
    {"resets", {"", .then = THEN_RESET}, LOAD_CLOSED, NULL},
};

static struct load_plan plan_for(const char *url)
{
    struct load_plan plan = plan_of_one("wyoming", &clips, url);
    plan.streams[0].timeout_ns = 30 * NS_PER_S;
    return plan;
}

static void test_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENTS; i++)
        memcpy(many_events + i * EVENT_LEN, EVENT, EVENT_LEN);
    memcpy(many_events + (size_t)EVENTS * EVENT_LEN, T("hello"), sizeof T("hello"));
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        struct wyoming_server server = wyoming_start(&peers[i].script);
        char url[64];
        snprintf(url, sizeof url, "tcp://localhost:%d", server.port);
        struct load_plan plan = plan_for(url);
        if (peers[i].error == LOAD_TIMEOUT)
            plan.streams[0].timeout_ns = 300 * NS_PER_MS;
        struct run run = worker_run(&plan);
        CHECK_ROW_TEXT(i, peers[i].name, run.report.failure, "");
        CHECK_ROW(i, peers[i].name, run.count == 1);
        CHECK_ROW_TEXT(i, peers[i].name, load_error_name(run.kept[0].record.error),
                       load_error_name(peers[i].error));
        if (peers[i].text)
            CHECK_ROW_TEXT(i, peers[i].name, run.kept[0].text, peers[i].text);
        free(run.kept);
        wyoming_stop(&server);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct wyoming_server server = wyoming_start(&(struct wyoming_script){.answer = ""});
    wyoming_stop(&server); /* its port is free now */
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", server.port);
    struct load_plan plan = plan_for(url);
    plan.streams[0].request_limit = 3;
    struct run run = worker_run(&plan);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.by_error[LOAD_CONNECT], 3);
    assert_non_null(strstr(run.kept[0].text, "refused"));
    free(run.kept);
}

/* The latency ends with the transcript, not with what follows; and an open connection does not keep
 * a client of a closed loop from its next request. */
static void test_latency(void **state)
{
    (void)state;
    static const struct wyoming_script script = {
        .answer = "{\"type\":\"transcript-start\"}\n"
                  "{\"type\":\"transcript-chunk\",\"data\":{\"text\":\"hel\"}}\n" T(
                      "hello") "{\"type\":\"transcript-stop\"}\n",
        .delay_ms = 30,
    };
    struct wyoming_server server = wyoming_start(&script);
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", server.port);
    struct load_plan plan = plan_for(url);
    plan.streams[0].request_limit = 10;
    int64_t start_ns = clock_now_ns();
    struct run run = worker_run(&plan);
    int64_t took_ns = clock_now_ns() - start_ns;
    assert_int_equal(run.by_error[LOAD_OK], 10);
    for (size_t i = 0; i < run.count; i++) {
        const struct load_record *r = &run.kept[i].record;
        assert_true(r->done_ns - r->sent_ns >= 30 * NS_PER_MS);
        assert_true(r->first_byte_ns <= r->first_token_ns && r->first_token_ns <= r->done_ns);
        assert_true(r->audio_s == 1);
        assert_int_equal(r->http_status, 0);
    }
    /* Ten graces would take 5 s. */
    assert_true(took_ns < 10 * (30 * NS_PER_MS + LOAD_GRACE_NS));
    free(run.kept);
    wyoming_stop(&server);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"tcp://127.0.0.1:10300", true},
        {"TCP://localhost:1", true},
        {"tcp://[::1]:10300", true},
        {"http://127.0.0.1:10300", false},
        {"tcp://127.0.0.1", false},
        {"tcp://[::1]", false},
        {"tcp://127.0.0.1:10300/x", false},
        {"tcp://127.0.0.1:0", false},
        {"tcp://127.0.0.1:70000", false},
        {"tcp://", false},
        {"tcp://:80", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage address;
        socklen_t len = 0;
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].url,
                  load_tcp_address(rows[i].url, &address, &len, &err) == rows[i].good);
        CHECK_ROW(i, rows[i].url, rows[i].good || err.code == ERR_INPUT);
    }
    struct load_plan plan = plan_for("tcp://127.0.0.1:10300");
    plan.streams[0].reuse_connection = true;
    char target[LOAD_TARGET_MAX];
    struct err err = ERR_INIT;
    assert_false(load_transport_tcp.check(&plan.streams[0], target, sizeof target, &err));
    assert_non_null(strstr(err.text, "none is reused"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),    cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_request),   cmocka_unit_test(test_peers),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_latency),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
