/* A program for each request, as a transport: what it writes is the answer, its exit is the end.
 *
 * A program's exit is seen through its pidfd, so SIGCHLD stays as it is. It ends the answer even
 * when something that the program started still holds its output open: its whole group is killed
 * then, as it is on a time-out, and what had been written by that moment is the answer.
 *
 * A group is reaped after its killing only, since its number could be another's otherwise; what is
 * not dead yet waits in `dying` and is looked after whenever something else ends. The worker is a
 * subreaper meanwhile, so that orphans of a program are reaped here too and not by whoever started
 * us. When the worker itself dies, the minder does what is left.
 *
 * Invariant: `done` is called exactly once per send, never from within it. */
#include "load/exec_file.h"
#include "load/exec_side.h"
#include "load/exec_start.h"
#include "load/inbox.h"
#include "load/plan.h"
#include "load/transport.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum {
    DYING_MAX = 4096,   /* groups killed and not gone */
    READS_AT_ONCE = 16, /* of one program's output, before the others have their turn */
    SAID_BYTES = 1024,  /* of a program's last words */
    CLOSE_WAITS = 500,  /* ms in which what was killed should be gone */
};

struct exec_call {
    struct load_call call;
    struct load_inbox inbox;
    struct exec_client *client;
    struct load_exec_side *side; /* of its stream */
    pid_t pid;                   /* 0: not running */
    int out, err, in, pidfd;     /* -1: closed */
    sd_event_source *out_io, *err_io, *in_io, *pid_io;
    const char *body; /* borrowed: to be written to it */
    size_t len, sent;
    char said[SAID_BYTES]; /* the end of its standard error */
    size_t said_len;
    bool waiting; /* in the client's list `ended` */
    enum load_transport_end end;
    char why[SAID_BYTES + 128];
    TAILQ_ENTRY(exec_call) link;
};
TAILQ_HEAD(exec_calls, exec_call);

struct exec_client {
    sd_event *event;
    sd_event_source *wake;
    struct load_transport_hooks hooks;
    struct exec_calls ended; /* what ended while it was sent */
    struct load_minder minder;
    char folder[64];
    int nice;
    struct rlimit files;
    struct load_exec_side sides[LOAD_STREAMS_MAX];
    size_t side_count;
    pid_t dying[DYING_MAX];
    size_t dying_count;
};

static struct exec_call *call_of(struct load_call *call)
{
    return (struct exec_call *)(void *)call;
}

/* --- the end of programs --- */

/* Reaps what is dead of a killed group; true when nothing of it is left. */
static bool reap_group(struct exec_client *client, pid_t group)
{
    pid_t got = 0;
    do
        got = waitpid(-group, NULL, WNOHANG);
    while (got > 0 || (got < 0 && errno == EINTR));
    if (got == 0)
        return false;
    load_minder_tell(&client->minder, group, 0);
    return true;
}

static void reap_dying(struct exec_client *client)
{
    size_t kept = 0;
    for (size_t i = 0; i < client->dying_count; i++)
        if (!reap_group(client, client->dying[i]))
            client->dying[kept++] = client->dying[i];
    client->dying_count = kept;
}

/* Its group's number is free for others after this, unless it is in `dying`. */
static void kill_group(struct exec_client *client, pid_t group)
{
    kill(-group, SIGKILL);
    reap_dying(client);
    if (!reap_group(client, group) && client->dying_count < DYING_MAX)
        client->dying[client->dying_count++] = group;
}

static void close_one(sd_event_source **io, int *fd)
{
    *io = sd_event_source_disable_unref(*io);
    if (*fd >= 0)
        close(fd_take(fd));
}

static void stop(struct exec_call *call)
{
    close_one(&call->out_io, &call->out);
    close_one(&call->err_io, &call->err);
    close_one(&call->in_io, &call->in);
    close_one(&call->pid_io, &call->pidfd);
    if (call->pid > 0)
        kill_group(call->client, call->pid);
    call->pid = 0;
}

static void end_call(struct exec_call *call, enum load_transport_end end)
{
    stop(call);
    call->client->hooks.done(&call->call, end);
}

/* --- while it runs --- */

/* False when the answer is over its bounds. */
static bool read_out(struct exec_call *call, int rounds)
{
    for (int i = 0; call->out >= 0 && i < rounds; i++) {
        enum load_inbox_news news = load_inbox_read(&call->inbox, call->out);
        if (news == LOAD_INBOX_FULL) {
            snprintf(call->why, sizeof call->why, "its output is over our size limit");
            return false;
        }
        if (news == LOAD_INBOX_EMPTY)
            break;
        if (news == LOAD_INBOX_TOOK)
            call->client->hooks.chunk(&call->call);
        else
            close_one(&call->out_io, &call->out);
    }
    return true;
}

