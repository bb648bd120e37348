/* The answer in sentences, before any table: what won and by how much, on what basis, what now.
 *
 * Only certain differences are claimed; an uncertain one is either left out or called uncertain.
 * "No better than the baseline", "nothing is feasible" and "not finished" are answers with a
 * headline of their own. */
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CLAIMS_MAX = 4 };

static void add_claim(struct buf *buf, enum text_target target, const struct report_view *view,
                      size_t i)
{
    const struct report_measure *m = &view->measures[i];
    report_add_measure_name(buf, target, view, m);
    buf_addc(buf, ' ');
    report_add_value(buf, m, &view->winner->shared[i]);
    buf_add(buf, " instead of ");
    report_add_value(buf, m, &view->baseline->shared[i]);
    if (isnan(view->winner->against[i].value))
        return; /* apart by their bounds: there is no factor to name */
    buf_add(buf, " (");
    report_add_change_short(buf, m, &view->winner->against[i]);
    buf_addc(buf, ')');
}

/* Without a change to show: do the two intervals lie apart? 1 better, -1 worse, 0 not so. Both are
 * 95 % intervals without assumptions, so that they are apart by chance in one case of 800. */
static int apart(const struct report_measure *m, const struct report_number *a,
                 const struct report_number *b)
{
    int higher = a->low > b->high ? 1 : a->high < b->low ? -1 : 0; /* unknown compares false */
    return m->higher_is_better ? higher : -higher;
}

static int claim_sign(const struct report_view *view, size_t i)
{
    const struct report_change *change = &view->winner->against[i];
    if (!isnan(change->value))
        return change->certain;
    return view->measures[i].unit != UNIT_SECONDS
               ? 0
               : apart(&view->measures[i], &view->winner->shared[i], &view->baseline->shared[i]);
}

/* Gains first, then what they cost; only what is certain. */
static size_t add_claims(struct buf *buf, enum text_target target, const struct report_view *view,
                         int sign)
{
    size_t said = 0;
    for (size_t i = 0; i < view->measure_count && said < CLAIMS_MAX; i++) {
        const struct report_measure *m = &view->measures[i];
        if (!m->headline || claim_sign(view, i) != sign)
            continue;
        if (said == 0)
            buf_add(buf, sign > 0 ? ": " : "; at the price of ");
        else
            buf_add(buf, ", ");
        add_claim(buf, target, view, i);
        said++;
    }
    return said;
}

static void add_winner(struct buf *buf, enum text_target target, const struct report_view *view)
{
    report_add_code(buf, target, view->winner->candidate->changes);
    if (!view->baseline) {
        buf_addf(buf,
                 " is the best of %zu finalist%s: fitness %.3f (there is no baseline to "
                 "compare it with).",
                 view->side_count, view->side_count == 1 ? "" : "s", view->winner->fitness);
        return;
    }
    if (view->baseline->eliminated) {
        buf_add(buf, " meets every requirement; what runs today does not (");
        report_add_text(buf, target, view->baseline->eliminated);
        buf_addc(buf, ')');
    } else {
        buf_add(buf, " beats what runs today");
    }
    if (view->baseline->run_count == 0) {
        buf_addc(buf, '.');
        return;
    }
    size_t gains = add_claims(buf, target, view, 1);
    size_t costs = add_claims(buf, target, view, -1);
    if (gains + costs == 0 && !view->baseline->eliminated)
        buf_addf(buf, ": fitness %.3f instead of %.3f, although no single number differs certainly",
                 view->winner->fitness, view->baseline->fitness);
    buf_addc(buf, '.');
}

static void add_baseline_best(struct buf *buf, const struct report_view *view)
{
    if (!view->baseline || view->side_count < 2) {
        buf_add(buf, "What runs today stays: no other candidate met every requirement.");
        return;
    }
    const struct report_side *next = view->sides[0].is_baseline ? &view->sides[1] : &view->sides[0];
    buf_add(buf, "What runs today stays: none of the finalists is certainly better. ");
    buf_addf(buf, "Fitness %.3f; the best other finalist has ", view->baseline->fitness);
    if (isnan(next->fitness))
        buf_add(buf, "none.");
    else
        buf_addf(buf, "%.3f.", next->fitness);
}

