/* A process and all that descends from it, by parent links.
 *
 * Where the kernel has /proc/PID/task/TID/children, the tree is walked from its root and costs only
 * its own size; a kernel without it (CONFIG_PROC_CHILDREN) gets a scan of all processes. Children
 * belong to the thread that forked them, so each thread of each member is asked.
 *
 * Process groups, sessions and cgroups were rejected as the tree's definition: setsid leaves the
 * first two, and the third may not be made everywhere. Parent links are changed by nobody but the
 * kernel: who loses its parent gets the nearest subreaper above, our keeper. A container that a
 * daemon started has no such link; it is given one by agreement (proc_adopt).
 *
 * That move is the one race. A member that dies while we walk hands its children to an ancestor
 * whose children were read already, and they would be missed. So a walk that met a dead or vanished
 * member is repeated until two in a row agree (at most WALKS): a zombie that stays costs one walk
 * more. */
#include "device/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define OUR_MINDER "spica-minder" /* load/minder.h */

enum { WALKS = 4, CHILDREN_CHUNK = 4096, ADOPTED_MAX = 64 };

struct walk {
    int root_fd;
    struct proc_stat *list; /* owned; [0, done) have their stat read, the rest only their pid */
    size_t count, room;
    bool unsettled;   /* a member was dead or vanished: children may have moved */
    bool no_children; /* this kernel has no "children" files */
};

static void walk_add(struct walk *walk, pid_t pid)
{
    /* Children can be met twice when a thread that forked them ends in between. Trees are small: a
     * look through all of them costs less than a table. */
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->list[i].pid == pid)
            return;
    }
    if (walk->count == walk->room) {
        walk->room = walk->room ? walk->room * 2 : 16;
        walk->list = reallocarray(walk->list, walk->room, sizeof *walk->list);
        if (!walk->list)
            abort();
    }
    walk->list[walk->count++] = (struct proc_stat){.pid = pid};
}

/* Numbers separated by blanks; one may be cut by the end of a chunk and goes on in the next. */
static void walk_read_children(struct walk *walk, int fd)
{
    char chunk[CHILDREN_CHUNK];
    int64_t pid = 0;
    for (ssize_t n = read(fd, chunk, sizeof chunk); n > 0; n = read(fd, chunk, sizeof chunk)) {
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] >= '0' && chunk[i] <= '9') {
                pid = pid * 10 + (chunk[i] - '0');
                if (pid > INT32_MAX)
                    return; /* not what the kernel writes */
            } else if (pid > 0) {
                walk_add(walk, (pid_t)pid);
                pid = 0;
            }
        }
    }
    if (pid > 0)
        walk_add(walk, (pid_t)pid);
}

static void walk_add_children(struct walk *walk, pid_t pid)
{
    AUTO(fd) int fd = proc_file_open(walk->root_fd, pid, "task", O_DIRECTORY);
    AUTO(closedir) DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;
    if (!tasks)
        return; /* vanished: its stat will say so */
    fd_take(&fd);
    for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        pid_t tid = proc_file_pid(entry->d_name);
        if (tid <= 0)
            continue;
        char name[32];
        snprintf(name, sizeof name, "%d/children", (int)tid);
        AUTO(fd) int children = openat(dirfd(tasks), name, O_RDONLY | O_CLOEXEC);
        if (children >= 0)
            walk_read_children(walk, children);
        else if (errno == ENOENT && faccessat(dirfd(tasks), entry->d_name, F_OK, 0) == 0)
            walk->no_children = true;
    }
}

/* Children by agreement: what a container daemon started for a process of ours. Process-wide, like
 * the processes that it describes; passing them along with every root was rejected, since each of
 * a dozen callers would have to know which services are containers. */
static struct {
    pid_t parent, child; /* 0: free */
    int64_t start_ticks; /* of the child */
} adopted[ADOPTED_MAX];

bool proc_adopt(pid_t parent, const struct proc_stat *child)
{
    proc_disown(parent);
    for (size_t i = 0; i < ADOPTED_MAX; i++) {
        if (adopted[i].parent == 0) {
            adopted[i].parent = parent;
            adopted[i].child = child->pid;
            adopted[i].start_ticks = child->start_ticks;
            return true;
        }
    }
    return false;
}

void proc_disown(pid_t parent)
{
    for (size_t i = 0; i < ADOPTED_MAX; i++) {
        if (adopted[i].parent == parent)
            adopted[i].parent = adopted[i].child = 0;
    }
}

static pid_t parent_of(const struct proc_stat *process)
{
    for (size_t i = 0; i < ADOPTED_MAX; i++) {
        if (adopted[i].child == process->pid && adopted[i].parent > 0 &&
            adopted[i].start_ticks == process->start_ticks)
            return adopted[i].parent;
    }
    return process->ppid;
}

