/* Inside guard/: what servers say of their own traffic on their /metrics page: histograms of
 * latency, first token and queue, counts, and what runs and waits. Prometheus' text format and
 * OpenMetrics. The numbers are the server's own word; a quantile from a histogram is known to its
 * bucket and no better. */
#pragma once

#include "guard/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

enum { GUARD_BUCKETS_MAX = 64 };

enum { GUARD_ENGINE_QUANTILES = 3 }; /* p50, p95, p99 */
enum guard_engine_histogram_kind { ENGINE_LATENCY, ENGINE_FIRST, ENGINE_QUEUE, ENGINE_HISTOGRAMS_ };

struct guard_engine_histogram {       /* cumulative, since the server began */
    size_t count;                     /* of buckets; 0: the page has none */
    double bounds[GUARD_BUCKETS_MAX]; /* upper, rising, in seconds; the last is infinity */
    double totals[GUARD_BUCKETS_MAX]; /* values up to there */
};

/* ---- engine_metrics.c: pure, hostile bytes ---- */
struct guard_engine_page {
    struct guard_engine_histogram histograms[ENGINE_HISTOGRAMS_];
    double running, waiting; /* now; NaN: the page does not say */
    /* Since the server began; NaN: the page does not say. `requests` ended well, `errors` by the
     * server's fault, `left` because their clients went away; `tokens` came in and went out. */
    double requests, errors, left, tokens;
};
/* Series of several engines or models behind one page are summed. A name is matched whole: what
 * ends in "_created" is no counter. Exemplars, time stamps, comments and "# EOF" are passed over;
 * NaN is no value. */
void guard_engine_parse(const char *text, size_t len, struct guard_engine_page *ret_page);

/* ---- engine_metrics_window.c: differences of two pages, in a window ---- */
struct guard_engine_view {
    struct guard_window_reading readings[ENGINE_HISTOGRAMS_];
    /* Width of the bucket that each quantile is in; NaN: there is none, or it is beyond them. */
    double bucket_s[ENGINE_HISTOGRAMS_][GUARD_ENGINE_QUANTILES];
    double rate_rps, error_ratio; /* NaN unknown */
    uint64_t requests, ended;     /* behind them: nobody left those that ended */
    double running, waiting;
    /* Since then, or later, a request ended well or a token came; 0: that was not seen. Of this
     * server, however long ago. */
    int64_t moved_ns;
};
struct guard_engine_window; /* opaque */
struct guard_engine_window *guard_engine_window_new(int64_t span_ns, int64_t now_ns);
struct guard_engine_window *guard_engine_window_free(struct guard_engine_window *window);
/* The first page, and one whose counts went back (the server began anew), only say from where to
 * count. */
void guard_engine_window_add(struct guard_engine_window *window, int64_t now_ns,
                             const struct guard_engine_page *page);
/* Everything is unknown when the last page is older than `old_ns`. */
void guard_engine_window_read(struct guard_engine_window *window, int64_t now_ns, int64_t old_ns,
                              struct guard_engine_view *ret_view);

/* ---- engine_metrics_fetch.c: the pages, on the loop ---- */
struct spec_study;
struct spec_candidate;
struct err;
struct guard_engines; /* opaque */
/* `candidate`: which engine a service uses, for its path. Services without a page are left alone.
 */
__attribute__((warn_unused_result)) bool
guard_engines_new(const struct spec_study *study, const struct spec_candidate *candidate,
                  sd_event *event, struct guard_engines **ret_engines, struct err *err);
struct guard_engines *guard_engines_free(struct guard_engines *engines); /* returns NULL */
bool guard_engines_asks(const struct guard_engines *engines, size_t service);
/* Asks those that are due and `up[i]`; one GET at a time to each, given up after two seconds. Of
 * `hurried[i]` every second: somebody wants to know whether its counts move. */
void guard_engines_step(struct guard_engines *engines, int64_t now_ns, const bool *up,
                        const bool *hurried);
void guard_engines_read(struct guard_engines *engines, int64_t now_ns, size_t service,
                        struct guard_engine_view *ret_view);
