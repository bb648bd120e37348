/* Inside guard/: requests of one service in a sliding window, wherever they come from. */
#pragma once

#include "guard/window.h"

#include <stdbool.h>

enum { GUARD_KINDS_MAX = GUARD_WINDOW_COUNTS };
struct guard_kinds { /* how many ended in each way; 0 is "well", which nobody counts */
    uint64_t window[GUARD_KINDS_MAX], total[GUARD_KINDS_MAX]; /* total: since guard began */
};

struct guard_requests; /* opaque */
struct guard_requests *guard_requests_new(int64_t span_ns, int64_t now_ns);
struct guard_requests *guard_requests_free(struct guard_requests *requests); /* returns NULL */

/* Empty, and begins now. */
void guard_requests_restart(struct guard_requests *requests, int64_t now_ns);

/* One that is over. Seconds, NaN: unknown, or it has none. `counted` false: it is no request and
 * no error. */
struct guard_request {
    bool counted, failed;
    bool left;   /* its client did, before the end: times are lower bounds, and it has not failed */
    int server;  /* of its front's that answered it; -1: none did */
    size_t kind; /* how it ended, in its source's words (guard_kind_name()); 0: well */
    double latency_s, first_s, queue_s;
};
void guard_requests_add(struct guard_requests *requests, int64_t now_ns,
                        const struct guard_request *request);

/* When a request was last answered, other than by an error, by that server; 0: never. */
int64_t guard_requests_well_ns(const struct guard_requests *requests, size_t server);

struct guard_requests_view {
    struct guard_window_reading latency, first, queue;
    uint64_t requests, ended;     /* of which the error ratio is: nobody left them */
    double rate_rps, error_ratio; /* NaN: not yet, or of none */
    struct guard_kinds kinds;
};
void guard_requests_read(struct guard_requests *requests, int64_t now_ns,
                         struct guard_requests_view *ret_view);
