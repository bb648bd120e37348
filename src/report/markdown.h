/* report.md; html.c renders the same text. */
#pragma once

#include "base/buf.h"
#include "report/view.h"

enum { REPORT_MARKDOWN_MAX = 64 << 20, REPORT_ROWS_MAX = 300 };

/* A line of this form stands where a figure belongs: "![title](FILE)". */
#define REPORT_FIGURE_PROGRESSION "report-progression.svg"
#define REPORT_FIGURE_TRADEOFF "report-tradeoff.svg"

void report_add_markdown(struct buf *buf, const struct report_view *view);

/* "winner", "baseline", "finalist A" of sides[i]; in scratch or constant. */
const char *report_side_title(const struct report_view *view, size_t i, struct buf *scratch);

/* markdown_trust.c */
void report_add_trust(struct buf *buf, const struct report_view *view);

/* markdown_device.c: of studies on GPUs. */
void report_add_places(struct buf *buf, const struct report_view *view);
void report_add_memory(struct buf *buf, const struct report_view *view);
/* compared.c: nothing unless something was compared. The second for report.json, new reference. */
void report_add_compared(struct buf *buf, const struct report_view *view);
json_t *report_compared_json(const struct report_view *view);
/* markdown_crowd.c: nothing unless it was measured. */
void report_add_crowd(struct buf *buf, const struct report_view *view);

/* markdown_trials.c: the parts with a row per trial or candidate. */
void report_add_progression(struct buf *buf, const struct report_view *view);
void report_add_losers(struct buf *buf, const struct report_view *view);
void report_add_front(struct buf *buf, const struct report_view *view);
