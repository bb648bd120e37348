/* Growth doubles, so appending n bytes costs O(n) in all. Memory is plain heap and a failed
 * allocation of a size we chose ourselves aborts: the maximum, not malloc, is what bounds us. */
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

/* Room for `len` more bytes and the NUL, not yet written. */
static char *grow(struct buf *buf, size_t len)
{
    if (len > buf->max || buf->len > buf->max - len || buf->len + len > SIZE_MAX / 4) {
        buf->over = true;
        return NULL;
    }
    size_t need = buf->len + len + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : 64;
        while (cap < need)
            cap *= 2;
        char *data = realloc(buf->data, cap);
        if (!data)
            abort();
        buf->data = data;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    char *at = grow(buf, len);
    if (at)
        at[0] = '\0';
    return at;
}

void buf_filled(struct buf *buf, size_t len)
{
    buf->len += len;
    buf->data[buf->len] = '\0';
}

bool buf_append(struct buf *buf, const void *data, size_t len)
{
    char *at = grow(buf, len);
    if (!at)
        return false;
    if (len)
        memcpy(at, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

void buf_add(struct buf *buf, const char *text)
{
    if (!buf_append(buf, text, strlen(text)))
        buf->over = true;
}

void buf_addc(struct buf *buf, char c)
{
    if (!buf_append(buf, &c, 1))
        buf->over = true;
}

void buf_addf(struct buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *at = len < 0 ? NULL : grow(buf, (size_t)len);
    if (at) {
        vsnprintf(at, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->over = false;
    if (buf->data)
        buf->data[0] = '\0';
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf)
{
    if (!buf->data && !buf_append(buf, "", 0))
        abort();
    char *data = TAKE(buf->data);
    *buf = BUF_INIT(buf->max);
    return data;
}

void buf_done(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = BUF_INIT(buf->max);
}

bool buf_read_file(struct buf *buf, const char *path, struct err *err)
{
    /* Not blocking: a pipe in a corpus must not hang us before we see what it is. */
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? err_set(err, ERR_MISSING, "%s: no such file", path)
                               : err_sys(err, "%s", path);
    struct stat stat_buf;
    if (fstat(fd, &stat_buf) != 0)
        return err_sys(err, "%s", path);
    if (!S_ISREG(stat_buf.st_mode) && !S_ISDIR(stat_buf.st_mode)) /* read() names a folder itself */
        return err_set(err, ERR_INPUT, "%s: not a regular file", path);
    for (;;) {
        /* One byte past the maximum tells "exactly full" from "longer". */
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "reading %s", path);
        if (n == 0)
            return true;
        if (!buf_append(buf, chunk, (size_t)n))
            return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes", path, buf->max);
    }
}
