/* How far a promotion has come, on disk before each step and after it: whoever comes after us can
 * finish it or undo it. One file beside the study's folder ("NAME.spica.promotion.json", mode 0600:
 * it holds whole files), replaced atomically at every change.
 *
 * A step is `doing` before it is begun and `done` after it. Undoing goes backwards and is
 * repeatable: a file is put back to its bytes before (whether the step had happened or not), a unit
 * is restarted. Invariant: with the journal in any state, undoing everything gives the old state.
 */
#pragma once

#include "promote/plan.h"

enum promote_state {
    PROMOTE_APPLYING,
    PROMOTE_VERIFYING,
    PROMOTE_DONE, /* the new state is in production */
    PROMOTE_UNDOING,
    PROMOTE_UNDONE,      /* the old one is again, and was seen to work */
    PROMOTE_UNDO_FAILED, /* something is left to do by hand; the journal says what */
    PROMOTE_STATE_COUNT_
};
const char *promote_state_name(enum promote_state state);

struct promote_journal {
    enum promote_state state;
    char plan_id[17];
    size_t step; /* the step that is being done or undone */
    bool step_begun;
    int64_t since_wall_us;
    const char *user;          /* who approved it, and how: "root, by prompt" */
    const char *why;           /* of an undo: what failed; NULL */
    struct promote_plan *plan; /* owned: as read back, enough to undo without the study file */
};

char *promote_journal_path(const char *folder); /* owned by the caller */
NODISCARD bool promote_journal_write(const char *path, const struct promote_journal *journal,
                                     struct err *err);
/* *ret_journal NULL: there is none. */
NODISCARD bool promote_journal_read(const char *path, struct promote_journal **ret_journal,
                                    struct err *err);
struct promote_journal *promote_journal_free(struct promote_journal *journal);
