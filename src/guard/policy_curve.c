/* Forecasts from measured points.
 *
 * Rejected: fitting a queue's formula (M/G/1 and the like) through the points. It would answer at
 * any rate, also where nobody ever looked, and servers batch, cache and share their device: the
 * formula is wrong just where it is needed. A line between two measurements is dull and can't be
 * far off; beyond the last one the answer is "unknown".
 *
 * The study's points stand as they are. What was seen live lifts them (it is slower than the study
 * said) and never lowers them; only where the study has none may it stand for itself.
 *
 * Invariant: latency_s and least_s do not fall as the rate rises. */
#include "guard/policy_curve.h"

#include <math.h>
#include <string.h>

static const double SAME_RATE_RATIO = 0.125;

void policy_curve_add(struct policy_curve *curve, double rate_rps, double latency_s)
{
    if (!(rate_rps > 0) || !(latency_s > 0) || curve->count == POLICY_POINTS_MAX)
        return;
    size_t at = curve->count;
    while (at > 0 && curve->points[at - 1].rate_rps > rate_rps)
        at--;
    if (at > 0 && curve->points[at - 1].rate_rps == rate_rps) {
        /* Looked at twice: the worse counts. */
        latency_s = fmax(latency_s, curve->points[--at].latency_s);
        curve->count--;
    } else
        memmove(&curve->points[at + 1], &curve->points[at],
                (curve->count - at) * sizeof *curve->points);
    curve->points[at] = (struct policy_point){rate_rps, latency_s};
    curve->count++;
    for (size_t i = 1; i < curve->count; i++)
        if (curve->points[i].latency_s < curve->points[i - 1].latency_s)
            curve->points[i].latency_s = curve->points[i - 1].latency_s;
}

void policy_learned_add(struct policy_learned *learned, double mean_rps, double most_rps,
                        double latency_s, int64_t now_ns)
{
    if (!(mean_rps > 0) || !(latency_s > 0))
        return;
    size_t at = learned->count, oldest = 0;
    for (size_t i = 0; i < learned->count; i++) {
        const struct policy_learned_point *p = &learned->points[i];
        if (fabs(p->mean_rps - mean_rps) <= SAME_RATE_RATIO * mean_rps)
            at = i;
        if (p->at_ns < learned->points[oldest].at_ns)
            oldest = i;
    }
    if (at == POLICY_LEARNED_MAX)
        at = oldest;
    if (at == learned->count)
        learned->count++;
    learned->points[at] =
        (struct policy_learned_point){mean_rps, fmax(mean_rps, most_rps), latency_s, now_ns};
}

/* NaN latency beyond the last point, or without any. */
static struct policy_forecast of_study(const struct policy_curve *curve, double rate_rps)
{
    struct policy_forecast f = {.latency_s = NAN};
    const struct policy_point *points = curve->points;
    size_t i = 0;
    while (i < curve->count && points[i].rate_rps < rate_rps)
        i++;
    if (i > 0)
        f.least_s = points[i - 1].latency_s;
    if (i == curve->count)
        return f;
    f.latency_s = points[i].latency_s;
    if (i > 0 && points[i].rate_rps > points[i - 1].rate_rps) {
        double share =
            (rate_rps - points[i - 1].rate_rps) / (points[i].rate_rps - points[i - 1].rate_rps);
        f.latency_s =
            points[i - 1].latency_s + share * (points[i].latency_s - points[i - 1].latency_s);
    }
    return f;
}

struct policy_forecast policy_forecast(const struct policy_curve *curve,
                                       const struct policy_learned *learned, double rate_rps,
                                       int64_t now_ns)
{
    struct policy_forecast f = of_study(curve, rate_rps);
    double kept_s = NAN;
    for (size_t i = 0; i < learned->count; i++) {
        const struct policy_learned_point *p = &learned->points[i];
        int64_t age_ns = now_ns - p->at_ns;
        if (age_ns <= POLICY_KEPT_NS && p->mean_rps >= rate_rps)
            kept_s = fmin(kept_s, p->latency_s); /* fmin passes over the NaN */
        if (age_ns <= POLICY_MISS_NS && p->most_rps <= rate_rps)
            f.least_s = fmax(f.least_s, p->latency_s);
    }
    f.live = isnan(f.latency_s) && !isnan(kept_s);
    if (f.live)
        f.latency_s = kept_s;
    if (f.latency_s < f.least_s)
        f.latency_s = f.least_s;
    return f;
}
