/* What follows from what a split knows.
 *
 * A step up needs a verdict of "no harm" at the present weights, or a person who says --anyway: the
 * next weights are another load, and nothing measured at 10 % shows what 50 % does. Stopping needs
 * nothing but the word. Both only move weights between the second arm and the first; a third arm
 * keeps its share as long as there is one to keep.
 *
 * Invariant: weights are 0 to 100 and sum up to 100; the first arm or the second always has some.
 */
#include "guard/split_decide.h"

#include "base/text.h"
#include "guard/split_alone.h"
#include "guard/split_words.h"

#include <math.h>
#include <string.h>

static const int steps[] = {10, 25, 50, 100};
static const double CONFIDENCE = 0.95;

/* ---- weights ---- */

static int next_step(int weight)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i] > weight)
            return steps[i];
    return 100;
}

/* The second arm gets so much; the first what the others leave. */
static void set_weight(struct guard_split_kept *kept, int weight)
{
    int others = 0;
    for (size_t i = 1; i < kept->arm_count; i++) {
        struct guard_split_arm *arm = &kept->arms[i];
        if (i == kept->second)
            continue;
        if (arm->weight > 100 - weight - others)
            arm->weight = 100 - weight - others;
        others += arm->weight;
    }
    kept->arms[kept->second].weight = weight;
    kept->arms[0].weight = 100 - weight - others;
}

static void begin_counts(struct guard_split_kept *kept, const struct spec_split *split, bool anew)
{
    const struct stats_anytime_options options = guard_split_options(split);
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&options);
    if (!anew) {
        stats_anytime_resume(test, &kept->sums);
        stats_anytime_step(test);
    }
    kept->sums = *stats_anytime_sums(test);
    for (size_t i = 0; i < kept->arm_count; i++) {
        struct guard_split_arm *arm = &kept->arms[i];
        arm->requests = arm->failed = arm->left = 0;
        stats_sketch_clear(arm->latency);
        if (anew)
            memset(arm->clips, 0, sizeof arm->clips);
    }
    if (!anew)
        return;
    stats_anytime_pairs_init(&kept->pairs);
    kept->by_words = false;
}

static bool harms_by_requests(const struct guard_split_kept *kept, const struct spec_split *split)
{
    return kept->state == SPLIT_FULL ? guard_split_alone_look(&kept->alone, split) == ALONE_HARM
                                     : kept->sums.harm;
}

/* ---- orders ---- */

static bool may_advance(const struct guard_split_kept *kept, bool anyway, struct err *err)
{
    const char *name = kept->arms[kept->second].name;
    if (kept->state == SPLIT_FULL)
        return err_set(err, ERR_DECLINED, "%s gets every request already", name);
    if (anyway)
        return true;
    if (kept->state != SPLIT_RUNNING || kept->sums.harm)
        return err_set(err, ERR_DECLINED,
                       "the split is %s (%s); --anyway begins it anew with %d %% for %s",
                       guard_split_state_names[kept->state], kept->why,
                       next_step(kept->arms[kept->second].weight), name);
    if (guard_split_wer_difference(kept).low > 0)
        return err_set(err, ERR_DECLINED,
                       "%s makes more word errors than %s on the same clips; --anyway takes it on "
                       "all the same",
                       name, kept->arms[0].name);
    if (!kept->sums.no_harm)
        return err_set(err, ERR_DECLINED,
                       "it is not certain yet that %s does no harm; wait, or take the risk with "
                       "--anyway",
                       name);
    return true;
}

