/* The parts of report.md with a row per trial or candidate: how the study went, why each other
 * setting lost, and the Pareto front.
 *
 * Settings that never varied are left out; up to six that did have a column each. Long studies show
 * what moved the story (baseline, each best so far, the final, the first of each failure, the last
 * trials) and say how many rows they leave out. */
#include "report/figures.h"
#include "report/markdown.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { KNOB_COLUMNS_MAX = 6, VALUE_COLUMNS_MAX = 4, GROUP_MAX = 20, LAST_ROWS = 20 };

static const enum text_target MD = TEXT_MARKDOWN;

struct columns {
    size_t knobs[KNOB_COLUMNS_MAX], knob_count;        /* 0: the candidate in one column */
    size_t values[VALUE_COLUMNS_MAX + 1], value_count; /* on a GPU memory is one more */
};

static bool varies(const struct report_view *view, size_t knob)
{
    for (size_t i = 1; i < view->candidate_count; i++)
        if (view->candidates[i].values.index[knob] != view->candidates[0].values.index[knob])
            return true;
    return false;
}

static struct columns choose_columns(const struct report_view *view)
{
    struct columns columns = {.knob_count = 0};
    size_t varying = 0;
    bool parsed = true;
    for (size_t i = 0; i < view->candidate_count; i++)
        parsed = parsed && view->candidates[i].parsed;
    for (size_t k = 0; parsed && k < view->study->knob_count; k++) {
        if (!varies(view, k))
            continue;
        if (varying < KNOB_COLUMNS_MAX)
            columns.knobs[varying] = k;
        varying++;
    }
    columns.knob_count = varying <= KNOB_COLUMNS_MAX ? varying : 0;
    for (size_t i = 0; i < view->measure_count && columns.value_count < VALUE_COLUMNS_MAX; i++)
        if (view->measures[i].objective ||
            (view->study->objective_count == 0 && view->measures[i].key))
            columns.values[columns.value_count++] = i;
    size_t memory =
        spec_study_on_gpu(view->study) ? report_memory_measure(view) : view->measure_count;
    if (memory < view->measure_count)
        columns.values[columns.value_count++] = memory;
    return columns;
}

static void add_head(struct buf *buf, const struct report_view *view, const struct columns *columns,
                     const char *last)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    buf_add(buf, "| # |");
    buf_add(&line, "|--:|");
    for (size_t i = 0; i < columns->knob_count; i++) {
        buf_addc(buf, ' ');
        report_add_text(buf, MD, view->study->knobs[columns->knobs[i]].full_name);
        buf_add(buf, " |");
        buf_add(&line, "---|");
    }
    if (columns->knob_count == 0) {
        buf_add(buf, " settings |");
        buf_add(&line, "---|");
    }
    buf_add(buf, " verdict |");
    buf_add(&line, "---|");
    for (size_t i = 0; i < columns->value_count; i++) {
        buf_addc(buf, ' ');
        report_add_measure_short(buf, &view->measures[columns->values[i]]);
        buf_add(buf, " |");
        buf_add(&line, "--:|");
    }
    buf_addf(buf, " fitness | %s |\n%s--:|---|\n", last, buf_text(&line));
}

static void add_settings(struct buf *buf, const struct report_view *view,
                         const struct columns *columns, const struct report_candidate *c)
{
    for (size_t i = 0; i < columns->knob_count; i++) {
        const struct spec_value *value =
            spec_candidate_value(view->study, &c->values, columns->knobs[i]);
        buf_addc(buf, ' ');
        report_add_text(buf, MD, value ? value->label : "-");
        buf_add(buf, " |");
    }
    if (columns->knob_count == 0) {
        buf_addc(buf, ' ');
        report_add_code(buf, MD, c->text);
        buf_add(buf, " |");
    }
}

static void add_note(struct buf *buf, const struct report_view *view, const struct report_trial *t)
{
    const struct store_trial *trial = t->trial;
    if (strcmp(trial->purpose, "baseline") == 0)
        buf_add(buf, "baseline");
    else if (strcmp(trial->purpose, "final") == 0)
        buf_addf(buf, "final, run %d%s", trial->repeat,
                 t->candidate->fate == FATE_BASELINE ? " of the baseline" : "");
    else if (t->best_so_far)
        buf_add(buf, "best so far");
    if (trial->retry_of)
        buf_addf(buf, "%sagain after %" PRId64, buf->len ? ", " : "", trial->retry_of);
    if (t->verdict != VERDICT_OK && trial->summary && *trial->summary) {
        AUTO(buf_done) struct buf reason = BUF_INIT(4096);
        report_add_reason(&reason, view->study, trial);
        buf_add(buf, buf->len ? ": " : "");
        /* Without a hint it is the summary, which is escaped for one target only. */
        const char *service = NULL;
        report_add_text(buf, MD, report_hint(trial, &service) ? buf_text(&reason) : trial->summary);
    }
}

