/* Our side of a service: make what the keeper needs, fork it, and believe only what it reports.
 *
 * All state is in `status`, changed in one place (process_take_report) as reports arrive. The
 * keeper's end of the socket is the second witness: EMPTY counts only once the keeper is gone too,
 * and an end without EMPTY means that the keeper was killed; then we, as subreaper, do its work.
 *
 * Invariant: a process that was handed out has a keeper that is registered as our child until it is
 * reaped, or, after free, is left to finish alone. */
#include "service/process.h"

#include "base/clock.h"
#include "base/file.h"
#include "device/proc.h"
#include "service/container.h"
#include "service/environment.h"
#include "service/keeper.h"
#include "service/limit.h"
#include "service/stray.h"
#include "service/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define START_WITHIN_NS (20 * NS_PER_S)
#define FLUSH_WITHIN_NS (2 * NS_PER_S)
#define KILL_WITHIN_NS (5 * NS_PER_S)
#define LOST_PASS_NS (50 * NS_PER_MS)
#define REMOVE_WITHIN_NS (60 * NS_PER_S) /* of a container, by its runtime */
#define LOOK_DENSE_NS (5 * NS_PER_S)     /* after its id is known, look for its processes often: */
#define LOOK_FIRST_NS (5 * NS_PER_MS)
#define LOOK_LAST_NS (5 * NS_PER_S)
/* A runtime's client ends with 125 to 127 for failures of its own (or as the server did), with 128
 * and the number for a signal, as a shell. */
enum { RUNTIME_FAILED = 125, SHELL_SIGNALLED = 128, LAST_WORDS_BYTES = 300 };

struct service_process {
    char *name, *log_path;
    int control_fd,
        watch_fd; /* watch_fd: epoll over control_fd, empty when there is no more news */
    struct keeper_shared *shared; /* mapped */
    struct service_limit limit;
    struct service_container *container; /* owned; NULL: it is none */
    int64_t look_at_ns, id_since_ns;     /* for its processes; CLOCK_NEVER: found */
    int64_t extra_ticks;                 /* start of status.extra_root */
    pid_t guard;                         /* what we forked; 0: nothing yet */
    struct process_status status;
    bool started, empty_reported, closed, flushed;
    struct keeper_report failure; /* REPORT_FAILED, when that came instead of REPORT_STARTED */
};

/* Descriptors which only the keeper needs; closed here after the fork. */
struct process_pipes {
    int control, parent, null, output_read, output_write, log;
};
#define PROCESS_PIPES_NONE ((struct process_pipes){-1, -1, -1, -1, -1, -1})

static void process_pipes_close(struct process_pipes *pipes)
{
    const int fds[] = {pipes->control,     pipes->parent,       pipes->null,
                       pipes->output_read, pipes->output_write, pipes->log};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *pipes = PROCESS_PIPES_NONE;
}

static bool process_make_folder(const struct service_launch *launch, struct err *err)
{
    if (!file_make_folders(launch->scratch, err))
        return false;
    if (chmod(launch->scratch, 0700) != 0)
        return err_sys(err, "making %s private", launch->scratch);
    AUTO(free) char *log_folder = file_folder(launch->log_path);
    if (!file_make_folders(log_folder, err))
        return false;
    if (!launch->config_name)
        return true;
    AUTO(free) char *path = file_join(launch->scratch, launch->config_name);
    return file_write_atomic(path, launch->config_text, strlen(launch->config_text), err);
}

