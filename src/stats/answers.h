/* Signs that an answer is no answer, though it came with status 200 and in time. They are evidence
 * for the verdict bad_answers; none of them knows a phrase by heart: what is judged is the shape,
 * and where there is a reference, the difference from it. Texts are bounded as in stats/wer.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { STATS_PHRASE_WORDS_MAX = 8 };

/* The phrase that repeats itself most often in a row. */
struct stats_repeat {
    size_t words;           /* length of the phrase, 1 to STATS_PHRASE_WORDS_MAX; 0: no repeat */
    size_t times;           /* in a row, in the hypothesis */
    size_t reference_times; /* the longest row of the same phrase in the reference; 0: not in it */
    char phrase[128];       /* the phrase, normalised, cut to fit */
};

/* True when a phrase of up to 8 words stands in a row much more often than in the reference: at
 * least 4 times and at least 2 r + 2, r being the times in the reference ("six six six" for three
 * spoken sixes is right, and so is a fourth by mistake; eight are a loop). ret_repeat, which may be
 * NULL, is written when true. `reference` NULL or "": nothing is expected to repeat. */
bool stats_answer_repeats(const char *reference, const char *hypothesis,
                          struct stats_repeat *ret_repeat);

/* "!!!!!!": at least 4 equal symbols, or at least 8 equal letters or digits, and nothing else but
 * white space; or, from 16 characters on, one character as 90 % of the text. False for "" (empty is
 * the caller's own case). */
bool stats_answer_degenerate(const char *text);

/* Nothing but white space, punctuation and bracketed remarks ("[BLANK_AUDIO]", "(silence)"): the
 * right answer to silence, a wrong one to speech. */
bool stats_answer_silent(const char *text);
