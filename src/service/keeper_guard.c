/* The guard: parent of one keeper, and a subreaper behind it.
 *
 * A keeper and spica may be killed together (an operator's `kill -9` of everything by name, the
 * kernel's choice of two when memory runs out). The server then dies by PDEATHSIG, but whatever it
 * had put into sessions of its own would pass to init. It passes to the guard, which does nothing
 * else all its life: it sleeps until its keeper has ended, kills what has come to it by then, and
 * ends when waitpid(2) says that no child is left.
 *
 * Rejected: one guard for all services, which would have to be told what to fork; a second check on
 * the next start, hours later. Killed alone, a guard is missed by nobody: its keeper passes to us.
 *
 * Law as in keeper.c: no heap, no stdio, no lock. */
#include "service/keeper.h"

#include "base/clock.h"
#include "service/container.h"
#include "service/tree.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GUARD_PASS_FIRST_MS = 2, GUARD_PASS_LAST_MS = 100 };
#define REMOVE_NS (60 * NS_PER_S)

static void guard_set_up(const struct keeper_plan *plan)
{
    setsid(); /* a signal for spica's whole process group is not for us */
    prctl(PR_SET_NAME, "spica-guard");
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    for (int fd = 0; fd < 3; fd++)
        dup2(plan->null_fd, fd);
}

/* Reaps what has ended; false when no child is left. *ret_keeper: the keeper was among them. */
static bool guard_reap(pid_t keeper, int flags, bool *ret_keeper)
{
    while (true) {
        pid_t pid = waitpid(-1, NULL, flags);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return pid == 0 || errno != ECHILD;
        *ret_keeper = *ret_keeper || pid == keeper;
        if (*ret_keeper)
            flags = WNOHANG;
    }
}

_Noreturn void service_guard_run(const struct keeper_plan *plan)
{
    struct service_tree tree;
    guard_set_up(plan);
    bool able = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && service_tree_init(&tree);
    pid_t keeper = able ? fork() : 0;
    if (keeper <= 0) /* a keeper without a guard is better than none */
        service_keeper_run(plan);
    service_keeper_close_from(3);
    bool ended = false;
    int pass_ms = GUARD_PASS_FIRST_MS;
    bool any = guard_reap(keeper, 0, &ended);
    /* While podman's monitor lives the removal is quick, so it comes before the killing; and a
     * container without one, docker's, has nobody else. A keeper that ended by itself has done it:
     * this is one question then. */
    if (plan->container)
        (void)!service_container_remove(plan->container, &tree, REMOVE_NS);
    for (; any; any = guard_reap(keeper, WNOHANG, &ended)) {
        service_tree_kill_below(&tree, getpid());
        const struct timespec pause = {.tv_nsec = pass_ms * NS_PER_MS};
        nanosleep(&pause, NULL);
        pass_ms = pass_ms * 2 < GUARD_PASS_LAST_MS ? pass_ms * 2 : GUARD_PASS_LAST_MS;
    }
    _exit(0);
}
