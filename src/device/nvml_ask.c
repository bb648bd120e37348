/* The process that asks the driver, and the deadline for its answers.
 *
 * A call of a broken driver may never come back, and may sit in the kernel where no signal reaches
 * it. Whoever made that call is gone with it: so a fork makes it, and spica waits for the answer
 * with a deadline. After that the fork is killed, left where it does not die, and the driver counts
 * as lost for good.
 *
 * Rejected: a thread that is given up (a process does not end while one of its threads sits in the
 * kernel, so spica would be done and still be there, and forks of it would be made beside a
 * thread); a signal that jumps out of the call (it does not reach a call in the kernel, and what
 * reaches a call elsewhere leaves the library's locks held); one process per call (starting a
 * driver takes seconds).
 *
 * Requests and replies are structs, since the two are the same program. The fork stays in spica's
 * session, so it is no stray of a service's (service/stray.c), and takes no signal: it ends when
 * its socket does, or its parent.
 *
 * Invariant: after a deadline no call is waited for again. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "device/device.h"
#include "device/nvml_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

/* Long beside what a driver takes whose cards are waking up, or busy with a process's end. */
#define START_WITHIN_NS (60 * NS_PER_S)
#define CALL_WITHIN_NS (30 * NS_PER_S)
#define END_WITHIN_NS (NS_PER_S)
/* Of the whole process, since it is about who waits and not about a card: a study may wait long, a
 * daemon that is watched itself may not. */
static struct {
    int64_t start_ns, call_ns;
} patience = {START_WITHIN_NS, CALL_WITHIN_NS};
enum { ASKER_FD = 3, CLOSE_MAX = 65536 };
#define BYTES_MAX ((size_t)16 << 20) /* three lists of the most processes, and more */

/* ---- the asker's side ---- */

/* Whatever hangs here must hold nothing of ours open: locks, pipes, the terminal. */
static void shed(struct nvml *nvml)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < ASKER_FD && null_fd >= 0; fd++)
        dup2(null_fd, fd);
    if (nvml->fd != ASKER_FD)
        dup2(nvml->fd, ASKER_FD);
    nvml->fd = ASKER_FD;
    if (syscall(SYS_close_range, ASKER_FD + 1, ~0U, 0) == 0)
        return;
    for (int fd = ASKER_FD + 1; fd < CLOSE_MAX; fd++) /* before Linux 5.9 */
        close(fd);
}

static void send_reply(const struct nvml *nvml, struct nvml_reply *reply, const void *bytes)
{
    struct iovec parts[] = {{.iov_base = reply, .iov_len = sizeof *reply},
                            {.iov_base = (void *)(uintptr_t)bytes, .iov_len = reply->bytes}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        ssize_t sent = sendmsg(nvml->fd, &message, MSG_NOSIGNAL);
        if (sent <= 0)
            _exit(0); /* nobody waits for it any more */
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
            size_t part = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
            parts[i].iov_base = (char *)parts[i].iov_base + part;
            parts[i].iov_len -= part;
            sent -= (ssize_t)part;
        }
    }
}

static void give(struct buf *bytes, const void *data, size_t len)
{
    (void)!buf_append(bytes, data, len); /* over the maximum: the reply has no bytes then */
}

static int answer_cards(struct nvml_request *request, struct buf *bytes)
{
    struct nvml_card cards[NVML_CARDS_MAX];
    size_t count = request->op == NVML_ASK_CARDS
                       ? nvml_driver_cards(request->card.nvml, cards, ARRAY_LEN(cards))
                       : nvml_driver_instances(&request->card, cards, ARRAY_LEN(cards));
    give(bytes, cards, count * sizeof *cards);
    return (int)count;
}

static int answer_find(struct nvml_request *request, struct buf *bytes)
{
    struct err err = ERR_INIT;
    struct nvml_card card;
    bool found = nvml_driver_find(request->card.nvml, request->name, &card, &err);
    give(bytes, found ? (const void *)&card : &err, found ? sizeof card : sizeof err);
    return found;
}

static int answer_lists(struct nvml_request *request, struct buf *bytes)
{
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    bool told = nvml_driver_lists(&request->card, request->kinds, &list, &count);
    give(bytes, list, count * sizeof *list);
    return told;
}

static int answer_activity(struct nvml_request *request, struct buf *bytes)
{
    AUTO(free) struct nvml_activity *list = NULL;
    size_t count = 0;
    enum nvml_samples told =
        nvml_driver_activity(&request->card, request->since_wall_us, &list, &count);
    give(bytes, list, count * sizeof *list);
    return told;
}