/* Of those that ran to their end, the one that does best in the first objective. */
static const struct report_candidate *nearest_slow(const struct report_view *view)
{
    const struct report_candidate *nearest = NULL;
    double sign = view->measure_count && view->measures[0].higher_is_better ? -1 : 1, best = NAN;
    for (size_t i = 0; i < view->candidate_count; i++) {
        const struct report_candidate *c = view->ranked[i];
        if (c->verdict != VERDICT_SLOW || !c->explored ||
            store_trial_left_early(c->explored->trial) || store_trial_left_early(c->trial))
            continue;
        double value = sign * c->explored->raw[0];
        if (nearest && !(value < best) && !(isnan(best) && !isnan(value)))
            continue;
        nearest = c;
        best = value;
    }
    return nearest;
}

/* Finalists beside the baseline: each met every requirement while exploring. */
static size_t rivals(const struct report_view *view)
{
    return view->side_count - (view->baseline != NULL);
}

static void add_infeasible(struct buf *buf, enum text_target target, const struct report_view *view)
{
    if (rivals(view) > 0) {
        buf_addf(
            buf,
            "No candidate came through the final: %zu of %zu tried met every requirement while "
            "exploring and did not in the final.",
            rivals(view), view->candidate_count);
        return;
    }
    buf_addf(buf, "Nothing is feasible: none of %zu candidates tried met every requirement.",
             view->candidate_count);
    const struct report_candidate *nearest = nearest_slow(view);
    if (!nearest && view->verdict_counts[VERDICT_SLOW])
        buf_add(buf, " No slow one was measured to its end: each certainly missed a requirement "
                     "before.");
    if (!nearest)
        return;
    buf_add(buf, " Nearest: ");
    report_add_code(buf, target, nearest->text);
    buf_add(buf, ", but ");
    report_add_text(buf, target, nearest->trial->summary);
    buf_addc(buf, '.');
}

static void add_unfinished(struct buf *buf, enum text_target target, const struct report_view *view)
{
    buf_addf(buf, "Not finished: %zu trial%s so far, nothing is decided.", view->trial_count,
             view->trial_count == 1 ? "" : "s");
    if (!view->best)
        return;
    buf_add(buf, " Best so far, measured once: ");
    report_add_code(buf, target, view->best->text);
    buf_addf(buf, " (fitness %.3f).", view->best->fitness);
}

void report_add_headline(struct buf *buf, enum text_target target, const struct report_view *view)
{
    switch (view->outcome) {
    case REPORT_WINNER:
        add_winner(buf, target, view);
        return;
    case REPORT_BASELINE_BEST:
        add_baseline_best(buf, view);
        return;
    case REPORT_INFEASIBLE:
        add_infeasible(buf, target, view);
        return;
    case REPORT_UNFINISHED:
    case REPORT_OUTCOME_COUNT_:
        add_unfinished(buf, target, view);
        return;
    }
}

static void add_placement(struct buf *buf, enum text_target target, const struct report_view *view)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    if (!side || side->run_count == 0)
        return;
    const struct store_trial *run = side->runs[0];
    buf_add(buf, " Where it ran: ");
    for (size_t i = 0; i < run->service_count; i++) {
        buf_add(buf, i ? ", " : "");
        report_add_text(buf, target, run->services[i].name);
        buf_addf(buf, " %s",
                 run->services[i].placement ? run->services[i].placement : "not probed");
    }
    buf_add(buf, " (proof below).");
}

void report_add_basis(struct buf *buf, enum text_target target, const struct report_view *view)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    if (side && side->run_count > 0) {
        buf_addf(buf, "Measured on the real services, %zu cold start%s each", side->run_count,
                 side->run_count == 1 ? "" : "s");
        buf_add(buf, view->winner && view->baseline ? ", interleaved with what runs today." : ".");
        add_placement(buf, target, view);
        buf_addc(buf, ' ');
    } else {
        buf_add(buf, "Measured on the real services. ");
    }
    if (view->failed_count)
        buf_addf(buf, "%zu of %zu trials ended without a result; each is explained.",
                 view->failed_count, view->trial_count);
    else
        buf_addf(buf, "All %zu trials were measured to their end.", view->trial_count);
}

