/* Word error rates against jiwer, limits, pooling and the interval. */
#include "stats/wer.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "reference_said.h"
#include "reference_wer.h"

static void test_counts_equal_jiwer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wer_cases); i++) {
        struct stats_wer wer = stats_wer_count(wer_cases[i].normaliser, wer_cases[i].reference,
                                               wer_cases[i].hypothesis);
        const char *name = wer_cases[i].reference;
        CHECK_ROW(i, name, wer.hits == wer_cases[i].hits);
        CHECK_ROW(i, name, wer.substitutions == wer_cases[i].substitutions);
        CHECK_ROW(i, name, wer.deletions == wer_cases[i].deletions);
        CHECK_ROW(i, name, wer.insertions == wer_cases[i].insertions);
        CHECK_ROW(i, name, fabs(stats_wer_ratio(&wer) - wer_cases[i].wer) < 1e-15);
        CHECK_ROW(i, name, wer.hits + wer.substitutions + wer.deletions == wer.reference_words);
        CHECK_ROW(i, name, wer.hits + wer.substitutions + wer.insertions == wer.hypothesis_words);
        CHECK_ROW(i, name, !wer.cut);
    }
}

static void test_pooled_equals_jiwer(void **state)
{
    (void)state;
    struct stats_wer total = {0};
    for (size_t i = 0; i < ARRAY_LEN(wer_cases); i++) {
        if (wer_cases[i].normaliser != NORMALISER_ENGLISH)
            continue;
        struct stats_wer one =
            stats_wer_count(NORMALISER_ENGLISH, wer_cases[i].reference, wer_cases[i].hypothesis);
        stats_wer_pool(&total, &one);
    }
    assert_true(fabs(stats_wer_ratio(&total) - wer_pooled_english) < 1e-15);
}

static void assert_normalised(size_t row, const char *text, const char *expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(1 << 16);
    stats_normalise(NORMALISER_ENGLISH, text, &buf);
    CHECK_ROW_TEXT(row, text, buf_text(&buf), expected);
}

/* What people say against what a recogniser could write: as jiwer has it, text by text and pooled.
 */
static void test_said_equals_jiwer(void **state)
{
    (void)state;
    struct stats_wer total = {0};
    assert_true(ARRAY_LEN(said_cases) >= 200);
    for (size_t i = 0; i < ARRAY_LEN(said_cases); i++) {
        const char *name = said_cases[i].reference;
        struct stats_wer wer = stats_wer_count(NORMALISER_ENGLISH, name, said_cases[i].hypothesis);
        assert_normalised(i, name, said_cases[i].reference_words);
        assert_normalised(i, said_cases[i].hypothesis, said_cases[i].hypothesis_words);
        CHECK_ROW(i, name, wer.hits == said_cases[i].hits);
        CHECK_ROW(i, name, wer.substitutions == said_cases[i].substitutions);
        CHECK_ROW(i, name, wer.deletions == said_cases[i].deletions);
        CHECK_ROW(i, name, wer.insertions == said_cases[i].insertions);
        CHECK_ROW(i, name, fabs(stats_wer_ratio(&wer) - said_cases[i].wer) < 1e-15);
        stats_wer_pool(&total, &wer);
    }
    assert_true(fabs(stats_wer_ratio(&total) - said_pooled) < 1e-15);
}

static void repeat_text(struct buf *buf, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buf_add(buf, text);
}

