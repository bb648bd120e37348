/* JSON in one pass over its bytes: what the readers of a recording's lines share.
 *
 * Nothing is copied and nothing is built: a name is compared where it stands, a number is read into
 * place, and what is not known is skipped over with its depth bounded. Rejected: jansson, see
 * tick_read.c.
 *
 * Invariant: nothing is read behind `end`; after a failure `err` names the column. */
#include "guard/tick_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

bool guard_scan_fail(struct guard_scan *s, const char *what)
{
    return err_set(s->err, ERR_INPUT, "column %d: %s", (int)(s->at - s->start) + 1, what);
}

bool guard_span_is(struct guard_span span, const char *text)
{
    return strncmp(text, span.at, span.len) == 0 && text[span.len] == '\0' && !span.escaped;
}

/* Between the quotes, as it stands. */
bool guard_scan_text(struct guard_scan *s, struct guard_span *ret)
{
    if (!guard_scan_take(s, '"'))
        return guard_scan_fail(s, "text in quotes is expected");
    *ret = (struct guard_span){.at = s->at};
    while (s->at < s->end && *s->at != '"') {
        const bool escape = *s->at == '\\';
        ret->escaped |= escape;
        s->at += escape && s->at + 1 < s->end ? 2 : 1;
    }
    if (s->at >= s->end)
        return guard_scan_fail(s, "a text has no end");
    ret->len = (size_t)(s->at++ - ret->at);
    return true;
}

bool guard_scan_key(struct guard_scan *s, struct guard_span *ret)
{
    return guard_scan_text(s, ret) &&
           (guard_scan_take(s, ':') || guard_scan_fail(s, "\":\" is expected"));
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

bool guard_scan_number(struct guard_scan *s, double *ret)
{
    uint64_t digits = 0;
    int exponent = 0, count = 0;
    char copy[64];
    const bool minus = guard_scan_peek(s) == '-';
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
        return guard_scan_fail(s, "a number is expected");
    if (p < s->end && (*p == 'e' || *p == 'E'))
        exponent += read_exponent(&p, s->end);
    s->at = p;
    if (count <= 18 && small_number(digits, exponent, ret)) {
        *ret = minus ? -*ret : *ret;
        return true;
    }
    const size_t len = (size_t)(p - begin);
    if (len >= sizeof copy)
        return guard_scan_fail(s, "a number is too long");
    memcpy(copy, begin, len);
    copy[len] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret) || guard_scan_fail(s, "a number is out of range");
}

/* Nanoseconds since the machine started are more than a double holds after 104 days. */
bool guard_scan_whole(struct guard_scan *s, int64_t *ret)
{
    int64_t value = 0;
    guard_scan_peek(s);
    const char *begin = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - begin < 18)
        value = value * 10 + (*s->at++ - '0');
    if (s->at == begin || (s->at < s->end && strchr(".eE0123456789", *s->at)))
        return guard_scan_fail(s, "a whole number is expected");
    *ret = value;
    return true;
}

/* ---- what is not known here ---- */

static bool skip_members(struct guard_scan *s, char close, bool keys)
{
    struct guard_span key;
    if (guard_scan_take(s, close))
        return true;
    do {
        if ((keys && !guard_scan_key(s, &key)) || !guard_scan_skip(s))
            return false;
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, close) || guard_scan_fail(s, "a list or mapping has no end");
}

bool guard_scan_skip(struct guard_scan *s)
{
    struct guard_span text;
    double number = 0;
    const char c = guard_scan_peek(s);
    if (c == '"')
        return guard_scan_text(s, &text);
    if (c == '{' || c == '[') {
        if (++s->depth > DEPTH_MAX)
            return guard_scan_fail(s, "nested too deeply");
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
    return guard_scan_number(s, &number);
}

bool guard_scan_known(struct guard_scan *s, double *ret)
{
    if (guard_scan_peek(s) == 'n')
        return guard_scan_skip(s);
    return guard_scan_number(s, ret);
}
