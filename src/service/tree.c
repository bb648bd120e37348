/* The tree below a process, found by parent links in one sweep over /proc.
 *
 * /proc/PID/task/TID/children would be cheaper but is a kernel option, is not complete unless all
 * are stopped, and needs a walk over threads; a control group can be killed at once but can often
 * not be made. Parent links always work here because the keeper is a subreaper: whatever a
 * descendant does (setsid, double fork), its parents end at the keeper.
 *
 * Invariant: a signal goes to a (pid, start time) seen as a descendant. The pidfd is opened first
 * and the start time compared after, so a pid that was given to a stranger in between is left
 * alone. */
#include "service/tree.h"

#include "device/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TREE_MAX = 1 << 16, /* processes on the machine; more are seen after some of these are gone */
    STOP_PASSES = 32,
};

/* What getdents64 gives; glibc declares it only under another name. */
struct tree_dirent {
    uint64_t inode;
    int64_t offset;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

bool service_tree_init(struct service_tree *tree)
{
    *tree = (struct service_tree){0};
    void *map = mmap(NULL, TREE_MAX * sizeof *tree->entries, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    tree->entries = map;
    return true;
}

void service_tree_done(struct service_tree *tree)
{
    if (tree->entries)
        munmap(tree->entries, TREE_MAX * sizeof *tree->entries);
    *tree = (struct service_tree){0};
}

static bool tree_read_entry(pid_t pid, struct service_tree_entry *ret_entry)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    struct proc_stat stat;
    if (!proc_parse_stat(text, &stat))
        return false;
    *ret_entry = (struct service_tree_entry){
        .pid = stat.pid,
        .ppid = stat.ppid,
        .session = stat.session,
        .state = stat.state,
        .start_ticks = stat.start_ticks,
    };
    return true;
}

static void tree_add_entry(struct service_tree *tree, const char *name)
{
    if (name[0] < '1' || name[0] > '9' || tree->count == TREE_MAX)
        return;
    long pid = strtol(name, NULL, 10);
    if (pid > 0 && tree_read_entry((pid_t)pid, &tree->entries[tree->count]))
        tree->count++;
}

const struct service_tree_entry *service_tree_find(const struct service_tree *tree, pid_t pid)
{
    size_t low = 0, high = tree->count; /* /proc lists pids in rising order */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tree->entries[middle].pid == pid)
            return &tree->entries[middle];
        if (tree->entries[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool tree_mark(struct service_tree *tree, struct service_tree_entry *entry, pid_t root)
{
    if (entry->member || entry->pid == root)
        return false;
    const struct service_tree_entry *parent = service_tree_find(tree, entry->ppid);
    if (entry->ppid != root && !(parent && parent->member))
        return false;
    entry->member = true;
    tree->members += entry->state != 'Z';
    return true;
}

static void tree_mark_below(struct service_tree *tree, pid_t root)
{
    bool changed = true;
    while (changed) { /* as often as pids wrapped around in a line of descent, at most */
        changed = false;
        for (size_t i = 0; i < tree->count; i++)
            changed = tree_mark(tree, &tree->entries[i], root) || changed;
    }
}

bool service_tree_scan(struct service_tree *tree, pid_t root)
{
    tree->count = 0;
    tree->members = 0;
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    _Alignas(struct tree_dirent) char chunk[8192];
    long got = syscall(SYS_getdents64, fd, chunk, sizeof chunk);
    while (got > 0) {
        for (long at = 0; at < got;) {
            const struct tree_dirent *entry =
                (const struct tree_dirent *)(const void *)(chunk + at);
            tree_add_entry(tree, entry->name);
            at += entry->reclen;
        }
        got = syscall(SYS_getdents64, fd, chunk, sizeof chunk);
    }
    close(fd);
    tree_mark_below(tree, root);
    return got == 0 && tree->count > 0;
}

void service_tree_mark_with(struct service_tree *tree, pid_t root)
{
    const struct service_tree_entry *found = service_tree_find(tree, root);
    if (!found || found->member)
        return;
    struct service_tree_entry *entry = &tree->entries[found - tree->entries];
    entry->member = true;
    tree->members += entry->state != 'Z';
    tree_mark_below(tree, root);
}

bool service_tree_signal(const struct service_tree_entry *entry, int sig)
{
    int fd = (int)syscall(SYS_pidfd_open, entry->pid, 0);
    if (fd < 0 && errno != ENOSYS && errno != EPERM)
        return false;
    struct service_tree_entry now;
    bool same = tree_read_entry(entry->pid, &now) && now.start_ticks == entry->start_ticks;
    bool sent = false;
    if (same) /* without pidfds (before Linux 5.3, or filtered) a tiny race is left */
        sent = fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0
                       : kill(entry->pid, sig) == 0;
    if (fd >= 0)
        close(fd);
    return sent;
}

size_t service_tree_signal_members(const struct service_tree *tree, int sig)
{
    size_t sent = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const struct service_tree_entry *entry = &tree->entries[i];
        if (entry->member && entry->state != 'Z')
            sent += service_tree_signal(entry, sig);
    }
    return sent;
}

/* Stops those that run; returns how many did. */
static size_t tree_stop_running(const struct service_tree *tree)
{
    size_t running = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const struct service_tree_entry *entry = &tree->entries[i];
        if (entry->member && entry->state != 'Z' && entry->state != 'T')
            running += service_tree_signal(entry, SIGSTOP);
    }
    return running;
}

size_t service_tree_kill_below(struct service_tree *tree, pid_t root)
{
    if (!service_tree_scan(tree, root) || tree->members == 0)
        return 0;
    for (int pass = 0; pass < STOP_PASSES && tree->members > 1; pass++) {
        if (tree_stop_running(tree) == 0)
            break;
        if (!service_tree_scan(tree, root))
            return 0;
    }
    size_t alive = tree->members;
    service_tree_signal_members(tree, SIGKILL);
    return alive;
}
