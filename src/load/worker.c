/* The parent's side of a load: one worker process, or several that share the sending, behind one
 * descriptor. Several get their parts by number (load_share), prepare on their own, and start at
 * one moment, which is told to all once the last one is ready.
 *
 * What they say is put together here: records as they come, in no order between workers; delays
 * raw, so that a quantile is that of all sends. How late a loop came is that of the worst worker:
 * one of four that stood still would else be a quarter as bad.
 *
 * Rejected: threads in one worker. libcurl and sd-event share nothing between loops anyway, and a
 * process that is killed or runs wild leaves the others' records whole.
 *
 * Invariants: after LOAD_NEWS_END every worker is reaped. One that ends before its report ends all:
 * half a load is none. */
#include "load/worker.h"

#include "base/clock.h"
#include "load/delays.h"
#include "load/http.h"
#include "load/member.h"
#include "load/schedule.h"
#include "load/transport.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* From the last worker's word that it is ready to the run's start: the others have to hear it. */
static const int64_t LEAD_NS = 10 * NS_PER_MS;

struct part { /* one worker's */
    struct load_member member;
    bool ready, reported, ended;
    int64_t cpu_ns; /* once reported */
    struct load_delays stalls;
};

struct load_worker {
    size_t stream_count;
    int process_of[LOAD_STREAMS_MAX]; /* the part that runs a service's program; -1 */
    struct part parts[LOAD_WORKERS_MAX];
    size_t count, next; /* next: whose turn it is to be read */
    int fd;             /* epoll of all channels; -1 once all have ended */
    bool ended, stopped;
    struct load_delays lateness;
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
    if (stream->arrivals == ARRIVALS_TRACE && stream->corpus->trace_count == 0)
        return err_set(err, ERR_INPUT, "there is no trace to replay");
    bool rated = stream->arrivals != ARRIVALS_CLOSED && stream->arrivals != ARRIVALS_TRACE &&
                 stream->arrivals != ARRIVALS_AFTER;
    if (rated && !(stream->rate_rps > 0 && stream->rate_rps <= 100000))
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

/* Each chain comes to a stream that sends by itself. */
static bool check_chain(const struct load_plan *plan, size_t stream, struct err *err)
{
    size_t at = stream;
    for (size_t steps = 0; plan->streams[at].arrivals == ARRIVALS_AFTER; steps++) {
        at = plan->streams[at].after;
        if (at >= plan->stream_count || steps == plan->stream_count)
            return err_set(err, ERR_INPUT, "it follows nothing that sends by itself");
    }
    return !plan->streams[stream].protocol->sends_audio ||
           plan->streams[stream].arrivals != ARRIVALS_AFTER ||
           err_set(err, ERR_INPUT, "audio can't be made from another's answers");
}

static bool check_plan(const struct load_plan *plan, struct err *err)
{
    if (plan->stream_count == 0 || plan->stream_count > LOAD_STREAMS_MAX)
        return err_set(err, ERR_INPUT, "load on %zu services; from 1 to %d", plan->stream_count,
                       LOAD_STREAMS_MAX);
    if (plan->workers < 0 || plan->workers > LOAD_WORKERS_MAX)
        return err_set(err, ERR_INPUT, "%d load workers; at most %d", plan->workers,
                       LOAD_WORKERS_MAX);
    if (load_plan_processes(plan) > LOAD_WORKERS_MAX)
        return err_set(err, ERR_INPUT,
                       "%d load workers, with those of services that are run for "
                       "each request; at most %d",
                       load_plan_processes(plan), LOAD_WORKERS_MAX);
    for (size_t i = 0; i < plan->stream_count; i++)
        if (!check_stream(&plan->streams[i], plan->probe, err) || !check_chain(plan, i, err))
            return err_wrap(err, "load on %s", plan->streams[i].name);
    return true;
}

static bool add_part(struct load_worker *worker, const struct load_plan *plan, struct err *err)
{
    struct part *part = &worker->parts[worker->count];
    if (!load_member_start(plan, (int)worker->count, &part->member, err))
        return false;
    worker->count++;
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(worker->fd, EPOLL_CTL_ADD, part->member.fd, &event) != 0)
        return err_sys(err, "watching the load worker's channel");
    return true;
}

