/* A tier's server on its way down.
 *
 *   on --drain--> draining --empty--> stopping --unit is down--> off
 *   failed, serves --another tier can answer, it is left--> draining ...
 *
 * Draining lasts for at most the front's `timeout:` in all, also where HAProxy, which counts
 * silence, would let a stream go on; where others wait for its memory, for at most a minute. What
 * is on it then is cut. It has to be seen empty twice: a request may have been chosen for it just
 * before it was drained.
 *
 * One that has failed is stopped at once only where nobody loses anything by it. A server on the
 * CPU is slow, and slow answers are better than none: one that takes the front's requests, has some
 * on it, or is the last that HAProxy can use is left as it is, and that is said. The policy leaves
 * it when another is usable; only then it is drained and stopped like any other. While HAProxy does
 * not answer nobody knows who is on it, so that waits as well.
 *
 * Rejected: stopping it at once, so that HAProxy's checks move requests on. Those under way are
 * cut, and where no other runs, all get a 503.
 *
 * systemd's stop may hang (a process in the driver, a unit's own ExecStop), or be refused. After
 * two minutes that is an alarm: what it holds is free for nobody. One whose stop was refused runs
 * on and is used again; one that hangs is off, stays drained and is not started before it is down.
 * Down is systemd's word: while it stops a unit that has no main process any more, others of its
 * control group may be left, which is how a server hangs that has a process of its own for the GPU.
 *
 * Only drains of guard's own are undone. What a person has drained takes no requests, whatever
 * becomes of its server, until a person says that it is ready.
 *
 * What others have spoken for (tier_hold.h) is not stopped, and takes requests again.
 *
 * While the driver is lost or mismatched nothing is stopped, since it would not come back.
 * Invariant: the last usable tier is not stopped, nor one with requests on it before their time. */
#include "guard/tier_unit_inside.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int64_t LOOK_AGAIN_NS = NS_PER_S / 2;
static const int64_t DRAIN_NS = 600 * NS_PER_S, DRAIN_FOR_MEMORY_NS = 60 * NS_PER_S;
static const int64_t STOP_NS = 120 * NS_PER_S;
enum { EMPTY_LOOKS = 2 };
static const int64_t REST_FIRST_NS = 30 * NS_PER_S, REST_MAX_NS = 3600 * NS_PER_S;

long long tier_unit_rest_longer(struct tier_unit *unit, int64_t now_ns)
{
    int64_t rest_ns = REST_FIRST_NS;
    for (int i = 0; i < unit->failures && rest_ns < REST_MAX_NS; i++)
        rest_ns *= 2;
    rest_ns = rest_ns < REST_MAX_NS ? rest_ns : REST_MAX_NS;
    unit->failures++;
    unit->rest_until_ns = now_ns + rest_ns;
    return (long long)(rest_ns / NS_PER_S);
}

/* ---- one that has failed ---- */

static uint64_t on_it(const struct proxy_server *server)
{
    return server->in_flight + server->waiting;
}

/* Would anybody lose an answer? What does not answer gives none to those who may still be sent. */
static bool is_needed(const struct tier_unit *unit, enum tier_fault fault)
{
    const struct tier_look *look = &unit->look;
    bool known;
    if (!tier_unit_runs(unit, &known) && known)
        return false;
    if (!look->server)
        return true;
    const bool sent = look->current && (look->server->usable || fault == FAULT_MISPLACED);
    return on_it(look->server) > 0 || sent || (look->last && look->server->usable);
}

static bool is_down(const struct guard_unit_state *state)
{
    return state->known && state->main_pid == 0 &&
           (strcmp(state->active, "inactive") == 0 || strcmp(state->active, "failed") == 0);
}

static void stop(struct tier_unit *unit, int64_t now_ns)
{
    unit->stop_asked = guard_unit_job(unit->unit, HOST_STOP, now_ns);
}

enum tier_turn tier_unit_tell_denied(struct tier_unit *unit, char *text, size_t size)
{
    if (!unit->stop_asked || !guard_unit_is_denied(unit->unit))
        return TURN_NONE;
    unit->stop_asked = false;
    snprintf(text, size, "%.40s can't be stopped: %.150s", unit->spec->name,
             guard_unit_refused(unit->unit));
    return TURN_STOPPED;
}

