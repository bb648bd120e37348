/* How far the statistics keep what they promise, by simulation with a fixed seed: coverage of the
 * intervals of quantiles, wrong answers of the sequential check of a requirement at its boundary,
 * wrong answers of the one look at a whole window there where requests are alike (an AR(1), a
 * queue), and false alarms of the warm-up cut and the drift test. One line per row; exit status 1
 * when a bar is missed. `instrument-stats [WINDOWS]`, 2,000 unless said otherwise. Not timed. */
#include "base/auto.h"
#include "base/rng.h"
#include "stats/binomial.h"
#include "stats/quantile.h"
#include "stats/requirement.h"
#include "stats/series.h"
#include "stats/steady.h"
#include "stats/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int missed_bars;

static void row(const char *what, double value, const char *unit, double low, double high)
{
    bool ok = value >= low && value <= high;
    missed_bars += !ok;
    printf("%-58s %8.3f %s  [%g, %g]  %s\n", what, value, unit, low, high, ok ? "ok" : "MISSED");
}

static double normal(struct rng *rng)
{
    double u = rng_unit(rng);
    return stats_normal_quantile(u > 0 ? u : 0x1p-54);
}

/* exp of a standard normal AR(1): positive and skewed as latencies are; phi 0: independent. */
static void draw_series(struct rng *rng, double phi, double *values, size_t n)
{
    double level = normal(rng), noise = sqrt(1 - phi * phi);
    for (size_t i = 0; i < n; i++) {
        values[i] = exp(level);
        level = phi * level + noise * normal(rng);
    }
}

static void coverage(double phi, size_t n, double q, int windows, double low, double high)
{
    AUTO(free) double *values = calloc(n, sizeof *values);
    if (!values)
        abort();
    char name[100];
    snprintf(name, sizeof name, "coverage/%g/%zu/%g", phi, n, q);
    struct rng rng = rng_init(20, name);
    double truth = exp(stats_normal_quantile(q));
    int held = 0, given = 0, blocks = 0;
    for (int w = 0; w < windows; w++) {
        draw_series(&rng, phi, values, n);
        struct stats_series series = {.values = values, .n = n};
        struct stats_series_interval found = stats_series_quantile(&series, q, 0.95);
        if (found.method == STATS_METHOD_NONE)
            continue;
        given++;
        blocks += found.method == STATS_METHOD_BLOCKS;
        held += !(found.interval.low > truth) && !(found.interval.high < truth);
    }
    snprintf(name, sizeof name, "coverage, AR(1) %g, n=%zu, p%g (given %.1f %%, blocks %.1f %%)",
             phi, n, 100 * q, 100.0 * given / windows, 100.0 * blocks / windows);
    if (given * 10 >= windows)
        row(name, 100.0 * held / given, "%", low, high);
    else
        printf("%-58s refused\n", name);
}

static void false_answers(double allowed, double error, uint64_t n_max, int windows)
{
    int met = 0, missed = 0;
    char name[100];
    snprintf(name, sizeof name, "requirement/%g/%g/%llu", allowed, error,
             (unsigned long long)n_max);
    struct rng rng = rng_init(21, name);
    const struct stats_requirement start = stats_requirement_init(allowed, error, n_max);
    for (int w = 0; w < windows; w++) {
        struct stats_requirement r = start;
        while (r.n < n_max && r.answer == STATS_OPEN)
            stats_requirement_add(&r, rng_unit(&rng) < allowed);
        met += r.answer == STATS_MET;
        missed += r.answer == STATS_MISSED;
    }
    const int counts[] = {met, missed};
    for (int k = 0; k < 2; k++) {
        double bound = stats_binomial_bound((uint64_t)counts[k], (uint64_t)windows, 0.99, SIDE_LOW);
        snprintf(name, sizeof name, "false %s, p%g, error %g, n<=%llu (seen %.2f %%)",
                 k ? "missed" : "met", 100 * (1 - allowed), error, (unsigned long long)n_max,
                 100.0 * counts[k] / windows);
        row(name, 100 * bound, "%", 0, 100 * error);
    }
}

/* M/D/1 in the order of arrival, from its arrival to its end; service takes 1. */
static void draw_queue(struct rng *rng, double load, double *values, size_t n)
{
    enum { FORGET = 1000 };
    double wait = 0;
    for (size_t i = 0; i < n + FORGET; i++) {
        if (i >= FORGET)
            values[i - FORGET] = wait + 1;
        wait = fmax(0, wait + 1 - rng_exponential(rng, 1 / load));
    }
}

static double queue_limit(double load)
{
    enum { REQUESTS = 4000000 };
    AUTO(free) double *values = calloc(REQUESTS, sizeof *values);
    struct rng rng = rng_init(24, "queue limit");
    if (!values)
        abort();
    draw_queue(&rng, load, values, REQUESTS);
    stats_sort(values, REQUESTS);
    return stats_quantile(values, REQUESTS, 0.95);
}

/* The limit is the p95 itself, so that "met" and "missed" are both wrong. `load` 0: an AR(1). The
 * bar is of both; NAN: shown without one. */
