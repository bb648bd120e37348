/* The straight lines of acting.
 *
 * A restart asks first and refuses rather than guesses: a unit that somebody stopped stays stopped,
 * one that systemd is busy with is left to it, and where a promotion or a paused study is under way
 * the unit is as they want it. Rejected: `systemctl restart` whatever the state, which would undo a
 * person's decision in the night and fight with the very code that is mending things.
 *
 * systemd forgets a failure first ("start-limit-hit" would refuse): how often we restart is bounded
 * by our own limits, which are far slower.
 *
 * Invariant: each says in one line what it has done or why not, with the unit's own name. */
#include "guard/act_work.h"

#include "base/clock.h"
#include "host/pause.h"
#include "promote/apply.h"
#include "promote/run.h"

#include <stdarg.h>
#include <string.h>

static void say(struct guard_said *said, bool done, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void say(struct guard_said *said, bool done, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(said->text, sizeof said->text, fmt, args);
    va_end(args);
    said->done = done;
}

/* ---- restart ---- */

/* Somebody wants this unit as it is: a promotion, or a study that has stopped it. */
static bool is_spoken_for(const struct guard_restart_work *work, const char *unit,
                          struct guard_said *said)
{
    AUTO(free) char *path = host_journal_path(work->folder);
    AUTO(free) struct host_journal *journal = calloc(1, sizeof *journal);
    bool pending = false, found = false;
    enum promote_state state = PROMOTE_DONE;
    struct err err = ERR_INIT;
    if (!journal)
        abort();
    if (!promote_pending(work->folder, &pending, &state, &err)) {
        say(said, false, "%s not restarted: %.150s", unit, err.text);
        return true;
    }
    if (pending) {
        say(said, false,
            "%s not restarted: a promotion was interrupted (%s); first: spica rollback", unit,
            promote_state_name(state));
        return true;
    }
    if (!host_journal_read(path, &found, journal, &err) || !found || journal->done)
        return false; /* a pause that can't be read is the pause's to say */
    for (size_t i = 0; i < journal->count; i++)
        if (strcmp(journal->units[i].name, unit) == 0) {
            say(said, false, "%s not restarted: the study %.60s has stopped it for a while", unit,
                journal->study);
            return true;
        }
    return false;
}

static const struct {
    const char *active, *why;
} not_now[] = {
    {"inactive", "it is stopped, as by somebody's hand, and stays so"},
    {"activating", "systemd is starting it"},
    {"deactivating", "systemd is stopping it"},
    {"reloading", "it is reading its files anew"},
    {"maintenance", "systemd cleans up behind it"},
};

static bool may_restart(const struct host_unit *unit, struct guard_said *said)
{
    if (!unit->found || !unit->can_start || !unit->can_stop) {
        say(said, false, "%.100s not restarted: %s", unit->name,
            !unit->found ? "there is no such unit" : "systemd says that it can't be by hand");
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(not_now); i++)
        if (strcmp(unit->active, not_now[i].active) == 0) {
            say(said, false, "%.100s not restarted: %s (%s, %s)", unit->name, not_now[i].why,
                unit->active, unit->sub);
            return false;
        }
    return true;
}

void guard_work_restart(void *restart, struct guard_said *said)
{
    const struct guard_restart_work *work = restart;
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    AUTO(free) struct host_unit *unit = calloc(1, sizeof *unit);
    struct err err = ERR_INIT;
    if (!unit)
        abort();
    if (!host_manager_open(work->user ? HOST_USER : HOST_SYSTEM, &manager, &err) ||
        !host_unit_read(manager, work->unit, unit, &err)) {
        say(said, false, "%.80s not restarted: %.140s", work->unit, err.text);
        said->refused = true;
        return;
    }
    if (!may_restart(unit, said) || is_spoken_for(work, unit->name, said)) {
        said->refused = true;
        return;
    }
    int64_t begin_ns = clock_now_ns();
    if (strcmp(unit->active, "failed") == 0)
        host_manager_forgive(manager, unit->name);
    if (!host_manager_job(manager, HOST_RESTART, unit->name,
                          unit->start_within_ns + unit->stop_within_ns, HOST_IGNORE_CANCEL, &err)) {
        said->refused = err.code == ERR_INPUT; /* we may not: nothing was begun */
        if (said->refused)
            say(said, false, "not restarted: %.200s", err.text);
        else
            say(said, false, "%.80s: %.150s", unit->name, err.text);
        return;
    }
    say(said, true, "%.80s restarted in %.1f s%s%.60s", unit->name,
        (double)(clock_now_ns() - begin_ns) / NS_PER_S, unit->dependents[0] ? ", and with it " : "",
        unit->dependents);
}

/* ---- rollback ---- */

static const char *const outcome_words[] = {
    [PROMOTE_PROMOTED] = "promoted", /* no way back ends so */
    [PROMOTE_ROLLED_BACK] = "the last promotion is rolled back",
    [PROMOTE_ROLLBACK_INCOMPLETE] = "ROLLBACK INCOMPLETE, somebody must look now",
};

/* Has it come to its end meanwhile? Who can't be asked is left to promote_undo() to say. */
static bool is_over(const char *folder)
{
    bool pending = true;
    enum promote_state state = PROMOTE_DONE;
    struct err ignored = ERR_INIT;
    return promote_pending(folder, &pending, &state, &ignored) && !pending;
}

void guard_work_rollback(void *rollback, struct guard_said *said)
{
    const struct guard_rollback_work *work = rollback;
    const struct promote_accept accept = {.units = true};
    AUTO(free) struct promote_result *result = calloc(1, sizeof *result);
    char why[256];
    struct err err = ERR_INIT;
    if (!result)
        abort();
    if (work->resumed && is_over(work->folder)) {
        say(said, true, "the rollback that an earlier guard began has come to its end");
        return;
    }
    snprintf(why, sizeof why, "guard's rule \"%.200s\"", work->rule);
    /* Nobody can be asked: the old state is more urgent than what somebody did to a unit's file. */
    if (!promote_undo_with(work->folder, "spica guard", why, accept, NULL, result, &err)) {
        say(said, false, "not rolled back: %.200s", err.text);
        said->refused = err.code == ERR_BUSY; /* its locks are taken before anything is done */
        return;
    }
    bool back = result->outcome == PROMOTE_ROLLED_BACK;
    say(said, back, "%s%s%s%.120s", outcome_words[result->outcome],
        !back              ? ""
        : result->verified ? " and was seen to work"
                           : "; nothing was verified",
        back ? "" : ": ", back ? "" : result->why);
}

/* ---- notify ---- */

void guard_work_notify(void *notify, struct guard_said *said)
{
    const struct guard_notify_work *work = notify;
    struct promote_ran ran = {0};
    AUTO(buf_done) struct buf words = BUF_INIT(sizeof said->text);
    struct err err = ERR_INIT;
    if (!promote_run_read(work->argv, work->folder, work->within_ns, PROMOTE_IGNORE_CANCEL, NULL,
                          &ran, &err)) {
        say(said, false, "not told: %.200s", err.text);
        return;
    }
    promote_ran_add_words(&words, &ran);
    bool well = promote_ran_well(&ran);
    say(said, well, well ? "told by %.80s" : "not told: %.80s: %s", work->argv[0],
        buf_text(&words));
}