bool guard_split_order(struct guard_split_kept *kept, const struct spec_split *split,
                       enum guard_split_order order, bool anyway, const char *why, int64_t wall_us,
                       struct err *err)
{
    bool over = kept->state == SPLIT_STOPPED || kept->state == SPLIT_ABORTED;
    if (order == SPLIT_ADVANCE && !may_advance(kept, anyway, err))
        return false;
    if (order != SPLIT_ADVANCE && over)
        return err_set(err, ERR_DECLINED, "the split is %s already: %s gets no requests",
                       guard_split_state_names[kept->state], kept->arms[kept->second].name);
    int weight = order == SPLIT_ADVANCE ? next_step(kept->arms[kept->second].weight) : 0;
    if (order == SPLIT_STOP) {
        kept->by_words = kept->pairs.harm && !harms_by_requests(kept, split);
        kept->alone.harm = kept->state == SPLIT_FULL && !kept->by_words;
    }
    if (order == SPLIT_ADVANCE) { /* counts of an ended split stay to be read */
        guard_split_alone_begin(&kept->alone, &kept->arms[0], split);
        begin_counts(kept, split, over || kept->sums.harm || kept->pairs.harm);
        kept->state = weight == 100 ? SPLIT_FULL : SPLIT_RUNNING;
    } else {
        kept->state = order == SPLIT_STOP ? SPLIT_STOPPED : SPLIT_ABORTED;
    }
    set_weight(kept, weight);
    kept->revision++;
    kept->since_wall_us = wall_us;
    snprintf(kept->why, sizeof kept->why, "%s", why);
    return true;
}

/* ---- figures ---- */

static double known(const struct stats_sketch *sketch, double q)
{
    return stats_quantile_allowed(stats_sketch_count(sketch), q) ? stats_sketch_quantile(sketch, q)
                                                                 : NAN;
}

struct guard_split_figures guard_split_figures(const struct guard_split_arm *arm)
{
    const struct stats_interval unknown = {NAN, NAN};
    struct guard_split_figures f = {.p50_s = known(arm->latency, 0.50),
                                    .p95_s = known(arm->latency, 0.95),
                                    .p99_s = known(arm->latency, 0.99),
                                    .error_ratio = NAN,
                                    .error_interval = unknown,
                                    .wer_ratio = guard_split_wer(arm)};
    f.p50_interval = stats_anytime_quantile(arm->latency, 0.50, CONFIDENCE);
    f.p95_interval = stats_anytime_quantile(arm->latency, 0.95, CONFIDENCE);
    f.p99_interval = stats_anytime_quantile(arm->latency, 0.99, CONFIDENCE);
    if (arm->requests > 0) {
        f.error_ratio = (double)arm->failed / (double)arm->requests;
        f.error_interval = stats_anytime_share(arm->failed, arm->requests, CONFIDENCE);
    }
    return f;
}

/* ---- words ---- */

struct stats_anytime_answer guard_split_answer(const struct guard_split_kept *kept,
                                               const struct spec_split *split)
{
    const struct stats_anytime_options options = guard_split_options(split);
    AUTO(stats_anytime_free) struct stats_anytime *test = stats_anytime_new(&options);
    stats_anytime_resume(test, &kept->sums);
    return stats_anytime_look(test);
}

enum stats_anytime_verdict guard_split_verdict(const struct guard_split_kept *kept,
                                               const struct spec_split *split)
{
    if (kept->alone.harm || kept->by_words || guard_split_words_harm(kept))
        return ANYTIME_HARM;
    return kept->state == SPLIT_FULL ? ANYTIME_UNDECIDED : guard_split_answer(kept, split).verdict;
}

static void add_number(double evidence, struct buf *buf)
{
    if (evidence >= 1e6)
        buf_add(buf, "over 1,000,000");
    else
        buf_addf(buf, evidence < 10 ? "%.1f" : "%.0f", evidence);
}

/* Of what was decided, or of both while nothing is. */
static void add_evidence(const struct stats_anytime_answer *answer, struct buf *buf)
{
    buf_add(buf, " (evidence ");
    if (answer->verdict != ANYTIME_NO_HARM)
        add_number(answer->harm, buf);
    if (answer->verdict == ANYTIME_UNDECIDED)
        buf_add(buf, " for harm, ");
    if (answer->verdict != ANYTIME_HARM)
        add_number(answer->no_harm, buf);
    if (answer->verdict == ANYTIME_UNDECIDED)
        buf_add(buf, " against it");
    buf_addf(buf, ", %.3g needed", answer->needed);
    if (answer->divided > 1)
        buf_addf(buf, "; its logarithm is divided by %g, as requests are %s", answer->divided,
                 answer->spread_known ? "alike" : "few");
}

