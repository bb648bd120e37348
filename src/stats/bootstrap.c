/* Clustered bootstrap of a statistic over the pooled requests of several cold starts.
 *
 * A resample takes k - 1 of the k runs, whole, with replacement. What was rejected, by simulation
 * of two equal candidates (log-normal luck of a run, exponential tails within, p95 of 3 to 8 runs):
 * - k of k runs: the spread of resampled runs is (k - 1) / k of the true one;
 * - drawing requests again within the runs: their noise is already in the differences between runs
 *   and counts twice; intervals 60 % wider that hold the truth in 99.8 % of cases instead of 95;
 * - requests alone: a lucky cold start looks like hundreds of independent confirmations.
 * The percentiles of the resamples keep the skewness of a quantile's error; their distance from the
 * estimate is stretched by t / z with Welch's degrees of freedom, because the spread between runs
 * is itself known from few of them. Without it 3 runs cover 87 to 89 %, with it 95 to 97.
 *
 * Invariant: pure function of values and generator state; unknown values make the effect unknown.
 * */
#include "stats/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

enum comparing { COMPARING_LEVEL, COMPARING_DIFFERENCE, COMPARING_RATIO };

struct side {
    const struct stats_runs *runs;
    double *pool; /* room for a resample, owned */
    double level; /* the statistic over all runs pooled */
    double se2;   /* squared standard error from the spread between runs' own statistics */
    size_t requests;
};

/* Hoare's selection: afterwards values[k] is in its sorted place, less before it, more after. */
static double select_value(double *values, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        double pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            double held = values[i];
            values[i++] = values[j];
            values[j--] = held;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    return values[k];
}

/* Type 7, as stats_quantile, on unsorted values; reorders them. */
static double quantile_unsorted(double *values, size_t n, double q)
{
    double position = (double)(n - 1) * q;
    size_t below = (size_t)position;
    double part = position - (double)below;
    double first = select_value(values, n, below);
    if (below + 1 >= n || part == 0)
        return first;
    double second = INFINITY;
    for (size_t i = below + 1; i < n; i++)
        second = fmin(second, values[i]);
    return first + part * (second - first);
}

