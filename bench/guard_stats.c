/* What guard's statistics promise, by simulation with a fixed seed:
 *
 *   guard-stats sketch [VALUES]   quantiles of the sketch beside exact ones, six shapes of values
 *   guard-stats anytime [RUNS]    false verdicts of the sequential test, looked at after every
 * block for 20,000 requests; and how soon it finds a 20 % slowdown, beside the test of a size fixed
 * before
 *
 * One line per row: what, the value, its unit, [low, high] or [-], ok or MISSED. Exit status 1 when
 * a bar is missed. Not timed. */
#include "base/auto.h"
#include "base/rng.h"
#include "stats/anytime.h"
#include "stats/binomial.h"
#include "stats/quantile.h"
#include "stats/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int missed_bars;

static void row(const char *what, double value, const char *unit, double low, double high)
{
    bool ok = value >= low && value <= high;
    missed_bars += !ok;
    printf("%-76s %9.3f %s  [%g, %g]  %s\n", what, value, unit, low, high, ok ? "ok" : "MISSED");
    fflush(stdout);
}

static void tell(const char *what, double value, const char *unit)
{
    printf("%-76s %9.3f %s  [-]  told\n", what, value, unit);
    fflush(stdout);
}

static double normal(struct rng *rng)
{
    double u = rng_unit(rng);
    return stats_normal_quantile(u > 0 ? u : 0x1p-54);
}

/* ---- sketch ---- */

static double shape_uniform(struct rng *rng)
{
    return 0.010 + 0.090 * rng_unit(rng);
}
static double shape_exponential(struct rng *rng)
{
    return 1e-5 + rng_exponential(rng, 0.2);
}
static double shape_lognormal(struct rng *rng)
{
    return 0.05 * exp(normal(rng));
}
static double shape_pareto(struct rng *rng) /* no mean worth the name */
{
    return fmin(1e-3 * pow(1 - rng_unit(rng), -1 / 1.1), 9e4);
}
static double shape_two_humps(struct rng *rng)
{
    return rng_unit(rng) < 0.93 ? 0.004 * exp(0.1 * normal(rng)) : 2.5 * exp(0.05 * normal(rng));
}
static double shape_ticks(struct rng *rng) /* as a log in whole milliseconds says it */
{
    return 1e-3 * floor(1 + rng_exponential(rng, 3));
}

static const struct {
    const char *name;
    double (*draw)(struct rng *rng);
} shapes[] = {
    {"uniform", shape_uniform},      {"exponential", shape_exponential},
    {"log-normal", shape_lognormal}, {"Pareto 1.1", shape_pareto},
    {"two humps", shape_two_humps},  {"whole milliseconds", shape_ticks},
};

static void sketch_shape(size_t shape, size_t n)
{
    static const double quantiles[] = {0,   0.001, 0.01, 0.05,  0.1,    0.25,    0.5, 0.75,
                                       0.9, 0.95,  0.99, 0.999, 0.9999, 0.99999, 1};
    AUTO(free) double *values = calloc(n, sizeof *values);
    AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
    if (!values)
        abort();
    struct rng rng = rng_init(31, shapes[shape].name);
    for (size_t i = 0; i < n; i++) {
        values[i] = shapes[shape].draw(&rng);
        stats_sketch_add(sketch, values[i]);
    }
    stats_sort(values, n);
    double worst = 0;
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        double exact = stats_quantile(values, n, quantiles[q]);
        worst = fmax(worst, fabs(stats_sketch_quantile(sketch, quantiles[q]) / exact - 1));
    }
    char name[120];
    snprintf(name, sizeof name, "sketch, %s, %zu values: worst of %zu quantiles",
             shapes[shape].name, n, ARRAY_LEN(quantiles));
    row(name, 100 * worst, "%", 0, 100 * STATS_SKETCH_ERROR);
}

/* ---- anytime ---- */

struct arms { /* how requests answer: log-normal, B's times `slowdown` and spread of its own */
    const char *name;
    double harm_ratio, quantile;
    double b_share;
    double spread[2], slowdown;
    double failing[2];
    double drift; /* of both arms' level over the day: times exp(+- this) */
    double phi;   /* autocorrelation of each arm's own level */
};

struct draws {
    struct rng rng;
    const struct arms *arms;
    double level[2], scale_b, sent;
    uint64_t count;
};

