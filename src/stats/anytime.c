/* The sequential test of two arms: blocks of 2x2 tables, one factor of each martingale per block.
 *
 * Conditioning on a table's margins removes the one unknown that the arms share (how often a
 * request is slow at all, at this hour, under this load), so that nothing has to be estimated
 * within the null and blocks need not be alike. What it costs against knowing that share is about 1
 * / block.
 *
 * Why A's past quantile is the line, and not the pooled one of the block: then equal quantiles give
 * equal odds, whatever else differs in the two distributions; and where B is worse, more requests
 * lie over the line than under a pooled one, which decides sooner.
 *
 * Evidence is kept five times over, with its logarithm divided by 1 to 16, and the least of those
 * that the spread of the blocks asks for is the one that counts. Each is a martingale's bound by
 * Jensen, and the least of several is never more than the first.
 *
 * Rejected: confidence sequences of both quantiles that no longer overlap (valid, but it needs
 * about three times the requests); a test of ranks (asks whether B is slower anywhere, not at the
 * quantile); a t-test on latencies with alpha spending (heavy tails, and its looks are planned).
 *
 * What keeps it sharp: the loss against the best single alternative is at most ln 6 for the mixture
 * and ln 1 / 0.67 for errors and late beginnings, added to ln 1 / error; both are far less when the
 * truth lies between two alternatives.
 *
 * Invariant: the line of a block is fixed before its first request. The sums of harm begin with
 * weights that are at most 1 together, so their expectation never exceeds 1. */
#include "stats/anytime.h"

#include "stats/anytime_pairs.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARM_LEAST = 2,      /* requests of either arm in a block: else there is nothing to compare */
    EPOCH_LEAST = 2000, /* of A's requests, after which the older half of its past is forgotten */
    LINE_NEEDS = 2,     /* requests expected over the line before there is one */
    SPREAD_PAIRS = 5,   /* of batches: with fewer nothing is known of how alike requests are, */
    TEMPER_FIRST = 3,   /* and evidence is divided by 8: what is blatant shows all the same */
};
static const double SPREAD_Z = 0.5244;  /* a spread is believed at 70 % */
static const double SLOWER_SHARE = 0.9; /* of the error, for time; the rest is for errors */

/* ln odds ratios. A 20 % slowdown where 10 % are allowed is 0.2 (spread tenfold between median and
 * p99) to 1.2 (twofold). */
static const double slower_ln[STATS_ANYTIME_ALTERNATIVES] = {0.2, 0.35, 0.55, 0.85, 1.4, 2.5};
static const double not_slower_ln[STATS_ANYTIME_ALTERNATIVES] = {-0.15, -0.3, -0.5,
                                                                 -0.8,  -1.3, -2.2};
/* To be added to ln (1 + harm). */
static const double failing_ln[STATS_ANYTIME_ALTERNATIVES] = {0.3, 0.7, 1.4, 2.3, 3.7, 5.3};

const char *const stats_anytime_verdict_names[ANYTIME_COUNT_] = {
    [ANYTIME_UNDECIDED] = "undecided",
    [ANYTIME_HARM] = "harm",
    [ANYTIME_NO_HARM] = "no-harm",
};

struct table {
    uint64_t n[2], hits[2];
};

struct stats_anytime {
    struct stats_anytime_options options;
    struct stats_anytime_sums sums;
    struct table slow, wrong;       /* of the block under way */
    struct stats_sketch *recent[2]; /* A's latencies: of this epoch, of the one before */
};

struct stats_anytime *stats_anytime_new(const struct stats_anytime_options *options)
{
    assert(options->harm_ratio >= 0 && options->error > 0 && options->error < 1);
    assert(options->quantile > 0 && options->quantile < 1);
    struct stats_anytime *test = calloc(1, sizeof *test);
    if (!test)
        abort();
    test->options = *options;
    test->sums.threshold_s = NAN;
    for (size_t t = 0; t < STATS_ANYTIME_TEMPERS; t++)
        for (size_t i = 0; i < STATS_ANYTIME_ALTERNATIVES; i++)
            test->sums.slower[t][i] = test->sums.failing[t][i] = -INFINITY;
    test->recent[0] = stats_sketch_new();
    test->recent[1] = stats_sketch_new();
    return test;
}

struct stats_anytime *stats_anytime_free(struct stats_anytime *test)
{
    if (!test)
        return NULL;
    stats_sketch_free(test->recent[0]);
    stats_sketch_free(test->recent[1]);
    free(test);
    return NULL;
}

/* ---- one table ---- */

/* ln of Fisher's sum over all tables with these margins, up to a constant of the margins. */
static double log_tables(const struct table *table, double log_ratio)
{
    uint64_t a = table->n[0], b = table->n[1], hits = table->hits[0] + table->hits[1];
    uint64_t low = hits > a ? hits - a : 0, high = hits < b ? hits : b;
    double term = (double)low * log_ratio, sum = term;
    for (uint64_t j = low; j < high; j++) {
        double more = (double)(b - j) * (double)(hits - j);
        double less = (double)(j + 1) * (double)(a + j + 1 - hits);
        term += log(more / less) + log_ratio;
        sum = stats_anytime_log_add(sum, term);
    }
    return sum;
}

