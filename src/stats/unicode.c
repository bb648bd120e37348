/* Classes and foldings of characters, from a generated table.
 *
 * A Unicode library was rejected: the normaliser needs four facts about a character, and a
 * library's version would change word error rates. ASCII is answered by rule, everything else by
 * binary search in the two tables; what stands in neither is a letter that stays as it is.
 *
 * Known differences from Python: decomposed letters are not put together again in FOLD_PLAIN,
 * digits of other scripts are letters, and outside Latin, Greek, Cyrillic, punctuation and symbols
 * every character is a letter. */
#include "stats/unicode.h"

#include <stdlib.h>

#include "base/auto.h"

enum character_class { CLASS_WORD, CLASS_SPACE, CLASS_MARK, CLASS_SYMBOL, CLASS_OTHER };

#include "stats/unicode_table.h"

size_t stats_unicode_decode(const char *text, size_t len, uint32_t *ret_code)
{
    const unsigned char *bytes = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *ret_code = bytes[0];
    if (bytes[0] < 0x80)
        return 1;
    size_t size = bytes[0] >= 0xF0 ? 4 : bytes[0] >= 0xE0 ? 3 : 2;
    *ret_code = UNICODE_BROKEN;
    if (bytes[0] < 0xC2 || bytes[0] > 0xF4 || size > len)
        return 1;
    uint32_t code = bytes[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 1;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    if (code < least[size] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 1;
    *ret_code = code;
    return size;
}

static enum character_class class_ascii(uint32_t code)
{
    if (code == ' ' || (code >= '\t' && code <= '\r') || (code >= 0x1C && code <= 0x1F))
        return CLASS_SPACE;
    if (code < ' ' || code == 0x7F)
        return CLASS_OTHER;
    bool letter = (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    return letter || (code >= '0' && code <= '9') ? CLASS_WORD : CLASS_SYMBOL;
}

static enum character_class class_of(uint32_t code)
{
    if (code < 0x80)
        return class_ascii(code);
    size_t low = 0, high = ARRAY_LEN(class_ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (class_ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    bool inside = low < ARRAY_LEN(class_ranges) && class_ranges[low].first <= code;
    return inside ? class_ranges[low].class : CLASS_WORD;
}

bool stats_unicode_is_space(uint32_t code)
{
    return class_of(code) == CLASS_SPACE;
}

bool stats_unicode_is_word(uint32_t code)
{
    return code == '_' || class_of(code) == CLASS_WORD;
}

static const char *fold_from_table(uint32_t code, enum unicode_fold fold)
{
    size_t low = 0, high = ARRAY_LEN(fold_rows);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (fold_rows[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low >= ARRAY_LEN(fold_rows) || fold_rows[low].code != code)
        return NULL;
    return fold == FOLD_ENGLISH ? fold_rows[low].english : fold_rows[low].plain;
}

const char *stats_unicode_fold(uint32_t code, enum unicode_fold fold)
{
    const char *text = code < 0x80 ? NULL : fold_from_table(code, fold);
    if (text)
        return text;
    switch (class_of(code)) {
    case CLASS_SYMBOL:
        return fold == FOLD_ENGLISH && (code == '.' || code == '%' || code == '$') ? NULL : " ";
    case CLASS_MARK:
        return fold == FOLD_ENGLISH ? "" : " ";
    case CLASS_SPACE:
        return " ";
    default:
        return NULL;
    }
}

bool stats_unicode_is_boundary(const char *text, size_t len, size_t at)
{
    bool before = false, after = false;
    uint32_t code;
    if (at > 0) {
        size_t start = at - 1;
        while (start > 0 && at - start < 4 && ((unsigned char)text[start] & 0xC0) == 0x80)
            start--;
        /* A broken sequence decodes to less than its bytes: its last byte is a symbol then. */
        if (stats_unicode_decode(text + start, at - start, &code) != at - start)
            code = UNICODE_BROKEN;
        before = stats_unicode_is_word(code);
    }
    if (at < len) {
        stats_unicode_decode(text + at, len - at, &code);
        after = stats_unicode_is_word(code);
    }
    return before != after;
}
