/* Inside guard/: a tier that is not what it should be, as an alarm. Pure. */
#pragma once

#include "guard/tier_unit.h"

struct tier_doubt { /* of one front's tiers; zeroed at first */
    bool of[SPEC_TIERS_MAX];
    bool dead[SPEC_TIERS_MAX];
    int64_t dead_ns[SPEC_TIERS_MAX]; /* since when it was seen to be, and was not on; 0 */
    bool stays[SPEC_TIERS_MAX];
    int64_t stays_ns[SPEC_TIERS_MAX]; /* when that was told last */
};
/* After a step of tier `t`. True: EVENT_ARM_DOUBT or EVENT_ARM_SOUND is to be told of the service.
 */
bool tier_doubt_note(struct tier_doubt *doubt, size_t t, enum tier_turn turn,
                     const struct tier_unit *unit, enum guard_event_kind *ret_kind);
/* Likewise, of one that is to run always: it has died a minute ago and is not back, or is. */
bool tier_doubt_note_death(struct tier_doubt *doubt, size_t t, const struct tier_unit *unit,
                           int64_t now_ns, enum guard_event_kind *ret_kind);
/* Likewise of EVENT_TIER_STAYS (again each five minutes) or EVENT_TIER_GONE. Returns what is to be
 * told, borrowed until the next step; NULL: nothing. */
const char *tier_doubt_note_stay(struct tier_doubt *doubt, size_t t, const struct tier_unit *unit,
                                 int64_t now_ns, enum guard_event_kind *ret_kind);
