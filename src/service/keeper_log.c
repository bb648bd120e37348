/* A log that can't grow: head, then a line that says how much is missing, then tail.
 *
 * Starts and deaths are what a log is read for; the middle of a flood is not. Rotating files were
 * rejected: they need room for the whole and lose the start first. The tail is written by flushes
 * only, always at the same place, so a server that writes 100 MB/s costs one copy into memory.
 *
 * Invariant: the file is never longer than head + line + tail. A full disk loses text, not the
 * server: what could not be written counts as dropped. */
#include "service/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool service_keeper_log_init(struct keeper_log *log, int fd)
{
    void *ring =
        mmap(NULL, KEEPER_TAIL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *log = (struct keeper_log){.fd = fd, .ring = ring == MAP_FAILED ? NULL : ring};
    return log->ring != NULL;
}

/* Writes all or reports how far it came. */
static size_t log_write_at(int fd, const char *data, size_t len, int64_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = pwrite(fd, data + done, len - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

static void log_add_tail(struct keeper_log *log, const char *data, size_t len)
{
    if (len > KEEPER_TAIL_BYTES) {
        log->tail_bytes += (int64_t)(len - KEEPER_TAIL_BYTES);
        data += len - KEEPER_TAIL_BYTES;
        len = KEEPER_TAIL_BYTES;
    }
    size_t at = (size_t)(log->tail_bytes % KEEPER_TAIL_BYTES);
    size_t first = KEEPER_TAIL_BYTES - at < len ? KEEPER_TAIL_BYTES - at : len;
    memcpy(log->ring + at, data, first);
    memcpy(log->ring, data + first, len - first);
    log->tail_bytes += (int64_t)len;
}

void service_keeper_log_add(struct keeper_log *log, const char *data, size_t len)
{
    int64_t seen = log->head_bytes + log->failed_bytes;
    size_t room = seen < KEEPER_HEAD_BYTES ? (size_t)(KEEPER_HEAD_BYTES - seen) : 0;
    size_t head = room < len ? room : len;
    if (head > 0) {
        size_t written = log_write_at(log->fd, data, head, log->head_bytes);
        log->head_bytes += (int64_t)written;
        log->failed_bytes += (int64_t)(head - written);
    }
    if (len > head)
        log_add_tail(log, data + head, len - head);
}

static int64_t log_tail_kept(const struct keeper_log *log)
{
    return log->tail_bytes < KEEPER_TAIL_BYTES ? log->tail_bytes : KEEPER_TAIL_BYTES;
}

int64_t service_keeper_log_dropped(const struct keeper_log *log)
{
    return log->failed_bytes + log->tail_bytes - log_tail_kept(log);
}

void service_keeper_log_flush(struct keeper_log *log)
{
    int64_t kept = log_tail_kept(log), dropped = service_keeper_log_dropped(log);
    int64_t end = log->head_bytes;
    if (dropped > 0) {
        char line[96];
        int len = snprintf(line, sizeof line, "\n[spica: %lld bytes of the log are missing here]\n",
                           (long long)dropped);
        end += (int64_t)log_write_at(log->fd, line, (size_t)len, end);
    }
    size_t at = (size_t)(log->tail_bytes - kept) % KEEPER_TAIL_BYTES;
    size_t first = KEEPER_TAIL_BYTES - at < (size_t)kept ? KEEPER_TAIL_BYTES - at : (size_t)kept;
    end += (int64_t)log_write_at(log->fd, log->ring + at, first, end);
    end += (int64_t)log_write_at(log->fd, log->ring, (size_t)kept - first, end);
    if (ftruncate(log->fd, end) != 0)
        return; /* nothing to do about it, and nothing depends on it */
}
