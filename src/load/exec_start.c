/* vfork rather than fork: the worker may hold hundreds of megabytes of requests, whose page tables
 * fork would copy while sends are due. Rather than posix_spawn: that can't set PDEATHSIG.
 *
 * So the child shares our memory and may make system calls only; it says what failed by a variable.
 *
 * What it must not inherit: the worker's ignored signals, its priority, its timer slack, its limit
 * on descriptors, its descriptors. It is in a session and group of its own, and the minder knows
 * it, before it runs. */
#include "load/exec_start.h"

#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLACK_NS = 50000 }; /* the system's default */

static _Noreturn void fail(volatile int *ret_sys)
{
    *ret_sys = errno ? errno : EINVAL;
    _exit(127);
}

static _Noreturn void become(const struct load_exec_start *start, pid_t worker,
                             volatile int *ret_sys)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        fail(ret_sys);
    if (getppid() != worker) /* died before the line above */
        _exit(127);
    if (setsid() < 0)
        fail(ret_sys);
    load_minder_tell(start->minder, getpid(), 1);
    signals_reset();
    setpriority(PRIO_PROCESS, 0, start->nice);
    prctl(PR_SET_TIMERSLACK, (unsigned long)SLACK_NS);
    setrlimit(RLIMIT_NOFILE, &start->files);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* its core could fill the disk */
    if (dup2(start->in_fd, 0) < 0 || dup2(start->out_fd, 1) < 0 || dup2(start->err_fd, 2) < 0)
        fail(ret_sys);
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
        fail(ret_sys);
    if (start->folder && chdir(start->folder) != 0)
        fail(ret_sys);
    execve(start->program, start->argv, start->env);
    fail(ret_sys);
}

pid_t load_exec_start(const struct load_exec_start *start, int *ret_sys)
{
    volatile int sys = 0;
    pid_t worker = getpid();
    pid_t pid = vfork();
    if (pid == 0)
        become(start, worker, &sys);
    if (pid < 0) {
        *ret_sys = errno;
        return -1;
    }
    if (sys == 0)
        return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    load_minder_tell(start->minder, pid, 0);
    *ret_sys = sys;
    return -1;
}
