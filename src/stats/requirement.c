/* Group-sequential check of a share, with boundaries computed exactly.
 *
 * There are looks at fixed counts of requests, each 1.2 times the one before (Pocock 1977 on
 * repeated looks; Jennison and Turnbull 2000, 12, for exact binomial boundaries). Each of the two
 * wrong answers has its own error to spend: after look j of J at most error * j / J may be used up
 * (the spending function of Lan and DeMets 1983, linear in the number of the look, that is, in the
 * logarithm of the sample). At each look the boundary is the furthest that keeps what is spent
 * within that, given the exact probability of every count that has not been stopped before, at the
 * share that is allowed exactly. What a look can't use (few requests never meet anything) is left
 * to later ones. So a clearly good or bad service is told soon, and the whole error is there for
 * the close ones.
 *
 * The false MET is computed as if a MISSED never stopped anything, and the reverse: that makes each
 * a little smaller than stated, and both hold whatever is done with the other answer. A share
 * beyond the allowed one makes the wrong answer only less likely, since the count of those over is
 * monotone in it.
 *
 * Rejected: a confidence sequence of a beta mixture (Robbins 1970), valid at every request, which
 * needs about half as many requests again for the same answer; and Wald's test, which wants a
 * second share to be named ("clearly good") that nobody could state.
 *
 * Invariant: over all looks, P(wrong MET) <= error and P(wrong MISSED) <= error. */
#include "stats/requirement.h"

#include "stats/binomial.h"
#include "stats/quantile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double FIRST_LOOK = 5, LOOK_RATIO = 1.2;
/* Counts less likely than this are left out: a million of them are no error of 1e-9. */
static const double NEGLIGIBLE = 1e-16;

/* Probabilities of the counts of those over, among the runs that no look has stopped. */
struct counts {
    double *probability; /* of count low + i, owned; NULL: no request yet */
    uint64_t low, len;
};

static uint32_t place_looks(uint64_t n_max, struct stats_look *looks)
{
    uint32_t count = 0;
    double at = FIRST_LOOK;
    while (at * LOOK_RATIO < (double)n_max && count + 1 < STATS_LOOKS_MAX) {
        looks[count++].n = (uint32_t)at;
        at = fmax(at + 1, at * LOOK_RATIO);
    }
    if (n_max > 0)
        looks[count++].n = (uint32_t)n_max;
    return count;
}

/* `more` requests later: the sum of what was there and of a binomial count. */
static void counts_grow(struct counts *counts, uint64_t more, double share)
{
    double sd = sqrt((double)more * share * (1 - share)), mean = (double)more * share;
    uint64_t first = (uint64_t)fmax(0, floor(mean - 9 * sd - 10));
    uint64_t last = (uint64_t)fmin((double)more, ceil(mean + 9 * sd + 40));
    uint64_t steps = last - first + 1, len = counts->len + steps - 1;
    double *step = calloc(steps, sizeof *step), *grown = calloc(len, sizeof *grown);
    if (!step || !grown)
        abort();
    for (uint64_t i = 0; i < steps; i++)
        step[i] = exp(stats_binomial_log_pmf(first + i, more, share));
    for (uint64_t i = 0; i < counts->len; i++)
        for (uint64_t k = 0; k < steps && counts->probability[i] > 0; k++)
            grown[i + k] += counts->probability[i] * step[k];
    uint64_t from = 0;
    while (from + 1 < len && grown[from] < NEGLIGIBLE)
        from++;
    while (len > from + 1 && grown[len - 1] < NEGLIGIBLE)
        len--;
    for (uint64_t i = from; i < len; i++)
        grown[i - from] = grown[i];
    free(step);
    free(counts->probability);
    *counts = (struct counts){grown, counts->low + first + from, len - from};
}

/* Stops the runs at one end of the counts as far as `budget` reaches; returns what they cost. */
static double counts_stop(struct counts *counts, enum stats_side side, double budget,
                          uint64_t *ret_stopped)
{
    double spent = 0;
    uint64_t stopped = 0;
    while (stopped < counts->len) {
        uint64_t i = side == SIDE_LOW ? stopped : counts->len - 1 - stopped;
        if (spent + counts->probability[i] > budget)
            break;
        spent += counts->probability[i];
        counts->probability[i] = 0;
        stopped++;
    }
    *ret_stopped = stopped;
    return spent;
}

/* One of the two boundaries. What was cut off as negligible lies beyond the boundary: it is as far
 * from the allowed share as one can be. */
static void fill_boundary(struct stats_requirement *r, enum stats_side side)
{
    struct counts counts = {calloc(1, sizeof(double)), 0, 1};
    if (!counts.probability)
        abort();
    counts.probability[0] = 1;
    double spent = 0;
    for (uint32_t j = 0; j < r->look_count; j++) {
        struct stats_look *look = &r->looks[j];
        counts_grow(&counts, look->n - (j ? r->looks[j - 1].n : 0), r->allowed);
        uint64_t stopped = 0;
        double budget = r->error * (j + 1) / r->look_count - spent;
        spent += counts_stop(&counts, side, budget, &stopped);
        if (side == SIDE_LOW)
            look->met_to = (int32_t)(counts.low + stopped) - 1;
        else
            look->missed_from = (uint32_t)(counts.low + counts.len - stopped);
    }
    free(counts.probability);
}

struct stats_requirement stats_requirement_init(double allowed, double error, uint64_t n_max)
{
    assert(allowed > 0 && allowed < 1 && error > 0 && error < 0.5);
    struct stats_requirement r = {
        .allowed = allowed,
        .error = error,
        .n_max = n_max < STATS_REQUESTS_MAX ? n_max : STATS_REQUESTS_MAX,
    };
    r.look_count = place_looks(r.n_max, r.looks);
    fill_boundary(&r, SIDE_LOW);
    fill_boundary(&r, SIDE_HIGH);
    return r;
}

enum stats_answer stats_requirement_add(struct stats_requirement *r, int over)
{
    if (r->answer != STATS_OPEN || r->next_look == r->look_count)
        return r->answer;
    r->n++;
    r->over += over != 0;
    const struct stats_look *look = &r->looks[r->next_look];
    if (r->n < look->n)
        return r->answer;
    r->next_look++;
    if ((int64_t)r->over <= look->met_to)
        r->answer = STATS_MET;
    else if (r->over >= look->missed_from)
        r->answer = STATS_MISSED;
    return r->answer;
}

uint64_t stats_requirement_smallest(double allowed, double error)
{
    return stats_quantile_needed(1 - allowed, 1 - error, SIDE_HIGH);
}

enum stats_answer stats_requirement_fixed(double allowed, double error, uint64_t n, uint64_t over,
                                          double worth)
{
    assert(allowed > 0 && allowed < 1 && error > 0 && error < 0.5);
    if (n == 0 || over > n || !(worth > 0))
        return STATS_OPEN;
    double part = fmin(1, worth / (double)n);
    /* Rounded against either answer: the sample is never worth more than it is. */
    uint64_t m = (uint64_t)floor((double)n * part + 1e-9);
    uint64_t most = (uint64_t)ceil((double)over * part - 1e-9);
    uint64_t least = (uint64_t)floor((double)over * part + 1e-9);
    if (m == 0)
        return STATS_OPEN;
    if (most < m && stats_binomial_log_cdf(most, m, allowed) <= log(error) + 1e-12)
        return STATS_MET;
    if (least > 0 && stats_binomial_log_sf(least - 1, m, allowed) <= log(error) + 1e-12)
        return STATS_MISSED;
    return STATS_OPEN;
}
