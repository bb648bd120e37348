/* The load worker's loop: one of sd-event, and the report at the end.
 *
 * sd-event does all but the waiting for a send. Its timers are in time, but from the timer to its
 * callback is a long way for a core that has slept: so the loop itself sleeps until the next send,
 * in one poll, and sends first thing. No burst of bytes goes before a send that is due. Parsing of
 * answers has the lowest priority, and is put off while a send is near. Before it sleeps it makes
 * the next requests ready (ahead.c).
 *
 * A tick each 20 ms, at the priority of answers, measures the loop itself: a worker that was
 * stopped or starved notices answers late, and in a closed loop no send is late then, since the
 * client is free only when its answer was noticed. Ticks are planned like an open loop's sends, so
 * a stall of 300 ms is 15 ticks that came late, not one.
 *
 * Several workers start at one moment: each says that it is ready and waits for the parent's word.
 *
 * Invariant: nothing here blocks until the last frame is written. */
#include "load/child.h"

#include "base/clock.h"
#include "load/member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    OUT_MAX_BYTES = 256 << 20,  /* of records that a slow parent has not read yet */
    OUT_BATCH_BYTES = 32 << 10, /* of records that wait for the next tick, to be sent in one go */
    OUT_SLACK_BYTES = 4096,     /* beyond it, for the report which says so */
    SENDS_NS = 100000,          /* of sends when behind, between two looks at the answers */
    READ_NS = 100000,           /* of reading answers, before anything else is looked at */
    FINISHED_MAX = 4096,        /* answers that may wait to be read */
    LEAD_NS = 2000000,          /* from the last preparation to the run's start */
    TICK_NS = 20000000,
    DELAYS_AT_ONCE = 8192, /* in a frame */
};

static bool is_over(const struct load_child *child)
{
    int64_t now_ns = clock_now_ns();
    for (size_t i = 0; i < child->plan->stream_count; i++)
        if (!load_schedule_over(&child->runs[i].schedule, now_ns))
            return false;
    return true;
}

static void end_if_over(struct load_child *child)
{
    if (child->over && child->finished_count == 0)
        sd_event_exit(child->event, 0);
}

/* --- what the parent reads --- */

static void want_out(struct load_child *child)
{
    sd_event_source_set_enabled(child->out_ready, SD_EVENT_ON);
}

void load_child_emit(struct load_child *child, const struct load_record *record,
                     const struct buf *text, const struct buf *gaps)
{
    if (!load_wire_add_record(&child->out, record, text, gaps))
        load_child_fail(child, "records were not read for too long");
    child->report.requests++;
    bool wait = child->tick_ns != 0 && child->out.len - child->out_at < OUT_BATCH_BYTES;
    if (!wait)
        want_out(child);
}

