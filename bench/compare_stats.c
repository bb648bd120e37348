/* How far `spica compare` keeps what it promises, by simulation with a fixed seed: false verdicts
 * between equals and at the tolerance, looked at after every block, and what a difference of 10 %
 * costs. One line per row; exit status 1 when a bar is missed. `compare-stats [COMPARISONS]`, 2,000
 * unless said otherwise. Not timed.
 *
 * What is drawn: a block's drift, shared by both; the luck of each cold start; and within it
 * latencies with a skewed body, a tail of stalls, and neighbours that are alike. */
#include "base/auto.h"
#include "base/rng.h"
#include "stats/binomial.h"
#include "stats/compare.h"
#include "stats/wer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 24, REQUESTS_MAX = 400, MEASURES = 2 };
static const double QUANTILES[MEASURES] = {0.5, 0.95};
static const double ERROR = 0.05, TOLERANCE = 0.03;

static int missed_bars;

struct world {
    const char *name;
    size_t requests;  /* in one window */
    double luck;      /* of a cold start, as a spread of the logarithm */
    double odd_start; /* share of cold starts that are odd: half as much again */
    double stalls;    /* share of requests that wait for one */
    double likeness;  /* of neighbours */
};

static double normal(struct rng *rng)
{
    double u = rng_unit(rng);
    return sqrt(-2 * log(1 - u)) * cos(2 * M_PI * rng_unit(rng));
}

static void draw_run(const struct world *world, double level, struct rng *rng,
                     double ret_values[MEASURES])
{
    double values[REQUESTS_MAX];
    level *= exp(world->luck * normal(rng)) * (rng_unit(rng) < world->odd_start ? 1.5 : 1);
    double state = normal(rng), noise = sqrt(1 - world->likeness * world->likeness);
    for (size_t i = 0; i < world->requests; i++) {
        values[i] = level * exp(0.25 * state);
        if (rng_unit(rng) < world->stalls)
            values[i] += level * rng_exponential(rng, 1);
        state = world->likeness * state + noise * normal(rng);
    }
    stats_sort(values, world->requests);
    for (int m = 0; m < MEASURES; m++)
        ret_values[m] = stats_quantile(values, world->requests, QUANTILES[m]);
}

static void draw_blocks(const struct world *world, double ratio, struct rng *rng,
                        double ret_logs[MEASURES][BLOCKS])
{
    for (int b = 0; b < BLOCKS; b++) {
        double drift = exp(0.1 * normal(rng)), a[MEASURES], c[MEASURES];
        draw_run(world, drift, rng, a);
        draw_run(world, drift * ratio, rng, c);
        for (int m = 0; m < MEASURES; m++)
            ret_logs[m][b] = log(c[m] / a[m]);
    }
}

/* At any look, of any measure. Between equals any difference at all is false, at the tolerance
 * "beyond it" and "none beyond it" are. */
static bool is_ever_false(double logs[MEASURES][BLOCKS], double truth)
{
    double edge = 1 + TOLERANCE;
    for (int m = 0; m < MEASURES; m++) {
        for (size_t n = 1; n <= BLOCKS; n++) {
            struct stats_effect e = stats_compare_ratio(logs[m], n, ERROR / MEASURES);
            if (truth == 1 ? stats_effect_certain(&e, 1) != 0
                           : stats_compare_standing(&e, 1 / edge, edge) != STATS_STANDING_OPEN)
                return true;
        }
    }
    return false;
}

static void false_verdicts(const struct world *world, double truth, int comparisons)
{
    char name[120];
    snprintf(name, sizeof name, "%s/%g", world->name, truth);
    struct rng rng = rng_init(23, name);
    int wrong = 0;
    for (int i = 0; i < comparisons; i++) {
        double logs[MEASURES][BLOCKS];
        draw_blocks(world, truth, &rng, logs);
        wrong += is_ever_false(logs, truth);
    }
    double bound = stats_binomial_bound((uint64_t)wrong, (uint64_t)comparisons, 0.99, SIDE_LOW);
    bool ok = bound <= ERROR;
    missed_bars += !ok;
    printf("false verdicts, %-26s %-16s seen %5.2f %%, at least %5.2f %% (99 %%)  [0, %g]  %s\n",
           world->name, truth == 1 ? "equals" : "at the tolerance", 100.0 * wrong / comparisons,
           100 * bound, 100 * ERROR, ok ? "ok" : "MISSED");
}

/* Each measure by itself, at its part of the error: after how many blocks is it known to be slower,
 * and after how many to lie within the tolerance? */
