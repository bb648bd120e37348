/* HAProxy's log comes as datagrams, one a request, and is read as it comes.
 *
 * At 500 a second this is guard's dearest work, so a wake reads what is there and no more than
 * LINES_A_WAKE, without an allocation. When more come than are read, the kernel drops them: nobody
 * waits for us. It counts what it dropped, which is said, at most once in ten seconds; rates and
 * counts are then those of what was read. HAProxy drops lines as well, where they can't be sent,
 * and counts them: they are said in the same breath.
 *
 * Without its log HAProxy is watched all the same: its socket says whether it is up, and tiers and
 * splits are switched over it. The log alone is tried again.
 *
 * Whoever left had waited for total_s without an answer: that is the least that it would have
 * taken. It stands in the window as if it were the latency, so a percentile with such values in it
 * is a lower bound. Rejected: leaving them out. Those who leave are those who wait too long, and a
 * server too slow for everybody would then have no slow request.
 *
 * HAProxy itself is asked once a tick over its socket. Another pid, or an uptime that went back, is
 * another process. Its parent tells a reload, where the same master has a new worker and nothing is
 * cut, from a restart; where the parent can't be seen (a container, no master at all) the event
 * says that it may have been either. Rejected: the master's own socket, which an HAProxy of others
 * need not have. */
#include "guard/watch_proxy.h"

#include "base/buf.h"
#include "base/clock.h"
#include "device/proc.h"
#include "guard/watch_apply.h"
#include "proxy/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_A_WAKE = 256, UNSERVED_LOOKS = 2 };
static const int64_t FLOOD_EVERY_NS = 10 * NS_PER_S;
static const int64_t LOG_AGAIN_NS = 10 * NS_PER_S;

struct guard_traffic {
    struct guard_traffic_setup setup;
    struct proxy *proxy;     /* owned */
    int fd;                  /* owned */
    sd_event_source *source; /* owned */
    struct proxy_view view;
    struct guard_proxy_past past;
    struct guard_revive revive;
    bool counts; /* lines that HAProxy drops, from its count at the first look on */
    unsigned unserved[SPEC_FRONTS_MAX]; /* looks in a row without a usable server */
    struct guard_lost_lines lost;
    int64_t log_ns;    /* when it was last tried */
    char log_why[300]; /* why it is not read; "" */
};

struct guard_traffic *guard_traffic_close(struct guard_traffic *traffic)
{
    if (!traffic)
        return NULL;
    sd_event_source_disable_unref(traffic->source);
    if (traffic->fd >= 0)
        close(traffic->fd);
    guard_revive_done(&traffic->revive);
    proxy_close(traffic->proxy);
    free(traffic);
    return NULL;
}
AUTO_FN(struct guard_traffic, guard_traffic_close)

static bool is_failed(const struct proxy_request *request)
{
    return request->end == PROXY_SERVER_ERROR || request->end == PROXY_CUT ||
           request->end == PROXY_UNSERVED;
}

struct guard_request guard_request_of(const struct proxy_request *request)
{
    bool answered = request->end == PROXY_OK;
    /* Without a server it left the queue (503), or had not even sent it all: nobody let it wait. */
    bool left = request->end == PROXY_CLIENT && (request->server >= 0 || request->status == 503);
    return (struct guard_request){
        .counted = true,
        .failed = is_failed(request),
        .left = request->end == PROXY_CLIENT,
        .latency_s = answered || left ? request->total_s : NAN,
        .first_s = answered || (left && request->first_s >= 0) ? request->first_s
                   : left                                      ? request->total_s
                                                               : NAN,
        .queue_s = request->queue_s,
        .server = request->server,
        .kind = request->end,
    };
}

static void take(struct guard_traffic *traffic, const struct proxy_request *request, int64_t now_ns)
{
    const struct guard_request seen = guard_request_of(request);
    if (request->front < SPEC_FRONTS_MAX && traffic->setup.windows[request->front])
        guard_requests_add(traffic->setup.windows[request->front], now_ns, &seen);
    if (traffic->setup.request)
        traffic->setup.request(traffic->setup.context, request, now_ns);
}

void guard_lost_lines_tell(struct guard_lost_lines *lost, int64_t now_ns,
                           struct guard_events *events)
{
    if (lost->unsent < lost->unsent_told) /* another HAProxy counts from 0 */
        lost->unsent_told = 0;
    uint32_t unread = lost->unread - lost->unread_told;
    uint64_t unsent = lost->unsent - lost->unsent_told;
    if ((unread == 0 && unsent == 0) || (lost->told_ns && now_ns - lost->told_ns < FLOOD_EVERY_NS))
        return;
    lost->told_ns = now_ns;
    lost->unread_told = lost->unread;
    lost->unsent_told = lost->unsent;
    AUTO(buf_done) struct buf text = BUF_INIT(400);
    if (unread > 0)
        buf_addf(&text, "%u lines came faster than they could be read and were dropped%s",
                 (unsigned)unread, unsent > 0 ? "; " : "");
    if (unsent > 0)
        buf_addf(&text, "%llu lines could not be sent by HAProxy, which dropped them",
                 (unsigned long long)unsent);
    guard_events_add(events, EVENT_LOG_FLOOD, -1, "HAProxy's log: %s", buf_text(&text));
}

