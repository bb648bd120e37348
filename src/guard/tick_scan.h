/* Inside guard/: a line of JSON as it is read, from left to right. False is ERR_INPUT with the
 * column. */
#pragma once

#include "base/err.h"
#include "spec/guard_metric.h"

#include <stddef.h>
#include <stdint.h>

struct guard_scan {
    const char *start, *at, *end;
    struct err *err;
    int depth;
    const struct guard_metric_ref *refs;
    size_t count, next; /* of refs; where the next name is looked for first */
};
struct guard_span { /* of a text, between its quotes, as it stands */
    const char *at;
    size_t len;
    bool escaped;
};

/* The next character that is no blank; '\0' at the end. */
static inline char guard_scan_peek(struct guard_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
    return s->at < s->end ? *s->at : '\0';
}
/* That one is next, and passed. */
static inline bool guard_scan_take(struct guard_scan *s, char c)
{
    if (guard_scan_peek(s) != c)
        return false;
    s->at++;
    return true;
}

bool guard_scan_fail(struct guard_scan *s, const char *what); /* false */
bool guard_span_is(struct guard_span span, const char *text);
NODISCARD bool guard_scan_text(struct guard_scan *s, struct guard_span *ret);
NODISCARD bool guard_scan_key(struct guard_scan *s, struct guard_span *ret); /* and its colon */
NODISCARD bool guard_scan_number(struct guard_scan *s, double *ret);         /* finite */
/* A number, or null, which leaves *ret as it is. */
NODISCARD bool guard_scan_known(struct guard_scan *s, double *ret);
/* Of at most 18 digits: ns since the machine started are more than a double holds in 104 days. */
NODISCARD bool guard_scan_whole(struct guard_scan *s, int64_t *ret);
NODISCARD bool guard_scan_skip(struct guard_scan *s); /* a value of any kind */
