/* Hostile text: whatever bytes come in, no byte that steers a terminal, a Markdown table or an HTML
 * page comes out, and good text of any script comes out unchanged. */
#include "base/text.h"

#include "base/rng.h"

#include "check.h"

static void check_escaped(size_t row, enum text_target target, const char *text, size_t len,
                          size_t max, const char *expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    text_add_escaped(&buf, target, text, len, max);
    CHECK_ROW_TEXT(row, expected, buf_text(&buf), expected);
}

static void test_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"plain | *text* <b>", "plain | *text* <b>"},
        {"a\nb\tc", "a b c"},
        {"a\r\n", "a\\x0d "},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"bell\a del\x7f", "bell\\x07 del\\x7f"},
        {"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
         "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"},
        {"C1 \xc2\x9b!", "C1 \\xc2\\x9b!"},
        {"bare \x9b!", "bare \\x9b!"},
        {"bidi \xe2\x80\xae!", "bidi \\xe2\\x80\\xae!"},
        {"\xe2\x80\xaa\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x80\\xaa\\xe2\\x81\\xa6\\xe2\\x81\\xa9"},
        {"line \xe2\x80\xa8!", "line \\xe2\\x80\\xa8!"},
        {"near bidi \xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa",
         "near bidi \xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"},
        {"overlong \xc0\xaf", "overlong \\xc0\\xaf"},
        {"overlong \xe0\x80\xaf", "overlong \\xe0\\x80\\xaf"},
        {"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80"},
        {"too high \xf4\x90\x80\x80", "too high \\xf4\\x90\\x80\\x80"},
        {"five \xf8\x88\x80\x80\x80", "five \\xf8\\x88\\x80\\x80\\x80"},
        {"cut \xe6\x97", "cut \\xe6\\x97"},
        {"cut \xe6\x97x", "cut \\xe6\\x97x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_escaped(i, TEXT_TERMINAL, rows[i].text, strlen(rows[i].text), 1000, rows[i].expected);
    check_escaped(100, TEXT_TERMINAL, "a\0b", 3, 1000, "a\\x00b");
}

static void test_markdown_and_html(void **state)
{
    (void)state;
    static const struct {
        enum text_target target;
        const char *text, *expected;
    } rows[] = {
        {TEXT_MARKDOWN, "a|b *c* _d_ `e` [f] <g> #h \\ &amp; ~i~",
         "a\\|b \\*c\\* \\_d\\_ \\`e\\` \\[f\\] \\<g\\> \\#h \\\\ \\&amp; \\~i\\~"},
        {TEXT_MARKDOWN, "row\n| new |", "row \\| new \\|"},
        {TEXT_MARKDOWN, "\x1b", "\\x1b"},
        {TEXT_HTML, "<a href=\"x\" id='y'>&amp;",
         "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;"},
        {TEXT_HTML, "a|*b* \xc3\xa9", "a|*b* \xc3\xa9"},
        {TEXT_HTML, "\xff<", "\\xff&lt;"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_escaped(i, rows[i].target, rows[i].text, strlen(rows[i].text), 1000,
                      rows[i].expected);
}

static void test_bounds(void **state)
{
    (void)state;
    check_escaped(0, TEXT_TERMINAL, "abcdef", 6, 3, "abc");
    check_escaped(1, TEXT_TERMINAL, "abcdef", 2, 3, "ab");
    check_escaped(2, TEXT_TERMINAL, "ab\xc3\xa9", 4, 3, "ab");
    check_escaped(3, TEXT_TERMINAL, "ab\xc3", 3, 3, "ab\\xc3");
    check_escaped(4, TEXT_TERMINAL, "", 0, 0, "");
    AUTO(buf_done) struct buf small = BUF_INIT(6);
    text_add_escaped(&small, TEXT_HTML, "a<<b", 4, 4);
    assert_string_equal(buf_text(&small), "a&lt;");
    assert_true(small.over);
}

/* Random bytes: the result is valid UTF-8 without controls, whatever came in. */
static void test_random_bytes(void **state)
{
    (void)state;
    struct rng rng = rng_init(1, "bytes");
    for (size_t round = 0; round < 2000; round++) {
        char bytes[40];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(rng_u64(&rng) >> 56);
        AUTO(buf_done) struct buf buf = BUF_INIT(1000);
        text_add_escaped(&buf, (enum text_target)(round % 3), bytes, sizeof bytes, sizeof bytes);
        assert_false(buf.over);
        for (size_t at = 0; at < buf.len;) {
            uint32_t code = 0;
            size_t size = text_utf8_next(buf.data + at, buf.len - at, &code);
            assert_true(size > 0);
            assert_true(code >= 0x20 && !(code >= 0x7f && code < 0xa0));
            at += size;
        }
    }
}

static void test_columns(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
    } rows[] = {
        {"", 0},
        {"abc", 3},
        {"caf\xc3\xa9", 4},
        {"\xe6\x97\xa5\xe6\x9c\xac", 4}, /* two wide characters */
        {"e\xcc\x81", 1},                /* a combining accent */
        {"a\xff", 2},                    /* broken: something is shown for it */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, rows[i].text, text_columns(rows[i].text) == rows[i].columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_markdown_and_html),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
