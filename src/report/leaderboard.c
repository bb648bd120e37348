/* `spica show`: every candidate, best first, failed ones after them with their evidence below.
 * Where the settings fit beside the numbers they stand there, else on a line of their own: a narrow
 * terminal cuts neither. */
#include "report/grid.h"
#include "report/report.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { TAG_WIDTH = 13, GPU_TAG_WIDTH = 10, VALUES_MAX = 5, BOUNDS_MAX = 6 };

struct board {
    const struct report_view *view;
    struct report_grid grid;
    size_t values[VALUES_MAX], value_count;
    bool wide;   /* settings beside the numbers */
    bool narrow; /* short titles */
};

static const char *keep(struct arena *arena, struct buf *buf)
{
    const char *text = arena_strdup(arena, buf_text(buf));
    buf_clear(buf);
    return text;
}

/* Baseline: all of it; others: what differs from it. */
static const char *settings_of(const struct report_candidate *c)
{
    return c->fate == FATE_BASELINE ? c->text : c->changes;
}

static size_t longest_settings(const struct report_view *view)
{
    size_t longest = 0;
    for (size_t i = 0; i < view->candidate_count; i++) {
        size_t len = strlen(settings_of(&view->candidates[i]));
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* A service's latency and first token by short names where the long ones do not fit. */
static void add_title(struct buf *buf, const struct board *board, size_t measure)
{
    const struct report_measure *m = &board->view->measures[measure];
    if (board->narrow && m->metric == METRIC_LATENCY && m->service != REPORT_ALL_SERVICES) {
        report_add_text(buf, TEXT_TERMINAL, board->view->study->services[m->service].name);
        buf_addf(buf, " %s", metric_stat_name(m->stat));
    } else if (board->narrow && m->metric == METRIC_TTFT) {
        buf_addf(buf, "ttft %s", metric_stat_name(m->stat));
    } else {
        report_add_measure_short(buf, m);
    }
}

/* Memory of the whole has a column where the services share a card: it is what they share. */
static bool is_wanted(const struct report_view *view, const struct report_measure *m)
{
    if (m->service == REPORT_ALL_SERVICES ||
        (view->study->service_count == 1 && m->metric == METRIC_MEMORY))
        return spec_study_on_gpu(view->study);
    return m->headline;
}

/* Columns left and right of the values. */
static size_t fixed_width(const struct report_view *view)
{
    size_t verdict = 7;
    for (int v = 0; v < VERDICT_COUNT_; v++)
        if (view->verdict_counts[v] && strlen(verdict_facts((enum verdict)v)->name) > verdict)
            verdict = strlen(verdict_facts((enum verdict)v)->name);
    return 5 + verdict + 2 + 9 + (spec_study_on_gpu(view->study) ? GPU_TAG_WIDTH : TAG_WIDTH);
}

/* False: something that is wanted did not fit. */
static bool choose_values(struct board *board, struct report_terminal terminal)
{
    const struct report_view *view = board->view;
    size_t used = fixed_width(view), room = report_terminal_width(terminal);
    bool all = true;
    board->value_count = 0;
    for (size_t i = 0; i < view->measure_count && board->value_count < VALUES_MAX; i++) {
        AUTO(buf_done) struct buf name = BUF_INIT(1024);
        add_title(&name, board, i);
        size_t width = 2 + (name.len > 8 ? text_columns(buf_text(&name)) : 8);
        if (!is_wanted(view, &view->measures[i]))
            continue;
        if (used + width > room) {
            all = false;
            continue;
        }
        used += width;
        board->values[board->value_count++] = i;
    }
    board->wide = used + longest_settings(view) <= room;
    return all;
}

static void choose_columns(struct board *board, struct report_terminal terminal)
{
    if (choose_values(board, terminal) || !spec_study_on_gpu(board->view->study))
        return;
    board->narrow = true;
    choose_values(board, terminal);
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

static const char *tag_of(const struct board *board, const struct report_candidate *c)
{
    static const char *const tags[FATE_COUNT_] = {
        [FATE_WINNER] = "winner", [FATE_BASELINE] = "baseline", [FATE_FINALIST] = "finalist"};
    if (tags[c->fate])
        return tags[c->fate];
    return board->view->outcome == REPORT_UNFINISHED && c == board->view->best ? "best so far" : "";
}

static void add_candidate(struct board *board, const struct report_candidate *c)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    const struct report_view *view = board->view;
    struct arena *arena = board->grid.arena;
    const struct report_side *side = side_of(view, c);
    const struct report_trial *trial = last_word(view, c);
    struct grid_row *row = report_grid_add(&board->grid);
    bool measured = verdict_facts(c->verdict)->has_fitness;
    size_t at = 0;
    row->cells[at++] = arena_printf(arena, "%" PRId64, c->trial->number);
    row->cells[at++] = verdict_facts(c->verdict)->name;
    row->cells[at++] = isnan(c->fitness) ? "-" : arena_printf(arena, "%.3f", c->fitness);
    for (size_t i = 0; i < board->value_count; i++) {
        const struct report_measure *m = &view->measures[board->values[i]];
        if (side && side->run_count)
            report_add_value(&text, m, &side->shared[board->values[i]]);
        else if (measured && trial)
            report_add_told(&text, m->unit, &trial->told[board->values[i]]);
        row->cells[at++] = keep(arena, &text);
    }
    row->cells[at++] = tag_of(board, c);
    report_add_text(&text, TEXT_TERMINAL, settings_of(c));
    *(board->wide ? &row->cells[at] : &row->below[0]) = keep(arena, &text);
    row->paint = c->fate == FATE_WINNER ? PAINT_GOOD : measured ? PAINT_NONE : PAINT_BAD;
    if (c->verdict == VERDICT_OK || !c->trial->summary || !*c->trial->summary)
        return;
    report_add_reason(&text, view->study, c->trial);
    const struct report_fallback *fallback = report_find_fallback(view, c->trial);
    if (fallback) {
        buf_add(&text, "; ");
        report_add_fallback(&text, fallback);
    }
    row->below[1] = keep(arena, &text);
}

static void add_head(struct board *board)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct report_grid *grid = &board->grid;
    struct grid_row *row = report_grid_add(grid);
    const char *settings =
        board->view->study->baseline ? "what differs from the baseline" : "settings";
    size_t at = 0;
    grid->right[0] = grid->right[2] = true;
    row->cells[at++] = "#";
    row->cells[at++] = "verdict";
    row->cells[at++] = "fitness";
    for (size_t i = 0; i < board->value_count; i++) {
        grid->right[at] = true;
        add_title(&text, board, board->values[i]);
        row->cells[at++] = keep(grid->arena, &text);
    }
    row->cells[at++] = "";
    *(board->wide ? &row->cells[at++] : &row->below[0]) = settings;
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

/* The card and who else is on it, as before the first trial. */
static void print_device(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    const struct store_study *s = &view->stored;
    if (!spec_study_on_gpu(view->study))
        return;
    size_t lanes = view->study->lane_count; /* cards that are equal */
    for (size_t i = 0; i < (lanes ? lanes : 1); i++) {
        buf_add(&text, i ? ", " : "");
        report_add_text(&text, TEXT_TERMINAL, view->study->devices[i]);
    }
    buf_add(&text, ": ");
    text_add_bytes(&text, s->memory_bytes);
    buf_add(&text, lanes > 1 ? " each" : "");
    if (s->device_versions && *s->device_versions) {
        buf_add(&text, ", ");
        report_add_text(&text, TEXT_TERMINAL, s->device_versions);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    if (view->study->neighbour_count == 0)
        return;
    buf_clear(&text);
    buf_add(&text, "neighbours: ");
    report_add_neighbours(&text, view->study,
                          view->trial_count ? report_neighbour_bytes(view->trials[0].trial) : NAN);
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
}

static void print_bounds(const struct report_view *view, FILE *out, struct report_terminal terminal)
{
    size_t shown = view->bound_count < BOUNDS_MAX ? view->bound_count : BOUNDS_MAX;
    for (size_t i = 0; i < shown; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        report_add_bound(&text, view, i);
        if (i == 0)
            fputc('\n', out);
        report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    }
    if (shown < view->bound_count)
        fprintf(out, "and %zu more failures that spoke for others: spica report\n",
                view->bound_count - shown);
}

void report_print_leaderboard(const struct report_view *view, FILE *out,
                              struct report_terminal terminal)
{
    print_title(view, out, terminal);
    print_device(view, out, terminal);
    AUTO(buf_done) struct buf headline = BUF_INIT(65536);
    report_add_headline(&headline, TEXT_TERMINAL, view);
    report_print_wrapped(out, terminal, buf_text(&headline), 0, 0);
    if (view->candidate_count == 0)
        return;
    fputc('\n', out);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct board board = {.view = view, .grid = {.arena = arena}};
    choose_columns(&board, terminal);
    add_head(&board);
    for (size_t i = 0; i < view->candidate_count; i++)
        add_candidate(&board, view->ranked[i]);
    report_grid_print(&board.grid, out, terminal, 0);
    print_bounds(view, out, terminal);
    if (view->side_count)
        report_print_painted(
            out, terminal, PAINT_DIM,
            "\nwinner, baseline, finalists: all runs of the final; others: their last run");
    fputc('\n', out);
    AUTO(buf_done) struct buf next = BUF_INIT(8192);
    buf_addf(&next, "one in full: spica show %s --trial N", report_study_argument(view));
    AUTO(buf_done) struct buf shown = BUF_INIT(32768);
    report_add_text(&shown, TEXT_TERMINAL, buf_text(&next));
    report_print_painted(out, terminal, PAINT_DIM, buf_text(&shown));
    fputc('\n', out);
}
