/* Words and plain numbers: what stands in tables and in what people type.
 *
 * Nothing here asks the locale: a study file means the same on every machine, so letters are
 * compared as ASCII and a number is checked for its characters before the C library reads it
 * (strtod alone would take hexadecimal, "infinity" and leading blanks). */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Longer words are nobody's typing slip, and this keeps the rows on the stack. */
enum { NEAR_MAX = 63 };

int text_index(const char *const *words, int count, const char *word)
{
    for (int i = 0; word && i < count; i++) {
        if (words[i] && strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Optimal string alignment: insert, delete, replace, and swap of neighbours, each at cost 1. Plain
 * Levenshtein was rejected because "gird" for "grid", the commonest slip of all, would cost 2. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAR_MAX + 1] = {0};
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = min3(replace, above[j] + 1, now[j - 1] + 1);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < now[j])
                now[j] = above2[j - 2] + 1;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *const *words, size_t count, const char *word)
{
    size_t len = strlen(word), best = len / 3 + 1;
    const char *nearest = NULL;
    if (len > NEAR_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = words[i] ? strlen(words[i]) : SIZE_MAX;
        if (other > NEAR_MAX)
            continue;
        size_t distance = edit_distance(word, len, words[i], other);
        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

bool text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);
    return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

const char *text_find_nocase(const char *haystack, size_t len, const char *needle)
{
    size_t needle_len = strlen(needle);
    if (needle_len > len)
        return NULL;
    for (size_t at = 0; at + needle_len <= len; at++) {
        size_t same = 0;
        while (same < needle_len && lower(haystack[at + same]) == lower(needle[same]))
            same++;
        if (same == needle_len)
            return haystack + at;
    }
    return NULL;
}

bool text_to_i64(const char *text, int64_t *ret_value)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!digits[0] || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *ret_value = value;
    return true;
}

bool text_to_double(const char *text, double *ret_value)
{
    if (!text[0] || text[0] == '+' || text[strspn(text, "0123456789+-.eE")])
        return false;
    char *end = NULL;
    double value = strtod(text, &end);
    /* Too small for a double is as good as zero; too large is not a number we can use. */
    if (*end || end == text || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}
