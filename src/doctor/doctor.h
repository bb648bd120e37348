/* One look at this machine, without a study: its GPUs, who holds what on them, which AI servers run
 * and where they compute, and what is wrong with that. Nothing is started, stopped or changed; the
 * servers found get a few harmless GETs. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "spec/catalog.h"

struct doctor_report; /* doctor/facts.h */

struct doctor_options {
    const char *proc_root; /* "/proc" */
    const char *library;   /* the driver's, as nvml_open() takes it; NULL: where drivers put it */
    bool silent;           /* ask no server anything, read no journal: for tests */
};

/* Caller owns *ret_report. What can't be read is an unknown of the report; an error is only that
 * the processes can't be listed at all. */
NODISCARD bool doctor_look(const struct doctor_options *options, struct doctor_report **ret_report,
                           struct err *err);
struct doctor_report *doctor_report_free(struct doctor_report *report);
AUTO_FN(struct doctor_report, doctor_report_free)

size_t doctor_problem_count(const struct doctor_report *report);
size_t doctor_service_count(const struct doctor_report *report);
/* For a terminal of `width` columns. */
void doctor_add_text(struct buf *buf, const struct doctor_report *report, int width);
json_t *doctor_json(const struct doctor_report *report); /* new reference */

/* A commented study file for the servers found, valid as it stands: their present values are the
 * baseline. Appended to `buf`; ERR_MISSING when there is none that a study could start again. */
NODISCARD bool doctor_write_study(const struct doctor_report *report,
                                  const struct spec_catalog *catalog, struct buf *buf,
                                  struct err *err);
