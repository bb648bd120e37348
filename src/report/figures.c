/* What the figures show. Failed trials have no place on a scale of fitness or latency, so they
 * stand in lanes of their own under it, named by their verdict: seen, counted, and never mistaken
 * for a number. */
#include "report/figures.h"
#include "report/svg.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char blue[] = "#0072b2", orange[] = "#d55e00", green[] = "#009e73";
static const char gray[] = "#8a8a8a", red[] = "#c0392b";

static void add_tip(struct buf *tip, const struct report_trial *t)
{
    buf_addf(tip, "trial %" PRId64 ": %s", t->trial->number, verdict_facts(t->verdict)->name);
    if (!isnan(t->trial->fitness))
        buf_addf(tip, ", fitness %.3f", t->trial->fitness);
    buf_addc(tip, '\n');
    report_add_text(tip, TEXT_HTML, t->candidate->text);
    if (t->verdict != VERDICT_OK && t->trial->summary) {
        buf_addc(tip, '\n');
        report_add_text(tip, TEXT_HTML, t->trial->summary);
    }
}

static void mark_trial(struct svg_plot *plot, const struct report_trial *t, const size_t *lanes)
{
    AUTO(buf_done) struct buf tip = BUF_INIT(8192);
    add_tip(&tip, t);
    double x = report_svg_x(plot, (double)t->trial->number);
    if (isnan(t->trial->fitness)) {
        report_svg_mark(plot, SVG_CROSS, x, report_svg_lane_y(plot, lanes[t->verdict]), red,
                        buf_text(&tip));
        return;
    }
    bool final = strcmp(t->trial->purpose, "final") == 0;
    bool winner = t->candidate->fate == FATE_WINNER, baseline = t->candidate->fate == FATE_BASELINE;
    const char *color = baseline ? orange : winner ? green : t->verdict == VERDICT_OK ? blue : gray;
    enum svg_mark mark = baseline          ? SVG_SQUARE
                         : winner && final ? SVG_STAR
                         : final           ? SVG_DOT
                                           : SVG_RING;
    report_svg_mark(plot, mark, x, report_svg_y(plot, t->trial->fitness), color, buf_text(&tip));
}

/* The best so far of the exploration, as steps. */
static void add_best_line(struct svg_plot *plot, const struct report_view *view)
{
    size_t n = 0;
    double *x = arena_array(view->arena, 2 * view->trial_count + 2, sizeof *x);
    double *y = arena_array(view->arena, 2 * view->trial_count + 2, sizeof *y);
    double last = NAN;
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct report_trial *t = &view->trials[i];
        bool exploring = strcmp(t->trial->purpose, "final") != 0;
        if (!exploring || (!t->best_so_far && isnan(last)))
            continue;
        x[n] = report_svg_x(plot, (double)t->trial->number);
        if (t->best_so_far) {
            if (n) {
                y[n] = last;
                n++;
                x[n] = x[n - 1];
            }
            last = report_svg_y(plot, t->trial->fitness);
        }
        y[n++] = last;
    }
    report_svg_line(plot, x, y, n, "#bbb");
}

void report_add_progression_figure(struct buf *buf, const struct report_view *view)
{
    if (view->trial_count == 0)
        return;
    size_t lanes[VERDICT_COUNT_] = {0}, lane_count = 0;
    for (int v = 0; v < VERDICT_COUNT_; v++)
        if (view->verdict_counts[v] && !verdict_facts((enum verdict)v)->has_fitness)
            lanes[v] = lane_count++;
    struct svg_axis x = {SVG_LINEAR,
                         1,
                         (double)view->trials[view->trial_count - 1].trial->number,
                         UNIT_COUNT,
                         .whole = true,
                         .title = "trial"};
    struct svg_axis y = {SVG_LINEAR, 0, 1, UNIT_COUNT, .title = "fitness (1 is best)"};
    struct svg_plot plot;
    report_svg_begin(&plot, buf, "Fitness of each trial", x, y, lane_count);
    for (int v = 0; v < VERDICT_COUNT_; v++)
        if (view->verdict_counts[v] && !verdict_facts((enum verdict)v)->has_fitness)
            report_svg_lane_name(&plot, lanes[v], verdict_facts((enum verdict)v)->name);
    add_best_line(&plot, view);
    for (size_t i = 0; i < view->trial_count; i++)
        mark_trial(&plot, &view->trials[i], lanes);
    report_svg_legend(&plot, SVG_RING, blue, "exploring");
    report_svg_legend(&plot, SVG_DOT, blue, "final");
    report_svg_legend(&plot, SVG_SQUARE, orange, "baseline");
    if (view->winner)
        report_svg_legend(&plot, SVG_STAR, green, "winner, final");
    if (view->verdict_counts[VERDICT_SLOW])
        report_svg_legend(&plot, SVG_RING, gray, "requirement failed");
    if (lane_count)
        report_svg_legend(&plot, SVG_CROSS, red, "no result");
    report_svg_end(&plot);
}

/* --- trade-off --- */

struct point {
    const struct report_candidate *candidate;
    double x, y;
};

static enum svg_scale scale_of(const struct report_measure *m)
{
    return m->unit == UNIT_SECONDS ? SVG_LOG : SVG_LINEAR;
}

