/* From fork to exec of the server: only system calls, no heap, no locks.
 *
 * posix_spawn was rejected: it can't set PDEATHSIG, join a control group or move into a folder, and
 * all of that must hold before the server's first instruction. */
#include "service/keeper.h"

#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STATUS_FD = 3, OOM_SCORE_STEP = 200, OOM_SCORE_MAX = 1000 };

static _Noreturn void exec_fail(int status_fd, enum keeper_step step)
{
    struct keeper_failure failure = {.step = step, .sys = errno};
    ssize_t ignored = write(status_fd, &failure, sizeof failure); /* fits: PIPE_BUF is more */
    _exit(ignored == (ssize_t)sizeof failure ? 127 : 126);
}

/* The kernel prefers the server to us when memory runs out. Raising needs no right. */
static void exec_raise_oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    char text[16] = "";
    ssize_t len = read(fd, text, sizeof text - 1);
    long score = len > 0 ? strtol(text, NULL, 10) : 0;
    score = score + OOM_SCORE_STEP > OOM_SCORE_MAX ? OOM_SCORE_MAX : score + OOM_SCORE_STEP;
    int n = snprintf(text, sizeof text, "%ld", score);
    (void)!pwrite(fd, text, (size_t)n, 0); /* a preference only */
    close(fd);
}

/* A crash's core file could fill the disk; the evidence we want is in the log. */
static void exec_forbid_core(void)
{
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
}

static void exec_close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    struct rlimit files; /* before Linux 5.9 */
    unsigned end = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 65536
                       ? (unsigned)files.rlim_cur
                       : 65536;
    for (unsigned fd = first; fd < end; fd++)
        close((int)fd);
}

_Noreturn void service_keeper_exec(const struct keeper_plan *plan, pid_t keeper, int status_fd)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        exec_fail(status_fd, STEP_SETUP);
    if (getppid() != keeper) /* died before the line above */
        _exit(126);
    if (setsid() < 0)
        exec_fail(status_fd, STEP_SETUP);
    exec_raise_oom_score();
    if (plan->limit_join_fd >= 0 && write(plan->limit_join_fd, "0", 1) != 1)
        exec_fail(status_fd, STEP_LIMIT);
    if (chdir(plan->folder) != 0)
        exec_fail(status_fd, STEP_FOLDER);
    exec_forbid_core();
    signals_reset();
    if (dup2(plan->null_fd, 0) < 0 || dup2(plan->output_write_fd, 1) < 0 ||
        dup2(plan->output_write_fd, 2) < 0)
        exec_fail(status_fd, STEP_SETUP);
    if (status_fd != STATUS_FD && dup2(status_fd, STATUS_FD) < 0)
        exec_fail(status_fd, STEP_SETUP);
    fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
    exec_close_from(STATUS_FD + 1);
    execve(plan->program, plan->argv, plan->env);
    exec_fail(STATUS_FD, STEP_EXEC);
}
