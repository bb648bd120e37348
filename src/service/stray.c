/* Orphans which reach us because their keeper died.
 *
 * Killing every unknown child was rejected: the program may have become what it is by exec in a
 * shell with background jobs, and other folders fork children too. Trusting the environment alone
 * was rejected as well: programs that retitle themselves overwrite it. So a stray must be our
 * child, not in our own session (servers always have their own), unknown, and marked by session or
 * environment.
 *
 * The tables are process-wide because what they describe, our children, is. */
#include "service/stray.h"

#include "base/clock.h"
#include "device/proc.h"
#include "service/tree.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KNOWN_MAX = 256, SESSION_MAX = 256 };

static struct {
    pid_t known[KNOWN_MAX]; /* 0: free */
    pid_t sessions[SESSION_MAX];
    size_t session_next; /* the oldest is overwritten */
    bool init;
} strays;

void service_child_add(pid_t pid)
{
    for (size_t i = 0; i < KNOWN_MAX; i++)
        if (strays.known[i] == 0) {
            strays.known[i] = pid;
            return;
        }
}

void service_child_remove(pid_t pid)
{
    for (size_t i = 0; i < KNOWN_MAX; i++)
        if (strays.known[i] == pid)
            strays.known[i] = 0;
}

static bool stray_in(const pid_t *list, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == pid)
            return true;
    return false;
}

void service_session_add(pid_t session)
{
    if (!stray_in(strays.sessions, SESSION_MAX, session))
        strays.sessions[strays.session_next++ % SESSION_MAX] = session;
}

bool service_init(struct err *err)
{
    if (strays.init)
        return true;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return err_sys(err, "becoming a subreaper");
    struct service_tree tree;
    if (!service_tree_init(&tree))
        return err_sys(err, "listing processes");
    if (service_tree_scan(&tree, getpid()))
        for (size_t i = 0; i < tree.count; i++)
            if (tree.entries[i].ppid == getpid())
                service_child_add(tree.entries[i].pid);
    service_tree_done(&tree);
    strays.init = true;
    return true;
}

static bool stray_is(const struct service_tree_entry *entry)
{
    if (entry->ppid != getpid() || entry->session == getsid(0) ||
        stray_in(strays.known, KNOWN_MAX, entry->pid))
        return false;
    if (stray_in(strays.sessions, SESSION_MAX, entry->session))
        return true;
    if (entry->state == 'Z') /* its environment is gone, and it harms nobody */
        return false;
    AUTO(free) char *mark = proc_environ("/proc", entry->pid, "SPICA_SERVICE");
    return mark != NULL;
}

/* Stops, kills and reaps what is there now; returns how many live ones were signalled. */
static int stray_pass(struct service_tree *tree, bool *ret_any)
{
    int alive = 0;
    *ret_any = false;
    if (!service_tree_scan(tree, getpid()))
        return 0;
    for (size_t i = 0; i < tree->count; i++)
        tree->entries[i].member = false; /* ours are not all strays: mark anew */
    tree->members = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const struct service_tree_entry *entry = &tree->entries[i];
        if (!stray_is(entry))
            continue;
        *ret_any = true;
        if (entry->state == 'Z')
            waitpid(entry->pid, NULL, WNOHANG);
        else
            service_tree_mark_with(tree, entry->pid);
    }
    for (size_t i = 0; i < tree->count; i++) /* known as zombies too, when they come to us */
        if (tree->entries[i].member && tree->entries[i].session != getsid(0))
            service_session_add(tree->entries[i].session);
    if (tree->members > 1) /* none forks while the others are being killed */
        service_tree_signal_members(tree, SIGSTOP);
    alive = (int)service_tree_signal_members(tree, SIGKILL);
    return alive;
}

int service_reap_strays(int64_t within_ns)
{
    struct service_tree tree;
    if (!service_tree_init(&tree))
        return 0;
    int found = 0;
    bool any = true;
    const int64_t deadline = clock_now_ns() + within_ns;
    const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
    while (any) {
        int alive = stray_pass(&tree, &any);
        found = alive > found ? alive : found;
        if (!any || clock_now_ns() >= deadline)
            break;
        nanosleep(&pause, NULL);
    }
    service_tree_done(&tree);
    return found;
}
