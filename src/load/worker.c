/* The parent's side: forks the worker, reads its frames when there are some, and finds out how it
 * ended. Fork without exec, so that the plan need not be written down and read again; it asks for a
 * parent with a single thread, which this program is.
 *
 * Rejected: shared memory. A socket tells by itself when the other side is gone, and records are
 * few enough (some hundred bytes each). Invariant: after LOAD_NEWS_END the child is reaped. */
#include "load/worker.h"

#include "base/clock.h"
#include "load/child.h"
#include "load/http.h"
#include "load/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    READ_BYTES = 256 << 10, /* at a time */
    SOCKET_BYTES = 4 << 20, /* of records on their way */
};

struct load_worker {
    size_t stream_count;
    int fd;    /* -1 once it has ended */
    pid_t pid; /* 0 once reaped */
    struct buf in;
    size_t in_at; /* of it, handed out already */
    bool reported, ended;
    struct load_report report;
    struct load_progress progress[LOAD_STREAMS_MAX];
};

static bool check_stream(const struct load_stream *stream, bool probe, struct err *err)
{
    char target[LOAD_TARGET_MAX];
    if (!load_stream_transport(stream)->check(stream, target, sizeof target, err))
        return false;
    if (load_stream_items(stream) == 0)
        return err_set(err, ERR_INPUT, "there is nothing to send: %s wants %s",
                       stream->protocol->spec->name,
                       stream->protocol->sends_audio ? "a corpus of clips" : "prompts");
    if (stream->arrivals != ARRIVALS_CLOSED &&
        !(stream->rate_rps > 0 && stream->rate_rps <= 100000))
        return err_set(err, ERR_INPUT, "a rate of %g requests/s; from over 0 to 100000",
                       stream->rate_rps);
    if (stream->concurrency < 0 || stream->concurrency > LOAD_IN_FLIGHT_MAX)
        return err_set(err, ERR_INPUT, "a concurrency of %d; at most %d", stream->concurrency,
                       LOAD_IN_FLIGHT_MAX);
    if (stream->timeout_ns <= 0)
        return err_set(err, ERR_INPUT, "a request needs a timeout");
    if (probe && stream->request_limit == 0)
        return err_set(err, ERR_INPUT, "a probe needs a number of requests");
    return true;
}

static bool check_plan(const struct load_plan *plan, struct err *err)
{
    if (plan->stream_count == 0 || plan->stream_count > LOAD_STREAMS_MAX)
        return err_set(err, ERR_INPUT, "load on %zu services; from 1 to %d", plan->stream_count,
                       LOAD_STREAMS_MAX);
    for (size_t i = 0; i < plan->stream_count; i++)
        if (!check_stream(&plan->streams[i], plan->probe, err))
            return err_wrap(err, "load on %s", plan->streams[i].name);
    return true;
}

static void widen(int fd)
{
    int bytes = SOCKET_BYTES;
    /* Over the system's limit for root, up to it for others; less is only more waiting in the
     * worker's memory. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

bool load_worker_start(const struct load_plan *plan, struct load_worker **ret_worker,
                       struct err *err)
{
    if (!check_plan(plan, err) || !load_http_setup(err))
        return false;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_sys(err, "making the load worker's channel");
    widen(pair[1]);
    fflush(NULL); /* what is buffered must not be written twice */
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        load_child_main(plan, pair[1], self);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return err_sys(err, "starting the load worker");
    }
    struct load_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        abort();
    worker->stream_count = plan->stream_count;
    worker->fd = pair[0];
    worker->pid = pid;
    worker->in = BUF_INIT(16 << 20);
    worker->report =
        (struct load_report){.lateness_p50_s = NAN, .lateness_p99_s = NAN, .lateness_max_s = NAN};
    *ret_worker = worker;
    return true;
}

int load_worker_fd(const struct load_worker *worker)
{
    return worker->fd;
}

pid_t load_worker_pid(const struct load_worker *worker)
{
    return worker->pid;
}

/* Why it ended without a report. */
static void describe_end(struct load_worker *worker, int status, bool reaped)
{
    char *why = worker->report.failure;
    size_t size = sizeof worker->report.failure;
    if (!reaped)
        snprintf(why, size, "the load worker vanished");
    else if (WIFSIGNALED(status))
        snprintf(why, size, "the load worker was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(why, size, "the load worker exited with %d before its report",
                 WEXITSTATUS(status));
    worker->report.complete = false;
}

