/* Spoken numbers to figures: the number part of Whisper's English normaliser, in three steps. All
 * append to `buf`; text is lower case with symbols removed but . % $ and the signs of cent, pound
 * and euro. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Before: single spaces, "two and a half" -> "two point five", "4b" -> "4 b", "4 th" -> "4th". */
void stats_number_prepare(const char *text, size_t len, struct buf *buf);

/* Words, separated by single spaces: "twenty-five dollars" -> "$25", "nineteen sixties" ->
 * "1960s". */
void stats_number_words(const char *text, size_t len, struct buf *buf);

/* After: "$20 and c5" -> "$20.05" (c the sign of cent), "$0.07" -> "c7", "1" -> "one". */
void stats_number_finish(const char *text, size_t len, struct buf *buf);

/* Is the word a number by itself (zero to ninety, hundred, million), without suffix? */
bool stats_number_is_plain(const char *word, size_t len);
