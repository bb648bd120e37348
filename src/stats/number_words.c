/* Spoken numbers to figures, word by word with one word of context on each side.
 *
 * A grammar of English numbers was rejected: the reference reads any row of number words somehow
 * ("five six hundred" is 5600) and comparability wants the same reading, so this is its state
 * machine: a pending value, either a whole number or a row of digits ("one oh one"), and a pending
 * prefix ("$", "-"). All multipliers are powers of ten, so whole numbers are decimal strings and a
 * multiplication only moves digits; nothing overflows.
 *
 * Known differences from whisper-normalizer 0.1.15: a number of over 4,300 digits is cut (Python
 * refuses to print it), and it does not know "ninth" ("nineth" it does), which is kept.
 *
 * Invariant: a whole number has no leading zeros; every step costs at most the value's length. */
#include "stats/number_words.h"

#include "stats/normalise.h"

#include <stdio.h>
#include <string.h>

enum word_class {
    WORD_NONE, /* no number word */
    WORD_ZERO,
    WORD_ONE, /* one to nineteen */
    WORD_ONE_SUFFIXED,
    WORD_TEN,
    WORD_TEN_SUFFIXED,
    WORD_MULTIPLIER, /* `value` is the power of ten */
    WORD_MULTIPLIER_SUFFIXED,
    WORD_SIGN,     /* goes before the number that follows */
    WORD_CURRENCY, /* goes before the number that went before */
    WORD_PERCENT,
    WORD_PER,
    WORD_AND,
    WORD_DOUBLE, /* `value` times */
    WORD_POINT,
};

struct number_word {
    const char *word;
    enum word_class class;
    int value;
    const char *affix; /* suffix or prefix that it brings */
};

#define ONE(word, value, plural, ordinal, suffix)                                                  \
    {word, WORD_ONE, value, NULL}, {plural, WORD_ONE_SUFFIXED, value, "s"},                        \
    {                                                                                              \
        ordinal, WORD_ONE_SUFFIXED, value, suffix                                                  \
    }
#define TEN(stem, value)                                                                           \
    {stem "y", WORD_TEN, value, NULL}, {stem "ies", WORD_TEN_SUFFIXED, value, "s"},                \
    {                                                                                              \
        stem "ieth", WORD_TEN_SUFFIXED, value, "th"                                                \
    }
#define POWER(word, power)                                                                         \
    {word, WORD_MULTIPLIER, power, NULL}, {word "s", WORD_MULTIPLIER_SUFFIXED, power, "s"},        \
    {                                                                                              \
        word "th", WORD_MULTIPLIER_SUFFIXED, power, "th"                                           \
    }

