/* Applying a plan.
 *
 * Straight on: look whether all is as planned, then step by step with the journal before and after
 * each, then verify. Whatever fails on the way, and a wish to stop, has one end: the undo, which
 * starts from the journal as it stands (promote/undo.c). So there is no second way back that would
 * be taken only when something fails, and the one after a kill is the one that every failure tests.
 *
 * Rejected: finishing what was begun after a kill. Whoever comes later can't know whether the plan
 * is still wanted; that the old state is wanted was never in doubt.
 *
 * Hooks at the end of the plan ("after") run once all is verified: they tell others that it is
 * done.
 *
 * Invariant: nothing is touched before the journal says that it is about to be, and nothing at all
 * before the journal was read back. */
#include "promote/session.h"

#include "promote/along.h"
#include "promote/audit.h"
#include "promote/edited.h"

#include "base/cancel.h"
#include "base/clock.h"

#include <string.h>
#include <unistd.h>

static bool changed(const char *what, struct err *err)
{
    return err_set(err, ERR_DECLINED,
                   "%s has changed since the plan was made: nothing was touched; make a new plan",
                   what);
}

static bool witness_same(const struct promote_witness *witness)
{
    char hex[DIGEST_HEX_SIZE] = "";
    struct err ignored = ERR_INIT;
    if (!digest_file(witness->path, hex, &ignored))
        hex[0] = '\0'; /* as is the digest of a file that was not there */
    if (strcmp(hex, witness->digest) == 0)
        return true;
    promote_digest_private(witness->path, hex);
    return hex[0] && strcmp(hex, witness->digest) == 0;
}

static bool check_unit(const struct promote_session *session, const struct promote_step *step,
                       struct err *err)
{
    bool up = false;
    if (!session->hands->unit_is_up(session->hands->context, step, &up, err))
        return false;
    if (up == step->was_up)
        return true;
    return err_set(err, ERR_DECLINED,
                   "%s was %s when the plan was made and is %s now: nothing was "
                   "touched; make a new plan",
                   step->unit, step->was_up ? "up" : "down", up ? "up" : "down");
}

/* An approval is for one promotion: one that was undone is not begun again by the same plan. */
static bool check_record(const struct promote_session *session, const struct promote_plan *plan,
                         struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *last = NULL;
    if (!promote_audit_last(session->folder, arena, &last, err))
        return false;
    if (!last == !plan->last_record && (!last || strcmp(last, plan->last_record) == 0))
        return true;
    return err_set(err, ERR_DECLINED,
                   "another promotion or rollback has ended since the plan was made (%s): nothing "
                   "was touched; make a new plan",
                   last ? last : "its record is gone");
}

static bool check_as_planned(const struct promote_session *session, const struct promote_plan *plan,
                             struct err *err)
{
    for (size_t i = 0; i < plan->witness_count; i++)
        if (!witness_same(&plan->witnesses[i]))
            return changed(plan->witnesses[i].path, err);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        if (step->kind == PROMOTE_FILE &&
            !session->hands->file_is(session->hands->context, step, &step->before))
            return changed(step->path, err);
        if (step->kind == PROMOTE_RESTART && !check_unit(session, step, err))
            return false;
    }
    return true;
}

/* What we may not do would be found in the middle, and the undo might not be allowed either. */
static bool check_allowed(const struct promote_session *session, const struct promote_plan *plan,
                          struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_along *along = arena_alloc(arena, sizeof *along);
    struct err cause = ERR_INIT;
    for (size_t i = 0; i < plan->step_count; i++)
        if (!session->hands->may(session->hands->context, &plan->steps[i], &cause))
            return err_set(err, ERR_DECLINED, "%s; nothing was touched", cause.text);
    promote_along_list(plan, arena, along);
    for (size_t i = 0; i < along->count; i++)
        if (!session->hands->may(session->hands->context, &along->units[i], &cause))
            return err_set(err, ERR_DECLINED,
                           "%s (it is stopped along with what is restarted); nothing was touched",
                           cause.text);
    return true;
}

/* --- one step of each kind --- */

