/* Plots drawn by hand: a few hundred marks, two axes, ticks at round numbers with their units.
 *
 * Rejected: a plotting program. It would have to be installed where reports are written, and a
 * report is one file that opens anywhere. Invariant: everything written between report_svg_begin
 * and report_svg_end is well-formed XML whatever the data, so texts arrive escaped and numbers are
 * finite. */
#include "report/svg.h"

#include <math.h>

enum { WIDTH = 760, HEIGHT = 330, LANE = 16, LEFT = 84, RIGHT = 34, TOP = 50, BOTTOM = 48 };

static const char ink[] = "#333";
static const char faint[] = "#e4e4e4";

bool report_svg_can_draw(enum svg_scale scale, double value)
{
    return isfinite(value) && (scale == SVG_LINEAR || value > 0);
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least)
{
    double power = pow(10, floor(log10(least)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < ARRAY_LEN(factors); i++)
        if (factors[i] * power >= least * 0.999)
            return factors[i] * power;
    return 10 * power;
}

/* The next number of 1, 2, 5 times a power of ten at or below (or at or above) `value`. */
static double log_tick(double value, bool above)
{
    double power = pow(10, floor(log10(value)));
    static const double factors[] = {1, 2, 5, 10};
    double best = power;
    for (size_t i = 0; i < ARRAY_LEN(factors); i++) {
        double tick = factors[i] * power;
        if (above && tick >= value * 0.999)
            return tick;
        if (!above && tick <= value * 1.001)
            best = tick;
    }
    return best;
}

static double linear_step(const struct svg_axis *axis)
{
    double step = round_step((axis->high - axis->low) / 6);
    return axis->whole && step < 1 ? 1 : step;
}

static void widen(struct svg_axis *axis)
{
    if (axis->scale == SVG_LOG) {
        axis->low = log_tick(axis->low, false);
        axis->high = log_tick(axis->high, true);
        if (axis->high <= axis->low)
            axis->high = axis->low * 2;
        return;
    }
    if (!(axis->high > axis->low)) {
        double room = axis->low != 0 ? fabs(axis->low) / 10 : 1;
        axis->low -= room;
        axis->high += room;
    }
    double step = linear_step(axis);
    axis->low = floor(axis->low / step + 1e-9) * step;
    axis->high = ceil(axis->high / step - 1e-9) * step;
}

static double share(const struct svg_axis *axis, double value)
{
    if (axis->scale == SVG_LOG)
        return log(value / axis->low) / log(axis->high / axis->low);
    return (value - axis->low) / (axis->high - axis->low);
}

double report_svg_x(const struct svg_plot *plot, double value)
{
    return plot->left + share(&plot->x, value) * (plot->right - plot->left);
}

double report_svg_y(const struct svg_plot *plot, double value)
{
    return plot->bottom - share(&plot->y, value) * (plot->bottom - plot->top);
}

double report_svg_lane_y(const struct svg_plot *plot, size_t lane)
{
    return plot->bottom + LANE * ((double)lane + 0.75);
}

static void add_text(struct svg_plot *plot, double x, double y, const char *anchor,
                     const char *text)
{
    buf_addf(plot->buf, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x,
             y, anchor, ink, text);
}

static void add_tick(struct svg_plot *plot, bool is_x, double value)
{
    const struct svg_axis *axis = is_x ? &plot->x : &plot->y;
    AUTO(buf_done) struct buf label = BUF_INIT(64);
    metric_add_value(&label, axis->unit, value);
    if (is_x) {
        double x = report_svg_x(plot, value);
        buf_addf(plot->buf,
                 "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, x,
                 plot->top, plot->bottom, faint);
        add_text(plot, x, plot->height - BOTTOM + 20, "middle", buf_text(&label));
    } else {
        double y = report_svg_y(plot, value);
        buf_addf(plot->buf,
                 "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n",
                 plot->left, plot->right, y, y, faint);
        add_text(plot, plot->left - 8, y + 4, "end", buf_text(&label));
    }
}

static void add_ticks(struct svg_plot *plot, bool is_x)
{
    const struct svg_axis *axis = is_x ? &plot->x : &plot->y;
    if (axis->scale == SVG_LOG) {
        int drawn = 0;
        bool wide = axis->high / axis->low > 1e4; /* then powers of ten only */
        for (double tick = axis->low; tick <= axis->high * 1.001 && drawn < 30; drawn++) {
            add_tick(plot, is_x, tick);
            tick = wide ? log_tick(tick, false) * 10 : log_tick(tick * 1.5, true);
        }
        return;
    }
    double step = linear_step(axis);
    int count = (int)lround((axis->high - axis->low) / step);
    for (int i = 0; i <= count && i < 30; i++) {
        double value = axis->low + i * step;
        add_tick(plot, is_x, fabs(value) < step * 1e-9 ? 0 : value);
    }
}

void report_svg_begin(struct svg_plot *plot, struct buf *buf, const char *title, struct svg_axis x,
                      struct svg_axis y, size_t lanes)
{
    double extra = LANE * (double)lanes;
    *plot = (struct svg_plot){.buf = buf,
                              .x = x,
                              .y = y,
                              .left = LEFT,
                              .right = WIDTH - RIGHT,
                              .top = TOP,
                              .bottom = HEIGHT - BOTTOM,
                              .width = WIDTH,
                              .height = HEIGHT + extra,
                              .legend_x = LEFT};
    if (lanes)
        plot->left += 40; /* their names are longer than numbers */
    plot->legend_x = plot->left;
    widen(&plot->x);
    widen(&plot->y);
    buf_addf(
        buf,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" "
        "height=\"%.0f\" font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n"
        "<title>%s</title>\n<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n",
        WIDTH, plot->height, WIDTH, plot->height, title, WIDTH, plot->height);
    add_ticks(plot, true);
    add_ticks(plot, false);
    buf_addf(buf, "<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" stroke=\"%s\"/>\n", plot->left,
             plot->top, plot->bottom, plot->right, ink);
    add_text(plot, (plot->left + plot->right) / 2, plot->height - 10, "middle", x.title);
    buf_addf(buf,
             "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\" "
             "fill=\"%s\">%s</text>\n",
             (plot->top + plot->bottom) / 2, ink, y.title);
}

void report_svg_lane_name(struct svg_plot *plot, size_t lane, const char *name)
{
    add_text(plot, plot->left - 8, report_svg_lane_y(plot, lane) + 4, "end", name);
}

static void add_shape(struct buf *buf, enum svg_mark mark, double x, double y, const char *color)
{
    switch (mark) {
    case SVG_DOT:
        buf_addf(buf, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>", x, y, color);
        return;
    case SVG_RING:
        buf_addf(buf,
                 "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#fff\" stroke=\"%s\" "
                 "stroke-width=\"1.5\"/>",
                 x, y, color);
        return;
    case SVG_SQUARE:
        buf_addf(buf, "<rect x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\" fill=\"%s\"/>", x - 4.5,
                 y - 4.5, color);
        return;
    case SVG_STAR:
        buf_addf(buf,
                 "<path transform=\"translate(%.1f %.1f)\" d=\"M0-8 2.2-2.6 8-2.5 3.5 1.2 5 7 "
                 "0 3.6-5 7-3.5 1.2-8-2.5-2.2-2.6z\" fill=\"%s\"/>",
                 x, y, color);
        return;
    case SVG_CROSS:
        buf_addf(buf,
                 "<path d=\"M%.1f %.1fl8 8m0-8l-8 8\" stroke=\"%s\" stroke-width=\"1.8\" "
                 "fill=\"none\"/>",
                 x - 4, y - 4, color);
        return;
    case SVG_UP: /* a bar where it is at least, and an arrow */
        buf_addf(buf,
                 "<path d=\"M%.1f %.1fh10m-5 0v-15m-4 5l4-5 4 5\" stroke=\"%s\" "
                 "stroke-width=\"1.8\" fill=\"none\"/>",
                 x - 5, y, color);
        return;
    }
}

void report_svg_mark(struct svg_plot *plot, enum svg_mark mark, double x_px, double y_px,
                     const char *color, const char *tip)
{
    if (!isfinite(x_px) || !isfinite(y_px))
        return;
    buf_add(plot->buf, "<g>");
    add_shape(plot->buf, mark, x_px, y_px, color);
    buf_addf(plot->buf, "<title>%s</title></g>\n", tip);
}

void report_svg_line(struct svg_plot *plot, const double *x_px, const double *y_px, size_t count,
                     const char *color)
{
    if (count < 2)
        return;
    buf_add(plot->buf, "<polyline points=\"");
    for (size_t i = 0; i < count; i++)
        buf_addf(plot->buf, "%s%.1f,%.1f", i ? " " : "", x_px[i], y_px[i]);
    buf_addf(plot->buf, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", color);
}

void report_svg_legend(struct svg_plot *plot, enum svg_mark mark, const char *color,
                       const char *text)
{
    add_shape(plot->buf, mark, plot->legend_x, 22, color);
    add_text(plot, plot->legend_x + 11, 26, "start", text);
    plot->legend_x += 34 + 6.6 * (double)__builtin_strlen(text);
}

void report_svg_end(struct svg_plot *plot)
{
    buf_add(plot->buf, "</svg>\n");
}
