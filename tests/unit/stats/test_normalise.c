/* The normalisers against whisper-normalizer. */
#include "check.h"

#include "base/auto.h"
#include "base/rng.h"
#include "reference_normalise.h"
#include "reference_spelling.h"
#include "stats/spelling.h"
#include "stats/wer.h"

/* Where we do not follow the reference, and why. */
static const struct {
    const char *text, *ours, *reason;
} known_differences[] = {
    {"archaeology", "archeology", "the reference's list has an HTML tag there"},
};

static int failures;

static void check(enum stats_normaliser normaliser, const char *text, const char *expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(known_differences); i++) {
        if (strcmp(known_differences[i].text, text) == 0)
            expected = known_differences[i].ours;
    }
    stats_normalise(normaliser, text, &buf);
    if (strcmp(buf_text(&buf), expected) != 0) {
        failures++;
        print_error("%s\n  gives    '%s'\n  expected '%s'\n", text, buf_text(&buf), expected);
    }
}

static void test_english(void **state)
{
    (void)state;
    failures = 0;
    assert_true(ARRAY_LEN(english_cases) >= 60);
    for (size_t i = 0; i < ARRAY_LEN(english_cases); i++)
        check(NORMALISER_ENGLISH, english_cases[i].text, english_cases[i].english);
    assert_int_equal(failures, 0);
}

static void test_plain(void **state)
{
    (void)state;
    failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(plain_cases); i++)
        check(NORMALISER_PLAIN, plain_cases[i].text, plain_cases[i].plain);
    assert_int_equal(failures, 0);
}

static void test_spelling(void **state)
{
    (void)state;
    failures = 0;
    assert_true(stats_spelling_is_sorted());
    for (size_t i = 0; i < ARRAY_LEN(spelling_cases); i++) {
        const char *british = spelling_cases[i].british;
        /* Fillers never reach the spelling. */
        if (strcmp(british, "mhm") != 0 && strcmp(british, "mmm") != 0)
            check(NORMALISER_ENGLISH, british, spelling_cases[i].american);
    }
    static const char *const kept[] = {"wise", "advertise", "four", "hour", "colonel", "our",
                                       "metre-long", "color", "x"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        assert_null(stats_spelling_find(kept[i], strlen(kept[i])));
    assert_int_equal(failures, 0);
}

/* Random pieces of the traps above: no crash, no growth, and a second pass of the plain one changes
 * nothing. */
static void test_hostile(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "[", "(", "<", ")", "]", "'", " ", "1", ".", ",", "$", "%", "\u00a2", "\u20ac", "one",
        "twenty", "million", "decillion", "oh", "and a half", "point", "double", "\xff", "\xc3",
        "\xe2\x82", "\u00e9", "percent", "dollars", "cents", "ald", "s", "st", "\x01", "hundredth",
    };
    struct rng rng = rng_init(21, "hostile");
    for (int round = 0; round < 300; round++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 18);
        AUTO(buf_done) struct buf once = BUF_INIT(1 << 22);
        AUTO(buf_done) struct buf twice = BUF_INIT(1 << 22);
        size_t count = (size_t)rng_below(&rng, round < 290 ? 60 : 30000);
        for (size_t i = 0; i < count; i++) {
            buf_add(&text, pieces[rng_below(&rng, ARRAY_LEN(pieces))]);
            if (rng_below(&rng, 2))
                buf_addc(&text, ' ');
        }
        stats_normalise(NORMALISER_ENGLISH, buf_text(&text), &once);
        buf_clear(&once);
        stats_normalise(NORMALISER_PLAIN, buf_text(&text), &once);
        stats_normalise(NORMALISER_PLAIN, buf_text(&once), &twice);
        assert_string_equal(buf_text(&once), buf_text(&twice));
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const repeated[] = {"[", "(", "'", "oh decillion ", "one and a half ",
                                           "ald ", "$0.", "million ", "9"};
    for (size_t i = 0; i < ARRAY_LEN(repeated); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 18);
        AUTO(buf_done) struct buf out = BUF_INIT(1 << 22);
        while (text.len < 2 * STATS_TEXT_MAX)
            buf_add(&text, repeated[i]);
        stats_normalise(NORMALISER_ENGLISH, buf_text(&text), &out);
        assert_false(out.over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_english), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_spelling), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
