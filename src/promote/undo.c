/* Back to what was before.
 *
 * In three parts: all files of steps that were begun, then systemd reads its files again, then
 * units and commands from the last to the first, so that who was given memory last gives it back
 * first. Rejected: undoing step by step backwards, which would restart a unit while its file is
 * still the new one.
 *
 * The first two parts are done anew after a kill, and change nothing the second time; the journal
 * counts down the third, and keeps apart from that how much was ever begun. A unit is restarted
 * when its step was begun, and also when its process is younger than the promotion: systemd may
 * have restarted it by itself with the new files, or somebody may have started one that was down.
 * One that was up and is not any more is started.
 *
 * A file that is neither as before nor as after is somebody's work. A rollback that a person asks
 * for is declined then, with nothing touched; when something was begun and not ended, the old state
 * is more urgent: his version is kept beside the file.
 *
 * When a part can't be done as a whole (a disk that is full or read-only), what comes after it is
 * left: a service must not be restarted with half of its files. The journal stays as it is, and the
 * same command, later, goes on.
 *
 * Invariant: no content of a file of production is lost, whoever wrote it. */
#include "promote/session.h"

#include "promote/along.h"
#include "promote/audit.h"
#include "promote/outside.h"
#include "promote/program.h"
#include "promote/safe_file.h"
#include "promote/surroundings.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

enum { KEPT_MAX = 100 };

struct undo {
    struct promote_session *session;
    size_t begun;      /* steps that were ever begun: the first so many */
    size_t left;       /* those of them whose units and commands are left to be undone */
    bool resumed;      /* an undo before this one came not to its end */
    struct buf failed; /* what could not be done, in words */
    struct buf kept;   /* whose changes stand where */
};

static bool is_edited(const struct promote_session *session, const struct promote_step *step)
{
    const struct promote_hands *hands = session->hands;
    static const struct promote_bytes missing = {0};
    return step->kind == PROMOTE_FILE && !hands->file_is(hands->context, step, &step->before) &&
           !hands->file_is(hands->context, step, &step->after) &&
           !hands->file_is(hands->context, step, &missing);
}

static bool is_resumed(const struct promote_journal *journal)
{
    return journal->state == PROMOTE_UNDOING || journal->state == PROMOTE_UNDO_FAILED;
}

static size_t steps_begun(const struct promote_journal *journal)
{
    return is_resumed(journal) ? journal->begun : journal->step + journal->step_begun;
}

const char *promote_session_edited(const struct promote_session *session, struct arena *arena)
{
    const struct promote_plan *plan = session->journal.plan;
    AUTO(buf_done) struct buf names = BUF_INIT(1 << 16);
    for (size_t i = 0; i < steps_begun(&session->journal); i++)
        if (is_edited(session, &plan->steps[i]))
            buf_addf(&names, "%s%s", names.len ? ", " : "", plan->steps[i].path);
    return names.len || names.over ? arena_strdup(arena, buf_text(&names)) : NULL;
}

static void fail(struct undo *undo, const struct err *err)
{
    char text[2 * sizeof err->text];
    snprintf(text, sizeof text, "%s", err->text);
    promote_outside_hide(undo->session->journal.plan, text, sizeof text);
    buf_addf(&undo->failed, "%s%s", undo->failed.len ? "; " : "", text);
}

/* Somebody's version of the file, beside it under a name that nobody reads. */
static bool keep_edited(struct undo *undo, const struct promote_step *step, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_bytes theirs, there;
    if (!promote_file_read(arena, step->path, &theirs, err))
        return false;
    for (int i = 1; i <= KEPT_MAX; i++) {
        const char *path = i == 1 ? arena_printf(arena, "%s.spica-kept", step->path)
                                  : arena_printf(arena, "%s.spica-kept-%d", step->path, i);
        if (!promote_file_read(arena, path, &there, err))
            return false;
        if (there.there && !promote_bytes_equal(&there, &theirs))
            continue;
        buf_addf(&undo->kept, "; what somebody else wrote meanwhile stands in %s", path);
        return promote_file_put(path, &theirs, err);
    }
    return err_set(err, ERR_INTERNAL, "%s: too many kept versions", step->path);
}

static bool put_back_files(struct undo *undo)
{
    struct promote_session *session = undo->session;
    const struct promote_plan *plan = session->journal.plan;
    for (size_t i = undo->begun; i-- > 0;) {
        const struct promote_step *step = &plan->steps[i];
        struct err err = ERR_INIT;
        if (step->kind != PROMOTE_FILE)
            continue;
        promote_session_tell(session, i, "putting back");
        if ((is_edited(session, step) && !keep_edited(undo, step, &err)) ||
            !session->hands->file_put(session->hands->context, step, &step->before, &err))
            fail(undo, &err);
    }
    return undo->failed.len == 0;
}