static bool process_make_pipes(struct service_process *process, const struct service_launch *launch,
                               struct process_pipes *pipes, struct err *err)
{
    pipes->log = open(launch->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (pipes->log < 0)
        return err_sys(err, "opening the log %s", launch->log_path);
    pipes->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (pipes->null < 0)
        return err_sys(err, "opening /dev/null");
    int control[2], output[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        return err_sys(err, "making the keeper's socket");
    process->control_fd = control[0];
    pipes->control = control[1];
    if (pipe2(output, O_CLOEXEC) != 0)
        return err_sys(err, "making the output pipe");
    pipes->output_read = output[0];
    pipes->output_write = output[1];
    fcntl(pipes->output_read, F_SETPIPE_SZ, 256 * 1024); /* fewer wake-ups in a flood; may fail */
    pipes->parent = (int)syscall(SYS_pidfd_open, getpid(), 0); /* -1 before Linux 5.3 */
    process->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (process->watch_fd < 0 ||
        epoll_ctl(process->watch_fd, EPOLL_CTL_ADD, process->control_fd, &event) != 0)
        return err_sys(err, "watching the keeper");
    void *shared = mmap(NULL, sizeof *process->shared, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return err_sys(err, "mapping shared memory");
    process->shared = shared;
    if (process->container)
        process->container->seen = &process->shared->container_seen;
    return true;
}

static bool process_fork_keeper(struct service_process *process,
                                const struct service_launch *launch,
                                const struct process_pipes *pipes, char *const *env,
                                struct err *err)
{
    const struct keeper_plan plan = {
        .control_fd = pipes->control,
        .parent_fd = pipes->parent,
        .null_fd = pipes->null,
        .output_read_fd = pipes->output_read,
        .output_write_fd = pipes->output_write,
        .log_fd = pipes->log,
        .limit_join_fd = process->limit.join_fd,
        .limit_events_fd = process->limit.events_fd,
        .limit_folder = process->limit.folder,
        .program = launch->program,
        .folder = launch->folder,
        .argv = (char *const *)(const void *)launch->argv,
        .env = env,
        .shared = process->shared,
        .container = process->container,
    };
    sigset_t all, before; /* no handler of ours may run in the keeper */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        service_guard_run(&plan);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    if (pid < 0)
        return err_sys(err, "forking a keeper");
    process->guard = pid;
    service_child_add(pid);
    return true;
}

/* The client's exit status is the container's, and says by 128 + n that signal n ended it there. */
static void process_translate_status(struct service_process *process)
{
    struct process_status *status = &process->status;
    if (!process->container || status->exit_code <= SHELL_SIGNALLED ||
        status->exit_code >= SHELL_SIGNALLED + NSIG)
        return;
    status->signal = status->exit_code - SHELL_SIGNALLED;
    status->exit_code = -1;
}

/* The client's own failure (125 to 127) and a container's look alike by their status; without an id
 * it was the client. Its words are many, so the log gets a line which says so, behind what is
 * surer; with its last words, since that line is what people are shown. */
static void process_note_failure(const struct service_process *process, struct buf *log)
{
    char id[CONTAINER_ID_SIZE];
    int code = process->status.exit_code;
    if (!process->container || code < RUNTIME_FAILED || code >= SHELL_SIGNALLED ||
        service_container_id(process->container, id))
        return;
    const char *text = buf_text(log);
    size_t end = log->len;
    while (end > 0 && (unsigned char)text[end - 1] <= ' ')
        end--;
    size_t start = end;
    while (start > 0 && text[start - 1] != '\n' && end - start < LAST_WORDS_BYTES)
        start--;
    AUTO(free) char *words = strndup(text + start, end - start);
    buf_addf(log, "\n%s (exit status %d): %s\n", SERVICE_NO_CONTAINER, code,
             words && words[0] ? words : "it said nothing");
}

/* When to look next. A scan of all processes each time is dear, but a server that answers before
 * its processes were found would be taken for a stranger: so at every poll in the first seconds of
 * the id, then ever more rarely. */
static int64_t process_next_look_ns(struct service_process *process, int64_t now_ns)
{
    int64_t since_ns = now_ns - process->id_since_ns;
    int64_t pause_ns = since_ns / 4 < LOOK_LAST_NS ? since_ns / 4 : LOOK_LAST_NS;
    return now_ns + (since_ns < LOOK_DENSE_NS ? LOOK_FIRST_NS : pause_ns);
}

/* Who computes? podman's container is an orphan that came to our keeper; docker's is a daemon's,
 * and counts as our keeper's from now on; there the first process seen may be a step of the
 * runtime's own that ends, so it is looked for anew when it has. */
static void process_find_container(struct service_process *process)
{
    struct process_status *status = &process->status;
    int64_t now_ns = clock_now_ns();
    if (!process->container || !process->started || now_ns < process->look_at_ns ||
        !service_container_id(process->container, status->container_id))
        return;
    if (process->id_since_ns == 0)
        process->id_since_ns = now_ns;
    process->look_at_ns = process_next_look_ns(process, now_ns);
    struct proc_stat stat;
    if (status->extra_root > 0 && proc_read_stat("/proc", status->extra_root, &stat) &&
        stat.start_ticks == process->extra_ticks && stat.state != 'Z')
        return;
    struct service_tree tree;
    pid_t first = 0;
    if (!service_tree_init(&tree))
        return;
    if (service_container_processes(&tree, status->container_id, &first) > 0)
        atomic_store(&process->shared->container_seen, true);
    if (first > 0 && service_tree_scan(&tree, status->keeper)) {
        const struct service_tree_entry *entry = service_tree_find(&tree, first);
        if (entry && entry->member)
            process->look_at_ns = CLOCK_NEVER;
        if (entry && !entry->member && proc_read_stat("/proc", first, &stat) &&
            stat.start_ticks == entry->start_ticks && proc_adopt(status->keeper, &stat)) {
            status->extra_root = first;
            process->extra_ticks = stat.start_ticks;
        }
    }
    service_tree_done(&tree);
}

static void process_take_report(struct service_process *process, const struct keeper_report *report)
{
    struct process_status *status = &process->status;
    if (process->limit.folder && report->oom_kills >= 0)
        status->oom_kills = report->oom_kills;
    switch (report->kind) {
    case REPORT_STARTED:
        process->started = true;
        status->pid = report->pid;
        status->keeper = report->keeper;
        service_child_add(report->keeper); /* it is, should its guard be killed */
        status->started_ns = report->at_ns;
        service_session_add(report->pid);
        break;
    case REPORT_FAILED:
        process->failure = *report;
        break;
    case REPORT_EXITED:
        status->state = PROCESS_EXITED;
        status->exited_ns = report->at_ns;
        status->exit_code = WIFEXITED(report->status) ? WEXITSTATUS(report->status) : -1;
        status->signal = WIFSIGNALED(report->status) ? WTERMSIG(report->status) : 0;
        status->signal_was_ours = report->was_ours;
        status->runtime_oom = report->runtime_oom;
        process_translate_status(process);
        break;
    case REPORT_FLUSHED:
        process->flushed = true;
        break;
    case REPORT_EMPTY:
        process->empty_reported = true;
        break;
    }
}

static void process_sleep_ms(int ms)
{
    const struct timespec pause = {.tv_nsec = ms * NS_PER_MS};
    nanosleep(&pause, NULL);
}

/* False while it lives. A child of another's is not ours to wait for. */
static bool process_reap(pid_t pid)
{
    pid_t got = pid > 0 ? waitpid(pid, NULL, WNOHANG) : 0;
    if (pid > 0 && got == 0)
        return false;
    service_child_remove(pid);
    return true;
}

/* Its socket has ended, so it is ending, and its guard behind it: reaps them, at most a second
 * long. The keeper is our child only if its guard was killed. */
static void process_reap_keeper(struct service_process *process)
{
    bool guard = false, keeper = false;
    for (int i = 0; i < 500 && !(guard && keeper); i++) {
        guard = guard || process_reap(process->guard);
        keeper = guard && process_reap(process->status.keeper);
        if (!(guard && keeper))
            process_sleep_ms(2);
    }
}

static void process_end_news(struct service_process *process, enum process_state state)
{
    process->status.state = state;
    if (state == PROCESS_EMPTY && process->status.extra_root > 0)
        proc_disown(process->status.keeper);
    if (state == PROCESS_EMPTY)
        epoll_ctl(process->watch_fd, EPOLL_CTL_DEL, process->control_fd, NULL);
}

/* The server got SIGKILL by its parent's death; what it left behind comes to us. */
static void process_sweep_lost(struct service_process *process)
{
    struct process_status *status = &process->status;
    int ended = 0;
    if (status->exited_ns == 0 && waitpid(status->pid, &ended, WNOHANG) == status->pid) {
        status->exited_ns = clock_now_ns();
        status->signal = WIFSIGNALED(ended) ? WTERMSIG(ended) : 0;
        status->exit_code = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
        status->signal_was_ours = true;
    }
    struct service_tree tree;
    if (!service_tree_init(&tree))
        return;
    size_t left = 0;
    /* Ahead of the strays: podman's monitor, one of them, is needed for a quick removal. */
    if (process->container &&
        !service_container_remove(process->container, &tree, REMOVE_WITHIN_NS))
        left++;
    service_reap_strays(LOST_PASS_NS);
    bool scanned = service_tree_scan(&tree, getpid());
    for (size_t i = 0; i < tree.count; i++) {
        const struct service_tree_entry *entry = &tree.entries[i];
        if (entry->session != status->pid)
            continue; /* a session is the server's own: its number stays taken while one lives */
        left += entry->state != 'Z' || entry->ppid == getpid();
        if (entry->state != 'Z')
            service_tree_signal(entry, SIGKILL);
    }
    service_tree_done(&tree);
    if (scanned && left == 0) {
        if (status->exited_ns == 0) { /* reaped by another subreaper */
            status->exited_ns = clock_now_ns();
            status->signal = SIGKILL;
            status->signal_was_ours = true;
        }
        process_end_news(process, PROCESS_EMPTY);
    }
}

void service_process_poll(struct service_process *process)
{
    if (process->status.state == PROCESS_EMPTY)
        return;
    while (!process->closed) {
        struct keeper_report report;
        ssize_t got = recv(process->control_fd, &report, sizeof report, MSG_DONTWAIT);
        if (got == (ssize_t)sizeof report)
            process_take_report(process, &report);
        else if (got < 0 && errno == EAGAIN)
            break;
        /* A keeper that ends without having read our last order gives ECONNRESET once, ahead of the
         * reports that still wait: they are read after it. */
        else if (!(got < 0 && (errno == EINTR || errno == ECONNRESET)))
            process->closed = true;
    }
    process_find_container(process);
    process->status.log_bytes = atomic_load(&process->shared->log_bytes);
    process->status.log_dropped_bytes = atomic_load(&process->shared->log_dropped_bytes);
    if (!process->closed)
        return;
    if (process->status.state != PROCESS_LOST)
        process_reap_keeper(process);
    if (process->empty_reported || !process->started) {
        process_end_news(process, PROCESS_EMPTY);
        return;
    }
    process->status.keeper_lost = true;
    process_end_news(process, PROCESS_LOST);
    process_sweep_lost(process);
}

/* Polls until `*done` or the state is EMPTY, or the deadline. */
static void process_wait(struct service_process *process, const bool *done, int64_t deadline_ns)
{
    service_process_poll(process);
    while (!(done && *done) && process->status.state != PROCESS_EMPTY) {
        int64_t left_ms = (deadline_ns - clock_now_ns()) / NS_PER_MS;
        if (left_ms < 0)
            return;
        struct pollfd fd = {.fd = process->watch_fd, .events = POLLIN};
        (void)!poll(&fd, 1, left_ms < 100 ? (int)left_ms + 1 : 100);
        service_process_poll(process);
    }
}

static bool process_explain_failure(const struct service_process *process,
                                    const struct service_launch *launch, struct err *err)
{
    const struct keeper_report *failure = &process->failure;
    const char *why = strerror(failure->sys);
    int sys = failure->sys;
    if (failure->kind != REPORT_FAILED)
        return err_set(err, ERR_INTERNAL, "service %s: its keeper did not start it within %d s",
                       launch->name, (int)(START_WITHIN_NS / NS_PER_S));
    if (failure->step == STEP_FOLDER)
        return err_set(err, ERR_MISSING, "service %s: can't enter its folder %s: %s", launch->name,
                       launch->folder, why);
    if (failure->step == STEP_LIMIT)
        return err_set(err, ERR_INPUT, "service %s: memory_limit: can't join %s: %s", launch->name,
                       process->limit.folder, why);
    if (failure->step != STEP_EXEC)
        return err_set(err, ERR_INTERNAL, "service %s: preparing its process: %s", launch->name,
                       why);
    if (sys == ENOENT && file_exists(launch->program))
        why = "the interpreter in its first line is missing";
    else if (sys == ENOEXEC)
        why = "not a program for this machine (a script needs a first line such as #!/bin/sh)";
    bool missing =
        sys == ENOENT || sys == EACCES || sys == ENOEXEC || sys == ENOTDIR || sys == ELOOP;
    return err_set(err, missing ? ERR_MISSING : ERR_INTERNAL, "service %s: can't execute %s: %s",
                   launch->name, launch->program, why);
}

static bool process_start(struct service_process *process, const struct service_launch *launch,
                          const char *study, struct err *err)
{
    struct process_pipes pipes = PROCESS_PIPES_NONE;
    process->container = service_container_new(launch, study);
    int64_t limit_bytes =
        launch->spec && !process->container ? launch->spec->memory_limit_bytes : 0;
    bool ready =
        (!process->container || service_container_clear(process->container, err)) &&
        process_make_folder(launch, err) && process_make_pipes(process, launch, &pipes, err) &&
        (limit_bytes == 0 || service_limit_make(launch->name, limit_bytes, &process->limit, err));
    if (ready) {
        char **env = service_environment_build(launch, study);
        ready = process_fork_keeper(process, launch, &pipes, env, err);
        service_environment_free(env);
    }
    process_pipes_close(&pipes);
    if (!ready)
        return false;
    process_wait(process, &process->started, clock_now_ns() + START_WITHIN_NS);
    return process->started || process_explain_failure(process, launch, err);
}

bool service_process_start(const struct service_launch *launch, const char *study,
                           struct service_process **ret_process, struct err *err)
{
    AUTO(service_process_free) struct service_process *process = calloc(1, sizeof *process);
    if (!process)
        abort();
    process->name = strdup(launch->name);
    process->log_path = strdup(launch->log_path);
    process->control_fd = process->watch_fd = -1;
    process->limit = SERVICE_LIMIT_NONE;
    process->status.exit_code = -1;
    process->status.oom_kills = process->status.runtime_oom = -1;
    if (!process->name || !process->log_path)
        abort();
    if (!process_start(process, launch, study, err))
        return false;
    *ret_process = TAKE(process);
    return true;
}

int service_process_fd(const struct service_process *process)
{
    return process->watch_fd;
}

const struct process_status *service_process_status(const struct service_process *process)
{
    return &process->status;
}

static bool process_order(struct service_process *process, enum keeper_order_kind kind,
                          int64_t grace_ns)
{
    const struct keeper_order order = {.kind = kind, .grace_ns = grace_ns};
    return !process->closed && send(process->control_fd, &order, sizeof order,
                                    MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof order;
}

void service_process_stop(struct service_process *process, int64_t grace_ns)
{
    if (process->status.state == PROCESS_EMPTY)
        return;
    if (process->container && !atomic_load(&process->shared->container_seen)) {
        process->look_at_ns = 0; /* a last look while they live: see container_end.c */
        process_find_container(process);
    }
    (void)!process_order(process, ORDER_STOP, grace_ns);
}

/* "pid 12 (S), pid 13 (D)" of what lives below the keeper. */
static void process_name_survivors(const struct service_process *process, struct buf *text)
{
    struct service_tree tree;
    if (!service_tree_init(&tree))
        return;
    if (service_tree_scan(&tree, process->status.keeper))
        for (size_t i = 0; i < tree.count; i++)
            if (tree.entries[i].member)
                buf_addf(text, "%spid %d (state %c)", text->len ? ", " : "",
                         (int)tree.entries[i].pid, tree.entries[i].state);
    service_tree_done(&tree);
}

/* From the last kill to the keeper's end. */
static int64_t process_kill_within_ns(const struct service_process *process)
{
    return KILL_WITHIN_NS + (process->container ? REMOVE_WITHIN_NS : 0);
}

bool service_process_stop_wait(struct service_process *process, int64_t grace_ns, struct err *err)
{
    service_process_stop(process, grace_ns);
    process_wait(process, NULL, clock_now_ns() + grace_ns + process_kill_within_ns(process));
    if (process->status.state == PROCESS_EMPTY)
        return true;
    struct buf left = BUF_INIT(400);
    process_name_survivors(process, &left);
    if (process->status.container_id[0])
        buf_addf(&left, "%scontainer %.12s", left.len ? ", " : "", process->status.container_id);
    err_set(err, ERR_INTERNAL, "service %s does not end, even killed: %s", process->name,
            left.len ? buf_text(&left) : "its keeper does not answer");
    buf_done(&left);
    return false;
}

char *service_process_log(struct service_process *process, size_t *ret_len)
{
    process->flushed = false;
    if (process_order(process, ORDER_FLUSH, 0))
        process_wait(process, &process->flushed, clock_now_ns() + FLUSH_WITHIN_NS);
    struct err ignored = ERR_INIT; /* no log left to read is an empty log */
    struct buf text = BUF_INIT(KEEPER_HEAD_BYTES + KEEPER_TAIL_BYTES + 4096);
    (void)!buf_read_file(&text, process->log_path, &ignored);
    process_note_failure(process, &text);
    *ret_len = text.len;
    return buf_take(&text);
}

struct service_process *service_process_free(struct service_process *process)
{
    if (!process)
        return NULL;
    if (process->guard > 0 && process->status.state != PROCESS_EMPTY) {
        service_process_stop(process, 0);
        process_wait(process, NULL, clock_now_ns() + process_kill_within_ns(process));
    }
    if (process->status.extra_root > 0)
        proc_disown(process->status.keeper);
    service_limit_done(&process->limit);
    if (process->control_fd >= 0)
        close(process->control_fd); /* a keeper that is still killing goes on alone */
    if (process->watch_fd >= 0)
        close(process->watch_fd);
    if (process->shared)
        munmap(process->shared, sizeof *process->shared);
    service_container_free(process->container);
    free(process->name);
    free(process->log_path);
    free(process);
    return NULL;
}