static void test_limits(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf lone = BUF_INIT(1 << 20);
    AUTO(buf_done) struct buf huge = BUF_INIT(1 << 20);
    repeat_text(&lone, "a ", STATS_WORDS_MAX + 100);
    struct stats_wer wer = stats_wer_count(NORMALISER_NONE, buf_text(&lone), "a b");
    assert_true(wer.cut);
    assert_int_equal(wer.reference_words, STATS_WORDS_MAX + 100);
    assert_int_equal(wer.deletions, STATS_WORDS_MAX + 98);
    wer = stats_wer_count(NORMALISER_NONE, "a b", buf_text(&lone));
    assert_int_equal(wer.insertions, STATS_WORDS_MAX + 98);
    assert_int_equal(wer.substitutions, 1);

    repeat_text(&huge, "word", 1 << 18);
    wer = stats_wer_count(NORMALISER_ENGLISH, "word", buf_text(&huge));
    assert_true(wer.cut);
    assert_int_equal(wer.hypothesis_words, 1);

    /* The dearest pair: nothing in common, as many words as are allowed. */
    AUTO(buf_done) struct buf other = BUF_INIT(1 << 20);
    repeat_text(&other, "b ", STATS_WORDS_MAX);
    wer = stats_wer_count(NORMALISER_NONE, buf_text(&lone), buf_text(&other));
    assert_int_equal(wer.substitutions, STATS_WORDS_MAX);
}

static void test_interval(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct stats_wer utterances[COUNT];
    struct rng rng = rng_init(5, "utterances");
    uint64_t total = 0;
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t wrong = rng_below(&rng, 4);
        total += wrong;
        utterances[i] = (struct stats_wer){.reference_words = 20,
                                           .hypothesis_words = 20,
                                           .hits = 20 - wrong,
                                           .substitutions = wrong};
    }
    struct stats_interval wide = stats_wer_interval(utterances, COUNT, 0.95, 0, &rng);
    struct stats_interval narrow = stats_wer_interval(utterances, COUNT, 0.5, 0, &rng);
    double ratio = (double)total / (20.0 * COUNT);
    assert_true(wide.low < narrow.low && narrow.low < ratio);
    assert_true(ratio < narrow.high && narrow.high < wide.high);
    double squares = 0;
    for (size_t i = 0; i < COUNT; i++)
        squares += pow((double)utterances[i].substitutions / 20 - ratio, 2);
    double error = sqrt(squares) / COUNT; /* standard error of the mean ratio */
    if (!(fabs((wide.high - wide.low) / (2 * 1.96 * error) - 1) < 0.1))
        fail_msg("[%g, %g], standard error %g", wide.low, wide.high, error);
    assert_true(isnan(stats_wer_interval(utterances, 1, 0.95, 0, &rng).low));
    assert_true(isnan(stats_wer_interval(utterances, COUNT, 1, 0, &rng).low));
    struct stats_wer empty[2] = {{0}};
    assert_true(isnan(stats_wer_interval(empty, 2, 0.95, 0, &rng).high));
}

/* Two candidates on the same clips, some clips much harder than others: one wrong word more in
 * every clip is certain by pairs, though each candidate's own interval is far wider than that. */
static void test_difference(void **state)
{
    (void)state;
    enum { CLIPS = 30 };
    struct stats_wer a[CLIPS], b[CLIPS];
    for (size_t i = 0; i < CLIPS; i++) {
        b[i] = (struct stats_wer){.reference_words = 20, .substitutions = i % 3 == 0 ? 10 : 0};
        a[i] = b[i];
        a[i].substitutions++;
    }
    struct rng rng = rng_init(6, "difference");
    struct stats_interval alone = stats_wer_interval(a, CLIPS, 0.95, 0, &rng);
    struct stats_interval pairs = stats_wer_difference(a, b, CLIPS, 0.95, 0, &rng);
    assert_true(alone.high - alone.low > 0.1);
    assert_true(fabs(pairs.low - 0.05) < 1e-12 && fabs(pairs.high - 0.05) < 1e-12);
    pairs = stats_wer_difference(b, b, CLIPS, 0.95, 0, &rng);
    assert_true(pairs.low == 0 && pairs.high == 0);
    struct stats_wer none[CLIPS] = {{0}};
    assert_true(isnan(stats_wer_difference(a, none, CLIPS, 0.95, 0, &rng).low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_equal_jiwer), cmocka_unit_test(test_pooled_equals_jiwer),
        cmocka_unit_test(test_said_equals_jiwer),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_interval),           cmocka_unit_test(test_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
