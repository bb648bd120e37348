/* The sequential test of pairs: false stops of simulated splits with a look after every pair, on
 * the null's edge too; what is worse is found, late too; what is kept goes on. */
#include "stats/anytime_pairs.h"

#include "base/rng.h"
#include "base/auto.h"
#include "stats/binomial.h"

#include "check.h"

#include <math.h>

enum { CLIPS = 24 };

/* Clips of 5 to 28 words; each word of clip i is wrong with the arm's chance for that clip. */
struct corpus_of {
    int words[CLIPS];
    double wrong[2][CLIPS];
};

/* Drawn in proportion to its words. */
static int draw_clip(const struct corpus_of *corpus, struct rng *rng)
{
    int all = 0;
    for (int i = 0; i < CLIPS; i++)
        all += corpus->words[i];
    int at = (int)rng_below(rng, (uint64_t)all), clip = 0;
    while (at >= corpus->words[clip])
        at -= corpus->words[clip++];
    return clip;
}

/* As a deterministic server hears it, the same each time, or anew by chance. */
static double hear(const struct corpus_of *corpus, int arm, int clip, bool same, struct rng *rng)
{
    int wrong = 0;
    for (int w = 0; w < corpus->words[clip]; w++)
        wrong += !same && rng_unit(rng) < corpus->wrong[arm][clip];
    if (same)
        return corpus->wrong[arm][clip];
    return (double)wrong / corpus->words[clip];
}

/* Over pairs; the number of the pair that said harm, or 0. */
static uint64_t run_pairs(const struct corpus_of *corpus,
                          const struct stats_anytime_pairs_options *options, int most, bool same,
                          struct rng *rng)
{
    struct stats_anytime_pairs pairs;
    stats_anytime_pairs_init(&pairs);
    for (int i = 0; i < most && !pairs.harm; i++) {
        int clip = draw_clip(corpus, rng);
        double a = hear(corpus, 0, clip, same, rng), b = hear(corpus, 1, clip, same, rng);
        stats_anytime_pairs_add(&pairs, options, a, b);
    }
    return pairs.harm ? pairs.pairs : 0;
}

static struct corpus_of make_corpus(double a, double b)
{
    struct corpus_of corpus;
    for (int i = 0; i < CLIPS; i++) {
        corpus.words[i] = 5 + i;
        corpus.wrong[0][i] = a;
        corpus.wrong[1][i] = b;
    }
    return corpus;
}

/* 800 splits each, a look after each of 1,000 pairs: the 99 % lower bound of the false stops' share
 * is at most the stated error. */
static void test_false_stops_keep_the_error(void **state)
{
    (void)state;
    enum { RUNS = 800, PAIRS = 1000 };
    static const struct {
        const char *name;
        double a, b, harm_ratio, more, error;
        bool same, mixed; /* mixed: B worse on some clips and better on others, the same in all */
    } rows[] = {
        {"the same arm twice, as a split asks", 0.1, 0.1, 0.1, 0.01, 0.01, false, false},
        {"the same arm twice, nothing allowed", 0.1, 0.1, 0, 0, 0.05, false, false},
        {"on the edge of what is allowed", 0.1, 0.12, 0.1, 0.01, 0.05, false, false},
        {"rubbish twice", 0.8, 0.8, 0, 0, 0.05, false, false},
        {"other clips, and always the same words", 0.3, 0.3, 0, 0, 0.05, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct stats_anytime_pairs_options options = {rows[i].harm_ratio, rows[i].more,
                                                            rows[i].error};
        struct corpus_of corpus = make_corpus(rows[i].a, rows[i].b);
        for (int c = 0; rows[i].mixed && c < CLIPS; c += 2) { /* pairs of clips: errors in words */
            corpus.wrong[1][c] += 2.0 / corpus.words[c];
            corpus.wrong[1][c + 1] -= 2.0 / corpus.words[c + 1];
        }
        struct rng rng = rng_init(11, rows[i].name);
        uint64_t stopped = 0;
        for (int run = 0; run < RUNS; run++)
            stopped += run_pairs(&corpus, &options, PAIRS, rows[i].same, &rng) > 0;
        struct stats_interval share = stats_binomial_interval(stopped, RUNS, 0.98);
        CHECK_ROW(i, rows[i].name, share.low <= rows[i].error);
    }
}

static void test_what_is_worse_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double a, b;
        uint64_t pairs; /* by then, in at least 9 of 10 runs */
    } rows[] = {
        {"rubbish", 0.05, 1, 20},        {"nothing is heard rightly", 0, 1, 20},
        {"every third", 0.05, 0.33, 80}, {"5 to 15 %", 0.05, 0.15, 400},
        {"5 to 10 %", 0.05, 0.10, 1600},
    };
    static const struct stats_anytime_pairs_options usual = {0.1, 0.01, 0.01};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct corpus_of corpus = make_corpus(rows[i].a, rows[i].b);
        struct rng rng = rng_init(11, rows[i].name);
        int found = 0;
        for (int run = 0; run < 50; run++)
            found += run_pairs(&corpus, &usual, (int)rows[i].pairs, false, &rng) > 0;
        CHECK_ROW(i, rows[i].name, found >= 45);
    }
}

static void test_harm_that_begins_late_is_found_and_stays_said(void **state)
{
    (void)state;
    static const struct stats_anytime_pairs_options usual = {0.1, 0.01, 0.01};
    struct stats_anytime_pairs pairs, again;
    stats_anytime_pairs_init(&pairs);
    for (int i = 0; i < 2000; i++)
        stats_anytime_pairs_add(&pairs, &usual, 0.1, 0.1);
    assert_false(pairs.harm);
    again = pairs; /* all that it knows */
    int late = 0;
    while (!again.harm && late < 100) {
        stats_anytime_pairs_add(&again, &usual, 0.1, 0.9);
        late++;
    }
    assert_true(again.harm && late < 60);
    for (int i = 0; i < 500; i++)
        stats_anytime_pairs_add(&again, &usual, 0.9, 0.1);
    assert_true(again.harm);
}

static void test_what_is_no_pair(void **state)
{
    (void)state;
    static const struct stats_anytime_pairs_options usual = {0.1, 0.01, 0.01};
    struct stats_anytime_pairs pairs, more;
    stats_anytime_pairs_init(&pairs);
    assert_true(stats_anytime_pairs_evidence(&pairs) == 0);
    assert_true(stats_anytime_pairs_needed(&usual) == 100);
    stats_anytime_pairs_add(&pairs, &usual, NAN, 1);
    stats_anytime_pairs_add(&pairs, &usual, 0, NAN);
    assert_int_equal(pairs.pairs, 0);
    more = pairs;
    stats_anytime_pairs_add(&pairs, &usual, 0.2, 1);
    stats_anytime_pairs_add(&more, &usual, 0.2, 7); /* seven times as many words as there were */
    assert_true(stats_anytime_pairs_evidence(&pairs) == stats_anytime_pairs_evidence(&more));
    for (int i = 0; i < 100000; i++) /* capital never falls to nothing, nor to no number */
        stats_anytime_pairs_add(&pairs, &usual, 1, 0);
    assert_true(stats_anytime_pairs_evidence(&pairs) >= 0);
    assert_false(isnan(stats_anytime_pairs_evidence(&pairs)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_false_stops_keep_the_error),
        cmocka_unit_test(test_what_is_worse_is_found),
        cmocka_unit_test(test_harm_that_begins_late_is_found_and_stays_said),
        cmocka_unit_test(test_what_is_no_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
