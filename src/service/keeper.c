/* The keeper: small, dumb, and the last to leave.
 *
 * It is a subreaper, so every orphan of the server becomes its child, whatever the server did to
 * hide it; "empty" is then waitpid's own word (ECHILD). It watches us through a pidfd and through
 * the end of its socket: when we are gone, it kills the tree at once. It is killed last by nobody
 * but a person; then the server dies by PDEATHSIG and its orphans come to the guard
 * (keeper_guard.c), or, when that was killed as well, to us (stray.c).
 *
 * Rejected: doing this inside spica itself (a SIGKILL of spica would leave the tree), and an exec'd
 * helper program (one more file to find and to match by version).
 *
 * Law: after fork without exec nothing here may use the heap, stdio or a lock.
 * Invariant: it ends only when it has no child left, and its container, if it is one's, is gone. */
#include "service/keeper.h"

#include "base/clock.h"
#include "service/container.h"
#include "service/limit.h"
#include "service/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAIN_READS = 32, EXEC_WAIT_MS = 10000 };
#define PASS_FIRST_NS (2 * NS_PER_MS)
#define PASS_LAST_NS (100 * NS_PER_MS)
#define CONTAINER_KILL_NS (3 * NS_PER_S)    /* for the runtime's own kill */
#define CONTAINER_AFTER_NS (2 * NS_PER_S)   /* for its tidying up after that */
#define CONTAINER_ASK_NS (3 * NS_PER_S)     /* how it ended */
#define CONTAINER_REMOVE_NS (30 * NS_PER_S) /* one round of removing */

struct keeper {
    const struct keeper_plan *plan;
    int signal_fd, output_fd, parent_fd;
    struct keeper_log log;
    struct service_tree tree;
    pid_t server;   /* 0 once reaped: its number may be given to a stranger then */
    bool signalled; /* we sent TERM or KILL while the server lived */
    bool parent_gone, container_killed;
    int64_t kill_at_ns; /* next killing pass; CLOCK_NEVER: none wanted */
    int64_t pass_ns;    /* time to the pass after that */
};

static void keeper_report(struct keeper *keeper, struct keeper_report report)
{
    report.oom_kills = service_limit_oom_kills(keeper->plan->limit_events_fd);
    report.at_ns = clock_now_ns();
    while (send(keeper->plan->control_fd, &report, sizeof report, MSG_NOSIGNAL) < 0 &&
           errno == EINTR) {
    } /* any other failure: we are gone, and the socket's end will say so */
}

/* Reads what the server has written; false at the end of the pipe. Bounded, so that a flood does
 * not keep us from our orders. */
static bool keeper_drain(struct keeper *keeper)
{
    static char chunk[64 * 1024]; /* this process has one keeper: no need for stack or heap */
    bool open = true;
    for (int i = 0; i < DRAIN_READS; i++) {
        ssize_t got = read(keeper->output_fd, chunk, sizeof chunk);
        if (got > 0) {
            service_keeper_log_add(&keeper->log, chunk, (size_t)got);
            atomic_fetch_add(&keeper->plan->shared->log_bytes, got);
            continue;
        }
        open = got < 0 && (errno == EAGAIN || errno == EINTR);
        break;
    }
    atomic_store(&keeper->plan->shared->log_dropped_bytes,
                 service_keeper_log_dropped(&keeper->log));
    return open;
}

static void keeper_drain_rest(struct keeper *keeper)
{
    int64_t before = -1, now = 0;
    for (int i = 0; i < 64 && now != before && keeper->output_fd >= 0; i++) {
        before = atomic_load(&keeper->plan->shared->log_bytes);
        (void)keeper_drain(keeper);
        now = atomic_load(&keeper->plan->shared->log_bytes);
    }
}

/* The runtime's own stop sends what the image asks for, and tidies up. False: there is nothing to
 * stop by id yet. */
static bool keeper_stop_container(struct keeper *keeper, int64_t grace_ns)
{
    char id[CONTAINER_ID_SIZE], seconds[16];
    if (!keeper->plan->container || grace_ns < NS_PER_S || keeper->server == 0 ||
        !service_container_id(keeper->plan->container, id))
        return false;
    snprintf(seconds, sizeof seconds, "%d", (int)(grace_ns / NS_PER_S));
    const char *const words[] = {"stop", "-t", seconds, id, NULL};
    keeper->signalled = service_container_begin(keeper->plan->container, words) > 0;
    return keeper->signalled;
}

/* Before anything of the tree is killed: podman can't remove a container quickly whose monitor was
 * killed first, and docker's is not in our tree. True when it was asked, once. */