/* Keeps the end of what it says. */
static void read_said(struct exec_call *call)
{
    char bytes[SAID_BYTES];
    for (int i = 0; call->err >= 0 && i < READS_AT_ONCE; i++) {
        ssize_t n = read(call->err, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            close_one(&call->err_io, &call->err);
            break;
        }
        load_exec_side_log(call->side, bytes, (size_t)n);
        size_t len = (size_t)n, keep = SAID_BYTES - len;
        keep = call->said_len < keep ? call->said_len : keep;
        memmove(call->said, call->said + call->said_len - keep, keep);
        memcpy(call->said + keep, bytes, len);
        call->said_len = keep + len;
    }
}

static int on_out(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)fd;
    (void)events;
    struct exec_call *call = ctx;
    if (!read_out(call, READS_AT_ONCE))
        end_call(call, LOAD_END_LIMIT);
    return 0;
}

static int on_err(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)fd;
    (void)events;
    read_said(ctx);
    return 0;
}

/* A program that does not want its input closes it: that is its own business. */
static void write_in(struct exec_call *call)
{
    while (call->sent < call->len) {
        ssize_t n = write(call->in, call->body + call->sent, call->len - call->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        call->sent += (size_t)n;
    }
    close_one(&call->in_io, &call->in);
}

static int on_in(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)fd;
    (void)events;
    write_in(ctx);
    return 0;
}

/* Its last line that is not blank. */
static void add_said(struct exec_call *call)
{
    size_t end = call->said_len;
    while (end > 0 && strchr(" \t\r\n", call->said[end - 1]) && call->said[end - 1])
        end--;
    size_t start = end;
    while (start > 0 && call->said[start - 1] != '\n')
        start--;
    size_t used = strlen(call->why);
    snprintf(call->why + used, sizeof call->why - used, "%s%.*s", end > start ? ": " : "",
             (int)(end - start), call->said + start);
}

static enum load_transport_end end_of(struct exec_call *call, const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED && info->si_status == 0)
        return LOAD_END_COMPLETE;
    if (info->si_code == CLD_EXITED)
        snprintf(call->why, sizeof call->why, "exit status %d", info->si_status);
    else
        snprintf(call->why, sizeof call->why, "killed by signal %d (%s)", info->si_status,
                 strsignal(info->si_status));
    add_said(call);
    return LOAD_END_FAILED;
}

/* All that it wrote is in the pipe by now; what its group writes later is not the answer's. */
static int on_exit_of(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)fd;
    (void)events;
    struct exec_call *call = ctx;
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)call->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return 0;
    kill(-call->pid, SIGKILL);
    read_said(call);
    enum load_transport_end end = read_out(call, INT32_MAX) ? end_of(call, &info) : LOAD_END_LIMIT;
    end_call(call, end);
    return 0;
}

/* --- its start --- */

static bool watch(struct exec_call *call)
{
    sd_event *event = call->client->event;
    bool ok = sd_event_add_io(event, &call->out_io, call->out, EPOLLIN, on_out, call) >= 0 &&
              sd_event_add_io(event, &call->err_io, call->err, EPOLLIN, on_err, call) >= 0 &&
              sd_event_add_io(event, &call->pid_io, call->pidfd, EPOLLIN, on_exit_of, call) >= 0;
    if (ok && call->in >= 0)
        ok = sd_event_add_io(event, &call->in_io, call->in, EPOLLOUT, on_in, call) >= 0;
    /* What was written before the exit is read before it. */
    return ok && sd_event_source_set_priority(call->pid_io, SD_EVENT_PRIORITY_NORMAL + 1) >= 0;
}

/* A pipe of which `theirs` is inherited and `ours` does not block. */
static bool make_pipe(int *ret_theirs, int *ret_ours, bool we_read)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *ret_theirs = fds[we_read ? 1 : 0];
    *ret_ours = fds[we_read ? 0 : 1];
    return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) == 0;
}

static enum load_transport_end end_of_start(int sys)
{
    switch (sys) {
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
        return LOAD_END_INTERNAL;
    default:
        return LOAD_END_CONNECT;
    }
}

static bool refuse(struct exec_call *call, const char *doing, const char *what, int sys)
{
    call->end = end_of_start(sys);
    snprintf(call->why, sizeof call->why, "%s %s: %s", doing, what, strerror(sys));
    return false;
}

