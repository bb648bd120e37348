/* The memory limit: one control group per service start.
 *
 * RLIMIT_AS was rejected: it counts addresses (a model mapped from disk, a CUDA context) instead of
 * memory, and is per process. Where no group can be made the start fails, because a study that asks
 * for a limit and silently runs without it measures another question.
 *
 * Places tried in order: our own group under version 2, version 2's root, our own group under
 * version 1, version 1's root. Under version 2 a group with processes in it can't have limited
 * children (except the root), so a delegated empty parent, or root, is what works there. */
#include "service/limit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct limit_kind {
    const char *mount;                               /* folder of the hierarchy */
    const char *controller;                          /* in /proc/self/cgroup: "" is version 2 */
    const char *limit_file, *swap_file, *swap_value; /* swap_value NULL: as the limit */
    const char *events_file;
};

static const struct limit_kind limit_kinds[] = {
    {"/sys/fs/cgroup", "", "memory.max", "memory.swap.max", "0", "memory.events"},
    {"/sys/fs/cgroup/unified", "", "memory.max", "memory.swap.max", "0", "memory.events"},
    {"/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
     NULL, "memory.oom_control"},
};

static int limit_open(const char *folder, const char *file, int flags)
{
    AUTO(free) char *path = file_join(folder, file);
    return open(path, flags | O_CLOEXEC);
}

static bool limit_write(const char *folder, const char *file, const char *text)
{
    int fd = limit_open(folder, file, O_WRONLY);
    if (fd < 0)
        return false;
    size_t len = strlen(text);
    bool written = write(fd, text, len) == (ssize_t)len;
    int saved = errno;
    close(fd);
    errno = saved;
    return written;
}

/* Path of our own group in a hierarchy ("a/b", "" for its root), owned; NULL when there is none. A
 * line of /proc/self/cgroup is "number:controller,controller:path". */
static char *limit_own_group(const char *controller)
{
    struct err ignored = ERR_INIT;
    struct buf text = BUF_INIT(1 << 16);
    char *found = NULL;
    if (buf_read_file(&text, "/proc/self/cgroup", &ignored) && text.len > 0) {
        char *save = NULL;
        for (char *line = strtok_r(text.data, "\n", &save); line && !found;
             line = strtok_r(NULL, "\n", &save)) {
            char *names = strchr(line, ':');
            char *path = names ? strchr(names + 1, ':') : NULL;
            if (!path)
                continue;
            *path = '\0';
            if (strcmp(names + 1, controller) == 0)
                found = strdup(path[1] == '/' ? path + 2 : path + 1); /* below the mount */
        }
    }
    buf_done(&text);
    return found;
}

static void limit_undo(struct service_limit *limit)
{
    int saved = errno;
    service_limit_done(limit);
    errno = saved;
}

/* Tries one parent group; errno says why not. */
static bool limit_make_below(const struct limit_kind *kind, const char *parent, const char *name,
                             int64_t bytes, struct service_limit *ret_limit)
{
    int probe_fd = limit_open(parent, "cgroup.procs", O_PATH);
    if (probe_fd < 0)
        return false;
    close(probe_fd);
    if (kind->controller[0] == '\0')
        (void)!limit_write(parent, "cgroup.subtree_control", "+memory"); /* often there already */
    struct service_limit limit = SERVICE_LIMIT_NONE;
    limit.folder = file_join(parent, name);
    if (mkdir(limit.folder, 0755) != 0 && errno != EEXIST) {
        int saved = errno;
        free(limit.folder);
        errno = saved;
        return false;
    }
    char value[32];
    snprintf(value, sizeof value, "%lld", (long long)bytes);
    bool limited = limit_write(limit.folder, kind->limit_file, value);
    if (limited) {
        /* Without swap accounting the limit holds for memory alone, which is what was asked. */
        (void)!limit_write(limit.folder, kind->swap_file,
                           kind->swap_value ? kind->swap_value : value);
        limit.join_fd = limit_open(limit.folder, "cgroup.procs", O_WRONLY);
        limit.events_fd = limit_open(limit.folder, kind->events_file, O_RDONLY);
    }
    if (limit.join_fd < 0 || limit.events_fd < 0) {
        limit_undo(&limit);
        return false;
    }
    *ret_limit = limit;
    return true;
}

static bool limit_make_in(const struct limit_kind *kind, const char *name, int64_t bytes,
                          struct service_limit *ret_limit, struct buf *why)
{
    AUTO(free) char *own = limit_own_group(kind->controller);
    if (!own)
        return false;
    const char *groups[] = {own, ""};
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        AUTO(free) char *parent = file_join(kind->mount, groups[i]);
        if (limit_make_below(kind, parent, name, bytes, ret_limit))
            return true;
        if (errno != ENOENT) /* this hierarchy is there but refuses */
            buf_addf(why, "%s%s: %s", why->len ? "; " : "", parent, strerror(errno));
    }
    return false;
}

bool service_limit_make(const char *name, int64_t bytes, struct service_limit *ret_limit,
                        struct err *err)
{
    char group[256];
    snprintf(group, sizeof group, "spica-%d-%s", (int)getpid(), name);
    struct buf why = BUF_INIT(512);
    bool made = false;
    for (size_t i = 0; i < ARRAY_LEN(limit_kinds) && !made; i++)
        made = limit_make_in(&limit_kinds[i], group, bytes, ret_limit, &why);
    if (!made)
        err_set(
            err, ERR_INPUT,
            "memory_limit: no memory cgroup can be made on this machine: %s; run as root or in a "
            "delegated cgroup, or leave memory_limit out",
            why.len ? buf_text(&why) : "no cgroup hierarchy with the memory controller");
    buf_done(&why);
    return made;
}

int service_limit_oom_kills(int events_fd)
{
    char text[512];
    ssize_t len = events_fd < 0 ? -1 : pread(events_fd, text, sizeof text - 1, 0);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *at = text;
    while (at &&
           strncmp(at, "oom_kill ", 9) != 0) { /* a line of its own; oom_kill_disable is not it */
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return at ? (int)strtol(at + 9, NULL, 10) : -1;
}

void service_limit_remove_folder(const char *folder)
{
    const struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
    for (int i = 0; i < 40 && rmdir(folder) != 0 && errno == EBUSY; i++)
        nanosleep(&pause, NULL);
}

void service_limit_done(struct service_limit *limit)
{
    if (limit->join_fd >= 0)
        close(limit->join_fd);
    if (limit->events_fd >= 0)
        close(limit->events_fd);
    if (limit->folder)
        service_limit_remove_folder(limit->folder);
    free(limit->folder);
    *limit = SERVICE_LIMIT_NONE;
}
