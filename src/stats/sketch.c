/* Quantiles of a stream in bounded memory: DDSketch with a fixed range.
 *
 * A value x is counted in bucket ceil(log_g(x / least)), so bucket i holds (least g^(i-1),
 * least g^i]. What stands for it is 2 least g^i / (g + 1), which is off by (g - 1) / (g + 1) at
 * either end and by less between them. g is chosen so that BUCKETS cover the range; the error that
 * follows is 0.9927 %, and the rest up to STATS_SKETCH_ERROR is room for rounding. Type 7
 * interpolates between two order statistics: a mean of two values that are each within the bound is
 * within it too.
 *
 * Rejected: t-digest and KLL (their error is in rank, so that the tail's values may be off by any
 * factor, and merging is not exact); buckets that collapse when there are too many (the range of a
 * time is known, and a fixed array never allocates); HdrHistogram (three digits cost ten times the
 * memory that one per cent does).
 *
 * Invariant: count is the sum of all buckets; the same values give the same sketch in any order and
 * any grouping. */
#include "stats/sketch.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1276 };

struct stats_sketch {
    uint64_t count, clamped;
    uint64_t
        buckets[BUCKETS + 1]; /* the first: the least and below; the last: up to the greatest */
};

static double log_growth(void)
{
    return log(STATS_SKETCH_GREATEST / STATS_SKETCH_LEAST) / BUCKETS;
}

static size_t bucket_of(double value)
{
    if (!(value > STATS_SKETCH_LEAST))
        return 0;
    double at = ceil(log(value / STATS_SKETCH_LEAST) / log_growth());
    return at < 1 ? 1 : at > BUCKETS ? BUCKETS : (size_t)at;
}

static double value_of(size_t bucket)
{
    if (bucket == 0)
        return STATS_SKETCH_LEAST;
    double growth = log_growth();
    return STATS_SKETCH_LEAST * exp(growth * (double)bucket) * 2 / (exp(growth) + 1);
}

struct stats_sketch *stats_sketch_new(void)
{
    struct stats_sketch *sketch = calloc(1, sizeof *sketch);
    if (!sketch)
        abort();
    return sketch;
}

struct stats_sketch *stats_sketch_free(struct stats_sketch *sketch)
{
    free(sketch);
    return NULL;
}

size_t stats_sketch_bytes(void)
{
    return sizeof(struct stats_sketch);
}

void stats_sketch_add(struct stats_sketch *sketch, double value)
{
    stats_sketch_add_many(sketch, value, 1);
}

void stats_sketch_add_many(struct stats_sketch *sketch, double value, uint64_t times)
{
    if (isnan(value))
        return;
    sketch->buckets[bucket_of(value)] += times;
    sketch->count += times;
    if (value < STATS_SKETCH_LEAST || value > STATS_SKETCH_GREATEST)
        sketch->clamped += times;
}

void stats_sketch_merge(struct stats_sketch *into, const struct stats_sketch *from)
{
    if (from->count == 0)
        return;
    for (size_t i = 0; i <= BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->clamped += from->clamped;
}

void stats_sketch_clear(struct stats_sketch *sketch)
{
    memset(sketch, 0, sizeof *sketch);
}

uint64_t stats_sketch_count(const struct stats_sketch *sketch)
{
    return sketch->count;
}

uint64_t stats_sketch_clamped(const struct stats_sketch *sketch)
{
    return sketch->clamped;
}

size_t stats_sketch_buckets(void)
{
    return BUCKETS + 1;
}

uint64_t stats_sketch_bucket(const struct stats_sketch *sketch, size_t i, double *ret_value)
{
    assert(i <= BUCKETS);
    if (ret_value)
        *ret_value = value_of(i);
    return sketch->buckets[i];
}

double stats_sketch_rank(const struct stats_sketch *sketch, uint64_t rank)
{
    if (rank >= sketch->count)
        return NAN;
    uint64_t below = 0;
    size_t i = 0;
    while (below + sketch->buckets[i] <=
           rank) /* ends: count is the sum of all, and more than rank */
        below += sketch->buckets[i++];
    return value_of(i);
}

double stats_sketch_quantile(const struct stats_sketch *sketch, double q)
{
    if (sketch->count == 0 || !(q >= 0 && q <= 1))
        return NAN;
    double at = (double)(sketch->count - 1) * q;
    uint64_t rank = (uint64_t)floor(at);
    double share = at - floor(at);
    double low = stats_sketch_rank(sketch, rank);
    return share > 0 ? low + share * (stats_sketch_rank(sketch, rank + 1) - low) : low;
}
