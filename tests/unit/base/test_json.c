/* Unknown is null, broken text is repaired, and a getter never takes one type for another. */
#include "base/json.h"

#include "base/file.h"

#include "check.h"

#include <math.h>

static void test_reals(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {{NAN, "null"}, {INFINITY, "null"}, {-INFINITY, "null"}, {0, "0.0"}, {1.5, "1.5"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *value = json_real_or_null(rows[i].value);
        AUTO(free) char *text = json_dump_text(value);
        CHECK_ROW_TEXT(i, rows[i].text, text, rows[i].text);
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value; /* NULL: null */
    } rows[] = {
        {"plain", "plain"},
        {"", ""},
        {NULL, NULL},
        {"two\nlines \x1b", "two\nlines \x1b"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"a\xff\xfe", "a\\xff\\xfe"},
        {"cut \xe6\x97", "cut \\xe6\\x97"},
        {"\xff", "\\xff"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *value = json_text_or_null(rows[i].text);
        if (rows[i].value)
            CHECK_ROW_TEXT(i, rows[i].value, json_string_value(value), rows[i].value);
        else
            CHECK_ROW(i, "null", json_is_null(value));
    }
}

static void test_getters(void **state)
{
    (void)state;
    AUTO_JSON json_t *object =
        json_loads("{\"t\": \"x\", \"i\": 7, \"r\": 2.5, \"n\": null, \"b\": true}", 0, NULL);
    assert_non_null(object);
    static const struct {
        const char *key, *text;
        double real;
        int64_t integer; /* -1: the other value */
    } rows[] = {
        {"t", "x", NAN, -1},  {"i", NULL, 7, 7},    {"r", NULL, 2.5, -1},
        {"n", NULL, NAN, -1}, {"b", NULL, NAN, -1}, {"absent", NULL, NAN, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *text = json_get_text(object, rows[i].key);
        double real = json_get_real(object, rows[i].key);
        CHECK_ROW(i, rows[i].key,
                  text ? rows[i].text && strcmp(text, rows[i].text) == 0 : !rows[i].text);
        CHECK_ROW(i, rows[i].key, isnan(rows[i].real) ? isnan(real) : real == rows[i].real);
        CHECK_ROW(i, rows[i].key, json_get_int(object, rows[i].key, -1) == rows[i].integer);
    }
    assert_null(json_get_text(NULL, "t"));
    assert_true(isnan(json_get_real(NULL, "r")));
    assert_int_equal(json_get_int(NULL, "i", 3), 3);
}

/* What is stored and read back is the same number, bit by bit. */
static void test_dump_is_exact(void **state)
{
    (void)state;
    static const double rows[] = {0.1, 1.0 / 3, 1e-300, 123456789.123456789, 0.15000000000000002};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *value = json_real(rows[i]);
        AUTO(free) char *text = json_dump_text(value);
        AUTO_JSON json_t *again = json_loads(text, JSON_DECODE_ANY, NULL);
        CHECK_ROW(i, text, json_real_value(again) == rows[i]);
    }
    AUTO(free) char *nothing = json_dump_text(NULL);
    assert_string_equal(nothing, "null");
}

static void test_write_file(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "winner.json");
    AUTO_JSON json_t *object = json_object();
    json_object_set_new(object, "ratio", json_real(0.1));
    json_object_set_new(object, "unknown", json_real_or_null(NAN));
    struct err err = ERR_INIT, bad = ERR_INIT;
    assert_true(json_write_file(object, path, &err));
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    assert_true(buf_read_file(&buf, path, &err));
    assert_string_equal(buf_text(&buf), "{\n  \"ratio\": 0.1,\n  \"unknown\": null\n}\n");
    assert_false(json_write_file(NULL, path, &bad));
    assert_int_equal(bad.code, ERR_INTERNAL);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reals),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_getters),    cmocka_unit_test(test_dump_is_exact),
        cmocka_unit_test(test_write_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
