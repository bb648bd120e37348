/* A comparison of candidates in words: for a terminal, and as compare-N.md and compare-N.json in
 * the study's folder. The numbers are study/compare.h's; here they only get their words. */
#pragma once

#include "report/report.h"
#include "study/compare.h"

/* What the judged measures answer, one line each, then all measures as a table. */
void report_print_comparison(const struct study_comparison *comparison, FILE *out,
                             struct report_terminal terminal);
/* One line on how it stands after a block: "4 blocks: stt.latency.p95 open (-2 % to 9 %)". */
void report_add_comparison_look(struct buf *buf, const struct study_comparison *comparison);
/* Each file whole or not at all. */
NODISCARD bool report_write_comparison(const struct study_comparison *comparison,
                                       const char *folder, struct err *err);