bool load_worker_start(const struct load_plan *plan, struct load_worker **ret_worker,
                       struct err *err)
{
    if (!check_plan(plan, err) || !load_http_setup(err))
        return false;
    AUTO(load_worker_free) struct load_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        abort();
    worker->stream_count = plan->stream_count;
    worker->report = (struct load_report){
        .workers = plan->workers > 1 ? plan->workers : 1,
        .lateness_p50_s = NAN,
        .lateness_p99_s = NAN,
        .lateness_max_s = NAN,
        .stall_p99_s = NAN,
        .stall_max_s = NAN,
    };
    worker->fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->fd < 0)
        return err_sys(err, "watching the load workers");
    for (size_t i = 0; i < plan->stream_count; i++)
        worker->process_of[i] = load_plan_process_of(plan, i);
    for (int i = 0; i < load_plan_processes(plan); i++)
        if (!add_part(worker, plan, err))
            return false;
    *ret_worker = TAKE(worker);
    return true;
}

int load_worker_fd(const struct load_worker *worker)
{
    return worker->fd;
}

size_t load_worker_pids(const struct load_worker *worker, pid_t ret_pids[LOAD_WORKERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < worker->count; i++)
        if (worker->parts[i].member.pid > 0)
            ret_pids[count++] = worker->parts[i].member.pid;
    return count;
}

pid_t load_worker_runner(const struct load_worker *worker, size_t stream)
{
    int part = stream < worker->stream_count ? worker->process_of[stream] : -1;
    return part >= 0 && (size_t)part < worker->count ? worker->parts[part].member.pid : 0;
}

pid_t load_worker_pid(const struct load_worker *worker)
{
    pid_t pids[LOAD_WORKERS_MAX];
    return load_worker_pids(worker, pids) > 0 ? pids[0] : 0;
}

int64_t load_worker_cpu_ns(const struct load_worker *worker)
{
    int64_t sum_ns = 0;
    for (size_t i = 0; i < worker->count; i++) {
        const struct part *part = &worker->parts[i];
        sum_ns += part->member.pid > 0 ? load_member_cpu_ns(&part->member) : part->cpu_ns;
    }
    return sum_ns;
}

/* --- the end --- */

static void finish_report(struct load_worker *worker)
{
    struct load_report *report = &worker->report;
    report->cpu_ns = load_worker_cpu_ns(worker);
    report->complete = report->failure[0] == '\0';
    load_delays_sort(&worker->lateness);
    report->lateness_p50_s = load_delays_quantile_s(&worker->lateness, 0.5);
    report->lateness_p99_s = load_delays_quantile_s(&worker->lateness, 0.99);
    report->lateness_max_s = load_delays_quantile_s(&worker->lateness, 1);
    for (size_t i = 0; i < worker->count; i++) {
        struct load_delays *stalls = &worker->parts[i].stalls;
        uint64_t bands[LOAD_DELAY_BANDS];
        load_delays_sort(stalls);
        load_delays_count(stalls, bands);
        for (size_t b = 0; b < LOAD_DELAY_BANDS; b++)
            report->stalls[b] += bands[b];
        report->stall_p99_s = fmax(report->stall_p99_s, load_delays_quantile_s(stalls, 0.99));
        report->stall_max_s = fmax(report->stall_max_s, load_delays_quantile_s(stalls, 1));
    }
}

/* This one has ended, by itself or because it must. Without a whole run nothing is left to wait for
 * from the others either. */
static void end_part(struct load_worker *worker, struct part *part, const char *broken)
{
    char *failure = worker->report.failure, why[sizeof worker->report.failure];
    load_member_reap(&part->member, broken != NULL, why, sizeof why);
    part->ended = true;
    if (!failure[0] && (broken || !part->reported))
        snprintf(failure, sizeof worker->report.failure, "%s", broken ? broken : why);
    bool all = true;
    for (size_t i = 0; i < worker->count; i++) {
        struct part *other = &worker->parts[i];
        if (!other->ended && failure[0] && !worker->stopped) {
            load_member_reap(&other->member, true, why, sizeof why);
            other->ended = true;
        }
        all = all && other->ended;
    }
    if (!all)
        return;
    finish_report(worker);
    /* Its descriptor stays until it is freed: a loop that waits for it has to take it out first, or
     * keeps it, where another fork has it too just then. */
    worker->ended = true;
}

