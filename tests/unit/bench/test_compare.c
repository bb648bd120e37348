/* Comparison: the maths on runs written by hand, and its coverage in simulation. */
#include "fixture.h"

#include "bench/run.h"

#include "base/json.h"

static json_t *run_of(double p50, double low, double high, double rate)
{
    return json_pack("{s:i, s:s, s:s, s:{s:i}, s:{s:{s:{s:f, s:o, s:o}}, s:{s:f}}}", "spica_bench",
                     1, "protocol", "openai-chat", "ended", "whole", "load", "concurrency", 1,
                     "metrics", "latency", "p50", "value", p50, "low", json_real_or_null(low),
                     "high", json_real_or_null(high), "requests_per_s", "value", rate);
}

static void changes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double before[3], after[3];
        double tolerance;
        int certain;
        bool over;
        const char *words;
    } rows[] = {
        {"same",
         {1, 0.9, 1.1},
         {1, 0.9, 1.1},
         0.1,
         0,
         false,
         "cannot tell: 13 % faster to 15 % slower"},
        {"slower", {1, 0.9, 1.1}, {2, 1.8, 2.2}, 0.1, -1, true, "100 % slower [73.5, 131]"},
        {"faster", {2, 1.8, 2.2}, {1, 0.9, 1.1}, 0.1, 1, false, "50 % faster [42.4, 56.6]"},
        {"within",
         {1, 0.99, 1.01},
         {1.05, 1.04, 1.06},
         0.1,
         -1,
         false,
         "5.0 % slower [3.56, 6.46]"},
        {"one side",
         {1, 0.9, NAN},
         {1, 0.9, 1.1},
         0.1,
         0,
         false,
         "cannot tell: any amount to 15 % slower"},
        {"no side", {1, NAN, NAN}, {2, NAN, NAN}, 0.1, 0, false, "cannot tell: no interval"},
        {"unknown", {NAN, 0.9, NAN}, {1, 0.9, 1.1}, 0.1, 0, false, "cannot tell: too few requests"},
        {"no tolerance", {1, 0.9, 1.1}, {2, 1.8, 2.2}, NAN, -1, false, "100 % slower [73.5, 131]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO_JSON json_t *before = run_of(isnan(rows[i].before[0]) ? 0 : rows[i].before[0],
                                          rows[i].before[1], rows[i].before[2], 10);
        if (isnan(rows[i].before[0]))
            json_object_set_new(
                json_object_get(json_object_get(json_object_get(before, "metrics"), "latency"),
                                "p50"),
                "value", json_null());
        AUTO_JSON json_t *after = run_of(rows[i].after[0], rows[i].after[1], rows[i].after[2], 5);
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        assert_true(bench_compare("old", before, after, rows[i].tolerance, arena, &c, &err));
        assert_int_equal(c->change_count, 2);
        AUTO(buf_done) struct buf words = BUF_INIT(256);
        bench_compare_add_words(&words, &c->changes[0]);
        CHECK_ROW_TEXT(i, rows[i].name, buf_text(&words), rows[i].words);
        CHECK_ROW(i, rows[i].name, c->changes[0].certain == rows[i].certain);
        CHECK_ROW(i, rows[i].name, c->over == rows[i].over);
        /* Half the rate, but a rate has no interval: nothing certain, nothing over. */
        CHECK_ROW(i, rows[i].name, c->changes[1].exact && c->changes[1].certain == 0);
    }
}

/* A metric's value then and now, in a run that answered so many. */
static json_t *one_value(const char *metric, const char *stat, double value, int answered)
{
    json_t *number = json_real_or_null(value);
    json_t *at = *stat ? json_pack("{s:{s:o, s:n, s:n}}", stat, "value", number, "low", "high")
                       : json_pack("{s:o}", "value", number);
    return json_pack("{s:i, s:s, s:s, s:i, s:{s:o}}", "spica_bench", 1, "protocol", "openai-chat",
                     "ended", "whole", "answered", answered, "metrics", metric, at);
}

