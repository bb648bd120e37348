/* How slow a tier is at a rate of requests: what the study measured, and what was seen live. Pure.
 *
 * A latency never falls as the rate rises, so a measured point says something of all rates: those
 * above it are no faster, those below no slower. Between two points the line is taken (queues make
 * the true curve convex, so the line is over it); beyond the last point nothing is known but that
 * it is no faster. Rates are requests/s, latencies seconds of the front's quantile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POLICY_POINTS_MAX = 32, POLICY_LEARNED_MAX = 16 };

struct policy_point {
    double rate_rps, latency_s;
};
struct policy_curve { /* of the study; ascending, latencies too: policy_curve_add() */
    struct policy_point points[POLICY_POINTS_MAX];
    size_t count;
    double most_rps; /* the most it answered, at any load; NaN unknown */
};
/* Keeps order. What is slower at a smaller rate lifts all above it. A full curve drops the point.
 */
void policy_curve_add(struct policy_curve *curve, double rate_rps, double latency_s);

/* What was seen live, bounded: one for each rate (those within an eighth are one), the oldest goes
 * first. A miss is believed for POLICY_MISS_NS, a figure that was kept for POLICY_KEPT_NS. */
#define POLICY_MISS_NS (600 * INT64_C(1000000000))
#define POLICY_KEPT_NS (3600 * INT64_C(1000000000))
struct policy_learned {
    struct policy_learned_point {
        double mean_rps, most_rps; /* over the window, and its busiest seconds */
        double latency_s;
        int64_t at_ns;
    } points[POLICY_LEARNED_MAX];
    size_t count;
};
void policy_learned_add(struct policy_learned *learned, double mean_rps, double most_rps,
                        double latency_s, int64_t now_ns);

struct policy_forecast {
    double latency_s; /* NaN: unknown */
    double least_s;   /* it is no faster than this; 0: nothing is known */
    bool live;        /* no measurement of the study stands behind latency_s */
};
struct policy_forecast policy_forecast(const struct policy_curve *curve,
                                       const struct policy_learned *learned, double rate_rps,
                                       int64_t now_ns);