static double statistic_of(double *values, size_t n, const struct stats_comparison *how)
{
    if (how->statistic == STATISTIC_QUANTILE)
        return quantile_unsorted(values, n, how->q);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

/* Are all values there, and positive where logarithms will be taken? Counts them. */
static bool side_check(struct side *side, enum comparing comparing, size_t *ret_room)
{
    size_t total = 0, largest = 0;
    for (size_t r = 0; r < side->runs->count; r++) {
        const struct stats_run *run = &side->runs->runs[r];
        if (run->n == 0)
            return false;
        for (size_t i = 0; i < run->n; i++) {
            if (!isfinite(run->values[i]) || (comparing == COMPARING_RATIO && run->values[i] <= 0))
                return false;
        }
        total += run->n;
        largest = run->n > largest ? run->n : largest;
    }
    side->requests = total;
    *ret_room = total > largest * side->runs->count ? total : largest * side->runs->count;
    return total > 0;
}

/* Differences of logarithms are ratios: from here on only differences exist. */
static double transformed(double value, enum comparing comparing)
{
    return comparing == COMPARING_RATIO ? log(value) : value;
}

static bool side_init(struct side *side, const struct stats_runs *runs,
                      const struct stats_comparison *how, enum comparing comparing)
{
    *side = (struct side){.runs = runs};
    size_t room;
    if (!side_check(side, comparing, &room))
        return false;
    side->pool = calloc(room, sizeof *side->pool);
    if (!side->pool)
        abort();
    size_t n = 0;
    double mean = 0, squares = 0;
    for (size_t r = 0; r < runs->count; r++) {
        const struct stats_run *run = &runs->runs[r];
        memcpy(side->pool, run->values, run->n * sizeof *run->values);
        double own = transformed(statistic_of(side->pool, run->n, how), comparing);
        double delta = own - mean;
        mean += delta / (double)(r + 1);
        squares += delta * (own - mean);
    }
    if (runs->count > 1)
        side->se2 = squares / (double)(runs->count - 1) / (double)runs->count;
    for (size_t r = 0; r < runs->count; r++) {
        memcpy(side->pool + n, runs->runs[r].values, runs->runs[r].n * sizeof *side->pool);
        n += runs->runs[r].n;
    }
    side->level = transformed(statistic_of(side->pool, n, how), comparing);
    return true;
}

static double side_resample(struct side *side, const struct stats_comparison *how,
                            enum comparing comparing, struct rng *rng)
{
    size_t n = 0;
    for (size_t taken = 0; taken + 1 < side->runs->count; taken++) {
        const struct stats_run *run = &side->runs->runs[rng_below(rng, side->runs->count)];
        memcpy(side->pool + n, run->values, run->n * sizeof *side->pool);
        n += run->n;
    }
    return transformed(statistic_of(side->pool, n, how), comparing);
}

/* Welch and Satterthwaite; `b` NULL for one side alone. */
static double degrees_of_freedom(const struct side *a, const struct side *b)
{
    double df_a = (double)a->runs->count - 1;
    if (!b)
        return df_a;
    double df_b = (double)b->runs->count - 1, sum = a->se2 + b->se2;
    if (sum <= 0)
        return fmin(df_a, df_b);
    return sum * sum / (a->se2 * a->se2 / df_a + b->se2 * b->se2 / df_b);
}

static void fill_interval(struct stats_effect *effect, struct side *a, struct side *b,
                          const struct stats_comparison *how, enum comparing comparing,
                          struct rng *rng)
{
    size_t requests = a->requests + (b ? b->requests : 0);
    size_t draws = how->draws ? how->draws : stats_comparison_draws(requests);
    AUTO(free) double *values = calloc(draws, sizeof *values);
    if (!values)
        abort();
    for (size_t i = 0; i < draws; i++) {
        values[i] = side_resample(a, how, comparing, rng);
        if (b)
            values[i] -= side_resample(b, how, comparing, rng);
    }
    stats_sort(values, draws);
    double upper = 0.5 + how->confidence / 2;
    double stretch =
        stats_student_quantile(upper, degrees_of_freedom(a, b)) / stats_normal_quantile(upper);
    double low = stats_quantile(values, draws, 1 - upper);
    double high = stats_quantile(values, draws, upper);
    /* The estimate may lie outside the percentiles of a skewed statistic; an interval without its
     * own estimate would be nonsense. */
    low = fmin(effect->estimate, effect->estimate + (low - effect->estimate) * stretch);
    high = fmax(effect->estimate, effect->estimate + (high - effect->estimate) * stretch);
    effect->interval = (struct stats_interval){low, high};
}

static struct stats_effect compare(const struct stats_runs *runs_a, const struct stats_runs *runs_b,
                                   const struct stats_comparison *how, enum comparing comparing,
                                   struct rng *rng)
{
    struct stats_effect effect = {NAN, {NAN, NAN}, 0};
    struct side a = {0}, b = {0};
    bool known = how->statistic == STATISTIC_MEAN || (how->q >= 0 && how->q <= 1);
    known = known && side_init(&a, runs_a, how, comparing) &&
            (!runs_b || side_init(&b, runs_b, how, comparing));
    if (known) {
        effect.estimate = a.level - (runs_b ? b.level : 0);
        effect.blocks = runs_a->count;
        if (runs_b && runs_b->count < effect.blocks)
            effect.blocks = runs_b->count;
        if (effect.blocks > 1 && how->confidence > 0 && how->confidence < 1)
            fill_interval(&effect, &a, runs_b ? &b : NULL, how, comparing, rng);
        if (comparing == COMPARING_RATIO) {
            effect.estimate = exp(effect.estimate);
            effect.interval.low = exp(effect.interval.low);
            effect.interval.high = exp(effect.interval.high);
        }
    }
    free(a.pool);
    free(b.pool);
    return effect;
}

struct stats_effect stats_bootstrap_difference(const struct stats_runs *a,
                                               const struct stats_runs *b,
                                               const struct stats_comparison *how, struct rng *rng)
{
    return compare(a, b, how, COMPARING_DIFFERENCE, rng);
}

struct stats_effect stats_bootstrap_ratio(const struct stats_runs *a, const struct stats_runs *b,
                                          const struct stats_comparison *how, struct rng *rng)
{
    return compare(a, b, how, COMPARING_RATIO, rng);
}

struct stats_effect stats_bootstrap_level(const struct stats_runs *a,
                                          const struct stats_comparison *how, struct rng *rng)
{
    return compare(a, NULL, how, COMPARING_LEVEL, rng);
}

size_t stats_comparison_draws(size_t requests)
{
    size_t affordable = requests ? 100000000 / requests : 2000;
    return affordable > 2000 ? 2000 : affordable < 200 ? 200 : affordable;
}
