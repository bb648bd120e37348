/* Word errors of the arms of a split, on the same reference clips (split_reference.c).
 *
 * Errors are compared clip by clip, so that what is hard for both cancels. The interval is a
 * bootstrap over clips, as for a study: it is not made to be looked at for ever, so it stops no
 * arm. It holds up a step of the weights, and is an alarm, which asks for more: 99 %, over at least
 * five clips. As the same clips come again and again, looking longer adds little to what it sees,
 * and so little to how often it is wrong.
 *
 * Invariant: no figure comes without words; where none can be known the reason is said. */
#include "guard/split_words.h"

#include "base/rng.h"

#include <math.h>

enum { CLIPS_LEAST = 2, CLIPS_CERTAIN = 5 };
static const double CONFIDENCE = 0.95, CERTAIN = 0.99;

static struct rng clips_rng(void)
{
    return rng_init(1, "reference clips");
}

struct stats_interval guard_split_wer_interval(const struct guard_split_arm *arm)
{
    struct stats_wer some[GUARD_SPLIT_CLIPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < GUARD_SPLIT_CLIPS_MAX; i++)
        if (arm->clips[i].reference_words > 0)
            some[count++] = arm->clips[i];
    struct rng rng = clips_rng();
    return stats_wer_interval(some, count, CONFIDENCE, 0, &rng);
}

static struct stats_interval difference(const struct guard_split_kept *kept, double confidence,
                                        size_t least)
{
    const struct stats_interval unknown = {NAN, NAN};
    const struct stats_wer *a = kept->arms[0].clips, *b = kept->arms[kept->second].clips;
    struct stats_wer both_a[GUARD_SPLIT_CLIPS_MAX], both_b[GUARD_SPLIT_CLIPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < GUARD_SPLIT_CLIPS_MAX; i++) {
        if (a[i].reference_words == 0 || b[i].reference_words == 0)
            continue;
        both_a[count] = a[i];
        both_b[count++] = b[i];
    }
    struct rng rng = clips_rng();
    return count < least ? unknown
                         : stats_wer_difference(both_b, both_a, count, confidence, 0, &rng);
}

struct stats_interval guard_split_wer_difference(const struct guard_split_kept *kept)
{
    return difference(kept, CONFIDENCE, CLIPS_LEAST);
}

struct stats_interval guard_split_wer_certain(const struct guard_split_kept *kept)
{
    return difference(kept, CERTAIN, CLIPS_CERTAIN);
}

void guard_split_add_words(const struct guard_split_kept *kept,
                           const struct stats_interval *difference_, struct buf *buf)
{
    const struct guard_split_arm *a = &kept->arms[0], *b = &kept->arms[kept->second];
    if (!isnan(difference_->low) && !isnan(difference_->high))
        buf_addf(buf, "word errors on the same clips, %s less %s: [%+.1f, %+.1f] points: %s",
                 b->name, a->name, 100 * difference_->low, 100 * difference_->high,
                 difference_->low > 0    ? "it hears worse"
                 : difference_->high < 0 ? "it hears better"
                                         : "no difference these clips could show");
    else if (kept->no_words[0])
        buf_addf(buf, "no word errors are known: %s", kept->no_words);
    else
        buf_addf(buf,
                 "no word errors are known yet: %llu and %llu answers to reference clips, too few "
                 "clips were heard by both",
                 (unsigned long long)(a->references - a->references_failed),
                 (unsigned long long)(b->references - b->references_failed));
    if (kept->no_words[0] && !isnan(difference_->low))
        buf_addf(buf, " (of before: %s)", kept->no_words);
}
