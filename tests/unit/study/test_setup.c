/* What is said before the first trial: missing programs of what can be started, and how long it all
 * takes. */
#include "check.h"

#include "base/buf.h"
#include "search/search.h"
#include "study/loop.h"

#include <math.h>

static const struct spec_protocol protocol = {
    .name = "plain", .sources = SOURCE_ANY, .path = "/", .help = "GET"};
static const struct spec_protocol *const protocols[] = {&protocol};

static struct spec_study *load(const char *text)
{
    size_t strategy_count = 0;
    const char *const *strategies = search_strategy_names(&strategy_count);
    const struct spec_catalog catalog = {.protocols = protocols,
                                         .protocol_count = 1,
                                         .strategies = strategies,
                                         .strategy_count = strategy_count};
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_parse("/tmp/setup.yaml", text, strlen(text), &catalog, &study, &err))
        fail_msg("%s", err.text);
    return study;
}

#define STUDY(constraints, search)                                                                 \
    "study: setup\n"                                                                               \
    "device: cpu\n"                                                                                \
    "services:\n"                                                                                  \
    "  a:\n"                                                                                       \
    "    command: [\"{program}\", \"{port}\", \"{threads}\"]\n"                                    \
    "    protocol: plain\n"                                                                        \
    "    knobs: {program: [/bin/sh, /nonexistent/server], threads: [1, 2, 3]}\n"                   \
    "  b:\n"                                                                                       \
    "    command: [/bin/sh, \"{port}\", \"{threads}\"]\n"                                          \
    "    protocol: plain\n"                                                                        \
    "    knobs: {threads: [1, 2, 3]}\n" constraints                                                \
    "load: {a: {concurrency: 1}, b: {concurrency: 1}}\n"                                           \
    "measure: {warmup: 5s, window: 30s, alone: 10s, repeats: 4}\n"                                 \
    "goal: {optimise: {a.latency.p95: {good: 100ms, bad: 1s}}}\n"                                  \
    "baseline: none\n" search

static void test_programs(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool complains;
    } rows[] = {
        {"a missing program", STUDY("", ""), true},
        {"which a constraint forbids", STUDY("constraints: ['a.program == \"/bin/sh\"']\n", ""),
         false},
        {"a constraint across services forbids nothing alone",
         STUDY("constraints: [\"a.threads + b.threads <= 3\"]\n", ""), true},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(spec_study_free) struct spec_study *study = load(rows[r].text);
        AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        if (!study_check_services(study, false, &problems, &err))
            fail_msg("row %zu: %s", r, err.text);
        CHECK_ROW(r, rows[r].name, (problems.len > 0) == rows[r].complains);
        /* Said once, however many settings share it. */
        const char *first = strstr(buf_text(&problems), "/nonexistent/server");
        CHECK_ROW(r, rows[r].name, !first == !rows[r].complains);
        CHECK_ROW(r, rows[r].name, !first || !strchr(first, '\n')[1]);
    }
}

/* Expected: a part of a vast space is looked at. Before: all of it was walked, for ages. */
static void test_vast_space(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    buf_add(&text, "study: vast\ndevice: cpu\nservices:\n  a:\n    protocol: plain\n"
                   "    command: [/bin/sh, \"{port}\"");
    for (int k = 0; k < 12; k++)
        buf_addf(&text, ", \"{k%d}\"", k);
    buf_add(&text, "]\n    knobs:\n");
    for (int k = 0; k < 12; k++)
        buf_addf(&text, "      k%d: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n", k);
    buf_add(&text, "load: {a: {concurrency: 1}}\nmeasure: {window: 30s}\nbaseline: none\n"
                   "goal: {optimise: {a.latency.p95: {good: 100ms, bad: 1s}}}\n");
    AUTO(spec_study_free) struct spec_study *study = load(buf_text(&text));
    AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    assert_true(study_check_services(study, false, &problems, &err));
    assert_int_equal(problems.len, 0);
}

static void test_start_guess(void **state)
{
    (void)state;
    static const struct spec_engine quick = {.name = "quick"},
                                    slow = {.name = "slow", .start_s = 60};
    struct spec_engine_use one[] = {{.engine = &quick}},
                           either[] = {{.engine = &quick}, {.engine = &slow}};
    struct spec_service services[] = {{.engine_uses = one, .engine_use_count = 1},
                                      {.engine_uses = either, .engine_use_count = 1},
                                      {.command_count = 1}};
    const struct spec_study study = {.services = services, .service_count = 3};
    assert_true(study_start_guess_s(&study) == 8);
    services[1].engine_use_count = 2;
    assert_true(study_start_guess_s(&study) == 68);
}

