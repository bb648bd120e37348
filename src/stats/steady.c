/* Warm-up and drift.
 *
 * Two questions, two tests. A warm-up is a beginning that differs from a steady rest: MSER finds
 * where the rest begins. A drift is a series that has no steady rest: a cache that fills, a queue
 * that grows, a card that throttles. Rejected for the first: a fixed share or "until the moving
 * average is flat", whose threshold fits one service and no other. Rejected for the second: the
 * Mann-Kendall test, which takes neighbours for independent and so finds a drift in every queue,
 * and comparing halves by their means, which a growing tail hardly moves.
 *
 * Invariant: on a series that is steady and correlated up to an AR(1) of 0.5, about 1 in 50 is cut
 * or called drifting (tests). */
#include "stats/steady.h"

#include "stats/quantile.h"
#include "stats/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 5, BATCHES = 20, BLOCKS_LEAST = 8, BLOCKS_MOST = 20, DRIFT_LEAST = 40 };
static const double WARMUP_CHANGE = 0.02, WARMUP_SIDE = 0.0005, DRIFT_SIDE = 0.005;
static const double DRIFT_CHANGE = 0.10, DRIFT_BEYOND = 10;

static double *copy_of(const double *values, size_t n)
{
    double *copy = calloc(n ? n : 1, sizeof *copy);
    if (!copy)
        abort();
    if (n)
        memcpy(copy, values, n * sizeof *copy);
    return copy;
}

static double mean_of(const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

/* Times differ by factors: on logarithms one slow request does not outweigh a hundred. */
static bool take_logarithms(double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(values[i] > 0))
            return false;
    for (size_t i = 0; i < n; i++)
        values[i] = log(values[i]);
    return true;
}

/* The count of batches to leave out, of `from` to `to`: least sum of squares over the square of
 * what is left, looked for from the end so that sums only grow. */
static size_t mser_cut(const double *values, size_t n, size_t from, size_t to)
{
    size_t count = n / BATCH, best = from;
    double mean = 0, squares = 0, least = INFINITY;
    for (size_t kept = 1; kept <= count - from; kept++) {
        size_t first = count - kept;
        double batch = mean_of(values + first * BATCH, BATCH), delta = batch - mean;
        mean += delta / (double)kept;
        squares += delta * (batch - mean);
        double error = squares / ((double)kept * (double)kept);
        if (first <= to && error <= least) {
            least = error;
            best = first;
        }
    }
    return best;
}

/* Of logarithms the difference of means is the change; of values it is a part of the rest's. */
static double change_of(const double *head, size_t head_n, const double *rest, size_t rest_n,
                        bool logarithms)
{
    double before = mean_of(head, head_n), after = mean_of(rest, rest_n);
    return logarithms ? exp(before - after) : before / after;
}

/* Is the mean of the head beyond what the rest's own spread explains? */
static bool differs(const double *head, size_t head_n, const double *rest, size_t rest_n,
                    bool logarithms)
{
    if (fabs(change_of(head, head_n, rest, rest_n, logarithms) - 1) < WARMUP_CHANGE)
        return false;

    size_t batches = rest_n / BATCH < BATCHES ? rest_n / BATCH : BATCHES;
    size_t size = batches ? rest_n / batches : 0;
    if (batches < 3)
        return false;
    double means[BATCHES];
    for (size_t b = 0; b < batches; b++)
        means[b] = mean_of(rest + b * size, size);
    struct stats_summary spread = stats_summary_of(means, batches);
    double each = spread.sd * spread.sd * (double)size; /* of one request, neighbours included */
    double error = sqrt(each * (1 / (double)head_n + 1 / (double)rest_n));
    double apart = fabs(mean_of(head, head_n) - mean_of(rest, rest_n));
    return apart > error * stats_student_quantile(1 - WARMUP_SIDE, (double)batches - 1);
}

/* A warm-up is there from the first request on. Where a steady beginning is followed by a stall,
 * the stall is what the service does, and would be hidden if all before it were cut. */
