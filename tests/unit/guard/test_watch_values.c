/* From logged requests to values: who left counts, and nothing else stands in for requests. */
#include "check.h"

#include "guard/watch_proxy.h"
#include "guard/watch_values.h"
#include "made_study.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/stat.h>

static struct proxy_request request_of(enum proxy_end end, int server, int status, double total_s)
{
    return (struct proxy_request){.end = end,
                                  .server = server,
                                  .status = status,
                                  .total_s = total_s,
                                  .first_s = NAN,
                                  .queue_s = 0.5};
}

/* Before: whoever left was no request at all. */
static void test_who_left_waited(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum proxy_end end;
        int server, status;
        double total_s, latency_s, first_s;
        bool failed;
    } rows[] = {
        {"answered", PROXY_OK, 0, 200, 3, 3, NAN, false},
        {"left", PROXY_CLIENT, 0, 0, 2, 2, 2, false},
        {"left the queue", PROXY_CLIENT, -1, 503, 2, 2, 2, false},
        {"never sent it all", PROXY_CLIENT, -1, 400, 9, NAN, NAN, false},
        {"never sent it all, no status", PROXY_CLIENT, -1, 0, 9, NAN, NAN, false},
        {"cut", PROXY_CUT, 0, 200, 2, NAN, NAN, true},
        {"refused", PROXY_REFUSED, 0, 404, 2, NAN, NAN, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct proxy_request request =
            request_of(rows[i].end, rows[i].server, rows[i].status, rows[i].total_s);
        const struct guard_request seen = guard_request_of(&request);
        CHECK_ROW(i, rows[i].name, seen.counted && seen.failed == rows[i].failed);
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].latency_s) ? isnan(seen.latency_s)
                                           : seen.latency_s == rows[i].latency_s);
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].first_s) ? isnan(seen.first_s) : seen.first_s == rows[i].first_s);
    }
    struct proxy_request streamed = request_of(PROXY_CLIENT, 0, 200, 8);
    streamed.first_s = 0.3;
    assert_true(guard_request_of(&streamed).first_s == 0.3);
}

struct bench {
    struct made_study *made;
    char *folder;
    struct guard_memory *memory;
    struct guard_requests *requests;
    struct guard_subject subjects[2];
    struct guard_seen seen;
};

static const struct guard_value *fill(struct bench *b, const char *name)
{
    guard_requests_read(b->requests, 61 * NS_PER_S, &b->subjects[0].request);
    guard_values_fill(&b->seen, b->made->guard.metrics, b->made->guard.metric_count,
                      b->made->values);
    return made_value(b->made, name);
}

static void bench_open(struct bench *b)
{
    *b = (struct bench){.folder = check_make_folder()};
    setenv("SPICA_NVML_LIBRARY", "/nowhere/libnvidia-ml.so.1", 1);
    b->made = made_study_new(b->folder);
    b->memory = guard_memory_new(&b->made->study, "/proc");
    b->requests = guard_requests_new(60 * NS_PER_S, 0);
    for (size_t i = 0; i < 2; i++) {
        b->subjects[i].spec = &b->made->services[i];
        b->subjects[i].watch = &b->made->watches[i];
        b->subjects[i].front = i == 0 ? 0 : -1;
    }
    /* Probes are answered at once. */
    b->subjects[0].probes = 50;
    b->subjects[0].probe =
        (struct guard_requests_view){.requests = 50,
                                     .ended = 50,
                                     .rate_rps = 0.1,
                                     .error_ratio = 0,
                                     .latency = {.values = 50, .p50 = 0.1, .p95 = 0.1, .p99 = 0.1},
                                     .first = {.values = 0, .p50 = NAN, .p95 = NAN, .p99 = NAN}};
    b->seen = (struct guard_seen){.study = &b->made->study,
                                  .subjects = b->subjects,
                                  .memory = b->memory,
                                  .requests_seen = true,
                                  .disk_free_bytes = NAN};
}

static void bench_close(struct bench *b)
{
    guard_requests_free(b->requests);
    guard_memory_free(b->memory);
    made_study_free(b->made);
    check_remove_folder(b->folder);
}

