/* The last lines of a run: the answer, its numbers against the baseline, how certain, what next. */
#include "report/grid.h"
#include "report/report.h"
#include "report/turn.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { INDENT = 2 }; /* as between two columns */

static const char *keep(struct arena *arena, struct buf *buf)
{
    const char *text = arena_strdup(arena, buf_text(buf));
    buf_clear(buf);
    return text;
}

static void add_number(struct report_grid *grid, const struct report_view *view,
                       const struct report_side *side, size_t k)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    const struct report_measure *m = &view->measures[k];
    struct grid_row *row = report_grid_add(grid);
    report_add_measure_short(&text, m);
    row->cells[0] = keep(grid->arena, &text);
    report_add_value(&text, m, &side->shared[k]);
    row->cells[1] = keep(grid->arena, &text);
    report_add_interval(&text, m, &side->shared[k]);
    row->cells[2] = keep(grid->arena, &text);
    if (side->is_baseline || !view->baseline || view->baseline->run_count == 0)
        return;
    const struct report_number *was = &view->baseline->shared[k];
    if (isnan(was->value) && isnan(was->low) == isnan(was->high))
        return; /* not even a bound */
    buf_add(&text, "was ");
    report_add_value(&text, m, was);
    if (side->against[k].given && !isnan(side->against[k].value)) {
        buf_add(&text, ": ");
        if (side->against[k].certain)
            report_add_change(&text, m, &side->against[k]);
        else
            buf_add(&text, "no certain difference");
    }
    row->cells[3] = keep(grid->arena, &text);
}

/* A change that does not fit goes below its number: cut, it would lose its interval. */
static void break_long(struct report_grid *grid, size_t width)
{
    size_t columns = grid->column_count;
    grid->column_count = columns - 1;
    size_t taken = INDENT + report_grid_width(grid) + INDENT;
    grid->column_count = columns;
    for (size_t i = 0; i < grid->row_count; i++) {
        struct grid_row *row = &grid->rows[i];
        const char *change = row->cells[columns - 1];
        if (!change || taken + text_columns(change) <= width)
            continue;
        row->below[0] = change;
        row->cells[columns - 1] = NULL;
    }
}

static void print_numbers(const struct report_view *view, const struct report_side *side, FILE *out,
                          struct report_terminal terminal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena, .column_count = 4, .right = {[1] = true}};
    for (size_t k = 0; k < view->measure_count; k++)
        if (view->measures[k].headline)
            add_number(&grid, view, side, k);
    break_long(&grid, report_terminal_width(terminal));
    report_grid_print(&grid, out, terminal, INDENT);
}