static void walk_add_adopted(struct walk *walk, pid_t pid)
{
    struct proc_stat child;
    for (size_t i = 0; i < ADOPTED_MAX; i++) {
        if (adopted[i].parent == pid && proc_file_stat(walk->root_fd, adopted[i].child, &child) &&
            child.start_ticks == adopted[i].start_ticks)
            walk_add(walk, child.pid);
    }
}

static void walk_drop(struct walk *walk, size_t at)
{
    memmove(&walk->list[at], &walk->list[at + 1], (walk->count - at - 1) * sizeof *walk->list);
    walk->count--;
}

/* The load worker's own, and none of the programs that it runs. */
static bool is_minder(const struct proc_stat *process, pid_t root)
{
    return process->ppid == root && strcmp(process->comm, OUR_MINDER) == 0;
}

/* Children first, the stat after: a stat that says "alive" proves that the children had not moved
 * away before they were read. */
static void walk_run(struct walk *walk, pid_t pid)
{
    walk->count = 0;
    walk->unsettled = false;
    walk_add(walk, pid);
    for (size_t i = 0; i < walk->count && !walk->no_children;) {
        pid_t member = walk->list[i].pid;
        walk_add_children(walk, member);
        walk_add_adopted(walk, member);
        struct proc_stat stat;
        bool read = proc_file_stat(walk->root_fd, member, &stat);
        if (read && is_minder(&stat, pid)) {
            walk_drop(walk, i);
            continue;
        }
        if (read) {
            walk->list[i++] = stat;
            walk->unsettled = walk->unsettled || proc_is_dead(&stat);
            continue;
        }
        walk->unsettled = true;
        walk_drop(walk, i);
    }
}

static size_t count_marked(const bool *mark, size_t count)
{
    size_t marked = 0;
    for (size_t i = 0; i < count; i++)
        marked += mark[i];
    return marked;
}

/* Up the parent links of one process. *ret_whole is cleared when a link leads to nobody. */
static bool is_below(const struct proc_stat *list, size_t count, size_t index, const pid_t *roots,
                     size_t root_count, bool *ret_whole)
{
    const struct proc_stat *at = &list[index];
    /* Listings that mix instants could show a ring of parents: no path is longer than the list. */
    for (size_t steps = 0; steps <= count; steps++) {
        for (size_t r = 0; r < root_count; r++) {
            if (at->pid == roots[r])
                return true;
        }
        pid_t parent = parent_of(at);
        if (parent == 0)
            return false;
        at = proc_find(list, count, parent);
        if (!at) {
            *ret_whole = false;
            return false;
        }
    }
    return false;
}

bool proc_mark_trees(const struct proc_stat *list, size_t count, const pid_t *roots,
                     size_t root_count, bool *mark)
{
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        if (is_below(list, count, i, roots, root_count, &whole))
            mark[i] = true;
    }
    return whole;
}

static bool scan_tree(const char *root, pid_t pid, struct proc_stat **ret_list, size_t *ret_count,
                      struct err *err)
{
    for (int tries = 1;; tries++) {
        AUTO(free) struct proc_stat *list = NULL;
        size_t count = 0;
        if (!proc_all(root, &list, &count, err))
            return false;
        AUTO(free) bool *mark = calloc(count + 1, sizeof *mark);
        if (!mark)
            abort();
        bool whole = proc_mark_trees(list, count, &pid, 1, mark);
        if (!whole && tries < WALKS)
            continue;
        size_t kept = 0, members = count_marked(mark, count);
        for (size_t i = 0; i < count && kept < members; i++) {
            members -= mark[i] && is_minder(&list[i], pid);
            if (mark[i] && !is_minder(&list[i], pid))
                list[kept++] = list[i];
        }
        *ret_list = TAKE(list);
        *ret_count = kept;
        return true;
    }
}

bool proc_tree(const char *root, pid_t pid, struct proc_stat **ret_list, size_t *ret_count,
               struct err *err)
{
    AUTO(fd) int root_fd = proc_file_open_root(root);
    if (root_fd < 0)
        return err_sys(err, "listing the processes in %s", root);
    struct proc_stat first;
    if (pid <= 0 || !proc_file_stat(root_fd, pid, &first)) {
        *ret_list = NULL;
        *ret_count = 0;
        return true;
    }
    struct walk walk = {.root_fd = root_fd};
    size_t before = 0;
    for (int tries = 0; tries < WALKS; tries++) {
        walk_run(&walk, pid);
        if (walk.no_children || !walk.unsettled || (tries && walk.count == before))
            break;
        before = walk.count;
    }
    if (walk.no_children) {
        free(walk.list);
        return scan_tree(root, pid, ret_list, ret_count, err);
    }
    *ret_list = walk.list;
    *ret_count = walk.count;
    return true;
}
