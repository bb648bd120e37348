/* The words of a service that runs already: a file behind its standard output or error, else the
 * journal of its run.
 *
 * A pipe or a terminal can't be read without taking the words away from somebody, so they are left
 * alone. Of a long file the first and the last part are read: where a program computes is said
 * when it starts, a missing library at the first request. A file may hold earlier runs; what it
 * says is used only beside what the driver says now, never alone, unless the file was begun after
 * the process (as a shell and systemd do it, which open it in the child). systemd numbers each run
 * (INVOCATION_ID), so the journal gives this one only; without the number it may give others too.
 *
 * Invariant: at most 1 MiB of words is held, and nothing is opened for writing. */
#include "doctor/log.h"

#include "base/clock.h"
#include "base/text.h"
#include "doctor/process.h"
#include "service/engine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>

enum { PART_SIZE = 512 << 10, JOURNAL_ENTRIES = 4000, RESCANS = 16 };

/* Lines which say nothing about where a server computes are passed over. */
static bool tells_why(enum signature_cause cause)
{
    return cause == CAUSE_MISSING_LIBRARY || cause == CAUSE_CPU_FALLBACK ||
           cause == CAUSE_PARTIAL_OFFLOAD || cause == CAUSE_DEVICE_LOST || cause == CAUSE_OOM;
}

void doctor_log_scan(struct doctor_service *service, const char *text, size_t len)
{
    const struct engine_ops *engine =
        service->kind->engine ? engine_find(service->kind->engine) : NULL;
    const struct service_signature *own = engine ? engine->signatures : NULL;
    AUTO(buf_done) struct buf left = BUF_INIT(len + 1);
    struct signature_match match;
    if (!buf_append(&left, text, len))
        return;
    /* A stronger line about something else (a port that was busy once) hides weaker ones: it is
     * blanked, and the rest looked at again. */
    for (int tries = 0; tries < RESCANS; tries++) {
        if (!signature_scan(own, left.data, left.len, &match))
            return;
        if (tells_why(match.signature->cause))
            break;
        memset(left.data + match.line_start, ' ', match.line_len);
        if (tries + 1 == RESCANS)
            return;
    }
    AUTO(buf_done) struct buf line = BUF_INIT(sizeof service->log_line - 1);
    text_add_escaped(&line, TEXT_TERMINAL, left.data + match.line_start, match.line_len, 200);
    service->log_cause = match.signature->cause;
    snprintf(service->log_line, sizeof service->log_line, "%s", buf_text(&line));
}

static bool read_part(int fd, off_t from, struct buf *text)
{
    char *room = buf_reserve(text, PART_SIZE);
    ssize_t n = room ? pread(fd, room, PART_SIZE, from) : -1;
    if (n > 0)
        buf_filled(text, (size_t)n);
    return n >= 0;
}

/* Was the file begun when the process was there already? Both in wall-clock time; a file system
 * that notes no birth, or a clock that was set since, says no. */
static bool is_of_run(const char *root, pid_t pid, int fd)
{
    static const double SLACK_S = 1; /* ticks are coarse */
    struct statx birth;
    struct proc_stat stat;
    struct timespec wall;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &birth) != 0 || !(birth.stx_mask & STATX_BTIME) ||
        !proc_read_stat(root, pid, &stat) || clock_gettime(CLOCK_REALTIME, &wall) != 0)
        return false;
    const int64_t age_ns = proc_age_ns(&stat);
    double begun_ago_s = (double)(wall.tv_sec - birth.stx_btime.tv_sec) +
                         ((double)wall.tv_nsec - birth.stx_btime.tv_nsec) / NS_PER_S;
    return age_ns >= 0 && begun_ago_s <= (double)age_ns / NS_PER_S + SLACK_S;
}

static bool read_descriptor(const char *root, struct doctor_service *service, const char *name)
{
    char path[4096], target[sizeof service->log_from];
    snprintf(path, sizeof path, "%s/%d/%s", root, (int)service->pid, name);
    struct stat at;
    if (!doctor_process_link(root, service->pid, name, target, sizeof target) ||
        stat(path, &at) != 0 || !S_ISREG(at.st_mode))
        return false;
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    AUTO(buf_done) struct buf text = BUF_INIT(2 * PART_SIZE + 2);
    if (fd < 0 || !read_part(fd, 0, &text))
        return false;
    if (at.st_size > PART_SIZE) {
        buf_addc(&text, '\n');
        off_t from = at.st_size - PART_SIZE;
        if (!read_part(fd, from > PART_SIZE ? from : PART_SIZE, &text))
            return false;
    }
    service->log = text.len ? SEEN_YES : SEEN_NO;
    service->log_of_run = is_of_run(root, service->pid, fd);
    memcpy(service->log_from, target, sizeof target);
    doctor_log_scan(service, buf_text(&text), text.len);
    return true;
}

static void add_entries(sd_journal *journal, struct buf *text)
{
    if (sd_journal_seek_tail(journal) < 0 ||
        sd_journal_previous_skip(journal, JOURNAL_ENTRIES) <= 0)
        return;
    do {
        const void *data = NULL;
        size_t len = 0;
        if (sd_journal_get_data(journal, "MESSAGE", &data, &len) < 0 || len < strlen("MESSAGE="))
            continue;
        len -= strlen("MESSAGE=");
        if (!buf_append(text, (const char *)data + strlen("MESSAGE="), len))
            return;
        buf_addc(text, '\n');
    } while (sd_journal_next(journal) > 0);
}

static void read_journal(struct doctor_service *service)
{
    char match[128];
    sd_journal *journal = NULL;
    AUTO(buf_done) struct buf text = BUF_INIT(2 * PART_SIZE);
    if (service->invocation[0])
        snprintf(match, sizeof match, "_SYSTEMD_INVOCATION_ID=%s", service->invocation);
    else
        snprintf(match, sizeof match, "_SYSTEMD_UNIT=%s", service->owner.unit);
    if (sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY) < 0)
        return;
    if (sd_journal_add_match(journal, match, 0) >= 0)
        add_entries(journal, &text);
    sd_journal_close(journal);
    if (text.len == 0)
        return; /* another user's journal looks empty: then nothing is known */
    service->log = SEEN_YES;
    service->log_of_run = service->invocation[0] != '\0';
    snprintf(service->log_from, sizeof service->log_from, "journal of %s", service->owner.unit);
    doctor_log_scan(service, buf_text(&text), text.len);
}

void doctor_log_read(const char *root, struct doctor_service *service, bool journal)
{
    static const char *const names[] = {"fd/2", "fd/1"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (read_descriptor(root, service, names[i]) && service->log_line[0])
            return;
    }
    if (journal && service->log != SEEN_YES && text_ends_with(service->owner.unit, ".service"))
        read_journal(service);
}