static struct load_exec_side *side_of(struct exec_client *client,
                                      const struct load_program *program)
{
    size_t i = 0;
    while (i < client->side_count && client->sides[i].program != program)
        i++;
    if (i == client->side_count)
        load_exec_side_init(&client->sides[client->side_count++], program, client->folder);
    return &client->sides[i];
}

static bool begin(struct exec_call *call, const struct load_parcel *parcel)
{
    const struct load_exec_line *line = parcel->ready;
    const struct load_program *program = parcel->stream->program;
    struct exec_client *client = call->client;
    call->side = side_of(client, program);
    AUTO(fd) int in = -1;
    AUTO(fd) int out = -1;
    AUTO(fd) int err = -1;
    int sys = 0;
    if (line->sys)
        return refuse(call, "writing a file in", client->folder, line->sys);
    bool fed = parcel->request->to_stdin;
    if (!fed)
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if ((fed ? !make_pipe(&in, &call->in, false) : in < 0) || !make_pipe(&out, &call->out, true) ||
        !make_pipe(&err, &call->err, true))
        return refuse(call, "making pipes for", parcel->target, errno);
    const struct load_exec_start start = {
        .program = parcel->target,
        .argv = line->argv,
        .env = call->side->env,
        .folder = program ? program->folder : NULL,
        .in_fd = in,
        .out_fd = out,
        .err_fd = err,
        .minder = &client->minder,
        .nice = client->nice,
        .files = client->files,
    };
    pid_t pid = load_exec_start(&start, &sys);
    if (pid < 0)
        return refuse(call, "running", parcel->target, sys);
    call->pid = pid;
    call->pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
    if (call->pidfd < 0 || !watch(call))
        return refuse(call, "watching", parcel->target, EMFILE);
    if (fed)
        write_in(call);
    return true;
}

static void exec_send(struct load_call *base, const struct load_parcel *parcel)
{
    struct exec_call *call = call_of(base);
    load_inbox_reset(&call->inbox);
    call->why[0] = '\0';
    call->said_len = call->sent = 0;
    call->body = parcel->request->body.data;
    call->len = parcel->request->body.len;
    if (begin(call, parcel))
        return;
    stop(call);
    call->waiting = true;
    TAILQ_INSERT_TAIL(&call->client->ended, call, link);
    sd_event_source_set_enabled(call->client->wake, SD_EVENT_ONESHOT);
}

static void exec_cancel(struct load_call *base)
{
    struct exec_call *call = call_of(base);
    stop(call);
    if (call->waiting)
        TAILQ_REMOVE(&call->client->ended, call, link);
    call->waiting = false;
}

/* Only those that are there now: `done` may send anew, and fail at once again. */
static int on_wake(sd_event_source *source, void *ctx)
{
    struct exec_client *client = ctx;
    const struct exec_call *last = TAILQ_LAST(&client->ended, exec_calls);
    bool more = last != NULL;
    while (more && !TAILQ_EMPTY(&client->ended)) {
        struct exec_call *call = TAILQ_FIRST(&client->ended);
        more = call != last;
        TAILQ_REMOVE(&client->ended, call, link);
        call->waiting = false;
        client->hooks.done(&call->call, call->end);
    }
    if (!TAILQ_EMPTY(&client->ended))
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* --- the transport --- */

/* A program as a shell would find it, by an absolute path. */
static bool find_program(const char *name, char *ret_path, size_t size, struct err *err)
{
    const char *path = strchr(name, '/') ? "" : getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; at;) {
        size_t len = strcspn(at, ":");
        AUTO(free) char *full = NULL;
        AUTO(free) char *real = NULL;
        if (asprintf(&full, "%.*s%s%s", (int)len, at, len ? "/" : "", name) < 0)
            abort();
        real = access(full, X_OK) == 0 ? realpath(full, NULL) : NULL;
        /* The name is kept: many programs are links that look at what they are called. */
        if (real && strlen(full) < size) {
            snprintf(ret_path, size, "%s", full);
            return true;
        }
        at = at[len] ? at + len + 1 : NULL;
    }
    return err_set(err, ERR_MISSING, "there is no program %.200s", name);
}

