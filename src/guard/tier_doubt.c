/* A tier in doubt: it did not come up, or is on the CPU.
 *
 * The policy goes on with another, so no user may notice, and nobody would look: at the next
 * overload, or when the other dies, it is missing. So it is an alarm, and not a word of what was
 * done alone. It is over when all of the front's tiers that were in doubt have been on again.
 *
 * Rejected: over once it is stopped. It is stopped since it has failed, and fails again at its next
 * start: an alarm that comes and goes each hour. */
#include "guard/tier_doubt.h"

bool tier_doubt_note(struct tier_doubt *doubt, size_t t, enum tier_turn turn,
                     const struct tier_unit *unit, enum guard_event_kind *ret_kind)
{
    const bool before = doubt->of[t];
    bool any = false;
    doubt->of[t] = turn == TURN_FAILED || (before && tier_unit_power(unit) != TIER_ON);
    for (size_t k = 0; k < SPEC_TIERS_MAX; k++)
        any |= doubt->of[k];
    if (turn != TURN_FAILED && (!before || any))
        return false;
    *ret_kind = turn == TURN_FAILED ? EVENT_ARM_DOUBT : EVENT_ARM_SOUND;
    return true;
}
