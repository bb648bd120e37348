/* One tier's server.
 *
 *   off --start--> starting --unit runs--> warming --an answer, in the right place--> on
 *   starting, warming --unit failed, too late, wrong place--> (stopped) failed, rests --> off
 *
 * The way down, and what becomes of one that has failed, is tier_down.c.
 *
 * Warm means that one real request was answered: the first one loads weights, compiles kernels and
 * takes the memory that is only taken under work. Where the service must be on the GPU its place is
 * proven by that request, as in a trial; not proven after three is not there. It is asked again and
 * again until it answers, which is the one kind of "ready" that every server has.
 *
 * The current tier that runs when guard begins is taken as warm: it has served. So is one without a
 * unit whenever HAProxy finds it usable. Any other that runs is warmed first, whoever has started
 * it: a guard before us may have died while it was warming. So is one that was restarted meanwhile,
 * between two looks too: its process is another then.
 *
 * One that is on, and only then, is asked for its place as long as it is on, whether or not it
 * takes requests (tier_place.c). One that works elsewhere has failed, keeps failing until a first
 * request proves another place, and is never chosen meanwhile. Without a unit it is back when the
 * driver lists it; it may load only when it is asked, so it is asked now and then.
 *
 * While the driver is lost or mismatched what does not come up is waited for.
 *
 * Rejected: waiting for systemd's job (host/manager.h): minutes, for a server that loads weights.
 * Invariant: whatever was asked for ends, at its deadline if by nothing else. */
#include "guard/tier_unit_inside.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const guard_tier_power_names[TIER_POWER_COUNT_] = {
    [TIER_OFF] = "off",       [TIER_STARTING] = "starting", [TIER_WARMING] = "warming",
    [TIER_ON] = "on",         [TIER_DRAINING] = "draining", [TIER_STOPPING] = "stopping",
    [TIER_FAILED] = "failed",
};

enum { PROOFS_MAX = 3 };
static const int64_t ASK_AGAIN_NS = NS_PER_S;
static const int64_t WARM_AGAIN_NS = 120 * NS_PER_S; /* one that has failed and runs still */
static const int64_t SETTLE_NS = 5 * NS_PER_S;       /* memory goes later than its process */
static const int64_t START_MIN_NS = 30 * NS_PER_S;   /* to systemd's own "active" */
static const int64_t REST_FIRST_NS = 30 * NS_PER_S;

struct tier_unit *tier_unit_new(const struct tier_unit_setup *setup)
{
    const struct guard_tiers_options *options = setup->options;
    struct tier_unit *unit = calloc(1, sizeof *unit);
    if (!unit)
        abort();
    unit->options = options;
    unit->front = setup->front;
    unit->spec = &setup->front->tiers[setup->tier];
    unit->service = &options->study->services[setup->front->service];
    unit->corpora = setup->corpora;
    if (unit->spec->unit && setup->managers)
        unit->unit = guard_unit_new(setup->managers, unit->spec->unit, unit->spec->user);
    unit->process = tier_process_new();
    unit->latency_s = NAN;
    tier_unit_follow(unit, setup->candidate);
    return unit;
}

void tier_unit_follow(struct tier_unit *unit, const struct spec_candidate *candidate)
{
    const struct spec_study *study = unit->options->study;
    const size_t service = unit->front->service;
    const size_t device = spec_candidate_device(study, candidate, service);
    if (device != unit->device_index)
        tier_process_forget(&unit->process);
    unit->device_index = device;
    unit->device = unit->options->devices ? &unit->options->devices[device] : NULL;
    tier_warm_free(unit->warm);
    unit->warm = tier_warm_new(study, service, unit->spec->port, candidate, unit->corpora);
}

struct tier_unit *tier_unit_free(struct tier_unit *unit)
{
    if (unit) {
        tier_warm_free(unit->warm);
        tier_process_forget(&unit->process);
        guard_unit_free(unit->unit);
        free(unit);
    }
    return NULL;
}

