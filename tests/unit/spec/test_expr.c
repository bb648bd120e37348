/* The little language: what is true, false and unknown; what is refused, and in which words. */
#include "base/auto.h"
#include "spec/expr.h"

#include "check.h"

#include <math.h>

/* Variables: a = 2, b = 3, t = "base" (a knob of words), off is not active, lat = 0.4 s, mem = 1
 * GiB. */
static const char *const variables[] = {"a", "b", "t", "off", "stt.lat", "mem", "grow"};

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    (void)context;
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        if (strcmp(variables[i], name) != 0)
            continue;
        *ret_id = i;
        return EXPR_NAME_VARIABLE;
    }
    if (strcmp(name, "whisper-server") == 0 || strcmp(name, "tiny.en") == 0)
        return EXPR_NAME_WORD;
    err_set(err, ERR_INPUT, "\"%s\": there is no knob", name);
    return EXPR_NAME_BAD;
}

static bool check_word(void *context, size_t id, const char *word, struct err *err)
{
    (void)context;
    if (id == 0 && strcmp(word, "2") == 0)
        return true;
    if (id == 2 && (strcmp(word, "base") == 0 || strcmp(word, "tiny.en") == 0 ||
                    strcmp(word, "two words") == 0 || strcmp(word, "whisper-server") == 0))
        return true;
    return err_set(err, ERR_INPUT, "%s has no value \"%s\"", variables[id], word);
}

static enum expr_unit unit_of(void *context, size_t id)
{
    (void)context;
    static const enum expr_unit units[] = {EXPR_UNIT_PLAIN, EXPR_UNIT_PLAIN,   EXPR_UNIT_TEXT,
                                           EXPR_UNIT_PLAIN, EXPR_UNIT_SECONDS, EXPR_UNIT_BYTES,
                                           EXPR_UNIT_BYTE_RATE};
    return units[id];
}

static const struct expr_names names = {
    .resolve = resolve, .check_word = check_word, .unit = unit_of};

static struct expr_operand lookup(const void *context, size_t id)
{
    (void)context;
    static const struct expr_operand values[] = {
        {EXPR_NUMBER, 2, "2"}, {EXPR_NUMBER, 3, "3"},      {EXPR_TEXT, 0, "base"},
        {EXPR_UNKNOWN, 0, 0},  {EXPR_NUMBER, 0.4, NULL},   {EXPR_NUMBER, 1073741824.0, NULL},
        {EXPR_NUMBER, 1048576.0, NULL}};
    return values[id];
}

