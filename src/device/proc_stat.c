/* /proc/PID/stat: one line of text in which the second field may hold anything.
 *
 * The program's name stands between parentheses and is the program's own choice (prctl), so blanks,
 * parentheses and newlines occur in it. All that follows is numbers: the last ")" of the text ends
 * the name, whatever it holds. sscanf was rejected: it reads numbers that do not fit as something
 * else and takes a line cut in the middle of a number for a shorter number.
 *
 * Invariant: a stat is returned whole or not at all. Each field that we use is followed by a blank,
 * so a text cut anywhere before the end of the last one is refused. */
#include "base/clock.h"
#include "device/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

/* The longest line that the kernel can write is 52 fields of at most 20 digits and a name of 64
 * bytes; we need the first 22 fields. */
enum { STAT_SIZE = 1280 };

/* Field numbers as in proc_pid_stat(5), from the state on. */
enum {
    FIELD_STATE = 3,
    FIELD_PPID = 4,
    FIELD_PGRP = 5,
    FIELD_SESSION = 6,
    FIELD_UTIME = 14,
    FIELD_STIME = 15,
    FIELD_CUTIME = 16,
    FIELD_CSTIME = 17,
    FIELD_START = 22,
    FIELD_COUNT_
};

/* One blank, a number, and (unread) the blank after it. */
static bool read_number(const char **at, int64_t *ret_value)
{
    const char *digits = *at + 1;
    if (**at != ' ' || (*digits != '-' && (*digits < '0' || *digits > '9')))
        return false;
    char *end = NULL;
    errno = 0;
    /* A field that does not fit becomes the largest value, which no field we use may have. */
    *ret_value = strtoll(digits, &end, 10);
    if (end == digits || *end != ' ')
        return false;
    *at = end;
    return true;
}

/* Sum of two tick counts as ns; false for what no clock can have counted. */
static bool ticks_to_ns(int64_t a, int64_t b, int64_t *ret_ns)
{
    int64_t ns_per_tick = NS_PER_S / sysconf(_SC_CLK_TCK), max = INT64_MAX / 2 / ns_per_tick;
    if (a < 0 || b < 0 || a > max || b > max)
        return false;
    *ret_ns = (a + b) * ns_per_tick;
    return true;
}

int64_t proc_age_ns(const struct proc_stat *stat)
{
    struct timespec boot;
    int64_t started_ns = 0;
    if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || stat->start_ticks <= 0 ||
        !ticks_to_ns(stat->start_ticks, 0, &started_ns))
        return -1;
    const int64_t age_ns = boot.tv_sec * NS_PER_S + boot.tv_nsec - started_ns;
    return age_ns >= 0 ? age_ns : -1; /* begun later than now: not by this clock */
}

static bool is_id(int64_t value)
{
    /* The kernel writes -1 for the group and session of a process that is being taken down. */
    return value >= -1 && value <= INT_MAX;
}

static bool parse_name(const char *text, struct proc_stat *stat, const char **ret_after)
{
    size_t digits = strspn(text, "0123456789");
    const char *open = text + digits, *close = strrchr(text, ')');
    if (digits == 0 || digits > 10 || strncmp(open, " (", 2) != 0 || !close || close < open + 2)
        return false;
    int64_t pid = strtoll(text, NULL, 10);
    if (pid <= 0 || pid > INT_MAX)
        return false;
    stat->pid = (pid_t)pid;
    size_t len = (size_t)(close - open - 2);
    if (len >= PROC_COMM_SIZE)
        len = PROC_COMM_SIZE - 1;
    memcpy(stat->comm, open + 2, len);
    *ret_after = close + 1;
    return true;
}

bool proc_parse_stat(const char *text, struct proc_stat *ret_stat)
{
    struct proc_stat stat = {0};
    const char *at = NULL;
    if (!parse_name(text, &stat, &at))
        return false;
    if (at[0] != ' ' || !((at[1] >= 'A' && at[1] <= 'Z') || (at[1] >= 'a' && at[1] <= 'z')))
        return false;
    stat.state = at[1];
    at += 2;
    int64_t field[FIELD_COUNT_] = {0};
    for (int i = FIELD_PPID; i < FIELD_COUNT_; i++) {
        if (!read_number(&at, &field[i]))
            return false;
    }
    if (field[FIELD_PPID] < 0 || !is_id(field[FIELD_PPID]) || !is_id(field[FIELD_PGRP]) ||
        !is_id(field[FIELD_SESSION]) || field[FIELD_START] < 0 || field[FIELD_START] == INT64_MAX)
        return false;
    if (!ticks_to_ns(field[FIELD_UTIME], field[FIELD_STIME], &stat.cpu_ns) ||
        !ticks_to_ns(field[FIELD_CUTIME], field[FIELD_CSTIME], &stat.reaped_cpu_ns))
        return false;
    stat.ppid = (pid_t)field[FIELD_PPID];
    stat.pgrp = (pid_t)field[FIELD_PGRP];
    stat.session = (pid_t)field[FIELD_SESSION];
    stat.start_ticks = field[FIELD_START];
    *ret_stat = stat;
    return true;
}

bool proc_file_stat(int root_fd, pid_t pid, struct proc_stat *ret_stat)
{
    char text[STAT_SIZE];
    AUTO(fd) int fd = proc_file_open(root_fd, pid, "stat", 0);
    if (fd < 0)
        return false;
    /* The kernel gives the whole line to the first read: no second one to see the end. */
    ssize_t len = read(fd, text, sizeof text - 1);
    if (len <= 0)
        return false;
    text[len] = '\0';
    struct proc_stat stat;
    if (!proc_parse_stat(text, &stat) || stat.pid != pid)
        return false;
    *ret_stat = stat;
    return true;
}

bool proc_read_stat(const char *root, pid_t pid, struct proc_stat *ret_stat)
{
    AUTO(fd) int root_fd = proc_file_open_root(root);
    return root_fd >= 0 && pid > 0 && proc_file_stat(root_fd, pid, ret_stat);
}

static int compare_pids(const void *a, const void *b)
{
    const struct proc_stat *left = a, *right = b;
    return (left->pid > right->pid) - (left->pid < right->pid);
}

const struct proc_stat *proc_find(const struct proc_stat *list, size_t count, pid_t pid)
{
    const struct proc_stat key = {.pid = pid};
    return count ? bsearch(&key, list, count, sizeof *list, compare_pids) : NULL;
}

bool proc_all(const char *root, struct proc_stat **ret_list, size_t *ret_count, struct err *err)
{
    AUTO(closedir) DIR *dir = opendir(root);
    if (!dir)
        return err_sys(err, "listing the processes in %s", root);
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0, room = 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        pid_t pid = proc_file_pid(entry->d_name);
        if (pid <= 0)
            continue;
        if (count == room) {
            room = room ? room * 2 : 128;
            list = reallocarray(list, room, sizeof *list);
            if (!list)
                abort();
        }
        if (proc_file_stat(dirfd(dir), pid, &list[count]))
            count++;
    }
    /* /proc comes sorted, but nothing promises it. */
    if (count)
        qsort(list, count, sizeof *list, compare_pids);
    *ret_list = TAKE(list);
    *ret_count = count;
    return true;
}
