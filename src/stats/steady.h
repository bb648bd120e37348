/* Is a window's series of latencies the one of a service that has settled? `values` stand in the
 * order in which the requests were meant to leave; NaN among them makes every answer unknown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How much of the beginning belongs to the warm-up. */
struct stats_warmup {
    bool known;    /* enough requests to tell: STATS_WARMUP_LEAST */
    bool settled;  /* false: it went on into the second half, so that there is nothing to cut */
    size_t cut;    /* leave out so many at the beginning; 0 unless settled */
    double before; /* geometric mean of what is cut over that of the rest; NaN: nothing is cut */
};
enum { STATS_WARMUP_LEAST = 50 };

/* MSER-5 (White 1997; White, Cobb and Spratt 2000) on means of five logarithms (the values
 * themselves where one is not above 0): the cut that makes the rest's standard error least, at most
 * half of the series. (Only when nothing there differs a later beginning of the rest is looked for:
 * then it never settled.) MSER cuts something of any series, also of one that was steady from the
 * start; so a cut counts only where what is cut differs from the rest: Student's t beyond 0.05 % a
 * side, with the rest's own spread between 20 batches, so that correlation is in it. And it is no
 * warm-up below 2 %: where answers hardly vary a difference of a thousandth is certain, and leaving
 * out the half of a window for it would cost more than it is worth. */
struct stats_warmup stats_warmup_find(const double *values, size_t n);

/* Does a quantile move within the window? */
struct stats_drift {
    bool known;         /* enough requests for this quantile: 10 expected beyond it, 40 in all */
    bool drifting;      /* moves certainly (1 %), and by 10 % at least */
    double first, last; /* the quantile in the first and in the last third, same unit */
    double change;      /* last / first - 1 */
    double per_minute;  /* the same per minute between the middles of the two thirds; NaN unknown */
};

/* `at_s` are the times of the values, ascending, seconds. The test is a straight line through the
 * shares of 8 to 20 blocks that lie over the whole window's quantile: blocks, because neighbours
 * are alike, and shares, because their spread is bounded whatever the distribution. */
struct stats_drift stats_drift_find(const double *values, const double *at_s, size_t n, double q);
