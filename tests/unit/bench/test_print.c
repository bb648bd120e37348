/* What is printed: no number is cut, no sentence runs into another. */
#include "fixture.h"

#include "bench/capacity.h"
#include "bench/run.h"

#include <stdlib.h>

static void no_column_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum spec_capacity_of of;
        double level, p50_s, p95_s, good_rps;
        int width;
        const char *words; /* of the row */
    } rows[] = {
        {"80 columns", CAPACITY_OF_CONCURRENCY, 24, 0.0226, 0.0262, 1234, 80,
         "22.6 ms [20.3, 24.9]"},
        {"units differ", CAPACITY_OF_RATE, 40.5, 0.990, 1.02, 40.5, 80, "990 ms"},
        {"wide", CAPACITY_OF_RATE, 40.5, 0.990, 1.02, 40.5, 120, "990 ms [891 ms, 1.09 s]"},
        {"narrow", CAPACITY_OF_CONCURRENCY, 24, 0.0226, 0.0262, 1234, 60, "26.2 ms"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct store_capacity_point point = {.level = rows[i].level,
                                                   .outcome = "leans missed",
                                                   .p50 = rows[i].p50_s,
                                                   .p50_low = 0.9 * rows[i].p50_s,
                                                   .p50_high = 1.1 * rows[i].p50_s,
                                                   .p95 = rows[i].p95_s,
                                                   .p95_low = 0.9 * rows[i].p95_s,
                                                   .p95_high = 1.1 * rows[i].p95_s,
                                                   .good_rps = rows[i].good_rps};
        const struct bench_capacity capacity = {.found = {.service = "x",
                                                          .of = spec_capacity_of_name(rows[i].of),
                                                          .metric = "latency",
                                                          .end = "found",
                                                          .low = rows[i].level,
                                                          .high = NAN,
                                                          .memory_bytes = NAN},
                                                .points = &point,
                                                .point_count = 1,
                                                .text_salt = "then\033[1m",
                                                .made = i % 2 == 0 ? 3 : 0};
        AUTO(free) char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        bench_capacity_print(&capacity, out, (struct report_terminal){.width = rows[i].width});
        fclose(out);
        CHECK_ROW(i, rows[i].name, !strstr(text, "..."));
        CHECK_ROW(i, rows[i].name, strstr(text, rows[i].words) != NULL);
        const char *row = strchr(text, '\n') + 1; /* below the titles */
        CHECK_ROW(i, rows[i].name, strcspn(row, "\n") <= (size_t)rows[i].width);
        /* Where words are made up it says from what, in JSON always. */
        CHECK_ROW(i, rows[i].name, (strstr(text, "salt \"then") != NULL) == (i % 2 == 0));
        CHECK_ROW(i, rows[i].name, !strchr(text, '\033'));
        AUTO_JSON json_t *json = bench_capacity_json(&capacity);
        CHECK_ROW_TEXT(i, rows[i].name, json_get_text(json, "text_salt"), "then\033[1m");
    }
}

/* A run of 60 requests of which all but one failed, each sent 5 ms late. */
static void lines_are_whole(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *results = bench_results_new(&stream);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_setup *setup = arena_alloc(arena, sizeof *setup);
    for (size_t i = 0; i < COUNT; i++) {
        const struct fixture_request request = {.at_s = (double)i,
                                                .late_s = 0.005,
                                                .latency_s = 0.05,
                                                .error = i ? LOAD_CLOSED : LOAD_OK,
                                                .part = LOAD_WINDOW,
                                                .tokens = 3};
        fixture_add(results, &stream, &request);
    }
    fixture_close_late(results, 0.005);
    setup->plan.streams[0] = stream;
    setup->plan.stream_count = 1;
    setup->plan.workers = 4;
    const struct bench_run run = {.setup = setup,
                                  .results = results,
                                  .first_request_s = NAN,
                                  .tried_again = 2,
                                  .fewer_were_late = true};
    AUTO(free) char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    bench_print_lines(&run, out, (struct report_terminal){.width = 1000});
    fclose(out);
    assert_null(strstr(text, "e+"));
    assert_non_null(strstr(text, ", 100])"));
    assert_null(strstr(text, ".;"));
    assert_non_null(strstr(text, "; sent by 4 workers, since fewer were late before; OVER"));
    assert_non_null(strstr(text, "or another machine.\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_column_is_cut),
        cmocka_unit_test(lines_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