/* --- what they say --- */

/* The run's zero is told when all are ready to keep it. */
static bool take_ready(struct load_worker *worker, struct part *part)
{
    part->ready = true;
    for (size_t i = 0; i < worker->count; i++)
        if (!worker->parts[i].ready)
            return true;
    int64_t start_ns = clock_now_ns() + LEAD_NS;
    for (size_t i = 0; i < worker->count; i++)
        load_member_tell(&worker->parts[i].member, start_ns);
    return true;
}

static bool take_report(struct load_worker *worker, struct part *part,
                        const struct load_wire_frame *frame)
{
    struct load_report said, *report = &worker->report;
    if (frame->len != sizeof said)
        return false;
    memcpy(&said, frame->payload, sizeof said);
    report->start_ns = said.start_ns;
    report->window_start_ns = said.window_start_ns;
    report->window_end_ns = said.window_end_ns;
    if (frame->kind == LOAD_WIRE_START)
        return true;
    part->reported = true;
    part->cpu_ns = said.cpu_ns;
    said.failure[sizeof said.failure - 1] = '\0';
    if (!report->failure[0])
        memcpy(report->failure, said.failure, sizeof report->failure);
    return said.complete || said.failure[0];
}

static bool take_delays(struct load_delays *delays, const struct load_wire_frame *frame)
{
    if (frame->len % sizeof(int64_t) != 0)
        return false;
    load_delays_add(delays, (const int64_t *)(const void *)frame->payload,
                    frame->len / sizeof(int64_t));
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
    worker->report.requests++;
    *ret_result = result;
    return true;
}

static bool take(struct load_worker *worker, struct part *part, const struct load_wire_frame *frame,
                 struct load_result *ret_result)
{
    switch ((enum load_wire_kind)frame->kind) {
    case LOAD_WIRE_RECORD:
        return take_record(worker, frame, ret_result);
    case LOAD_WIRE_READY:
        return take_ready(worker, part);
    case LOAD_WIRE_LATENESS:
        return take_delays(&worker->lateness, frame);
    case LOAD_WIRE_STALLS:
        return take_delays(&part->stalls, frame);
    default:
        return take_report(worker, part, frame);
    }
}

/* True: *ret_result is filled. False: nothing more of this one for now. */
static bool next_of(struct load_worker *worker, struct part *part, struct load_result *ret_result)
{
    static const char unreadable[] = "the load worker's records cannot be read";
    while (!part->ended) {
        struct load_wire_frame frame;
        switch (load_member_next(&part->member, &frame)) {
        case LOAD_MEMBER_NONE:
            return false;
        case LOAD_MEMBER_CLOSED:
            end_part(worker, part, NULL);
            break;
        case LOAD_MEMBER_BROKEN:
            end_part(worker, part, unreadable);
            break;
        case LOAD_MEMBER_FRAME:
            if (!take(worker, part, &frame, ret_result))
                end_part(worker, part, unreadable);
            else if (frame.kind == LOAD_WIRE_RECORD)
                return true;
            break;
        }
    }
    return false;
}

enum load_news load_worker_next(struct load_worker *worker, struct load_result *ret_result)
{
    for (size_t i = 0; i < worker->count && !worker->ended; i++) {
        if (next_of(worker, &worker->parts[worker->next], ret_result))
            return LOAD_NEWS_RESULT;
        worker->next = (worker->next + 1) % worker->count;
    }
    return worker->ended ? LOAD_NEWS_END : LOAD_NEWS_NONE;
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
    worker->stopped = true;
    for (size_t i = 0; i < worker->count; i++)
        if (worker->parts[i].member.pid > 0)
            load_member_tell(&worker->parts[i].member, LOAD_WORD_STOP);
}

struct load_worker *load_worker_free(struct load_worker *worker)
{
    if (!worker)
        return NULL;
    for (size_t i = 0; i < worker->count; i++) {
        load_member_done(&worker->parts[i].member);
        load_delays_done(&worker->parts[i].stalls);
    }
    if (worker->fd >= 0)
        close(worker->fd);
    load_delays_done(&worker->lateness);
    free(worker);
    return NULL;
}