/* A resident one is not ours to stop, and a dry run stops none. */
const char *tier_unit_give_up(struct tier_unit *unit, enum tier_fault fault, int64_t now_ns)
{
    tier_unit_become(unit, TIER_FAILED, now_ns);
    unit->to_stop = false;
    if (!unit->unit || unit->spec->resident || unit->options->dry_run || fault == FAULT_DENIED)
        return "";
    const bool needed = is_needed(unit, fault);
    bool known = false, up = tier_unit_runs(unit, &known);
    if (unit->look.held && known && !up)
        return ""; /* what runs later is another */
    if (!needed && !unit->look.held) {
        stop(unit, now_ns);
        return "stopped, ";
    }
    unit->to_stop = true;
    unit->served_pid = guard_unit_state(unit->unit)->main_pid;
    if (!needed)
        return "not stopped before others are done with its unit, ";
    if (!unit->look.server)
        return "not stopped before HAProxy answers, ";
    return unit->look.last ? "not stopped before another tier can answer, "
                           : "stopped once it is empty, ";
}

enum tier_turn tier_unit_left(struct tier_unit *unit, char *text, size_t size)
{
    const struct tier_look *look = &unit->look;
    if (unit->frozen || look->held || !look->server || look->current || look->last)
        return TURN_NONE;
    snprintf(text, size, "%.40s has failed and is left now: drained, then stopped",
             unit->spec->name);
    return TURN_LEFT;
}

/* ---- draining, stopping ---- */

/* It is not stopped after all; one that has failed is no better for that. */
static void keep(struct tier_unit *unit, int64_t now_ns)
{
    if (unit->to_stop)
        tier_unit_become(unit, TIER_FAILED, now_ns);
    else
        tier_unit_come_on(unit, now_ns);
    unit->to_stop = false;
}

/* They may have stopped it themselves. */
static enum tier_turn leave_to_others(struct tier_unit *unit, int64_t now_ns, char *text,
                                      size_t size)
{
    bool known = false, up = tier_unit_runs(unit, &known);
    const bool to_stop = unit->to_stop;
    if (known && !up) {
        snprintf(text, size, "%.40s is down, stopped by others", unit->spec->name);
        unit->to_stop = false;
        tier_unit_become(unit, TIER_OFF, now_ns);
        tier_process_forget(&unit->process);
        return TURN_STOPPED;
    }
    snprintf(text, size, "%.40s is not stopped before others are done with its unit",
             unit->spec->name);
    keep(unit, now_ns);
    unit->to_stop = to_stop;
    return TURN_KEPT;
}

enum tier_turn tier_unit_draining(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    const struct proxy_server *server = unit->look.server;
    bool late = now_ns > unit->drain_until_ns;
    bool empty = server && on_it(server) == 0;
    if (now_ns - unit->since_ns < LOOK_AGAIN_NS)
        return TURN_NONE;
    if (unit->frozen) {
        snprintf(text, size, "%.40s is not stopped: the driver is lost, it would not come back",
                 unit->spec->name);
        keep(unit, now_ns);
        return TURN_KEPT;
    }
    if (unit->look.held)
        return leave_to_others(unit, now_ns, text, size);
    if (server && !server->drained) { /* by a person, or HAProxy could not be told at that time */
        snprintf(text, size, "%.40s takes requests again, it is not stopped", unit->spec->name);
        keep(unit, now_ns);
        return TURN_KEPT;
    }
    /* The one that took its place is gone, whatever this one's memory is needed for. Without
     * HAProxy nobody knows who can answer. */
    if (server && unit->look.last && (unit->to_stop || server->usable)) {
        const bool to_stop = unit->to_stop;
        snprintf(text, size, "%.40s is not stopped: no other tier can answer", unit->spec->name);
        keep(unit, now_ns);
        unit->to_stop = to_stop;
        return TURN_KEPT;
    }
    unit->empty_looks = empty ? unit->empty_looks + 1 : 0;
    if (unit->empty_looks < EMPTY_LOOKS && !late)
        return TURN_NONE;
    snprintf(text, size, "%.40s is stopped", unit->spec->name);
    size_t len = strlen(text);
    if (empty)
        snprintf(text + len, size - len, ", empty");
    else if (server)
        snprintf(text + len, size - len,
                 " with %" PRIu64 " requests on it: they did not end within %lld s", on_it(server),
                 (long long)((now_ns - unit->since_ns) / NS_PER_S));
    stop(unit, now_ns);
    tier_unit_become(unit, TIER_STOPPING, now_ns);
    return TURN_DRAINED;
}