void tier_unit_become(struct tier_unit *unit, enum guard_tier_power power, int64_t now_ns)
{
    unit->power = power;
    unit->since_ns = now_ns;
}

bool tier_unit_runs(const struct tier_unit *unit, bool *ret_known)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    *ret_known = state->known;
    /* One that reads its settings anew serves meanwhile. */
    return strcmp(state->active, "active") == 0 || strcmp(state->active, "reloading") == 0;
}

/* ---- its process ---- */

static struct device *device_of(const struct tier_unit *unit)
{
    return unit->device ? *unit->device : NULL;
}

static pid_t main_pid(void *owner)
{
    struct tier_unit *unit = owner;
    if (unit->unit)
        return (pid_t)guard_unit_state(unit->unit)->main_pid;
    return proc_listening(&unit->listening, "/proc", unit->spec->port);
}

/* On its way up a request proves it; what the driver said before that is over. */
static bool has_place(const struct tier_unit *unit)
{
    return unit->power == TIER_ON || (unit->power == TIER_FAILED && !unit->unit);
}

static void weigh(struct tier_unit *unit, int64_t now_ns)
{
    const struct tier_process_look look = {
        .device = device_of(unit),
        .device_name = unit->options->study->devices[unit->device_index],
        .find = main_pid,
        .owner = unit,
        .place = unit->service->on == ON_GPU && !unit->frozen && has_place(unit)};
    tier_process_weigh(&unit->process, &look, now_ns);
}

/* ---- its first request ---- */

static bool must_prove(const struct tier_unit *unit)
{
    return unit->service->on == ON_GPU && device_of(unit) != NULL;
}

static void ask(struct tier_unit *unit, int64_t now_ns)
{
    unit->asked_ns = now_ns;
    if (must_prove(unit) && tier_process_follow(&unit->process, main_pid(unit)))
        device_usage(device_of(unit), unit->process.alive.anchor, &unit->before);
    tier_warm_ask(unit->warm, now_ns);
}

/* ---- the way up ---- */

/* What serves from now on; another process would be cold again. */
void tier_unit_come_on(struct tier_unit *unit, int64_t now_ns)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    unit->served_pid = state->known ? state->main_pid : 0;
    unit->process.place = (struct tier_place){.proven_pid = unit->proven_pid};
    unit->proven_pid = 0;
    unit->to_stop = false;
    tier_unit_become(unit, TIER_ON, now_ns);
}

static void begin_warming(struct tier_unit *unit, int64_t now_ns)
{
    if (unit->warm)
        tier_warm_forget(unit->warm);
    unit->to_stop = false;
    tier_unit_become(unit, TIER_WARMING, now_ns);
    unit->asked_ns = unit->proofs = 0;
}

static enum tier_turn fail(struct tier_unit *unit, enum tier_fault fault, int64_t now_ns,
                           const char *why, char *text, size_t size)
{
    if (unit->warm)
        tier_warm_forget(unit->warm);
    if (unit->frozen) { /* it can't, or it can't be proven: its time begins anew */
        unit->since_ns = now_ns;
        unit->proofs = 0;
        return TURN_NONE;
    }
    const long long rest_s = tier_unit_rest_longer(unit, now_ns);
    snprintf(text, size, "%.40s did not come up: %.120s; %snot tried again for %lld s",
             unit->spec->name, why, tier_unit_give_up(unit, fault, now_ns), rest_s);
    return TURN_FAILED;
}

/* It was on, and the driver says that it is not on its card. */
static enum tier_turn lose_place(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    unit->process.place.lost = false;
    (void)tier_unit_rest_longer(unit, now_ns);
    snprintf(text, size, "%.40s must be on the GPU and is on the CPU: %.100s; %sit is not chosen",
             unit->spec->name, unit->process.place.seen.evidence,
             tier_unit_give_up(unit, FAULT_MISPLACED, now_ns));
    return TURN_FAILED;
}

