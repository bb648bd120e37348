/* What applying and undoing have in common.
 *
 * Locks are flock(2)s of device/lock.h, one for the study and one for each file and unit, so they
 * end with us whatever kills us, and two studies that want the same unit find each other wherever
 * their folders are. Rejected: a lock beside each file of production, litter in /etc.
 *
 * Downtime is from the asking for the restart until the unit is ready: by its port where one is
 * known, else when systemd says that it is started; not until we have verified it. */
#include "promote/session.h"

#include "promote/along.h"
#include "promote/apply.h"

#include "base/cancel.h"
#include "base/clock.h"

#include <math.h>
#include <string.h>

enum { LOCK_ID_SIZE = 64 };

static void lock_id(const char *kind, const char *name, char ret_id[LOCK_ID_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    AUTO(buf_done) struct buf key = BUF_INIT(8192);
    buf_addf(&key, "%s %s", kind, name);
    digest_bytes(buf_text(&key), key.len, hex);
    snprintf(ret_id, LOCK_ID_SIZE, "promotion-%.32s", hex);
}

static bool take_lock(struct promote_session *session, const char *kind, const char *name,
                      struct err *err)
{
    char id[LOCK_ID_SIZE];
    struct err cause = ERR_INIT;
    struct device_lock_holder holder = {0};
    lock_id(kind, name, id);
    const char *slash = strrchr(session->folder, '/');
    if (device_lock_take(name, id, slash ? slash + 1 : session->folder,
                         &session->locks[session->lock_count], &cause)) {
        device_lock_describe(session->locks[session->lock_count++], "promotion");
        return true;
    }
    if (cause.code != ERR_BUSY)
        return err_set(err, cause.code, "%s", cause.text);
    if (!device_lock_held(id, &holder) || holder.pid == 0)
        return err_set(err, ERR_BUSY, "%s is being changed by another promotion; wait for its end",
                       name);
    return err_set(err, ERR_BUSY,
                   "%s is being changed by the promotion of \"%s\" (pid %d); wait for its end",
                   name, holder.study, (int)holder.pid);
}

bool promote_session_open(struct promote_session *session, const struct promote_hands *hands,
                          const char *folder, const char *user, const struct promote_events *events,
                          struct err *err)
{
    *session = (struct promote_session){.hands = hands,
                                        .folder = folder,
                                        .user = user,
                                        .journal_path = promote_journal_path(folder),
                                        .result = {.downtime_s = NAN, .rollback_after_s = NAN}};
    if (events)
        session->events = *events;
    return take_lock(session, "study", session->journal_path, err);
}

bool promote_is_under_way(const char *folder)
{
    char id[LOCK_ID_SIZE];
    struct device_lock_holder holder;
    AUTO(free) char *path = promote_journal_path(folder);
    lock_id("study", path, id);
    return device_lock_held(id, &holder);
}

/* Several steps may name one unit. */
static bool named_before(const struct promote_plan *plan, size_t i)
{
    const struct promote_step *step = &plan->steps[i];
    for (size_t j = 0; j < i; j++) {
        const struct promote_step *other = &plan->steps[j];
        if (other->kind != step->kind)
            continue;
        if (step->kind == PROMOTE_FILE
                ? strcmp(step->path, other->path) == 0
                : step->scope == other->scope && strcmp(step->unit, other->unit) == 0)
            return true;
    }
    return false;
}

/* Two users may each have a unit of that name of their own. */
static bool lock_step(struct promote_session *session, const struct promote_step *step,
                      struct err *err)
{
    char scope[64];
    if (step->kind == PROMOTE_FILE)
        return take_lock(session, "file", step->path, err);
    snprintf(scope, sizeof scope, "%s %u", host_scope_names[step->scope],
             step->scope == HOST_USER ? (unsigned)geteuid() : 0U);
    return take_lock(session, scope, step->unit, err);
}

bool promote_session_lock(struct promote_session *session, const struct promote_plan *plan,
                          struct err *err)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        enum promote_kind kind = plan->steps[i].kind;
        if ((kind == PROMOTE_FILE || kind == PROMOTE_RESTART) && !named_before(plan, i) &&
            !lock_step(session, &plan->steps[i], err))
            return false;
    }
    return true;
}