/* Its memory is not free, which others wait for or count with. */
static void note_stay(struct tier_unit *unit, int64_t now_ns)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    const char *refused = guard_unit_refused(unit->unit);
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    buf_addf(&text, "%.40s does not stop: %.60s is %s (%s) %lld s after it was to",
             unit->spec->name, unit->spec->unit, state->known ? state->active : "unknown",
             state->sub, (long long)((now_ns - unit->stays_since_ns) / NS_PER_S));
    if (refused[0])
        buf_addf(&text, ", refused: %.110s", refused);
    if (state->main_pid > 0)
        buf_addf(&text, ", process %" PRIu32, state->main_pid);
    if (!isnan(unit->process.held_bytes)) {
        buf_add(&text, ", it holds ");
        text_add_bytes(&text, unit->process.held_bytes);
    }
    snprintf(unit->stays, sizeof unit->stays, "%s", buf_text(&text));
}

/* What was refused, or hung in its stop, may be wanted again meanwhile: then nobody misses its end.
 */
void tier_unit_look_at_stay(struct tier_unit *unit, int64_t now_ns)
{
    bool known = false, up = tier_unit_runs(unit, &known);
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    const bool another = state->main_pid > 0 && state->main_pid != unit->stays_pid;
    if (!unit->stays[0])
        return;
    if (!known || (!another && !is_down(state) && !(up && unit->look.current))) {
        note_stay(unit, now_ns);
        return;
    }
    unit->stays[0] = '\0';
    if (unit->power == TIER_OFF)
        tier_process_forget(&unit->process);
}

const char *tier_unit_stays(const struct tier_unit *unit)
{
    return unit->stays[0] ? unit->stays : NULL;
}

enum tier_turn tier_unit_stopping(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    bool known = false, up = tier_unit_runs(unit, &known);
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    bool down = is_down(state) && state->at_ns > unit->since_ns;
    if (!down && now_ns - unit->since_ns < STOP_NS)
        return TURN_NONE;
    if (!down && !unit->stays[0]) {
        unit->stays_since_ns = unit->since_ns;
        unit->stays_pid = state->known ? state->main_pid : unit->served_pid;
    }
    if (!down) {
        note_stay(unit, now_ns);
        snprintf(text, size, "%s", unit->stays);
    }
    if (!down && known && up) { /* it was refused */
        keep(unit, now_ns);
        return TURN_STAYS;
    }
    if (down)
        snprintf(text, size, "%.40s is down", unit->spec->name);
    unit->to_stop = false;
    tier_unit_become(unit, TIER_OFF, now_ns);
    if (down)
        tier_process_forget(&unit->process);
    return down ? TURN_STOPPED : TURN_STAYS;
}

bool tier_unit_wants_ready(const struct tier_unit *unit, enum tier_turn turn)
{
    const struct tier_look *look = &unit->look;
    if (!look->server || !look->server->drained || look->server->by_hand)
        return false;
    return unit->power == TIER_ON || turn == TURN_KEPT ||
           (unit->power == TIER_FAILED && look->last);
}

static int64_t drain_ns(const struct tier_unit *unit, enum tier_haste haste)
{
    int64_t timeout_ns = unit->front->timeout_ns > 0 ? unit->front->timeout_ns : DRAIN_NS;
    bool shorter = haste == DRAIN_FOR_MEMORY && timeout_ns > DRAIN_FOR_MEMORY_NS;
    return shorter ? DRAIN_FOR_MEMORY_NS : timeout_ns;
}

void tier_unit_drain(struct tier_unit *unit, enum tier_haste haste, int64_t now_ns)
{
    if (!unit->unit)
        return;
    int64_t until_ns = now_ns + drain_ns(unit, haste);
    if (unit->power == TIER_DRAINING) {
        if (until_ns < unit->drain_until_ns)
            unit->drain_until_ns = until_ns;
        return;
    }
    if (unit->warm)
        tier_warm_forget(unit->warm);
    unit->drain_until_ns = until_ns;
    unit->empty_looks = 0;
    tier_unit_become(unit, TIER_DRAINING, now_ns);
}