static void add(struct bench *b, enum proxy_end end, double total_s, int times)
{
    const struct proxy_request request = request_of(end, 0, end == PROXY_CUT ? 500 : 0, total_s);
    const struct guard_request seen = guard_request_of(&request);
    for (int i = 0; i < times; i++)
        guard_requests_add(b->requests, (i % 60 + 1) * NS_PER_S, &seen);
}

/* Before: 0.1 s, the probe's. */
static void test_a_service_that_everybody_leaves(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    const struct guard_value *value = fill(&b, "stt.latency.p50");
    assert_true(value->source == SOURCE_PROBE && fabs(value->number - 0.1) < 1e-3);
    add(&b, PROXY_CLIENT, 2, 60);
    value = fill(&b, "stt.latency.p50");
    assert_int_equal(value->source, SOURCE_REQUESTS);
    assert_true(value->number > 1.9 && value->count > 30);
    value = fill(&b, "stt.rate");
    assert_true(value->source == SOURCE_REQUESTS && value->number > 0.5);
    assert_true(isnan(fill(&b, "stt.requests.errors")->number)); /* nobody waited for the end */
    add(&b, PROXY_CUT, 1, 10);
    add(&b, PROXY_OK, 1, 30);
    assert_true(fill(&b, "stt.errors")->number == 0.25);
    assert_int_equal(fill(&b, "stt.errors")->count, 40);
    bench_close(&b);
}

/* Before: 0.1 s, the probe's. */
static void test_a_service_that_fails_everybody(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    add(&b, PROXY_CUT, 2, 60);
    assert_true(isnan(fill(&b, "stt.latency.p95")->number));
    assert_int_equal(fill(&b, "stt.latency.p95")->source, SOURCE_REQUESTS);
    assert_true(fill(&b, "stt.errors")->number == 1);
    bench_close(&b);
}

/* ---- which source is the best, of each metric ---- */

static const struct {
    const char *name, *metric;
    int at_once;
    const char *tier;               /* that serves; base is what is watched */
    double requests, engine, probe; /* first or queue, s; NaN: this source has none */
    double behind, before;          /* waiting or in flight: in the server, in HAProxy */
    double is;
    enum guard_source source;
} best_rows[] = {
    {"the engine knows tokens", "stt.first.p95", 0, "base", 0.01, 0.8, 0.7, NAN, 0, 0.8,
     SOURCE_ENGINE},
    {"else the probe", "stt.first.p95", 0, "base", 0.01, NAN, 0.7, NAN, 0, 0.7, SOURCE_PROBE},
    {"else the head", "stt.first.p95", 0, "base", 0.01, NAN, NAN, NAN, 0, 0.01, SOURCE_REQUESTS},
    {"too few for its p95", "stt.first.p95", 0, "base", 0.01, NAN, -0.7, NAN, 0, NAN, SOURCE_PROBE},
    {"what nobody feels", "stt.first.p95", 0, "tiny", 0.3, 0.8, 0.7, NAN, 0, 0.3, SOURCE_REQUESTS},
    {"a queue behind", "stt.queue.p95", 0, "base", 0.000001, 0.9, NAN, NAN, 0, 0.9, SOURCE_ENGINE},
    {"the larger is behind", "stt.queue.p95", 4, "base", 0.2, 0.9, NAN, NAN, 0, 0.9, SOURCE_ENGINE},
    {"the larger is before", "stt.queue.p95", 4, "base", 2, 0.9, NAN, NAN, 0, 2, SOURCE_REQUESTS},
    {"which is larger?", "stt.queue.p95", 4, "base", 2, -0.9, NAN, NAN, 0, NAN, SOURCE_ENGINE},
    {"nobody has a queue", "stt.queue.p95", 0, "base", 0.2, NAN, NAN, NAN, 0, NAN, SOURCE_NONE},
    {"HAProxy has none", "stt.requests.queue.p95", 0, "base", 0.2, 0.9, NAN, NAN, 0, NAN,
     SOURCE_REQUESTS},
    {"HAProxy has one", "stt.requests.queue.p95", 1, "base", 0.2, 0.9, NAN, NAN, 0, 0.2,
     SOURCE_REQUESTS},
    {"waiting behind", "stt.waiting", 0, "base", NAN, NAN, NAN, 7, 0, 7, SOURCE_ENGINE},
    {"waiting before", "stt.waiting", 2, "base", NAN, NAN, NAN, 1, 5, 5, SOURCE_REQUESTS},
    {"waiting somewhere", "stt.waiting", 0, "base", NAN, NAN, NAN, NAN, 0, NAN, SOURCE_NONE},
    {"waiting in HAProxy", "stt.requests.waiting", 0, "base", NAN, NAN, NAN, 1, 5, NAN,
     SOURCE_REQUESTS},
    {"in flight", "stt.in_flight", 0, "base", NAN, NAN, NAN, 2, 6, 6, SOURCE_REQUESTS},
    {"in flight past HAProxy", "stt.in_flight", 0, "base", NAN, NAN, NAN, 9, 6, 9, SOURCE_ENGINE},
};