static enum tier_turn note_warm(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    AUTO(buf_done) struct buf words = BUF_INIT(256);
    tier_unit_come_on(unit, now_ns);
    unit->failures = 0;
    weigh(unit, now_ns);
    buf_addf(&words, "%s is warm", unit->spec->name);
    if (unit->warm) {
        buf_add(&words, ", its first answer took ");
        text_add_duration(&words, unit->latency_s);
    }
    if (!isnan(unit->process.held_bytes)) {
        buf_add(&words, ", it holds ");
        text_add_bytes(&words, unit->process.held_bytes);
    }
    snprintf(text, size, "%s%s", buf_text(&words), must_prove(unit) ? ", on the GPU" : "");
    return TURN_CAME;
}

/* Another has its port, and has answered for it. */
static bool is_anothers(struct tier_unit *unit, int64_t now_ns, char *ret_why, size_t size)
{
    struct guard_port_asked asked = {.port = unit->spec->port, .unit = unit->spec->unit};
    return proc_read_stat("/proc", main_pid(unit), &asked.main) &&
           guard_port_whose(&unit->port, "/proc", &asked, now_ns, ret_why, size) == PORT_ANOTHERS;
}

/* An answer has come. */
static enum tier_turn judge_place(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    struct device_usage after;
    struct device_proof proof = {.evidence = {"its process is not known"}};
    char why[200];
    if (is_anothers(unit, now_ns, why, sizeof why))
        return fail(unit, FAULT_SILENT, now_ns, why, text, size);
    if (!must_prove(unit))
        return note_warm(unit, now_ns, text, size);
    if (unit->process.alive.anchor > 0) {
        device_usage(device_of(unit), unit->process.alive.anchor, &after);
        device_prove(device_of(unit), &unit->before, &after, ON_GPU, &proof);
    }
    if (proof.placement == PLACEMENT_GPU) {
        unit->proven_pid = unit->process.alive.main.pid;
        return note_warm(unit, now_ns, text, size);
    }
    if (proof.placement == PLACEMENT_UNPROVEN && ++unit->proofs < PROOFS_MAX)
        return TURN_NONE;                                                    /* asked once more */
    unit->process.place = (struct tier_place){.seen.word = proof.placement}; /* to be shown */
    snprintf(why, sizeof why, "it must be on the GPU and is %s (%.80s)",
             device_placement_names[proof.placement], proof.evidence[0]);
    return fail(unit, FAULT_MISPLACED, now_ns, why, text, size);
}

/* Who has spoken for it takes it down while it comes up: it has not failed, and nobody is called.
 */
static enum tier_turn taken_down(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    snprintf(text, size, "%.40s is down while others have its unit: %.60s is %s (%s)",
             unit->spec->name, unit->spec->unit, state->active, state->result);
    if (unit->warm)
        tier_warm_forget(unit->warm);
    unit->to_stop = false;
    tier_process_forget(&unit->process);
    tier_unit_become(unit, TIER_OFF, now_ns);
    return TURN_WENT;
}

