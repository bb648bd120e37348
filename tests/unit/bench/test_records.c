/* A request's line: names, units, what is left out, and outside text that stays harmless. */
#include "check.h"

#include "base/json.h"
#include "bench/records.h"

#include <math.h>

static json_t *line_of(const struct load_result *result)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    assert_true(bench_records_write(file, result, 1000000));
    fclose(file);
    assert_true(len > 0 && text[len - 1] == '\n' && strchr(text, '\n') == text + len - 1);
    json_t *line = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(line);
    return line;
}

static double value_of(const json_t *line, const char *name)
{
    return json_get_real(json_object_get(json_object_get(line, "metrics"), name), "value");
}

static void an_answer(void **state)
{
    (void)state;
    static const int64_t gaps[] = {3000000, 5000000};
    const struct load_result result = {
        .record = {.sequence = 4,
                   .session = 4,
                   .part = LOAD_WINDOW,
                   .intended_ns = 1000000,
                   .sent_ns = 2000000,
                   .first_byte_ns = 3000000,
                   .first_token_ns = 4000000,
                   .last_token_ns = 12000000,
                   .done_ns = 13000000,
                   .bytes = 9,
                   .tokens = 3,
                   .prompt_tokens = 5,
                   .audio_s = NAN,
                   .http_status = 200,
                   .gap_count = 2},
        .text = "fine",
        .gaps_ns = gaps,
    };
    AUTO_JSON json_t *line = line_of(&result);
    const json_t *meta = json_object_get(line, "metadata");
    assert_int_equal(json_get_int(meta, "session_num", -1), 4);
    assert_int_equal(json_get_int(meta, "credit_issued_ns", -1), 2000000);
    assert_int_equal(json_get_int(meta, "request_end_ns", -1), 14000000);
    assert_string_equal(json_get_text(meta, "benchmark_phase"), "profiling");
    static const struct {
        const char *name;
        double value;
    } rows[] = {
        {"request_latency", 11},       {"effective_latency", 12},
        {"time_to_first_token", 2},    {"effective_time_to_first_token", 3},
        {"time_to_second_token", 3},   {"lateness", 1},
        {"output_sequence_length", 3}, {"input_sequence_length", 5},
        {"response_bytes", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, rows[i].name, fabs(value_of(line, rows[i].name) - rows[i].value) < 1e-9);
    const json_t *metrics = json_object_get(line, "metrics");
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(metrics, "inter_chunk_latency"), "value")),
        2);
    assert_null(json_object_get(metrics, "audio_duration"));
    assert_true(json_is_null(json_object_get(line, "error")));
}

static void a_failure(void **state)
{
    (void)state;
    const struct load_result result = {
        .record = {.error = LOAD_HTTP_STATUS,
                   .http_status = 503,
                   .part = LOAD_WARMUP,
                   .intended_ns = 1,
                   .sent_ns = -1,
                   .first_byte_ns = -1,
                   .first_token_ns = -1,
                   .last_token_ns = -1,
                   .done_ns = 5,
                   .tokens = -1,
                   .prompt_tokens = -1,
                   .audio_s = NAN},
        .text = "a \"quote\"\n\xff\x01",
    };
    AUTO_JSON json_t *line = line_of(&result);
    const json_t *error = json_object_get(line, "error");
    assert_string_equal(json_get_text(error, "type"), "http_status");
    assert_int_equal(json_get_int(error, "code", 0), 503);
    assert_non_null(strstr(json_get_text(error, "message"), "a \"quote\""));
    assert_int_equal(json_object_size(json_object_get(line, "metrics")), 0);
    const json_t *meta = json_object_get(line, "metadata");
    assert_true(json_is_null(json_object_get(meta, "request_start_ns")));
    assert_string_equal(json_get_text(meta, "benchmark_phase"), "warmup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer),
        cmocka_unit_test(a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