static void add_row(struct buf *buf, const struct report_view *view, const struct columns *columns,
                    const struct report_trial *t)
{
    buf_addf(buf, "| %" PRId64 " |", t->trial->number);
    add_settings(buf, view, columns, t->candidate);
    buf_addf(buf, " %s |", verdict_facts(t->verdict)->name);
    for (size_t i = 0; i < columns->value_count; i++) {
        buf_addc(buf, ' ');
        report_add_told(buf, view->measures[columns->values[i]].unit, &t->told[columns->values[i]]);
        buf_add(buf, " |");
    }
    if (isnan(t->trial->fitness))
        buf_add(buf, " - |");
    else
        buf_addf(buf, " %.3f |", t->trial->fitness);
    AUTO(buf_done) struct buf note = BUF_INIT(4096);
    add_note(&note, view, t);
    buf_addf(buf, " %s |\n", buf_text(&note));
}

static bool is_told(const struct report_view *view, size_t i, bool seen[VERDICT_COUNT_])
{
    const struct report_trial *t = &view->trials[i];
    bool first = !seen[t->verdict];
    seen[t->verdict] = true;
    return view->trial_count <= REPORT_ROWS_MAX || first || t->best_so_far ||
           strcmp(t->trial->purpose, "explore") != 0 || i + LAST_ROWS >= view->trial_count;
}

void report_add_progression(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "## How it went\n\n");
    if (view->trial_count == 0) {
        buf_add(buf, "No trial has ended yet.\n\n");
        return;
    }
    buf_add(buf, "![Fitness of each trial](" REPORT_FIGURE_PROGRESSION ")\n\n");
    struct columns columns = choose_columns(view);
    add_head(buf, view, &columns, "what happened");
    bool seen[VERDICT_COUNT_] = {false};
    size_t left_out = 0, told = 0;
    for (size_t i = 0; i < view->trial_count; i++) {
        if (!is_told(view, i, seen) || told >= 2 * REPORT_ROWS_MAX) {
            left_out++;
            continue;
        }
        add_row(buf, view, &columns, &view->trials[i]);
        told++;
    }
    buf_addc(buf, '\n');
    if (left_out)
        buf_addf(buf, "%zu more trials are in report.json.\n\n", left_out);
}

/* The first that the summary has not said already. */
static const struct store_evidence *telling_evidence(const struct store_trial *trial)
{
    for (size_t i = 0; i < trial->evidence_count; i++) {
        const struct store_evidence *e = &trial->evidence[i];
        if (e->kind && e->text && !(trial->summary && strstr(trial->summary, e->text)))
            return e;
    }
    return NULL;
}

static void add_loser(struct buf *buf, const struct report_view *view,
                      const struct report_candidate *c)
{
    buf_add(buf, "- ");
    report_add_code(buf, MD, c->changes);
    buf_addf(buf, " (trial %" PRId64 "): ", c->trial->number);
    /* A baseline has not lost to anybody, but may have failed. */
    report_add_text(buf, MD, c->fate == FATE_BASELINE ? c->trial->summary : c->why);
    bool failed = c->fate == FATE_FAILED ||
                  (c->fate == FATE_BASELINE && !verdict_facts(c->verdict)->has_fitness);
    const struct store_evidence *e = failed ? telling_evidence(c->trial) : NULL;
    if (e) {
        buf_add(buf, " · ");
        if (strcmp(e->kind, "hint") != 0) {
            report_add_text(buf, MD, e->kind);
            buf_add(buf, ": ");
        }
        report_add_text(buf, MD, e->text);
    }
    const struct report_fallback *fallback = report_find_fallback(view, c->trial);
    if (fallback) {
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        report_add_fallback(&text, fallback);
        buf_add(buf, " · ");
        report_add_text(buf, MD, buf_text(&text));
    }
    buf_addc(buf, '\n');
}

/* Candidates of one fate (and verdict, unless it is -1), with a heading when there are any. */
static void add_group(struct buf *buf, const struct report_view *view, enum report_fate fate,
                      int verdict, const char *title)
{
    size_t count = 0;
    for (size_t i = 0; i < view->candidate_count; i++) {
        const struct report_candidate *c = view->ranked[i];
        count += c->fate == fate && (verdict < 0 || (int)c->verdict == verdict);
    }
    if (count == 0)
        return;
    buf_addf(buf, "**%s** (%zu)\n\n", title, count);
    size_t told = 0;
    for (size_t i = 0; i < view->candidate_count && told < GROUP_MAX; i++) {
        const struct report_candidate *c = view->ranked[i];
        if (c->fate != fate || (verdict >= 0 && (int)c->verdict != verdict))
            continue;
        add_loser(buf, view, c);
        told++;
    }
    if (count > told)
        buf_addf(buf, "- and %zu more, in report.json\n", count - told);
    buf_addc(buf, '\n');
}

