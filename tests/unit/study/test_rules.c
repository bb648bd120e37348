/* Rules for words: what a study was begun with, and what it would go on with. */
#include "check.h"

#include "study/rules.h"

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        enum spec_words stt, meet;
        bool audio; /* stt hears; else it speaks */
        const char *text, *stored, *changed;
    } rows[] = {
        {"english is not written", WORDS_ENGLISH, WORDS_ENGLISH, true, NULL, NULL, ""},
        {"plain is", WORDS_PLAIN, WORDS_ENGLISH, true, "{\"stt\":\"plain\"}", "{\"stt\":\"plain\"}",
         ""},
        {"begun before there was plain", WORDS_PLAIN, WORDS_ENGLISH, true, "{\"stt\":\"plain\"}",
         NULL, "stt after \"english\", now \"plain\""},
        {"back to english", WORDS_ENGLISH, WORDS_PLAIN, true, "{\"meet\":\"plain\"}",
         "{\"stt\":\"plain\"}",
         "stt after \"plain\", now \"english\"; meet after \"english\", now \"plain\""},
        {"where nothing is heard there are no words", WORDS_PLAIN, WORDS_ENGLISH, false, NULL, NULL,
         ""},
        {"not ours", WORDS_ENGLISH, WORDS_ENGLISH, true, NULL, "{\"stt\":", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena *arena = arena_new();
        struct spec_service services[2] = {
            {.name = "stt",
             .load = {.given = true, .corpus = rows[i].audio ? "/c" : NULL, .words = rows[i].stt}},
            {.name = "meet", .load = {.given = true, .corpus = "/c", .words = rows[i].meet}}};
        const struct spec_study study = {.services = services, .service_count = 2};
        const char *text = study_rules_text(&study, arena);
        CHECK_ROW(i, rows[i].what, !text == !rows[i].text);
        if (text)
            CHECK_ROW_TEXT(i, rows[i].what, text, rows[i].text);
        struct buf changed = BUF_INIT(4096);
        CHECK_ROW(i, rows[i].what,
                  study_rules_same(&study, rows[i].stored, &changed) == !rows[i].changed[0]);
        CHECK_ROW_TEXT(i, rows[i].what, buf_text(&changed), rows[i].changed);
        buf_done(&changed);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