static void test_estimate(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t explore, final;
    } rows[] = {
        {STUDY("", "search: {strategy: grid}\n"), 18, 12},
        {STUDY("", "search: {strategy: grid, trials: 5}\n"), 5, 12},
        {STUDY("", "search: {strategy: random, trials: 50, finalists: 2}\n"), 18, 8},
        {STUDY("", "search: {strategy: tournament}\n"), 18 + 9 + 5, 12},
        {STUDY("", "search: {strategy: tournament, trials: 12}\n"), 8 + 4, 12},
    };
    const struct study_starts starts = {.restart_s = 2, .cold_s = 4};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(spec_study_free) struct spec_study *study = load(rows[r].text);
        struct study_estimate e = study_estimate(study, 18, &starts);
        CHECK_ROW(r, study->search.strategy, e.explore_trials == rows[r].explore);
        CHECK_ROW(r, study->search.strategy, e.final_trials == rows[r].final);
        /* 4 s of restarts, 5 s and 30 s of windows, two services alone for 10 s and 3 s around. */
        CHECK_ROW(r, study->search.strategy, e.final_s == (double)rows[r].final * 65);
        CHECK_ROW(r, study->search.strategy,
                  e.explore_s == (double)rows[r].explore * (r < 3 ? 37 : 22));
    }
    AUTO(spec_study_free) struct spec_study *study = load(rows[3].text);
    struct study_estimate e = study_estimate(study, UINT64_MAX, &starts);
    assert_true(e.explore_trials > 1000000000 && isfinite(e.explore_s));
}

/* Before: a guess, whatever earlier trials had taken. */
static void test_starts(void **state)
{
    (void)state;
    static const struct store_history_row rows[] = {
        {.purpose = "baseline", .cold = true, .duration_s = 65, .window_s = 30},
        {.purpose = "explore", .duration_s = 37, .window_s = 30},
        {.purpose = "explore", .duration_s = 26, .window_s = 15},
        {.purpose = "explore", .duration_s = 300, .window_s = 0}, /* it never came up */
        {.purpose = "final", .cold = true, .repeat = 2, .duration_s = 101, .window_s = 30},
        {.purpose = "compare", .cold = true, .duration_s = 500, .window_s = 30},
    };
    AUTO(spec_study_free) struct spec_study *study = load(STUDY("", ""));
    struct study_starts starts = study_starts_of(study, rows, ARRAY_LEN(rows));
    assert_int_equal(starts.trials, 4);
    assert_true(starts.cold_s == 35);   /* 30, and 40 beside two services alone */
    assert_true(starts.restart_s == 4); /* 2 and 6 */
    starts = study_starts_of(study, rows, 1);
    assert_true(starts.trials == 1 && starts.cold_s == 30 && starts.restart_s == 30);
    starts = study_starts_of(study, NULL, 0);
    assert_true(starts.trials == 0 && starts.cold_s == study_start_guess_s(study));
    starts = study_starts(study, "/nowhere");
    assert_true(starts.trials == 0 && starts.restart_s == study_start_guess_s(study));
}

static void test_folders(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *study = load(STUDY("", ""));
    AUTO(free) char *own = study_folder(study, NULL), *given = study_folder(study, "/x/y.spica");
    assert_string_equal(own, "/tmp/setup.spica");
    assert_string_equal(given, "/x/y.spica");
    AUTO(free) char *path = study_store_path(own);
    assert_string_equal(path, "/tmp/setup.spica/study.db");
}

/* A study on two cards is resumed on the same two. Before: the second might be any. */
static void test_devices(void **state)
{
    (void)state;
    static const struct {
        const char *stored, *now;
        bool same;
    } rows[] = {
        {"GPU-1", "GPU-1", true},
        {"GPU-1", "GPU-2", false},
        {"GPU-1", "GPU-11", false},
        {"GPU-1 + GPU-2", "GPU-1 + GPU-2", true},
        {"GPU-1 + GPU-2", "GPU-1 + GPU-3", false},
        {"GPU-1 + GPU-2", "GPU-1 + GPU-22", false},
        {"GPU-1 + GPU-2", "GPU-2 + GPU-1", false},
        {"GPU-1 + GPU-2", "GPU-1", true}, /* one lane goes on */
        {"GPU-1", "GPU-1 + GPU-2", true}, /* two do */
        {"", "GPU-1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, rows[i].now,
                  study_loop_same_devices(rows[i].stored, rows[i].now) == rows[i].same);
    static struct study_loop loop;
    for (loop.lane_count = 1; loop.lane_count <= 2; loop.lane_count++) {
        AUTO(buf_done) struct buf ids = BUF_INIT(1000), names = BUF_INIT(1000);
        for (size_t i = 0; i < 2; i++) {
            loop.lanes[i].study.device_count = 1;
            snprintf(loop.lanes[i].facts.id, 16, "GPU-%zu", i);
            snprintf(loop.lanes[i].facts.name, 16, "card %zu", i);
        }
        study_loop_join_devices(&loop, &ids, &names);
        assert_string_equal(buf_text(&ids), loop.lane_count == 1 ? "GPU-0" : "GPU-0 + GPU-1");
        assert_string_equal(buf_text(&names), loop.lane_count == 1 ? "card 0" : "card 0 + card 1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),    cmocka_unit_test(test_programs),
        cmocka_unit_test(test_vast_space), cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_starts),     cmocka_unit_test(test_start_guess),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