/* Also where our reload had not been begun: somebody else may have had systemd read our files. */
static bool reload(struct undo *undo)
{
    struct promote_session *session = undo->session;
    const struct promote_plan *plan = session->journal.plan;
    bool done[HOST_SCOPE_COUNT_] = {false};
    for (size_t i = 0; undo->begun > 0 && i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        struct err err = ERR_INIT;
        if (step->kind != PROMOTE_RELOAD || done[step->scope])
            continue;
        done[step->scope] = true;
        promote_session_tell(session, i, "reloading");
        if (!session->hands->reload(session->hands->context, step->scope, &err))
            fail(undo, &err);
    }
    return undo->failed.len == 0;
}

/* By what is: a unit that was down may have been started since, one that was up may be down. One
 * that can't be asked is restarted when it was up, which says why it can't be. */
static bool must_restart(const struct undo *undo, size_t i, bool *ret_must, struct err *err)
{
    const struct promote_session *session = undo->session;
    const struct promote_step *step = &session->journal.plan->steps[i];
    const struct promote_hands *hands = session->hands;
    struct err cause = ERR_INIT;
    bool up = false;
    *ret_must = i < undo->left && step->was_up;
    if (*ret_must || (undo->begun == 0 && !undo->resumed))
        return true;
    bool asked = hands->unit_is_up(hands->context, step, &up, &cause);
    if (!asked && !step->was_up && cause.code != ERR_DECLINED) /* which says that it is gone */
        return err_set(err, cause.code, "%s", cause.text);
    *ret_must = up ? hands->unit_is_younger(hands->context, step, session->journal.since_wall_us)
                   : step->was_up;
    return true;
}

static bool undo_restart(struct undo *undo, size_t i, struct err *err)
{
    struct promote_session *session = undo->session;
    bool must = false;
    if (!must_restart(undo, i, &must, err) || !must)
        return !must && !err_is_set(err);
    promote_session_tell(session, i, "restarting");
    return promote_session_restart(session, i, HOST_IGNORE_CANCEL, err);
}

static bool undo_run(struct undo *undo, size_t i, struct err *err)
{
    struct promote_session *session = undo->session;
    const struct promote_step *step = &session->journal.plan->steps[i];
    if (i >= undo->left || !step->undo)
        return true;
    promote_session_tell(session, i, "undoing");
    return session->hands->run(session->hands->context, step->undo, session->journal.plan,
                               step->within_ns, HOST_IGNORE_CANCEL, err);
}

static bool (*const kinds[PROMOTE_KIND_COUNT_])(struct undo *undo, size_t i, struct err *err) = {
    [PROMOTE_HOOK] = undo_run,
    [PROMOTE_RESTART] = undo_restart,
    [PROMOTE_COMPOSE] = undo_run,
    [PROMOTE_COMMAND] = undo_run,
};

/* Goes on where one fails: the others are wanted all the same. A journal that can't be written is
 * no reason to stop: what stands in it has more undone, which does no harm. */
static void go_back(struct undo *undo)
{
    struct promote_session *session = undo->session;
    const struct promote_plan *plan = session->journal.plan;
    for (size_t i = plan->step_count; i-- > 0;) {
        struct err err = ERR_INIT, ignored = ERR_INIT;
        if (kinds[plan->steps[i].kind] && !kinds[plan->steps[i].kind](undo, i, &err))
            fail(undo, &err);
        if (i < undo->left && undo->failed.len == 0)
            (void)!promote_session_note(session, PROMOTE_UNDOING, i, false, &ignored);
    }
}

/* Also where one of ours failed: they may hang on another. */
static void raise_others(struct undo *undo)
{
    struct err err = ERR_INIT;
    if ((undo->begun > 0 || undo->resumed) &&
        !promote_session_raise(undo->session, HOST_IGNORE_CANCEL, &err))
        fail(undo, &err);
}

/* Is the old state seen to work? When nothing had ever been begun, nothing is to be seen. */
static void verify(struct undo *undo)
{
    struct promote_session *session = undo->session;
    struct err err = ERR_INIT;
    session->checks = (struct promote_checks){0};
    session->result.verified = false;
    if ((undo->begun > 0 || undo->resumed) && !promote_session_verify(session, false, &err)) {
        err_wrap(&err, "all was put back, and is not seen to work");
        fail(undo, &err);
    }
}

static void add_why(struct promote_result *result, const char *what, const struct err *err)
{
    size_t len = strlen(result->why);
    snprintf(result->why + len, sizeof result->why - len, "%s%.200s", what, err->text);
}

/* What is left in the journal: all of it when something could not be done or is not seen to work,
 * else nothing. It is closed also where the record can't be written. */
