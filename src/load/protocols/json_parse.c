/* JSON of a server into jansson's values, several times faster than jansson itself reads.
 *
 * A worker that reads streams spends more on JSON than on anything else that is ours: jansson takes
 * each byte through three functions, some 150 instructions, and 2,000 streams are 20,000 events a
 * second. Here runs of plain bytes are looked over in one loop, and only what needs it (escapes,
 * odd numbers) takes the long way. The values stay jansson's, so that readers know one kind.
 * Rejected: another JSON library beside jansson, for one function.
 *
 * Most of an answer is read by nobody: ids, times, a model's name. So a reader may say which
 * members it looks at, and of all others no value is made; they are gone through by the same code,
 * so that what is broken is refused wherever it stands.
 *
 * Eight MiB of "[]," would become 2.8 million lists of 130 bytes each. So what opens something and
 * what separates two is counted, and too much of it is no answer.
 *
 * Invariant: what this takes, json_loadb() with JSON_ALLOW_NUL takes, and gives equal values; what
 * one refuses, the other does (the counts apart, and a byte of zero: none may stand in JSON, but
 * jansson drops one behind a number or a word). tests/fuzz/fuzz_json.c holds them against each
 * other. */
#include "load/protocols/json_answer.h"

#include "base/json.h"
#include "base/text.h"

#include <endian.h>
#include <string.h>

static const uint64_t EACH_BYTE = 0x0101010101010101; /* times a byte: that byte eight times */

enum {
    DEPTH_MAX = 2048, /* jansson's */
    LISTS_MAX = 1 << 16,
    VALUES_MAX = 1 << 20,
};

struct parser {
    const char *at, *end;
    const char *const *names; /* of the members to make, NULL after the last; NULL: all */
    bool unwanted;            /* within a member that nobody looks at: values are not made */
    int depth;
    size_t lists, values;
    struct buf scratch; /* a text with escapes, as it reads */
};

/* A string's bytes: within the input, or in the scratch buffer until the next one. */
struct span {
    const char *bytes;
    size_t len;
};

static json_t *parse_value(struct parser *p);

static char peek(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
    return p->at < p->end ? *p->at : '\0';
}

static bool take(struct parser *p, char c)
{
    if (peek(p) != c)
        return false;
    p->at++;
    return true;
}

/* ---- strings ---- */

static bool take_hex(struct parser *p, uint32_t *ret)
{
    uint32_t code = 0;
    if (p->end - p->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = text_hex_digit(*p->at++);
        if (digit < 0)
            return false;
        code = code << 4 | (uint32_t)digit;
    }
    *ret = code;
    return true;
}

static void add_code(struct buf *buf, uint32_t code)
{
    if (code < 0x80) {
        buf_addc(buf, (char)code);
    } else if (code < 0x800) {
        buf_addc(buf, (char)(0xC0 | code >> 6));
        buf_addc(buf, (char)(0x80 | (code & 0x3F)));
    } else {
        if (code < 0x10000) {
            buf_addc(buf, (char)(0xE0 | code >> 12));
        } else {
            buf_addc(buf, (char)(0xF0 | code >> 18));
            buf_addc(buf, (char)(0x80 | (code >> 12 & 0x3F)));
        }
        buf_addc(buf, (char)(0x80 | (code >> 6 & 0x3F)));
        buf_addc(buf, (char)(0x80 | (code & 0x3F)));
    }
}

/* Behind "\u": one code unit, or two that are a pair. */
static bool take_unicode(struct parser *p)
{
    uint32_t code = 0, low = 0;
    if (!take_hex(p, &code) || (code >= 0xDC00 && code < 0xE000))
        return false;
    if (code >= 0xD800 && code < 0xDC00) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return false;
        p->at += 2;
        if (!take_hex(p, &low) || low < 0xDC00 || low >= 0xE000)
            return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    add_code(&p->scratch, code);
    return true;
}

