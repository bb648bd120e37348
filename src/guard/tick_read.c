/* A line of a recording back into a tick, by one pass over its bytes.
 *
 * A day is 86,400 lines with up to ten million numbers, and whoever tries a rule replays it again
 * and again; jansson, which builds and frees a tree of some hundred nodes for each line, takes more
 * than ten times as long (docs/METHOD.md). What is read here is what tick.c writes, and all other
 * JSON is skipped over, so that a recording of a later version is read as far as it goes.
 *
 * Names are expected in the order of the refs: the search for each goes on where the last one was
 * found, and round once.
 *
 * Invariant: whatever the bytes, values are finite or unknown, texts are words of their set, and an
 * event's text is one line of valid UTF-8. */
#include "guard/tick.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

struct scan {
    const char *start, *at, *end;
    struct err *err;
    int depth;
    const struct guard_metric_ref *refs;
    size_t count, next; /* of refs; where the next name is looked for first */
};

struct span {
    const char *at;
    size_t len;
    bool escaped;
};

static bool fail(struct scan *s, const char *what)
{
    return err_set(s->err, ERR_INPUT, "column %d: %s", (int)(s->at - s->start) + 1, what);
}

static char peek(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
    return s->at < s->end ? *s->at : '\0';
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != c)
        return false;
    s->at++;
    return true;
}

static bool is_span(struct span span, const char *text)
{
    return strncmp(text, span.at, span.len) == 0 && text[span.len] == '\0' && !span.escaped;
}

/* Between the quotes, as it stands. */
static bool read_span(struct scan *s, struct span *ret)
{
    if (!take(s, '"'))
        return fail(s, "text in quotes is expected");
    *ret = (struct span){.at = s->at};
    while (s->at < s->end && *s->at != '"') {
        const bool escape = *s->at == '\\';
        ret->escaped |= escape;
        s->at += escape && s->at + 1 < s->end ? 2 : 1;
    }
    if (s->at >= s->end)
        return fail(s, "a text has no end");
    ret->len = (size_t)(s->at++ - ret->at);
    return true;
}

static bool read_key(struct scan *s, struct span *ret)
{
    return read_span(s, ret) && (take(s, ':') || fail(s, "\":\" is expected"));
}

/* ---- numbers ---- */

/* Exact: below 2^53 and 10^22 both are doubles, and one operation rounds once (Clinger 1990). */
static bool small_number(uint64_t digits, int exponent, double *ret)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (digits >= UINT64_C(1) << 53 || exponent < -22 || exponent > 22)
        return false;
    *ret = exponent < 0 ? (double)digits / tens[-exponent] : (double)digits * tens[exponent];
    return true;
}

static int read_exponent(const char **at, const char *end)
{
    int value = 0;
    const char *p = *at + 1;
    const bool minus = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        value = value < 1000 ? value * 10 + (*p - '0') : value;
    *at = p;
    return minus ? -value : value;
}

static bool read_number(struct scan *s, double *ret)
{
    uint64_t digits = 0;
    int exponent = 0, count = 0;
    char copy[64];
    const bool minus = peek(s) == '-';
    const char *begin = s->at, *p = begin + minus;
    bool point = false;
    for (; p < s->end && ((*p >= '0' && *p <= '9') || (*p == '.' && !point)); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (count++ < 18)
            digits = digits * 10 + (uint64_t)(*p - '0');
        exponent -= point;
    }
    if (count == 0)
        return fail(s, "a number is expected");
    if (p < s->end && (*p == 'e' || *p == 'E'))
        exponent += read_exponent(&p, s->end);
    s->at = p;
    if (count <= 18 && small_number(digits, exponent, ret)) {
        *ret = minus ? -*ret : *ret;
        return true;
    }
    const size_t len = (size_t)(p - begin);
    if (len >= sizeof copy)
        return fail(s, "a number is too long");
    memcpy(copy, begin, len);
    copy[len] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret) || fail(s, "a number is out of range");
}

/* Nanoseconds since the machine started are more than a double holds after 104 days. */
static bool read_whole(struct scan *s, int64_t *ret)
{
    int64_t value = 0;
    peek(s);
    const char *begin = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - begin < 18)
        value = value * 10 + (*s->at++ - '0');
    if (s->at == begin || (s->at < s->end && strchr(".eE0123456789", *s->at)))
        return fail(s, "a whole number is expected");
    *ret = value;
    return true;
}

/* ---- what is not known here ---- */

static bool skip_value(struct scan *s);

static bool skip_members(struct scan *s, char close, bool keys)
{
    struct span key;
    if (take(s, close))
        return true;
    do {
        if ((keys && !read_key(s, &key)) || !skip_value(s))
            return false;
    } while (take(s, ','));
    return take(s, close) || fail(s, "a list or mapping has no end");
}

