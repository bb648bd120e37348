/* From pages to quantiles of the last while.
 *
 * A page counts since the server began, so what came between two pages is their difference, bucket
 * by bucket. That goes into the same window as everybody's values, spread evenly over its bucket as
 * Prometheus' histogram_quantile() supposes: where in its bucket a value was is not known, and the
 * width of the bucket is shown beside a quantile as its error. What is beyond the last bound counts
 * as that bound.
 *
 * Invariant: a server that began anew (a total went back) adds nothing; values of the one before
 * leave the window. */
#include "guard/engine_metrics.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { PARTS_MAX = 8, COUNT_REQUESTS = 0, COUNT_ERRORS = 1 };
static const double LEAST_S = 1e-6;

struct guard_engine_window {
    struct guard_window *windows[ENGINE_HISTOGRAMS_], *counts; /* owned */
    struct guard_engine_page last;
    bool has_last;
    int64_t last_ns;
};

struct guard_engine_window *guard_engine_window_new(int64_t span_ns, int64_t now_ns)
{
    struct guard_engine_window *window = calloc(1, sizeof *window);
    if (!window)
        abort();
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
        window->windows[h] = guard_window_new(span_ns, now_ns);
    window->counts = guard_window_new(span_ns, now_ns);
    return window;
}

struct guard_engine_window *guard_engine_window_free(struct guard_engine_window *window)
{
    if (!window)
        return NULL;
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
        guard_window_free(window->windows[h]);
    guard_window_free(window->counts);
    free(window);
    return NULL;
}

/* Values of one bucket, in up to eight places of it. */
static void spread(struct guard_window *window, int64_t now_ns, double low, double high,
                   uint64_t count)
{
    uint64_t parts = count < PARTS_MAX ? count : PARTS_MAX;
    for (uint64_t p = 0; p < parts; p++) {
        uint64_t times = count / parts + (p < count % parts);
        double value = low + (high - low) * ((double)p + 0.5) / (double)parts;
        guard_window_add(window, now_ns, fmax(value, LEAST_S), times);
    }
}

static bool same_bounds(const struct guard_engine_histogram *a,
                        const struct guard_engine_histogram *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (a->bounds[i] != b->bounds[i])
            return false;
    return a->count == b->count;
}

static bool went_back(const struct guard_engine_page *before, const struct guard_engine_page *now)
{
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++) {
        const struct guard_engine_histogram *a = &before->histograms[h], *b = &now->histograms[h];
        if (!same_bounds(a, b))
            return true;
        for (size_t i = 0; i < a->count; i++)
            if (b->totals[i] < a->totals[i])
                return true;
    }
    return now->requests < before->requests || now->errors < before->errors;
}

static void add_histogram(struct guard_window *window, int64_t now_ns,
                          const struct guard_engine_histogram *before,
                          const struct guard_engine_histogram *now)
{
    double counted = 0;
    for (size_t i = 0; i < now->count; i++) {
        double up_to = now->totals[i] - before->totals[i];
        double low = i > 0 ? now->bounds[i - 1] : 0;
        double high = isinf(now->bounds[i]) ? low : now->bounds[i];
        if (up_to > counted) {
            spread(window, now_ns, low, high, (uint64_t)llround(up_to - counted));
            counted = up_to;
        }
    }
}

static void restart(struct guard_engine_window *window, int64_t now_ns)
{
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
        guard_window_restart(window->windows[h], now_ns);
    guard_window_restart(window->counts, now_ns);
}

void guard_engine_window_add(struct guard_engine_window *window, int64_t now_ns,
                             const struct guard_engine_page *page)
{
    const struct guard_engine_page *last = &window->last;
    if (!window->has_last || went_back(last, page)) {
        restart(window, now_ns);
    } else {
        for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
            add_histogram(window->windows[h], now_ns, &last->histograms[h], &page->histograms[h]);
        double requests = page->requests - last->requests, errors = page->errors - last->errors;
        if (requests > 0)
            guard_window_count(window->counts, now_ns, COUNT_REQUESTS, (uint64_t)llround(requests));
        if (errors > 0)
            guard_window_count(window->counts, now_ns, COUNT_ERRORS, (uint64_t)llround(errors));
    }
    window->last = *page;
    window->has_last = true;
    window->last_ns = now_ns;
}

static double bucket_width(const struct guard_engine_histogram *histogram, double value)
{
    for (size_t i = 0; i < histogram->count && !isnan(value); i++)
        if (value <= histogram->bounds[i])
            return isinf(histogram->bounds[i])
                       ? INFINITY
                       : histogram->bounds[i] - (i > 0 ? histogram->bounds[i - 1] : 0);
    return NAN;
}

static void read_counts(struct guard_engine_window *window, int64_t now_ns,
                        struct guard_engine_view *view)
{
    struct guard_window_reading counts;
    guard_window_read(window->counts, now_ns, &counts);
    if (isnan(window->last.requests) || !(counts.covered_s > 0))
        return;
    uint64_t well = counts.counts[COUNT_REQUESTS], failed = counts.counts[COUNT_ERRORS];
    view->requests = well + failed;
    view->rate_rps = (double)view->requests / counts.covered_s;
    if (!isnan(window->last.errors) && view->requests > 0)
        view->error_ratio = (double)failed / (double)view->requests;
}

void guard_engine_window_read(struct guard_engine_window *window, int64_t now_ns, int64_t old_ns,
                              struct guard_engine_view *ret_view)
{
    struct guard_engine_view view = {
        .rate_rps = NAN, .error_ratio = NAN, .running = NAN, .waiting = NAN};
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++) {
        view.readings[h] = (struct guard_window_reading){.p50 = NAN, .p95 = NAN, .p99 = NAN};
        view.bucket_s[h] = NAN;
    }
    if (window->has_last && now_ns - window->last_ns <= old_ns) {
        for (int h = 0; h < ENGINE_HISTOGRAMS_; h++) {
            guard_window_read(window->windows[h], now_ns, &view.readings[h]);
            view.bucket_s[h] = bucket_width(&window->last.histograms[h], view.readings[h].p95);
        }
        read_counts(window, now_ns, &view);
        view.running = window->last.running;
        view.waiting = window->last.waiting;
    }
    *ret_view = view;
}