static bool take_escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at >= p->end)
        return false;
    char c = *p->at++;
    if (c == 'u')
        return take_unicode(p);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return false;
    buf_addc(&p->scratch, to[found - from]);
    return true;
}

/* The high bit of each byte of a word that is 0, of those above the first it may be wrong. */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE) & ~word & EACH_BYTE << 7;
}

/* Past ASCII that means itself, as most bytes of an answer do: eight at a time. */
static const char *skip_ascii(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word); /* the first byte is the lowest */
        uint64_t control = (word - EACH_BYTE * ' ') & ~word & EACH_BYTE << 7;
        uint64_t other = control | (word & EACH_BYTE << 7) | zero_bytes(word ^ EACH_BYTE * '"') |
                         zero_bytes(word ^ EACH_BYTE * '\\');
        if (other)
            return at + __builtin_ctzll(other) / 8;
        at += 8;
    }
    while (at < end && (signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Past bytes that mean themselves, up to a quote or a backslash; false: what has no place. */
static bool skip_plain(struct parser *p)
{
    uint32_t code = 0;
    for (;;) {
        p->at = skip_ascii(p->at, p->end);
        if (p->at == p->end)
            return false;
        unsigned char c = (unsigned char)*p->at;
        if (c == '"' || c == '\\')
            return true;
        size_t left = (size_t)(p->end - p->at);
        size_t step = c < 0x80 ? 0 : text_utf8_next(p->at, left, &code);
        if (step == 0)
            return false;
        p->at += step;
    }
}

/* Behind the first quote. */
static bool take_string(struct parser *p, struct span *ret)
{
    const char *start = p->at;
    if (!skip_plain(p))
        return false;
    if (*p->at == '"') {
        *ret = (struct span){start, (size_t)(p->at++ - start)};
        return true;
    }
    buf_clear(&p->scratch);
    for (;;) {
        (void)!buf_append(&p->scratch, start, (size_t)(p->at - start)); /* has the input's room */
        if (*p->at++ == '"')
            break;
        if (!take_escape(p))
            return false;
        start = p->at;
        if (!skip_plain(p))
            return false;
    }
    *ret = (struct span){buf_text(&p->scratch), p->scratch.len};
    return true;
}

/* ---- numbers and words ---- */

static bool is_digit(const struct parser *p)
{
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static bool skip_digits(struct parser *p)
{
    if (!is_digit(p))
        return false;
    while (is_digit(p))
        p->at++;
    return true;
}

/* Whole numbers of up to 18 digits here; a fraction has rounding in it and the locale's point, an
 * overflow has its rules: those are left to jansson. */
static json_t *take_number(struct parser *p)
{
    const char *start = p->at;
    bool minus = *p->at == '-';
    p->at += minus;
    const char *digits = p->at;
    if (is_digit(p) && *p->at == '0')
        p->at++;
    else if (!skip_digits(p))
        return NULL;
    if (is_digit(p))
        return NULL;
    bool whole = true;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        whole = false;
        if (!skip_digits(p))
            return NULL;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        whole = false;
        p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
        if (!skip_digits(p))
            return NULL;
    }
    if (!whole || p->at - digits > 18)
        return json_loadb(start, (size_t)(p->at - start), JSON_DECODE_ANY, NULL);
    json_int_t value = 0;
    for (const char *at = digits; at < p->at; at++)
        value = value * 10 + (*at - '0');
    if (p->unwanted)
        return json_null();
    return json_integer(minus ? -value : value);
}

static json_t *take_word(struct parser *p)
{
    size_t left = (size_t)(p->end - p->at);
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);
        if (left < len || memcmp(p->at, words[i], len) != 0)
            continue;
        p->at += len;
        return i == 0 ? json_true() : i == 1 ? json_false() : json_null();
    }
    return NULL;
}

/* ---- lists and mappings ---- */

