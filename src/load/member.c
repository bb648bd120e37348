/* One worker process as its parent sees it: a fork, a socket of frames, an end.
 *
 * Fork without exec, so that the plan need not be written down and read again; it asks for a parent
 * with a single thread, which this program is. Rejected: shared memory. A socket tells by itself
 * when the other side is gone, and records are few enough (some hundred bytes each).
 *
 * Invariant: pid > 0 means not reaped yet, so that the number can be nobody else's. */
#include "load/member.h"

#include "base/clock.h"
#include "load/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum {
    READ_BYTES = 256 << 10, /* at a time */
    IN_MAX_BYTES = 16 << 20,
    SOCKET_BYTES = 4 << 20, /* of records on their way */
};

static void widen(int fd)
{
    int bytes = SOCKET_BYTES;
    /* Over the system's limit for root, up to it for others; less is only more waiting in the
     * worker's memory. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

bool load_member_start(const struct load_plan *plan, int index, struct load_member *ret_member,
                       struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_sys(err, "making the load worker's channel");
    widen(pair[1]);
    fflush(NULL); /* what is buffered must not be written twice */
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        load_child_main(plan, index, pair[1], self);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return err_sys(err, "starting the load worker");
    }
    *ret_member = (struct load_member){.fd = pair[0], .pid = pid, .in = BUF_INIT(IN_MAX_BYTES)};
    return true;
}

/* More bytes behind those that were not handed out yet. */
static ssize_t receive(struct load_member *member)
{
    member->in.len -= member->in_at;
    if (member->in.data)
        memmove(member->in.data, member->in.data + member->in_at, member->in.len);
    member->in_at = 0;
    char *at = buf_reserve(&member->in, READ_BYTES);
    ssize_t n = -1;
    do
        n = recv(member->fd, at, READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        buf_filled(&member->in, (size_t)n);
    return n;
}

enum load_member_news load_member_next(struct load_member *member,
                                       struct load_wire_frame *ret_frame)
{
    for (;;) {
        size_t used = 0;
        enum load_wire_state state =
            load_wire_next(buf_text(&member->in) + member->in_at, member->in.len - member->in_at,
                           ret_frame, &used);
        if (state == LOAD_WIRE_BROKEN)
            return LOAD_MEMBER_BROKEN;
        if (state == LOAD_WIRE_FRAME) {
            member->in_at += used;
            return LOAD_MEMBER_FRAME;
        }
        ssize_t n = receive(member);
        if (n < 0 && errno == EAGAIN)
            return LOAD_MEMBER_NONE;
        if (n <= 0)
            return LOAD_MEMBER_CLOSED;
    }
}

void load_member_tell(struct load_member *member, int64_t word)
{
    /* No room means that it has not read many such words: it hangs. */
    if (member->fd >= 0 && send(member->fd, &word, sizeof word, MSG_NOSIGNAL) < 0 &&
        errno == EAGAIN)
        kill(member->pid, SIGKILL);
}

void load_member_reap(struct load_member *member, bool kill_it, char *ret_why, size_t size)
{
    int status = 0;
    if (kill_it)
        kill(member->pid, SIGKILL);
    pid_t got = -1;
    do
        got = waitpid(member->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != member->pid)
        snprintf(ret_why, size, "the load worker vanished");
    else if (WIFSIGNALED(status))
        snprintf(ret_why, size, "the load worker was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(ret_why, size, "the load worker exited with %d before its report",
                 WEXITSTATUS(status));
    member->pid = 0;
    close(fd_take(&member->fd));
}

void load_member_done(struct load_member *member)
{
    if (!member)
        return;
    char why[128];
    if (member->pid > 0)
        load_member_reap(member, true, why, sizeof why);
    buf_done(&member->in);
    *member = (struct load_member){.fd = -1};
}

int64_t load_member_cpu_ns(const struct load_member *member)
{
    clockid_t clock;
    struct timespec at;
    if (member->pid <= 0 || clock_getcpuclockid(member->pid, &clock) != 0 ||
        clock_gettime(clock, &at) != 0)
        return 0;
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}
