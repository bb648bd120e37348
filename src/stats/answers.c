/* Shapes of answers that are none: loops, one character over and over, nothing.
 *
 * A list of known phrases ("thank you for watching") was rejected: people do say them, and the next
 * model repeats another one. A loop is a phrase that stands in a row more often than the reference
 * has it there; without a reference, often at all. Numbers stay words here ("six six six" must not
 * become one 666), so the plain normaliser is used.
 *
 * Invariant: bounded as stats/wer.h says; time O(words) but for suspicious runs, each of which is
 * looked up in the reference. */
#include "stats/answers.h"

#include <string.h>

#include "stats/unicode.h"
#include "stats/words.h"

/* How often `phrase` (words of one text) stands in a row in `words` from `at` on. */
static size_t times_at(const struct stats_words *words, size_t at, const struct stats_word *phrase,
                       size_t len, size_t turn)
{
    size_t matched = 0;
    while (at + matched < words->count &&
           stats_word_same(&words->list[at + matched], &phrase[(turn + matched) % len]))
        matched++;
    return matched / len;
}

/* The longest row of the phrase in the reference, whichever of its words the row begins with. */
static size_t reference_times(const struct stats_words *reference, const struct stats_word *phrase,
                              size_t len)
{
    size_t best = 0;
    for (size_t turn = 0; turn < len; turn++) {
        for (size_t at = 0; at + len * (best + 1) <= reference->count;) {
            size_t times = times_at(reference, at, phrase, len, turn);
            best = times > best ? times : best;
            at += times > 1 ? (times - 1) * len : 1;
        }
    }
    return best;
}

static void describe(struct stats_repeat *repeat, const struct stats_word *phrase, size_t len)
{
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof repeat->phrase - 1);
    for (size_t i = 0; i < len && !text.over; i++) {
        if (i > 0)
            buf_addc(&text, ' ');
        if (!buf_append(&text, phrase[i].text, phrase[i].len))
            break;
    }
    memcpy(repeat->phrase, buf_text(&text), text.len);
    repeat->phrase[text.len] = '\0';
}

/* Finds the longest row (in times) that the reference does not explain. */
static struct stats_repeat find_loop(const struct stats_words *reference,
                                     const struct stats_words *hypothesis)
{
    struct stats_repeat best = {0};
    for (size_t len = 1; len <= STATS_PHRASE_WORDS_MAX; len++) {
        for (size_t at = 0; at + len < hypothesis->count;) {
            const struct stats_word *phrase = &hypothesis->list[at];
            size_t times = times_at(hypothesis, at, phrase, len, 0);
            if (times >= 4 && times > best.times) {
                size_t expected = reference_times(reference, phrase, len);
                if (times >= 2 * expected + 2) {
                    best = (struct stats_repeat){len, times, expected, ""};
                    describe(&best, phrase, len);
                }
            }
            at += times > 1 ? (times - 1) * len : 1;
        }
    }
    return best;
}

bool stats_answer_repeats(const char *reference, const char *hypothesis,
                          struct stats_repeat *ret_repeat)
{
    AUTO(stats_words_done) struct stats_words ref, hyp;
    stats_words_init(&ref, NORMALISER_PLAIN, reference ? reference : "");
    stats_words_init(&hyp, NORMALISER_PLAIN, hypothesis);
    struct stats_repeat repeat = find_loop(&ref, &hyp);
    if (repeat.times == 0)
        return false;
    if (ret_repeat)
        *ret_repeat = repeat;
    return true;
}

bool stats_answer_degenerate(const char *text)
{
    /* The only character that can be 90 % of a text is the one that survives pairing each character
     * with a different one (Boyer and Moore's majority vote). */
    size_t len = strnlen(text, STATS_TEXT_MAX), lead = 0, size;
    uint32_t winner = 0, code;
    for (size_t i = 0; i < len; i += size) {
        size = stats_unicode_decode(text + i, len - i, &code);
        if (stats_unicode_is_space(code))
            continue;
        if (lead == 0)
            winner = code;
        lead = lead == 0 || code == winner ? lead + 1 : lead - 1;
    }
    size_t total = 0, equal = 0;
    for (size_t i = 0; i < len; i += size) {
        size = stats_unicode_decode(text + i, len - i, &code);
        if (stats_unicode_is_space(code))
            continue;
        total++;
        equal += code == winner;
    }
    if (total >= 16 && equal * 10 >= total * 9)
        return true;
    return equal == total && total >= (stats_unicode_is_word(winner) ? 8 : 4);
}

bool stats_answer_silent(const char *text)
{
    AUTO(buf_done) struct buf left = BUF_INIT(64 * STATS_TEXT_MAX);
    stats_normalise(NORMALISER_PLAIN, text, &left);
    return left.len == 0;
}