static bool check(const struct load_stream *stream, char *ret_target, size_t size, struct err *err)
{
    const char *command = load_stream_setting(stream, "command");
    const struct load_program *program = stream->program;
    const char *fed = load_stream_setting(stream, "stdin");
    const char *name = stream->protocol->spec->name;
    AUTO(buf_done) struct buf words = BUF_INIT(65536);
    if (program && !program->path)
        return err_set(err, ERR_MISSING, "there is no program of %s", program->name);
    if (!(program ? load_exec_take(program->argv, &words, err)
                  : load_exec_words(command ? command : "", &words, err)))
        return false;
    bool audio = stream->protocol->sends_audio;
    const char *file = audio ? "{audio}" : "{text_file}";
    const char *other = audio ? "{text_file}" : "{audio}";
    bool inlined = load_exec_names(&words, "{prompt}");
    if (load_exec_names(&words, other) || (audio && inlined))
        return err_set(err, ERR_INPUT, "command: %s has no %s", name,
                       load_exec_names(&words, other) ? other : "{prompt}");
    if (!inlined && !load_exec_names(&words, file) && !(fed && strcmp(fed, "true") == 0))
        return err_set(err, ERR_INPUT, "command: it is given nothing: %s, %sor stdin: true", file,
                       audio ? "" : "{prompt} ");
    if (stream->concurrency > SPEC_PROGRAMS_MAX)
        return err_set(err, ERR_INPUT, "a concurrency of %d programs; at most %d",
                       stream->concurrency, SPEC_PROGRAMS_MAX);
    if (stream->reuse_connection)
        return err_set(err, ERR_INPUT, "%s has no connection that could be reused", name);
    if (!program)
        return find_program(words.data, ret_target, size, err);
    if (strlen(program->path) >= size)
        return err_set(err, ERR_INPUT, "command: a path too long: %.200s", program->path);
    snprintf(ret_target, size, "%s", program->path);
    return true;
}

/* What was killed is gone after this, or cannot be helped. */
static void quit(void *opaque)
{
    struct exec_client *client = opaque;
    for (int i = 0; client->dying_count > 0 && i < CLOSE_WAITS; i++) {
        reap_dying(client);
        nanosleep(&(struct timespec){.tv_nsec = client->dying_count ? NS_PER_MS : 0}, NULL);
    }
    load_minder_stop(&client->minder);
}

static void exec_close(void *opaque)
{
    struct exec_client *client = opaque;
    if (!client)
        return;
    quit(client);
    for (size_t i = 0; i < client->side_count; i++)
        load_exec_side_done(&client->sides[i]);
    sd_event_source_disable_unref(client->wake);
    sd_event_unref(client->event);
    free(client);
}

static bool exec_open(sd_event *event, const struct load_transport_hooks *hooks, void **ret_client,
                      struct err *err)
{
    struct exec_client *client = calloc(1, sizeof *client);
    const char *tmp = getenv("TMPDIR");
    if (!client)
        abort();
    client->event = sd_event_ref(event);
    client->hooks = *hooks;
    TAILQ_INIT(&client->ended);
    int len = snprintf(client->folder, sizeof client->folder, "%s/spica-XXXXXX",
                       tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    /* What the programs would have been given by our own parent, which did not change its own. */
    client->nice = getpriority(PRIO_PROCESS, (id_t)getppid());
    bool ok = len > 0 && mkdtemp(client->folder) &&
              prlimit(getppid(), RLIMIT_NOFILE, NULL, &client->files) == 0 &&
              prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
    if (!ok)
        err_sys(err, "preparing %s", client->folder);
    if (!ok || !load_minder_start(client->folder, &client->minder, err) ||
        sd_event_add_defer(event, &client->wake, on_wake, client) < 0) {
        exec_close(client);
        return err_set(err, ERR_INTERNAL, "setting up for programs");
    }
    sd_event_source_set_enabled(client->wake, SD_EVENT_OFF);
    sd_event_source_set_description(client->wake, "programs ended");
    *ret_client = client;
    return true;
}

static void *make_ready(void *client, const struct load_stream *stream,
                        const struct load_request *request)
{
    (void)stream;
    return load_exec_line_new(((struct exec_client *)client)->folder, request);
}

static void free_ready(void *ready)
{
    load_exec_line_free(ready);
}

static struct load_call *call_new(void *client)
{
    struct exec_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->client = client;
    call->out = call->err = call->in = call->pidfd = -1;
    load_inbox_reset(&call->inbox);
    call->call.answer = &call->inbox.answer;
    call->call.why = call->why;
    return &call->call;
}

static void call_free(struct load_call *base)
{
    if (!base)
        return;
    exec_cancel(base);
    load_inbox_done(&call_of(base)->inbox);
    free(call_of(base));
}

static void trim(struct load_call *call)
{
    load_inbox_trim(&call_of(call)->inbox);
}

const struct load_transport load_transport_exec = {
    .name = "exec",
    .ends_apart = true,
    .check = check,
    .open = exec_open,
    .close = exec_close,
    .quit = quit,
    .make_ready = make_ready,
    .free_ready = free_ready,
    .call_new = call_new,
    .call_free = call_free,
    .send = exec_send,
    .cancel = exec_cancel,
    .trim = trim,
};
