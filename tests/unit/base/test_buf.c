/* The stated maximum holds at the very byte, and the text is ended after every operation. */
#include "base/buf.h"

#include "check.h"

static void test_empty(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(10);
    assert_string_equal(buf_text(&buf), "");
    buf_clear(&buf);
    assert_true(buf_append(&buf, NULL, 0));
    assert_string_equal(buf_text(&buf), "");
    assert_int_equal(buf.len, 0);
    buf_done(NULL);
}

static void test_maximum(void **state)
{
    (void)state;
    static const struct {
        size_t max, first, second;
        bool fits;
    } rows[] = {
        {0, 0, 0, true},       {0, 0, 1, false},         {10, 4, 6, true},
        {10, 4, 7, false},     {10, 10, 0, true},        {1000, 999, 1, true},
        {1000, 999, 2, false}, {10, 1, SIZE_MAX, false}, {SIZE_MAX, 1, SIZE_MAX - 1, false},
    };
    static const char bytes[1000];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(rows[i].max);
        assert_true(buf_append(&buf, bytes, rows[i].first));
        CHECK_ROW(i, "fits", buf_append(&buf, bytes, rows[i].second) == rows[i].fits);
        CHECK_ROW(i, "over", buf.over == !rows[i].fits);
        CHECK_ROW(i, "len", buf.len == rows[i].first + (rows[i].fits ? rows[i].second : 0));
    }
}

static void test_text_building_drops_whole_pieces(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(8);
    buf_add(&buf, "abc");
    buf_addc(&buf, '-');
    buf_addf(&buf, "%03d", 7);
    assert_string_equal(buf_text(&buf), "abc-007");
    assert_false(buf.over);
    buf_addf(&buf, "%d", 10);
    assert_true(buf.over);
    buf_add(&buf, "xx");
    assert_string_equal(buf_text(&buf), "abc-007");
    buf_addc(&buf, '!');
    assert_string_equal(buf_text(&buf), "abc-007!");
    buf_addc(&buf, '!');
    assert_string_equal(buf_text(&buf), "abc-007!");
    buf_clear(&buf);
    assert_false(buf.over);
    assert_string_equal(buf_text(&buf), "");
}

static void test_reserve_keeps_the_text_ended(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(200);
    char *at = buf_reserve(&buf, 100);
    assert_non_null(at);
    assert_string_equal(buf_text(&buf), "");
    memset(at, 'x', 100); /* more than is said to be filled */
    at[0] = 'a';
    buf_filled(&buf, 1);
    assert_string_equal(buf_text(&buf), "a");
    assert_null(buf_reserve(&buf, 200));
    assert_true(buf.over);
    at = buf_reserve(&buf, 199);
    assert_non_null(at);
    memset(at, 'b', 199);
    buf_filled(&buf, 199);
    assert_int_equal(strlen(buf_text(&buf)), 200);
}

static void test_take(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT(5);
    AUTO(free) char *nothing = buf_take(&buf);
    assert_string_equal(nothing, "");
    buf_add(&buf, "abcde");
    AUTO(free) char *text = buf_take(&buf);
    assert_string_equal(text, "abcde");
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.max, 5);
    assert_string_equal(buf_text(&buf), "");
}

static void write_file(const char *path, size_t size)
{
    AUTO(fclose) FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc('a' + (int)(i % 26), file);
}

static void test_read_file(void **state)
{
    (void)state;
    static const struct {
        size_t size, max;
        enum err_code code;
    } rows[] = {
        {0, 0, ERR_NONE},         {5, 5, ERR_NONE},          {6, 5, ERR_LIMIT},
        {16384, 16384, ERR_NONE}, {16385, 16384, ERR_LIMIT}, {40000, 50000, ERR_NONE},
    };
    char *folder = check_make_folder();
    AUTO(free) char *path = NULL;
    assert_true(asprintf(&path, "%s/file", folder) > 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_file(path, rows[i].size);
        struct err err = ERR_INIT;
        AUTO(buf_done) struct buf buf = BUF_INIT(rows[i].max);
        CHECK_ROW(i, "result", buf_read_file(&buf, path, &err) == (rows[i].code == ERR_NONE));
        CHECK_ROW(i, err.text, err.code == rows[i].code);
        CHECK_ROW(i, "bounded", buf.len <= rows[i].max);
        CHECK_ROW(i, "whole", rows[i].code != ERR_NONE || buf.len == rows[i].size);
    }
    struct err missing = ERR_INIT, not_a_file = ERR_INIT;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    assert_false(buf_read_file(&buf, "/nonexistent/file", &missing));
    assert_int_equal(missing.code, ERR_MISSING);
    assert_false(buf_read_file(&buf, folder, &not_a_file));
    assert_int_equal(not_a_file.code, ERR_INTERNAL);
    check_remove_folder(folder);
}

static void test_read_proc_file(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    AUTO(buf_done) struct buf buf = BUF_INIT(1 << 20);
    assert_true(buf_read_file(&buf, "/proc/self/stat", &err));
    assert_true(buf.len > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_text_building_drops_whole_pieces),
        cmocka_unit_test(test_reserve_keeps_the_text_ended),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_read_proc_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