static const struct number_word number_words[] = {
    {"o", WORD_ZERO, 0, NULL},
    {"oh", WORD_ZERO, 0, NULL},
    {"zero", WORD_ZERO, 0, NULL},
    {"zeroth", WORD_ONE_SUFFIXED, 0, "th"},
    ONE("one", 1, "ones", "first", "st"),
    ONE("two", 2, "twos", "second", "nd"),
    ONE("three", 3, "threes", "third", "rd"),
    ONE("four", 4, "fours", "fourth", "th"),
    ONE("five", 5, "fives", "fifth", "th"),
    ONE("six", 6, "sixes", "sixth", "th"),
    ONE("seven", 7, "sevens", "seventh", "th"),
    ONE("eight", 8, "eights", "eighth", "th"),
    ONE("nine", 9, "nines", "nineth", "th"),
    ONE("ten", 10, "tens", "tenth", "th"),
    ONE("eleven", 11, "elevens", "eleventh", "th"),
    ONE("twelve", 12, "twelves", "twelfth", "th"),
    ONE("thirteen", 13, "thirteens", "thirteenth", "th"),
    ONE("fourteen", 14, "fourteens", "fourteenth", "th"),
    ONE("fifteen", 15, "fifteens", "fifteenth", "th"),
    ONE("sixteen", 16, "sixteens", "sixteenth", "th"),
    ONE("seventeen", 17, "seventeens", "seventeenth", "th"),
    ONE("eighteen", 18, "eighteens", "eighteenth", "th"),
    ONE("nineteen", 19, "nineteens", "nineteenth", "th"),
    TEN("twent", 20),
    TEN("thirt", 30),
    TEN("fort", 40),
    TEN("fift", 50),
    TEN("sixt", 60),
    TEN("sevent", 70),
    TEN("eight", 80),
    TEN("ninet", 90),
    POWER("hundred", 2),
    POWER("thousand", 3),
    POWER("million", 6),
    POWER("billion", 9),
    POWER("trillion", 12),
    POWER("quadrillion", 15),
    POWER("quintillion", 18),
    POWER("sextillion", 21),
    POWER("septillion", 24),
    POWER("octillion", 27),
    POWER("nonillion", 30),
    POWER("decillion", 33),
    {"minus", WORD_SIGN, 0, "-"},
    {"negative", WORD_SIGN, 0, "-"},
    {"plus", WORD_SIGN, 0, "+"},
    {"positive", WORD_SIGN, 0, "+"},
    {"pound", WORD_CURRENCY, 0, "\u00a3"},
    {"pounds", WORD_CURRENCY, 0, "\u00a3"},
    {"euro", WORD_CURRENCY, 0, "\u20ac"},
    {"euros", WORD_CURRENCY, 0, "\u20ac"},
    {"dollar", WORD_CURRENCY, 0, "$"},
    {"dollars", WORD_CURRENCY, 0, "$"},
    {"cent", WORD_CURRENCY, 0, "\u00a2"},
    {"cents", WORD_CURRENCY, 0, "\u00a2"},
    {"per", WORD_PER, 0, NULL},
    {"percent", WORD_PERCENT, 0, "%"},
    {"and", WORD_AND, 0, NULL},
    {"double", WORD_DOUBLE, 2, NULL},
    {"triple", WORD_DOUBLE, 3, NULL},
    {"point", WORD_POINT, 0, NULL},
};

static const char *const prefixes[] = {"-", "+", "\u00a3", "\u20ac", "$", "\u00a2"};

enum { DIGITS_MAX = 4300 };

struct word {
    const char *text;
    size_t len;
    enum word_class class;
    const struct number_word *number; /* NULL for WORD_NONE */
    bool numeric;                     /* figures: digits, perhaps with a fraction, no prefix */
};

enum value_kind { VALUE_NONE, VALUE_WHOLE, VALUE_DIGITS };

struct reader {
    struct buf *out;
    size_t out_start;
    const char *prefix; /* pending, or NULL */
    enum value_kind kind;
    struct buf value; /* decimal text */
    struct buf spare; /* scratch of value_multiply */
};

/* ^\d+(\.\d+)?$ */
static bool is_numeric(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && pass_is_digit(text[i]))
        i++;
    if (i == 0 || i == len)
        return i > 0;
    if (text[i] != '.' || i + 1 == len)
        return false;
    for (i++; i < len; i++) {
        if (!pass_is_digit(text[i]))
            return false;
    }
    return true;
}

static struct word word_of(const char *text, size_t len)
{
    struct word word = {text, len, WORD_NONE, NULL, is_numeric(text, len)};
    for (size_t i = 0; i < ARRAY_LEN(number_words); i++) {
        if (strncmp(number_words[i].word, text, len) == 0 && number_words[i].word[len] == '\0') {
            word.number = &number_words[i];
            word.class = word.number->class;
            break;
        }
    }
    return word;
}

bool stats_number_is_plain(const char *word, size_t len)
{
    enum word_class class = word_of(word, len).class;
    return class == WORD_ZERO || class == WORD_ONE || class == WORD_TEN || class == WORD_MULTIPLIER;
}

/* Writes one word with the pending prefix; nothing is pending afterwards. */
static void emit(struct reader *reader, const char *text, size_t len, const char *suffix)
{
    if (reader->out->len > reader->out_start)
        buf_addc(reader->out, ' ');
    if (reader->prefix)
        buf_add(reader->out, reader->prefix);
    pass_copy(reader->out, text, len);
    if (suffix)
        buf_add(reader->out, suffix);
    reader->prefix = NULL;
    reader->kind = VALUE_NONE;
}

