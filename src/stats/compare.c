/* Student's t interval of the blocks' differences, at looks fixed beforehand, each with its own
 * part of the error (Slud and Wei 1982; spending as in Lan and DeMets 1983). The parts add up to
 * the whole, so that by Bonferroni's inequality nothing needs to be known of how the looks hang
 * together, and the list of looks has no end: a comparison may be stopped, resumed, and given more
 * blocks the day after.
 *
 * Rejected:
 * - Student's interval at every look: 20 looks at 95 % find a difference between equals in one
 *   comparison of four.
 * - boundaries that use how the looks hang together (Pocock 1977; O'Brien and Fleming 1979): a
 * tenth narrower, for a number of blocks that may then never change, and by an approximation that
 * is not good for 3 blocks.
 * - an always valid t test by a likelihood ratio (Lai 1976; Wang and Ramdas 2025), which may be
 *   looked at after every block: tried, and a quarter wider at 12 blocks, that is half as many
 *   blocks again for the same answer.
 *
 * A look after 3 blocks is for differences that jump to the eye; most of the error is kept for 6 to
 * 16 blocks. bench/compare_stats.c draws what cold starts do, and counts. */
#include "stats/compare.h"

#include "base/auto.h"
#include "stats/binomial.h"

#include <math.h>

/* Percent of the error; what is left is halved by each further look. */
static const struct {
    size_t blocks;
    double share;
} looks[] = {{3, 0.08}, {4, 0.12}, {6, 0.18}, {8, 0.18}, {12, 0.18}, {16, 0.10}, {24, 0.08}};
static const double LEFT = 0.08;

/* Beyond the table: 32, 48, 64, 96, ...: half as much again, and twice. */
static size_t look_after(size_t look)
{
    for (size_t i = 0; i + 1 < ARRAY_LEN(looks); i++)
        if (looks[i].blocks == look)
            return looks[i + 1].blocks;
    return look % 3 == 0 ? look / 3 * 4 : look / 2 * 3;
}

size_t stats_compare_look(size_t blocks)
{
    size_t look = looks[0].blocks;
    if (blocks < look)
        return 0;
    while (look_after(look) <= blocks)
        look = look_after(look);
    return look;
}

double stats_compare_share(size_t look)
{
    double left = LEFT;
    for (size_t i = 0; i < ARRAY_LEN(looks); i++)
        if (looks[i].blocks == look)
            return looks[i].share;
    for (size_t at = looks[ARRAY_LEN(looks) - 1].blocks; at < look; at = look_after(at))
        left /= 2;
    return left;
}

struct stats_effect stats_compare_mean(const double *differences, size_t blocks, double error)
{
    struct stats_effect effect = {NAN, {NAN, NAN}, 0};
    double mean = 0, squares = 0, n = 0;
    size_t look = stats_compare_look(blocks);
    for (size_t i = 0; i < look; i++) {
        if (isnan(differences[i]))
            continue;
        n++;
        double delta = differences[i] - mean;
        mean += delta / n;
        squares += delta * (differences[i] - mean);
    }
    effect.blocks = (size_t)n;
    if (n > 0)
        effect.estimate = mean;
    if (n < 3 || !(error > 0 && error < 1))
        return effect;
    double tail = error * stats_compare_share(look) / 2;
    double half =
        squares > 0 ? -stats_student_quantile(tail, n - 1) * sqrt(squares / (n - 1) / n) : 0;
    effect.interval = (struct stats_interval){mean - half, mean + half};
    return effect;
}

struct stats_effect stats_compare_ratio(const double *log_ratios, size_t blocks, double error)
{
    struct stats_effect effect = stats_compare_mean(log_ratios, blocks, error);
    effect.estimate = exp(effect.estimate);
    effect.interval.low = exp(effect.interval.low);
    effect.interval.high = exp(effect.interval.high);
    return effect;
}

/* Four bounds, each with a quarter of what the look may spend: whichever of them hold, the
 * difference lies between. */
void stats_compare_widen(struct stats_effect *effect, const uint64_t hits[2],
                         const uint64_t asked[2], size_t blocks, double error)
{
    struct stats_interval *i = &effect->interval;
    size_t look = stats_compare_look(blocks);
    if (!(i->low <= i->high) || look == 0)
        return;
    if (asked[0] == 0 || asked[1] == 0 || hits[0] > asked[0] || hits[1] > asked[1]) {
        *i = (struct stats_interval){NAN, NAN};
        return;
    }
    double confidence = 1 - error * stats_compare_share(look) / 2; /* a quarter on each side */
    struct stats_interval first = stats_binomial_interval(hits[0], asked[0], confidence);
    struct stats_interval other = stats_binomial_interval(hits[1], asked[1], confidence);
    i->low = fmin(i->low, other.low - first.high);
    i->high = fmax(i->high, other.high - first.low);
}

enum stats_standing stats_compare_standing(const struct stats_effect *effect, double least,
                                           double most)
{
    const struct stats_interval *i = &effect->interval;
    if (!(i->low <= i->high)) /* NaN: unknown is open */
        return STATS_STANDING_OPEN;
    if (i->low > most)
        return STATS_STANDING_ABOVE;
    if (i->high < least)
        return STATS_STANDING_BELOW;
    return i->low >= least && i->high <= most ? STATS_STANDING_WITHIN : STATS_STANDING_OPEN;
}
