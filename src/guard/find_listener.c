/* Whose is the listener on a service's port?
 *
 * "Somebody listens" is no proof: a server that has lost its port to the orphan of the one before
 * runs on, and the other one answers its probes. So who holds the listening socket is held against
 * the service's tree, its unit and its control group.
 *
 * "Another's" is said only of what is known to be so, since a service that is called down is
 * restarted. A holder that can't be seen is unknown; so are those that listen for others (systemd
 * for a socket's unit, the proxies of container engines), a process within a container, a service
 * with a network of its own, and a younger process of its main process's control group: that may
 * be a child whose parent has ended.
 *
 * Invariant: nothing is searched while the same process has the same socket (device/proc_net.c). */
#include "guard/find.h"

#include "base/buf.h"
#include "base/clock.h"
#include "device/owner.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t JUDGED_FOR_NS = 10 * NS_PER_S;
enum { GROUP_MAX = 4096, PORTS_MAX = 64 };

/* As the kernel has their names, cut at 15 bytes. "exe" is one that runs itself again, as the
 * helper of podman for ports does. */
static const char *const forwarders[] = {
    "docker-proxy", "rootlessport", "containers-root", "rootlesskit", "slirp4netns",
    "pasta",        "pasta.avx2",   "conmon",          "exe",         "systemd-socket-",
};

static bool is_forwarder(const struct proc_stat *process)
{
    for (size_t i = 0; i < ARRAY_LEN(forwarders); i++)
        if (strcmp(process->comm, forwarders[i]) == 0)
            return true;
    return process->pid == 1;
}

static bool read_group(const char *root, pid_t pid, struct buf *text)
{
    char path[128];
    struct err ignored = ERR_INIT;
    snprintf(path, sizeof path, "%s/%d/cgroup", root, (int)pid);
    return buf_read_file(text, path, &ignored) && text->len > 0;
}

/* Is a part of the path this unit's? */
static bool is_of_unit(const char *group, const char *unit)
{
    const size_t len = strlen(unit);
    for (const char *at = strstr(group, unit); at; at = strstr(at + 1, unit))
        if (at > group && at[-1] == '/' && (at[len] == '/' || at[len] == '\n' || at[len] == '\0'))
            return true;
    return false;
}

/* Both see the same ports. */
static bool share_a_network(const char *root, pid_t a, pid_t b)
{
    char path[128], of[2][64];
    const pid_t pids[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%d/ns/net", root, (int)pids[i]);
        const ssize_t len = readlink(path, of[i], sizeof of[i] - 1);
        if (len <= 0)
            return false;
        of[i][len] = '\0';
    }
    return strcmp(of[0], of[1]) == 0;
}

/* Has one of its tree a socket on that port as well? Unknown where one can't be looked at. */
static enum guard_port_owner look_in_tree(const char *root, int port, const struct proc_stat *tree,
                                          size_t count)
{
    enum guard_port_owner owner = PORT_ANOTHERS;
    for (size_t i = 0; i < count; i++) {
        int ports[PORTS_MAX];
        const int found =
            proc_is_dead(&tree[i]) ? 0 : proc_ports(root, tree[i].pid, ports, PORTS_MAX);
        for (int k = 0; k < found; k++)
            if (ports[k] == port)
                return PORT_ITS;
        if (found < 0 || found == PORTS_MAX)
            owner = PORT_UNKNOWN;
    }
    return owner;
}

static enum guard_port_owner judge(const char *root, const struct guard_port_asked *asked,
                                   const struct proc_stat *holder)
{
    const struct proc_stat *main = &asked->main;
    AUTO(buf_done) struct buf its = BUF_INIT(GROUP_MAX);
    AUTO(buf_done) struct buf holders = BUF_INIT(GROUP_MAX);
    AUTO(free) struct proc_stat *tree = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT;
    struct device_owner owner;
    if (!proc_tree(root, main->pid, &tree, &count, &ignored) || count == 0)
        return PORT_UNKNOWN;
    for (size_t i = 0; i < count; i++)
        if (tree[i].pid == holder->pid)
            return PORT_ITS;
    if (is_forwarder(holder) || !read_group(root, main->pid, &its) ||
        !read_group(root, holder->pid, &holders))
        return PORT_UNKNOWN;
    if (asked->unit && is_of_unit(buf_text(&holders), asked->unit))
        return PORT_ITS;
    device_owner_parse(buf_text(&holders), &owner);
    const bool same = strcmp(buf_text(&its), buf_text(&holders)) == 0;
    if (owner.container[0] || strcmp(owner.unit, "init.scope") == 0 ||
        (same && holder->start_ticks >= main->start_ticks) ||
        !share_a_network(root, main->pid, holder->pid))
        return PORT_UNKNOWN;
    return look_in_tree(root, asked->port, tree, count);
}

static bool is_same(const struct proc_stat *a, const struct proc_stat *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static void name_it(const char *root, const struct guard_port_asked *asked,
                    const struct proc_stat *holder, char *ret_why, size_t size)
{
    struct device_owner owner;
    device_owner_read(root, holder->pid, &owner);
    snprintf(ret_why, size, "port %d is served by process %d (%.20s%s%.50s), not by %.40s",
             asked->port, (int)holder->pid, holder->comm, owner.unit[0] ? " of " : "", owner.unit,
             asked->unit ? asked->unit : "this one");
}

enum guard_port_owner guard_port_whose(struct guard_port_look *look, const char *root,
                                       const struct guard_port_asked *asked, int64_t now_ns,
                                       char *ret_why, size_t size)
{
    struct proc_stat holder;
    if (asked->main.pid <= 0)
        return PORT_UNKNOWN;
    const pid_t pid = proc_listening(&look->listening, root, asked->port);
    if (pid == asked->main.pid)
        return PORT_ITS;
    if (pid <= 0 || !proc_read_stat(root, pid, &holder) || proc_is_dead(&holder))
        return PORT_UNKNOWN;
    if (look->judged_ns == 0 || now_ns - look->judged_ns >= JUDGED_FOR_NS ||
        !is_same(&look->holder, &holder) || !is_same(&look->main, &asked->main)) {
        look->owner = judge(root, asked, &holder);
        look->holder = holder;
        look->main = asked->main;
        look->judged_ns = now_ns;
    }
    if (look->owner == PORT_ANOTHERS)
        name_it(root, asked, &holder, ret_why, size);
    return look->owner;
}
