/* report.md, in the order in which a doubtful reader asks: what won and by how much, can I trust
 * it, what does sharing cost, how did it go, why did the others lose, what do you not know, what
 * now, and how can I check it.
 *
 * It is also the source of report.html, so it keeps to headings, paragraphs, lists, tables whose
 * cells are inline text, and figures on a line of their own. */
#include "report/finding.h"
#include "report/markdown.h"
#include "report/turn.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

static const enum text_target MD = TEXT_MARKDOWN;

static void add_number(struct buf *buf, const struct report_measure *m,
                       const struct report_number *number)
{
    report_add_value(buf, m, number);
    AUTO(buf_done) struct buf interval = BUF_INIT(128);
    report_add_interval(&interval, m, number);
    if (interval.len)
        buf_addf(buf, " %s", buf_text(&interval));
}

static void add_top(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "# ");
    report_add_text(buf, MD, view->study->name);
    buf_add(buf, "\n\n> **");
    /* Bold text may hold code spans, but must not end or begin with a blank. */
    report_add_headline(buf, MD, view);
    buf_add(buf, "**\n>\n> ");
    report_add_basis(buf, MD, view);
    buf_add(buf, "\n\n");
}

const char *report_side_title(const struct report_view *view, size_t i, struct buf *scratch)
{
    const struct report_side *side = &view->sides[i];
    if (side->is_winner)
        return side->is_baseline ? "winner = baseline" : "winner";
    if (side->is_baseline)
        return "baseline";
    size_t before = 0;
    for (size_t k = 0; k < i; k++)
        before += view->sides[k].is_winner || view->sides[k].is_baseline;
    buf_clear(scratch);
    buf_addf(scratch, "finalist %c", (char)('A' + (i - before) % 26));
    return buf_text(scratch);
}

static void add_side_list(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64);
    for (size_t i = 0; i < view->side_count; i++) {
        const struct report_side *side = &view->sides[i];
        buf_addf(buf, "- %s: ", report_side_title(view, i, &scratch));
        report_add_code(buf, MD, *side->candidate->text ? side->candidate->text : "(no knobs)");
        if (!isnan(side->fitness))
            buf_addf(buf, ", fitness %.3f (%.3f to %.3f over %zu runs)", side->fitness,
                     side->fitness_low, side->fitness_high, side->run_count);
        if (side->eliminated) {
            buf_add(buf, "; left the final: ");
            report_add_text(buf, MD, side->eliminated);
        }
        buf_addc(buf, '\n');
    }
    buf_addc(buf, '\n');
}

static bool is_measured(const struct report_view *view, size_t measure)
{
    for (size_t i = 0; i < view->side_count; i++)
        if (view->sides[i].shared[measure].kind != NUMBER_RUNS ||
            !isnan(view->sides[i].shared[measure].value))
            return true;
    return false;
}

/* Has a section of its own. */
static bool is_told_elsewhere(const struct report_measure *m)
{
    return !m->key && (m->metric == METRIC_MEMORY_IDLE || m->metric == METRIC_MEMORY_GROWTH ||
                       m->metric == METRIC_HOST_MEMORY);
}

/* With `all` false only the key measures, and with changes. */
static void add_side_table(struct buf *buf, const struct report_view *view, bool all)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64);
    buf_add(buf, "| |");
    for (size_t i = 0; i < view->side_count; i++) {
        buf_addf(buf, " %s |", report_side_title(view, i, &scratch));
        if (!all && view->sides[i].is_winner && view->baseline)
            buf_add(buf, " against the baseline |");
    }
    buf_add(buf, "\n|---|");
    for (size_t i = 0; i < view->side_count; i++)
        buf_add(buf, !all && view->sides[i].is_winner && view->baseline ? "--:|---|" : "--:|");
    buf_addc(buf, '\n');
    for (size_t k = 0; k < view->measure_count; k++) {
        const struct report_measure *m = &view->measures[k];
        if (m->key == all || is_told_elsewhere(m) || (all && !is_measured(view, k)))
            continue;
        buf_add(buf, "| ");
        report_add_measure_name(buf, MD, view, m);
        buf_add(buf, " |");
        for (size_t i = 0; i < view->side_count; i++) {
            buf_addc(buf, ' ');
            add_number(buf, m, &view->sides[i].shared[k]);
            buf_add(buf, " |");
            if (all || !view->sides[i].is_winner || !view->baseline)
                continue;
            buf_addc(buf, ' ');
            report_add_change(buf, m, &view->sides[i].against[k]);
            buf_add(buf, " |");
        }
        buf_addc(buf, '\n');
    }
    buf_addc(buf, '\n');
}

static bool any_run(const struct report_view *view)
{
    for (size_t i = 0; i < view->side_count; i++)
        if (view->sides[i].run_count > 0)
            return true;
    return false;
}

static void add_comparison(struct buf *buf, const struct report_view *view)
{
    if (view->side_count == 0)
        return;
    buf_add(buf, "## What won, in numbers\n\n");
    add_side_list(buf, view);
    if (!any_run(view))
        return;
    add_side_table(buf, view, false);
    buf_addf(
        buf,
        "Percentiles are of all requests of the runs together, with %.0f %% intervals that "
        "suppose no distribution. Memory, rates and start times are means over the runs with "
        "the least and the largest run, \"(115 to 117)\", which is no interval. \"- (n=12)\": 12 "
        "requests "
        "do not carry that percentile. "
        "Where requests that follow each other are alike, the interval is that of the requests "
        "that "
        "the sample is worth, or there is none. Word errors: intervals by clip. Changes are called "
        "certain only when their whole "
        "interval lies on one side.\n\n",
        100 * view->confidence);
}

