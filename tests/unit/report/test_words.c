/* How numbers read. */
#include "check.h"

#include "report/words.h"

#include <math.h>

static const struct report_measure latency = {
    .metric = METRIC_LATENCY, .stat = STAT_P95, .name = "stt.latency.p95", .unit = UNIT_SECONDS};
static const struct report_measure wer = {
    .metric = METRIC_WER, .name = "stt.wer", .unit = UNIT_RATIO};
static const struct report_measure memory = {
    .metric = METRIC_MEMORY, .name = "stt.memory", .unit = UNIT_BYTES};
static const struct report_measure tokens = {.metric = METRIC_TOKENS_PER_S,
                                             .name = "llm.tokens_per_s",
                                             .unit = UNIT_PER_SECOND,
                                             .higher_is_better = true};

static void says_values(void **state)
{
    (void)state;
    static const struct {
        const struct report_measure *measure;
        struct report_number number;
        const char *value, *interval;
    } rows[] = {
        {&latency, {NUMBER_QUANTILE, 0.118, 0.112, 0.127, 400, 4, NULL}, "118 ms", "[112, 127]"},
        {&latency,
         {NUMBER_QUANTILE, 0.98, 0.951, 1.04, 400, 4, NULL},
         "980 ms",
         "[951 ms, 1.04 s]"},
        {&latency, {NUMBER_QUANTILE, 0.118, 0.112, NAN, 30, 4, NULL}, "118 ms", "[112, -]"},
        {&latency, {NUMBER_QUANTILE, 0.118, NAN, NAN, 20, 4, NULL}, "118 ms", ""},
        {&latency, {NUMBER_QUANTILE, NAN, 0.112, NAN, 12, 4, "why"}, "over 112 ms (n=12)", ""},
        {&latency, {NUMBER_QUANTILE, NAN, NAN, 0.9, 12, 4, "why"}, "under 900 ms (n=12)", ""},
        {&latency, {NUMBER_QUANTILE, NAN, NAN, NAN, 2, 4, "why"}, "- (n=2)", ""},
        {&wer, {NUMBER_SHARE, 0.074, 0.051, 0.102, 230, 4, NULL}, "7.4 %", "[5.1, 10.2]"},
        {&memory, {NUMBER_RUNS, 36507222016, 36e9, 37e9, 4, 4, NULL}, "34.0 GiB", "(33.5 to 34.5)"},
        {&latency, {NUMBER_RUNS, 0.98, 0.951, 1.04, 3, 3, NULL}, "980 ms", "(951 ms to 1.04 s)"},
        {&latency, {NUMBER_RUNS, 0.98, 0.98, 0.98, 1, 1, NULL}, "980 ms", ""},
        {&memory, {NUMBER_SUM, 3, 1, 2, 4, 4, NULL}, "3 B", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = BUF_INIT(1000);
        report_add_value(&text, rows[i].measure, &rows[i].number);
        CHECK_ROW_TEXT(i, rows[i].value, buf_text(&text), rows[i].value);
        buf_clear(&text);
        report_add_interval(&text, rows[i].measure, &rows[i].number);
        CHECK_ROW_TEXT(i, rows[i].value, buf_text(&text), rows[i].interval);
        buf_done(&text);
    }
}

static void says_changes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const struct report_measure *measure;
        struct report_change change;
        const char *expected;
    } rows[] = {
        {"better", &latency, {true, true, 0.63, 0.59, 0.68, 1}, "37 % faster [32, 41]"},
        {"worse", &latency, {true, true, 1.07, 1.03, 1.12, -1}, "7.0 % slower [3.0, 12]"},
        {"uncertain",
         &latency,
         {true, true, 1.02, 0.97, 1.08, 0},
         "not certain: 2.0 % slower [-3.0, 8.0]"},
        {"twice", &latency, {true, true, 2.5, 2.0, 3.0, -1}, "150 % slower [100, 200]"},
        {"times", &latency, {true, true, 12, 10, 14.5, -1}, "12 times as slow [10, 14.5]"},
        {"much more", &tokens, {true, true, 30.6, 28, 33, 1}, "30.6 times as much [28, 33]"},
        {"no end",
         &tokens,
         {true, true, 30.6, 5.99, 6440.4, 1},
         "30.6 times as much [5.99, 6,440]"},
        {"nothing less",
         &wer,
         {true, false, -0.01, -0.02, 0, 0},
         "no difference this corpus could show: 1.0 points less [0, 2.0]"},
        {"no interval", &latency, {true, true, 0.5, NAN, NAN, 0}, "not certain: 50 % faster"},
        {"less memory", &memory, {true, true, 0.8, 0.79, 0.81, 1}, "20 % less [19, 21]"},
        {"more tokens", &tokens, {true, true, 1.2, 1.1, 1.3, 1}, "20 % more [10, 30]"},
        {"words",
         &wer,
         {true, false, 0.004, -0.01, 0.02, 0},
         "no difference this corpus could show: 0.4 points more [-1.0, 2.0]"},
        {"words, worse", &wer, {true, false, 0.05, 0.02, 0.08, -1}, "5.0 points more [2.0, 8.0]"},
        {"uncertain, none",
         &latency,
         {true, true, 1, 0.9, 1.1, 0},
         "no certain difference [-10, 10]"},
        {"same", &wer, {true, false, 0, 0, 0, 0}, "the same"},
        {"not compared", &latency, {false, true, 0.5, 0.4, 0.6, 1}, ""},
        {"unknown", &latency, {true, true, NAN, NAN, NAN, 0}, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = BUF_INIT(1000);
        report_add_change(&text, rows[i].measure, &rows[i].change);
        CHECK_ROW_TEXT(i, rows[i].name, buf_text(&text), rows[i].expected);
        buf_done(&text);
    }
}

static void quotes_settings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *markdown;
    } rows[] = {
        {"stt.compute_type=int8", "`stt.compute_type=int8`"},
        {"a`b", "a\\`b"},
        {"a|b", "a\\|b"},
        {"a\\", "a\\\\"},
        {" a", " a"},
        {"", ""},
        {"a\033[2Jb", "`a\\x1b[2Jb`"},
        {"<b>", "`<b>`"},
        {NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = BUF_INIT(1000);
        report_add_code(&text, TEXT_MARKDOWN, rows[i].text);
        CHECK_ROW_TEXT(i, rows[i].markdown, buf_text(&text), rows[i].markdown);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_values),
        cmocka_unit_test(says_changes),
        cmocka_unit_test(quotes_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
