/* How much a service can take, in words: nobody must read "at least" as an answer. */
#include "report/capacity.h"

#include "report/view.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *of, *end;
        double low, high;
        bool unsure;
        const char *text;
    } rows[] = {
        {"concurrency", "found", 20, 21, false, "20 clients; 21 clients are too many"},
        {"concurrency", "found", 1, 2, true,
         "1 client; 2 clients are too many (not certain at 95 %)"},
        {"rate", "found", 18.2, 19, false, "18.2 /s; 19 /s is too much"},
        {"concurrency", "most", 64, NAN, false, "at least 64 clients, the most that was tried"},
        {"concurrency", "least", NAN, 1, false, "not even 1 client"},
        {"rate", "own limit", 383, 400, false,
         "at least 383 /s; at 400 /s we could not follow ourselves"},
        {"concurrency", "ended", 4, 8, false, "4 clients; it did not survive 8 clients"},
        {"concurrency", "ended", NAN, 1, false, "not even 1 client, which it did not survive"},
        {"concurrency", "disturbed", 4, NAN, false,
         "at least 4 clients; what comes next could not be measured"},
        {"concurrency", "disturbed", NAN, NAN, false, "unknown"},
        {"concurrency", "budget", 16, 24, false,
         "at least 16 clients, less than 24 clients; its time was over"},
        {"concurrency", "budget", 16, NAN, false, "at least 16 clients"},
        {"rate", "of a newer version", 2, 3, false, "at least 2 /s; the search was not finished"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1024);
        const struct store_capacity found = {.of = rows[i].of,
                                             .end = rows[i].end,
                                             .low = rows[i].low,
                                             .high = rows[i].high,
                                             .unsure = rows[i].unsure};
        report_add_capacity(&text, &found);
        CHECK_ROW_TEXT(i, rows[i].end, buf_text(&text), rows[i].text);
    }
}

/* Levels beyond the knee are left early and tell no times: they stand at the limit, and the axis
 * goes on to the last. Before: the curve ended at the last level that met. */
static void test_knee(void **state)
{
    (void)state;
    static const struct store_capacity found = {
        .service = "llm", .of = "concurrency", .metric = "latency", .low = 20, .high = 21};
    static const struct store_capacity_point points[] = {
        {0, 1, "met", 5, false, 250, 0, 0.020, NAN, NAN, 0.020, NAN, NAN, 50, 50, NULL},
        {0, 16, "met", 5, false, 4000, 0, 0.021, NAN, NAN, 0.022, NAN, NAN, 800, 800, NULL},
        {0, 32, "missed", 0.7, true, 500, 0, NAN, NAN, NAN, NAN, NAN, NAN, 800, 0,
         "llm.latency.p95 < 26ms: 12 of 40 over"},
        {0, 64, "missed", 0.7, true, 500, 3, NAN, NAN, NAN, NAN, NAN, NAN, 800, 0,
         "llm.errors == 0: 3 of 40 failed"},
        {0, 24, "missed", 5, false, 4000, 0, 0.030, NAN, NAN, 0.031, NAN, NAN, 800, 0,
         "llm.latency.p95 < 26ms: 3990 of 4000 over"},
        {0, 24, "missed", 10, true, 900, 0, NAN, NAN, NAN, NAN, NAN, NAN, 800, 0,
         "llm.latency.p95 <= 26 ms: 300 of 900 over"}, /* its times are known */
        {0, 48, "missed", 1, true, 500, 0, NAN, NAN, NAN, NAN, NAN, NAN, 800, 0,
         "stt.latency.p95 < 26ms: <b>12 of 40 over"}, /* of another's times */
        {0, 96, "disturbed", 1, true, 500, 0, NAN, NAN, NAN, NAN, NAN, NAN, 800, 0, "others"},
        /* A short look leaned met, a longer one was left as missed. */
        {0, 28, "leans met", 5, false, 40, 0, 0.021, NAN, NAN, 0.025, NAN, NAN, 8, 8, NULL},
        {0, 28, "missed", 7.5, true, 90, 0, NAN, NAN, NAN, NAN, NAN, NAN, 8, 0,
         "llm.latency.p95 < 26ms: 12 of 16 over"},
        /* And the other way round: the third look decided. */
        {0, 22, "missed", 2, true, 90, 0, NAN, NAN, NAN, NAN, NAN, NAN, 8, 0,
         "llm.latency.p95 < 26ms: 12 of 16 over"},
        {0, 22, "met", 10, false, 400, 0, 0.021, NAN, NAN, 0.025, NAN, NAN, 8, 8, NULL},
    };
    static const struct {
        const char *name;
        size_t from, count;
        const char *has[5], *lacks[4];
    } rows[] = {
        {"a whole search",
         0,
         ARRAY_LEN(points),
         {"32 clients: missed after 0.7 s, llm.latency.p95 &lt; 26ms: 12 of 40 over",
          "64 clients: missed after 0.7 s, llm.errors == 0", ">60</text>",
          "24 clients: missed, p95", "left early: over the limit"},
         {"24 clients: missed after", "<b>", "96 clients", ">100</text>"}},
        {"a longer look missed", /* before: drawn as met */
         8,
         2,
         {"28 clients: missed after 7.5 s"},
         {"28 clients: leans met"}},
        {"a later look met", 10, 2, {"22 clients: met, p95"}, {"22 clients: missed"}},
        {"nothing was left", 0, 2, {"16 clients: met, p95"}, {"left early", "other failures"}},
        {"only what was left",
         2,
         1,
         {"32 clients: missed after", "left early"},
         {"other failures"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct report_capacity capacity = {
            .found = &found, .points = points + rows[i].from, .point_count = rows[i].count};
        const struct report_view view = {.capacities = &capacity, .capacity_count = 1};
        AUTO(buf_done) struct buf svg = BUF_INIT(1 << 20);
        report_add_knee_figure(&svg, &view, 0);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].has) && rows[i].has[k]; k++)
            CHECK_ROW(i, rows[i].has[k], strstr(buf_text(&svg), rows[i].has[k]));
        for (size_t k = 0; k < ARRAY_LEN(rows[i].lacks) && rows[i].lacks[k]; k++)
            CHECK_ROW(i, rows[i].lacks[k], !strstr(buf_text(&svg), rows[i].lacks[k]));
    }
    /* Nothing to draw against: no figure. */
    struct report_capacity none = {.found = &found, .points = &points[3], .point_count = 1};
    const struct report_view view = {.capacities = &none, .capacity_count = 1};
    AUTO(buf_done) struct buf empty = BUF_INIT(1 << 20);
    report_add_knee_figure(&empty, &view, 0);
    assert_int_equal(empty.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_knee)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