/* ln of how much likelier B's hits are at `log_ratio` than at `log_null`, given the margins. */
static double log_likelihood(const struct table *table, double log_ratio, double log_null)
{
    double hits = (double)table->hits[1];
    return hits * (log_ratio - log_null) - log_tables(table, log_ratio) +
           log_tables(table, log_null);
}

static bool tells(const struct table *table)
{
    uint64_t n = table->n[0] + table->n[1], hits = table->hits[0] + table->hits[1];
    return table->n[0] > 0 && table->n[1] > 0 && hits > 0 && hits < n;
}

/* ---- the sums ---- */

static void advance(double (*sums)[STATS_ANYTIME_ALTERNATIVES], const double *alternatives,
                    const struct table *table, double log_null, double log_begins)
{
    bool told = tells(table);
    for (size_t i = 0; i < STATS_ANYTIME_ALTERNATIVES; i++) {
        double factor = told ? log_likelihood(table, log_null + alternatives[i], log_null) : 0;
        for (size_t t = 0; t < STATS_ANYTIME_TEMPERS; t++, factor /= 2)
            sums[t][i] = stats_anytime_log_add(sums[t][i], log_begins) + factor;
    }
}

static double mean_exp(const double *sums)
{
    double all = -INFINITY;
    for (size_t i = 0; i < STATS_ANYTIME_ALTERNATIVES; i++)
        all = stats_anytime_log_add(all, sums[i]);
    return exp(fmin(all, 700)) / STATS_ANYTIME_ALTERNATIVES;
}

/* The least of those divided by up to 2^temper. */
static double evidence(const double (*sums)[STATS_ANYTIME_ALTERNATIVES], size_t temper)
{
    double least = mean_exp(sums[0]);
    for (size_t t = 1; t <= temper; t++)
        least = fmin(least, mean_exp(sums[t]));
    return least;
}

/* ---- how alike requests are ---- */

static void spread_add(struct stats_anytime_scale *scales, const struct table *table)
{
    double a = (double)table->n[0], b = (double)table->n[1], n = a + b;
    double hits = (double)(table->hits[0] + table->hits[1]);
    if (!tells(table))
        return; /* B's share of them is no chance */
    double variance = hits * (n - hits) * a * b / (n * n * (n - 1));
    uint64_t length = 1;
    for (size_t i = 0; i < STATS_ANYTIME_SCALES; i++, length *= 4) {
        struct stats_anytime_scale *s = &scales[i];
        s->sum += (double)table->hits[1] - hits * b / n;
        s->variance += variance;
        if (++s->blocks < length)
            continue;
        if (s->before_variance > 0) {
            double apart = s->sum - s->before_sum;
            s->squares += apart * apart / (s->variance + s->before_variance);
            s->pairs++;
            s->before_sum = s->before_variance = 0;
        } else {
            s->before_sum = s->sum;
            s->before_variance = s->variance;
        }
        s->sum = s->variance = 0;
        s->blocks = 0;
    }
}

/* The greatest of the scales' lower bounds, from chi-squared by Wilson and Hilferty; as a power of
 * two, rounded. */
static size_t temper_of(const struct stats_anytime_scale *scales)
{
    double most = 1;
    if (scales[0].pairs < SPREAD_PAIRS)
        return TEMPER_FIRST;
    for (size_t i = 0; i < STATS_ANYTIME_SCALES; i++) {
        if (scales[i].pairs < SPREAD_PAIRS)
            continue;
        double pairs = (double)scales[i].pairs, share = 2 / (9 * pairs);
        most = fmax(most, scales[i].squares / (pairs * pow(1 - share + SPREAD_Z * sqrt(share), 3)));
    }
    double power = floor(log2(most) + 0.5);
    return power < STATS_ANYTIME_TEMPERS - 1 ? (size_t)power : STATS_ANYTIME_TEMPERS - 1;
}

static bool few_errors(const struct stats_anytime *test)
{
    const struct stats_anytime_sums *sums = &test->sums;
    double confidence = 1 - test->options.error / 2; /* half for either interval */
    double a =
        stats_anytime_share(sums->failed[ANYTIME_A], sums->requests[ANYTIME_A], confidence).low;
    double b =
        stats_anytime_share(sums->failed[ANYTIME_B], sums->requests[ANYTIME_B], confidence).high;
    return b <= a * (1 + test->options.harm_ratio) + STATS_ANYTIME_ERRORS_MORE;
}

