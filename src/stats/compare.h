/* Two candidates compared in blocks, and looked at again and again.
 *
 * A block is one cold start of each, close in time; it gives one number, the difference of the two
 * (for ratios of their logarithms), in which everything that the block's minutes did to both
 * cancels and all that a cold start's luck does to its requests is one draw. Looks are taken after
 * 3, 4, 6, 8, 12, 16, 24, 32, 48, ... blocks and each spends its own share of the error, so one may
 * stop at any of them and go on later: the chance that any look's interval leaves the truth out is
 * at most `error`. */
#pragma once

#include "stats/summary.h"

#include <stdint.h>

enum stats_standing {
    STATS_STANDING_OPEN,
    STATS_STANDING_WITHIN, /* no difference beyond the tolerance */
    STATS_STANDING_BELOW,  /* a difference beyond it, downwards */
    STATS_STANDING_ABOVE,
};

/* Blocks at the last look that `blocks` allow; 0: before the first. */
size_t stats_compare_look(size_t blocks);
/* Share of the error that this look may spend, 0 to 1; all of them together spend 1. */
double stats_compare_share(size_t look);

/* Mean of the differences up to the last look, with its interval; all NaN before the first. A block
 * whose difference is unknown (NaN) is left out; below 3 known ones there is no interval. Blocks
 * that all have the same number have it as their interval. 0 < error < 1. */
struct stats_effect stats_compare_mean(const double *differences, size_t blocks, double error);
/* exp() of all of it: for differences of logarithms. */
struct stats_effect stats_compare_ratio(const double *log_ratios, size_t blocks, double error);

/* Shares (of failed requests, of good ones): `effect` is the mean of the blocks' differences, and
 * its interval becomes the smallest that holds what it was and what the requests of all blocks
 * together leave open: exact bounds of both sides' shares (Clopper and Pearson 1934). Ten blocks in
 * which nothing failed are alike to the last digit, and say little about one failure in a hundred.
 * `hits` of `asked` requests up to the last look, the first side's and the other's; error as above.
 * Unknown once a side asked nothing. */
void stats_compare_widen(struct stats_effect *effect, const uint64_t hits[2],
                         const uint64_t asked[2], size_t blocks, double error);

/* Where the interval lies, `least` and `most` being the largest differences that are none: -0.03
 * and 0.03, or 1 / 1.03 and 1.03 for ratios. */
enum stats_standing stats_compare_standing(const struct stats_effect *effect, double least,
                                           double most);
