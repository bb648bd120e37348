/* A growing byte buffer with a stated maximum: whatever comes from outside lands in one of these.
 * The bytes are always followed by a NUL that `len` does not count, so text can be read as a
 * string.
 *
 *     struct buf body = BUF_INIT(1 << 20);
 *     if (!buf_append(&body, data, n)) ... over the maximum: nothing was appended, body.over is set
 *     buf_done(&body);
 */
#pragma once

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *data;      /* owned; NULL while empty: read it through buf_text() */
    size_t len, cap; /* bytes used, bytes allocated */
    size_t max;      /* len never exceeds this */
    bool over;       /* something did not fit */
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

NODISCARD bool buf_append(struct buf *buf, const void *data, size_t len);

/* Text building; what does not fit is dropped and `over` tells. */
void buf_add(struct buf *buf, const char *text);
void buf_addc(struct buf *buf, char c);
void buf_addf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Makes room for `len` more bytes and returns where they may be written, or NULL when they would
 * exceed the maximum. They hold anything until buf_filled() says how many were written. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_filled(struct buf *buf, size_t len); /* at most what was reserved */

void buf_clear(struct buf *buf);             /* keeps the memory */
const char *buf_text(const struct buf *buf); /* borrowed; "" while empty */
char *buf_take(struct buf *buf);             /* the caller owns the text; never NULL */
void buf_done(struct buf *buf);

/* Reads a whole file of at most buf->max bytes: ERR_MISSING when it is not there, ERR_LIMIT when
 * it is longer, else ERR_INTERNAL. Works for /proc files, whose size is not known before. */
NODISCARD bool buf_read_file(struct buf *buf, const char *path, struct err *err);

static inline void buf_done_auto_(struct buf *buf)
{
    buf_done(buf);
}