static enum load_news end(struct load_worker *worker, const char *broken)
{
    int status = 0;
    if (broken)
        kill(worker->pid, SIGKILL);
    pid_t got = -1;
    do
        got = waitpid(worker->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (broken) {
        snprintf(worker->report.failure, sizeof worker->report.failure, "%s", broken);
        worker->report.complete = false;
    } else if (!worker->reported) {
        describe_end(worker, status, got == worker->pid);
    }
    worker->pid = 0;
    close(fd_take(&worker->fd));
    worker->ended = true;
    return LOAD_NEWS_END;
}

static bool take_report(struct load_worker *worker, const struct load_wire_frame *frame)
{
    if (frame->len != sizeof worker->report)
        return false;
    double nan_s = NAN;
    memcpy(&worker->report, frame->payload, sizeof worker->report);
    worker->reported = frame->kind == LOAD_WIRE_REPORT;
    if (!worker->reported)
        worker->report.lateness_p50_s = worker->report.lateness_p99_s =
            worker->report.lateness_max_s = nan_s;
    return true;
}

static bool take_record(struct load_worker *worker, const struct load_wire_frame *frame,
                        struct load_result *ret_result)
{
    struct load_result result;
    if (!load_wire_read_record(frame, &result) || result.record.stream >= worker->stream_count)
        return false;
    struct load_progress *progress = &worker->progress[result.record.stream];
    if (result.record.error == LOAD_OK)
        progress->answered++;
    else
        progress->failed++;
    if (!worker->reported)
        worker->report.requests = progress->answered + progress->failed;
    *ret_result = result;
    return true;
}

/* More bytes behind those that were not handed out yet. */
static ssize_t receive(struct load_worker *worker)
{
    worker->in.len -= worker->in_at;
    if (worker->in.data)
        memmove(worker->in.data, worker->in.data + worker->in_at, worker->in.len);
    worker->in_at = 0;
    char *at = buf_reserve(&worker->in, READ_BYTES);
    ssize_t n = -1;
    do
        n = recv(worker->fd, at, READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        worker->in.len += (size_t)n;
    return n;
}

enum load_news load_worker_next(struct load_worker *worker, struct load_result *ret_result)
{
    while (!worker->ended) {
        struct load_wire_frame frame;
        size_t used = 0;
        enum load_wire_state state = load_wire_next(buf_text(&worker->in) + worker->in_at,
                                                    worker->in.len - worker->in_at, &frame, &used);
        if (state == LOAD_WIRE_BROKEN)
            return end(worker, "the load worker's records cannot be read");
        if (state == LOAD_WIRE_MORE) {
            ssize_t n = receive(worker);
            if (n < 0 && errno == EAGAIN)
                return LOAD_NEWS_NONE;
            if (n <= 0)
                return end(worker, NULL);
            continue;
        }
        worker->in_at += used;
        bool record = frame.kind == LOAD_WIRE_RECORD;
        if (!(record ? take_record(worker, &frame, ret_result) : take_report(worker, &frame)))
            return end(worker, "the load worker's records cannot be read");
        if (record)
            return LOAD_NEWS_RESULT;
    }
    return LOAD_NEWS_END;
}

const struct load_report *load_worker_report(const struct load_worker *worker)
{
    return &worker->report;
}

struct load_progress load_worker_progress(const struct load_worker *worker, size_t stream)
{
    return stream < worker->stream_count ? worker->progress[stream] : (struct load_progress){0};
}

void load_worker_stop(struct load_worker *worker)
{
    if (worker->fd >= 0 && send(worker->fd, "s", 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN)
        kill(worker->pid, SIGKILL); /* it has not read many such words: it hangs */
}

struct load_worker *load_worker_free(struct load_worker *worker)
{
    if (!worker)
        return NULL;
    if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        waitpid(worker->pid, NULL, 0);
    }
    if (worker->fd >= 0)
        close(worker->fd);
    buf_done(&worker->in);
    free(worker);
    return NULL;
}