static void emit_word(struct reader *reader, const struct word *word)
{
    emit(reader, word->text, word->len, NULL);
}

/* The pending value, if there is one. */
static void emit_value(struct reader *reader, const char *suffix)
{
    if (reader->kind != VALUE_NONE)
        emit(reader, buf_text(&reader->value), reader->value.len, suffix);
}

static void value_set(struct reader *reader, enum value_kind kind, const char *text, size_t len)
{
    buf_clear(&reader->value);
    pass_copy(&reader->value, text, len);
    reader->kind = kind;
}

static void value_set_number(struct reader *reader, int number)
{
    buf_clear(&reader->value);
    buf_addf(&reader->value, "%d", number);
    reader->kind = VALUE_WHOLE;
}

static void value_set_power(struct reader *reader, int power)
{
    value_set(reader, VALUE_WHOLE, "1", 1);
    for (int i = 0; i < power; i++)
        buf_addc(&reader->value, '0');
}

static bool value_is_zero(const struct reader *reader)
{
    return reader->kind == VALUE_WHOLE && reader->value.data[0] == '0';
}

/* str(value or ""): from here on a row of digits. A whole 0 counts as nothing there. */
static void value_as_digits(struct reader *reader)
{
    if (reader->kind == VALUE_NONE || value_is_zero(reader))
        buf_clear(&reader->value);
    reader->kind = VALUE_DIGITS;
}

/* Is a whole value a multiple of 10 (digits 1) or 100 (digits 2)? */
static bool value_ends_in_zeros(const struct reader *reader, size_t digits)
{
    const struct buf *value = &reader->value;
    if (value_is_zero(reader))
        return true;
    if (value->len < digits)
        return false;
    for (size_t i = value->len - digits; i < value->len; i++) {
        if (value->data[i] != '0')
            return false;
    }
    return true;
}

/* Adds a number below 100 where the value ends in as many zeros as it has digits. */
static void value_add(struct reader *reader, int number)
{
    char text[16];
    int digits = snprintf(text, sizeof text, "%d", number);
    if (value_is_zero(reader) || (size_t)digits > reader->value.len)
        value_set(reader, VALUE_WHOLE, text, (size_t)digits);
    else
        memcpy(reader->value.data + reader->value.len - digits, text, (size_t)digits);
}

/* Fraction(value) * 10^power of a row of digits: false when it is no number or no whole one. */
static bool value_shift(struct reader *reader, int power)
{
    struct buf *value = &reader->value, *result = &reader->spare;
    const char *text = buf_text(value);
    size_t whole = strspn(text, "0123456789");
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t end = whole + (text[whole] == '.' ? 1 + fraction : 0);
    if (text[end] != '\0' || whole + fraction == 0)
        return false;
    while (fraction > 0 && text[whole + fraction] == '0')
        fraction--;
    if (fraction > (size_t)power)
        return false;
    buf_clear(result);
    pass_copy(result, text, whole);
    pass_copy(result, text + whole + 1, fraction);
    for (size_t i = fraction; i < (size_t)power; i++)
        buf_addc(result, '0');
    const char *digits = buf_text(result);
    size_t zeros = strspn(digits, "0");
    if (zeros > 0 && zeros == result->len)
        zeros--;
    value_set(reader, VALUE_WHOLE, digits + zeros, result->len - zeros);
    return true;
}

