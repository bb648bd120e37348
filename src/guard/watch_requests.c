/* Requests in a window: three sketches and two counts.
 *
 * A failed request has no latency, as everywhere in this program: a server that refuses within a
 * millisecond would else look fast. It stands in the error ratio, beside which the count says of
 * how many.
 *
 * Whoever left has a latency, the time that it waited at least, and stands in the rate. In the
 * error ratio it does not stand: how it would have ended nobody knows. */
#include "guard/watch_requests.h"

#include "base/clock.h"
#include "spec/guard.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_ALL, COUNT_FAILED, COUNT_LEFT };

struct guard_requests {
    struct guard_window *latency, *first, *queue; /* owned, as below */
    struct guard_window *kinds;                   /* no values, a count for each kind */
    uint64_t totals[GUARD_KINDS_MAX];
    int64_t well_ns[SPEC_TIERS_MAX]; /* of each server; 0: never */
};

struct guard_requests *guard_requests_new(int64_t span_ns, int64_t now_ns)
{
    struct guard_requests *requests = calloc(1, sizeof *requests);
    if (!requests)
        abort();
    requests->latency = guard_window_new(span_ns, now_ns);
    requests->first = guard_window_new(span_ns, now_ns);
    requests->queue = guard_window_new(span_ns, now_ns);
    requests->kinds = guard_window_new(span_ns, now_ns);
    return requests;
}

struct guard_requests *guard_requests_free(struct guard_requests *requests)
{
    if (requests) {
        guard_window_free(requests->latency);
        guard_window_free(requests->first);
        guard_window_free(requests->queue);
        guard_window_free(requests->kinds);
        free(requests);
    }
    return NULL;
}

void guard_requests_restart(struct guard_requests *requests, int64_t now_ns)
{
    guard_window_restart(requests->latency, now_ns);
    guard_window_restart(requests->first, now_ns);
    guard_window_restart(requests->queue, now_ns);
    guard_window_restart(requests->kinds, now_ns);
}

static void add(struct guard_window *window, int64_t now_ns, double value_s)
{
    if (value_s >= 0)
        guard_window_add(window, now_ns, fmax(value_s, STATS_SKETCH_LEAST), 1);
}

void guard_requests_add(struct guard_requests *requests, int64_t now_ns,
                        const struct guard_request *request)
{
    if (!request->counted)
        return;
    guard_window_count(requests->latency, now_ns, COUNT_ALL, 1);
    if (request->kind > 0 && request->kind < GUARD_KINDS_MAX) {
        guard_window_count(requests->kinds, now_ns, request->kind, 1);
        requests->totals[request->kind]++;
    }
    if (request->left)
        guard_window_count(requests->latency, now_ns, COUNT_LEFT, 1);
    if (request->failed) {
        guard_window_count(requests->latency, now_ns, COUNT_FAILED, 1);
        return;
    }
    if (!request->left && request->server >= 0 && request->server < SPEC_TIERS_MAX)
        requests->well_ns[request->server] = now_ns;
    add(requests->latency, now_ns, request->latency_s);
    add(requests->first, now_ns, request->first_s);
    add(requests->queue, now_ns, request->queue_s);
}

int64_t guard_requests_well_ns(const struct guard_requests *requests, size_t server)
{
    return server < SPEC_TIERS_MAX ? requests->well_ns[server] : 0;
}

void guard_requests_read(struct guard_requests *requests, int64_t now_ns,
                         struct guard_requests_view *ret_view)
{
    struct guard_requests_view view = {.rate_rps = NAN, .error_ratio = NAN};
    struct guard_window_reading kinds;
    guard_window_read(requests->kinds, now_ns, &kinds);
    memcpy(view.kinds.window, kinds.counts, sizeof view.kinds.window);
    memcpy(view.kinds.total, requests->totals, sizeof view.kinds.total);
    guard_window_read(requests->latency, now_ns, &view.latency);
    guard_window_read(requests->first, now_ns, &view.first);
    guard_window_read(requests->queue, now_ns, &view.queue);
    view.requests = view.latency.counts[COUNT_ALL];
    if (view.latency.covered_s > 0)
        view.rate_rps = (double)view.requests / view.latency.covered_s;
    view.ended = view.requests - view.latency.counts[COUNT_LEFT];
    if (view.ended > 0)
        view.error_ratio = (double)view.latency.counts[COUNT_FAILED] / (double)view.ended;
    *ret_view = view;
}
