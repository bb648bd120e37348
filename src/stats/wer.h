/* Word error rate of transcripts, as the field computes it: jiwer's counts over texts normalised as
 * Whisper's EnglishTextNormalizer does (Radford et al. 2022, appendix C).
 *
 * Texts come from outside: at most STATS_TEXT_MAX bytes and STATS_WORDS_MAX words are looked at,
 * broken UTF-8 counts as a symbol, time is O(words^2), memory O(words). */
#pragma once

#include "base/buf.h"
#include "base/rng.h"
#include "stats/quantile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATS_TEXT_MAX = 64 * 1024, STATS_WORDS_MAX = 4096 };

enum stats_normaliser {
    NORMALISER_ENGLISH, /* case, brackets, fillers, contractions, titles, numbers, spelling */
    NORMALISER_PLAIN,   /* case, brackets, punctuation and symbols only; any language */
    NORMALISER_NONE,    /* words as they stand between white space */
};

/* Appends the normalised text, single spaces between words, none at the ends. Where the texts
 * differ from whisper-normalizer 0.1.15's is listed in normalise.c and spelling.c. */
void stats_normalise(enum stats_normaliser normaliser, const char *text, struct buf *buf);

/* What it takes to turn the reference into the hypothesis. */
struct stats_wer {
    uint64_t reference_words, hypothesis_words;
    uint64_t hits, substitutions, deletions, insertions;
    bool cut; /* a text was over a limit: only its beginning was compared, words beyond
                 STATS_WORDS_MAX count as deleted or inserted */
};

/* Counts of one utterance. Of several least alignments the one that jiwer 4.0 (rapidfuzz) takes. */
struct stats_wer stats_wer_count(enum stats_normaliser normaliser, const char *reference,
                                 const char *hypothesis);

/* (substitutions + deletions + insertions) / reference words. For an empty reference as jiwer: the
 * number of inserted words, 2 for "" against "a b". */
double stats_wer_ratio(const struct stats_wer *wer);

/* Adds one utterance: the corpus' WER is that of the pooled words, not the mean of ratios. */
void stats_wer_pool(struct stats_wer *total, const struct stats_wer *one);

/* Percentile interval of the pooled ratio, resampling utterances (Bisani and Ney 2004). One entry
 * per clip of the corpus: a clip that was heard several times is pooled first, for it repeats its
 * errors. NaN for fewer than 2 utterances or no reference word. draws 0 means 2,000. */
struct stats_interval stats_wer_interval(const struct stats_wer *utterances, size_t n,
                                         double confidence, size_t draws, struct rng *rng);

/* The same for the difference of two candidates' ratios, a - b, over the same n clips in the same
 * order: what is hard for both cancels. An interval that holds 0 says "no difference that this
 * corpus could show". */
struct stats_interval stats_wer_difference(const struct stats_wer *a, const struct stats_wer *b,
                                           size_t n, double confidence, size_t draws,
                                           struct rng *rng);