/* A gate that can't look does not let pass; and what is unknown says why. */
static void what_cannot_be_told_does_not_pass(void **state)
{
    (void)state;
    static const struct {
        const char *metric, *stat;
        double before, after;
        int answered;
        bool untold;
        const char *words;
    } rows[] = {
        {"latency", "p95", 0.0204, 0.0267, 177, true, "cannot tell: no interval"},
        {"latency", "p95", 0.0204, 0.0214, 177, false, "cannot tell: no interval"},
        {"latency", "p95", 0.0267, 0.0204, 177, false, "cannot tell: no interval"},
        {"latency", "p95", 0.0204, NAN, 0, false, "cannot tell: nothing answered now"},
        {"latency", "p95", 0.0204, NAN, 9, false, "cannot tell: too few requests"},
        {"requests_per_s", "", 44.2, 0, 0, true, "cannot tell: nothing answered now"},
        {"requests_per_s", "", 44.2, 0, 9, true, "it is 0 now"},
        {"requests_per_s", "", 44.2, 22, 99, true, "50 % less, as seen"},
        {"requests_per_s", "", 44.2, 42, 99, false, "5.0 % less, as seen"},
        {"requests_per_s", "", 22, 44.2, 99, false, "101 % more, as seen"},
        {"itl", "p50", 0, 0, 99, false, "the same, as seen: both 0"},
        {"itl", "p50", 0, 0.01, 99, false, "it was 0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO_JSON json_t *before = one_value(rows[i].metric, rows[i].stat, rows[i].before, 100);
        AUTO_JSON json_t *after =
            one_value(rows[i].metric, rows[i].stat, rows[i].after, rows[i].answered);
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        assert_true(bench_compare("old", before, after, 0.1, arena, &c, &err));
        assert_int_equal(c->change_count, 1);
        AUTO(buf_done) struct buf words = BUF_INIT(256);
        bench_compare_add_words(&words, &c->changes[0]);
        CHECK_ROW_TEXT(i, rows[i].metric, buf_text(&words), rows[i].words);
        CHECK_ROW(i, rows[i].metric, c->untold == rows[i].untold && !c->over);
        assert_true(bench_compare("old", before, after, NAN, arena, &c, &err));
        CHECK_ROW(i, rows[i].metric, !c->untold);
    }
}

static json_t *sure_value(const char *metric, const char *stat, double value, const char *required)
{
    const double around = 0.01 * value;
    json_t *number =
        json_pack("{s:f, s:f, s:f}", "value", value, "low", value - around, "high", value + around);
    json_t *at = *stat ? json_pack("{s:o}", stat, number) : number;
    return json_pack("{s:i, s:s, s:s, s:i, s:[{s:s}], s:{s:o}}", "spica_bench", 1, "protocol",
                     "openai-chat", "ended", "whole", "answered", 100, "requirements", "text",
                     required, "metrics", metric, at);
}

/* A regression in one of these alone passed the tolerance: nobody looked at it. */
static void tails_and_good_answers_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *metric, *stat;
        double before, after;
        const char *required; /* now; "x" then */
        bool over;
        int certain;
        size_t rows;
    } rows[] = {
        {"ttft", "p99", 1, 2, "x", true, -1, 1},
        {"content", "p50", 1, 2, "x", true, -1, 1},
        {"content", "p95", 1, 2, "x", true, -1, 1},
        {"content", "p99", 1, 2, "x", true, -1, 1},
        {"itl", "p95", 1, 2, "x", true, -1, 1},
        {"itl", "p99", 1, 2, "x", true, -1, 1},
        {"rtf", "p99", 1, 2, "x", true, -1, 1},
        {"goodput_ratio", "", 0.9, 0.5, "x", true, -1, 1},
        {"goodput_ratio", "", 0.5, 0.9, "x", false, 1, 1},
        {"goodput_ratio", "", 0.9, 0.5, "y", false, 0, 0}, /* another question */
        {"goodput", "", 9, 5, "y", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO_JSON json_t *before = sure_value(rows[i].metric, rows[i].stat, rows[i].before, "x");
        AUTO_JSON json_t *after =
            sure_value(rows[i].metric, rows[i].stat, rows[i].after, rows[i].required);
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        assert_true(bench_compare("old", before, after, 0.1, arena, &c, &err));
        CHECK_ROW(i, rows[i].metric, c->change_count == rows[i].rows && c->over == rows[i].over);
        CHECK_ROW(i, rows[i].metric, !c->untold);
        CHECK_ROW(i, rows[i].metric, c->warning_count == (rows[i].rows ? 0 : 1));
        CHECK_ROW(i, rows[i].metric, !rows[i].rows || c->changes[0].certain == rows[i].certain);
    }
}

/* Who does not think says content with the first token: the same rows once. */
static void content_is_named_once(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_JSON json_t *run = sure_value("ttft", "p50", 1, "x");
    json_t *metrics = json_object_get(run, "metrics");
    json_object_set(metrics, "content", json_object_get(metrics, "ttft"));
    struct bench_comparison *c = NULL;
    struct err err = ERR_INIT;
    assert_true(bench_compare("old", run, run, 0.1, arena, &c, &err));
    assert_int_equal(c->change_count, 1);
    assert_int_equal(c->changes[0].metric, METRIC_TTFT);
}