static int answer(struct nvml_request *request, struct buf *bytes)
{
    union {
        char versions[256];
        struct nvml_identity identity;
        struct nvml_memory memory;
        struct nvml_state state;
        struct reading busy;
    } told;
    switch (request->op) {
    case NVML_ASK_VERSIONS:
        nvml_driver_versions(request->card.nvml, told.versions, sizeof told.versions);
        give(bytes, told.versions, sizeof told.versions);
        return true;
    case NVML_ASK_COUNT:
        return nvml_driver_count(request->card.nvml);
    case NVML_ASK_CARDS:
    case NVML_ASK_INSTANCES:
        return answer_cards(request, bytes);
    case NVML_ASK_FIND:
        return answer_find(request, bytes);
    case NVML_ASK_IDENTITY:
        nvml_driver_identity(&request->card, &told.identity);
        give(bytes, &told.identity, sizeof told.identity);
        return true;
    case NVML_ASK_MEMORY:
        nvml_driver_memory(&request->card, &told.memory);
        give(bytes, &told.memory, sizeof told.memory);
        return true;
    case NVML_ASK_LISTS:
        return answer_lists(request, bytes);
    case NVML_ASK_ACTIVITY:
        return answer_activity(request, bytes);
    case NVML_ASK_STATE:
        nvml_driver_state(&request->card, &told.state);
        give(bytes, &told.state, sizeof told.state);
        return true;
    case NVML_ASK_BUSY:
        told.busy = nvml_driver_busy(&request->card);
        give(bytes, &told.busy, sizeof told.busy);
        return true;
    }
    return false;
}

static struct nvml_cost now(void)
{
    return (struct nvml_cost){clock_cpu_ns(), clock_now_ns()};
}

static _Noreturn void serve(struct nvml *nvml)
{
    struct nvml_request request;
    struct nvml_cost before = now();
    AUTO(buf_done) struct buf bytes = BUF_INIT(BYTES_MAX);
    while (recv(nvml->fd, &request, sizeof request, MSG_WAITALL) == (ssize_t)sizeof request) {
        const int64_t began_ns = clock_now_ns();
        buf_clear(&bytes);
        request.card.nvml = nvml;
        struct nvml_reply reply = {.told = answer(&request, &bytes)};
        /* CPU time from one reply to the next: receiving and sending are part of the price. */
        const struct nvml_cost after = now();
        reply.fault = request.card.fault;
        reply.cost = (struct nvml_cost){after.cpu_ns - before.cpu_ns, after.wall_ns - began_ns};
        reply.bytes = bytes.len;
        before = after;
        send_reply(nvml, &reply, buf_text(&bytes));
    }
    _exit(0); /* without nvmlShutdown(): the kernel gives back all that this process had */
}

static _Noreturn void run(struct nvml *nvml, const char *library, pid_t parent)
{
    struct err err = ERR_INIT;
    prctl(PR_SET_NAME, "spica-driver");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    shed(nvml);
    struct nvml_reply reply = {.told = nvml_driver_open(nvml, library, &err), .bytes = sizeof err};
    send_reply(nvml, &reply, &err);
    if (!reply.told)
        _exit(0);
    serve(nvml);
}

/* ---- spica's side ---- */

static bool reap(struct nvml *nvml, int64_t within_ns)
{
    const int64_t deadline_ns = clock_now_ns() + within_ns;
    const struct timespec pause = {.tv_nsec = NS_PER_MS / 4};
    int status = 0;
    while (nvml->asker > 0) {
        pid_t got = waitpid(nvml->asker, &status, WNOHANG);
        if (got == nvml->asker && WIFSIGNALED(status) && !nvml->end[0])
            snprintf(nvml->end, sizeof nvml->end, "SIG%s", sigabbrev_np(WTERMSIG(status)));
        if (got != 0 && !(got < 0 && errno == EINTR))
            nvml->asker = 0;
        else if (clock_now_ns() >= deadline_ns)
            return false;
        else
            nanosleep(&pause, NULL);
    }
    return true;
}

void nvml_ask_stop(struct nvml *nvml)
{
    if (nvml->fd >= 0)
        close(nvml->fd);
    nvml->fd = -1;
    if (!reap(nvml, nvml->lost ? 0 : END_WITHIN_NS)) {
        kill(nvml->asker, SIGKILL);
        (void)!reap(nvml, END_WITHIN_NS); /* else it sits in the kernel: left to init */
    }
    nvml->asker = 0;
}

