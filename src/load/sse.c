/* A line at a time. A line that lies whole in what was fed is read where it lies; only a piece that
 * waits for its end is copied. Rejected: reading the finished body with a regular expression for
 * "data: {...}", as many clients do, which loses every event of a CRLF stream or of one without the
 * blank after the colon.
 *
 * A CR ends its line at once, and a LF right behind it is then skipped, so that no look-ahead
 * delays an event. Invariant: the events do not depend on how the bytes were cut (fuzzed). */
#include "load/sse.h"

#include <string.h>

struct load_sse load_sse_init(size_t max_bytes)
{
    return (struct load_sse){
        .line = BUF_INIT(max_bytes),
        .data = BUF_INIT(max_bytes),
        .type = BUF_INIT(max_bytes),
        .error = BUF_INIT(max_bytes),
    };
}

void load_sse_done(struct load_sse *sse)
{
    if (!sse)
        return;
    buf_done(&sse->line);
    buf_done(&sse->data);
    buf_done(&sse->type);
    buf_done(&sse->error);
}

static void dispatch(struct load_sse *sse, bool tail, load_sse_fn fn, void *ctx)
{
    /* An event without data is none, as the standard says: pings by `event:` or `id:` alone. */
    if (sse->has_data || sse->has_error) {
        struct load_sse_event event = {
            .data = buf_text(&sse->data),
            .len = sse->data.len,
            .type = buf_text(&sse->type),
            .error = sse->has_error ? buf_text(&sse->error) : NULL,
            .offset = sse->field_end,
            .tail = tail,
        };
        fn(ctx, &event);
    }
    buf_clear(&sse->data);
    buf_clear(&sse->type);
    buf_clear(&sse->error);
    sse->has_data = sse->has_error = false;
}

static void set(struct load_sse *sse, struct buf *buf, const char *value, size_t len)
{
    buf_clear(buf);
    if (!buf_append(buf, value, len))
        sse->over = true;
}

static void take_data(struct load_sse *sse, const char *value, size_t len)
{
    if (sse->has_data && !buf_append(&sse->data, "\n", 1))
        sse->over = true;
    if (!buf_append(&sse->data, value, len))
        sse->over = true;
    sse->has_data = true;
}

static bool is(const char *name, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(name, word, len) == 0;
}

/* A line without its end; `end` is the stream's offset behind it. */
static void take_line(struct load_sse *sse, const char *line, size_t len, size_t end,
                      load_sse_fn fn, void *ctx)
{
    if (len == 0) {
        dispatch(sse, false, fn, ctx);
        return;
    }
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : len;
    if (name_len == 0)
        return;
    const char *value = colon ? colon + 1 : line + len;
    if (value < line + len && *value == ' ')
        value++;
    size_t value_len = (size_t)(line + len - value);
    bool known = true;
    if (is(line, name_len, "data")) {
        take_data(sse, value, value_len);
    } else if (is(line, name_len, "event")) {
        set(sse, &sse->type, value, value_len);
    } else if (is(line, name_len, "error")) {
        set(sse, &sse->error, value, value_len);
        sse->has_error = true;
    } else {
        known = false;
    }
    if (known)
        sse->field_end = end;
}

/* The end of a line at bytes[len]: joins it with the piece that waited. */
static void end_line(struct load_sse *sse, const char *bytes, size_t len, size_t end,
                     load_sse_fn fn, void *ctx)
{
    if (sse->line.len == 0) {
        take_line(sse, bytes, len, end, fn, ctx);
        return;
    }
    if (!buf_append(&sse->line, bytes, len))
        sse->over = true;
    take_line(sse, buf_text(&sse->line), sse->line.len, end, fn, ctx);
    buf_clear(&sse->line);
}

/* A byte order mark at the very start is no part of the first line. Returns how many bytes to skip;
 * a mark that turns out to be none is put back as the start of the first line. */
static size_t skip_bom(struct load_sse *sse, const char *bytes, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t at = 0;
    while (sse->bom < 3 && at < len && bytes[at] == mark[sse->bom]) {
        sse->bom++;
        at++;
    }
    if (sse->bom < 3 && at < len) {
        if (!buf_append(&sse->line, mark, sse->bom))
            sse->over = true;
        sse->bom = 3;
    }
    return at;
}

void load_sse_feed(struct load_sse *sse, const char *bytes, size_t len, load_sse_fn fn, void *ctx)
{
    size_t at = sse->bom < 3 ? skip_bom(sse, bytes, len) : 0;
    while (at < len) {
        if (sse->skip_lf && bytes[at] == '\n') {
            sse->skip_lf = false;
            at++;
            continue;
        }
        sse->skip_lf = false;
        size_t start = at;
        while (at < len && bytes[at] != '\n' && bytes[at] != '\r')
            at++;
        if (at == len) {
            if (!buf_append(&sse->line, bytes + start, at - start))
                sse->over = true;
            break;
        }
        sse->skip_lf = bytes[at] == '\r';
        end_line(sse, bytes + start, at - start, sse->offset + at, fn, ctx);
        at++;
    }
    sse->offset += len;
}

void load_sse_end(struct load_sse *sse, load_sse_fn fn, void *ctx)
{
    if (sse->line.len > 0)
        end_line(sse, "", 0, sse->offset, fn, ctx);
    dispatch(sse, true, fn, ctx);
}
