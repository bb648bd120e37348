/* How far a promotion has come, on disk before each step and after it: whoever comes after us can
 * finish it or undo it. One file beside the study's folder ("NAME.spica.promotion.json", mode 0600:
 * it holds whole files, and what is secret in them, until all is undone), replaced atomically at
 * every change.
 *
 * A step is `begun` before it is done. Undoing first puts back every file of a step that was begun
 * (whether it had happened or not), has systemd read its files again, and then goes backwards
 * through the units and commands; each part of it can be repeated. Invariant: with the journal in
 * any state, undoing gives the old state. */
#pragma once

#include "base/buf.h"
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
    /* Applying: the step that is next, or being done. Undoing: those before it are left to be
     * undone, and it too when it is begun. */
    size_t step;
    bool step_begun;
    size_t begun;          /* undoing: the first so many were ever begun; does not count down */
    int64_t since_wall_us; /* when the applying began */
    const char *user;      /* who approved it, and how: "root, by prompt" */
    const char *why;       /* of an undo: what failed; NULL */
    /* As read back: its steps, names of secrets, where commands run and who won; enough to undo
     * without the study file. Owned when it was read. */
    struct promote_plan *plan;
};

char *promote_journal_path(const char *folder); /* owned by the caller */
/* ERR_LIMIT when it would be larger than what is read back. */
NODISCARD bool promote_journal_write(const char *path, const struct promote_journal *journal,
                                     struct err *err);
/* Would it be read back as it is? Asked before anything is touched: one that is written and can't
 * be read is no way back. */
NODISCARD bool promote_journal_check(const struct promote_journal *journal, struct err *err);
/* *ret_journal NULL: there is none. ERR_INPUT: no such file as we write, or one that somebody else
 * (neither root nor us) owns or may write: it says what is to be written and run as us. */
NODISCARD bool promote_journal_read(const char *path, struct promote_journal **ret_journal,
                                    struct err *err);
struct promote_journal *promote_journal_free(struct promote_journal *journal); /* returns NULL */
AUTO_FN(struct promote_journal, promote_journal_free)

/* "plan 3f2a... undone: /etc/x.conf put back, llm.service restarted": what an undo is to reach. */
void promote_journal_add_left(struct buf *buf, const struct promote_journal *journal);

/* Something was begun and is not ended: also one that was put back and not seen to work, which the
 * same rollback restarts and looks at again. */
bool promote_journal_is_pending(const struct promote_journal *journal);