/* Before the journal says that it is begun: what we have not written is not put back. */
static bool check_file(const struct promote_session *session, size_t i, struct err *err)
{
    const struct promote_step *step = &session->journal.plan->steps[i];
    return step->kind != PROMOTE_FILE ||
           session->hands->file_is(session->hands->context, step, &step->before) ||
           err_set(err, ERR_PROBLEM, "%s was changed by somebody else just now", step->path);
}

static bool do_file(struct promote_session *session, size_t i, struct err *err)
{
    const struct promote_step *step = &session->journal.plan->steps[i];
    return check_file(session, i, err) &&
           session->hands->file_put(session->hands->context, step, &step->after, err);
}

/* All files are written by now: what systemd has read of each unit is compared before the first is
 * restarted. */
static bool do_reload(struct promote_session *session, size_t i, struct err *err)
{
    const struct promote_plan *plan = session->journal.plan;
    enum host_scope scope = plan->steps[i].scope;
    if (!session->hands->reload(session->hands->context, scope, err))
        return false;
    for (size_t j = 0; j < plan->step_count; j++) {
        const struct promote_step *step = &plan->steps[j];
        if (step->kind == PROMOTE_RESTART && step->scope == scope &&
            (step->environment || step->exec || step->drop_ins) &&
            !session->hands->unit_check(session->hands->context, step, err))
            return false;
    }
    return true;
}

static bool do_restart(struct promote_session *session, size_t i, struct err *err)
{
    const struct promote_step *step = &session->journal.plan->steps[i];
    bool up = false;
    if (step->was_up)
        return promote_session_restart(session, i, HOST_HEED_CANCEL, err);
    if (!session->hands->unit_is_up(session->hands->context, step, &up, err))
        return false;
    return !up || err_set(err, ERR_PROBLEM,
                          "%s was down when the plan was made, and was started by somebody else "
                          "just now",
                          step->unit);
}

static bool do_run(struct promote_session *session, size_t i, struct err *err)
{
    const struct promote_step *step = &session->journal.plan->steps[i];
    return session->hands->run(session->hands->context, step->run, session->journal.plan,
                               step->within_ns, HOST_HEED_CANCEL, err);
}

static const struct {
    const char *doing;
    bool (*apply)(struct promote_session *session, size_t i, struct err *err);
} kinds[PROMOTE_KIND_COUNT_] = {
    [PROMOTE_HOOK] = {"running", do_run},        [PROMOTE_FILE] = {"writing", do_file},
    [PROMOTE_RELOAD] = {"reloading", do_reload}, [PROMOTE_RESTART] = {"restarting", do_restart},
    [PROMOTE_COMPOSE] = {"running", do_run},     [PROMOTE_COMMAND] = {"running", do_run},
};

static bool apply_steps(struct promote_session *session, enum promote_state state, size_t from,
                        size_t to, struct err *err)
{
    for (size_t i = from; i < to; i++) {
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped by a wish");
        if (!check_file(session, i, err) || !promote_session_note(session, state, i, true, err))
            return false;
        const struct promote_step *step = &session->journal.plan->steps[i];
        const enum promote_kind kind = step->kind;
        bool left_down = kind == PROMOTE_RESTART && !step->was_up;
        promote_session_tell(session, i, left_down ? "leaving down" : kinds[kind].doing);
        if (!kinds[kind].apply(session, i, err) ||
            !promote_session_note(session, state, i + 1, false, err))
            return false;
    }
    return true;
}

/* The first of the hooks that wait for the verification; a plan of hooks alone has none. */
static size_t first_after(const struct promote_plan *plan)
{
    size_t first = plan->step_count;
    while (first > 0 && plan->steps[first - 1].kind == PROMOTE_HOOK)
        first--;
    return first > 0 ? first : plan->step_count;
}

