/* Splits a normalised text into words, each with a hash so that most comparisons of different words
 * cost one look. Interning words into numbers was rejected: it needs a table that two texts share,
 * and hostile text could make it slow; equal hashes are still compared byte by byte here. */
#include "stats/words.h"

#include <stdlib.h>
#include <string.h>

void stats_words_init(struct stats_words *words, enum stats_normaliser normaliser, const char *text)
{
    *words = (struct stats_words){.text = BUF_INIT(64 * STATS_TEXT_MAX)};
    words->cut = strnlen(text, STATS_TEXT_MAX + 1) > STATS_TEXT_MAX;
    stats_normalise(normaliser, text, &words->text);
    words->list = calloc(STATS_WORDS_MAX, sizeof *words->list);
    if (!words->list)
        abort();
    const char *at = buf_text(&words->text);
    while (*at) {
        size_t len = strcspn(at, " ");
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
        for (size_t i = 0; i < len; i++)
            hash = (hash ^ (unsigned char)at[i]) * UINT64_C(0x100000001b3);
        if (words->count < STATS_WORDS_MAX)
            words->list[words->count++] = (struct stats_word){at, len, hash};
        else
            words->beyond++;
        at += len + (at[len] == ' ');
    }
    words->cut |= words->beyond > 0;
}

void stats_words_done(struct stats_words *words)
{
    if (!words)
        return;
    buf_done(&words->text);
    free(words->list);
    words->list = NULL;
    words->count = 0;
}

bool stats_word_same(const struct stats_word *a, const struct stats_word *b)
{
    return a->hash == b->hash && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}