static struct draws draws_begin(const struct arms *arms, int run)
{
    char stream[160];
    snprintf(stream, sizeof stream, "%s/%d", arms->name, run);
    struct draws draws = {.rng = rng_init(32, stream), .arms = arms};
    double z = stats_normal_quantile(arms->quantile);
    draws.scale_b = arms->slowdown * exp(z * (arms->spread[0] - arms->spread[1]));
    for (int arm = 0; arm < 2; arm++)
        draws.level[arm] = normal(&draws.rng);
    return draws;
}

/* The arm as HAProxy takes turns by weight. */
static enum stats_anytime_arm draw_arm(struct draws *draws)
{
    draws->sent += draws->arms->b_share;
    if (draws->sent < 1)
        return ANYTIME_A;
    draws->sent -= 1;
    return ANYTIME_B;
}

static double draw_latency(struct draws *draws, enum stats_anytime_arm arm)
{
    const struct arms *arms = draws->arms;
    double phi = arms->phi;
    double *level = &draws->level[arm];
    *level = phi * *level + sqrt(1 - phi * phi) * normal(&draws->rng);
    double day = arms->drift * sin((double)draws->count++ / 700);
    return 0.1 * exp(arms->spread[arm] * *level + day) * (arm == ANYTIME_B ? draws->scale_b : 1);
}

/* Requests until the first verdict of either kind; 0: none within `most`. */
static uint64_t run_until(const struct arms *arms, int run, uint64_t most,
                          enum stats_anytime_verdict wanted)
{
    /* Of a split's error of 5 % a tenth is for word errors (guard/split_kept.c). */
    const struct stats_anytime_options options = {arms->harm_ratio, 0.9 * 0.05, arms->quantile};
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&options);
    struct draws draws = draws_begin(arms, run);
    for (uint64_t n = 1; n <= most; n++) {
        enum stats_anytime_arm arm = draw_arm(&draws);
        bool failed = arms->failing[arm] > 0 && rng_unit(&draws.rng) < arms->failing[arm];
        stats_anytime_add(test, arm, failed ? ANYTIME_FAILED : ANYTIME_ANSWERED,
                          draw_latency(&draws, arm));
        const struct stats_anytime_sums *sums = stats_anytime_sums(test);
        if (wanted == ANYTIME_HARM ? sums->harm : sums->no_harm)
            return n;
    }
    return 0;
}

static void false_verdicts(const struct arms *arms, enum stats_anytime_verdict verdict, int runs,
                           bool barred)
{
    uint64_t wrong = 0;
    for (int run = 0; run < runs; run++)
        wrong += run_until(arms, run, 20000, verdict) > 0;
    char name[160];
    snprintf(name, sizeof name, "false \"%s\", %s (%llu of %d)",
             stats_anytime_verdict_names[verdict], arms->name, (unsigned long long)wrong, runs);
    double low = stats_binomial_bound(wrong, (uint64_t)runs, 0.99, SIDE_LOW);
    if (barred)
        row(name, 100 * low, "%", 0, 5);
    else
        tell(name, 100 * (double)wrong / runs, "%");
}

static const struct arms nulls[] = {
    {"A/A, nothing allowed, p95, 50/50", 0, 0.95, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0},
    {"A/A, nothing allowed, p50, 50/50", 0, 0.50, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0},
    {"A/A, nothing allowed, p99, 50/50", 0, 0.99, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0},
    {"A/A, nothing allowed, p95, 90/10", 0, 0.95, 0.1, {0.5, 0.5}, 1, {0, 0}, 0, 0},
    {"A/A, 3 % errors each, p95, 50/50", 0, 0.95, 0.5, {0.5, 0.5}, 1, {0.03, 0.03}, 0, 0},
    {"A/A, day swings threefold each way", 0, 0.95, 0.5, {0.5, 0.5}, 1, {0, 0}, 1.1, 0},
    {"B slower by just the 10 % allowed", 0.1, 0.95, 0.5, {0.5, 0.5}, 1.1, {0, 0}, 0, 0},
    {"equal p95, B spread twice as wide", 0, 0.95, 0.5, {0.5, 1.0}, 1, {0, 0}, 0, 0},
};
static const struct arms alike = {
    "A/A, 10 % allowed, p95, 90/10", 0.1, 0.95, 0.1, {0.5, 0.5}, 1, {0, 0}, 0, 0};
