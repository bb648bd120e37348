/* What trials found beyond numbers, for both the terminal and report.md. */
#pragma once

#include "base/buf.h"
#include "report/trial_sheet.h"
#include "report/view.h"

/* Requirements with their counts, and the clips heard worst, of one trial. */
void report_print_findings(const struct trial_sheet *sheet);

/* Lines of "Can I trust it?" about the winner (else the baseline): what was cut, what was not
 * steady, how its intervals came about where they are not the usual ones. */
void report_add_steadiness(struct buf *buf, const struct report_view *view);
/* "## Heard worst": nothing when no clip was compared, or none was heard wrong. */
void report_add_utterances(struct buf *buf, const struct report_view *view);
