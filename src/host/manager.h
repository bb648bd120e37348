/* systemd's manager over D-Bus: jobs that are waited for, and transient units. The system's own as
 * root, a user's for that user's units. Nothing here decides anything.
 *
 * A connection is for one purpose and short: kept over a whole study it would be a queue of signals
 * that nobody reads. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_scope { HOST_SYSTEM, HOST_USER, HOST_SCOPE_COUNT_ };
extern const char *const host_scope_names[HOST_SCOPE_COUNT_]; /* "system", "user" */

enum { HOST_NAME_SIZE = 256 }; /* systemd's own limit, with the NUL */

struct host_manager; /* opaque */

/* ERR_MISSING when no such manager answers. */
NODISCARD bool host_manager_open(enum host_scope scope, struct host_manager **ret_manager,
                                 struct err *err);
struct host_manager *host_manager_close(struct host_manager *manager); /* returns NULL */
AUTO_FN(struct host_manager, host_manager_close)

struct sd_bus;
struct sd_bus *host_manager_bus(struct host_manager *manager); /* borrowed, for unit.c */

/* What may be asked of a unit. share/polkit names the verbs that guard needs, which are systemd's.
 */
enum host_verb { HOST_STOP, HOST_START, HOST_RESTART, HOST_RELOAD, HOST_VERB_COUNT_ };

/* Does an error of that name (D-Bus; NULL: none) say that we may not, for want of root or of a
 * polkit rule? Then nothing was begun. */
bool host_manager_is_denied(const char *error_name);

/* Asks for it and waits until systemd says that the job is done; a unit's own failure (it does not
 * start) is an ERR_INTERNAL with systemd's word for it, and ERR_INPUT says that we may not.
 * `heed_cancel`: a wish to stop (base/cancel.h) ends the waiting as ERR_STOPPED, and systemd goes
 * on with the job. */
enum host_heed { HOST_HEED_CANCEL, HOST_IGNORE_CANCEL };
NODISCARD bool host_manager_job(struct host_manager *manager, enum host_verb verb, const char *unit,
                                int64_t within_ns, enum host_heed heed, struct err *err);
/* systemd reads its files again. Whether that is needed is not asked: NeedDaemonReload does not see
 * the first drop-in of a unit whose ".d" folder was not there before. */
NODISCARD bool host_manager_reload(struct host_manager *manager, struct err *err);
/* May we restart that unit, and have systemd read its files again? Asked without doing it.
 * ERR_DECLINED says that we may not, and what would let us. */
NODISCARD bool host_manager_may_restart(struct host_manager *manager, const char *unit,
                                        struct err *err);
NODISCARD bool host_manager_may_reload(struct host_manager *manager, enum host_scope scope,
                                       struct err *err);
/* systemd forgets that a unit failed, and how often it was started of late: one that ended over and
 * over is else refused its next start ("start-limit-hit"). No unit of that name is no error. */
void host_manager_forgive(struct host_manager *manager, const char *unit);

struct host_transient {
    const char *name, *description;
    const char *const *argv;        /* absolute program first; NULL at the end */
    const char *const *environment; /* "NAME=value"; NULL at the end */
    int64_t ready_within_ns;
    /* A program that ends by itself: ready once it runs, never started again, and kept by systemd
     * when it failed until host_manager_forgive(). */
    bool once;
    /* Of `once`: systemd ends it after so long, whoever started it is still there or not, and gives
     * it so long to end well; 0: no bound, and systemd's own. */
    int64_t run_within_ns, stop_within_ns;
};
/* Makes and starts a service, of Type=notify unless `once`: true once it has said that it is ready.
 * Started again by systemd when a signal kills it. ERR_BUSY: a unit of that name is there. */
NODISCARD bool host_manager_transient(struct host_manager *manager,
                                      const struct host_transient *unit, struct err *err);