static bool has_alone(const struct report_view *view, const struct report_side *side)
{
    for (size_t k = 0; side && k < view->measure_count; k++)
        if (side->sharing[k].given && !isnan(side->alone[k].value))
            return true;
    return false;
}

static void add_sharing_table(struct buf *buf, const struct report_view *view,
                              const struct report_side *side, const char *who)
{
    buf_addf(buf, "| %s | alone | beside the others | sharing costs |\n|---|--:|--:|---|\n", who);
    for (size_t k = 0; k < view->measure_count; k++) {
        const struct report_measure *m = &view->measures[k];
        if (!side->sharing[k].given || (isnan(side->alone[k].value) && !m->key))
            continue;
        buf_add(buf, "| ");
        report_add_measure_name(buf, MD, view, m);
        buf_add(buf, " | ");
        add_number(buf, m, &side->alone[k]);
        buf_add(buf, " | ");
        add_number(buf, m, &side->shared[k]);
        buf_add(buf, " | ");
        report_add_change(buf, m, &side->sharing[k]);
        buf_add(buf, " |\n");
    }
    buf_addc(buf, '\n');
}

static void add_sharing(struct buf *buf, const struct report_view *view)
{
    bool winner = has_alone(view, view->winner), baseline = has_alone(view, view->baseline);
    if (!winner && !baseline)
        return;
    buf_add(buf,
            "## What sharing costs each service\n\n"
            "The same service, the same settings, the others idle; measured in the same runs.\n\n");
    if (winner)
        add_sharing_table(buf, view, view->winner, "winner");
    if (baseline)
        add_sharing_table(buf, view, view->baseline, "baseline");
}

static void add_unknowns(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "## What could not be known\n\n");
    for (size_t i = 0; i < view->unknown_count; i++) {
        buf_add(buf, "- ");
        report_add_text(buf, MD, view->unknowns[i].what);
        buf_add(buf, ": ");
        report_add_text(buf, MD, view->unknowns[i].why);
        buf_add(buf, ".\n");
    }
    buf_addc(buf, '\n');
}

static void add_next(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "## What to do next\n\n");
    for (size_t i = 0;; i++) {
        AUTO(buf_done) struct buf step = BUF_INIT(16384);
        if (!report_add_next_step(&step, MD, view, i))
            break;
        buf_addf(buf, "- %s\n", buf_text(&step));
    }
    buf_addc(buf, '\n');
}

static void add_command(struct buf *buf, const struct report_view *view, const char *before,
                        const char *after, const char *what)
{
    AUTO(buf_done) struct buf command = BUF_INIT(8192);
    buf_addf(&command, "%s%s%s", before, report_study_argument(view), after);
    buf_add(buf, "- ");
    report_add_code(buf, MD, buf_text(&command));
    buf_addf(buf, ": %s\n", what);
}

static void add_check(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "## How to check it yourself\n\n");
    add_command(buf, view, "spica run ", " --fresh", "the whole experiment again, from nothing.");
    add_command(buf, view, "spica show ", " --trial 1",
                "one trial in full: commands, environment, evidence, numbers.");
    add_command(buf, view, "spica show ", " --trial 1 --log SERVICE", "what a service printed.");
    add_command(buf, view, "sha256sum ", "", "must begin as the digest above.");
    buf_add(
        buf,
        "- Every number can be recomputed from study.db beside this file; for the latencies "
        "of one service: `sqlite3 study.db \"SELECT (done_ns - intended_ns) / 1e9 FROM requests "
        "WHERE part = 1 AND error IS NULL AND mode = 'shared' AND service = 'SERVICE' AND trial "
        "IN (...)\"`\n");
}

static void add_turns(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64);
    bool begun = false;
    for (size_t i = 0; i < view->study->service_count; i++)
        for (size_t k = 0; report_ends_turn(view, i) && k < view->side_count; k++) {
            if (view->sides[k].run_count == 0)
                continue;
            buf_add(buf, begun ? ""
                               : "## The voice turn\n\nFrom the end of speech on, medians "
                                 "of each step and of the whole; the parts need not add "
                                 "up.\n\n");
            begun = true;
            buf_addf(buf, "- %s: ", report_side_title(view, k, &scratch));
            report_add_turn(buf, MD, view, &view->sides[k], i);
            buf_addc(buf, '\n');
        }
    buf_add(buf, begun ? "\n" : "");
}

void report_add_markdown(struct buf *buf, const struct report_view *view)
{
    add_top(buf, view);
    add_comparison(buf, view);
    add_turns(buf, view);
    report_add_trust(buf, view);
    if (spec_study_on_gpu(view->study)) {
        report_add_places(buf, view);
        report_add_memory(buf, view);
    }
    add_sharing(buf, view);
    report_add_capacities(buf, view);
    report_add_crowd(buf, view);
    report_add_compared(buf, view);
    report_add_utterances(buf, view);
    report_add_progression(buf, view);
    report_add_losers(buf, view);
    report_add_front(buf, view);
    if (any_run(view)) {
        buf_add(buf, "## Everything else that was measured\n\n");
        add_side_table(buf, view, true);
    }
    add_unknowns(buf, view);
    add_next(buf, view);
    add_check(buf, view);
}
