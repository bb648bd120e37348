/* The kernel's log, line by line as it is written.
 *
 * /dev/kmsg gives one record a read and wakes a poll; the journal has the same lines, later, and
 * only where it runs (then guard/journal.c reads them if this file may not be opened).
 *
 * Words that count, unchanged since Linux 4.19: "oom-kill:constraint=...,task_memcg=GROUP,task=
 * NAME,pid=N,uid=0" says whose the victim was, "Killed process N (NAME)" who it was; the driver's
 * is "NVRM: Xid (PCI:0000:44:00): 79, ...". A process of any name may have commas and parentheses
 * in it, so names are never searched for fields. */
#include "guard/journal.h"

#include "base/clock.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RECORD_MAX = 8192, RECORDS_A_WAKE = 200 };
static const int64_t FLOOD_EVERY_NS = 10 * NS_PER_S;

/* ---- words ---- */

struct span {
    const char *at, *end;
};

/* Behind `words`; at NULL: they are not there. */
static struct span behind(struct span line, const char *words)
{
    size_t len = strlen(words);
    const char *found = line.at ? memmem(line.at, (size_t)(line.end - line.at), words, len) : NULL;
    return (struct span){found ? found + len : NULL, line.end};
}

static bool take_number(struct span from, int64_t max, int64_t *ret_number, const char **ret_after)
{
    int64_t number = 0;
    const char *at = from.at;
    while (at < from.end && isdigit((unsigned char)*at) && number <= max)
        number = number * 10 + (*at++ - '0');
    *ret_number = number;
    *ret_after = at;
    return at > from.at && number <= max;
}

/* Up to one of `stops`, made harmless. */
static void take_text(struct span from, const char *stops, char *to, size_t size)
{
    size_t len = 0;
    AUTO(buf_done) struct buf safe = BUF_INIT(4 * size);
    while (from.at + len < from.end && !strchr(stops, from.at[len]))
        len++;
    text_add_escaped(&safe, TEXT_TERMINAL, from.at, len, size - 1);
    snprintf(to, size, "%s", buf_text(&safe));
}

static bool parse_kill(struct span line, struct guard_kernel_line *found)
{
    int64_t pid = 0;
    const char *after = NULL;
    struct span whose = behind(line, "oom-kill:constraint=");
    if (whose.at) {
        struct span group = behind(whose, ",task_memcg="), number = {NULL, line.end};
        /* The last one: the name before it may hold anything. */
        for (struct span next = behind(whose, ",pid="); next.at; next = behind(next, ",pid="))
            number = next;
        if (!number.at || !take_number(number, INT32_MAX, &pid, &after))
            return false;
        if (group.at)
            snprintf(found->group, sizeof found->group, "%.*s",
                     (int)(strcspn(group.at, ",") < (size_t)(line.end - group.at)
                               ? strcspn(group.at, ",")
                               : (size_t)(line.end - group.at)),
                     group.at);
        found->pid = (pid_t)pid;
        return true;
    }
    struct span who = behind(line, "Killed process ");
    if (!who.at || !take_number(who, INT32_MAX, &pid, &after))
        return false;
    found->pid = (pid_t)pid;
    if (after + 1 < line.end && after[0] == ' ' && after[1] == '(')
        take_text((struct span){after + 2, line.end}, ")", found->comm, sizeof found->comm);
    return true;
}

static bool parse_xid(struct span line, struct guard_kernel_line *found)
{
    int64_t code = 0;
    const char *after = NULL;
    struct span card = behind(line, "NVRM: Xid (PCI:");
    struct span number = behind(card, "): ");
    if (!card.at || !number.at || !take_number(number, 9999, &code, &after))
        return false;
    take_text(card, ")", found->pci, sizeof found->pci);
    if (after + 1 < line.end && after[0] == ',')
        take_text((struct span){after + 1 + (after[1] == ' '), line.end}, "", found->words,
                  sizeof found->words);
    found->code = (int)code;
    return true;
}

