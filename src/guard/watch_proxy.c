/* HAProxy's log comes as datagrams, one a request, and is read as it comes.
 *
 * At 500 a second this is guard's dearest work, so a wake reads what is there and no more than
 * LINES_A_WAKE, without an allocation. When more come than are read, the kernel drops them: nobody
 * waits for us. It counts what it dropped, which is said, at most once in ten seconds; rates and
 * counts are then those of what was read.
 *
 * HAProxy itself is asked once a tick over its socket. Another pid, or an uptime that went back, is
 * another HAProxy; a reload is one as well, and can't be told apart from here. */
#include "guard/watch_proxy.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_A_WAKE = 256 };
static const int64_t FLOOD_EVERY_NS = 10 * NS_PER_S;

struct guard_traffic {
    struct guard_traffic_setup setup;
    struct proxy *proxy;     /* owned */
    int fd;                  /* owned */
    sd_event_source *source; /* owned */
    struct proxy_view view;
    bool looked, was_up, down_told;
    int64_t pid, uptime_s;
    int64_t flood_ns;
    uint32_t lost, lost_told; /* lines that were dropped before we read them */
};

struct guard_traffic *guard_traffic_close(struct guard_traffic *traffic)
{
    if (!traffic)
        return NULL;
    sd_event_source_disable_unref(traffic->source);
    if (traffic->fd >= 0)
        close(traffic->fd);
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

static void take(struct guard_traffic *traffic, const struct proxy_request *request, int64_t now_ns)
{
    bool answered = request->end == PROXY_OK;
    const struct guard_request seen = {
        .counted = request->end != PROXY_CLIENT,
        .failed = is_failed(request),
        .latency_s = answered ? request->total_s : NAN,
        .first_s = answered ? request->first_s : NAN,
        .queue_s = request->queue_s,
    };
    if (request->front < SPEC_FRONTS_MAX && traffic->setup.windows[request->front])
        guard_requests_add(traffic->setup.windows[request->front], now_ns, &seen);
    if (traffic->setup.request)
        traffic->setup.request(traffic->setup.context, request, now_ns);
}

static void note_lost(struct guard_traffic *traffic, int64_t now_ns)
{
    uint32_t more = traffic->lost - traffic->lost_told;
    if (more == 0 || (traffic->flood_ns && now_ns - traffic->flood_ns < FLOOD_EVERY_NS))
        return;
    traffic->flood_ns = now_ns;
    traffic->lost_told = traffic->lost;
    guard_events_add(traffic->setup.events, EVENT_LOG_FLOOD, -1,
                     "HAProxy's log: %u lines came faster than they could be read and were dropped",
                     (unsigned)more);
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
        long len = proxy_log_receive(fd, line, sizeof line, &traffic->lost);
        if (len <= 0)
            break;
        if (proxy_log_parse(traffic->proxy, line, (size_t)len, &request))
            take(traffic, &request, now_ns);
    }
    note_lost(traffic, now_ns);
    return 0;
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
    if (!setup->listen) {
        *ret_traffic = TAKE(traffic);
        return true;
    }
    if (!proxy_log_open(traffic->proxy, &traffic->fd, err))
        return false;
    int r =
        sd_event_add_io(setup->event, &traffic->source, traffic->fd, EPOLLIN, on_lines, traffic);
    if (r < 0)
        return err_set(err, ERR_INTERNAL, "HAProxy's log can't be waited for: %s", strerror(-r));
    (void)sd_event_source_set_description(traffic->source, "HAProxy's log");
    *ret_traffic = TAKE(traffic);
    return true;
}

struct proxy *guard_traffic_proxy(const struct guard_traffic *traffic)
{
    return traffic->proxy;
}

const struct proxy_view *guard_traffic_view(const struct guard_traffic *traffic)
{
    return &traffic->view;
}

static void compare(struct guard_traffic *traffic)
{
    const struct proxy_view *view = &traffic->view;
    struct guard_events *events = traffic->setup.events;
    bool another =
        traffic->was_up && (view->pid != traffic->pid || view->uptime_s < traffic->uptime_s - 1);
    if (!view->up) {
        if (traffic->looked && !traffic->down_told)
            guard_events_add(events, EVENT_PROXY_DOWN, -1, "HAProxy does not answer on its socket");
        traffic->down_told = traffic->looked;
        return;
    }
    if (another && !view->by_apply)
        guard_events_add(
            events, EVENT_PROXY_RESTARTED, -1,
            "HAProxy was restarted or reloaded by others: process %lld after %lld, up for %lld s",
            (long long)view->pid, (long long)traffic->pid, (long long)view->uptime_s);
    else if (traffic->down_told)
        guard_events_add(events, EVENT_PROXY_RESTARTED, -1, "HAProxy answers again: process %lld",
                         (long long)view->pid);
    traffic->down_told = false;
    traffic->was_up = true;
    traffic->pid = view->pid;
    traffic->uptime_s = view->uptime_s;
}

void guard_traffic_step(struct guard_traffic *traffic, int64_t now_ns)
{
    struct err ignored = ERR_INIT;
    (void)now_ns;
    if (!proxy_look(traffic->proxy, &traffic->view, &ignored))
        traffic->view = (struct proxy_view){0};
    compare(traffic);
    traffic->looked = true;
}