static void power(const struct world *world, double ratio, int comparisons)
{
    char name[120];
    snprintf(name, sizeof name, "power/%s/%g", world->name, ratio);
    struct rng rng = rng_init(24, name);
    int by12[MEASURES] = {0}, by24[MEASURES] = {0};
    double edge = 1 + TOLERANCE;
    for (int i = 0; i < comparisons; i++) {
        double logs[MEASURES][BLOCKS];
        draw_blocks(world, ratio, &rng, logs);
        for (int m = 0; m < MEASURES; m++) {
            bool found = false;
            for (size_t n = 3; n <= BLOCKS && !found; n++) {
                struct stats_effect e = stats_compare_ratio(logs[m], n, ERROR / MEASURES);
                found = ratio == 1
                            ? stats_compare_standing(&e, 1 / edge, edge) == STATS_STANDING_WITHIN
                            : stats_effect_certain(&e, 1) > 0;
                by12[m] += found && n <= 12;
                by24[m] += found;
            }
        }
    }
    double all = comparisons / 100.0;
    printf("%-25s %-27s p50 %5.1f %% by 12 blocks, %5.1f %% by 24; p95 %5.1f %%, %5.1f %%\n",
           ratio == 1 ? "equals, said to be within" : "10 % slower, said to be", world->name,
           by12[0] / all, by24[0] / all, by12[1] / all, by24[1] / all);
}

/* Two models of equal quality hear the same clips, and each repeats itself in every block: one look
 * decides, the one with the largest share. */
static void false_words(size_t clips, int comparisons)
{
    enum { CLIPS_MAX = 200, WORDS = 12, DRAWS = 4000 };
    struct rng rng = rng_init(25, "words"), boot = rng_init(25, "boot");
    double confidence = 1 - ERROR * stats_compare_share(12);
    int wrong = 0;
    for (int i = 0; i < comparisons; i++) {
        struct stats_wer a[CLIPS_MAX] = {0}, b[CLIPS_MAX] = {0};
        for (size_t k = 0; k < clips; k++) {
            double hard = 0.1 * rng_exponential(&rng, 1);
            a[k].reference_words = b[k].reference_words = WORDS;
            for (int w = 0; w < WORDS; w++) {
                a[k].substitutions += rng_unit(&rng) < hard;
                b[k].substitutions += rng_unit(&rng) < hard;
            }
        }
        struct stats_interval d = stats_wer_difference(b, a, clips, confidence, DRAWS, &boot);
        wrong += d.low > 0 || d.high < 0;
    }
    double bound = stats_binomial_bound((uint64_t)wrong, (uint64_t)comparisons, 0.99, SIDE_LOW);
    missed_bars += !(bound <= ERROR);
    printf(
        "false verdicts, words of %zu clips%*s seen %5.2f %%, at least %5.2f %% (99 %%)  [0, %g]  "
        "%s\n",
        clips, 30, "", 100.0 * wrong / comparisons, 100 * bound, 100 * ERROR,
        bound <= ERROR ? "ok" : "MISSED");
}

/* Failures too rare for a window: none on one side, as many on the other as are tolerated. */
static void false_shares(size_t requests, int comparisons)
{
    struct rng rng = rng_init(26, "shares");
    int wrong = 0;
    for (int i = 0; i < comparisons; i++) {
        double differences[BLOCKS];
        uint64_t hits[2] = {0}, asked[2] = {0};
        bool ever = false;
        for (size_t b = 0; b < BLOCKS; b++) {
            uint64_t failed = 0;
            for (size_t k = 0; k < requests; k++)
                failed += rng_unit(&rng) < TOLERANCE;
            differences[b] = (double)failed / (double)requests;
            hits[1] += failed;
            asked[0] += requests;
            asked[1] += requests;
            if (stats_compare_look(b + 1) != b + 1)
                continue; /* the counts are those of the look before */
            struct stats_effect e = stats_compare_mean(differences, b + 1, ERROR);
            stats_compare_widen(&e, hits, asked, b + 1, ERROR);
            ever = ever || stats_compare_standing(&e, -TOLERANCE, TOLERANCE) != STATS_STANDING_OPEN;
        }
        wrong += ever;
    }
    double bound = stats_binomial_bound((uint64_t)wrong, (uint64_t)comparisons, 0.99, SIDE_LOW);
    missed_bars += !(bound <= ERROR);
    printf("false verdicts, failures of %3zu requests   at the tolerance seen %5.2f %%, at least "
           "%5.2f %% (99 %%)  [0, %g]  %s\n",
           requests, 100.0 * wrong / comparisons, 100 * bound, 100 * ERROR,
           bound <= ERROR ? "ok" : "MISSED");
}

int main(int argc, char **argv)
{
    static const struct world worlds[] = {
        {"even starts, 200 requests", 200, 0.01, 0, 0.02, 0},
        {"usual starts, 200 requests", 200, 0.03, 0, 0.02, 0.3},
        {"usual starts, 60 requests", 60, 0.03, 0, 0.05, 0.5},
        {"one start in ten odd", 200, 0.02, 0.1, 0.02, 0.3},
    };
    int comparisons = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2000;
    if (comparisons < 100)
        comparisons = 100;
    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
        false_verdicts(&worlds[i], 1, comparisons);
        false_verdicts(&worlds[i], 1 + TOLERANCE, comparisons);
    }
    static const size_t windows[] = {10, 20, 60, 200};
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        false_shares(windows[i], comparisons);
    false_words(20, comparisons);
    false_words(100, comparisons);
    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
        power(&worlds[i], 1.1, comparisons);
        power(&worlds[i], 1, comparisons);
    }
    return missed_bars > 0;
}