static bool begins_so(const double *series, size_t cut, size_t n)
{
    const size_t third = cut / 3 > BATCH ? cut / 3 : BATCH < cut ? BATCH : cut;
    const double rest = mean_of(series + cut, n - cut);
    const double all = mean_of(series, cut) - rest, first = mean_of(series, third) - rest;
    return first * all > 0 && fabs(first) >= fabs(all) / 2;
}

struct stats_warmup stats_warmup_find(const double *values, size_t n)
{
    struct stats_warmup found = {.settled = true, .before = NAN};
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return found;
    if (n < STATS_WARMUP_LEAST)
        return found;
    double *series = copy_of(values, n);
    bool logarithms = take_logarithms(series, n);
    size_t half = n / BATCH / 2, cut = BATCH * mser_cut(series, n, 0, half);
    bool differing = cut > 0 && differs(series, cut, series + cut, n - cut, logarithms) &&
                     begins_so(series, cut, n);
    if (!differing) { /* is there a rest that begins later? */
        cut = BATCH * mser_cut(series, n, half, n / BATCH - n / BATCH / 10);
        differing =
            differs(series, cut, series + cut, n - cut, logarithms) && begins_so(series, cut, n);
    }
    found.known = true;
    if (differing) {
        found.settled = cut / BATCH < half;
        found.cut = found.settled ? cut : 0;
        found.before = change_of(series, cut, series + cut, n - cut, logarithms);
    }
    free(series);
    return found;
}

/* Student's t of the slope of a least squares line; 0 where the points are all alike. */
static double slope_t(const double *x, const double *y, size_t n)
{
    double mx = mean_of(x, n), my = mean_of(y, n), xx = 0, xy = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        xy += (x[i] - mx) * (y[i] - my);
        yy += (y[i] - my) * (y[i] - my);
    }
    if (!(xx > 0) || !(yy > 0))
        return 0;
    double rest = fmax(yy - xy * xy / xx, 1e-12 * yy);
    return xy / xx / sqrt(rest / (double)(n - 2) / xx);
}

static bool shares_move(const double *values, const double *at_s, size_t n, double limit)
{
    size_t blocks = n / 10 < BLOCKS_MOST ? n / 10 : BLOCKS_MOST;
    blocks = blocks < BLOCKS_LEAST ? BLOCKS_LEAST : blocks;
    size_t size = n / blocks;
    double share[BLOCKS_MOST], middle[BLOCKS_MOST];
    for (size_t b = 0; b < blocks; b++) {
        size_t over = 0;
        for (size_t i = b * size; i < (b + 1) * size; i++)
            over += values[i] > limit;
        share[b] = (double)over / (double)size;
        middle[b] = mean_of(at_s + b * size, size);
    }
    double t = slope_t(middle, share, blocks);
    return fabs(t) > stats_student_quantile(1 - DRIFT_SIDE, (double)blocks - 2);
}

static double quantile_of(const double *values, size_t n, double q)
{
    double *sorted = copy_of(values, n);
    stats_sort(sorted, n);
    double value = stats_quantile(sorted, n, q);
    free(sorted);
    return value;
}

struct stats_drift stats_drift_find(const double *values, const double *at_s, size_t n, double q)
{
    struct stats_drift found = {.first = NAN, .last = NAN, .change = NAN, .per_minute = NAN};
    if (n < DRIFT_LEAST || !(q > 0 && q < 1) ||
        (double)n * fmin(q, 1 - q) < DRIFT_BEYOND * (1 - 1e-9))
        return found;
    double limit = quantile_of(values, n, q);
    if (!isfinite(limit))
        return found;
    size_t third = n / 3;
    found.known = true;
    found.first = quantile_of(values, third, q);
    found.last = quantile_of(values + n - third, third, q);
    found.change = found.last / found.first - 1;
    double span_s = mean_of(at_s + n - third, third) - mean_of(at_s, third);
    found.per_minute = span_s > 0 ? found.change / span_s * 60 : NAN;
    found.drifting = fabs(found.change) >= DRIFT_CHANGE && shares_move(values, at_s, n, limit);
    return found;
}