static bool apply_all(struct promote_session *session, struct err *err)
{
    const struct promote_plan *plan = session->journal.plan;
    size_t after = first_after(plan);
    if (!apply_steps(session, PROMOTE_APPLYING, 0, after, err) ||
        !promote_session_raise(session, HOST_HEED_CANCEL, err) ||
        !promote_session_note(session, PROMOTE_VERIFYING, after, false, err) ||
        !promote_session_verify(session, true, err) ||
        !apply_steps(session, PROMOTE_VERIFYING, after, plan->step_count, err))
        return false;
    if (cancel_level() != CANCEL_NONE)
        return err_set(err, ERR_STOPPED, "stopped by a wish");
    session->result.outcome = PROMOTE_PROMOTED;
    return promote_audit_add(session->folder, plan, &session->checks, &session->result,
                             session->user, err) &&
           promote_session_note(session, PROMOTE_DONE, plan->step_count, false, err);
}

static bool gives_up(const struct promote_plan *plan)
{
    for (size_t i = 0; i < plan->difference_count; i++)
        if (strcmp(plan->differences[i].name, "undo") == 0 && plan->differences[i].accepted)
            return true;
    return false;
}

/* The journal of an undo that is given up stays beside the new one: it has the files as they were.
 */
static bool keep_given_up(const struct promote_session *session, const struct promote_journal *last,
                          struct err *err)
{
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%s.given-up-%s", session->journal_path, last->plan_id);
    return rename(session->journal_path, buf_text(&path)) == 0 ||
           err_sys(err, "keeping %s", session->journal_path);
}

static bool check_none_pending(const struct promote_session *session,
                               const struct promote_plan *plan, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    if (!promote_journal_read(session->journal_path, &last, err))
        return false;
    return !last || !promote_journal_is_pending(last) ||
           (last->state == PROMOTE_UNDO_FAILED && gives_up(plan)) ||
           err_set(err, ERR_DECLINED,
                   "an earlier promotion has not ended (%s): nothing was touched; first: spica "
                   "rollback",
                   promote_state_name(last->state));
}

static bool keep_pending(const struct promote_session *session, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    if (!promote_journal_read(session->journal_path, &last, err))
        return false;
    return !last || !promote_journal_is_pending(last) || keep_given_up(session, last, err);
}

/* The first that is written, read back: checked before, so that the one of an earlier promotion is
 * not lost for nothing, and on disk. */
static bool begin_journal(struct promote_session *session, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *back = NULL;
    if (!promote_journal_check(&session->journal, err) || !keep_pending(session, err) ||
        !promote_session_note(session, PROMOTE_APPLYING, 0, false, err))
        return false;
    if (promote_journal_read(session->journal_path, &back, err) && back)
        return true;
    unlink(session->journal_path);
    return err_is_set(err) ||
           err_set(err, ERR_INTERNAL, "%s: was written and is not there", session->journal_path);
}

static bool apply(struct promote_session *session, const struct promote_plan *plan, struct err *err)
{
    struct err cause = ERR_INIT;
    if (!promote_session_lock(session, plan, err) || !check_none_pending(session, plan, err) ||
        !check_record(session, plan, err) || !check_as_planned(session, plan, err) ||
        !check_allowed(session, plan, err) || !promote_audit_prepare(session->folder, err))
        return false;
    session->journal =
        (struct promote_journal){.since_wall_us = clock_now_wall_us(),
                                 .user = session->user,
                                 .plan = (struct promote_plan *)plan}; /* only read */
    session->result.since_wall_us = session->journal.since_wall_us;
    snprintf(session->journal.plan_id, sizeof session->journal.plan_id, "%s", plan->id);
    if (!begin_journal(session, err))
        return err_wrap(err, "nothing was touched");
    if (apply_all(session, &cause))
        return true;
    if (session->failed_ns == 0)
        session->failed_ns = clock_now_ns();
    promote_session_undo(session, cause.text);
    return true;
}

bool promote_apply_by(const struct promote_hands *hands, const struct promote_plan *plan,
                      const char *folder, const char *user, const struct promote_events *events,
                      struct promote_result *ret_result, struct err *err)
{
    struct promote_session *session = calloc(1, sizeof *session);
    if (!session)
        abort();
    bool good = promote_session_open(session, hands, folder, user, events, err) &&
                apply(session, plan, err);
    if (good)
        *ret_result = session->result;
    promote_session_close(session);
    free(session);
    return good;
}
