/* What is started and what is stopped.
 *
 * Memory decides both, and one thing happens at a time: memory that was given back or taken is seen
 * only some looks later, and a second decision on old figures would be a guess. Under pressure the
 * largest tier that need not run goes; one that nobody has used for a while goes; one that is idle
 * makes room for a better one that would be taken.
 *
 * Rejected: keeping a tier for its likely return. It is resident then, and the file can say so.
 * Starting a resident one that is down in order to go up: whoever has stopped it would find it
 * started again. Where none is usable it is started like any other: no answer is worse.
 *
 * Invariant: what is chosen to answer is never stopped, nor the last that can. */
#include "guard/policy_step.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

static const int64_t UNUSED_NS = 600 * NS_PER_S; /* then a tier that need not run is stopped */

bool policy_is_usable(const struct policy_step *step, int t)
{
    const struct policy_seen *seen = &step->input->tiers[t];
    return seen->power == POWER_ON && seen->usable;
}

bool policy_is_calm(const struct policy_step *step, int t)
{
    const struct policy_state *state = step->state;
    return state->calm_since_ns[t] && step->fits[t].certain &&
           step->input->now_ns - state->calm_since_ns[t] >=
               step->front->up_after_ns * state->patience;
}

/* ---- memory ---- */

static double size_of(const struct policy_step *step, int t)
{
    double held = step->input->tiers[t].held_bytes, peak = step->front->tiers[t].peak_bytes;
    return !isnan(held) ? held : !isnan(peak) ? peak : 0;
}

int policy_usable_count(const struct policy_step *step)
{
    int usable = 0;
    for (int t = 0; t < policy_count(step); t++)
        usable += policy_is_usable(step, t);
    return usable;
}

/* Nothing that is stopped now comes back, or another front gives memory back on this device. */
static bool is_stop_barred(const struct policy_step *step)
{
    return step->input->frozen || step->input->others_stop;
}

int policy_find_victim(const struct policy_step *step)
{
    int victim = -1;
    if (!policy_is_pressed(step->front, step->input) || policy_usable_count(step) == 0 ||
        is_stop_barred(step))
        return -1;
    for (int t = 0; t < policy_count(step); t++) {
        const struct policy_tier *tier = &step->front->tiers[t];
        enum policy_power power = step->input->tiers[t].power;
        if (power == POWER_GOING)
            return -1; /* its memory is on its way back */
        bool last = policy_is_usable(step, t) && policy_usable_count(step) == 1;
        if (tier->managed && !tier->resident && !last && power != POWER_OFF &&
            (victim < 0 || size_of(step, t) > size_of(step, victim)))
            victim = t;
    }
    return victim;
}

void policy_add_memory(struct policy_step *step)
{
    buf_add(&step->reason, "free ");
    text_add_bytes(&step->reason, step->input->free_bytes);
    if (step->input->owed_bytes > 0) {
        buf_add(&step->reason, ", of which others take ");
        text_add_bytes(&step->reason, step->input->owed_bytes);
    }
    buf_add(&step->reason, ", reserve ");
    text_add_bytes(&step->reason, step->front->reserve_bytes);
}

/* ---- starting and stopping ---- */

/* `t` is off and may come: at once, or once others have made room. */
enum room { ROOM_NOW, ROOM_MADE };
static bool may_start(const struct policy_step *step, int t, enum room room)
{
    return t >= 0 && step->input->tiers[t].power == POWER_OFF &&
           (step->fits[t].room || (room == ROOM_MADE && step->fits[t].could));
}

static int find_start(const struct policy_step *step, enum room room)
{
    int chosen = step->choice.tier;
    for (int t = 0; t < policy_count(step); t++)
        if (step->input->tiers[t].power == POWER_COMING ||
            step->input->tiers[t].power == POWER_GOING)
            return -1; /* one at a time: memory is counted when it has come, or gone */
    if (policy_is_pressed(step->front, step->input) || step->input->frozen ||
        step->input->others_start)
        return -1;
    bool none = policy_usable_count(step) == 0, kept = !none && step->fits[chosen].keeps;
    for (int t = 0; t < policy_count(step); t++)
        if (may_start(step, t, room) &&
            (!none && t < chosen ? policy_is_calm(step, t) : !kept && step->fits[t].keeps))
            return t;
    for (int t = policy_count(step) - 1; t >= 0 && none; t--)
        if (may_start(step, t, room))
            return t;
    return may_start(step, step->state->wanted, room) ? step->state->wanted : -1;
}

