/* What stands around the reading of number words: the places where figures and letters meet, halves
 * and cents, as the reference's regular expressions have it (quoted at each).
 *
 * The text between the steps has single spaces, so "\s+" is one space here; that is why the first
 * step comes after joining the words. Order and leftmost matching are the reference's, down to
 * "$1" -> "$one", which its last clean-up turns into "one". */
#include "stats/number_words.h"

#include "stats/normalise.h"
#include "stats/unicode.h"

#include <string.h>

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

/* \band\s+a\s+half\b between two numbers' words: "two and a half" -> "two point five". A segment
 * without a word before it is dropped with its half, as the reference does. */
static void replace_halves(const char *text, size_t len, struct buf *out)
{
    static const char half[] = "and a half";
    const size_t size = sizeof half - 1, start = out->len;
    size_t segment = 0;
    for (size_t from = 0; from < len;) {
        const char *found = memmem(text + from, len - from, half, size);
        if (!found)
            break;
        size_t at = (size_t)(found - text);
        from = at + 1;
        if (!stats_unicode_is_boundary(text, len, at) ||
            !stats_unicode_is_boundary(text, len, at + size))
            continue;
        size_t end = at;
        while (end > segment && text[end - 1] == ' ')
            end--;
        size_t word = end;
        while (word > segment && text[word - 1] != ' ')
            word--;
        if (end > word) {
            if (out->len > start)
                buf_addc(out, ' ');
            pass_copy(out, text + segment, end - segment);
            bool number = stats_number_is_plain(text + word, end - word);
            buf_add(out, number ? " point five" : " and a half");
        }
        segment = from = at + size;
    }
    if (segment < len && out->len > start)
        buf_addc(out, ' ');
    pass_copy(out, text + segment, len - segment);
}

/* ([a-z])([0-9]) and ([0-9])([a-z]): a space between them. */
static void part_letters(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        buf_addc(out, text[i]);
        bool meet = i + 1 < len && ((is_letter(text[i]) && pass_is_digit(text[i + 1])) ||
                                    (pass_is_digit(text[i]) && is_letter(text[i + 1])));
        if (meet)
            buf_addc(out, ' ');
    }
}

/* ([0-9])\s+(st|nd|rd|th|s)\b: but not before what may be a suffix. */
static void join_suffixes(const char *text, size_t len, struct buf *out)
{
    static const char *const suffixes[] = {"st", "nd", "rd", "th", "s"};
    for (size_t i = 0; i < len; i++) {
        size_t end = i;
        while (end < len && text[end] == ' ')
            end++;
        bool suffix = false;
        for (size_t s = 0; s < ARRAY_LEN(suffixes) && end > i && i > 0 && !suffix; s++)
            suffix = pass_is_digit(text[i - 1]) && pass_has(text, len, end, suffixes[s]) &&
                     stats_unicode_is_boundary(text, len, end + strlen(suffixes[s]));
        if (suffix)
            i = end;
        buf_addc(out, text[i]);
    }
}

void stats_number_prepare(const char *text, size_t len, struct buf *buf)
{
    AUTO(buf_done) struct buf halves = BUF_INIT(buf->max), parted = BUF_INIT(buf->max);
    replace_halves(text, len, &halves);
    part_letters(buf_text(&halves), halves.len, &parted);
    join_suffixes(buf_text(&parted), parted.len, buf);
}

/* Length of a sign of euro, pound or dollar at `at`, or 0. */
static size_t currency_at(const char *text, size_t len, size_t at)
{
    static const char *const signs[] = {"\u20ac", "\u00a3", "$"};
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (pass_has(text, len, at, signs[i]))
            return strlen(signs[i]);
    }
    return 0;
}

/* ([0-9]{1,2})\b: the number, or -1; moves *at behind it. */
static int cents_at(const char *text, size_t len, size_t *at)
{
    size_t end = *at;
    int cents = 0;
    while (end < len && end < *at + 2 && pass_is_digit(text[end]))
        cents = cents * 10 + (text[end++] - '0');
    if (end == *at || !stats_unicode_is_boundary(text, len, end))
        return -1;
    *at = end;
    return cents;
}

/* ([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b -> "\1\2.\3" */
static void combine_cents(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len;) {
        size_t sign = currency_at(text, len, i), end = i + sign;
        while (sign && end < len && pass_is_digit(text[end]))
            end++;
        size_t at = end + 1;
        bool found = sign && end > i + sign && pass_has(text, len, end, " ");
        if (found && pass_has(text, len, at, "and "))
            at += 4;
        found = found && pass_has(text, len, at, "\u00a2");
        at += 2;
        int cents = found ? cents_at(text, len, &at) : -1;
        if (cents >= 0) {
            pass_copy(out, text + i, end - i);
            buf_addf(out, ".%02d", cents);
            i = at;
        } else {
            buf_addc(out, text[i++]);
        }
    }
}

/* [€£$]0.([0-9]{1,2})\b -> "¢\1"; the point is any one character, as the reference has it. */
static void extract_cents(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len;) {
        size_t sign = currency_at(text, len, i), at = i + sign + 1;
        int cents = -1;
        if (sign && pass_has(text, len, i + sign, "0") && at < len) {
            uint32_t code;
            at += stats_unicode_decode(text + at, len - at, &code);
            cents = cents_at(text, len, &at);
        }
        if (cents >= 0) {
            buf_addf(out, "\u00a2%d", cents);
            i = at;
        } else {
            buf_addc(out, text[i++]);
        }
    }
}

/* \b1(s?)\b -> "one\1" */
static void spell_one(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        bool one = text[i] == '1' && stats_unicode_is_boundary(text, len, i) &&
                   stats_unicode_is_boundary(text, len, i + 1);
        bool ones = text[i] == '1' && stats_unicode_is_boundary(text, len, i) &&
                    pass_has(text, len, i + 1, "s") && stats_unicode_is_boundary(text, len, i + 2);
        if (one || ones)
            buf_add(out, "one");
        else
            buf_addc(out, text[i]);
    }
}

void stats_number_finish(const char *text, size_t len, struct buf *buf)
{
    AUTO(buf_done) struct buf combined = BUF_INIT(buf->max), extracted = BUF_INIT(buf->max);
    combine_cents(text, len, &combined);
    extract_cents(buf_text(&combined), combined.len, &extracted);
    spell_one(buf_text(&extracted), extracted.len, buf);
}
