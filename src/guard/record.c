/* Recordings.
 *
 * A line is written whole with one write(), and what was written of one that failed is cut off
 * again, so that a reader finds whole lines and at most a last one that is under way. No fsync: a
 * power cut may take the last seconds, and a disk that syncs each second would be felt by the
 * services.
 *
 * What is known of the tiers stands at the head of each file, so that the newer one alone can be
 * judged again.
 *
 * Two files of half the bound each: rotating is one rename. Numbered generations were rejected, a
 * bound is what matters here. Evidence in events may be of private logs: mode 0600.
 *
 * What can't be written is said once, a full disk as what it is and all else by its own name.
 * Watching goes on, and so do decisions: neither needs the file. */
#include "guard/record.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const int64_t RETRY_NS = 10 * NS_PER_S;
enum { LINE_MAX_BYTES = 1 << 20 };

struct guard_record {
    char *path, *old_path; /* owned */
    int fd;                /* owned; -1: not open */
    int64_t size, half;    /* bytes */
    char *head;            /* owned, with its line end; NULL: none */
    bool head_due;         /* this file does not have it yet */
    int told;              /* errno that was said, and is not over; 0 */
    int64_t tried_ns;
};

char *guard_record_path(const char *folder)
{
    AUTO(free) char *absolute = file_absolute(folder);
    size_t len = strlen(absolute);
    while (len > 1 && absolute[len - 1] == '/')
        len--;
    struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%.*s.guard.jsonl", (int)len, absolute);
    return buf_take(&path);
}

struct guard_record *guard_record_close(struct guard_record *record)
{
    if (record) {
        if (record->fd >= 0)
            close(record->fd);
        free(record->path);
        free(record->old_path);
        free(record->head);
        free(record);
    }
    return NULL;
}

/* errno, 0: it is open. */
static int open_file(struct guard_record *record)
{
    struct stat stat_;
    record->fd = open(record->path,
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (record->fd < 0)
        return errno;
    if (fstat(record->fd, &stat_) < 0 || !S_ISREG(stat_.st_mode)) {
        close(record->fd);
        record->fd = -1;
        return EINVAL;
    }
    record->size = stat_.st_size;
    return 0;
}

static int rotate(struct guard_record *record)
{
    if (record->fd >= 0)
        close(record->fd);
    record->fd = -1;
    if (rename(record->path, record->old_path) < 0 && errno != ENOENT)
        return errno;
    record->head_due = record->head != NULL;
    return open_file(record);
}

/* errno, 0: it is written, all of it. */
static int put_whole(struct guard_record *record, const char *line, size_t len)
{
    int failed = 0;
    size_t done = 0;
    while (done < len && !failed) {
        ssize_t written = write(record->fd, line + done, len - done);
        if (written > 0)
            done += (size_t)written; /* what cuts it short is told by the next one */
        else if (written == 0 || errno != EINTR)
            failed = written == 0 ? EIO : errno;
    }
    if (!failed)
        record->size += (int64_t)len;
    else if (done > 0)
        (void)!ftruncate(record->fd, record->size);
    return failed;
}

/* Behind the head, where that is due. */
static int put(struct guard_record *record, const char *line, size_t len)
{
    int failed = 0;
    int64_t head = record->head_due ? (int64_t)strlen(record->head) : 0;
    if (record->fd < 0)
        failed = open_file(record);
    if (!failed && record->size > 0 && record->size + head + (int64_t)len > record->half)
        failed = rotate(record);
    if (!failed && record->head_due) {
        failed = put_whole(record, record->head, strlen(record->head));
        record->head_due = failed != 0;
    }
    return failed ? failed : put_whole(record, line, len);
}

/* Of the disk, a quota, or the size that a file may have. */
static bool is_full(int failed)
{
    return failed == ENOSPC || failed == EDQUOT || failed == EFBIG;
}

bool guard_record_open(const char *folder, int64_t bytes, struct guard_record **ret_record,
                       struct err *err)
{
    static const char begins[] = GUARD_TICK_BEGINS "\n";
    if (bytes <= 0) {
        *ret_record = NULL;
        return true;
    }
    struct guard_record *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_record_close) struct guard_record *record = made;
    struct buf old = BUF_INIT(8192);
    record->fd = -1;
    record->half = bytes / 2;
    record->path = guard_record_path(folder);
    buf_addf(&old, "%s.1", record->path);
    record->old_path = buf_take(&old);
    int failed = put(record, begins, sizeof begins - 1);
    if (failed && !is_full(failed))
        return err_set(err, failed == EACCES || failed == EPERM ? ERR_INPUT : ERR_INTERNAL,
                       "recording into %s: %s (record: 0B in guard: records nothing)", record->path,
                       strerror(failed));
    *ret_record = TAKE(record);
    return true;
}

void guard_record_set_head(struct guard_record *record, const char *head)
{
    const size_t len = strlen(head);
    if (!record || (int64_t)len + 1 > record->half / 2)
        return;
    free(record->head);
    record->head = malloc(len + 2);
    if (!record->head)
        abort();
    memcpy(record->head, head, len);
    memcpy(record->head + len, "\n", 2);
    record->head_due = true;
}

static void note(struct guard_record *record, int failed, struct guard_events *events)
{
    if (failed && is_full(failed) && record->told != failed)
        guard_events_add(events, EVENT_DISK_FULL, -1,
                         "%s: %s; nothing is recorded until there is room, the watching goes on",
                         record->path, strerror(failed));
    else if (failed && record->told != failed)
        guard_events_add(events, EVENT_NO_RECORD, -1,
                         "%s can't be written: %s; tried again every %d s, the watching goes on",
                         record->path, strerror(failed), (int)(RETRY_NS / NS_PER_S));
    else if (!failed && record->told)
        guard_events_add(events, EVENT_DISK_WRITES, -1, "%s: recording goes on", record->path);
    record->told = failed;
}

void guard_record_add(struct guard_record *record, const struct guard_tick *tick,
                      const struct guard_metric_ref *refs, size_t count,
                      struct guard_events *events)
{
    AUTO(buf_done) struct buf line = BUF_INIT(LINE_MAX_BYTES);
    if (!record || (record->told && tick->mono_ns - record->tried_ns < RETRY_NS))
        return;
    record->tried_ns = tick->mono_ns;
    guard_tick_write(tick, refs, count, &line);
    buf_addc(&line, '\n');
    if (line.over)
        return;
    note(record, put(record, buf_text(&line), line.len), events);
}

double guard_record_free_bytes(const char *folder)
{
    struct statvfs disk;
    AUTO(free) char *path = guard_record_path(folder);
    AUTO(free) char *parent = file_folder(path);
    if (statvfs(parent, &disk) < 0)
        return NAN;
    return (double)disk.f_bavail * (double)disk.f_frsize;
}