static int on_lines(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct guard_traffic *traffic = context;
    char line[PROXY_LINE_MAX];
    int64_t now_ns = clock_now_ns();
    (void)source;
    (void)events;
    for (int i = 0; i < LINES_A_WAKE; i++) {
        struct proxy_request request;
        long len = proxy_log_receive(fd, line, sizeof line, &traffic->lost.unread);
        if (len <= 0)
            break;
        if (proxy_log_parse(traffic->proxy, line, (size_t)len, &request))
            take(traffic, &request, now_ns);
    }
    guard_lost_lines_tell(&traffic->lost, now_ns, traffic->setup.events);
    return 0;
}

static bool listen_to_log(struct guard_traffic *traffic, struct err *err)
{
    if (!proxy_log_open(traffic->proxy, &traffic->fd, err))
        return false;
    int r = sd_event_add_io(traffic->setup.event, &traffic->source, traffic->fd, EPOLLIN, on_lines,
                            traffic);
    if (r < 0) {
        close(traffic->fd);
        traffic->fd = -1;
        return err_set(err, ERR_INTERNAL, "HAProxy's log can't be waited for: %s", strerror(-r));
    }
    (void)sd_event_source_set_description(traffic->source, "HAProxy's log");
    return true;
}

/* A window begins with the log: before, there were requests that nobody counted. */
static void open_log(struct guard_traffic *traffic, int64_t now_ns)
{
    struct err err = ERR_INIT;
    struct guard_events *events = traffic->setup.events;
    bool first = traffic->log_ns == 0;
    if (!traffic->setup.listen || traffic->fd >= 0 ||
        (!first && now_ns - traffic->log_ns < LOG_AGAIN_NS))
        return;
    traffic->log_ns = now_ns;
    if (!listen_to_log(traffic, &err)) {
        snprintf(traffic->log_why, sizeof traffic->log_why, "%.290s", err.text);
        if (first)
            guard_events_add(events, EVENT_LOG_LOST, -1,
                             "HAProxy's log is not read, requests are not seen (tried again every "
                             "%d s): %.120s",
                             (int)(LOG_AGAIN_NS / NS_PER_S), err.text);
        return;
    }
    traffic->log_why[0] = '\0';
    for (size_t f = 0; f < SPEC_FRONTS_MAX; f++)
        if (traffic->setup.windows[f])
            guard_requests_restart(traffic->setup.windows[f], now_ns);
    if (!first)
        guard_events_add(events, EVENT_LOG_READ, -1, "HAProxy's log is read now");
}

bool guard_traffic_open(const struct guard_traffic_setup *setup, struct guard_traffic **ret_traffic,
                        struct err *err)
{
    struct guard_traffic *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_traffic_close) struct guard_traffic *traffic = made;
    traffic->setup = *setup;
    traffic->fd = -1;
    bool reloaded = false;
    if (!proxy_open(setup->study, &traffic->proxy, err) ||
        (setup->apply && !proxy_apply(traffic->proxy, &reloaded, err)))
        return false;
    open_log(traffic, clock_now_ns());
    *ret_traffic = TAKE(traffic);
    return true;
}

struct proxy *guard_traffic_proxy(const struct guard_traffic *traffic)
{
    return traffic->proxy;
}

bool guard_traffic_is_read(const struct guard_traffic *traffic)
{
    return traffic->fd >= 0;
}

const char *guard_traffic_log_why(const struct guard_traffic *traffic)
{
    return traffic->log_why;
}

bool guard_traffic_log_is_narrow(const struct guard_traffic *traffic, char *ret_text, size_t size)
{
    /* A datagram of up to 700 bytes, with what the kernel needs for it; three seconds of 500 each.
     */
    enum { LINE_BYTES = 1280, ENOUGH_BYTES = 2 << 20 };
    long bytes = 0, asked_bytes = 0;
    if (traffic->fd >= 0)
        proxy_log_room(traffic->fd, &bytes, &asked_bytes);
    if (bytes == 0 || bytes >= ENOUGH_BYTES)
        return false;
    snprintf(
        ret_text, size,
        "of HAProxy's log the kernel keeps only %ld lines that are not read yet (%ld of %ld KiB "
        "asked for): more than that at once are dropped, counted and said; "
        "sysctl net.core.rmem_max=%ld lets it keep %ld",
        bytes / LINE_BYTES, bytes >> 10, asked_bytes >> 10, asked_bytes / 2,
        asked_bytes / LINE_BYTES);
    return true;
}

const struct proxy_view *guard_traffic_view(const struct guard_traffic *traffic)
{
    return &traffic->view;
}

