/* Server-sent events, framed as the WHATWG says (HTML, 9.2.6): lines end in LF, CRLF or CR, a blank
 * line ends an event, several data lines are joined by LF, a colon at the start is a comment.
 * Bytes come in any pieces; the events are the same. Two liberties, because servers take them: a
 * field `error` is kept (llama.cpp reports failures so), and a stream that ends without a blank
 * line still delivers what it held, marked as tail. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct load_sse_event { /* all borrowed until the callback returns */
    const char *data;   /* NUL-terminated, "" when there was none */
    size_t len;
    const char *type;  /* value of the last event field, "" if none */
    const char *error; /* value of an error field, or NULL */
    size_t offset;     /* bytes of the stream up to the end of the event's last field */
    bool tail;         /* ended by the stream's end, not by a blank line */
};
typedef void (*load_sse_fn)(void *ctx, const struct load_sse_event *event);

struct load_sse {
    struct buf line, data, type, error; /* line: a piece that waits for its end */
    size_t offset;                      /* bytes fed so far */
    size_t field_end;                   /* offset behind the last field's value */
    bool has_data, has_error, skip_lf;
    unsigned bom; /* bytes of a byte order mark matched, 3: none expected */
    bool over;    /* something was over the maximum and is lost */
};

/* No line and no event is longer than max_bytes. */
struct load_sse load_sse_init(size_t max_bytes);
void load_sse_feed(struct load_sse *sse, const char *bytes, size_t len, load_sse_fn fn, void *ctx);
void load_sse_end(struct load_sse *sse, load_sse_fn fn, void *ctx); /* the stream has ended */
void load_sse_done(struct load_sse *sse);