static bool is_wanted(const struct parser *p, const struct span *key)
{
    if (!p->names)
        return true;
    for (const char *const *name = p->names; *name; name++)
        if (key->len > 0 && **name == *key->bytes && /* which most fail at */
            strncmp(*name, key->bytes, key->len) == 0 && !(*name)[key->len])
            return true;
    return false;
}

/* A value of which nothing is kept. */
static bool pass_value(struct parser *p)
{
    const bool before = p->unwanted;
    p->unwanted = true;
    json_t *value = parse_value(p);
    json_decref(value);
    p->unwanted = before;
    return value != NULL;
}

/* An error is shown as it came: all that is in it is made. */
static json_t *parse_error(struct parser *p)
{
    const char *const *names = p->names;
    p->names = NULL;
    json_t *value = parse_value(p);
    p->names = names;
    return value;
}

static bool add_member(struct parser *p, json_t *object)
{
    struct span key;
    if (!take(p, '"') || !take_string(p, &key) || memchr(key.bytes, '\0', key.len))
        return false;
    if (p->unwanted || !is_wanted(p, &key))
        return take(p, ':') && pass_value(p);
    if (p->names && key.len == 5 && memcmp(key.bytes, "error", 5) == 0)
        return take(p, ':') && json_object_set_new_nocheck(object, "error", parse_error(p)) == 0;
    if (key.bytes == buf_text(&p->scratch)) { /* which the value will write over */
        AUTO(free) char *own = strndup(key.bytes, key.len);
        if (!own)
            abort();
        return take(p, ':') &&
               json_object_setn_new_nocheck(object, own, key.len, parse_value(p)) == 0;
    }
    return take(p, ':') &&
           json_object_setn_new_nocheck(object, key.bytes, key.len, parse_value(p)) == 0;
}

static bool add_element(struct parser *p, json_t *array)
{
    if (p->unwanted)
        return pass_value(p);
    return json_array_append_new(array, parse_value(p)) == 0; /* not of NULL */
}

static json_t *take_members(struct parser *p, json_t *holder, char close,
                            bool (*add)(struct parser *p, json_t *holder))
{
    p->at++;
    if (++p->lists > LISTS_MAX || !holder) {
        json_decref(holder);
        return NULL;
    }
    if (take(p, close))
        return holder;
    do {
        if (++p->values > VALUES_MAX || !add(p, holder)) {
            json_decref(holder);
            return NULL;
        }
    } while (take(p, ','));
    if (take(p, close))
        return holder;
    json_decref(holder);
    return NULL;
}

static json_t *take_text(struct parser *p)
{
    struct span text;
    p->at++;
    if (!take_string(p, &text))
        return NULL;
    return p->unwanted ? json_null() : json_stringn_nocheck(text.bytes, text.len);
}

static json_t *parse_value(struct parser *p)
{
    json_t *value = NULL;
    char c = peek(p);
    if (++p->depth > DEPTH_MAX)
        return NULL;
    if (c == '"')
        value = take_text(p);
    else if (c == '{')
        value = take_members(p, p->unwanted ? json_null() : json_object(), '}', add_member);
    else if (c == '[')
        value = take_members(p, p->unwanted ? json_null() : json_array(), ']', add_element);
    else if (c == '-' || (c >= '0' && c <= '9'))
        value = take_number(p);
    else
        value = take_word(p);
    p->depth--;
    return value;
}

json_t *load_json_parse_named(const char *bytes, size_t len, const char *const *names)
{
    struct parser p = {
        .at = bytes, .end = bytes + len, .names = names, .scratch = BUF_INIT(len + 1)};
    char c = peek(&p);
    json_t *root = c == '{' || c == '[' ? parse_value(&p) : NULL;
    bool whole = peek(&p) == '\0' && p.at == p.end;
    buf_done(&p.scratch);
    if (whole)
        return root;
    json_decref(root);
    return NULL;
}

json_t *load_json_parse(const char *bytes, size_t len)
{
    return load_json_parse_named(bytes, len, NULL);
}
