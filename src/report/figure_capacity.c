/* The knee: the times of one search's levels, p50 and p95 joined in order of the level. Where a
 * level was looked at several times the longest look stands; all of them are in the table. */
#include "report/figures.h"
#include "report/svg.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

static const char blue[] = "#0072b2", green[] = "#009e73", red[] = "#c0392b", gray[] = "#8a8a8a";

bool report_knee_name(const struct report_view *view, size_t n, char ret_name[REPORT_KNEE_NAME])
{
    if (n >= view->capacity_count || n >= REPORT_KNEES_MAX ||
        view->capacities[n].candidate != view->capacities[0].candidate)
        return false;
    snprintf(ret_name, REPORT_KNEE_NAME, "report-capacity-%zu.svg", n + 1);
    return true;
}

static int compare_levels(const void *a, const void *b)
{
    const struct store_capacity_point *const *x = a, *const *y = b;
    return ((*x)->level > (*y)->level) - ((*x)->level < (*y)->level);
}

/* One point per level, those that can be drawn, in order of the level. */
static size_t choose_points(const struct report_capacity *c,
                            const struct store_capacity_point **ret)
{
    size_t count = 0;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct store_capacity_point *p = &c->points[i];
        size_t k = 0;
        if (!report_svg_can_draw(SVG_LOG, p->p50) || !report_svg_can_draw(SVG_LOG, p->level))
            continue;
        while (k < count && ret[k]->level != p->level)
            k++;
        if (k == count)
            ret[count++] = p;
        else if (p->window_s >= ret[k]->window_s)
            ret[k] = p;
    }
    qsort(ret, count, sizeof *ret, compare_levels);
    return count;
}

static bool is_met(const struct store_capacity_point *p)
{
    return strcmp(p->outcome, "met") == 0 || strcmp(p->outcome, "leans met") == 0;
}

static void add_series(struct svg_plot *plot, const struct report_capacity *c,
                       const struct store_capacity_point *const *points, size_t count, bool p95,
                       struct arena *arena)
{
    double *x = arena_array(arena, count, sizeof *x), *y = arena_array(arena, count, sizeof *y);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        double value = p95 ? points[i]->p95 : points[i]->p50;
        if (!report_svg_can_draw(SVG_LOG, value))
            continue;
        x[n] = report_svg_x(plot, points[i]->level);
        y[n++] = report_svg_y(plot, value);
    }
    report_svg_line(plot, x, y, n, p95 ? blue : gray);
    for (size_t i = 0; i < count; i++) {
        const struct store_capacity_point *p = points[i];
        AUTO(buf_done) struct buf tip = BUF_INIT(1024);
        double value = p95 ? p->p95 : p->p50;
        if (!report_svg_can_draw(SVG_LOG, value))
            continue;
        report_add_level(&tip, c->found, p->level);
        buf_addf(&tip, ": %s, %s ", p->outcome, p95 ? "p95" : "p50");
        metric_add_value(&tip, UNIT_SECONDS, value);
        report_svg_mark(plot, is_met(p) ? SVG_DOT : SVG_CROSS, report_svg_x(plot, p->level),
                        report_svg_y(plot, value), is_met(p) ? green : red, buf_text(&tip));
    }
}

void report_add_knee_figure(struct buf *buf, const struct report_view *view, size_t n)
{
    const struct report_capacity *c = &view->capacities[n];
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct store_capacity_point **points = arena_array(arena, c->point_count, sizeof *points);
    size_t count = choose_points(c, points);
    bool clients = strcmp(c->found->of, "concurrency") == 0;
    AUTO(buf_done) struct buf title = BUF_INIT(256);
    if (count == 0)
        return;
    struct svg_axis x = {SVG_LINEAR,
                         0,
                         points[count - 1]->level,
                         clients ? UNIT_COUNT : UNIT_PER_SECOND,
                         .whole = clients,
                         .title = clients ? "clients" : "requests per second"};
    struct svg_axis y = {SVG_LOG, INFINITY, 0, UNIT_SECONDS, .title = ""};
    for (size_t i = 0; i < count; i++) {
        y.low = fmin(y.low, points[i]->p50);
        y.high = fmax(y.high, fmax(points[i]->p50, points[i]->p95));
    }
    report_add_text(&title, TEXT_HTML, c->found->service);
    buf_addf(&title, " %s", c->found->metric);
    y.title = buf_text(&title);
    struct svg_plot plot;
    report_svg_begin(&plot, buf, "How much it can take", x, y, 0);
    add_series(&plot, c, points, count, false, arena);
    add_series(&plot, c, points, count, true, arena);
    report_svg_legend(&plot, SVG_DOT, green, "met");
    report_svg_legend(&plot, SVG_CROSS, red, "not met");
    report_svg_legend(&plot, SVG_RING, blue, "p95");
    report_svg_legend(&plot, SVG_RING, gray, "p50");
    report_svg_end(&plot);
}