/* Without emphasis in the middle of a bold title. */
static void add_plain_name(struct buf *title, enum verdict verdict)
{
    const struct verdict_facts *facts = verdict_facts(verdict);
    for (const char *at = facts->name; *at; at++)
        buf_addc(title, *at == '_' ? ' ' : *at);
    buf_addf(title, ": %s", facts->meaning);
}

void report_add_losers(struct buf *buf, const struct report_view *view)
{
    bool finished = view->outcome != REPORT_UNFINISHED;
    buf_add(buf, finished ? "## Why the others lost\n\n" : "## What became of each so far\n\n");
    if (view->study->baseline)
        buf_add(buf, "Settings are named by what differs from the baseline.\n\n");
    for (int v = 0; v < VERDICT_COUNT_; v++) {
        AUTO(buf_done) struct buf title = BUF_INIT(256);
        buf_add(&title, "What runs today ended as ");
        add_plain_name(&title, (enum verdict)v);
        if (v != VERDICT_OK)
            add_group(buf, view, FATE_BASELINE, v, buf_text(&title));
    }
    add_group(buf, view, FATE_FINALIST, -1, "Lost in the final");
    add_group(buf, view, FATE_OUTRUN, -1,
              finished ? "Met the requirements, but others were better" : "Met the requirements");
    add_group(buf, view, FATE_SLOW, -1, "A requirement failed");
    for (int v = 0; v < VERDICT_COUNT_; v++) {
        AUTO(buf_done) struct buf title = BUF_INIT(256);
        add_plain_name(&title, (enum verdict)v);
        add_group(buf, view, FATE_FAILED, v, buf_text(&title));
    }
    add_group(buf, view, FATE_UNJUDGED, -1, "Not judged: disturbed each time it was tried");
}

static void add_front_row(struct buf *buf, const struct report_view *view,
                          const struct columns *columns, const struct report_candidate *c)
{
    const struct report_trial *run = c->explored;
    buf_addf(buf, "| %" PRId64 " |", run->trial->number);
    add_settings(buf, view, columns, c);
    buf_addf(buf, " %s |", verdict_facts(run->verdict)->name);
    for (size_t i = 0; i < columns->value_count; i++) {
        buf_addc(buf, ' ');
        report_add_told(buf, view->measures[columns->values[i]].unit,
                        &run->told[columns->values[i]]);
        buf_add(buf, " |");
    }
    const char *who = c->fate == FATE_WINNER     ? "winner"
                      : c->fate == FATE_BASELINE ? "baseline"
                                                 : "";
    buf_addf(buf, " %.3f | %s%s%s |\n", run->trial->fitness, who, *who && !c->on_front ? ", " : "",
             c->on_front ? "" : "not on the front");
}

/* The front, and for comparison the winner and the baseline wherever they are. */
static bool is_in_front_table(const struct report_candidate *c)
{
    return c->explored && (c->on_front || c->fate == FATE_WINNER || c->fate == FATE_BASELINE);
}

void report_add_front(struct buf *buf, const struct report_view *view)
{
    size_t count = 0;
    for (size_t i = 0; i < view->candidate_count; i++)
        count += is_in_front_table(view->ranked[i]);
    if (count == 0 || view->study->objective_count < 2)
        return;
    buf_add(buf,
            "## The trade-offs\n\nNo other candidate is at least as good in every objective as "
            "one of these (the Pareto front). The weights of the study file choose among them. "
            "Measured by one exploring run each; who is on the front was decided by percentiles "
            "of few requests too, which are told nowhere: "
            "candidates that are near each other may trade places.\n\n");
    if (report_has_tradeoff_figure(view))
        buf_add(buf, "![Trade-off](" REPORT_FIGURE_TRADEOFF ")\n\n");
    struct columns columns = choose_columns(view);
    add_head(buf, view, &columns, "");
    size_t told = 0;
    for (size_t i = 0; i < view->candidate_count && told < REPORT_ROWS_MAX; i++)
        if (is_in_front_table(view->ranked[i])) {
            add_front_row(buf, view, &columns, view->ranked[i]);
            told++;
        }
    buf_addc(buf, '\n');
    if (count > told)
        buf_addf(buf, "and %zu more, in report.json\n\n", count - told);
}