static void add_quantile(const struct guard_split_arm *arm, double q, struct buf *buf)
{
    struct stats_interval i = stats_anytime_quantile(arm->latency, q, CONFIDENCE);
    buf_addf(buf, "%s ", arm->name);
    text_add_duration(buf, known(arm->latency, q));
    if (isnan(i.low) || isnan(i.high))
        return;
    buf_add(buf, " [");
    text_add_duration(buf, i.low);
    buf_add(buf, ", ");
    text_add_duration(buf, i.high);
    buf_add(buf, "]");
}

void guard_split_add_verdict(const struct guard_split_kept *kept, const struct spec_split *split,
                             struct buf *buf)
{
    const struct guard_split_arm *a = &kept->arms[0], *b = &kept->arms[kept->second];
    struct stats_anytime_answer answer = guard_split_answer(kept, split);
    if (kept->state == SPLIT_UNJUDGED) {
        buf_addf(buf, "not judged: %s", kept->why);
        return;
    }
    if (kept->by_words ||
        (!harms_by_requests(kept, split) && !kept->alone.harm && guard_split_words_harm(kept))) {
        guard_split_add_words_harm(kept, split, buf);
        return;
    }
    if (kept->state == SPLIT_FULL || kept->alone.harm) {
        guard_split_alone_add(kept, split, buf);
        return;
    }
    if (answer.verdict == ANYTIME_HARM && answer.by_errors)
        buf_addf(buf, "harm: %s fails more often than %s", b->name, a->name);
    else if (answer.verdict == ANYTIME_HARM)
        buf_addf(buf, "harm: %s is slower than %s at p%g by more than %g %%", b->name, a->name,
                 100 * split->quantile, 100 * split->harm_ratio);
    else if (answer.verdict == ANYTIME_NO_HARM)
        buf_addf(buf, "no harm: %s is not slower than %s at p%g by %g %% or more", b->name, a->name,
                 100 * split->quantile, 100 * split->harm_ratio);
    else if (answer.errors_held_up)
        buf_addf(buf,
                 "undecided: %s is fast enough, but how often it fails is not known well "
                 "enough",
                 b->name);
    else if (a->weight == 0 || b->weight == 0)
        buf_addf(buf, "undecided: %s gets no requests, so nothing is compared",
                 a->weight == 0 ? a->name : b->name);
    else
        buf_add(buf, "undecided");
    add_evidence(&answer, buf);
    buf_addf(buf, "; p%g ", 100 * split->quantile);
    add_quantile(b, split->quantile, buf);
    buf_add(buf, ", ");
    add_quantile(a, split->quantile, buf);
    buf_add(buf, "; ");
    text_add_grouped(buf, (int64_t)b->requests);
    buf_add(buf, " and ");
    text_add_grouped(buf, (int64_t)a->requests);
    buf_add(buf, " requests)");
}

void guard_split_add_next(const struct guard_split_kept *kept, const struct spec_split *split,
                          const char *study, struct buf *buf)
{
    const struct guard_split_arm *b = &kept->arms[kept->second];
    int port = split->arms[kept->second].port;
    switch (kept->state) {
    case SPLIT_RUNNING:
        if (kept->sums.no_harm)
            buf_addf(buf, "spica split %s advance (%d %% to %s), or abort", study,
                     next_step(b->weight), b->name);
        else
            buf_addf(buf, "more requests; guard stops %s by itself if it does harm", b->name);
        return;
    case SPLIT_STOPPED:
    case SPLIT_ABORTED:
        buf_addf(buf, "nothing: all is as before the split; other weights in the file, or advance "
                      "--anyway, begin it anew");
        return;
    case SPLIT_FULL:
        buf_addf(buf,
                 "spica promote %s makes it last when %s is the study's winner, and spica split "
                 "%s abort after it gives everything to %s, which runs it by then; else the "
                 "first arm in the file becomes port %d; abort alone goes back",
                 study, b->name, study, kept->arms[0].name, port);
        return;
    case SPLIT_UNJUDGED:
        buf_addf(buf, "spica split %s advance --anyway (%d %% to %s) begins it anew, abort ends it",
                 study, next_step(b->weight), b->name);
        return;
    case SPLIT_STATE_COUNT_:
        return;
    }
}
