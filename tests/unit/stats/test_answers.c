/* Loops, one character over and over, silence. */
#include "stats/answers.h"

#include "check.h"

#include "base/auto.h"
#include "base/buf.h"

static void test_repeats(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *hypothesis;
        size_t words, times, reference_times; /* times 0: no loop */
        const char *phrase;
    } cases[] = {
        {NULL, "Thank you. Thank you. Thank you. Thank you. Thank you.", 2, 5, 0, "thank you"},
        {"", "the the the the", 1, 4, 0, "the"},
        {"", "no no no", 0, 0, 0, ""},
        {"six six six", "six six six", 0, 0, 0, ""},
        {"six six six", "six six six six", 0, 0, 0, ""},
        {"Six, six, six!", "six six six six six six six six", 1, 8, 3, "six"},
        {"row row row your boat row row row your boat row row row your boat",
         "row row row your boat row row row your boat row row row your boat row row row your boat",
         0, 0, 0, ""},
        {"a b a b a b", "b a b a b a b a b a b a b a b a", 2, 8, 3, "b a"},
        {"we go on and on and on and on and on", "we go on and on and on and on and on", 0, 0, 0,
         ""},
        {"he said so", "he said so and that is that and that is that and that is that and that is "
                       "that",
         4, 4, 0, "and that is that"},
        {"speech", "", 0, 0, 0, ""},
        {"speech", "one two three four five", 0, 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stats_repeat repeat = {0};
        bool found = stats_answer_repeats(cases[i].reference, cases[i].hypothesis, &repeat);
        CHECK_ROW(i, cases[i].hypothesis, found == (cases[i].times > 0));
        CHECK_ROW(i, cases[i].hypothesis, repeat.words == cases[i].words);
        CHECK_ROW(i, cases[i].hypothesis, repeat.times == cases[i].times);
        CHECK_ROW(i, cases[i].hypothesis, repeat.reference_times == cases[i].reference_times);
        CHECK_ROW_TEXT(i, cases[i].hypothesis, repeat.phrase, cases[i].phrase);
    }
}

static void test_degenerate(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool degenerate;
    } cases[] = {
        {"!!!!!!", true},
        {"! ! ! !", true},
        {"!!!!", true},
        {"!!!", false},
        {"...", false},
        {"", false},
        {"   ", false},
        {"aaaaaaaa", true},
        {"aaaaaaa", false},
        {"0000", false},
        {"The answer: !!!!!!", false},
        {"Hi!!!!!!!!!!!!!!!!!!!!!!!!", true},
        {"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", true},
        {"\xff\xff\xff\xff\xff", true},
        {"yes!!!! no!!!!", false},
        {"Hello there, this is fine.", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_ROW(i, cases[i].text, stats_answer_degenerate(cases[i].text) == cases[i].degenerate);
}

static void test_silent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool silent;
    } cases[] = {
        {"", true},           {" \n", true},          {"[BLANK_AUDIO]", true},
        {"(silence)", true},  {"[ Silence ]", true},  {"...", true},
        {"\u266a\u266a", true}, {"Thank you.", false}, {"[Music] la", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_ROW(i, cases[i].text, stats_answer_silent(cases[i].text) == cases[i].silent);
}

/* Texts made to cost much stay bounded: every phrase length has runs, all to be looked up. */
static void test_hostile(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    for (size_t i = 0; text.len < 100000; i++)
        buf_addf(&text, "%s", i % 5 == 4 ? "b c b c b c b c " : "a a a a ");
    struct stats_repeat repeat;
    assert_true(stats_answer_repeats("a", buf_text(&text), &repeat));
    assert_false(stats_answer_repeats(buf_text(&text), buf_text(&text), &repeat));
    buf_clear(&text);
    while (text.len < 100000)
        buf_add(&text, "pneumonoultramicroscopicsilicovolcanoconiosis pneumonoultramicroscopics ");
    assert_true(stats_answer_repeats(NULL, buf_text(&text), &repeat));
    assert_true(strlen(repeat.phrase) < sizeof repeat.phrase);
    assert_int_equal(repeat.words, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
