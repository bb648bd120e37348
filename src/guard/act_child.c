/* Children that work and report.
 *
 * systemd takes its time over a restart, a rollback verifies for minutes, a notify command hangs:
 * none of it may hold up the watching. Rejected: threads (the driver's library, sd-bus and curl
 * would all have to be asked whether they mind), and asynchronous calls of each library, which
 * would make a state machine of every straight line that promote/ and host/ have already.
 *
 * The child is a copy of the daemon with none of its descriptors: neither the socket of /metrics
 * nor the loop may outlive guard in it. It has a session of its own: ^C for guard is no reason to
 * leave a rollback half done. What it says is one write of one struct into a pipe (atomic: smaller
 * than PIPE_BUF); the pipe's end is the child's end, since whatever the child starts has it closed
 * on exec.
 *
 * Invariant: freeing a child calls nobody and kills nobody: a rollback must not die with who began
 * it. Who kills says so. */
#include "guard/act_child.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/signals.h"
#include "device/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

struct guard_child {
    struct guard_child_job job;
    pid_t pid;
    int fd;                        /* owned: the pipe's end for reading */
    sd_event_source *read, *timer; /* owned */
    struct guard_said said;
    bool has_said;
};

static void close_all_but(int keep)
{
    const int first = STDERR_FILENO + 1;
    if ((keep == first || close_range((unsigned)first, (unsigned)keep - 1, 0) == 0) &&
        close_range((unsigned)keep + 1, ~0U, 0) == 0)
        return;
    for (int fd = first; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
        if (fd != keep)
            close(fd);
}

static void become(const struct guard_child_job *job, int report)
{
    struct guard_said said = {0};
    setsid();
    signals_reset();
    cancel_reset();
    close_all_but(report);
    job->work(job->context, &said);
    ssize_t written = write(report, &said, sizeof said);
    _exit(written == sizeof said ? 0 : 1);
}

static void reap(struct guard_child *child)
{
    while (child->pid > 0 && waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    child->pid = 0;
}

static int on_read(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct guard_child *child = context;
    (void)events;
    ssize_t n = read(fd, &child->said, sizeof child->said);
    if (n == sizeof child->said)
        child->has_said = true;
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return 0;
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    reap(child); /* it has let go of everything: this is the time that its end takes */
    struct guard_said said = child->said; /* the child may be freed meanwhile */
    said.text[sizeof said.text - 1] = '\0';
    child->job.ended(child->job.owner, child->has_said ? &said : NULL);
    return 0;
}

static void end(const struct guard_child *child)
{
    if (child->pid > 0 && kill(-child->pid, SIGKILL) != 0) /* not yet the leader of its group */
        kill(child->pid, SIGKILL);
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
    (void)source;
    (void)usec;
    end(context);
    return 0;
}

static bool follow(struct sd_event *event, struct guard_child *child, struct err *err)
{
    int r = sd_event_add_io(event, &child->read, child->fd, EPOLLIN, on_read, child);
    if (r >= 0)
        r = sd_event_source_set_description(child->read, "what a child says");
    if (r >= 0 && child->job.within_ns > 0)
        r = sd_event_add_time_relative(event, &child->timer, CLOCK_MONOTONIC,
                                       (uint64_t)(child->job.within_ns / NS_PER_US), 0, on_late,
                                       child);
    return r >= 0 ||
           err_set(err, ERR_INTERNAL, "its process can't be waited for: %s", strerror(-r));
}

/* Before the loop follows it, nothing has been said, and it may be killed. */
static void give_up(struct guard_child *child)
{
    kill(child->pid, SIGKILL);
    reap(child);
}

bool guard_child_start(struct sd_event *event, const struct guard_child_job *job,
                       struct guard_child **ret_child, struct err *err)
{
    struct guard_child *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_child_free) struct guard_child *child = made;
    int ends[2];
    child->job = *job;
    child->fd = -1;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_sys(err, "making a pipe for a child");
    child->fd = ends[0];
    child->pid = fork();
    if (child->pid == 0)
        become(job, ends[1]);
    int sys = errno;
    close(ends[1]);
    errno = sys;
    if (child->pid < 0)
        return err_sys(err, "starting a child");
    if (!follow(event, child, err)) {
        give_up(child);
        return false;
    }
    *ret_child = TAKE(child);
    return true;
}

struct guard_child *guard_child_free(struct guard_child *child)
{
    if (child) {
        sd_event_source_disable_unref(child->read);
        sd_event_source_disable_unref(child->timer);
        if (child->fd >= 0)
            close(child->fd);
        free(child);
    }
    return NULL;
}

/* What it has started may lead a session of its own, and be ended by nobody but it. */
static void end_started(const struct guard_child *child)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT; /* then it ends alone */
    kill(child->pid, SIGSTOP);     /* it starts nothing meanwhile */
    if (!proc_tree("/proc", child->pid, &list, &count, &ignored))
        return;
    for (size_t i = 0; i < count; i++)
        if (list[i].pid != child->pid)
            kill(list[i].pgrp == list[i].pid ? -list[i].pid : list[i].pid, SIGKILL);
}

struct guard_child *guard_child_kill(struct guard_child *child)
{
    if (child && child->pid > 0) {
        end_started(child);
        end(child);
        reap(child);
    }
    return guard_child_free(child);
}