/* Objectives are the first measures; the two of most weight, earlier ones first. */
static bool choose_axes(const struct report_view *view, size_t *ret_x, size_t *ret_y)
{
    size_t n = view->study->objective_count;
    if (n < 2)
        return false;
    size_t x = 0, y = 1;
    for (size_t i = 1; i < n; i++)
        if (view->measures[i].objective->weight > view->measures[x].objective->weight)
            x = i;
    if (y == x)
        y = 0;
    for (size_t i = 0; i < n; i++)
        if (i != x && view->measures[i].objective->weight > view->measures[y].objective->weight)
            y = i;
    *ret_x = x;
    *ret_y = y;
    return true;
}

static struct svg_axis axis_over(const struct report_view *view, size_t k,
                                 const struct point *points, size_t count, bool is_x,
                                 struct buf *title)
{
    const struct report_measure *m = &view->measures[k];
    struct svg_axis axis = {scale_of(m), INFINITY, -INFINITY, m->unit, .title = ""};
    for (size_t i = 0; i < count; i++) {
        double value = is_x ? points[i].x : points[i].y;
        axis.low = fmin(axis.low, value);
        axis.high = fmax(axis.high, value);
    }
    report_add_measure_name(title, TEXT_HTML, view, m);
    buf_add(title,
            m->objective->good < m->objective->bad ? " (less is better)" : " (more is better)");
    axis.title = buf_text(title);
    return axis;
}

static int compare_points(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->x > y->x) - (x->x < y->x);
}

static void mark_point(struct svg_plot *plot, const struct point *p)
{
    const struct report_candidate *c = p->candidate;
    AUTO(buf_done) struct buf tip = BUF_INIT(8192);
    report_add_text(&tip, TEXT_HTML, c->text);
    buf_addf(&tip, "\ntrial %" PRId64 ": %s, fitness %.3f", c->explored->trial->number,
             verdict_facts(c->explored->verdict)->name, c->explored->trial->fitness);
    enum svg_mark mark = SVG_RING;
    const char *color = c->on_front ? blue : gray;
    if (c->explored->verdict != VERDICT_OK) {
        mark = SVG_CROSS;
        color = red;
    }
    if (c->fate == FATE_WINNER || c->fate == FATE_BASELINE) {
        mark = c->fate == FATE_WINNER ? SVG_STAR : SVG_SQUARE;
        color = c->fate == FATE_WINNER ? green : orange;
    } else if (c->on_front) {
        mark = SVG_DOT;
    }
    report_svg_mark(plot, mark, report_svg_x(plot, p->x), report_svg_y(plot, p->y), color,
                    buf_text(&tip));
}

static void add_front_line(struct svg_plot *plot, const struct report_view *view,
                           const struct point *points, size_t count)
{
    size_t n = 0;
    double *x = arena_array(view->arena, count + 1, sizeof *x);
    double *y = arena_array(view->arena, count + 1, sizeof *y);
    /* With a third objective the front is a surface; a line through it would zigzag. */
    for (size_t i = 0; i < count && view->study->objective_count == 2; i++)
        if (points[i].candidate->on_front) {
            x[n] = report_svg_x(plot, points[i].x);
            y[n++] = report_svg_y(plot, points[i].y);
        }
    report_svg_line(plot, x, y, n, "#bbb");
}

/* Candidates with both values told: a percentile that its sample does not carry has no place in a
 * figure. */
static size_t collect_points(const struct report_view *view, size_t kx, size_t ky,
                             struct point *ret_points)
{
    size_t count = 0;
    for (size_t i = 0; i < view->candidate_count; i++) {
        const struct report_candidate *c = &view->candidates[i];
        if (!c->explored)
            continue;
        struct point p = {c, c->explored->told[kx].value, c->explored->told[ky].value};
        if (report_svg_can_draw(scale_of(&view->measures[kx]), p.x) &&
            report_svg_can_draw(scale_of(&view->measures[ky]), p.y))
            ret_points[count++] = p;
    }
    return count;
}

bool report_has_tradeoff_figure(const struct report_view *view)
{
    size_t kx = 0, ky = 0;
    struct point *points = arena_array(view->arena, view->candidate_count + 1, sizeof *points);
    return choose_axes(view, &kx, &ky) && collect_points(view, kx, ky, points) > 0;
}

void report_add_tradeoff_figure(struct buf *buf, const struct report_view *view)
{
    size_t kx = 0, ky = 0;
    if (!choose_axes(view, &kx, &ky))
        return;
    struct point *points = arena_array(view->arena, view->candidate_count + 1, sizeof *points);
    size_t count = collect_points(view, kx, ky, points);
    if (count == 0)
        return;
    qsort(points, count, sizeof *points, compare_points);
    AUTO(buf_done) struct buf x_title = BUF_INIT(2048);
    AUTO(buf_done) struct buf y_title = BUF_INIT(2048);
    struct svg_plot plot;
    struct svg_axis x = axis_over(view, kx, points, count, true, &x_title);
    struct svg_axis y = axis_over(view, ky, points, count, false, &y_title);
    report_svg_begin(&plot, buf, "Trade-off", x, y, 0);
    add_front_line(&plot, view, points, count);
    for (size_t i = 0; i < count; i++)
        mark_point(&plot, &points[i]);
    report_svg_legend(&plot, SVG_RING, gray, "candidate");
    report_svg_legend(&plot, SVG_DOT, blue, "on the front");
    if (view->baseline)
        report_svg_legend(&plot, SVG_SQUARE, orange, "baseline");
    if (view->winner)
        report_svg_legend(&plot, SVG_STAR, green, "winner");
    if (view->verdict_counts[VERDICT_SLOW])
        report_svg_legend(&plot, SVG_CROSS, red, "requirement failed");
    report_svg_end(&plot);
}