static int find_unused(struct policy_step *step)
{
    int found = -1;
    for (int t = 0; t < policy_count(step); t++) {
        const struct policy_tier *tier = &step->front->tiers[t];
        const struct policy_seen *seen = &step->input->tiers[t];
        int64_t *since = &step->state->unused_since_ns[t];
        if (!tier->managed || tier->resident || seen->power != POWER_ON || t == step->choice.tier ||
            seen->in_flight + seen->waiting > 0 || seen->pinned_ratio > 0)
            *since = 0;
        else if (*since == 0)
            *since = step->input->now_ns;
        else if (step->input->now_ns - *since >= UNUSED_NS)
            found = t;
    }
    return found;
}

/* The largest that is idle, for one that is to come; -1. */
static int find_idle(const struct policy_step *step)
{
    int found = -1;
    for (int t = 0; t < policy_count(step); t++)
        if (step->fits[t].idle && t != step->choice.tier &&
            (found < 0 || size_of(step, t) > size_of(step, found)))
            found = t;
    return found;
}

static void add_separator(struct policy_step *step)
{
    buf_add(&step->reason, step->reason.len ? "; " : "");
}

static void stop(struct policy_step *step, int t, const char *why)
{
    step->choice.stop = t;
    add_separator(step);
    buf_addf(&step->reason, "stopping %s (", step->front->tiers[t].name);
    text_add_bytes(&step->reason, size_of(step, t));
    buf_addf(&step->reason, ")%s", why);
}

void policy_choose_stop(struct policy_step *step)
{
    int chosen = step->choice.tier, victim = step->victim, unused = find_unused(step);
    bool safe = chosen >= 0 && policy_is_usable(step, chosen);
    if (victim >= 0 && victim != chosen && (safe || !policy_is_usable(step, victim))) {
        bool said = step->choice.switched && step->choice.forced; /* why, and the numbers */
        step->choice.for_memory = true;
        stop(step, victim, said ? "" : " for memory: ");
        if (!said)
            policy_add_memory(step);
        return;
    }
    if (!safe || is_stop_barred(step))
        return;
    if (unused >= 0) {
        stop(step, unused, ": unused for 10 min");
        step->state->unused_since_ns[unused] = 0;
        return;
    }
    int next = find_start(step, ROOM_MADE), idle = find_idle(step);
    if (next < 0 || step->fits[next].room || idle < 0)
        return;
    stop(step, idle, ", unused, to make room for ");
    buf_add(&step->reason, step->front->tiers[next].name);
}

void policy_choose_start(struct policy_step *step)
{
    const struct policy_tier *tiers = step->front->tiers;
    int start = find_start(step, ROOM_NOW);
    if (start < 0)
        return;
    step->choice.start = start;
    add_separator(step);
    buf_addf(&step->reason, "starting %s: its peak ", tiers[start].name);
    text_add_bytes(&step->reason, tiers[start].peak_bytes);
    buf_add(&step->reason, " fits: ");
    policy_add_memory(step);
}

/* ---- without HAProxy ---- */

/* As policy_find_victim(), of those that HAProxy does not choose when it is back: whether they are
 * usable is not known, and the current one, or one that would be the last, is left. */
static int find_spare(const struct policy_step *step)
{
    int current = step->state->current, spare = -1;
    if (!policy_is_pressed(step->front, step->input) || current < 0 ||
        step->input->tiers[current].power != POWER_ON || is_stop_barred(step))
        return -1;
    for (int t = 0; t < policy_count(step); t++) {
        const struct policy_tier *tier = &step->front->tiers[t];
        enum policy_power power = step->input->tiers[t].power;
        if (power == POWER_GOING)
            return -1;
        if (t != current && tier->managed && !tier->resident && power != POWER_OFF &&
            (spare < 0 || size_of(step, t) > size_of(step, spare)))
            spare = t;
    }
    return spare;
}

double policy_victim_bytes(const struct policy_front *front, const struct policy_input *input,
                           enum policy_sight sight, int current)
{
    struct policy_state state = {.current = current};
    const struct policy_step step = {.state = &state, .front = front, .input = input};
    int victim = sight == POLICY_SEES ? policy_find_victim(&step) : find_spare(&step);
    return victim >= 0 ? size_of(&step, victim) : -1;
}

struct policy_choice policy_step_blind(const struct policy_state *state,
                                       const struct policy_front *front,
                                       const struct policy_input *input)
{
    struct policy_state unchanged = *state;
    struct policy_step step = {
        .state = &unchanged,
        .front = front,
        .input = input,
        .choice = {.tier = state->current, .start = -1, .stop = -1, .predicted_s = NAN},
        .reason = BUF_INIT(4096)};
    int spare = find_spare(&step);
    if (spare >= 0) {
        stop(&step, spare, " for memory, HAProxy does not answer: ");
        policy_add_memory(&step);
        step.choice.for_memory = true;
    }
    snprintf(step.choice.reason, sizeof step.choice.reason, "%s", buf_text(&step.reason));
    buf_done(&step.reason);
    return step.choice;
}
