/* Does arm B make more of the same things wrong than arm A? A sequential test of pairs (one thing,
 * both arms), which may be looked at after every one: the chance that it ever says so falsely, over
 * all looks there will ever be, is at most `error`.
 *
 * What is tested. Each pair holds the share that either arm has wrong, 0 to 1. Rejected is "given
 * the past, B's share is on the mean at most (1 + harm) times A's and `more`, in every pair". Where
 * the thing of each pair is drawn by lot from a fixed few, each with a chance in proportion to its
 * words, the mean is the pooled word error rate of those few, so that pairs may repeat a thing as
 * often as they like.
 *
 * How. Betting: capital is multiplied by 1 + bet * (b - (1 + harm) a - more), which never falls to
 * 0 and is worth at most 1 on the mean under the null, whatever the distribution (Waudby-Smith and
 * Ramdas 2024, "Estimating means of bounded random variables by betting"; Ville 1939). Several bets
 * are mixed, as are the pairs with which harm may begin (anytime.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { STATS_ANYTIME_BETS = 6 };

struct stats_anytime_pairs_options {
    double harm_ratio; /* >= 0 */
    double more;       /* >= 0: beyond that, a share of all */
    double error;      /* 0 to 1, both left out */
};

/* All that the test knows: kept on disk as it is. */
struct stats_anytime_pairs {
    uint64_t pairs;
    double worse[STATS_ANYTIME_BETS]; /* ln of each bet's sum; -INFINITY at first */
    bool harm;                        /* said once, it stays said */
};

void stats_anytime_pairs_init(struct stats_anytime_pairs *pairs);
/* Shares wrong; over 1 counts as 1, as more words may be put in than there are. NaN on either side:
 * no pair. */
void stats_anytime_pairs_add(struct stats_anytime_pairs *pairs,
                             const struct stats_anytime_pairs_options *options, double a, double b);
double stats_anytime_pairs_evidence(const struct stats_anytime_pairs *pairs); /* e-value */
double stats_anytime_pairs_needed(const struct stats_anytime_pairs_options *options);

/* Inside stats/: ln (exp a + exp b), and the ln weight with which harm begins at n = 1, 2, ...; all
 * weights add up to 1. What falls so slowly finds harm that begins at n for about ln n + 2 ln ln n
 * more evidence. */
double stats_anytime_log_add(double a, double b);
double stats_anytime_log_beginning(uint64_t n);
