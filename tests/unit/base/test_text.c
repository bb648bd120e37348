/* Words, near misses and whole-string numbers. */
#include "base/text.h"

#include "check.h"

#include <math.h>

static const char *const words[] = {"threads", NULL, "batch", "temperature", "grid"};

static void test_index(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int index;
    } rows[] = {{"threads", 0}, {"grid", 4}, {"Grid", -1}, {"gri", -1}, {"", -1}, {NULL, -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, "index",
                  text_index(words, (int)ARRAY_LEN(words), rows[i].word) == rows[i].index);
}

static void test_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *word, *nearest;
    } rows[] = {
        {"thread", "threads"},
        {"threds", "threads"},
        {"gird", "grid"},
        {"Grid", "grid"},
        {"temprature", "temperature"},
        {"batch", "batch"},
        {"bat", NULL},
        {"wholly", NULL},
        {"", NULL},
        {"threadsthreadsthreadsthreadsthreadsthreadsthreadsthreadsthreadsthreads", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *found = text_nearest(words, ARRAY_LEN(words), rows[i].word);
        if (rows[i].nearest)
            CHECK_ROW_TEXT(i, rows[i].word, found, rows[i].nearest);
        else
            CHECK_ROW(i, rows[i].word, !found);
    }
}

static void test_prefix_and_suffix(void **state)
{
    (void)state;
    assert_true(text_starts_with("stt.threads", "stt."));
    assert_true(text_starts_with("abc", ""));
    assert_false(text_starts_with("st", "stt"));
    assert_true(text_ends_with("a.yaml", ".yaml"));
    assert_true(text_ends_with("abc", ""));
    assert_false(text_ends_with("yaml", ".yaml"));
}

static void test_find_nocase(void **state)
{
    (void)state;
    static const char text[] = "a\0CUDA Out Of Memory";
    static const struct {
        const char *needle;
        int at;
    } rows[] = {{"out of memory", 7}, {"cuda", 2}, {"", 0}, {"memory!", -1}, {"y", 19}, {"@", -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *found = text_find_nocase(text, sizeof text - 1, rows[i].needle);
        CHECK_ROW(i, rows[i].needle, (found ? (int)(found - text) : -1) == rows[i].at);
    }
    assert_null(text_find_nocase("abc", 2, "c"));
    assert_null(text_find_nocase(NULL, 0, "c"));
}

static void test_to_i64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-17", true, -17},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
        {"1e3", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 42;
        CHECK_ROW(i, rows[i].text, text_to_i64(rows[i].text, &value) == rows[i].good);
        CHECK_ROW(i, rows[i].text, value == (rows[i].good ? rows[i].value : 42));
    }
}

static void test_to_double(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        double value;
    } rows[] = {
        {"0", true, 0},     {"-1.5", true, -1.5},   {"1e3", true, 1000}, {".5", true, 0.5},
        {"0.1", true, 0.1}, {"1e-400", true, 0},    {"1e400", false, 0}, {"nan", false, 0},
        {"inf", false, 0},  {"infinity", false, 0}, {"0x10", false, 0},  {"", false, 0},
        {" 1", false, 0},   {"1 ", false, 0},       {"1,5", false, 0},   {"1.2.3", false, 0},
        {"e", false, 0},    {"1e", false, 0},       {"+1", false, 0},    {"--1", false, 0},
        {"0.5x", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double value = 42;
        CHECK_ROW(i, rows[i].text, text_to_double(rows[i].text, &value) == rows[i].good);
        CHECK_ROW(i, rows[i].text, value == (rows[i].good ? rows[i].value : 42));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_prefix_and_suffix),
        cmocka_unit_test(test_find_nocase),
        cmocka_unit_test(test_to_i64),
        cmocka_unit_test(test_to_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