static bool keeper_kill_container(struct keeper *keeper)
{
    char id[CONTAINER_ID_SIZE], text[256];
    if (!keeper->plan->container || keeper->container_killed ||
        !service_container_id(keeper->plan->container, id))
        return false;
    const char *const words[] = {"kill", id, NULL};
    keeper->container_killed = true;
    keeper->signalled = keeper->signalled || keeper->server > 0;
    return service_container_call(keeper->plan->container, words, CONTAINER_KILL_NS, text,
                                  sizeof text) == 0;
}

static void keeper_begin_stop(struct keeper *keeper, int64_t grace_ns)
{
    int64_t at = clock_now_ns() + (grace_ns > 0 ? grace_ns : 0);
    if (at < keeper->kill_at_ns)
        keeper->kill_at_ns = at;
    if (grace_ns <= 0 || keeper_stop_container(keeper, grace_ns))
        return;
    if (keeper->server > 0) { /* not reaped yet: the group's number is still the server's */
        keeper->signalled = true;
        kill(-keeper->server, SIGTERM);
    } else if (service_tree_scan(&keeper->tree, getpid())) {
        service_tree_signal_members(&keeper->tree, SIGTERM);
    }
}

static void keeper_kill_pass(struct keeper *keeper)
{
    if (keeper_kill_container(keeper)) {
        keeper->kill_at_ns = clock_now_ns() + CONTAINER_AFTER_NS;
        return;
    }
    if (keeper->server > 0) { /* a whole group at once: no fork escapes this */
        keeper->signalled = true;
        kill(-keeper->server, SIGKILL);
        kill(keeper->server, SIGKILL); /* before its setsid there is no such group */
    }
    service_tree_kill_below(&keeper->tree, getpid());
    keeper->kill_at_ns = clock_now_ns() + keeper->pass_ns;
    keeper->pass_ns = keeper->pass_ns * 2 < PASS_LAST_NS ? keeper->pass_ns * 2 : PASS_LAST_NS;
}

static void keeper_parent_gone(struct keeper *keeper)
{
    if (keeper->parent_gone)
        return;
    keeper->parent_gone = true;
    keeper_begin_stop(keeper, 0);
}

/* How a container ended is asked before it is removed; not of one that we ended. */
static int keeper_ask_oom(const struct keeper *keeper)
{
    return keeper->plan->container && !keeper->signalled
               ? service_container_oom(keeper->plan->container, CONTAINER_ASK_NS)
               : -1;
}

/* False when nothing is left. */
static bool keeper_reap(struct keeper *keeper)
{
    while (true) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return errno != ECHILD;
        if (pid == 0)
            return true;
        if (pid != keeper->server)
            continue;
        keeper->server = 0;
        keeper_report(keeper, (struct keeper_report){.kind = REPORT_EXITED,
                                                     .pid = pid,
                                                     .status = status,
                                                     .runtime_oom = keeper_ask_oom(keeper),
                                                     .was_ours = keeper->signalled});
    }
}

static void keeper_take_orders(struct keeper *keeper)
{
    struct keeper_order order;
    ssize_t got = recv(keeper->plan->control_fd, &order, sizeof order, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        keeper_parent_gone(keeper);
    } else if (got == (ssize_t)sizeof order && order.kind == ORDER_STOP) {
        keeper_begin_stop(keeper, order.grace_ns);
    } else if (got == (ssize_t)sizeof order && order.kind == ORDER_FLUSH) {
        keeper_drain_rest(keeper);
        service_keeper_log_flush(&keeper->log);
        keeper_report(keeper, (struct keeper_report){.kind = REPORT_FLUSHED});
    }
}

static int keeper_timeout_ms(const struct keeper *keeper)
{
    if (keeper->kill_at_ns == CLOCK_NEVER)
        return -1;
    int64_t left = keeper->kill_at_ns - clock_now_ns();
    if (left <= 0)
        return 0;
    return left / NS_PER_MS >= 60000 ? 60000 : (int)(left / NS_PER_MS) + 1;
}

static void keeper_wait(struct keeper *keeper)
{
    struct pollfd fds[] = {
        {.fd = keeper->parent_gone ? -1 : keeper->plan->control_fd, .events = POLLIN},
        {.fd = keeper->parent_gone ? -1 : keeper->parent_fd, .events = POLLIN},
        {.fd = keeper->signal_fd, .events = POLLIN},
        {.fd = keeper->output_fd, .events = POLLIN},
    };
    if (poll(fds, sizeof fds / sizeof fds[0], keeper_timeout_ms(keeper)) <= 0)
        return;
    if (fds[1].revents)
        keeper_parent_gone(keeper);
    if (fds[0].revents)
        keeper_take_orders(keeper);
    struct signalfd_siginfo info[16];
    if (fds[2].revents && read(keeper->signal_fd, info, sizeof info) < 0)
        return; /* only a wake-up: keeper_reap() looks for itself */
    if (fds[3].revents && !keeper_drain(keeper)) {
        close(keeper->output_fd);
        keeper->output_fd = -1;
    }
}