/* A knob whose winning value is the first or last of its range: the best may lie beyond. */
static const struct spec_knob *edge_knob(const struct report_view *view)
{
    const struct report_candidate *c = view->winner ? view->winner->candidate : NULL;
    for (size_t i = 0; c && c->parsed && i < view->study->knob_count; i++) {
        const struct spec_knob *knob = &view->study->knobs[i];
        int index = c->values.index[i];
        if (knob->ordered && knob->value_count > 2 && index >= 0 &&
            (index == 0 || (size_t)index == knob->value_count - 1))
            return knob;
    }
    return NULL;
}

static bool lacks_samples(const struct report_view *view)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    for (size_t i = 0; side && side->run_count > 0 && i < view->measure_count; i++)
        if (view->measures[i].key && side->shared[i].kind == NUMBER_QUANTILE &&
            isnan(side->shared[i].low + side->shared[i].high))
            return true;
    return false;
}

static bool has_other_front(const struct report_view *view)
{
    for (size_t i = 0; i < view->candidate_count; i++)
        if (view->candidates[i].on_front && view->candidates[i].fate != FATE_WINNER &&
            view->candidates[i].fate != FATE_BASELINE)
            return true;
    return false;
}

static void step_use(struct buf *buf, enum text_target target, const struct report_view *view)
{
    buf_add(buf, "Use it: start the services with the winner's settings, as ");
    AUTO(buf_done) struct buf command = BUF_INIT(8192);
    buf_addf(&command, "spica show %s --trial %" PRId64, report_study_argument(view),
             view->winner->runs[0]->number);
    report_add_code(buf, target, buf_text(&command));
    buf_add(buf, " prints them.");
}

static void step_resume(struct buf *buf, enum text_target target, const struct report_view *view)
{
    buf_add(buf, "Let it come to its end: ");
    AUTO(buf_done) struct buf command = BUF_INIT(8192);
    buf_addf(&command, "spica run %s", report_study_argument(view));
    report_add_code(buf, target, buf_text(&command));
    buf_add(buf, " resumes where it stopped.");
}

static void step_relax(struct buf *buf, enum text_target target, const struct report_view *view)
{
    (void)target;
    (void)view;
    buf_add(buf, "Read below which requirement or failure stopped each candidate; relax the "
                 "requirement, widen the knobs or give the services less to do.");
}

static void step_samples(struct buf *buf, enum text_target target, const struct report_view *view)
{
    (void)target;
    (void)view;
    buf_add(buf, "Some percentiles have too few requests for an interval: a longer ");
    report_add_code(buf, target, "measure.window");
    buf_add(buf, " or more ");
    report_add_code(buf, target, "measure.repeats");
    buf_add(buf, " gives them one.");
}

static void step_edge(struct buf *buf, enum text_target target, const struct report_view *view)
{
    const struct spec_knob *knob = edge_knob(view);
    report_add_code(buf, target, knob->full_name);
    buf_add(buf, " won at the end of its range: widen the range and run again, the best may lie "
                 "beyond it.");
}

static void step_front(struct buf *buf, enum text_target target, const struct report_view *view)
{
    (void)target;
    (void)view;
    buf_add(buf, "If you weigh the objectives otherwise, look at the trade-offs: candidates on the "
                 "front are the only ones worth choosing between.");
}

static void step_stay(struct buf *buf, enum text_target target, const struct report_view *view)
{
    (void)target;
    (void)view;
    buf_add(buf,
            "Change nothing. To look for a smaller improvement, raise the repeats or widen the "
            "knobs.");
}

bool report_add_next_step(struct buf *buf, enum text_target target, const struct report_view *view,
                          size_t index)
{
    const struct {
        bool applies;
        void (*add)(struct buf *buf, enum text_target target, const struct report_view *view);
    } steps[] = {
        {view->outcome == REPORT_WINNER && view->winner->run_count > 0, step_use},
        {view->outcome == REPORT_UNFINISHED, step_resume},
        {view->outcome == REPORT_INFEASIBLE, step_relax},
        {view->outcome == REPORT_BASELINE_BEST, step_stay},
        {edge_knob(view) != NULL, step_edge},
        {lacks_samples(view), step_samples},
        {has_other_front(view), step_front},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i].applies && index-- == 0) {
            steps[i].add(buf, target, view);
            return true;
        }
    return false;
}