/* Sends what it can. The parent's end being closed means that nobody wants the rest. */
static void flush(struct load_child *child)
{
    while (child->out_at < child->out.len) {
        ssize_t n = send(child->channel, child->out.data + child->out_at,
                         child->out.len - child->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            _exit(1);
        child->out_at += (size_t)n;
    }
    if (child->out_at == child->out.len) {
        buf_clear(&child->out);
        child->out_at = 0;
    } else if (child->out_at > child->out.len / 2) {
        child->out.len -= child->out_at;
        memmove(child->out.data, child->out.data + child->out_at, child->out.len);
        child->out_at = 0;
    }
}

static int on_out(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)fd;
    (void)events;
    struct load_child *child = ctx;
    flush(child);
    if (child->out.len == 0)
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

/* Everything that is unsent or in flight ends here and now. */
static void end_all(struct load_child *child)
{
    int64_t now_ns = clock_now_ns();
    load_ahead_end(child, now_ns);
    for (size_t i = 0; i < child->plan->stream_count; i++) {
        struct load_run *run = &child->runs[i];
        bool open = run->stream->arrivals != ARRIVALS_CLOSED;
        if (child->report.start_ns == 0)
            break; /* stopped before it began */
        while (open && load_schedule_next_ns(&run->schedule) <= now_ns)
            load_flight_drop(child, run, LOAD_UNFINISHED);
        /* No turn of this run may come after: what ends below frees no client for another. */
        run->schedule.end_ns = INT64_MIN;
        while (!TAILQ_EMPTY(&run->flights))
            load_flight_end(child, TAILQ_FIRST(&run->flights), LOAD_UNFINISHED);
    }
    child->over = true;
}

void load_child_fail(struct load_child *child, const char *why)
{
    if (child->report.failure[0])
        return;
    size_t len = strnlen(why, sizeof child->report.failure - 1);
    memcpy(child->report.failure, why, len);
    load_child_keep_by(child, 0);
}

/* --- time --- */

static void set_timer(sd_event_source *timer, int64_t at_ns)
{
    if (at_ns == CLOCK_NEVER) {
        sd_event_source_set_enabled(timer, SD_EVENT_OFF);
        return;
    }
    /* Rounded up: a timer that fires before its time would have to be set again. */
    uint64_t usec = at_ns <= 0 ? 0 : (uint64_t)((at_ns + NS_PER_US - 1) / NS_PER_US);
    sd_event_source_set_time(timer, usec);
    sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void load_child_keep_by(struct load_child *child, int64_t at_ns)
{
    if (at_ns >= child->keep_at_ns)
        return;
    child->keep_at_ns = at_ns;
    set_timer(child->keep_timer, at_ns);
}

struct load_run *load_child_earliest(const struct load_child *child, int64_t *ret_due_ns)
{
    const struct load_run *found = NULL;
    *ret_due_ns = CLOCK_NEVER;
    for (size_t i = 0; !child->over && i < child->plan->stream_count; i++) {
        int64_t due_ns = load_schedule_due_ns(&child->runs[i].schedule);
        if (due_ns < *ret_due_ns) {
            *ret_due_ns = due_ns;
            found = &child->runs[i];
        }
    }
    return (struct load_run *)found;
}

int64_t load_child_due_ns(const struct load_child *child)
{
    int64_t due_ns, ahead_ns = load_ahead_due_ns(child);
    load_child_earliest(child, &due_ns);
    return ahead_ns < due_ns ? ahead_ns : due_ns;
}

/* Is reading an answer done before the next send? Its cost was measured as some 25 ns a byte. */
bool load_child_can_read(const struct load_child *child, size_t bytes, int64_t now_ns)
{
    int64_t due_ns = load_child_due_ns(child);
    return due_ns == CLOCK_NEVER || due_ns - now_ns > 25 * (int64_t)bytes + 20 * NS_PER_US;
}

/* When the oldest finished answer may be read: now if there is time, else just after the send. */
static int64_t read_at_ns(const struct load_child *child)
{
    const struct load_flight *flight = TAILQ_FIRST(&child->finished);
    if (!flight)
        return CLOCK_NEVER;
    int64_t now_ns = clock_now_ns();
    bool waited = now_ns - flight->finished_ns > NS_PER_S || child->finished_count > FINISHED_MAX;
    bool now = waited || load_child_can_read(child, flight->call->answer->len, now_ns);
    return now ? now_ns : load_child_due_ns(child) + 50 * NS_PER_US;
}

void load_child_plan_next(struct load_child *child)
{
    int64_t read_ns = read_at_ns(child);
    /* The last answer of all may have been read already: the end waits for nothing then. */
    bool at_once = read_ns <= clock_now_ns() || (!child->over && is_over(child));
    sd_event_source_set_enabled(child->read_now, at_once ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    set_timer(child->read_timer, at_once ? CLOCK_NEVER : read_ns);
}

/* Behind the plan, sends may not go first any more. Who only sends reads no answer, so that no
 * connection becomes free and each send makes a new one, which takes ten times as long: a worker
 * that fell behind by a second would stay there. So all take turns until it has caught up. */
static void set_behind(struct load_child *child, bool behind)
{
    if (behind == child->behind)
        return;
    child->behind = behind;
    int64_t last = behind ? SD_EVENT_PRIORITY_NORMAL : SD_EVENT_PRIORITY_IDLE;
    sd_event_source_set_enabled(child->send_now, behind ? SD_EVENT_ON : SD_EVENT_OFF);
    sd_event_source_set_priority(child->read_timer, last);
    sd_event_source_set_priority(child->read_now, last);
    sd_event_source_set_priority(child->out_ready, last);
}

/* The next one if it is due; made ready or not, in the plan's order. */
static bool send_one(struct load_child *child, int64_t now_ns)
{
    int64_t ahead_ns = load_ahead_due_ns(child), due_ns;
    if (ahead_ns <= now_ns) {
        load_ahead_leave(child);
        return true;
    }
    struct load_run *run = load_child_earliest(child, &due_ns);
    if (!run || due_ns > now_ns)
        return false;
    load_flight_launch(child, run);
    return true;
}

/* First thing after a wake-up: nothing else may stand before it. */
static void send_due(struct load_child *child)
{
    int64_t now_ns = clock_now_ns(), end_ns = now_ns + SENDS_NS;
    if (!send_one(child, now_ns))
        return;
    do
        now_ns = clock_now_ns();
    while (now_ns < end_ns && send_one(child, now_ns));
    set_behind(child, load_child_due_ns(child) <= now_ns);
    load_child_plan_next(child);
}

/* Behind the plan: a turn like everybody's. */
static int on_send(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    struct load_child *child = ctx;
    send_due(child);
    if (load_child_due_ns(child) > clock_now_ns())
        set_behind(child, false);
    return 0;
}

static int on_read_now(sd_event_source *source, void *ctx)
{
    (void)source;
    struct load_child *child = ctx;
    int64_t end_ns = clock_now_ns() + READ_NS;
    do
        load_flight_read_one(child);
    while (clock_now_ns() < end_ns && read_at_ns(child) < end_ns);
    child->over = child->over || is_over(child);
    load_child_plan_next(child);
    end_if_over(child);
    return 0;
}

static int on_read(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)usec;
    return on_read_now(source, ctx);
}

/* Time-outs and graces of one stream that are over; returns when the next one will be. */
static int64_t keep_run(struct load_child *child, struct load_run *run, int64_t now_ns)
{
    int64_t next_ns = CLOCK_NEVER, timeout_ns = run->stream->timeout_ns;
    struct load_flight *flight = TAILQ_FIRST(&run->flights);
    while (flight) {
        struct load_flight *following = TAILQ_NEXT(flight, link);
        int64_t end_ns = flight->record.intended_ns + timeout_ns;
        if (flight->grace_end_ns < end_ns)
            end_ns = flight->grace_end_ns;
        if (end_ns <= now_ns)
            load_flight_end(child, flight, LOAD_TIMEOUT);
        else if (end_ns < next_ns)
            next_ns = end_ns;
        flight = following;
    }
    bool open = run->stream->arrivals != ARRIVALS_CLOSED;
    int64_t waiting_ns = load_schedule_next_ns(&run->schedule);
    while (open && waiting_ns != CLOCK_NEVER && waiting_ns + timeout_ns <= now_ns) {
        load_flight_drop(child, run, LOAD_TIMEOUT);
        waiting_ns = load_schedule_next_ns(&run->schedule);
    }
    if (open && waiting_ns != CLOCK_NEVER && waiting_ns + timeout_ns < next_ns)
        next_ns = waiting_ns + timeout_ns;
    return next_ns;
}

static int on_keep(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)source;
    (void)usec;
    struct load_child *child = ctx;
    int64_t now_ns = clock_now_ns(), next_ns = child->last_ns;
    child->keep_at_ns = CLOCK_NEVER;
    if (now_ns >= child->last_ns || child->report.failure[0])
        end_all(child);
    for (size_t i = 0; !child->over && i < child->plan->stream_count; i++) {
        int64_t at_ns = keep_run(child, &child->runs[i], now_ns);
        next_ns = at_ns < next_ns ? at_ns : next_ns;
    }
    if (now_ns < child->report.window_end_ns && child->report.window_end_ns < next_ns)
        next_ns = child->report.window_end_ns;
    child->over = child->over || is_over(child);
    if (!child->over)
        load_child_keep_by(child, next_ns);
    load_child_plan_next(child);
    end_if_over(child);
    return 0;
}

static void start(struct load_child *child, int64_t start_ns)
{
    const struct load_plan *plan = child->plan;
    struct load_report *report = &child->report;
    report->start_ns = start_ns;
    report->window_start_ns = report->start_ns + (plan->probe ? 0 : plan->warmup_ns);
    report->window_end_ns = plan->probe ? CLOCK_NEVER : report->window_start_ns + plan->window_ns;
    child->last_ns = plan->probe ? CLOCK_NEVER : report->window_end_ns + plan->drain_ns;
    for (size_t i = 0; i < plan->stream_count; i++)
        child->runs[i].schedule = load_schedule_init(
            plan, i, report->start_ns + plan->streams[i].start_after_ns, report->window_end_ns);
    if (!load_wire_add(&child->out, LOAD_WIRE_START, report, sizeof *report))
        abort();
    want_out(child);
    load_child_keep_by(child, report->window_end_ns);
    /* One without a part (more workers than clients) has nothing that would tell it to end. */
    load_child_keep_by(child, report->start_ns);
    if (!plan->probe) {
        child->tick_ns = report->start_ns;
        set_timer(child->tick_timer, child->tick_ns);
    }
    load_child_plan_next(child);
}

static int on_in(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    (void)source;
    (void)events;
    struct load_child *child = ctx;
    int64_t word = LOAD_WORD_STOP;
    ssize_t n = recv(fd, &word, sizeof word, MSG_DONTWAIT);
    if (n > 0 && word != LOAD_WORD_STOP && child->report.start_ns == 0)
        start(child, word);
    else if (n > 0)
        load_child_fail(child, "stopped");
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        _exit(1);
    return 0;
}

/* How late this turn of the loop comes, and those that it stands for. */
static int on_tick(sd_event_source *source, uint64_t usec, void *ctx)
{
    (void)usec;
    struct load_child *child = ctx;
    int64_t now_ns = clock_now_ns();
    for (; child->tick_ns <= now_ns; child->tick_ns += TICK_NS) {
        int64_t late_ns = now_ns - child->tick_ns;
        if (child->tick_ns >= child->report.window_start_ns)
            load_delays_add(&child->stalls, &late_ns, 1);
    }
    if (child->out.len > 0)
        want_out(child);
    set_timer(source, child->tick_ns);
    return 0;
}

/* --- the process --- */

static bool add_timer(struct load_child *child, sd_event_source **ret_timer,
                      sd_event_time_handler_t fn, int64_t priority, const char *what)
{
    if (sd_event_add_time(child->event, ret_timer, CLOCK_MONOTONIC, 0, 1, fn, child) < 0)
        return false;
    sd_event_source_set_enabled(*ret_timer, SD_EVENT_OFF);
    sd_event_source_set_description(*ret_timer, what);
    return sd_event_source_set_priority(*ret_timer, priority) >= 0;
}

static bool add_sources(struct load_child *child)
{
    if (sd_event_new(&child->event) < 0 ||
        !add_timer(child, &child->send_now, on_send, SD_EVENT_PRIORITY_NORMAL, "send") ||
        !add_timer(child, &child->keep_timer, on_keep, SD_EVENT_PRIORITY_NORMAL, "keep") ||
        !add_timer(child, &child->read_timer, on_read, SD_EVENT_PRIORITY_IDLE, "read") ||
        sd_event_add_defer(child->event, &child->read_now, on_read_now, child) < 0 ||
        !add_timer(child, &child->tick_timer, on_tick, SD_EVENT_PRIORITY_NORMAL, "tick") ||
        sd_event_add_io(child->event, &child->in, child->channel, EPOLLIN, on_in, child) < 0)
        return false;
    /* A descriptor of its own: sd-event takes each one once. */
    int again = fcntl(child->channel, F_DUPFD_CLOEXEC, 0);
    if (again < 0 ||
        sd_event_add_io(child->event, &child->out_ready, again, EPOLLOUT, on_out, child) < 0)
        return false;
    sd_event_source_set_enabled(child->out_ready, SD_EVENT_OFF);
    sd_event_source_set_priority(child->out_ready, SD_EVENT_PRIORITY_IDLE);
    sd_event_source_set_enabled(child->read_now, SD_EVENT_OFF);
    sd_event_source_set_priority(child->read_now, SD_EVENT_PRIORITY_IDLE);
    sd_event_source_set_description(child->in, "parent");
    sd_event_source_set_description(child->out_ready, "records");
    return true;
}

static bool prepare(struct load_child *child, struct err *err)
{
    const struct load_plan *plan = child->plan;
    int64_t span_ns = plan->probe ? 0 : plan->warmup_ns + plan->window_ns;
    for (size_t i = 0; i < plan->stream_count; i++)
        if (!load_run_init(child, i, err) ||
            !load_run_prepare_all(child, &child->runs[i], span_ns, err))
            return false;
    return true;
}

/* All of one kind, frame by frame; blocks until the parent has read them. */
static bool send_delays(struct load_child *child, enum load_wire_kind kind,
                        const struct load_delays *delays)
{
    for (size_t at = 0; at < delays->count; at += DELAYS_AT_ONCE) {
        size_t left = delays->count - at;
        size_t count = left < DELAYS_AT_ONCE ? left : DELAYS_AT_ONCE;
        if (!load_wire_add(&child->out, kind, delays->ns + at, count * sizeof *delays->ns))
            return false;
        flush(child);
    }
    return true;
}

/* From here on we wait for the reader. */
_Noreturn static void end(struct load_child *child)
{
    struct load_report *report = &child->report;
    fcntl(child->channel, F_SETFL, 0);
    flush(child);
    /* Of a run that was stopped too: whoever left it early judges us by the same figures. */
    bool told = send_delays(child, LOAD_WIRE_LATENESS, &child->lateness) &&
                send_delays(child, LOAD_WIRE_STALLS, &child->stalls);
    report->complete = told && report->failure[0] == '\0';
    report->cpu_ns = clock_cpu_ns();
    child->out.max += OUT_SLACK_BYTES;
    if (!load_wire_add(&child->out, LOAD_WIRE_REPORT, report, sizeof *report))
        _exit(1);
    flush(child);
    _exit(0);
}

/* As sd_event_prepare(), when there is nothing else to do with the next requests made ready. That
 * may set timers or fail the run, and what is set after a prepare is armed by the next one only: it
 * would wait for the next send. */
static int prepare_turn(struct load_child *child)
{
    int r = sd_event_prepare(child->event);
    if (r != 0 || child->over || child->behind || !load_ahead_fill(child, clock_now_ns()))
        return r;
    send_due(child);
    r = sd_event_wait(child->event, 0);
    return r == 0 ? sd_event_prepare(child->event) : r;
}

/* True: the time is over and nothing else has happened.
 *
 * What is far is waited for in two steps: what will be sent is made ready shortly before, and the
 * kernel's slack for a poll, a thousandth of its time-out, stays small. */
static bool sleep_until_send(struct load_child *child)
{
    struct pollfd events = {.fd = sd_event_get_fd(child->event), .events = POLLIN};
    int64_t due_ns = load_child_due_ns(child);
    if (due_ns == CLOCK_NEVER || child->behind) {
        ppoll(&events, 1, NULL, NULL);
        return false;
    }
    int64_t wait_ns = due_ns - clock_now_ns();
    if (wait_ns > LOAD_LEAD_NS)
        wait_ns -= LOAD_LEAD_NS / 2;
    if (wait_ns <= 0)
        return false;
    const struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    return ppoll(&events, 1, &wait, NULL) == 0;
}

/* As sd_event_loop(), with sends before everything else. */
static bool run_loop(struct load_child *child)
{
    int r = 0;
    while (r >= 0 && sd_event_get_state(child->event) != SD_EVENT_FINISHED) {
        if (!child->behind)
            send_due(child);
        r = prepare_turn(child);
        if (r == 0) {
            bool quiet = sleep_until_send(child);
            if (!child->behind)
                send_due(child);
            /* The next one now, in the same turn: one look at the descriptors less for each. */
            if (quiet && !child->behind && !child->over && load_ahead_fill(child, clock_now_ns()))
                send_due(child);
            r = sd_event_wait(child->event, 0);
        }
        if (r > 0)
            r = sd_event_dispatch(child->event);
    }
    return r >= 0;
}

_Noreturn void load_child_main(const struct load_plan *plan, int index, int channel, pid_t parent)
{
    load_child_become(channel, parent);
    struct load_child *child = calloc(1, sizeof *child);
    struct err err = ERR_INIT;
    if (!child)
        abort();
    struct load_plan own = *plan;
    own.worker = index;
    child->plan = &own;
    child->channel = LOAD_CHANNEL;
    child->keep_at_ns = CLOCK_NEVER;
    load_ahead_init(child);
    child->out = BUF_INIT(OUT_MAX_BYTES);
    child->text = BUF_INIT(LOAD_TEXT_MAX);
    child->gaps = BUF_INIT(LOAD_GAPS_MAX * sizeof(int64_t));
    TAILQ_INIT(&child->finished);
    bool ready = add_sources(child) || err_set(&err, ERR_INTERNAL, "setting up the event loop");
    if (ready && prepare(child, &err)) {
        child->last_ns = CLOCK_NEVER;
        if (load_plan_processes(plan) <= 1)
            start(child, clock_now_ns() + LEAD_NS);
        else if (load_wire_add(&child->out, LOAD_WIRE_READY, &index, sizeof index))
            want_out(child);
        if (!run_loop(child))
            load_child_fail(child, "the event loop failed");
    } else {
        load_child_fail(child, err.text);
    }
    load_flight_quit(child);
    end(child);
}