static _Noreturn void keeper_end(struct keeper *keeper)
{
    keeper_drain_rest(keeper);
    service_keeper_log_flush(&keeper->log);
    while (keeper->plan->container &&
           !service_container_remove(keeper->plan->container, &keeper->tree, CONTAINER_REMOVE_NS)) {
    } /* processes are left: as with a child that does not die, we stay */
    keeper_report(keeper, (struct keeper_report){.kind = REPORT_EMPTY});
    if (keeper->plan->limit_folder)
        service_limit_remove_folder(keeper->plan->limit_folder);
    _exit(0);
}

void service_keeper_close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    for (unsigned fd = first; fd < 65536; fd++) /* before Linux 5.9 */
        close((int)fd);
}

/* Closes all but what the plan names, so that no pipe or lock of ours outlives us in here. */
static void keeper_close_others(const struct keeper_plan *plan)
{
    const int keep[] = {plan->control_fd,      plan->parent_fd,    plan->null_fd,
                        plan->output_read_fd,  plan->log_fd,       plan->output_write_fd,
                        plan->limit_events_fd, plan->limit_join_fd};
    size_t count = sizeof keep / sizeof keep[0];
    unsigned first = 3;
    while (true) {
        unsigned next = ~0U; /* the lowest descriptor to keep from `first` on */
        for (size_t i = 0; i < count; i++)
            if (keep[i] >= 0 && (unsigned)keep[i] >= first && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == ~0U)
            break;
        for (unsigned fd = first; fd < next; fd++)
            close((int)fd);
        first = next + 1;
    }
    service_keeper_close_from(first);
}

static bool keeper_set_up(struct keeper *keeper, const struct keeper_plan *plan)
{
    setsid();
    prctl(PR_SET_NAME, "spica-keeper");
    sigset_t all;
    sigfillset(&all); /* a TERM for everybody in our cgroup must not end us before the server */
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would reap behind our back */
    for (int fd = 0; fd < 3; fd++)
        dup2(plan->null_fd, fd);
    keeper_close_others(plan);
    *keeper = (struct keeper){.plan = plan,
                              .output_fd = plan->output_read_fd,
                              .parent_fd = plan->parent_fd,
                              .kill_at_ns = CLOCK_NEVER,
                              .pass_ns = PASS_FIRST_NS};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    keeper->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signal_fd >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 &&
           fcntl(plan->output_read_fd, F_SETFL, O_NONBLOCK) == 0 && chdir("/") == 0 &&
           service_tree_init(&keeper->tree) && service_keeper_log_init(&keeper->log, plan->log_fd);
}

/* Forks and waits for the exec; on failure says which step and why. */
static bool keeper_start_server(struct keeper *keeper, struct keeper_failure *ret_failure)
{
    int status[2];
    pid_t self = getpid();
    *ret_failure = (struct keeper_failure){.step = STEP_FORK};
    if (pipe2(status, O_CLOEXEC) != 0) {
        ret_failure->sys = errno;
        return false;
    }
    pid_t pid = fork();
    if (pid == 0)
        service_keeper_exec(keeper->plan, self, status[1]);
    ret_failure->sys = errno;
    close(status[1]);
    close(keeper->plan->output_write_fd);
    if (pid < 0)
        return false;
    keeper->server = pid;
    struct pollfd wait = {.fd = status[0], .events = POLLIN};
    struct keeper_failure failure = {.step = STEP_EXEC, .sys = ETIMEDOUT};
    ssize_t got = -1;
    if (poll(&wait, 1, EXEC_WAIT_MS) > 0)
        got = read(status[0], &failure, sizeof failure);
    close(status[0]);
    if (got == 0) /* closed by the exec */
        return true;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    *ret_failure = failure;
    return false;
}

_Noreturn void service_keeper_run(const struct keeper_plan *plan)
{
    struct keeper keeper;
    struct keeper_failure failure = {.step = STEP_SETUP};
    bool ready = keeper_set_up(&keeper, plan);
    if (!ready)
        failure.sys = errno;
    if (!ready || !keeper_start_server(&keeper, &failure)) {
        keeper_report(&keeper, (struct keeper_report){.kind = REPORT_FAILED,
                                                      .step = failure.step,
                                                      .sys = failure.sys});
        if (plan->limit_folder)
            service_limit_remove_folder(plan->limit_folder);
        _exit(1);
    }
    keeper_report(&keeper, (struct keeper_report){
                               .kind = REPORT_STARTED, .pid = keeper.server, .keeper = getpid()});
    while (keeper_reap(&keeper)) {
        if (clock_now_ns() >= keeper.kill_at_ns)
            keeper_kill_pass(&keeper);
        keeper_wait(&keeper);
    }
    keeper_end(&keeper);
}