static bool skip_value(struct scan *s)
{
    struct span text;
    double number = 0;
    const char c = peek(s);
    if (c == '"')
        return read_span(s, &text);
    if (c == '{' || c == '[') {
        if (++s->depth > DEPTH_MAX)
            return fail(s, "nested too deeply");
        s->at++;
        bool ok = skip_members(s, c == '{' ? '}' : ']', c == '{');
        s->depth--;
        return ok;
    }
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= len && memcmp(s->at, words[i], len) == 0) {
            s->at += len;
            return true;
        }
    }
    return read_number(s, &number);
}

/* ---- values ---- */

/* The very name that is expected, and its colon: nearly always. */
static bool take_next(struct scan *s, size_t *ret)
{
    if (s->next >= s->count || s->at >= s->end || *s->at != '"')
        return false;
    const char *at = s->at + 1, *name = s->refs[s->next].name;
    for (; at < s->end && *at == *name; at++)
        name++;
    if (*name || s->end - at < 2 || at[0] != '"' || at[1] != ':')
        return false;
    s->at = at + 2;
    *ret = s->next++;
    return true;
}

static bool find_ref(struct scan *s, struct span name, size_t *ret)
{
    for (size_t n = 0, i = s->next; n < s->count; n++, i++) {
        i = i < s->count ? i : 0;
        if (is_span(name, s->refs[i].name)) {
            *ret = i;
            s->next = i + 1;
            return true;
        }
    }
    return false;
}

static bool read_known(struct scan *s, struct guard_value *value)
{
    if (peek(s) == 'n')
        return skip_value(s);
    return read_number(s, &value->number);
}

/* [number, count, "source"], the last two as far as they are there. */
static bool read_list(struct scan *s, struct guard_value *value)
{
    double count = 0;
    struct span source;
    s->at++;
    if (!read_known(s, value))
        return false;
    if (take(s, ',')) {
        if (!read_number(s, &count))
            return false;
        value->count = count >= 1 && count < 1e18 ? (uint64_t)count : 0;
    }
    if (take(s, ',')) {
        if (!read_span(s, &source))
            return false;
        for (int i = SOURCE_NONE + 1; i < SOURCE_COUNT_; i++)
            if (source.len && *source.at == *guard_source_names[i] &&
                is_span(source, guard_source_names[i]))
                value->source = (enum guard_source)i;
    }
    return take(s, ']') || fail(s, "\"]\" is expected");
}

static bool read_word(struct scan *s, const struct guard_metric_ref *ref, struct guard_value *value)
{
    struct span word;
    if (!read_span(s, &word))
        return false;
    for (size_t i = 0; ref->words[i]; i++)
        if (is_span(word, ref->words[i]))
            value->text = ref->words[i];
    return true;
}

static bool read_values(struct scan *s, struct guard_value *values)
{
    struct span name;
    size_t i = 0;
    if (!take(s, '{'))
        return fail(s, "\"{\" is expected");
    if (take(s, '}'))
        return true;
    do {
        bool found = take_next(s, &i);
        if (!found) {
            if (!read_key(s, &name))
                return false;
            found = find_ref(s, name, &i);
        }
        const char c = peek(s);
        const bool is_text = c == '"';
        bool ok = true;
        if (!found || is_text != (s->refs[i].words != NULL))
            ok = skip_value(s);
        else if (is_text)
            ok = read_word(s, &s->refs[i], &values[i]);
        else if (c == '[')
            ok = read_list(s, &values[i]);
        else
            ok = read_known(s, &values[i]);
        if (!ok)
            return false;
    } while (take(s, ','));
    return take(s, '}') || fail(s, "\"}\" is expected");
}

/* ---- events ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One character of a JSON text; what has no place in one line of text is a blank. */
static char plain_byte(const char **at, const char *end)
{
    char c = *(*at)++;
    if (c != '\\' || *at >= end)
        return (unsigned char)c < 0x20 || c == 0x7F ? ' ' : c;
    c = *(*at)++;
    if (c == 'u') {
        int code = 0;
        for (int i = 0; i < 4 && *at < end; i++, (*at)++)
            code = code * 16 + (hex_digit(**at) >= 0 ? hex_digit(**at) : 0);
        return code >= 0x20 && code < 0x7F ? (char)code : ' ';
    }
    return strchr("\"\\/", c) ? c : ' ';
}

