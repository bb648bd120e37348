/* `spica show`: every candidate on a line, best first, failed ones after them with their evidence on
 * the line below. As many objectives as leave room for the settings. */
#include "report/grid.h"
#include "report/report.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SETTINGS_MIN = 26, VALUES_MAX = 5, VALUE_WIDTH = 13 };

static const char *keep(struct arena *arena, struct buf *buf)
{
    const char *text = arena_strdup(arena, buf_text(buf));
    buf_clear(buf);
    return text;
}

static size_t choose_values(const struct report_view *view, struct report_terminal terminal,
                            size_t ret_values[VALUES_MAX])
{
    size_t room = report_terminal_width(terminal), fixed = 5 + 15 + 9 + SETTINGS_MIN, count = 0;
    bool goal = view->study->objective_count > 0;
    for (size_t i = 0; i < view->measure_count && count < VALUES_MAX; i++) {
        bool wanted = goal ? view->measures[i].objective != NULL : view->measures[i].key;
        if (wanted && fixed + (count + 1) * VALUE_WIDTH <= room)
            ret_values[count++] = i;
    }
    return count;
}

static const struct report_side *side_of(const struct report_view *view,
                                         const struct report_candidate *c)
{
    for (size_t i = 0; i < view->side_count; i++)
        if (view->sides[i].candidate == c)
            return &view->sides[i];
    return NULL;
}

static const struct report_trial *last_word(const struct report_view *view,
                                            const struct report_candidate *c)
{
    for (size_t i = view->trial_count; i-- > 0;)
        if (view->trials[i].trial == c->trial)
            return &view->trials[i];
    return NULL;
}

static void add_candidate(struct report_grid *grid, const struct report_view *view,
                          const struct report_candidate *c, const size_t *values, size_t count,
                          bool best)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    const struct report_side *side = side_of(view, c);
    const struct report_trial *trial = last_word(view, c);
    struct grid_row *row = report_grid_add(grid);
    bool measured = verdict_facts(c->verdict)->has_fitness;
    size_t at = 0;
    row->cells[at++] = arena_printf(grid->arena, "%" PRId64, c->trial->number);
    row->cells[at++] = verdict_facts(c->verdict)->name;
    row->cells[at++] = isnan(c->fitness) ? "-" : arena_printf(grid->arena, "%.3f", c->fitness);
    for (size_t i = 0; i < count; i++) {
        const struct report_measure *m = &view->measures[values[i]];
        if (side && side->run_count)
            report_add_value(&text, m, &side->shared[values[i]]);
        else if (measured && trial)
            report_add_plain(&text, m->unit, trial->values[values[i]]);
        row->cells[at++] = keep(grid->arena, &text);
    }
    if (c->fate == FATE_WINNER)
        buf_add(&text, "winner: ");
    else if (c->fate == FATE_BASELINE)
        buf_add(&text, "baseline: ");
    else if (side)
        buf_add(&text, "finalist: ");
    else if (best && view->outcome == REPORT_UNFINISHED)
        buf_add(&text, "best so far: ");
    report_add_text(&text, TEXT_TERMINAL, c->fate == FATE_BASELINE ? c->text : c->changes);
    row->cells[at++] = keep(grid->arena, &text);
    row->paint = c->fate == FATE_WINNER ? PAINT_GOOD : measured ? PAINT_NONE : PAINT_BAD;
    if (c->verdict == VERDICT_OK || !c->trial->summary || !*c->trial->summary)
        return;
    report_add_text(&text, TEXT_TERMINAL, c->trial->summary);
    row->below = keep(grid->arena, &text);
}

static void add_head(struct report_grid *grid, const struct report_view *view, const size_t *values,
                     size_t count)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct grid_row *row = report_grid_add(grid);
    size_t at = 0;
    grid->right[0] = grid->right[2] = true;
    row->cells[at++] = "#";
    row->cells[at++] = "verdict";
    row->cells[at++] = "fitness";
    for (size_t i = 0; i < count; i++) {
        const struct report_measure *m = &view->measures[values[i]];
        grid->right[at] = true;
        report_add_text(&text, TEXT_TERMINAL, m->name);
        row->cells[at++] = keep(grid->arena, &text);
    }
    row->cells[at++] = view->study->baseline ? "settings that differ from the baseline" : "settings";
    grid->column_count = at;
    row->paint = PAINT_BOLD;
}

static void print_title(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    report_add_text(&text, TEXT_TERMINAL, view->study->name);
    buf_add(&text, " · ");
    report_add_text(&text, TEXT_TERMINAL,
                    view->stored.device_name ? view->stored.device_name : "unknown device");
    buf_addf(&text, " · %zu candidate%s tried", view->candidate_count,
             view->candidate_count == 1 ? "" : "s");
    if (view->feasible >= 0)
        buf_addf(&text, " of %" PRId64, view->feasible);
    buf_addf(&text, " · %zu trial%s", view->trial_count, view->trial_count == 1 ? "" : "s");
    if (view->trial_count) {
        buf_add(&text, ": ");
        report_add_verdict_counts(&text, view);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 0);
}

void report_print_leaderboard(const struct report_view *view, FILE *out,
                              struct report_terminal terminal)
{
    print_title(view, out, terminal);
    AUTO(buf_done) struct buf headline = BUF_INIT(65536);
    report_add_headline(&headline, TEXT_TERMINAL, view);
    report_print_wrapped(out, terminal, buf_text(&headline), 0, 0);
    if (view->candidate_count == 0)
        return;
    fputc('\n', out);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena};
    size_t values[VALUES_MAX], count = choose_values(view, terminal, values);
    add_head(&grid, view, values, count);
    for (size_t i = 0; i < view->candidate_count; i++)
        add_candidate(&grid, view, view->ranked[i], values, count, view->ranked[i] == view->best);
    report_grid_print(&grid, out, terminal, 0);
    fputc('\n', out);
    AUTO(buf_done) struct buf next = BUF_INIT(8192);
    buf_addf(&next, "one in full: spica show %s --trial N", report_study_argument(view));
    AUTO(buf_done) struct buf shown = BUF_INIT(32768);
    report_add_text(&shown, TEXT_TERMINAL, buf_text(&next));
    report_print_painted(out, terminal, PAINT_DIM, buf_text(&shown));
    fputc('\n', out);
}