bool guard_kernel_parse(const char *text, size_t len, struct guard_kernel_line *ret_line)
{
    /* A copy with an end: what follows may look at characters one by one. */
    char copy[RECORD_MAX];
    const char *newline = memchr(text, '\n', len);
    if (newline)
        len = (size_t)(newline - text);
    if (len >= sizeof copy)
        len = sizeof copy - 1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (copy[i] == '\0')
            copy[i] = ' ';
    struct span line = {copy, copy + len};
    struct guard_kernel_line found = {.kind = KERNEL_KILLED};
    if (parse_kill(line, &found)) {
        *ret_line = found;
        return true;
    }
    found = (struct guard_kernel_line){.kind = KERNEL_XID};
    if (!parse_xid(line, &found))
        return false;
    *ret_line = found;
    return true;
}

/* ---- following ---- */

struct guard_kernel {
    int fd;                  /* owned */
    sd_event_source *source; /* owned */
    struct guard_log_hooks hooks;
    int64_t flood_ns;
    bool fifo;
};

struct guard_kernel *guard_kernel_free(struct guard_kernel *kernel)
{
    if (kernel) {
        sd_event_source_disable_unref(kernel->source);
        if (kernel->fd >= 0)
            close(kernel->fd);
        free(kernel);
    }
    return NULL;
}
AUTO_FN(struct guard_kernel, guard_kernel_free)

static void say_flood(struct guard_kernel *kernel)
{
    int64_t now_ns = clock_now_ns();
    if (kernel->flood_ns && now_ns - kernel->flood_ns < FLOOD_EVERY_NS)
        return;
    kernel->flood_ns = now_ns;
    kernel->hooks.flood(kernel->hooks.context, "the kernel's log");
}

/* A record is a line and perhaps lines about it, which begin with a blank. A FIFO may give several
 * lines at once. */
static void hand_on(struct guard_kernel *kernel, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(bytes + at, '\n', len - at);
        size_t end = newline ? (size_t)(newline - bytes) : len;
        if (bytes[at] != ' ')
            kernel->hooks.kernel(kernel->hooks.context, bytes + at, end - at);
        at = end + 1;
    }
}

static int on_records(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct guard_kernel *kernel = context;
    char record[RECORD_MAX];
    (void)source;
    (void)events;
    for (int i = 0; i < RECORDS_A_WAKE; i++) {
        ssize_t len = read(fd, record, sizeof record);
        if (len > 0) {
            hand_on(kernel, record, (size_t)len);
        } else if (len < 0 && errno == EPIPE) {
            say_flood(kernel); /* overwritten before it was read; the next read goes on */
        } else if (len < 0 && errno == EINTR) {
            continue;
        } else {
            return 0;
        }
    }
    return 0; /* the rest with the next wake: others take their turn */
}

bool guard_kernel_open(sd_event *event, const struct guard_log_hooks *hooks,
                       struct guard_kernel **ret_kernel, struct err *err)
{
    const char *path = getenv("SPICA_KERNEL_LOG");
    struct stat stat_;
    struct guard_kernel *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_kernel_free) struct guard_kernel *kernel = made;
    kernel->hooks = *hooks;
    kernel->fd = -1;
    path = path && path[0] ? path : "/dev/kmsg";
    kernel->fifo = stat(path, &stat_) == 0 && S_ISFIFO(stat_.st_mode);
    /* Both ways: a FIFO whose last writer has left would wake us for ever. */
    kernel->fd = open(path, (kernel->fifo ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
    if (kernel->fd < 0)
        return err_set(err, ERR_MISSING, "%s: %s", path, strerror(errno));
    if (!kernel->fifo && lseek(kernel->fd, 0, SEEK_END) < 0)
        return err_set(err, ERR_MISSING, "%s: %s", path, strerror(errno));
    int r = sd_event_add_io(event, &kernel->source, kernel->fd, EPOLLIN, on_records, kernel);
    if (r < 0)
        return err_set(err, ERR_MISSING, "%s can't be waited for: %s", path, strerror(-r));
    (void)sd_event_source_set_description(kernel->source, "kernel log");
    *ret_kernel = TAKE(kernel);
    return true;
}