static void copy_text(struct span span, char *text, size_t size)
{
    const char *at = span.at, *end = span.at + span.len;
    size_t len = 0, good = 0;
    uint32_t code = 0;
    while (at < end && len + 1 < size)
        text[len++] = plain_byte(&at, end);
    text[len] = '\0';
    while (good < len) {
        size_t step = text_utf8_next(text + good, len - good, &code);
        if (step == 0 && len - good < 4 && at < end) {
            text[good] = '\0'; /* cut in the middle of a character */
            return;
        }
        if (step == 0)
            text[good] = '?';
        good += step ? step : 1;
    }
}

static int find_service(const struct scan *s, struct span name)
{
    for (size_t i = 0; i < s->count; i++) {
        const char *ref = s->refs[i].name;
        if (guard_metric_infos[s->refs[i].metric].scope == SCOPE_SERVICE &&
            strncmp(ref, name.at, name.len) == 0 && ref[name.len] == '.')
            return (int)s->refs[i].index;
    }
    return -1;
}

/* An event of a kind that is not known here, or of a service that is gone, is left out. */
static bool read_event(struct scan *s, struct guard_tick *tick)
{
    struct guard_event event = {.kind = EVENT_COUNT_, .service = -1};
    struct span key, text;
    bool gone = false;
    if (!take(s, '{'))
        return fail(s, "\"{\" is expected");
    do {
        if (!read_key(s, &key))
            return false;
        const bool kind = is_span(key, "k"), service = is_span(key, "s"), words = is_span(key, "x");
        if (!(kind || service || words)) {
            if (!skip_value(s))
                return false;
            continue;
        }
        if (!read_span(s, &text))
            return false;
        for (int i = 0; i < EVENT_COUNT_ && kind; i++)
            if (is_span(text, guard_event_names[i]))
                event.kind = (enum guard_event_kind)i;
        if (service)
            event.service = find_service(s, text);
        gone |= service && event.service < 0;
        if (words)
            copy_text(text, event.text, sizeof event.text);
    } while (take(s, ','));
    if (!take(s, '}'))
        return fail(s, "\"}\" is expected");
    if (event.kind == EVENT_COUNT_ || gone)
        return true;
    if (tick->event_count < GUARD_EVENTS_MAX)
        tick->events[tick->event_count++] = event;
    else
        tick->events_lost++;
    return true;
}

static bool read_events(struct scan *s, struct guard_tick *tick)
{
    if (!take(s, '['))
        return fail(s, "\"[\" is expected");
    if (take(s, ']'))
        return true;
    do {
        if (!read_event(s, tick))
            return false;
    } while (take(s, ','));
    return take(s, ']') || fail(s, "\"]\" is expected");
}

/* ---- the line ---- */

static bool read_member(struct scan *s, struct guard_value *values, struct guard_tick *tick,
                        unsigned *seen)
{
    struct span key;
    double number = 0;
    if (!read_key(s, &key))
        return false;
    if (is_span(key, "t")) {
        if (!read_number(s, &number) || !(number >= 0 && number < 1e11))
            return fail(s, "a time since 1970 is expected");
        tick->wall_us = llround(number * 1e6);
        *seen |= 1;
        return true;
    }
    if (is_span(key, "m")) {
        *seen |= 2;
        return read_whole(s, &tick->mono_ns);
    }
    if (is_span(key, "v"))
        return read_values(s, values);
    if (is_span(key, "e"))
        return read_events(s, tick);
    if (!is_span(key, "l"))
        return skip_value(s);
    if (!read_number(s, &number))
        return false;
    tick->events_lost = number >= 0 && number < 4e9 ? (uint32_t)number : 0;
    return true;
}

bool guard_tick_read(const char *line, size_t len, const struct guard_metric_ref *refs,
                     size_t count, struct guard_value *values, struct guard_tick *ret_tick,
                     struct err *err)
{
    struct scan s = {
        .start = line, .at = line, .end = line + len, .err = err, .refs = refs, .count = count};
    unsigned seen = 0;
    ret_tick->values = values;
    ret_tick->event_count = 0;
    ret_tick->events_lost = 0;
    for (size_t i = 0; i < count; i++)
        values[i] = (struct guard_value){.number = NAN};
    if (memchr(line, '\0', len))
        return fail(&s, "a zero byte in it"); /* so texts can be compared as strings */
    if (!take(&s, '{'))
        return fail(&s, "a tick begins with \"{\"");
    do {
        if (!read_member(&s, values, ret_tick, &seen))
            return false;
    } while (take(&s, ','));
    if (!take(&s, '}') || peek(&s) != '\0' || s.at != s.end)
        return fail(&s, "the end of the tick is expected");
    return seen == 3 || fail(&s, "a tick needs \"t\" and \"m\"");
}