static void tokens_counted_otherwise(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    for (int alike = 0; alike < 2; alike++) {
        AUTO_JSON json_t *before = one_value("tokens_per_s", "", 100, 9);
        AUTO_JSON json_t *after = one_value("tokens_per_s", "", 20, 9);
        json_object_set_new(before, "tokens_exact", json_true());
        json_object_set_new(after, "tokens_exact", json_boolean(alike));
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        assert_true(bench_compare("old", before, after, 0.1, arena, &c, &err));
        assert_true(isnan(c->changes[0].value) == !alike);
        assert_int_equal(c->warning_count, !alike);
        assert_true(c->untold); /* a gate that can't look; or 80 % less without an interval */
        AUTO(buf_done) struct buf words = BUF_INIT(256);
        bench_compare_add_words(&words, &c->changes[0]);
        assert_string_equal(buf_text(&words),
                            alike ? "80 % less, as seen"
                                  : "cannot tell: counted by events, once by the server");
        if (!alike)
            assert_string_equal(c->warnings[0], "this run has no count of tokens by the server: "
                                                "its tokens/s are events/s");
    }
}

static void another_load_is_named(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_JSON json_t *before = run_of(1, 0.9, 1.1, 10), *after = run_of(1, 0.9, 1.1, 10);
    struct bench_comparison *c = NULL;
    struct err err = ERR_INIT;
    json_object_set_new(json_object_get(before, "load"), "concurrency", json_integer(2));
    json_object_set_new(before, "ended", json_string("stopped"));
    assert_true(bench_compare("old", before, after, NAN, arena, &c, &err));
    assert_int_equal(c->warning_count, 2);
    assert_string_equal(c->warnings[0], "not the same load: concurrency was 2, is 1");
    assert_string_equal(c->warnings[1], "the earlier run was cut short");
    json_object_set_new(before, "protocol", json_string("wyoming"));
    assert_false(bench_compare("old", before, after, NAN, arena, &c, &err));
    assert_int_equal(err.code, ERR_INPUT);
}

/* Expected: word errors of an earlier file that tells no rules were counted after English's, and
 * another's are told apart. Before: nothing was said. */
static void other_rules_for_words_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *warning;
    } rows[] = {{NULL, "plain", "not the same load: normalise was \"english\", is \"plain\""},
                {NULL, "english", NULL},
                {NULL, NULL, NULL},
                {"plain", "plain", NULL},
                {"plain", "english", "not the same load: normalise was \"plain\", is \"english\""}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO_JSON json_t *before = run_of(1, 0.9, 1.1, 10), *after = run_of(1, 0.9, 1.1, 10);
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        if (rows[i].before)
            json_object_set_new(json_object_get(before, "load"), "normalise",
                                json_string(rows[i].before));
        if (rows[i].after)
            json_object_set_new(json_object_get(after, "load"), "normalise",
                                json_string(rows[i].after));
        CHECK_ROW(i, "compared", bench_compare("old", before, after, NAN, arena, &c, &err));
        CHECK_ROW(i, "warnings", c->warning_count == (rows[i].warning ? 1 : 0));
        if (rows[i].warning)
            CHECK_ROW_TEXT(i, "warning", c->warnings[0], rows[i].warning);
    }
}

static void old_files_are_hostile(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"spica_bench\": 2}", "{\"spica_bench\": \"1\"}", "null",
    };
    char *folder = check_make_folder(), path[512];
    snprintf(path, sizeof path, "%s/old.json", folder);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        json_t *old = NULL;
        struct err err = ERR_INIT;
        CHECK_ROW(i, texts[i], !bench_compare_load(path, &old, &err));
        CHECK_ROW(i, texts[i], err.code == ERR_INPUT && !old);
    }
    /* Of the right version, with members of the wrong kinds: nothing is known of them. */
    AUTO_JSON json_t *before = json_loads("{\"spica_bench\": 1, \"protocol\": \"openai-chat\","
                                          "\"load\": 7, \"metrics\": {\"latency\": [1],"
                                          "\"wer\": {\"value\": \"x\"}}}",
                                          0, NULL);
    AUTO_JSON json_t *after = run_of(1, 0.9, 1.1, 10);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_comparison *c = NULL;
    struct err err = ERR_INIT;
    assert_true(bench_compare("old", before, after, 0.1, arena, &c, &err));
    for (size_t i = 0; i < c->change_count; i++)
        CHECK_ROW(i, "unknown", isnan(c->changes[i].value) && c->changes[i].certain == 0);
    check_remove_folder(folder);
}