static bool give_up(struct nvml *nvml, int why)
{
    nvml->lost = why;
    if (why == NVML_ASKER_ENDED)
        (void)!reap(nvml, END_WITHIN_NS);
    if (!nvml->end[0])
        snprintf(nvml->end, sizeof nvml->end, "%s", "it is gone");
    nvml_ask_stop(nvml);
    return false;
}

/* A socket whose receiving ends by itself saves a poll() per reply. */
static bool set_deadline(const struct nvml *nvml, int64_t within_ns)
{
    const struct timeval within = {.tv_sec = within_ns / NS_PER_S,
                                   .tv_usec = within_ns % NS_PER_S / NS_PER_US + 1};
    return setsockopt(nvml->fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) == 0;
}

/* 0, or why not. Signals begin the wait anew: they are few, and each is somebody's wish. */
static int receive(const struct nvml *nvml, void *to, size_t size)
{
    for (size_t len = 0; len < size;) {
        ssize_t got = recv(nvml->fd, (char *)to + len, size - len, 0);
        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && errno == EAGAIN)
            return NVML_NO_ANSWER;
        else if (!(got < 0 && errno == EINTR))
            return NVML_ASKER_ENDED;
    }
    return 0;
}

static int receive_reply(const struct nvml *nvml, struct nvml_reply *ret_reply, void **ret_bytes)
{
    *ret_bytes = NULL;
    int why = receive(nvml, ret_reply, sizeof *ret_reply);
    if (why || ret_reply->bytes == 0)
        return why;
    AUTO(free) void *bytes = malloc(ret_reply->bytes);
    if (!bytes)
        abort();
    why = receive(nvml, bytes, ret_reply->bytes);
    if (!why)
        *ret_bytes = TAKE(bytes);
    return why;
}

bool nvml_ask(struct nvml *nvml, const struct nvml_request *request, struct nvml_reply *ret_reply,
              void **ret_bytes)
{
    *ret_bytes = NULL;
    if (nvml->lost)
        return false;
    const int64_t began_ns = clock_now_ns();
    int why = send(nvml->fd, request, sizeof *request, MSG_NOSIGNAL) == (ssize_t)sizeof *request
                  ? receive_reply(nvml, ret_reply, ret_bytes)
                  : NVML_ASKER_ENDED;
    if (why) {
        nvml->cost.wall_ns += clock_now_ns() - began_ns;
        return give_up(nvml, why);
    }
    nvml->cost.cpu_ns += ret_reply->cost.cpu_ns;
    nvml->cost.wall_ns += ret_reply->cost.wall_ns;
    return true;
}

/* For tests: nobody else should have to know of it. */
static int64_t within_of(int64_t usual_ns)
{
    const char *given = getenv("SPICA_NVML_WITHIN");
    double s = 0;
    return given && text_to_double(given, &s) && s > 0 && s < 1e6 ? (int64_t)(s * 1e9) : usual_ns;
}

void device_answer_within(int64_t start_ns, int64_t call_ns)
{
    patience.start_ns = start_ns;
    patience.call_ns = call_ns;
}

static bool explain(struct nvml *nvml, int why, int64_t within_ns, struct err *err)
{
    if (why == NVML_NO_ANSWER)
        return err_set(err, ERR_STOPPED,
                       "the NVIDIA driver does not answer: it did not start within %g s",
                       (double)within_ns / NS_PER_S);
    return err_set(err, ERR_STOPPED,
                   "the NVIDIA driver's library ended the process that starts it: %s", nvml->end);
}

bool nvml_ask_start(struct nvml *nvml, const char *library, struct err *err)
{
    int pair[2];
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    const int64_t start_ns = within_of(patience.start_ns);
    nvml->within_ns = within_of(patience.call_ns);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return err_sys(err, "making a socket");
    const pid_t parent = getpid();
    sigset_t all, before; /* blocked in it for good: none of our handlers runs there */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    nvml->asker = fork();
    if (nvml->asker == 0) {
        nvml->fd = pair[1];
        run(nvml, library, parent);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    nvml->fd = pair[0];
    if (nvml->asker < 0 || !set_deadline(nvml, start_ns))
        return err_sys(err, "starting the process that asks the driver");
    int why = receive_reply(nvml, &reply, &bytes);
    if (why) {
        give_up(nvml, why);
        return explain(nvml, why, start_ns, err);
    }
    if (!reply.told && reply.bytes == sizeof *err && err)
        memcpy(err, bytes, sizeof *err);
    return reply.told && set_deadline(nvml, nvml->within_ns);
}
