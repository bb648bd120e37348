/* A normalised text as a list of words. Only for the files that compare transcripts. */
#pragma once

#include "base/buf.h"
#include "stats/wer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stats_word {
    const char *text; /* borrowed from its list, not ended by NUL */
    size_t len;
    uint64_t hash;
};

struct stats_words {
    struct buf text;         /* owned; the words point into it */
    struct stats_word *list; /* owned, at most STATS_WORDS_MAX */
    size_t count;            /* in the list */
    size_t beyond;           /* words that did not fit into it */
    bool cut;                /* something was left out: words, or text over STATS_TEXT_MAX */
};

void stats_words_init(struct stats_words *words, enum stats_normaliser normaliser,
                      const char *text);
void stats_words_done(struct stats_words *words);
bool stats_word_same(const struct stats_word *a, const struct stats_word *b);

static inline void stats_words_done_auto_(struct stats_words *words)
{
    stats_words_done(words);
}
