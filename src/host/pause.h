/* Units of production, stopped for a study and started again, whatever ends the study. The journal
 * is written first, then the restorer (host/restorer.h) stands ready, and only then is anything
 * stopped. Only named units are touched. */
#pragma once

#include "host/journal.h"

struct host_plan {
    enum host_scope scope;
    struct host_unit units[HOST_UNITS_MAX]; /* in the order of stopping and of starting */
    size_t count;
};

/* From names, comma-separated. ERR_INPUT: no such unit (names the nearest), one that can't be
 * stopped or started again, one that would take others along which are not named, or that we
 * ourselves run in. */
NODISCARD bool host_plan_read(struct host_manager *manager, enum host_scope scope,
                              const char *names, struct host_plan *ret_plan, struct err *err);
/* Is `name` among them, by its full name? */
bool host_plan_has(const struct host_plan *plan, const char *name);
size_t host_plan_up(const struct host_plan *plan); /* how many of them are up */

/* Would stopping a unit with this control group stop the process whose /proc/PID/cgroup reads
 * `cgroups`? */
bool host_group_holds(const char *group, const char *cgroups);

/* Stops those that are up and waits for each; heeds a wish to stop. What was stopped before a
 * failure stays so: host_restore() undoes it. */
NODISCARD bool host_pause(struct host_manager *manager, const struct host_plan *plan,
                          struct err *err);

enum host_restored {
    HOST_STARTED,
    HOST_WAS_RUNNING, /* somebody else started it: left alone */
    HOST_LEFT_DOWN,   /* it was down before */
    HOST_GONE,        /* the unit no longer exists */
    HOST_FAILED,      /* `why` */
};

struct host_result {
    enum host_restored what[HOST_UNITS_MAX]; /* as the journal's units */
    char why[HOST_UNITS_MAX][256];
    size_t count, started, failed;
};

/* Starts what the journal says was up and is not up now, waits, and looks again a moment later
 * whether it stayed up. ERR_INTERNAL when a unit failed: *ret_result is written all the same. */
NODISCARD bool host_restore(struct host_manager *manager, const struct host_journal *journal,
                            struct host_result *ret_result, struct err *err);