/* value = value // 1000 * 1000 + value % 1000 * 10^power, for a whole value. */
static void value_multiply(struct reader *reader, int power)
{
    struct buf *value = &reader->value, *result = &reader->spare;
    size_t high = value->len > 3 ? value->len - 3 : 0; /* digits of the thousands */
    const char *low = value->data + high;
    size_t zeros = strspn(low, "0"), digits = strlen(low) - zeros;
    if (digits == 0)
        return;
    /* Both summands as digit strings of one length, added from the right. */
    size_t size = digits + (size_t)power > value->len ? digits + (size_t)power : value->len;
    buf_clear(result);
    int carry = 0;
    for (size_t i = 0; i < size; i++) { /* least digit first */
        int a = i >= 3 && i < value->len ? value->data[value->len - 1 - i] - '0' : 0;
        bool inside = i >= (size_t)power && i < (size_t)power + digits;
        int b = inside ? low[zeros + digits - 1 - (i - (size_t)power)] - '0' : 0;
        buf_addc(result, (char)('0' + (a + b + carry) % 10));
        carry = (a + b + carry) / 10;
    }
    if (carry)
        buf_addc(result, '1');
    if (result->over) { /* over DIGITS_MAX digits: the value stays */
        result->over = false;
        return;
    }
    buf_clear(value);
    for (size_t i = result->len; i > 0; i--)
        buf_addc(value, result->data[i - 1]);
}

/* Does the number word simply continue a row of digits? Also directly after one to nineteen. */
static bool continues_digits(const struct reader *reader, const struct word *prev,
                             const struct word *current)
{
    bool one = current->class == WORD_ONE || current->class == WORD_ONE_SUFFIXED;
    return reader->kind == VALUE_DIGITS || (one && prev->class == WORD_ONE);
}

/* One to ninety-nine joins the pending value: added where zeros stand for it, else appended. */
static void value_join(struct reader *reader, const struct word *prev, const struct word *current)
{
    int number = current->number->value;
    if (reader->kind == VALUE_NONE) {
        value_set_number(reader, number);
    } else if (continues_digits(reader, prev, current)) {
        bool one = current->class == WORD_ONE || current->class == WORD_ONE_SUFFIXED;
        if (one && prev->class == WORD_TEN && number < 10 && reader->value.len > 0)
            reader->value.data[--reader->value.len] = '\0'; /* "oh twenty" + "one" */
        reader->kind = VALUE_DIGITS;
        buf_addf(&reader->value, "%d", number);
    } else if (value_ends_in_zeros(reader, number < 10 ? 1 : 2)) {
        value_add(reader, number);
    } else {
        reader->kind = VALUE_DIGITS;
        buf_addf(&reader->value, "%d", number);
    }
}

static void read_multiplier(struct reader *reader, const struct word *current)
{
    int power = current->number->value;
    const char *suffix = current->number->affix;
    if (reader->kind == VALUE_NONE) {
        value_set_power(reader, power);
    } else if (reader->kind == VALUE_DIGITS) {
        if (!value_shift(reader, power)) {
            emit_value(reader, NULL);
            value_set_power(reader, power);
        }
    } else {
        value_multiply(reader, power);
    }
    if (suffix)
        emit_value(reader, suffix);
}

static void read_figures(struct reader *reader, const struct word *current, const char *prefix)
{
    size_t skip = prefix ? strlen(prefix) : 0;
    if (reader->kind == VALUE_DIGITS && reader->value.len > 0 &&
        reader->value.data[reader->value.len - 1] == '.') {
        pass_copy(&reader->value, current->text, current->len); /* "3 point" + "14" */
        return;
    }
    emit_value(reader, NULL);
    if (prefix)
        reader->prefix = prefix;
    value_set(reader, VALUE_DIGITS, current->text + skip, current->len - skip);
    /* Whole figures ("007", "3.0") become a whole number; others stay as they are written. */
    const char *text = buf_text(&reader->value);
    size_t whole = strcspn(text, ".");
    if (text[whole] == '\0' || strspn(text + whole + 1, "0") == strlen(text + whole + 1))
        value_shift(reader, 0);
}

