/* Values of requests: which count, in which order, in which unit. */
#include "check.h"

#include "made.h"
#include "store/read.h"

static void reads_values(void **state)
{
    (void)state;
    /* 30 requests a service: one of the warm-up, three failed. */
    static const struct {
        const char *name, *service, *mode;
        int64_t trial;
        enum store_sample sample;
        size_t count;
        double value; /* they are all alike */
    } rows[] = {
        {"latency", "stt", "shared", 1, SAMPLE_LATENCY, 26, 2000e-9},
        {"ttft", "llm", "shared", 1, SAMPLE_TTFT, 26, 700e-9},
        {"no first token", "stt", "shared", 1, SAMPLE_TTFT, 0, 0},
        /* one of them was held back by the limit: not our lateness */
        {"lateness", "llm", "shared", 1, SAMPLE_LATENESS, 25, 500e-9},
        {"service time", "llm", "shared", 1, SAMPLE_SERVICE_TIME, 26, 1500e-9},
        {"rtf", "stt", "shared", 1, SAMPLE_RTF, 26, 1000e-9},
        {"no audio", "llm", "shared", 1, SAMPLE_RTF, 0, 0},
        {"no such mode", "stt", "alone", 1, SAMPLE_LATENCY, 0, 0},
        {"no such service", "tts", "shared", 1, SAMPLE_LATENCY, 0, 0},
        {"no such trial", "stt", "shared", 7, SAMPLE_LATENCY, 0, 0},
    };
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    struct store_trial trial = made_trial(arena, 1, 30);
    assert_true(store_trial_add(store, &trial, &err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_values values = {0};
        CHECK_ROW(i, rows[i].name,
                  store_read_values(store, arena, rows[i].trial, rows[i].service, rows[i].mode,
                                    rows[i].sample, &values, &err));
        CHECK_ROW(i, rows[i].name, values.count == rows[i].count);
        for (size_t k = 0; k < values.count; k++)
            CHECK_ROW(i, rows[i].name,
                      values.values[k] > 0.999999 * rows[i].value &&
                          values.values[k] < 1.000001 * rows[i].value);
    }
    int64_t requests = 0;
    assert_true(store_count_requests(store, &requests, &err));
    assert_int_equal(requests, 60);
    check_remove_folder(folder);
}

static void reads_words_and_errors(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    struct store_trial trial = made_trial(arena, 1, 30);
    assert_true(store_trial_add(store, &trial, &err));
    struct store_words *words = NULL;
    size_t count = 0;
    assert_true(store_read_words(store, arena, 1, "stt", &words, &count, &err));
    assert_int_equal(count, 26);
    assert_int_equal(words[0].item, 1); /* sequence 1: by sequence, not as they came */
    assert_int_equal(words[1].item, 2);
    assert_string_equal(words[0].text, "good morning");
    assert_string_equal(words[2].text, "good evening");
    assert_int_equal(words[0].word_errors, 1);
    assert_int_equal(words[0].words, 4);
    struct store_error_count *errors = NULL;
    assert_true(store_read_errors(store, arena, 1, &errors, &count, &err));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(errors[i].error, "timeout");
        assert_string_equal(errors[i].mode, "shared");
        assert_int_equal(errors[i].count, 3);
        assert_int_equal(errors[i].http_status, 0);
    }
    assert_true(store_read_errors(store, arena, 9, &errors, &count, &err));
    assert_int_equal(count, 0);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values),
        cmocka_unit_test(reads_words_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
