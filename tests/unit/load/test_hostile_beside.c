/* A hostile server beside a decent one in the same run: its own requests fail by kind, the worker's
 * memory stays bounded, and every request to the other is answered. */
#include "load/worker.h"

#include "plan_of.h"
#include "raw_server.h"
#include "worker_run.h"

/* A second of silence, 8 kHz, mono, 8 bit, for those who want sound. */
static unsigned char wav[44 + 8000] = {
    'R', 'I', 'F', 'F', 0x64, 0x1f, 0,   0,   'W', 'A',  'V',  'E',  'f', 'm',  't',
    ' ', 16,  0,   0,   0,    1,    0,   1,   0,   0x40, 0x1f, 0,    0,   0x40, 0x1f,
    0,   0,   1,   0,   8,    0,    'd', 'a', 't', 'a',  0x40, 0x1f, 0,   0,
};
static struct corpus_clip clip = {.name = "a.wav", .data = wav, .len = sizeof wav, .duration_s = 1};
static const struct corpus prompts = {.prompts = &(struct corpus_prompt){.prompt = "one"},
                                      .prompt_count = 1,
                                      .clips = &clip,
                                      .clip_count = 1};

#ifndef __has_feature /* clang's way; gcc has a macro */
#define __has_feature(what) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif
enum { GROWTH_MAX_KIB = 64 << 10, CLIENTS = 2 };

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define EVENT "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"

static const char good_answer[] = OK_HEAD "\r\n" EVENT EVENT "data: [DONE]\n\n";

#define TENSOR(shape, type, rest)                                                                  \
    OK_HEAD "\r\n{\"outputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\""      \
                                                                                         "," rest
#define BYTES_BEHIND(count) "\"parameters\":{\"binary_data_size\":" count "}}]}"
#define TRANSCRIPT(text) "{\"type\":\"transcript\",\"data\":{\"text\":" text "}}\n"

