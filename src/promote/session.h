/* One applying or undoing under way: its locks, its journal, what was seen. Private to promote/. */
#pragma once

#include "device/lock.h"
#include "promote/hands.h"

enum { SESSION_LOCKS_MAX = PROMOTE_STEPS_MAX + 1 };

struct promote_session {
    const struct promote_hands *hands;
    struct promote_events events;
    const char *folder, *user;      /* borrowed */
    char *journal_path;             /* owned */
    struct promote_journal journal; /* as on disk; its plan is borrowed */
    struct device_lock *locks[SESSION_LOCKS_MAX];
    size_t lock_count;
    struct promote_checks checks;       /* of the last verification */
    int64_t down_ns[PROMOTE_STEPS_MAX]; /* per step: since when its unit is down; 0: it is not */
    int64_t failed_ns;                  /* when that was seen for which all is undone; 0 */
    struct promote_result result;
};

/* Locks the study: ERR_BUSY names who else is at it. The session is opened even on failure. */
NODISCARD bool promote_session_open(struct promote_session *session,
                                    const struct promote_hands *hands, const char *folder,
                                    const char *user, const struct promote_events *events,
                                    struct err *err);
/* Locks every file and unit of the plan against other studies. */
NODISCARD bool promote_session_lock(struct promote_session *session,
                                    const struct promote_plan *plan, struct err *err);
void promote_session_close(struct promote_session *session);

/* Into the journal, on disk. */
NODISCARD bool promote_session_note(struct promote_session *session, enum promote_state state,
                                    size_t step, bool begun, struct err *err);
void promote_session_tell(const struct promote_session *session, size_t step, const char *doing);
NODISCARD bool promote_session_restart(struct promote_session *session, size_t step,
                                       enum host_heed heed, struct err *err);
/* Units that were stopped along with ours are up again, or which of them could not be started. All
 * are tried. */
NODISCARD bool promote_session_raise(struct promote_session *session, enum host_heed heed,
                                     struct err *err);
/* ERR_PROBLEM: production is not what was promised; the text is the first check's that says so. */
NODISCARD bool promote_session_verify(struct promote_session *session, bool load, struct err *err);
/* Back to what was before, from wherever the journal stands. What could not be put back is said in
 * the result and in the journal. Heeds no wish to stop. */
void promote_session_undo(struct promote_session *session, const char *why);
/* Its files that are neither as before nor as after; NULL: none. In the arena. */
const char *promote_session_edited(const struct promote_session *session, struct arena *arena);
