/* Probes' ends beside the requests of others: what is told, and how they count. */
#include "check.h"

#include "guard/watch_inside.h"
#include "made_study.h"

#include "base/clock.h"

#include <math.h>

struct bench {
    struct made_study *made;
    struct guard_subject subjects[2];
    struct guard_watch watch;
};

static void bench_open(struct bench *b)
{
    *b = (struct bench){.made = made_study_new("/nowhere")};
    b->watch.study = &b->made->study;
    b->watch.subjects = b->subjects;
    b->made->watches[0].port = b->made->tiers[0].port;
    b->made->watches[0].probe_within_ns = 8 * NS_PER_S;
    struct guard_subject *subject = &b->subjects[0];
    subject->spec = &b->made->services[0];
    subject->watch = &b->made->watches[0];
    subject->life.presence = PRESENCE_UP;
    subject->life.main.pid = 7;
    subject->up_ns = 1;
    subject->front = 0;
    subject->probe_window = guard_requests_new(60 * NS_PER_S, clock_now_ns());
    subject->request_window = guard_requests_new(60 * NS_PER_S, clock_now_ns());
}

static void bench_close(struct bench *b)
{
    guard_requests_free(b->subjects[0].probe_window);
    guard_requests_free(b->subjects[0].request_window);
    made_study_free(b->made);
}

/* One that was sent eight seconds ago. */
static const struct guard_event *probe(struct bench *b, enum load_error error, int status)
{
    const struct guard_probe ended = {.error = error,
                                      .http_status = status,
                                      .hung = error == LOAD_TIMEOUT,
                                      .sent_ns = clock_now_ns() - 8 * NS_PER_S,
                                      .latency_s = error == LOAD_OK ? 0.1 : NAN,
                                      .first_s = NAN,
                                      .words = "CUDA error: unspecified launch failure"};
    b->watch.events.count = 0;
    guard_watch_probe(&b->watch, 0, &ended);
    return b->watch.events.count ? &b->watch.events.items[0] : NULL;
}

static void answer(struct bench *b, int server, bool failed)
{
    const struct guard_request request = {.counted = true,
                                          .failed = failed,
                                          .server = server,
                                          .latency_s = 0.2,
                                          .first_s = NAN,
                                          .queue_s = NAN};
    guard_requests_add(b->subjects[0].request_window, clock_now_ns(), &request);
}

/* Whoever else is answered by the server that is watched, by its own count or HAProxy's. Before:
 * "hangs" in each case, and a failed probe. */
static void test_a_full_server(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int server; /* that answered another; -1: none did */
        bool failed;
        int moved_s; /* ago, the engine's counts; 0: never */
        enum guard_event_kind told;
    } rows[] = {
        {"nobody is answered", -1, false, 0, EVENT_HANGS},
        {"another is", 0, false, 0, EVENT_OVERLOADED},
        {"another is refused", 0, true, 0, EVENT_HANGS},
        {"by another tier", 1, false, 0, EVENT_HANGS},
        {"its tokens come", -1, false, 3, EVENT_OVERLOADED},
        {"its tokens came", -1, false, 7, EVENT_HANGS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct guard_requests_view view;
        const bool slow = rows[i].told == EVENT_OVERLOADED;
        bench_open(&b);
        if (rows[i].server >= 0)
            answer(&b, rows[i].server, rows[i].failed);
        if (rows[i].moved_s > 0)
            b.subjects[0].engine.moved_ns = clock_now_ns() - rows[i].moved_s * NS_PER_S;
        const struct guard_event *event = probe(&b, LOAD_TIMEOUT, 0);
        CHECK_ROW(i, rows[i].name, event && event->kind == rows[i].told);
        CHECK_ROW(i, rows[i].name, (b.subjects[0].hung_ns == 0) == slow);
        guard_requests_read(b.subjects[0].probe_window, clock_now_ns(), &view);
        CHECK_ROW(i, rows[i].name, view.requests == 1 && view.ended == (slow ? 0 : 1));
        CHECK_ROW(i, rows[i].name, slow ? isnan(view.error_ratio) : view.error_ratio == 1);
        CHECK_ROW(i, rows[i].name, view.latency.values == (slow ? 1 : 0));
        bench_close(&b);
    }
}

/* Where nobody else can be seen the cause is not known, and no word says that it is. */
static void test_full_or_hanging_is_not_known(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    const struct guard_event *event = probe(&b, LOAD_TIMEOUT, 0);
    assert_true(event && event->kind == EVENT_HANGS);
    assert_non_null(strstr(event->text, "full or hanging, its queue is not known"));
    assert_null(strstr(event->text, "others"));
    bench_close(&b);
}

/* Before: nothing was told at a probe in ten seconds. */
static void test_a_dead_engine(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    assert_null(probe(&b, LOAD_OK, 200));
    assert_null(probe(&b, LOAD_HTTP_STATUS, 500));
    assert_null(probe(&b, LOAD_HTTP_STATUS, 500));
    const struct guard_event *event = probe(&b, LOAD_HTTP_STATUS, 500);
    assert_true(event && event->kind == EVENT_FAILS && event->service == 0);
    assert_non_null(strstr(event->text, "CUDA error"));
    assert_null(probe(&b, LOAD_HTTP_STATUS, 500));
    event = probe(&b, LOAD_OK, 200);
    assert_true(event && event->kind == EVENT_ANSWERS);
    bench_close(&b);
}

/* What is no failure of the service is none in the ratio either. Before: ten of them in a window
 * were a page, and a restart by the book, for a wrong model name of ours. */
static void test_what_is_no_failure(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum load_error error;
        int status;
        int up_s;      /* ago */
        bool answered; /* this process, a probe before */
        bool failed;
    } rows[] = {
        {"wrong model", LOAD_HTTP_STATUS, 404, 900, true, false},
        {"wrong form", LOAD_HTTP_STATUS, 422, 900, false, false},
        {"it loads", LOAD_HTTP_STATUS, 503, 10, false, false},
        {"it has loaded", LOAD_HTTP_STATUS, 503, 10, true, true},
        {"it loads for ever", LOAD_HTTP_STATUS, 503, 301, false, true},
        {"dead engine", LOAD_HTTP_STATUS, 500, 10, false, true},
        {"no connection", LOAD_CONNECT, 0, 900, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct guard_requests_view view;
        bench_open(&b);
        b.subjects[0].up_ns = clock_now_ns() - rows[i].up_s * NS_PER_S;
        if (rows[i].answered)
            probe(&b, LOAD_OK, 200);
        for (int k = 0; k < 12; k++)
            probe(&b, rows[i].error, rows[i].status);
        guard_requests_read(b.subjects[0].probe_window, clock_now_ns(), &view);
        const uint64_t well = rows[i].answered ? 1 : 0;
        CHECK_ROW(i, rows[i].name,
                  view.kinds.window[rows[i].error] == 12); /* is seen all the same */
        CHECK_ROW(i, rows[i].name, view.requests == 12 + well && view.latency.values == well);
        CHECK_ROW(i, rows[i].name, view.ended == (rows[i].failed ? 12 : 0) + well);
        if (rows[i].failed)
            CHECK_ROW(i, rows[i].name, view.error_ratio > 0.9);
        else
            CHECK_ROW(i, rows[i].name, well ? view.error_ratio == 0 : isnan(view.error_ratio));
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_server),
        cmocka_unit_test(test_full_or_hanging_is_not_known),
        cmocka_unit_test(test_a_dead_engine),
        cmocka_unit_test(test_what_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