static enum tier_turn step_warming(struct tier_unit *unit, const struct proxy_server *server,
                                   int64_t now_ns, char *text, size_t size)
{
    char why[160];
    bool known = false, up = tier_unit_runs(unit, &known);
    if (known && !up) {
        const struct guard_unit_state *state = guard_unit_state(unit->unit);
        if (unit->look.held)
            return taken_down(unit, now_ns, text, size);
        snprintf(why, sizeof why, "%.60s is %s (%s)", unit->spec->unit, state->active,
                 state->result);
        return fail(unit, FAULT_SILENT, now_ns, why, text, size);
    }
    if (!unit->warm && !server)
        return TURN_NONE; /* only HAProxy would say so */
    if (!unit->warm && server->usable)
        return note_warm(unit, now_ns, text, size);
    if (unit->warm && tier_warm_is_asking(unit->warm) &&
        tier_warm_look(unit->warm, now_ns, &unit->latency_s) == WARMTH_ANSWERED)
        return judge_place(unit, now_ns, text, size);
    int64_t within_ns =
        unit->service->ready_within_ns + (unit->warm ? tier_warm_within_ns(unit->warm) : 0);
    if (now_ns - unit->since_ns > within_ns) {
        snprintf(why, sizeof why, "no answer within %lld s (%.100s)",
                 (long long)((now_ns - unit->since_ns) / NS_PER_S),
                 unit->warm ? tier_warm_words(unit->warm) : "HAProxy finds it not usable");
        return fail(unit, FAULT_SILENT, now_ns, why, text, size);
    }
    if (unit->warm && !tier_warm_is_asking(unit->warm) && now_ns - unit->asked_ns >= ASK_AGAIN_NS)
        ask(unit, now_ns);
    return TURN_NONE;
}

static enum tier_turn step_starting(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    int64_t within_ns = unit->service->ready_within_ns;
    char why[200];
    if (guard_unit_refused(unit->unit)[0])
        return fail(unit, guard_unit_is_denied(unit->unit) ? FAULT_DENIED : FAULT_SILENT, now_ns,
                    guard_unit_refused(unit->unit), text, size);
    /* An answer from before we asked says nothing. */
    bool known = false, up = tier_unit_runs(unit, &known);
    bool fresh = known && state->at_ns > unit->since_ns + ASK_AGAIN_NS / 2;
    if (fresh && up) {
        begin_warming(unit, now_ns);
        return TURN_NONE;
    }
    if (fresh && unit->look.held && strcmp(state->active, "activating") != 0)
        return taken_down(unit, now_ns, text, size);
    bool failed =
        fresh && (strcmp(state->active, "failed") == 0 || strcmp(state->active, "inactive") == 0 ||
                  strncmp(state->sub, "auto-restart", strlen("auto-restart")) == 0);
    within_ns = within_ns < START_MIN_NS ? START_MIN_NS : within_ns;
    if (!failed && now_ns - unit->since_ns <= within_ns)
        return TURN_NONE;
    snprintf(why, sizeof why, "%.60s is %s (%s, its result: %s)", unit->spec->unit,
             state->known ? state->active : "unknown", state->sub, state->result);
    return fail(unit, FAULT_SILENT, now_ns, why, text, size);
}

/* ---- on, and the way down ---- */

/* True when another process than the one that was proven is behind its port. */
static bool is_another(struct tier_unit *unit, const struct guard_unit_state *state)
{
    if (unit->served_pid == 0)
        unit->served_pid = state->main_pid;
    return state->main_pid > 0 && state->main_pid != unit->served_pid;
}

static enum tier_turn step_off(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    bool known = false, up = tier_unit_runs(unit, &known);
    unit->to_stop = unit->to_stop && (up || !known);
    if (!up || !known)
        return TURN_NONE;
    if (unit->to_stop && is_another(unit, guard_unit_state(unit->unit))) {
        begin_warming(unit, now_ns); /* somebody has restarted it: it may be well */
        return TURN_NONE;
    }
    const enum tier_turn turn = unit->to_stop ? tier_unit_left(unit, text, size) : TURN_NONE;
    if (turn != TURN_NONE)
        return turn;
    if (unit->power == TIER_FAILED && now_ns - unit->since_ns < WARM_AGAIN_NS)
        return TURN_NONE; /* on its way down */
    if (!unit->looked && unit->look.current)
        tier_unit_come_on(unit, now_ns);
    else
        begin_warming(unit, now_ns);
    return TURN_NONE;
}

