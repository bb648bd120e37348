/* The sequential test of pairs.
 *
 * The bets are fixed shares of the most that can be laid without ever losing all: the small ones
 * find a small difference in the end, the large ones rubbish at once. Beginning late costs little,
 * since the mixture over beginnings is one sum: each bet's capital gets a little more put in before
 * each pair.
 *
 * Rejected: an interval of the mean difference that holds at all times (empirical Bernstein): what
 * is asked is one-sided, and the capital says how near it is to being answered. Bets that follow
 * the data (a little sooner where the difference is large): they would have to be kept and
 * explained.
 *
 * Invariant: the weights put in add up to 1 at most and every factor is worth 1 at most on the mean
 * under the null, so the evidence's expectation never exceeds 1. */
#include "stats/anytime_pairs.h"

#include <math.h>
#include <stddef.h>

static const double FIRST_SHARE = 0.75; /* for harm from the beginning on */
/* Of the most: with that a single pair could take all. */
static const double bets[STATS_ANYTIME_BETS] = {0.03, 0.08, 0.2, 0.4, 0.65, 0.9};

double stats_anytime_log_add(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return high == -INFINITY ? high : high + log1p(exp(low - high));
}

double stats_anytime_log_beginning(uint64_t n)
{
    if (n == 1)
        return log(FIRST_SHARE);
    double before = 1 / (1 + log2((double)(n - 1))), after = 1 / (1 + log2((double)n));
    return log1p(-FIRST_SHARE) + log(before - after);
}

void stats_anytime_pairs_init(struct stats_anytime_pairs *pairs)
{
    *pairs = (struct stats_anytime_pairs){0};
    for (size_t i = 0; i < STATS_ANYTIME_BETS; i++)
        pairs->worse[i] = -INFINITY;
}

double stats_anytime_pairs_evidence(const struct stats_anytime_pairs *pairs)
{
    double all = -INFINITY;
    for (size_t i = 0; i < STATS_ANYTIME_BETS; i++)
        all = stats_anytime_log_add(all, pairs->worse[i]);
    return exp(fmin(all, 700)) / STATS_ANYTIME_BETS;
}

double stats_anytime_pairs_needed(const struct stats_anytime_pairs_options *options)
{
    return 1 / options->error;
}

void stats_anytime_pairs_add(struct stats_anytime_pairs *pairs,
                             const struct stats_anytime_pairs_options *options, double a, double b)
{
    const double allowed = 1 + options->harm_ratio, most = 1 / (allowed + options->more);
    if (isnan(a) || isnan(b))
        return;
    const double apart = fmin(fmax(b, 0), 1) - allowed * fmin(fmax(a, 0), 1) - options->more;
    const double begins = stats_anytime_log_beginning(++pairs->pairs);
    for (size_t i = 0; i < STATS_ANYTIME_BETS; i++)
        pairs->worse[i] =
            stats_anytime_log_add(pairs->worse[i], begins) + log1p(bets[i] * most * apart);
    pairs->harm =
        pairs->harm || stats_anytime_pairs_evidence(pairs) >= stats_anytime_pairs_needed(options);
}