/* Below 0: values that can't carry a p95. */
static struct guard_window_reading reading_of(double value)
{
    if (isnan(value))
        return (struct guard_window_reading){.p50 = NAN, .p95 = NAN, .p99 = NAN};
    return (struct guard_window_reading){.values = value < 0 ? 6 : 50,
                                         .p50 = fabs(value),
                                         .p95 = value < 0 ? NAN : value,
                                         .p99 = NAN};
}

/* Before: requests' in all of them, 0 where HAProxy has no queue. */
static void test_the_best_source_of_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(best_rows); i++) {
        struct bench b;
        struct proxy_view proxy = {.up = true};
        bench_open(&b);
        b.made->watches[0].port = b.made->tiers[0].port;
        b.made->front.queue_max = best_rows[i].at_once;
        proxy.fronts[0].server_count = 1;
        proxy.fronts[0].servers[0] =
            (struct proxy_server){.name = "base",
                                  .in_flight = (uint64_t)best_rows[i].before,
                                  .waiting = (uint64_t)best_rows[i].before};
        b.seen.proxy = &proxy;
        b.seen.engine_asked[0] = true;
        b.subjects[0].tier = best_rows[i].tier;
        b.subjects[0].engine = (struct guard_engine_view){.rate_rps = NAN,
                                                          .error_ratio = NAN,
                                                          .running = best_rows[i].behind,
                                                          .waiting = best_rows[i].behind};
        struct guard_window_reading *readings = b.subjects[0].engine.readings;
        readings[ENGINE_LATENCY] = reading_of(NAN);
        readings[ENGINE_FIRST] = readings[ENGINE_QUEUE] = reading_of(best_rows[i].engine);
        b.subjects[0].probe.first = reading_of(best_rows[i].probe);
        b.subjects[0].request = (struct guard_requests_view){
            .requests = 50, .ended = 50, .first = reading_of(best_rows[i].requests)};
        b.subjects[0].request.queue = b.subjects[0].request.first;
        guard_values_fill(&b.seen, b.made->guard.metrics, b.made->guard.metric_count,
                          b.made->values);
        const struct guard_value *value = made_value(b.made, best_rows[i].metric);
        CHECK_ROW(i, best_rows[i].name, value->source == best_rows[i].source);
        CHECK_ROW(i, best_rows[i].name,
                  isnan(best_rows[i].is) ? isnan(value->number)
                                         : fabs(value->number - best_rows[i].is) < 1e-6);
        bench_close(&b);
    }
}

/* The split's first arm is watched: its engine speaks for the front while it has a part of it. */
static void test_the_watched_arm(void **state)
{
    (void)state;
    struct spec_arm arms[2] = {{.name = "now", .port = 7001}, {.name = "next", .port = 7002}};
    static const struct {
        int port, weight;
        enum guard_source source;
    } arm_rows[] = {{7001, 90, SOURCE_ENGINE},
                    {7001, 0, SOURCE_REQUESTS},
                    {7002, 0, SOURCE_ENGINE},
                    {9999, 50, SOURCE_REQUESTS}};
    for (size_t i = 0; i < ARRAY_LEN(arm_rows); i++) {
        struct bench b;
        struct proxy_view proxy = {.up = true};
        bench_open(&b);
        b.made->watches[0].port = arm_rows[i].port;
        b.made->front.tier_count = 0;
        b.made->front.split = (struct spec_split){.arms = arms, .count = 2};
        proxy.fronts[0].server_count = 2;
        proxy.fronts[0].servers[0] =
            (struct proxy_server){.name = "now", .weight = arm_rows[i].weight};
        proxy.fronts[0].servers[1] =
            (struct proxy_server){.name = "next", .weight = 100 - arm_rows[i].weight};
        b.seen.proxy = &proxy;
        b.seen.engine_asked[0] = true;
        b.subjects[0].engine.readings[ENGINE_FIRST] = reading_of(0.8);
        b.subjects[0].request =
            (struct guard_requests_view){.requests = 50, .first = reading_of(0.1)};
        guard_values_fill(&b.seen, b.made->guard.metrics, b.made->guard.metric_count,
                          b.made->values);
        CHECK_ROW(i, "arm", made_value(b.made, "stt.first.p95")->source == arm_rows[i].source);
        bench_close(&b);
    }
}