static void test_truth(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum expr_truth truth;
    } rows[] = {
        {"a == 2", EXPR_TRUE},
        {"a != 2", EXPR_FALSE},
        {"a < b", EXPR_TRUE},
        {"a <= 2 and b >= 3", EXPR_TRUE},
        {"a > 2 or b > 2", EXPR_TRUE},
        {"a+b<=5", EXPR_TRUE},
        {"a + b * 2 == 8", EXPR_TRUE},
        {"(a + b) * 2 == 10", EXPR_TRUE},
        {"b - a == 1", EXPR_TRUE},
        {"b - a - 1 == 0", EXPR_TRUE},
        {"b -1 == 2", EXPR_TRUE},
        {"-a == -2", EXPR_TRUE},
        {"12 / b / 2 == a", EXPR_TRUE},
        {"a / 0 == 1", EXPR_MAYBE},
        {"a in [1, 2]", EXPR_TRUE},
        {"a in [1, -2]", EXPR_FALSE},
        {"not a in [1, 3]", EXPR_TRUE},
        {"t == base", EXPR_TRUE},
        {"base == t", EXPR_TRUE},
        {"t != tiny.en", EXPR_TRUE},
        {"t == \"two words\"", EXPR_FALSE},
        {"t == 'base'", EXPR_TRUE},
        {"t in [tiny.en, base]", EXPR_TRUE},
        {"t == whisper-server", EXPR_FALSE},
        {"a == \"2\"", EXPR_TRUE},
        {"off == 1", EXPR_MAYBE},
        {"off + a <= 2", EXPR_MAYBE},
        {"not off == 1", EXPR_MAYBE},
        {"off == 1 or a == 2", EXPR_TRUE},
        {"off == 1 or a == 1", EXPR_MAYBE},
        {"off == 1 and a == 1", EXPR_FALSE},
        {"off == 1 and a == 2", EXPR_MAYBE},
        {"off in [1]", EXPR_MAYBE},
        {"a == 1 or b == 3 and t == base", EXPR_TRUE},
        {"(a == 1 or b == 3) and t == tiny.en", EXPR_FALSE},
        {"not not a == 2", EXPR_TRUE},
        {"stt.lat < 500ms", EXPR_TRUE},
        {"stt.lat * 2 < 0.5s", EXPR_FALSE},
        {"stt.lat / 200ms < 3", EXPR_TRUE},
        {"stt.lat > 0", EXPR_TRUE},
        {"mem <= 1GiB", EXPR_TRUE},
        {"grow == 60MiB/min", EXPR_TRUE},
        {"grow < 1MiB/s or grow > 3600MiB/h", EXPR_FALSE},
        {"grow*2 <= 120MiB/min and mem/2 == 512MiB", EXPR_TRUE},
        {"1GiB/b < mem", EXPR_TRUE},
        {"a <= 250%", EXPR_TRUE},
        {"a == 2/s", EXPR_TRUE},
        {"a == 2e0", EXPR_TRUE},
        {" \t a\n==\n2 ", EXPR_TRUE},
        {"(((((a == 2)))))", EXPR_TRUE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct expr *expr = NULL;
        struct err err = ERR_INIT;
        if (!expr_parse(arena, rows[i].text, &names, &expr, &err))
            fail_msg("row %zu (%s): %s", i, rows[i].text, err.text);
        CHECK_ROW(i, rows[i].text, expr_eval(expr, lookup, NULL) == rows[i].truth);
        CHECK_ROW_TEXT(i, "text", expr_text(expr), rows[i].text);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "column 1: expected a name, a number or quoted text at the end"},
        {"a <", "column 4: expected a name, a number or quoted text at the end"},
        {"a = 2", "column 3: one \"=\" does not compare: write \"==\" at \"= 2\""},
        {"a", "column 1: expected a comparison, as in \"a <= 2\", at \"a\""},
        {"a == 2 b", "column 8: expected the end or an operator at \"b\""},
        {"a == 2 == 2", "column 8: expected the end or an operator at \"== 2\""},
        {"(a == 2", "column 8: expected \")\" at the end"},
        {"a and b", "column 1: expected a comparison, as in \"a <= 2\", at \"a and b\""},
        {"c == 2", "\"c\": there is no knob"},
        {"c + d == 2", "\"c\": there is no knob"},
        {"a == c", "a has no value \"c\""},
        {"t == tiny", "t has no value \"tiny\""},
        {"t in [base, tiny]", "t has no value \"tiny\""},
        {"t < 3", "column 3: a word has no order and no sum: a number is needed at \"< 3\""},
        {"t + a < 3",
         "column 3: a word has no order and no sum: a number is needed at \"+ a < 3\""},
        {"t == 3", "column 3: a word on the left, a number without a unit on the right"},
        {"tiny.en == whisper-server",
         "column 9: a word is compared with a single name only at \"== whisper-server\""},
        {"a-b == 1", "\"a-b\" is read as one word: put blanks around the minus"},
        {"stt.lat < 500", "column 9: a time on the left, a number without a unit on the right; a "
                          "time needs its unit, as in 500ms"},
        {"stt.lat + a < 500ms", "column 9: a time on the left, a number without a unit on the "
                                "right; a time needs its unit, as in 500ms"},
        {"grow < 60", "column 6: a size in a time on the left, a number without a unit on the "
                      "right; growth needs its unit, as in 12MiB/min"},
        {"mem < 1MiB/min", "column 5: a size on the left, a size in a time on the right"},
        {"stt.lat < mem", "column 9: a time on the left, a size on the right"},
        {"a == 7b", "column 6: expected a number with a known unit (ns us ms s m h, B kB MB GB KiB "
                    "MiB GiB, MiB/min, %, /s) or quoted text at \"7b\""},
        {"a == \"2", "column 6: a quote is not closed at \"\"2\""},
        {"a in 2", "column 6: expected \"[\" after \"in\" at \"2\""},
        {"a in [2", "column 8: expected \",\" or \"]\" at the end"},
        {"a in [b]", "column 7: a list holds numbers and words only at \"b]\""},
        {"a + 1 in [2]", "column 9: \"in\" needs a single name on its left at \" [2]\""},
        {"a == 2 and", "column 11: expected a name, a number or quoted text at the end"},
        {"a == \x1b", "column 6: expected a name, a number or quoted text at \"\\x1b\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct expr *expr = NULL;
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].text, !expr_parse(arena, rows[i].text, &names, &expr, &err));
        CHECK_ROW_TEXT(i, rows[i].text, err.text, rows[i].message);
        CHECK_ROW(i, rows[i].text, err.code == ERR_INPUT && !expr);
        CHECK_ROW(i, "without err", !expr_parse(arena, rows[i].text, &names, &expr, NULL));
    }
}

static void test_limits(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct expr *expr = NULL;
    struct err err = ERR_INIT;
    char text[5000];
    memset(text, '(', 100);
    memcpy(text + 100, "a", 2);
    assert_false(expr_parse(arena, text, &names, &expr, &err));
    assert_non_null(strstr(err.text, "nested too deeply"));
    memset(text, ' ', sizeof text);
    memcpy(text + 4990, "a == 2", 7);
    err = ERR_INIT;
    assert_false(expr_parse(arena, text, &names, &expr, &err));
    assert_string_equal(err.text, "an expression has at most 4096 bytes");
    size_t len = 0;
    while (len + 12 < 4096)
        len += (size_t)snprintf(text + len, sizeof text - len, len ? " or a == 2" : "a == 1");
    err = ERR_INIT;
    assert_true(expr_parse(arena, text, &names, &expr, &err));
    assert_int_equal(expr_eval(expr, lookup, NULL), EXPR_TRUE);
}

static void test_sides(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct expr_operand left = {0}, right = {0};
    const char *symbol = NULL;
    struct expr *expr = NULL;
    struct err err = ERR_INIT;
    assert_true(expr_parse(arena, "stt.lat + 0.1s < 450ms", &names, &expr, &err));
    assert_true(expr_sides(expr, lookup, NULL, &left, &symbol, &right));
    assert_true(left.kind == EXPR_NUMBER && fabs(left.number - 0.5) < 1e-9);
    assert_string_equal(symbol, "<");
    assert_true(right.number == 0.45);
    assert_int_equal(expr_needs(expr), 5);
    assert_true(expr_uses(expr, 4));
    assert_false(expr_uses(expr, 0));
    assert_true(expr_parse(arena, "a == 1 or b == 2", &names, &expr, &err));
    assert_false(expr_sides(expr, lookup, NULL, &left, &symbol, &right));
    assert_int_equal(expr_needs(expr), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
