/* A small plot: axes with ticks and units, marks, a legend; complete SVG text, no scripts, no fonts
 * from outside. */
#pragma once

#include "base/buf.h"
#include "spec/metric.h"

enum svg_scale { SVG_LINEAR, SVG_LOG };
enum svg_mark { SVG_DOT, SVG_RING, SVG_SQUARE, SVG_STAR, SVG_CROSS, SVG_UP };

struct svg_axis {
    enum svg_scale scale;
    double low, high;      /* of the data; report_svg_begin widens them to whole ticks */
    enum metric_unit unit; /* of the tick labels */
    bool whole;            /* counts: ticks at whole numbers only */
    const char *title;     /* escaped already */
};

struct svg_plot {
    struct buf *buf;
    struct svg_axis x, y;
    double left, top, right, bottom; /* of the plotting area, in pixels */
    double width, height;
    double legend_x;
};

/* `lanes` named rows of 16 px under the plotting area, for what has no place on the y axis. */
void report_svg_begin(struct svg_plot *plot, struct buf *buf, const char *title, struct svg_axis x,
                      struct svg_axis y, size_t lanes);
double report_svg_x(const struct svg_plot *plot, double value);
double report_svg_y(const struct svg_plot *plot, double value);
double report_svg_lane_y(const struct svg_plot *plot, size_t lane);
void report_svg_lane_name(struct svg_plot *plot, size_t lane, const char *name);
/* `tip` is shown when the pointer rests on it; escaped already. */
void report_svg_mark(struct svg_plot *plot, enum svg_mark mark, double x_px, double y_px,
                     const char *color, const char *tip);
void report_svg_line(struct svg_plot *plot, const double *x_px, const double *y_px, size_t count,
                     const char *color);
void report_svg_legend(struct svg_plot *plot, enum svg_mark mark, const char *color,
                       const char *text);
void report_svg_end(struct svg_plot *plot);

/* Can values be drawn on this axis? Finite, and above 0 on SVG_LOG. */
bool report_svg_can_draw(enum svg_scale scale, double value);
