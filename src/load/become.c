/* The load worker's process after the fork.
 *
 * The child keeps nothing of its parent's: no descriptors but the channel and stderr (for last
 * words of the C library), no handlers, no mask. INT, TERM and HUP are ignored: ^C goes to the
 * whole terminal group and it is the parent who decides; the parent's death kills it. It has a
 * session to itself, for the priority's sake. Rejected: an exec of ourselves, after which plan and
 * corpus would have to be sent over.
 *
 * Invariant: nothing that the parent does with its descriptors or signals reaches the child. */
#include "load/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Beside services that want every core we must be woken in time. Allowed to root only; what it
 * costs when it is not, the lateness shows. Where sessions share the cores before their processes
 * do (sched_autogroup_enabled), a priority counts within its session alone: so the worker has one
 * of its own, and that has the priority too (sched(7)). Alone in it, it raises nobody else. */
static void raise_priority(void)
{
    setpriority(PRIO_PROCESS, 0, -10);
    static const char nice[] = "-10";
    int fd = setsid() >= 0 ? open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    /* Refused to who may not: as above. */
    ssize_t written = write(fd, nice, sizeof nice - 1);
    (void)written;
    close(fd);
}

void load_child_become(int channel, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have died before the line above. */
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, "spica-load");
    prctl(PR_SET_TIMERSLACK, 1L);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    /* What is sent to the whole group is our parent's to decide about; we end with it. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* a lost peer is an errno */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (channel != LOAD_CHANNEL && dup3(channel, LOAD_CHANNEL, O_CLOEXEC) < 0)
        _exit(1);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    if (fcntl(2, F_GETFD) < 0)
        dup2(null, 2);
    closefrom(LOAD_CHANNEL + 1);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    raise_priority();
}
