/*
 * Growing bytes with a stated maximum.
 *
 * The idea: every byte that a peer sends or waits for lives in one of these, and each of them says
 * how large it may become, so that a mad client can't make the fake eat the machine that it is
 * meant to help testing. A ring was rejected: parsers want one straight piece of memory, and moving
 * the few bytes that stay behind a finished request costs nothing.
 *
 * Invariant: after the first addition data[len] is NUL and len < cap.
 */
#include "buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_BYTES (64u << 20)

static bool make_room(struct buf *buf, size_t len)
{
    const size_t max_bytes = buf->max_bytes != 0 ? buf->max_bytes : DEFAULT_MAX_BYTES;
    if (len > max_bytes || buf->len > max_bytes - len)
        return false;
    const size_t want = buf->len + len + 1;
    if (want <= buf->cap)
        return true;
    size_t cap = buf->cap != 0 ? buf->cap : 256;
    while (cap < want)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    if (data == NULL)
        abort();
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (!make_room(buf, len))
        return false;
    if (len > 0)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool buf_add_text(struct buf *buf, const char *text)
{
    return buf_add(buf, text, strlen(text));
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    const bool fits = len >= 0 && make_room(buf, (size_t)len);
    if (fits) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    return fits;
}

bool buf_add_json(struct buf *buf, const char *text, size_t len)
{
    size_t plain = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        if (!buf_add(buf, text + plain, i - plain))
            return false;
        plain = i + 1;
        const bool added = c == '\n'  ? buf_add_text(buf, "\\n")
                           : c < 0x20 ? buf_printf(buf, "\\u%04x", c)
                                      : buf_printf(buf, "\\%c", c);
        if (!added)
            return false;
    }
    return buf_add(buf, text + plain, len - plain);
}

void buf_drop(struct buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
        if (buf->data != NULL)
            buf->data[0] = '\0';
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

void buf_done(struct buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    *buf = (struct buf){.max_bytes = buf->max_bytes};
}