static void tell_another(const struct guard_proxy_past *past, const struct proxy_view *view,
                         const struct proc_stat *parent, struct guard_events *events)
{
    const bool known = parent && past->parent_pid > 0;
    if (known && parent->pid == past->parent_pid && parent->start_ticks == past->parent_start)
        return; /* a reload */
    guard_events_add(events, EVENT_PROXY_RESTARTED, -1,
                     "HAProxy was %s by others: process %lld after %lld, up for %lld s",
                     known ? "restarted" : "restarted or reloaded", (long long)view->pid,
                     (long long)past->pid, (long long)view->uptime_s);
}

void guard_proxy_tell(struct guard_proxy_past *past, const struct proxy_view *view,
                      const struct proc_stat *parent, struct guard_events *events)
{
    const bool another =
        past->was_up && (view->pid != past->pid || view->uptime_s < past->uptime_s - 1);
    const bool first = !past->looked;
    past->looked = true;
    if (!view->up) {
        if (!first && !past->down_told)
            guard_events_add(events, EVENT_PROXY_DOWN, -1, "HAProxy does not answer on its socket");
        past->down_told = !first;
        return;
    }
    if (past->down_told)
        guard_events_add(events, EVENT_PROXY_RESTARTED, -1, "HAProxy answers again: process %lld",
                         (long long)view->pid);
    else if (another && !view->by_apply)
        tell_another(past, view, parent, events);
    past->down_told = false;
    past->was_up = true;
    past->pid = view->pid;
    past->uptime_s = view->uptime_s;
    past->parent_pid = parent ? parent->pid : 0;
    past->parent_start = parent ? parent->start_ticks : 0;
}

/* The master of the process that answers. One that is no HAProxy is init, or a number of another
 * view of processes. */
static const struct proc_stat *find_parent(const struct proxy_view *view, struct proc_stat *room)
{
    struct proc_stat self = {0};
    bool found = view->up && view->pid > 0 && view->pid <= INT32_MAX &&
                 proc_read_stat("/proc", (pid_t)view->pid, &self) &&
                 strcmp(self.comm, "haproxy") == 0 && self.ppid > 1 &&
                 proc_read_stat("/proc", self.ppid, room) && strcmp(room->comm, "haproxy") == 0;
    return found ? room : NULL;
}

static void keep_running(struct guard_traffic *traffic, int64_t now_ns)
{
    const bool idle = !traffic->view.up && !traffic->revive.apply;
    if (!traffic->setup.revive || !proxy_is_ours(traffic->proxy) ||
        (idle && proxy_is_stopped(traffic->proxy)))
        return;
    guard_revive_step(&traffic->revive, traffic->setup.study, traffic->setup.event,
                      traffic->view.up, now_ns, traffic->setup.events);
}

/* Not at the first look: while tiers are switched there may be a moment without one. */
void guard_unserved_tell(unsigned looks[SPEC_FRONTS_MAX], const struct spec_guard *guard,
                         const struct proxy_view *view, struct guard_events *events)
{
    for (size_t f = 0; f < guard->front_count && view->up; f++) {
        const struct proxy_front *front = &view->fronts[f];
        const int service = (int)guard->fronts[f].service;
        bool usable = front->server_count == 0; /* unknown */
        for (size_t k = 0; k < front->server_count; k++)
            usable |= front->servers[k].usable;
        if (usable && looks[f] >= UNSERVED_LOOKS)
            guard_events_add(events, EVENT_SERVED, service, "HAProxy has a usable server again");
        if (!usable && looks[f] + 1 == UNSERVED_LOOKS)
            guard_events_add(events, EVENT_UNSERVED, service,
                             "none of HAProxy's %zu servers is usable: requests get a 503",
                             front->server_count);
        looks[f] = usable ? 0 : looks[f] + 1;
    }
}

void guard_traffic_step(struct guard_traffic *traffic, int64_t now_ns)
{
    struct err ignored = ERR_INIT;
    if (!proxy_look(traffic->proxy, &traffic->view, &ignored))
        traffic->view = (struct proxy_view){0};
    struct proc_stat room;
    guard_proxy_tell(&traffic->past, &traffic->view, find_parent(&traffic->view, &room),
                     traffic->setup.events);
    keep_running(traffic, now_ns);
    guard_unserved_tell(traffic->unserved, traffic->setup.study->guard, &traffic->view,
                        traffic->setup.events);
    open_log(traffic, now_ns);
    if (!traffic->view.up)
        return;
    traffic->lost.unsent = traffic->view.dropped_logs;
    /* What was dropped while nobody read, nobody misses: it was said that nothing is seen. */
    if (!traffic->counts || traffic->fd < 0)
        traffic->lost.unsent_told = traffic->lost.unsent;
    traffic->counts = traffic->fd >= 0;
    guard_lost_lines_tell(&traffic->lost, now_ns, traffic->setup.events);
}
