/* The second arm alone, against what the first was.
 *
 * Nothing is randomised any more, so this is weaker than the test, and says so: another hour is
 * another load. Hence two lines. More requests over the first arm's line than it had itself is
 * told, and stops nothing: a busy morning does it too. More than half of them over a line that one
 * in twenty (p95) was over is no morning, and stops the arm as harm does; so do failures beyond
 * what the first arm's can have been.
 *
 * The line is the upper end of an interval of the first arm's quantile, the shares' bounds hold at
 * all looks together (stats_anytime_share()). Counts begin anew every 2,000 requests, so that harm
 * which comes late is not thinned by a good week; the error is spent over the rounds as 1 / (n (n +
 * 1)), which adds up to one.
 *
 * Rejected: one growing count (late harm takes as long again as all was well); stopping at the
 * first line (every busy hour would).
 *
 * Invariant: what is not known of the first arm is no line: nothing is judged, and that is said. */
#include "guard/split_alone.h"

#include "base/text.h"

#include <math.h>

enum { ROUND = 2000 };
static const double HALF = 0.5;

void guard_split_alone_begin(struct guard_split_alone *alone, const struct guard_split_arm *first,
                             const struct spec_split *split)
{
    const double confidence = 1 - split->error / 4;
    const double most_s = stats_anytime_quantile(first->latency, split->quantile, confidence).high;
    *alone = (struct guard_split_alone){
        .slow_s = most_s * (1 + split->harm_ratio),
        .failed_ratio = stats_anytime_share(first->failed, first->requests, confidence).high};
}

void guard_split_alone_count(struct guard_split_alone *alone, enum stats_anytime_fate fate,
                             double total_s)
{
    const bool slow = total_s > alone->slow_s;
    if (isnan(alone->slow_s))
        return;
    if (alone->requests >= ROUND) {
        alone->round++;
        alone->timed = alone->slow = alone->requests = alone->failed = 0;
    }
    if ((fate == ANYTIME_ANSWERED && total_s > 0) || (fate == ANYTIME_LEFT && slow)) {
        alone->timed++;
        alone->slow += slow;
    }
    alone->requests += fate != ANYTIME_LEFT;
    alone->failed += fate == ANYTIME_FAILED;
}

/* Of one of two shares, in this round. */
static double confidence_of(const struct guard_split_alone *alone, const struct spec_split *split)
{
    const double n = (double)alone->round + 1;
    return 1 - split->error / 4 / (n * (n + 1));
}

static double failed_allowed(const struct guard_split_alone *alone, const struct spec_split *split)
{
    return alone->failed_ratio * (1 + split->harm_ratio) + STATS_ANYTIME_ERRORS_MORE;
}

enum alone_answer guard_split_alone_look(const struct guard_split_alone *alone,
                                         const struct spec_split *split)
{
    if (isnan(alone->slow_s))
        return ALONE_UNTESTED;
    const double confidence = confidence_of(alone, split);
    const double slow = stats_anytime_share(alone->slow, alone->timed, confidence).low;
    const double failed = stats_anytime_share(alone->failed, alone->requests, confidence).low;
    if (slow > HALF || failed > failed_allowed(alone, split))
        return ALONE_HARM;
    return slow > 1 - split->quantile ? ALONE_SLOWER : ALONE_FINE;
}

static void add_share(uint64_t part, uint64_t whole, const char *what, struct buf *buf)
{
    text_add_grouped(buf, (int64_t)part);
    buf_add(buf, " of ");
    text_add_grouped(buf, (int64_t)whole);
    buf_addf(buf, " %s", what);
}

void guard_split_alone_add(const struct guard_split_kept *kept, const struct spec_split *split,
                           struct buf *buf)
{
    const struct guard_split_alone *alone = &kept->alone;
    const char *first = kept->arms[0].name, *second = kept->arms[kept->second].name;
    const enum alone_answer answer = guard_split_alone_look(alone, split);
    if (answer == ALONE_UNTESTED) {
        buf_addf(buf,
                 "not tested: %s gets everything, and too few requests to %s were counted before "
                 "to hold it to them; rules and probes watch it, nothing stops it",
                 second, first);
        return;
    }
    const double failed =
        stats_anytime_share(alone->failed, alone->requests, confidence_of(alone, split)).low;
    buf_addf(buf, "%s alone, held to what %s was before (another hour is another load): ", second,
             first);
    if (answer == ALONE_HARM)
        buf_addf(buf, "harm: %s: ",
                 failed > failed_allowed(alone, split) ? "it fails more often" : "it is slow");
    else if (answer == ALONE_SLOWER)
        buf_add(buf, "it is slower: ");
    add_share(alone->slow, alone->timed, "over ", buf);
    text_add_duration(buf, alone->slow_s);
    buf_addf(buf, " (%g %% were; stopped at half), ", 100 * (1 - split->quantile));
    add_share(alone->failed, alone->requests, "failed", buf);
    buf_addf(buf, " (at most %.1f %% did)", 100 * alone->failed_ratio);
}