/* What this program writes, it reads: the whole way from results. */
static json_t *json_of(const struct load_stream *stream, struct bench_results *results)
{
    AUTO(free) struct bench_setup *setup = calloc(1, sizeof *setup);
    setup->plan.streams[0] = *stream;
    setup->plan.streams[0].url = "http://127.0.0.1:1/?api_key=hush&x=1";
    setup->sending = "x";
    struct bench_run run = {.setup = setup, .results = results, .first_request_s = 0.1};
    return bench_json(&run);
}

/* Two runs of the same service: the interval of the ratio holds 1 in 95 % or more. */
static void same_service_is_not_told_apart(void **state)
{
    (void)state;
    enum { RUNS = 300 };
    const struct load_stream stream = fixture_stream("openai-chat");
    size_t told[3] = {0};
    static const char *const stats[] = {"p50", "p90", "p95"};
    for (uint64_t k = 0; k < RUNS; k++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(bench_results_free)
        struct bench_results *a = fixture_run(&stream, 200, 0.1, 0, 2 * k),
                             *b = fixture_run(&stream, 200, 0.1, 0, 2 * k + 1);
        AUTO_JSON json_t *before = json_of(&stream, a), *after = json_of(&stream, b);
        struct bench_comparison *c = NULL;
        struct err err = ERR_INIT;
        assert_true(bench_compare("old", before, after, NAN, arena, &c, &err));
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(c->changes[i].metric, METRIC_LATENCY);
            told[i] += c->changes[i].certain != 0;
        }
    }
    for (size_t i = 0; i < 3; i++) /* 5 % of 300 are 15; 26 is over it by 3 sigma */
        CHECK_ROW(i, stats[i], told[i] <= 26);
}

static void json_tells_the_rules_for_words(void **state)
{
    (void)state;
    static const struct {
        const char *protocol;
        enum stats_normaliser normaliser;
        const char *told;
    } rows[] = {{"openai-chat", NORMALISER_PLAIN, NULL},
                {"openai-transcriptions", NORMALISER_PLAIN, "plain"},
                {"openai-transcriptions", NORMALISER_ENGLISH, "english"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_stream stream = fixture_stream(rows[i].protocol);
        stream.normaliser = rows[i].normaliser;
        AUTO(bench_results_free) struct bench_results *r = fixture_run(&stream, 20, 0.1, 0, 4);
        AUTO_JSON json_t *json = json_of(&stream, r);
        const char *told = json_get_text(json_object_get(json, "load"), "normalise");
        CHECK_ROW(i, rows[i].protocol, !told == !rows[i].told);
        if (told)
            CHECK_ROW_TEXT(i, rows[i].protocol, told, rows[i].told);
    }
}

static void json_has_its_shape(void **state)
{
    (void)state;
    const struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *r = fixture_run(&stream, 200, 0.1, 10, 4);
    AUTO_JSON json_t *json = json_of(&stream, r);
    json_t *p95 =
        json_object_get(json_object_get(json_object_get(json, "metrics"), "latency"), "p95");
    assert_true(json_get_real(p95, "low") < json_get_real(p95, "value") &&
                json_get_real(p95, "value") < json_get_real(p95, "high"));
    assert_int_equal(json_get_int(json, "spica_bench", 0), 1);
    assert_int_equal(json_get_int(json, "requests", 0), 200);
    assert_int_equal(json_get_int(json, "answered", 0), 180);
    json_t *errors = json_object_get(json_object_get(json, "errors"), "http_status");
    assert_int_equal(json_get_int(errors, "count", 0), 20);
    assert_int_equal(json_get_int(errors, "http_status", 0), 503);
    assert_true(json_is_null(json_object_get(json_object_get(json, "load"), "rate_rps")));
    assert_true(json_is_null(json_object_get(json_object_get(json, "load"), "max_tokens")));
    assert_string_equal(json_get_text(json, "url"), "http://127.0.0.1:1/?api_key=...&x=1");
    /* Nothing in it is NaN, which jansson would refuse: the text can be written and read. */
    AUTO(free) char *text = json_dump_text(json);
    AUTO_JSON json_t *again = json_loads(text, 0, NULL);
    assert_non_null(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes),
        cmocka_unit_test(what_cannot_be_told_does_not_pass),
        cmocka_unit_test(tails_and_good_answers_are_compared),
        cmocka_unit_test(content_is_named_once),
        cmocka_unit_test(tokens_counted_otherwise),
        cmocka_unit_test(another_load_is_named),
        cmocka_unit_test(other_rules_for_words_are_named),
        cmocka_unit_test(old_files_are_hostile),
        cmocka_unit_test(same_service_is_not_told_apart),
        cmocka_unit_test(json_tells_the_rules_for_words),
        cmocka_unit_test(json_has_its_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
