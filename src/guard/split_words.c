/* Word errors of the arms of a split, on the same reference clips (split_reference.c).
 *
 * Errors are compared clip by clip, so that what is hard for both cancels. Two things are asked.
 * Are there more of them on these clips? The test of pairs says so (stats/anytime_pairs.h), however
 * often it is looked at, and its evidence is kept. And is that more than the choice of clips? The
 * interval is a bootstrap over clips, as for a study; it is not made to be looked at for ever, but
 * as the same clips come again and again, looking longer adds little to what it sees. By itself the
 * interval holds up a step of the weights, and is an alarm, which asks for more: 99 %, over at
 * least five clips. Both together stop the arm; asking for both makes a false stop only rarer.
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

double guard_split_wer(const struct guard_split_arm *arm)
{
    struct stats_wer total = {0};
    for (size_t i = 0; i < GUARD_SPLIT_CLIPS_MAX; i++)
        stats_wer_pool(&total, &arm->clips[i]);
    return total.reference_words > 0 ? stats_wer_ratio(&total) : NAN;
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

bool guard_split_words_harm(const struct guard_split_kept *kept)
{
    return kept->pairs.harm && guard_split_wer_certain(kept).low > 0;
}

static void add_number(double evidence, struct buf *buf)
{
    if (evidence >= 1e6)
        buf_add(buf, "over 1,000,000");
    else
        buf_addf(buf, evidence < 10 ? "%.1f" : "%.0f", evidence);
}

static void add_evidence(const struct guard_split_kept *kept, const struct spec_split *split,
                         struct buf *buf)
{
    const struct stats_anytime_pairs_options options = guard_split_pairs_options(split);
    add_number(stats_anytime_pairs_evidence(&kept->pairs), buf);
    buf_addf(buf, " of %.3g needed, %llu pairs", stats_anytime_pairs_needed(&options),
             (unsigned long long)kept->pairs.pairs);
}

void guard_split_add_words_harm(const struct guard_split_kept *kept, const struct spec_split *split,
                                struct buf *buf)
{
    const struct guard_split_arm *a = &kept->arms[0], *b = &kept->arms[kept->second];
    buf_addf(buf, "harm: %s makes more word errors than %s on the same clips (evidence ", b->name,
             a->name);
    add_evidence(kept, split, buf);
    buf_add(buf, "; wer ");
    buf_addf(buf, "%.1f and %.1f %%)", 100 * guard_split_wer(b), 100 * guard_split_wer(a));
}

void guard_split_add_words_evidence(const struct guard_split_kept *kept,
                                    const struct spec_split *split, struct buf *buf)
{
    if (kept->pairs.pairs == 0)
        return;
    buf_add(buf, "; evidence for harm ");
    add_evidence(kept, split, buf);
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