static const struct {
    const char *name;
    struct raw_answer answer;
    enum load_error error;
    const char *protocol; /* NULL: openai-chat */
} rows[] = {
    {"1 GB of body", {.head = OK_HEAD "\r\n", .again = EVENT}, LOAD_LIMIT},
    {"1 GB said, then sent",
     {OK_HEAD "Content-Length: 1073741824\r\n\r\n", .again = EVENT},
     LOAD_LIMIT},
    {"endless line", {OK_HEAD "\r\ndata: ", .again = "xxxxxxxxxxxxxxxx"}, LOAD_LIMIT},
    {"endless empty lines", {OK_HEAD "\r\n", .again = "\n\n\n\n\n\n\n\n"}, LOAD_LIMIT},
    {"one-byte chunks by the million", {CHUNKED, .again = "1\r\n:\r\n"}, LOAD_LIMIT},
    {"endless chunk extension", {CHUNKED "1;", .again = "xxxxxxxx"}, LOAD_TIMEOUT},
    {"endless chunk size", {CHUNKED, .again = "00000000"}, LOAD_MALFORMED},
    {"chunk of 16 EiB", {CHUNKED "ffffffffffffffff\r\n", .again = EVENT}, LOAD_MALFORMED},
    {"endless trailers", {CHUNKED "0\r\n", .again = "X-A: b\r\n"}, LOAD_LIMIT},
    {"100,000 headers", {OK_HEAD, .again = "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"}, LOAD_LIMIT},
    {"1 GB in one header", {OK_HEAD "X-A: ", .again = "bbbbbbbbbb"}, LOAD_LIMIT},
    {"endless interim answers", {"", .again = "HTTP/1.1 103 Early\r\nX-A: b\r\n\r\n"}, LOAD_LIMIT},
    {"body shorter than said", {OK_HEAD "Content-Length: 1000\r\n\r\n" EVENT}, LOAD_CLOSED},
    {"body longer than said", {OK_HEAD "Content-Length: 10\r\n\r\n" EVENT EVENT}, LOAD_TRUNCATED},
    {"two lengths",
     {OK_HEAD "Content-Length: 5\r\nContent-Length: 900\r\n\r\n" EVENT},
     LOAD_CLOSED},
    {"gzip not asked for",
     {OK_HEAD "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x01\xff"},
     LOAD_MALFORMED},
    {"invalid UTF-8",
     {OK_HEAD "\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\xc3(\"}}]}\n\n" EVENT
              "data: [DONE]\n\n"},
     LOAD_MALFORMED},
    {"a byte in a while", {OK_HEAD "\r\n", .again = ":", .pause_ms = 40}, LOAD_TIMEOUT},
    {"a header byte in a while",
     {"HTTP/1.1 200 OK\r\nX-A: ", .again = "b", .pause_ms = 40},
     LOAD_TIMEOUT},
    {"pings without end", {OK_HEAD "\r\n", .again = ": ping\n\n", .pause_ms = 10}, LOAD_TIMEOUT},
    {"nothing at all", {""}, LOAD_CLOSED},
    {"reset at once", {"", .reset = true}, LOAD_CLOSED},
    {"reset half way", {OK_HEAD "\r\n" EVENT, .reset = true}, LOAD_CLOSED},
    {"another protocol", {"SSH-2.0-OpenSSH_9.2\r\n"}, LOAD_MALFORMED},
    {"status of 4 digits", {"HTTP/1.1 2000 OK\r\n\r\n" EVENT}, LOAD_MALFORMED},
    {"redirect to itself",
     {"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"},
     LOAD_HTTP_STATUS},
    {"endless failure", {"HTTP/1.1 500 No\r\n\r\n", .again = "no no no "}, LOAD_LIMIT},

    {"numbers without end",
     {TENSOR("[1]", "FP32", "\"data\":["), .again = "0.5,"},
     LOAD_LIMIT,
     "kserve"},
    {"a shape of more than 64 bits",
     {TENSOR("[4294967296,4294967296,4294967296]", "FP32", "\"data\":[]}]}")},
     LOAD_MALFORMED,
     "kserve"},
    {"a side of less than nothing",
     {TENSOR("[-1]", "FP32", "\"data\":[]}]}")},
     LOAD_MALFORMED,
     "kserve"},
    {"a text among numbers",
     {TENSOR("[1]", "FP32", "\"data\":[\"a\"]}]}")},
     LOAD_MALFORMED,
     "kserve"},
    {"outputs that are no list",
     {OK_HEAD "\r\n{\"outputs\":{\"name\":1}}"},
     LOAD_MALFORMED,
     "kserve"},
    {"a text of no UTF-8",
     {TENSOR("[1]", "BYTES", "\"data\":[\"\xff\xfe\"]}]}")},
     LOAD_MALFORMED,
     "kserve"},
    {"a tensor cut in two", {TENSOR("[2]", "FP32", "\"data\":[0.5,")}, LOAD_MALFORMED, "kserve"},
    {"bytes of a negative number",
     {TENSOR("[1]", "FP32", BYTES_BEHIND("-4"))},
     LOAD_MALFORMED,
     "kserve"},
    {"99 MB announced, 4 bytes there",
     {TENSOR("[1]", "FP32", BYTES_BEHIND("99999999") "abcd")},
     LOAD_MALFORMED,
     "kserve"},
    {"a text of 2 GiB in 8 bytes",
     {TENSOR("[1]", "BYTES",
             BYTES_BEHIND("8") "\xff\xff\xff\x7f"
                               "abcd")},
     LOAD_MALFORMED,
     "kserve"},

    {"a line without an end", {"{\"type\":", .again = "          "}, LOAD_LIMIT, "wyoming"},
    {"sound without an end",
     {"", .again = "{\"type\":\"audio-chunk\",\"payload_length\":4}\nabcd"},
     LOAD_LIMIT,
     "wyoming"},
    {"a payload of 99 MB",
     {"{\"type\":\"a\",\"payload_length\":99999999}\n"},
     LOAD_LIMIT,
     "wyoming"},
    {"a payload of less than nothing",
     {"{\"type\":\"a\",\"payload_length\":-1}\n"},
     LOAD_MALFORMED,
     "wyoming"},
    {"a type of no UTF-8", {"{\"type\":\"\xff\xfe\"}\n"}, LOAD_MALFORMED, "wyoming"},
    {"a number for a text", {TRANSCRIPT("5")}, LOAD_MALFORMED, "wyoming"},
    {"half a transcript",
     {"{\"type\":\"transcript\",\"data_length\":17}\n{\"text\":"},
     LOAD_CLOSED,
     "wyoming"},
};

