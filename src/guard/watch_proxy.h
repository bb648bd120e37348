/* Inside guard/: HAProxy, seen through its log and its socket. */
#pragma once

#include "guard/watch_events.h"
#include "guard/watch_requests.h"
#include "proxy/proxy.h"

#include <systemd/sd-event.h>

struct guard_traffic; /* opaque */
/* `windows`: per front, borrowed. `request` as in guard/watch.h. */
struct guard_traffic_setup {
    const struct spec_study *study;
    sd_event *event;
    struct guard_requests *windows[SPEC_FRONTS_MAX];
    void (*request)(void *context, const struct proxy_request *request, int64_t now_ns);
    void *context;
    struct guard_events *events;
    bool apply;  /* write its configuration, and start or reload it where that changed */
    bool revive; /* start one that we run ourselves again when it dies */
    bool listen; /* to its log; where that can't be had it is tried again every ten seconds */
};
/* Its log's failure is none: guard_traffic_log_why() has it. */
NODISCARD bool guard_traffic_open(const struct guard_traffic_setup *setup,
                                  struct guard_traffic **ret_traffic, struct err *err);
struct guard_traffic *guard_traffic_close(struct guard_traffic *traffic); /* returns NULL */
struct proxy *guard_traffic_proxy(const struct guard_traffic *traffic);
/* Asks HAProxy how it is, once a tick. */
void guard_traffic_step(struct guard_traffic *traffic, int64_t now_ns);
const struct proxy_view *guard_traffic_view(const struct guard_traffic *traffic);
bool guard_traffic_is_read(const struct guard_traffic *traffic);        /* its log */
const char *guard_traffic_log_why(const struct guard_traffic *traffic); /* why not; "" */
/* Its log is read, and the kernel keeps few unread lines: in words what that means. Else false. */
bool guard_traffic_log_is_narrow(const struct guard_traffic *traffic, char *ret_text, size_t size);

/* How a logged request counts. Of one whose client left, times are lower bounds. */
struct guard_request guard_request_of(const struct proxy_request *request);

struct guard_lost_lines {         /* zeroed at first */
    uint32_t unread, unread_told; /* dropped by the kernel, before we read them */
    uint64_t unsent, unsent_told; /* by HAProxy, as it counts since it began */
    int64_t told_ns;
};
/* An event, at most once in ten seconds. */
void guard_lost_lines_tell(struct guard_lost_lines *lost, int64_t now_ns,
                           struct guard_events *events);

/* An event when none of a front's servers has been usable twice in a row, and when one is again.
 * `looks`: how often in a row it was none, one for each front; zeroed at first. */
void guard_unserved_tell(unsigned looks[SPEC_FRONTS_MAX], const struct spec_guard *guard,
                         const struct proxy_view *view, struct guard_events *events);

/* HAProxy from look to look. Zeroed at first. */
struct guard_proxy_past {
    bool looked, was_up, down_told;
    int64_t pid, uptime_s;
    int64_t parent_pid, parent_start; /* of the process that answered; 0: not known */
};
/* Events: it does not answer, it answers again, another one answers. A worker of the same master is
 * a reload, which cuts nothing: no event. `parent` NULL: not known, and the event says so. */
struct proc_stat;
void guard_proxy_tell(struct guard_proxy_past *past, const struct proxy_view *view,
                      const struct proc_stat *parent, struct guard_events *events);