static void end(struct undo *undo)
{
    struct promote_session *session = undo->session;
    struct promote_result *result = &session->result;
    bool good = undo->failed.len == 0;
    struct err err = ERR_INIT;
    AUTO(buf_done) struct buf why = BUF_INIT(sizeof result->why - 512);
    result->outcome = good ? PROMOTE_ROLLED_BACK : PROMOTE_ROLLBACK_INCOMPLETE;
    buf_addf(&why, "%.600s", session->journal.why);
    buf_addf(&why, "%s%.1000s", good ? "" : "; left to do: ", buf_text(&undo->failed));
    buf_add(&why, buf_text(&undo->kept)); /* paths are told whole */
    if (why.over)
        buf_add(&why, "; what somebody else wrote stands beside its file as FILE.spica-kept");
    snprintf(result->why, sizeof result->why, "%s", buf_text(&why));
    session->journal.why = result->why;
    result->unrecorded = !promote_audit_add(session->folder, session->journal.plan,
                                            &session->checks, result, session->user, &err);
    if (result->unrecorded)
        add_why(result, "; not recorded: ", &err);
    err = ERR_INIT;
    if (!promote_session_note(session, good ? PROMOTE_UNDONE : PROMOTE_UNDO_FAILED,
                              good ? 0 : undo->begun, false, &err)) {
        result->outcome = PROMOTE_ROLLBACK_INCOMPLETE; /* the journal still says that it goes on */
        add_why(result, "; the journal can't be closed: ", &err);
    }
}

void promote_session_undo(struct promote_session *session, const char *why)
{
    struct undo undo = {.session = session,
                        .begun = steps_begun(&session->journal),
                        .resumed = is_resumed(&session->journal),
                        .failed = BUF_INIT(4096),
                        .kept = BUF_INIT(4096)};
    struct err ignored = ERR_INIT;
    char cause[sizeof session->result.why];
    snprintf(cause, sizeof cause, "%s", why);
    promote_outside_hide(session->journal.plan, cause, sizeof cause);
    session->journal.why = cause;
    undo.left = session->journal.state == PROMOTE_UNDOING
                    ? session->journal.step + session->journal.step_begun
                    : undo.begun;
    session->journal.begun = undo.begun;
    if (session->failed_ns != 0)
        session->result.rollback_after_s = (double)(clock_now_ns() - session->failed_ns) / NS_PER_S;
    (void)!promote_session_note(session, PROMOTE_UNDOING, undo.left, false, &ignored);
    bool all_back = put_back_files(&undo) && reload(&undo);
    if (all_back) {
        go_back(&undo);
        raise_others(&undo);
        all_back = undo.failed.len == 0;
    }
    if (all_back)
        verify(&undo);
    end(&undo);
    session->journal.why = NULL;
    buf_done(&undo.failed);
    buf_done(&undo.kept);
}

/* --- the command --- */

static bool check_unedited(const struct promote_session *session, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *edited = promote_session_edited(session, arena);
    return !edited || err_set(err, ERR_DECLINED,
                              "changed since the promotion, and nothing was touched; move it away "
                              "(what was there before the promotion comes back), then again: %s",
                              edited);
}

/* Asked for by somebody who can still say so; in the middle of something each is asked in its turn.
 */
static bool check_programs(const struct promote_plan *plan, struct err *err)
{
    struct err cause = ERR_INIT;
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].undo && !promote_program_same(plan, plan->steps[i].undo, &cause))
            return err_set(err, ERR_DECLINED,
                           "%s; nothing was touched; put it back, or take it as it is: spica "
                           "rollback --accept program",
                           cause.text);
    return true;
}

/* Those that the promotion has written are looked at by their bytes (check_unedited). */
static const char *const *written_files(const struct promote_plan *plan, struct arena *arena)
{
    const char **paths = arena_array(arena, plan->step_count + 1, sizeof *paths);
    size_t count = 0;
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == PROMOTE_FILE)
            paths[count++] = plan->steps[i].path;
    return paths;
}

static void add_edited(const struct promote_session *session, const struct promote_step *step,
                       const char *const *ours, struct arena *arena, struct buf *found)
{
    const struct promote_hands *hands = session->hands;
    const char *edited = hands->unit_edited(hands->context, step, ours, arena);
    if (edited)
        buf_addf(found, "%s%s", found->len ? "; " : "", edited);
}

/* What the old state's units would start with is not what they ran with: nobody has seen it work,
 * and nobody could go back from it. All of them, since one word accepts them all. In words, in the
 * arena; NULL: none. */
