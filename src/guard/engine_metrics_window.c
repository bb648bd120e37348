/* From pages to quantiles of the last while.
 *
 * A page counts since the server began, so what came between two pages is their difference, bucket
 * by bucket. That goes into the same window as everybody's values, spread evenly over its bucket as
 * Prometheus' histogram_quantile() supposes: where in its bucket a value was is not known, and the
 * width of the bucket goes with a quantile as its error, into /status and what --once says. What is
 * beyond the last bound counts as that bound.
 *
 * Invariant: a server that began anew (a total went back) adds nothing; values of the one before
 * leave the window. */
#include "guard/engine_metrics.h"

#include "base/auto.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

enum { PARTS_MAX = 8, COUNT_WELL = 0, COUNT_ERRORS = 1, COUNT_LEFT = 2 };
static const double LEAST_S = 1e-6;

struct guard_engine_window {
    struct guard_window *windows[ENGINE_HISTOGRAMS_], *counts; /* owned */
    struct guard_engine_page last;
    bool has_last;
    int64_t last_ns, moved_ns;
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
    return now->requests < before->requests || now->errors < before->errors ||
           now->left < before->left || now->tokens < before->tokens;
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
    window->moved_ns = 0;
}

/* A series may be there only from its first one on: before it there were none. */
static double more(double before, double now)
{
    return isnan(now) ? 0 : now - (isnan(before) ? 0 : before);
}

static void add_counts(struct guard_engine_window *window, int64_t now_ns,
                       const struct guard_engine_page *page)
{
    const struct guard_engine_page *last = &window->last;
    const double counts[] = {[COUNT_WELL] = more(last->requests, page->requests),
                             [COUNT_ERRORS] = more(last->errors, page->errors),
                             [COUNT_LEFT] = more(last->left, page->left)};
    for (size_t which = 0; which < ARRAY_LEN(counts); which++)
        if (counts[which] > 0)
            guard_window_count(window->counts, now_ns, which, (uint64_t)llround(counts[which]));
    if (counts[COUNT_WELL] > 0 || more(last->tokens, page->tokens) > 0)
        window->moved_ns = window->last_ns; /* some time since then */
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
        add_counts(window, now_ns, page);
    }
    window->last = *page;
    window->has_last = true;
    window->last_ns = now_ns;
}

/* A value at the last bound, as near as a sketch knows it, may be any that is beyond. */
static double bucket_width(const struct guard_engine_histogram *histogram, double value)
{
    for (size_t i = 0; i < histogram->count && !isnan(value); i++) {
        const double bound = histogram->bounds[i];
        const bool last = isinf(bound) || isinf(histogram->bounds[i + 1]);
        if (value <= bound && !(last && value >= bound * (1 - 2 * STATS_SKETCH_ERROR)))
            return isinf(bound) ? INFINITY : bound - (i > 0 ? histogram->bounds[i - 1] : 0);
        if (last)
            return INFINITY;
    }
    return NAN;
}

static void read_buckets(const struct guard_engine_histogram *histogram,
                         const struct guard_window_reading *reading,
                         double ret_bucket_s[GUARD_ENGINE_QUANTILES])
{
    ret_bucket_s[0] = bucket_width(histogram, reading->p50);
    ret_bucket_s[1] = bucket_width(histogram, reading->p95);
    ret_bucket_s[2] = bucket_width(histogram, reading->p99);
}

static void read_counts(struct guard_engine_window *window, int64_t now_ns,
                        struct guard_engine_view *view)
{
    struct guard_window_reading counts;
    guard_window_read(window->counts, now_ns, &counts);
    if (isnan(window->last.requests) || !(counts.covered_s > 0))
        return;
    uint64_t well = counts.counts[COUNT_WELL], failed = counts.counts[COUNT_ERRORS];
    view->ended = well + failed;
    view->requests = view->ended + counts.counts[COUNT_LEFT];
    view->rate_rps = (double)view->requests / counts.covered_s;
    if (!isnan(window->last.errors) && view->ended > 0)
        view->error_ratio = (double)failed / (double)view->ended;
}

void guard_engine_window_read(struct guard_engine_window *window, int64_t now_ns, int64_t old_ns,
                              struct guard_engine_view *ret_view)
{
    struct guard_engine_view view = {.rate_rps = NAN,
                                     .error_ratio = NAN,
                                     .running = NAN,
                                     .waiting = NAN,
                                     .moved_ns = window->moved_ns};
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++) {
        view.readings[h] = (struct guard_window_reading){.p50 = NAN, .p95 = NAN, .p99 = NAN};
        for (size_t q = 0; q < GUARD_ENGINE_QUANTILES; q++)
            view.bucket_s[h][q] = NAN;
    }
    if (window->has_last && now_ns - window->last_ns <= old_ns) {
        for (int h = 0; h < ENGINE_HISTOGRAMS_; h++) {
            guard_window_read(window->windows[h], now_ns, &view.readings[h]);
            read_buckets(&window->last.histograms[h], &view.readings[h], view.bucket_s[h]);
        }
        read_counts(window, now_ns, &view);
        view.running = window->last.running;
        view.waiting = window->last.waiting;
    }
    *ret_view = view;
}