static void wrong_at_the_limit(double phi, double load, size_t n, int windows, double bar)
{
    AUTO(free) double *values = calloc(n, sizeof *values);
    if (!values)
        abort();
    char name[100];
    snprintf(name, sizeof name, "limit/%g/%g/%zu", phi, load, n);
    struct rng rng = rng_init(24, name);
    double limit = load > 0 ? queue_limit(load) : exp(stats_normal_quantile(0.95)), worth = 0;
    int answers[3] = {0};
    for (int w = 0; w < windows; w++) {
        if (load > 0)
            draw_queue(&rng, load, values, n);
        else
            draw_series(&rng, phi, values, n);
        struct stats_series series = {.values = values, .n = n};
        uint64_t over = 0;
        for (size_t i = 0; i < n; i++)
            over += values[i] > limit;
        double one = stats_series_worth(&series, limit);
        answers[stats_requirement_fixed(0.05, 0.05, n, over, one)]++;
        worth += one / windows;
    }
    for (int a = STATS_MET; a <= STATS_MISSED; a++) {
        double seen = 100.0 * answers[a] / windows;
        double bound =
            stats_binomial_bound((uint64_t)answers[a], (uint64_t)windows, 0.99, SIDE_LOW);
        snprintf(name, sizeof name, "false %s, %s %g, p95, n=%zu (seen %.1f %%)",
                 a == STATS_MET ? "met" : "missed", load > 0 ? "queue" : "AR(1)",
                 load > 0 ? load : phi, n, seen);
        if (isnan(bar))
            printf("%-58s %8.3f %%  no bar\n", name, seen);
        else
            row(name, 100 * bound, "%", 0, bar);
    }
    printf("  worth %.0f on average\n", worth);
}

/* What a clearly good or bad service costs. */
static void stops(double share, double allowed, uint64_t n_max, int windows)
{
    struct rng rng = rng_init(22, "stops");
    const struct stats_requirement start = stats_requirement_init(allowed, 0.05, n_max);
    uint64_t total = 0;
    int answers[3] = {0};
    for (int w = 0; w < windows; w++) {
        struct stats_requirement r = start;
        while (r.n < n_max && r.answer == STATS_OPEN)
            stats_requirement_add(&r, rng_unit(&rng) < share);
        total += r.n;
        answers[r.answer]++;
    }
    printf("of at most %llu requests, %4.1f %% over where %g %% may be: %6.1f on average; met %.1f "
           "%%, "
           "missed %.1f %%\n",
           (unsigned long long)n_max, 100 * share, 100 * allowed, (double)total / windows,
           100.0 * answers[STATS_MET] / windows, 100.0 * answers[STATS_MISSED] / windows);
}

static void alarms(double phi, size_t n, int windows)
{
    AUTO(free) double *values = calloc(n, sizeof *values);
    AUTO(free) double *at_s = calloc(n, sizeof *at_s);
    if (!values || !at_s)
        abort();
    struct rng rng = rng_init(23, "alarms");
    int cut = 0, drifting[2] = {0}, correlated = 0;
    for (size_t i = 0; i < n; i++)
        at_s[i] = (double)i * 0.1;
    for (int w = 0; w < windows; w++) {
        draw_series(&rng, phi, values, n);
        struct stats_series series = {.values = values, .n = n};
        struct stats_warmup warmup = stats_warmup_find(values, n);
        cut += warmup.cut > 0 || !warmup.settled;
        drifting[0] += stats_drift_find(values, at_s, n, 0.5).drifting;
        drifting[1] += stats_drift_find(values, at_s, n, 0.95).drifting;
        correlated += stats_series_correlated(&series);
    }
    char name[100];
    snprintf(name, sizeof name, "steady AR(1) %g, n=%zu: called warm-up", phi, n);
    row(name, 100.0 * cut / windows, "%", 0, 5);
    snprintf(name, sizeof name, "steady AR(1) %g, n=%zu: p50 called drifting", phi, n);
    row(name, 100.0 * drifting[0] / windows, "%", 0, 5);
    snprintf(name, sizeof name, "steady AR(1) %g, n=%zu: p95 called drifting", phi, n);
    row(name, 100.0 * drifting[1] / windows, "%", 0, 5);
    printf("  called correlated %.1f %%\n", 100.0 * correlated / windows);
}

int main(int argc, char **argv)
{
    int windows = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2000;
    static const double quantiles[] = {0.5, 0.95, 0.99};
    static const size_t sizes[] = {500, 1000, 3000};
    if (windows < 1)
        return 2;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 3; i++)
            coverage(0, sizes[k], quantiles[i], windows, 94, 97.5);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 3; i++)
            coverage(0.5, sizes[k], quantiles[i], windows, 92, 100);
    false_answers(0.05, 0.05, 1000, windows);
    false_answers(0.05, 0.01, 1000, windows);
    false_answers(0.01, 0.05, 5000, windows);
    false_answers(0.5, 0.05, 300, windows);
    static const double shares[] = {0, 0.01, 0.025, 0.05, 0.10, 0.20, 0.90};
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        stops(shares[i], 0.05, 1000, windows);
    static const size_t windows_of[] = {59, 100, 200, 600, 1200};
    static const double alike[] = {0, 0.5, 0.7, 0.9};
    for (size_t k = 0; k < ARRAY_LEN(windows_of); k++) {
        for (size_t i = 0; i < ARRAY_LEN(alike); i++)
            wrong_at_the_limit(alike[i], 0, windows_of[k], windows, 5);
        wrong_at_the_limit(0, 0.8, windows_of[k], windows, 5);
        wrong_at_the_limit(0, 0.5, windows_of[k], windows, NAN);
    }
    static const double phis[] = {0, 0.5};
    for (size_t i = 0; i < 2; i++) {
        alarms(phis[i], 60, windows);
        alarms(phis[i], 200, windows);
        alarms(phis[i], 1000, windows);
    }
    return missed_bars > 0;
}
