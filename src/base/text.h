/* Small helpers on text: enum <-> word tables, the nearest valid name, numbers with units, and
 * outside text made safe for a terminal, Markdown or HTML. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Index of `word` in an enum-indexed table of `count` words (NULL entries are skipped), or -1. */
int text_index(const char *const *words, int count, const char *word);

/* The entry nearest to `word` by edit distance, or NULL when none is near enough to be meant
 * (distance over a third of its length). Borrowed from the table. */
const char *text_nearest(const char *const *words, size_t count, const char *word);

bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);

/* Case-insensitive search in `len` bytes that may hold NULs; NULL when absent. */
const char *text_find_nocase(const char *haystack, size_t len, const char *needle);

/* Whole-string numbers: false for anything before or after the number, overflow, nan or inf. */
bool text_to_i64(const char *text, int64_t *ret_value);
bool text_to_double(const char *text, double *ret_value);

/* Durations as written by people: "10s", "250ms", "1.5m", "45m", "2h", "80us", "7ns". */
bool text_to_duration_ns(const char *text, int64_t *ret_ns);
/* Sizes: "512MiB", "4GiB", "200MB", "64k" is refused (say KiB or kB), "1024B". In both, one blank
 * may stand before the unit, a number without unit is refused (but for the duration "0"), and so is
 * a sign. */
bool text_to_bytes(const char *text, int64_t *ret_bytes);

/* "412 us", "188 ms", "1.24 s", "3 min 20 s", "2 h 05 min": three significant digits, unit chosen
 * by size; "unknown" for NaN and infinities, here and for bytes. */
void text_add_duration(struct buf *buf, double seconds);
/* "43.1 GiB", "2,260 MiB", "512 KiB". */
void text_add_bytes(struct buf *buf, double bytes);
/* 1234567 -> "1,234,567". */
void text_add_grouped(struct buf *buf, int64_t value);

enum text_target { TEXT_TERMINAL, TEXT_MARKDOWN, TEXT_HTML };
/* Appends at most `max` input bytes, made harmless: controls, bidirectional overrides and broken
 * UTF-8 as \xNN, and what the target would interpret escaped. Newlines and tabs become spaces. */
void text_add_escaped(struct buf *buf, enum text_target target, const char *text, size_t len,
                      size_t max);

/* Bytes of the UTF-8 character at the start of `len` bytes, or 0 when it is broken (overlong forms
 * and surrogates are). */
size_t text_utf8_next(const char *text, size_t len, uint32_t *ret_code);
int text_hex_digit(char c); /* 0 to 15 of either case; -1: it is none */

/* Columns a terminal needs for valid UTF-8 text (wide characters as wcwidth says). */
size_t text_columns(const char *text);
