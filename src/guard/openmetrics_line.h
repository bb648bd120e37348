/* The lines of an exposition: heads of families, samples with labels, quoted as each form wants it.
 * Private to openmetrics.c. */
#pragma once

#include "guard/status.h"

enum line_family_type { FAMILY_GAUGE, FAMILY_COUNTER, FAMILY_SUMMARY, FAMILY_INFO };

struct line_family {
    const char *name; /* without "_total" and "_info" */
    enum line_family_type type;
    const char *unit; /* the end of the name, or NULL */
    const char *help;
};

struct line_label {
    const char *name, *value; /* no name: not there */
};
enum { LINE_LABELS_MAX = 5 };

struct line_out {
    const struct guard_status *status;
    enum guard_exposition form;
    struct buf *buf;
};

void openmetrics_line_head(struct line_out *out, const struct line_family *family,
                           const char *help);
/* Nothing when the value is not finite: unknown has no sample. */
void openmetrics_line_sample(struct line_out *out, const struct line_family *family,
                             const struct line_label labels[LINE_LABELS_MAX], double value);
void guard_status_expose_kinds(struct line_out *out); /* status_kinds.c */
/* status_servers.c: of a service's figure, its other servers' samples. */
void guard_status_expose_servers(struct line_out *out, const struct line_family *family,
                                 enum guard_metric metric);
/* Of a family with one sample and no labels. */
void openmetrics_line_single(struct line_out *out, const struct line_family *family, double value);