static enum tier_turn step_on(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    const struct guard_unit_state *state = guard_unit_state(unit->unit);
    bool known = false, up = tier_unit_runs(unit, &known);
    if (up && known && is_another(unit, state)) {
        snprintf(text, size, "%.40s was restarted (process %u after %u): it is warmed again",
                 unit->spec->name, (unsigned)state->main_pid, (unsigned)unit->served_pid);
        tier_process_forget(&unit->process);
        begin_warming(unit, now_ns);
        return TURN_WENT;
    }
    if (up || !known)
        return TURN_NONE;
    snprintf(text, size, "%.40s is down: %.60s is %s (%s)", unit->spec->name, unit->spec->unit,
             state->active, state->result);
    tier_process_forget(&unit->process);
    tier_unit_become(unit, TIER_OFF, now_ns);
    return TURN_WENT;
}

/* One that is failed and has no unit: who takes no requests and loads with the first would never be
 * listed again. */
static void ask_lost(struct tier_unit *unit, int64_t now_ns)
{
    if (!unit->warm || unit->frozen)
        return;
    if (tier_warm_is_asking(unit->warm)) {
        (void)tier_warm_look(unit->warm, now_ns, &unit->latency_s);
    } else if (now_ns >= unit->rest_until_ns) {
        (void)tier_unit_rest_longer(unit, now_ns);
        tier_warm_ask(unit->warm, now_ns);
    }
}

/* A tier without a unit is up where HAProxy finds it so, and where the driver does not say that it
 * is in the wrong place. */
static enum tier_turn follow(struct tier_unit *unit, const struct proxy_server *server,
                             int64_t now_ns, char *text, size_t size)
{
    const bool lost = unit->power == TIER_FAILED;
    enum guard_tier_power power = server && server->usable ? TIER_ON : TIER_OFF;
    weigh(unit, now_ns);
    if (unit->process.place.lost && power == TIER_ON)
        return lose_place(unit, now_ns, text, size);
    if (lost && tier_place_is_wrong(&unit->process.place) && power == TIER_ON) {
        ask_lost(unit, now_ns);
        return TURN_NONE;
    }
    if (server && power != unit->power) {
        if (unit->warm)
            tier_warm_forget(unit->warm);
        unit->process.place = (struct tier_place){0};
        tier_unit_become(unit, power, now_ns);
    }
    if (!lost || power != TIER_ON)
        return TURN_NONE;
    unit->failures = 0;
    unit->rest_until_ns = 0;
    snprintf(text, size, "%.40s is on the GPU again", unit->spec->name);
    return TURN_CAME;
}

static enum tier_turn step_power(struct tier_unit *unit, const struct tier_look *look,
                                 int64_t now_ns, char *text, size_t size)
{
    switch (unit->power) {
    case TIER_STARTING:
        return step_starting(unit, now_ns, text, size);
    case TIER_WARMING:
        return step_warming(unit, look->server, now_ns, text, size);
    case TIER_ON:
        return step_on(unit, now_ns, text, size);
    case TIER_DRAINING:
        return tier_unit_draining(unit, now_ns, text, size);
    case TIER_STOPPING:
        return tier_unit_stopping(unit, now_ns, text, size);
    default:
        return step_off(unit, now_ns, text, size);
    }
}

enum tier_turn tier_unit_step(struct tier_unit *unit, const struct tier_look *look, int64_t now_ns,
                              char *text, size_t size)
{
    const struct proxy_server *server = look->server;
    enum tier_turn turn = TURN_NONE;
    unit->look = *look;
    unit->frozen = look->frozen;
    if (!unit->unit)
        return follow(unit, server, now_ns, text, size);
    /* It serves already; what systemd says of it comes with the next look. */
    if (!unit->looked && unit->power == TIER_OFF && look->current && server && server->usable)
        tier_unit_come_on(unit, now_ns);
    turn = step_power(unit, look, now_ns, text, size);
    if (turn == TURN_NONE)
        turn = tier_unit_tell_denied(unit, text, size);
    tier_unit_look_at_stay(unit, now_ns);
    unit->looked = unit->looked || guard_unit_state(unit->unit)->known;
    if (unit->power != TIER_OFF || unit->stays[0])
        weigh(unit, now_ns);
    if (unit->process.place.lost && unit->power == TIER_ON && turn == TURN_NONE)
        turn = lose_place(unit, now_ns, text, size);
    guard_unit_ask(unit->unit, now_ns);
    return turn;
}

