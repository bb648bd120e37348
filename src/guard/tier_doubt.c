/* A tier in doubt: it did not come up, is on the CPU, or has died.
 *
 * The policy goes on with another, so no user may notice, and nobody would look: at the next
 * overload, or when the other dies, it is missing. So it is an alarm, and not a word of what was
 * done alone. It is over when all of the front's tiers that were in doubt have been on again.
 *
 * A resident one that ends by itself is left to systemd, which may have it back at once; after a
 * minute nobody will. Stopped by somebody, or put aside, it is missed by nobody. One that `watch:`
 * names is "down" (alarms.c), and no second alarm.
 *
 * Rejected: over once it is stopped. It is stopped since it has failed, and fails again at its next
 * start: an alarm that comes and goes each hour.
 *
 * One that was stopped and does not end is another alarm: what it holds others may have no room
 * for. It is told again and again, with what is known of it by then. */
#include "guard/tier_doubt.h"

#include "base/clock.h"

static const int64_t SAID_AGAIN_NS = 300 * NS_PER_S; /* within the alarm's hold */
static const int64_t DEAD_NS = 60 * NS_PER_S;

static bool is_any(const struct tier_doubt *doubt)
{
    bool any = false;
    for (size_t k = 0; k < SPEC_TIERS_MAX; k++)
        any |= doubt->of[k] || doubt->dead[k];
    return any;
}

bool tier_doubt_note(struct tier_doubt *doubt, size_t t, enum tier_turn turn,
                     const struct tier_unit *unit, enum guard_event_kind *ret_kind)
{
    const bool before = doubt->of[t];
    doubt->of[t] = turn == TURN_FAILED || (before && tier_unit_power(unit) != TIER_ON);
    if (turn != TURN_FAILED && (!before || is_any(doubt)))
        return false;
    *ret_kind = turn == TURN_FAILED ? EVENT_ARM_DOUBT : EVENT_ARM_SOUND;
    return true;
}

bool tier_doubt_note_death(struct tier_doubt *doubt, size_t t, const struct tier_unit *unit,
                           int64_t now_ns, enum guard_event_kind *ret_kind)
{
    const enum tier_death death = tier_unit_death(unit);
    const bool before = doubt->dead[t];
    if (death == DEATH_NONE)
        doubt->dead_ns[t] = 0;
    else if (death == DEATH_SEEN && doubt->dead_ns[t] == 0)
        doubt->dead_ns[t] = now_ns;
    const int64_t since_ns = doubt->dead_ns[t];
    const bool late = since_ns && now_ns - since_ns >= DEAD_NS;
    doubt->dead[t] = since_ns && (before || (late && death == DEATH_SEEN));
    if (doubt->dead[t] == before || (before && is_any(doubt)))
        return false;
    *ret_kind = before ? EVENT_ARM_SOUND : EVENT_ARM_DOUBT;
    return true;
}

const char *tier_doubt_note_stay(struct tier_doubt *doubt, size_t t, const struct tier_unit *unit,
                                 int64_t now_ns, enum guard_event_kind *ret_kind)
{
    const char *stays = tier_unit_stays(unit);
    const bool before = doubt->stays[t];
    bool any = false;
    doubt->stays[t] = stays != NULL;
    for (size_t k = 0; k < SPEC_TIERS_MAX; k++)
        any |= doubt->stays[k];
    const bool due = !before || now_ns - doubt->stays_ns[t] >= SAID_AGAIN_NS;
    if (stays ? !due : !before || any)
        return NULL;
    doubt->stays_ns[t] = now_ns;
    *ret_kind = stays ? EVENT_TIER_STAYS : EVENT_TIER_GONE;
    return stays ? stays : "what was to stop is down, or used again";
}
