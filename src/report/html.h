/* report.html: one file, no scripts, nothing from outside. */
#pragma once

#include "base/buf.h"
#include "report/view.h"

/* `markdown` is what report_add_markdown made of the same view. */
void report_add_html(struct buf *buf, const struct report_view *view, const char *markdown);