bool tier_unit_start(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    if (!unit->unit || !guard_unit_job(unit->unit, HOST_START, now_ns)) {
        snprintf(text, size, "%.40s can't be started: %.120s", unit->spec->name,
                 unit->unit ? guard_unit_refused(unit->unit) : "it has no unit");
        tier_unit_rest(unit, now_ns, REST_FIRST_NS);
        return false;
    }
    unit->stop_asked = false;
    if (unit->warm)
        tier_warm_forget(unit->warm);
    tier_unit_become(unit, TIER_STARTING, now_ns);
    return true;
}

void tier_unit_rest(struct tier_unit *unit, int64_t now_ns, int64_t for_ns)
{
    unit->rest_until_ns = now_ns + for_ns;
}

enum guard_tier_power tier_unit_power(const struct tier_unit *unit)
{
    return unit->power;
}

double tier_unit_ours(struct tier_unit *unit, bool again, int64_t now_ns)
{
    const struct tier_process *process = &unit->process;
    if (again && unit->power != TIER_OFF) {
        unit->process.held_at_ns = 0;
        weigh(unit, now_ns);
    }
    if (unit->power == TIER_STARTING || unit->power == TIER_WARMING ||
        unit->power == TIER_STOPPING || (unit->since_ns && now_ns - unit->since_ns < SETTLE_NS) ||
        (process->changed_ns && now_ns - process->changed_ns < SETTLE_NS))
        return NAN;
    return process->held_bytes > 0 ? process->held_bytes : 0;
}

double tier_unit_ours_least(const struct tier_unit *unit)
{
    const bool goes = unit->power == TIER_STOPPING || unit->power == TIER_OFF;
    return !goes && unit->process.held_bytes > 0 ? unit->process.held_bytes : 0;
}

enum tier_death tier_unit_death(const struct tier_unit *unit)
{
    const struct guard_unit_state *state = unit->unit ? guard_unit_state(unit->unit) : NULL;
    if (!state || unit->power == TIER_ON || unit->look.paused)
        return DEATH_NONE;
    if (!state->known || unit->frozen)
        return DEATH_UNKNOWN;
    if (strcmp(state->active, "failed") == 0 ||
        strncmp(state->sub, "auto-restart", strlen("auto-restart")) == 0)
        return DEATH_SEEN;
    return strcmp(state->active, "inactive") == 0 ? DEATH_NONE : DEATH_UNKNOWN;
}

const char *tier_unit_place(const struct tier_unit *unit)
{
    const bool up = unit->power == TIER_ON || unit->power == TIER_DRAINING ||
                    unit->power == TIER_FAILED; /* that may still run */
    if (!up || unit->frozen || !must_prove(unit))
        return NULL;
    return device_placement_names[unit->process.place.seen.word];
}

size_t tier_unit_device(const struct tier_unit *unit)
{
    return unit->device_index;
}

void tier_unit_fill(const struct tier_unit *unit, int64_t now_ns, struct policy_seen *seen)
{
    static const enum policy_power powers[TIER_POWER_COUNT_] = {
        [TIER_OFF] = POWER_OFF,    [TIER_STARTING] = POWER_COMING, [TIER_WARMING] = POWER_COMING,
        [TIER_ON] = POWER_ON,      [TIER_DRAINING] = POWER_GOING,  [TIER_STOPPING] = POWER_GOING,
        [TIER_FAILED] = POWER_OFF,
    };
    seen->power = powers[unit->power];
    seen->resting = now_ns < unit->rest_until_ns || unit->to_stop || /* it runs still */
                    (unit->power == TIER_OFF && unit->stays[0]);
    seen->held_bytes = unit->process.held_bytes;
}
