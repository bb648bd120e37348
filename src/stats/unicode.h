/* Characters of a transcript: just enough Unicode to normalise words as Python's `re` and
 * `unicodedata` do. Only for the files of the normaliser. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNICODE_BROKEN = 0xFFFD };

/* The character at text[0], len > 0 bytes being left; returns its length in bytes. Bytes that are
 * no UTF-8 give UNICODE_BROKEN, one byte each. */
size_t stats_unicode_decode(const char *text, size_t len, uint32_t *ret_code);

bool stats_unicode_is_space(uint32_t code); /* \s */
bool stats_unicode_is_word(uint32_t code);  /* \w */

enum unicode_fold { FOLD_ENGLISH, FOLD_PLAIN };

/* What replaces the character: lower case, compatibility forms taken apart, marks and symbols as a
 * space; FOLD_ENGLISH drops diacritics and keeps . % $ and the signs of cent, pound and euro.
 * NULL: itself. Static text. */
const char *stats_unicode_fold(uint32_t code, enum unicode_fold fold);

/* \b at byte `at` of `text` (len bytes). */
bool stats_unicode_is_boundary(const char *text, size_t len, size_t at);
