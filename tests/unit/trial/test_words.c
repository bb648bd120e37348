/* What transcripts are compared after reaches every count of words that a trial makes: its rate,
 * its requests, what was asked of it, its worst clips. */
#include "check.h"

#include "base/clock.h"
#include "trial/attempt.h"
#include "trial/finding.h"
#include "trial/ratio.h"

#include <math.h>

static double rate_of(const struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->metric_count; i++)
        if (strcmp(attempt->metrics[i].metric, "wer") == 0)
            return attempt->metrics[i].value;
    return NAN;
}

/* "um" is a word of German and a filler of English, "für" is not "fur". */
static void test_another_language(void **state)
{
    (void)state;
    static struct corpus_clip german[] = {
        {.name = "a", .duration_s = 2, .transcript = "Nicht für dich, um acht."}};
    static const struct corpus spoken = {.clips = german, .clip_count = 1};
    static const struct ratio_bound bound = {.metric = METRIC_WER, .allowed = 0.5};
    static const struct {
        enum stats_normaliser normaliser;
        int words, errors;
    } rows[] = {{NORMALISER_ENGLISH, 4, 0}, {NORMALISER_PLAIN, 5, 2}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct attempt attempt = {.arena = arena};
        struct judge_service facts = {.wer = NAN};
        struct trial_answer answer = {.text = "nicht fur dich acht",
                                      .record = {.part = LOAD_WINDOW,
                                                 .error = LOAD_OK,
                                                 .first_token_ns = -1,
                                                 .first_content_ns = -1,
                                                 .last_token_ns = -1,
                                                 .done_ns = NS_PER_S,
                                                 .tokens = -1,
                                                 .audio_s = 2}};
        const struct answer_list answers = {&answer, 1, 1};
        const struct metrics_input input = {.service = "x",
                                            .mode = "shared",
                                            .answers = &answers,
                                            .window_end_ns = 10 * NS_PER_S,
                                            .corpus = &spoken,
                                            .normaliser = rows[i].normaliser,
                                            .sources = SOURCE_ANY | SOURCE_AUDIO,
                                            .seed = 1};
        attempt_add_metrics(&attempt, &input, &facts);
        struct store_requirement asked = ratio_requirement(&input, &bound, arena);
        struct store_utterance *worst = NULL;
        assert_true(rate_of(&attempt) == (double)rows[i].errors / rows[i].words);
        assert_int_equal(attempt.requests[0].words, rows[i].words);
        assert_int_equal(attempt.requests[0].word_errors, rows[i].errors);
        assert_int_equal(asked.requests, rows[i].words);
        assert_int_equal(asked.over, rows[i].errors);
        assert_int_equal(finding_worst(&input, arena, 5, &worst), rows[i].errors > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_another_language)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
