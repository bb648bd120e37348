/* Where memory is going.
 *
 * Theil and Sen's slope: the median of the slopes between all pairs of points. A line by least
 * squares was rejected: one allocation of a big buffer tilts it for minutes. Up to 29 % of the
 * points may be anything without moving this one far.
 *
 * That it grows at all needs more. Sen's interval for the slope comes from the ranks of the sorted
 * slopes (N -+ z sqrt(n (n - 1) (2 n + 5) / 18)) / 2, and supposes points that are independent,
 * which memory is not: a server that grew once and stays is a step. So each third of the time has
 * to grow by itself, by at least three tenths of the whole slope, and the last one certainly. A
 * leak does; a step, or a server that is warming up, does not.
 *
 * A leak that begins after an hour of calm would be held back by that for minutes, so the last
 * minutes are looked at by themselves too. They count where they have left behind all that was held
 * before: what comes and goes has not.
 *
 * Cost: 128 points are 8,128 pairs, sorted in about a millisecond, every few seconds. */
#include "guard/memory.h"

#include "base/clock.h"
#include "stats/quantile.h"

#include <math.h>
#include <string.h>

static const int64_t GAP_FIRST_NS = NS_PER_S, GAP_LAST_NS = 5 * NS_PER_S;
enum { POINTS_MIN = 15, THIRDS = 3, PAIRS_MAX = GUARD_SLOPE_POINTS * (GUARD_SLOPE_POINTS - 1) / 2 };
static const double SPAN_MIN_S = 59, RECENT_S = 160, Z_95 = 1.959964, THIRD_MIN_RATIO = 0.3;

void guard_slope_clear(struct guard_slope *slope)
{
    *slope = (struct guard_slope){0};
}

static void thin_out(struct guard_slope *slope)
{
    size_t kept = 0;
    for (size_t i = 0; i < slope->count; i += 2)
        slope->points[kept++] = slope->points[i];
    slope->count = kept;
    slope->gap_ns *= 2;
}

void guard_slope_add(struct guard_slope *slope, int64_t now_ns, double bytes)
{
    if (isnan(bytes))
        return;
    if (slope->gap_ns == 0)
        slope->gap_ns = GAP_FIRST_NS;
    if (slope->count > 0 && now_ns - slope->last_ns < slope->gap_ns - slope->gap_ns / 10)
        return;
    if (slope->count == GUARD_SLOPE_POINTS && slope->gap_ns < GAP_LAST_NS)
        thin_out(slope);
    if (slope->count == GUARD_SLOPE_POINTS) {
        memmove(slope->points, slope->points + 1, (slope->count - 1) * sizeof slope->points[0]);
        slope->count--;
    }
    slope->points[slope->count].at_s = (double)now_ns / NS_PER_S;
    slope->points[slope->count].bytes = bytes;
    slope->count++;
    slope->last_ns = now_ns;
}

/* Sorted slopes of all pairs of points [from, to). */
static size_t slopes_of(const struct guard_slope *slope, size_t from, size_t to, double *ret_slopes)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        for (size_t k = i + 1; k < to; k++) {
            double span_s = slope->points[k].at_s - slope->points[i].at_s;
            if (span_s > 0)
                ret_slopes[count++] = (slope->points[k].bytes - slope->points[i].bytes) / span_s;
        }
    stats_sort(ret_slopes, count);
    return count;
}

static double median(const double *sorted, size_t count)
{
    return stats_quantile(sorted, count, 0.5);
}

/* The lower end of the interval; -inf when so few points can't carry it. */
static double lower_end(const double *sorted, size_t count, size_t points)
{
    double n = (double)points;
    double width = Z_95 * sqrt(n * (n - 1) * (2 * n + 5) / 18);
    double rank = ((double)count - width) / 2;
    return rank >= 1 ? sorted[(size_t)rank - 1] : -INFINITY;
}

static bool grows_throughout(const struct guard_slope *slope, size_t from, double *scratch,
                             double whole)
{
    const size_t points = slope->count - from;
    for (size_t part = 0; part < THIRDS; part++) {
        size_t first = from + points * part / THIRDS, end = from + points * (part + 1) / THIRDS;
        size_t count = slopes_of(slope, first, end, scratch);
        double sure = part + 1 < THIRDS ? INFINITY : lower_end(scratch, count, end - first);
        if (!(median(scratch, count) > THIRD_MIN_RATIO * whole && sure > 0))
            return false;
    }
    return true;
}

/* Of the points from `from` on. `scratch` has room for PAIRS_MAX. */
static struct guard_growth growth_since(const struct guard_slope *slope, size_t from,
                                        double *scratch)
{
    struct guard_growth growth = {.bytes_per_s = NAN};
    if (slope->count - from < POINTS_MIN ||
        slope->points[slope->count - 1].at_s - slope->points[from].at_s < SPAN_MIN_S)
        return growth;
    size_t count = slopes_of(slope, from, slope->count, scratch);
    growth.bytes_per_s = median(scratch, count);
    growth.certain = growth.bytes_per_s > 0 && lower_end(scratch, count, slope->count - from) > 0 &&
                     grows_throughout(slope, from, scratch, growth.bytes_per_s);
    return growth;
}

/* Where the last minutes begin; 0: there is nothing before, or not all of their last third is above
 * it. */
static size_t find_recent(const struct guard_slope *slope)
{
    size_t from = slope->count;
    double most = -INFINITY;
    while (from > 0 &&
           slope->points[slope->count - 1].at_s - slope->points[from - 1].at_s <= RECENT_S)
        from--;
    for (size_t i = 0; i < from; i++)
        most = fmax(most, slope->points[i].bytes);
    for (size_t i = slope->count - (slope->count - from) / THIRDS; i < slope->count; i++)
        if (!(slope->points[i].bytes > most))
            return 0;
    return from;
}

void guard_slope_read(const struct guard_slope *slope, struct guard_growth *ret_growth)
{
    *ret_growth = (struct guard_growth){.bytes_per_s = NAN};
    if (slope->count < POINTS_MIN)
        return;
    AUTO(free) double *scratch = malloc(PAIRS_MAX * sizeof *scratch);
    if (!scratch)
        abort();
    *ret_growth = growth_since(slope, 0, scratch);
    const size_t recent = find_recent(slope);
    if (recent == 0)
        return;
    struct guard_growth growth = growth_since(slope, recent, scratch);
    if (growth.certain && growth.bytes_per_s > ret_growth->bytes_per_s)
        *ret_growth = growth;
}
