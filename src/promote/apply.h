/* Doing what a plan says, and undoing it. One promotion at a time per study and per file (a lock in
 * the journal's folder): ERR_BUSY names the other.
 *
 * Killed at any moment, the next `spica promote` or `spica rollback` reads the journal and undoes
 * what was begun. A wish to stop (base/cancel.h) during applying or verifying is an undo as well.
 */
#pragma once

#include "promote/journal.h"
#include "promote/verify.h"

struct promote_events { /* for the terminal and --json; all optional */
    void *context;
    void (*step)(void *context, const struct promote_step *step, const char *doing);
    void (*verified)(void *context, const struct promote_check *check);
};

enum promote_outcome { PROMOTE_PROMOTED, PROMOTE_ROLLED_BACK, PROMOTE_ROLLBACK_INCOMPLETE };

struct promote_result {
    enum promote_outcome outcome;
    char why[4096];        /* of a rollback */
    char approved[256];    /* of an undo: who approved what is undone, and how; "": as the undo */
    int64_t since_wall_us; /* when that was begun; 0: just now */
    bool verified;         /* the last verification saw something work, and nothing that did not */
    bool unrecorded;       /* all is done, and the audit record could not be written */
    double downtime_s;     /* the longest of a unit, stop to ready; NaN none */
    double rollback_after_s; /* from the failed check to the first step of the undo; NaN */
};

/* The plan must still be true: every file and unit as it was when the plan was made, else
 * ERR_DECLINED and nothing is touched. */
NODISCARD bool promote_apply(const struct promote_plan *plan, const char *folder, const char *user,
                             const struct promote_events *events, struct promote_result *ret_result,
                             struct err *err);
/* Undoes the last promotion, whole or begun. ERR_MISSING: there is none. */
NODISCARD bool promote_undo(const char *folder, const char *user, const char *why,
                            const struct promote_events *events, struct promote_result *ret_result,
                            struct err *err);
/* Commands that undo it are run only when they are those that were approved, and units of a
 * promotion that ended well are restarted only with the files that they run with; a person may take
 * either as it is now. */
struct promote_accept {
    bool programs, units;
};
NODISCARD bool promote_undo_with(const char *folder, const char *user, const char *why,
                                 struct promote_accept accept, const struct promote_events *events,
                                 struct promote_result *ret_result, struct err *err);
/* Something was begun and not ended: *ret_state says where it stands. ERR_BUSY: somebody is at it.
 */
NODISCARD bool promote_pending(const char *folder, bool *ret_pending, enum promote_state *ret_state,
                               struct err *err);
/* Is somebody at it now? By the study's lock, which is held from before the first step to the end
 * and ends with its process: one that was broken off is not under way. Nothing is taken, and the
 * journal, which is for who promotes alone, is not read. */
bool promote_is_under_way(const char *folder);