/* "and", "double", "point" mean something only before a number. True: the next word is used up. */
static bool read_special(struct reader *reader, const struct word *prev, const struct word *current,
                         const struct word *next)
{
    bool number_follows = next->class != WORD_NONE || next->numeric;
    bool digit_follows = next->class == WORD_ONE || next->class == WORD_ZERO;
    if (number_follows && current->class == WORD_AND && prev->class == WORD_MULTIPLIER)
        return false;
    if (number_follows && current->class == WORD_DOUBLE && digit_follows) {
        value_as_digits(reader);
        for (int i = 0; i < current->number->value; i++)
            buf_addf(&reader->value, "%d", next->number->value);
        return true;
    }
    if (number_follows && current->class == WORD_POINT) {
        if (digit_follows || next->class == WORD_TEN || next->numeric) {
            value_as_digits(reader);
            buf_addc(&reader->value, '.');
        }
        return false;
    }
    emit_value(reader, NULL);
    emit_word(reader, current);
    return false;
}

/* "percent", "per cent": a suffix after a number. True: the next word is used up. */
static bool read_percent(struct reader *reader, const struct word *current, const struct word *next)
{
    bool cent = next->len == 4 && memcmp(next->text, "cent", 4) == 0;
    if (reader->kind != VALUE_NONE && (current->class == WORD_PERCENT || cent)) {
        emit_value(reader, "%");
        return current->class == WORD_PER;
    }
    emit_value(reader, NULL);
    emit_word(reader, current);
    return false;
}

static const char *figures_prefix(const struct word *word)
{
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (pass_has(word->text, word->len, 0, prefixes[i]))
            return prefixes[i];
    }
    return NULL;
}

static bool read_word(struct reader *reader, const struct word *prev, const struct word *current,
                      const struct word *next)
{
    const char *prefix = figures_prefix(current);
    size_t skip = prefix ? strlen(prefix) : 0;
    if (is_numeric(current->text + skip, current->len - skip)) {
        read_figures(reader, current, prefix);
        return false;
    }
    switch (current->class) {
    case WORD_NONE:
        emit_value(reader, NULL);
        emit_word(reader, current);
        return false;
    case WORD_ZERO:
        value_as_digits(reader);
        buf_addc(&reader->value, '0');
        return false;
    case WORD_ONE:
    case WORD_TEN:
        value_join(reader, prev, current);
        return false;
    case WORD_ONE_SUFFIXED:
    case WORD_TEN_SUFFIXED:
        value_join(reader, prev, current);
        emit_value(reader, current->number->affix);
        return false;
    case WORD_MULTIPLIER:
    case WORD_MULTIPLIER_SUFFIXED:
        read_multiplier(reader, current);
        return false;
    case WORD_SIGN:
        emit_value(reader, NULL);
        if (next->class != WORD_NONE || next->numeric)
            reader->prefix = current->number->affix;
        else
            emit_word(reader, current);
        return false;
    case WORD_CURRENCY:
        if (reader->kind == VALUE_NONE) {
            emit_word(reader, current);
        } else {
            reader->prefix = current->number->affix;
            emit_value(reader, NULL);
        }
        return false;
    case WORD_PERCENT:
    case WORD_PER:
        return read_percent(reader, current, next);
    case WORD_AND:
    case WORD_DOUBLE:
    case WORD_POINT:
        return read_special(reader, prev, current, next);
    }
    return false;
}

static struct word word_next(const char *text, size_t len, size_t *at)
{
    while (*at < len && text[*at] == ' ')
        ++*at;
    size_t start = *at;
    while (*at < len && text[*at] != ' ')
        ++*at;
    return word_of(text + start, *at - start);
}

void stats_number_words(const char *text, size_t len, struct buf *buf)
{
    struct reader reader = {
        .out = buf,
        .out_start = buf->len,
        .value = BUF_INIT(DIGITS_MAX),
        .spare = BUF_INIT(DIGITS_MAX),
    };
    size_t at = 0;
    struct word prev = {.text = ""}, current = word_next(text, len, &at);
    while (current.len > 0) {
        struct word next = word_next(text, len, &at);
        bool used = read_word(&reader, &prev, &current, &next);
        prev = current;
        current = next;
        if (used) {
            prev = current;
            current = word_next(text, len, &at);
        }
    }
    emit_value(&reader, NULL);
    buf_done(&reader.value);
    buf_done(&reader.spare);
}