static void print_side(const struct report_view *view, const struct report_side *side,
                       const char *title, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    buf_add(&text, title);
    report_add_text(&text, TEXT_TERMINAL, side->candidate->text);
    if (side->run_count) {
        size_t ok = 0;
        for (size_t i = 0; i < side->run_count; i++)
            ok += strcmp(side->runs[i]->verdict, verdict_facts(VERDICT_OK)->name) == 0;
        buf_addf(&text, "  (measured %zu times, ", side->run_count);
        if (ok == side->run_count)
            buf_add(&text, "all ok)");
        else
            buf_addf(&text, "%zu ok)", ok);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    if (side->run_count)
        print_numbers(view, side, out, terminal);
    else
        report_print_wrapped(
            out, terminal,
            "No final was run, for there was nothing to compare it with: `spica show` "
            "has what its exploring trials measured.",
            2, 2);
}

static void print_entry(FILE *out, struct report_terminal terminal, const char *name,
                        const char *text)
{
    enum { ENTRY_INDENT = 11 };
    fprintf(out, "%-*s", ENTRY_INDENT, name);
    report_print_wrapped(out, terminal, text, ENTRY_INDENT, ENTRY_INDENT);
}

static void print_headline(const struct report_view *view, FILE *out,
                           struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    report_add_headline(&text, TEXT_TERMINAL, view);
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
}

/* Verdicts of all trials, so that "nothing is feasible" says why at once. */
static void print_verdicts(const struct report_view *view, FILE *out,
                           struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    report_add_verdict_counts(&text, view);
    print_entry(out, terminal, "Trials", buf_text(&text));
}

/* "gpu0 15.2 GiB free at its least; stt, llm proven there": of the card in the final's runs. */
static void print_device(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    if (!side || side->run_count == 0 || !spec_study_on_gpu(view->study))
        return;
    for (size_t i = 0; i < side->runs[0]->service_count; i++) {
        const struct store_service *s = &side->runs[0]->services[i];
        buf_add(&text, text.len ? ", " : "");
        report_add_text(&text, TEXT_TERMINAL, s->name);
        AUTO(buf_done) struct buf devices = BUF_INIT(1024);
        bool proven = report_add_devices(&devices, side, s->name);
        buf_addf(&text, " %s on %s", proven ? "proven" : "put", buf_text(&devices));
    }
    for (size_t i = 0; i < side->card_count; i++) {
        const struct report_card *card = &side->cards[i];
        buf_addf(&text, "; %s: at least ", card->device);
        report_add_gauge(&text, GAUGE_FREE_LEAST, card->gauges[GAUGE_FREE_LEAST].low);
        buf_add(&text, " stayed free");
        if (card->throttled) {
            buf_add(&text, ", slowed down by ");
            report_add_text(&text, TEXT_TERMINAL, card->throttle);
            buf_addf(&text, " in %zu of %zu runs", card->throttled, card->throttle_known);
        }
        if (card->notes) {
            buf_add(&text, "; ");
            report_add_text(&text, TEXT_TERMINAL, card->notes);
        }
    }
    print_entry(out, terminal, "GPU", buf_text(&text));
}

static void print_turns(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    for (size_t i = 0; side && i < view->study->service_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        if (report_ends_turn(view, i))
            report_add_turn(&text, TEXT_TERMINAL, view, side, i);
        if (text.len)
            print_entry(out, terminal, "Voice turn", buf_text(&text));
    }
}

/* "llm 20 clients, 21 are too many; stt at least 50 /s": of the winner, else of the baseline. */
static void print_capacities(const struct report_view *view, FILE *out,
                             struct report_terminal terminal)
{
    for (size_t i = 0; i < view->capacity_count; i++) {
        const struct report_capacity *c = &view->capacities[i];
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        if (c->candidate != view->capacities[0].candidate)
            break;
        report_add_text(&text, TEXT_TERMINAL, c->found->service);
        buf_add(&text, c->found->beside ? ": " : " alone: ");
        report_add_capacity(&text, c->found);
        if (c->found->broke) {
            buf_add(&text, " (");
            report_add_text(&text, TEXT_TERMINAL, c->found->broke);
            buf_addc(&text, ')');
        }
        print_entry(out, terminal, i == 0 ? "Capacity" : "", buf_text(&text));
    }
}

void report_print_end(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    if (view->outcome == REPORT_WINNER) {
        print_side(view, view->winner, "Winner: ", out, terminal);
    } else {
        print_headline(view, out, terminal);
        if (view->outcome == REPORT_BASELINE_BEST && view->baseline)
            print_side(view, view->baseline, "Baseline: ", out, terminal);
        else if (view->trial_count)
            print_verdicts(view, out, terminal);
    }
    print_device(view, out, terminal);
    print_turns(view, out, terminal);
    print_capacities(view, out, terminal);
    if (view->statement && view->outcome != REPORT_INFEASIBLE) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        report_add_text(&text, TEXT_TERMINAL, view->statement);
        print_entry(out, terminal, "Certain?", buf_text(&text));
    }
    AUTO(buf_done) struct buf next = BUF_INIT(32768);
    const char *verb = view->outcome == REPORT_UNFINISHED ? "spica run " : "spica show ";
    buf_add(&next, verb);
    report_add_text(&next, TEXT_TERMINAL, report_study_argument(view));
    buf_add(&next, view->outcome == REPORT_UNFINISHED ? " resumes" : " · report.html, report.md");
    if (view->outcome == REPORT_WINNER) {
        buf_add(&next, " · spica promote ");
        report_add_text(&next, TEXT_TERMINAL, report_study_argument(view));
    }
    print_entry(out, terminal, "Next", buf_text(&next));
}