/* Against the capacity of the tier that takes the requests. Before: base's, whoever took them. */
static void test_spare_is_of_who_serves(void **state)
{
    (void)state;
    static const struct guard_capacities found = {
        .services = {{.top = 99, .rate = true}, {.top = NAN}},
        .tiers = {{{.top = 5, .rate = true}, {.top = 40, .rate = true}}}};
    static const struct {
        const char *name, *tier;
        int weight; /* of the first of two arms; -1: there are tiers */
        double spare;
    } rows[] = {
        {"base", "base", -1, 4},         {"tiny", "tiny", -1, 39},
        {"nobody knows", NULL, -1, NAN}, {"the first arm alone", NULL, 100, 98},
        {"both arms", NULL, 90, NAN},
    };
    struct spec_arm arms[2] = {{.name = "now", .port = 7001}, {.name = "next", .port = 7002}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct proxy_view proxy = {.up = true};
        bench_open(&b);
        b.seen.capacities = &found;
        b.seen.proxy = &proxy;
        b.subjects[0].tier = rows[i].tier;
        b.subjects[0].request = (struct guard_requests_view){.requests = 60, .rate_rps = 1};
        if (rows[i].weight >= 0) {
            b.made->front.tier_count = 0;
            b.made->front.split = (struct spec_split){.arms = arms, .count = 2};
            proxy.fronts[0].server_count = 2;
            proxy.fronts[0].servers[0] =
                (struct proxy_server){.name = "now", .weight = rows[i].weight};
            proxy.fronts[0].servers[1] =
                (struct proxy_server){.name = "next", .weight = 100 - rows[i].weight};
        }
        guard_values_fill(&b.seen, b.made->guard.metrics, b.made->guard.metric_count,
                          b.made->values);
        const double spare = made_value(b.made, "stt.spare")->number;
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].spare) ? isnan(spare) : fabs(spare - rows[i].spare) < 1e-9);
        assert_true(isnan(made_value(b.made, "llm.spare")->number));
        bench_close(&b);
    }
}

/* Before: no requests at all, 0 a second. */
static void test_a_log_that_is_not_read(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    assert_true(fill(&b, "stt.requests.rate")->number == 0);
    b.seen.requests_seen = false;
    assert_true(isnan(fill(&b, "stt.requests.rate")->number));
    assert_int_equal(fill(&b, "stt.rate")->source, SOURCE_PROBE);
    bench_close(&b);
}

/* Before: what HAProxy itself dropped was never said. */
static void test_lost_lines_are_said(void **state)
{
    (void)state;
    static const struct {
        int s;
        uint32_t unread;
        uint64_t unsent;
        const char *says; /* NULL: nothing */
    } rows[] = {
        {1, 0, 0, NULL},
        {2, 0, 7, "HAProxy's log: 7 lines could not be sent"},
        {3, 5, 9, NULL}, /* not that soon */
        {13, 5, 9, "5 lines came faster than they could be read and were dropped; 2 lines could"},
        {30, 5, 9, NULL},
        {31, 5, 3, "HAProxy's log: 3 lines could not be sent"}, /* another HAProxy */
        {60, 6, 3, "1 lines came faster"},
    };
    struct guard_lost_lines lost = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_events events = {0};
        lost.unread = rows[i].unread;
        lost.unsent = rows[i].unsent;
        guard_lost_lines_tell(&lost, rows[i].s * NS_PER_S, &events);
        CHECK_ROW(i, "lost", events.count == (rows[i].says ? 1 : 0));
        if (rows[i].says && !strstr(events.items[0].text, rows[i].says))
            fail_msg("row %zu: %s", i, events.items[0].text);
    }
}