static long peak_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

/* The run, and how much the worker's peak memory grew in it. */
static struct run run_watched(const struct load_plan *plan, long *ret_growth_kib)
{
    struct run run;
    struct load_worker *worker = worker_begin(plan, &run);
    pid_t pid = load_worker_pid(worker);
    long first = 0, last = 0;
    while (worker_take(worker, &run)) {
        struct pollfd fd = {.fd = load_worker_fd(worker), .events = POLLIN};
        poll(&fd, 1, 5);
        long now = peak_kib(pid);
        first = first ? first : now;
        last = now > last ? now : last;
    }
    load_worker_free(worker);
    *ret_growth_kib = last - first;
    return run;
}

static struct load_plan plan_beside(const char *protocol, char hostile_url[64], char good_url[64])
{
    struct load_plan plan = plan_of("openai-chat", &prompts, good_url);
    plan.window_ns = NS_PER_S / 2;
    plan.drain_ns = 10 * NS_PER_S;
    plan.streams[1] = plan.streams[0];
    plan.streams[1].name = "hostile";
    plan.streams[1].url = hostile_url;
    plan.streams[1].arrivals = ARRIVALS_CLOSED;
    plan.streams[1].concurrency = CLIENTS;
    plan.streams[1].timeout_ns = 300 * NS_PER_MS;
    if (protocol)
        plan.streams[1].protocol = load_protocol_find(protocol);
    plan.streams[1].model = "m";
    plan.stream_count = 2;
    return plan;
}

/* Floods end by their bound on a machine with time, by the request's time on a busy one. */
static bool is_expected(enum load_error error, enum load_error expected)
{
    return error == expected || (expected == LOAD_LIMIT && error == LOAD_TIMEOUT);
}

static void check_row(size_t i, struct load_plan *plan)
{
    long growth_kib = 0;
    struct run run = run_watched(plan, &growth_kib);
    size_t good = 0, hostile = 0;
    CHECK_ROW_TEXT(i, rows[i].name, run.report.failure, "");
    for (size_t k = 0; k < run.count; k++) {
        const struct load_record *r = &run.kept[k].record;
        bool beside = r->stream == 0;
        if (beside ? r->error != LOAD_OK : !is_expected(r->error, rows[i].error))
            fail_msg("%s: %s is %s: %s", rows[i].name, beside ? "the good one" : "the hostile one",
                     load_error_name(r->error), run.kept[k].text);
        good += beside;
        hostile += !beside;
    }
    CHECK_ROW(i, rows[i].name, good == 50);
    CHECK_ROW(i, rows[i].name, hostile >= CLIENTS);
    print_message("%-32s %-11s %3zu requests, %6ld KiB more, latest send %.1f ms, stall %.1f\n",
                  rows[i].name, load_error_name(rows[i].error), hostile, growth_kib,
                  run.report.lateness_max_s * 1e3, run.report.stall_max_s * 1e3);
    /* A sanitizer keeps freed memory. */
    CHECK_ROW(i, rows[i].name, SANITIZED || growth_kib <= GROWTH_MAX_KIB);
    free(run.kept);
}

static void test_rows(void **state)
{
    (void)state;
    struct raw_server good = raw_start(good_answer, NULL);
    char good_url[64], hostile_url[64];
    snprintf(good_url, sizeof good_url, "http://127.0.0.1:%d/", good.port);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw_server server = raw_start_answer(&rows[i].answer);
        bool wyoming = rows[i].protocol && strcmp(rows[i].protocol, "wyoming") == 0;
        snprintf(hostile_url, sizeof hostile_url, "%s://127.0.0.1:%d%s", wyoming ? "tcp" : "http",
                 server.port, wyoming ? "" : "/");
        struct load_plan plan = plan_beside(rows[i].protocol, hostile_url, good_url);
        check_row(i, &plan);
        raw_stop(&server);
    }
    raw_stop(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