static const char *units_edited(const struct promote_session *session,
                                const struct promote_plan *plan, struct arena *arena)
{
    struct promote_along *along = arena_alloc(arena, sizeof *along);
    const char *const *ours = written_files(plan, arena);
    AUTO(buf_done) struct buf found = BUF_INIT(1 << 16);
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == PROMOTE_RESTART && plan->steps[i].was_up)
            add_edited(session, &plan->steps[i], ours, arena, &found);
    promote_along_list(plan, arena, along);
    for (size_t i = 0; i < along->count; i++)
        add_edited(session, &along->units[i], ours, arena, &found);
    return found.len ? arena_strdup(arena, buf_text(&found)) : NULL;
}

/* Declined, or, where that was accepted, in the record. */
static bool check_units(const struct promote_session *session, const struct promote_plan *plan,
                        bool accepted, struct buf *why, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *edited = units_edited(session, plan, arena);
    if (edited && !accepted)
        return err_set(err, ERR_DECLINED,
                       "nothing was touched; put it back or restart the unit, or take all of "
                       "these as they are (spica rollback --accept unit): %s",
                       edited);
    if (edited)
        buf_addf(why, "; taken as it is: %.600s", edited);
    return true;
}

/* A promotion that is in production: who was stopped since, or is gone, is not ours to start. One
 * that can't be asked is taken to be up. */
static void leave_stopped(const struct promote_session *session, struct promote_step *step,
                          struct arena *arena)
{
    AUTO(buf_done) struct buf left = BUF_INIT(1 << 16);
    for (const char *at = step->dependents; at && *at;) {
        size_t len = strcspn(at, ", ");
        const struct promote_step other = {
            .kind = PROMOTE_RESTART, .scope = step->scope, .unit = arena_strndup(arena, at, len)};
        struct err cause = ERR_INIT;
        bool up = true;
        if (!session->hands->unit_is_up(session->hands->context, &other, &up, &cause))
            up = cause.code != ERR_DECLINED;
        if (up && len)
            buf_addf(&left, "%s%s", left.len ? ", " : "", other.unit);
        at += len + strspn(at + len, ", ");
    }
    if (step->dependents)
        step->dependents = left.len ? arena_strdup(arena, buf_text(&left)) : NULL;
}

static bool undo_last(struct promote_session *session, const char *why,
                      struct promote_accept accept, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    AUTO(buf_done) struct buf cause = BUF_INIT(1024);
    if (!promote_journal_read(session->journal_path, &last, err))
        return false;
    buf_addf(&cause, "%.256s", why);
    if (!last || last->state == PROMOTE_UNDONE)
        return err_set(err, ERR_MISSING, "there is no promotion to undo");
    session->journal = *last;
    snprintf(session->result.approved, sizeof session->result.approved, "%s",
             last->user ? last->user : "unknown");
    session->result.since_wall_us = last->since_wall_us;
    last->plan->any_program = accept.programs;
    if (!promote_session_lock(session, last->plan, err) ||
        (last->state == PROMOTE_DONE &&
         (!check_unedited(session, err) || !check_programs(last->plan, err) ||
          !check_units(session, last->plan, accept.units, &cause, err))))
        return false;
    for (size_t i = 0; last->state == PROMOTE_DONE && i < last->plan->step_count; i++)
        leave_stopped(session, &last->plan->steps[i], last->plan->arena);
    promote_surroundings_take(last->plan->surroundings);
    promote_session_undo(session, buf_text(&cause));
    return true;
}

bool promote_undo_by(const struct promote_hands *hands, const char *folder, const char *user,
                     const char *why, struct promote_accept accept,
                     const struct promote_events *events, struct promote_result *ret_result,
                     struct err *err)
{
    struct promote_session *session = calloc(1, sizeof *session);
    if (!session)
        abort();
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *const *surroundings = promote_surroundings_now(arena);
    bool good = promote_session_open(session, hands, folder, user, events, err) &&
                undo_last(session, why, accept, err);
    if (good)
        *ret_result = session->result;
    promote_session_close(session);
    promote_surroundings_take(surroundings);
    free(session);
    return good;
}

/* Is the study's lock free? Who holds it is in the middle of what the journal says. */
static bool nobody_at_it(const char *folder, struct err *err)
{
    struct promote_session *session = calloc(1, sizeof *session);
    if (!session)
        abort();
    bool free_now = promote_session_open(session, &promote_hands_real, folder, "", NULL, err);
    promote_session_close(session);
    free(session);
    return free_now;
}

bool promote_pending(const char *folder, bool *ret_pending, enum promote_state *ret_state,
                     struct err *err)
{
    AUTO(free) char *path = promote_journal_path(folder);
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    if (!promote_journal_read(path, &last, err))
        return false;
    bool pending = last && promote_journal_is_pending(last);
    if (pending && !nobody_at_it(folder, err))
        return false;
    *ret_pending = pending;
    if (pending)
        *ret_state = last->state;
    return true;
}
