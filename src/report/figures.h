/* The report's two figures, as SVG; nothing is appended when there is nothing to draw. */
#pragma once

#include "base/buf.h"
#include "report/view.h"

/* Fitness by trial; failed trials as crosses, one lane per verdict. */
void report_add_progression_figure(struct buf *buf, const struct report_view *view);
/* Has it a point to draw? */
bool report_has_tradeoff_figure(const struct report_view *view);
/* The two weightiest objectives against each other; the Pareto front is joined. */
void report_add_tradeoff_figure(struct buf *buf, const struct report_view *view);
