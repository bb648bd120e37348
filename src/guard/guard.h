/* Production watched: the daemon, and one look. What is watched and what may be done stands in the
 * study file's `guard:` (spec/guard.h). Nothing here is in the way of a request: when guard ends,
 * however it ends, everything goes on as it was. */
#pragma once

#include "base/err.h"
#include "spec/catalog.h"
#include "spec/guard.h"
#include "spec/study.h"

#include <stdbool.h>
#include <stdio.h>

struct guard_options {                  /* borrowed for the whole call */
    const struct spec_study *study;     /* with its `guard:` */
    const char *folder;                 /* of the study's results, which need not exist */
    const struct spec_catalog *catalog; /* to read the study as it is stored with its results */
    bool dry_run;                       /* says what would be done and does nothing */
    bool json;                          /* what is printed is JSON, one object a line */
    int width;                          /* columns, for guard_once; 0: 80 */
};

/* Watches until it is asked to stop (base/cancel.h), which is a success. One guard per study:
 * ERR_BUSY names the other. Says READY=1, STATUS= and WATCHDOG=1 to systemd where that listens. A
 * service that is not there is waited for. What happens goes to `out`, one line each; what is
 * decided goes to the journal (else to stderr), with `json` to `out` as well. */
NODISCARD bool guard_run(const struct guard_options *options, FILE *out, struct err *err);

/* Looks for some seconds and prints what it saw as a table (or JSON): each service with its
 * numbers, each device, and what is wrong in plain words. *ret_wrong: something is (exit 6). */
NODISCARD bool guard_once(const struct guard_options *options, FILE *out, bool *ret_wrong,
                          struct err *err);