/* What the test does not promise, shown: each arm's own level wanders. */
static const struct arms wandering[] = {
    {"A/A, each arm's level an AR(1) of 0.5", 0, 0.95, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0.5},
    {"A/A, each arm's level an AR(1) of 0.9", 0, 0.95, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0.9},
    {"A/A, AR(1) of 0.9, 10 % allowed", 0.1, 0.95, 0.5, {0.5, 0.5}, 1, {0, 0}, 0, 0.9},
};

static const struct arms slower[] = {
    {"10 % allowed, p95, 50/50, sigma 0.5", 0.1, 0.95, 0.5, {0.5, 0.5}, 1.2, {0, 0}, 0, 0},
    {"10 % allowed, p95, 50/50, sigma 0.25", 0.1, 0.95, 0.5, {0.25, 0.25}, 1.2, {0, 0}, 0, 0},
    {"10 % allowed, p95, 90/10, sigma 0.5", 0.1, 0.95, 0.1, {0.5, 0.5}, 1.2, {0, 0}, 0, 0},
    {"nothing allowed, p95, 50/50, sigma 0.5", 0, 0.95, 0.5, {0.5, 0.5}, 1.2, {0, 0}, 0, 0},
    {"10 % allowed, p50, 50/50, sigma 0.5", 0.1, 0.50, 0.5, {0.5, 0.5}, 1.2, {0, 0}, 0, 0},
};

/* Requests of both arms that the one-sided test of two shares at 5 % needs for 80 % power, with the
 * line at A's true quantile, which nobody knows: no test of these counts with a size fixed before
 * does better. */
static double fixed_size(const struct arms *arms)
{
    double z = stats_normal_quantile(arms->quantile);
    double pa = 1 - arms->quantile;
    double shift = log(arms->slowdown / (1 + arms->harm_ratio)) / arms->spread[1];
    double pb = 0.5 * erfc((z - shift) / sqrt(2));
    double a_share = 1 - arms->b_share;
    double pooled = a_share * pa + arms->b_share * pb;
    double both = 1 / a_share + 1 / arms->b_share;
    double null = sqrt(pooled * (1 - pooled) * both);
    double real = sqrt(pa * (1 - pa) / a_share + pb * (1 - pb) / arms->b_share);
    double root =
        (stats_normal_quantile(0.95) * null + stats_normal_quantile(0.80) * real) / (pb - pa);
    return root * root;
}

static void power(const struct arms *arms, int runs)
{
    AUTO(free) double *stops = calloc((size_t)runs, sizeof *stops);
    if (!stops)
        abort();
    double fixed = fixed_size(arms), most = 8 * fixed;
    for (int run = 0; run < runs; run++) {
        uint64_t stop = run_until(arms, run, (uint64_t)most, ANYTIME_HARM);
        stops[run] = stop > 0 ? (double)stop : most;
    }
    stats_sort(stops, (size_t)runs);
    double median = stats_quantile(stops, (size_t)runs, 0.5);
    char name[160];
    snprintf(name, sizeof name, "20 %% slower, %s: median %.0f, fixed %.0f", arms->name, median,
             fixed);
    row(name, median / fixed, "x", 0, 1.5);
    snprintf(name, sizeof name, "20 %% slower, %s: 90 %% of runs within", arms->name);
    tell(name, stats_quantile(stops, (size_t)runs, 0.9) / fixed, "x");
}

static void anytime(int runs)
{
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) {
        false_verdicts(&nulls[i], ANYTIME_HARM, runs, true);
        false_verdicts(&nulls[i], ANYTIME_NO_HARM, runs, true);
    }
    false_verdicts(&alike, ANYTIME_HARM, runs, true);
    for (size_t i = 0; i < ARRAY_LEN(wandering); i++)
        false_verdicts(&wandering[i], ANYTIME_HARM, runs, false);
    for (size_t i = 0; i < ARRAY_LEN(slower); i++)
        power(&slower[i], runs);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (strcmp(what, "sketch") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            sketch_shape(i, count > 0 ? (size_t)count : 10000000);
    } else if (strcmp(what, "anytime") == 0) {
        anytime(count > 0 ? (int)count : 500);
    } else {
        fprintf(stderr, "guard-stats sketch [VALUES] | anytime [RUNS]\n");
        return 2;
    }
    return missed_bars > 0;
}
