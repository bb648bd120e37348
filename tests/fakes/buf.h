/* Growing bytes with a stated maximum. Contents are owned by the buffer; `max_bytes` is set once.
 */
#ifndef FAKES_BUF_H
#define FAKES_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;       /* owned, always NUL-terminated once something was added */
    size_t len;       /* bytes held */
    size_t cap;       /* bytes allocated */
    size_t max_bytes; /* adding beyond this fails; 0 means 64 MiB */
};

/* False when the maximum would be passed; the buffer is then unchanged. */
bool buf_add(struct buf *buf, const void *bytes, size_t len);
bool buf_add_text(struct buf *buf, const char *text);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds the text as the inside of a JSON string (no quotes around it). */
bool buf_add_json(struct buf *buf, const char *text, size_t len);
/* Removes `len` bytes from the front. */
void buf_drop(struct buf *buf, size_t len);
void buf_done(struct buf *buf);

#endif