struct stats_anytime_answer stats_anytime_look(const struct stats_anytime *test)
{
    const struct stats_anytime_sums *sums = &test->sums;
    size_t temper = temper_of(sums->slow_spread);
    double by_time = SLOWER_SHARE * evidence(sums->slower, temper);
    double by_errors = (1 - SLOWER_SHARE) * evidence(sums->failing, temper_of(sums->wrong_spread));
    struct stats_anytime_answer answer = {
        .harm = by_time + by_errors,
        .by_errors = by_errors > by_time,
        .no_harm = evidence(sums->not_slower, temper),
        .needed = 1 / test->options.error,
        .divided = (double)(1 << temper),
        .spread_known = sums->slow_spread[0].pairs >= SPREAD_PAIRS,
    };
    answer.errors_held_up = answer.no_harm >= answer.needed && !sums->no_harm && !few_errors(test);
    answer.verdict = sums->harm      ? ANYTIME_HARM
                     : sums->no_harm ? ANYTIME_NO_HARM
                                     : ANYTIME_UNDECIDED;
    return answer;
}

/* ---- blocks ---- */

/* A's quantile as of now: at least one epoch's requests back, at most two. */
static void draw_line(struct stats_anytime *test)
{
    double beyond = fmin(test->options.quantile, 1 - test->options.quantile);
    uint64_t now = stats_sketch_count(test->recent[0]),
             before = stats_sketch_count(test->recent[1]);
    if ((double)(now + before) * beyond < LINE_NEEDS)
        return;
    AUTO(stats_sketch_free) struct stats_sketch *both = stats_sketch_new();
    stats_sketch_merge(both, test->recent[0]);
    stats_sketch_merge(both, test->recent[1]);
    test->sums.threshold_s = stats_sketch_quantile(both, test->options.quantile);
    if (now < EPOCH_LEAST || (double)now * beyond < 20 * LINE_NEEDS)
        return;
    struct stats_sketch *older = test->recent[1];
    test->recent[1] = test->recent[0];
    test->recent[0] = older;
    stats_sketch_clear(older);
}

static void open_block(struct stats_anytime *test)
{
    test->slow = test->wrong = (struct table){0};
    draw_line(test);
}

static void close_block(struct stats_anytime *test)
{
    struct stats_anytime_sums *sums = &test->sums;
    sums->blocks++;
    sums->since_step++;
    double begins = stats_anytime_log_beginning(sums->blocks);
    advance(sums->slower, slower_ln, &test->slow, 0, begins);
    advance(sums->failing, failing_ln, &test->wrong, log1p(test->options.harm_ratio), begins);
    advance(sums->not_slower, not_slower_ln, &test->slow, 0, -INFINITY);
    spread_add(sums->slow_spread, &test->slow);
    spread_add(sums->wrong_spread, &test->wrong);
    struct stats_anytime_answer answer = stats_anytime_look(test);
    sums->harm = sums->harm || answer.harm >= answer.needed;
    sums->no_harm = !sums->harm &&
                    (sums->no_harm || (answer.no_harm >= answer.needed && !answer.errors_held_up));
    open_block(test);
}

static void hit(struct table *table, enum stats_anytime_arm arm, bool is_hit)
{
    table->n[arm]++;
    table->hits[arm] += is_hit;
}

void stats_anytime_add(struct stats_anytime *test, enum stats_anytime_arm arm,
                       enum stats_anytime_fate fate, double latency_s)
{
    if (fate != ANYTIME_FAILED && isnan(latency_s))
        return;
    double allowed = arm == ANYTIME_B ? 1 + test->options.harm_ratio : 1;
    bool slow = latency_s > test->sums.threshold_s * allowed; /* false while there is no line */
    bool timed = fate == ANYTIME_ANSWERED || (fate == ANYTIME_LEFT && slow);
    if (timed && !isnan(test->sums.threshold_s))
        hit(&test->slow, arm, slow);
    if (arm == ANYTIME_A && fate == ANYTIME_ANSWERED)
        stats_sketch_add(test->recent[0], latency_s);
    if (fate == ANYTIME_LEFT)
        return;
    hit(&test->wrong, arm, fate == ANYTIME_FAILED);
    test->sums.requests[arm]++;
    test->sums.failed[arm] += fate == ANYTIME_FAILED;
    const uint64_t *n = test->wrong.n;
    if (n[0] + n[1] >= STATS_ANYTIME_BLOCK && n[0] >= ARM_LEAST && n[1] >= ARM_LEAST)
        close_block(test);
}

void stats_anytime_step(struct stats_anytime *test)
{
    struct stats_anytime_sums *sums = &test->sums;
    sums->since_step = 0;
    sums->no_harm = false;
    memset(sums->not_slower, 0, sizeof sums->not_slower);
    for (size_t arm = 0; arm < 2; arm++)
        sums->requests[arm] = sums->failed[arm] = 0;
    open_block(test);
}

const struct stats_anytime_sums *stats_anytime_sums(const struct stats_anytime *test)
{
    return &test->sums;
}

void stats_anytime_resume(struct stats_anytime *test, const struct stats_anytime_sums *sums)
{
    test->sums = *sums;
    test->slow = test->wrong = (struct table){0};
}