void promote_session_close(struct promote_session *session)
{
    while (session->lock_count > 0)
        device_lock_release(session->locks[--session->lock_count]);
    free(session->journal_path);
    session->journal_path = NULL;
}

bool promote_session_note(struct promote_session *session, enum promote_state state, size_t step,
                          bool begun, struct err *err)
{
    session->journal.state = state;
    session->journal.step = step;
    session->journal.step_begun = begun;
    return session->hands->write_journal(session->hands->context, session->journal_path,
                                         &session->journal, err);
}

void promote_session_tell(const struct promote_session *session, size_t step, const char *doing)
{
    if (session->events.step)
        session->events.step(session->events.context, &session->journal.plan->steps[step], doing);
}

/* The unit of this step is up again. */
static void note_ready(struct promote_session *session, size_t step)
{
    if (session->down_ns[step] == 0)
        return;
    double s = (double)(clock_now_ns() - session->down_ns[step]) / NS_PER_S;
    session->down_ns[step] = 0;
    if (!(session->result.downtime_s >= s)) /* or it is unknown yet */
        session->result.downtime_s = s;
}

bool promote_session_restart(struct promote_session *session, size_t step, enum host_heed heed,
                             struct err *err)
{
    const struct promote_step *restart = &session->journal.plan->steps[step];
    if (session->down_ns[step] == 0) /* else it has not been up since */
        session->down_ns[step] = clock_now_ns();
    if (!session->hands->unit_restart(session->hands->context, restart, heed, err))
        return false;
    note_ready(session, step); /* by its port, or without one by systemd's word */
    return true;
}

bool promote_session_raise(struct promote_session *session, enum host_heed heed, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_along *along = arena_alloc(arena, sizeof *along);
    bool good = true;
    promote_along_list(session->journal.plan, arena, along);
    for (size_t i = 0; i < along->count; i++) {
        struct err cause = ERR_INIT;
        if (session->hands->unit_raise(session->hands->context, &along->units[i], heed, &cause))
            continue;
        if (good)
            err_set(err, cause.code, "%s, which hangs on what was restarted: %s",
                    along->units[i].unit, cause.text);
        good = false;
    }
    return good;
}

/* --- verifying --- */

static void on_check(void *context, const struct promote_check *check)
{
    struct promote_session *session = context;
    const struct promote_plan *plan = session->journal.plan;
    if (check->answer == PROMOTE_FAILED && session->failed_ns == 0)
        session->failed_ns = clock_now_ns();
    for (size_t i = 0; check->kind == CHECK_READY && i < plan->step_count; i++)
        if (plan->steps[i].service == check->service && check->answer == PROMOTE_PASSED)
            note_ready(session, i);
    if (session->events.verified)
        session->events.verified(session->events.context, check);
}

/* The first check that failed, else the last that is not known: verifying ends with what must be
 * known, and others that need not be may stand before it. */
static const struct promote_check *culprit(const struct promote_checks *checks)
{
    const struct promote_check *unknown = NULL;
    for (size_t i = 0; i < checks->count; i++) {
        if (checks->items[i].answer == PROMOTE_FAILED)
            return &checks->items[i];
        if (checks->items[i].answer == PROMOTE_UNKNOWN)
            unknown = &checks->items[i];
    }
    return unknown;
}

static bool any_passed(const struct promote_checks *checks)
{
    for (size_t i = 0; i < checks->count; i++)
        if (checks->items[i].answer == PROMOTE_PASSED)
            return true;
    return false;
}

bool promote_session_verify(struct promote_session *session, bool load, struct err *err)
{
    session->checks = (struct promote_checks){0};
    session->result.verified = false;
    session->failed_ns = 0;
    bool good = session->hands->verify(session->hands->context, session->journal.plan, load,
                                       on_check, session, &session->checks, err);
    /* Where nobody said when a unit was ready, it is so now. */
    for (size_t i = 0; good && session->checks.passed && i < PROMOTE_STEPS_MAX; i++)
        note_ready(session, i);
    session->result.verified = good && session->checks.passed && any_passed(&session->checks);
    if (good && session->checks.passed)
        return true;
    if (session->failed_ns == 0)
        session->failed_ns = clock_now_ns();
    const struct promote_check *check = culprit(&session->checks);
    if (!good)
        return err_wrap(err, "verifying");
    return err_set(err, ERR_PROBLEM, "%s", check ? check->text : "verifying did not pass");
}