/* Before: no HAProxy at all, "HAProxy down", neither tiers nor splits. */
static void test_a_log_whose_port_is_held(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char path[300];
    struct made_study *made = made_study_new(folder);
    struct guard_events events = {0};
    struct guard_traffic *traffic = NULL;
    struct err err = ERR_INIT;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int held = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(held >= 0 && bind(held, (struct sockaddr *)&address, size) == 0 &&
                getsockname(held, (struct sockaddr *)&address, &size) == 0);
    snprintf(path, sizeof path, "%s/state.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "{\"format\":\"spica proxy\",\"log_port\":%d,\"token\":\"0123456789abcdef\"}",
            (int)ntohs(address.sin_port));
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    made->guard.proxy.folder = folder;
    struct guard_traffic_setup setup = {.study = &made->study, .events = &events, .listen = true};
    assert_true(sd_event_new(&setup.event) >= 0);
    if (!guard_traffic_open(&setup, &traffic, &err))
        fail_msg("%s", err.text);
    int64_t now_ns = clock_now_ns();
    for (int s = 1; s < 40; s++)
        guard_traffic_step(traffic, now_ns + s * NS_PER_S);
    assert_false(guard_traffic_is_read(traffic));
    assert_non_null(strstr(guard_traffic_log_why(traffic), "is held by another"));
    assert_int_equal(events.items[0].kind, EVENT_LOG_LOST);
    size_t told = 0;
    for (size_t k = 0; k < events.count; k++)
        told += events.items[k].kind == EVENT_LOG_LOST;
    assert_int_equal(told, 1);
    close(held);
    guard_traffic_step(traffic, now_ns + 60 * NS_PER_S);
    assert_true(guard_traffic_is_read(traffic));
    assert_string_equal(guard_traffic_log_why(traffic), "");
    assert_int_equal(events.items[events.count - 1].kind, EVENT_LOG_READ);
    guard_traffic_close(traffic);
    sd_event_unref(setup.event);
    made_study_free(made);
    check_remove_folder(folder);
}

/* What comes is counted by who sees it; a probe's rate is guard's own. */
static void test_what_comes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int front;
        bool up, log_read, engine_asked;
        double rps; /* NaN: unknown */
    } rows[] = {
        {"by HAProxy", 0, true, true, true, 5},
        {"HAProxy's log is not read", 0, true, false, true, NAN},
        {"HAProxy is down", 0, false, true, true, 7},
        {"by the engine", -1, false, true, true, 7},
        {"nobody sees", -1, false, true, false, NAN},
    };
    struct bench b;
    bench_open(&b);
    b.subjects[0].request.rate_rps = 5;
    b.subjects[0].engine.rate_rps = 7;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct proxy_view view = {.up = rows[i].up};
        b.seen.proxy = &view;
        b.seen.requests_seen = rows[i].log_read;
        b.seen.engine_asked[0] = rows[i].engine_asked;
        b.subjects[0].front = rows[i].front;
        double rps = guard_values_arrivals(&b.seen, 0);
        CHECK_ROW(i, rows[i].name, isnan(rows[i].rps) ? isnan(rps) : rps == rows[i].rps);
    }
    b.seen.proxy = NULL;
    bench_close(&b);
}

static void test_what_has_changed(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b);
    b.seen.changed[CHANGE_VERSIONS] = 1;
    b.seen.changed[CHANGE_NEIGHBOURS] = 0;
    b.seen.changed[CHANGE_LOAD] = NAN;
    assert_true(fill(&b, "guard.changed.versions")->number == 1);
    assert_true(fill(&b, "guard.changed.neighbours")->number == 0);
    assert_true(isnan(fill(&b, "guard.changed.load")->number));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_left_waited),
        cmocka_unit_test(test_a_service_that_everybody_leaves),
        cmocka_unit_test(test_a_service_that_fails_everybody),
        cmocka_unit_test(test_the_best_source_of_each),
        cmocka_unit_test(test_the_watched_arm),
        cmocka_unit_test(test_spare_is_of_who_serves),
        cmocka_unit_test(test_a_log_that_is_not_read),
        cmocka_unit_test(test_lost_lines_are_said),
        cmocka_unit_test(test_a_log_whose_port_is_held),
        cmocka_unit_test(test_what_comes),
        cmocka_unit_test(test_what_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
