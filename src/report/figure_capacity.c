/* The knee: the times of one search's levels, p50 and p95 joined in order of the level. Where a
 * level was looked at several times the longest look stands, but never with times that say met of a
 * level that a later look left as missed; all of them are in the table.
 *
 * A level that was left early tells no quantile: those of its quick answers would be too low. All
 * that is known is that more than may be were over the limit, so it stands there as a mark with an
 * arrow up, and the axis goes on to the largest level. Rejected: leaving it out, for then the curve
 * stops where the knee begins. What was left for another reason (a failure, another service) has no
 * place among these times and stands in a row below. */
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

static bool has_times(const struct store_capacity_point *p)
{
    return report_svg_can_draw(SVG_LOG, p->p50);
}

/* Left without times, and the service's own doing. */
static bool was_left(const struct store_capacity_point *p)
{
    return !has_times(p) && p->broke &&
           (strcmp(p->outcome, "missed") == 0 || strcmp(p->outcome, "ended") == 0);
}

static bool is_met(const struct store_capacity_point *p)
{
    return strcmp(p->outcome, "met") == 0 || strcmp(p->outcome, "leans met") == 0;
}

/* Of two looks at one level that can be drawn: does the later one stand? One with times tells more
 * than one without, where they say the same. How long a look was that was left is no measure. */
static bool later_stands(const struct store_capacity_point *p, const struct store_capacity_point *q)
{
    if (has_times(p) == has_times(q))
        return q->window_s >= p->window_s;
    return is_met(p) != is_met(q) || has_times(q);
}

/* One point per level, those that can be drawn, in order of the level. */
static size_t choose_points(const struct report_capacity *c,
                            const struct store_capacity_point **ret)
{
    size_t count = 0;
    for (size_t i = 0; i < c->point_count; i++) {
        const struct store_capacity_point *p = &c->points[i];
        size_t k = 0;
        if ((!has_times(p) && !was_left(p)) || !report_svg_can_draw(SVG_LOG, p->level))
            continue;
        while (k < count && ret[k]->level != p->level)
            k++;
        if (k == count)
            ret[count++] = p;
        else if (later_stands(ret[k], p))
            ret[k] = p;
    }
    qsort(ret, count, sizeof *ret, compare_levels);
    return count;
}

/* Of "llm.latency.p95 < 26ms: 12 of 40 over": 26 ms, where it is about the times that are drawn;
 * else NaN. */
static double limit_of(const struct report_capacity *c, const struct store_capacity_point *p)
{
    AUTO(buf_done) struct buf name = BUF_INIT(512);
    char text[64];
    double limit = NAN;
    struct err ignored = ERR_INIT;
    buf_addf(&name, "%s.%s.", c->found->service, c->found->metric);
    if (!was_left(p) || strncmp(p->broke, buf_text(&name), name.len) != 0)
        return NAN;
    const char *from = strchr(p->broke, '<');
    const char *end = from ? strchr(from, ':') : NULL;
    if (!end)
        return NAN;
    from += 1 + (from[1] == '=');
    while (*from == ' ')
        from++;
    size_t len = end > from ? (size_t)(end - from) : 0;
    if (len >= sizeof text)
        return NAN;
    memcpy(text, from, len);
    text[len] = '\0';
    if (!metric_parse_quantity(UNIT_SECONDS, text, &limit, &ignored) ||
        !report_svg_can_draw(SVG_LOG, limit))
        return NAN;
    return limit;
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

/* Those left at a limit, or with no place among the times. */
static bool has_left(const struct report_capacity *c,
                     const struct store_capacity_point *const *points, size_t count, bool at_limit)
{
    for (size_t i = 0; i < count; i++)
        if (was_left(points[i]) && isnan(limit_of(c, points[i])) != at_limit)
            return true;
    return false;
}

static void add_left(struct svg_plot *plot, const struct report_capacity *c,
                     const struct store_capacity_point *const *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct store_capacity_point *p = points[i];
        AUTO(buf_done) struct buf tip = BUF_INIT(4096);
        double limit = limit_of(c, p);
        if (!was_left(p))
            continue;
        report_add_level(&tip, c->found, p->level);
        buf_addf(&tip, ": %s after %.1f s, ", p->outcome, p->window_s);
        report_add_text(&tip, TEXT_HTML, p->broke);
        if (isnan(limit))
            report_svg_mark(plot, SVG_CROSS, report_svg_x(plot, p->level),
                            report_svg_lane_y(plot, 0), red, buf_text(&tip));
        else
            report_svg_mark(plot, SVG_UP, report_svg_x(plot, p->level), report_svg_y(plot, limit),
                            red, buf_text(&tip));
    }
}

/* Of all that is drawn against it; false: nothing is. */
static bool span_times(const struct report_capacity *c,
                       const struct store_capacity_point *const *points, size_t count,
                       struct svg_axis *y)
{
    y->low = INFINITY;
    y->high = 0;
    for (size_t i = 0; i < count; i++) {
        const double shown[] = {points[i]->p50, points[i]->p95, limit_of(c, points[i])};
        for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
            if (!report_svg_can_draw(SVG_LOG, shown[k]))
                continue;
            y->low = fmin(y->low, shown[k]);
            y->high = fmax(y->high, shown[k]);
        }
    }
    return y->high > 0;
}

void report_add_knee_figure(struct buf *buf, const struct report_view *view, size_t n)
{
    const struct report_capacity *c = &view->capacities[n];
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct store_capacity_point **points = arena_array(arena, c->point_count, sizeof *points);
    size_t count = choose_points(c, points);
    bool clients = strcmp(c->found->of, "concurrency") == 0;
    AUTO(buf_done) struct buf title = BUF_INIT(256);
    struct svg_axis y = {SVG_LOG, INFINITY, 0, UNIT_SECONDS, .title = ""};
    if (!span_times(c, points, count, &y))
        return;
    struct svg_axis x = {SVG_LINEAR,
                         0,
                         points[count - 1]->level,
                         clients ? UNIT_COUNT : UNIT_PER_SECOND,
                         .whole = clients,
                         .title = clients ? "clients" : "requests per second"};
    report_add_text(&title, TEXT_HTML, c->found->service);
    buf_addf(&title, " %s", c->found->metric);
    y.title = buf_text(&title);
    struct svg_plot plot;
    const bool below = has_left(c, points, count, false);
    report_svg_begin(&plot, buf, "How much it can take", x, y, below);
    if (below)
        report_svg_lane_name(&plot, 0, "other failures");
    add_series(&plot, c, points, count, false, arena);
    add_series(&plot, c, points, count, true, arena);
    add_left(&plot, c, points, count);
    report_svg_legend(&plot, SVG_DOT, green, "met");
    report_svg_legend(&plot, SVG_CROSS, red, "not met");
    if (has_left(c, points, count, true))
        report_svg_legend(&plot, SVG_UP, red, "left early: over the limit");
    report_svg_legend(&plot, SVG_RING, blue, "p95");
    report_svg_legend(&plot, SVG_RING, gray, "p50");
    report_svg_end(&plot);
}
